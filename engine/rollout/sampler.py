"""The denoising of one block: its noise levels, what happens between noise and clean latents, and the context pass."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import record_function

TRAINING_STEPS = 1000  # of the schedule the models were trained with; a timestep is sigma on this scale


@dataclass(frozen=True)
class NoiseLevel:
    """`timestep` 0..1000 is what the network is told, `sigma` 0..1 the share of noise in its input."""

    timestep: float
    sigma: float


@dataclass(frozen=True)
class NoiseSchedule:
    """The noise levels of one block: `steps` for denoising, falling, and `context` for the context pass (or None)."""

    steps: tuple[NoiseLevel, ...]
    context: NoiseLevel | None

    @property
    def passes(self) -> tuple[NoiseLevel, ...]:
        """Of every pass of a block, in order: the denoising steps, then the context pass if any."""
        return self.steps if self.context is None else (*self.steps, self.context)

    @property
    def timesteps(self) -> tuple[float, ...]:
        """The timestep of every pass of a block."""
        return tuple(level.timestep for level in self.passes)


def noise_schedule(denoising_steps: tuple[int, ...], shift: float, context_noise: int | None) -> NoiseSchedule:
    """The levels that a model's config names.

    Args:
        denoising_steps: falling numbers of 1..1000, positions in the shifted table counted from its clean end.
        shift: sigma' = shift * sigma / (1 + (shift - 1) * sigma).
        context_noise: the context pass's timestep as such, None for no context pass.

    Source: Self-Forcing's FlowMatchScheduler; arXiv 2403.03206 (shift).
    """
    sigmas = torch.linspace(1.0, 0.0, TRAINING_STEPS + 1)[:-1]
    sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    timesteps = sigmas * TRAINING_STEPS

    def level(timestep: float) -> NoiseLevel:
        # The original looks sigma up by the nearest timestep, so timestep 0 is not quite sigma 0.
        return NoiseLevel(timestep, float(sigmas[(timesteps - timestep).abs().argmin()]))

    steps = tuple(level(float(timesteps[TRAINING_STEPS - step])) for step in denoising_steps)
    return NoiseSchedule(steps, None if context_noise is None else level(float(context_noise)))


def clean_from_velocity(noisy: Tensor, velocity: Tensor, sigma: float) -> Tensor:
    """x0 from the network's velocity (noise - x0), in float64 as the original does; same shape and dtype as `noisy`."""
    return (noisy.double() - sigma * velocity.double()).to(noisy.dtype)


def add_noise(clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """The noisy latent at level `sigma`: (1 - sigma) * clean + sigma * noise."""
    return (1 - sigma) * clean + sigma * noise


Estimate = Callable[[Tensor, Tensor, float], Tensor]
"""What the network's output says of the clean latents: (noisy (B, T, C, h, w) float32, output, sigma) -> clean."""


def from_velocity(noisy: Tensor, output: Tensor, sigma: float) -> Tensor:
    """The output is the velocity."""
    return clean_from_velocity(noisy, output, sigma)


def from_mix(mix: Callable[[Tensor], Tensor]) -> Estimate:
    """The output is a change, and weights of the condition's views.

    mix: weights of the views (B, T, views, h, w) -> latents (B, T, C, h, w) of that mixture.
    """

    def estimate(noisy: Tensor, output: Tensor, sigma: float) -> Tensor:
        channels = noisy.shape[2]
        return mix(output[:, :, channels:].softmax(2)) + output[:, :, :channels]

    return estimate


@dataclass(frozen=True)
class Sampler:
    """A transformer (readable or fast), the noise levels it denoises at and what its output means."""

    transformer: Any
    schedule: NoiseSchedule
    estimate: Estimate

    def clean(self, noisy: Tensor, condition: Tensor, block: Any, step: int, caches: Any) -> Tensor:
        """One pass: the clean latents as the network sees them in `noisy`, both (B, T, C, h, w) float32.

        Args:
            condition: (B, T, channels, h, w).
            block: what the transformer prepared for the block.
            step: which pass of the block; the one after the last denoising step is the context pass.
            caches: the rollout's own.
        """
        output = self.transformer(torch.cat((noisy, condition), dim=2), block, step, caches)
        return self.estimate(noisy, output, self.schedule.passes[step].sigma)

    def denoise(self, condition: Tensor, block: Any, caches: Any, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
        """The clean estimate after each denoising step; the last is the block's latents.

        Args:
            draw: fresh standard noise (B, T, C, h, w): first the block's start, then one for each step but the first.
        """
        noisy = draw()
        for step in range(len(self.schedule.steps)):
            with record_function(f"denoising step {step}"):
                clean = self.clean(noisy, condition, block, step, caches)
            yield clean
            if step + 1 < len(self.schedule.steps):
                noisy = add_noise(clean, draw(), self.schedule.steps[step + 1].sigma)

    def commit(self, latents: Tensor, condition: Tensor, block: Any, caches: Any) -> Tensor:
        """The context pass: leaves the finished block's clean keys and values in the caches. Its output is unused."""
        return self.clean(latents, condition, block, len(self.schedule.steps), caches)
