"""Live play put together: scenes, settings and a recorder for game/app.py's window."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from game.compiling import CompilingWorld
from game.console import say
from game.models import Progress, find_weights, header_of, open_world
from game.scenes import scenes_from
from game.session import ACTIONS, FIRST_FRAME, REPORT, Job, check_folder, new_folder
from game.settings import Settings, load_settings

if TYPE_CHECKING:
    from engine.rollout import Rollout
    from engine.world import WorldModel
    from game.recorder import Recorder


def play_live(words: list[str], job: Job, *, seconds: float | None, record: bool, profile: bool, debug: bool) -> int:
    """Opens the window and plays until it is closed. Returns the exit code.

    words: overrides. seconds: close by itself after so long. record: keep every world that is played. profile: write a
    trace at the end. debug: show tracebacks. Raises InputError before the window opens, for what can be known by then.
    """
    settings = load_settings(words)
    find_weights(settings)
    scenes, index = scenes_from(job.scene)
    if record:
        check_folder(job.out or Path(settings.record.root))
    from game.app import PlaySettings, play

    worlds: list = []

    def open_live(progress: Progress) -> WorldModel:
        # A recording is made by the same kernels from its first block on, so it waits for them.
        world = open_world(settings, progress, say, compiled=record)
        if profile:
            from game.trace import ProfiledWorld

            world = ProfiledWorld(world)
            worlds.append(world)
        if settings.compile.name != "off" and not record:
            world = CompilingWorld(world, settings.compile.name, progress, say)
        return world

    recordings = _Recordings(settings, job) if record else None
    feel = settings.play
    how = PlaySettings(
        scenes=scenes,
        scene=index,
        seed=job.seed or 0,
        seconds=seconds,
        sensitivity=feel.sensitivity,
        margin_ms=feel.margin_ms,
        smooth=feel.scale == "smooth",
        icons=feel.icons,
        numbers=feel.numbers,
        full_screen=feel.full_screen,
        debug=debug,
    )
    code = play(how, open_live, recordings)
    if recordings is not None and recordings.tell():
        code = code or 1
    for world in worlds:
        from game.trace import write_trace

        print("\n".join(write_trace(world, job.out or Path("."))), flush=True)
    return code


class _Recordings:
    """Makes a recorder for every rollout, each in a folder of its own, and remembers where they went."""

    def __init__(self, settings: Settings, job: Job) -> None:
        self._settings, self._job = settings, job
        self._recorders: list[Recorder] = []

    def __call__(self, rollout: Rollout, world: WorldModel, scene: str) -> Recorder:
        """A recorder for a rollout that has just begun. Raises RecordingError if its folder cannot be written."""
        from game.recorder import Recorder

        settings, job = self._settings, self._job
        header = header_of(world, rollout, settings, source="live", scene=scene)
        folder = new_folder(job.out, job.name, root=Path(settings.record.root))
        recorder = Recorder(
            folder,
            header,
            name=job.name,
            first_frame=rollout.first_frame,
            current=settings.record.current,
            settings=settings.record,
        )
        self._recorders.append(recorder)
        return recorder

    def tell(self) -> bool:
        """Says what was kept and where. Returns whether any recording went wrong."""
        for recorder in self._recorders:
            if recorder.frames:
                print(f"{recorder.frames} frames in {recorder.folder}", flush=True)
            else:
                _discard(recorder)
            if recorder.problem is not None:
                say(f"game: {recorder.problem}")
        return any(recorder.problem is not None for recorder in self._recorders)


def _discard(recorder: Recorder) -> None:
    """Removes the files of a world that was left before its first frame; a folder that holds more than them stays."""
    files = [recorder.folder / name for name in (ACTIONS, FIRST_FRAME, REPORT)]
    files += [recorder.path(suffix) for suffix in (".mp4", "_icon.mp4", "_current.mp4")]
    with contextlib.suppress(OSError):
        for file in files:
            file.unlink(missing_ok=True)
        recorder.folder.rmdir()
