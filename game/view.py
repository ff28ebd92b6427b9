"""What the window looks like: the world's picture at its aspect, icons over it, and the words of a state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pygame

from game.hud import Hud, text_unit
from game.overlay import INK, control_icons
from game.worker import Picture, State, Status

TITLE = "Neural world"
_EDGE = (8, 9, 13)  # beside the picture, where the window's aspect is another


@dataclass(frozen=True)
class Scenery:
    """All that a drawing of the window depends on: equal sceneries look the same, so only a new one is drawn.

    help: key help lines and their strength (0 to 1). remark: a passing line. slow_words: as Pacer.slow_words. numbers:
    the F3 rows, None when they are off.
    """

    picture: Picture | None
    status: Status
    paused: bool
    size: tuple[int, int]
    icons: bool = True
    help: tuple[str, ...] = ()
    help_strength: float = 0.0
    remark: str = ""
    slow_words: str = ""
    numbers: tuple[tuple[str, str, bool], ...] | None = None

    def same_as(self, other: Scenery | None) -> bool:
        """Whether the two look the same. Pictures are told apart by identity, not by their pixels."""
        if other is None or self.picture is not other.picture or self.status is not other.status:
            return False
        names = ("paused", "size", "icons", "help", "help_strength", "remark", "slow_words", "numbers")
        return all(getattr(self, name) == getattr(other, name) for name in names)


class View:
    """Draws sceneries. smooth: enlarge with interpolation; otherwise every pixel of the picture is a square."""

    def __init__(self, hud: Hud, smooth: bool = True) -> None:
        self._hud, self._smooth = hud, smooth

    def draw(self, surface: pygame.Surface, scenery: Scenery) -> None:
        """Draws the whole window. surface: the display's, 32 bits a pixel."""
        picture, status = scenery.picture, scenery.status
        surface.fill(_EDGE if picture is not None else INK)
        if picture is not None and picture.backdrop:
            self._draw_picture(surface, picture, cover=True)
        elif picture is not None:
            area = self._draw_picture(surface, picture, cover=False)
            if scenery.icons and status.space is not None and status.state is not State.FAILED:
                self._draw_icons(surface.subsurface(area), picture, status)
        if status.state is State.LOADING and (picture is None or picture.backdrop):
            self._dim(surface, 150)
            self._hud.loading(surface, TITLE, status.words, status.progress)
            return
        elif status.state is State.FAILED:
            self._dim(surface, 150)
            self._hud.card(surface, "The world stopped", status.words, "R to restart, Esc to quit", bad=True)
            return
        if scenery.paused:
            self._dim(surface, 110)
        self._draw_words(surface, scenery)
        if scenery.paused:
            self._hud.card(surface, "Paused", "", "P to go on, Esc to quit")

    def _draw_words(self, surface: pygame.Surface, scenery: Scenery) -> None:
        y = text_unit(surface) // 2
        if scenery.help_strength > 0 and scenery.help:
            y = self._hud.help(surface, scenery.help, scenery.help_strength)
        if scenery.slow_words:
            y = self._hud.remark(surface, scenery.slow_words, y, bad=True)
        if scenery.remark:
            y = self._hud.remark(surface, scenery.remark, y)
        if scenery.numbers is not None:
            self._hud.numbers(surface, scenery.numbers, y, self._free_down_to(surface, scenery))
        if scenery.status.recording:
            self._hud.dot(surface)

    @staticmethod
    def _free_down_to(surface: pygame.Surface, scenery: Scenery) -> int:
        """The y above which nothing but the picture is: the pause card or the icons begin there."""
        width, height = surface.get_size()
        if scenery.paused:
            return height // 2 - 4 * text_unit(surface)
        if not scenery.icons or scenery.picture is None or scenery.status.space is None:
            return height
        area = fitted(scenery.picture.pixels.shape[1::-1], (width, height))
        icons = control_icons(*area.size, (), None, scenery.status.space)
        return min([height, *(area.top + icon.y for icon in icons)])

    def _draw_picture(self, surface: pygame.Surface, picture: Picture, *, cover: bool) -> pygame.Rect:
        """Scales the picture into the window, all of it or (cover) filling it. Returns where it lies."""
        height, width = picture.pixels.shape[:2]
        image = pygame.image.frombuffer(picture.pixels, (width, height), "RGB").convert(surface)
        if cover:
            image = image.subsurface(fitted(surface.get_size(), (width, height)))
            area = surface.get_rect()
        else:
            area = fitted(image.get_size(), surface.get_size())
        scale = pygame.transform.smoothscale if self._smooth else pygame.transform.scale
        scale(image, area.size, surface.subsurface(area))
        return area

    def _draw_icons(self, area: pygame.Surface, picture: Picture, status: Status) -> None:
        control = picture.control
        for icon in control_icons(*area.get_size(), control.keys, control.mouse, status.space):
            self._hud.patch(area, icon.rgba, icon.x, icon.y)

    @staticmethod
    def _dim(surface: pygame.Surface, strength: int) -> None:
        shade = pygame.Surface(surface.get_size())
        shade.fill(INK)
        shade.set_alpha(strength)
        surface.blit(shade, (0, 0))


def fitted(inner: Sequence[int], outer: Sequence[int]) -> pygame.Rect:
    """The largest rectangle of `inner`'s aspect inside `outer` (both width, height), in the middle of it."""
    scale = min(outer[0] / inner[0], outer[1] / inner[1])
    width, height = max(1, min(outer[0], round(inner[0] * scale))), max(1, min(outer[1], round(inner[1] * scale)))
    return pygame.Rect((outer[0] - width) // 2, (outer[1] - height) // 2, width, height)
