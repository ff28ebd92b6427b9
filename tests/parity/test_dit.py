"""The transformer, its caches and its noise schedule compute what the original program computed."""

from collections.abc import Callable
from itertools import chain

import pytest
import torch
from einops import rearrange
from torch import Tensor

from engine.actions import Actions
from engine.config.model import AttentionActionsConfig, TransformerConfig, VisualContextConfig
from engine.fast.transformer import FastTransformer
from engine.nets.action_windows import ActionHistory
from engine.nets.transformer import Transformer
from engine.rollout.sampler import Sampler, from_velocity, noise_schedule
from tests.parity.common import (
    TOLERANCE,
    Fixture,
    cases,
    fill_with_seed,
    fixture_files,
    fixture_id,
    load_fixture,
    relative_error,
)

FILES = fixture_files("dit_")


def transformer_config(fixture: Fixture) -> TransformerConfig:
    """The original's config, as the fixture stores it, in our words."""
    c = fixture.json("config")
    a = c["action_config"]
    actions = AttentionActionsConfig(
        layers=tuple(a["blocks"]),
        keyboard_dim=a["keyboard_dim_in"],
        mouse_dim=a["mouse_dim_in"] if a["enable_mouse"] else 0,
        keyboard_embed=a["hidden_size"],
        keyboard_width=a["keyboard_hidden_dim"],
        mouse_width=a.get("mouse_hidden_dim", 0),
        heads=a["heads_num"],
        windows=a["windows_size"],
        rope_dims=tuple(a["rope_dim_list"]),
        rope_theta=a["rope_theta"],
    )
    tokens, channels = fixture.tensors["visual_context"].shape[1:]
    return TransformerConfig(
        in_channels=c["in_dim"],
        out_channels=c["out_dim"],
        width=c["dim"],
        layers=c["num_layers"],
        heads=c["num_heads"],
        ffn=c["ffn_dim"],
        patch=tuple(a["patch_size"]),
        time_dim=c["freq_dim"],
        eps=c["eps"],
        visual_context=VisualContextConfig(tokens, channels),
        actions=actions,
    )


def block_actions(fixture: Fixture, first: int, frames: int) -> Actions:
    """The fixture's actions of `frames` video frames from `first` on."""
    keyboard, mouse = fixture.tensors["keyboard"], fixture.tensors.get("mouse")
    part = slice(first, first + frames)
    return Actions(
        keyboard[0, part].numpy(), None if mouse is None else mouse[0, part].numpy(), tuple(() for _ in range(frames))
    )


@torch.inference_mode()
def roll_out(
    fixture: Fixture, fast: bool = False, change: Callable[[Transformer], object] | None = None
) -> dict[str, Tensor]:
    """The fixture's rollout with our engine: its outputs by the fixture's names. change: to the readable network."""
    t, c = fixture.tensors, fixture.json("config")
    ratio, n = c["action_config"]["vae_time_compression_ratio"], fixture.json("num_frame_per_block")
    config = transformer_config(fixture)
    schedule = noise_schedule(
        tuple(fixture.json("denoising_step_list")), float(fixture.json("timestep_shift")), fixture.json("context_noise")
    )
    with torch.device("meta"):
        net = Transformer(config, ratio)
    fill_with_seed(net, fixture.seed, "model.")
    if change is not None:
        change(net)
    if fast:
        net = FastTransformer(net, tuple(t["noise"].shape[-2:]))
    sampler = Sampler(net, schedule, from_velocity)
    caches, history = net.new_caches(c["local_attn_size"], c["sink_size"]), ActionHistory(config.actions, ratio)
    prepared = net.prepare_rollout(torch.tensor(schedule.timesteps), t["noise"].shape[-2:], t["visual_context"])
    condition = rearrange(torch.cat((t["mask"], t["image_latents"]), dim=1), "b c t h w -> b t c h w")
    noise, renoise = rearrange(t["noise"], "b c t h w -> b t c h w"), iter(t["renoise"])
    blocks, cleans, seen = [], [], 0
    for index in range(fixture.json("blocks")):
        part = slice(index * n, (index + 1) * n)
        frames = n * ratio - (ratio - 1 if index == 0 else 0)
        windows = history.extend(block_actions(fixture, seen, frames))
        seen += frames
        block = net.prepare_block(prepared, windows, n, caches)
        draws = chain([noise[:, part]], (fresh[None] for fresh in renoise))
        steps = list(sampler.denoise(condition[:, part], block, caches, lambda draws=draws: next(draws)))
        cleans += [*steps, sampler.commit(steps[-1], condition[:, part], block, caches)]
        blocks.append(steps[-1])
    return {
        "latents": rearrange(torch.cat(blocks, dim=1), "b t c h w -> b c t h w"),
        "first_step_x0": rearrange(cleans[0], "b t c h w -> b c t h w"),
        "denoising_timesteps": torch.tensor([level.timestep for level in schedule.steps]),
        "step_x0_std": torch.stack([clean.std() for clean in cleans]),
    }


@pytest.mark.parametrize("fast", [False, True], ids=["readable", "fast"])
@pytest.mark.parametrize("path", cases("dit_"))
def test_rollout_equals_the_original(path, fast, record_property):
    fixture = load_fixture(path)
    ours = roll_out(fixture, fast)
    errors = {name: relative_error(value, fixture.tensors[name]) for name, value in ours.items()}
    record_property("relative_errors", errors)
    print(f"\n{fixture_id(path)}: " + ", ".join(f"{name} {error:.1e}" for name, error in errors.items()))
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("path", FILES, ids=fixture_id)
def test_weight_names_are_those_of_the_published_checkpoint(path):
    fixture = load_fixture(path)
    config = transformer_config(fixture)
    with torch.device("meta"):
        net = Transformer(config, fixture.json("config")["action_config"]["vae_time_compression_ratio"])
    ours = {f"model.{name}": tuple(weight.shape) for name, weight in net.state_dict().items()}
    assert ours == fixture.names()
