"""Live play put together: scenes, settings and a recorder for game/ui/app.py's window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from game.config.preferences import SettingsFile
from game.console import tell
from game.files import check_folder
from game.recording.format import Job
from game.world.scenes import scenes_from

if TYPE_CHECKING:
    from game.input.controls import Controls
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
    from game.models.catalog import find_weights

    settings = load_settings(words)
    find_weights(settings)
    scenes, index = scenes_from(job.scene)
    root = Path(settings.record.root)
    if record:
        check_folder(job.out or root)
    from game.live.player import Habits, LocalPlayer
    from game.models.switcher import Switcher
    from game.recording.library import Library
    from game.recording.writer import LiveRecordings
    from game.tools.profile import Profiles
    from game.ui.app import PlaySettings, play

    profiles = Profiles() if profile else None
    settings_file = settings_file_of(settings)
    models = Switcher(words, (lambda world: world) if profiles is None else profiles.wrap, record)
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

    code = play(how, make_player, window=window)
    if recordings.tell():
        code = code or 1
    if profiles is not None:
        tell("\n".join(profiles.write(job.out or Path("."))))
    return code
