"""Waypoint as it is played: its controls, its passes, and a world from a picture."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_model

from engine.actions import Actions, benchmark_actions
from engine.config.waypoint import WaypointConfig
from engine.errors import ActionError, ConfigError
from engine.families import action_space, best_kernels, build_networks, family_of
from engine.rollout.waypoint import controls_of
from engine.weights.seeded import seed_weights
from engine.world import WorldModel, load_world
from tests.engine.tiny import networks, picture, play, waypoint_config, world

SPACE = action_space("keyboard_mouse")


def controls(*frames: tuple[tuple[str, ...], tuple[float, float]]) -> np.ndarray:
    return controls_of(Actions.stack([SPACE.action(keys, mouse) for keys, mouse in frames]), 1.0)[0]


def test_controls_are_mouse_then_buttons_then_wheel():
    row = controls(*[(("W", "SHIFT"), (0.0, 3.0))] * 4)
    assert row.shape == (259,)
    assert row[:2].tolist() == [12.0, 0.0]  # summed, to the right
    assert np.flatnonzero(row[2:258]).tolist() == [16, 87]
    assert row[258] == 0


def test_looking_up_is_moving_the_mouse_up_and_a_tap_counts_for_its_latent_frame():
    row = controls(((), (5.0, 0.0)), (("SPACE",), (0.0, 0.0)), ((), (0.0, -1.0)), ((), (0.0, 0.0)))
    assert row[:2].tolist() == [-1.0, -5.0]
    assert np.flatnonzero(row[2:258]).tolist() == [32]


def test_the_wheel_is_a_direction():
    up, down = (("WHEEL_UP",), (0.0, 0.0)), (("WHEEL_DOWN",), (0.0, 0.0))
    nothing = ((), (0.0, 0.0))
    assert [controls(*row)[258] for row in ([up] * 4, [up, nothing] * 2, [down, *[nothing] * 3], [up, down] * 2)] == [
        1, 1, -1, 0,
    ]  # fmt: skip


def test_every_one_of_256_codes_has_a_key():
    columns = sorted(key.column for key in (*SPACE.controls, *SPACE.more))
    assert columns == list(range(258))
    assert len(set(SPACE.keys)) == 258
    for key, code in {"K": 75, "F12": 123, "MOUSE_LEFT": 1, "VK_255": 255}.items():
        assert np.flatnonzero(SPACE.action((key,)).keyboard).tolist() == [code]
    with pytest.raises(ActionError, match="no such key"):
        SPACE.action(("NONSENSE",))


def test_noise_levels_are_those_every_engine_holds_in_bfloat16():
    assert WaypointConfig().sigmas == (1.0, 0.8984375, 0.75, 0.30078125, 0.0)
    for value in (0.1, 0.3, 0.333, 0.9, 0.999):
        config = waypoint_config(denoising_steps=(round(value * 1000),), noise_levels=(round(value * 1000),))
        assert config.sigmas[0] == float(torch.tensor(round(value * 1000) / 1000).bfloat16())


@pytest.mark.parametrize(
    "changes", [{"denoising_steps": (1000, 500)}, {"mouse_scale": 0.0}, {"mode": "universal"}], ids=str
)
def test_a_config_that_makes_no_sense_is_refused(changes):
    with pytest.raises(ConfigError):
        config = waypoint_config(**changes)
        family_of(config).check(config)


@torch.inference_mode()
def test_passes_go_from_noise_to_nothing_by_plain_steps_and_one_that_commits():
    config, noted = waypoint_config(), []
    made = world(config)
    net, forward = made.networks.transformer, made.networks.transformer.forward

    def note(x, block, step, caches):
        velocity = forward(x, block, step, caches)
        noted.append((step, x.clone(), velocity, caches.position))
        return velocity

    net.forward = note
    rollout = made.start(picture(config), 5)
    assert [(step, position) for step, _, _, position in noted] == [(4, 1)]  # the picture: no noise, one pass
    noted.clear()
    play(rollout, config, 1)
    rollout.settle()
    assert [(step, position) for step, _, _, position in noted] == [(step, 2) for step in range(5)]
    sigmas = config.sigmas
    assert torch.equal(noted[0][1], torch.randn(1, 1, 1, 4, *config.latent_size, generator=torch.manual_seed(5))[0])
    for (_, x, velocity, _), (_, following, _, _), now, then in zip(noted, noted[1:], sigmas, sigmas[1:], strict=False):
        torch.testing.assert_close(following, x + (then - now) * velocity)


def test_every_block_is_four_pictures_from_the_first_on_and_keys_change_them():
    config = waypoint_config()
    made = world(config)
    frames = {}
    for name, keys in {"nothing": (), "w": ("W",), "any": ("VK_200",), "wheel": ("WHEEL_UP",)}.items():
        rollout = made.start(picture(config), 5)
        blocks = [rollout.step(Actions.stack([SPACE.action(keys)] * rollout.next_frames)) for _ in range(3)]
        assert [len(block.frames) for block in blocks] == [4, 4, 4]
        frames[name] = np.concatenate([block.frames for block in blocks])
        assert frames[name].shape == (12, 36, 64, 3) and frames[name].std() > 5
    assert all(not np.array_equal(frames["nothing"], other) for name, other in frames.items() if name != "nothing")


def test_the_picture_is_seen_by_the_first_block():
    config = waypoint_config()
    made = world(config)
    first, other = (play(made.start(picture(config, seed=seed), 5), config, 1) for seed in (0, 1))
    assert not np.array_equal(first, other)


def test_another_quality_has_its_noise_levels_ready():
    made = world(waypoint_config())
    fewer = made.with_steps((1000, 300))
    assert fewer.config.sigmas == (1.0, 0.30078125, 0.0)
    assert play(fewer.start(picture(fewer.config), 5), fewer.config, 2).std() > 0


def test_fast_kernels_make_the_same_pictures():
    config = waypoint_config()
    readable = play(world(config).start(picture(config), 5), config, 8)
    made = world(config)
    made.use(best_kernels(made.networks))
    assert np.abs(play(made.start(picture(config), 5), config, 8).astype(int) - readable).max() <= 1


def test_loading_gives_up_what_only_the_noise_level_passes_through():
    loaded = networks(waypoint_config()).transformer.state_dict()
    whole = build_networks(waypoint_config(), "meta").transformer.state_dict()
    gone = set(whole) - set(loaded)
    assert gone and all("cond" in name or name.startswith(("denoise_step_emb", "out_norm")) for name in gone)


def test_at_full_size_tabulating_takes_3_72_gb_to_2_45():
    config = WaypointConfig()
    net = build_networks(config, "meta")
    state = net.transformer.to(torch.bfloat16).state_dict()
    assert (len(state), sum(weight.nbytes for weight in state.values())) == (393, 3_721_646_192)
    net = family_of(config).loaded(net, None).transformer
    state = net.state_dict()
    assert (len(state), sum(weight.nbytes for weight in state.values())) == (198, 2_454_769_776)
    made = [net.modulation(sigma) for sigma in config.all_sigmas]
    assert sum(one.layers.nbytes + one.head.nbytes for one in made) == 5 * (24 * 6 + 2) * 2048 * 2


def test_the_published_files_and_where_they_are():
    for name, repository in {"waypoint": "Waypoint-1.5-1B", "waypoint-360p": "Waypoint-1.5-1B-360P"}.items():
        config = dataclasses.replace(WaypointConfig(), name=name)
        checkpoint = family_of(config).checkpoint(config)
        assert checkpoint.repository == f"Overworld/{repository}"
        assert checkpoint.revision == ("391f92827075" if name == "waypoint" else None)
        files = [file.name for file in checkpoint.files]
        assert files == ["model.safetensors", "vae/diffusion_pytorch_model.safetensors"]
    assert family_of(config).checkpoint(waypoint_config()) is None


def test_benchmark_actions_can_be_drawn():
    actions = benchmark_actions(SPACE, 1, 40)
    assert len(actions) == 40 and actions.keyboard.any() and actions.mouse.any()


def waypoint_folder(folder, change=lambda transformer: None) -> WaypointConfig:
    """Writes small weights as the published folder is; returns their config. change: of the transformer, before."""
    config = waypoint_config(name="waypoint")
    made = build_networks(config, "cpu")
    for module in made.modules().values():
        seed_weights(module)
    with torch.no_grad():
        change(made.transformer)
    (folder / "vae").mkdir()
    save_model(made.transformer, folder / "model.safetensors")
    save_model(made.codec, folder / "vae/diffusion_pytorch_model.safetensors")
    return config


def test_a_loaded_world_plays_as_the_one_that_was_saved(tmp_path):
    config = waypoint_folder(tmp_path)
    loaded = load_world(config, tmp_path, device="cpu", dtype=torch.float32)
    ours, theirs = (play(made.start(picture(config), 3), config, 3) for made in (loaded, world(config)))
    assert (ours == theirs).all()


def tie_projections(transformer, layers: int = 4) -> None:
    first, *others = list(transformer.transformer)[:layers]
    for layer in others:
        for name in ("attn_cond_head", "mlp_cond_head"):
            for ours, theirs in zip(getattr(layer, name).cond_proj, getattr(first, name).cond_proj, strict=True):
                ours.weight.copy_(theirs.weight)


def tie_biases(transformer) -> None:
    for layer in transformer.transformer:
        layer.attn_cond_head.bias_in.copy_(layer.mlp_cond_head.bias_in)


def tie_some(transformer) -> None:
    tie_projections(transformer, 3)
    layer = transformer.transformer.blocks[2]
    layer.attn_cond_head.bias_in.copy_(layer.mlp_cond_head.bias_in)


@pytest.mark.parametrize(
    ("change", "projections", "biases"),
    [
        (lambda transformer: None, "differ in all layers", "differ in all layers"),
        (tie_projections, "are equal in all layers", "differ in all layers"),
        (tie_biases, "differ in all layers", "are equal in all layers"),
        (tie_some, "are equal in 3 of 4 layers", "are equal in 1 of 4 layers"),
    ],
    ids=["no copies", "projections", "biases", "some"],
)
def test_which_weights_of_the_file_are_copies_is_found_out_when_it_is_read(tmp_path, change, projections, biases):
    config = waypoint_folder(tmp_path, change)
    told = load_world(config, tmp_path, device="cpu", dtype=torch.float32).remarks
    assert told == (
        f"weights that may be copies: projections of the noise level {projections}, the two biases of a layer {biases}",
    )


def test_the_log_says_what_the_files_turned_out_to_hold(tmp_path, monkeypatch):
    from game.config.settings import load_settings
    from game.models.loader import open_world

    made, said = WorldModel(networks(waypoint_config()), "0" * 64, ("the weights are so",)), []
    monkeypatch.setattr("engine.world.load_world", lambda *told, **more: made)
    open_world(load_settings(["model=waypoint", f"weights={tmp_path}", "device=cpu"]), warn=said.append)
    assert said == ["waypoint: the weights are so"]
