"""Configs come from plain data, and every mistake in them is named."""

import dataclasses

import pytest
import torch

from engine.config.model import MatrixGame2Config, TransformerConfig
from engine.errors import ConfigError, InputError
from engine.families import model_config
from engine.nets.transformer import Transformer
from tests.engine.tiny import big_config, small_config


@pytest.mark.parametrize("config", [MatrixGame2Config(), big_config(), small_config()], ids=lambda config: config.name)
def test_a_config_survives_being_written_and_read(config):
    assert type(config).from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"widht": 640}, "did you mean 'width'?"),
        ({"transformer": {"actions": {"kind": "attention", "layrs": [0]}}}, "model.transformer.actions has no field"),
        ({"codec": {"kind": "pach"}}, "did you mean 'patch'?"),
        ({"codec": {}}, "expected wan or patch"),
        ({"mode": "univrsal"}, "did you mean 'universal'?"),
        ({"fps": "fast"}, "model.fps is of the wrong kind; got 'fast'"),
        ({"sink": True}, "model.sink is of the wrong kind"),
        ({"denoising_steps": [333, 666]}, "falling numbers"),
        ({"denoising_steps": [1000, 0.5]}, "model.denoising_steps[1]"),
        ({"denoising_steps": 1000}, "is not a list"),
        ({"width": 641}, "width does not divide into tokens; got 641; expected a multiple of 16"),
        ({"window": 2}, "at least sink + block_latents = 3"),
        ({"time_ratio": 2}, "the codec's 4"),
        ({"image_tower": None}, "image_tower and transformer.visual_context"),
        ({"transformer": {"heads": 7}}, "transformer.width"),
        ({"transformer": {"in_channels": 32}}, "noise, mask and latents: 36"),
        ({"context_noise": 1000}, "context_noise is out of range"),
        ("universal", "model is not a group of fields"),
        ({"family": "matrix_gme2"}, "did you mean 'matrix_game2'?"),
    ],
)
def test_every_mistake_is_told_in_one_line(data, words):
    with pytest.raises(ConfigError) as raised:
        model_config({"family": "matrix_game2"} | data if isinstance(data, dict) else data)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value, InputError)


def test_configs_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MatrixGame2Config().width = 1


def test_the_numbers_of_a_block_follow_from_the_config():
    config = MatrixGame2Config()
    assert config.latent_size == (44, 80)
    assert config.token_grid == (22, 40)
    assert [config.frames_of_block(index) for index in range(3)] == [9, 12, 12]
    assert [small_config().frames_of_block(index) for index in range(3)] == [1, 1, 1]


def test_the_universal_transformer_has_exactly_the_published_number_of_weights():
    with torch.device("meta"):
        net = Transformer(TransformerConfig(), 4)
    assert sum(weight.numel() for weight in net.parameters()) == 1_619_242_304
