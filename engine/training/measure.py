"""What a picture is worth in numbers: likeness, sharpness, contrast, and which way it moves. Pictures are in -1..1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_EDGE_SHARE, _PLAIN_SHARE = 0.04, 0.5


def psnr(made: Tensor, true: Tensor) -> float:
    """Mean over pictures (B, 3, H, W) of the peak signal-to-noise ratio, dB (at most 60)."""
    error = (made - true).square().mean((1, 2, 3)) / 4
    return float((-10 * error.clamp(min=1e-6).log10()).mean())


def grey(frames: Tensor) -> Tensor:
    """(B, 3, H, W) -> brightness (B, H, W) in grey levels, 0..255."""
    weights = torch.tensor(_LUMA, device=frames.device)[:, None, None]
    return ((frames + 1) * 127.5 * weights).sum(1)


def sharpness(frames: Tensor) -> Tensor:
    """Strength of each picture's edges, in grey levels a pixel, (B,).

    The mean slope of its steepest pixels less that of its plainer half: seams and noise, which are everywhere, do not
    count as sharp, while a world whose edges stand elsewhere is still compared fairly.
    """
    level = grey(frames)
    across, down = level[:, :-1].diff(dim=2), level[:, :, :-1].diff(dim=1)
    slope = torch.hypot(across, down).flatten(1).sort(dim=1, descending=True).values
    n = slope.shape[1]
    return slope[:, : int(n * _EDGE_SHARE)].mean(1) - slope[:, -int(n * _PLAIN_SHARE) :].mean(1)


def contrast(frames: Tensor) -> Tensor:
    """Standard deviation of each picture's brightness, grey levels, (B,)."""
    return grey(frames).flatten(1).std(dim=1)


def mean_colour(frames: Tensor) -> Tensor:
    """Mean colour of each picture, levels 0..255, (B, 3)."""
    return ((frames + 1) * 127.5).mean((2, 3))


def flow(before: Tensor, after: Tensor, levels: tuple[int, ...] = (3, 2, 1), rounds: int = 4) -> tuple[Tensor, Tensor]:
    """Dense optical flow between two batches of pictures, and how much it can be trusted.

    Args:
        before, after: (B, 3, H, W).
        levels: of the pyramid, each half the size of the one before it; falling. The last gives the result's size.
        rounds: of refinement on each.

    Returns:
        (B, 2, h, w) pixels of the full picture that each point moves right and down, and weights (B, h, w), 0 where
        there is nothing to see.

    Source: Lucas and Kanade 1981, iterated on a pyramid (Bouguet 2001).
    """
    first, second = grey(before)[:, None] / 255, grey(after)[:, None] / 255
    height, width = first.shape[-2:]
    moved = torch.zeros(len(first), 2, 1, 1)
    for level in levels:
        size = (height >> level, width >> level)
        a, b = (F.interpolate(x, size=size, mode="area") for x in (first, second))
        moved = F.interpolate(moved, size=size, mode="bilinear", align_corners=False) * 2
        for _ in range(rounds):
            change, weight = _increment(a, _fetch(b, moved))
            moved = moved + change
    return moved * 2 ** levels[-1], weight


def _fetch(picture: Tensor, moved: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    x = (torch.arange(width) + 0.5 + moved[:, 0]) / width * 2 - 1
    y = (torch.arange(height)[:, None] + 0.5 + moved[:, 1]) / height * 2 - 1
    grid = torch.stack(torch.broadcast_tensors(x, y), -1)
    return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)


def _increment(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """One Lucas-Kanade step: how far to move on, and the smaller eigenvalue's share as a weight."""
    middle = F.pad((a + b) / 2, (1, 1, 1, 1), mode="replicate")
    gx = (middle[..., 1:-1, 2:] - middle[..., 1:-1, :-2]) / 2
    gy = (middle[..., 2:, 1:-1] - middle[..., :-2, 1:-1]) / 2
    gt = b - a
    sums = F.avg_pool2d(torch.cat([gx * gx, gx * gy, gy * gy, gx * gt, gy * gt], 1), 9, 1, 4)
    xx, xy, yy, xt, yt = sums.unbind(1)
    calm = 1e-5  # keeps a plain wall, which shows no motion, at rest
    xx, yy = xx + calm, yy + calm
    determinant = xx * yy - xy * xy
    right = (xy * yt - yy * xt) / determinant
    down = (xy * xt - xx * yt) / determinant
    return torch.stack([right, down], 1).clamp(-2, 2), (xx + yy - 2 * calm).clamp(min=0)
