"""Seeded random weights: for tests, and to time a model whose files are not at hand.

How long a network takes depends on its shapes and not on its values, as long as those stay near 1: so they do here.
"""

import torch
from torch import Tensor, nn

from engine.weights.placement import DtypeOf


def seed_weights(
    module: nn.Module, seed: int = 0, device: torch.device | str = "cpu", dtype: torch.dtype | DtypeOf = torch.float32
) -> None:
    """Gives a network, built anywhere, all its weights; one after the other, so that memory holds them once.

    dtype: of all, or of each by its name.
    """
    generator, weights = torch.Generator().manual_seed(seed), {}
    if (stand_in := getattr(module, "stand_in", None)) is not None:  # what no random numbers will do for: places, bytes
        weights = {name: weight.to(device) for name, weight in stand_in(generator).items()}
    for name, weight in module.named_parameters():
        own = dtype if isinstance(dtype, torch.dtype) else dtype(name)
        weights[name] = _draw(name, weight.shape, generator).to(device, own)
    module.load_state_dict(weights, strict=True, assign=True)
    module.requires_grad_(False)


def _draw(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Values of the size that keeps activations near 1; gains are near 1 themselves."""
    fan_in = shape[1:].numel() if len(shape) > 1 and "modulation" not in name else shape[-1:].numel()
    value = torch.randn(shape, generator=generator) / fan_in**0.5
    gain = (len(shape) == 1 and not name.endswith("bias")) or name.endswith("gamma")
    return 1 + 0.1 * value if gain else value
