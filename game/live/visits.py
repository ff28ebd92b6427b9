"""The worlds a person is in, was in before, and has saved: one memory budget for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from game.live.clock import Pacer
from game.live.status import RewindFigures, SceneLike
from game.world.history import Moment
from game.world.playthrough import Journey

_MB = 2**20
_LEFT_BEHIND = 4  # the world before gets this part of the budget


@dataclass(eq=False)
class Visit:
    """A world being played. scene: what it began with. quality: how it is made, see configs/quality. delivered: its
    newest moment that a person could see."""

    journey: Journey
    scene: SceneLike
    quality: str
    delivered: Moment

    def begin_anew(self, pacer: Pacer) -> None:
        """Anchors the world: its picture stands still while it is looked at as a first frame."""
        pacer.stand_still()
        self.journey.anchor()
        self.delivered = self.journey.present

    def back_to_delivered(self) -> None:
        """Undoes a block that was thrown away before anybody saw it, if its world can go back."""
        self.journey.settle()
        if self.journey.present is not self.delivered:
            try:
                self.journey.go(self.delivered)
            except LookupError:
                self.delivered = self.journey.present


@dataclass(frozen=True)
class Saved:
    """What a quick-save kept."""

    visit: Visit
    moment: Moment


class Visits:
    """Which world is played, and which ones can be returned to. budget: bytes."""

    def __init__(self) -> None:
        self.budget = 0
        self.current: Visit | None = None
        self.before: Visit | None = None
        self.saved: Saved | None = None

    def leave(self) -> None:
        """Leaves the current world, to be returned to if there is memory for it."""
        visit, self.current = self.current, None
        if visit is None:
            return
        visit.back_to_delivered()
        self._drop_before()
        if visit.journey.present.snapshot is not None:
            self.before = visit
        self._share()

    def enter(self, visit: Visit) -> None:
        """Makes `visit` the current one."""
        if visit is self.before:
            self.before = None
        self.current = visit
        self._share()

    def save(self, moment: Moment | None) -> None:
        """Keeps a moment of the current world's way, or its present where that one is gone, or of another world."""
        assert self.current is not None
        journey, old = self.current.journey, self.saved
        if moment is None or not journey.knows(moment):
            moment = journey.present
        try:
            kept = journey.pin(moment)
        except LookupError:
            kept = journey.keep()
        self.saved = Saved(self.current, kept)
        if old is not None:
            old.visit.journey.let_go(old.moment)

    def forget(self) -> None:
        """Everything goes: the engine failed."""
        self.current = self.before = self.saved = None

    def figures(self) -> RewindFigures:
        """How far back the current world can go, and what all of them take."""
        visits = {self.current, self.before, self.saved.visit if self.saved is not None else None} - {None}
        taken = sum(visit.journey.past.bytes for visit in visits)
        depth = 0.0 if self.current is None else self.depth_s(self.current.journey)
        return RewindFigures(depth, taken / _MB, self.budget / _MB)

    @staticmethod
    def depth_s(journey: Journey) -> float:
        """Seconds of play that a rewind reaches back."""
        return journey.past.frames / journey.world.config.fps

    def _drop_before(self) -> None:
        if self.before is not None and self.saved is not None and self.saved.visit is self.before:
            self.before.journey.past.clear()  # what is saved stays, pinned
        self.before = None

    def _share(self) -> None:
        """Divides the budget between the worlds."""
        behind = 0
        if self.before is not None:
            behind = self.budget // _LEFT_BEHIND
            self.before.journey.past.set_budget(behind)
        if self.current is not None:
            self.current.journey.past.set_budget(self.budget - behind)
