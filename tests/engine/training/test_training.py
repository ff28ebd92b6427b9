"""Claims about training: it drives what plays, learns, and goes on where it stopped."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.actions import Actions
from engine.config import CameraConfig
from engine.errors import ConfigError
from engine.networks import Networks
from engine.training.damage import damaged
from engine.training.evaluate import Evaluator
from engine.training.files import MODEL, export, read_model
from engine.training.initial import build, fit_codec
from engine.training.muon import Muon
from engine.training.policy import World
from engine.training.train import TrainConfig, Trainer, frame_loss
from engine.training.unroll import Unroll, camera_of
from engine.world import WorldModel, load_world
from tests.engine.tiny import random_actions, small_config

LIMIT = 0.1


@pytest.fixture
def networks() -> Networks:
    made = build(small_two_views(), seed=1)
    fit_codec(made, seed=1, pictures=64)
    made.codec.requires_grad_(False)
    return made


def small_two_views():
    made = small_config()
    views = 2
    return dataclasses.replace(
        made,
        width=48,
        height=32,
        denoising_steps=(1000,),
        camera=CameraConfig(walls=(1.0,)),
        codec=dataclasses.replace(made.codec, latent_channels=8),
        transformer=dataclasses.replace(made.transformer, in_channels=8 * (1 + views), out_channels=8 + views),
    )


def test_what_is_trained_is_what_plays(networks):
    model = networks.config
    for parameter in networks.transformer.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    world = WorldModel(networks, "0" * 64)
    picture = np.random.default_rng(0).integers(0, 256, (model.height, model.width, 3), dtype=np.uint8)
    rollout = world.start(picture, seed=5)
    start = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    unroll = Unroll(networks, start, torch.Generator().manual_seed(5), gradients=True)
    for index in range(2 * model.window + 1):
        actions: Actions = random_actions(model, 1, index)
        with torch.no_grad():
            trained = unroll.step(torch.from_numpy(actions.keyboard), torch.from_numpy(actions.mouse))
        unroll.cut()
        played = rollout.step(actions).frames[0]
        levels = ((unroll.frames[0].permute(1, 2, 0) + 1) * 127.5).numpy()
        assert trained.shape == start.shape
        assert np.abs(levels - played).max() < 1.0, f"frame {index}"


def held_out_error(networks) -> float:
    world = World(32, 77, camera_of(networks), LIMIT)
    unroll = Unroll(networks, world.restart(), torch.Generator().manual_seed(0), gradients=False)
    with torch.no_grad():
        keyboard, mouse, true = world.step()
        return float(frame_loss(unroll.step(keyboard, mouse), true, edges=1.0))


def test_a_few_steps_lower_the_error_on_worlds_never_seen(networks):
    before = held_out_error(networks)
    trainer = Trainer(
        networks, TrainConfig(steps=100, players=16, clip=1, longest=1, warmup=5, lr_matrix=0.005, lr_rest=3e-3), LIMIT
    )
    for _ in range(40):
        trainer.advance()
    assert held_out_error(networks) < before - 0.01


def test_a_resumed_run_has_the_state_it_was_saved_with(networks, tmp_path):
    config = TrainConfig(steps=20, players=2, clip=2)
    trainer = Trainer(networks, config, LIMIT)
    for _ in range(3):
        trainer.advance()
    trainer.save(tmp_path / "run.pt")
    again = Trainer(build(networks.config, seed=9), config, LIMIT)
    again.load(tmp_path / "run.pt")
    assert again.step == 3
    for name, value in networks.transformer.state_dict().items():
        assert torch.equal(value, again.networks.transformer.state_dict()[name])
    for name, value in networks.codec.state_dict().items():
        assert torch.equal(value, again.networks.codec.state_dict()[name])
    assert all(np.isfinite(again.advance()) for _ in range(2))


def test_the_codec_begins_as_the_best_linear_one(networks):
    frames = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    once = networks.codec.decode(networks.codec.encode(frames))
    twice = networks.codec.decode(networks.codec.encode(once))
    assert torch.allclose(once, twice, atol=1e-4)
    assert fit_codec(networks, seed=2, pictures=64) > 25


def test_every_direction_of_a_muon_update_is_of_one_size():
    parameter = torch.nn.Parameter(torch.zeros(16, 8))
    optimizer = Muon([parameter], lr=0.1, weight_decay=0.0)
    parameter.grad = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    sizes = torch.linalg.svdvals(parameter.detach()) / (0.1 * 2**0.5)
    assert (sizes > 0.6).all() and (sizes < 1.3).all()


def test_losing_one_s_place_does_not_drown_the_others():
    true = torch.zeros(2, 3, 8, 8)
    made = torch.stack([torch.full((3, 8, 8), 0.02), torch.full((3, 8, 8), 1.0)]).requires_grad_()
    frame_loss(made, true, edges=0.0).backward()
    near, far = made.grad.abs().mean((1, 2, 3))
    assert near > far


def test_evaluate_reports_every_measure(networks):
    evaluator = Evaluator(networks, LIMIT, seed=1, trials=2, rollouts=2)
    report = evaluator.likeness() | evaluator.actions() | evaluator.stillness() | evaluator.turn_and_return()
    assert set(report) == {
        "psnr", "copy_psnr", "wrong_action_psnr", "sharpness", "contrast", "codec_psnr", "action_accuracy",
        "action_amount", "idle_change", "return_psnr",
    }  # fmt: skip
    assert list(report["psnr"]) == ["4", "8", "16", "32", "64"]
    assert len(report["action_accuracy"]) == 8
    seconds, row = next(iter(evaluator.drift((2,))))
    assert seconds == 2 and row["alive"].endswith("/2")


def test_exported_weights_load_strictly(networks, tmp_path):
    export(networks, networks.transformer.state_dict(), tmp_path)
    world = load_world(networks.config, tmp_path, device="cpu", dtype=torch.float32)
    for name, value in networks.transformer.state_dict().items():
        loaded = world.networks.transformer.state_dict()[name]
        assert torch.allclose(loaded, value, atol=1e-3, rtol=1e-3), name


def test_a_model_file_that_is_not_there_is_said_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read") as error:
        read_model(tmp_path / "none.yaml")
    assert "\n" not in str(error.value)


def test_the_learning_rate_rises_and_falls_to_nothing():
    plan = TrainConfig(steps=1000, warmup=10, cooldown=0.4)
    assert plan.rate(0) < plan.rate(9) == 1.0 == plan.rate(500)
    assert plan.rate(999) < 0.01
    assert plan.clips(0) == 1 and plan.clips(999) == plan.longest
    assert replace(plan, longest=9).clips(999) == 9


def test_the_shipped_model_is_described():
    assert read_model(MODEL).name == "tiny"


def test_damage_spoils_its_share_and_leaves_the_rest():
    frames = World(64, 3, camera_of(build(small_two_views(), seed=0)), LIMIT).restart()
    spoilt = damaged(frames, 0.5, torch.Generator().manual_seed(0))
    changed = (spoilt != frames).flatten(1).any(1)
    assert spoilt.shape == frames.shape and spoilt.abs().max() <= 1
    assert 16 < changed.sum() < 48
