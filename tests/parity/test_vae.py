"""The VAE computes what the original computes."""

import copy

import pytest
import torch

from engine.config.model import WanCodecConfig
from engine.fast.decoder import DecoderNetwork, FastWanDecoder
from engine.nets.vae import WanVAE
from tests.parity.common import (
    TOLERANCE,
    Fixture,
    cases,
    fill_with_seed,
    load_fixture,
    relative_error,
)


@pytest.fixture(scope="module", params=cases("vae"))
def case(request) -> tuple[Fixture, WanVAE]:
    fixture = load_fixture(request.param)
    with torch.device("meta"):
        vae = WanVAE(WanCodecConfig())
    fill_with_seed(vae, fixture.seed)
    return fixture, vae


def channels_after_time(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2)


def test_every_weight_has_its_published_name_and_shape(case):
    fixture, vae = case
    assert {name: tuple(w.shape) for name, w in vae.state_dict().items()} == fixture.names()


def test_a_first_frame_and_its_zero_tail_are_encoded_as_by_the_original(case):
    fixture, vae = case
    image = channels_after_time(fixture.tensors["image"])
    stored = channels_after_time(fixture.tensors["encoded_first_frame"])
    zeros = torch.zeros_like(image).repeat(1, 4 * (stored.shape[1] - 1), 1, 1, 1)
    stream = vae.encoder_stream()
    ours = torch.cat([stream.encode(image), stream.encode(zeros)], dim=1)
    assert relative_error(ours, stored) <= TOLERANCE


def test_a_clip_is_encoded_as_by_the_original(case):
    fixture, vae = case
    ours = vae.encoder_stream().encode(channels_after_time(fixture.tensors["clip"]))
    assert relative_error(ours, channels_after_time(fixture.tensors["encoded_clip"])) <= TOLERANCE


@pytest.mark.parametrize("fast", [False, True], ids=["readable", "fast"])
def test_blocks_are_decoded_as_by_the_original(case, fast):
    fixture, vae = case
    decoder = FastWanDecoder(DecoderNetwork(copy.deepcopy(vae))) if fast else vae
    latents, stream = fixture.tensors["latents"], decoder.decoder_stream()
    blocks = sorted(name for name in fixture.tensors if name.startswith("decoded_block"))
    per_block = latents.shape[1] // len(blocks)
    errors = {}
    for i, name in enumerate(blocks):
        frames = stream.decode(latents[:, i * per_block : (i + 1) * per_block])
        errors[name] = relative_error(frames, fixture.tensors[name])
    assert max(errors.values()) <= TOLERANCE, errors
