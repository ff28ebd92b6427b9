"""A device's queues of work: what runs beside what, how arrays travel without waiting, how long it took.

On a GPU, work is queued and runs later; a second queue (a stream) lets decoding run beside the context pass, and pinned
memory lets copies run beside both. Elsewhere an operation is done when its call returns, and none of this is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

Mark: TypeAlias = torch.cuda.Event | float
"""A moment of a device's work."""


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on `device`; a GPU fetches it from pinned memory while the host goes on."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def fetch(frames: Tensor) -> Callable[[], np.ndarray]:
    """Begins to bring a finished tensor to the host; the call of what comes back waits for it.

    From a GPU it is copied to pinned memory by the current stream, and only that copy is waited for. Called once.
    """
    if frames.is_meta:  # networks without data, whose work is only counted
        return lambda: np.zeros(frames.shape, np.uint8)
    if frames.device.type != "cuda":
        return frames.numpy
    return _pinned().fetch(frames)


class PinnedMemory:
    """Pinned host memory that arrays pass through on their way from a GPU.

    Pictures live on for minutes (recordings, the way back), and pinning memory makes the whole process wait: they are
    copied out of the few pieces there are, which are then free again. allocate, copied: fakes, for tests.
    """

    def __init__(
        self,
        allocate: Callable[[int], Tensor] | None = None,
        copied: Callable[[torch.device], Callable[[], None]] | None = None,
    ) -> None:
        self._allocate, self._copied = allocate or _pin, copied or _event
        self._free: list[Tensor] = []

    def fetch(self, frames: Tensor) -> Callable[[], np.ndarray]:
        """Queues the copy of `frames`; the call of what comes back waits for it and returns ordinary memory."""
        size = frames.nbytes
        fitting = (i for i, piece in enumerate(self._free) if piece.nbytes >= size)
        index = next(fitting, None)
        piece = self._allocate(size) if index is None else self._free.pop(index)
        host = piece[:size].view(frames.dtype).view(frames.shape)
        host.copy_(frames, non_blocking=True)
        wait_for_copy = self._copied(frames.device)

        def wait() -> np.ndarray:
            wait_for_copy()
            own = np.array(host.numpy())
            self._free.append(piece)
            return own

        return wait


def _pin(size: int) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, pin_memory=True)


def _event(device: torch.device) -> Callable[[], None]:
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(device))  # the decoder's GPU may be another than the current one
    return copied.synchronize


@cache
def _pinned() -> PinnedMemory:
    return PinnedMemory()


@cache
def side_lane(device: torch.device) -> SideLane:
    """The second queue of a device: one for all its worlds.

    The allocator keeps what was freed for the queue that used it: a queue of its own for every world would take the
    decoder's gigabytes anew each time.
    """
    return SideLane(device)


class SideLane:
    """A second queue of `device`'s work.

    parallel: whether work there really runs beside the main queue's, so that it pays to queue that before waiting.
    """

    def __init__(self, device: torch.device) -> None:
        self.parallel = device.type == "cuda"
        # Frames are waited for, so they go first. Who records CUDA graphs is never lent a stream of that priority:
        # two queues that run side by side must not share the scratch memory that libraries keep for each stream.
        self._stream = torch.cuda.Stream(device, priority=-1) if self.parallel else None

    @contextmanager
    def behind(self) -> Iterator[None]:
        """What is queued inside begins when all that was queued before has ended, and runs beside what is queued later.

        Tensors made inside may be used outside only after the host has waited for them (`fetch`).
        """
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            yield


class Stopwatch:
    """Marks moments on `device`: by events in its queue on a GPU, by the wall clock elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._events = device, device.type == "cuda"

    def mark(self) -> Mark:
        """This moment; on a GPU the one at which all work queued so far is done."""
        if not self._events:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))  # not of whichever GPU is the current one
        return event

    def between(self, start: Mark, end: Mark) -> float:
        """Milliseconds from one mark to another, 0.0 if that came before it; on a GPU waits until both are reached."""
        if isinstance(start, float) or isinstance(end, float):
            assert isinstance(start, float) and isinstance(end, float), "both marks are of one stopwatch"
            return max(0.0, (end - start) * 1000)
        start.synchronize()
        end.synchronize()
        return max(0.0, float(start.elapsed_time(end)))
