"""A window whose model is on this machine: its scenes, settings, models and recordings put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from game.ui.start import early_window, meanwhile

if TYPE_CHECKING:
    from game.input.controls import Controls
    from game.live.player import LocalPlayer
    from game.recording.format import Job
    from game.ui.window import Window

Play = Callable[["Window | None"], int]


def play_here(
    words: list[str], job: Callable[[], Job], *, seconds: float | None, record: bool, profile: bool, debug: bool
) -> int:
    """Opens the window and plays until it is closed. Returns the exit code.

    words: overrides. job: what the command line asked for. seconds: close by itself after so long. record: keep every
    world that is played. profile: write a trace at the end. debug: show tracebacks. The window is there before anything
    else is looked at; raises InputError for what can be known before a model is loaded.
    """
    with early_window() as window:
        play = meanwhile(window, partial(_prepare, words, job, seconds, record, profile, debug))
        return 0 if play is None else play(window)


def _prepare(
    words: list[str], make_job: Callable[[], Job], seconds: float | None, record: bool, profile: bool, debug: bool
) -> Play:
    """Imports and checks everything that is needed short of a model; gives what plays in a window."""
    from game.config.settings import settings_file_of
    from game.console import tell
    from game.files import check_folder
    from game.live.player import Habits, LocalPlayer
    from game.models.catalog import find_weights
    from game.models.switcher import Switcher
    from game.recording.library import Library
    from game.recording.writer import LiveRecordings
    from game.tools.profile import Profiles
    from game.ui.app import PlaySettings, play
    from game.world.scenes import scenes_from

    job, profiles = make_job(), Profiles() if profile else None
    models = Switcher(words, (lambda world: world) if profiles is None else profiles.wrap, record)
    find_weights(models.settings)
    scenes, index = scenes_from(job.scene)
    root = Path(models.settings.record.root)
    if record:
        check_folder(job.out or root)
    settings_file = settings_file_of(models.settings)
    recordings = LiveRecordings(models, job)
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

    def run(window: Window | None) -> int:
        code = play(how, make_player, window=window)
        if recordings.tell():
            code = code or 1
        if profiles is not None:
            tell("\n".join(profiles.write(job.out or Path("."))))
        return code

    return run
