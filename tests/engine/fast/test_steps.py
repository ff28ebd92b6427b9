"""Every single step away from the readable model computes the same."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.fast.decoder import FastFrameAttention, FrameWiseConv, Norm, TimedConv
from engine.fast.layers import FastSelfAttention, LayerTensors, rotate_front
from engine.fast.transformer import ActionWeights, FastTransformer
from engine.nets.action_windows import ActionHistory
from engine.nets.caches import FrameRing, RingCache
from engine.nets.rope import Rotation, time_rotation
from engine.nets.vae import CausalConv, ChannelNorm, FrameAttention, FrameConv, StreamMemory, number_slots
from engine.weights.seeded import seed_weights
from tests.engine.test_transformer import transformer
from tests.engine.tiny import big_config, random_actions

CLOSE = {"atol": 2e-5, "rtol": 1e-4}
CONFIG = big_config()


@pytest.fixture
def net():
    return transformer(CONFIG)


def windows():
    config = CONFIG
    return ActionHistory(config.transformer.actions, config.time_ratio).extend(random_actions(config, 9))


def turns(frames: int, dims: int) -> Rotation:
    return time_rotation(5, frames, dims, 256.0, torch.device("cpu"))


@torch.no_grad()
def test_one_product_for_queries_keys_and_values(net, generator):
    frames, tokens, (width, heads) = 3, 8, (48, 2)
    source, x = net.blocks[0].self_attn, torch.randn(3, 8, 48, generator=generator)
    table = time_rotation(0, frames * tokens, width // heads, 100.0, torch.device("cpu"))
    cos, sin = (part.view(frames, tokens, -1) for part in (table.cos, table.sin))
    ring = FrameRing(frames)
    ring.begin(frames)
    expected = source(x[None], Rotation(cos, sin), RingCache(ring))[0]
    keys, values = (torch.zeros(frames, tokens, heads, width // heads) for _ in range(2))
    given = dict.fromkeys(LayerTensors._fields) | {
        "cos": cos[:, :, None], "sin": sin[:, :, None], "slots": torch.tensor([2, 0, 1]), "keys": keys, "values": values
    }  # fmt: skip
    torch.testing.assert_close(FastSelfAttention(source)(x, LayerTensors(**given), None), expected, **CLOSE)


@torch.no_grad()
def test_modulation_is_the_weight_and_bias_of_the_norm_before_it(net, generator):
    layer = FastTransformer(net, CONFIG.latent_size).network.blocks[0]
    x, scale, shift = (torch.randn(shape, generator=generator) for shape in ((3, 8, 48), (48,), (48,)))
    torch.testing.assert_close(layer._norm(x, scale, shift), net.blocks[0].norm1(x) * scale + shift, **CLOSE)


@torch.no_grad()
def test_modulations_are_tables_of_the_rollout(net):
    config = CONFIG
    fast = FastTransformer(net, config.latent_size)
    timesteps, context = torch.tensor([900.0, 0.0]), torch.ones(1, 5, 24)
    ours = fast.prepare_rollout(timesteps, config.latent_size, context).modulations
    theirs = net.prepare_rollout(timesteps, config.latent_size, context).modulations
    for (table, head), modulation in zip(ours, theirs, strict=True):
        for layer in range(config.transformer.layers):
            six = torch.cat((modulation.attention[:, layer], modulation.ffn[:, layer])).flatten(1)
            assert torch.equal(table[:, layer], six)
        assert torch.equal(head, modulation.head.flatten(1))


@torch.no_grad()
def test_positions_are_read_from_a_table_that_equals_them(net):
    fast = FastTransformer(net, CONFIG.latent_size)
    rollout = fast.prepare_rollout(torch.zeros(1), CONFIG.latent_size, torch.ones(1, 5, 24))
    for table, made in ((rollout.times, fast._time_rotation(190, 3)), (rollout.turns, fast._action_rotation(190, 3))):
        assert torch.equal(table.cos[190:193], made.cos) and torch.equal(table.sin[190:193], made.sin)


@torch.no_grad()
def test_keyboard_keys_and_values_of_all_layers_are_one_product(generator):
    import dataclasses

    actions = dataclasses.replace(CONFIG.transformer.actions, layers=(0, 1))
    net = transformer(big_config(transformer=dataclasses.replace(CONFIG.transformer, actions=actions)))
    given, ring = windows(), FrameRing(3)
    ring.begin(3)
    still = Rotation(torch.ones(3, 1, 4), torch.zeros(3, 1, 4))
    expected = [net.blocks[i].action_model.prepare(given, still, RingCache(ring)) for i in (0, 1)]
    weights = ActionWeights(net)
    keys, values = weights.keyboard(given)
    share = weights.mouse_share(given)
    for i, prepared in enumerate(expected):
        torch.testing.assert_close(keys[:, i].transpose(0, 1)[None], prepared.keyboard.keys, **CLOSE)
        torch.testing.assert_close(values[:, i].transpose(0, 1)[None], prepared.keyboard.values, **CLOSE)
        torch.testing.assert_close(share[i][None], prepared.mouse, **CLOSE)


def test_turning_the_front_of_a_head_in_place_turns_nothing_else(generator):
    x, table = torch.randn(3, 5, 2, 16, generator=generator), turns(3, 4)
    cos, sin = table.cos[:, None, None], table.sin[:, None, None]
    expected = Rotation(cos, sin).apply(x)
    assert torch.equal(rotate_front(x.clone(), cos, sin), expected)
    assert torch.equal(expected[..., 4:], x[..., 4:])


def channels_first(x: torch.Tensor) -> torch.Tensor:
    """(T, H, W, C) -> (1, T, C, H, W)."""
    return x.permute(0, 3, 1, 2)[None]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("taps", "space"), [(3, 3), (3, 1)])
@torch.no_grad()
def test_a_convolution_over_time_is_a_sum_of_one_of_all_frames_for_each_tap(taps, space, padded, generator):
    conv = CausalConv(5, 7, taps, space)
    seed_weights(conv)
    memory, parts = StreamMemory(number_slots(nn.ModuleList([conv]))), torch.randn(3, 4, 6, 8, 5, generator=generator)
    expected = [conv(channels_first(x), memory) for x in parts]
    fast, held = TimedConv(conv, 1, padded), (torch.zeros(2, 6, 8, 5),)
    assert fast.weight.shape[1] == (8 if padded else 7)
    for x, whole in zip(parts, expected, strict=True):
        torch.testing.assert_close(channels_first(fast(x, held)), whole, **CLOSE)
    assert torch.equal(channels_first(held[0]), memory.slots[0])


@pytest.mark.parametrize("conv", [CausalConv(5, 7, 1, 1), FrameConv(5, 7, 3, padding=1), FrameConv(5, 7, 1)])
@torch.no_grad()
def test_a_convolution_of_frames_is_channels_last(conv, generator):
    seed_weights(conv)
    x = torch.randn(2, 6, 8, 5, generator=generator)
    expected = conv(channels_first(x), StreamMemory(0)) if isinstance(conv, CausalConv) else conv(channels_first(x))
    torch.testing.assert_close(channels_first(FrameWiseConv(conv)(x)), expected, **CLOSE)


@torch.no_grad()
def test_a_norm_over_channels_is_a_root_mean_square_also_of_nothing(generator):
    norm = ChannelNorm(5)
    seed_weights(norm)
    for x in (torch.randn(2, 4, 4, 5, generator=generator), torch.zeros(1, 2, 2, 5), torch.full((1, 1, 1, 5), 1e-6)):
        torch.testing.assert_close(channels_first(Norm(norm)(x)), norm(channels_first(x)), **CLOSE)


@torch.no_grad()
def test_attention_within_a_frame(generator):
    attention = FrameAttention(6)
    seed_weights(attention)
    x = torch.randn(2, 4, 4, 6, generator=generator)
    expected = attention(channels_first(x), StreamMemory(0))
    torch.testing.assert_close(channels_first(FastFrameAttention(attention)(x, ())), expected, **CLOSE)


@torch.no_grad()
def test_bfloat16_strays_no_further_than_the_readable_model_does(net, generator):
    config = CONFIG
    x = torch.randn(1, 3, 12, *config.latent_size, generator=generator)
    context, outputs = torch.ones(1, 5, 24), {}
    for dtype in (torch.float32, torch.bfloat16):
        net = net.to(dtype)
        for name, made in (("readable", net), ("fast", FastTransformer(net, config.latent_size))):
            rollout = made.prepare_rollout(torch.tensor([900.0]), config.latent_size, context)
            caches = made.new_caches(config.window)
            block = made.prepare_block(rollout, windows().to(torch.device("cpu"), dtype), 3, caches)
            outputs[name, dtype] = made(x, block, 0, caches)
    true = outputs["readable", torch.float32]
    readable, fast = (F.mse_loss(outputs[name, torch.bfloat16], true) for name in ("readable", "fast"))
    assert 0 < fast < 1.5 * readable
