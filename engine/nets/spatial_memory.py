"""What the embedded model remembers of its world, and where: a learned place that can be looked at from any pose.

A window of frames forgets what left the picture; this does not. It holds faces in plan, each with texels of its own,
a floor and a ceiling cell by cell, a view of the sky, and how light changes through the day; engine.training fits all
of it to pictures from known poses, and to where one is stopped. Its prior is that of a building: upright, axis-aligned
surfaces between one floor and one ceiling, under the sky where there is no roof. Texels lie where surfaces are and
nowhere else, a byte a number, so a wall is crisp from half a cell away, and looking is cheap enough for every frame on
a CPU.

Lengths are in cells; x grows to the east, y to the south, yaw 0 looks east and grows to the right, in radians. An hour
is a share of a day.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config.memory import SpatialMemoryConfig
from engine.nets.camera import Camera, Motion
from engine.nets.surfaces import (
    CHANNELS,
    MIPS,
    PLANE_MIPS,
    Light,
    Picture,
    Planes,
    Surfaces,
    draw,
    strip_table,
)

_ANYWHERE = 1e6  # cells, beyond any map


@dataclass(frozen=True)
class Pose:
    """Where and when a batch of eyes looks, each (B,): cells, cells, radians, radians (positive pitch looks up), and
    the hour, 0..1."""

    x: Tensor
    y: Tensor
    yaw: Tensor
    pitch: Tensor
    hour: Tensor

    def motion_to(self, other: Pose, camera: Camera) -> Motion:
        """What happened to a camera that was here and is at `other` now."""
        east, south = other.x - self.x, other.y - self.y
        cos, sin = other.yaw.cos(), other.yaw.sin()
        horizons = camera.horizon(self.pitch), camera.horizon(other.pitch)
        return Motion(other.yaw - self.yaw, east * cos + south * sin, south * cos - east * sin, *horizons)


@dataclass(frozen=True)
class View:
    """What a memory sees: `frames` (B, 3, H, W), -1..1, and `nearness` (B, H, W), 1 / depth of every pixel."""

    frames: Tensor
    nearness: Tensor


class SpatialMemory(nn.Module):
    """The learned place. All of it are weights; looking changes nothing.

    Args:
        config: its size and how finely it is kept.

    Weights, all buffers: edges (edges, 4), x and y of both ends, zeros where there is none; strips (strips, levels, 7)
    bytes, an edge's columns of wall side by side: by day RGB, by lamp RGB, both times the cover, and the cover; floor
    (floors, texels, texels, 6) and ceiling (ceilings, ..., 7) likewise, cell by cell; floor_cells, ceiling_cells (rows,
    columns), which of these a cell has, counted from 1, 0 for none; sky (down, round, 6); light (hours, 4, 3), gains of
    the layers by day, by lamp, of the sky by day and by night; pace (1,), days that pass in a video frame; flicker
    (2,), how much lamps flicker and how steadily; outline (edges, 3), the rim of where one can stand: x of each of its
    runs from north to south, and from which y to which, zeros where there is none.
    """

    edges: Tensor
    strips: Tensor
    floor: Tensor
    ceiling: Tensor
    floor_cells: Tensor
    ceiling_cells: Tensor
    sky: Tensor
    light: Tensor
    pace: Tensor
    flicker: Tensor
    outline: Tensor

    def __init__(self, config: SpatialMemoryConfig) -> None:
        super().__init__()
        self.config = config
        byte = torch.uint8

        def weights(name: str, *shape: int, dtype: torch.dtype = byte) -> None:
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))

        weights("edges", config.edges, 4, dtype=torch.float32)
        weights("strips", config.strips, config.levels, 7)
        weights("floor", config.floors, config.texels, config.texels, 6)
        weights("ceiling", config.ceilings, config.ceiling_texels, config.ceiling_texels, 7)
        weights("floor_cells", config.rows, config.columns, dtype=torch.int16)
        weights("ceiling_cells", config.rows, config.columns, dtype=torch.int16)
        weights("sky", *config.sky, 6)
        weights("light", config.hours, 4, 3, dtype=torch.float32)
        weights("pace", 1, dtype=torch.float32)
        weights("flicker", 2, dtype=torch.float32)
        weights("outline", config.edges, 3, dtype=torch.float32)
        self._surfaces: Surfaces | None = None  # the same weights, laid out for looking; made at the first look

    # -- looking ---------------------------------------------------------------------------------------------------
    def look(self, pose: Pose, camera: Camera, flicker: Tensor | None = None) -> View:
        """What eyes at `pose` see through `camera`; flicker: (B,) of the lamps, in deviations from their mean."""
        picture = self.picture(pose, camera, self.light_at(pose.hour, flicker))
        return View(picture.frames.clamp(0, 1) * 2 - 1, picture.nearness)

    def picture(self, pose: Pose, camera: Camera, light: Light) -> Picture:
        """The same by a light, to be drawn into."""
        return draw(self.surfaces(), (pose.x, pose.y, pose.yaw, pose.pitch), camera, light)

    def light_at(self, hour: Tensor, flicker: Tensor | None = None) -> Light:
        """The gains at hours (B,)."""
        day, lamp, sky, night = light_between(self.light, hour).unbind(1)
        if flicker is not None:
            lamp = lamp * (1 + self.flicker[0] * flicker[:, None])
        return Light(day, lamp, sky, night)

    def standing(self, x: Tensor, y: Tensor) -> Tensor:
        """Whether one can stand at places x, y, in their shape: an odd number of runs of the outline is to the west."""
        run, begin, end = self.outline.unbind(1)
        x, y = x[..., None], y[..., None]
        return ((run < x) & (begin <= y) & (y < end)).sum(-1) % 2 == 1

    def surfaces(self) -> Surfaces:
        """The place, laid out for looking."""
        if self._surfaces is None or self._surfaces.edges.device != self.edges.device:
            self._surfaces = self._laid_out()
        return self._surfaces

    def _laid_out(self) -> Surfaces:
        config = self.config
        if self.edges.is_meta:
            return self._sizes_only()
        known = (self.edges != 0).any(1)
        edges = self.edges[known] if known.any() else self.edges[:1]  # one that nobody sees, before anything is learned
        first, origin, count = strip_table(edges, config.texels)
        strips = [_with_pad(self.strips[: int(count[0].sum())], 7)]
        while len(strips) < MIPS:
            strips.append(_halved(strips[-1], across=False))
        floor, ceiling = tiled(self.floor, self.floor_cells, 6), tiled(self.ceiling, self.ceiling_cells, 7)
        planes = []
        for plane in (floor, ceiling):
            planes.append(plane)
            for _ in range(PLANE_MIPS - 1):
                planes.append(_halved(planes[-1], across=True))
        sizes = ((floor.shape[0], floor.shape[1]), (ceiling.shape[0], ceiling.shape[1]))
        flat = torch.cat([part.reshape(-1, CHANNELS) for part in planes]).view(torch.int64)[:, 0]
        return Surfaces(
            edges, first, origin, count, torch.cat(strips).view(torch.int64)[..., 0], config.levels, config.texels,
            Planes(flat, sizes, (config.texels, config.ceiling_texels)),
            _with_pad(self.sky, 6).view(torch.int64).flatten(), config.sky, *config.sky_slopes, config.height,
        )  # fmt: skip

    def _sizes_only(self) -> Surfaces:
        """Without data: for those who count work and memory."""
        config, scales = self.config, (self.config.texels, self.config.ceiling_texels)
        device = self.edges.device
        table = torch.zeros(MIPS, config.edges, dtype=torch.long, device=device)
        floor, ceiling = ((config.rows * scale, config.columns * scale) for scale in scales)
        sizes = (floor, ceiling)
        texels = sum((rows >> m) * (columns >> m) for rows, columns in sizes for m in range(PLANE_MIPS))
        strips, planes, sky = (
            torch.zeros(size, dtype=torch.int64, device=device)
            for size in ((2 * config.strips, config.levels), (texels,), (config.sky[0] * config.sky[1],))
        )
        return Surfaces(
            self.edges, table, table[0].float(), table, strips, config.levels, config.texels,
            Planes(planes, sizes, scales), sky, config.sky, *config.sky_slopes, config.height,
        )  # fmt: skip

    def stand_in(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Weights of a bare room with texels at random, for tests and to time a model whose files are not at hand."""
        config = self.config

        def noise(name: str) -> Tensor:
            return torch.randint(256, getattr(self, name).shape, generator=generator, dtype=torch.uint8)

        state = {name: noise(name) for name in ("strips", "floor", "ceiling", "sky")}
        state["strips"][..., 6] = 255
        wide, deep = min(config.columns - 1.0, 3.0), min(config.rows - 1.0, 3.0)
        corners = torch.tensor(((1, 1, wide, 1), (1, deep, wide, deep), (1, 1, 1, deep), (wide, 1, wide, deep)))
        state["edges"] = torch.zeros(config.edges, 4)
        state["edges"][:4] = corners
        cells = torch.arange(1, config.rows * config.columns + 1, dtype=torch.int16).view(config.rows, config.columns)
        for name, most in (("floor_cells", config.floors), ("ceiling_cells", config.ceilings)):
            state[name] = torch.where(cells <= most, cells, 0)
        state["light"] = torch.full((config.hours, 4, 3), 0.5)
        state["pace"], state["flicker"] = torch.tensor((1e-3,)), torch.tensor((0.05, 0.9))
        state["outline"] = torch.zeros(config.edges, 3)
        state["outline"][0] = torch.tensor((-_ANYWHERE, -_ANYWHERE, _ANYWHERE))
        return state


