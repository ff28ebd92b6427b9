"""What is fitted before it becomes the memory's bytes: first a plan with coarse texels, then every texel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config.memory import SpatialMemoryConfig
from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose, light_between
from engine.nets.surfaces import (
    CHANNELS,
    PLANE_MIPS,
    Light,
    Planes,
    Surfaces,
    Table,
    draw,
    plane_mips,
    strip_mips,
    strip_table,
)


# -- plan --------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Outline:
    """The rim of where one can stand: straight, axis-aligned runs, each meeting two others at right angles.

    line: (E,) the coordinate it keeps, cells. upright: (E,) whether that is x. outward: (E,) 1 or -1, which way along
    that axis one is stopped. before, after: (E,) numbers of the runs that it meets at its smaller and larger end.
    """

    line: Tensor
    upright: Tensor
    outward: Tensor
    before: Tensor
    after: Tensor

    def runs(self) -> Tensor:
        """The runs from north to south as the memory keeps them: x, and from which y to which, (R, 3)."""
        return torch.stack((self.line, self.line[self.before], self.line[self.after]), 1)[self.upright]

    def edges(self, reach: Tensor) -> Tensor:
        """What stops people: the outline moved outwards by `reach` (E,) cells, as edges (E, 4)."""
        line = self.line + self.outward * reach
        low, high = line[self.before], line[self.after]
        across = torch.stack((line, low, line, high), 1)
        along = torch.stack((low, line, high, line), 1)
        return torch.where(self.upright[:, None], across, along)


def outline_of(stands: Tensor, per_cell: int) -> Outline:
    """The rim of `stands` (rows, columns), the share 0..1 of each small square in which one can stand."""
    free = F.pad(stands, (1, 1, 1, 1)) > 0.5
    share = F.pad(stands, (1, 1, 1, 1)).double()
    runs: list[tuple[bool, int, int, int, int, float]] = []  # upright, outward, line, begin, end, refined line
    for upright in (False, True):
        grid, amount = (free.T, share.T) if upright else (free, share)
        for line in range(1, grid.shape[0]):
            for outward in (-1, 1):
                inner, outer = (line, line - 1) if outward < 0 else (line - 1, line)
                rim = (grid[inner] & ~grid[outer]).long()
                turns = F.pad(rim, (1, 1)).diff().nonzero()[:, 0].tolist()
                for begin, end in zip(turns[::2], turns[1::2], strict=True):
                    # what is free of the squares beyond, less what is not of those within
                    beyond = amount[outer, begin:end].mean() - (1 - amount[inner, begin:end].mean())
                    runs.append((upright, outward, line, begin, end, line + outward * float(beyond)))
    at: dict[tuple[int, int, bool], int] = {}  # row, column of a corner -> the run of that kind that ends there
    for number, (upright, _, line, begin, end, _) in enumerate(runs):
        for place in (begin, end):
            at[(place, line, True) if upright else (line, place, False)] = number
    before, after = [], []
    for upright, _, line, begin, end, _ in runs:
        ends = [(place, line, False) if upright else (line, place, True) for place in (begin, end)]
        before.append(at[ends[0]])
        after.append(at[ends[1]])
    refined = torch.tensor([(run[5] - 1) / per_cell for run in runs])
    return Outline(
        refined, torch.tensor([run[0] for run in runs]), torch.tensor([float(run[1]) for run in runs]),
        torch.tensor(before), torch.tensor(after),
    )  # fmt: skip


# -- what is fitted ----------------------------------------------------------------------------------------------------
_WALLS_COVER, _CEILINGS_COVER = 0.9, 0.5  # at first
SURE = 0.1  # what covers less than this, or more than all but this, covers nothing, or all
_OPEN_WALL, _OPEN_CEILING = 0.8, 0.425  # what covers less after the plan is found is taken for air, to begin with
_GREY = (0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 1.0, 0.0)


class Plan(nn.Module):
    """Where faces are and how light changes, with coarse texels to see by.

    Args:
        config: of the memory, with the coarse texels' sizes. outline: of where one can stand; it decides how many faces
            there are. reach: cells that they are outside of it, at first.
    """

    def __init__(self, config: SpatialMemoryConfig, outline: Outline, reach: float) -> None:
        super().__init__()
        self.config, self.outline = config, outline
        self.reach = nn.Parameter(torch.full((1,), reach))
        # texels are given to faces where these are if they are stopped at half a cell, and stretch with them
        first, origin, count = strip_table(outline.edges(torch.full_like(outline.line, 0.5)), config.texels)
        self.first, self.origin, self.count = first, origin, count
        grey = torch.tensor(_GREY)
        self.strips = nn.Parameter(grey.expand(int(count[0].sum()), config.levels, CHANNELS).clone())
        planes = [(config.rows * s, config.columns * s) for s in (config.texels, config.ceiling_texels)]
        self.floor, self.ceiling = (nn.Parameter(grey.expand(*size, CHANNELS).clone()) for size in planes)
        with torch.no_grad():  # the sky shines through a little at first, or nobody would ever see it
            self.strips[..., 6], self.ceiling[..., 6] = _WALLS_COVER, _CEILINGS_COVER
        self.sky = nn.Parameter(grey.expand(config.sky[0] * config.sky[1], CHANNELS).clone())
        # noon is bright, midnight is lit by lamps: which layer is which has to begin somewhere
        noon = (0.5 - 0.5 * torch.cos(2 * torch.pi * torch.arange(config.hours) / config.hours))[:, None]
        gains = torch.cat((0.2 + 0.8 * noon, 1 - 0.6 * noon, 0.1 + 0.9 * noon, 1 - 0.95 * noon), 1)
        self.light = nn.Parameter(gains[..., None].expand(-1, -1, 3).clone())

    def edges(self) -> Tensor:
        """(E, 4), with gradients."""
        return self.outline.edges(self.reach.expand(len(self.outline.line)))

    def surfaces(self) -> Surfaces:
        """Everything, laid out for looking, with gradients."""
        config = self.config
        planes = torch.cat([plane_mips(part) for part in (self.floor, self.ceiling)])
        sizes = ((self.floor.shape[0], self.floor.shape[1]), (self.ceiling.shape[0], self.ceiling.shape[1]))
        return Surfaces(
            self.edges(), self.first, self.origin, self.count, strip_mips(self.strips), config.levels, config.texels,
            Planes(planes, sizes, (config.texels, config.ceiling_texels)), self.sky, config.sky, *config.sky_slopes,
            config.height,
        )  # fmt: skip


class Look(nn.Module):
    """Every texel, and where exactly the faces are; begins as the plan has it.

    Only texels of the largest size are learned: far away, their means are seen, which `refresh` works out.
    """

    strips: Tensor
    planes: Tensor
    sky: Tensor

    def __init__(self, config: SpatialMemoryConfig, plan: Plan) -> None:
        super().__init__()
        self.config, self.outline = config, plan.outline
        self.reach = nn.Parameter(plan.reach.detach().clone())
        self.light = nn.Parameter(plan.light.detach().clone())
        edges = self.edges().detach()
        self.first, self.origin, self.count = strip_table(edges, config.texels)
        with torch.no_grad():
            self._settle(plan)
            strips = self._finer_strips(plan, edges)
            self.floor_size, floor = self._finer(plan.floor, config.texels // plan.config.texels)
            self.ceiling_size, ceiling = self._finer(plan.ceiling, config.ceiling_texels // plan.config.ceiling_texels)
            coarse = plan.sky.view(*plan.config.sky, CHANNELS).permute(2, 0, 1)[None]
            sky = F.interpolate(coarse, size=config.sky, mode="bilinear")[0].flatten(1).T
        self.walls = int(self.count[0].sum())
        self.register_buffer(
            "strips", torch.cat((strips, strips.new_zeros(int(self.count[1:].sum()), *strips.shape[1:])))
        )
        self.register_buffer("planes", torch.cat((plane_mips(floor), plane_mips(ceiling))))
        self.register_buffer("sky", sky.contiguous())
        self.tables = [Table(part) for part in (self.strips, self.planes, self.sky)]
        self.refresh()

    def edges(self) -> Tensor:
        """(E, 4), with gradients."""
        return self.outline.edges(self.reach.expand(len(self.outline.line)))

    @property
    def learned(self) -> list[list[tuple[int, int]]]:
        """Rows of each table that are learned, from and to."""
        floor, ceiling = (rows * columns for rows, columns in (self.floor_size, self.ceiling_size))
        roof = sum((self.floor_size[0] >> m) * (self.floor_size[1] >> m) for m in range(PLANE_MIPS))
        return [[(0, self.walls)], [(0, floor), (roof, roof + ceiling)], [(0, len(self.sky))]]

    @property
    def floor(self) -> Tensor:
        """(rows, columns, 8) of the largest size."""
        (begin, end), _ = self.learned[1]
        return self.planes[begin:end].view(*self.floor_size, CHANNELS)

    @property
    def ceiling(self) -> Tensor:
        """(rows, columns, 8) of the largest size."""
        _, (begin, end) = self.learned[1]
        return self.planes[begin:end].view(*self.ceiling_size, CHANNELS)

    @torch.no_grad()
    def refresh(self) -> None:
        """Works out the smaller sizes anew; what hides nearly all of the sky hides all of it from now on."""
        for texels in (self.strips[: self.walls], self.ceiling):
            cover = texels[..., 6]
            cover[cover > 1 - SURE] = 1.0
        self.strips.copy_(strip_mips(self.strips[: self.walls]))
        _, (begin, _) = self.learned[1]
        self.planes[:begin] = plane_mips(self.floor)
        self.planes[begin:] = plane_mips(self.ceiling)

    def surfaces(self) -> Surfaces:
        """Everything, laid out for looking; gradients of texels go to `tables`."""
        config, (strips, planes, sky) = self.config, self.tables
        sizes, scales = (self.floor_size, self.ceiling_size), (config.texels, config.ceiling_texels)
        return Surfaces(
            self.edges(), self.first, self.origin, self.count, strips, config.levels, config.texels,
            Planes(planes, sizes, scales), sky, config.sky, *config.sky_slopes, config.height,
        )  # fmt: skip

    @staticmethod
    def _settle(plan: Plan) -> None:
        """Decides what is air and what hides the sky, which pictures leave open: a surface of the sky's mean colour,
        half transparent before a sky of twice the contrast, looks the same. Air may still turn out to hold something.
        """
        config, size = plan.config, plan.config.ceiling_texels
        walls = plan.strips[..., 6:7] >= _OPEN_WALL
        plan.strips.mul_(walls)
        plan.strips[..., 6:7] = walls.float()
        cells = plan.ceiling.view(config.rows, size, config.columns, size, CHANNELS)
        cover = cells[..., 6].mean((1, 3))[:, None, :, None, None].expand(-1, size, -1, size, -1)
        air = (cover < _OPEN_CEILING).reshape(*plan.ceiling.shape[:2], 1)
        if air.any():  # what it showed of the sky's mean colour becomes the sky's
            mean = plan.ceiling[air[..., 0]].mean(0)
            plan.sky[:, :6] = plan.sky[:, :6] * (1 - mean[6]) + mean[:6]
        plan.ceiling.mul_(~air)

    def _finer_strips(self, plan: Plan, edges: Tensor) -> Tensor:
        times = self.config.texels // plan.config.texels
        number = torch.repeat_interleave(torch.arange(len(edges)), self.count[0])
        along = torch.arange(len(number)) - self.first[0][number] + self.origin[number]
        coarse = ((along + 0.5) / times - plan.origin[number]).floor().long().clamp(min=0)
        coarse = plan.first[0][number] + torch.minimum(coarse, plan.count[0][number] - 1)
        return plan.strips[coarse].repeat_interleave(self.config.levels // plan.config.levels, 1)

    @staticmethod
    def _finer(plane: Tensor, times: int) -> tuple[tuple[int, int], Tensor]:
        fine = plane.repeat_interleave(times, 0).repeat_interleave(times, 1)
        return (fine.shape[0], fine.shape[1]), fine


def view(fit: Plan | Look, pose: Pose, camera: Camera) -> Tensor:
    """What is seen of it, pictures (B, 3, H, W), 0..1 and not clamped."""
    light = Light(*light_between(fit.light, pose.hour).unbind(1))
    return draw(fit.surfaces(), (pose.x, pose.y, pose.yaw, pose.pitch), camera, light).frames


def mismatch(made: Tensor, true: Tensor) -> Tensor:
    """Mean square of what pictures (0..1, and more where they are too bright) lack; what is white may be brighter."""
    wrong = made - true
    return (wrong * ~((true > 0.998) & (made > 1))).square().mean()
