"""Pictures from and to files, and enlarged; the one place of the offline client that knows OpenCV's BGR."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from engine.errors import PictureError
from game.files import folder_error, write_new, write_whole

_READABLE = "a picture OpenCV reads: png, jpg, webp, bmp, tiff"


def read_picture(path: Path) -> np.ndarray:
    """A picture from a file as (H, W, 3) uint8 RGB, turned as its EXIF data says.

    Raises PictureError if it is missing, no picture, or too small to be one.
    """
    import cv2

    try:
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise PictureError(f"cannot read the picture {path} ({error.strerror or error})", expected=_READABLE) from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with it is said here, once
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:
        picture = None  # an impossible size in the header, for one
    if picture is None:
        raise PictureError(f"{path} is no picture", expected=_READABLE)
    if min(picture.shape[:2]) < 8:
        got = f"{picture.shape[1]}x{picture.shape[0]}"
        raise PictureError(f"the picture {path} is too small", got=got, expected="8x8 pixels or more")
    return np.ascontiguousarray(picture[:, :, ::-1])


def save_png(path: Path, picture: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB without loss, all of it or nothing. Raises OSError."""
    write_whole(path, png_bytes(picture))


def png_bytes(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as a PNG file. Raises OSError."""
    import cv2

    ok, data = cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]))
    if not ok:
        raise OSError("the picture cannot be encoded as PNG")
    return data.tobytes()


def cut_to(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture (H, W, 3) in the aspect of width:height, as (height, width, 3)."""
    import cv2

    from engine.pictures import middle

    top, bottom, left, right = middle(*picture.shape[:2], height, width)
    part = np.ascontiguousarray(picture[top:bottom, left:right])
    shrinks = part.shape[0] > height
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def enlarge(picture: np.ndarray, times: int) -> np.ndarray:
    """(H, W, 3) -> (times * H, times * W, 3), smoothly; itself if times is 1."""
    if times == 1:
        return picture
    import cv2

    size = (picture.shape[1] * times, picture.shape[0] * times)
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)


def save_screenshot(folder: Path, pixels: np.ndarray) -> Path:
    """Writes a PNG named by the time into `folder`, beside others of the same moment, and returns its path.

    pixels: (H, W, 3) uint8 RGB. Raises RecordingError.
    """
    stem = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%f}"[:-3] + "Z"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return write_new(folder / f"{stem}.png", png_bytes(pixels))
    except (OSError, ValueError) as error:
        raise folder_error(folder, error) from error
