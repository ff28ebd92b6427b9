"""Trains the embedded model's transformer on its own rollouts, resumable at any moment.

Each step unrolls a batch of players for `clip` video frames from where the step before left them, compares every frame
with the simulator's, and sends the error back through all of them. Players start anew after a random number of clips,
few at first and more as training goes on, so the model learns to go on from pictures it made itself.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from engine.networks import Networks
from engine.training.critic import Criticism
from engine.training.damage import damaged
from engine.training.muon import Muon
from engine.training.policy import World
from engine.training.unroll import Unroll, camera_of

_REPORT = 50  # steps between two lines of progress


@dataclass(frozen=True)
class TrainConfig:
    """How the transformer is trained.

    Attributes:
        steps: optimizer steps in all; the learning rate falls to 0 over the last `cooldown` share of them.
        players, clip: batch size, and video frames unrolled per step.
        longest: clips from one start, at most; reached after `grow` share of the steps.
        lr_matrix, lr_rest: of Muon on hidden matrices, of AdamW on everything else.
        warmup: steps in which the learning rate rises.
        edges: weight of the error of the picture's slopes beside that of its values: keeps edges sharp.
        critic: weight of what the critic wishes, see engine.training.critic.
        damage: share of rollouts that start from a spoilt picture, see engine.training.damage.
        hopeless: dB below which, on the mean of its players, a batch starts anew: there is more to learn before.
        lost: dB below which a rollout counts as lost, and the simulator follows it.
        average: of the weights over the steps, which is what is shipped: the share kept at each.
        seed: of players, starts and noise.
    """

    steps: int = 20000
    players: int = 8
    clip: int = 8
    longest: int = 12
    grow: float = 0.6
    lr_matrix: float = 0.01
    lr_rest: float = 1e-3
    warmup: int = 100
    cooldown: float = 0.3
    edges: float = 1.0
    critic: float = 2.0
    damage: float = 0.5
    hopeless: float = 18.5
    lost: float = 20.0
    average: float = 0.998
    seed: int = 0

    def rate(self, step: int) -> float:
        """The share of the full learning rate at `step`."""
        rise = min(1.0, (step + 1) / self.warmup)
        return rise * min(1.0, (1 - step / self.steps) / self.cooldown)

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


class Trainer:
    """All state of one training run, or of one worker of it: workers play worlds of their own and average gradients.

    Args:
        networks: initialised, the same in every worker; the codec is left as it is.
        config: see there; `players` are those of one worker.
        limit: the mouse limit of the action space.
        worker: number of this one. With more than one, torch.distributed is already up.
    """

    def __init__(self, networks: Networks, config: TrainConfig, limit: float, worker: int = 0) -> None:
        self.networks, self.config = networks, config
        net = networks.transformer
        hidden = [p for name, p in net.named_parameters() if p.ndim == 2 and name.startswith("blocks.")]
        chosen = {id(p) for p in hidden}
        rest = [p for p in net.parameters() if id(p) not in chosen]
        self.muon = Muon(hidden, config.lr_matrix)
        self.adam = torch.optim.AdamW(rest, config.lr_rest, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = copy.deepcopy(net).requires_grad_(False)
        self.criticism = Criticism()
        self._limit, self._worker = limit, worker
        self.step = 0
        self._begin()

    def _begin(self) -> None:
        """New players and noise, never drawn before whether this is a start or a resumed run."""
        seed = (self.config.seed * 1_000_003 + self.step) * 64 + self._worker
        self.world = World(self.config.players, seed, camera_of(self.networks), self._limit)
        self.generator = torch.Generator().manual_seed(seed)
        self._left = 0
        self._unroll: Unroll | None = None

    def advance(self) -> float:
        """One optimizer step; returns the mean PSNR (dB) of its frames."""
        config = self.config
        if self._left == 0 or self._unroll is None:
            first = damaged(self.world.restart(), config.damage, self.generator)
            self._unroll = Unroll(self.networks, first, self.generator, gradients=True)
            self._left = int(torch.randint(1, config.clips(self.step) + 1, (1,), generator=self.generator))
        self._left -= 1
        loss, error = torch.zeros(()), torch.zeros(config.players)
        for _ in range(config.clip):
            keyboard, mouse, true = self.world.step()
            made = self._unroll.step(keyboard, mouse)
            wish = (made * self.criticism.wish(made)).sum() / config.players
            loss = loss + frame_loss(made, true, config.edges) + config.critic * wish
            wrong = (made.detach() - true).square().mean((1, 2, 3)) / 4
            error += wrong
        (loss / config.clip).backward()
        self.criticism.learn(true, self._unroll.frames).backward()
        self._unroll.cut()
        self._update()
        reached = -10 * wrong.log10()
        if reached.mean() < config.hopeless:
            self._left = 0
        if self._left:
            self.world.follow(self._unroll.frames, reached < config.lost)
        return float(-10 * (error / config.clip).log10().mean())

    def _modules(self) -> tuple[nn.Module, nn.Module]:
        return self.networks.transformer, self.criticism.critic

    def _share(self) -> None:
        """Averages the gradients of all workers."""
        if not dist.is_initialized():
            return
        gradients = [p.grad for module in self._modules() for p in module.parameters()]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _update(self) -> None:
        self._share()
        rate = self.config.rate(self.step)
        for optimizer, lr in ((self.muon, self.config.lr_matrix), (self.adam, self.config.lr_rest)):
            nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
            for group in optimizer.param_groups:
                group["lr"] = lr * rate
            optimizer.step()
            optimizer.zero_grad()
        self.criticism.optimizer.step()
        self.criticism.optimizer.zero_grad()
        self.step += 1
        keep = min(self.config.average, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.networks.transformer.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)

    # -- checkpoints -----------------------------------------------------------------------------------------------
    def save(self, path: Path) -> None:
        """Writes everything a resumed run needs, in one move, so that a kill leaves the last file whole."""
        state = {
            "transformer": self.networks.transformer.state_dict(),
            "codec": self.networks.codec.state_dict(),
            "average": self.average.state_dict(),
            "critic": self.criticism.critic.state_dict(),
            "critic_adam": self.criticism.optimizer.state_dict(),
            "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(),
            "step": self.step,
            "config": asdict(self.config),
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Goes on from a saved run; players start anew."""
        state = torch.load(path, weights_only=True)
        self.networks.transformer.load_state_dict(state["transformer"])
        self.networks.codec.load_state_dict(state["codec"])
        self.average.load_state_dict(state["average"])
        self.criticism.critic.load_state_dict(state["critic"])
        self.criticism.optimizer.load_state_dict(state["critic_adam"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.step = state["step"]
        self._begin()

    def run(self, say: Callable[[str], None], save_every: float) -> Iterator[None]:
        """Trains to the last step, says how it goes, and yields every `save_every` seconds for the run to be saved."""
        began = since = saved = time.monotonic()
        total, count = 0.0, 0
        while self.step < self.config.steps:
            total, count = total + self.advance(), count + 1
            now = time.monotonic()
            if count == _REPORT:
                pace = (now - since) / count
                left = pace * (self.config.steps - self.step) / 60
                say(f"step {self.step} of {self.config.steps}  {total / count:.2f} dB  {pace:.2f} s a step  "
                    f"{(now - began) / 60:.1f} min, {left:.0f} min to go")  # fmt: skip
                total, count, since = 0.0, 0, now
            if now - saved > save_every or self.step == self.config.steps:
                saved = now
                yield
