"""The fast light decoder makes the frames of the readable one, from the same weights, in memory that stays."""

import pytest
import torch
from torch import Tensor

from engine.config.model import LightDecoderConfig, TaehvCodecConfig
from engine.fast.taehv import FastLightDecoder, LightNetwork
from engine.nets.taehv import LightDecoder, LightDecoderStream
from engine.weights.seeded import seed_weights
from tests.parity.common import TOLERANCE, fill_with_seed, fixture_files, load_fixture, relative_error

SMALL = LightDecoderConfig(latent_channels=4, widths=(8, 8, 4, 4), memory_blocks=2)
PATCHED = LightDecoderConfig(latent_channels=4, widths=(8, 8, 4, 4), memory_blocks=1, patch=2)
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def decoder(config: LightDecoderConfig) -> LightDecoder:
    made = LightDecoder(config)
    seed_weights(made)
    return made


def latents(count: int) -> Tensor:
    return torch.randn(1, count, 4, 3, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("config", [SMALL, PATCHED], ids=["pixels", "patches"])
@torch.inference_mode()
def test_frames_are_those_of_the_readable_decoder_however_latents_come(config, warm):
    readable, x = decoder(config), latents(6)
    expected = LightDecoderStream(readable, warm=warm).decode(x)
    stream = FastLightDecoder(LightNetwork(readable), warm=warm).decoder_stream()
    ours = torch.cat([stream.decode(part) for part in x.split((1, 3, 2), dim=1)], dim=1)
    torch.testing.assert_close(ours, expected, **CLOSE)
    assert ours.shape[1] == 6 * 4 - (0 if warm else 3)


@torch.inference_mode()
def test_a_restored_stream_goes_on_bit_for_bit_in_the_same_memory():
    fast, x = FastLightDecoder(LightNetwork(decoder(SMALL))), latents(5)
    stream = fast.decoder_stream()
    fresh = stream.snapshot()
    whole = stream.decode(x)
    places = [memory.data_ptr() for memory in fast.network.worlds(3, 5)[1]]
    stream.restore(fresh)
    assert torch.equal(stream.decode(x[:, :2]), whole[:, :5])
    middle, other = stream.snapshot(), fast.decoder_stream()
    other.restore(middle)
    assert torch.equal(other.decode(x[:, 2:]), whole[:, 5:])
    assert torch.equal(stream.decode(x[:, 2:]), whole[:, 5:])
    assert [memory.data_ptr() for memory in fast.network.worlds(3, 5)[1]] == places


@torch.inference_mode()
def test_pictures_stay_channels_last_and_no_weight_is_held_twice():
    readable = decoder(SMALL)
    network, seen = LightNetwork(readable), []
    for module in network.modules():
        if type(module).__name__ == "FrameWiseConv":
            module.register_forward_pre_hook(lambda _, args: seen.append(args[0].is_contiguous()))
    FastLightDecoder(network).decoder_stream().decode(latents(2))
    assert seen and all(seen)
    own = {weight.untyped_storage().data_ptr() for weight in readable.state_dict().values()}
    assert {weight.untyped_storage().data_ptr() for weight in network.parameters()} <= own


@torch.inference_mode()
def test_waypoints_decoder_is_that_of_the_references():
    fixture = load_fixture(fixture_files("waypoint_vae")[0])
    with torch.device("meta"):
        readable = LightDecoder(TaehvCodecConfig().decoder)
    fill_with_seed(readable, fixture.seed, "decoder.")
    frames = FastLightDecoder(LightNetwork(readable), warm=True).decoder_stream().decode(fixture.tensors["latents"])
    assert relative_error((frames + 1) / 2, fixture.tensors["decoded"]) <= TOLERANCE
