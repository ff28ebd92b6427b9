"""The page of first pictures: the shipped scenes, recent ones, and a folder of the person's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from game.live.status import SceneLike
from game.ui.commands import Cockpit
from game.ui.pages.folder import Contents, FolderPage, contents, picture_tile, short_path
from game.ui.toolkit.background import Later
from game.ui.toolkit.menu import Menu
from game.ui.toolkit.page import Page
from game.ui.toolkit.plates import Heading, Note, Tile
from game.ui.toolkit.thumbnails import Thumbnails
from game.ui.toolkit.widgets import Button, Widget

_SHOWN = 24  # pictures of the person's folder on this page; browsing shows more


def pictures_folder(chosen: str) -> Path:
    """The folder of a person's own pictures: the chosen one, or the usual place if it exists, or their home."""
    if chosen:
        return Path(chosen).expanduser()
    usual = Path.home() / "Pictures"
    return usual if usual.is_dir() else Path.home()


class GalleryPage(Page):
    """Every picture a world may begin from."""

    title = "Scenes"

    def __init__(self, cockpit: Cockpit, menu: Menu, pictures: Thumbnails, scenes: Sequence[SceneLike]) -> None:
        super().__init__()
        self._cockpit, self._menu, self._pictures, self._scenes = cockpit, menu, pictures, list(scenes)
        self._found: Later | None = None

    def opened(self) -> None:
        """See Page."""
        folder = pictures_folder(self._cockpit.preferences.folder)
        self._found = Later(self._cockpit.background.begin(contents, folder))

    def tick(self, now: float) -> bool:
        """See Page."""
        came = self._pictures.tick()
        return (self._found is not None and self._found.look()) or came

    def widgets(self) -> list[Widget]:
        """See Page."""
        cockpit = self._cockpit
        rows: list[Widget] = [self._scene(scene) for scene in self._scenes]
        recent = [Path(path) for path in cockpit.preferences.recent]
        if recent:
            rows.append(Heading("Recent"))
            rows += [
                picture_tile(cockpit, self._menu, self._pictures, path, partial(self._forget, path)) for path in recent
            ]
        folder = pictures_folder(cockpit.preferences.folder)
        rows.append(Heading("Your pictures"))
        rows.append(Button(short_path(folder), "Choose another folder, or look into it", self._browse, note="browse"))
        if self._found is not None and self._found.value is not None:
            found: Contents = self._found.value
            if found.problem:
                rows.append(Note(found.problem, bad=True))
            rows += [picture_tile(cockpit, self._menu, self._pictures, path) for path in found.pictures[:_SHOWN]]
        rows.append(Note("Or drop a picture on the window, whenever you like."))
        return rows

    def _scene(self, scene: SceneLike) -> Tile:
        image, problem = self._pictures.ask(("scene", scene.name), scene.picture)
        return Tile(scene.name, problem or f"Begin in the {scene.name}", image=image,
                    act=partial(self._cockpit.enter, scene), problem="cannot be read" if problem else "",
                    mark=scene.name == self._cockpit.status.scene)  # fmt: skip

    def _forget(self, path: Path) -> None:
        recent = self._cockpit.preferences.recent
        self._cockpit.change(recent=tuple(other for other in recent if other != str(path)))

    def _browse(self) -> None:
        folder = pictures_folder(self._cockpit.preferences.folder)
        page = FolderPage(self._cockpit, self._menu, folder, self._take, "Your pictures", self._pictures)
        self._menu.push(page)

    def _take(self, folder: Path) -> None:
        self._cockpit.change(folder=str(folder))
        self._menu.pop()
        self.opened()