def light_between(light: Tensor, hour: Tensor) -> Tensor:
    """Gains (B, 4, 3) at hours (B,), between the two of `light` (hours, 4, 3) that are nearest."""
    place = hour % 1 * len(light)
    before = place.floor().long() % len(light)
    share = (place - place.floor())[:, None, None]
    return torch.lerp(light[before], light[(before + 1) % len(light)], share)


def tiled(tiles: Tensor, cells: Tensor, channels: int) -> Tensor:
    """Cells' bytes (N, s, s, channels) where `cells` (rows, columns) puts them: (rows s, columns s, 8) bytes."""
    rows, columns = cells.shape
    size = tiles.shape[1]
    padded = _with_pad(tiles, channels)
    packed = torch.cat((padded.new_zeros(1, size, size, CHANNELS), padded)).view(torch.int64)[..., 0]
    placed = packed.index_select(0, cells.flatten().long()).view(rows, columns, size, size).permute(0, 2, 1, 3)
    return placed.reshape(rows * size, columns * size, 1).view(torch.uint8)


def _with_pad(texels: Tensor, channels: int) -> Tensor:
    """Bytes (..., 6 or 7) -> (..., 8); what has no cover of its own covers all."""
    full = F.pad(texels, (0, CHANNELS - channels))
    if channels == 6:
        full[..., 6] = 255
    return full


def _halved(texels: Tensor, across: bool) -> Tensor:
    """Bytes (N, M, 8) at half the size: means of two along the first axis, and of two along the second if `across`."""
    pairs = texels[0::2].to(torch.int16) + texels[1::2]
    if across:
        return ((pairs[:, 0::2] + pairs[:, 1::2] + 2) >> 2).to(torch.uint8)
    return ((pairs + 1) >> 1).to(torch.uint8)
