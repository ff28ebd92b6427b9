"""When a video frame is due, when the next block must start, and how well both went: pure, no window, no engine.

Three parts, joined by `Pacer`. `PlayClock` says which frame is due. `BlockTimes` remembers how long blocks take and so
how late one may start, and how fast the machine can play at all. `PlayStats` keeps the numbers a person wants to see.
Times are seconds of one monotonic clock, handed in by the caller; nothing here reads a clock. Nothing here has a lock
either: the mailbox owns the one pacer there is, and guards it (game/live/mailbox.py).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from game.recording.format import percentiles

_ON_TIME = 0.001  # s: what arrives within this of its due moment is on time
_HAIR = 1e-6  # frames: absorbs rounding where a frame is asked for at exactly its due moment
_FULL_SPEED = 0.97  # at and above this the play clock counts as undisturbed
_SLOWEST = 0.02
_ASLEEP = 5.0  # s
_HEADROOM = 1.1  # times the rate: so fast must blocks be before a lowered pace is taken back
_TRUST, _MOST_TRUST = 6.0, 120.0  # s that they must have been; doubled each time, since it may have been wrong
_STRANGE = 1.5  # times what the slowest of the recent blocks took to their first pictures
_HANDOVER = 0.005  # s: on a machine at its limit the next block need not wait for the window to draw


class PlayClock:
    """Says which video frame is due: frame k at t0 + k / (fps x speed), where t0 moves only when it must.

    It moves when the clock was paused, when a frame was late (the clock waits for it and goes on from there) and when
    the window could not draw for more than a frame. So every frame is shown, in order, none for less than its time.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.speed = 1.0
        self.end = 0  # frames finished, that is the number of the first frame that is not
        self.shown = -1  # number of the newest frame the window was told to show
        self.late_frames = 0
        self.undrawn_frames = 0  # of the late ones, those that only the window was late for
        self._anchor: tuple[float, float] | None = None  # (position in frames, moment) the line goes through
        self._paused_at: float | None = None  # position while paused
        self._still = False  # the newest frame stays on the window until the next is there

    @property
    def paused(self) -> bool:
        return self._paused_at is not None

    def position(self, now: float) -> float:
        """Where the clock stands, in frames from frame 0; it waits at `end` for a frame that is not there."""
        if self._paused_at is not None:
            return self._paused_at
        return min(self._raw(now), float(self.end))

    def due(self, frame: int) -> float:
        """The moment frame number `frame` is due, were the clock not paused. Needs a first frame to count from."""
        if self._anchor is None:
            raise ValueError("no frame has been delivered yet")
        at, moment = self._anchor
        return moment + (frame - at) / (self.fps * self.speed)

    def pause(self, now: float) -> None:
        """Stops the clock between two instants; nothing is rounded."""
        if self._paused_at is None:
            self._count_wait(now)
            self._paused_at = self.position(now)

    def resume(self, now: float) -> None:
        """Goes on from the very position where `pause` stopped."""
        if self._paused_at is not None:
            at, self._paused_at = self._paused_at, None
            if self._anchor is not None:
                self._anchor = (at, now)

    def set_speed(self, speed: float, now: float) -> None:
        """Changes the clock's rate from `now` on, without a jump. speed: 1 is the model's own rate."""
        if self._anchor is not None and not self.paused:
            self._anchor = (self._raw(now), now)
        self.speed = speed

    def stand_still(self) -> None:
        """The newest frame stays until the next one is delivered: however long that takes, it is not late."""
        self._still = True

    def deliver(self, frames: int, now: float, hold: float = 0.0) -> float:
        """Adds finished frames and returns by how many seconds they came before they had to (< 0: late).

        hold: seconds before which they must not be due, since those that follow them would be late.
        """
        if self._anchor is None:
            self._anchor = (0.0, now + hold)
            spare = 0.0
        elif self.paused:
            spare = 0.0
        else:
            there = self.due(self.end) - now
            spare = there - hold
            if spare < -_ON_TIME:
                self._count_wait(now + hold)
                # Behind all that is shown: after a sleep of the machine there may be frames that nobody drew.
                frame = self.end if there > 0 else min(self.end, self.shown + 1)
                self._anchor = (float(frame), now + hold)
                spare = 0.0 if self._still else spare
        self._still = False
        self.end += frames
        return spare

    def advance(self, now: float) -> int | None:
        """The number of the frame to show now, None before the first; never more than one on from the last call.

        A window that was away for longer gets the frames it missed one after another, each for its full time.
        """
        if self.end == 0:
            return None
        frame = min(math.floor(self.position(now) + _HAIR), self.end - 1)
        if frame > self.shown + 1 or (frame > self.shown and self._overdue(frame, now)):
            frame = self.shown + 1
            self.late_frames += 1
            self.undrawn_frames += 1
            if self.paused:
                self._paused_at = float(frame)
            else:
                self._anchor = (float(frame), now)
        self.shown = max(self.shown, frame)
        return self.shown

    def next_change(self, now: float) -> float | None:
        """The moment the next finished frame is due; None if there is none, or the clock stands."""
        if self.paused or self.shown + 1 >= self.end or self._anchor is None:
            return None
        return self.due(self.shown + 1)

    def _overdue(self, frame: int, now: float) -> bool:
        """Whether a frame that is there could have been on the window for its whole time by now."""
        return not self.paused and now - self.due(frame) > 1.0 / (self.fps * self.speed)

    def _raw(self, now: float) -> float:
        if self._anchor is None:
            return 0.0
        at, moment = self._anchor
        return at + (now - moment) * self.fps * self.speed

    def _count_wait(self, now: float) -> None:
        if self._anchor is not None and not self._still and now - self.due(self.end) > _ON_TIME:
            self.late_frames += 1


