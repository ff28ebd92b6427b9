"""The pipeline of a block-causal diffusion transformer over a rolling window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.actions import Actions
from engine.fast.kernels import Kernels
from engine.nets.action_windows import ActionHistory
from engine.nets.caches import CacheSnapshot
from engine.nets.networks import CausalNetworks
from engine.nets.transformer import BlockInputs
from engine.rollout.condition import Condition
from engine.rollout.sampler import Estimate, Sampler, noise_schedule

# Windows of latent frames after which positions are moved back to the start: rare enough to cost nothing, often enough
# that float32 angles stay exact.
REBASE_WINDOWS = 32


@dataclass(frozen=True)
class CausalState:
    """A `CausalPipeline` at one moment."""

    caches: CacheSnapshot
    history: tuple[np.ndarray, np.ndarray | None] | None
    decoder: Any
    condition: Any


@dataclass(frozen=True)
class CausalInputs:
    """What stays the same in every pass of a block: what is seen beside the noisy latents, and the transformer's."""

    condition: Tensor
    block: BlockInputs


class CausalPipeline:
    """See engine.rollout.pipeline.Pipeline.

    Args:
        networks: the world's weights.
        kernels: what computes them.
        condition: what the network sees beside the noisy latents.
        estimate: what its output says of the clean latents.
        context: of the image tower, (1, tokens, channels); None for a model without cross attention.
    """

    def __init__(
        self,
        networks: CausalNetworks,
        kernels: Kernels,
        condition: Condition,
        estimate: Estimate,
        context: Tensor | None = None,
    ) -> None:
        config = networks.config
        self._networks, self._config, self._kernels = networks, config, kernels
        schedule = noise_schedule(config.denoising_steps, config.timestep_shift, config.context_noise)
        self.sampler = Sampler(kernels.transformer, schedule, estimate)
        timesteps = torch.tensor(schedule.timesteps)
        self._prepared = kernels.transformer.prepare_rollout(timesteps, config.latent_size, context)
        self._condition = condition
        self._decoder = kernels.decoder.decoder_stream()
        self.caches = kernels.transformer.new_caches(config.window, config.sink)
        self._history = ActionHistory(config.transformer.actions, config.time_ratio)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        config = self._config
        one = (1, config.block_latents, config.codec.latent_channels, *config.latent_size)
        return (len(config.denoising_steps), *one)

    @property
    def commits(self) -> bool:
        return self.sampler.schedule.context is not None

    @property
    def full(self) -> bool:
        ring = self.caches.ring
        return bool(ring.filled == ring.capacity)

    @property
    def steady(self) -> bool:
        return self.full and self._condition.steady

    def prepare(self, index: int, actions: Actions) -> CausalInputs:
        networks, latents, transformer = self._networks, self._config.block_latents, self._kernels.transformer
        self._move_back()
        condition = self._condition.for_block(index * latents, latents, actions)
        windows = self._history.extend(actions).to(networks.device, networks.dtype)
        return CausalInputs(condition, transformer.prepare_block(self._prepared, windows, latents, self.caches))

    def ahead(self, index: int) -> None:
        latents = self._config.block_latents
        self._move_back()
        self._condition.ahead(index * latents, latents)
        if self._kernels.fast:
            self._kernels.transformer.ahead(self._prepared, latents, self.caches)

    def _move_back(self) -> None:
        """Has positions start anew where the next block would lead them too far."""
        config = self._config
        if self.caches.position + config.block_latents > REBASE_WINDOWS * config.window:
            self._kernels.transformer.rebase(self.caches, self.caches.ring.filled)

    def denoise(self, inputs: CausalInputs, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
        return self.sampler.denoise(inputs.condition, inputs.block, self.caches, draw)

    def decode(self, latents: Tensor) -> Tensor:
        decoded: Tensor = self._decoder.decode(latents)
        self._condition.observe(decoded, latents)
        return decoded

    def commit(self, latents: Tensor, inputs: CausalInputs) -> None:
        self.sampler.commit(latents, inputs.condition, inputs.block, self.caches)

    def use(self, kernels: Kernels) -> None:
        self._kernels, self.sampler = kernels, replace(self.sampler, transformer=kernels.transformer)
        memory, self._decoder = self._decoder.snapshot(), kernels.decoder.decoder_stream()
        self._decoder.restore(memory)

    def snapshot(self, since: CausalState | None = None) -> CausalState:
        return CausalState(
            caches=self.caches.snapshot(None if since is None else since.caches),
            history=self._history.snapshot(),
            decoder=self._decoder.snapshot(),
            condition=self._condition.snapshot(),
        )

    def restore(self, state: CausalState) -> None:
        self.caches.restore(state.caches)
        self._history.restore(state.history)
        self._decoder.restore(state.decoder)
        self._condition.restore(state.condition)
