"""Words and numbers on the window: loading, pause and failure cards, key help, passing remarks, and the F3 numbers.

Everything is laid out from one unit, the height of the text, which follows the window's size.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on import otherwise

import numpy as np
import pygame

from game.overlay import ACCENT, INK, PAPER, rounded_panel
from game.pacing import PaceReport
from game.paths import ASSETS
from game.worker import Status

_FONT = ASSETS / "font" / "DejaVuSans.ttf"
_QUIET = (168, 176, 190)
_WARN = (255, 128, 96)
_SMALLEST = 8  # pixels of text, where a window is as small as a stamp

_MOVES = {
    "universal": ["W A S D  walk", "mouse (click) or arrows  look"],
    "gta_drive": ["W S  drive", "A D or mouse  steer"],
    "templerun": ["W  jump", "S  slide", "A D  step aside", "Z C  turn"],
}
_COMMANDS = ["P  pause", "R  restart", "N  next scene", "F3  numbers", "F11  full screen", "Esc  quit"]


def key_help(mode: str) -> list[str]:
    """The keys of a mode, each as "keys  what they do"."""
    return _MOVES[mode] + _COMMANDS


def number_rows(pace: PaceReport, status: Status) -> list[tuple[str, str, bool]]:
    """The F3 numbers as (name, value, whether it is worth a worry)."""

    def spread(values: dict[str, float] | None) -> str:
        return f"{values['p50']:.0f} / {values['p95']:.0f} ms" if values else "-"

    slow, spare = bool(pace.slow_words), "to spare" if pace.spare_ms >= 0 else "late"
    deadline = pace.deadline_ms / pace.speed  # the one that blocks are held to, not the one they should keep
    return [
        ("frames a second", f"{pace.shown_fps:.1f} of {pace.fps:g}", pace.shown_fps < 0.9 * pace.fps),
        ("block p50 / p95", spread(pace.block_ms), pace.block_ms["p95"] > pace.deadline_ms),
        ("deadline", f"{deadline:.0f} ms, {abs(pace.spare_ms):.0f} ms {spare}", pace.spare_ms < 0),
        ("latency p50 / p95", spread(pace.latency_ms), False),
        ("lookahead p50 / p95", spread(pace.lookahead_ms), False),
        ("late frames", str(pace.late_frames), False),
        ("play clock", f"{pace.speed:.0%}", slow),
        ("model", f"{status.model} on {status.device}" + (", recording" if status.recording else ""), False),
    ]


class Hud:
    """Draws on a surface; keeps rendered text, so that a line that stays costs nothing."""

    def __init__(self) -> None:
        pygame.font.init()
        self._font = lru_cache(maxsize=32)(self._load_font)
        self._text = lru_cache(maxsize=256)(self._render)
        self._wide = lru_cache(maxsize=1024)(self._measure)
        self._patches: dict[int, tuple[np.ndarray, pygame.Surface]] = {}

    # -- parts of the picture ----------------------------------------------------------------------------------------

    def loading(self, surface: pygame.Surface, title: str, words: str, progress: float) -> None:
        """Title, what is being done and how far it is, in the middle."""
        unit = text_unit(surface)
        middle, y = surface.get_width() // 2, surface.get_height() // 2
        words = words[:1].upper() + words[1:]
        self._centred(surface, title, 2 * unit, PAPER, middle, y - 2 * unit)
        width, height = min(18 * unit, surface.get_width() - 4 * unit), max(3, unit // 4)
        left, top = middle - width // 2, y + unit // 2
        self.patch(surface, rounded_panel(width, height, height / 2, PAPER, 0.22), left, top)
        filled = int(width * max(0.0, min(1.0, progress)))
        if filled >= height:
            self.patch(surface, rounded_panel(filled, height, height / 2, ACCENT, 1.0), left, top)
        self._centred(
            surface, self._shortened(words, unit, surface.get_width() - 2 * unit), unit, _QUIET, middle, y + 2 * unit
        )

    def card(self, surface: pygame.Surface, title: str, words: str, hint: str, *, bad: bool = False) -> None:
        """A titled panel in the middle. words: wrapped to the window's width. bad: in the colour of a failure."""
        unit = text_unit(surface)
        wide = min(surface.get_width() - 4 * unit, 40 * unit)
        lines = self._wrapped(words, unit, wide - 4 * unit)
        room = (surface.get_height() - 10 * unit) // (3 * unit // 2)
        if len(lines) > max(1, room):
            lines = [*lines[: max(1, room) - 1], "..."]
        parts = [
            (title, self._size_within([(title,)], 2 * unit, surface.get_width() - 5 * unit), _WARN if bad else PAPER),
            *((line, unit, PAPER) for line in lines),
            (hint, unit, _QUIET),
        ]
        texts = [self._text(*part) for part in parts]
        gaps = [0] + [unit // 3] * (len(texts) - 2) + [unit] if lines else [0, unit // 2]
        gaps[1] = unit // 2 if not lines else 3 * unit // 4
        width = max(text.get_width() for text in texts) + 4 * unit
        height = sum(text.get_height() for text in texts) + sum(gaps) + 3 * unit
        left, y = (surface.get_width() - width) // 2, (surface.get_height() - height) // 2
        self.patch(surface, rounded_panel(width, height, unit, INK, 0.8), left, y)
        y += 3 * unit // 2
        for text, gap in zip(texts, gaps, strict=True):
            y += gap
            surface.blit(text, ((surface.get_width() - text.get_width()) // 2, y))
            y += text.get_height()

    def help(self, surface: pygame.Surface, items: Sequence[str], strength: float) -> int:
        """Key help along the top, as many lines as it needs. strength: 0 (gone) to 1. Returns the y below it."""
        unit = text_unit(surface)
        size, gap = round(0.85 * unit), round(1.4 * unit)
        texts = [self._text(item, size, PAPER) for item in items]
        room = surface.get_width() - 8 * unit
        whole = sum(text.get_width() + gap for text in texts)
        limit = min(room, whole / -(-whole // room) + 4 * unit)  # rows of about one length
        rows: list[list[pygame.Surface]] = [[]]
        for text in texts:
            if rows[-1] and sum(t.get_width() + gap for t in rows[-1]) + text.get_width() > limit:
                rows.append([])
            rows[-1].append(text)
        line = texts[0].get_height() + unit // 4
        widths = [sum(t.get_width() for t in row) + gap * (len(row) - 1) for row in rows]
        width, height = max(widths) + 2 * unit, line * len(rows) + unit // 2
        layer = pygame.Surface((width, height), pygame.SRCALPHA)
        self.patch(layer, rounded_panel(width, height, 0.6 * unit, INK, 0.62), 0, 0)
        for number, (row, wide) in enumerate(zip(rows, widths, strict=True)):
            x = (width - wide) // 2
            for text in row:
                layer.blit(text, (x, unit // 3 + number * line))
                x += text.get_width() + gap
        layer.set_alpha(round(255 * strength))
        surface.blit(layer, ((surface.get_width() - width) // 2, unit // 2))
        return unit + height

    def remark(self, surface: pygame.Surface, words: str, y: int, *, bad: bool = False) -> int:
        """A short line in a pill, centred, its top at y. Returns the y below it."""
        unit = text_unit(surface)
        size = round(0.9 * unit)
        text = self._text(self._shortened(words, size, surface.get_width() - 8 * unit), size, _WARN if bad else PAPER)
        width, height = text.get_width() + 2 * unit, text.get_height() + unit // 2
        left = (surface.get_width() - width) // 2
        self.patch(surface, rounded_panel(width, height, height / 2), left, y)
        surface.blit(text, (left + unit, y + unit // 4))
        return y + height + unit // 2

    def numbers(self, surface: pygame.Surface, rows: Sequence[tuple[str, str, bool]], y: int, bottom: int) -> None:
        """The F3 panel at the left, its top at y; rows that would reach below `bottom` are left out."""
        unit = text_unit(surface)
        pad, left = round(0.8 * unit), unit // 2
        room = surface.get_width() - 3 * unit - left - 2 * pad  # the corner at the right is the recording's dot's
        size = self._size_within(rows, max(11, round(0.8 * unit)), room - unit)
        line = round(1.3 * size)
        rows = rows[: max(0, (bottom - y - 2 * pad) // line)]
        if not rows:
            return
        names = [self._text(name, size, _QUIET) for name, _, _ in rows]
        # Whole units, so that a digit more does not make a new panel.
        column = -(-max(name.get_width() for name in names) // unit) * unit + unit
        values = [
            self._text(self._shortened(value, size, room - column), size, _WARN if worry else PAPER)
            for _, value, worry in rows
        ]
        wide = -(-max(value.get_width() for value in values) // (3 * unit)) * 3 * unit
        width = min(room, column + wide) + 2 * pad
        self.patch(surface, rounded_panel(width, line * len(rows) + 2 * pad, 0.6 * unit), left, y)
        for number, (name, value) in enumerate(zip(names, values, strict=True)):
            surface.blit(name, (left + pad, y + pad + number * line))
            surface.blit(value, (left + pad + column, y + pad + number * line))

    def dot(self, surface: pygame.Surface) -> None:
        """The red dot of a running recording, in the upper right corner, which everything else leaves free."""
        unit = text_unit(surface)
        dot = rounded_panel(unit, unit, unit / 2, (232, 62, 62), 0.95)
        self.patch(surface, dot, surface.get_width() - 2 * unit, unit // 2)

    def patch(self, surface: pygame.Surface, rgba: np.ndarray, x: int, y: int) -> None:
        """Lays an RGBA patch, (h, w, 4) uint8, over a surface with its upper left corner at (x, y)."""
        known = self._patches.get(id(rgba))
        if known is None or known[0] is not rgba:
            if len(self._patches) > 400:
                self._patches.clear()
            height, width = rgba.shape[:2]
            known = (rgba, pygame.image.frombuffer(rgba.tobytes(), (width, height), "RGBA").convert_alpha())
            self._patches[id(rgba)] = known  # holding the array keeps its id from being given to another
        surface.blit(known[1], (x, y))

    # -- text --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _load_font(size: int) -> pygame.font.Font:
        return pygame.font.Font(str(_FONT) if _FONT.is_file() else None, size)

    def _render(self, words: str, size: int, colour: tuple[int, int, int]) -> pygame.Surface:
        return self._font(size).render(_printable(words), True, colour)

    def _measure(self, words: str, size: int) -> int:
        return self._font(size).size(_printable(words))[0]

    def _centred(self, surface: pygame.Surface, words: str, size: int, colour, x: int, y: int) -> None:
        text = self._text(words, size, colour)
        surface.blit(text, (x - text.get_width() // 2, y - text.get_height() // 2))

    def _size_within(self, rows: Sequence[Sequence], size: int, width: int) -> int:
        """The size, at most `size`, at which the first two columns of text fit into a width; never unreadably small."""

        def wide(size: int) -> int:
            columns = list(zip(*rows, strict=True))[:2]
            return sum(max(self._wide(words, size) for words in column) for column in columns)

        while size > _SMALLEST and wide(size) > width:
            size -= 1
        return size

    def _shortened(self, words: str, size: int, width: int) -> str:
        if self._wide(words, size) <= width:
            return words
        while words and self._wide(words + "...", size) > width:
            words = words[:-1]
        return words + "..."

    def _wrapped(self, words: str, size: int, width: int) -> list[str]:
        lines: list[str] = []
        for word in words.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self._wide(longer, size) <= width:
                lines[-1] = longer
            else:
                lines.append(self._shortened(word, size, width))
        return lines


def _printable(words: str) -> str:
    """`words` without what a font refuses: an error may name a file whose name is no text at all."""
    return words.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def text_unit(surface: pygame.Surface) -> int:
    """The height of ordinary text on this window, in pixels."""
    width, height = surface.get_size()
    return max(11, min(48, height // 31, width // 48))
