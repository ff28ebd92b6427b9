"""One world being played: ALL of its mutable state, and the step that makes its next block."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

from engine.actions import Actions, action_space
from engine.block import Block, Timings
from engine.cost.kernels import PLAIN, Kernels, readable_kernels
from engine.errors import ActionError
from engine.nets.networks import Networks
from engine.nets.transformer import BlockInputs
from engine.pictures import to_signed, to_uint8
from engine.rollout.action_windows import ActionHistory
from engine.rollout.caches import CacheSnapshot
from engine.rollout.condition import new_condition
from engine.rollout.lanes import fetch, send, side_lane
from engine.rollout.noise import noise_schedule
from engine.rollout.sampler import Sampler
from engine.rollout.stopwatch import Mark, Stopwatch
from engine.rollout.storage import storages

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

    The same weights, kernels, first frame, seed and actions give the same frames, bit for bit, however steps, settles,
    snapshots and restores follow one another.

    Args:
        networks: the world's weights.
        first_frame: (H, W, 3) uint8 RGB of the model's own size.
        seed: of all noise, 0 .. 2^63 - 1.
        kernels: what computes it; None for the readable networks.
    """

    @torch.inference_mode()
    def __init__(self, networks: Networks, first_frame: np.ndarray, seed: int, kernels: Kernels | None = None) -> None:
        config = networks.config
        self.seed, self.first_frame = seed, first_frame
        self.blocks_done = self.frames_done = 0
        self._networks, self._config = networks, config
        self._kernels = kernels = kernels or readable_kernels(networks)
        self._kernels_from: list[tuple[int, Kernels]] = [(0, kernels)]  # number of the first block each makes
        schedule = noise_schedule(config.denoising_steps, config.timestep_shift, config.context_noise)
        self._sampler = Sampler(kernels.transformer, schedule, config.prediction)
        self._space = action_space(config.mode)
        picture = to_signed(first_frame).to(networks.device, networks.dtype)
        with record_function("encode"):
            context = None if networks.image_tower is None else networks.image_tower(picture[:, 0])
            timesteps = torch.tensor(schedule.timesteps)
            self._prepared = kernels.transformer.prepare_rollout(timesteps, config.latent_size, context)
            self._condition = new_condition(networks, picture)
        self._decoder = kernels.decoder.decoder_stream()
        self._caches = kernels.transformer.new_caches(config.window, config.sink)
        self._history = ActionHistory(config.transformer.actions, config.time_ratio)
        # On the CPU whatever the device, so that a world is the same everywhere, up to rounding.
        self._noise = torch.Generator().manual_seed(seed)
        self._stopwatch, self._lane = Stopwatch(networks.device), side_lane(networks.device)
        self._pending: _Pending | None = None
        self._context: tuple[Mark, Mark] | None = None  # beginning and end of the newest context pass
        self._context_ms = 0.0  # of the pass before the next block, once it is known

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
        self._commit(None)
        self._take_kernels()
        began, start, context = time.perf_counter(), self._stopwatch.mark(), self._context
        with record_function("denoise"):
            latents, condition, inputs = self._denoise(actions)
        denoised = self._stopwatch.mark()
        if self._sampler.schedule.context is not None:
            self._pending = _Pending(latents, condition, inputs)
        with self._lane.behind():
            fetched = self._decode(latents)
            decoded = self._stopwatch.mark()
        if self._lane.parallel:  # the device goes on with it while the frames are decoded, and we wait for them alone
            self._commit(decoded)
        with record_function("export"):
            frames = fetched()
        denoise_ms = self._stopwatch.between(start, denoised)
        if context is not None:
            self._context_ms = self._stopwatch.between(*context)
        timings = self._timings(denoise_ms, (time.perf_counter() - began) * 1000)
        block = Block(self.blocks_done, self.frames_done, frames, actions, timings)
        self.blocks_done += 1
        self.frames_done += len(frames)
        return block

    @torch.inference_mode()
    def settle(self) -> float:
        """Ends the context pass of the newest block, if it has not ended; returns its milliseconds, else 0.0.

        On a GPU they are those by which it outlasted the decoding that it ran beside.
        """
        self._commit(None)
        if self._context is None:
            return 0.0
        self._context_ms, self._context = self._stopwatch.between(*self._context), None
        return self._context_ms

    @property
    def compiled_from(self) -> int | None:
        """Number of the first block that compiled kernels make; None if none of them is compiled."""
        return next((block for block, kernels in self._kernels_from if kernels.compiled != PLAIN), None)

    def use(self, kernels: Kernels, first_block: int | None = None) -> None:
        """Makes the blocks from `first_block` on (the next one, if None) with other kernels, of the same weights.

        Frames may then differ by rounding from those that the kernels before would have made. A restore to an earlier
        block brings back the kernels that made it, so that it is made again bit for bit.
        """
        if kernels.fast != self._kernels.fast:
            raise ValueError("a rollout cannot change between readable and fast kernels")
        first = self.blocks_done if first_block is None else first_block
        self._kernels_from = [entry for entry in self._kernels_from if entry[0] < first] + [(first, kernels)]

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
        self._pending = self._context = None
        self.blocks_done, self.frames_done = snapshot.blocks_done, snapshot.frames_done
        self._take_kernels()
        self._caches.restore(snapshot.caches)
        self._history.restore(snapshot.history)
        self._noise.set_state(snapshot.noise)
        self._decoder.restore(snapshot.decoder)
        self._condition.restore(snapshot.condition)

    def _take_kernels(self) -> None:
        """Changes to the kernels that make the next block."""
        kernels = [kernels for first, kernels in self._kernels_from if first <= self.blocks_done][-1]
        if kernels is self._kernels:
            return
        self._kernels, self._sampler = kernels, replace(self._sampler, transformer=kernels.transformer)
        memory, self._decoder = self._decoder.snapshot(), kernels.decoder.decoder_stream()
        self._decoder.restore(memory)

    def _denoise(self, actions: Actions) -> tuple[Tensor, Tensor, BlockInputs]:
        config, networks, latents = self._config, self._networks, self._config.block_latents
        transformer = self._kernels.transformer
        if self._caches.position + latents > REBASE_WINDOWS * config.window:
            transformer.rebase(self._caches, self._caches.ring.filled)
        with record_function("data"):
            condition = self._condition.for_block(self.blocks_done * latents, latents, actions)
            windows = self._history.extend(actions).to(networks.device, networks.dtype)
            inputs = transformer.prepare_block(self._prepared, windows, latents, self._caches)
        noise = self._draw_noise()
        for clean in self._sampler.denoise(condition, inputs, self._caches, lambda: next(noise), self._condition.mix):
            newest = clean
        return newest, condition, inputs

    def _draw_noise(self) -> Iterator[Tensor]:
        config = self._config
        shape = (1, config.block_latents, config.codec.latent_channels, *config.latent_size)
        noise = torch.randn((len(config.denoising_steps), *shape), generator=self._noise)
        return iter(send(noise, self._networks.device))

    def _decode(self, latents: Tensor) -> Callable[[], np.ndarray]:
        """Latents to pictures, and these on their way to the host."""
        with record_function("decode"):
            decoded = self._decoder.decode(latents.to(self._networks.dtype))
            self._condition.observe(decoded, latents)
        with record_function("post-processing"):
            return fetch(to_uint8(decoded))

    def _commit(self, since: Mark | None) -> None:
        """Runs or queues the context pass that is still to come, if any. since: what its time is counted from."""
        if self._pending is None:
            return
        pending, start = self._pending, since or self._stopwatch.mark()
        with record_function("context pass"):
            self._sampler.commit(pending.latents, pending.condition, pending.inputs, self._caches)
        self._pending, self._context = None, (start, self._stopwatch.mark())

    def _timings(self, denoise_ms: float, step_ms: float) -> Timings:
        context_ms, self._context_ms = self._context_ms, 0.0
        return Timings(denoise_ms, context_ms, max(0.0, step_ms - denoise_ms), step_ms + context_ms)
