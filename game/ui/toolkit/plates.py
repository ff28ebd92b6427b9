"""Widgets that show something: headings, notes, key caps, pictures in a grid, and a place to draw on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pygame

from game.ui.toolkit.paint import Painter
from game.ui.toolkit.style import ACCENT, PANEL, PAPER, QUIET, RAISED, WARN
from game.ui.toolkit.widgets import Widget, caps_height, draw_caps


@dataclass
class Heading(Widget):
    """A title between rows."""

    focusable = False

    def height(self, paint, unit, width):
        """See Widget."""
        return round(2.4 * unit)

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        at = (area.left + unit, area.bottom - round(0.5 * unit))
        paint.put(surface, self.label, round(0.85 * unit), QUIET, at, anchor="bottomleft", bold=True,
                  room=area.width - 2 * unit)  # fmt: skip


@dataclass
class Note(Widget):
    """Words that explain, in as many lines as they need. bad: in the colour of a warning."""

    bad: bool = False
    focusable = False

    def height(self, paint, unit, width):
        """See Widget."""
        size = round(0.9 * unit)
        lines = len(paint.wrapped(self.label, size, width - 2 * unit))
        return lines * round(1.45 * size) + round(0.5 * unit)

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        size = round(0.9 * unit)
        for number, line in enumerate(paint.wrapped(self.label, size, area.width - 2 * unit)):
            at = (area.left + unit, area.top + round(0.25 * unit) + number * round(1.45 * size))
            paint.put(surface, line, size, WARN if self.bad else QUIET, at, anchor="topleft")


@dataclass
class Caps(Widget):
    """What inputs do something, to be read only."""

    caps: Sequence[str] = ()
    focusable = False
    tile = 18.0

    def height(self, paint, unit, width):
        """See Widget."""
        part = self._part(paint, pygame.Rect(0, 0, width, 0), unit)
        return round(1.65 * unit) + caps_height(paint, unit, part.width, self.caps)

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        at = (area.left + unit, area.top + round(0.825 * unit))  # beside the first line of the caps
        paint.put(surface, self.label, round(0.95 * unit), PAPER, at, room=area.width // 2)
        part = self._part(paint, area, unit)
        part.height = self.height(paint, unit, area.width)  # its row may be higher
        draw_caps(paint, surface, part, unit, self.caps)

    def _part(self, paint: Painter, area: pygame.Rect, unit: int) -> pygame.Rect:
        """Where the caps stand: all that the label leaves."""
        taken = min(paint.wide(self.label, round(0.95 * unit)), area.width // 2) + round(1.4 * unit)
        return pygame.Rect(area.left + taken, area.top, area.width - unit // 2 - taken, area.height)


@dataclass
class Tile(Widget):
    """A picture with a title under it. image: gives it in a size, None while it is being loaded. problem: why there is
    none.
    """

    image: Callable[[tuple[int, int]], pygame.Surface | None] = lambda size: None
    act: Callable[[], None] = lambda: None
    note: str = ""
    problem: str = ""
    mark: bool = False
    remove: Callable[[], None] = lambda: None

    tile = 11.5

    def height(self, paint, unit, width):
        """See Widget."""
        lines = 3.1 if self.note else 1.9
        return round((width - unit) * 9 / 16 + lines * unit)

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        if focused:
            paint.panel(surface, area, RAISED, round(0.4 * unit))
        pad = unit // 2
        frame = pygame.Rect(area.left + pad, area.top + pad, area.width - 2 * pad, 0)
        frame.height = round(frame.width * 9 / 16)
        image = self.image(frame.size)
        if image is not None:
            surface.blit(image, frame)
            if self.mark:
                paint.outline(surface, frame, ACCENT, 0, max(2, unit // 8))
        else:
            paint.panel(surface, frame, PANEL if focused else RAISED, round(0.3 * unit))
            words = self.problem or "…"
            paint.put(surface, words, round(0.8 * unit), WARN if self.problem else QUIET, frame.center,
                      anchor="center", room=frame.width - unit)  # fmt: skip
        room = frame.width - unit // 4
        y = frame.bottom + round(0.75 * unit)
        colour = ACCENT if self.mark else PAPER
        paint.put(surface, self.label, round(0.95 * unit), colour, (frame.left, y), room=room, bold=self.mark)
        if self.note:
            paint.put(surface, self.note, round(0.8 * unit), QUIET, (frame.left, y + round(1.2 * unit)), room=room)

    def activate(self):
        """See Widget."""
        self.act()

    def clear(self):
        """See Widget."""
        self.remove()


@dataclass
class Canvas(Widget):
    """A place that a page draws on by itself. units: its height."""

    units: float = 8.0
    paint_it: Callable[[Painter, pygame.Surface, pygame.Rect, int], None] = lambda *args: None
    focusable = False

    def height(self, paint, unit, width):
        """See Widget."""
        return round(self.units * unit)

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        self.paint_it(paint, surface, area, unit)
