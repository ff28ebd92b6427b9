"""The operations of a block are counted exactly."""

import pytest

from engine.config.model import AttentionActionsConfig, CausalConfig
from engine.cost.operations import block_flops
from tests.engine.tiny import big_config, small_config


def one_pass(config: CausalConfig) -> int:
    """A transformer pass by hand: two operations per multiply-add, windows full."""
    net, (rows, columns) = config.transformer, config.token_grid
    space, n = rows * columns, config.block_latents
    tokens, seen, width = n * space, config.window * space, net.width
    patch = net.patch[1] * net.patch[2]
    total = tokens * width * patch * (net.in_channels + net.out_channels)
    total += net.layers * (4 * tokens * width**2 + 2 * tokens * seen * width + 2 * tokens * width * net.ffn)
    if net.visual_context:
        total += net.layers * (2 * tokens * width**2 + 2 * tokens * net.visual_context.tokens * width)
    if isinstance(net.actions, AttentionActionsConfig):
        mouse, keyboard, held = net.actions.mouse_width, net.actions.keyboard_width, config.window
        for_mouse = 2 * width * mouse + 4 * mouse**2 + 2 * held * mouse
        total += len(net.actions.layers) * tokens * (for_mouse + 2 * width * keyboard + 2 * held * keyboard)
    return 2 * total


@pytest.mark.parametrize(
    "config", [big_config(), big_config(window=4), small_config()], ids=lambda c: f"{c.name}-{c.window}"
)
def test_a_pass_counts_what_a_pass_by_hand_counts(config):
    flops = block_flops(config)
    passes = len(config.denoising_steps)
    assert flops.denoise // passes >= one_pass(config)
    assert flops.context == (0 if config.context_noise is None else one_pass(config))
    assert flops.total == flops.prepare + flops.denoise + flops.context + flops.decode


def test_the_patch_codec_counts_by_hand():
    config = small_config()
    pixels, codec = config.width * config.height, config.codec
    flops = block_flops(config)
    assert flops.decode == 2 * pixels * 3 * codec.latent_channels
    mixed = flops.denoise - len(config.denoising_steps) * one_pass(config)
    assert mixed == len(config.denoising_steps) * flops.decode  # the mixture is encoded in every step
    assert flops.prepare > config.views * flops.decode  # and both views before
