"""The menu's widgets: what each says, how it looks, and what it does when it is activated, adjusted or dragged.

A widget is made anew whenever its page is; what it changes lies elsewhere, in the functions it is given. Every measure
is in units, the height of ordinary text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pygame

from game.media.palette import ACCENT, INK, LINE, PANEL, PAPER, QUIET, RAISED, WARN
from game.ui.toolkit.paint import Painter

_ROW = 2.3  # height of a row
_CAPS, _GAP = 1.65, 0.35  # height of a line of key caps, and what lies between two


@dataclass
class Widget:
    """One thing on a page. hint: the line at the menu's foot while it has the focus. name: what the focus remembers it
    by, where its label changes or is not its own.
    """

    label: str
    hint: str = ""
    name: str = field(default="", kw_only=True)

    focusable = True
    tile = 0.0  # units of width it needs at least, where it stands in a grid with its like; 0: it has a row of its own

    @property
    def key(self) -> str:
        """What the focus remembers it by."""
        return f"{type(self).__name__}:{self.name or self.label}"

    def height(self, paint: Painter, unit: int, width: int) -> int:
        """Pixels it needs when it is so wide."""
        return round(_ROW * unit)

    def draw(self, paint: Painter, surface: pygame.Surface, area: pygame.Rect, unit: int, focused: bool) -> None:
        """Draws it into its area."""
        raise NotImplementedError

    def tell(self) -> str:
        """The line at the menu's foot while it has the focus."""
        return self.hint

    def activate(self) -> None:
        """Enter, a click, or a gamepad's A."""

    def adjust(self, step: int) -> bool:
        """Left (-1) or right (1). Returns whether it means anything here."""
        return False

    def clear(self) -> None:
        """Delete, or a gamepad's X."""

    def click(self, area: pygame.Rect, unit: int, x: int) -> None:
        """A click at x inside its area."""
        self.activate()

    def drag(self, area: pygame.Rect, unit: int, x: int) -> bool:
        """The mouse moved to x with its button held since it was pressed here. Returns whether it means anything."""
        return False

    def _row(self, paint: Painter, surface: pygame.Surface, area: pygame.Rect, unit: int, focused: bool) -> None:
        """The row's ground and label."""
        if focused:
            paint.panel(surface, area, RAISED, round(0.4 * unit))
        paint.put(surface, self.label, unit, PAPER, (area.left + unit, area.centery), room=label_room(area, unit))


def label_room(area: pygame.Rect, unit: int) -> int:
    """Width of a row's label; the rest is the value's."""
    return round(area.width * 0.46) - unit


def value_area(area: pygame.Rect, unit: int) -> pygame.Rect:
    """Where a row's value stands."""
    left = area.left + round(area.width * 0.48)
    return pygame.Rect(left, area.top, area.right - unit - left, area.height)


def cap_lines(paint: Painter, unit: int, width: int, caps: Sequence[str]) -> list[list[str]]:
    """Key caps in as few lines as a width has room for."""
    lines: list[list[str]] = []
    for words in caps:
        longer = [*lines[-1], words] if lines else [words]
        if lines and _caps_wide(paint, unit, longer) <= width:
            lines[-1] = longer
        else:
            lines.append([words])
    return lines


def caps_height(paint: Painter, unit: int, width: int, caps: Sequence[str]) -> int:
    """Pixels that key caps need beyond their first line."""
    return max(0, len(cap_lines(paint, unit, width, caps)) - 1) * round(_CAPS * unit)


def draw_caps(paint: Painter, surface: pygame.Surface, part: pygame.Rect, unit: int, caps: Sequence[str]) -> None:
    """All key caps of a row, at its right and in its middle."""
    lines = cap_lines(paint, unit, part.width, caps)
    y = part.centery - (len(lines) - 1) * round(_CAPS * unit) // 2
    for line in lines:
        x = part.right - _caps_wide(paint, unit, line)
        for words in line:
            x += paint.cap(surface, words, unit, (x, y)) + round(_GAP * unit)
        y += round(_CAPS * unit)
    if not caps:
        paint.put(surface, "none", round(0.9 * unit), QUIET, (part.right, part.centery), anchor="midright")


def _caps_wide(paint: Painter, unit: int, caps: Sequence[str]) -> int:
    return sum(paint.cap_wide(words, unit) for words in caps) + round(_GAP * unit) * (len(caps) - 1)


