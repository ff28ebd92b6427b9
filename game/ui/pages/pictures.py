"""The pages of first pictures: the gallery, and a picture before a world begins from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pygame

from engine.errors import PictureError
from game.live.status import SceneLike
from game.media.palette import ACCENT, QUIET, RAISED
from game.ui.commands import Commands
from game.ui.toolkit.background import HIGH, WIDE, Later, Thumbnails
from game.ui.toolkit.folders import Contents, FolderPage, contents, home, short_path
from game.ui.toolkit.menu import Menu, Page
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.widgets import Button, Canvas, Heading, Note, Tile, Widget
from game.ui.view import fitted
from game.world.scenes import PICTURE_SUFFIXES, Scene

_SHOWN = 24  # pictures of the person's folder in the gallery; browsing shows more
_LONGEST_SIDE = 900  # pixels of what is kept of a picture to show


# -- what lies on the disk ---------------------------------------------------------------------------------------------


def pictures_folder(chosen: str) -> Path:
    """The folder of a person's own pictures: the chosen one, or the usual place if it exists, or their home."""
    mine = home() or Path("/")
    if chosen:
        try:
            return Path(chosen).expanduser()
        except RuntimeError:  # ~nobody
            return Path(chosen)
    usual = mine / "Pictures"
    return usual if usual.is_dir() else mine


def tile_picture(path: Path) -> np.ndarray:
    """A person's picture for a tile; called in the background. Raises PictureError."""
    from game.media.pictures import read_picture

    return read_picture(path, near=(2 * WIDE, 2 * HIGH))


def picture_tile(
    commands: Commands, menu: Menu, pictures: Thumbnails, path: Path, remove: Callable[[], None] = lambda: None
) -> Tile:
    """A picture of the person's own: activated, it is shown as the model would see it. remove: what Delete does."""
    image = partial(pictures.ask, ("file", str(path)), partial(tile_picture, path))
    act = lambda: menu.push(DropPage(commands, Scene(path.stem, path)))  # noqa: E731
    return Tile(path.stem, short_path(path), image=image, act=act, name=str(path), remove=remove)


# -- the gallery -------------------------------------------------------------------------------------------------------


class GalleryPage(Page):
    """Every picture a world may begin from."""

    title = "Scenes"

    def __init__(self, commands: Commands, menu: Menu, pictures: Thumbnails, scenes: Sequence[SceneLike]) -> None:
        super().__init__()
        self._commands, self._menu, self._pictures, self._scenes = commands, menu, pictures, list(scenes)
        self._found: Later | None = None
        self._folder: Path | None = None

    def opened(self) -> None:
        """See Page."""
        self._folder = None
        self._found = Later(self._commands.background.begin(self._look, self._commands.preferences.folder))

    @staticmethod
    def _look(chosen: str) -> tuple[Path, Contents]:
        folder = pictures_folder(chosen)
        return folder, contents(folder, PICTURE_SUFFIXES)

    def tick(self, now: float) -> bool:
        """See Page."""
        came = self._pictures.tick()
        return (self._found is not None and self._found.look()) or came

    def widgets(self) -> list[Widget]:
        """See Page."""
        commands = self._commands
        rows: list[Widget] = [self._scene(scene) for scene in self._scenes]
        recent = [Path(path) for path in commands.preferences.recent]
        if recent:
            rows.append(Heading("Recent"))
            rows += [
                picture_tile(commands, self._menu, self._pictures, path, partial(self._forget, path)) for path in recent
            ]
        rows.append(Heading("Your pictures"))
        return [*rows, *self._own(), Note("Or drop a picture on the window, or paste one (Ctrl V), whenever you like.")]

    def _own(self) -> list[Widget]:
        if self._found is None or self._found.waiting:
            return [Note("Looking…")]
        if self._found.value is None:
            return [Note(self._found.problem, bad=True)]
        folder, found = self._found.value
        rows: list[Widget] = [
            Button("Your home folder" if folder == home() else short_path(folder),
                   "Choose another folder, or look into it", partial(self._browse, folder), note="browse")
        ]  # fmt: skip
        if found.problem:
            rows.append(Note(found.problem, bad=True))
        shown = found.pictures[:_SHOWN]
        return [*rows, *(picture_tile(self._commands, self._menu, self._pictures, path) for path in shown)]

    def _scene(self, scene: SceneLike) -> Tile:
        image = partial(self._pictures.ask, ("scene", scene.name), scene.picture)
        return Tile(scene.name, f"Begin in the {scene.name}", image=image, act=partial(self._commands.enter, scene),
                    mark=scene.name == self._commands.status.scene)  # fmt: skip

    def _forget(self, path: Path) -> None:
        recent = self._commands.preferences.recent
        self._commands.change(recent=tuple(other for other in recent if other != str(path)))

    def _browse(self, folder: Path) -> None:
        tile = partial(picture_tile, self._commands, self._menu, self._pictures)
        background, tick = self._commands.background, self._pictures.tick
        page = FolderPage(background, folder, self._take, "Your pictures", PICTURE_SUFFIXES, tile, tick)
        self._menu.push(page)

    def _take(self, folder: Path) -> None:
        self._commands.change(folder=str(folder))
        self._menu.pop()
        self.opened()


