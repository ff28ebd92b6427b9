"""From keys and mouse to model input: what a person did, kept with its time until a block takes it.

The window's thread writes (`press`, `release`, `motion`), the inference thread reads one block's worth (`sample`).
A key still held counts from the block's first frame on, since its future is not known; a tap that came and went
between two blocks is played back at its length, at least one frame; mouse motion is a sum, never a reading.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from engine.actions import LOOKS, ActionSpace
from engine.families import action_space, first_space
from game.config.bindings import Table, by_input, default_controls, passed_through

_EXCESS_SECONDS = 0.25  # how long a flick too fast for the model may go on turning the view
_STILL_FRAMES = 1.5  # motion younger than this is taken to be going on
_MOST_MOTIONS = 4096  # a stalled block must not gather events without end


@dataclass(frozen=True)
class Feel:
    """How inputs turn into actions.

    sensitivity: pixels of mouse motion that make the model's `mouse_step`. invert_look, invert_turn: of mouse and
    stick. stick_speed: what a full stick looks, a share of the model's limit. tables: for each mode, control -> inputs.
    """

    sensitivity: float = 60.0
    invert_look: bool = False
    invert_turn: bool = False
    stick_speed: float = 1.0
    tables: Mapping[str, Table] = field(default_factory=default_controls)


@dataclass(frozen=True)
class FrameControl:
    """What one video frame is told.

    keys: names out of the action space, in the order they were pressed. mouse: (pitch, yaw) within +-mouse_limit, or
    None where the model has no mouse. since: moment of the oldest control that this frame is the first to show, or
    None if it shows nothing new.
    """

    keys: tuple[str, ...]
    mouse: tuple[float, float] | None
    since: float | None = None


@dataclass
class _Tap:
    control: str
    start: float
    end: float


@dataclass
class _Frame:
    """A video frame's controls while they are being put together."""

    taps: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    motion: list[float] = field(default_factory=lambda: [0.0, 0.0])
    since: float | None = None

    def note(self, moment: float) -> None:
        self.since = moment if self.since is None else min(self.since, moment)


