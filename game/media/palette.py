"""The colours of window, icons, menu and numbers, and of the icons in videos. No pygame."""

from __future__ import annotations

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
