"""A recording, or a script, played again on a journey: the same actions and the same events, so the same frames."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from engine.actions import Actions
from game.errors import ScriptError
from game.media.pictures import read_picture
from game.models.compiling import change_kernels_at
from game.recording.recordings import Anchor, Event, Happenings, Recording, Return
from game.world.history import Moment
from game.world.playthrough import Journey, Played

if TYPE_CHECKING:  # it brings torch along, which the window does not wait for
    from engine.world import WorldModel

Tell = Callable[[float], None]
_NOTHING = Happenings()


def begin(
    recording: Recording, world: WorldModel, picture: np.ndarray, seed: int, budget: int = 0, tell: Tell | None = None
) -> Journey:
    """A journey where the recording begins: its prelude played, if it has one.

    picture, seed: the recording's own, or others for another world with its actions. budget: see Journey. tell: the
    share of the prelude that is done.
    """
    journey = Journey(world, picture, seed, budget)
    change_kernels_at(recording.header.compiled_from, journey.rollout, world)
    journey.run(recording.prelude, tell)
    journey.forget_events()
    return journey


class Replay:
    """Drives a journey by actions that are known beforehand.

    Args:
        journey: where the actions begin.
        actions: one per video frame; what is missing of the last block is filled up with no keys.
        happenings: what else there is to do, and when.
        where: names the source in errors.
    """

    def __init__(self, journey: Journey, actions: Actions, happenings: Happenings = _NOTHING, where: str = "") -> None:
        self.journey, self.actions, self.frame = journey, actions, 0
        self._happenings, self._where = happenings, where
        self._seams = happenings.seams
        self._held = dict(happenings.held)
        events = [event for row in happenings.events.values() for event in row]
        self._returns = Counter(event.frame for event in events if isinstance(event, Return))
        self._kept: dict[int, Moment] = {}

    @property
    def done(self) -> bool:
        """Whether all actions are played."""
        return self.frame >= len(self.actions)

    @property
    def next_frames(self) -> int:
        """How many frames the next `play` makes."""
        until = self._held.get(self.frame)
        return self.journey.next_frames if until is None else until - self.frame

    def play(self) -> Played:
        """The next frames. Raises ScriptError where the recording's blocks are not this model's."""
        if self._returns[self.frame] and self.frame not in self._kept:
            self._kept[self.frame] = self.journey.keep()
        for event in self._happenings.events.get(self.frame, ()):
            self._happen(event)
        until = self._held.get(self.frame)
        played = self.journey.hold(until - self.frame) if until is not None else self._step()
        self.frame += len(played.block.frames)
        return played

    def leave(self) -> None:
        """Lets go of all moments that were kept to return to."""
        for moment in self._kept.values():
            self.journey.let_go(moment)
        self._kept = {}

    def _step(self) -> Played:
        frames = self.journey.next_frames
        place = bisect_right(self._seams, self.frame)
        if place < len(self._seams) and self._seams[place] < self.frame + frames:
            what = f"video frame {self.frame}: the recording's blocks are not this model's"
            got, expected = f"{self._seams[place] - self.frame} frames", f"{frames}"
            raise ScriptError(f"{self._where}, {what}", got=got, expected=expected)
        taken = self.actions[self.frame : self.frame + frames]
        missing = frames - len(taken)
        if missing:
            taken = Actions.join([taken, Actions.stack([self.journey.world.action_space.action()] * missing)])
        return self.journey.step(taken)

    def _happen(self, event: Event) -> None:
        if isinstance(event, Anchor):
            self.journey.anchor(event.seed)
        elif isinstance(event, Return):
            self._return(event.frame)
        else:
            picture = read_picture(event.first_frame)
            self.journey.enter(picture, event.seed, event.actions, compiled_from=event.compiled_from)

    def _return(self, frame: int) -> None:
        moment = self._kept.get(frame)
        if moment is None:
            what = f"video frame {self.frame}: the recording returns into the middle of a block"
            raise ScriptError(f"{self._where}, {what}", got=frame)
        self.journey.go(moment)
        self._returns[frame] -= 1
        if not self._returns[frame]:
            self.journey.let_go(self._kept.pop(frame))
