"""Folders gone through: what lies in one, and the page that shows it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from game.ui.toolkit.background import Background, Later
from game.ui.toolkit.menu import Page
from game.ui.toolkit.widgets import Button, Heading, Note, Widget

_MOST = 300  # of one folder: more would only be scrolled past


@dataclass(frozen=True)
class Contents:
    """What a folder holds. more: how many pictures were left out. problem: why it cannot be read, or ""."""

    folders: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()
    more: int = 0
    problem: str = ""


def contents(folder: Path, suffixes: Sequence[str]) -> Contents:
    """A folder's folders, and its pictures, which end in one of `suffixes`; hidden ones are left out.

    Called in the background. A folder is no picture whatever it is called, and neither is a pipe.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name.lower())
        folders = tuple(Path(e.path) for e in entries if e.is_dir())
        named = (e for e in entries if Path(e.name).suffix.lower() in suffixes)
        pictures = tuple(Path(e.path) for e in named if e.is_file())
    except (OSError, ValueError) as error:
        return Contents(problem=f"{folder} cannot be read ({getattr(error, 'strerror', None) or error})")
    return Contents(folders[:_MOST], pictures[:_MOST], max(0, len(pictures) - _MOST))


def home() -> Path | None:
    """The person's home; None for a user who has none."""
    try:
        return Path.home()
    except (RuntimeError, OSError):
        return None


def short_path(path: Path) -> str:
    """A path as people write it: what is in their home begins with ~."""
    mine = home()
    if mine is None or not path.is_relative_to(mine):
        return str(path)
    return "~" if path == mine else f"~/{path.relative_to(mine).as_posix()}"


class FolderPage(Page):
    """Goes through folders. take: what to do with the folder that is chosen.

    suffixes: of the pictures to show, none by default; tile: how one is shown; tick: brings what is being read of them,
    and says whether something came.
    """

    def __init__(
        self,
        background: Background,
        folder: Path,
        take: Callable[[Path], None],
        title: str,
        suffixes: Sequence[str] = (),
        tile: Callable[[Path], Widget] = lambda path: Note(path.name),
        tick: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self.title = title
        self._background, self._take, self._suffixes, self._tile, self._tick = background, take, suffixes, tile, tick
        self._go(folder)

    def tick(self, now: float) -> bool:
        """See Page."""
        came = self._tick()
        return self._found.look() or came

    def widgets(self) -> list[Widget]:
        """See Page."""
        rows: list[Widget] = [Note(short_path(self._folder))]
        rows.append(Button("Use this folder", "", lambda: self._take(self._folder)))
        if self._folder.parent != self._folder:
            rows.append(Button("↑   up", "", lambda: self._go(self._folder.parent)))
        if self._found.waiting:
            return [*rows, Note("Looking…")]
        found: Contents = self._found.value or Contents(problem=self._found.problem)
        if found.problem:
            return [*rows, Note(found.problem, bad=True)]
        rows += [Button(f"{folder.name}/", "", partial(self._go, folder)) for folder in found.folders]
        if found.pictures:
            rows.append(Heading("Pictures"))
            rows += map(self._tile, found.pictures)
            if found.more:
                rows.append(Note(f"{found.more} more are not shown; drop one on the window instead."))
        return rows

    def _go(self, folder: Path) -> None:
        self._folder = Path(os.path.abspath(folder))
        self._found = Later(self._background.begin(contents, self._folder, self._suffixes))
        self.focus, self.scroll = None, 0
