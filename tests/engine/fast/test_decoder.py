"""The fast decoder decodes as Wan's does, from the same weights."""

import pytest
import torch

from engine.config.model import WanCodecConfig
from engine.cost.operations import WorkCounter
from engine.fast.decoder import DecoderNetwork, FastWanDecoder, TimedConv
from engine.nets.vae import CausalConv, WanVAE
from engine.weights.seeded import seed_weights

CLOSE = {"atol": 5e-5, "rtol": 1e-4}


@pytest.fixture
def vae() -> WanVAE:
    network = WanVAE(WanCodecConfig(width=8))
    seed_weights(network)
    return network


def latents(generator: torch.Generator, frames: int) -> torch.Tensor:
    return torch.randn(1, frames, 16, 4, 6, generator=generator)


@torch.no_grad()
def test_frames_equal_the_readable_decoders(vae, generator):
    x = latents(generator, 5)
    expected = vae.decoder_stream().decode(x)
    stream = FastWanDecoder(DecoderNetwork(vae)).decoder_stream()
    ours = torch.cat([stream.decode(x[:, :2]), stream.decode(x[:, 2:])], dim=1)
    torch.testing.assert_close(ours, expected, **CLOSE)


@torch.no_grad()
def test_the_readable_vae_is_as_it_was_and_no_weight_is_held_twice(vae, generator):
    x, before = latents(generator, 3), {name: weight.clone() for name, weight in vae.state_dict().items()}
    expected = vae.decoder_stream().decode(x)
    network = DecoderNetwork(vae)
    assert all(torch.equal(weight, before[name]) for name, weight in vae.state_dict().items())
    torch.testing.assert_close(vae.decoder_stream().decode(x), expected, **CLOSE)
    own = {weight.untyped_storage().data_ptr() for weight in vae.state_dict().values()}
    assert all(weight.untyped_storage().data_ptr() in own for weight in network.parameters())


@torch.no_grad()
def test_a_restored_stream_goes_on_bit_for_bit_in_the_same_memory(vae, generator):
    x, decoder = latents(generator, 5), FastWanDecoder(DecoderNetwork(vae))
    stream = decoder.decoder_stream()
    fresh = stream.snapshot()
    whole = stream.decode(x)
    stream.restore(fresh)
    assert torch.equal(stream.decode(x[:, :2]), whole[:, :5])
    places = [frames.data_ptr() for frames in decoder.network.worlds(*x.shape[-2:])[1]]
    middle, onwards = stream.snapshot(), stream.decode(x[:, 2:])
    stream.restore(middle)
    assert torch.equal(stream.decode(x[:, 2:]), onwards)
    assert [frames.data_ptr() for frames in decoder.network.worlds(*x.shape[-2:])[1]] == places
    other = decoder.decoder_stream()
    other.restore(middle)
    assert torch.equal(other.decode(x[:, 2:]), onwards)


@torch.no_grad()
def test_pictures_stay_channels_last(vae, generator):
    seen = []
    network = DecoderNetwork(vae)
    for module in network.modules():
        if type(module).__name__ == "TimedConv":
            module.register_forward_pre_hook(lambda _, args: seen.append(args[0].is_contiguous()))
    FastWanDecoder(network).decoder_stream().decode(latents(generator, 2))
    assert seen and all(seen)
    kernels = [m.weight for m in network.modules() if hasattr(m, "weight") and m.weight.shape[-1] == 3]
    taps = [tap for weight in kernels for tap in (weight if weight.dim() == 5 else [weight])]
    assert taps and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in taps)


def test_nothing_is_put_together_for_a_convolution_over_time():
    with torch.device("meta"):
        conv = CausalConv(96, 96)
    fast = TimedConv(conv, 1)
    memory, x = (torch.empty(2, 8, 8, 96, device="meta"),), torch.empty(4, 8, 8, 96, device="meta")
    with torch.inference_mode(), WorkCounter() as counter:
        fast(x, memory)
    frame = x[0].nbytes
    # The window, and what each tap adds; the same by the channels of all taps at once would be 12 frames more.
    assert counter.work.bytes_made == (2 + 4) * frame + 3 * 4 * frame
