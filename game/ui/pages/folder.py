"""A page to find a folder, or a picture in one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from game.ui.commands import Cockpit
from game.ui.pages.drop import DropPage
from game.ui.toolkit.background import Later
from game.ui.toolkit.menu import Menu
from game.ui.toolkit.page import Page
from game.ui.toolkit.plates import Heading, Note, Tile
from game.ui.toolkit.thumbnails import Thumbnails
from game.ui.toolkit.widgets import Button, Widget
from game.world.scenes import PICTURE_SUFFIXES

_MOST = 300  # of one folder: more would only be scrolled past


@dataclass(frozen=True)
class Contents:
    """What a folder holds. more: how many pictures were left out. problem: why it cannot be read, or ""."""

    folders: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()
    more: int = 0
    problem: str = ""


def contents(folder: Path) -> Contents:
    """A folder's folders and pictures, hidden ones left out; called in the background."""
    try:
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name.lower())
        folders = tuple(Path(e.path) for e in entries if e.is_dir())
        pictures = tuple(Path(e.path) for e in entries if Path(e.name).suffix.lower() in PICTURE_SUFFIXES)
    except OSError as error:
        return Contents(problem=f"{folder} cannot be read ({error.strerror or error})")
    return Contents(folders[:_MOST], pictures[:_MOST], max(0, len(pictures) - _MOST))


def short_path(path: Path) -> str:
    """A path as people write it: what is in their home begins with ~."""
    home = Path.home()
    inside = path != home and path.is_relative_to(home)
    return f"~/{path.relative_to(home).as_posix()}" if inside else "~" if path == home else str(path)


class FolderPage(Page):
    """Goes through folders. take: what to do with the folder that is chosen. pictures: shows the pictures, too, each
    of which may be played from.
    """

    def __init__(
        self,
        cockpit: Cockpit,
        menu: Menu,
        folder: Path,
        take: Callable[[Path], None],
        title: str,
        pictures: Thumbnails | None = None,
    ) -> None:
        super().__init__()
        self.title = title
        self._cockpit, self._menu, self._take, self._pictures = cockpit, menu, take, pictures
        self._go(folder)

    def tick(self, now: float) -> bool:
        """See Page."""
        came = self._pictures is not None and self._pictures.tick()
        return self._found.look() or came

    def widgets(self) -> list[Widget]:
        """See Page."""
        rows: list[Widget] = [Note(short_path(self._folder))]
        rows.append(Button("Use this folder", "", lambda: self._take(self._folder)))
        if self._folder.parent != self._folder:
            rows.append(Button("↑   up", "", lambda: self._go(self._folder.parent)))
        if self._found.waiting:
            return [*rows, Note("Looking…")]
        found: Contents = self._found.value
        if found.problem:
            return [*rows, Note(found.problem, bad=True)]
        rows += [Button(f"{folder.name}/", "", partial(self._go, folder)) for folder in found.folders]
        if self._pictures is not None and found.pictures:
            rows.append(Heading("Pictures"))
            rows += [picture_tile(self._cockpit, self._menu, self._pictures, path) for path in found.pictures]
            if found.more:
                rows.append(Note(f"{found.more} more are not shown; drop one on the window instead."))
        return rows

    def _go(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._found = Later(self._cockpit.background.begin(contents, self._folder))
        self.focus, self.scroll = None, 0


def picture_tile(
    cockpit: Cockpit, menu: Menu, pictures: Thumbnails, path: Path, remove: Callable[[], None] = lambda: None
) -> Tile:
    """A picture of the person's own: activated, it is shown as the model would see it. remove: what Delete does."""
    from game.media.pictures import read_picture

    key = ("file", str(path))
    image, problem = pictures.ask(key, partial(read_picture, path))
    return Tile(path.stem, problem or short_path(path), image=image, act=lambda: menu.push(DropPage(cockpit, path)),
                problem="cannot be read" if problem else "", name=str(path), remove=remove)  # fmt: skip
