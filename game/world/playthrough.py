"""A world being played: its rollouts one after another, what they were told, and the way back. No threads, no clock.

Live play, rendering and replay all drive one of these; they differ in where actions come from and frames go. It is at a
`Moment` between two blocks. From there it goes on by a block (`step`), by a still picture (`hold`), from its
own picture encoded anew (`anchor`), or somewhere else (`go`, `enter`). What is not a block is noted, and comes out
with the next block as its events, so that a recording can tell it and a replay do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from engine.actions import Actions
from engine.block import Block, Timings
from game.models.compiling import change_kernels_at
from game.world.history import Moment, MomentId, Start, Timeline, numbers

if TYPE_CHECKING:  # both bring torch along, which the window does not wait for
    from engine.rollout.rollout import Rollout, Snapshot
    from engine.world import WorldModel

SEEDS = 2**63
_STILL = Timings(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Anchored:
    """The world began anew from its picture of that time, with this seed."""

    seed: int


@dataclass(frozen=True)
class Went:
    """The world became what it was at another moment."""

    moment: Moment


Event = Anchored | Went


Early: TypeAlias = Callable[[np.ndarray, Actions, MomentId], None]
"""Takes the next finished pictures of a block in flight, the whole block's actions, and the name of the moment after
it."""


@dataclass(frozen=True)
class Played:
    """Frames to show. block: numbered as its rollout does. events: what happened since the frames before. held: the
    block is a still picture, and no rollout made it. moment: after it."""

    block: Block
    events: tuple[Event, ...]
    held: bool
    moment: Moment


class Playthrough:
    """One visit to a world.

    Args:
        world: makes rollouts.
        picture: (h, w, 3) uint8 RGB of any size, the first frame.
        seed: 0 .. 2^63 - 1.
        budget: bytes that the way back may take; 0: there is none.

    Raises:
        InputError, PictureError: as WorldModel.start.
    """

    def __init__(self, world: WorldModel, picture: np.ndarray, seed: int, budget: int = 0) -> None:
        self.world, self.number = world, next(numbers)
        self.past = Timeline(budget)
        self._events: list[Event] = []
        self._unsettled: Moment | None = None
        self._block_seconds = 0.0
        self.present: Moment
        self._become(self._begin(picture, seed))

    @property
    def rollout(self) -> Rollout:
        """The one that makes the next block."""
        return self.present.start.rollout

    @property
    def next_frames(self) -> int:
        """How many actions the next step takes."""
        return self.rollout.next_frames

    def step(self, actions: Actions, early: Early | None = None) -> Played:
        """Makes the next block; its state is kept by the `settle` after it. Raises what Rollout.step raises.

        early: is handed the pictures that are finished before the block is, in order.
        """
        self.settle()
        name, left = MomentId(self.number, next(numbers)), len(actions)

        def finished(pictures: np.ndarray) -> None:
            nonlocal left
            left -= len(pictures)
            if left and early is not None:  # the last ones come with the block
                early(pictures, actions, name)

        block = self.rollout.step(actions) if early is None else self.rollout.step(actions, finished)
        self._block_seconds = block.timings.total_ms / 1000.0
        start = self.present.start
        start.tape.add(actions)
        moment = Moment(start, block.first_frame + len(block.frames), block.frames, actions, name=name)
        self._unsettled = moment
        self._become(moment)
        return Played(block, self._take_events(), False, moment)

    def hold(self, frames: int) -> Played:
        """The present picture, `frames` times over; the world itself does not move."""
        actions = Actions.stack([self.world.action_space.action()] * frames)
        pictures = np.repeat(self.present.picture[None], frames, axis=0)
        block = Block(self.rollout.blocks_done, self.present.frames, pictures, actions, _STILL)
        return Played(block, self._take_events(), True, self.present)

    def settle(self) -> None:
        """Runs the newest block's context pass, if it is still to come, and keeps the state for the way back."""
        moment, self._unsettled = self._unsettled, None
        if moment is None:
            return
        self.rollout.settle()
        if not self.past.budget:
            return
        if moment.start.bytes > self.past.budget:
            self.past.clear()  # not even one state fits: there is no way back, rather than one to the start alone
            return
        moment.snapshot = self.rollout.snapshot(since=self._newest_state(moment.start))
        self.past.add(moment, self._block_seconds)

    def anchor(self, seed: int | None = None) -> None:
        """Begins anew from the present picture. seed: of the new rollout, by default the next after the old one's."""
        self.settle()
        seed = (self.present.start.seed + 1) % SEEDS if seed is None else seed
        self._become(self._begin(self.present.picture, seed))
        self._events.append(Anchored(seed))

    def go(self, moment: Moment) -> None:
        """Becomes what it was at `moment`; the same actions then give the same frames.

        Raises LookupError if the moment is neither kept nor can be made again from one that is.
        """
        self._unsettled = None
        if moment.tape is not None:
            moment.start.tape = moment.tape.copy(moment.frames)
        self._restore(moment)
        moment.start.tape.cut(moment.frames)
        self._become(moment)
        self.past.cut(moment)
        self._events = [Went(moment)]

    def enter(
        self,
        first_frame: np.ndarray,
        seed: int,
        actions: Actions | None,
        tell: Callable[[float], None] | None = None,
        compiled_from: int = 0,
    ) -> None:
        """Becomes what a rollout from `first_frame` is after `actions`.

        tell: the share done, 0 to 1, now and then. compiled_from: of that rollout, see game/models/compiling.py.
        """
        self._unsettled = None
        self.past.clear()
        self._become(self._begin(first_frame, seed))
        change_kernels_at(compiled_from, self.rollout, self.world)
        self.run(actions, tell)
        self._events = [Went(self.present)]

    def run(self, actions: Actions | None, tell: Callable[[float], None] | None = None) -> None:
        """Steps through actions that nobody watches; whole blocks of them. tell: as in `enter`."""
        done = 0
        while actions is not None and done < len(actions):
            taken = actions[done : done + self.next_frames]
            self.step(taken)
            self.settle()
            done += len(taken)
            if tell is not None:
                tell(done / len(actions))

    def keep(self) -> Moment:
        """Pins the present moment: `go` can return to it until `let_go`, whatever else is forgotten."""
        return self.pin(self.present)

    def pin(self, moment: Moment) -> Moment:
        """Pins a moment on the way here. Raises LookupError as `go`."""
        self.settle()
        here = self.present
        if here.snapshot is None:
            self.past.give_state(here, self.rollout.snapshot())
        if moment.snapshot is None:
            self._restore(moment)
            self._restore(here)
        if moment.tape is None:
            moment.tape = moment.start.tape.copy(moment.frames)
        self.past.pin(moment)
        return moment

    def forget_all_but(self, moment: Moment) -> None:
        """Keeps a pinned moment, and nothing else of the world; only `go` leads on from there."""
        self._unsettled = None
        self.past.clear()
        self.present = moment

    def let_go(self, moment: Moment) -> None:
        """Unpins a moment."""
        self.past.unpin(moment)

    def find(self, wanted: MomentId) -> Moment | None:
        """The moment of that name, if it is kept."""
        if wanted.world != self.number:
            return None
        return next((moment for moment in self.past.moments() if moment.id == wanted), None)

    def nearest(self, wanted: MomentId) -> Moment | None:
        """The moment of that name; the newest where the way leads elsewhere by now, the oldest where it is forgotten.

        None if it was of another world, or nothing is kept.
        """
        moments = self.past.moments()
        if wanted.world != self.number or not moments:
            return None
        found = next((moment for moment in moments if moment.id == wanted), None)
        return found or (moments[0] if wanted.moment < moments[0].id.moment else moments[-1])

    def forget_events(self) -> None:
        """What happened until now is nobody's affair: a recording begins here."""
        self._events = []

    def actions_of(self, moment: Moment) -> Actions | None:
        """What its rollout was told until `moment`, which is or was on the way here; None at a start."""
        return (moment.tape or moment.start.tape).actions(0, moment.frames)

    def put_by(self) -> None:
        """Another world is played from here on: all that this one keeps is kept to return to it."""
        self.past.playing = None

    def take_up(self) -> None:
        """It is played again."""
        self.past.playing = self.present.start

    def _become(self, moment: Moment) -> None:
        self.present = moment
        self.past.playing = moment.start

    def _begin(self, picture: np.ndarray, seed: int) -> Moment:
        start = Start(self.world.start(picture, seed), self.number)
        moment = Moment(start, 0, start.first_frame[None])
        if self.past.budget:
            moment.snapshot = start.rollout.snapshot()
            self.past.add(moment)
        return moment

    def _restore(self, moment: Moment) -> None:
        """Brings the moment's rollout to it, from the nearest state before if it has none of its own."""
        start, known = moment.start, self.past.state_before(moment)
        assert known.snapshot is not None
        start.rollout.restore(known.snapshot)
        again = start.tape.actions(known.frames, moment.frames)
        done = 0
        while again is not None and done < len(again):
            taken = again[done : done + start.rollout.next_frames]
            start.rollout.step(taken)
            done += len(taken)
        if known is not moment:
            self.past.give_state(moment, start.rollout.snapshot(since=known.snapshot))

    def _newest_state(self, start: Start) -> Snapshot | None:
        newest = self.past.newest
        return newest.snapshot if newest is not None and newest.start is start else None

    def _take_events(self) -> tuple[Event, ...]:
        events, self._events = tuple(self._events), []
        return events
