"""The denoising of one block: what happens between noise and clean latents, and the context pass after it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import record_function

from engine.nets.transformer import BlockInputs, Transformer
from engine.rollout.caches import Caches
from engine.rollout.noise import NoiseSchedule, add_noise, clean_from_velocity

Mix = Callable[[Tensor], Tensor]
"""Weights of the condition's views (B, T, views, h, w) -> latents (B, T, C, h, w) of that mixture."""


@dataclass(frozen=True)
class Sampler:
    """A transformer, the noise levels it denoises at and what its output means ("velocity" or "mix")."""

    transformer: Transformer
    schedule: NoiseSchedule
    prediction: str

    def clean(
        self, noisy: Tensor, condition: Tensor, block: BlockInputs, step: int, caches: Caches, mix: Mix | None = None
    ) -> Tensor:
        """One pass: the clean latents as the network sees them in `noisy`, both (B, T, C, h, w) float32.

        Args:
            condition: (B, T, channels, h, w).
            step: which pass of the block; the one after the last denoising step is the context pass.
            mix: of the condition; the prediction "mix" needs it, no other calls it.
        """
        output = self.transformer(torch.cat((noisy, condition), dim=2), block, step, caches)
        if self.prediction == "mix":
            assert mix is not None
            channels = noisy.shape[2]
            return mix(output[:, :, channels:].softmax(2)) + output[:, :, :channels]
        steps = self.schedule.steps
        level = steps[step] if step < len(steps) else self.schedule.context
        return clean_from_velocity(noisy, output, level.sigma)

    def denoise(
        self,
        condition: Tensor,
        block: BlockInputs,
        caches: Caches,
        draw: Callable[[], Tensor],
        mix: Mix | None = None,
    ) -> Iterator[Tensor]:
        """The clean estimate after each denoising step; the last is the block's latents.

        Args:
            draw: fresh standard noise (B, T, C, h, w): first the block's start, then one for each step but the first.
            mix: as in `clean`.
        """
        noisy = draw()
        for step in range(len(self.schedule.steps)):
            with record_function(f"denoising step {step}"):
                clean = self.clean(noisy, condition, block, step, caches, mix)
            yield clean
            if step + 1 < len(self.schedule.steps):
                noisy = add_noise(clean, draw(), self.schedule.steps[step + 1].sigma)

    def commit(self, latents: Tensor, condition: Tensor, block: BlockInputs, caches: Caches) -> Tensor:
        """The context pass: leaves the finished block's clean keys and values in the caches. Its output is unused."""
        return self.clean(latents, condition, block, len(self.schedule.steps), caches)
