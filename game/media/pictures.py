"""Pictures from and to files, and enlarged; the one place of the offline client that knows OpenCV's BGR."""

from __future__ import annotations

import contextlib
import struct
import warnings
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from engine.errors import PictureError
from game.files import check_regular, folder_error, write_new, write_whole

if TYPE_CHECKING:  # the window does not wait for it
    from PIL import Image

READABLE = "a picture: png, jpg, webp, avif, tiff, bmp, gif"
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
MOST_PIXELS = 100_000_000  # more would take a gigabyte to look at
_BEHIND = (255, 255, 255)  # what shows through transparent pixels: white paper, as in most viewers
_LEAST = 8  # pixels


def read_picture(path: Path, near: tuple[int, int] | None = None) -> np.ndarray:
    """A picture from a file as (H, W, 3) uint8 RGB, turned as its EXIF data says, transparent parts over white.

    near: width and height that are enough; then the picture may come back smaller than it is, but not smaller than
    that, which saves time and memory. Its header is looked at first. Raises PictureError if it is missing, no picture,
    too small to be one or too large to be looked at.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            return _read(path, file, near)
    except OSError as error:
        what = f"cannot read the picture {path} ({error.strerror or error})"
        raise PictureError(what, expected=READABLE) from error


def _read(path: Path, file: IO[bytes], near: tuple[int, int] | None) -> np.ndarray:
    from PIL import UnidentifiedImageError

    library = _pillow()
    try:
        with library.open(file) as image:
            _check_size(path, image.size, image.format)
            _take_less(image, near)
            return np.ascontiguousarray(_upright_rgb(image, near))
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        file.seek(0)
        data = file.read(32)
        if _is_heic(path, data):
            remedy = "install pillow-heif (pip install pillow-heif), or save the picture as JPEG"
            raise PictureError(f"{path} is a HEIC picture, which cannot be read here", remedy=remedy) from error
        if (size := _tiff_size(file)) is not None:  # of floating-point colours, which Pillow does not read
            _check_size(path, size, "TIFF")
            return _float_tiff(path, file)
        raise PictureError(f"{path} is no picture", expected=READABLE) from error
    except Exception as error:  # decoders raise anything at all for a damaged file
        words = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{path} is no picture, or a damaged one", got=words, expected=READABLE) from error


@lru_cache(maxsize=1)
def _pillow() -> Any:
    """Pillow's Image module, made to read HEIC if that is installed, and to leave every word to us."""
    from PIL import Image

    warnings.filterwarnings("ignore", module="PIL")
    Image.MAX_IMAGE_PIXELS = None  # sizes are checked here, before anything is decoded
    try:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    except ImportError:
        pass
    return Image


def _check_size(path: Path, size: tuple[int, int], kind: str | None) -> None:
    got, pixels = f"{size[0]}x{size[1]}", size[0] * size[1]
    if min(size) < _LEAST:
        raise PictureError(f"the picture {path} is too small", got=got, expected=f"{_LEAST}x{_LEAST} pixels or more")
    if pixels > (64 if kind == "JPEG" else 1) * MOST_PIXELS:  # a JPEG can be read at an eighth of its size
        expected, remedy = f"at most {MOST_PIXELS // 10**6} million pixels", "make it smaller"
        raise PictureError(f"the picture {path} is too large", got=got, expected=expected, remedy=remedy)


def _take_less(image: Image.Image, near: tuple[int, int] | None) -> None:
    """Has a JPEG decoded at a fraction of its size, where that is enough or all that can be looked at."""
    width, height = image.size
    least = 1
    while width * height // least**2 > MOST_PIXELS:
        least *= 2
    enough = (width // least, height // least)
    if near is not None:
        enough = (min(enough[0], max(near)), min(enough[1], max(near)))  # it may yet be turned upright
    if image.format == "JPEG":
        image.draft(image.mode, enough)


def _upright_rgb(image: Image.Image, near: tuple[int, int] | None) -> np.ndarray:
    from PIL import ImageOps

    image.load()
    with contextlib.suppress(Exception):  # its EXIF data is damaged, the picture is not
        image = ImageOps.exif_transpose(image)
    times = min(image.size) // max(near) if near is not None else 1
    if times > 1 and image.mode in ("L", "RGB", "RGBA"):
        image = image.reduce(times)
    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        sixteen = image.mode.startswith("I;") or image.format == "PNG"
        return _to_bytes(np.asarray(image).astype(np.float64), 65535.0 if sixteen else None)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = _pillow().new("RGB", layer.size, _BEHIND)
        image.paste(layer, mask=layer.getchannel("A"))
    return np.asarray(image.convert("RGB"))


def _to_bytes(values: np.ndarray, white: float | None = None) -> np.ndarray:
    """Grey (H, W), colours (H, W, 3), or with alpha (H, W, 2 or 4), as (H, W, 3) uint8.

    white: the value of white; None to take it from the values: 1, 255, 65535, whichever holds them all, or the largest.
    """
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    if white is None:
        largest = float(values.max(initial=0.0))
        white = next((scale for scale in (1.0, 255.0, 65535.0) if largest <= scale * 1.0001), largest)
    shares = np.clip(values / white, 0.0, 1.0)
    if shares.ndim == 2:
        shares = shares[:, :, None]
    if shares.shape[2] in (2, 4):
        alpha = shares[:, :, -1:]
        shares = shares[:, :, :-1] * alpha + (1.0 - alpha)
    return np.ascontiguousarray(np.broadcast_to(np.round(shares * 255), (*shares.shape[:2], 3)).astype(np.uint8))


def _is_heic(path: Path, head: bytes) -> bool:
    brands = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
    return path.suffix.lower() in HEIC_SUFFIXES or (head[4:8] == b"ftyp" and head[8:12] in brands)


def _tiff_size(file: IO[bytes]) -> tuple[int, int] | None:
    """Width and height from a TIFF's first directory, None if it has none."""
    file.seek(0)
    head = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None:
        return None
    try:
        file.seek(struct.unpack(f"{order}I", head[4:])[0])
        found: dict[int, int] = {}
        for _ in range(struct.unpack(f"{order}H", file.read(2))[0]):
            entry = file.read(12)
            tag, kind, short = struct.unpack(f"{order}HH4xH2x", entry)
            found[tag] = short if kind == 3 else struct.unpack(f"{order}I", entry[8:])[0]
        return found[256], found[257]
    except (struct.error, KeyError):
        return None


def _float_tiff(path: Path, file: IO[bytes]) -> np.ndarray:
    import cv2

    file.seek(0)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with it is said here, once
    try:
        picture = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        picture = None
    if picture is None:
        raise PictureError(f"{path} is a TIFF of a kind that cannot be read", expected=READABLE)
    if picture.ndim == 3 and picture.shape[2] >= 3:
        picture = picture[:, :, [2, 1, 0, *range(3, picture.shape[2])]]
    white = 256.0**picture.dtype.itemsize - 1 if picture.dtype.kind == "u" else None
    return _to_bytes(picture.astype(np.float64), white)


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

    top, bottom, left, right = middle(picture.shape[0], picture.shape[1], height, width)
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
