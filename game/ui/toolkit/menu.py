"""The menu: sections at the left, the page of one of them beside; mouse, keyboard and gamepad do the same things.

It knows widgets and pages, and nothing of worlds. The app hands it named inputs and the pointer, and draws it when its
`stamp` has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pygame

from game.media.palette import ACCENT, LINE, PANEL, PAPER, QUIET, RAISED, WARN
from game.ui.toolkit.background import words_of
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.widgets import Button, Note, Widget


@dataclass(frozen=True)
class Placed:
    """A widget and its area on its page, from the page's upper left corner."""

    widget: Widget
    area: pygame.Rect


Grids = dict[tuple, tuple[list["Placed"], int]]  # what tiles, where -> how they lie, and where they end


def arrange(
    widgets: Sequence[Widget], paint: Painter, unit: int, width: int, known: Grids | None = None
) -> list[Placed]:
    """Rows under each other; tiles beside each other, as many as there is room for. known: grids laid out before, of
    which those that are there again are kept: a page may have thousands of tiles and one row that changes."""
    placed: list[Placed] = []
    y, grids = 0, {}
    for tile, together in groupby(widgets, key=lambda widget: widget.tile):
        group = list(together)
        if not tile:
            for widget in group:
                area = pygame.Rect(0, y, width, widget.height(paint, unit, width))
                placed.append(Placed(widget, area))
                y += area.height
            continue
        key = (tuple(map(id, group)), y, unit, width)
        grid = (known or {}).get(key) or _grid(group, paint, unit, width, y)
        grids[key] = grid
        placed += grid[0]
        y = grid[1]
    if known is not None:
        known.clear()
        known.update(grids)
    return placed


