"""Rotary position embedding over (time, height, width), with interleaved pairs.

A rotation is kept as two tables as wide as the dims they turn, so that applying it is one swap and two products. Time
positions are integers that the caller owns; nothing here is state.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rotation:
    """Turns the leading `cos.shape[-1]` dims of a head. `sin` carries the sign of each half of a pair."""

    cos: Tensor
    sin: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """`x` (..., D), turned; the tables broadcast against it. Computed in float32, returned in x's dtype."""
        turned = self.cos.shape[-1]
        head, rest = x[..., :turned].float(), x[..., turned:]
        swapped = head.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
        head = torch.addcmul(head * self.cos, swapped, self.sin).to(x.dtype)
        return head if rest.shape[-1] == 0 else torch.cat((head, rest), dim=-1)


def axis_dims(head_dim: int) -> tuple[int, int, int]:
    """Wan's split of a head's dims into time, height and width (128 -> 44, 42, 42)."""
    side = head_dim // 6 * 2
    return head_dim - 2 * side, side, side


def axis_rotation(positions: Tensor, dims: int, theta: float) -> Rotation:
    """The rotation of `dims` (even) at each of `positions` (N,): tables of shape (N, dims)."""
    exponents = torch.arange(0, dims, 2, dtype=torch.float64, device=positions.device) / dims
    angles = torch.outer(positions.double(), theta**-exponents)
    # float64 until here: float32 angles of far positions would be off by more than parity allows.
    cos, sin = angles.cos().float(), angles.sin().float()
    return Rotation(cos.repeat_interleave(2, -1), torch.stack((-sin, sin), -1).flatten(-2))


def time_rotation(start: int, frames: int, dims: int, theta: float, device: torch.device) -> Rotation:
    """Frames start..start+frames-1 on the time axis: tables (frames, dims). `start` may be negative, see re-basing."""
    return axis_rotation(torch.arange(start, start + frames, device=device), dims, theta)


def space_rotation(grid: tuple[int, int], dims: tuple[int, int], theta: float, device: torch.device) -> Rotation:
    """Every position of a (rows, columns) grid, row by row: tables (rows * columns, sum of dims)."""
    rows = axis_rotation(torch.arange(grid[0], device=device).repeat_interleave(grid[1]), dims[0], theta)
    columns = axis_rotation(torch.arange(grid[1], device=device).repeat(grid[0]), dims[1], theta)
    return Rotation(torch.cat((rows.cos, columns.cos), -1), torch.cat((rows.sin, columns.sin), -1))


def combine(time: Rotation, space: Rotation) -> Rotation:
    """Time (T, Dt) and space (S, Ds) of every token: tables (T, S, Dt + Ds)."""

    def table(of_time: Tensor, of_space: Tensor) -> Tensor:
        shape = (of_time.shape[0], of_space.shape[0], -1)
        return torch.cat((of_time[:, None].expand(shape), of_space[None].expand(shape)), dim=-1)

    return Rotation(table(time.cos, space.cos), table(time.sin, space.sin))
