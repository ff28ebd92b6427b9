"""Pictures at the engine's border: a person's first frame to what the model sees, and frames to and from tensors.

A picture is (h, w, 3) uint8 RGB. Nothing here reads files or knows a model.
"""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

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


def to_signed(frames: np.ndarray) -> Tensor:
    """Frames as the networks want them.

    frames: (F, H, W, 3) uint8 RGB, or one picture (H, W, 3). Returns (1, F, 3, H, W) float32 in [-1, 1].
    """
    several = frames if frames.ndim == 4 else frames[None]
    return rearrange(torch.from_numpy(np.array(several, order="C")).float() / 127.5 - 1, "t h w c -> 1 t c h w")


def to_uint8(frames: Tensor) -> Tensor:
    """Frames as people see them, still on their device.

    frames: (1, F, 3, H, W) in [-1, 1] (what is beyond is clamped). Returns (F, H, W, 3) uint8, contiguous; exactly the
    inverse of `to_signed` on what that returned.
    """
    grey = ((frames.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return rearrange(grey, "1 t c h w -> t h w c").contiguous()