def _grid(tiles: Sequence[Widget], paint: Painter, unit: int, width: int, y: int) -> tuple[list[Placed], int]:
    columns = max(1, width // round(tiles[0].tile * unit))
    wide, placed = width // columns, []
    for first in range(0, len(tiles), columns):
        row = tiles[first : first + columns]
        heights = [widget.height(paint, unit, wide) for widget in row]
        placed += [
            Placed(widget, pygame.Rect(column * wide, y, wide, high))
            for column, (widget, high) in enumerate(zip(row, heights, strict=True))
        ]
        y += max(heights)
    return placed, y


def page_height(placed: Sequence[Placed]) -> int:
    """Pixels from the top of a page to the bottom of its lowest widget."""
    return max((one.area.bottom for one in placed), default=0)


def focusable(placed: Sequence[Placed]) -> list[Placed]:
    """Those that can have the focus."""
    return [one for one in placed if one.widget.focusable]


_REACH = 4  # heights of a widget


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

    for reach in (_REACH * at.area.height + at.area.width, None):  # most of a long page is far away
        near = [one for one in placed if reach is None or -reach < one.area.top - at.area.top < reach]
        found = [(gap, one) for one in focusable(near) if one is not at and (gap := distance(one)) is not None]
        if found:
            break
    return min(found, key=lambda pair: pair[0])[1] if found else None


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


class Page:
    """One page. A subclass says what is on it; the menu draws it and moves the focus.

    focus: key of the widget that has the focus, None for the first. scroll: pixels it is scrolled down.
    """

    title = ""

    def __init__(self) -> None:
        self.focus: str | None = None
        self.scroll = 0

    @property
    def waits(self) -> bool:
        """Whether it waits for an input, whatever it is."""
        return False

    def widgets(self) -> list[Widget]:
        """What stands on it now."""
        raise NotImplementedError

    def opened(self) -> None:
        """It has come into view."""

    def closed(self) -> None:
        """It is out of view again."""

    def tick(self, now: float) -> bool:
        """Called all the while it is in view. Returns whether it looks different by itself."""
        return False

    def takes_input(self, name: str, down: bool, now: float) -> bool:
        """An input, before the menu makes anything of it. Returns whether the page wants it for itself."""
        return False

    def takes_motion(self, dx: int, dy: int, now: float) -> None:
        """The mouse moved over the page."""


_STEPS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
_NAMES = {f"pad {part} {way}": way for part in ("dpad", "left stick") for way in _STEPS}
_NAMES |= {way: way for way in _STEPS}
_NAMES |= {"return": "accept", "enter": "accept", "keypad enter": "accept", "space": "accept", "pad a": "accept"}
_NAMES |= {"escape": "close", "pad start": "close", "pad b": "back", "backspace": "back", "mouse right": "back"}
_NAMES |= {"delete": "clear", "pad x": "clear", "tab": "swap"}
_NAMES |= {"page up": "page up", "page down": "page down", "home": "home", "end": "end"}
_NAMES |= {"pad left shoulder": "page up", "pad right shoulder": "page down"}
_REPEAT_AFTER, _REPEAT_EVERY = 0.35, 0.06  # s


@dataclass(frozen=True)
class Section:
    """A line of the menu: a page, something to do at once, or both (then the page is only looked at)."""

    name: str
    page: Page | None = None
    act: Callable[[], None] | None = None


class Menu:
    """Open or not; where a person is in it. done: called when it closes."""

    def __init__(self, title: str, sections: Sequence[Section], paint: Painter, done: Callable[[], None]) -> None:
        self._title, self.sections, self._paint, self._done = title, list(sections), paint, done
        self.is_open = False
        self.stamp = 0
        self.remark = ""
        self.section = 0
        self._stack: list[Page] = []  # pages laid over the section's
        self.inside = False  # whether the focus is on the page, or on the sections
        self._repeat: tuple[str, float] | None = None
        self._dragged: Placed | None = None
        self._size = (640, 400)
        self._broken: dict[Page, str] = {}  # pages that have failed, and how
        self._grids: Grids = {}

    # -- opening and closing -----------------------------------------------------------------------------------------

    def open(self, name: str | None = None, page: Page | None = None) -> None:
        """Opens it, at a section and a page over that section's if they are given."""
        if name is not None:
            self._leave_stack()
            self.section = self._number(name)
        self.inside = name is not None
        was_open, self.is_open = self.is_open, True
        if not was_open or name is not None:
            self._enter()
        if page is not None:
            self.push(page)
        self._touch()

    def close(self) -> None:
        """Closes it, wherever a person is in it."""
        if not self.is_open:
            return
        self._leave_stack()
        self._leave()
        self.is_open, self.inside, self._repeat, self._dragged, self.remark = False, False, None, None, ""
        self.section = 0
        self._touch()
        self._done()

    def push(self, page: Page) -> None:
        """Lays a page over the present one."""
        self._stack.append(page)
        self.inside = True
        self._enter()
        self._touch()

    def pop(self) -> None:
        """Goes back to the page under the present one; from the lowest, to the sections."""
        if self._stack:
            self._leave()
            self._stack.pop()
        elif self.inside:
            self.inside = False
        else:
            self.close()
        self._touch()

    @property
    def takes_all(self) -> bool:
        """Whether the page in view waits for whatever input comes next."""
        return self.inside and self.page is not None and self.page not in self._broken and self.page.waits

    @property
    def page(self) -> Page | None:
        """The page in view."""
        return self._stack[-1] if self._stack else self.sections[self.section].page

    def page_widgets(self) -> list[Widget]:
        """What stands on the page in view, or what says that it has failed."""
        return [one.widget for one in self.placed()]

    def tick(self, now: float) -> None:
        """Lets time pass: a held key repeats, pictures come."""
        if self._repeat is not None and now >= self._repeat[1]:
            self._repeat = (self._repeat[0], now + _REPEAT_EVERY)
            self._do(self._repeat[0])
        if self._paint.fresh():
            self._touch()
        page = self.page
        if page is not None and page not in self._broken and self._guarded(page, page.tick, now):
            self._touch()

    # -- inputs ------------------------------------------------------------------------------------------------------

    def input(self, name: str, down: bool, now: float) -> None:
        """An input, named as game/config/bindings.py does, went down or up."""
        page = self.page
        if page is not None and self.inside and self._guarded(page, page.takes_input, name, down, now):
            self._touch()
            return
        what = _NAMES.get(name)
        if not down:
            if self._repeat is not None and self._repeat[0] == what:
                self._repeat = None
        elif what is not None:
            self._repeat = (what, now + _REPEAT_AFTER) if what in _STEPS or what.startswith("page") else None
            self._do(what)

    def _do(self, what: str) -> None:
        self.remark = ""
        if what == "close":
            self.pop() if self._stack else self.close()
        elif what == "back":
            self.pop()
        elif not self.inside:
            self._do_outside(what)
        else:
            self._do_inside(what)
        self._touch()

    def _do_outside(self, what: str) -> None:
        if what in ("up", "down", "home", "end", "page up", "page down"):
            last = len(self.sections) - 1
            goal = {"up": self.section - 1, "down": self.section + 1, "home": 0, "page up": 0}.get(what, last)
            self._go_to(goal % len(self.sections))
        elif what in ("accept", "right", "swap"):
            section = self.sections[self.section]
            if what == "accept" and section.act is not None:
                self._attempt(section.act)
            elif section.page is not None:
                self.inside = True

    def _do_inside(self, what: str) -> None:
        placed = self.placed()
        at = self.focused(placed)
        if what == "swap" or (at is None and what == "left"):
            self.pop()
        elif at is None:
            self.wheel({"up": 1, "down": -1, "page up": 5, "page down": -5}.get(what, 0))
        elif what == "accept":
            self._attempt(at.widget.activate)
        elif what == "clear":
            self._attempt(at.widget.clear)
        elif what in _STEPS:
            dx, dy = _STEPS[what]
            if dx and self._attempt(at.widget.adjust, dx):
                return
            other = neighbour(placed, at, dx, dy)
            if other is not None:
                self._focus(other)
            elif dx < 0 and not self._stack:
                self.inside = False
            elif dy < 0 and self.page is not None:
                self.page.scroll = 0  # what stands above the first row comes into view
        else:
            self._leap(what, placed, at)

    def _leap(self, what: str, placed: list[Placed], at: Placed) -> None:
        """Home, End and a page's height up or down."""
        known, reach = focusable(placed), self.plan().view.height
        if what in ("home", "end"):
            self._focus(known[0 if what == "home" else -1])
            return
        way = -1 if what == "page up" else 1
        beyond = [one for one in known if 0 < (one.area.top - at.area.top) * way <= reach]
        if beyond:
            self._focus(beyond[-1] if way > 0 else beyond[0])

    # -- the pointer -------------------------------------------------------------------------------------------------

    def move(self, pos: tuple[int, int], rel: tuple[int, int], now: float) -> None:
        """The mouse moved."""
        plan, page = self.plan(), self.page
        if page is not None and self.inside:
            self._guarded(page, page.takes_motion, *rel, now)
        if self._dragged is not None:
            area = self.on_window(self._dragged.area, plan)
            if self._attempt(self._dragged.widget.drag, area, plan.unit, pos[0]):
                self._touch()
            return
        over = self._under(pos, plan)
        if over is not None and page is not None and (not self.inside or over.widget.key != page.focus):
            self.inside = True
            page.focus = over.widget.key
            self._touch()

    def press(self, pos: tuple[int, int]) -> None:
        """The left button went down."""
        plan = self.plan()
        self.remark = ""
        number = self._section_under(pos, plan)
        if number is not None:
            self._leave_stack()
            self._go_to(number)
            self.inside = False
            self._do_outside("accept")
        elif self._leads_back(plan) and plan.head.collidepoint(pos):
            self.pop()
        elif (over := self._under(pos, plan)) is not None and self.page is not None:
            self.inside = True
            self.page.focus = over.widget.key
            self._dragged = over
            self._attempt(over.widget.click, self.on_window(over.area, plan), plan.unit, pos[0])
        self._touch()

    def release(self) -> None:
        """The left button went up."""
        self._dragged = None

    def wheel(self, steps: float) -> None:
        """The wheel was turned; > 0 is up."""
        if self.page is not None:
            self.page.scroll -= round(3 * steps * self.plan().unit)
            self._clamp(self.placed(), self.plan())
            self._touch()

    @property
    def corner(self) -> tuple[int, int]:
        """The upper right of what is free beside the page's title."""
        return self.plan().corner

    # -- where things are --------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        return make_plan(self._size, self._paint.unit_of(self._size), sections=not self.inside)

    def placed(self) -> list[Placed]:
        """The page's widgets and where they lie."""
        page, plan = self.page, self.plan()
        if page is None:
            return []
        widgets = self._failed(page) if page in self._broken else self._guarded(page, page.widgets)
        if widgets is None:
            widgets = self._failed(page)
        placed = self._guarded(page, arrange, widgets, self._paint, plan.unit, plan.view.width, self._grids)
        return arrange(self._failed(page), self._paint, plan.unit, plan.view.width) if placed is None else placed

    # -- what fails --------------------------------------------------------------------------------------------------

    def _guarded(self, page: Page | None, call: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a page's function; one that raises breaks that page, and nothing else. Returns None then."""
        try:
            return call(*arguments)
        except Exception as error:
            if page is not None:
                self._broken[page] = words_of(error)
                self._touch()
            return None

    def _attempt(self, act: Callable[..., Any], *arguments: Any) -> Any:
        """Does what a widget stands for; if it fails, that is said, and nothing else happens. Returns None then."""
        try:
            return act(*arguments)
        except Exception as error:
            self.remark = f"That failed: {words_of(error)}"
            return None

    def _failed(self, page: Page) -> list[Widget]:
        """What stands on a page that has failed, in place of its own."""
        return [
            Note("This page has failed. Your world has not: it goes on when you leave the menu."),
            Note(self._broken[page], bad=True),
            Button("Try again", act=self._enter),
        ]

    def on_window(self, area: pygame.Rect, plan: Plan) -> pygame.Rect:
        return area.move(plan.view.left, plan.view.top - (self.page.scroll if self.page is not None else 0))

    def _under(self, pos: tuple[int, int], plan: Plan) -> Placed | None:
        if self.page is None or not plan.view.collidepoint(pos):
            return None
        inside = (pos[0] - plan.view.left, pos[1] - plan.view.top + self.page.scroll)
        return next((one for one in focusable(self.placed()) if one.area.collidepoint(inside)), None)

    def section_rows(self, plan: Plan) -> list[pygame.Rect]:
        return plan.rows(len(self.sections))

    def _leads_back(self, plan: Plan) -> bool:
        """Whether a click on the page's title goes back from it."""
        return bool(self._stack) or plan.sides is None

    def _section_under(self, pos: tuple[int, int], plan: Plan) -> int | None:
        return next((i for i, row in enumerate(self.section_rows(plan)) if row.collidepoint(pos)), None)

    def focused(self, placed: list[Placed]) -> Placed | None:
        known, page = focusable(placed), self.page
        chosen = next((one for one in known if page is not None and one.widget.key == page.focus), None)
        return chosen or (known[0] if known else None)

    def _focus(self, one: Placed) -> None:
        plan, placed, page = self.plan(), self.placed(), self.page
        if page is None:
            return
        page.focus = one.widget.key
        first = focusable(placed)[0]
        top = 0 if one.area.top == first.area.top else one.area.top - plan.unit
        last = all(other.area.top <= one.area.top for other in focusable(placed))
        end = page_height(placed)  # with what is only read below the last one, as long as both are seen
        bottom = end if last and one.area.top >= end - plan.view.height else one.area.bottom + plan.unit
        page.scroll = max(min(page.scroll, top), bottom - plan.view.height)
        self._clamp(placed, plan)

    def _clamp(self, placed: list[Placed], plan: Plan) -> None:
        if self.page is not None:
            self.page.scroll = max(0, min(self.page.scroll, page_height(placed) - plan.view.height))

    def _go_to(self, section: int) -> None:
        self._leave()
        self.section = section
        self._enter()

    def _enter(self) -> None:
        if self.page is not None:
            self._broken.pop(self.page, None)
            self._guarded(self.page, self.page.opened)

    def _leave(self) -> None:
        if self.page is not None:
            self._guarded(self.page, self.page.closed)

    def _leave_stack(self) -> None:
        while self._stack:
            self._leave()
            self._stack.pop()

    def _touch(self) -> None:
        self.stamp += 1

    def warm(self, size: tuple[int, int], name: str) -> None:
        """Draws a section where nobody sees it, so that its words are rendered before somebody waits for them."""
        if self.is_open:
            return
        section, inside, self.section = self.section, self.inside, self._number(name)
        surface = pygame.Surface(size)
        for self.inside in (False, True):
            self.draw(surface)
        self.section, self.inside = section, inside

    def _number(self, name: str) -> int:
        return next(i for i, section in enumerate(self.sections) if section.name == name)

    # -- how it looks ------------------------------------------------------------------------------------------------

    def draw(self, surface: pygame.Surface, notice: str = "") -> list[pygame.Rect]:
        """Draws it over whatever is there. notice: a passing line from outside. Returns where it lies."""
        self._size = surface.get_size()
        plan = self.plan()
        if plan.sides is not None:
            self._draw_sections(surface, plan, plan.sides)
        if plan.body.width:
            self._draw_page(surface, plan, notice)
        return [part for part in (plan.sides, plan.body) if part is not None and part.width]

    def _draw_sections(self, surface: pygame.Surface, plan: Plan, sides: pygame.Rect) -> None:
        paint, unit = self._paint, plan.unit
        paint.panel(surface, sides, PANEL, round(0.7 * unit))
        at = (sides.left + round(1.5 * unit), sides.top + round(1.9 * unit))
        paint.put(surface, self._title, round(1.15 * unit), ACCENT, at, bold=True, room=sides.width - 2 * unit)
        for number, (section, row) in enumerate(zip(self.sections, self.section_rows(plan), strict=True)):
            current = number == self.section
            if current and not self.inside:
                paint.panel(surface, row, RAISED, round(0.4 * unit))
            if current:
                bar = pygame.Rect(row.left + unit // 3, 0, max(2, unit // 6), round(1.1 * unit))
                bar.centery = row.centery
                paint.panel(surface, bar, ACCENT, bar.width // 2)
            colour = PAPER if current else QUIET
            paint.put(surface, section.name, unit, colour, (row.left + unit, row.centery), bold=current,
                      room=row.width - round(1.5 * unit))  # fmt: skip

    def _draw_page(self, surface: pygame.Surface, plan: Plan, notice: str) -> None:
        paint, unit, page = self._paint, plan.unit, self.page
        paint.panel(surface, plan.body, PANEL, round(0.7 * unit))
        at = (plan.body.left + round(1.5 * unit), plan.body.top + round(1.9 * unit))
        name = page.title if page is not None else self.sections[self.section].name
        name = f"‹  {name}" if self._leads_back(plan) else name
        paint.put(surface, name, round(1.4 * unit), PAPER, at, bold=True, room=plan.body.width - 3 * unit)
        hint = self._usual_hint()
        if page is not None:
            placed = self.placed()
            self._clamp(placed, plan)
            at_focus = self.focused(placed)
            self._draw_widgets(surface, plan, placed, at_focus if self.inside else None)
            if self.inside:
                hint = "↑ ↓ scroll    ← back    Esc close" if at_focus is None else at_focus.widget.tell() or hint
        middle = plan.footer.centery
        surface.fill(LINE, (plan.view.left + unit // 2, plan.footer.top, plan.view.width - unit, 1))
        words = self.remark or notice or hint
        colour = ACCENT if self.remark or notice else QUIET
        paint.put(surface, words, round(0.85 * unit), colour, (plan.view.left + unit, middle),
                  room=plan.view.width - 2 * unit)  # fmt: skip

    def _usual_hint(self) -> str:
        if not self.inside:
            section = self.sections[self.section]
            does = "→ or Enter open" if section.act is None else f"Enter {section.name.lower()}"
            return f"↑ ↓ choose    {does}    Esc close"
        return "↑ ↓ choose    ← → change    Enter do    Backspace back    Esc close"

    def _draw_widgets(self, surface: pygame.Surface, plan: Plan, placed: list[Placed], at: Placed | None) -> None:
        old = surface.get_clip()
        surface.set_clip(plan.view)
        scrolled = self.page.scroll if self.page is not None else 0
        for one in placed:
            if one.area.bottom > scrolled and one.area.top < scrolled + plan.view.height:
                area = self.on_window(one.area, plan)
                try:
                    one.widget.draw(self._paint, surface, area, plan.unit, one is at)
                except Exception as error:  # a picture that cannot be drawn costs its own place
                    at_left = (area.left + plan.unit, area.top + plan.unit)
                    self._paint.put(surface, words_of(error), round(0.8 * plan.unit), WARN, at_left,
                                    room=area.width - 2 * plan.unit)  # fmt: skip
        surface.set_clip(old)
        whole, seen = page_height(placed), plan.view.height
        if whole > seen:
            rail = pygame.Rect(plan.body.right - plan.unit // 2, plan.view.top, max(3, plan.unit // 5), seen)
            grip = pygame.Rect(rail.left, 0, rail.width, max(2 * plan.unit, seen * seen // whole))
            grip.top = rail.top + (rail.height - grip.height) * scrolled // max(1, whole - seen)
            self._paint.panel(surface, grip, LINE, grip.width // 2)
