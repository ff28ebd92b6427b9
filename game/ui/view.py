"""What the window looks like: the world's picture at its aspect, icons over it, the words of a state, and the menu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import pygame

from game.live.status import Advice, Picture, State, Status
from game.media.icons import control_icons
from game.ui.hud import Hud, KeyLine, Numbers, clock_words
from game.ui.toolkit.menu import Menu
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.style import INK
from game.ui.window import TITLE

_EDGE = (8, 9, 13)  # beside the picture, where the window's aspect is another
_ICON_TIMES = {"small": 0.7, "normal": 1.0, "large": 1.4}
BEATS = 40  # drawings of a loading bar's way to and fro
_MENU, _STATE, _PAUSE = 170, 150, 110  # how dark the picture is under them, of 255


@dataclass(frozen=True)
class Look:
    """How a person likes the picture: see the fields of the same names in game/config/preferences.py."""

    scale: str = "smooth"
    icons: str = "normal"
    icons_place: str = "corners"
    text: str = "normal"


@dataclass(frozen=True)
class Scenery:
    """All that a drawing of the window depends on: equal sceneries look the same, so only a new one is drawn.

    keys: the first start's help and its strength (0 to 1). remark: a passing line. advice: for a machine that cannot
    keep up; ease: the key that does what it says. numbers: the figures' panel, None when it is off. take_over: how to
    get a replay's controls. menu: its stamp, None while it is closed. hints: of the cards, for pause and failure. beat:
    which of the BEATS steps a bar of unknown length is at.
    """

    picture: Picture | None
    status: Status
    paused: bool
    size: tuple[int, int]
    look: Look = field(default_factory=Look)
    keys: tuple[KeyLine, ...] = ()
    keys_strength: float = 0.0
    remark: str = ""
    advice: Advice | None = None
    ease: str = ""
    numbers: Numbers | None = None
    take_over: str = ""
    menu: int | None = None
    hints: tuple[str, str] = ("", "")
    beat: int = 0

    @property
    def waiting(self) -> bool:
        """Whether there is nothing to see of a world yet."""
        return self.status.state is State.LOADING and (self.picture is None or self.picture.backdrop)

    def same_as(self, other: Scenery | None) -> bool:
        """Whether the two look the same. Pictures are told apart by identity, not by their pixels."""
        if other is None or self.picture is not other.picture or self.status is not other.status:
            return False
        names = [item.name for item in fields(self) if item.name not in ("picture", "status")]
        return all(getattr(self, name) == getattr(other, name) for name in names)


class View:
    """Draws sceneries, and the menu over them when it is open."""

    def __init__(self, paint: Painter, hud: Hud, menu: Menu | None = None) -> None:
        self._paint, self._hud, self._menu = paint, hud, menu
        self._ground: pygame.Surface | None = None  # what lies under the menu or a loading bar
        self._ground_of: tuple[Scenery, int] | None = None  # what it was drawn from, and its shade

    def draw(self, surface: pygame.Surface, scenery: Scenery) -> None:
        """Draws the whole window. surface: the display's, 32 bits a pixel."""
        if scenery.menu is not None and self._menu is not None:
            self._draw_ground(surface, scenery, _MENU)
            self._menu.draw(surface, scenery.remark)
            if scenery.status.recording:
                self._hud.dot(surface, scenery.status.recorded, self._menu.corner)
            return
        status = scenery.status
        if scenery.waiting:
            self._draw_ground(surface, scenery, _STATE)
            self._hud.loading(surface, TITLE, status.words, status.progress, scenery.beat / BEATS)
            return
        self._ground_of = None
        failed = status.state is State.FAILED
        self._draw_world(surface, scenery, _STATE if failed else _PAUSE if scenery.paused else 0)
        if failed:
            self._hud.card(surface, "The world stopped", status.words, scenery.hints[1], bad=True)
        else:
            self._draw_words(surface, scenery)
            if scenery.paused:
                self._hud.card(surface, "Paused", "", scenery.hints[0])

    def _draw_ground(self, surface: pygame.Surface, scenery: Scenery, shade: int) -> None:
        """The dimmed world under the menu or a loading bar; kept, so that what moves over it costs little."""
        if self._ground is None or self._ground.get_size() != surface.get_size():
            self._ground, self._ground_of = pygame.Surface(surface.get_size(), 0, surface), None
        old = self._ground_of
        if old is None or (old[0].picture is not scenery.picture or old[0].look != scenery.look or old[1] != shade):
            self._draw_world(self._ground, scenery, shade)
            self._ground_of = scenery, shade
        surface.blit(self._ground, (0, 0))

    def _draw_world(self, surface: pygame.Surface, scenery: Scenery, shade: int) -> None:
        """The picture, and the icons on it where it is not shaded."""
        picture, status = scenery.picture, scenery.status
        surface.fill(_EDGE if picture is not None else INK)
        if picture is None:
            return
        area = self._draw_picture(surface, picture, scenery.look.scale, shade)
        plain = picture.backdrop or scenery.look.icons == "off" or shade
        if not plain and status.space is not None:
            self._draw_icons(surface.subsurface(area), picture, scenery)

    def _draw_words(self, surface: pygame.Surface, scenery: Scenery) -> None:
        status, unit, hud = scenery.status, self._paint.unit(surface), self._hud
        taken: list[pygame.Rect] = []  # from the top down
        if scenery.keys_strength > 0 and scenery.keys:
            taken.append(hud.keys(surface, scenery.keys, scenery.keys_strength))
        for words, bad, cap in self._lines(scenery):
            y = taken[-1].bottom + unit // 2 if taken else unit // 2
            taken.append(hud.remark(surface, words, y, bad=bad, cap=cap))
        free = self._free_down_to(surface, scenery)
        if status.replay is not None and not scenery.paused:
            free = hud.replay(surface, status.replay, scenery.take_over, free - unit // 2).top
        if status.recording:
            taken.append(hud.dot(surface, status.recorded))
        if scenery.numbers is not None:
            hud.numbers(surface, scenery.numbers, taken, free - unit // 2)

    @staticmethod
    def _lines(scenery: Scenery) -> list[tuple[str, bool, str]]:
        """The passing lines: words, whether they warn, and the key that does what they offer."""
        status, advice, lines = scenery.status, scenery.advice, []
        if advice is not None and not scenery.paused:
            words = advice.words + (f". {advice.remedy[:1].upper()}{advice.remedy[1:]}" if advice.remedy else "")
            lines.append((words, not advice.mild, scenery.ease if advice.suggestion is not None else ""))
        if scenery.remark:
            lines.append((scenery.remark, False, ""))
        if status.rewinding and scenery.picture is not None:
            lines.append((f"◀◀   {clock_words(scenery.picture.behind_s)} back", False, ""))
        elif status.held:
            lines.append(("Held while you are away: any key goes on", False, ""))
        return lines

    def _free_down_to(self, surface: pygame.Surface, scenery: Scenery) -> int:
        """The y above which nothing but the picture is: the pause card or the icons begin there."""
        width, height = surface.get_size()
        if scenery.paused:
            return height // 2 - 4 * self._paint.unit(surface)
        look, picture = scenery.look, scenery.picture
        if look.icons == "off" or picture is None or scenery.status.space is None:
            return height
        area = self._area(picture, (width, height), look.scale)
        icons = self._icons(area.size, picture, scenery)
        return min([height, *(area.top + icon.y for icon in icons)])

    # -- the picture -------------------------------------------------------------------------------------------------

    @staticmethod
    def _area(picture: Picture, size: tuple[int, int], scale: str) -> pygame.Rect:
        """Where the picture lies in a window."""
        inner = picture.pixels.shape[1::-1]
        if scale == "whole":
            times = min(size[0] // inner[0], size[1] // inner[1])
            if times >= 1:
                area = pygame.Rect(0, 0, inner[0] * times, inner[1] * times)
                area.center = (size[0] // 2, size[1] // 2)
                return area
        return fitted(inner, size)

    def _draw_picture(self, surface: pygame.Surface, picture: Picture, scale: str, shade: int) -> pygame.Rect:
        """Scales the picture into the window, all of it, or a backdrop so that it fills it. Returns where it lies.

        It is shaded before it is enlarged, while it is small.
        """
        height, width = picture.pixels.shape[:2]
        image = pygame.image.frombuffer(picture.pixels, (width, height), "RGB").convert(surface)
        if shade:
            dark = pygame.Surface(image.get_size())
            dark.fill(INK)
            dark.set_alpha(shade)
            image.blit(dark, (0, 0))
        if picture.backdrop:
            image = image.subsurface(fitted(surface.get_size(), (width, height)))
            area = surface.get_rect()
        else:
            area = self._area(picture, surface.get_size(), scale)
        enlarge = pygame.transform.smoothscale if scale == "smooth" else pygame.transform.scale
        enlarge(image, area.size, surface.subsurface(area))
        return area

    @staticmethod
    def _icons(size: tuple[int, int], picture: Picture, scenery: Scenery) -> list:
        control, look = picture.control, scenery.look
        times = _ICON_TIMES[look.icons]
        return control_icons(
            *size, control.keys, control.mouse, scenery.status.space, times=times, place=look.icons_place
        )

    def _draw_icons(self, area: pygame.Surface, picture: Picture, scenery: Scenery) -> None:
        for icon in self._icons(area.get_size(), picture, scenery):
            self._paint.patch(area, icon.rgba, icon.x, icon.y)


def fitted(inner: Sequence[int], outer: Sequence[int]) -> pygame.Rect:
    """The largest rectangle of `inner`'s aspect inside `outer` (both width, height), in the middle of it."""
    scale = min(outer[0] / inner[0], outer[1] / inner[1])
    width, height = max(1, min(outer[0], round(inner[0] * scale))), max(1, min(outer[1], round(inner[1] * scale)))
    return pygame.Rect((outer[0] - width) // 2, (outer[1] - height) // 2, width, height)
