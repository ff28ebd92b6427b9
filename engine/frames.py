"""Frames at the engine's border: pictures to tensors, and back."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor


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