Parts: TypeAlias = "Sequence[tuple[int, float]]"
"""A block as it was finished: number of a part's first frame in the block, and seconds from the block's start to it."""


class BlockTimes:
    """How long blocks took, hence how early the next must start and how fast this machine can play.

    margin: seconds of slack asked for on top of the block time. What came too late raises the slack, what came in
    time lets it sink slowly, so that a noisy machine is late seldom and a quiet one pays nothing for it.
    """

    def __init__(self, margin: float = 0.012) -> None:
        self.margin = margin
        self.steps: deque[float] = deque(maxlen=64)
        self._needs: deque[float] = deque(maxlen=64)  # how long before their frames were due they had to start
        self._known: deque[tuple[float, ...]] = deque(maxlen=8)  # when their parts were there
        self._doubtful = False  # the newest block was strange
        self._cycles: deque[float] = deque(maxlen=16)  # step and context pass: what bounds the rate
        self._caution = 0.0
        self._blocks = 0

    def add(self, step: float, period: float, spare: float, parts: Parts = (), frames: int = 1) -> None:
        """Counts a finished block. step: its seconds; period: seconds it plays; spare: as PlayClock.deliver returns.

        parts: where its pictures were finished one after another, when. frames: of the block. One that took many times
        what the others did is left out: the machine was asleep, which says nothing of it.
        """
        if self._blocks > 2 and step > max(_ASLEEP, 20.0 * max(self.steps)):
            return
        if spare < -_ON_TIME:
            self._caution = min(self._caution - 1.25 * spare, period / 2)
        else:
            self._caution *= 0.995
        if self._blocks == 1:
            self.steps.clear()  # the first block allocates and warms up: it says nothing about the ones to come
            self._needs.clear()
        self.steps.append(step)
        # What comes later in the block is due later, too.
        self._needs.append(max(seconds - first * period / frames for first, seconds in parts) if parts else step)
        if self._blocks and len(parts) > 1:
            self._learn(tuple(seconds for _, seconds in parts))
        self._blocks += 1

    def add_cycle(self, seconds: float) -> None:
        """Counts the time from a block's start to when the next could start (frames made and context committed)."""
        if self._blocks > 1:
            self._cycles.append(seconds)

    def head_start(self) -> float:
        """Seconds before the frames run out at which the next block must start (infinite before the first block)."""
        if not self.steps:
            return math.inf
        times = sorted(self._needs if self._known else self.steps)
        high = times[min(len(times) - 1, int(0.95 * len(times)))]
        return high + self.margin + self._caution

    def hold(self, seconds: float, first: int, frames: int, frame_s: float) -> float | None:
        """Seconds that the first pictures of a block must wait if those that follow are to be in time.

        seconds: since the block's start. first: how many they are, of `frames`. frame_s: seconds that a frame is shown.
        None: nobody knows, as before the third block, or when the machine is not what it was a moment ago.
        """
        if not self._known or self._is_strange(seconds):
            return None
        most = 0.0
        for begun, *further in self._known:
            each = (frames - first) / len(further)
            most = max(most, *(time - begun - (first + i * each) * frame_s for i, time in enumerate(further)))
        return most

    def _learn(self, times: tuple[float, ...]) -> None:
        """Notes when a block's parts were there; one strange block says nothing, two are what is usual from now on."""
        strange, self._doubtful = self._is_strange(times[0]) and not self._doubtful, self._is_strange(times[0])
        if strange:
            return
        if self._doubtful:
            self._known.clear()
        self._known.append(times)

    def _is_strange(self, seconds: float) -> bool:
        """Whether first pictures came far later than those of the blocks before."""
        return bool(self._known) and seconds > _STRANGE * max(times[0] for times in self._known)

    def possible_speed(self, period: float) -> float:
        """The share of the model's rate this machine keeps up with, 0.02 to 1. period: seconds a block should play."""
        return max(_SLOWEST, min(1.0, self.headroom(period)))

    def headroom(self, period: float) -> float:
        """How many times its rate a block of `period` seconds could be played at here; 1 before that is known."""
        return period / (self.usual_cycle() * 1.02 + 0.001) if len(self._cycles) > 1 else 1.0

    def usual_cycle(self) -> float:
        """Seconds from one block's start to the next possible one, as five of six blocks need no more than."""
        if not self._cycles:
            return 0.0
        return sorted(self._cycles)[int(0.85 * (len(self._cycles) - 1))]


