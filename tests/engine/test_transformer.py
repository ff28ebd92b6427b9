"""The transformer with caches computes what it would compute without any, and trains as it plays."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from engine.config.model import CausalConfig
from engine.nets.action_windows import ActionHistory, ActionWindows
from engine.nets.caches import Caches, FrameRing
from engine.nets.transformer import Transformer
from engine.weights.seeded import seed_weights
from tests.engine.tiny import big_config, random_actions, small_config


class WholeClip:
    """A cache that is none: the keys of a whole clip, seen through a mask of (query frame, key frame)."""

    def __init__(self) -> None:
        self.keys = self.values = None

    def begin(self) -> None:
        pass

    def write(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return keys, values


def visible(frames: int, block: int, window: int, sink: int) -> Tensor:
    """Which frames each frame may see, by definition: its whole block, and what the window still held."""
    mask = torch.zeros(frames, frames, dtype=torch.bool)
    for query in range(frames):
        end = (query // block + 1) * block
        mask[query, max(0, end - (window - sink)) : end] = True
        mask[query, : min(sink, end)] = True
    return mask


def transformer(config: CausalConfig) -> Transformer:
    net = Transformer(config.transformer, config.time_ratio)
    seed_weights(net)
    return net.requires_grad_(False)


def clip(config: CausalConfig, blocks: int, batch: int = 1) -> tuple[Tensor, Tensor | None, list[ActionWindows]]:
    """Random network inputs of `blocks` blocks: latents with condition, visual context, actions."""
    generator = torch.Generator().manual_seed(1)
    frames, channels = blocks * config.block_latents, config.transformer.in_channels
    x = torch.randn(batch, frames, channels, *config.latent_size, generator=generator)
    visual = config.transformer.visual_context
    context = None
    if visual is not None:
        context = torch.randn(batch, visual.tokens, visual.channels, generator=generator)
    history = ActionHistory(config.transformer.actions, config.time_ratio)
    actions = [history.extend(random_actions(config, config.frames_of_block(i), i)) for i in range(blocks)]
    return x, context, [repeated(windows, batch) for windows in actions]


def repeated(windows: ActionWindows, batch: int) -> ActionWindows:
    """The same actions for a whole batch."""

    def repeat(values: Tensor | None) -> Tensor | None:
        return None if values is None else values.expand(batch, -1, -1, -1)

    return ActionWindows(repeat(windows.keyboard), repeat(windows.mouse))


def stream(net: Transformer, config: CausalConfig, blocks: int, caches: Caches, batch: int = 1, rebase=()) -> Tensor:
    """Block after block through the caches, two passes each: the first on other latents, to be overwritten."""
    x, context, actions = clip(config, blocks, batch)
    prepared = net.prepare_rollout(torch.tensor([900.0, 300.0]), config.latent_size, context)
    outputs = []
    for index, part in enumerate(x.split(config.block_latents, dim=1)):
        if index in rebase:
            net.rebase(caches, rebase[index])
        block = net.prepare_block(prepared, actions[index], config.block_latents, caches)
        net(part.flip(1) * 2, block, 0, caches)
        outputs.append(net(part, block, 1, caches))
    return torch.cat(outputs, dim=1)


def at_once(net: Transformer, config: CausalConfig, blocks: int, monkeypatch) -> Tensor:
    """The whole clip in one pass without caches, attention masked to what each block may see."""
    x, context, actions = clip(config, blocks)
    frames = x.shape[1]
    mask = visible(frames, config.block_latents, config.window, config.sink)
    plain = F.scaled_dot_product_attention

    def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if k.shape[2] % frames:
            return plain(q, k, v)  # cross attention sees the whole context
        seen = mask.repeat_interleave(q.shape[2] // frames, 0).repeat_interleave(k.shape[2] // frames, 1)
        return plain(q, k, v, attn_mask=seen)

    monkeypatch.setattr(F, "scaled_dot_product_attention", masked)
    caches = net.new_caches(frames)
    caches = Caches(FrameRing(frames), *(_whole(part) for part in (caches.attention, caches.mouse, caches.keyboard)))
    mouse = None if actions[0].mouse is None else torch.cat([a.mouse for a in actions], 1)
    together = ActionWindows(torch.cat([a.keyboard for a in actions], 1), mouse)
    prepared = net.prepare_rollout(torch.tensor([300.0]), config.latent_size, context)
    return net(x, net.prepare_block(prepared, together, frames, caches), 0, caches)


def _whole(caches):
    return {k: WholeClip() for k in caches} if isinstance(caches, dict) else tuple(WholeClip() for _ in caches)


CASES = [
    pytest.param(big_config(), id="window-6-block-3"),
    pytest.param(big_config(window=4), id="window-4-block-3"),
    pytest.param(big_config(window=7, sink=2), id="window-7-sink-2-block-3"),
    pytest.param(small_config(), id="one-frame-blocks"),
    pytest.param(small_config(sink=1), id="one-frame-blocks-sink-1"),
]


@pytest.mark.parametrize("config", CASES)
def test_cached_equals_uncached_block_causal_attention(config, monkeypatch):
    net = transformer(config)
    cached = stream(net, config, 6, net.new_caches(config.window, config.sink))
    torch.testing.assert_close(cached, at_once(net, config, 6, monkeypatch), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("config", CASES)
def test_rebased_equals_not_rebased(config):
    net = transformer(config)
    plain = stream(net, config, 6, net.new_caches(config.window, config.sink))
    moved = stream(net, config, 6, net.new_caches(config.window, config.sink), rebase={2: 0, 3: 1000, 5: -7})
    torch.testing.assert_close(moved, plain, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("config", CASES)
def test_training_unrolled_computes_what_playing_computes(config):
    net = transformer(config)
    played = stream(net, config, 6, net.new_caches(config.window, config.sink), batch=2)
    net.requires_grad_(True)
    trained = stream(net, config, 6, net.new_caches(config.window, config.sink, differentiable=True), batch=2)
    torch.testing.assert_close(trained.detach(), played, atol=2e-5, rtol=1e-4)
    trained[:, -1].square().mean().backward()
    unused = {name for name, weight in net.named_parameters() if weight.grad is None}
    assert all("attn_q_norm" in name or "attn_k_norm" in name for name in unused)


def test_the_gradient_of_a_late_frame_reaches_the_keys_of_an_early_one():
    config = small_config()
    net = transformer(config)
    x, _, actions = clip(config, 2)
    x.requires_grad_(True)
    caches = net.new_caches(config.window, differentiable=True)
    prepared = net.prepare_rollout(torch.tensor([300.0]), config.latent_size)
    for index, part in enumerate(x.split(1, dim=1)):
        output = net(part, net.prepare_block(prepared, actions[index], 1, caches), 0, caches)
    output.sum().backward()
    assert x.grad[:, 0].abs().max() > 0


def test_a_batch_computes_each_of_its_clips():
    config = big_config()
    net = transformer(config)
    both = stream(net, config, 3, net.new_caches(config.window), batch=2)
    x, context, actions = clip(config, 3, batch=2)
    prepared = net.prepare_rollout(torch.tensor([900.0, 300.0]), config.latent_size, context[1:])
    caches = net.new_caches(config.window)
    for index, part in enumerate(x[1:].split(config.block_latents, dim=1)):
        block = net.prepare_block(prepared, repeated_first(actions[index]), config.block_latents, caches)
        alone = net(part, block, 1, caches)
    torch.testing.assert_close(both[1:, -config.block_latents :], alone, atol=2e-5, rtol=1e-4)


def repeated_first(windows: ActionWindows) -> ActionWindows:
    """The first of a batch."""
    return ActionWindows(windows.keyboard[:1], None if windows.mouse is None else windows.mouse[:1])


def test_each_clip_of_a_batch_may_be_at_its_own_timestep():
    config = small_config()
    net = transformer(config)
    x, _, actions = clip(config, 1, batch=2)
    outputs = {}
    for name, steps in (("both", [[900.0, 300.0]]), ("first", [[900.0]]), ("second", [[300.0]])):
        part = {"both": slice(0, 2), "first": slice(0, 1), "second": slice(1, 2)}[name]
        caches = net.new_caches(config.window)
        prepared = net.prepare_rollout(torch.tensor(steps), config.latent_size)
        outputs[name] = net(x[part], net.prepare_block(prepared, repeated_first(actions[0]), 1, caches), 0, caches)
    torch.testing.assert_close(outputs["both"], torch.cat((outputs["first"], outputs["second"])))


@pytest.mark.parametrize("config", [big_config(), small_config()], ids=lambda config: config.name)
def test_actions_change_what_comes_out(config):
    net = transformer(config)
    plain = stream(net, config, 2, net.new_caches(config.window))
    x, context, actions = clip(config, 2)
    prepared = net.prepare_rollout(torch.tensor([900.0, 300.0]), config.latent_size, context)
    for field in ("keyboard", "mouse"):
        caches = net.new_caches(config.window)
        for index, part in enumerate(x.split(config.block_latents, dim=1)):
            other = dataclasses.replace(actions[index], **{field: getattr(actions[index], field) + 0.1})
            block = net.prepare_block(prepared, other, config.block_latents, caches)
            net(part.flip(1) * 2, block, 0, caches)
            output = net(part, block, 1, caches)
        assert (output - plain[:, -config.block_latents :]).abs().max() > 1e-4


@pytest.mark.parametrize("config", [big_config(), small_config()], ids=lambda config: config.name)
def test_a_block_never_waits_for_the_device(config):
    # Fake tensors have no values: .item(), nonzero and copies to the host raise.
    x, context, actions = clip(config, 4)
    with FakeTensorMode(allow_non_fake_inputs=False) as mode, torch.inference_mode():
        net = Transformer(config.transformer, config.time_ratio)
        fake = [
            ActionWindows(*(v if v is None else mode.from_tensor(v) for v in (a.keyboard, a.mouse))) for a in actions
        ]
        prepared = net.prepare_rollout(
            torch.zeros(2), config.latent_size, None if context is None else mode.from_tensor(context)
        )
        caches = net.new_caches(config.window)
        for index, part in enumerate(mode.from_tensor(x).split(config.block_latents, dim=1)):
            block = net.prepare_block(prepared, fake[index], config.block_latents, caches)
            for step in range(2):
                output = net(part, block, step, caches)
            net.rebase(caches, 0)
    assert output.shape[2] == config.transformer.out_channels
