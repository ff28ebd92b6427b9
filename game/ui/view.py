"""What the window looks like: the world's picture at its aspect, icons over it, the words of a state, and the menu.

Everything is laid out from one unit, the height of the text, which follows the window's size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import pygame

from game.live.status import Advice, Figures, Picture, ReplayFigures, State, Status
from game.media.icons import control_icons, rounded_panel
from game.media.palette import ACCENT, GOOD, INK, LINE, PAPER, QUIET, RED, WARN
from game.ui.toolkit.menu import Menu
from game.ui.toolkit.paint import Painter
from game.ui.window import TITLE

if TYPE_CHECKING:
    from game.config.preferences import Preferences
    from game.ui.commands import Commands
    from game.ui.gpu import Gpu

Row = tuple[str, str, bool]  # name, value, whether it is worth a worry


@dataclass(frozen=True)
class Numbers:
    """The numbers' panel. rows: as people read them. times: of the last blocks, ms. deadline: ms a block may take."""

    rows: tuple[Row, ...] = ()
    times: tuple[float, ...] = ()
    deadline: float = 0.0


@dataclass(frozen=True)
class KeyLine:
    """A line of the first start's help. caps: short names of inputs. words: what they do."""

    caps: tuple[str, ...]
    words: str


def numbers_of(figures: Figures, status: Status) -> Numbers:
    """What the numbers' panel shows of a moment's figures."""
    pace, rewind = figures.pace, figures.rewind

    def spread(values: dict[str, float] | None) -> str:
        return f"{values['p50']:.0f} / {values['p95']:.0f} ms" if values else "–"

    slow, spare = bool(pace.slow_words), "to spare" if pace.spare_ms >= 0 else "late"
    deadline = pace.deadline_ms / pace.speed  # the one that blocks are held to, not the one they should keep
    vram = "" if figures.vram_mb is None else f", GPU {figures.vram_mb:.0f} MB"
    line = figures.line
    network = () if line is None else (
        ("network p50 / p95", f"{spread(line.network_ms)}, round trip {line.round_trip_ms['p50']:.0f} ms", False),
        ("asked ahead", f"{line.ahead_ms:.0f} ms, picture quality {line.quality}", line.limited),
    )  # fmt: skip
    rows = (
        ("frames a second", f"{pace.shown_fps:.1f} of {pace.fps:g}", pace.shown_fps < 0.9 * pace.fps),
        ("block p50 / p95", spread(pace.block_ms), pace.block_ms["p95"] > pace.deadline_ms),
        ("deadline", f"{deadline:.0f} ms, {abs(pace.spare_ms):.0f} ms {spare}", pace.spare_ms < 0),
        ("latency p50 / p95", spread(pace.latency_ms), False),
        *network,
        ("lookahead p50 / p95", spread(pace.lookahead_ms), False),
        # Frames that are late are waited for: none is ever dropped.
        ("late / drawn late / dropped", f"{pace.late_frames} / {pace.undrawn_frames} / 0", False),
        ("play clock", f"{pace.speed:.0%}", slow),
        ("memory", f"{figures.rss_mb:.0f} MB{vram}", False),
        ("rewind", f"{rewind.depth_s:.0f} s, {rewind.mb:.0f} of {rewind.budget_mb:.0f} MB", False),
        ("model", f"{status.model} on {status.device}", False),
    )
    return Numbers(rows, pace.recent_ms, deadline)


