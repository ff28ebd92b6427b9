"""One world being played: ALL of its mutable state, and the step that makes its next block."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

from engine.action_windows import ActionHistory
from engine.actions import Actions, action_space
from engine.block import Block, Timings
from engine.caches import CacheSnapshot
from engine.condition import new_condition
from engine.errors import ActionError
from engine.networks import Networks
from engine.noise import noise_schedule
from engine.pictures import to_signed, to_uint8
from engine.sampler import Sampler
from engine.stopwatch import Stopwatch
from engine.storage import storages
from engine.transformer import BlockInputs

__all__ = ["Block", "Rollout", "Snapshot", "Timings"]

# Windows of latent frames after which positions are moved back to the start: rare enough to cost nothing, often enough
# that float32 angles stay exact.
REBASE_WINDOWS = 32


@dataclass(frozen=True)
class Snapshot:
    """A rollout at one moment; opaque, and good for any number of restores of rollouts of the same world.

    Its tensors are never written to, so that snapshots may share them.
    """

    caches: CacheSnapshot
    history: tuple[np.ndarray, np.ndarray | None] | None
    noise: Tensor
    decoder: Any
    condition: Any
    blocks_done: int
    frames_done: int

    def storages(self) -> dict[int, int]:
        """The memory it keeps: address -> bytes. Snapshots that share memory name the same addresses."""
        return storages(self)


@dataclass(frozen=True)
class _Pending:
    """What a context pass still needs of the block it commits."""

    latents: Tensor
    condition: Tensor
    inputs: BlockInputs


class Rollout:
    """One world from one first frame. Not thread-safe.

    The same weights, first frame, seed and actions give the same frames, bit for bit, however steps, settles, snapshots
    and restores follow one another.

    Args:
        networks: the world's weights.
        first_frame: (H, W, 3) uint8 RGB of the model's own size.
        seed: of all noise, 0 .. 2^63 - 1.
    """

    @torch.inference_mode()
    def __init__(self, networks: Networks, first_frame: np.ndarray, seed: int) -> None:
        config = networks.config
        self.seed, self.first_frame = seed, first_frame
        self.blocks_done = self.frames_done = 0
        self._networks, self._config = networks, config
        schedule = noise_schedule(config.denoising_steps, config.timestep_shift, config.context_noise)
        self._sampler = Sampler(networks.transformer, schedule, config.prediction)
        self._space = action_space(config.mode)
        picture = to_signed(first_frame).to(networks.device, networks.dtype)
        context = None if networks.image_tower is None else networks.image_tower(picture[:, 0])
        timesteps = torch.tensor(schedule.timesteps)
        self._prepared = networks.transformer.prepare_rollout(timesteps, config.latent_size, context)
        self._condition = new_condition(networks, picture)
        self._decoder = networks.decoder_stream()
        self._caches = networks.transformer.new_caches(config.window, config.sink)
        self._history = ActionHistory(config.transformer.actions, config.time_ratio)
        # On the CPU whatever the device, so that a world is the same everywhere, up to rounding.
        self._noise = torch.Generator().manual_seed(seed)
        self._stopwatch = Stopwatch(networks.device)
        self._pending: _Pending | None = None
        self._settled_ms = 0.0

    @property
    def next_frames(self) -> int:
        """How many video frames the next step makes, and so how many actions it takes."""
        return self._config.frames_of_block(self.blocks_done)

    @torch.inference_mode()
    def step(self, actions: Actions) -> Block:
        """Makes the next block.

        Args:
            actions: `next_frames` of them, one per video frame, of the model's action space.

        Returns:
            The finished block. Its context pass is still to come: in `settle`, or at the beginning of the next step.

        Raises:
            ActionError: too few or too many actions, or not this model's. The rollout is as it was.
        """
        if len(actions) != self.next_frames:
            raise ActionError("a step takes one action per video frame", got=len(actions), expected=self.next_frames)
        self._space.check(actions)
        self.settle()
        began, start = time.perf_counter(), self._stopwatch.mark()
        with record_function("denoise"):
            latents, condition, inputs = self._denoise(actions)
        denoised = self._stopwatch.mark()
        with record_function("decode"):
            decoded = self._decoder.decode(latents.to(self._networks.dtype))
            self._condition.observe(decoded, latents)
            pictures = to_uint8(decoded)
        with record_function("to host"):
            frames = pictures.cpu().numpy()
        if self._sampler.schedule.context is not None:
            self._pending = _Pending(latents, condition, inputs)
        denoise_ms = self._stopwatch.between(start, denoised)
        timings = self._timings(denoise_ms, (time.perf_counter() - began) * 1000)
        block = Block(self.blocks_done, self.frames_done, frames, actions, timings)
        self.blocks_done += 1
        self.frames_done += len(frames)
        return block

    @torch.inference_mode()
    def settle(self) -> float:
        """Runs the context pass of the newest block, if it is still to come; returns its milliseconds, else 0.0."""
        if self._pending is None:
            return 0.0
        start, pending = self._stopwatch.mark(), self._pending
        with record_function("context pass"):
            self._sampler.commit(pending.latents, pending.condition, pending.inputs, self._caches)
        self._pending = None
        self._settled_ms = self._stopwatch.between(start, self._stopwatch.mark())
        return self._settled_ms

    @torch.inference_mode()
    def snapshot(self, since: Snapshot | None = None) -> Snapshot:
        """This moment, from which `restore` continues bit for bit.

        since: a snapshot of this rollout whose tensors may be shared where they are still what they were. It saves
        memory and copying, and changes nothing else.
        """
        self.settle()
        return Snapshot(
            caches=self._caches.snapshot(None if since is None else since.caches),
            history=self._history.snapshot(),
            noise=self._noise.get_state(),
            decoder=self._decoder.snapshot(),
            condition=self._condition.snapshot(),
            blocks_done=self.blocks_done,
            frames_done=self.frames_done,
        )

    @torch.inference_mode()
    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to (or on to) a snapshot of this rollout, or of another of the same world and first frame."""
        self._pending = None
        self._caches.restore(snapshot.caches)
        self._history.restore(snapshot.history)
        self._noise.set_state(snapshot.noise)
        self._decoder.restore(snapshot.decoder)
        self._condition.restore(snapshot.condition)
        self.blocks_done, self.frames_done = snapshot.blocks_done, snapshot.frames_done

    def _denoise(self, actions: Actions) -> tuple[Tensor, Tensor, BlockInputs]:
        config, networks, latents = self._config, self._networks, self._config.block_latents
        if self._caches.position + latents > REBASE_WINDOWS * config.window:
            networks.transformer.rebase(self._caches, self._caches.ring.filled)
        condition = self._condition.for_block(self.blocks_done * latents, latents, actions)
        windows = self._history.extend(actions).to(networks.device, networks.dtype)
        inputs = networks.transformer.prepare_block(self._prepared, windows, latents, self._caches)
        noise = self._draw_noise()
        for clean in self._sampler.denoise(condition, inputs, self._caches, lambda: next(noise), self._condition.mix):
            newest = clean
        return newest, condition, inputs

    def _draw_noise(self) -> Iterator[Tensor]:
        config = self._config
        shape = (1, config.block_latents, config.codec.latent_channels, *config.latent_size)
        noise = torch.randn((len(config.denoising_steps), *shape), generator=self._noise)
        return iter(noise.to(self._networks.device, non_blocking=True))

    def _timings(self, denoise_ms: float, step_ms: float) -> Timings:
        context_ms, self._settled_ms = self._settled_ms, 0.0
        return Timings(denoise_ms, context_ms, max(0.0, step_ms - denoise_ms), step_ms + context_ms)
