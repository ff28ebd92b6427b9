"""`python -m game --judge`: renders a suite if asked to, measures, and writes judge.json and judge.html."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from game.config.settings import Settings, load_settings
from game.console import Progress, say
from game.errors import InputError
from game.files import check_folder, folder_error, write_whole
from game.recording.format import new_folder

if TYPE_CHECKING:
    from engine.world import WorldModel

RESULT, PAGE = "judge.json", "judge.html"
PROGRESS = ".progress"
OpenWorld = Callable[[Settings], "WorldModel"]


def judge(
    paths: Sequence[Path],
    words: Sequence[str],
    *,
    suite: str | None = None,
    out: Path | None = None,
    mapping: Path | None = None,
    scene: str | None = None,
    seed: int | None = None,
    open_model: OpenWorld | None = None,
) -> int:
    """Judges recordings, or a suite that is rendered first. Returns the exit code.

    paths: recordings. words: settings of the model, with a suite. out: folder for the results; by default that of the
    one recording, or recordings/<UTC time>-judge. mapping: see game/judge/inputs.py. scene: a picture, or a folder of
    pictures, to begin the suite from. open_model: makes the world (tests). Raises InputError, RunError.
    """
    from game.judge.page import page_of
    from game.judge.verdict import dump, groups_of, judge_groups, line_of, to_json

    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("--judge draws with matplotlib, which is missing", remedy="pip install 'neural-world[judge]'")
    settings = load_settings(words)
    groups = [] if suite is not None else groups_of(paths, mapping)
    folder = _folder(out, paths, settings)
    tell = _Tell(folder)
    try:
        if suite is not None:
            groups = groups_of([_rendered(suite, settings, folder, scene, seed, tell, open_model)], None)
        judged = judge_groups(groups, tell)
        tell("drawing", 1.0)
        write_whole(folder / RESULT, dump(to_json(judged)))
        write_whole(folder / PAGE, page_of(judged, folder))
    except OSError as error:
        raise folder_error(folder, error) from error
    finally:
        tell.close()
    for one in judged:
        print(line_of(one))
        for note in (f"  {r.name}: {note}" for r in one.recordings for note in r.notes):
            print(note)
    print(f"{folder / RESULT}  {folder / PAGE}", flush=True)
    return 0


def _rendered(
    suite: str, settings: Settings, folder: Path, scene: str | None, seed: int | None, tell: _Tell,
    open_model: OpenWorld | None,
) -> Path:  # fmt: skip
    from game.judge.suites import load_suite, processes_to_render, render_suite
    from game.models.catalog import find_weights
    from game.models.loader import open_world

    wanted = load_suite(suite)
    processes = processes_to_render(wanted, settings, scene)
    world: WorldModel | None
    if open_model is not None:
        world = open_model(settings)
    else:
        find_weights(settings)
        world = open_world(settings, tell, say) if processes == 1 else None
    return render_suite(wanted, world, settings, folder, scene, seed, tell, processes)


def _folder(out: Path | None, paths: Sequence[Path], settings: Settings) -> Path:
    """The results' folder, made. Raises InputError."""
    if out is None and len(paths) == 1 and paths[0].expanduser().is_dir():
        out = paths[0].expanduser()
    if out is None:
        check_folder(Path(settings.record.root))
        return new_folder(None, "judge", root=Path(settings.record.root))
    check_folder(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise folder_error(out, error) from error
    return out


class _Tell:
    """Progress for a person at the terminal, and in a small file for the window that waits for it."""

    def __init__(self, folder: Path) -> None:
        self._bar, self._file = Progress(), folder / PROGRESS

    def __call__(self, what: str, share: float) -> None:
        self._bar(what, share)
        with contextlib.suppress(OSError):  # nobody is worse off without it
            write_whole(self._file, f"{share:.3f} {what}\n")

    def close(self) -> None:
        self._bar.clear()
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def clear(self) -> None:
        self._bar.clear()
