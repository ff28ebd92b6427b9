"""A person's own picture before a world begins from it: all of it, what is cut away, and what the model will see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygame

from game.ui.commands import Cockpit
from game.ui.toolkit.background import Later
from game.ui.toolkit.page import Page
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.plates import Canvas, Note
from game.ui.toolkit.style import ACCENT, QUIET, RAISED
from game.ui.toolkit.widgets import Button, Widget
from game.ui.view import fitted
from game.world.scenes import Scene

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
