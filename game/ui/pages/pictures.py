"""The pages of first pictures: the gallery, a folder gone through, and a picture before a world begins from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pygame

from game.live.status import SceneLike
from game.media.palette import ACCENT, QUIET, RAISED
from game.ui.commands import Cockpit
from game.ui.toolkit.background import Later, Thumbnails
from game.ui.toolkit.menu import Menu, Page
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.widgets import Button, Canvas, Heading, Note, Tile, Widget
from game.ui.view import fitted
from game.world.scenes import PICTURE_SUFFIXES, Scene

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


_MOST = 900  # pixels: the larger side of what is kept of the picture to show


@dataclass(frozen=True)
class Preview:
    """What is shown of a picture. whole: all of it, small. cut: the part that is used, as shares of width and height
    (left, top, width, height). seen: as the model gets it. size: of the file's picture.
    """

    whole: np.ndarray
    cut: tuple[float, float, float, float]
    seen: np.ndarray
    size: tuple[int, int]


def preview(path: Path, width: int, height: int) -> Preview:
    """Reads a picture and cuts it for a model of that size; called in the background. Raises PictureError."""
    import cv2

    from engine.pictures import fit_picture, middle
    from game.media.pictures import read_picture

    picture = read_picture(path)
    high, wide = picture.shape[:2]
    top, bottom, left, right = middle(high, wide, height, width)
    scale = min(1.0, _MOST / max(high, wide))
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    whole = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    cut = (left / wide, top / high, (right - left) / wide, (bottom - top) / high)
    return Preview(whole, cut, fit_picture(picture, height, width), (wide, high))


class DropPage(Page):
    """Shows a picture and begins a world from it."""

    title = "Begin here?"

    def __init__(self, cockpit: Cockpit, path: Path) -> None:
        super().__init__()
        self._cockpit, self._path = cockpit, path
        self._found = Later(cockpit.background.begin(preview, path, *cockpit.frame_size))
        self._surfaces: dict[tuple, pygame.Surface] = {}

    def tick(self, now: float) -> bool:
        """See Page."""
        return self._found.look()

    def widgets(self) -> list[Widget]:
        """See Page."""
        if self._found.waiting:
            return [Note(f"Reading {self._path.name}…")]
        if self._found.problem:
            return [Note(self._found.problem, bad=True), Button("Back", "", self._cockpit.back)]
        found: Preview = self._found.value
        wide, high = self._cockpit.frame_size
        note = f"{self._path.name}, {found.size[0]} × {found.size[1]}. The model sees its middle at {wide} × {high}."
        return [
            Canvas("pictures", units=12.5, paint_it=self._draw),
            Note(note),
            Button("Begin here", "", lambda: self._cockpit.enter(Scene(self._path.stem, self._path)), mark=True),
            Button("Back", "", self._cockpit.back),
        ]

    def _draw(self, paint: Painter, surface: pygame.Surface, area: pygame.Rect, unit: int) -> None:
        found: Preview = self._found.value
        half = (area.width - 3 * unit) // 2
        high = area.height - round(1.6 * unit)
        for number, (pixels, words) in enumerate(((found.whole, "your picture"), (found.seen, "what the model sees"))):
            room = pygame.Rect(area.left + unit + number * (half + unit), area.top, half, high)
            paint.panel(surface, room, RAISED, unit // 3)
            fit = fitted(pixels.shape[1::-1], room.size).move(room.topleft)
            surface.blit(self._scaled(pixels, fit.size), fit)
            if number == 0:
                self._mark_cut(surface, fit, found.cut, unit)
            paint.put(surface, words, round(0.85 * unit), QUIET, (room.centerx, area.bottom - round(0.7 * unit)),
                      anchor="center", room=half)  # fmt: skip

    @staticmethod
    def _mark_cut(surface: pygame.Surface, fit: pygame.Rect, cut: tuple[float, ...], unit: int) -> None:
        """Shades what is cut away, and frames what is used."""
        left, top, width, height = cut
        used = pygame.Rect(fit.left + round(left * fit.width), fit.top + round(top * fit.height),
                           round(width * fit.width), round(height * fit.height))  # fmt: skip
        shade = pygame.Surface(fit.size, pygame.SRCALPHA)
        shade.fill((0, 0, 0, 150))
        shade.fill((0, 0, 0, 0), used.move(-fit.left, -fit.top))
        surface.blit(shade, fit)
        pygame.draw.rect(surface, ACCENT, used, max(2, unit // 8))

    def _scaled(self, pixels: np.ndarray, size: tuple[int, int]) -> pygame.Surface:
        key = (id(pixels), size)
        if key not in self._surfaces:
            image = pygame.image.frombuffer(pixels.tobytes(), pixels.shape[1::-1], "RGB")
            self._surfaces = {k: v for k, v in self._surfaces.items() if k[0] != id(pixels)}
            self._surfaces[key] = pygame.transform.smoothscale(image, size).convert()
        return self._surfaces[key]


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
