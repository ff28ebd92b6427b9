"""Wan2.1's causal video VAE: pictures to latents and back, a few frames at a time, for ever.

Weights are the network's (`WanVAE`, immutable); what a stream remembers of earlier frames is its own
(`EncoderStream`, `DecoderStream`). Many streams may use one network. Source: Wan2.1 wan/modules/vae.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config.model import WanCodecConfig
from engine.nets.vae_layers import (
    CausalConv,
    ChannelNorm,
    Downsample,
    FrameAttention,
    ResidualBlock,
    StreamMemory,
    Upsample,
    number_slots,
)


class WanVAE(nn.Module):
    """The whole VAE; parameters bear the published names.

    Its methods make streams; a stream holds all that changes. `config`: sizes and the latents' mean and std.
    """

    def __init__(self, config: WanCodecConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.encoder = Encoder(config)
        self.conv1 = CausalConv(2 * channels, 2 * channels, taps=1, space=1)
        self.conv2 = CausalConv(channels, channels, taps=1, space=1)
        self.decoder = Decoder(config)

    @property
    def of_decoder(self) -> tuple[str, ...]:
        """Beginnings of the names of all weights that only decoding uses."""
        return "decoder.", "conv2."

    def encoder_stream(self) -> EncoderStream:
        """A fresh stream that turns video frames into latents."""
        return EncoderStream(self)

    def decoder_stream(self) -> DecoderStream:
        """A fresh stream that turns latents into video frames."""
        return DecoderStream(self)

    @property
    def memory_latents(self) -> int:
        """Latents after which the encoder has forgotten: latent i sees no video frame of latent i - this or before.

        The encoder has no feedback, only convolutions over a bounded past, so this is exact, not a limit. A first frame
        followed by zeros for ever gives the same latent again and again, bit for bit, from latent `memory_latents` on
        (29 for Wan's own sizes): whoever feeds zeros may stop there and repeat the last latent.
        """
        # Walks from the newest latent back to the video frames that it sees, in frames of each level.
        past = 2 * (1 + 2 * 2)  # head and the middle's two blocks: every 3-tap convolution looks 2 frames back
        for level in reversed(range(len(self.config.multipliers))):
            past += 2 * 2 * self.config.residual_blocks
            if level and self.config.temporal[level - 1]:
                past = 2 * past + 2  # a 3-tap convolution of stride 2
        past += 2  # conv1
        return -(-past // self.config.time_ratio) + 1


class Encoder(nn.Module):
    """Video frames to mean and log-variance of the latents (before `conv1`)."""

    def __init__(self, config: WanCodecConfig) -> None:
        super().__init__()
        widths = [config.width * m for m in (1, *config.multipliers)]
        self.conv1 = CausalConv(3, widths[0])
        layers: list[nn.Module] = []
        for level, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            layers += [ResidualBlock(inputs if i == 0 else outputs, outputs) for i in range(config.residual_blocks)]
            if level < len(config.temporal):
                layers.append(Downsample(outputs, config.temporal[level]))
        self.downsamples = nn.ModuleList(layers)
        self.middle = _middle(widths[-1])
        self.head = _head(widths[-1], 2 * config.latent_channels)
        self.slots = number_slots(self)

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        """x (B, T, 3, H, W) -> (B, T', 2 C, h, w)."""
        x = self.conv1(x, memory)
        for layer in (*self.downsamples, *self.middle):
            x = layer(x, memory)
        return self.head["2"](F.silu(self.head["0"](x)), memory)


class Decoder(nn.Module):
    """Latents (after `conv2`) to video frames, not yet clamped."""

    def __init__(self, config: WanCodecConfig) -> None:
        super().__init__()
        outputs = [config.width * m for m in reversed(config.multipliers)]
        temporal = config.temporal[::-1]
        width = outputs[0]
        self.conv1 = CausalConv(config.latent_channels, width)
        self.middle = _middle(width)
        layers: list[nn.Module] = []
        for level, output in enumerate(outputs):
            layers += [ResidualBlock(width if i == 0 else output, output) for i in range(config.residual_blocks + 1)]
            width = output
            if level < len(temporal):
                layers.append(Upsample(width, temporal[level]))
                width //= 2
        self.upsamples = nn.ModuleList(layers)
        self.head = _head(width, 3)
        self.slots = number_slots(self)

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        """x (B, T, C, h, w) -> (B, T', 3, H, W)."""
        x = self.conv1(x, memory)
        for layer in (*self.middle, *self.upsamples):
            x = layer(x, memory)
        return self.head["2"](F.silu(self.head["0"](x)), memory)


def _middle(channels: int) -> nn.ModuleList:
    return nn.ModuleList(
        [ResidualBlock(channels, channels), FrameAttention(channels), ResidualBlock(channels, channels)]
    )


def _head(inputs: int, outputs: int) -> nn.ModuleDict:
    return nn.ModuleDict({"0": ChannelNorm(inputs), "2": CausalConv(inputs, outputs)})


@dataclass(frozen=True)
class StreamSnapshot:
    """What a stream remembered at one moment; opaque, reusable any number of times."""

    memory: StreamMemory


class _Stream:
    """What both directions share: one memory, and copies of it."""

    def __init__(self, vae: WanVAE, slots: int) -> None:
        self._vae = vae
        self._memory = StreamMemory(slots)
        weight = vae.conv1.weight
        self._mean, self._std = (
            torch.tensor(values, device=weight.device, dtype=weight.dtype)[:, None, None]
            for values in (vae.config.mean, vae.config.std)
        )

    def snapshot(self) -> StreamSnapshot:
        """A deep copy of everything the stream remembers."""
        return StreamSnapshot(self._memory.copy())

    def restore(self, snapshot: StreamSnapshot) -> None:
        """Goes back to a snapshot of a stream of the same kind; what follows is bit for bit what followed then."""
        self._memory = snapshot.memory.copy()

    def nbytes(self) -> int:
        """Bytes remembered; constant from the second latent frame on."""
        return self._memory.nbytes()


class EncoderStream(_Stream):
    """Turns a video into latents, some frames at a time."""

    def __init__(self, vae: WanVAE) -> None:
        super().__init__(vae, vae.encoder.slots)

    def encode(self, frames: Tensor) -> Tensor:
        """Encodes the next frames.

        frames: (B, T, 3, H, W) in [-1, 1], H and W multiples of `config.space`; T = 1 + r n in the first call and
        r n in every later one (r = `config.time_ratio`). Returns (B, T', C, h, w), normalised per channel: one latent
        for the first frame and one for every r frames after. Raises ValueError for any other number of frames or size.
        """
        first, ratio, space = int(not self._memory.started), self._vae.config.time_ratio, self._vae.config.space
        if frames.shape[1] < 1 or (frames.shape[1] - first) % ratio:
            raise ValueError(f"got {frames.shape[1]} frames; expected {'1 + ' if first else ''}n x {ratio}")
        if any(size % space for size in frames.shape[-2:]):
            raise ValueError(f"got frames of {tuple(frames.shape[-2:])}; expected multiples of {space}")
        # Four video frames at a time however many came: memory stays that of one latent frame.
        return torch.cat([self._encode_one(part) for part in _parts(frames, first, ratio)], dim=1)

    def encode_at_once(self, frames: Tensor) -> Tensor:
        """The same in one pass through the network, without chunks; costs memory in proportion to the frames."""
        return self._encode_one(frames)

    def _encode_one(self, frames: Tensor) -> Tensor:
        vae = self._vae
        mean, _log_variance = vae.conv1(vae.encoder(frames.to(self._mean), self._memory), self._memory).chunk(2, dim=2)
        self._memory.started = True
        return (mean - self._mean) / self._std


class DecoderStream(_Stream):
    """Turns latents into a video, some latents at a time."""

    def __init__(self, vae: WanVAE) -> None:
        super().__init__(vae, vae.decoder.slots)

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes the next latents, one after the other.

        latents: (B, T, C, h, w), normalised per channel, T >= 1. Returns (B, F, 3, H, W) in [-1, 1]: one video frame
        for the very first latent of the stream and `config.time_ratio` for every other.
        """
        return torch.cat([self.decode_at_once(latent) for latent in latents.split(1, dim=1)], dim=1)

    def decode_at_once(self, latents: Tensor) -> Tensor:
        """The same in one pass through the network; costs memory in proportion to the latents."""
        vae = self._vae
        frames = vae.decoder(vae.conv2(latents.to(self._mean) * self._std + self._mean, self._memory), self._memory)
        self._memory.started = True
        return frames.clamp(-1, 1)


def _parts(frames: Tensor, first: int, ratio: int) -> Iterator[Tensor]:
    if first:
        yield frames[:, :1]
    for start in range(first, frames.shape[1], ratio):
        yield frames[:, start : start + ratio]
