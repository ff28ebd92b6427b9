"""Which way pictures move, by optical flow, and whether that is the way of a direction one can go or look.

Pictures are (B, 3, H, W) in -1..1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.measures.pictures import grey

DIRECTIONS = (
    "turn_left", "turn_right", "look_up", "look_down", "forward", "back", "strafe_left", "strafe_right",
)  # fmt: skip


def flow(before: Tensor, after: Tensor, levels: tuple[int, ...] = (3, 2, 1), rounds: int = 4) -> tuple[Tensor, Tensor]:
    """Dense optical flow between two batches of pictures, and how much it can be trusted.

    A change of the light of the whole picture is not taken for motion.

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
    second = second + (first - second).mean((1, 2, 3), keepdim=True)
    height, width = first.shape[-2:]
    moved = torch.zeros(len(first), 2, 1, 1, device=first.device)
    for level in levels:
        size = (height >> level, width >> level)
        a, b = (F.interpolate(x, size=size, mode="area") for x in (first, second))
        moved = F.interpolate(moved, size=size, mode="bilinear", align_corners=False) * 2
        for _ in range(rounds):
            change, weight = _increment(a, _fetch(b, moved))
            moved = moved + change
    return moved * 2 ** levels[-1], weight


def motion(name: str, before: Tensor, after: Tensor) -> Tensor:
    """How far each picture moved as it does in the direction `name`, pixels, (B,); negative the other way.

    name: one of DIRECTIONS. Turning and strafing show as one shift of the picture, walking as its growing.
    """
    moved, weight = flow(before, after)
    height, width = moved.shape[-2:]
    x = ((torch.arange(width) + 0.5) / width * 2 - 1)[None, None]
    y = ((torch.arange(height) + 0.5) / height * 2 - 1)[None, :, None]
    right, down = moved.unbind(1)
    # Forward, everything flees from the middle; strafing, what is near (low in the picture, mostly) moves most.
    along = {
        "turn_left": right, "turn_right": -right, "look_up": down, "look_down": -down,
        "forward": right * x + down * y, "back": -right * x - down * y,
        "strafe_left": right, "strafe_right": -right,
    }[name]  # fmt: skip
    return (along * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-9)


def _fetch(picture: Tensor, moved: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    x = (torch.arange(width, device=picture.device) + 0.5 + moved[:, 0]) / width * 2 - 1
    y = (torch.arange(height, device=picture.device)[:, None] + 0.5 + moved[:, 1]) / height * 2 - 1
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
