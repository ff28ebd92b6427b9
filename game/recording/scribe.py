"""Writes a journey into a recorder: what happened between blocks becomes events that a replay can follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from engine.actions import Actions
from engine.block import Block
from game.models.compiling import compiled_from
from game.world.playthrough import Anchored, Event, Journey, Played


class RecorderLike(Protocol):
    """What a session is written with, see game/recording/writer.py. problem: why part of it is not written, or None."""

    problem: str | None

    def add(self, block: Block, events: Sequence[dict] = (), held: bool = False) -> None: ...
    def enter(self, first_frame: np.ndarray, seed: int, actions: Actions | None, compiled_from: int) -> dict: ...
    def close(self, stats: Any = None) -> Any: ...
    def kill(self) -> None: ...


class Scribe:
    """One recording of a journey, from its present moment on.

    A moment that came by since is named by the recorded frames before it; to any other the world was brought by
    actions, which the recorder gets then.
    """

    def __init__(self, recorder: RecorderLike, journey: Journey) -> None:
        self.recorder, self.frames = recorder, 0
        self._journey = journey
        self._mark = object()  # not the scribe: moments that knew it would keep each other, and whole worlds, alive
        journey.present.mark = (self._mark, 0)
        journey.forget_events()

    def add(self, played: Played) -> None:
        """Records the journey's newest frames. Raises what Recorder.add and Recorder.enter raise."""
        events = [self._told(event) for event in played.events]
        self.recorder.add(played.block, events, played.held)
        self.frames += len(played.block.frames)
        if not played.held:
            played.moment.mark = (self._mark, self.frames)

    def _told(self, event: Event) -> dict:
        if isinstance(event, Anchored):
            return {"event": "anchor", "seed": event.seed}
        moment = event.moment
        if moment.mark is not None and moment.mark[0] is self._mark:
            return {"event": "return", "frame": moment.mark[1]}
        start, told = moment.start, self._journey.actions_of(moment)
        kernels = compiled_from(start.rollout, self._journey.world)
        return self.recorder.enter(start.first_frame, start.seed, told, kernels)