@dataclass(frozen=True)
class LiveStats:
    """How a live session went.

    latency_ms: p50 and p95 of control sampled -> first frame that shows it displayed, None if nothing was controlled.
    lookahead_ms: p50 and p95 of finished video not yet shown, taken each time a frame is put on the window.
    late_frames: frames that were not there (or not drawn) when they were due.
    """

    latency_ms: dict[str, float] | None
    late_frames: int
    lookahead_ms: dict[str, float]

    def to_report(self) -> dict:
        """The fields as report.json names them."""
        return {
            "latency_ms": self.latency_ms or {"p50": None, "p95": None},
            "late_frames": self.late_frames,
            "lookahead_ms": self.lookahead_ms,
        }


class PlayStats:
    """What a person may want to know of a session: recent numbers for the HUD, all of it for the report."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=20_000)
        self._lookaheads: deque[float] = deque(maxlen=20_000)
        self._shown_at: deque[float] = deque(maxlen=240)

    def displayed(self, now: float, lookahead_ms: float, latency_ms: float | None) -> None:
        """Counts one frame put on the window for the first time. latency_ms: None if it shows no new control."""
        self._shown_at.append(now)
        self._lookaheads.append(lookahead_ms)
        if latency_ms is not None:
            self._latencies.append(latency_ms)

    def shown_fps(self, now: float, window: float = 2.0) -> float:
        """New frames per second shown over the last `window` seconds."""
        recent = [moment for moment in self._shown_at if now - moment <= window]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 2 else 0.0

    def latency(self, last: int | None = None) -> dict[str, float] | None:
        """p50 and p95 in ms of the `last` samples (None: all); None if there are none."""
        values = list(self._latencies)[-last:] if last else list(self._latencies)
        return percentiles(values) if values else None

    def lookahead(self, last: int | None = None) -> dict[str, float]:
        """p50 and p95 in ms, as `latency`; zeros if there are none."""
        return percentiles(list(self._lookaheads)[-last:] if last else list(self._lookaheads))


@dataclass(frozen=True)
class PaceReport:
    """One moment's numbers for the HUD; times in ms.

    pace: share of the model's rate that the clock was asked to keep to; speed: the share it runs at now; possible: the
    share that this machine keeps up with, which the speed sinks to slowly. recent_ms:
    what the newest blocks took, oldest first, each against `deadline_ms` (at the speed of now: `deadline_ms / speed`).
    late_frames: not there, or not drawn, when they were due; of these undrawn_frames were there, and the window was
    late.
    """

    fps: float
    shown_fps: float
    speed: float
    block_ms: dict[str, float]
    deadline_ms: float
    spare_ms: float
    latency_ms: dict[str, float] | None
    lookahead_ms: dict[str, float]
    late_frames: int
    slow_words: str
    recent_ms: tuple[float, ...] = ()
    undrawn_frames: int = 0
    pace: float = 1.0
    possible: float = 1.0


class Pacer:
    """Play clock, block times and statistics of one rollout. Not thread-safe: the mailbox guards it.

    fps: the model's video frames a second. margin: seconds, see BlockTimes. A new rollout of the same model calls
    `restart`, which keeps what was learned about the machine; a new model calls `begin_model`.
    """

    def __init__(self, fps: float = 20.0, margin: float = 0.012) -> None:
        self._margin = margin
        self._times = BlockTimes(margin)
        self._clock = PlayClock(fps)
        self._stats = PlayStats()
        self._block_frames = 1
        self._spare = 0.0
        self._parts: list[tuple[int, float]] = []  # of the block in flight: what is finished, as in `Parts`
        self._finished = 0  # its frames that are finished
        self._handed = 0  # and those of them that the clock has
        self._pace = 1.0
        self._able_since: float | None = None  # with the pace lowered: since when full speed would have been kept
        self._trust = _TRUST
        self._blocks: deque[float] = deque(maxlen=128)
        self._resumed_at = -math.inf

    # -- the window's side ------------------------------------------------------------------------------------------

    def advance(self, now: float) -> int | None:
        """The frame to show now, see PlayClock.advance."""
        return self._clock.advance(now)

    def next_change(self, now: float) -> float | None:
        """When the window must draw again, see PlayClock.next_change."""
        return self._clock.next_change(now)

    def displayed(self, frame: int, since: float | None, now: float) -> None:
        """Notes that `frame` is on the window since `now`. since: when the oldest control it is first to show came.

        A control from before a pause measures the pause, not the machine, and is left out.
        """
        ahead = (self._clock.end - 1 - frame) * 1000.0 / self._clock.fps
        latency = None
        if since is not None and since > self._resumed_at and not self._clock.paused:
            latency = (now - since) * 1000.0
        self._stats.displayed(now, ahead, latency)

    def pause(self, now: float) -> None:
        """Stops the play clock at once."""
        self._clock.pause(now)

    def resume(self, now: float) -> None:
        """Goes on exactly where `pause` stopped."""
        if self._clock.paused:
            self._resumed_at = now
        self._clock.resume(now)

    @property
    def paused(self) -> bool:
        return self._clock.paused

    @property
    def fps(self) -> float:
        """The model's video frames a second."""
        return self._clock.fps

    # -- the inference thread's side --------------------------------------------------------------------------------

    def begin_model(self, fps: float) -> None:
        """Forgets all but a pause: another model will be played. fps: its video frames a second."""
        self._times, self._pace, self._able_since = BlockTimes(self._margin), 1.0, None
        self._block_frames, self._spare = 1, 0.0
        self._blocks.clear()
        self._new_clock(fps, speed=1.0)
        self._stats = PlayStats()

    def restart(self) -> None:
        """Forgets all frames and figures for a new rollout. A pause stays."""
        self._new_clock(self.fps, self._clock.speed)
        self._stats = PlayStats()

    def cut(self) -> None:
        """Forgets all frames, as after a rewind; the figures stay, and so does a pause."""
        late, undrawn = self._clock.late_frames, self._clock.undrawn_frames
        self._new_clock(self.fps, self._clock.speed)
        self._clock.late_frames, self._clock.undrawn_frames = late, undrawn

    def stand_still(self) -> None:
        """The world begins anew from its newest frame, which stays until the next is there, see PlayClock."""
        self._clock.stand_still()

    def new_figures(self) -> None:
        """Counts anew from here: a recording begins."""
        self._clock.late_frames = self._clock.undrawn_frames = 0
        self._stats = PlayStats()

    @property
    def head_start(self) -> float:
        """Seconds before the frames run out at which the next block must start."""
        return self._times.head_start()

    @property
    def pace(self) -> float:
        """Share of the model's rate that the clock is to keep to."""
        return self._pace

    def set_pace(self, share: float, now: float) -> None:
        """Has the clock keep to a share of the model's rate, 0.02 to 1, however fast the machine is."""
        self._pace, self._able_since = max(_SLOWEST, min(1.0, share)), None
        if self._clock.speed > self._pace:
            self._clock.set_speed(self._pace, now)

    def start_at(self) -> float | None:
        """The moment the next block should start; -inf: at once; None: not before a frame is shown or play goes on.

        As late as it may, so that it sees the freshest controls, and never more than one block ahead: the first frame
        of the block before must be due, give or take the moment between two threads.
        """
        clock = self._clock
        if clock.paused:
            return None
        if clock.end == 0:
            return -math.inf
        if clock.shown < clock.end - 2 * self._block_frames:  # the window hangs: don't work ahead of it
            return None
        earliest = clock.due(clock.end - self._block_frames) - _HANDOVER
        return max(earliest, clock.due(clock.end) - self._times.head_start())

    def hand_over(self, frames: int, whole: int, now: float, seconds: float) -> int | None:
        """Adds the next finished frames of the block in flight, and returns the number of the first.

        frames: how many, of `whole`. seconds: since the block's controls were taken. None: they are to wait for the
        rest, since it is not known how long that takes.
        """
        self._parts.append((self._finished, seconds))
        self._finished += frames
        hold: float | None = 0.0
        if len(self._parts) == 1:
            hold = self._times.hold(seconds, frames, whole, 1.0 / (self._clock.fps * self._clock.speed))
        elif not self._handed:
            hold = None
        if hold is None:
            return None
        first = self._clock.end
        spare = self._clock.deliver(frames, now, hold)
        self._spare = min(self._spare, spare) if self._handed else spare
        self._block_frames = whole
        self._handed += frames
        return first

    def deliver(self, frames: int, now: float, step: float | None) -> int:
        """Adds a finished block, or what was not handed over of it; returns the number of the block's first frame.

        frames: of the block; step: seconds from taking its controls to having all its frames, None if no engine made
        them.
        """
        parts, finished, handed = self._parts, self._finished, self._handed
        self._forget_parts()
        first = self._clock.end - handed
        spare = self._clock.deliver(frames - handed, now)
        self._spare = min(self._spare, spare) if handed else spare
        self._block_frames = frames
        if step is not None:
            self._blocks.append(1000.0 * step)
            parts = [*parts, (finished, step)] if parts else []
            self._times.add(step, frames / self._clock.fps, self._spare, parts, frames)
        return first

    def settled(self, cycle: float, now: float) -> None:
        """Ends a block. cycle: seconds from its start to now, context pass and all. Adjusts the clock's speed.

        A pace that was lowered is taken back, see `pace`, when the machine would have kept full speed for some seconds.
        """
        self._times.add_cycle(cycle)
        period = self._block_frames / self._clock.fps
        self._regain(period, now)
        goal = min(self._pace, self._times.possible_speed(period))
        share = 1.0 - math.exp(-max(period, cycle))  # about a second's time constant, whatever the block's length
        speed = self._clock.speed + (goal - self._clock.speed) * share
        if goal == self._pace and speed > 0.99 * self._pace:
            speed = self._pace
        if speed != self._clock.speed:
            self._clock.set_speed(speed, now)

    def _regain(self, period: float, now: float) -> None:
        """Takes a lowered pace back once full speed would have been kept for a while: longer each time."""
        if self._pace >= 1.0 or self._times.headroom(period) < _HEADROOM:
            self._able_since = None
        elif self._able_since is None:
            self._able_since = now
        elif now - self._able_since >= self._trust:
            self._pace, self._able_since = 1.0, None
            self._trust = min(_MOST_TRUST, 2.0 * self._trust)

    def _forget_parts(self) -> None:
        self._parts, self._finished, self._handed = [], 0, 0

    def _new_clock(self, fps: float, speed: float) -> None:
        self._forget_parts()
        clock = PlayClock(fps)
        clock.speed = speed
        if self._clock.paused:
            clock.pause(0.0)
        self._clock = clock

    # -- numbers ----------------------------------------------------------------------------------------------------

    def report(self, now: float) -> PaceReport:
        """The numbers of this moment, of about the last ten seconds where they are percentiles."""
        clock, frames = self._clock, self._block_frames
        return PaceReport(
            fps=clock.fps,
            shown_fps=self._stats.shown_fps(now),
            speed=clock.speed,
            block_ms=percentiles([1000.0 * step for step in self._times.steps]),
            deadline_ms=1000.0 * frames / clock.fps,
            spare_ms=1000.0 * self._spare,
            latency_ms=self._stats.latency(last=200),
            lookahead_ms=self._stats.lookahead(last=200),
            late_frames=clock.late_frames,
            undrawn_frames=clock.undrawn_frames,
            pace=self._pace,
            possible=self._times.possible_speed(frames / clock.fps),
            slow_words=self.slow_words(),
            recent_ms=tuple(self._blocks),
        )

    def slow_words(self) -> str:
        """What a person should know when the machine is too slow for the model's rate; "" if it isn't."""
        clock = self._clock
        if clock.speed >= _FULL_SPEED * self._pace:
            return ""
        needs, has = self._times.usual_cycle() * 1000.0, 1000.0 * self._block_frames / clock.fps
        what = "frame" if self._block_frames == 1 else f"block of {self._block_frames} frames"
        return f"Playing at {clock.speed:.0%} speed: a {what} takes {needs:.0f} ms here, {has:.0f} ms would be in time"

    def live_stats(self) -> LiveStats:
        """The whole session's figures for the report."""
        return LiveStats(self._stats.latency(), self._clock.late_frames, self._stats.lookahead())
