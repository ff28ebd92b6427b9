"""Where the next block of live play comes from: the person's controls, a recording, or nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.actions import Actions
from game.errors import InputError
from game.input.controls import Controls
from game.live.status import ReplayFigures
from game.recording.replay import Replay
from game.world.playthrough import Journey, Played


@dataclass
class Habits:
    """How worlds are played; the window's thread may change a number, and the next block goes by it.

    seed: of every new world. record: keep every world that is played. rewind_mb: memory for states to return to, None:
    as the device has room. idle_hold, anchor_every: seconds, see Worker; 0: never. quality: the name of the one that
    worlds open with.
    """

    seed: int = 0
    record: bool = False
    rewind_mb: int | None = None
    idle_hold: float = 0.0
    anchor_every: float = 0.0
    quality: str = "default"


class Source:
    """Makes a journey's next frames. say: tells a person something. Used by the inference thread."""

    def __init__(self, controls: Controls, habits: Habits, say: Callable[[str], None]) -> None:
        self._controls, self._habits, self._say = controls, habits, say
        self._replay: Replay | None = None
        self._name = ""
        self._idle_frames = 0

    @property
    def replaying(self) -> bool:
        return self._replay is not None

    def begin_replay(self, replay: Replay, name: str) -> None:
        """Takes the controls from a recording, until it ends. name: for people."""
        self._replay, self._name = replay, name

    def end_replay(self) -> None:
        """Gives the controls to the person."""
        if self._replay is not None:
            self._replay.leave()
        self._replay = None

    def arrived(self, now: float) -> None:
        """The person is somewhere else: what they did until now belongs to where they were."""
        self._idle_frames = 0
        self._controls.forget_past(now)

    def next(self, journey: Journey, now: float) -> tuple[Played, list[float | None]]:
        """The next frames, and for each the moment of the oldest control that it is the first to show."""
        played = None if self._replay is None else self._replayed(self._replay)
        if played is not None:
            self._controls.sample(len(played.block.frames), now)  # nobody's, and not to pile up
            return played, [None] * len(played.block.frames)
        row = self._controls.sample(journey.next_frames, now)
        idle = not any(frame.keys or any(frame.mouse or ()) for frame in row)
        before, self._idle_frames = self._idle_frames, self._idle_frames + len(row) if idle else 0
        if idle and self._holds(journey, before):
            return journey.hold(len(row)), [None] * len(row)
        space = journey.world.action_space
        actions = Actions.stack([space.action(frame.keys, frame.mouse) for frame in row])
        return journey.step(actions), [frame.since for frame in row]

    def anchors(self, journey: Journey) -> bool:
        """Whether the world is to begin anew from its present picture by now."""
        habits, fps = self._habits, journey.world.config.fps
        due = 0 < habits.anchor_every * fps <= journey.present.frames
        return due and not self.replaying and not self._holds(journey, self._idle_frames)

    def figures(self, fps: float) -> ReplayFigures | None:
        """Where the replay is, None without one."""
        if self._replay is None:
            return None
        return ReplayFigures(self._name, self._replay.frame / fps, len(self._replay.actions) / fps)

    def _holds(self, journey: Journey, idle_frames: int) -> bool:
        """Whether the picture is held once nobody has been at the keys for so long."""
        hold = self._habits.idle_hold
        return hold > 0 and idle_frames >= hold * journey.world.config.fps

    def _replayed(self, replay: Replay) -> Played | None:
        """The replay's next frames; None at its end."""
        words = "The recording ends here: the controls are yours"
        try:
            if not replay.done:
                return replay.play()
        except InputError as error:  # a file of it may be broken, too
            words = f"The recording cannot be replayed on: {error}"
        self.end_replay()
        self._say(words)
        return None
