"""Live play put together: scenes, settings and a recorder for game/ui/app.py's window."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from game.config.preferences import SettingsFile
from game.console import say, tell
from game.files import check_folder, numbered
from game.recording.format import Job, holds_session
from game.world.scenes import scenes_from

if TYPE_CHECKING:
    from engine.actions import Actions
    from engine.rollout.rollout import Rollout
    from engine.world import WorldModel
    from game.input.controls import Controls
    from game.models.switcher import Switcher
    from game.recording.writer import Recorder
    from game.ui.window import Window


def play_live(words: list[str], job: Job, *, seconds: float | None, record: bool, profile: bool, debug: bool) -> int:
    """Opens the window and plays until it is closed. Returns the exit code.

    words: overrides. seconds: close by itself after so long. record: keep every world that is played. profile: write a
    trace at the end. debug: show tracebacks. The window is there before anything else is looked at; raises InputError
    for what can be known before a model is loaded.
    """
    from game.ui.window import early_window

    with early_window(SettingsFile().now) as window:
        return _play(words, job, seconds, record, profile, debug, window)


def _play(
    words: list[str], job: Job, seconds: float | None, record: bool, profile: bool, debug: bool, window: Window | None
) -> int:
    from game.config.settings import load_settings, settings_file_of
    from game.models.loader import find_weights

    settings = load_settings(words)
    find_weights(settings)
    scenes, index = scenes_from(job.scene)
    root = Path(settings.record.root)
    if record:
        check_folder(job.out or root)
    from game.live.player import Habits, LocalPlayer
    from game.models.switcher import Switcher
    from game.recording.library import Library
    from game.ui.app import PlaySettings, play

    worlds: list = []

    def profiled(world: WorldModel) -> WorldModel:
        from game.tools.profile import ProfiledWorld

        worlds.append(ProfiledWorld(world))
        return worlds[-1]

    settings_file = settings_file_of(settings)
    models = Switcher(words, profiled if profile else (lambda world: world), record)
    recordings = _Recordings(models, job)
    how = PlaySettings(
        seconds=seconds,
        debug=debug,
        settings_file=settings_file,
        library=Library(root, recordings.folders, recordings.being_written),
    )
    habits = Habits(seed=job.seed or 0, record=record, rewind_mb=settings_file.now.rewind_mb)

    def make_player(controls: Controls, wake: Callable[[], None]) -> LocalPlayer:
        return LocalPlayer(
            models,
            scenes,
            controls,
            scene=index,
            habits=habits,
            make_recorder=recordings,
            margin=settings_file.now.margin_ms / 1000.0,
            shots=job.out or root,
            wake=wake,
        )

    code = play(how, make_player, window=window)
    if recordings.tell():
        code = code or 1
    for world in worlds:
        from game.tools.profile import write_trace

        tell("\n".join(write_trace(world, job.out or Path("."))))
    return code


class _Recordings:
    """Makes a recorder for every rollout, each in a folder of its own, and remembers where they went."""

    def __init__(self, models: Switcher, job: Job) -> None:
        self._models, self._job = models, job
        self._recorders: list[Recorder] = []

    def __call__(self, rollout: Rollout, world: WorldModel, scene: str, prelude: Actions | None = None) -> Recorder:
        """A recorder for a rollout that was told `prelude` so far. Raises RecordingError if its folder cannot be
        written."""
        from game.recording.writer import header_of, start_recorder

        settings, job = self._models.settings_of(world), self._job
        header = header_of(world, rollout, settings, source="live", scene=scene, prelude=prelude)
        recorder = start_recorder(
            job.out,
            header,
            name=job.name,
            first_frame=rollout.first_frame,
            prelude=prelude,
            current=settings.record.current,
            settings=settings.record,
        )
        # One that was here before has been deleted meanwhile, and what lies here at the end is not its own.
        self._recorders = [other for other in self._recorders if other.folder != recorder.folder] + [recorder]
        return recorder

    def folders(self) -> list[Path]:
        """Where this run's recordings are, and those that earlier runs left in the same --out."""
        there = [] if self._job.out is None else takewhile(holds_session, numbered(self._job.out))
        return [*there, *(recorder.folder for recorder in self._recorders)]

    def being_written(self) -> list[Path]:
        """The folders of this run's recordings that are not finished."""
        return [recorder.folder for recorder in self._recorders if not recorder.closed]

    def tell(self) -> bool:
        """Says what was kept and where. Returns whether any recording went wrong."""
        for recorder in self._recorders:
            if recorder.frames:
                tell(f"{recorder.frames} frames in {recorder.folder}")
            else:
                recorder.discard()
            if recorder.problem is not None:
                say(f"game: {recorder.problem}")
        return any(recorder.problem is not None for recorder in self._recorders)
