"""Milliseconds between two moments of a device's work, without making it wait."""

import time

import torch


class Stopwatch:
    """Marks moments on `device`: by events in its queue on a GPU, by the wall clock elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._events = device.type == "cuda"

    def mark(self) -> "torch.cuda.Event | float":
        """This moment; on a GPU the one at which all work queued so far is done."""
        if not self._events:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, start: "torch.cuda.Event | float", end: "torch.cuda.Event | float") -> float:
        """Milliseconds from one mark to a later one; on a GPU waits until the later one is reached."""
        if isinstance(start, float) and isinstance(end, float):
            return (end - start) * 1000
        end.synchronize()
        return start.elapsed_time(end)
