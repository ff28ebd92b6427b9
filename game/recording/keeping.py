"""Recordings of live play: begun and ended while a person plays on, and never a reason for the game to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.actions import Actions
from engine.errors import EngineError
from game.recording.scribe import RecorderLike, Scribe
from game.recording.writer import Reportable
from game.world.playthrough import Journey, Played

if TYPE_CHECKING:  # both bring torch along, which the window does not wait for
    from engine.rollout.rollout import Rollout
    from engine.world import WorldModel

_AFTER_KILL = 3.0  # s to write what is left once the encoders are gone
MakeRecorder = Callable[["Rollout", "WorldModel", str, Actions | None], RecorderLike]
"""(rollout, world, name of the scene, what the rollout was told before) -> a recorder."""


class Keeper:
    """The recording there is, if there is one. Used by the inference thread. say: as Mailbox.notice."""

    def __init__(self, make_recorder: MakeRecorder | None, say: Callable[..., None]) -> None:
        self._make, self._say = make_recorder, say
        self._scribe: Scribe | None = None
        self._closing: list[tuple[RecorderLike, threading.Thread]] = []

    @property
    def can_record(self) -> bool:
        return self._make is not None

    @property
    def recording(self) -> bool:
        return self._scribe is not None

    @property
    def frames(self) -> int:
        """Video frames of the recording so far."""
        return 0 if self._scribe is None else self._scribe.frames

    def start(self, journey: Journey, scene: str) -> None:
        """Begins a recording at the journey's present moment. Raises RecordingError."""
        assert self._make is not None
        told = journey.actions_of(journey.present)
        self._scribe = Scribe(self._make(journey.rollout, journey.world, scene, told), journey)

    def add(self, played: Played, stats: Callable[[], Reportable]) -> None:
        """Records frames; what goes wrong is said, and ends the recording if it must. stats: for its report then."""
        if self._scribe is None:
            return
        recorder = self._scribe.recorder
        had = recorder.problem
        try:
            self._scribe.add(played)
            if recorder.problem is not None and had is None:
                self._say(f"Recording: {recorder.problem}")
        except (EngineError, OSError) as error:  # a full disk must not end the game
            self.close(stats())
            self._say(f"Recording stopped: {error}", recording=False)

    def close(self, stats: Reportable) -> None:
        """Ends the recording beside the game, as finishing a video takes its time."""
        scribe, self._scribe = self._scribe, None
        if scribe is None:
            return
        recorder = scribe.recorder  # and not the scribe, which would keep a world alive that has been left

        def close() -> None:
            try:
                recorder.close(stats)
            except (EngineError, OSError) as error:
                self._say(f"The recording could not be closed: {error}")

        closer = threading.Thread(target=close, name="recorder-close", daemon=True)
        self._closing = [(one, thread) for one, thread in self._closing if thread.is_alive()] + [(recorder, closer)]
        closer.start()

    def shutdown(self, limit: float) -> bool:
        """Waits until everything is on disk, at most `limit` seconds; then encoders are killed, whose files play up to
        there. Returns whether that was not needed."""
        until = time.monotonic() + limit
        for _, closer in self._closing:
            closer.join(max(0.0, until - time.monotonic()))
        late = [(recorder, closer) for recorder, closer in self._closing if closer.is_alive()]
        for recorder, _ in late:
            recorder.kill()
        until = time.monotonic() + _AFTER_KILL
        for _, closer in late:
            closer.join(max(0.0, until - time.monotonic()))
        return not late
