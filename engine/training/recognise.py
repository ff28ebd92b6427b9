"""Trains the recogniser: pictures of the world from random poses, and where they were taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.recogniser import Guess, Recogniser
from engine.nets.spatial_memory import Pose
from engine.training.poses import random_views
from engine.training.simulator import Simulator
from engine.training.stage import Say, Stage, rise_and_fall


@dataclass(frozen=True)
class RecogniserTraining:
    """How the recogniser is trained.

    Attributes:
        steps: optimizer steps. pictures: of each. lr: highest learning rate, rising at first and falling to 0.
        level: share of the pictures that look level, as first frames mostly do.
        noise: deviation of the noise that is added to pictures, of which half have none.
        seed: of poses and weights.
    """

    steps: int = 9000
    pictures: int = 80
    lr: float = 1.5e-3
    level: float = 0.5
    noise: float = 0.06
    seed: int = 0


class Recognising:
    """Trains one recogniser, in place.

    Args:
        recogniser: with weights to begin from.
        camera: of play.
        config: how.
    """

    def __init__(self, recogniser: Recogniser, camera: Camera, config: RecogniserTraining) -> None:
        self.recogniser, self.config = recogniser, config
        height, width = recogniser.config.size
        self._camera = Camera(camera.config, width, height)

    def run(self, folder: Path, say: Say, save_every: float) -> None:
        """Trains to the end; saves in `folder`, and goes on from what is there."""
        optimizer = torch.optim.AdamW(
            self.recogniser.parameters(), self.config.lr, betas=(0.9, 0.98), weight_decay=0.02
        )
        Stage(
            "recogniser",
            self.config.steps,
            [optimizer],
            {"recogniser": self.recogniser},
            self._begin,
            self._loss,
            rise_and_fall(0.1, 0.9),
            clip=1.0,
        ).run(folder / "recogniser.pt", say, save_every)

    def _begin(self, start: int) -> None:
        seed = self.config.seed * 1_000_003 + start
        self._simulator = Simulator(self.config.pictures, seed + 3, self._camera, folk=True)
        self._rng = torch.Generator().manual_seed(seed + 4)

    def _loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        config = self.config
        pose, frames = random_views(self._simulator, self._rng, config.level)
        noise = config.noise * torch.randn(frames.shape, generator=self._rng)
        frames = frames + noise * (torch.rand(len(frames), 1, 1, 1, generator=self._rng) < 0.5)
        loss, (place, heading) = recogniser_loss(self.recogniser, self.recogniser(frames), pose)
        return loss, {"place right, %": 100 * float(place), "heading": 100 * float(heading)}


def recogniser_loss(recogniser: Recogniser, guess: Guess, pose: Pose) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and the shares (2,) whose place and heading are right."""
    config, (rows, columns) = recogniser.config, recogniser.grid
    x, y = pose.x * config.per_cell, pose.y * config.per_cell
    turn = pose.yaw % (2 * math.pi) / (2 * math.pi / config.headings)
    cell = y.long().clamp(0, rows - 1) * columns + x.long().clamp(0, columns - 1)
    number = torch.zeros(rows * columns, dtype=torch.long)
    known = recogniser.cells >= 0
    number[recogniser.cells[known].long()] = known.nonzero()[:, 0]
    place = number[cell]
    heading = turn.long().clamp(0, config.headings - 1)
    dial = pose.hour * 2 * math.pi
    beside = torch.stack((x % 1 - 0.5, y % 1 - 0.5, turn % 1 - 0.5, pose.pitch, dial.cos() / 2, dial.sin() / 2), 1)
    loss = F.cross_entropy(guess.place, place) + F.cross_entropy(guess.heading, heading)
    loss = loss + 4 * F.smooth_l1_loss(guess.beside, beside, beta=0.1)
    hits = [
        (scores.argmax(1) == true).float().mean() for scores, true in ((guess.place, place), (guess.heading, heading))
    ]
    return loss, torch.stack(hits)
