"""Fonts of the system for what the program's own has no letters for: a file may be called anything.

The right one is looked for in the background, once for each letter that is missing; until it has come, the text shows
what its own font can. Texts are laid out by Pillow then, which knows how Arabic joins and where Hebrew begins.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pygame

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_BITMAP_SIZE = 109  # pixels: the one size of the usual font of coloured emoji
_NEVER = "\U0010fffe"  # what no font has
_FOLDERS = {
    "win32": ("C:/Windows/Fonts",),
    "darwin": ("/System/Library/Fonts", "/System/Library/Fonts/Supplemental", "/Library/Fonts"),
}
_FILES = (
    *("segoeui.ttf", "arial.ttf", "YuGothM.ttc", "meiryo.ttc", "msgothic.ttc", "msyh.ttc", "malgun.ttf"),
    *("seguiemj.ttf", "seguisym.ttf", "Nirmala.ttc", "LeelawUI.ttf", "Arial Unicode.ttf", "ヒラギノ角ゴシック W3.ttc"),
    *("PingFang.ttc", "AppleSDGothicNeo.ttc", "GeezaPro.ttc", "ArialHB.ttc", "Apple Color Emoji.ttc"),
)
_LOOKING_TAKES = 5.0  # s at most

Find = Callable[[str], "tuple[str, int] | None"]


def find_font(letter: str) -> tuple[str, int] | None:
    """A font of the system that has a letter: its file and its number in it; None if there is none. Takes a moment."""
    if sys.platform in _FOLDERS:
        files = [Path(folder) / name for name in _FILES for folder in _FOLDERS[sys.platform]]
        return next(((str(file), 0) for file in files if file.is_file() and _has(str(file), 0, letter)), None)
    pattern = f"sans-serif:charset={ord(letter):x}"
    try:
        done = subprocess.run(
            ["fc-match", "--format=%{file}\n%{index}", pattern], capture_output=True, text=True, timeout=_LOOKING_TAKES
        )
        file, _, index = done.stdout.partition("\n")
        return (file, int(index)) if file and _has(file, int(index), letter) else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


@lru_cache(maxsize=64)
def _load(file: str, index: int, size: int) -> FreeTypeFont | None:
    from PIL import ImageFont

    try:
        return ImageFont.truetype(file, size, index=index)
    except (OSError, ValueError):  # no size but its own, for one
        return None


def _has(file: str, index: int, letter: str) -> bool:
    font = _load(file, index, 20) or _load(file, index, _BITMAP_SIZE)
    if font is None:
        return False
    return bytes(font.getmask(letter)) != bytes(font.getmask(_NEVER))


class Fallbacks:
    """The system's fonts that have been asked for. find: as find_font. begin: runs work in the background."""

    def __init__(self, find: Find = find_font, begin: Callable[[Callable[[], None]], Any] | None = None) -> None:
        self._find, self._begin = find, begin or _in_a_thread
        self._fonts: dict[str, tuple[str, int] | None] = {}  # by letter; None: looked for, or not there
        self._wanted: deque[str] = deque()
        self._looking = threading.Lock()
        self._came = False

    def of(self, letter: str) -> tuple[str, int] | None:
        """The font for a letter, None as long as there is none."""
        if letter not in self._fonts:
            self._fonts[letter] = None
            self._wanted.append(letter)
            if len(self._wanted) == 1:
                self._begin(self._look)
        return self._fonts[letter]

    def fresh(self) -> bool:
        """Whether a font has come since this was asked last: then texts look different."""
        came, self._came = self._came, False
        return came

    def _look(self) -> None:
        with self._looking:
            while self._wanted:
                letter = self._wanted[0]
                known = dict.fromkeys(font for font in tuple(self._fonts.values()) if font is not None)
                found = next((font for font in known if _has(*font, letter)), None) or self._find(letter)
                if found is not None:
                    self._fonts[letter], self._came = found, True
                self._wanted.popleft()  # only now: as long as there is one, nobody begins another search


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="fonts", daemon=True).start()


@cache
def own_letters(font: pygame.font.Font) -> Callable[[str], bool]:
    """Says whether a font of the program has a letter."""
    nothing = pygame.image.tobytes(font.render(_NEVER, True, (255, 255, 255)), "RGBA")

    @lru_cache(maxsize=4096)
    def has(letter: str) -> bool:
        return letter.isascii() or pygame.image.tobytes(font.render(letter, True, (255, 255, 255)), "RGBA") != nothing

    return has


Run = tuple[str, "tuple[str, int] | None"]


def runs(words: str, has: Callable[[str], bool], fallbacks: Fallbacks) -> list[Run]:
    """Words in pieces of one font each; None stands for the program's own. Spaces go with what they stand between."""
    fonts: list[tuple[str, int] | None] = [None if has(letter) else fallbacks.of(letter) for letter in words]
    for i in range(1, len(words) - 1):
        if words[i] in " -_'" and fonts[i - 1] is not None and fonts[i - 1] == fonts[i + 1]:
            fonts[i] = fonts[i - 1]
    paired = zip(words, fonts, strict=True)
    return [("".join(letter for letter, _ in part), font) for font, part in groupby(paired, key=lambda pair: pair[1])]


def width(words: str, font: tuple[str, int], size: int) -> int:
    """Pixels that `render` needs."""
    loaded, scale = _sized(font, size)
    return 0 if loaded is None else max(1, round(max(1, round(loaded.getlength(words))) * scale))


def render(
    words: str, font: tuple[str, int], size: int, colour: tuple[int, int, int], ascent: int, height: int
) -> pygame.Surface:
    """Words in a font of the system, on a transparent surface whose baseline is `ascent` below its top."""
    from PIL import Image, ImageDraw

    loaded, scale = _sized(font, size)
    if loaded is None:
        return pygame.Surface((0, height), pygame.SRCALPHA)
    wide = max(1, round(loaded.getlength(words)))
    image = Image.new("RGBA", (wide, round(height / scale)), (*colour, 0))
    at = (0, round(ascent / scale))
    ImageDraw.Draw(image).text(at, words, font=loaded, fill=(*colour, 255), anchor="ls", embedded_color=True)
    if scale != 1.0:
        image = image.resize((max(1, round(wide * scale)), height), Image.Resampling.BOX)
    return pygame.image.frombytes(image.tobytes(), image.size, "RGBA")


def _sized(font: tuple[str, int], size: int) -> tuple[FreeTypeFont | None, float]:
    """A font in a size, or in the only one it has, and how much that is to be made smaller."""
    loaded = _load(*font, size)
    return (loaded, 1.0) if loaded is not None else (_load(*font, _BITMAP_SIZE), size / _BITMAP_SIZE)
