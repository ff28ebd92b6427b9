"""Pictures as people have them become what they look like, and what cannot be read says why, at once."""

from __future__ import annotations

import os
import struct
import zlib
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.errors import PictureError
from game.media import pictures
from game.media.pictures import read_picture, save_png, save_screenshot

WHITE = [255, 255, 255]


def half_seen(folder: Path, name: str, **how) -> Path:
    """Red, opaque on the left; the right half is transparent, with red hidden under it."""
    rgba = np.zeros((20, 30, 4), np.uint8)
    rgba[..., 0] = 255
    rgba[:, :15, 3] = 255
    Image.fromarray(rgba).save(folder / name, **how)
    return folder / name


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tiff", "x.gif", "x.avif"])
def test_transparent_pixels_show_white_and_not_their_hidden_colours(tmp_path, name):
    read = read_picture(half_seen(tmp_path, name, **({"lossless": True} if name == "x.webp" else {})))
    assert np.abs(read[10, 25].astype(int) - 255).max() < 12
    assert np.abs(read[10, 3].astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize("mode", ["P", "RGB", "L", "LA", "1-bit"])
def test_every_kind_of_transparency_counts(tmp_path, mode):
    path = tmp_path / "x.png"
    if mode == "P":
        picture = Image.new("P", (20, 20), 0)
        picture.putpalette([255, 0, 0] + [0, 0, 0] * 255)
        picture.save(path, transparency=0)
    elif mode == "1-bit":
        Image.new("1", (20, 20), 0).save(path, transparency=0)
    elif mode == "LA":
        Image.new("LA", (20, 20), (0, 0)).save(path)
    else:
        colour = (255, 0, 0) if mode == "RGB" else 7
        Image.new(mode, (20, 20), colour).save(path, transparency=colour)
    assert read_picture(path)[9, 9].tolist() == WHITE


@pytest.mark.parametrize(
    ("value", "kind", "byte"),
    [
        (0.5, np.float32, 128),
        (0.25, np.float64, 64),
        (200.0, np.float32, 200),
        (32768, np.uint16, 128),
        (77, np.uint8, 77),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_tiffs_of_any_depth_look_as_bright_as_they_are(tmp_path, value, kind, byte, channels):
    shape = (20, 30) if channels == 1 else (20, 30, 3)
    assert cv2.imwrite(str(tmp_path / "x.tiff"), np.full(shape, value, kind))
    assert read_picture(tmp_path / "x.tiff")[9, 9].tolist() == [byte] * 3


def test_floats_that_are_no_numbers_and_colours_of_a_float_tiff_come_out_right(tmp_path):
    picture = np.zeros((20, 30, 3), np.float32)
    picture[..., 0], picture[3, 3] = 1.0, [np.nan, np.inf, -5.0]  # blue, as OpenCV orders them
    cv2.imwrite(str(tmp_path / "x.tiff"), picture)
    read = read_picture(tmp_path / "x.tiff")
    assert read[9, 9].tolist() == [0, 0, 255] and read[3, 3].tolist() == [0, 0, 0]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pngs_of_eight_and_sixteen_bits_are_read(tmp_path, depth, channels):
    value = np.iinfo(depth).max // 4
    shape = (20, 30) if channels == 1 else (20, 30, channels)
    cv2.imwrite(str(tmp_path / "x.png"), np.full(shape, value, depth))
    expected = 64 if channels < 4 else 207  # a quarter of itself over white
    assert np.abs(read_picture(tmp_path / "x.png")[9, 9].astype(int) - expected).max() <= 1


def test_a_picture_is_turned_as_its_exif_says(tmp_path):
    picture = Image.new("RGB", (40, 20), (255, 0, 0))
    exif = picture.getexif()
    exif[274] = 6
    picture.save(tmp_path / "x.jpg", exif=exif)
    assert read_picture(tmp_path / "x.jpg").shape == (40, 20, 3)


def test_heic_is_told_in_words_where_it_cannot_be_read(tmp_path, monkeypatch):
    path = tmp_path / "x.heic"
    path.write_bytes(struct.pack(">I", 24) + b"ftypheic" + b"\0" * 60)
    Image.init()
    monkeypatch.setattr(Image, "ID", [kind for kind in Image.ID if kind not in ("HEIF", "AVIF")])
    with pytest.raises(PictureError, match="is a HEIC picture, which cannot be read here; install pillow-heif"):
        read_picture(path)


def test_heic_is_read_with_pillow_heif(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.new("RGB", (64, 48), (255, 0, 0)).save(tmp_path / "x.heic")
    assert np.abs(read_picture(tmp_path / "x.heic")[9, 9].astype(int) - [255, 0, 0]).max() < 12


def huge_png(path: Path, width: int, height: int) -> Path:
    """A picture that is large by its header alone."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"x")))
    return path


def huge_tiff(path: Path, width: int, height: int) -> Path:
    """Of floating-point colours, so that it is OpenCV which would have to read it."""
    tags = {256: width, 257: height, 258: 32, 259: 1, 262: 2, 277: 3, 339: 3, 273: 8, 278: height, 279: 12}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0))
    return path


@pytest.mark.parametrize("make", [huge_png, huge_tiff])
def test_a_picture_that_is_too_large_is_refused_by_its_header(tmp_path, make):
    with pytest.raises(PictureError, match="too large; got 20000x20000; expected at most 100 million pixels"):
        read_picture(make(tmp_path / "x.png", 20_000, 20_000))


def test_a_large_jpeg_is_read_small_where_that_is_enough(tmp_path):
    Image.new("RGB", (3200, 1600), (10, 200, 30)).save(tmp_path / "x.jpg")
    near = read_picture(tmp_path / "x.jpg", near=(320, 180))
    assert 320 <= near.shape[1] <= 800 and near.shape[1] == 2 * near.shape[0]
    assert read_picture(tmp_path / "x.jpg").shape == (1600, 3200, 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name, says in (("pipe.png", "a pipe or a device"), ("folder.png", "a folder"), ("none.png", "No such file")):
        with pytest.raises(PictureError, match=says):
            read_picture(tmp_path / name)
    with pytest.raises(PictureError, match="cannot read"):
        read_picture(tmp_path / "a\0b.png")


@pytest.mark.parametrize("cut", [0, 10, 60, 200])
def test_a_damaged_picture_is_told_by_nobody_else(tmp_path, cut, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for kind in ("png", "jpeg", "tiff", "webp"):
        Image.fromarray(noise).save(tmp_path / "whole", kind)
        (tmp_path / f"x.{kind}").write_bytes((tmp_path / "whole").read_bytes()[:cut])
        with pytest.raises(PictureError, match="is no picture"):
            read_picture(tmp_path / f"x.{kind}")
    assert capfd.readouterr().err == ""


def test_a_name_that_is_not_utf_8_is_a_name_like_any_other(tmp_path):
    path = tmp_path / "caf\udce9 🏰.png"
    try:
        save_png(path, np.full((20, 30, 3), 9, np.uint8))
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    assert read_picture(path).shape == (20, 30, 3)


def test_screenshots_of_one_moment_all_stay(tmp_path, monkeypatch):
    class Clock:
        @staticmethod
        def now(zone):
            return datetime(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(pictures, "datetime", Clock)
    made = [save_screenshot(tmp_path / "shots", np.full((8, 8, 3), i, np.uint8)) for i in range(3)]
    assert len(set(made)) == 3 and [read_picture(path)[0, 0, 0] for path in made] == [0, 1, 2]
    assert all(path.suffix == ".png" for path in made)
