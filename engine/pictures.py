"""A person's first frame to what the model sees.

A picture is (h, w, 3) uint8 RGB. Nothing here reads files, knows a model, or needs torch: windows whose engine is
elsewhere cut pictures, too.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from engine.errors import PictureError


def fit_picture(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cuts the middle out of a picture, in the aspect of width:height, and resizes it with antialiasing.

    picture: (h, w, 3) uint8 RGB, any size. Returns (height, width, 3) uint8, a new array; a picture that already has
    the size comes back unchanged, so that a stored first frame replays bit for bit. Raises PictureError for any other
    shape or dtype. Source: Matrix-Game-2 inference.py (`_resizecrop`, then the bilinear resize of a Pillow image, whose
    whole-number arithmetic no other library has).
    """
    check_picture(picture)
    if picture.shape[:2] == (height, width):
        return np.array(picture, order="C")
    top, bottom, left, right = middle(picture.shape[0], picture.shape[1], height, width)
    part = Image.fromarray(np.array(picture[top:bottom, left:right], order="C"))
    return np.array(part.resize((width, height), Image.Resampling.BILINEAR))


def check_picture(picture: np.ndarray) -> None:
    """Raises PictureError unless `picture` is an (h, w, 3) uint8 array with h, w >= 1."""
    expected = "an RGB array (h, w, 3) of uint8"
    if not isinstance(picture, np.ndarray):
        raise PictureError("the first frame is no picture", got=type(picture).__name__, expected=expected)
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        channels = {2: 1, 3: picture.shape[-1]}.get(picture.ndim, 0)
        remedy = {1: "convert the grey picture to RGB", 4: "convert it to RGB without alpha"}.get(channels)
        raise PictureError("the first frame has the wrong shape", got=picture.shape, expected=expected, remedy=remedy)
    if picture.dtype != np.uint8:
        raise PictureError("the first frame has the wrong type", got=picture.dtype, expected=expected)


def middle(h: int, w: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the largest middle part of the aspect; edges rounded as Pillow's crop does."""
    if h * width > w * height:
        part_h, part_w = max(1, w * height // width), w
    else:
        part_h, part_w = h, max(1, h * width // height)
    edges = ((h - part_h) / 2, (h + part_h) / 2, (w - part_w) / 2, (w + part_w) / 2)
    top, bottom, left, right = (round(edge) for edge in edges)
    return top, max(bottom, top + 1), left, max(right, left + 1)