def clock_words(seconds: float) -> str:
    """A length as people write it: 1:05, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Hud:
    """Draws on a surface by a painter."""

    def __init__(self, paint: Painter) -> None:
        self._paint = paint

    def loading(
        self, surface: pygame.Surface, title: str, words: str, progress: float, phase: float = 0.0
    ) -> pygame.Rect:
        """Title, what is being done and how far it is, in the middle. Returns where it lies.

        progress: 0 to 1; at 0 nobody knows, and a piece of the bar goes to and fro instead. phase: of its way, 0 to 1.
        """
        paint, unit = self._paint, self._paint.unit(surface)
        middle, y = surface.get_width() // 2, surface.get_height() // 2
        room = surface.get_width() - 2 * unit
        words = words[:1].upper() + words[1:]
        paint.put(surface, title, 2 * unit, PAPER, (middle, y - 2 * unit), anchor="center", bold=True, room=room)
        rail = pygame.Rect(0, 0, min(18 * unit, surface.get_width() - 4 * unit), max(3, unit // 4))
        rail.center = (middle, y + unit // 2)
        if progress:
            self._bar(surface, rail, progress)
        else:
            self._bar(surface, rail, 0.0)
            piece = pygame.Rect(*rail.topleft, rail.width // 4, rail.height)
            piece.left += round((rail.width - piece.width) * (1.0 - abs(1.0 - 2.0 * phase)))
            paint.panel(surface, piece, ACCENT, rail.height // 2)
        paint.put(surface, words, unit, QUIET, (middle, y + 2 * unit), anchor="center", room=room)
        return pygame.Rect(0, y - 4 * unit, surface.get_width(), 8 * unit).clip(surface.get_rect())

    def card(self, surface: pygame.Surface, title: str, words: str, hint: str, *, bad: bool = False) -> pygame.Rect:
        """A titled panel in the middle. words: wrapped to the window's width. bad: in the colour of a failure."""
        paint, unit = self._paint, self._paint.unit(surface)
        wide = min(surface.get_width() - 2 * unit, 42 * unit)
        lines = paint.wrapped(words, unit, wide - 4 * unit)
        room = max(1, (surface.get_height() - 9 * unit) // round(1.5 * unit))
        if len(lines) > room:
            lines = [*lines[: room - 1], paint.shortened(lines[room - 1] + " …", unit, wide - 5 * unit)]
        big = paint.fitting_size([(title,)], 2 * unit, wide - 4 * unit)
        texts = [paint.text(title, big, WARN if bad else PAPER, bold=True)]
        texts += [paint.text(line, unit, PAPER) for line in lines]
        texts += [paint.text(paint.shortened(hint, unit, wide - 2 * unit), unit, QUIET)]
        gap = unit // 2
        width = min(wide, max(text.get_width() for text in texts) + 4 * unit)
        height = sum(text.get_height() for text in texts) + 2 * gap + 2 * unit
        area = pygame.Rect(0, 0, width, min(height, surface.get_height()))
        area.center = (surface.get_width() // 2, surface.get_height() // 2)
        self._glass(surface, area, unit, 0.86)
        y = area.top + unit
        for number, text in enumerate(texts):
            y += gap if number in (1, len(texts) - 1) else 0
            surface.blit(text, text.get_rect(midtop=(area.centerx, y)))
            y += text.get_height()
        return area

    def keys(self, surface: pygame.Surface, lines: Sequence[KeyLine], strength: float) -> pygame.Rect:
        """The first start's keys, in the upper middle, as many columns as fit. strength: 0 (gone) to 1."""
        paint, unit = self._paint, self._paint.unit(surface)
        gap, room = unit // 4, surface.get_width() - 2 * unit

        def caps_wide(line: KeyLine) -> int:
            return sum(paint.cap_wide(cap, unit) + gap for cap in line.caps)

        for count in (3, 2, 1):  # columns
            rows = -(-len(lines) // count)
            columns = [lines[i : i + rows] for i in range(0, len(lines), rows)]
            caps = [max(caps_wide(line) for line in column) for column in columns]
            words = [max(paint.wide(line.words, unit) for line in column) + 2 * unit for column in columns]
            if sum(caps) + sum(words) + unit <= room:
                break
        row = round(1.9 * unit)
        rows = min(rows, max(1, (surface.get_height() - 3 * unit) // row))
        size = (min(room, sum(caps) + sum(words) + unit), rows * row + round(1.2 * unit))
        layer = pygame.Surface(size, pygame.SRCALPHA)
        self._glass(layer, layer.get_rect(), unit, 0.82)
        left = unit
        for column, wide, told in zip(columns, caps, words, strict=True):
            for number, line in enumerate(column[:rows]):
                x, y = left + wide, round(0.6 * unit) + number * row + row // 2
                paint.put(layer, line.words, unit, PAPER, (x + unit // 2, y), room=size[0] - x - unit)
                for cap in reversed(line.caps):
                    x -= paint.cap_wide(cap, unit) + gap
                    paint.cap(layer, cap, unit, (x, y))
            left += wide + told
        layer.set_alpha(round(255 * strength))
        return surface.blit(layer, layer.get_rect(midtop=(surface.get_width() // 2, unit)))

    def first_look(
        self, surface: pygame.Surface, line: KeyLine, taken: Sequence[pygame.Rect], bottom: int
    ) -> pygame.Rect:
        """What makes the picture move, in its middle, until a person has found it. taken: what lies above."""
        paint, unit = self._paint, self._paint.unit(surface)
        pad, gap = unit, unit // 4
        caps = sum(paint.cap_wide(cap, unit) + gap for cap in line.caps)
        most = surface.get_width() - 2 * unit
        words = paint.shortened(line.words, unit, most - caps - 2 * pad)
        area = pygame.Rect(0, 0, min(most, paint.wide(words, unit) + caps + 2 * pad + unit // 2), round(2.6 * unit))
        area.center = (surface.get_width() // 2, round(0.6 * surface.get_height()))
        area.bottom = min(bottom, max(area.bottom, max((other.bottom for other in taken), default=0) + unit // 2 +
                                      area.height))  # fmt: skip
        self._glass(surface, area, unit, 0.8)
        at = paint.put(surface, words, unit, PAPER, (area.left + pad, area.centery))
        x = at.right + unit // 2
        for cap in line.caps:
            x += paint.cap(surface, cap, unit, (x, area.centery)) + gap
        return area

    def remark(self, surface: pygame.Surface, words: str, y: int, *, bad: bool = False, cap: str = "") -> pygame.Rect:
        """A short line in a pill, centred, its top at y. bad: as a warning. cap: a key that does what is offered."""
        paint, unit = self._paint, self._paint.unit(surface)
        size, pad = round(0.95 * unit), unit
        extra = paint.cap_wide(cap, unit) + unit // 2 if cap else 0
        most = surface.get_width() - 13 * unit  # beside the recording's dot
        if most < 20 * unit:
            most, y = surface.get_width() - unit, max(y, round(2.6 * unit))  # or below it
        room = most - extra - 2 * pad
        lines = paint.wrapped(words, size, room)
        if len(lines) > 3:
            lines = [*lines[:2], paint.shortened(" ".join(lines[2:]), size, room)]
        line = round(1.35 * size)
        wide = max(paint.wide(text, size) for text in lines)
        area = pygame.Rect(0, y, wide + extra + 2 * pad, len(lines) * line + round(0.9 * unit))
        area.centerx = surface.get_width() // 2
        self._glass(surface, area, unit, 0.8)
        if cap:
            paint.cap(surface, cap, unit, (area.left + pad, area.centery))
        for number, text in enumerate(lines):
            at = (area.left + pad + extra, area.top + round(0.45 * unit) + number * line)
            paint.put(surface, text, size, WARN if bad else PAPER, at, anchor="topleft")
        return area

    def numbers(
        self, surface: pygame.Surface, numbers: Numbers, taken: Sequence[pygame.Rect], bottom: int
    ) -> pygame.Rect | None:
        """The numbers' panel at the left, and the graph in it. Returns where it lies, None if nothing fits.

        taken: what lies along the top, from the top down: it keeps clear of that. What would reach below `bottom` is
        left out.
        """
        paint, unit = self._paint, self._paint.unit(surface)
        pad, left = round(0.8 * unit), unit // 2
        room = surface.get_width() - 2 * left - 2 * pad
        size = paint.fitting_size([row[:2] for row in numbers.rows], round(0.85 * unit), room - unit)
        line = round(1.4 * size)
        # Whole units, so that a digit more does not make a new panel.
        column = -(-max(paint.wide(name, size) for name, _, _ in numbers.rows) // unit) * unit + unit
        wide = max(13 * unit - column, *(paint.wide(value, size) for _, value, _ in numbers.rows))
        width = min(room, column + -(-wide // (3 * unit)) * 3 * unit)
        area = pygame.Rect(left, unit // 2, width + 2 * pad, bottom)
        for other in taken:
            if other.left < area.right + left and other.bottom > area.top:
                area.top = other.bottom + unit // 2
        rows = numbers.rows[: max(0, (bottom - area.top - 2 * pad) // line)]
        if not rows:
            return None
        graph = pygame.Rect(left + pad, area.top + pad + line * len(rows) + unit // 2, width, round(4.2 * unit))
        fits = bool(numbers.times) and graph.bottom + pad <= bottom
        area.height = line * len(rows) + 2 * pad + (unit // 2 + graph.height if fits else 0)
        self._glass(surface, area, unit, 0.76)
        for number, (name, value, worry) in enumerate(rows):
            middle = area.top + pad + number * line + line // 2
            paint.put(surface, name, size, QUIET, (left + pad, middle), room=column - unit // 2)
            paint.put(surface, value, size, WARN if worry else PAPER, (left + pad + column, middle),
                      room=width - column)  # fmt: skip
        if fits:
            self._graph(surface, graph, numbers, size)
        return area

    def dot(self, surface: pygame.Surface, seconds: int, corner: tuple[int, int] | None = None) -> pygame.Rect:
        """The red dot and the length of a running recording. corner: its upper right; that of the window, if None."""
        paint, unit = self._paint, self._paint.unit(surface)
        words = paint.text(clock_words(seconds), round(0.9 * unit), PAPER)
        area = pygame.Rect(0, 0, words.get_width() + round(2.1 * unit), round(1.7 * unit))
        area.topright = corner or (surface.get_width() - unit // 2, unit // 2)
        self._glass(surface, area, unit, 0.72, radius=area.height // 2)
        size = round(0.7 * unit)
        spot = rounded_panel(size, size, size / 2, RED, 1.0)
        paint.patch(surface, spot, area.left + round(0.6 * unit), area.centery - size // 2)
        surface.blit(words, words.get_rect(midright=(area.right - round(0.5 * unit), area.centery)))
        return area

    def replay(self, surface: pygame.Surface, replay: ReplayFigures, hint: str, bottom: int) -> pygame.Rect:
        """The bar of a recording that is replayed, its lower edge at `bottom`. hint: how to take the controls over."""
        paint, unit = self._paint, self._paint.unit(surface)
        area = pygame.Rect(0, 0, min(32 * unit, surface.get_width() - 2 * unit), round(3.0 * unit))
        area.midbottom = (surface.get_width() // 2, bottom)
        self._glass(surface, area, unit, 0.8)
        size = round(0.85 * unit)
        rail = pygame.Rect(area.left + unit, area.bottom - round(0.95 * unit), area.width - 2 * unit, max(3, unit // 4))
        self._bar(surface, rail, replay.at_s / replay.length_s if replay.length_s else 0.0)
        middle = area.top + round(1.05 * unit)
        told = paint.put(surface, f"{clock_words(replay.at_s)} / {clock_words(replay.length_s)}", size, QUIET,
                         (area.right - unit, middle), anchor="midright")  # fmt: skip
        paint.put(surface, f"Replay   {hint}", size, PAPER, (area.left + unit, middle),
                  room=told.left - unit - area.left - unit)  # fmt: skip
        return area

    # -- parts -------------------------------------------------------------------------------------------------------

    def _graph(self, surface: pygame.Surface, area: pygame.Rect, numbers: Numbers, size: int) -> None:
        """A bar for each of the last blocks, against the deadline."""
        paint, deadline = self._paint, numbers.deadline
        small = round(0.85 * size)
        words = f"block time, deadline {deadline:.0f} ms"
        told = paint.put(surface, words, small, ACCENT, area.topleft, anchor="topleft", room=area.width)
        area = pygame.Rect(area.left, told.bottom, area.width, area.bottom - told.bottom)
        top = max(1.25 * deadline, 1.1 * max(numbers.times))
        unit = max(2, area.width // 64)
        surface.fill(LINE, (area.left, area.bottom - 1, area.width, 1))
        for number, value in enumerate(reversed(numbers.times[-(area.width // unit) :])):
            high = max(1, round(value / top * area.height))
            bar = pygame.Rect(area.right - (number + 1) * unit, area.bottom - high, unit - 1, high)
            surface.fill(WARN if value > deadline else GOOD, bar)
        y = area.bottom - round(deadline / top * area.height)
        surface.fill(ACCENT, (area.left, y, area.width, max(1, size // 12)))

    def _bar(self, surface: pygame.Surface, rail: pygame.Rect, share: float) -> None:
        paint = self._paint
        paint.patch(surface, rounded_panel(rail.width, rail.height, rail.height / 2, PAPER, 0.22), *rail.topleft)
        filled = int(rail.width * max(0.0, min(1.0, share)))
        if filled >= rail.height:
            paint.panel(surface, pygame.Rect(*rail.topleft, filled, rail.height), ACCENT, rail.height // 2)

    def _glass(
        self, surface: pygame.Surface, area: pygame.Rect, unit: int, opacity: float, radius: int | None = None
    ) -> None:
        """A panel that the picture shines through."""
        self._paint.glass(surface, area, INK, opacity, round(0.6 * unit) if radius is None else radius)


_EDGE = (8, 9, 13)  # beside the picture, where the window's aspect is another
_ICON_TIMES = {"small": 0.7, "normal": 1.0, "large": 1.4}
NOTICE_SECONDS = 5.0
_FADE_SECONDS = 1.5
_SLOW_START = 0.5  # s a new world may take before the window says what it waits for
_FIGURES_EVERY = 0.25  # s
_SPARE_SECONDS = 5.0  # the machine must keep up for so long before the clock goes back to full speed
_BEAT = 0.05  # s
BEATS = 40  # drawings of a loading bar's way to and fro
_MANY_TIMES, _MANY_PIXELS = 6, 1_500_000  # enlarged more than so, and to more pixels
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

    keys: the first start's help and its strength (0 to 1). first_look: how to look round, until a person does.
    remark: a passing line. advice: for a machine that cannot keep up; ease: the key that does what it says. numbers:
    the figures' panel, None when it is off. take_over: how to get a replay's controls. menu: its stamp, None while it
    is closed. hints: of the cards, for pause and failure. beat: which of the BEATS steps a bar of unknown length is at.
    """

    picture: Picture | None
    status: Status
    paused: bool
    size: tuple[int, int]
    look: Look = field(default_factory=Look)
    keys: tuple[KeyLine, ...] = ()
    keys_strength: float = 0.0
    first_look: KeyLine | None = None
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


class Presenter:
    """Makes sceneries of what the player tells and the person does; remembers when things began."""

    def __init__(self, commands: Commands, menu: Menu) -> None:
        self._commands, self._menu = commands, menu
        self._remark = ("", -math.inf)
        self._notices = 0
        self._played_since: float | None = None
        self._used_since: float | None = None  # the person has used the keys
        self._loading_since = math.inf
        self._figures: tuple[float, Numbers | None] = (-math.inf, None)
        self._could_since = math.inf  # the machine could keep up with more than it was asked to

    def say(self, words: str, until: float) -> None:
        """Shows a passing line."""
        self._remark = (words, until)

    def note(self, now: float) -> None:
        """Looks at what the player has to tell."""
        status, commands = self._commands.player.status, self._commands
        if status.notices > self._notices:
            self._notices = status.notices
            self.say(status.notice, now + NOTICE_SECONDS)
        loading = status.state is State.LOADING
        self._loading_since = min(self._loading_since, now) if loading else math.inf
        if status.state is not State.PLAYING:
            return
        if self._played_since is None:
            self._played_since = now
        if commands.steered and self._used_since is None:
            self._used_since = now
        if now - self._figures[0] >= _FIGURES_EVERY:
            figures = commands.player.figures(now)
            self._figures = (now, numbers_of(figures, status))
            commands.advice = figures.advice
            self._go_back_to_full_speed(now, status.pace < 1.0 and figures.pace.possible >= 1.0)

    def _go_back_to_full_speed(self, now: float, could: bool) -> None:
        """A clock that a person slowed goes back to full speed once the machine could keep up for a while."""
        self._could_since = min(self._could_since, now) if could else math.inf
        if now - self._could_since >= _SPARE_SECONDS:
            self._could_since = math.inf
            self._commands.player.set_pace(1.0)
            self.say("This machine keeps up again: back at full speed", now + NOTICE_SECONDS)

    def scenery(self, picture: Picture | None, size: tuple[int, int], now: float) -> Scenery:
        """What there is to see now. size: of the window."""
        commands, status = self._commands, self._commands.player.status
        words, until = self._remark
        if now >= until:
            words = _waiting_words(status) if now - self._loading_since > _SLOW_START else status.beside
        scenery = Scenery(
            picture=picture,
            status=status,
            paused=commands.player.paused and status.state is not State.LOADING,
            size=size,
            look=look_of(commands.preferences),
            remark=words,
        )
        if self._menu.is_open:
            return replace(scenery, menu=self._menu.stamp)
        if scenery.waiting and not status.progress:
            return replace(scenery, beat=int(now / _BEAT) % BEATS)
        if status.space is None:
            return replace(scenery, hints=self._hints())
        strength = 0.0 if scenery.paused else self._keys_strength(now)
        return replace(
            scenery,
            keys=commands.first_keys(status.space.mode) if strength else (),
            keys_strength=strength,
            first_look=None if scenery.paused else self._first_look(status),
            advice=commands.advice if status.state is State.PLAYING else None,
            ease=commands.key_of("ease"),
            numbers=self._figures[1] if commands.show_numbers else None,
            take_over="a walking key, a stick or a click takes over" if status.replay is not None else "",
            hints=self._hints(),
        )

    def _hints(self) -> tuple[str, str]:
        pause, restart, menu = map(self._commands.key_of, ("pause", "restart", "menu"))
        return f"{pause} goes on, {menu} opens the menu", f"{restart} tries again, {menu} opens the menu"

    def _keys_strength(self, now: float) -> float:
        """How strongly the first start's keys are shown; they fade once the person has used one, and never return."""
        if self._played_since is None or self._commands.preferences.keys_shown:
            return 0.0
        left = 1.0 if self._used_since is None else 1.0 - (now - self._used_since) / _FADE_SECONDS
        if left <= 0:
            self._commands.change(keys_shown=True)
            if problem := self._commands.settings_file.save():
                self.say(problem, now + NOTICE_SECONDS)
        return round(max(0.0, left) * 12) / 12

    def _first_look(self, status: Status) -> KeyLine | None:
        """How to look round, in a world that has just begun and where nobody has yet."""
        commands, space = self._commands, status.space
        if commands.looked or space is None or not space.has_mouse or status.state is not State.PLAYING:
            return None
        if status.replay is not None or (commands.steered and commands.preferences.keys_shown):
            return None
        keys = commands.look_keys(space.mode)
        what = "look round" if space.has_looks else "steer"
        return KeyLine(keys, f"Click to {what} with the mouse" + (", or press" if keys else ""))


def look_of(preferences: Preferences) -> Look:
    """How a person likes the picture."""
    return Look(preferences.scale, preferences.icons, preferences.icons_place, preferences.text)


def _waiting_words(status: Status) -> str:
    return status.words + (f", {status.progress:.0%}" if status.words and 0.0 < status.progress < 1.0 else "")


class View:
    """Draws sceneries, and the menu over them when it is open.

    What has not changed is not drawn again: while the picture is the same, only what lies over it is, and only there.
    """

    def __init__(self, paint: Painter, hud: Hud, menu: Menu | None = None, gpu: Gpu | None = None) -> None:
        self._paint, self._hud, self._menu, self._gpu = paint, hud, menu, gpu
        self._ground: pygame.Surface | None = None  # the picture in the window's size, shaded
        self._ground_of: tuple[Picture | None, Look, int] | None = None  # what it was made from, and its shade
        self._shown: tuple[pygame.Surface, tuple] | None = None  # the window, and whose picture lies on it
        self._marks: list[pygame.Rect] = []  # where something was drawn over that picture
        self._half: pygame.Surface | None = None

    def forget(self) -> None:
        """Nothing of what was drawn is to be relied on: the system has drawn over the window."""
        self._shown = None

    def draw(self, surface: pygame.Surface, scenery: Scenery) -> list[pygame.Rect] | None:
        """Draws what looks different from what was drawn last. surface: the display's, 32 bits a pixel.

        Returns the areas that were drawn on, None for all of it.
        """
        status, failed = scenery.status, scenery.status.state is State.FAILED
        in_menu = scenery.menu is not None and self._menu is not None
        shade = _MENU if in_menu else _STATE if scenery.waiting or failed else _PAUSE if scenery.paused else 0
        ground = (scenery.picture, scenery.look, shade)
        old = self._lay_ground(surface, ground)
        marks: list[pygame.Rect] = []
        if in_menu and self._menu is not None:
            marks += self._menu.draw(surface, scenery.remark)
            if status.recording:
                marks.append(self._hud.dot(surface, status.recorded, self._menu.corner))
        elif scenery.waiting:
            marks.append(self._hud.loading(surface, TITLE, status.words, status.progress, scenery.beat / BEATS))
        elif failed:
            marks.append(self._hud.card(surface, "The world stopped", status.words, scenery.hints[1], bad=True))
        else:
            marks += self._draw_icons(surface, scenery, shade)
            marks += self._draw_words(surface, scenery)
            if scenery.paused:
                marks.append(self._hud.card(surface, "Paused", "", scenery.hints[0]))
        self._marks = [mark.clip(surface.get_rect()) for mark in marks]
        return None if old is None else [*old, *self._marks]

    def _lay_ground(
        self, surface: pygame.Surface, ground: tuple[Picture | None, Look, int]
    ) -> list[pygame.Rect] | None:
        """Puts the picture on the window, where something else is. Returns these areas, None for all of it."""
        if self._gpu is not None:
            return self._hand_over(self._gpu, surface, ground)
        if self._shown is not None and self._shown[0] is surface and self._same(self._shown[1], ground):
            kept = self._kept(surface, ground)
            for mark in self._marks:
                surface.blit(kept, mark, mark)
            return self._marks
        self._shown = surface, ground
        self._draw_world(surface, *ground)
        return None

    def _hand_over(
        self, gpu: Gpu, surface: pygame.Surface, ground: tuple[Picture | None, Look, int]
    ) -> list[pygame.Rect] | None:
        """Has the GPU show the picture; the surface is for what lies over it. Returns where it was cleared of that."""
        known = self._shown is not None and self._shown[0] is surface
        if self._shown is None or not known or not self._same(self._shown[1], ground):
            picture, look, shade = ground
            whole = surface.get_rect()
            if picture is None:
                gpu.show(None, (1, 1), whole, whole, smooth=True, shade=0, edge=INK)
            else:
                height, width = picture.pixels.shape[:2]
                inside, place = pygame.Rect(0, 0, width, height), self._area(picture, whole.size, look.scale)
                if picture.backdrop:
                    inside, place = fitted(whole.size, (width, height)), whole
                gpu.show(picture.pixels.tobytes(), (width, height), place, inside, smooth=look.scale == "smooth",
                         shade=shade, edge=_EDGE)  # fmt: skip
        self._shown = surface, ground
        for mark in self._marks if known else [surface.get_rect()]:
            surface.fill((0, 0, 0, 0), mark)
        return self._marks if known else None

    def _kept(self, surface: pygame.Surface, ground: tuple[Picture | None, Look, int]) -> pygame.Surface:
        """The picture as it lies on the window, with nothing over it."""
        if self._ground is None or self._ground.get_size() != surface.get_size():
            self._ground, self._ground_of = pygame.Surface(surface.get_size(), 0, surface), None
        if self._ground_of is None or not self._same(self._ground_of, ground):
            self._draw_world(self._ground, *ground)
            self._ground_of = ground
        return self._ground

    @staticmethod
    def _same(one: tuple, other: tuple) -> bool:
        return one[0] is other[0] and one[1:] == other[1:]

    def _draw_world(self, surface: pygame.Surface, picture: Picture | None, look: Look, shade: int) -> None:
        if picture is None:
            surface.fill(INK)
            return
        area, whole = self._draw_picture(surface, picture, look.scale, shade), surface.get_rect()
        for beside in (  # it, and not below it: half of the time of a picture that fills the window
            pygame.Rect(0, 0, whole.width, area.top),
            pygame.Rect(0, area.bottom, whole.width, whole.bottom - area.bottom),
            pygame.Rect(0, area.top, area.left, area.height),
            pygame.Rect(area.right, area.top, whole.right - area.right, area.height),
        ):
            surface.fill(_EDGE, beside)

    def _draw_words(self, surface: pygame.Surface, scenery: Scenery) -> list[pygame.Rect]:
        """Returns where they lie."""
        status, unit, hud = scenery.status, self._paint.unit(surface), self._hud
        taken: list[pygame.Rect] = []  # from the top down
        others: list[pygame.Rect] = []
        if scenery.keys_strength > 0 and scenery.keys:
            taken.append(hud.keys(surface, scenery.keys, scenery.keys_strength))
        for words, bad, cap in passing_lines(scenery):
            y = taken[-1].bottom + unit // 2 if taken else unit // 2
            taken.append(hud.remark(surface, words, y, bad=bad, cap=cap))
        free = self._free_down_to(surface, scenery)
        if status.replay is not None and not scenery.paused:
            others.append(hud.replay(surface, status.replay, scenery.take_over, free - unit // 2))
            free = others[-1].top
        if scenery.first_look is not None:
            others.append(hud.first_look(surface, scenery.first_look, taken, free - unit // 2))
        if status.recording:
            taken.append(hud.dot(surface, status.recorded))
        if scenery.numbers is not None:
            numbers = hud.numbers(surface, scenery.numbers, [*taken, *others], free - unit // 2)
            others += [numbers] if numbers is not None else []
        return taken + others

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
        image = pygame.image.frombuffer(picture.pixels.tobytes(), (width, height), "RGB").convert(surface)
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
        if scale != "smooth":
            pygame.transform.scale(image, area.size, surface.subsurface(area))
            return area
        if area.width >= _MANY_TIMES * image.get_width() and area.width * area.height > _MANY_PIXELS:
            # Smoothly to half the size, and each pixel twice: a fifth of the time, and no eye sees it.
            half = ((area.width + 1) // 2, (area.height + 1) // 2)
            if self._half is None or self._half.get_size() != half:
                self._half = pygame.Surface(half, 0, surface)
            image = pygame.transform.smoothscale(image, half, self._half)
            pygame.transform.scale(image, area.size, surface.subsurface(area))
            return area
        pygame.transform.smoothscale(image, area.size, surface.subsurface(area))
        return area

    @staticmethod
    def _icons(size: tuple[int, int], picture: Picture, scenery: Scenery) -> list:
        control, look, space = picture.control, scenery.look, scenery.status.space
        if space is None:
            return []
        times = _ICON_TIMES[look.icons]
        return control_icons(*size, control.keys, control.mouse, space, times=times, place=look.icons_place)

    def _draw_icons(self, surface: pygame.Surface, scenery: Scenery, shade: int) -> list[pygame.Rect]:
        """The model's keys and mouse, where the picture is not shaded. Returns where they lie."""
        picture = scenery.picture
        if picture is None or picture.backdrop or scenery.look.icons == "off" or shade or scenery.status.space is None:
            return []
        area = self._area(picture, surface.get_size(), scenery.look.scale)
        part, marks = surface.subsurface(area), []
        for icon in self._icons(area.size, picture, scenery):
            self._paint.patch(part, icon.rgba, icon.x, icon.y)
            high, wide = icon.rgba.shape[:2]
            marks.append(pygame.Rect(area.left + icon.x, area.top + icon.y, wide, high))
        return marks


def passing_lines(scenery: Scenery) -> list[tuple[str, bool, str]]:
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


def fitted(inner: Sequence[int], outer: Sequence[int]) -> pygame.Rect:
    """The largest rectangle of `inner`'s aspect inside `outer` (both width, height), in the middle of it."""
    scale = min(outer[0] / inner[0], outer[1] / inner[1])
    width, height = max(1, min(outer[0], round(inner[0] * scale))), max(1, min(outer[1], round(inner[1] * scale)))
    return pygame.Rect((outer[0] - width) // 2, (outer[1] - height) // 2, width, height)
