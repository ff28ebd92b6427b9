"""Claims about the embedded model's fast kernels: they make the readable networks' frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.config.model import PatchCodecConfig
from engine.families import best_kernels
from engine.nets.networks import EmbeddedNetworks
from engine.world import WorldModel
from tests.engine.tiny import networks, picture, play, small_config

ONE_STEP = small_config(denoising_steps=(1000,))


def complete() -> EmbeddedNetworks:
    """Networks whose codec loses nothing: an orthogonal map of patches, as that of the shipped weights."""
    transformer = replace(small_config().transformer, in_channels=3 * 192, out_channels=194)
    config = small_config(
        denoising_steps=(1000,), transformer=transformer, codec=PatchCodecConfig(patch=8, latent_channels=192)
    )
    made = networks(config)
    matrix, _ = torch.linalg.qr(torch.randn(192, 192, generator=torch.Generator().manual_seed(0)))
    codec = made.codec
    with torch.no_grad():
        codec.encoder.weight.copy_(matrix.view(192, 3, 8, 8))
        codec.decoder.weight.copy_(matrix.view(192, 3, 8, 8))
        bias = torch.tensor((0.1, -0.2, 0.05))
        codec.decoder.bias.copy_(bias)
        codec.encoder.bias.copy_(-(matrix @ bias.repeat_interleave(64)))
    return made


@pytest.mark.parametrize(
    "made", [networks(ONE_STEP), complete()], ids=["a codec that loses much", "one that loses nothing"]
)
def test_frames_are_the_readable_ones(made, monkeypatch):
    monkeypatch.setattr("engine.rollout.causal.REBASE_WINDOWS", 2)  # so that positions are moved back on the way
    world, frames = WorldModel(made, "0" * 64), {}
    for name, kernels in {"readable": world.kernels, "fast": best_kernels(made)}.items():
        world.use(kernels)
        frames[name] = play(world.start(picture(made.config), 5), made.config, 12).astype(int)
    assert best_kernels(made).fast
    # a value that lay between two grey levels may fall to either side
    assert np.abs(frames["readable"] - frames["fast"]).max() <= 1
    assert np.abs(np.diff(frames["fast"], axis=0)).max() > 20  # and there is something to see


def test_a_moment_is_gone_back_to_bit_for_bit():
    made = networks(ONE_STEP)
    world = WorldModel(made, "0" * 64)
    world.use(best_kernels(made))
    rollout = world.start(picture(ONE_STEP), 5)
    play(rollout, ONE_STEP, 3)
    moment = rollout.snapshot()
    first = play(rollout, ONE_STEP, 6)
    rollout.restore(moment)
    assert np.array_equal(play(rollout, ONE_STEP, 6), first)


def test_other_models_of_the_family_are_computed_by_the_readable_networks():
    for changes in (
        {"denoising_steps": (1000, 500)},
        {"codec": PatchCodecConfig(patch=8, latent_channels=4, finish_width=4, finish_layers=1)},
    ):
        assert not best_kernels(networks(small_config(**changes))).fast
