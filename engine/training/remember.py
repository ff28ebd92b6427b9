"""Fits the spatial memory to what playing teaches: where one is stopped, and pictures of the world from known poses.

First where one can stand, by trying. Whatever is upright stops people at one distance, so the *plan* of the world
follows but for that distance, which is found by comparing small pictures. Then a *survey*: everything is looked at from
close by, see engine.training.survey. Then the *look*: texels, sky and the light of every hour are fitted to whole
pictures, drawn the very way play draws them; what a second survey shows to be wrong is mended, and the texels are
fitted on for a while. Last, the *rhythm*: how fast time passes and how lamps flicker, from
watching.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.config.memory import SpatialMemoryConfig
from engine.errors import ConfigError
from engine.measures.pictures import psnr
from engine.nets.camera import Camera
from engine.nets.spatial_memory import SpatialMemory
from engine.nets.surfaces import CHANNELS, draw
from engine.training.fitted import SURE, Look, Outline, Plan, mismatch, outline_of, view
from engine.training.optimizers import Patient
from engine.training.poses import UNSEEN, pose_of, random_views
from engine.training.simulator import Simulator
from engine.training.stage import Say, Stage
from engine.training.survey import Survey

_ROOF = 0.2  # share of a cell's ceiling that covers the sky


@dataclass(frozen=True)
class MemoryTraining:
    """How the memory is fitted.

    Attributes:
        tries: places tried to stand at. squares: of the map along a side of a cell, by which they are counted.
        plan_steps, look_steps, mended_steps: optimizer steps of the first part, the last, and after mending.
        survey_views, mend_views: pictures of the two surveys.
        reach: cells that walls are taken to stop people at, before it is known.
        small: (height, width) of the first part's pictures, and how many each of its steps compares; coarse: texels
            that are one in it, each way.
        views: pictures of each step of the last; refresh: steps after which small sizes of texels are worked out
            anew.
        lr_plan, lr_coarse, lr_light: of the distance, texels and light in the first part; lr_look: of texels,
            lr_finish: of the distance in the last, where light has a tenth; lr_mended: of texels after mending. They
            fall to a fiftieth.
        walked: share of the poses that somebody walked to, see engine.training.poses.
        seed: of poses and choices.
    """

    tries: int = 8_000_000
    squares: int = 16
    plan_steps: int = 500
    survey_views: int = 5000
    look_steps: int = 1400
    mend_views: int = 5000
    mended_steps: int = 400
    reach: float = 0.4
    small: tuple[int, int, int] = (36, 64, 24)
    coarse: int = 4
    views: int = 8
    refresh: int = 20
    lr_plan: float = 0.004
    lr_coarse: float = 0.03
    lr_light: float = 0.004
    lr_look: float = 0.01
    lr_finish: float = 2e-4
    lr_mended: float = 0.004
    walked: float = 0.6
    seed: int = 0


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
        outline = outline_of(shares, config.squares)
        say(f"memory: {len(outline.line)} faces, {shares.mean() * 100:.0f}% of the map can be stood on")
        if len(outline.line) > self.memory.config.edges:
            raise ConfigError("the world has more faces than spatial_memory.edges", got=len(outline.line),
                              expected=f"at most {self.memory.config.edges}")  # fmt: skip
        model = self.memory.config
        sky = (model.sky[0] // config.coarse, model.sky[1] // config.coarse)
        coarse = replace(model, texels=model.texels // config.coarse, levels=model.levels // config.coarse, sky=sky,
                         ceiling_texels=max(16, model.ceiling_texels // config.coarse))  # fmt: skip
        plan = self._plan(coarse, outline, folder, say, save_every)
        self.fit = look = Look(model, plan)
        self._survey(look, folder / "survey.pt", say)
        finish = torch.optim.Adam(
            [{"params": [look.reach], "lr": config.lr_finish}, {"params": [look.light], "lr": config.lr_light * 0.1}],
            betas=(0.9, 0.99), eps=1e-12,
        )  # fmt: skip
        optimizers = [Patient(look.tables, look.learned, config.lr_look), finish]
        self._stage("look", config.look_steps, optimizers, look, self.camera, config.refresh).run(
            folder / "look.pt", say, save_every
        )
        look.refresh()
        self._mend(look, folder, say, save_every)
        self._write(shares, outline, say)
        self._watch()

    def _plan(self, coarse: SpatialMemoryConfig, outline: Outline, folder: Path, say: Say, save_every: float) -> Plan:
        config = self.config
        plan = Plan(coarse, outline, config.reach)
        adam = torch.optim.Adam(
            [{"params": [plan.strips, plan.floor, plan.ceiling, plan.sky], "lr": config.lr_coarse},
             {"params": [plan.reach], "lr": config.lr_plan},
             {"params": [plan.light], "lr": config.lr_light}], betas=(0.9, 0.99), eps=1e-12,
        )  # fmt: skip
        self._stage("plan", config.plan_steps, [adam], plan, self._small, 0).run(folder / "plan.pt", say, save_every)
        say(f"memory: walls stop people at {float(plan.reach.detach()):.4f} cells")
        return plan

    def _survey(self, look: Look, file: Path, say: Say) -> None:
        """In a few minutes and one go; what comes of it is saved."""
        if file.exists():
            look.load_state_dict(torch.load(file, weights_only=True))
            return
        config, views = self.config, file.with_name("views.pt")
        Survey(look, self.camera, config.seed).run(config.survey_views, views, say)
        part = file.with_suffix(".part")
        torch.save(look.state_dict(), part)
        part.replace(file)
        views.unlink()

    def _mend(self, look: Look, folder: Path, say: Say, save_every: float) -> None:
        config, last = self.config, folder / "mended.pt"
        if not last.exists():
            Survey(look, self.camera, config.seed + 1).mend(config.mend_views, say)
        texels = Patient(look.tables, look.learned, config.lr_mended)
        self._stage("mended", config.mended_steps, [texels], look, self.camera, config.refresh).run(
            last, say, save_every
        )
        look.refresh()

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
        config, tries, squares = self.memory.config, self.config.tries, self.config.squares
        rows, columns = config.rows * squares, config.columns * squares
        rng = torch.Generator().manual_seed(self.config.seed)
        simulator = Simulator(1, self.config.seed, self.camera)
        tried, stood = torch.zeros(rows * columns), torch.zeros(rows * columns)
        for _ in range(max(1, tries // 250_000)):
            x = torch.rand(250_000, generator=rng) * config.columns
            y = torch.rand(250_000, generator=rng) * config.rows
            index = (y * squares).long() * columns + (x * squares).long()
            tried += torch.bincount(index, minlength=len(tried))
            stood += torch.bincount(index, simulator.is_free(x, y).float(), minlength=len(tried))
        return (stood / tried.clamp(min=1)).view(rows, columns)

    # -- into the memory -------------------------------------------------------------------------------------------
    @torch.no_grad()
    def _write(self, shares: Tensor, outline: Outline, say: Say) -> None:
        """The fitted numbers as the memory's bytes."""
        memory, fit = self.memory, self.fit
        edges = fit.edges()
        memory.edges.zero_()[: len(edges)] = edges
        _room("strips", fit.walls, memory.config.strips)
        memory.strips.zero_()[: fit.walls] = _bytes(_decided(fit.strips[: fit.walls])[..., :7])
        runs = outline.runs()
        memory.outline.zero_()[: len(runs)] = runs
        inside = self._inside(shares)
        for name, plane, channels in (("floor", fit.floor, 6), ("ceiling", fit.ceiling, 7)):
            size = plane.shape[0] // memory.config.rows
            cells = plane.view(memory.config.rows, size, memory.config.columns, size, CHANNELS).permute(0, 2, 1, 3, 4)
            wanted = inside
            if channels == 7:  # only where there is a roof
                cover = cells[..., 6].mean((2, 3)) * inside
                wanted = most_covered(cover, memory.config.ceilings)
                if left := int((cover > _ROOF).sum()) - int(wanted.sum()):
                    say(f"memory: no room for {left} of the cells that seem to have a ceiling; a short survey sees few")
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
        per = self.config.squares
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


def most_covered(cover: Tensor, most: int) -> Tensor:
    """Which cells have a ceiling, (rows, columns): those that more than a fifth of is covered, `most` at most.

    What was hardly ever seen is still as covered as it began: after a short survey many cells are, by little.
    """
    first = torch.zeros(cover.numel(), dtype=torch.bool)
    first[cover.flatten().topk(min(most, cover.numel())).indices] = True
    return first.view_as(cover) & (cover > _ROOF)


def _decided(texels: Tensor) -> Tensor:
    """Texels (..., 7 or 8) of which each covers all or nothing where that is nearly so."""
    cover = texels[..., 6:7]
    texels = texels * (cover > SURE)
    texels[..., 6:7] = torch.where(cover > 1 - SURE, 1.0, texels[..., 6:7])
    return texels


def _bytes(values: Tensor) -> Tensor:
    return (values.clamp(0, 1) * 255).round().to(torch.uint8)


def _room(name: str, needed: int, there: int) -> None:
    if needed > there:
        raise ConfigError(f"the world needs more spatial_memory.{name}", got=there, expected=f"at least {needed}")