class Controls:
    """Everything pressed and moved, with its time; safe to write from one thread and sample from another.

    mode: of the model; None for the first there is, until `configure` is called. fps: its video frames a second. feel:
    as a person likes it.
    """

    def __init__(self, mode: str | None = None, fps: float = 20.0, feel: Feel | None = None) -> None:
        self._lock = Lock()
        self._feel = feel or Feel()
        self._down: dict[str, float] = {}  # control -> since when; in the order of pressing
        self._sources: dict[str, str] = {}  # input held -> the control it stood for when it went down
        self._taps: list[_Tap] = []
        self._fresh: set[str] = set()  # pressed, and no frame has shown it yet
        self._motions: deque[tuple[float, float, float]] = deque()
        self._released_at: float | None = None
        self._lean_since: float | None = None  # when the stick was moved, as long as no frame has shown it
        self._lean = (0.0, 0.0)  # pitch and yaw that a stick asks for now, each within +-1
        self._forget()
        self.configure(first_space() if mode is None else action_space(mode), fps)

    def configure(self, space: ActionSpace, fps: float) -> None:
        """Fits the controls to a model. Keys that are held and mean the same afterwards stay held."""
        with self._lock:
            self._space, self._fps = space, fps
            self._bind()
            self._forget()

    def tune(self, feel: Feel) -> None:
        """Another feel from now on. What is held and means the same afterwards stays held."""
        with self._lock:
            self._feel = feel
            self._bind()

    def control_of(self, key: str) -> str | None:
        """The control that an input is bound to in the present mode, None if it is bound to none."""
        return self._own.get(key)

    # -- written by the window's thread -----------------------------------------------------------------------------

    def press(self, key: str, now: float) -> bool:
        """An input went down, named as game/config/bindings.py does. Returns whether it is bound to a control."""
        with self._lock:
            control = self._bindings.get(key)
            if control is None:
                return False
            if key not in self._sources:
                self._sources[key] = control
                if control not in self._down:
                    self._down[control] = now
                    self._fresh.add(control)
            return True

    def release(self, key: str, now: float) -> None:
        """An input went up. One pressed since the last block becomes a tap, which the next block shows."""
        with self._lock:
            control = self._sources.pop(key, None)
            if control is None or control in self._sources.values():  # another key still holds it
                return
            start = self._down.pop(control)
            if control in self._fresh:
                self._fresh.remove(control)
                self._taps.append(_Tap(control, start, now))
            elif self._released_at is None:
                self._released_at = now

    def motion(self, dx: float, dy: float, now: float) -> None:
        """The mouse moved. dx, dy: pixels, right and down."""
        if not self._space.has_mouse or not (dx or dy):
            return
        with self._lock:
            scale = self._space.mouse_step / self._feel.sensitivity
            dx, dy = (-dx if self._feel.invert_turn else dx), (-dy if self._feel.invert_look else dy)
            if len(self._motions) == _MOST_MOTIONS:
                moment, pitch, yaw = self._motions.pop()
                self._motions.append((moment, pitch - dy * scale, yaw + dx * scale))
            else:
                self._motions.append((now, -dy * scale, dx * scale))

    def lean(self, right: float, down: float, now: float) -> None:
        """A stick that looks is held so far, each within +-1; it goes on until it is moved again."""
        feel = self._feel
        pitch, yaw = (down if feel.invert_look else -down), (-right if feel.invert_turn else right)
        with self._lock:
            if self._lean_since is None and (pitch, yaw) != self._lean:
                self._lean_since = now
            self._lean = (pitch, yaw)

    def release_all(self) -> None:
        """Lets go of everything, also of what is waiting to be shown: the window lost the person's attention."""
        with self._lock:
            self._down.clear()
            self._sources.clear()
            self._lean = (0.0, 0.0)
            self._forget()

    def forget_past(self, now: float) -> None:
        """Drops taps and motion nobody saw (after a pause, at a new world); keys held now stay held, as from `now`."""
        with self._lock:
            self._forget()
            self._down = dict.fromkeys(self._down, now)
            self._fresh = set(self._down)
            self._sampled_at = now

    # -- read by the inference thread -------------------------------------------------------------------------------

    def sample(self, frames: int, now: float) -> list[FrameControl]:
        """Takes what happened since the last call as the controls of the next block.

        frames: video frames of the block, >= 1. now: the moment the block starts. Returns one FrameControl a frame.
        """
        with self._lock:
            row = [_Frame() for _ in range(frames)]
            self._place_taps(row)
            self._place_held(row)
            self._place_motion(row, now)
            controls = [self._finish(frame) for frame in row]
            self._sampled_at = now
            return controls

    # -- how the frames are filled ----------------------------------------------------------------------------------

    def _bind(self) -> None:
        table = self._feel.tables[self._space.mode]
        self._own = by_input(table)
        self._bindings = self._own | passed_through(self._space, table)
        self._sources = {key: name for key, name in self._sources.items() if self._bindings.get(key) == name}
        self._down = {name: moment for name, moment in self._down.items() if name in self._sources.values()}
        self._fresh &= set(self._down)

    def _forget(self) -> None:
        self._taps, self._fresh, self._motions = [], set(), deque()
        self._excess = [0.0, 0.0]
        self._released_at = self._lean_since = None
        self._sampled_at = -float("inf")

    def _conflict(self, first: str, second: str) -> bool:
        """Whether two controls cannot show in one frame. Where the model takes one action at a time, none can."""
        return self._space.conflict(first, second)

    def _place_taps(self, row: list[_Frame]) -> None:
        """Plays taps back from the first frame on, in their order and length; conflicting ones one after another."""
        taps, self._taps = self._taps, []
        first = min((tap.start for tap in taps), default=0.0)
        for tap in taps:
            begin = min(int((tap.start - first) * self._fps), len(row) - 1)
            length = max(1, round((tap.end - tap.start) * self._fps))
            free = [i for i in range(begin, len(row)) if not any(self._conflict(tap.control, t) for t in row[i].taps)]
            free = free[:length]
            if not free:  # a block of one frame can show one of two conflicting taps: the other comes next
                if not any(later.control == tap.control for later in self._taps):
                    self._taps.append(tap)
                continue
            row[free[0]].note(tap.start)
            for i in free:
                if tap.control not in row[i].taps:
                    row[i].taps.append(tap.control)

    def _place_held(self, row: list[_Frame]) -> None:
        """Keys held now count for every frame that no tap of an opposite key has taken."""
        moments = [self._down[name] for name in self._fresh]
        if self._released_at is not None:
            moments.append(self._released_at)
        self._released_at = None
        if self._lean_since is not None:
            moments.append(self._lean_since)
        self._lean_since = None
        if moments:
            row[0].note(min(moments))
        for frame in row:
            frame.held = [name for name in self._down if self._space.opposite(name) not in frame.taps]
            self._fresh.difference_update(frame.held)

    def _place_motion(self, row: list[_Frame], now: float) -> None:
        """Lays the motion since the last block over its frames as it happened, from the first frame on.

        Where the mouse was still before, its motion starts with the first frame at once; where it goes on moving, it
        fills the block to the end, so that a steady hand turns the view steadily.
        """
        motions, self._motions = self._motions, deque()
        if not motions:
            return
        frame_time = 1.0 / self._fps
        oldest, newest = motions[0][0], motions[-1][0]
        began = max(self._sampled_at, now - len(row) * frame_time)
        if oldest - began > _STILL_FRAMES * frame_time:
            began = oldest
        going_on = now - newest <= _STILL_FRAMES * frame_time
        per_frame = (now - began) / len(row) if going_on else max(frame_time, (now - began) / len(row))
        for moment, pitch, yaw in motions:
            place = int((moment - began) / per_frame) if per_frame > 0 else 0
            frame = row[max(0, min(len(row) - 1, place))]
            frame.motion[0] += pitch
            frame.motion[1] += yaw
            frame.note(moment)

    def _finish(self, frame: _Frame) -> FrameControl:
        # Taps last: where the model takes one action at a time, the last key wins, and a held one has more frames.
        names = [name for name in frame.held if name not in frame.taps] + frame.taps
        names = [name for name in names if self._space.opposite(name) not in names]
        keys = tuple(name for name in names if name in self._space.keys)
        if not self._space.has_mouse:
            return FrameControl(keys, None, frame.since)
        looks = [LOOKS[name] for name in names if name in LOOKS]
        limit, step = self._space.mouse_limit, self._space.look
        held = [
            step * (sum(look[axis] for look in looks) + self._feel.stick_speed * self._lean[axis]) for axis in (0, 1)
        ]
        mouse = tuple(
            max(-limit, min(limit, self._with_excess(axis, frame.motion[axis]) + held[axis])) for axis in (0, 1)
        )
        return FrameControl(keys, (mouse[0] if self._space.has_pitch else 0.0, mouse[1]), frame.since)

    def _with_excess(self, axis: int, wanted: float) -> float:
        """What this frame may turn of what was wanted; the rest waits a short while, unless the hand turns back."""
        limit, left = self._space.mouse_limit, self._excess[axis]
        total = wanted if left * wanted < 0 else wanted + left
        turned = max(-limit, min(limit, total))
        most = limit * self._fps * _EXCESS_SECONDS
        left = max(-most, min(most, total - turned))
        self._excess[axis] = left if abs(left) > 1e-9 else 0.0  # no turning on by rounding errors
        return turned
