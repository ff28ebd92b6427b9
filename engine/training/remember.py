"""Fits the spatial memory to pictures of the world taken from known poses.

First where one can stand, by trying. Then the *shape* of the world, by volume rendering along columns of pictures, as
neural radiance fields are fitted: colours are rough there, polynomials of the height on the wall. Then the *look*, by
comparing what the memory sees, drawn the way play draws it, with whole pictures; edges keep moving the shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.measures.pictures import psnr
from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose, Rays, SpatialMemory, depth_steps
from engine.training.poses import UNSEEN, random_views
from engine.training.simulator import Simulator
from engine.training.stage import Say, Stage

_STRIDE, _FINENESS = 0.08, 0.05  # of volume rendering, whose colours come from every step


@dataclass(frozen=True)
class MemoryTraining:
    """How the memory is fitted.

    Attributes:
        ground_steps, shape_steps, look_steps: optimizer steps of the three parts.
        tries: places tried in each step of the first.
        pictures: drawn anew for each step of the second; columns, rows: chosen at random in each.
        views: pictures of each step of the third.
        lr_ground: of where one can stand; lr_shape: of the density; lr_look: of colours; lr_finish: of the density in
            the third part. All fall to a hundredth.
        edges: weight, in the third part, of the error of the picture's slopes beside that of its values.
        walked: share of the poses that somebody walked to, see engine.training.poses.
        seed: of poses and choices.
    """

    ground_steps: int = 400
    shape_steps: int = 2500
    look_steps: int = 4500
    tries: int = 8192
    pictures: int = 12
    columns: int = 48
    rows: int = 24
    views: int = 6
    lr_ground: float = 0.3
    lr_shape: float = 0.1
    lr_look: float = 0.02
    lr_finish: float = 0.03
    edges: float = 1.0
    walked: float = 0.6
    seed: int = 0


class _Rough(nn.Module):
    """Colours while the shape is being found: of every texel, a polynomial of the height on the wall."""

    def __init__(self, memory: SpatialMemory) -> None:
        super().__init__()
        self.wall = nn.Parameter(torch.cat((torch.full_like(memory.floor, 0.5), *[torch.zeros_like(memory.floor)] * 2)))


class Remembering:
    """Fits one memory.

    Args:
        memory: what is fitted, in place.
        camera: of play; how finely pictures are drawn does not matter much.
        config: how.
    """

    def __init__(self, memory: SpatialMemory, camera: Camera, config: MemoryTraining) -> None:
        self.memory, self.camera, self.config = memory, camera, config
        self._rough = _Rough(memory)
        self._steps = depth_steps(replace(memory.config, stride=_STRIDE, fineness=_FINENESS))

    def run(self, folder: Path, say: Say, save_every: float) -> None:
        """Fits everything; saves in `folder`, and goes on from what is there."""
        self._stage("ground", self.config.ground_steps, self._ground_groups(), self._ground_loss).run(
            folder / "ground.pt", say, save_every
        )
        self._stage("shape", self.config.shape_steps, self._shape_groups(), self._shape_loss).run(
            folder / "shape.pt", say, save_every
        )
        self._paint_roughly()
        self._stage("look", self.config.look_steps, self._look_groups(), self._look_loss).run(
            folder / "look.pt", say, save_every
        )

    def _stage(self, name: str, steps: int, groups: list[dict[str, Any]], loss: Callable[[], Tensor]) -> Stage:
        def told(step: int) -> tuple[Tensor, dict[str, float]]:
            value = loss()
            return value, {"error": float(value.detach())}

        return Stage(
            f"memory, {name}",
            steps,
            [torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-12)],
            {"memory": self.memory, "rough": self._rough},
            self._begin,
            told,
            rate=lambda done: 0.01**done,
        )

    def _begin(self, start: int) -> None:
        config = self.config
        seed = config.seed * 1_000_003 + start
        self._rng = torch.Generator().manual_seed(seed)
        self._shown = Simulator(config.pictures, seed + 1, self.camera)
        self._whole = Simulator(config.views, seed + 2, self.camera)

    # -- ground ----------------------------------------------------------------------------------------------------
    def _ground_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.memory.ground], "lr": self.config.lr_ground}]

    def _ground_loss(self) -> Tensor:
        """Where one can stand, from trying to at random places."""
        memory, tries = self.memory, self.config.tries
        x = torch.rand(tries, generator=self._rng) * memory.config.columns
        y = torch.rand(tries, generator=self._rng) * memory.config.rows
        stands = self._shown.is_free(x, y).float()
        return F.binary_cross_entropy_with_logits(memory.standing(x, y), stands)

    # -- shape -----------------------------------------------------------------------------------------------------
    def _shape_groups(self) -> list[dict[str, Any]]:
        memory = self.memory
        return [
            {"params": [memory.density], "lr": self.config.lr_shape},
            {"params": [self._rough.wall, memory.floor, memory.ceiling, memory.sky], "lr": self.config.lr_look},
            {"params": [memory.haze], "lr": self.config.lr_look},
        ]

    def _shape_loss(self) -> Tensor:
        """Mean error of some pixels of some columns of new pictures, as volume rendering sees them."""
        config, camera = self.config, self.camera
        pose, true = random_views(self._shown, self._rng, walked=self.config.walked)
        n = config.pictures
        column = torch.randint(camera.width, (n, config.columns), generator=self._rng)
        row = torch.randint(camera.height, (n, config.rows), generator=self._rng)
        true = true.gather(3, column[:, None, None].expand(-1, 3, camera.height, -1))
        true = true.gather(2, row[:, None, :, None].expand(-1, 3, -1, config.columns))
        made = self._volume(pose, column, row)
        return (made - true).abs().mean()

    def _volume(self, pose: Pose, column: Tensor, row: Tensor) -> Tensor:
        """Pixels (B, 3, rows, columns) of numbered columns (B, columns) and rows (B, rows)."""
        memory, camera = self.memory, self.camera
        across = camera.columns(1)[column]
        cos, sin = pose.yaw.cos()[:, None], pose.yaw.sin()[:, None]
        rays = Rays(pose.x[:, None], pose.y[:, None], cos - across * sin, sin + across * cos)
        jitter = torch.rand(len(column), 1, 1, generator=self._rng)
        steps = self._steps[None, :, None]
        steps = steps + jitter * torch.cat((steps.diff(dim=1), steps.new_zeros(1, 1, 1)), 1)
        before = torch.cat((torch.zeros_like(steps[:, :1]), steps[:, :-1]), 1)
        middle = (before + steps) / 2
        thickness = memory.thickness(rays, steps)
        clear = torch.exp(-thickness)
        weight = torch.cat((torch.ones_like(clear[:, :1]), clear[:, :-1]), 1) - clear
        x, y = rays.at(middle)
        colour = memory.sample(self._rough.wall, x, y)  # (B, 9, K, N)
        haze = torch.exp(-middle / memory.haze[3])[:, None]
        plain = colour[:, :3] * haze + memory.haze[:3, None, None] * (1 - haze)
        colour = torch.cat(
            (plain, colour[:, 3:6] * haze * middle[:, None], colour[:, 6:] * haze * middle[:, None] ** 2), 1
        )
        sums = torch.cat((weight[:, None] * colour, weight[:, None]), 1).cumsum(2)  # (B, 10, K, N)
        horizon = camera.horizon(pose.pitch)[:, None]
        down = row + 0.5 - horizon  # (B, R)
        slope = down / camera.focal
        reach = (camera.config.eye_height / slope.abs().clamp(min=1e-3)).clamp(max=float(self._steps[-1]))
        picked = _interpolated(sums, steps[:, :, 0], reach)
        slope = slope[:, None, :, None]
        wall = picked[:, :3] + slope * picked[:, 3:6] + slope.square() * picked[:, 6:9]
        plane = memory.plane_at(rays, down, camera)
        return (wall + plane * (1 - picked[:, 9:])) * 2 - 1

    # -- look ------------------------------------------------------------------------------------------------------
    @torch.no_grad()
    def _paint_roughly(self) -> None:
        """The rough colours, at every level of the walls."""
        memory = self.memory
        start = rearrange(self._rough.wall, "(p c) y x -> p c 1 y x", p=3)
        level = ((torch.arange(memory.config.levels) + 0.5) / memory.config.levels - 0.5)[None, :, None, None]
        memory.wall.copy_(start[0] + start[1] * level + start[2] * level**2)

    def _look_groups(self) -> list[dict[str, Any]]:
        memory = self.memory
        looks = [memory.wall, memory.glance, memory.floor, memory.ceiling, memory.sky]
        return [
            {"params": looks, "lr": self.config.lr_look},
            {"params": [memory.density], "lr": self.config.lr_finish},
            {"params": [memory.haze], "lr": self.config.lr_look * 0.1},
        ]

    def _look_loss(self) -> Tensor:
        pose, true = random_views(self._whole, self._rng, walked=self.config.walked)
        wrong = self.memory.look(pose, self.camera).frames - true
        slopes = wrong.diff(dim=-1).abs().mean() + wrong.diff(dim=-2).abs().mean()
        return wrong.abs().mean() + wrong.square().mean() + self.config.edges * slopes

    @torch.no_grad()
    def quality(self, pictures: int = 64) -> float:
        """PSNR of what the memory sees, dB, from poses never fitted."""
        simulator = Simulator(pictures, UNSEEN + self.config.seed, self.camera)
        pose, true = random_views(simulator, torch.Generator().manual_seed(UNSEEN), walked=self.config.walked)
        return psnr(self.memory.look(pose, self.camera).frames.clamp(-1, 1), true)


def _interpolated(sums: Tensor, steps: Tensor, reach: Tensor) -> Tensor:
    """Running sums (B, C, K, N), the k-th up to depth steps (B, K), at depths reach (B, R): (B, C, R, N)."""
    after = torch.searchsorted(steps, reach).clamp(max=steps.shape[1] - 1)
    before = (after - 1).clamp(min=0)
    low, high = steps.gather(1, before) * (after > 0), steps.gather(1, after)
    share = ((reach - low) / (high - low)).clamp(0, 1)[:, None, :, None]

    def at(index: Tensor) -> Tensor:
        return sums.gather(2, index[:, None, :, None].expand(-1, sums.shape[1], -1, sums.shape[3]))

    first = at(before) * (after > 0)[:, None, :, None]
    return first + share * (at(after) - first)
