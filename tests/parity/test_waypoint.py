"""Waypoint's transformer, its caches and its steps of denoising compute what the references compute."""

import json
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from engine.config.waypoint import WaypointTransformerConfig
from engine.fast.waypoint import FastWaypoint
from engine.nets.waypoint import WaypointTransformer
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

FILES = fixture_files("waypoint_dit")


def transformer_config(c: dict, tables: str = "float32") -> WaypointTransformerConfig:
    """The keys of the published config.yaml, in our words."""
    return WaypointTransformerConfig(
        channels=c["channels"],
        width=c["d_model"],
        layers=c["n_layers"],
        heads=c["n_heads"],
        kv_heads=c["n_kv_heads"],
        ffn=c["mlp_ratio"] * c["d_model"],
        grid=(c["height"], c["width"]),
        patch=tuple(c["patch"]),
        local_window=c["local_window"],
        global_window=c["global_window"],
        global_dilation=c["global_pinned_dilation"],
        global_period=c["global_attn_period"],
        global_offset=c["global_attn_offset"],
        buttons=c["n_buttons"],
        control_period=c["ctrl_conditioning_period"],
        time_step=c["base_fps"] / (c["inference_fps"] / c["temporal_compression"]),
        rope_theta=c["rope_theta"],
        rope_nyquist=c["rope_nyquist_frac"],
        tables="bfloat16" if tables == "bfloat16" else "exact",
    )


def network(fixture: Fixture) -> WaypointTransformer:
    """The fixture's network, with its weights."""
    with torch.device("meta"):
        net = WaypointTransformer(transformer_config(fixture.json("config"), fixture.metadata["tables"]))
    fill_with_seed(net, fixture.seed)
    return net


def controls(fixture: Fixture) -> Tensor:
    """Of every frame: mouse, buttons, wheel."""
    t = fixture.tensors
    return torch.cat((t["mouse"], t["buttons"], t["scroll"]), dim=-1)


@torch.inference_mode()
def roll_out(fixture: Fixture, net, sigmas: Iterable[float]) -> dict[str, Tensor]:
    """The fixture's rollout with our engine: its outputs by the fixture's names."""
    t, sigmas, seeds = fixture.tensors, tuple(sigmas), fixture.json("seed_frames")
    last = len(sigmas) - 1
    prepared, caches = net.prepare_rollout(sigmas), net.new_caches()
    seed_velocities, latents, velocities = [], [], []
    for number, control in enumerate(controls(fixture)):
        block = net.prepare_block(prepared, control[None], caches)
        if number < seeds:
            seed_velocities.append(net(t["seed_latents"][None, number : number + 1], block, last, caches)[0])
            continue
        x = t["noise"][None, number - seeds : number - seeds + 1]
        steps = []
        for step in range(last):
            velocity = net(x, block, step, caches)
            steps.append(velocity[0, 0].clone())
            x = x + (sigmas[step + 1] - sigmas[step]) * velocity
        net(x, block, last, caches)
        latents.append(x[0])
        velocities.append(torch.stack(steps))
    return {
        "latents": torch.cat(latents),
        "velocities": torch.stack(velocities),
        "seed_velocity": torch.cat(seed_velocities),
    }


def compare(fixture: Fixture, ours: dict[str, Tensor]) -> None:
    errors = {name: relative_error(value, fixture.tensors[name]) for name, value in ours.items()}
    print(f"\n{fixture_id(fixture.path)}: " + ", ".join(f"{name} {error:.1e}" for name, error in errors.items()))
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("fast", [False, True], ids=["readable", "fast"])
@pytest.mark.parametrize("path", cases("waypoint_dit"))
def test_a_rollout_is_that_of_the_references(path, fast):
    fixture = load_fixture(path)
    net = FastWaypoint(network(fixture)) if fast else network(fixture)
    compare(fixture, roll_out(fixture, net, fixture.json("sigmas")))


@pytest.mark.parametrize("path", cases("waypoint_dit"))
def test_what_embeds_noise_and_controls_is_that_of_the_references(path):
    fixture = load_fixture(path)
    if "aid_noise_embedding" not in fixture.tensors:
        pytest.skip("this fixture has no aids")
    net = network(fixture)
    noise = net.embed_noise(torch.tensor(fixture.json("sigmas")))
    compare(
        fixture, {"aid_noise_embedding": noise, "aid_control_embedding": net.embed_controls(controls(fixture))[:, 0]}
    )


@pytest.mark.parametrize("path", FILES, ids=fixture_id)
def test_the_tabulated_network_computes_what_the_readable_one_does(path):
    fixture, sigmas = load_fixture(path), None
    sigmas = fixture.json("sigmas")
    net = network(fixture)
    readable = roll_out(fixture, net, sigmas)
    before = sum(weight.numel() for weight in net.state_dict().values())
    net.tabulate(sigmas)
    assert sum(weight.numel() for weight in net.state_dict().values()) < 0.8 * before
    for name, value in roll_out(fixture, net, sigmas).items():
        assert relative_error(value, readable[name]) <= 1e-6, name


@pytest.mark.parametrize("path", FILES, ids=fixture_id)
def test_weight_names_are_those_the_fixture_was_made_with(path):
    fixture = load_fixture(path)
    assert {name: tuple(weight.shape) for name, weight in network(fixture).state_dict().items()} == fixture.names()


def test_the_full_transformer_has_the_published_names_shapes_and_number_of_weights():
    with torch.device("meta"):
        state = WaypointTransformer(WaypointTransformerConfig()).state_dict()
    published = json.loads(fixture_files("waypoint_full", ".names.json")[0].read_text())
    assert {name: tuple(weight.shape) for name, weight in state.items()} == {n: tuple(s) for n, s in published}
    assert len(state) == 393
    assert sum(weight.numel() for weight in state.values()) == 1_860_823_096
