"""Fits the spatial memory to what playing teaches: where one is stopped, and pictures of the world from known poses.

First where one can stand, by trying. Whatever is upright stops people at one distance, so the *plan* of the world
follows but for that distance, which is found by comparing small pictures. Then the *look*:
texels, sky and the light of every hour are fitted to whole pictures, drawn the very way play draws them. Last, the
*rhythm*: how fast time passes and how lamps flicker, from watching.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config.memory import SpatialMemoryConfig
from engine.errors import ConfigError
from engine.measures.pictures import psnr
from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose, SpatialMemory, light_between
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
from engine.training.poses import UNSEEN, pose_of, random_views
from engine.training.simulator import Simulator
from engine.training.stage import Say, Stage


@dataclass(frozen=True)
class MemoryTraining:
    """How the memory is fitted.

    Attributes:
        tries: places tried to stand at.
        plan_steps, look_steps: optimizer steps of the two parts.
        reach: cells that walls are taken to stop people at, before it is known.
        small: (height, width) of the first part's pictures, and how many each of its steps compares; coarse: texels
            that are one in it, each way.
        views: pictures of each step of the second; refresh: steps after which small sizes of texels are worked out
            anew.
        lr_plan, lr_coarse, lr_light: of the distance, texels and light in the first part; lr_look: of texels,
            lr_finish: of the distance in the second, where light has a third. They fall to a fiftieth.
        walked: share of the poses that somebody walked to, see engine.training.poses.
        seed: of poses and choices.
    """

    tries: int = 8_000_000
    plan_steps: int = 500
    look_steps: int = 1500
    reach: float = 0.4
    small: tuple[int, int, int] = (36, 64, 24)
    coarse: int = 4
    views: int = 8
    refresh: int = 20
    lr_plan: float = 0.004
    lr_coarse: float = 0.03
    lr_light: float = 0.004
    lr_look: float = 0.06
    lr_finish: float = 2e-4
    walked: float = 0.6
    seed: int = 0


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
_SURE = 0.1  # what covers less than this, or more than all but this, covers nothing, or all
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
            cover[cover > 1 - _SURE] = 1.0
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


class Patient(torch.optim.Optimizer):
    """Moves texels that were looked up, each by about `lr`, and lets the others wait.

    The size of a gradient is averaged (RMSprop) over the steps in which there was one: most texels are out of sight in
    most steps.

    Args:
        tables: of texels. learned: rows of each that are learned, from and to.
    """

    def __init__(self, tables: list[Table], learned: list[list[tuple[int, int]]], lr: float, keep: float = 0.9) -> None:
        super().__init__([table.data for table in tables], {"lr": lr, "keep": keep})
        self._tables, self._learned = tables, learned

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        group = self.param_groups[0]
        for table, ranges in zip(self._tables, self._learned, strict=True):
            state, data = self.state[table.data], table.data
            if not state:
                state["size"], state["sum"] = torch.zeros_like(data), torch.zeros_like(data)
            size, total = state["size"], state["sum"]
            seen = torch.zeros(len(data), dtype=torch.bool)
            for index, rows in table.taken:
                if rows.grad is not None:
                    total.index_add_(0, index, rows.grad)
                    seen[index] = True
            table.taken.clear()
            touched = seen.nonzero()[:, 0]
            wanted = torch.zeros_like(seen)
            for begin, end in ranges:
                wanted[begin:end] = True
            row = (seen & wanted).nonzero()[:, 0]
            slope = total.index_select(0, row)
            square, before = slope.square(), size.index_select(0, row)
            fresh = torch.where(before == 0, 1.0, 1 - group["keep"]) * (square > 0)
            after = torch.lerp(before, square, fresh)
            moved = torch.addcdiv(data.index_select(0, row), slope, after.sqrt().add_(1e-12), value=-group["lr"])
            data.index_copy_(0, row, moved)
            size.index_copy_(0, row, after)
            total.index_fill_(0, touched, 0.0)


class Remembering:
    """Fits one memory.

    Args:
        memory: what is fitted, in place.
        camera: of play.
        config: how.
    """

    def __init__(self, memory: SpatialMemory, camera: Camera, config: MemoryTraining) -> None:
        self.memory, self.camera, self.config = memory, camera, config
        height, width, _ = config.small
        self._small = Camera(camera.config, width, height)

    def run(self, folder: Path, say: Say, save_every: float) -> None:
        """Fits everything; saves in `folder`, and goes on from what is there."""
        config = self.config
        shares = self._try_to_stand()
        outline = outline_of(shares, self.memory.config.ground)
        say(f"memory: {len(outline.line)} faces, {shares.mean() * 100:.0f}% of the map can be stood on")
        if len(outline.line) > self.memory.config.edges:
            raise ConfigError("the world has more faces than spatial_memory.edges", got=len(outline.line),
                              expected=f"at most {self.memory.config.edges}")  # fmt: skip
        model = self.memory.config
        sky = (model.sky[0] // config.coarse, model.sky[1] // config.coarse)
        coarse = replace(model, texels=model.texels // config.coarse, levels=model.levels // config.coarse, sky=sky,
                         ceiling_texels=max(16, model.ceiling_texels // config.coarse))  # fmt: skip
        plan = Plan(coarse, outline, config.reach)
        adam = torch.optim.Adam(
            [{"params": [plan.strips, plan.floor, plan.ceiling, plan.sky], "lr": config.lr_coarse},
             {"params": [plan.reach], "lr": config.lr_plan},
             {"params": [plan.light], "lr": config.lr_light}], betas=(0.9, 0.99), eps=1e-12,
        )  # fmt: skip
        self._stage("plan", config.plan_steps, [adam], plan, self._small, 0).run(folder / "plan.pt", say, save_every)
        say(f"memory: walls stop people at {float(plan.reach.detach()):.4f} cells")
        self.fit = look = Look(model, plan)
        finish = torch.optim.Adam(
            [{"params": [look.reach], "lr": config.lr_finish}, {"params": [look.light], "lr": config.lr_light * 0.3}],
            betas=(0.9, 0.99), eps=1e-12,
        )  # fmt: skip
        optimizers = [Patient(look.tables, look.learned, config.lr_look), finish]
        self._stage("look", config.look_steps, optimizers, look, self.camera, config.refresh).run(
            folder / "look.pt", say, save_every
        )
        look.refresh()
        self._write(shares)
        self._watch()

    def _stage(
        self,
        name: str,
        steps: int,
        optimizers: list[torch.optim.Optimizer],
        fit: Plan | Look,
        camera: Camera,
        refresh: int,
    ) -> Stage:
        def begin(start: int) -> None:
            seed = self.config.seed * 1_000_003 + start
            views = self.config.small[2] if camera is self._small else self.config.views
            self._rng = torch.Generator().manual_seed(seed)
            self._simulator = Simulator(views, seed + 1, camera)

        def loss(step: int) -> tuple[Tensor, dict[str, float]]:
            pose, true = random_views(self._simulator, self._rng, walked=self.config.walked)
            error = mismatch(view(fit, pose, camera), (true + 1) / 2)
            return error, {"dB": float(-10 * error.detach().log10()), "reach": float(fit.reach.detach())}

        def after(step: int) -> None:
            if isinstance(fit, Look) and step % refresh == 0:
                fit.refresh()

        return Stage(f"memory, {name}", steps, optimizers, {"fit": fit}, begin, loss,
                     rate=lambda done: 0.02**done, after=after)  # fmt: skip

    def _try_to_stand(self) -> Tensor:
        """The share of every small square of the map in which one can stand, (rows, columns)."""
        config, tries = self.memory.config, self.config.tries
        rows, columns = config.rows * config.ground, config.columns * config.ground
        rng = torch.Generator().manual_seed(self.config.seed)
        simulator = Simulator(1, self.config.seed, self.camera)
        tried, stood = torch.zeros(rows * columns), torch.zeros(rows * columns)
        for _ in range(max(1, tries // 250_000)):
            x = torch.rand(250_000, generator=rng) * config.columns
            y = torch.rand(250_000, generator=rng) * config.rows
            index = (y * config.ground).long() * columns + (x * config.ground).long()
            tried += torch.bincount(index, minlength=len(tried))
            stood += torch.bincount(index, simulator.is_free(x, y).float(), minlength=len(tried))
        return (stood / tried.clamp(min=1)).view(rows, columns)

    # -- into the memory -------------------------------------------------------------------------------------------
    @torch.no_grad()
    def _write(self, shares: Tensor) -> None:
        """The fitted numbers as the memory's bytes."""
        memory, fit = self.memory, self.fit
        edges = fit.edges()
        memory.edges.zero_()[: len(edges)] = edges
        _room("strips", fit.walls, memory.config.strips)
        memory.strips.zero_()[: fit.walls] = _bytes(_decided(fit.strips[: fit.walls])[..., :7])
        memory.ground.copy_(_bytes(shares))
        inside = self._inside(shares)
        for name, plane, channels in (("floor", fit.floor, 6), ("ceiling", fit.ceiling, 7)):
            size = plane.shape[0] // memory.config.rows
            cells = plane.view(memory.config.rows, size, memory.config.columns, size, CHANNELS).permute(0, 2, 1, 3, 4)
            wanted = inside
            if channels == 7:  # only where there is a roof
                wanted = wanted & (cells[..., 6].mean((2, 3)) > 0.2)
            _room(f"{name}s", int(wanted.sum()), getattr(memory.config, f"{name}s"))
            numbers = getattr(memory, f"{name}_cells")
            numbers.copy_((wanted.flatten().cumsum(0).view_as(wanted) * wanted).to(numbers.dtype))
            kept = cells[wanted][..., :channels]
            getattr(memory, name).zero_()[: len(kept)] = _bytes(_decided(kept) if channels == 7 else kept)
        memory.sky.copy_(_bytes(fit.sky[:, :6].view(*memory.sky.shape)))
        memory.light.copy_(fit.light)
        memory._surfaces = None

    def _inside(self, shares: Tensor) -> Tensor:
        """Which cells people come near to, (rows, columns)."""
        per = self.memory.config.ground
        reach = int(float(self.fit.reach) * per) - 1
        around = F.max_pool2d(shares[None, None], 2 * reach + 1, 1, reach)
        return F.max_pool2d(around, per)[0, 0] > 0.5

    @torch.no_grad()
    def _watch(self) -> None:
        """How fast time passes, and how lamps flicker: from standing still at night and looking."""
        simulator = Simulator(8, self.config.seed + 5, self._small)
        still = torch.zeros(8, 4), torch.zeros(8, 2)
        simulator.hour[:] = 0.97
        dark, more, passed = [], [], []
        for _ in range(160):
            before = simulator.hour.clone()
            simulator.step(*still)
            passed.append((simulator.hour - before) % 1)
            pose, true = pose_of(simulator), simulator.render()
            light = self.memory.light_at(pose.hour)
            eyes = (pose.x, pose.y, pose.yaw, pose.pitch)
            without, usual = (
                draw(self.memory.surfaces(), eyes, self._small, replace(light, lamp=light.lamp * gain)).frames
                for gain in (0.0, 1.0)
            )
            dark.append((true + 1) / 2 - usual)
            more.append((usual - without) * (true < 0.99))
        lacking, lamps = (torch.stack(part).flatten(2) for part in (dark, more))
        gain = (lacking * lamps).sum(2) / lamps.square().sum(2)  # (frames, players), about 0
        gain = gain - gain.mean(0)
        steady = (gain[1:] * gain[:-1]).mean() / gain.square().mean()
        self.memory.pace.fill_(torch.stack(passed).mean())
        self.memory.flicker[:] = torch.stack((gain.std(), steady.clamp(0, 0.99)))

    @torch.no_grad()
    def quality(self, pictures: int = 64) -> float:
        """PSNR of what the memory sees, dB, from poses never fitted."""
        simulator = Simulator(pictures, UNSEEN + self.config.seed, self.camera)
        pose, true = random_views(simulator, torch.Generator().manual_seed(UNSEEN), walked=self.config.walked)
        return psnr(self.memory.look(pose, self.camera).frames, true)


def _decided(texels: Tensor) -> Tensor:
    """Texels (..., 7 or 8) of which each covers all or nothing where that is nearly so."""
    cover = texels[..., 6:7]
    texels = texels * (cover > _SURE)
    texels[..., 6:7] = torch.where(cover > 1 - _SURE, 1.0, texels[..., 6:7])
    return texels


def _bytes(values: Tensor) -> Tensor:
    return (values.clamp(0, 1) * 255).round().to(torch.uint8)


def _room(name: str, needed: int, there: int) -> None:
    if needed > there:
        raise ConfigError(f"the world needs more spatial_memory.{name}", got=there, expected=f"at least {needed}")
