"""Says where in the remembered world a picture was taken, and when: guesses at a glance, then a closer look.

The glance is a small convolutional network, whose guesses are places on a grid and how far beside them. The likeliest
are compared with what the memory sees from there; around each of the best some more poses are tried, and for the best
of all the closer look moves the eye until both agree (Levenberg-Marquardt on a blurred picture, then on sharper ones):
localisation by analysis-by-synthesis, as in iNeRF (arXiv 2012.05877). If nothing is like the picture in the end, less
likely guesses follow.

Whoever walks through the picture, or a door that is shut, is not in the memory, and a pixel of either is as wrong as
can be wherever one looks from. So errors count less the larger they are, as in Geman and McClure's robust measure: the
pose is right from which most of the picture is explained well, and not the one from which nothing is very wrong.

At night, hours look alike: the one that explains a picture best is then as good as any, and may be before dawn when the
picture was taken after dusk. So in the end the hour is the mean of all, each weighed by how well it explains the
picture, which is least wrong on average; by day one of them stands out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config.memory import RecogniserConfig, SpatialMemoryConfig
from engine.errors import ConfigError
from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose, SpatialMemory, light_between
from engine.nets.surfaces import Light, draw

_AROUND = (0.3, 0.3, 0.12, 0.04)  # cells, cells, radians, radians: how far around a guess others are tried
_WRONG = 0.1  # of -1..1, an error that counts half as much as one that could not be larger;
_AT_FIRST = 0.3  # at the glance: from a little beside the right place, all edges are wrong
_WRONGS = (0.2, 0.15, 0.1)  # and every time that others are tried, each half as far around as before
_NUDGE = 0.4  # blurred pixels that the picture is moved by, to see which way it changes
_SMALL = 0.05  # below it, errors count by their square
_LONGEST = 0.25  # cells and radians, of one move
_GLANCE_BLUR = 2  # pixels of a glance that are taken together
_NUMBERS = 5  # of a pose
_HOUR_NUDGE = 0.01  # of a day
_GUESSED_HOUR = 0.05  # of error, that being a day beside the guessed hour must be worth
_ALONG = 1 / 32  # cells from one of the places that may look alike to the next: a texel, of which everything is built
_ALIKE, _ALIKE_IN_EARNEST, _ALIKE_LOOKED_AT = 8, 8, 3  # of them that are kept along each axis, of both, and longer
_DOUBTFUL, _UNLIKE = 0.15, 0.5  # errors from which on it may be another of these places, and is nothing like any
_AT_ONCE = 128  # poses that are looked at together
_SETTLED = 0.005  # share of an error that three moves must lessen it by, to go on
_TRIED = 8  # spots along a side of a place, at which it is asked whether one can stand there
_HOURS = 256  # of a day, that are weighed against each other in the end
_HOURS_AT_ONCE = 32  # that are looked at together: pictures of all would take a hundred megabytes
_SURE = 100.0  # how much likelier an hour is, in powers of e, than one with twice the least error


@dataclass(frozen=True)
class Guess:
    """The recogniser's answer for a batch of pictures.

    Attributes:
        place: scores (B, places). heading: scores (B, headings).
        beside: (B, 6) how far east, south (in grid steps, from the middle of the likeliest place), further right (in
            heading steps) and up (in radians) the eye is; cosine and sine of the hour on a dial.
    """

    place: Tensor
    heading: Tensor
    beside: Tensor


class Recogniser(nn.Module):
    """Args: config: sizes of the network. world: the map that it knows.

    Besides its layers, the weights hold cells (places,), the number of each place in the grid, row by row; -1: none.
    """

    cells: Tensor

    def __init__(self, config: RecogniserConfig, world: SpatialMemoryConfig) -> None:
        super().__init__()
        self.config, self.world = config, world
        widths = (3, *config.widths)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        height, width = (-(-size // 2 ** len(config.widths)) for size in config.size)
        self.hidden = nn.Linear(widths[-1] * height * width, config.hidden)
        places = config.places or self.grid[0] * self.grid[1]
        self.place = nn.Linear(config.hidden, places)
        self.heading = nn.Linear(config.hidden, config.headings)
        self.beside = nn.Linear(config.hidden, 6)
        self.register_buffer("cells", torch.tensor(range(places), dtype=torch.int16))

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the places told apart."""
        return self.world.rows * self.config.per_cell, self.world.columns * self.config.per_cell

    def know(self, memory: SpatialMemory) -> None:
        """Tells only those places apart where one can stand; raises ConfigError if there are too many."""
        rows, columns = self.grid
        down, across = (
            (torch.arange(size * _TRIED) + 0.5) / (_TRIED * self.config.per_cell) for size in (rows, columns)
        )
        stands = memory.standing(*torch.meshgrid(across, down, indexing="xy"))
        number = stands.view(rows, _TRIED, columns, _TRIED).any(3).any(1).flatten().nonzero()[:, 0]
        if len(number) > len(self.cells):
            raise ConfigError("the world needs more recogniser.places", got=len(self.cells),
                              expected=f"at least {len(number)}")  # fmt: skip
        self.cells.fill_(-1)[: len(number)] = number.to(self.cells.dtype)

    def stand_in(self, generator: torch.Generator) -> dict[str, Tensor]:
        """The places of a recogniser that knows nothing."""
        return {"cells": torch.arange(len(self.cells), dtype=torch.int16)}

    def forward(self, frames: Tensor) -> Guess:
        """frames: (B, 3, H, W) in -1..1, any size."""
        x = F.interpolate(frames, size=self.config.size, mode="area")
        for layer in self.layers:
            x = F.silu(layer(x))
        x = F.silu(self.hidden(x.flatten(1)))
        return Guess(self.place(x).masked_fill(self.cells < 0, -1e4), self.heading(x), self.beside(x))

    def poses(self, guess: Guess, count: int) -> Pose:
        """The likeliest pairs of a place and a heading for each picture, likeliest first: five numbers (B, count)."""
        place, heading = guess.place.log_softmax(1), guess.heading.log_softmax(1)
        both = (place[:, :, None] + heading[:, None]).flatten(1)
        pair = both.topk(min(count, both.shape[1]), 1).indices
        cell, turn = self.cells.long()[pair // self.config.headings], pair % self.config.headings
        east, south, right, up, cos, sin = guess.beside[:, :, None].unbind(1)
        x = (cell % self.grid[1] + 0.5 + east) / self.config.per_cell
        y = (cell // self.grid[1] + 0.5 + south) / self.config.per_cell
        yaw = (turn + 0.5 + right) * (2 * math.pi / self.config.headings)
        hour = torch.atan2(sin, cos) / (2 * math.pi) % 1
        return Pose(x, y, yaw, up.expand_as(x), hour.expand_as(x))


@torch.no_grad()
def localise(frames: Tensor, recogniser: Recogniser, memory: SpatialMemory, camera: Camera) -> Pose:
    """Poses (B,) from which the memory sees most nearly the pictures (B, 3, H, W) in -1..1, of the camera's size."""
    guesses = torch.stack(_parts(recogniser.poses(recogniser(frames), sum(recogniser.config.guesses))), -1)
    search = _Search(recogniser.config, memory, camera)
    pose = torch.stack([search.find(frame, each) for frame, each in zip(frames, guesses, strict=True)])
    x, y, yaw, pitch, hour = pose.unbind(1)
    limit = math.radians(camera.config.pitch_limit)
    return Pose(x, y, yaw % (2 * math.pi), pitch.clamp(-limit, limit), hour % 1)


@dataclass(frozen=True)
class _Search:
    """Finds a picture's pose by what a memory sees through a camera."""

    config: RecogniserConfig
    memory: SpatialMemory
    camera: Camera

    def find(self, frame: Tensor, guesses: Tensor) -> Tensor:
        """Of poses (N, 5), the likeliest first, and those near by: the one (5,) from which the picture (3, H, W) is
        seen."""
        best, least, begin = guesses[:0], math.inf, 0
        for count, most in zip(self.config.guesses, self.config.shortlists, strict=True):
            pose, error = self._best_of(frame[None], guesses[begin : begin + count], most, best)
            if error.is_meta:  # work is counted: usually the first turn finds it
                return pose[0]
            found = float(error) < least
            if found and _DOUBTFUL < float(error) < _UNLIKE:
                pose, error = self._alike(frame[None], pose, error)
            if found:
                best, least = pose, float(error)
            begin += count
            if least < self.config.enough:
                break
        view, target = self._view(self.config.sizes[-1], self.config.blurs[-1], frame[None])
        return view.at_mean_hour(best, target)[0]

    def _best_of(self, frame: Tensor, pose: Tensor, most: int, before: Tensor) -> tuple[Tensor, Tensor]:
        """The best (1, 5) of `most` of the poses and of those found before, and its error ()."""
        config = self.config
        view, target = self._view(config.glance, _GLANCE_BLUR, frame)
        pose, error = view.at_best_hours(pose, target)
        pose, _ = _least(pose, error, most)
        for turn, (keep, wrong) in enumerate(zip(config.earnest, _WRONGS, strict=True)):
            pose, error = _least(*view.around(pose, target, config.around, 0.5**turn, wrong), keep)
        pose = torch.cat((before, pose))
        for size, blur, looks, keep in zip(config.sizes, config.blurs, config.looks, config.keep, strict=True):
            view, target = self._view(size, blur, frame)
            pose, error = _least(*_closer(pose, target.expand(len(pose), -1), view, looks), keep)
        return pose, error[0]

    def _alike(self, frame: Tensor, pose: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
        """A pose (1, 5) of that error () or a better one beside it, along either axis of the map: what is built again
        and again, bays and balusters and books, looks alike from one place and another."""
        config = self.config
        view, target = self._view(config.sizes[0], _GLANCE_BLUR, frame)
        rows = []
        for axis, cells in enumerate((self.memory.config.columns, self.memory.config.rows)):
            along = pose.repeat(round(cells / _ALONG), 1)
            along[:, axis] = (torch.arange(len(along), device=pose.device) + pose[0, axis] / _ALONG % 1) * _ALONG
            rows.append(self._nearly(along[self.memory.standing(*along[:, :2].unbind(1))], view, target))
        tried = torch.cat(rows)
        stages = list(zip(config.sizes, config.blurs, config.looks, strict=True))
        stages = stages[1:] or stages
        view, target = self._view(stages[0][0], _GLANCE_BLUR, frame)
        tried, _ = _least(tried, _error(view.of(tried) - target), _ALIKE_IN_EARNEST)
        for number, (size, blur, looks) in enumerate(stages, 2):
            keep = _ALIKE_LOOKED_AT if number < len(stages) else 1
            view, target = self._view(size, blur, frame)
            tried, wrong = _least(*_closer(tried, target.expand(len(tried), -1), view, looks), keep)
        return (tried, wrong[0]) if wrong[0] < error else (pose, error)

    def _nearly(self, pose: Tensor, view: _BlurredView, target: Tensor) -> Tensor:
        """Of poses (N, 5) in a row the best, each better than those beside it."""
        if not len(pose):
            return pose
        error = torch.cat([_error(view.of(part) - target) for part in pose.split(_AT_ONCE)])
        walled = F.pad(error, (1, 1), value=math.inf)
        valley = (error <= walled[:-2]) & (error <= walled[2:])
        return _least(pose[valley], error[valley], _ALIKE)[0]

    def _view(self, size: tuple[int, int], blur: int, frame: Tensor) -> tuple[_BlurredView, Tensor]:
        """A view, and the picture as it would look in it, (1, 3 h w)."""
        view = _BlurredView(self.memory, Camera(self.camera.config, size[1], size[0], frame.device), blur)
        return view, F.interpolate(frame, size=view.size, mode="area").flatten(1)


@dataclass(frozen=True)
class _BlurredView:
    """What a memory sees through a camera, `blur` pixels taken together each way: without it, a small picture's hard
    edges jump from pixel to pixel, and say little of which way to go."""

    memory: SpatialMemory
    camera: Camera
    blur: int

    @property
    def size(self) -> tuple[int, int]:
        return self.camera.height // self.blur, self.camera.width // self.blur

    @property
    def nudge(self) -> float:
        """A move, in cells or radians, that is well seen in the picture."""
        return _NUDGE * self.blur / self.camera.focal

    @property
    def nudges(self) -> Tensor:
        """Of each number of a pose, (5,)."""
        nudge = torch.full((_NUMBERS,), self.nudge, device=self.camera.rows.device)
        nudge[-1] = _HOUR_NUDGE
        return nudge

    def of(self, pose: Tensor) -> Tensor:
        """From poses (N, 5): flat pictures (N, 3 h w)."""
        frames = self.memory.look(Pose(*pose.unbind(1)), self.camera).frames
        return F.avg_pool2d(frames, self.blur).flatten(1)

    def at_best_hours(self, pose: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Poses (N, 5), each at the hour at which `target` (1, M) is most nearly seen, and the errors (N,) there."""
        hours = _hours(len(self.memory.light), pose)
        error = self._errors_at(hours, pose, target, _AT_FIRST)
        off = ((hours - pose[:, 4:] + 0.5) % 1 - 0.5).abs()  # at night, hours look alike: then the guess counts
        best = (error + _GUESSED_HOUR * off).argmin(1, keepdim=True)
        return torch.cat((pose[:, :4], hours[best]), 1), error.gather(1, best)[:, 0]

    def at_mean_hour(self, pose: Tensor, target: Tensor) -> Tensor:
        """Poses (N, 5), each at the mean of all hours, weighed by how well `target` (1, M) is explained then."""
        hours = _hours(_HOURS, pose)
        error = self._errors_at(hours, pose, target, _WRONG)
        least = error.min(1, keepdim=True).values.clamp(min=1e-6)
        weight = (_SURE * (1 - error / least)).softmax(1)
        angle = 2 * math.pi * hours
        mean = torch.atan2((weight * angle.sin()).sum(1), (weight * angle.cos()).sum(1)) / (2 * math.pi)
        return torch.cat((pose[:, :4], mean[:, None] % 1), 1)

    def _errors_at(self, hours: Tensor, pose: Tensor, target: Tensor, wrong: float) -> Tensor:
        """How wrong (N, H) the picture is from poses (N, 5) at each of hours (H,).

        What is seen is a sum of layers that the hour only weighs, so all hours are had for four looks.
        """
        x, y, yaw, pitch, _ = pose.unbind(1)
        layers = []
        for layer in range(4):
            gains = [torch.full((len(pose), 3), float(layer == other), device=pose.device) for other in range(4)]
            frames = draw(self.memory.surfaces(), (x, y, yaw, pitch), self.camera, Light(*gains)).frames
            layers.append(F.avg_pool2d(frames, self.blur).flatten(2))
        errors = []
        for light in light_between(self.memory.light, hours).split(_HOURS_AT_ONCE):
            made = torch.einsum("lncp,hlc->nhcp", torch.stack(layers), light).clamp(0, 1) * 2 - 1
            errors.append(_error(made.flatten(2) - target, wrong))
        return torch.cat(errors, 1)

    def around(self, pose: Tensor, target: Tensor, count: int, scale: float, wrong: float) -> tuple[Tensor, Tensor]:
        """The best of each of poses (N, 5) and of `count` - 1 around it, evenly spread, and the errors (N,) there: a
        look that moves the eye stops at the first hard edge that is in the wrong place, and this one does not."""
        spread = torch.quasirandom.SobolEngine(len(_AROUND), scramble=True, seed=0).draw(count) * 2 - 1
        spread = F.pad(spread * torch.tensor(_AROUND) * scale, (0, 1)).to(pose.device)
        spread[0] = 0
        tried = pose[:, None] + spread
        error = _error(self.of(tried.flatten(0, 1)) - target, wrong).view(len(pose), count)
        best = error.argmin(1, keepdim=True)
        chosen = tried.gather(1, best[..., None].expand(-1, -1, _NUMBERS))[:, 0]
        return chosen, error.gather(1, best)[:, 0]


def _hours(count: int, like: Tensor) -> Tensor:
    """So many hours (count,), evenly spread over a day."""
    return torch.arange(count, device=like.device) / count


def _error(wrong: Tensor, half: float = _WRONG) -> Tensor:
    """How wrong pictures (..., M) are, 0..1, (...); an error of `half` counts a half."""
    wrong = wrong.abs()
    return (wrong / (wrong + half)).mean(-1)


def _least(pose: Tensor, error: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of poses (N, 5) the `count` of the least errors (N,), best first, and these."""
    least = error.topk(min(count, len(pose)), largest=False)
    return pose[least.indices], least.values


def _closer(pose: Tensor, target: Tensor, view: _BlurredView, looks: int) -> tuple[Tensor, Tensor]:
    """Moves poses (N, 5) to where the view is like `target` (N, M); returns them and their errors (N,)."""
    damping = torch.full((len(pose),), 1e-2, device=pose.device)
    wrong = view.of(pose) - target
    error = _error(wrong)
    axes = torch.diag(view.nudges)
    nudges = torch.cat((axes, -axes))
    before = [torch.full_like(error, math.inf)] * 2 + [error]
    for _ in range(looks):
        nudged = view.of((pose[:, None] + nudges).flatten(0, 1)).view(len(pose), 2 * _NUMBERS, -1)
        slope = (nudged[:, :_NUMBERS] - nudged[:, _NUMBERS:]) / (2 * view.nudges[:, None])
        size = wrong.abs()
        weighted = slope / ((size + _SMALL) * (size / _WRONG + 1))[:, None]
        normal = weighted @ slope.mT
        normal = normal + torch.diag_embed(damping[:, None] * normal.diagonal(dim1=1, dim2=2) + 1e-4)
        move = torch.linalg.solve(normal, weighted @ wrong[..., None])[..., 0]
        tried = pose - move.clamp(-_LONGEST, _LONGEST)
        new_wrong = view.of(tried) - target
        new_error = _error(new_wrong)
        better = new_error < error
        pose = torch.where(better[:, None], tried, pose)
        wrong = torch.where(better[:, None], new_wrong, wrong)
        error = torch.where(better, new_error, error)
        damping = torch.where(better, damping * 0.2, damping * 5).clamp(1e-4, 1e3)
        if not error.is_meta and bool((error > (1 - _SETTLED) * before.pop(0)).all()):
            break
        before.append(error)
    return pose, error


def _parts(pose: Pose) -> tuple[Tensor, ...]:
    return pose.x, pose.y, pose.yaw, pose.pitch, pose.hour
