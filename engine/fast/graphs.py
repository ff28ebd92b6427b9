"""Programs recorded as CUDA graphs: a pass of a thousand kernels is then one call from the host.

A graph reads and writes fixed addresses. What a program is given in tuples (caches, a stream's memory) already lies at
one address throughout a rollout; single tensors are copied to where the graph reads them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""Records some work: how to have it done, and where its result then lies."""


class CudaGraphs:
    """Records work on a stream of its own: graphs that are replayed side by side must not share the scratch memory that
    libraries keep for each stream they are recorded on."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Records `work` without doing it; everything it needs must be loaded, so it has been done once elsewhere."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on using the GPU meanwhile.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            output = work()
        return graph.replay, output


class GraphProgram:
    """A program that is recorded at its first call and replayed from then on; anew for each rollout's own tensors.

    Not for two rollouts in turns: each change records again.
    """

    def __init__(self, program: Callable[..., Tensor], record: Record) -> None:
        self._program, self._record = program, record
        self._places: tuple[int, ...] | None = None
        self._inputs: list[Tensor] = []
        self._replay: Callable[[], None] = lambda: None
        self._output: Tensor | None = None

    def __call__(self, network: Any, *args: Any) -> Tensor:
        """As the program; what comes back is a copy, since the next call writes over the graph's own."""
        singles, held = _split(args)
        places = tuple(tensor.data_ptr() for tensor in held)
        if places != self._places:
            # The old graph's memory first, then that of the new recording; it is the graph that holds it.
            self._places, self._replay, self._output = None, lambda: None, None
            self._inputs = [tensor.clone() for tensor in singles]
            given = _with_singles(args, iter(self._inputs))
            self._replay, self._output = self._record(lambda: self._program(network, *given))
            self._places = places
        for mine, tensor in zip(self._inputs, singles, strict=True):
            mine.copy_(tensor)
        self._replay()
        assert self._output is not None
        return self._output.clone()


def _split(args: Sequence[Any]) -> tuple[list[Tensor], list[Tensor]]:
    """The single tensors among arguments and the fields of named tuples; and those that lie in plain tuples."""
    singles: list[Tensor] = []
    held: list[Tensor] = []
    for value in args:
        if isinstance(value, Tensor):
            singles.append(value)
        elif hasattr(value, "_fields"):
            inner = _split(value)
            singles, held = singles + inner[0], held + inner[1]
        elif isinstance(value, tuple):
            held += value
    return singles, held


def _with_singles(args: Sequence[Any], singles: Any) -> list[Any]:
    """The same arguments with other single tensors."""
    made = []
    for value in args:
        if isinstance(value, Tensor):
            value = next(singles)
        elif hasattr(value, "_fields"):
            value = type(value)(*_with_singles(value, singles))
        made.append(value)
    return made
