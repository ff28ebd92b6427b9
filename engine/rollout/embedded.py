"""The fast pipeline of the embedded model: a video frame a block, made of pictures without latents in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import record_function

from engine.actions import Actions
from engine.device import send
from engine.fast.kernels import Kernels
from engine.nets.caches import CacheSnapshot
from engine.nets.networks import EmbeddedNetworks
from engine.rollout import causal
from engine.rollout.memory_condition import MemoryCondition
from engine.rollout.sampler import noise_schedule


@dataclass(frozen=True)
class EmbeddedState:
    """An `EmbeddedPipeline` at one moment."""

    caches: CacheSnapshot
    condition: Any


@dataclass(frozen=True)
class EmbeddedInputs:
    """The views (1, 2, 3, H, W) that a frame is made of, and its actions (1, keyboard and mouse)."""

    views: Tensor
    actions: Tensor


class EmbeddedPipeline:
    """See engine.rollout.pipeline.Pipeline. What a step yields is the frame itself, in place of its latents.

    Args:
        networks: the world's weights.
        kernels: of engine.fast.embedded.
        picture: the first frame (1, 1, 3, H, W) in -1..1.
        seed: of what happens by chance beside the noise.
        name: the picture's key in the networks' places.
    """

    def __init__(self, networks: EmbeddedNetworks, kernels: Kernels, picture: Tensor, seed: int, name: str) -> None:
        config = networks.config
        self._networks, self._config, self._network = networks, config, kernels.transformer
        schedule = noise_schedule(config.denoising_steps, config.timestep_shift, config.context_noise)
        self._positions = causal.REBASE_WINDOWS * config.window
        self._prepared = self._network.prepare_rollout(schedule.timesteps[0], self._positions)
        self._condition = MemoryCondition(networks, picture, seed, name)
        self.caches = self._network.new_caches(config.window, config.sink)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (1, 1, 1, self._config.codec.latent_channels, *self._config.latent_size)

    @property
    def commits(self) -> bool:
        return False

    @property
    def full(self) -> bool:
        ring = self.caches.ring
        return bool(ring.filled == ring.capacity)

    @property
    def steady(self) -> bool:
        return self.full and self._condition.steady

    def prepare(self, index: int, actions: Actions) -> EmbeddedInputs:
        if self.caches.position + 1 > self._positions:
            self._network.rebase(self.caches, self.caches.ring.filled)
        assert actions.mouse is not None
        mouse = torch.from_numpy(actions.mouse / self._config.mouse_limit)
        told = torch.cat((torch.from_numpy(actions.keyboard), mouse), -1).float()
        return EmbeddedInputs(self._condition.see(actions), send(told, self._networks.device))

    def ahead(self, index: int) -> None:
        pass  # where the player looks is not known yet

    def denoise(self, inputs: EmbeddedInputs, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
        with record_function("denoising step 0"):
            frame = self._network(draw(), inputs.views, inputs.actions, self._prepared, self.caches)
        yield frame[:, None]

    def decode(self, latents: Tensor) -> Tensor:
        frames = latents.clamp(-1, 1)
        self._condition.observe(frames, latents)
        return frames

    def commit(self, latents: Tensor, inputs: EmbeddedInputs) -> None:
        raise AssertionError("there is no context pass")

    def use(self, kernels: Kernels) -> None:
        self._network = kernels.transformer

    def snapshot(self, since: EmbeddedState | None = None) -> EmbeddedState:
        caches = self.caches.snapshot(None if since is None else since.caches)
        return EmbeddedState(caches, self._condition.snapshot())

    def restore(self, state: EmbeddedState) -> None:
        self.caches.restore(state.caches)
        self._condition.restore(state.condition)
