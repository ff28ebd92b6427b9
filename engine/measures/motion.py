"""Which way pictures move, by optical flow, and whether that is the way of a direction one can go or look.

Pictures are (B, 3, H, W) in -1..1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.measures.pictures import grey

DIRECTIONS = (
    "turn_left", "turn_right", "look_up", "look_down", "forward", "back", "strafe_left", "strafe_right",
)  # fmt: skip


@dataclass(frozen=True)
class Flow:
    """How a batch of pictures moved to the next.

    moved: (B, 2, h, w), pixels of the full picture that each point moves right and down. weight: (B, h, w), how much
    that can be trusted, 0 where there is nothing to see. left: (B, h, w), grey levels by which the next picture differs
    once the motion is taken out; nought in a world that only moves.
    """

    moved: Tensor
    weight: Tensor
    left: Tensor


def flow(before: Tensor, after: Tensor, levels: tuple[int, ...] = (3, 2, 1), rounds: int = 4) -> Flow:
    """Dense optical flow between two batches of pictures. A change of all the picture's light is not taken for motion.

    Args:
        before, after: (B, 3, H, W).
        levels: of the pyramid, each half the size of the one before it; falling. The last gives the result's size.
        rounds: of refinement on each.

    Source: Lucas and Kanade 1981, iterated on a pyramid (Bouguet 2001).
    """
    return flow_of_brightness(grey(before), grey(after), levels, rounds)


def flow_of_brightness(before: Tensor, after: Tensor, levels: tuple[int, ...], rounds: int) -> Flow:
    """`flow` of pictures that are brightness alone, (B, H, W) in grey levels."""
    first, raw = before[:, None] / 255, after[:, None] / 255
    second = raw + (first - raw).mean((1, 2, 3), keepdim=True)
    height, width = first.shape[-2:]
    moved = torch.zeros(len(first), 2, 1, 1, device=first.device)
    for level in levels:
        size = (height >> level, width >> level)
        a, b = (F.interpolate(x, size=size, mode="area") for x in (first, second))
        moved = F.interpolate(moved, size=size, mode="bilinear", align_corners=False) * 2
        for _ in range(rounds):
            change, weight = _increment(a, _fetch(b, moved))
            moved = moved + change
    left = _fetch(F.interpolate(raw, size=size, mode="area"), moved) - a
    return Flow(moved * 2 ** levels[-1], weight, left[:, 0] * 255)


@dataclass(frozen=True)
class CameraMotion:
    """The part of the flow that a camera's turn or step makes, each (B,).

    right, down: pixels that the whole picture shifts by. growth: pixels that its left and right edges move outward by.
    trust: mean weight of the flow; near 0 before a bare wall, where nothing can be said.
    """

    right: Tensor
    down: Tensor
    growth: Tensor
    trust: Tensor

    def along(self, name: str) -> Tensor:
        """Pixels, (B,), positive where the picture moves as it does in the direction `name` of DIRECTIONS.

        Turning and strafing show as a shift of the picture the other way, walking as its growing.
        """
        signed = {
            "turn_left": self.right, "turn_right": -self.right, "look_up": self.down, "look_down": -self.down,
            "forward": self.growth, "back": -self.growth, "strafe_left": self.right, "strafe_right": -self.right,
        }  # fmt: skip
        return signed[name]


def camera_motion(seen: Flow) -> CameraMotion:
    """The shift and growth that come nearest to a flow, by least squares weighted with its trust."""
    height, width = seen.weight.shape[-2:]
    device = seen.weight.device
    x = ((torch.arange(width, device=device) + 0.5) / width * 2 - 1)[None, None]
    y = (((torch.arange(height, device=device) + 0.5) / height * 2 - 1) * height / width)[None, :, None]
    right, down = seen.moved.unbind(1)
    w = seen.weight

    def total(values: Tensor) -> Tensor:
        return (values * w).flatten(1).sum(1)

    one = torch.ones_like(w)
    s, sx, sy, sxy = total(one), total(x * one), total(y * one), total((x * x + y * y) * one)
    zero = torch.zeros_like(s)
    matrix = torch.stack([s, zero, sx, zero, s, sy, sx, sy, sxy], 1).view(-1, 3, 3)
    known = torch.stack([total(right), total(down), total(right * x + down * y)], 1)
    ridge = torch.eye(3, device=device) * (1e-4 * s + 1e-9)[:, None, None]
    found = torch.linalg.solve(matrix + ridge, known)
    return CameraMotion(found[:, 0], found[:, 1], found[:, 2], w.flatten(1).mean(1))


def motion(name: str, before: Tensor, after: Tensor) -> Tensor:
    """How far each picture moved as it does in the direction `name`, pixels, (B,); negative the other way."""
    return camera_motion(flow(before, after)).along(name)


def _fetch(picture: Tensor, moved: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    x = (torch.arange(width, device=picture.device) + 0.5 + moved[:, 0]) / width * 2 - 1
    y = (torch.arange(height, device=picture.device)[:, None] + 0.5 + moved[:, 1]) / height * 2 - 1
    grid = torch.stack([x + 0 * y, y + 0 * x], -1)
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
