"""A player and whoever looks at it, on a clock that only the test moves: the same every time, on any machine.

No thread makes the blocks: the player's turns are done here, and a block takes the time that its world says. What is to
happen while one is in flight is done by the engine itself, in the middle of its step, which is what another thread's
doing it comes to.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from game.input.controls import Controls
from game.live.player import Habits, LocalPlayer, State
from tests.game.fakes import FakeModels, FakeScene, FakeWorld

TICK = 0.001  # s between two looks


class FakeClock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds


class Stage:
    """A player with its surroundings, and a window's loop in short: it looks until something has happened."""

    def __init__(
        self, world: FakeWorld, *, scenes=None, models=None, make_recorder=None, record=True, **others
    ) -> None:
        self.clock = self.make_clock()
        self.world, self.controls = world, Controls(world.mode, world.fps)
        self._in_flight: list[Callable[[], object]] = []
        if isinstance(world, FakeWorld) and world.sleep is time.sleep:
            world.sleep = self._work
        self.worker = LocalPlayer(
            models or FakeModels(fake=lambda progress: world),
            scenes or [FakeScene("hall"), FakeScene("court")],
            self.controls,
            make_recorder=make_recorder,
            clock=self.clock,
            **{"habits": Habits(record=record and make_recorder is not None)} | others,
        )
        self.seen: list = []

    @staticmethod
    def make_clock() -> Callable[[], float]:
        """The one that the player goes by."""
        return FakeClock()

    def look(self) -> None:
        """What a window does each time round."""
        now = self.clock()
        picture = self.worker.look(now)
        if picture is not None and (not self.seen or self.seen[-1] is not picture):
            self.seen.append(picture)
            self.worker.shown(picture, now)

    def step(self) -> None:
        """All that is to be done now, and a moment passes."""
        while self.worker.turn():
            self.look()
        self.look()
        self.clock.pass_by(TICK)

    def look_until(self, condition: Callable[[], object], seconds: float = 10.0) -> bool:
        """Whether something comes true within so many seconds of play."""
        end = self.clock() + seconds
        while not condition():
            if self.clock() >= end:
                return False
            self.step()
        return True

    def pass_by(self, seconds: float) -> None:
        """So much time."""
        end = self.clock() + seconds
        while self.clock() < end:
            self.step()

    def in_flight(self, *doings: Callable[[], object]) -> None:
        """Has things done while the next block is being made, and returns when it is."""
        self._in_flight += doings
        assert self.look_until(lambda: not self._in_flight)

    def numbers(self) -> list[int]:
        """Of the frames seen."""
        return [picture.number for picture in self.seen if picture.number is not None]

    def state(self) -> State:
        """The player's."""
        return self.worker.status.state

    def plays(self, frames: int = 10) -> None:
        """Looks on until so many more frames were seen."""
        seen = len(self.numbers())
        assert self.look_until(lambda: len(self.numbers()) >= seen + frames), self.worker.status

    def _work(self, seconds: float) -> None:
        """A world's time for a block, or for its context pass."""
        doings, self._in_flight = self._in_flight, []
        for doing in doings:
            doing()
        self.clock.pass_by(seconds)


class ThreadStage(Stage):
    """The same with the player's own thread, on the machine's clock: for what only a thread can show.

    Whoever uses it asserts no times, and waits for what will come with a generous limit.
    """

    def __init__(self, world: FakeWorld, **others) -> None:
        super().__init__(world, **others)
        if isinstance(world, FakeWorld) and world.sleep == self._work:
            world.sleep = time.sleep
        self.worker.start()

    @staticmethod
    def make_clock() -> Callable[[], float]:
        """See Stage."""
        return time.perf_counter

    def step(self) -> None:
        """See Stage."""
        self.look()
        time.sleep(0.002)

    def look_until(self, condition: Callable[[], object], seconds: float = 60.0) -> bool:
        """See Stage; the limit only ends tests that have failed anyway."""
        return super().look_until(condition, seconds)
