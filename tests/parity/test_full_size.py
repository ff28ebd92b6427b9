"""The published models at their full size, built on the meta device: every name, and the number of weights."""

import re
from collections.abc import Iterable

import pytest

from engine.config.model import AttentionActionsConfig
from engine.families import build_networks
from game.config.settings import load_settings
from tests.parity.common import fixture_files, load_fixture

# Weights of the transformer: the published universal model's, and what the other modes' own widths make of that.
TRANSFORMER = {"universal": 1_619_242_304, "gta_drive": 1_619_238_464, "templerun": 1_508_715_584}
SHAPES = {
    "patch_embedding.weight": (1536, 36, 1, 2, 2),
    "time_projection.1.weight": (9216, 1536),
    "img_emb.proj.3.weight": (1536, 1280),
    "blocks.29.self_attn.q.weight": (1536, 1536),
    "blocks.29.ffn.0.weight": (8960, 1536),
    "blocks.29.modulation": (1, 6, 1536),
    "blocks.14.action_model.keyboard_attn_kv.weight": (2048, 1536),
    "blocks.14.action_model.mouse_attn_q.weight": (1024, 1536),
    "blocks.14.action_model.proj_keyboard.weight": (1536, 1024),
    "head.head.weight": (64, 1536),
}


def deepened(names: Iterable[str], part: str, like: Iterable[int]) -> set[str]:
    """The names of a model whose layer i has the names that layer like[i] has in a shallower one."""
    layers, rest = {}, set()
    for name in names:
        match = re.fullmatch(rf"(.*\b{part}\.)(\d+)(\..*)", name)
        if match is None:
            rest.add(name)
        else:
            layers.setdefault(int(match[2]), []).append((match[1], match[3]))
    return rest | {f"{start}{i}{end}" for i, shallow in enumerate(like) for start, end in layers[shallow]}


@pytest.mark.parametrize("mode", TRANSFORMER)
def test_the_full_transformer_has_the_published_names_and_number_of_weights(mode):
    config = load_settings([f"model={mode}"]).model
    networks = build_networks(config, "meta")
    fixture = load_fixture(fixture_files(f"dit_{mode}")[0])
    shallow = fixture.json("config")
    with_actions = shallow["action_config"]["blocks"]
    without = [layer for layer in range(shallow["num_layers"]) if layer not in with_actions]
    assert with_actions and without and isinstance(config.transformer.actions, AttentionActionsConfig)
    like = [with_actions[0] if i in config.transformer.actions.layers else without[0] for i in range(30)]
    state = networks.transformer.state_dict()
    assert {f"model.{name}" for name in state} == deepened(fixture.names(), "blocks", like)
    assert sum(weight.numel() for weight in state.values()) == TRANSFORMER[mode]
    assert {name: tuple(state[name].shape) for name in SHAPES} == SHAPES


def test_the_full_vae_has_the_published_names_shapes_and_number_of_weights():
    codec = build_networks(load_settings(["model=universal"]).model, "meta").codec
    assert {name: tuple(w.shape) for name, w in codec.state_dict().items()} == load_fixture(
        fixture_files("vae")[0]
    ).names()
    assert round(sum(w.numel() for w in codec.decoder.parameters()) / 1e6, 1) == 73.3


def test_the_full_image_tower_has_the_published_names_and_number_of_weights():
    tower = build_networks(load_settings(["model=universal"]).model, "meta").image_tower
    names = load_fixture(fixture_files("clip")[0]).names()
    state = tower.state_dict()
    assert {f"visual.{name}" for name in state} == deepened(names, "transformer", [0] * 32)
    assert sum(weight.numel() for weight in state.values()) == 632_076_800
