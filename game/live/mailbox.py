"""What lies between a client's thread and the engine's: orders one way, pictures and words the other.

The mailbox is all that the two threads share, and its lock the only one between them; it is held for moments, so that
neither thread ever waits for the other's work. It owns the play clock and its figures, the finished pictures, the
orders and the rewind that is going on. Nothing of the engine lies in it: pictures, actions, figures, and numbers that
name moments.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from engine.actions import Actions
from engine.block import Block
from game.input.controls import FrameControl
from game.live.clock import LiveStats, Pacer, PaceReport
from game.live.status import Habits, MomentId, Picture, State, Status
from game.world.history import Passage

REWIND_SPEED = 2.0  # times the model's rate


class Halt(Exception):
    """Leaves whatever the engine's thread is doing because the program ends."""


@dataclass(frozen=True)
class Order:
    """Something to do between two blocks. fresh: it asks for a new world, which is made once all orders are obeyed;
    model: and for another model."""

    call: Callable[[], None]
    fresh: bool = False
    model: bool = False


def control_of(actions: Actions | None, frame: int) -> FrameControl:
    """What the model was told for one picture of a passage; nothing at a start."""
    if actions is None:
        return FrameControl((), None)
    action = actions[frame]
    return FrameControl(action.keys, action.mouse)


class Rewind:
    """Pictures run backwards while a key is held: which one is due, and where play goes on when it is let go. Pure.

    Args:
        past: oldest first, at least one; the last is where it begins.
        fps: the model's video frames a second.
        began: s, when the key went down.
        skip: newest pictures that were not on the window yet when it did.
        unfinished: the newest passage's block was still being made: there is no going on from its end.
    """

    def __init__(
        self, past: Sequence[Passage], fps: float, began: float, skip: int = 0, unfinished: bool = False
    ) -> None:
        self._past, self._fps, self._began, self._skip = tuple(past), fps, began, skip
        self._unfinished = unfinished
        # Of the oldest passage only its last picture can be gone back to: what led there is forgotten.
        self._ends = list(accumulate(1 if i == 0 else len(p.pictures) for i, p in enumerate(past)))
        self._shown: tuple[int, Picture] | None = None

    def picture(self, now: float) -> Picture:
        """What is due at `now`; the same object as long as it is the same picture."""
        back = self._back(now)
        if self._shown is None or self._shown[0] != back:
            passage, frame = self._place(back)
            told, pixels = control_of(passage.actions, frame), passage.pictures[frame]
            behind = (back - self._skip) / self._fps
            self._shown = back, Picture(pixels, control=told, behind_s=behind, moment=passage.id)
        return self._shown[1]

    def next_change(self, now: float) -> float | None:
        """When the next picture is due; None at the end of the past."""
        back = self._back(now)
        if back >= self._ends[-1] - 1:
            return None
        return self._began + (back + 1 - self._skip) / (REWIND_SPEED * self._fps)

    def target(self, now: float) -> int:
        """Number of the passage to go on from: the newest whose block has not been run back into."""
        passage, frame = self._place(self._back(now))
        index = self._past.index(passage)
        ended = frame == len(passage.pictures) - 1 and not (self._unfinished and index == len(self._past) - 1)
        return index if ended else max(0, index - 1)

    def until(self, index: int) -> tuple[Passage, ...]:
        """The past up to a passage, and with it."""
        return self._past[: index + 1]

    def _back(self, now: float) -> int:
        gone = max(0, int((now - self._began) * REWIND_SPEED * self._fps + 1e-6))
        return min(self._ends[-1] - 1, self._skip + gone)

    def _place(self, back: int) -> tuple[Passage, int]:
        """The passage, and the number among its pictures, of the picture so many before the newest."""
        place = self._ends[-1] - 1 - back
        index = bisect_right(self._ends, place)
        passage = self._past[index]
        return passage, len(passage.pictures) - (self._ends[index] - place)


@dataclass
class _Newest:
    """The block that pictures were handed out of last. parts: those pictures, as they were handed out. whole: all of
    them are; until then the block is in flight."""

    id: MomentId
    actions: Actions
    parts: list[np.ndarray]
    whole: bool = False

    @property
    def frames(self) -> int:
        return sum(len(part) for part in self.parts)

    def passage(self) -> Passage:
        """As the past will have it, up to the pictures that are still to come."""
        return Passage(self.id, np.concatenate(self.parts), self.actions)


