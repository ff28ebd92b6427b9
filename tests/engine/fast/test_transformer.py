"""The fast transformer computes what the readable one computes, from the same weights."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from engine.config.model import CausalConfig
from engine.fast.caches import SlotCaches
from engine.fast.layers import attend, attend_over_time
from engine.fast.transformer import FastTransformer, PassPrograms
from engine.fast.weights import one_storage, stacked
from engine.nets.caches import FrameRing
from engine.nets.transformer import Transformer
from tests.engine.test_transformer import clip, transformer
from tests.engine.tiny import big_config

CLOSE = {"atol": 2e-5, "rtol": 1e-4}
NO_MOUSE = dataclasses.replace(big_config().transformer.actions, keyboard_dim=7, mouse_dim=0)
CASES = [
    pytest.param(big_config(), id="window-6"),
    pytest.param(big_config(window=4), id="window-no-multiple-of-the-block"),
    pytest.param(big_config(window=3), id="window-of-one-block"),
    pytest.param(big_config(window=8, sink=1), id="sink-and-three-blocks-to-fill"),
    pytest.param(
        big_config(mode="templerun", transformer=dataclasses.replace(big_config().transformer, actions=NO_MOUSE)),
        id="no-mouse",
    ),
]


def stream(net: Transformer | FastTransformer, config: CausalConfig, blocks: int, rebase: dict[int, int]) -> Tensor:
    """Block after block, two passes each: the first on other latents, to be overwritten."""
    x, context, actions = clip(config, blocks)
    caches = net.new_caches(config.window, config.sink)
    prepared = net.prepare_rollout(torch.tensor([900.0, 300.0]), config.latent_size, context)
    outputs = []
    for index, part in enumerate(x.split(config.block_latents, dim=1)):
        if index in rebase:
            net.rebase(caches, rebase[index])
        block = net.prepare_block(prepared, actions[index], config.block_latents, caches)
        net(part.flip(1) * 2, block, 0, caches)
        outputs.append(net(part, block, 1, caches))
    return torch.cat(outputs, dim=1)


@pytest.mark.parametrize("rebase", [{}, {2: 0, 3: 5000, 5: 7}], ids=["", "rebased"])
@pytest.mark.parametrize("config", CASES)
def test_every_pass_equals_the_readable_one(config, rebase):
    net = transformer(config)
    expected = stream(net, config, 6, {})
    fast = FastTransformer(net, config.latent_size)
    torch.testing.assert_close(stream(fast, config, 6, rebase), expected, **CLOSE)


def test_the_readable_network_is_as_it_was_and_no_weight_is_held_twice():
    config = big_config()
    net = transformer(config)
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    fast = FastTransformer(net, config.latent_size)
    after = net.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    own = {weight.untyped_storage().data_ptr(): weight.untyped_storage().nbytes() for weight in after.values()}
    held = [*fast.network.parameters(), *fast.actions.parameters()]
    more = {weight.untyped_storage().data_ptr(): weight.untyped_storage().nbytes() for weight in held}
    extra = {place: size for place, size in more.items() if place not in own}
    # Only the mouse's half of the MLPs' first layers, by which those are read in two pieces.
    assert list(extra.values()) == [fast.actions.mouse.untyped_storage().nbytes()]


def test_merged_weights_are_parts_of_one_memory():
    layers = [torch.nn.Linear(3, 2), torch.nn.Linear(3, 4)]
    whole = torch.cat([layer.weight for layer in layers]).detach()
    merged = one_storage(layers, "weight")
    assert torch.equal(merged, whole)
    layers[1].weight[0] = 7.0
    assert torch.equal(merged[2], torch.full((3,), 7.0))
    same = [torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)]
    assert torch.equal(stacked(same, "weight")[1], same[1].weight)


@pytest.mark.parametrize("attention", [attend, attend_over_time])
def test_a_hidden_slot_is_not_attended_to(attention: Callable, generator):
    q, keys, values = (torch.randn(n, 5, 2, 8, generator=generator) for n in (2, 4, 4))
    torch.testing.assert_close(attention(q, keys, values, 3), attention(q, keys[:3], values[:3], None))
    assert not torch.allclose(attention(q, keys, values, 3), attention(q, keys, values, None))


@pytest.mark.parametrize(("capacity", "sink", "block"), [(6, 0, 3), (4, 0, 3), (8, 1, 3), (5, 2, 2), (4, 0, 4)])
def test_slots_are_those_of_the_ring(capacity, sink, block):
    ring, twin = FrameRing(capacity, sink), FrameRing(capacity, sink)
    caches = SlotCaches(ring, (), (), _one_cache(capacity))
    for number in range(12):
        assert caches.begin_block(block) == number * block
        twin.begin(block)
        expected = [span.slot + i for span in twin.spans for i in range(span.length)]
        assert caches.slots().tolist() == expected
        assert caches.held() == (None if twin.filled == capacity else twin.filled)


def _one_cache(capacity: int):
    from engine.fast.caches import SlotCache

    return SlotCache(torch.zeros(capacity, 1, 1, 2), torch.zeros(capacity, 1, 1, 2))


def test_a_pass_is_one_of_two_programs_the_second_only_while_the_window_fills():
    config = big_config(window=8, sink=1)
    fast, called = FastTransformer(transformer(config), config.latent_size), []
    plain = fast.programs

    def note(name: str) -> Callable:
        def program(*args):
            called.append(name)
            return getattr(plain, name)(*args)

        return program

    stream(fast.with_programs(PassPrograms(note("steady"), note("filling"))), config, 5, {})
    assert called == ["filling"] * 4 + ["steady"] * 6


class NoMask(TorchFunctionMode):
    """Counts attentions, and those that are given a mask: these cannot be computed by the quickest kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.attentions = self.masked = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.attentions += 1
            self.masked += len(args) > 3 or (kwargs or {}).get("attn_mask") is not None
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("config", CASES)
def test_no_attention_is_masked_while_the_window_fills_nor_later(config):
    fast = FastTransformer(transformer(config), config.latent_size)
    with NoMask() as seen:
        stream(fast, config, 4, {})
    assert seen.attentions and not seen.masked
