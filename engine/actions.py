"""What a person at the keys can tell a model: action spaces, one video frame's action, and the benchmark mixes.

Keys are named as a person holds them; the numbers beside them are what the network reads. This module knows neither
windows nor networks nor any one model: it only says which numbers a set of keys stands for. The spaces themselves are
declared by the families, see engine.families.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

from engine.errors import ActionError, ConfigError

LOOK_UP, LOOK_DOWN, LOOK_LEFT, LOOK_RIGHT = "look_up", "look_down", "look_left", "look_right"
LOOKS = {LOOK_UP: (1.0, 0.0), LOOK_DOWN: (-1.0, 0.0), LOOK_LEFT: (0.0, -1.0), LOOK_RIGHT: (0.0, 1.0)}
"""Controls that stand for a motion of the mouse: their share of (pitch, yaw)."""
_LOOK_LABELS = {LOOK_UP: "look up", LOOK_DOWN: "look down", LOOK_LEFT: "look left", LOOK_RIGHT: "look right"}
_OPPOSITE_LOOKS = {LOOK_UP: LOOK_DOWN, LOOK_DOWN: LOOK_UP, LOOK_LEFT: LOOK_RIGHT, LOOK_RIGHT: LOOK_LEFT}

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
        same_mouse = self.mouse is None or other.mouse is None or np.array_equal(self.mouse, other.mouse)
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
class Key:
    """A key that a person may hold.

    Attributes:
        name: in actions, scripts and recordings.
        label: what it does, for people.
        column: its place in the network's keyboard vector; None if it has none.
        opposite: the key that it cancels.
        yaw: what it sets the mouse's yaw to while it is held without its opposite; None if it leaves the mouse alone.
        axis: which of AXES it asks for, and which way; None for a key that asks for none, or for the mouse's.
    """

    name: str
    label: str
    column: int | None
    opposite: str | None = None
    yaw: float | None = None
    axis: tuple[str, int] | None = None


@dataclass(frozen=True)
class Hint:
    """A line of the short help: controls (keys or looks) and what they do together."""

    controls: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class ActionSpace:
    """What the models of one mode can be told.

    Attributes:
        mode: its name, in scripts, recordings and settings.
        label: the same for people.
        controls: the keys a person may hold, in the order they are shown.
        keyboard_dim: length of the network's keyboard vector.
        has_mouse: whether the network reads a mouse array, (pitch, yaw) per video frame.
        mouse_limit: largest |pitch| and |yaw| per video frame.
        mouse_step: what the pixels that a person calls their sensitivity, a look key, or a full stick make in one
            video frame, in the model's unit.
        has_looks: whether keys may look, too.
        has_pitch: whether the model was taught to look up and down.
        one_at_a_time: whether the network takes one key at a time: of several the last one pressed counts.
        rest_column: column of the keyboard vector that says that nothing is held; None if there is none.
        look_step: what a look key or a full stick makes instead, if that is less; 0 for the same.
        degrees: that one unit of the mouse turns the camera by, (pitch, yaw), as far as anybody knows: what a camera
            path in a script counts in, unless the model's config says better.
        more: further keys that may be held. They stand for the inputs they are named after wherever these have no
            other use, so nobody need bind them, and tables of controls leave them out.
        aliases: further names that keys may be told by, and the keys' own.
        hints: the short help.
        mix: what the benchmark draws from: keys held and yaw.
    """

    mode: str
    label: str
    controls: tuple[Key, ...]
    keyboard_dim: int
    has_mouse: bool
    mouse_limit: float = 0.0
    mouse_step: float = 0.0
    has_looks: bool = False
    has_pitch: bool = False
    one_at_a_time: bool = False
    rest_column: int | None = None
    look_step: float = 0.0
    degrees: tuple[float, float] = (0.0, 0.0)
    more: tuple[Key, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    hints: tuple[Hint, ...] = ()
    mix: tuple[tuple[tuple[str, ...], float], ...] = ()

    @property
    def look(self) -> float:
        """What a look key or a full stick makes in one video frame."""
        return self.look_step or self.mouse_step

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Names of the keys."""
        return tuple(self._by_name)

    @cached_property
    def _by_name(self) -> dict[str, Key]:
        return {key.name: key for key in (*self.controls, *self.more)}

    def key_named(self, name: str) -> str | None:
        """The key of that name or alias, if any."""
        own = self._aliases.get(name, name)
        return own if own in self._by_name else None

    @cached_property
    def _aliases(self) -> dict[str, str]:
        return dict(self.aliases)

    @cached_property
    def labels(self) -> dict[str, str]:
        """Control -> label, in the order people are shown them: keys, then looks where keys may look."""
        return {key.name: key.label for key in self.controls} | (_LOOK_LABELS if self.has_looks else {})

    @cached_property
    def by_mouse(self) -> dict[str, str]:
        """Control -> direction ("up", "down", "left", "right") of the mouse's or stick's motion that does the same."""
        if self.has_looks:
            return {LOOK_UP: "up", LOOK_DOWN: "down", LOOK_LEFT: "left", LOOK_RIGHT: "right"}
        return {key.name: "right" if key.yaw > 0 else "left" for key in self.controls if key.yaw is not None}

    def opposite(self, control: str) -> str | None:
        """The control that one cancels, if any."""
        return self._opposites.get(control)

    def conflict(self, first: str, second: str) -> bool:
        """Whether two controls cannot both count in one video frame."""
        return first != second and (self.one_at_a_time or self.opposite(first) == second)

    @cached_property
    def _opposites(self) -> dict[str, str]:
        return {key.name: key.opposite for key in self.controls if key.opposite is not None} | _OPPOSITE_LOOKS

    def action(self, keys: Iterable[str] = (), mouse: tuple[float, float] | None = (0.0, 0.0)) -> Action:
        """The action of one video frame in which `keys` are held and the mouse moved by `mouse`.

        keys: names out of `self.keys`, or aliases, in the order they were pressed (it matters only where the model
        takes one action at a time: there the last one pressed wins). mouse: (pitch, yaw), each within +-mouse_limit;
        None or (0, 0) for no motion. A key that steers (without its opposite) sets the yaw, whatever the mouse says.
        Raises ActionError for a key this mode does not have, a mouse number out of range, or mouse motion in a mode
        without mouse. Source: Matrix-Game-2 utils/conditions.py.
        """
        held = self._checked_keys(keys)
        motion = self._checked_mouse(mouse)
        if self.one_at_a_time:
            held = held[-1:]
        keyboard = [0.0] * self.keyboard_dim
        if not held and self.rest_column is not None:
            keyboard[self.rest_column] = 1.0
        for key in (self._by_name[name] for name in held):
            if key.column is not None:
                keyboard[key.column] = 1.0
            if key.yaw is not None and key.opposite not in held:
                motion = (motion[0], key.yaw)
        names = tuple(key for key in self.keys if key in held)
        return Action(tuple(keyboard), motion if self.has_mouse else None, names)

    def check_widths(self, keyboard_dim: int, mouse_dim: int) -> None:
        """Raises ConfigError unless a network that reads so many numbers takes what this space makes."""
        got, expected = (keyboard_dim, mouse_dim > 0), (self.keyboard_dim, self.has_mouse)
        if got != expected:
            what = f"transformer.actions do not fit mode {self.mode}"
            raise ConfigError(what, got=f"keyboard_dim, mouse {got}", expected=expected)

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
        held: list[str] = []
        for name in dict.fromkeys(keys):
            key = self.key_named(name)
            if key is None:
                expected = " ".join(key.name for key in self.controls) + (" and others" if self.more else "")
                raise ActionError(f"mode {self.mode} has no such key", got=name, expected=expected)
            held += [key] if key not in held else []
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


