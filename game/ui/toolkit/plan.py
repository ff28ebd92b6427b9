"""Where the parts of the menu lie on a window: beside each other where there is room, else one instead of the other."""

from __future__ import annotations

from dataclasses import dataclass

import pygame

_SIDES, _BOTH = 11.5, 38  # units: width of the sections, and of a menu that has room for a page beside them
_MOST = (66, 44)  # units: a menu is no wider and no higher
_HEAD, _FOOT, _ROW = 3.4, 2.4, 2.4


@dataclass(frozen=True)
class Plan:
    """unit: height of ordinary text. sides: the sections' panel, None while the page has their place. body: the page's
    panel, empty while the sections have its place. view: what of the body is the page's own. footer: for hints.
    """

    unit: int
    sides: pygame.Rect | None
    body: pygame.Rect
    view: pygame.Rect
    footer: pygame.Rect

    @property
    def head(self) -> pygame.Rect:
        """The page's title and what is beside it."""
        return pygame.Rect(self.body.left, self.body.top, self.body.width, self.view.top - self.body.top)

    @property
    def corner(self) -> tuple[int, int]:
        """The upper right of what is free beside the page's title."""
        place = self.body if self.body.width or self.sides is None else self.sides
        return place.right - round(1.5 * self.unit), place.top + self.unit

    def rows(self, count: int) -> list[pygame.Rect]:
        """Where the sections' lines lie."""
        if self.sides is None:
            return []
        top = self.sides.top + round(_HEAD * self.unit)
        high = min(round(_ROW * self.unit), (self.sides.bottom - top - self.unit // 2) // count)
        left, width = self.sides.left + self.unit // 2, self.sides.width - self.unit
        return [pygame.Rect(left, top + i * high, width, high) for i in range(count)]


def make_plan(size: tuple[int, int], unit: int, *, sections: bool) -> Plan:
    """The plan for a window. sections: they have the focus, and the page's place if need be."""
    width, height = size
    margin = min(round(1.5 * unit), width // 24)
    whole = pygame.Rect(0, 0, min(width - 2 * margin, _MOST[0] * unit), min(height - 2 * margin, _MOST[1] * unit))
    whole.center = (width // 2, height // 2)
    sides, body = None, whole.copy()
    if whole.width >= _BOTH * unit:
        sides = pygame.Rect(whole.left, whole.top, round(_SIDES * unit), whole.height)
        body = pygame.Rect(sides.right + unit // 2, whole.top, whole.right - sides.right - unit // 2, whole.height)
    elif sections:
        sides, body = whole.copy(), pygame.Rect(0, 0, 0, 0)
    foot = round(_FOOT * unit)
    footer = pygame.Rect(body.left, body.bottom - foot, body.width, foot)
    top = body.top + round(_HEAD * unit)
    view = pygame.Rect(body.left + unit // 2, top, body.width - unit, max(unit, footer.top - top))
    return Plan(unit, sides, body, view, footer)