@dataclass
class Button(Widget):
    """Does something. note: said at the right. mark: whether a dot says that it is the one chosen."""

    act: Callable[[], None] = lambda: None
    note: str = ""
    mark: bool = False
    bad: bool = False
    enabled: bool = True

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        if focused:
            paint.panel(surface, area, RAISED, round(0.4 * unit))
        colour = QUIET if not self.enabled else WARN if self.bad else PAPER
        left = area.left + unit
        if self.mark:
            dot = pygame.Rect(0, 0, round(0.5 * unit), round(0.5 * unit))
            dot.midleft = (left, area.centery)
            paint.panel(surface, dot, ACCENT, dot.width // 2)
            left += unit
        note = paint.shortened(self.note, round(0.9 * unit), area.width // 2)
        wide = paint.wide(note, round(0.9 * unit)) if note else 0
        paint.put(surface, self.label, unit, colour, (left, area.centery), bold=self.mark,
                  room=area.right - 2 * unit - wide - left)  # fmt: skip
        paint.put(surface, note, round(0.9 * unit), QUIET, (area.right - unit, area.centery), anchor="midright")

    def activate(self):
        """See Widget."""
        if self.enabled:
            self.act()


@dataclass
class Toggle(Widget):
    """On or off."""

    value: bool = False
    put: Callable[[bool], None] = lambda value: None

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        self._row(paint, surface, area, unit, focused)
        rail = pygame.Rect(0, 0, round(2.2 * unit), round(1.2 * unit))
        rail.midright = (area.right - unit, area.centery)
        paint.panel(surface, rail, ACCENT if self.value else LINE, rail.height // 2)
        knob = pygame.Rect(0, 0, rail.height - 4, rail.height - 4)
        knob.midleft = (rail.left + 2, rail.centery)
        if self.value:
            knob.midright = (rail.right - 2, rail.centery)
        paint.panel(surface, knob, INK if self.value else PAPER, knob.height // 2)
        paint.put(surface, "on" if self.value else "off", round(0.9 * unit), QUIET,
                  (rail.left - round(0.6 * unit), area.centery), anchor="midright")  # fmt: skip

    def activate(self):
        """See Widget."""
        self.put(not self.value)

    def adjust(self, step):
        """See Widget."""
        if (step > 0) != self.value:
            self.put(step > 0)
        return True


@dataclass
class Choice(Widget):
    """One of some. options: (value, words)."""

    value: Any = None
    options: Sequence[tuple[Any, str]] = ()
    put: Callable[[Any], None] = lambda value: None

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        self._row(paint, surface, area, unit, focused)
        words = next((words for value, words in self.options if value == self.value), "your own")
        part = value_area(area, unit)
        colour = ACCENT if focused else QUIET
        right = paint.put(surface, "›", round(1.2 * unit), colour, (part.right, area.centery), anchor="midright")
        place = paint.put(surface, words, unit, PAPER, (right.left - round(0.6 * unit), area.centery),
                          anchor="midright", room=part.width - round(2.6 * unit))  # fmt: skip
        paint.put(surface, "‹", round(1.2 * unit), colour, (place.left - round(0.6 * unit), area.centery),
                  anchor="midright")  # fmt: skip

    def activate(self):
        """See Widget."""
        self.adjust(1)

    def adjust(self, step):
        """See Widget."""
        values = [value for value, _ in self.options]
        index = values.index(self.value) if self.value in values else -1 if step > 0 else 0
        self.put(values[(index + step) % len(values)])
        return True

    def click(self, area, unit, x):
        """See Widget."""
        self.adjust(-1 if x < value_area(area, unit).centerx else 1)


@dataclass
class Slider(Widget):
    """A number between two bounds. show: the number as people read it. steps: how many it takes from end to end."""

    value: float = 0.0
    low: float = 0.0
    high: float = 1.0
    show: Callable[[float], str] = lambda value: f"{value:.2f}"
    put: Callable[[float], None] = lambda value: None
    steps: int = 20
    room: float = 4.0  # units that the number needs beside the rail
    even: bool = True  # otherwise equal ways are equal factors

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        self._row(paint, surface, area, unit, focused)
        paint.put(surface, self.show(self.value), round(0.9 * unit), PAPER, (area.right - unit, area.centery),
                  anchor="midright")  # fmt: skip
        rail = self.rail(area, unit)
        paint.panel(surface, rail, LINE, rail.height // 2)
        filled = pygame.Rect(rail.left, rail.top, max(rail.height, round(rail.width * self._share())), rail.height)
        paint.panel(surface, filled, ACCENT, rail.height // 2)
        knob = pygame.Rect(0, 0, unit, unit)
        knob.center = (rail.left + round(rail.width * self._share()), rail.centery)
        paint.panel(surface, knob, PAPER, unit // 2)

    def adjust(self, step):
        """See Widget."""
        self._put_share(self._share() + step / self.steps)
        return True

    def click(self, area, unit, x):
        """See Widget."""
        self.drag(area, unit, x)

    def drag(self, area, unit, x):
        """See Widget."""
        rail = self.rail(area, unit)
        self._put_share((x - rail.left) / max(1, rail.width))
        return True

    def rail(self, area: pygame.Rect, unit: int) -> pygame.Rect:
        part = value_area(area, unit)
        return pygame.Rect(
            part.left, area.centery - max(1, unit // 8), part.width - round(self.room * unit), max(3, unit // 4)
        )

    def _share(self) -> float:
        if self.even:
            return (self.value - self.low) / (self.high - self.low)
        return math.log(self.value / self.low) / math.log(self.high / self.low)

    def _put_share(self, share: float) -> None:
        share = round(max(0.0, min(1.0, share)) * self.steps * 5) / (self.steps * 5)
        even = self.low + share * (self.high - self.low)
        self.put(float(f"{even if self.even else self.low * (self.high / self.low) ** share:.3g}"))


@dataclass
class KeyField(Widget):
    """What inputs do something, as key caps; activated, it waits for one more. waiting: whether it does."""

    caps: Sequence[str] = ()
    waiting: bool = False
    capture: Callable[[], None] = lambda: None
    remove: Callable[[], None] = lambda: None

    def height(self, paint, unit, width):
        """See Widget."""
        part = value_area(pygame.Rect(0, 0, width, 0), unit)
        return super().height(paint, unit, width) + caps_height(paint, unit, part.width, self.caps)

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        self._row(paint, surface, area, unit, focused)
        part = value_area(area, unit)
        if self.waiting:
            words = "a key, button or wheel notch…"
            paint.put(surface, words, unit, ACCENT, part.midright, anchor="midright", room=part.width)
            return
        draw_caps(paint, surface, part, unit, self.caps)

    def activate(self):
        """See Widget."""
        self.capture()

    def clear(self):
        """See Widget."""
        self.remove()


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
    """A picture with a title and a note under it. image: gives the picture in a size, None while it is being made, and
    why there is none; asked for only while the tile is in view, as `note` is.
    """

    image: Callable[[tuple[int, int]], tuple[pygame.Surface | None, str]] = lambda size: (None, "")
    act: Callable[[], None] = lambda: None
    note: Callable[[], str] | None = None
    mark: bool = False
    remove: Callable[[], None] = lambda: None

    tile = 11.5

    def __post_init__(self) -> None:
        self._problem = ""

    def tell(self):
        """See Widget."""
        return self._problem or self.hint

    def height(self, paint, unit, width):
        """See Widget."""
        lines = 3.1 if self.note is not None else 1.9
        return round((width - unit) * 9 / 16 + lines * unit)

    def draw(self, paint, surface, area, unit, focused):
        """See Widget."""
        if focused:
            paint.panel(surface, area, RAISED, round(0.4 * unit))
        pad = unit // 2
        frame = pygame.Rect(area.left + pad, area.top + pad, area.width - 2 * pad, 0)
        frame.height = round(frame.width * 9 / 16)
        image, self._problem = self.image(frame.size)
        if image is not None:
            surface.blit(image, frame)
            if self.mark:
                paint.outline(surface, frame, ACCENT, 0, max(2, unit // 8))
        else:
            paint.panel(surface, frame, PANEL if focused else RAISED, round(0.3 * unit))
            lines = paint.wrapped(self._problem, round(0.75 * unit), frame.width - unit)[:3] if self._problem else ["…"]
            for number, line in enumerate(lines):
                y = frame.centery + round((number - (len(lines) - 1) / 2) * 1.1 * unit)
                paint.put(surface, line, round(0.75 * unit), WARN if self._problem else QUIET, (frame.centerx, y),
                          anchor="center", room=frame.width - unit)  # fmt: skip
        room = frame.width - unit // 4
        y = frame.bottom + round(0.75 * unit)
        colour = ACCENT if self.mark else PAPER
        paint.put(surface, self.label, round(0.95 * unit), colour, (frame.left, y), room=room, bold=self.mark)
        if self.note is not None:
            at = (frame.left, y + round(1.2 * unit))
            paint.put(surface, self.note(), round(0.8 * unit), QUIET, at, room=room)

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
