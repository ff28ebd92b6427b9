"""Linear layers of fewer bits: weights and activations in 8, each row with a scale of its own.

A row of weights is scaled once, when it is loaded; a token's activations whenever they come. The product is that of
8-bit numbers; sums are kept in 32. Every device computes the same: what a GPU has an instruction for, a CPU does in
plain numbers.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.weights.placement import Bits

DTYPES: dict[Bits, torch.dtype] = {"fp8": torch.float8_e4m3fn, "int8": torch.int8}
_LARGEST: dict[Bits, float] = {"fp8": 448.0, "int8": 127.0}
_FEWEST_ROWS = 17  # of CUDA's product of 8-bit whole numbers


class QuantisedLinear(nn.Module):
    """x -> x @ weight.T + bias, in 8 bits.

    Args:
        weight: (outputs, inputs) in the dtype of its kind.
        scale: (outputs,) float32, what each row is to be multiplied by.
        bias: (outputs,) or None.
        bits: "fp8" or "int8".
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None, bits: Bits) -> None:
        super().__init__()
        self.bits: Bits = bits
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    @classmethod
    def of(cls, linear: nn.Linear, bits: Bits) -> "QuantisedLinear":
        """The same layer in fewer bits."""
        weight, scale = quantised(linear.weight.detach(), bits)
        bias = None if linear.bias is None else linear.bias.detach()
        return cls(weight, scale[:, 0], bias, bits)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs) -> (..., outputs), in x's dtype."""
        rows = x.flatten(0, -2)
        values, scale = quantised(rows, self.bits)
        product = (_fp8_product if self.bits == "fp8" else _int8_product)(values, scale, self.weight, self.scale)
        product = product.to(x.dtype) if self.bias is None else (product + self.bias).to(x.dtype)
        return product.view(*x.shape[:-1], -1)


def quantised(rows: Tensor, bits: Bits) -> tuple[Tensor, Tensor]:
    """rows (n, k) -> the same in 8 bits, and each row's scale (n, 1) float32; values = rows / scale."""
    largest = rows.abs().amax(-1, keepdim=True).float()
    scale = (largest / _LARGEST[bits]).clamp(min=1e-12)
    values = rows.float() / scale
    if bits == "int8":
        values = values.round()
    return values.clamp(-_LARGEST[bits], _LARGEST[bits]).to(DTYPES[bits]), scale


def _int8_product(x: Tensor, x_scale: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    count = len(x)
    if x.device.type == "cuda" and count < _FEWEST_ROWS:
        x = F.pad(x, (0, 0, 0, _FEWEST_ROWS - count))
    return torch._int_mm(x, weight.t())[:count].float() * x_scale * scale


def _fp8_product(x: Tensor, x_scale: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    if x.device.type == "cpu":
        return (x.float() @ weight.float().t()) * x_scale * scale
    return torch._scaled_mm(x, weight.t(), scale_a=x_scale, scale_b=scale[None], out_dtype=torch.bfloat16)


def merged(layers: Sequence[QuantisedLinear]) -> QuantisedLinear:
    """Layers of the same inputs as one, whose outputs follow one another; its rows are theirs, held once."""
    weight, scale = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "scale"))
    biases = [layer.bias for layer in layers if layer.bias is not None]
    start = 0
    for layer in layers:
        rows = slice(start, start + len(layer.scale))
        layer.weight, layer.scale, start = weight[rows], scale[rows], rows.stop
    return QuantisedLinear(weight, scale, torch.cat(biases) if biases else None, layers[0].bits)


def quantise(module: nn.Module, names: Iterable[str], bits: Bits) -> None:
    """Puts quantised layers in the place of those linear layers of `module` that are named, one after the other."""
    for name in names:
        owner, _, leaf = name.rpartition(".")
        parent = module.get_submodule(owner)
        linear = parent.get_submodule(leaf)
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"{name} is no linear layer")
        setattr(parent, leaf, QuantisedLinear.of(linear, bits))
