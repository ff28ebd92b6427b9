"""One loaded model, many worlds: blocks are made in turn, the one that is due first before the others."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.actions import Actions
from engine.block import Block, TakePictures
from game.errors import InputError
from game.models.switcher import ModelChoice, Models, OpenWorld
from game.recording.writer import MakeRecorder

if TYPE_CHECKING:  # both bring torch along
    from engine.rollout.rollout import Rollout, Snapshot
    from engine.world import WorldModel


class Turns:
    """Lets so many use the model at once, by earliest deadline. slots: how many, 1 on a GPU."""

    def __init__(self, slots: int = 1) -> None:
        self._free = slots
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int]] = []
        self._numbers = itertools.count()
        self.busy_seconds = 0.0  # the model's, of all worlds

    @contextmanager
    def turn(self, deadline: float) -> Iterator[None]:
        """Waits for a turn, and has it while entered. deadline: seconds of time.perf_counter."""
        ticket = (deadline, next(self._numbers))
        with self._changed:
            heapq.heappush(self._waiting, ticket)
            while not self._free or self._waiting[0] != ticket:
                self._changed.wait()
            heapq.heappop(self._waiting)
            self._free -= 1
            self._changed.notify_all()
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self.busy_seconds += time.perf_counter() - began
                self._changed.notify_all()


class SharedWorld:
    """A WorldModel of which others make worlds too; in everything else it is the world it wraps.

    deadline: until when the next block of this one's worlds must be there. expects: told how many video frames that
    block has, whenever that changes.
    """

    def __init__(
        self, inner: WorldModel, turns: Turns, deadline: Callable[[], float], expects: Callable[[int], None]
    ) -> None:
        self.inner, self._turns, self._deadline, self._expects = inner, turns, deadline, expects

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def start(self, first_frame: np.ndarray, seed: int) -> SharedRollout:
        """As WorldModel.start."""
        with self._turns.turn(self._deadline()):
            rollout = self.inner.start(first_frame, seed)
        self._expects(rollout.next_frames)
        return SharedRollout(rollout, self._turns, self._deadline, self._expects)


class SharedRollout:
    """A Rollout that waits for its turn."""

    def __init__(
        self, inner: Rollout, turns: Turns, deadline: Callable[[], float], expects: Callable[[int], None]
    ) -> None:
        self.inner, self._turns, self._deadline, self._expects = inner, turns, deadline, expects

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def step(self, actions: Actions, early: TakePictures | None = None) -> Block:
        """As Rollout.step."""
        with self._turns.turn(self._deadline()):
            block = self.inner.step(actions, early)
        self._expects(self.inner.next_frames)
        return block

    def settle(self) -> Any:
        """As Rollout.settle."""
        with self._turns.turn(self._deadline()):
            return self.inner.settle()

    def snapshot(self, *args: Any, **how: Any) -> Snapshot:
        """As Rollout.snapshot."""
        with self._turns.turn(self._deadline()):
            return self.inner.snapshot(*args, **how)

    def restore(self, snapshot: Snapshot) -> None:
        """As Rollout.restore."""
        with self._turns.turn(self._deadline()):
            self.inner.restore(snapshot)
        self._expects(self.inner.next_frames)


class SharedModels:
    """Models (game/models/switcher.py) for the worlds of one server: what is loaded is loaded once.

    models: opens them. fixed: no other model can be chosen, since others play with this one.
    """

    def __init__(self, models: Models, turns: Turns, fixed: bool) -> None:
        self._models, self._turns, self._fixed = models, turns, fixed
        self._lock = threading.Lock()
        self._loaded: WorldModel | None = None

    def for_seat(self, deadline: Callable[[], float], expects: Callable[[int], None]) -> SeatModels:
        """As one seat has them. deadline, expects: see SharedWorld."""
        return SeatModels(self, deadline, expects)

    def recorder(self, make: Callable[..., Any] | None) -> MakeRecorder | None:
        """A MakeRecorder for shared worlds out of one for plain ones."""
        if make is None:
            return None

        def recorder(rollout: Any, world: Any, *rest: Any) -> Any:
            with self._lock:  # two at once would find the same folder free
                return make(getattr(rollout, "inner", rollout), getattr(world, "inner", world), *rest)

        return recorder

    def open(self, opener: OpenWorld | None, progress: Callable[[str, float], None]) -> WorldModel:
        """What is loaded, loading it if need be. opener: of another model than the one there is, None for that one."""
        with self._lock:
            if opener is not None:
                self._loaded = None
            if self._loaded is None:
                self._loaded = (opener or self._models.opener())(progress)
            return self._loaded


class SeatModels:
    """Models as one seat has them."""

    def __init__(self, shared: SharedModels, deadline: Callable[[], float], expects: Callable[[int], None]) -> None:
        self._shared, self._deadline, self._expects = shared, deadline, expects

    @property
    def model(self) -> str:
        """See Models."""
        return self._shared._models.model

    @property
    def quality(self) -> str:
        """See Models."""
        return self._shared._models.quality

    def opener(self) -> OpenWorld:
        """See Models."""
        return lambda progress: self._wrap(self._shared.open(None, progress))

    def choose(self, model: str, quality: str, weights: str) -> OpenWorld:
        """See Models."""
        if self._shared._fixed:
            raise InputError("others play here with this model: it cannot be changed", got=model)
        opener = self._shared._models.choose(model, quality, weights)
        return lambda progress: self._wrap(self._shared.open(opener, progress))

    def at_quality(self, world: Any, quality: str) -> Any:
        """See Models."""
        return self._wrap(self._shared._models.at_quality(world.inner, quality))

    def qualities(self) -> Sequence[str]:
        """See Models."""
        return self._shared._models.qualities()

    def choices(self, weights: str) -> list[ModelChoice]:
        """See Models."""
        return self._shared._models.choices(weights)

    def _wrap(self, world: WorldModel) -> Any:
        return SharedWorld(world, self._shared._turns, self._deadline, self._expects)
