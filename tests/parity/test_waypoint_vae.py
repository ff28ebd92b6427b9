"""Waypoint's codec computes what TAEHV's own code computes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.config.model import TaehvCodecConfig
from engine.nets.taehv import LightDecoderStream, TaehvCodec
from tests.parity.common import TOLERANCE, Fixture, cases, fill_with_seed, load_fixture, relative_error


@pytest.fixture(scope="module", params=cases("waypoint_vae"))
def case(request) -> tuple[Fixture, TaehvCodec]:
    fixture = load_fixture(request.param)
    with torch.device("meta"):
        codec = TaehvCodec(TaehvCodecConfig())
    fill_with_seed(codec, fixture.seed)
    return fixture, codec


def unit(frames: Tensor) -> Tensor:
    """Our frames as the fixture's."""
    return (frames + 1) / 2


def check(ours: Tensor, stored: Tensor) -> None:
    error = relative_error(ours, stored)
    print(f"{error:.1e}")
    assert error <= TOLERANCE, error


def test_every_weight_has_its_published_name_and_shape(case):
    fixture, codec = case
    assert {name: tuple(weight.shape) for name, weight in codec.state_dict().items()} == fixture.names()


@torch.inference_mode()
def test_a_clip_is_encoded_four_pictures_at_a_time(case):
    fixture, codec = case
    stream, clip = codec.encoder_stream(), fixture.tensors["clip"] * 2 - 1
    latents = torch.cat([stream.encode(part) for part in clip.split(4, dim=1)], dim=1)
    check(latents, fixture.tensors["encoded_clip"])
    check(codec.encoder_stream().encode(clip), fixture.tensors["encoded_clip"])


@torch.inference_mode()
def test_a_picture_is_encoded_as_four_of_it(case):
    fixture, codec = case
    picture = fixture.tensors["image"][:, None].expand(-1, 4, -1, -1, -1) * 2 - 1
    check(codec.encoder_stream().encode(picture), fixture.tensors["encoded_image"])


@torch.inference_mode()
def test_latents_are_decoded_warm_and_cold(case):
    fixture, codec = case
    latents = fixture.tensors["latents"]
    warm, cold = codec.decoder_stream(), LightDecoderStream(codec.decoder)
    frames = torch.cat([warm.decode(latent) for latent in latents.split(1, dim=1)], dim=1)
    check(unit(frames), fixture.tensors["decoded"])
    check(unit(cold.decode(latents)), fixture.tensors["decoded_trimmed"])


@torch.inference_mode()
def test_a_picture_of_the_models_own_size_is_squeezed_and_encoded(case):
    fixture, codec = case
    if "encoded_720p" not in fixture.tensors:
        pytest.skip("this fixture has no such picture")
    rule = fixture.json("picture_720p")
    y, x, c = torch.meshgrid(torch.arange(720), torch.arange(1280), torch.arange(3), indexing="ij")
    picture = ((rule["a"] * x + rule["b"] * y * (c + 1) + (x * y) // (rule["d"] + c)) % 256).permute(2, 0, 1)
    squeezed = F.interpolate(picture[None].float() / 255, (512, 1024), mode="bilinear", align_corners=False)
    latent = codec.encoder_stream().encode(squeezed[:, None].expand(-1, 4, -1, -1, -1) * 2 - 1)
    check(latent, fixture.tensors["encoded_720p"])
