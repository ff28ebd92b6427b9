"""The model's own rollout as a graph: play for a batch of players at once, with gradients.

Training drives the very networks, caches, camera and sampler of play, one video frame after the other, each from the
frame the model made before. What is learned is therefore what will be done: there is no teacher-forced pass to drift
away from, and no second copy of the arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.nets.action_windows import ActionWindows
from engine.nets.caches import Caches
from engine.nets.camera import Camera
from engine.nets.networks import EmbeddedNetworks
from engine.nets.slots import Slots
from engine.nets.spatial_memory import Pose
from engine.rollout.memory_condition import Walk
from engine.rollout.sampler import Sampler, from_mix, noise_schedule


def camera_of(networks: EmbeddedNetworks, device: torch.device | str = "cpu") -> Camera:
    """The camera of a model with the condition memory."""
    config = networks.config
    return Camera(config.camera, config.width, config.height, device)


class Unroll:
    """A batch of rollouts, advanced one video frame at a time.

    Args:
        networks: the model being trained.
        frames: (B, 3, H, W) in -1..1, the pictures the rollouts start from.
        generator: of the noise.
        gradients: whether keys and values of earlier frames stay in the graph.
        pose: where and when the pictures were taken; None: the recogniser finds out.
        seed: of what happens by chance, see MemoryCondition.
        slots: who is where; None: what the pictures show of it is found.
    """

    def __init__(
        self,
        networks: EmbeddedNetworks,
        frames: Tensor,
        generator: torch.Generator,
        gradients: bool,
        pose: Pose | None = None,
        seed: int = 0,
        slots: Slots | None = None,
    ) -> None:
        config = networks.config
        self._networks, self._generator = networks, generator
        schedule = noise_schedule(config.denoising_steps, config.timestep_shift, config.context_noise)
        self._caches: Caches = networks.transformer.new_caches(config.window, config.sink, differentiable=gradients)
        self._walk = Walk(networks, frames, pose, seed, slots)
        self._sampler = Sampler(networks.transformer, schedule, from_mix(self._walk.mix))

    @property
    def frames(self) -> Tensor:
        """The newest frames, (B, 3, H, W) in -1..1."""
        return self._walk.frames

    @property
    def remembered(self) -> Tensor:
        """What the memory alone shows for them, (B, 3, H, W) in -1..1."""
        return self._walk.remembered

    def remembered_with(self, only: Tensor) -> Tensor:
        """The same with some of the slots (B, K) in it alone."""
        return self._walk.seen_with(only)

    @property
    def pose(self) -> Pose:
        """Where the model takes the players to be."""
        return self._walk.pose

    @property
    def flicker(self) -> Tensor:
        """Of the model's lamps, (B,)."""
        return self._walk.flicker

    @property
    def slots(self) -> Slots | None:
        """Who the model takes to be where; None: nobody lives in its world."""
        return self._walk.slots

    def step(self, keyboard: Tensor, mouse: Tensor) -> Tensor:
        """Makes the next frame of every rollout, from actions (B, 4) and (B, 2) of one video frame.

        Returns it as a graph, (B, 3, H, W), about -1..1; the rollouts go on from its plain values, clamped as in play.
        """
        net, config = self._networks.transformer, self._networks.config
        condition = self._walk.look(keyboard, mouse)
        # Made anew each step, because the time embedding is being trained as well.
        inputs = net.prepare_rollout(torch.tensor(self._sampler.schedule.timesteps), config.latent_size)
        windows = ActionWindows(keyboard[:, None, None], mouse[:, None, None])
        block = net.prepare_block(inputs, windows, 1, self._caches)
        shape = (len(keyboard), 1, config.codec.latent_channels, *config.latent_size)

        def draw() -> Tensor:
            return torch.randn(shape, generator=self._generator)

        *_, latents = self._sampler.denoise(condition, block, self._caches, draw)
        made = self._networks.codec.decode(latents[:, 0])
        self._walk.frames = made.detach().clamp(-1, 1)
        return made

    def cut(self) -> None:
        """Ends the graph here: keys and values of earlier frames become plain values."""
        self._caches.detach()
