"""Action spaces that several families share. A key's column is its place in the keyboard vector."""

from __future__ import annotations

from engine.actions import ActionSpace, Hint, Key

CAMERA_STEP = 0.1
"""The one camera speed Matrix-Game 2.0 was trained and benchmarked with, per video frame."""

W, A, S, D = ("W",), ("A",), ("S",), ("D",)
CAMERA_DEGREES = (12.0, 22.5)
"""Pitch and yaw for one unit of the mouse. The embedded world was taught these; Matrix-Game 2.0's makers do not say."""

_WALKS = (W, A, D, W + A, W + D)
_TURNS = (-CAMERA_STEP, CAMERA_STEP)

WALK = ActionSpace(
    mode="universal",
    label="walk and look",
    controls=(
        Key("W", "forward", 0, opposite="S", axis=("walk", 1)),
        Key("S", "back", 1, opposite="W", axis=("walk", -1)),
        Key("A", "left", 2, opposite="D", axis=("strafe", -1)),
        Key("D", "right", 3, opposite="A", axis=("strafe", 1)),
    ),
    keyboard_dim=4,
    has_mouse=True,
    mouse_limit=CAMERA_STEP,
    mouse_step=CAMERA_STEP,
    degrees=CAMERA_DEGREES,
    has_looks=True,
    has_pitch=True,
    hints=(Hint(("W", "A", "S", "D"), "walk"), Hint(("look_left", "look_right"), "look, or click and use the mouse")),
    # Source: Matrix-Game-2 utils/conditions.py, Bench_actions_universal.
    mix=(
        *[(W + A, 0.0), (W + D, 0.0)] * 5,
        *[((), yaw) for yaw in _TURNS] * 5,
        *[(W, 0.0), (A, 0.0), (D, 0.0)] * 5,
        *[(held, yaw) for held in _WALKS for yaw in _TURNS],
    ),
)
