"""Claims about the light decoder: the published file's names, one decode of every latent, and what it costs."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.config.model import LightDecoderConfig, MatrixGame2Config
from engine.cost.operations import block_flops
from engine.errors import ConfigError
from engine.nets.taehv import LightDecoder
from tests.engine.tiny import small_config
from tests.parity.common import fill_with_seed

NARROW = LightDecoderConfig(widths=(16, 8, 4, 4))


def published_names() -> dict[str, tuple[int, ...]]:
    """Name and shape of every decoder weight in taew2_1, written down from the file's header."""
    names: dict[str, tuple[int, ...]] = {"decoder.1.weight": (256, 16, 3, 3), "decoder.1.bias": (256,)}
    for first, width in ((3, 256), (9, 128), (15, 64)):
        for place in range(first, first + 3):
            for conv, inputs in (("0", 2 * width), ("2", width), ("4", width)):
                names[f"decoder.{place}.conv.{conv}.weight"] = (width, inputs, 3, 3)
                names[f"decoder.{place}.conv.{conv}.bias"] = (width,)
    names |= {"decoder.7.conv.weight": (256, 256, 1, 1), "decoder.8.weight": (128, 256, 3, 3)}
    names |= {"decoder.13.conv.weight": (256, 128, 1, 1), "decoder.14.weight": (64, 128, 3, 3)}
    names |= {"decoder.19.conv.weight": (128, 64, 1, 1), "decoder.20.weight": (64, 64, 3, 3)}
    return names | {"decoder.22.weight": (3, 64, 3, 3), "decoder.22.bias": (3,)}


@pytest.fixture(scope="module")
def decoder() -> LightDecoder:
    with torch.device("meta"):
        network = LightDecoder(NARROW)
    fill_with_seed(network, seed=3, prefix="decoder.")
    network["22"].weight.mul_(5)  # so that most pixels lie within the range that is not cut off
    network["22"].bias.add_(0.5)
    return network


def latents(generator: torch.Generator, frames: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, frames, 16, 4, 6, generator=generator)


def near(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-5)


def by_the_book(decoder: LightDecoder, x: Tensor) -> Tensor:
    """A whole clip (T, C, h, w) -> (4 T - 3, 3, H, W) in 0..1, layer by layer, as the published network is described:
    upsampling before growing, memory as the sequence shifted by one frame."""
    w = dict(decoder.named_parameters())

    def conv(x: Tensor, name: str, padding: int = 1) -> Tensor:
        return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), padding=padding)

    x = F.relu(conv(torch.tanh(x / 3) * 3, "1"))
    for first, doubles in ((3, 1), (9, 2), (15, 2)):
        for place in range(first, first + 3):
            past = torch.cat((torch.zeros_like(x[:1]), x[:-1]))
            y = F.relu(conv(torch.cat((x, past), 1), f"{place}.conv.0"))
            x = F.relu(conv(F.relu(conv(y, f"{place}.conv.2")), f"{place}.conv.4") + x)
        x = conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3), f"{first + 4}.conv", padding=0)
        x = conv(x.reshape(-1, x.shape[1] // doubles, *x.shape[2:]), str(first + 5))
    return conv(F.relu(x), "22")[3:].clamp(0, 1)


def test_every_weight_has_its_published_name_and_shape():
    with torch.device("meta"):
        full = LightDecoder(LightDecoderConfig())
    assert {f"decoder.{name}": tuple(w.shape) for name, w in full.state_dict().items()} == published_names()
    assert len(published_names()) == 64


def test_a_clip_is_decoded_as_the_published_network_is_described(decoder, generator):
    x = latents(generator, 4)
    ours = decoder.decoder_stream().decode_at_once(x)
    assert near(ours[0], by_the_book(decoder, x[0]) * 2 - 1)


@pytest.mark.parametrize("pieces", [(1, 1, 1, 1, 1, 1), (3, 3), (2, 1, 3)])
def test_decoding_in_a_stream_equals_decoding_the_whole_clip(decoder, generator, pieces):
    x = latents(generator, 6)
    whole = decoder.decoder_stream().decode_at_once(x)
    stream = decoder.decoder_stream()
    assert near(torch.cat([stream.decode(part) for part in x.split(pieces, dim=1)], dim=1), whole)
    assert whole.shape == (1, 4 * 6 - 3, 3, 32, 48)
    assert whole.min() >= -1 and whole.max() <= 1 and whole.std() > 0.1


def test_every_latent_passes_through_the_network_once(decoder, generator, monkeypatch):
    seen = []
    forward = LightDecoder.forward
    monkeypatch.setattr(LightDecoder, "forward", lambda self, x, m: seen.append(x.shape[1]) or forward(self, x, m))
    stream = decoder.decoder_stream()
    for _ in range(3):
        stream.decode(latents(generator, 3))
    assert sum(seen) == 9


def test_a_restored_stream_goes_on_as_if_it_had_never_left(decoder, generator):
    x, stream = latents(generator, 5), decoder.decoder_stream()
    stream.decode(x[:, :2])
    snapshot = stream.snapshot()
    straight = stream.decode(x[:, 2:])
    for _ in range(2):
        stream.decode(latents(generator, 2))
        stream.restore(snapshot)
        assert torch.equal(stream.decode(x[:, 2:]), straight)


def test_what_a_stream_remembers_is_one_frame_a_memory_block(decoder, generator):
    stream = decoder.decoder_stream()
    sizes = [stream.decode(latents(generator, 1)) is not None and stream.nbytes() for _ in range(4)]
    assert len(set(sizes)) == 1
    assert sizes[0] == 4 * 3 * 24 * (16 + 8 * 4 + 4 * 16)


def test_every_clip_of_a_batch_is_decoded_by_itself(decoder, generator):
    x = latents(generator, 3, batch=2)
    assert near(decoder.decoder_stream().decode(x)[1:], decoder.decoder_stream().decode(x[1:]))


@pytest.mark.slow
def test_it_takes_at_most_a_twenty_fifth_of_wans_operations():
    whole = MatrixGame2Config()
    actions = dataclasses.replace(whole.transformer.actions, layers=(0,))
    wan = dataclasses.replace(  # what decodes is not shortened
        whole, transformer=dataclasses.replace(whole.transformer, layers=1, actions=actions)
    )
    light = dataclasses.replace(wan, decoder=LightDecoderConfig())
    ratio = block_flops(wan).decode / block_flops(light).decode
    print(f"\nWan's decoder takes {ratio:.1f} times the operations of the light one")
    assert ratio >= 25


def test_only_wans_latents_can_be_decoded():
    assert small_config().decoder is None
    with pytest.raises(ConfigError, match="the light decoder does not fit"):
        dataclasses.replace(small_config(), decoder=LightDecoderConfig())
    with pytest.raises(ConfigError, match="the light decoder does not fit"):
        dataclasses.replace(MatrixGame2Config(), decoder=LightDecoderConfig(latent_channels=48))
