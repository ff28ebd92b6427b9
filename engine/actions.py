"""What a person at the keys can tell each model: action spaces, one video frame's action, and the benchmark mixes.

Keys are letters as a person holds them; the numbers beside them are what the network reads. This module knows neither
windows nor networks: it only says which numbers a set of keys stands for.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from engine.errors import ActionError

CAMERA_STEP = 0.1
"""The one camera speed the original was trained and benchmarked with, per video frame."""

_TOLERANCE = 1e-6  # a float32 0.1 read back from a file is a hair more than 0.1
_BENCH_RUN = 12  # video frames a benchmark action is held


@dataclass(frozen=True)
class Action:
    """Model input for one video frame.

    keyboard: the network's keyboard vector, length `ActionSpace.keyboard_dim`.
    mouse: (pitch, yaw), + looks up and turns right; None for models without a mouse.
    keys: names of the keys this action stands for, in the space's order; for people, not for the network.
    """

    keyboard: tuple[float, ...]
    mouse: tuple[float, float] | None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Actions:
    """Model input for F consecutive video frames.

    keyboard: (F, K) float32. mouse: (F, 2) float32 of (pitch, yaw), or None. keys: F tuples of key names.
    Raises ActionError when the three do not have the same number of frames or the wrong number of axes.
    """

    keyboard: np.ndarray
    mouse: np.ndarray | None
    keys: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        frames = len(self.keys)
        if self.keyboard.ndim != 2 or len(self.keyboard) != frames:
            raise ActionError("keyboard array has the wrong shape", got=self.keyboard.shape, expected=f"({frames}, K)")
        if self.mouse is not None and self.mouse.shape != (frames, 2):
            raise ActionError("mouse array has the wrong shape", got=self.mouse.shape, expected=f"({frames}, 2)")

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Action: ...
    @overload
    def __getitem__(self, index: slice) -> Actions: ...
    def __getitem__(self, index: int | slice) -> Action | Actions:
        """One frame's Action by number, or a run of frames by slice (a view of the arrays)."""
        mouse = None if self.mouse is None else self.mouse[index]
        if isinstance(index, slice):
            return Actions(self.keyboard[index], mouse, self.keys[index])
        pair = None if mouse is None else (float(mouse[0]), float(mouse[1]))
        return Action(tuple(float(v) for v in self.keyboard[index]), pair, self.keys[index])

    def __iter__(self) -> Iterator[Action]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Actions):
            return NotImplemented
        if (self.mouse is None) != (other.mouse is None) or self.keys != other.keys:
            return False
        same_mouse = self.mouse is None or np.array_equal(self.mouse, other.mouse)
        return same_mouse and np.array_equal(self.keyboard, other.keyboard)

    __hash__ = None  # type: ignore[assignment]

    @staticmethod
    def stack(actions: Sequence[Action]) -> Actions:
        """Puts single frames in a row. actions: one or more of the same space. Raises ActionError if empty or mixed."""
        if not actions:
            raise ActionError("no actions to stack", got="an empty list", expected="one action per video frame")
        if len({(len(a.keyboard), a.mouse is None) for a in actions}) > 1:
            raise ActionError("actions of different action spaces can not be stacked")
        keyboard = np.array([a.keyboard for a in actions], dtype=np.float32)
        mouse = None if actions[0].mouse is None else np.array([a.mouse for a in actions], dtype=np.float32)
        return Actions(keyboard, mouse, tuple(a.keys for a in actions))

    @staticmethod
    def join(parts: Sequence[Actions]) -> Actions:
        """Puts runs of frames one after another. Raises ActionError if there are none or their spaces differ."""
        return Actions.stack([action for part in parts for action in part])


