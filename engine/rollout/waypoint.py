"""The pipeline of Waypoint-1.5: a picture becomes latent frame 0, and each further one is denoised by itself.

Source: the model's card, and FlashDreams' description of its passes. The first latent frame is given, with nothing
pressed; it warms the decoder up and is not shown, since it is the picture that is on the screen already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import record_function

from engine.actions import Actions
from engine.config.waypoint import WaypointConfig
from engine.device import send
from engine.fast.kernels import Kernels
from engine.frames import to_signed
from engine.nets.networks import WaypointNetworks
from engine.nets.waypoint import WaypointSnapshot


@dataclass(frozen=True)
class WaypointState:
    """A `WaypointPipeline` at one moment."""

    caches: WaypointSnapshot
    decoder: Any


class WaypointPipeline:
    """See engine.rollout.pipeline.Pipeline.

    Args:
        networks: the world's weights.
        kernels: what computes them.
        first_frame: (H, W, 3) uint8 RGB of the model's own size.
    """

    def __init__(self, networks: WaypointNetworks, kernels: Kernels, first_frame: np.ndarray) -> None:
        config = networks.config
        self._networks, self._config, self._kernels = networks, config, kernels
        self._sigmas = config.sigmas
        self._prepared = kernels.transformer.prepare_rollout(self._sigmas)
        self._decoder = kernels.decoder.decoder_stream()
        self.caches = kernels.transformer.new_caches()
        with record_function("seed"):
            seed = networks.codec.encoder_stream().encode(self._coded(first_frame)).float().to(networks.device)
            nothing = torch.zeros(1, config.transformer.controls, device=networks.device, dtype=networks.dtype)
            inputs = kernels.transformer.prepare_block(self._prepared, nothing, self.caches)
            self.commit(seed, inputs)
            self._decoder.decode(seed)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (1, 1, 1, self._config.codec.latent_channels, *self._config.latent_size)

    @property
    def commits(self) -> bool:
        return True

    @property
    def full(self) -> bool:
        return self.caches.full

    @property
    def steady(self) -> bool:
        return self.full

    def prepare(self, index: int, actions: Actions) -> Any:
        controls = send(torch.from_numpy(controls_of(actions, self._config.mouse_scale)), self._networks.device)
        return self._kernels.transformer.prepare_block(self._prepared, controls, self.caches)

    def ahead(self, index: int) -> None:
        if self._kernels.fast:
            self._kernels.transformer.ahead(self._prepared, self.caches)

    def denoise(self, inputs: Any, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
        noisy = draw()
        for step, (sigma, following) in enumerate(zip(self._sigmas, self._sigmas[1:], strict=False)):
            with record_function(f"denoising step {step}"):
                velocity = self._kernels.transformer(noisy, inputs, step, self.caches)
            yield noisy - sigma * velocity
            noisy = noisy + (following - sigma) * velocity
        # The last sigma is 0, so the last estimate is where the steps lead.

    def decode(self, latents: Tensor) -> Tensor:
        return stretched(self._decoder.decode(latents), self._config)

    def commit(self, latents: Tensor, inputs: Any) -> None:
        self._kernels.transformer(latents, inputs, len(self._sigmas) - 1, self.caches)

    def use(self, kernels: Kernels) -> None:
        self._kernels = kernels
        memory, self._decoder = self._decoder.snapshot(), kernels.decoder.decoder_stream()
        self._decoder.restore(memory)

    def snapshot(self, since: WaypointState | None = None) -> WaypointState:
        return WaypointState(self.caches.snapshot(None if since is None else since.caches), self._decoder.snapshot())

    def restore(self, state: WaypointState) -> None:
        self.caches.restore(state.caches)
        self._decoder.restore(state.decoder)

    def _coded(self, picture: np.ndarray) -> Tensor:
        """A picture as the codec is shown it: as long as a latent frame, and stretched to the codec's size."""
        weight = next(self._networks.codec.parameters())
        frames = to_signed(picture).to(weight.device)[0]
        if tuple(frames.shape[-2:]) != self._config.coded_size:
            frames = F.interpolate(frames, self._config.coded_size, mode="bilinear", align_corners=False)
        return frames[None].expand(-1, self._config.codec.time_ratio, -1, -1, -1)


def stretched(frames: Tensor, config: WaypointConfig) -> Tensor:
    """The codec's pictures (1, F, 3, h, w) at the model's own size, in float32."""
    size = (config.height, config.width)
    if tuple(frames.shape[-2:]) == size:
        return frames.float()
    return F.interpolate(frames[0].float(), size, mode="bilinear", align_corners=False)[None]


def controls_of(actions: Actions, mouse_scale: float) -> np.ndarray:
    """What a latent frame is told of its video frames' actions: (1, 3 + buttons) float32.

    Mouse x and y, summed, + right and down; each button that was held in any of the frames; the wheel's direction.
    """
    mouse = np.zeros(2) if actions.mouse is None else actions.mouse.astype(np.float64).sum(axis=0)
    held = actions.keyboard.max(axis=0)
    buttons, wheel = held[:-2], np.sign(actions.keyboard[:, -2].sum() - actions.keyboard[:, -1].sum())
    x, y = mouse[1] * mouse_scale, -mouse[0] * mouse_scale
    return np.concatenate(([x, y], buttons, [wheel])).astype(np.float32)[None]
