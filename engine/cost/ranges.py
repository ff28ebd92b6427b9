"""How large numbers grow inside a transformer: float16 ends at 65504, and a card without bfloat16 computes in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

FLOAT16_MOST = 65504.0


@torch.inference_mode()
def largest_values(transformer: nn.Module, work: Callable[[], object]) -> list[float]:
    """Largest absolute value that comes out of each layer, in order, while `work` is done; inf or nan: it overflowed.

    transformer: the readable one, whose first list of modules are its layers. work: runs it, by the readable kernels.
    """
    layers = next(module for module in transformer.modules() if isinstance(module, nn.ModuleList))
    largest = [torch.zeros(()) for _ in layers]

    def note(index: int) -> Callable[[nn.Module, Any, Any], None]:
        def noted(module: nn.Module, given: Any, made: Any) -> None:
            x: Tensor = made[0] if isinstance(made, tuple) else made
            newest = x.detach().abs().amax().float()
            largest[index] = torch.maximum(largest[index].to(newest.device), newest)

        return noted

    with ExitStack() as hooks:
        for index, layer in enumerate(layers):
            handle = layer.register_forward_hook(note(index))
            hooks.callback(handle.remove)
        work()
    return [float(value) for value in largest]