# -- a picture before its world begins ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preview:
    """What is shown of a picture. whole: all of it, small. cut: the part that is used, as shares of width and height
    (left, top, width, height). seen: as the model gets it. size: of the file's picture.
    """

    whole: np.ndarray
    cut: tuple[float, float, float, float]
    seen: np.ndarray
    size: tuple[int, int]


def preview(scene: SceneLike, width: int, height: int) -> Preview:
    """Reads a picture and cuts it for a model of that size; called in the background. Raises PictureError."""
    import cv2

    from engine.pictures import fit_picture, middle

    picture = scene.picture()
    high, wide = picture.shape[:2]
    top, bottom, left, right = middle(high, wide, height, width)
    scale = min(1.0, _LONGEST_SIDE / max(high, wide))
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    whole = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    cut = (left / wide, top / high, (right - left) / wide, (bottom - top) / high)
    return Preview(whole, cut, fit_picture(picture, height, width), (wide, high))


class DropPage(Page):
    """Shows a picture and begins a world from it. scene: its name and where it comes from."""

    title = "Begin here?"

    def __init__(self, commands: Commands, scene: SceneLike) -> None:
        super().__init__()
        self._commands, self._scene = commands, scene
        self._found = Later(commands.background.begin(preview, scene, *commands.frame_size))
        self._surfaces: dict[tuple, pygame.Surface] = {}

    @property
    def ready(self) -> bool:
        """Whether the picture has been read, well or badly."""
        return not self._found.waiting

    def tick(self, now: float) -> bool:
        """See Page."""
        return self._found.look()

    def widgets(self) -> list[Widget]:
        """See Page."""
        if self._found.waiting:
            return [Note(f"Reading {self._scene.name}…")]
        if self._found.value is None:
            return [Note(self._found.problem, bad=True), Button("Back", "", self._commands.back)]
        found: Preview = self._found.value
        wide, high = self._commands.frame_size
        note = f"{self._scene.name}, {found.size[0]} × {found.size[1]}. The model sees its middle at {wide} × {high}."
        return [
            Canvas("pictures", units=12.5, paint_it=self._draw),
            Note(note),
            Button("Begin here", "", lambda: self._commands.enter(self._scene), mark=True),
            Button("Back", "", self._commands.back),
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


# -- what is pasted ----------------------------------------------------------------------------------------------------


@dataclass
class _Pasted:
    """The picture on the clipboard; read once, in the background."""

    name: str = "pasted picture"
    pixels: np.ndarray | None = None

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises PictureError where there is none."""
        if self.pixels is None:
            self.pixels = clipboard_picture()
        return self.pixels


def clipboard_picture() -> np.ndarray:
    """The picture on the clipboard, or in the file that was copied, (H, W, 3) uint8 RGB. Raises PictureError."""
    from PIL import Image, ImageGrab

    from game.media.pictures import read_picture

    try:
        found = ImageGrab.grabclipboard()
    except NotImplementedError as error:
        remedy = "install xclip, or wl-clipboard on Wayland"
        raise PictureError("the clipboard cannot be read here", remedy=remedy) from error
    except (OSError, ValueError, ChildProcessError, Image.DecompressionBombError) as error:
        raise PictureError(f"there is no picture on the clipboard ({error})") from error
    if isinstance(found, list) and found:
        return read_picture(Path(found[0]))
    if not isinstance(found, Image.Image):
        raise PictureError("there is no picture on the clipboard", remedy="copy one, or drop its file on the window")
    whole = found.convert("RGBA")
    ground = Image.new("RGBA", whole.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(ground, whole).convert("RGB"))


class PastePage(DropPage):
    """The picture that was pasted, before a world begins from it."""

    def __init__(self, commands: Commands) -> None:
        super().__init__(commands, _Pasted())
