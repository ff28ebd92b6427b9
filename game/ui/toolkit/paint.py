"""Drawing in the window's design: text, panels, patches, key caps. Keeps what it rendered, so that what stays costs
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import pygame

from game.config.paths import ASSETS
from game.media.palette import LINE, PAPER, RAISED, Colour
from game.ui.toolkit.fonts import Fallbacks, Run, own_letters, render, runs, width

if TYPE_CHECKING:
    import numpy as np

REGULAR = ASSETS / "font" / "Inter-Regular.otf"
BOLD = ASSETS / "font" / "Inter-SemiBold.otf"

SMALLEST_TEXT = 9  # pixels, where a window is as small as a stamp
TEXT_SIZES = {"small": 0.85, "normal": 1.0, "large": 1.25}


def text_unit(width: int, height: int, times: float = 1.0) -> int:
    """Height of ordinary text in pixels, from which everything else is laid out.

    width, height: of the window in (real) pixels. It follows the window less than in proportion: a larger one shows
    more, and a small one can still be read. times: what a person asked for.
    """
    share = max(0.01, min(width / 1280, height / 720))
    fits = min(width / 16, height / 10)  # a stamp of a window must hold a word
    return max(SMALLEST_TEXT, min(round(20 * share**0.7 * times), round(fits)))


_MOST_PATCHES = 400


class Painter:
    """Draws on surfaces. times: how much larger than usual a person wants text. fallbacks: fonts of the system."""

    def __init__(self, fallbacks: Fallbacks | None = None) -> None:
        pygame.font.init()
        self.times = 1.0
        self._font = lru_cache(maxsize=48)(self._load_font)
        self._text = lru_cache(maxsize=512)(self._render)
        self._wide = lru_cache(maxsize=2048)(self._measure)
        self._glasses = lru_cache(maxsize=24)(self._make_glass)
        self._caps = lru_cache(maxsize=256)(self._make_cap)
        self._patches: dict[int, tuple[np.ndarray, pygame.Surface]] = {}
        self._fallbacks = fallbacks or Fallbacks()

    def unit(self, surface: pygame.Surface) -> int:
        """The height of ordinary text on this window, in pixels."""
        return self.unit_of(surface.get_size())

    def unit_of(self, size: tuple[int, int]) -> int:
        """The same for a window of this size."""
        return text_unit(*size, self.times)

    def fresh(self) -> bool:
        """Whether a font has come, so that words look different from now on."""
        if not self._fallbacks.fresh():
            return False
        self._text.cache_clear()
        self._wide.cache_clear()
        self._caps.cache_clear()
        return True

    # -- text --------------------------------------------------------------------------------------------------------

    def text(self, words: str, size: int, colour: Colour = PAPER, *, bold: bool = False) -> pygame.Surface:
        """Rendered words, to be blitted and not to be drawn on."""
        return self._text(words, max(SMALLEST_TEXT, size), colour, bold)

    def wide(self, words: str, size: int, *, bold: bool = False) -> int:
        """Width of words in pixels."""
        return self._wide(words, max(SMALLEST_TEXT, size), bold)

    def line(self, size: int) -> int:
        """Height of a line of text in pixels."""
        return self._font(max(SMALLEST_TEXT, size), False).get_height()

    def put(
        self,
        surface: pygame.Surface,
        words: str,
        size: int,
        colour: Colour,
        at: tuple[int, int],
        *,
        anchor: str = "midleft",
        bold: bool = False,
        room: int | None = None,
    ) -> pygame.Rect:
        """Puts one line of text. at: where its `anchor` (a pygame.Rect name) goes. room: shortened to this width."""
        if room is not None:
            words = self.shortened(words, size, room, bold=bold)
        rendered = self.text(words, size, colour, bold=bold)
        place = rendered.get_rect(**{anchor: at})
        surface.blit(rendered, place)
        return place

    def shortened(self, words: str, size: int, width: int, *, bold: bool = False) -> str:
        """`words`, or as much of their beginning as a width has room for and three dots."""
        if self.wide(words, size, bold=bold) <= width:
            return words
        low, high = 0, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.wide(words[:middle].rstrip() + "…", size, bold=bold) <= width
            low, high = (middle, high) if fits else (low, middle - 1)
        return words[:low].rstrip() + "…"

    def wrapped(self, words: str, size: int, width: int) -> list[str]:
        """`words` in lines no wider than `width`."""
        lines: list[str] = []
        for word in words.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.wide(longer, size) <= width:
                lines[-1] = longer
            else:
                lines.append(self.shortened(word, size, width))
        return lines

    def fitting_size(self, rows: Sequence[Sequence[str]], size: int, width: int) -> int:
        """The size, at most `size`, at which the columns of text beside each other fit into a width."""

        def needed(size: int) -> int:
            return sum(max(self.wide(words, size) for words in column) for column in zip(*rows, strict=True))

        while size > SMALLEST_TEXT and needed(size) > width:
            size -= 1
        return size

    # -- shapes ------------------------------------------------------------------------------------------------------

    def panel(self, surface: pygame.Surface, area: pygame.Rect, colour: Colour, radius: int) -> None:
        """An opaque panel with smooth round corners, however large, cheaply."""
        radius = max(0, min(radius, area.width // 2, area.height // 2))
        if radius == 0:
            surface.fill(colour, area)
            return
        surface.fill(colour, area.inflate(-2 * radius, 0))
        surface.fill(colour, area.inflate(0, -2 * radius))
        disc = self._disc(radius, colour, 1.0)
        for x, left in ((area.left, 0), (area.right - radius, radius)):
            for y, top in ((area.top, 0), (area.bottom - radius, radius)):
                surface.blit(disc, (x, y), (left, top, radius, radius))

    def glass(self, surface: pygame.Surface, area: pygame.Rect, colour: Colour, opacity: float, radius: int) -> None:
        """A panel with smooth round corners that the picture shines through."""
        surface.blit(self._glasses(area.size, colour, opacity, radius), area)

    def outline(self, surface: pygame.Surface, area: pygame.Rect, colour: Colour, radius: int, width: int) -> None:
        """A rounded frame around an area, inside it."""
        pygame.draw.rect(surface, colour, area, width, border_radius=radius)

    def cap_wide(self, words: str, unit: int) -> int:
        """Width of a key cap."""
        return max(round(1.5 * unit), self.wide(words, round(0.85 * unit)) + round(0.9 * unit))

    def cap(self, surface: pygame.Surface, words: str, unit: int, at: tuple[int, int]) -> int:
        """A key cap with a name on it. at: its middle left. Returns its width."""
        cap = self._caps(words, unit)
        surface.blit(cap, cap.get_rect(midleft=at))
        return cap.get_width()

    def patch(self, surface: pygame.Surface, rgba: np.ndarray, x: int, y: int) -> None:
        """Lays an RGBA patch, (h, w, 4) uint8, over a surface with its upper left corner at (x, y)."""
        surface.blit(self._surface_of(rgba), (x, y))

    def _surface_of(self, rgba: np.ndarray) -> pygame.Surface:
        known = self._patches.get(id(rgba))
        if known is None or known[0] is not rgba:
            if len(self._patches) > _MOST_PATCHES:
                self._patches.clear()
            height, width = rgba.shape[:2]
            known = (rgba, pygame.image.frombuffer(rgba.tobytes(), (width, height), "RGBA").convert_alpha())
            self._patches[id(rgba)] = known  # holding the array keeps its id from being given to another
        return known[1]

    def _disc(self, radius: int, colour: Colour, opacity: float) -> pygame.Surface:
        from game.media.icons import rounded_panel  # numpy: text is drawn before there is any

        return self._surface_of(rounded_panel(2 * radius, 2 * radius, float(radius), colour, opacity))

    def _make_cap(self, words: str, unit: int) -> pygame.Surface:
        cap = pygame.Surface((self.cap_wide(words, unit), round(1.5 * unit)), pygame.SRCALPHA)
        area = cap.get_rect()
        self.panel(cap, area, LINE, round(0.35 * unit))
        self.panel(cap, area.inflate(-2, -2), RAISED, round(0.35 * unit) - 1)
        self.put(cap, words, round(0.85 * unit), PAPER, area.center, anchor="center")
        return cap

    # -- what is kept ------------------------------------------------------------------------------------------------

    def _make_glass(self, size: tuple[int, int], colour: Colour, opacity: float, radius: int) -> pygame.Surface:
        glass = pygame.Surface(size, pygame.SRCALPHA)
        glass.fill((*colour, round(255 * opacity)))
        radius = max(1, min(radius, size[0] // 2, size[1] // 2))
        disc = self._disc(radius, colour, opacity)
        for x, left in ((0, 0), (size[0] - radius, radius)):
            for y, top in ((0, 0), (size[1] - radius, radius)):
                glass.blit(disc, (x, y), (left, top, radius, radius), pygame.BLEND_RGBA_MIN)
        return glass

    @staticmethod
    def _load_font(size: int, bold: bool) -> pygame.font.Font:
        path = BOLD if bold else REGULAR
        return pygame.font.Font(str(path) if path.is_file() else None, size)

    def _render(self, words: str, size: int, colour: Colour, bold: bool) -> pygame.Surface:
        font, words = self._font(size, bold), printable(words)
        parts = self._parts(words, size, bold)
        if len(parts) == 1 and parts[0][1] is None:
            return font.render(words, True, colour)
        height, ascent = font.get_height(), font.get_ascent()
        pieces = [
            font.render(text, True, colour) if of is None else render(text, of, size, colour, ascent, height)
            for text, of in parts
        ]
        whole = pygame.Surface((sum(piece.get_width() for piece in pieces), height), pygame.SRCALPHA)
        x = 0
        for piece in pieces:
            whole.blit(piece, (x, 0))
            x += piece.get_width()
        return whole

    def _measure(self, words: str, size: int, bold: bool) -> int:
        words = printable(words)
        parts = self._parts(words, size, bold)
        if len(parts) == 1 and parts[0][1] is None:
            return self._font(size, bold).size(words)[0]
        font = self._font(size, bold)
        return sum(font.size(text)[0] if of is None else width(text, of, size) for text, of in parts)

    def _parts(self, words: str, size: int, bold: bool) -> list[Run]:
        return [(words, None)] if words.isascii() else runs(words, own_letters(self._font(20, bold)), self._fallbacks)


def printable(words: str) -> str:
    """`words` without what a font refuses: an error may name a file whose name is no text at all."""
    return words.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
