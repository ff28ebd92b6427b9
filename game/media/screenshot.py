"""The picture on the window as a file."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from game.media.pictures import save_png
from game.recording.format import folder_error


def save_screenshot(folder: Path, pixels: np.ndarray) -> Path:
    """Writes a PNG named by the time into `folder` and returns its path.

    pixels: (H, W, 3) uint8 RGB. Raises RecordingError.
    """
    stem = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%f}"[:-3] + "Z"
    path = folder / f"{stem}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_png(path, pixels)
    except OSError as error:
        raise folder_error(folder, error) from error
    return path