class Mailbox:
    """Shared by both threads.

    pacer: its own from here on. clock: seconds, monotonic. wake: called when the client should look again.
    """

    def __init__(
        self,
        pacer: Pacer,
        clock: Callable[[], float],
        wake: Callable[[], None],
        status: Status,
        habits: Habits,
    ) -> None:
        self.clock = clock
        self._pacer, self._wake = pacer, wake
        self._changed = threading.Condition()  # guards all that follows, and wakes the engine's thread
        self._status, self._habits = status, habits
        self._halting = False
        self._orders: deque[Order] = deque()
        self._epoch = 0  # raised by whatever makes finished frames worthless
        self._current: Picture | None = None
        self._finished: deque[Picture] = deque()
        self._newest: _Newest | None = None
        self._past: tuple[Passage, ...] = ()
        self._rewind: Rewind | None = None
        self._left_stats: LiveStats | None = None  # of a world that was left while its block was in flight

    @property
    def status(self) -> Status:
        """What was told last; immutable, so that it may be read without the lock."""
        return self._status

    @property
    def habits(self) -> Habits:
        """How worlds are played; immutable, too."""
        return self._habits

    # -- the client's side -------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether the play clock stands."""
        with self._changed:
            return self._pacer.paused

    @property
    def fps(self) -> float:
        """The model's video frames a second."""
        with self._changed:
            return self._pacer.fps

    @property
    def current(self) -> Picture | None:
        """What the client was given last."""
        return self._current

    def look(self, now: float) -> Picture | None:
        """The picture that is due now; the one before if nothing newer is, None before there is any."""
        with self._changed:
            if self._rewind is not None:
                self._current = self._rewind.picture(now)
                return self._current
            number = self._pacer.advance(now)
            shown = len(self._finished)
            while self._finished and number is not None and self._number(self._finished[0]) <= number:
                self._current = self._finished.popleft()
            if len(self._finished) < shown:
                self._changed.notify_all()
            return self._current

    def next_change(self, now: float) -> float | None:
        """When `look` will have something new, as far as is known."""
        with self._changed:
            return self._pacer.next_change(now) if self._rewind is None else self._rewind.next_change(now)

    def shown(self, picture: Picture, now: float) -> None:
        """Notes that a picture is before a person's eyes since `now`."""
        if picture.number is None:
            return
        with self._changed:
            self._pacer.displayed(picture.number, picture.control.since, now)

    def pause(self, now: float) -> None:
        """Stops the play clock at once."""
        with self._changed:
            self._pacer.pause(now)

    def resume(self, now: float) -> None:
        """Has it go on exactly where it stopped."""
        with self._changed:
            self._pacer.resume(now)
            self._changed.notify_all()

    def set_pace(self, share: float) -> None:
        """Has the play clock keep to a share of the model's rate."""
        with self._changed:
            self._pacer.set_pace(share, self.clock())
        self.tell(pace=self.pace)

    def set_habits(self, **changes: Any) -> None:
        """Changes how worlds are played, from the next block on."""
        with self._changed:
            self._habits = replace(self._habits, **changes)

    def report(self, now: float) -> PaceReport:
        """The play clock's figures of this moment."""
        with self._changed:
            return self._pacer.report(now)

    def begin_rewind(self, now: float) -> None:
        """Begins to run the pictures backwards; nothing happens while it is unknown where play goes on from."""
        with self._changed:
            if self._status.state is not State.PLAYING or self._rewind is not None or not self._past:
                return
            shown, past, skip, newest, unfinished = self._current, self._past, 0, self._newest, False
            place = None if shown is None else _find(past, shown.moment)
            if shown is not None and place is None and newest is not None and newest.id == shown.moment:
                past, place, unfinished = (*past, newest.passage()), len(past), not newest.whole
            if shown is not None and place is not None:
                past = past[: place + 1]
                skip = 0 if shown.place < 0 else len(past[place].pictures) - 1 - shown.place
            self._drop_frames()
            self._rewind = Rewind(past, self._pacer.fps, now, skip, unfinished)
        self.tell(rewinding=True)

    def end_rewind(self, now: float) -> MomentId | None:
        """Ends it and returns the moment that play is to go on from, None if nothing was being rewound."""
        with self._changed:
            if self._rewind is None:
                return None
            # A second rewind may begin before the engine has gone there: as far as it will be.
            self._past = self._rewind.until(self._rewind.target(now))
            self._rewind = None
            target = self._past[-1]
            self._current = Picture(target.pictures[-1], moment=target.id)
            return target.id

    def order(
        self,
        call: Callable[[], None],
        *,
        cut: bool = False,
        fresh: bool = False,
        model: bool = False,
        elsewhere: bool = True,
    ) -> None:
        """Has something done between two blocks.

        cut: finished frames, and the block in flight, are thrown away. fresh, model: see Order; the figures of the
        world that is left are kept for its recording. elsewhere: with either of them, where play goes on from is known
        only when the order has been obeyed.
        """
        with self._changed:
            if fresh:
                self._left_stats = self._left_stats or self._pacer.live_stats()
                self._pacer.restart()
            if cut or fresh:
                self._rewind = None
                self._past = () if elsewhere else self._past
                self._drop_frames()
            self._orders.append(Order(call, fresh, model))
            self._changed.notify_all()
        if cut or fresh:
            self.tell(rewinding=False)

    def halt(self) -> None:
        """Has the engine's thread end after what it is doing."""
        with self._changed:
            self._halting = True
            self._changed.notify_all()

    # -- the engine thread's side ------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Number of the present stretch of play: a block is worthless if it was begun in another."""
        return self._epoch

    @property
    def pace(self) -> float:
        """Share of the model's rate that the play clock is to keep to."""
        with self._changed:
            return self._pacer.pace

    def due(self) -> int | None:
        """The epoch that the next block is of, if it should start now and nothing else is asked for; else None."""
        with self._changed:
            self.check()
            start = self._start_at()
            return self._epoch if not self._orders and start is not None and start <= self.clock() else None

    def sleep(self, blocks: bool = True) -> None:
        """Sleeps until there are orders, or the next block should start. blocks: False if none is to be made."""
        with self._changed:
            while not self._orders:
                self.check()
                start, now = self._start_at() if blocks else None, self.clock()
                if start is not None and start <= now:
                    return
                self._changed.wait(None if start is None else start - now)

    def _start_at(self) -> float | None:
        return None if self._rewind is not None else self._pacer.start_at()

    @property
    def model_ordered(self) -> bool:
        """Whether somebody wants another model by now."""
        with self._changed:
            return any(order.model for order in self._orders)

    @property
    def ordered(self) -> bool:
        """Whether something is asked for by now."""
        with self._changed:
            return bool(self._orders)

    def take(self) -> Order | None:
        """The oldest order, None if there is none."""
        with self._changed:
            self.check()
            return self._orders.popleft() if self._orders else None

    def check(self) -> None:
        """Raises Halt if the program ends."""
        if self._halting:
            raise Halt

    @property
    def fresh_ordered(self) -> bool:
        """Whether somebody wants another world by now."""
        with self._changed:
            return any(order.fresh for order in self._orders)

    def deliver(
        self, block: Block, controls: Sequence[FrameControl], moment: MomentId, seconds: float | None, epoch: int
    ) -> bool:
        """Hands out a finished block, or the rest of it. False: it has become worthless before anybody could see it.

        controls: what each frame was told. moment: after the block. seconds: as Pacer.deliver's step.
        """
        with self._changed:
            begun = self._newest if self._in_flight(moment) else None
            if epoch != self._epoch:
                return begun is not None
            handed = 0 if begun is None else begun.frames
            first = self._pacer.deliver(len(block.frames), self.clock(), seconds)
            for i, (pixels, told) in enumerate(zip(block.frames, controls, strict=True)):
                place = -1 if seconds is None else i  # a held picture is the moment's last
                if i >= handed:
                    self._finished.append(Picture(pixels, first + i, told, place=place, moment=moment))
            if seconds is not None:
                self._newest = _Newest(moment, block.actions, [block.frames], whole=True)
        self._wake()
        return True

    def hand_over(
        self,
        pictures: np.ndarray,
        actions: Actions,
        controls: Sequence[FrameControl],
        moment: MomentId,
        seconds: float,
        epoch: int,
    ) -> None:
        """Hands out the next finished pictures of the block in flight, if they can be shown while the rest is made.

        pictures: (F, H, W, 3) uint8 RGB. actions, controls, moment: of the whole block, as in `deliver`. seconds: since
        its controls were taken. epoch: that it was begun in; nothing happens if another has begun.
        """
        with self._changed:
            if epoch != self._epoch:
                return
            first = self._pacer.hand_over(len(pictures), len(controls), self.clock(), seconds)
            if first is None:
                return
            if self._newest is None or not self._in_flight(moment):
                self._newest = _Newest(moment, actions, [])
            place = self._newest.frames
            self._newest.parts.append(pictures)
            for i, pixels in enumerate(pictures):
                told = controls[place + i]
                self._finished.append(Picture(pixels, first + i, told, place=place + i, moment=moment))
        self._wake()

    def _in_flight(self, moment: MomentId) -> bool:
        """Whether some pictures of that block were handed out, and others are to come."""
        return self._newest is not None and self._newest.id == moment and not self._newest.whole

    def settled(self, cycle: float) -> None:
        """Ends a block, see Pacer.settled."""
        with self._changed:
            self._pacer.settled(cycle, self.clock())

    def tell_past(self, past: tuple[Passage, ...], epoch: int) -> None:
        """Says what can be rewound, unless another place has been asked for since `epoch`."""
        with self._changed:
            if epoch == self._epoch:
                self._past = past

    def show(self, picture: Picture) -> None:
        """Puts a picture before the client at once."""
        with self._changed:
            self._current = picture
        self._wake()

    def arrive(self, picture: Picture, past: tuple[Passage, ...], epoch: int) -> None:
        """Shows where play goes on from, and what can be rewound, unless another place was asked for since `epoch`."""
        with self._changed:
            if epoch == self._epoch:
                self._drop_frames()
                self._current, self._past = picture, past
        self._wake()

    def forget(self) -> None:
        """Throws away what there is of worlds that are gone; the newest picture stays, as a still of nothing."""
        with self._changed:
            self._drop_frames()
            self._past, self._rewind, self._newest = (), None, None
            if self._current is not None:
                self._current = replace(self._current, number=None, moment=None)

    def stand_still(self) -> None:
        """The world begins anew from its newest frame, see Pacer."""
        with self._changed:
            self._pacer.stand_still()

    def begin_model(self, fps: float) -> None:
        """Another model will be played from here on."""
        with self._changed:
            self._pacer.begin_model(fps)

    def new_figures(self) -> None:
        """Counts anew from here: a recording begins."""
        with self._changed:
            self._pacer.new_figures()

    def stats(self) -> LiveStats:
        """Figures of the world that is played, or of the one that is about to be left."""
        with self._changed:
            return self._left_stats or self._pacer.live_stats()

    def left(self) -> None:
        """The world that was about to be left has been."""
        with self._changed:
            self._left_stats = None

    def progress(self, words: str, share: float) -> None:
        """What is being done and how far it is: instead of play, or beside it where there is play."""
        if self.status.state is State.PLAYING:
            self.tell(beside=words)
        else:
            self.tell(words=words, progress=share)

    def tell(self, **changes: Any) -> None:
        """Changes the status; nothing happens if it is that already."""
        with self._changed:
            status = replace(self._status, **changes)
            if status == self._status:
                return
            self._status = status
        self._wake()

    def notice(self, words: str, **changes: Any) -> None:
        """A passing remark, and changes of the status that come with it."""
        with self._changed:
            self._status = replace(self._status, notice=words, notices=self._status.notices + 1, **changes)
        self._wake()

    def _drop_frames(self) -> None:
        """Throws finished frames away, and the block in flight; for a holder of the lock."""
        self._epoch += 1
        self._finished.clear()
        self._pacer.cut()

    @staticmethod
    def _number(picture: Picture) -> int:
        assert picture.number is not None
        return picture.number


def _find(past: Sequence[Passage], moment: MomentId | None) -> int | None:
    """Place of a moment in the past, looked for from its end."""
    return next((i for i in range(len(past) - 1, -1, -1) if past[i].id == moment), None)
