"""Pictures as they go over the wire: encoded for each client, at the quality that its line carries."""

from __future__ import annotations

import hashlib
import os
import struct
from collections import deque
from pathlib import Path

import numpy as np

from engine.errors import PictureError
from game.remote.wire import MOST_PICTURE, MOST_PIXELS, Pictures, WireError

LOWEST = 30  # quality: below it slow motion is the better choice
_HALVED_BELOW = 60  # quality below which colour is halved, wanted or not
_INBOX_FILES = 64
_KNOWN = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


def encode(pixels: np.ndarray, wanted: Pictures, quality: int) -> bytes:
    """(H, W, 3) uint8 RGB as a file in memory. quality: for jpeg and webp, 0 to 100. Raises WireError."""
    import cv2

    if wanted.format == "png":
        suffix, how = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
    elif wanted.format == "webp":
        suffix, how = ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality]
    else:
        full = wanted.full_colour and quality >= _HALVED_BELOW
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
        suffix, how = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    ok, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), how)
    if not ok:
        raise WireError("a picture cannot be encoded", got=pixels.shape)
    return data.tobytes()


def decode(data: bytes, width: int, height: int) -> np.ndarray:
    """A picture from the wire as (height, width, 3) uint8 RGB. Raises WireError if it is none, or of another size."""
    import cv2

    size = size_of(data)
    if size != (width, height):
        raise WireError("a picture has another size than its block", got=size, expected=(width, height))
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape != (height, width, 3):
        raise WireError("a picture cannot be decoded")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height that a PNG, JPEG or WebP says it has, without decoding it; None if it is none of them."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        elif 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


class Inbox:
    """The one folder that pictures of clients are written to. folder: made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Keeps a picture, checked, under a name made of its bytes, and returns that. Raises PictureError."""
        suffix = next((ending for start, ending in _KNOWN.items() if data.startswith(start)), None)
        size = size_of(data)
        if suffix is None or size is None:
            raise PictureError("that is no picture", expected="PNG, JPEG or WebP")
        if len(data) > MOST_PICTURE or size[0] * size[1] > MOST_PIXELS:
            got = f"{size[0]}x{size[1]}, {len(data)} bytes"
            raise PictureError("the picture is too large", got=got, expected=f"at most {MOST_PIXELS} pixels")
        if min(size) < 8:
            raise PictureError("the picture is too small", got=f"{size[0]}x{size[1]}", expected="8x8 pixels or more")
        name = hashlib.sha256(data).hexdigest()[:32]
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / (name + suffix)
        temporary = self.folder / f".{name}.tmp"
        temporary.write_bytes(data)
        os.replace(temporary, path)
        from game.media.pictures import read_picture

        try:
            read_picture(path)
        except PictureError:
            path.unlink(missing_ok=True)
            raise PictureError("that is no picture", expected="PNG, JPEG or WebP") from None
        self._trim()
        return name

    def path(self, name: str) -> Path:
        """The file of a picture that was put here. Raises PictureError if there is none by that name."""
        if len(name) == 32 and all(letter in "0123456789abcdef" for letter in name):
            for ending in _KNOWN.values():
                if (path := self.folder / (name + ending)).is_file():
                    return path
        raise PictureError("there is no such picture here", remedy="send it again")

    def _trim(self) -> None:
        """Only the newest pictures stay."""
        files = sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in files[:-_INBOX_FILES]:
            path.unlink(missing_ok=True)


class Quality:
    """What quality a line carries: down when blocks take longer to arrive than they did at best, slowly up again.

    best: as the client wants it. Times are seconds of one monotonic clock.
    """

    def __init__(self, best: int) -> None:
        self.best = best
        self.now = best
        self._flights: deque[tuple[float, float]] = deque(maxlen=256)  # (when, seconds from sent to acknowledged)
        self._changed = 0.0

    def arrived(self, flight: float, period: float, now: float) -> None:
        """A block was acknowledged. flight: seconds since it was sent; period: seconds that it plays."""
        self._flights.append((now, flight))
        usual = min(seconds for when, seconds in self._flights if now - when < 20.0)
        recent = [seconds for when, seconds in self._flights if now - when < 0.5]
        waiting = sorted(recent)[len(recent) // 2] - usual  # a single late one says nothing
        if waiting > max(0.05, period) and now - self._changed > 0.25 + usual:
            self.now, self._changed = max(min(LOWEST, self.best), self.now - 15), now
        elif waiting < 0.25 * period and now - self._changed > 3.0 and self.now < self.best:
            self.now, self._changed = min(self.best, self.now + 5), now
