"""Weights of several layers in one piece of memory, without a second copy of any."""

from collections.abc import Sequence

import torch
from torch import nn

from engine.nets.quantised import QuantisedLinear, merged


def one_storage(layers: Sequence[nn.Module], name: str) -> nn.Parameter:
    """The layers' weights `name`, one after the other along the first axis, as one parameter.

    From then on the layers' own are parts of it, so that memory holds everything once and both stay the same.
    """
    weights = [getattr(layer, name) for layer in layers]
    merged = nn.Parameter(torch.cat([weight.detach() for weight in weights]), requires_grad=False)
    for layer, part in zip(layers, merged.detach().split([len(weight) for weight in weights]), strict=True):
        setattr(layer, name, nn.Parameter(part, requires_grad=False))
    return merged


def merged_linear(layers: Sequence[nn.Module]) -> nn.Module:
    """Linear layers of the same inputs as one, whose outputs follow one another; in memory once, as `one_storage`."""
    quantised = [layer for layer in layers if isinstance(layer, QuantisedLinear)]
    if quantised:
        return merged(quantised)
    weight = one_storage(layers, "weight")
    bias = None if layers[0].bias is None else one_storage(layers, "bias")
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    made.weight, made.bias = weight, bias
    return made


def stacked(layers: Sequence[nn.Module], name: str) -> nn.Parameter:
    """As `one_storage`, along a new first axis, of weights of one shape."""
    shape = getattr(layers[0], name).shape
    return nn.Parameter(one_storage(layers, name).detach().view(len(layers), *shape), requires_grad=False)
