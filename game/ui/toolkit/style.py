"""The one design of window, icons, menu and numbers: colours, sizes, fonts. No pygame: the mp4's icons use it too."""

from __future__ import annotations

from game.config.paths import ASSETS

Colour = tuple[int, int, int]

INK: Colour = (14, 17, 24)  # what everything stands on
PANEL: Colour = (21, 25, 35)
RAISED: Colour = (35, 41, 56)  # a row that has the focus, a key cap, a slider's rail
LINE: Colour = (60, 68, 87)
PAPER: Colour = (240, 243, 248)  # text
QUIET: Colour = (166, 175, 191)  # text that explains
ACCENT: Colour = (255, 178, 62)  # what is on, chosen or held
WARN: Colour = (255, 128, 96)
RED: Colour = (232, 62, 62)  # recording, and nothing else
GOOD: Colour = (112, 204, 150)

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
