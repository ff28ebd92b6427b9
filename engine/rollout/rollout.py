"""One world being played: ALL of its mutable state, and the step that makes its next block."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import record_function

from engine.actions import Actions, ActionSpace
from engine.block import Block, TakePictures, Timings
from engine.config.model import ModelConfig
from engine.device import Mark, Stopwatch, fetch, send, side_lane
from engine.errors import ActionError, OverflowedError
from engine.fast.kernels import PLAIN, Kernels
from engine.frames import to_uint8
from engine.rollout.pipeline import Pipeline

__all__ = ["Block", "Rollout", "Snapshot", "Timings", "storages"]


@dataclass(frozen=True)
class Snapshot:
    """A rollout at one moment; opaque, and good for any number of restores of rollouts of the same world.

    Its tensors are never written to, so that snapshots may share them.
    """

    pipeline: Any
    noise: Tensor
    blocks_done: int
    frames_done: int

    def storages(self) -> dict[int, int]:
        """The memory it keeps: address -> bytes. Snapshots that share memory name the same addresses."""
        return storages(self)


def storages(state: Any) -> dict[int, int]:
    """The memory behind every tensor in `state`, wherever it lies in it: address -> bytes.

    Two states that share a tensor name the same address, so a union of such dicts counts it once.
    """
    if isinstance(state, Tensor):
        storage = state.untyped_storage()
        return {storage.data_ptr(): storage.nbytes()} if storage.nbytes() else {}
    if isinstance(state, Mapping):
        parts: Iterable[Any] = state.values()
    elif isinstance(state, list | tuple):
        parts = state
    else:
        parts = vars(state).values() if hasattr(state, "__dict__") else ()
    found: dict[int, int] = {}
    for part in parts:
        found |= storages(part)
    return found


@dataclass(frozen=True)
class _Pending:
    """What a context pass still needs of the block it commits."""

    latents: Tensor
    inputs: Any


@dataclass(frozen=True)
class _Drawn:
    """Noise of a block. before: the generator's state, from which it is drawn again. noise: on the device."""

    before: Tensor
    noise: Tensor


