"""Where a page's widgets lie, and which of them comes next in a direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pygame

from game.ui.toolkit.paint import Painter
from game.ui.toolkit.widgets import Widget


@dataclass(frozen=True)
class Placed:
    """A widget and its area on its page, from the page's upper left corner."""

    widget: Widget
    area: pygame.Rect


def arrange(widgets: Sequence[Widget], paint: Painter, unit: int, width: int) -> list[Placed]:
    """Rows under each other; tiles beside each other, as many as there is room for."""
    placed: list[Placed] = []
    y, column, tallest, kind = 0, 0, 0, 0.0
    for widget in widgets:
        columns = max(1, width // round(widget.tile * unit)) if widget.tile else 1
        if widget.tile != kind or column == columns:
            y, column, tallest, kind = y + tallest, 0, 0, widget.tile
        if widget.tile:
            wide = width // columns
            area = pygame.Rect(column * wide, y, wide, widget.height(paint, unit, wide))
            column, tallest = column + 1, max(tallest, area.height)
        else:
            area = pygame.Rect(0, y, width, widget.height(paint, unit, width))
            y += area.height
        placed.append(Placed(widget, area))
    return placed


def page_height(placed: Sequence[Placed]) -> int:
    """Pixels from the top of a page to the bottom of its lowest widget."""
    return max((one.area.bottom for one in placed), default=0)


def focusable(placed: Sequence[Placed]) -> list[Placed]:
    """Those that can have the focus."""
    return [one for one in placed if one.widget.focusable]


def neighbour(placed: Sequence[Placed], at: Placed, dx: int, dy: int) -> Placed | None:
    """The nearest widget that can have the focus in a direction (one of dx, dy is 0); None at the page's edge."""

    def distance(other: Placed) -> float | None:
        a, b = at.area, other.area
        if dy:
            along = b.top - a.top if dy > 0 else a.top - b.top
            apart = along if (b.top >= a.bottom if dy > 0 else b.bottom <= a.top) else None
            across = abs(b.left - a.left)
        else:
            along = (b.left - a.left) * dx
            apart = along if along > 0 and b.top < a.bottom and b.bottom > a.top else None
            across = abs(b.top - a.top)
        return None if apart is None else apart + 0.1 * across

    found = [(gap, one) for one in focusable(placed) if one is not at and (gap := distance(one)) is not None]
    return min(found, key=lambda pair: pair[0])[1] if found else None
