"""The flow-matching noise schedule: which noise levels a model denoises at, and the arithmetic between two of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

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
