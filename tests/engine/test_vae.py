"""Claims about the streaming VAE, on a narrow one with every kind of layer."""

import pytest
import torch
from torch import Tensor

from engine.config.model import WanCodecConfig
from engine.nets.vae import WanVAE
from tests.parity.common import fill_with_seed

NARROW = WanCodecConfig(width=8)
SIZE = (32, 48)


@pytest.fixture(scope="module")
def vae() -> WanVAE:
    with torch.device("meta"):
        network = WanVAE(NARROW)
    fill_with_seed(network, seed=3)
    return network


def latents(generator: torch.Generator, frames: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, frames, 16, SIZE[0] // 8, SIZE[1] // 8, generator=generator)


def video(generator: torch.Generator, frames: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, frames, 3, *SIZE, generator=generator) * 2 - 1


def near(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 2e-5 * b.abs().max())


@pytest.mark.parametrize("pieces", [(1, 1, 1, 1, 1, 1), (3, 3), (2, 1, 3)])
def test_decoding_in_a_stream_equals_decoding_the_whole_clip(vae, generator, pieces):
    x = latents(generator, 6)
    whole = vae.decoder_stream().decode_at_once(x)
    stream = vae.decoder_stream()
    assert near(torch.cat([stream.decode(part) for part in x.split(pieces, dim=1)], dim=1), whole)
    assert whole.shape == (1, 4 * 6 - 3, 3, *SIZE)


@pytest.mark.parametrize("pieces", [(1, 4, 4, 4), (13,), (5, 8), (1, 12)])
def test_encoding_in_a_stream_equals_encoding_the_whole_clip(vae, generator, pieces):
    x = video(generator, 13)
    whole = vae.encoder_stream().encode_at_once(x)
    stream = vae.encoder_stream()
    assert near(torch.cat([stream.encode(part) for part in x.split(pieces, dim=1)], dim=1), whole)
    assert whole.shape == (1, 4, 16, SIZE[0] // 8, SIZE[1] // 8)


def test_later_frames_do_not_change_earlier_latents(vae, generator):
    x = video(generator, 9)
    other = torch.cat([x[:, :5], video(generator, 4)], dim=1)
    assert near(vae.encoder_stream().encode_at_once(other)[:, :2], vae.encoder_stream().encode_at_once(x)[:, :2])


def test_a_first_frame_with_a_lazy_zero_tail_equals_all_at_once(vae, generator):
    first, zeros = video(generator, 1), torch.zeros(1, 4, 3, *SIZE)
    whole = vae.encoder_stream().encode_at_once(torch.cat([first, *[zeros] * 5], dim=1))
    stream = vae.encoder_stream()
    lazy = torch.cat([stream.encode(part) for part in (first, *[zeros] * 5)], dim=1)
    assert near(lazy, whole)


def test_the_zero_tail_is_constant_bit_for_bit_once_the_encoder_has_forgotten(vae, generator):
    stream, zeros = vae.encoder_stream(), torch.zeros(1, 4, 3, 16, 16)
    tail = [stream.encode(video(generator, 1)[..., :16, :16])]
    tail += [stream.encode(zeros) for _ in range(vae.memory_latents + 4)]
    assert all(torch.equal(latent, tail[-1]) for latent in tail[vae.memory_latents :])
    assert not torch.equal(tail[vae.memory_latents // 2], tail[-1])


def test_the_full_vae_forgets_after_29_latents():
    with torch.device("meta"):
        assert WanVAE(WanCodecConfig()).memory_latents == 29


def test_a_restored_decoder_goes_on_as_if_it_had_never_left(vae, generator):
    x = latents(generator, 5)
    stream = vae.decoder_stream()
    stream.decode(x[:, :2])
    snapshot = stream.snapshot()
    straight = stream.decode(x[:, 2:])
    stream.decode(latents(generator, 2))
    for _ in range(2):  # a snapshot may be used again
        stream.restore(snapshot)
        assert torch.equal(stream.decode(x[:, 2:]), straight)
    other = vae.decoder_stream()
    other.restore(snapshot)
    assert torch.equal(other.decode(x[:, 2:]), straight)


def test_a_restored_encoder_goes_on_as_if_it_had_never_left(vae, generator):
    x = video(generator, 13)
    stream = vae.encoder_stream()
    stream.encode(x[:, :5])
    snapshot = stream.snapshot()
    straight = stream.encode(x[:, 5:])
    stream.restore(snapshot)
    assert torch.equal(stream.encode(x[:, 5:]), straight)


def test_a_stream_restored_to_its_beginning_is_a_fresh_one(vae, generator):
    x = latents(generator, 2)
    stream = vae.decoder_stream()
    beginning = stream.snapshot()
    first = stream.decode(x)
    stream.restore(beginning)
    assert torch.equal(stream.decode(x), first)


def test_two_streams_of_one_network_do_not_touch_each_other(vae, generator):
    a, b = latents(generator, 3), latents(generator, 3)
    expected = vae.decoder_stream().decode(a)
    one, two = vae.decoder_stream(), vae.decoder_stream()
    parts = []
    for i in range(3):
        parts.append(one.decode(a[:, i : i + 1]))
        two.decode(b[:, i : i + 1])
    assert torch.equal(torch.cat(parts, dim=1), expected)


def test_every_clip_of_a_batch_is_coded_by_itself(vae, generator):
    x = latents(generator, 3, batch=2)
    both = vae.decoder_stream().decode(x)
    assert near(both[1:], vae.decoder_stream().decode(x[1:]))
    y = video(generator, 5, batch=2)
    assert near(vae.encoder_stream().encode(y)[1:], vae.encoder_stream().encode(y[1:]))


def test_what_a_stream_remembers_does_not_grow(vae, generator):
    decoder, encoder = vae.decoder_stream(), vae.encoder_stream()
    encoder.encode(video(generator, 5))
    decoder.decode(latents(generator, 2))
    sizes = encoder.nbytes(), decoder.nbytes()
    for _ in range(5):
        encoder.encode(video(generator, 4))
        decoder.decode(latents(generator, 1))
    assert (encoder.nbytes(), decoder.nbytes()) == sizes


def test_decoded_frames_stay_within_range(vae, generator):
    frames = vae.decoder_stream().decode(10 * latents(generator, 2))
    assert frames.min() >= -1 and frames.max() <= 1


@pytest.mark.parametrize(("frames", "size"), [(4, SIZE), (3, SIZE), (0, SIZE), (1, (30, 48))])
def test_a_wrong_number_or_size_of_frames_is_refused(vae, frames, size):
    with pytest.raises(ValueError, match="expected"):
        vae.encoder_stream().encode(torch.zeros(1, frames, 3, *size))


def test_weights_hold_nothing_that_a_stream_changes(vae, generator):
    before = {name: weight.clone() for name, weight in vae.state_dict().items()}
    vae.decoder_stream().decode(latents(generator, 2))
    vae.encoder_stream().encode(video(generator, 5))
    assert all(torch.equal(weight, before[name]) for name, weight in vae.state_dict().items())


def test_the_full_decoder_has_the_published_number_of_weights():
    with torch.device("meta"):
        full = WanVAE(WanCodecConfig())
    assert round(sum(w.numel() for w in full.decoder.parameters()) / 1e6, 1) == 73.3


@pytest.mark.slow
def test_both_directions_compile_whole_and_only_at_the_beginning(generator):
    import einops
    from torch._dynamo.testing import CompileCounter

    torch.compiler.allow_in_graph(einops.rearrange)  # traced through instead, its parser makes this five times slower
    with torch.device("meta"):
        network = WanVAE(WanCodecConfig(width=4, residual_blocks=1))
    fill_with_seed(network, seed=3)
    x = latents(generator, 5)
    expected = network.decoder_stream().decode(x)
    compiled = {}
    for half in (network.decoder, network.encoder):
        compiled[half] = CompileCounter()
        half.forward = torch.compile(half.forward, backend=compiled[half], fullgraph=True, dynamic=False)
    with torch.no_grad():
        assert torch.equal(network.decoder_stream().decode(x), expected)
        encoder = network.encoder_stream()
        for frames in (1, 4, 4, 4):
            encoder.encode(video(generator, frames))
    # The first frame, the first after it (layers that doubled no frame remember nothing yet), and all later ones.
    assert compiled[network.decoder].frame_count == 3
    assert compiled[network.encoder].frame_count == 2