AXES = ("walk", "strafe", "yaw", "pitch")
"""What can be asked of a world: + is forward, to the right, to the right, up."""


def key_axes(space: ActionSpace) -> dict[str, tuple[str, int]]:
    """Key -> which of AXES it asks for, and which way, of those keys that ask for one."""
    return {key.name: key.axis for key in space.controls if key.axis is not None}


def benchmark_actions(space: ActionSpace, seed: int, frames: int) -> Actions:
    """The original's random benchmark mix: one action for frame 0, then a new one every 12 video frames.

    seed: what Python's `random` is seeded with. frames: how many video frames, >= 1; a shorter mix is the beginning of
    a longer one. Raises ActionError for frames < 1, or a space without a mix.
    Source: Matrix-Game-2 utils/conditions.py (Bench_actions_*), which draws run length and action for each run.
    """
    if frames < 1:
        raise ActionError("too few benchmark frames", got=frames, expected="1 or more")
    if not space.mix:
        raise ActionError(f"mode {space.mode} has no benchmark actions")
    draws = random.Random(seed)
    sequence: list[Action] = []
    while len(sequence) < frames:
        draws.randint(0, 0)  # the run length, from a list of one: no choice, but the draw moves the generator on
        keys, yaw = space.mix[draws.randint(0, len(space.mix) - 1)]
        sequence += [space.action(keys, (0.0, yaw))] * (_BENCH_RUN if sequence else 1)
    return Actions.stack(sequence[:frames])
