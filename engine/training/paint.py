"""Trains the transformer on its own rollouts.

Each step unrolls a batch of players for `clip` video frames from where the step before left them, compares every frame
with the simulator's, and sends the error back through all of them. Players start anew after a random number of clips,
few at first and more as training goes on, so the model learns to go on from pictures it made itself.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.networks import EmbeddedNetworks
from engine.nets.spotting import nobody
from engine.training.optimizers import Muon
from engine.training.policy import World
from engine.training.poses import pose_of
from engine.training.stage import Say, Stage, rise_and_fall
from engine.training.unroll import Unroll, camera_of


@dataclass(frozen=True)
class PainterTraining:
    """How the transformer is trained.

    Attributes:
        steps: optimizer steps in all; the learning rate falls to 0 over the last `cooldown` share of them, after it has
            risen over the first `warmup`.
        players, clip: batch size, and video frames unrolled per step.
        longest: clips from one start, at most; reached after `grow` share of the steps.
        lr_matrix, lr_rest: of Muon on hidden matrices, of AdamW on everything else.
        edges: weight of the error of the picture's slopes beside that of its values: keeps edges sharp.
        damage: share of rollouts that start from a spoilt picture, see `damaged`.
        lost: share of rollouts that start from a picture of quite another place than memory takes it for.
        astray: deviation of the pose that rollouts start from, cells and tenths of radians: as good as localising is.
        average: of the weights over the steps, which is what is shipped: the share kept at each.
        seed: of players, starts and noise.
    """

    steps: int = 300
    players: int = 4
    clip: int = 5
    longest: int = 10
    grow: float = 0.5
    lr_matrix: float = 0.01
    lr_rest: float = 1e-3
    warmup: float = 0.05
    cooldown: float = 0.4
    edges: float = 1.0
    damage: float = 0.25
    lost: float = 0.08
    astray: float = 0.005
    average: float = 0.99
    seed: int = 0

    def clips(self, step: int) -> int:
        """The most clips in a row from one start, at `step`."""
        return max(1, round(self.longest * min(1.0, step / (self.grow * self.steps))))


def frame_loss(made: Tensor, true: Tensor, edges: float) -> Tensor:
    """How wrong pictures (B, 3, H, W) are, on a logarithmic scale.

    The error of one picture is that of its values and, weighted by `edges`, of its slopes. The mean of the logarithms
    makes a fresh rollout's small error count as much as the large one of a rollout that has lost its place, whose
    gradient would otherwise drown everything and teach the model to smear.
    """
    wrong = made - true
    error = wrong.abs().mean((1, 2, 3)) + 2 * wrong.square().mean((1, 2, 3))
    slopes = wrong.diff(dim=-1).abs().mean((1, 2, 3)) + wrong.diff(dim=-2).abs().mean((1, 2, 3))
    return (error + edges * slopes + 0.003).log().mean()


class Painting:
    """Trains the transformer of one model; all its other networks are left as they are.

    Args:
        networks: with a fitted memory and codec.
        config: see there.
        limit: the mouse limit of the action space.
    """

    def __init__(self, networks: EmbeddedNetworks, config: PainterTraining, limit: float) -> None:
        self.networks, self.config = networks, config
        self.average = copy.deepcopy(networks.transformer).requires_grad_(False)
        self._limit = limit

    def run(self, folder: Path, say: Say, save_every: float) -> None:
        """Trains to the end; saves in `folder`, and goes on from what is there."""
        config, net = self.config, self.networks.transformer
        hidden = [p for name, p in net.named_parameters() if p.ndim == 2 and name.startswith("blocks.")]
        chosen = {id(p) for p in hidden}
        rest = [p for p in net.parameters() if id(p) not in chosen]
        optimizers = [
            Muon(hidden, config.lr_matrix),
            torch.optim.AdamW(rest, config.lr_rest, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        Stage(
            "transformer",
            config.steps,
            optimizers,
            {"transformer": net, "average": self.average},
            self._begin,
            self._loss,
            rise_and_fall(config.warmup, config.cooldown),
            clip=1.0,
            after=self._take_average,
        ).run(folder / "transformer.pt", say, save_every)

    def _begin(self, start: int) -> None:
        """New players and noise, never drawn before whether this is a start or a resumed run."""
        seed = self.config.seed * 1_000_003 + start
        self.world = World(self.config.players, seed, camera_of(self.networks), self._limit)
        self._rng = torch.Generator().manual_seed(seed)
        self._left = 0
        self._unroll: Unroll | None = None

    def _start(self, step: int) -> Unroll:
        """New rollouts from new places."""
        config = self.config
        first = self.world.restart()
        lost = torch.rand(len(first), 1, 1, 1, generator=self._rng) < config.lost
        first = torch.where(lost, first.roll(1, 0), damaged(first, config.damage, self._rng))
        pose = pose_of(self.world.simulator)
        astray = config.astray * torch.randn(3, len(first), generator=self._rng)
        pose = replace(pose, x=pose.x + astray[0], y=pose.y + astray[1], yaw=pose.yaw + astray[2] / 10)
        seed = int(torch.randint(2**31, (1,), generator=self._rng))
        self._left = int(torch.randint(1, config.clips(step) + 1, (1,), generator=self._rng))
        slots = nobody(first, self.networks.slots.config.count)  # there is nobody in these pictures
        return Unroll(self.networks, first, self._rng, gradients=True, pose=pose, seed=seed, slots=slots)

    def _loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        config = self.config
        if self._left == 0 or self._unroll is None:
            self._unroll = self._start(step)
        self._left -= 1
        self._unroll.cut()
        loss, error, recalled = torch.zeros(()), torch.zeros(config.players), torch.zeros(config.players)
        for _ in range(config.clip):
            keyboard, mouse, true = self.world.step()
            made = self._unroll.step(keyboard, mouse)
            loss = loss + frame_loss(made, true, config.edges)
            error += (made.detach() - true).square().mean((1, 2, 3)) / 4
            recalled += (self._unroll.remembered - true).square().mean((1, 2, 3)) / 4
        decibels = {
            "dB": float(-10 * (error / config.clip).log10().mean()),
            "memory alone, dB": float(-10 * (recalled / config.clip).log10().mean()),
        }
        return loss / config.clip, decibels

    def _take_average(self, step: int) -> None:
        keep = min(self.config.average, step / (step + 10))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.networks.transformer.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)


# -- spoilt pictures ---------------------------------------------------------------------------------------------------
def damaged(frames: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """`frames` (B, 3, H, W) in -1..1, about `share` of them spoilt as long play would; the others unchanged.

    On clean pictures alone a model learns to move what it sees and to stretch the rim into what it does not. Where a
    third of the picture is missing or smeared, only knowing the world helps; a model that mends keeps long rollouts
    alive.
    """
    kinds = (_smeared, _cut, _tinted)
    spoilt = frames.clone()
    for index in range(len(frames)):
        if torch.rand((), generator=generator) < share:
            kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
            spoilt[index] = kind(frames[index : index + 1], generator)[0]
    return spoilt


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _smeared(frame: Tensor, generator: torch.Generator) -> Tensor:
    """All detail below some size is gone."""
    height, width = frame.shape[-2:]
    factor = _uniform(2, 10, generator)
    small = F.interpolate(frame, size=(max(2, int(height / factor)), max(2, int(width / factor))), mode="area")
    return F.interpolate(small, size=(height, width), mode="bicubic", align_corners=False).clamp(-1, 1)


def _cut(frame: Tensor, generator: torch.Generator) -> Tensor:
    """A strip along one side, up to half the picture, is stretched from its inner rim."""
    width = frame.shape[-1]
    strip = int(_uniform(0.08, 0.5, generator) * width)
    if torch.rand((), generator=generator) < 0.5:
        return torch.cat([frame[..., strip : strip + 1].expand(-1, -1, -1, strip), frame[..., strip:]], -1)
    rim = width - strip
    return torch.cat([frame[..., :rim], frame[..., rim - 1 : rim].expand(-1, -1, -1, strip)], -1)


def _tinted(frame: Tensor, generator: torch.Generator) -> Tensor:
    """Colours and contrast have drifted, and there is grain."""
    colour = torch.randn(1, 3, 1, 1, generator=generator) * 0.08
    grain = torch.randn(frame.shape, generator=generator) * _uniform(0, 0.1, generator)
    return (frame * _uniform(0.6, 1.2, generator) + colour + grain).clamp(-1, 1)
