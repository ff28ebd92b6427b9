"""A world on no data, brought to where every block takes the same work, so that the next block's can be counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.actions import Actions
from engine.families import family_of
from engine.fast.kernels import Kernels
from engine.nets.networks import Networks


class Trial:
    """The pipeline of a world in the steady state, one stage at a time.

    Args:
        networks: on "meta", where tensors have sizes and no memory.
        kernels: what computes them.
    """

    def __init__(self, networks: Networks, kernels: Kernels) -> None:
        config, family = networks.config, family_of(networks.config)
        self._config, self._idle = config, family.space(config).idle()
        blank = np.zeros((config.height, config.width, 3), np.uint8)
        self._pipeline = family.pipeline(networks, kernels, blank)
        self._index = 0
        # The first block takes the caches' memory and starts the decoder; what fills the window after it only has to
        # be counted as there.
        inputs = self.prepare()
        for latents in self.denoise(inputs):
            newest = latents
        self.decode(newest)
        while not self._pipeline.steady:
            self.prepare()

    @property
    def commits(self) -> bool:
        """Whether there is a context pass."""
        return self._pipeline.commits

    def prepare(self) -> Any:
        """What the next block needs once."""
        frames = self._config.frames_of_block(self._index)
        inputs = self._pipeline.prepare(self._index, Actions.stack([self._idle] * frames))
        self._index += 1
        return inputs

    def denoise(self, inputs: Any) -> Iterator[Tensor]:
        """Each denoising step of a block."""
        noise = torch.empty(self._pipeline.noise_shape[1:], device="meta")
        return self._pipeline.denoise(inputs, lambda: noise)

    def commit(self, latents: Tensor, inputs: Any) -> None:
        """The context pass, if there is one."""
        if self._pipeline.commits:
            self._pipeline.commit(latents, inputs)

    def decode(self, latents: Tensor) -> Tensor:
        """A block's latents to its frames."""
        return self._pipeline.decode(latents)
