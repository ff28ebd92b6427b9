"""The largest number out of each layer is found, and so is one that float16 does not hold."""

import math

import pytest
import torch

from engine.cost.ranges import FLOAT16_MOST, largest_values
from engine.errors import OverflowedError
from engine.families import new_rollout
from tests.engine.tiny import big_config, networks, picture, play, waypoint_config


@pytest.mark.parametrize("config", [big_config(), waypoint_config()], ids=lambda config: config.name)
def test_every_layers_largest_number_is_that_of_its_outputs(config):
    made, seen = networks(config), []
    rollout = new_rollout(made, picture(config), 5)
    layers = next(module for module in made.transformer.modules() if isinstance(module, torch.nn.ModuleList))
    last = layers[-1].register_forward_hook(
        lambda _, __, out: seen.append(float((out[0] if isinstance(out, tuple) else out).abs().max()))
    )
    values = largest_values(made.transformer, lambda: play(rollout, config, 1, settle=True))
    last.remove()
    assert len(values) == len(layers) and all(0 < value < FLOAT16_MOST for value in values)
    assert values[-1] == max(seen) and len(seen) > 1
    assert not any(layer._forward_hooks for layer in layers)


def test_a_number_that_float16_does_not_hold_names_its_layer():
    config = big_config(denoising_steps=(1000,))  # after one pass nothing but nan is left
    made = networks(config)
    with torch.inference_mode():
        made.transformer.blocks[1].ffn[2].weight.mul_(1e6)
    rollout = new_rollout(made, picture(config), 5)
    values = largest_values(made.transformer, lambda: play(rollout, config, 1))
    assert values[0] < FLOAT16_MOST < values[1]
    made.transformer.half()
    narrow = new_rollout(made, picture(config), 5)

    def overflows() -> None:
        with pytest.raises(OverflowedError):
            play(narrow, config, 1)

    half = largest_values(made.transformer, overflows)
    assert math.isfinite(half[0]) and not math.isfinite(half[1])
