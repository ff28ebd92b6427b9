"""What the window must know of a person's settings before these are read: that takes as long as all else it needs."""

from __future__ import annotations

import os
from pathlib import Path

from game.config import paths

FILE = "settings.yaml"
FOLDER_VARIABLE = "NEURAL_WORLD_CONFIG"


def window_wish() -> tuple[tuple[int, int] | None, bool]:
    """The window's size, None to fit the screen, and whether it is to fill it, as the file most likely says.

    Looks at lines and knows no YAML. What the file really says is applied once it has been read.
    """
    try:
        folder = Path(os.environ.get(FOLDER_VARIABLE) or paths.config_folder()).expanduser()
        lines = (folder / FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, RuntimeError):
        return None, False
    pairs = (line.partition(":") for line in lines if line[:1].isalpha())
    said = {name: value.partition("#")[0].strip(" \t\"'") for name, _, value in pairs}
    width, _, height = said.get("window", "").partition("x")
    size = (int(width), int(height)) if _is_length(width) and _is_length(height) else None
    return size, said.get("full_screen") == "true"


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 3 <= len(text) <= 4 and text[0] != "0"
