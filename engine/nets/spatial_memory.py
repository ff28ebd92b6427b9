"""What the embedded model remembers of its world, and where: a learned map that can be looked at from any pose.

A window of frames forgets what left the picture; this does not. Like a neural radiance field (Mildenhall et al. 2020,
arXiv 2003.08934) it keeps density and colour at places in space, and was fitted to pictures from known poses. Its prior
is that of a building: upright surfaces between one floor and one ceiling, open to the sky here and there. So density
needs two dimensions, rays along the ground find what stands in each column of the picture, and looking is cheap enough
for every frame on a CPU.

Lengths are in cells; x grows to the east, y to the south, yaw 0 looks east and grows to the right, in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.config.memory import SpatialMemoryConfig
from engine.nets.camera import Camera

_OPAQUE = math.log(2)  # optical depth at which half of the light is gone: there a ray sees a surface
_BEHIND = 0.3  # share of a texel behind that point where its colour is looked up: in front of it is air
_RAYS = 2  # a column of the picture
_STEPS = 8  # that a stride is gone through again in, where a surface was met


@dataclass(frozen=True)
class Pose:
    """Where a batch of eyes is and looks, each (B,): cells, cells, radians, radians (positive pitch looks up)."""

    x: Tensor
    y: Tensor
    yaw: Tensor
    pitch: Tensor


@dataclass(frozen=True)
class View:
    """What a memory sees: `frames` (B, 3, H, W), about -1..1, and `nearness` (B, H, W), 1 / depth of every pixel."""

    frames: Tensor
    nearness: Tensor


class SpatialMemory(nn.Module):
    """The learned map. All of it are weights; looking changes nothing.

    Args:
        config: the map's size and how finely it is kept.

    Weights: density (1, rows, columns) before a softplus; wall (3, levels, rows, columns); glance (6, rows, columns),
    how the wall's colour changes with the cosine and the sine of the direction it is seen from; floor (3, ...); ceiling
    (4, ...), the last is how much of a ceiling there is; sky (3, up, round); haze (4,), colour and distance; ground
    (1, ...), above 0 where one can stand. Rows and columns are texels; colours are 0..1.
    """

    def __init__(self, config: SpatialMemoryConfig) -> None:
        super().__init__()
        self.config = config
        rows, columns = config.rows * config.texels, config.columns * config.texels
        self.density = nn.Parameter(torch.full((1, rows, columns), -3.0))
        self.wall = nn.Parameter(torch.full((3, config.levels, rows, columns), 0.5))
        self.glance = nn.Parameter(torch.zeros(6, rows, columns))
        self.floor = nn.Parameter(torch.full((3, rows, columns), 0.5))
        self.ceiling = nn.Parameter(torch.full((4, rows, columns), 0.5))
        self.sky = nn.Parameter(torch.full((3, *config.sky), 0.5))
        self.haze = nn.Parameter(torch.tensor((0.5, 0.5, 0.5, 10.0)))
        self.ground = nn.Parameter(torch.zeros(1, rows, columns))

    # -- looking ---------------------------------------------------------------------------------------------------
    def look(self, pose: Pose, camera: Camera) -> View:
        """What eyes at `pose` see through `camera`."""
        rays = self.rays(pose, camera.columns(_RAYS))
        depth = self.surface(rays)
        return self._paint(pose, camera, rays, depth)

    def rays(self, pose: Pose, across: Tensor) -> Rays:
        """A ray along the ground for every column `across` (N,) of the picture plane, as far from its middle."""
        cos, sin = pose.yaw.cos()[:, None], pose.yaw.sin()[:, None]
        return Rays(pose.x[:, None], pose.y[:, None], cos - across * sin, sin + across * cos)

    def surface(self, rays: Rays) -> Tensor:
        """Depth (B, N) of what each ray meets first, at most the config's `far`."""
        # in strides, and once more in small steps through the one in which it was met
        strides = depth_steps(self.config).to(rays.x.device)
        thickness = self.thickness(rays, strides[None, :, None])
        met = (thickness < _OPAQUE).sum(1, keepdim=True).clamp(max=len(strides) - 1)
        before = torch.cat((torch.zeros_like(thickness[:, :1]), thickness[:, :-1]), 1).gather(1, met)
        near = torch.cat((torch.zeros_like(strides[:1]), strides[:-1]))[met]
        length = (strides[met] - near) / _STEPS
        step = torch.arange(_STEPS, device=strides.device)[:, None]
        inner = self._density(rays, near + (step + 0.5) * length) * length * rays.length[:, None]
        passed = before + inner.cumsum(1)
        last = (passed < _OPAQUE).sum(1, keepdim=True).clamp(max=_STEPS - 1)
        share = 1 - (passed.gather(1, last) - _OPAQUE) / inner.gather(1, last).clamp(min=1e-6)
        return (near + (last + share.clamp(0, 1)) * length)[:, 0]

    def thickness(self, rays: Rays, steps: Tensor) -> Tensor:
        """Optical thickness (B, K, N) along rays up to the depths `steps` (1 or B, K, 1)."""
        before = torch.cat((torch.zeros_like(steps[:, :1]), steps[:, :-1]), 1)
        density = self._density(rays, (before + steps) / 2)
        return (density * (steps - before) * rays.length[:, None]).cumsum(1)

    def _density(self, rays: Rays, depth: Tensor) -> Tensor:
        """Optical thickness per cell, at depths (B or 1, K, N or 1) of the rays: (B, K, N)."""
        return F.softplus(self.sample(self.density, *rays.at(depth))[:, 0]) * self.config.texels

    def sample(self, texture: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """A texture (C, rows, columns) at places x, y (B, M, N) of the map -> (B, C, M, N)."""
        grid = torch.stack((x * (2 / self.config.columns) - 1, y * (2 / self.config.rows) - 1), -1)
        batch, m, n, _ = grid.shape
        flat = F.grid_sample(
            texture[None], grid.reshape(1, batch * m, n, 2), mode="bilinear", padding_mode="border", align_corners=False
        )
        return rearrange(flat[0], "c (b m) n -> b c m n", b=batch)

    def standing(self, x: Tensor, y: Tensor) -> Tensor:
        """How surely one can stand at x, y (B,): (B,), above 0 if so."""
        return self.sample(self.ground, x[:, None, None], y[:, None, None])[:, 0, 0, 0]

    # -- colours ---------------------------------------------------------------------------------------------------
    def _paint(self, pose: Pose, camera: Camera, rays: Rays, depth: Tensor) -> View:
        horizon = camera.horizon(pose.pitch)[:, None, None]
        half = camera.config.eye_height * camera.focal / depth[:, None]
        top, bottom = horizon - half, horizon + half
        row = camera.rows[None, :, None]  # the middle of each row
        cover = (torch.minimum(row + 0.5, bottom) - torch.maximum(row - 0.5, top)).clamp(0, 1)
        level = ((row - top) / (bottom - top)).clamp(0, 1)
        wall = self.wall_colour(rays, depth, level)
        plane = self.plane_colour(pose, camera)
        n, height, width = len(depth), camera.height, camera.width
        split = "b c h (r w) -> b c h r w"
        cover = cover[:, None]
        mixed = rearrange(wall * cover, split, r=_RAYS).mean(3)
        share = rearrange(cover, split, r=_RAYS).mean(3)
        frames = (mixed + plane * (1 - share)) * 2 - 1
        on_plane = (row - horizon).abs() / (camera.config.eye_height * camera.focal)
        on_wall = rearrange(1 / depth, "b (r w) -> b r w", r=_RAYS).amax(1)[:, None]
        return View(frames, torch.maximum(on_wall, on_plane).expand(n, height, width))

    def wall_colour(self, rays: Rays, depth: Tensor, level: Tensor) -> Tensor:
        """Colours (B, 3, H, N) of what stands at `depth` (B, N), at levels (B, H, N): 0 its top, 1 the ground."""
        config = self.config
        behind = depth + _BEHIND / config.texels / rays.length
        x, y = rays.at(behind[:, None])
        where = torch.stack(
            torch.broadcast_tensors(x * (2 / config.columns) - 1, y * (2 / config.rows) - 1, level * 2 - 1), -1
        )
        batch, height, n, _ = where.shape
        grid = where.reshape(1, 1, batch * height, n, 3)
        flat = F.grid_sample(self.wall[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
        painted = rearrange(flat[0, :, 0], "c (b h) n -> b c h n", b=batch)
        turned = self.sample(self.glance, x, y)
        cos, sin = (rays.dx / rays.length)[:, None, None], (rays.dy / rays.length)[:, None, None]
        return self._hazy(painted + turned[:, :3] * cos + turned[:, 3:] * sin, depth[:, None, None])

    def plane_colour(self, pose: Pose, camera: Camera) -> Tensor:
        """Floor below the horizon, ceiling and sky above it, as if nothing stood there: (B, 3, H, W)."""
        rays = self.rays(pose, camera.columns(1))
        return self.plane_at(rays, camera.rows - camera.horizon(pose.pitch)[:, None], camera)

    def plane_at(self, rays: Rays, down: Tensor, camera: Camera) -> Tensor:
        """The same along `rays` (B, N), `down` (B, R) pixels below the horizon: (B, 3, R, N)."""
        down = down[:, :, None]
        depth = (camera.config.eye_height * camera.focal) / down.abs().clamp(min=0.4)
        both = self.sample(torch.cat((self.floor, self.ceiling)), *rays.at(depth))
        roof = both[:, 6:].clamp(0, 1)
        floor, ceiling = (self._hazy(part, depth[:, None]) for part in (both[:, :3], both[:, 3:6]))
        above = ceiling * roof + self._sky(rays, -down / camera.focal) * (1 - roof)
        return torch.where(down[:, None] > 0, floor, above)

    def _sky(self, rays: Rays, up: Tensor) -> Tensor:
        """The sky (B, 3, H, N) by direction; up: (B, H, 1), the slope of the line of sight."""
        round_ = torch.atan2(rays.dy, rays.dx) / math.pi  # -1..1; the texture meets itself there
        texture = torch.cat((self.sky[..., -1:], self.sky, self.sky[..., :1]), -1)
        width = self.sky.shape[-1]
        grid = torch.stack(torch.broadcast_tensors(round_[:, None] * (width / (width + 2)), up * 2 - 1), -1)
        return F.grid_sample(
            texture.expand(len(grid), -1, -1, -1), grid, mode="bilinear", padding_mode="border", align_corners=False
        )

    def _hazy(self, colour: Tensor, depth: Tensor) -> Tensor:
        clear = torch.exp(-depth / self.haze[3])
        return colour * clear + self.haze[:3, None, None] * (1 - clear)


@dataclass(frozen=True)
class Rays:
    """Rays along the ground: origins x, y (B, 1) and directions dx, dy (B, N), whose unit is that of depth."""

    x: Tensor
    y: Tensor
    dx: Tensor
    dy: Tensor

    @property
    def length(self) -> Tensor:
        """Cells per unit of depth, (B, N)."""
        return torch.hypot(self.dx, self.dy)

    def at(self, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Places x, y (B, K, N) at depths (B or 1, K, N or 1)."""
        return self.x[:, None] + depth * self.dx[:, None], self.y[:, None] + depth * self.dy[:, None]


def depth_steps(config: SpatialMemoryConfig) -> Tensor:
    """Depths (K,) at which rays look for surfaces: as far apart as makes the same difference in the picture, at most
    `stride`."""
    return torch.tensor(_depths(config))


@lru_cache  # asked for with every picture
def _depths(config: SpatialMemoryConfig) -> tuple[float, ...]:
    steps = [config.near]
    while steps[-1] < config.far:
        steps.append(steps[-1] + min(config.stride, max(0.01, config.fineness * steps[-1] ** 2)))
    return tuple(steps)