@dataclass(frozen=True)
class ActionSpace:
    """What one mode's model can be told.

    mode: "universal", "gta_drive" or "templerun". keys: names a person may hold. keyboard_dim: length of the
    network's keyboard vector. has_mouse: whether the network reads a mouse array. mouse_limit: largest |pitch| and
    |yaw| per video frame a person may ask for.
    """

    mode: str
    keys: tuple[str, ...]
    keyboard_dim: int
    has_mouse: bool
    mouse_limit: float

    def action(self, keys: Iterable[str] = (), mouse: tuple[float, float] | None = (0.0, 0.0)) -> Action:
        """The action of one video frame in which `keys` are held and the mouse moved by `mouse`.

        keys: names out of `self.keys`, in the order they were pressed (it matters only where the model takes one
        action at a time: there the last one pressed wins). mouse: (pitch, yaw), each within +-mouse_limit; None or
        (0, 0) for no motion. In gta_drive a steering key (A or D, not both) sets the yaw, whatever the mouse says.
        Raises ActionError for a key this mode does not have, a mouse number out of range, or mouse motion in a mode
        without mouse. Source: Matrix-Game-2 utils/conditions.py.
        """
        held = self._checked_keys(keys)
        motion = self._checked_mouse(mouse)
        if self.mode == "templerun":
            held = held[-1:]
        keyboard = _KEYBOARDS[self.mode](held)
        if self.mode == "gta_drive" and ("A" in held) != ("D" in held):
            motion = (motion[0], CAMERA_STEP if "D" in held else -CAMERA_STEP)
        names = tuple(key for key in self.keys if key in held)
        return Action(keyboard, motion if self.has_mouse else None, names)

    def idle(self) -> Action:
        """The action of a frame in which nothing is pressed or moved."""
        return self.action()

    def check(self, actions: Actions) -> None:
        """Raises ActionError unless `actions` has this space's widths and every number in it is usable."""
        if actions.keyboard.shape[1] != self.keyboard_dim:
            expected = f"{self.keyboard_dim} ({self.mode})"
            raise ActionError("keyboard vector has the wrong length", got=actions.keyboard.shape[1], expected=expected)
        if (actions.mouse is not None) != self.has_mouse:
            got, expected = ("no mouse", "mouse")[:: 1 if self.has_mouse else -1]
            raise ActionError("actions do not fit this model", got=got, expected=f"{expected} ({self.mode})")
        for name, values in (("keyboard", actions.keyboard), ("mouse", actions.mouse)):
            if values is not None and not np.isfinite(values).all():
                raise ActionError(f"a {name} value is not a number", expected="finite numbers")
        if actions.mouse is not None and np.abs(actions.mouse).max(initial=0.0) > self.mouse_limit + _TOLERANCE:
            self._raise_out_of_range(tuple(np.abs(actions.mouse).max(axis=0).tolist()))

    def _checked_keys(self, keys: Iterable[str]) -> list[str]:
        held = list(dict.fromkeys(keys))
        for key in held:
            if key not in self.keys:
                raise ActionError(f"mode {self.mode} has no such key", got=key, expected=" ".join(self.keys))
        # A set has no order of its own that two runs would share.
        return [key for key in self.keys if key in held] if isinstance(keys, (set, frozenset)) else held

    def _checked_mouse(self, mouse: tuple[float, float] | None) -> tuple[float, float]:
        if mouse is None:
            return (0.0, 0.0)
        if len(mouse) != 2:
            raise ActionError("mouse has the wrong number of values", got=len(mouse), expected="2: pitch and yaw")
        pitch, yaw = float(mouse[0]), float(mouse[1])
        if not self.has_mouse and (pitch or yaw):
            raise ActionError(f"mode {self.mode} has no mouse", got=(pitch, yaw), expected="no mouse motion")
        # Written so that NaN, which compares false with everything, fails too.
        if not (abs(pitch) <= self.mouse_limit + _TOLERANCE and abs(yaw) <= self.mouse_limit + _TOLERANCE):
            self._raise_out_of_range((pitch, yaw))
        return (pitch, yaw)

    def _raise_out_of_range(self, got: tuple[float, ...]) -> None:
        limit = self.mouse_limit
        expected = f"pitch and yaw between -{limit} and {limit} per video frame"
        shown = tuple(round(v, 6) if math.isfinite(v) else v for v in got)
        raise ActionError("mouse motion is out of range", got=shown, expected=expected)


def _one_per_key(*names: str):
    return lambda held: tuple(1.0 if name in held else 0.0 for name in names)


_TEMPLERUN_ORDER = (None, "W", "S", "Z", "C", "A", "D")  # run on, jump, slide, turn left, right, step left, right


def _templerun_keyboard(held: Sequence[str]) -> tuple[float, ...]:
    key = held[-1] if held else None
    return tuple(1.0 if name == key else 0.0 for name in _TEMPLERUN_ORDER)


