"""How many floating-point operations a block takes: the networks are run on no data and their products are counted.

Counted are matrix products, convolutions and attention, at two operations per multiply-add; element-wise work is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engine.config.model import ModelConfig
from engine.cost.trial import Trial
from engine.families import build_networks, readable_kernels


@dataclass(frozen=True)
class BlockFlops:
    """Operations of one block in the steady state: windows full, codec past its first frame.

    Attributes:
        prepare: what a block needs once, its condition with it.
        denoise: all its denoising passes.
        context: the context pass, 0 without one.
        decode: latents to frames.
    """

    prepare: int
    denoise: int
    context: int
    decode: int

    @property
    def passes(self) -> int:
        """Of the transformer's part of a block."""
        return self.prepare + self.denoise + self.context

    @property
    def total(self) -> int:
        return self.passes + self.decode


@torch.inference_mode()
def block_flops(config: ModelConfig) -> BlockFlops:
    """The operations of one block of `config`'s model; needs no weights and next to no memory."""
    networks = build_networks(config, "meta")
    trial = Trial(networks, readable_kernels(networks))
    prepare, inputs = _count(trial.prepare)
    denoise, latents = _count(lambda: list(trial.denoise(inputs))[-1])
    context, _ = _count(lambda: trial.commit(latents, inputs))
    decode, _ = _count(lambda: trial.decode(latents))
    return BlockFlops(prepare, denoise, context, decode)


def _count(work: Callable[[], Any]) -> tuple[int, Any]:
    # Fused attention kernels are many and not all known to the counter; as plain products they cost the same.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        result = work()
    return int(counter.get_total_flops()), result
