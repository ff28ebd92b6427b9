"""The denoising of one block: what happens between noise and clean latents, and the context pass after it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import record_function

from engine.rollout.noise import NoiseSchedule, add_noise, clean_from_velocity

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