_KEYBOARDS = {
    "universal": _one_per_key("W", "S", "A", "D"),
    "gta_drive": _one_per_key("W", "S"),
    "templerun": _templerun_keyboard,
}
_SPACES = {
    "universal": ActionSpace("universal", ("W", "S", "A", "D"), 4, True, CAMERA_STEP),
    "gta_drive": ActionSpace("gta_drive", ("W", "S", "A", "D"), 2, True, CAMERA_STEP),
    "templerun": ActionSpace("templerun", ("W", "S", "A", "D", "Z", "C"), 7, False, 0.0),
}
MODES = tuple(_SPACES)

AXES = ("walk", "strafe", "yaw", "pitch")
"""What can be asked of a world: + is forward, to the right, to the right, up."""

_STEPS = {"W": ("walk", 1), "S": ("walk", -1), "A": ("strafe", -1), "D": ("strafe", 1)}
_KEY_AXES: dict[str, dict[str, tuple[str, int]]] = {
    "gta_drive": {"W": ("walk", 1), "S": ("walk", -1)},  # A and D come as the mouse's yaw
    "templerun": {"A": ("strafe", -1), "D": ("strafe", 1), "Z": ("yaw", -1), "C": ("yaw", 1)},  # W and S jump and slide
}


def key_axes(space: ActionSpace) -> dict[str, tuple[str, int]]:
    """Key -> which of AXES it asks for, and which way, of those keys that ask for one."""
    table = _KEY_AXES.get(space.mode, _STEPS)
    return {key: axis for key, axis in table.items() if key in space.keys}


def action_space(mode: str) -> ActionSpace:
    """The action space of a mode. mode: one of MODES. Raises ActionError for any other, naming them."""
    if mode not in _SPACES:
        raise ActionError("unknown mode", got=mode, expected=", ".join(MODES))
    return _SPACES[mode]


def benchmark_actions(mode: str, seed: int, frames: int) -> Actions:
    """The original's random benchmark mix: one action for frame 0, then a new one every 12 video frames.

    mode: one of MODES. seed: what Python's `random` is seeded with. frames: how many video frames, >= 1; a shorter
    mix is the beginning of a longer one. Raises ActionError for an unknown mode or frames < 1.
    Source: Matrix-Game-2 utils/conditions.py (Bench_actions_*), which draws run length and action for each run.
    """
    space = action_space(mode)
    if frames < 1:
        raise ActionError("too few benchmark frames", got=frames, expected="1 or more")
    suite = _BENCH_SUITES[mode]
    draws = random.Random(seed)
    sequence: list[Action] = []
    while len(sequence) < frames:
        draws.randint(0, 0)  # the run length, from a list of one: no choice, but the draw moves the generator on
        keys, yaw = suite[draws.randint(0, len(suite) - 1)]
        sequence += [space.action(keys, (0.0, yaw))] * (_BENCH_RUN if sequence else 1)
    return Actions.stack(sequence[:frames])


_Choice = tuple[tuple[str, ...], float]  # keys held, yaw


def _crossed(keys: Sequence[tuple[str, ...]], cameras: Sequence[float]) -> list[_Choice]:
    return [(held, yaw) for held in keys for yaw in cameras]


def _universal_suite() -> list[_Choice]:
    singles, doubles = [("W",), ("A",), ("D",)], [("W", "A"), ("W", "D")]
    cameras = [-CAMERA_STEP, CAMERA_STEP]
    suite = _crossed(doubles, [0.0]) * 5 + _crossed([()], cameras) * 5 + _crossed(singles, [0.0]) * 5
    return suite + _crossed(singles + doubles, cameras)


def _gta_drive_suite() -> list[_Choice]:
    steering, pedals = [("A",), ("D",)], [("W",), ("S",)]
    both = [pedal + steer for pedal in pedals for steer in steering]
    return _crossed(steering, [0.0]) * 2 + _crossed(pedals, [0.0]) * 2 + _crossed(both, [0.0])


_BENCH_SUITES: dict[str, list[_Choice]] = {
    "universal": _universal_suite(),
    "gta_drive": _gta_drive_suite(),
    "templerun": _crossed([("W",), ("S",), ("A",), ("D",), ("Z",), ("C",), ()], [0.0]),
}
