"""How many floating-point operations a block takes: the networks are run on no data and their products are counted.

Counted are matrix products, convolutions and attention, at two operations per multiply-add; element-wise work is not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engine.actions import Actions, action_space
from engine.config.model import ModelConfig
from engine.nets.networks import Networks, build_networks
from engine.rollout.action_windows import ActionHistory
from engine.rollout.condition import new_condition


@dataclass(frozen=True)
class BlockFlops:
    """Operations of one block in the steady state: windows full, codec past its first frame.

    Attributes:
        denoise: preparing the block and all its denoising passes.
        context: the context pass, 0 without one.
        decode: latents to frames.
        condition: encoding the frame before, for the condition "memory", and mixing it; 0 for "first_frame",
            whose encoding ends after some blocks.
    """

    denoise: int
    context: int
    decode: int
    condition: int

    @property
    def total(self) -> int:
        return self.denoise + self.context + self.decode + self.condition


@torch.inference_mode()
def block_flops(config: ModelConfig) -> BlockFlops:
    """The operations of one block of `config`'s model; needs no weights and next to no memory."""
    networks = build_networks(config, "meta")
    prepare, one_pass = _transformer_flops(networks)
    return BlockFlops(
        denoise=prepare + len(config.denoising_steps) * one_pass,
        context=0 if config.context_noise is None else one_pass,
        decode=_decode_flops(networks),
        condition=_condition_flops(networks),
    )


def _transformer_flops(networks: Networks) -> tuple[int, int]:
    """Of preparing a block, and of one pass."""
    config, net = networks.config, networks.transformer
    caches = net.new_caches(config.window, config.sink)
    visual = config.transformer.visual_context
    context = None if visual is None else torch.empty(1, visual.tokens, visual.channels, device="meta")
    passes = len(config.denoising_steps) + (config.context_noise is not None)
    rollout = net.prepare_rollout(torch.zeros(passes, device="meta"), config.latent_size, context)
    history = ActionHistory(config.transformer.actions, config.time_ratio)
    noisy = torch.empty(1, config.block_latents, config.transformer.in_channels, *config.latent_size, device="meta")
    full = False
    while not full:
        full = caches.ring.filled == caches.ring.capacity  # then this block is the first to push frames out
        windows = history.extend(_idle(config, 1 if caches.position else 0)).to(networks.device, networks.dtype)
        prepare, block = _count(lambda w=windows: net.prepare_block(rollout, w, config.block_latents, caches))
        one_pass, _ = _count(lambda b=block: net(noisy, b, 0, caches))
    return prepare, one_pass


def _decode_flops(networks: Networks) -> int:
    config, decoder = networks.config, networks.decoder_stream()
    latents = torch.empty(1, config.block_latents, config.codec.latent_channels, *config.latent_size, device="meta")
    decoder.decode(latents)  # the very first latents are cheaper than all others
    return _count(lambda: decoder.decode(latents))[0]


def _condition_flops(networks: Networks) -> int:
    config = networks.config
    if config.condition == "first_frame":
        return 0
    condition = new_condition(networks, torch.empty(1, 1, 3, config.height, config.width, device="meta"))
    look, _ = _count(lambda: condition.for_block(0, config.block_latents, _idle(config, 0)))
    if config.prediction != "mix":
        return look
    weights = torch.empty(1, config.block_latents, config.views, *config.latent_size, device="meta")
    mix, _ = _count(lambda: condition.mix(weights))
    return look + len(config.denoising_steps) * mix


def _idle(config: ModelConfig, block: int) -> Actions:
    return Actions.stack([action_space(config.mode).idle()] * config.frames_of_block(block))


def _count(work: Callable[[], Any]) -> tuple[int, Any]:
    # Fused attention kernels are many and not all known to the counter; as plain products they cost the same.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        result = work()
    return counter.get_total_flops(), result
