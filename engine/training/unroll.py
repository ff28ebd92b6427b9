"""The model's own rollout as a graph: play for a batch of players at once, with gradients.

Training drives the very networks, caches, camera and sampler of play, one video frame after the other, each from the
frame the model made before. What is learned is therefore what will be done: there is no teacher-forced pass to drift
away from, and no second copy of the arithmetic.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from engine.action_windows import ActionWindows
from engine.caches import Caches
from engine.camera import Camera
from engine.networks import Networks
from engine.noise import noise_schedule
from engine.sampler import Sampler


def camera_of(networks: Networks, device: torch.device | str = "cpu") -> Camera:
    """The camera of a model with the condition previous_frame."""
    config = networks.config
    return Camera(config.camera, config.width, config.height, device)


class Unroll:
    """A batch of rollouts, advanced one video frame at a time.

    Args:
        networks: the model being trained.
        frames: (B, 3, H, W) in -1..1, the pictures the rollouts start from.
        generator: of the noise.
        gradients: whether keys and values of earlier frames stay in the graph.
    """

    def __init__(self, networks: Networks, frames: Tensor, generator: torch.Generator, gradients: bool) -> None:
        config = networks.config
        self._networks, self._generator = networks, generator
        self._camera = camera_of(networks)
        schedule = noise_schedule(config.denoising_steps, config.timestep_shift, config.context_noise)
        self._sampler = Sampler(networks.transformer, schedule, config.prediction)
        self._caches: Caches = networks.transformer.new_caches(config.window, config.sink, differentiable=gradients)
        self.frames = frames
        self._pitch = torch.zeros(len(frames))

    def step(self, keyboard: Tensor, mouse: Tensor) -> Tensor:
        """The next frame of every rollout, (B, 3, H, W), about -1..1; actions (B, 4) and (B, 2) of one video frame."""
        net, config = self._networks.transformer, self._networks.config
        batch = len(keyboard)
        views, self._pitch = self._camera.views(self.frames, keyboard, mouse, self._pitch)
        encoded = self._networks.codec.encode(rearrange(views, "b k c h w -> (b k) c h w"))
        condition = rearrange(encoded, "(b k) c h w -> b 1 (k c) h w", b=batch)
        # Made anew each step, because the time embedding is being trained as well.
        inputs = net.prepare_rollout(torch.tensor(self._sampler.schedule.timesteps), config.latent_size)
        windows = ActionWindows(keyboard[:, None, None], mouse[:, None, None])
        block = net.prepare_block(inputs, windows, 1, self._caches)

        def draw() -> Tensor:
            return torch.randn(batch, 1, config.codec.latent_channels, *config.latent_size, generator=self._generator)

        *_, latents = self._sampler.denoise(condition, block, self._caches, draw)
        self.frames = self._networks.codec.decode(latents[:, 0])
        return self.frames

    def cut(self) -> None:
        """Ends the graph here; what follows starts from plain values, as in play."""
        self.frames = self.frames.detach().clamp(-1, 1)
        self._caches.detach()
