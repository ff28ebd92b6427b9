"""Camera paths in a script, such as `yaw:left:60@40` or `walk:forward+yaw:right:30@40`, as a mode's own actions.

    path  = move { "+" move } "@" frames
    move  = "yaw:left:" degrees | "yaw:right:" degrees | "pitch:up:" degrees | "pitch:down:" degrees
          | "walk:forward" | "walk:back" | "strafe:left" | "strafe:right" | "still"

Degrees are those of the whole path, shared out evenly among its frames. Open benchmarks of world models write their
paths as such angles and counts of frames; what a model turns by for one unit of its mouse differs, so a script
written this way asks every model for the same view.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from engine.actions import Actions, ActionSpace, key_axes
from engine.config.model import ModelConfig
from engine.errors import ActionError
from engine.families import action_space

GRAMMAR = "such as yaw:left:60@40, pitch:up:10@20, walk:forward+yaw:right:30@40, strafe:left@12 or still@20"

_MOVES = {
    "yaw": {"left": ("yaw", -1), "right": ("yaw", 1)},
    "pitch": {"down": ("pitch", -1), "up": ("pitch", 1)},
    "walk": {"back": ("walk", -1), "forward": ("walk", 1)},
    "strafe": {"left": ("strafe", -1), "right": ("strafe", 1)},
}
_TURNS = ("yaw", "pitch")


@dataclass(frozen=True)
class Degrees:
    """What a camera turns by for one unit of the mouse."""

    yaw: float
    pitch: float

    @staticmethod
    def of(model: ModelConfig) -> Degrees:
        """A model's own, where its config says; else those of its action space."""
        camera = getattr(model, "camera", None)  # not every family has one
        if camera is None:
            return Degrees.of_space(action_space(model.mode))
        return Degrees(camera.yaw_per_unit, camera.pitch_per_unit)

    @staticmethod
    def of_space(space: ActionSpace) -> Degrees:
        """What is usual for all models with these keys."""
        pitch, yaw = space.degrees
        return Degrees(yaw, pitch)


@dataclass(frozen=True)
class Move:
    """One part of a path: axis of `engine.actions.AXES`, which way, and by how many degrees where it is a turn."""

    axis: str
    sign: int
    degrees: float = 0.0


@dataclass(frozen=True)
class CameraPath:
    """Moves made at the same time through some video frames. line: in the script's file."""

    line: int
    frames: int
    moves: tuple[Move, ...]

    def actions(self, space: ActionSpace, degrees: Degrees) -> Actions:
        """Its frames' actions. Raises ActionError for what the mode cannot do, or not in so few frames."""
        keys, mouse = [], {"pitch": 0.0, "yaw": 0.0}
        names = {axis: key for key, axis in key_axes(space).items()}
        for move in self.moves:
            if move.axis in _TURNS and space.has_mouse:
                mouse[move.axis] = self._mouse(move, space, getattr(degrees, move.axis))
            elif (move.axis, move.sign) in names:
                keys.append(names[move.axis, move.sign])  # a key that turns does so by what the model will
            else:
                raise ActionError(f"mode {space.mode} has no such motion", got=f"{move.axis} {move.sign:+d}")
        return Actions.stack([space.action(keys, (mouse["pitch"], mouse["yaw"]))] * self.frames)

    def _mouse(self, move: Move, space: ActionSpace, per_unit: float) -> float:
        value = move.degrees / per_unit / self.frames
        if value > space.mouse_limit + 1e-9:
            least = math.ceil(move.degrees / per_unit / space.mouse_limit - 1e-9)
            raise ActionError(
                f"{move.degrees:g} degrees of {move.axis} are too many for {self.frames} frames",
                expected=f"{least} frames or more ({space.mode})",
            )
        return move.sign * value


def parse_path(text: str, line: int = 0) -> CameraPath:
    """Reads a path. Raises ActionError that says what is wrong and gives examples."""
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    body, at, count = text.replace(" ", "").rpartition("@")
    if not at or not re.fullmatch(r"[0-9]{1,7}", count) or not 1 <= int(count) <= 1_000_000:
        raise ActionError("a camera path has no number of frames", got=shown, expected=GRAMMAR)
    moves = [_move(part, shown) for part in body.split("+")]
    kept = tuple(move for move in moves if move is not None)
    if len({move.axis for move in kept}) < len(kept):
        raise ActionError("a camera path asks for one motion twice", got=shown, expected=GRAMMAR)
    return CameraPath(line, int(count), kept)


def _move(part: str, text: str) -> Move | None:
    if part == "still":
        return None
    kind, _, rest = part.partition(":")
    way, colon, amount = rest.partition(":")
    axis, sign = _MOVES.get(kind, {}).get(way, ("", 0))
    if not axis or bool(colon) != (kind in _TURNS):
        raise ActionError(f"no camera path has a part {part[:40]!r}", got=text, expected=GRAMMAR)
    try:
        degrees = float(amount) if amount else 0.0
    except ValueError:
        degrees = math.nan
    if kind in _TURNS and not 0 < degrees <= 36000:
        raise ActionError(f"{amount[:40]!r} is no number of degrees", got=text, expected=GRAMMAR)
    return Move(axis, sign, degrees)