class Rollout:
    """One world from one first frame. Not thread-safe.

    The same weights, kernels, first frame, seed and actions give the same frames, bit for bit, however steps, settles,
    snapshots and restores follow one another.

    Args:
        pipeline: the world's networks at work, from the first frame.
        config: of the model.
        space: its actions.
        device: the transformer's.
        first_frame: (H, W, 3) uint8 RGB of the model's own size.
        seed: of all noise, 0 .. 2^63 - 1.
        kernels: what the pipeline was made with.
        narrow: whether its numbers are float16, which large ones do not fit into: each block is then looked over.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        config: ModelConfig,
        space: ActionSpace,
        device: torch.device,
        first_frame: np.ndarray,
        seed: int,
        kernels: Kernels,
        narrow: bool = False,
    ) -> None:
        self.seed, self.first_frame = seed, first_frame
        self.blocks_done = self.frames_done = 0
        self.pipeline = pipeline
        self._config, self._space, self._device = config, space, device
        self._kernels, self._narrow = kernels, narrow
        self._kernels_from: list[tuple[int, Kernels]] = [(0, kernels)]  # number of the first block each makes
        # On the CPU whatever the device, so that a world is the same everywhere, up to rounding.
        self._noise = torch.Generator().manual_seed(seed)
        self._drawn: _Drawn | None = None  # the next block's
        self._stopwatch, self._lane = Stopwatch(device), side_lane(device)
        self._pending: _Pending | None = None
        self._context: tuple[Mark, Mark] | None = None  # beginning and end of the newest context pass
        self._context_ms = 0.0  # of the pass before the next block, once it is known

    @property
    def next_frames(self) -> int:
        """How many video frames the next step makes, and so how many actions it takes."""
        return self._config.frames_of_block(self.blocks_done)

    @torch.inference_mode()
    def step(self, actions: Actions, early: TakePictures | None = None) -> Block:
        """Makes the next block.

        Args:
            actions: `next_frames` of them, one per video frame, of the model's action space.
            early: handed the block's frames as they are finished, those of one latent frame at a time, in order; the
                others are decoded meanwhile.

        Returns:
            The finished block. Its context pass is still to come: in `settle`, or at the beginning of the next step.

        Raises:
            ActionError: too few or too many actions, or not this model's. The rollout is as it was.
            OverflowedError: numbers of float16 grew beyond what it holds.
        """
        if len(actions) != self.next_frames:
            raise ActionError("a step takes one action per video frame", got=len(actions), expected=self.next_frames)
        self._space.check(actions)
        self._commit(None)
        self._take_kernels()
        began, start, context = time.perf_counter(), self._stopwatch.mark(), self._context
        with record_function("denoise"):
            latents, inputs = self._denoise(actions)
        denoised = self._stopwatch.mark()
        if self.pipeline.commits:
            self._pending = _Pending(latents, inputs)
        # On its way beside the pictures, so that nothing waits for it.
        finite = fetch(torch.isfinite(latents).all()[None]) if self._narrow else None
        parts: list[np.ndarray] = []
        first_ms = 0.0
        for fetched in self._decoded(latents):
            with record_function("export"):
                parts.append(fetched())
            if finite is not None and not parts[1:] and not finite()[0]:
                remedy = "use dtype=float32, or a GPU that computes in bfloat16"
                raise OverflowedError(f"float16 overflowed in block {self.blocks_done}", remedy=remedy)
            first_ms = first_ms or (time.perf_counter() - began) * 1000
            if early is not None:
                early(parts[-1])
        frames = parts[0] if len(parts) == 1 else np.concatenate(parts)
        denoise_ms = self._stopwatch.between(start, denoised)
        if context is not None:
            self._context_ms = self._stopwatch.between(*context)
        timings = self._timings(denoise_ms, (time.perf_counter() - began) * 1000, first_ms)
        block = Block(self.blocks_done, self.frames_done, frames, actions, timings)
        self.blocks_done += 1
        self.frames_done += len(frames)
        return block

    @torch.inference_mode()
    def settle(self) -> float:
        """Ends the context pass of the newest block, if it has not ended; returns its milliseconds, else 0.0.

        What the next block needs and nobody at the keys can change is made, too: this is the time that is left over.

        On a GPU they are those by which it outlasted the decoding that it ran beside.
        """
        self._commit(None)
        self.pipeline.ahead(self.blocks_done)
        self._drawn = self._drawn or self._draw()
        if self._context is None:
            return 0.0
        self._context_ms, self._context = self._stopwatch.between(*self._context), None
        return self._context_ms

    @torch.inference_mode()
    def skip(self, actions: Actions) -> None:
        """Goes on by a block without making it: only its room in the windows is taken.

        For timing full windows soon; what comes after is no picture of anything. actions: as `step`.
        """
        self._commit(None)
        self.pipeline.prepare(self.blocks_done, actions)
        self.blocks_done, self.frames_done = self.blocks_done + 1, self.frames_done + len(actions)

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
            pipeline=self.pipeline.snapshot(None if since is None else since.pipeline),
            noise=self._noise.get_state() if self._drawn is None else self._drawn.before,
            blocks_done=self.blocks_done,
            frames_done=self.frames_done,
        )

    @torch.inference_mode()
    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to (or on to) a snapshot of this rollout, or of another of the same world and first frame."""
        self._pending = self._context = self._drawn = None
        self.blocks_done, self.frames_done = snapshot.blocks_done, snapshot.frames_done
        self._take_kernels()
        self.pipeline.restore(snapshot.pipeline)
        self._noise.set_state(snapshot.noise)

    def _take_kernels(self) -> None:
        """Changes to the kernels that make the next block."""
        kernels = [kernels for first, kernels in self._kernels_from if first <= self.blocks_done][-1]
        if kernels is self._kernels:
            return
        self._kernels = kernels
        self.pipeline.use(kernels)

    def _denoise(self, actions: Actions) -> tuple[Tensor, Any]:
        with record_function("data"):
            inputs = self.pipeline.prepare(self.blocks_done, actions)
        drawn, self._drawn = self._drawn or self._draw(), None
        noise = iter(drawn.noise)
        for clean in self.pipeline.denoise(inputs, lambda: next(noise)):
            newest = clean
        return newest, inputs

    def _draw(self) -> _Drawn:
        """A block's noise, on its way to the device."""
        before = self._noise.get_state()
        noise = torch.randn(self.pipeline.noise_shape, generator=self._noise)
        return _Drawn(before, send(noise, self._device))

    def _decoded(self, latents: Tensor) -> Iterator[Callable[[], np.ndarray]]:
        """The frames of one latent frame after the other, to be waited for.

        On a GPU all of them are queued first, and the context pass behind; elsewhere each is there before the next.
        """
        each = latents.split(1, dim=1)
        if not self._lane.parallel:
            for latent in each:
                yield self._decode(latent)
            return
        with self._lane.behind():
            queued = [self._decode(latent) for latent in each]
            decoded = self._stopwatch.mark()
        self._commit(decoded)  # the device goes on with it while the frames are decoded, and we wait for them alone
        yield from queued

    def _decode(self, latents: Tensor) -> Callable[[], np.ndarray]:
        """Latents to pictures, and these on their way to the host."""
        with record_function("decode"):
            decoded = self.pipeline.decode(latents)
        with record_function("post-processing"):
            return fetch(to_uint8(decoded))

    def _commit(self, since: Mark | None) -> None:
        """Runs or queues the context pass that is still to come, if any. since: what its time is counted from."""
        if self._pending is None:
            return
        pending, start = self._pending, since or self._stopwatch.mark()
        with record_function("context pass"):
            self.pipeline.commit(pending.latents, pending.inputs)
        self._pending, self._context = None, (start, self._stopwatch.mark())

    def _timings(self, denoise_ms: float, step_ms: float, first_ms: float) -> Timings:
        context_ms, self._context_ms = self._context_ms, 0.0
        return Timings(denoise_ms, context_ms, max(0.0, step_ms - denoise_ms), step_ms + context_ms, first_ms)
