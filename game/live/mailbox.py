"""What lies between the window's thread and the inference thread: orders one way, pictures and words the other.

Everything here holds its lock for moments only, so neither thread ever waits for the other's work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.block import Block
from game.input.controls import FrameControl
from game.live.clock import Pacer
from game.live.playstats import LiveStats
from game.live.rewind import Rewind
from game.live.status import Picture, State, Status
from game.world.history import Moment


class Halt(Exception):
    """Leaves whatever the inference thread is doing because the program ends."""


@dataclass(frozen=True)
class Order:
    """Something to do between two blocks. fresh: it asks for a new world, which is made once all orders are obeyed."""

    call: Callable[[], None]
    fresh: bool = False


class Desk:
    """Shared by both threads. clock: seconds, monotonic. wake: called when the window should look again."""

    def __init__(self, pacer: Pacer, clock: Callable[[], float], wake: Callable[[], None], status: Status) -> None:
        self.pacer, self.clock = pacer, clock
        self.changed = threading.Condition()  # guards what follows, and wakes the inference thread
        self.current: Picture | None = None
        self.epoch = 0  # raised by whatever makes finished frames worthless
        self.left_stats: LiveStats | None = None  # of a world that was left while its block was in flight
        self.halting = False
        self.rewind: Rewind | None = None
        self.past: tuple[Moment, ...] = ()
        self.vram_mb: float | None = None
        self.steps = 0  # denoising steps of a block, as it is made now
        self._status = status
        self._wake = wake
        self._orders: deque[Order] = deque()
        self._finished: deque[Picture] = deque()

    @property
    def status(self) -> Status:
        return self._status

    # -- the window's side -------------------------------------------------------------------------------------------

    def look(self, now: float) -> Picture | None:
        """The picture that is due now; the one before if nothing newer is, None before there is any."""
        with self.changed:
            if self.rewind is not None:
                self.current = self.rewind.picture(now)
                return self.current
            number = self.pacer.advance(now)
            while self._finished and number is not None and self._finished[0].number <= number:
                self.current = self._finished.popleft()
                self.changed.notify_all()
            return self.current

    def next_change(self, now: float) -> float | None:
        """When `look` will have something new, as far as is known."""
        with self.changed:
            return self.pacer.next_change(now) if self.rewind is None else self.rewind.next_change(now)

    def order(self, call: Callable[[], None], *, cut: bool = False, fresh: bool = False) -> None:
        """Has something done between two blocks. cut: finished frames, and the block in flight, are thrown away.

        fresh: see Order; the figures of the world that is left are kept for its recording.
        """
        with self.changed:
            if fresh:
                self.left_stats = self.left_stats or self.pacer.live_stats()
                self.pacer.restart()
            if cut or fresh:
                self.rewind = None
                self.drop_frames()
            self._orders.append(Order(call, fresh))
            self.changed.notify_all()

    def drop_frames(self) -> None:
        """Throws finished frames away, and the block in flight; for a holder of the lock."""
        self.epoch += 1
        self._finished.clear()
        self.pacer.cut()

    def halt(self) -> None:
        """Has the inference thread end after what it is doing."""
        with self.changed:
            self.halting = True
            self.changed.notify_all()

    # -- the inference thread's side ---------------------------------------------------------------------------------

    def wait(self) -> int | list[Order]:
        """Sleeps until there are orders, which it returns, or the next block should start: then the epoch it is of."""
        with self.changed:
            while True:
                self.check()
                if self._orders:
                    return self._take()
                start, now = None if self.rewind is not None else self.pacer.start_at(), self.clock()
                if start is not None and start <= now:
                    return self.epoch
                self.changed.wait(None if start is None else start - now)

    def wait_for_orders(self) -> list[Order]:
        """Sleeps until there are orders."""
        with self.changed:
            while not self._orders:
                self.check()
                self.changed.wait()
            self.check()
            return self._take()

    def check(self) -> None:
        """Raises Halt if the program ends."""
        if self.halting:
            raise Halt

    @property
    def fresh_ordered(self) -> bool:
        """Whether somebody wants another world by now."""
        return any(order.fresh for order in tuple(self._orders))

    def deliver(
        self, block: Block, controls: Sequence[FrameControl], moment: Moment, seconds: float | None, epoch: int
    ) -> bool:
        """Hands a finished block out, unless it has become worthless: then it returns False.

        controls: what each frame was told. moment: after the block. seconds: as Pacer.deliver's step.
        """
        with self.changed:
            if epoch != self.epoch:
                return False
            first = self.pacer.deliver(len(block.frames), self.clock(), seconds)
            for i, (pixels, told) in enumerate(zip(block.frames, controls, strict=True)):
                place = -1 if seconds is None else i  # a held picture is the moment's last
                self._finished.append(Picture(pixels, first + i, told, place=place, moment=moment))
        self._wake()
        return True

    def show(self, picture: Picture) -> None:
        """Puts a picture on the window at once."""
        with self.changed:
            self.current = picture
        self._wake()

    def arrive(self, picture: Picture, epoch: int) -> None:
        """Shows where play goes on from, unless another place has been asked for since `epoch`."""
        with self.changed:
            if epoch == self.epoch:
                self.drop_frames()
                self.current = picture
        self._wake()

    def progress(self, words: str, share: float) -> None:
        """What is being done and how far it is: instead of play, or beside it where there is play."""
        if self.status.state is State.PLAYING:
            self.tell(beside=words)
        else:
            self.tell(words=words, progress=share)

    def tell(self, **changes: Any) -> None:
        """Changes the status; nothing happens if it is that already."""
        with self.changed:
            status = replace(self._status, **changes)
            if status == self._status:
                return
            self._status = status
        self._wake()

    def notice(self, words: str, **changes: Any) -> None:
        """A passing remark, and changes of the status that come with it."""
        with self.changed:
            self._status = replace(self._status, notice=words, notices=self._status.notices + 1, **changes)
        self._wake()

    def _take(self) -> list[Order]:
        orders, self._orders = list(self._orders), deque()
        return orders
