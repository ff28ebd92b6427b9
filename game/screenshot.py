"""The picture on the window as a file: clean, or with the icons of what was pressed."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from game.pictures import enlarge, save_png
from game.recorder import icon_scale
from game.session import folder_error
from game.settings import RecordSettings
from game.status import Picture

if TYPE_CHECKING:
    from engine.actions import ActionSpace


def save_screenshot(folder: Path, picture: Picture, space: ActionSpace | None) -> Path:
    """Writes a PNG named by the time into `folder` and returns its path.

    space: of the model, to draw the picture's keys and mouse over it (small pictures enlarged, as in videos); None for
    the picture as it is. Raises RecordingError.
    """
    pixels = picture.pixels
    if space is not None:
        from game.overlay import draw_controls

        scale = icon_scale(pixels.shape[0], RecordSettings().icon_height)
        pixels = draw_controls(enlarge(pixels, scale), picture.control.keys, picture.control.mouse, space)
    stem = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%f}"[:-3] + "Z"
    path = folder / f"{stem}{'' if space is None else '-icons'}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_png(path, pixels)
    except OSError as error:
        raise folder_error(folder, error) from error
    return path
