"""Milliseconds between two moments of a device's work, without making it wait."""

import time
from typing import TypeAlias

import torch

Mark: TypeAlias = torch.cuda.Event | float


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
        if isinstance(start, float) and isinstance(end, float):
            return max(0.0, (end - start) * 1000)
        start.synchronize()
        end.synchronize()
        return max(0.0, start.elapsed_time(end))
