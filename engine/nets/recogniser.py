"""Says where in the remembered world a picture was taken, and when: guesses at a glance, then a closer look.

The glance is a small convolutional network, whose guesses are places on a grid and how far beside them. Each is
compared with what the memory sees from there; for the best, the closer look moves the eye until both agree
(Levenberg-Marquardt on a blurred picture, then on sharper ones): localisation by analysis-by-synthesis, as in iNeRF
(arXiv 2012.05877).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config.memory import RecogniserConfig, SpatialMemoryConfig
from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose, SpatialMemory

_NUDGE = 0.4  # blurred pixels that the picture is moved by, to see which way it changes
_SMALL = 0.05  # below it, errors count by their square
_LONGEST = 0.25  # cells and radians, of one move
_GLANCE_BLUR = 2  # pixels of a glance that are taken together
_NUMBERS = 5  # of a pose
_HOUR_NUDGE = 0.01  # of a day


@dataclass(frozen=True)
class Guess:
    """The recogniser's answer for a batch of pictures.

    Attributes:
        place: scores (B, rows x columns of the grid). heading: scores (B, headings).
        beside: (B, 6) how far east, south (in grid steps, from the middle of the likeliest place), further right (in
            heading steps) and up (in radians) the eye is; cosine and sine of the hour on a dial.
    """

    place: Tensor
    heading: Tensor
    beside: Tensor


class Recogniser(nn.Module):
    """Args: config: sizes of the network. world: the map that it knows."""

    def __init__(self, config: RecogniserConfig, world: SpatialMemoryConfig) -> None:
        super().__init__()
        self.config, self.world = config, world
        widths = (3, *config.widths)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        height, width = (-(-size // 2 ** len(config.widths)) for size in config.size)
        self.hidden = nn.Linear(widths[-1] * height * width, config.hidden)
        self.place = nn.Linear(config.hidden, self.grid[0] * self.grid[1])
        self.heading = nn.Linear(config.hidden, config.headings)
        self.beside = nn.Linear(config.hidden, 6)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the places told apart."""
        return self.world.rows * self.config.per_cell, self.world.columns * self.config.per_cell

    def forward(self, frames: Tensor) -> Guess:
        """frames: (B, 3, H, W) in -1..1, any size."""
        x = F.interpolate(frames, size=self.config.size, mode="area")
        for layer in self.layers:
            x = F.silu(layer(x))
        x = F.silu(self.hidden(x.flatten(1)))
        return Guess(self.place(x), self.heading(x), self.beside(x))

    def poses(self, guess: Guess, places: int, turns: int) -> Pose:
        """The likeliest places of each picture, each with the likeliest headings: five numbers (B, places x turns)."""
        place = guess.place.topk(places, 1).indices.repeat_interleave(turns, 1)
        heading = guess.heading.topk(turns, 1).indices.repeat(1, places)
        east, south, right, up, cos, sin = guess.beside[:, :, None].unbind(1)
        step = 2 * math.pi / self.config.headings
        x = (place % self.grid[1] + 0.5 + east) / self.config.per_cell
        y = (place // self.grid[1] + 0.5 + south) / self.config.per_cell
        yaw = (heading + 0.5 + right) * step
        hour = torch.atan2(sin, cos) / (2 * math.pi) % 1
        return Pose(x, y, yaw, up.expand_as(x), hour.expand_as(x))


@torch.no_grad()
def localise(frames: Tensor, recogniser: Recogniser, memory: SpatialMemory, camera: Camera) -> Pose:
    """Poses (B,) from which the memory sees most nearly the pictures (B, 3, H, W) in -1..1, of the camera's size."""
    count, config = len(frames), recogniser.config
    guesses = recogniser.poses(recogniser(frames), config.guesses, config.turns)
    pose = torch.stack(_parts(guesses), -1)
    view = _BlurredView(memory, Camera(camera.config, *config.glance[::-1], frames.device), _GLANCE_BLUR)
    target = F.interpolate(frames, size=view.size, mode="area").flatten(1)
    likeness = torch.stack([(view.of(tried) - true).abs().mean(1) for tried, true in zip(pose, target, strict=True)])
    best = likeness.topk(min(config.shortlist, likeness.shape[1]), largest=False).indices
    pose = pose.gather(1, best[..., None].expand(-1, -1, _NUMBERS))
    for size, blur, looks, keep in zip(config.sizes, config.blurs, config.looks, config.keep, strict=True):
        view = _BlurredView(memory, Camera(camera.config, size[1], size[0], frames.device), blur)
        target = F.interpolate(frames, size=view.size, mode="area").flatten(1).repeat_interleave(pose.shape[1], 0)
        found, error = _closer(pose.flatten(0, 1), target, view, looks)
        best = error.view(count, -1).topk(keep, largest=False).indices
        pose = found.view(count, -1, _NUMBERS).gather(1, best[..., None].expand(-1, -1, _NUMBERS))
    x, y, yaw, pitch, hour = pose[:, 0].unbind(1)
    limit = math.radians(camera.config.pitch_limit)
    return Pose(x, y, yaw % (2 * math.pi), pitch.clamp(-limit, limit), hour % 1)


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


def _closer(pose: Tensor, target: Tensor, view: _BlurredView, looks: int) -> tuple[Tensor, Tensor]:
    """Moves poses (N, 5) to where the view is like `target` (N, M); returns them and their mean errors (N,).

    Errors count by their size and not its square: what a wrong guess explains badly must not lead it astray.
    """
    damping = torch.full((len(pose),), 1e-2, device=pose.device)
    wrong = view.of(pose) - target
    error = wrong.abs().mean(1)
    axes = torch.diag(view.nudges)
    nudges = torch.cat((axes, -axes))
    for _ in range(looks):
        nudged = view.of((pose[:, None] + nudges).flatten(0, 1)).view(len(pose), 2 * _NUMBERS, -1)
        slope = (nudged[:, :_NUMBERS] - nudged[:, _NUMBERS:]) / (2 * view.nudges[:, None])
        weighted = slope / (wrong.abs() + _SMALL)[:, None]
        normal = weighted @ slope.mT
        normal = normal + torch.diag_embed(damping[:, None] * normal.diagonal(dim1=1, dim2=2) + 1e-4)
        move = torch.linalg.solve(normal, weighted @ wrong[..., None])[..., 0]
        tried = pose - move.clamp(-_LONGEST, _LONGEST)
        new_wrong = view.of(tried) - target
        new_error = new_wrong.abs().mean(1)
        better = new_error < error
        pose = torch.where(better[:, None], tried, pose)
        wrong = torch.where(better[:, None], new_wrong, wrong)
        error = torch.where(better, new_error, error)
        damping = torch.where(better, damping * 0.2, damping * 5).clamp(1e-4, 1e3)
    return pose, error


def _parts(pose: Pose) -> tuple[Tensor, ...]:
    return pose.x, pose.y, pose.yaw, pose.pitch, pose.hour
