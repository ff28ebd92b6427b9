"""Wan2.1's causal video VAE: pictures to latents and back, a few frames at a time, for ever.

Weights are the network's (`WanVAE`, immutable); what a stream remembers of earlier frames is its own
(`EncoderStream`, `DecoderStream`). Many streams may use one network. Every tensor of a layer is (B, T, C, H, W). No
layer holds state: what it must remember of earlier frames lies in the `StreamMemory` passed to it, under the number it
was given when the network was built. Source: Wan2.1 wan/modules/vae.py (weight names and arithmetic).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.config.model import WanCodecConfig


class StreamMemory:
    """Everything one stream remembers between calls.

    slots: per remembering layer its last input frames, None before the first. started: whether any frame has passed.
    Tensors in the slots are replaced, never written into.
    """

    def __init__(self, slots: int) -> None:
        self.slots: list[Tensor | None] = [None] * slots
        self.started = False

    def recall(self, slot: int, like: Tensor, frames: int) -> Tensor:
        """The last `frames` input frames of a layer; zeros before the first frame."""
        past = self.slots[slot]
        return torch.zeros_like(like[:, :1]).expand(-1, frames, -1, -1, -1) if past is None else past

    def keep(self, slot: int, frames: Tensor) -> None:
        """Remembers `frames` for the next call; a copy, so that the longer tensor it may be a view of is freed."""
        self.slots[slot] = frames.clone(memory_format=torch.contiguous_format)

    def copy(self) -> StreamMemory:
        """An independent memory with the same content; the tensors, which nobody writes into, are shared."""
        twin = StreamMemory(len(self.slots))
        twin.slots = list(self.slots)
        twin.started = self.started
        return twin

    def nbytes(self) -> int:
        """Bytes held."""
        return sum(frames.nbytes for frames in self.slots if frames is not None)


def number_slots(network: nn.Module) -> int:
    """Gives every remembering layer of a network its slot number; returns how many there are."""
    remembering = [layer for layer in network.modules() if isinstance(layer, CausalConv) and layer.taps > 1]
    for number, layer in enumerate(remembering):
        layer.slot = number
    return len(remembering)


class CausalConv(nn.Module):
    """A convolution over time and space whose output frame sees its own and `taps - 1` earlier input frames.

    It is computed as one 2-d convolution per output frame, over the channels of all its taps: the same sums as a 3-d
    convolution, quicker on the CPU, and with one frame's worth of scratch memory.
    """

    def __init__(self, inputs: int, outputs: int, taps: int = 3, space: int = 3) -> None:
        super().__init__()
        self.taps, self.space = taps, space
        self.slot = -1
        self.weight = nn.Parameter(torch.empty(outputs, inputs, taps, space, space))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        """x (B, T, inputs, H, W), T new frames -> (B, T, outputs, H, W)."""
        if self.taps == 1:
            return self.slide(x)
        window = torch.cat([memory.recall(self.slot, x, self.taps - 1), x], dim=1)
        memory.keep(self.slot, window[:, 1 - self.taps :])
        return self.slide(window)

    def slide(self, window: Tensor, step: int = 1) -> Tensor:
        """The convolution without padding in time: T frames -> (T - taps) // step + 1."""
        weight = rearrange(self.weight, "o c t h w -> o (c t) h w")
        starts = range(0, window.shape[1] - self.taps + 1, step)
        seen = (rearrange(window[:, i : i + self.taps], "b t c h w -> b (c t) h w") for i in starts)
        return torch.stack([F.conv2d(x, weight, self.bias, padding=self.space // 2) for x in seen], dim=1)


class FrameConv(nn.Conv2d):
    """A 2-d convolution of every frame by itself."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, inputs, H, W) -> (B, T, outputs, H', W')."""
        return rearrange(
            super().forward(rearrange(x, "b t c h w -> (b t) c h w")), "(b t) c h w -> b t c h w", b=len(x)
        )


class ChannelNorm(nn.Module):
    """Scales each position's channel vector to length sqrt(C), then by a learned factor per channel.

    axes: how many axes of size 1 the stored factor has after its channels (3 in video layers, 2 in attention).
    """

    def __init__(self, channels: int, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(channels, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C, H, W) -> the same shape."""
        return F.normalize(x, dim=2) * (len(self.gamma) ** 0.5 * rearrange(self.gamma, "c ... -> c (...) 1"))


class ResidualBlock(nn.Module):
    """Twice norm, SiLU, 3x3x3 convolution, added to the input (through a 1x1x1 one where the width changes)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # The numbers are the places these layers have in the published checkpoints.
        self.residual = nn.ModuleDict(
            {
                "0": ChannelNorm(inputs),
                "2": CausalConv(inputs, outputs),
                "3": ChannelNorm(outputs),
                "6": CausalConv(outputs, outputs),
            }
        )
        self.shortcut = CausalConv(inputs, outputs, taps=1, space=1) if inputs != outputs else None

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        skip = x if self.shortcut is None else self.shortcut(x, memory)
        x = self.residual["2"](F.silu(self.residual["0"](x)), memory)
        x = self.residual["6"](F.silu(self.residual["3"](x)), memory)
        return x + skip


class FrameAttention(nn.Module):
    """One head of attention over all positions of a frame; frames don't see each other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, axes=2)
        self.to_qkv = FrameConv(channels, 3 * channels, 1)
        self.proj = FrameConv(channels, channels, 1)

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        height = x.shape[-2]
        q, k, v = rearrange(self.to_qkv(self.norm(x)), "b t (n c) h w -> n b t (h w) c", n=3)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj(rearrange(y, "b t (h w) c -> b t c h w", h=height))


class Downsample(nn.Module):
    """Halves space and, if temporal, time: the first frame passes through, each later pair becomes one frame."""

    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": FrameConv(channels, channels, 3, stride=2)})
        self.time_conv = CausalConv(channels, channels, taps=3, space=1) if temporal else None

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        x = self.resample["1"](F.pad(x, (0, 1, 0, 1)))  # one column on the right, one row below
        if self.time_conv is None:
            return x
        slot = self.time_conv.slot
        passed = x[:, :0] if memory.started else x[:, :1]
        window = x if not memory.started else torch.cat([memory.recall(slot, x, 1), x], dim=1)
        memory.keep(slot, x[:, -1:])
        if window.shape[1] < self.time_conv.taps:
            return passed
        return torch.cat([passed, self.time_conv.slide(window, step=2)], dim=1)


class Upsample(nn.Module):
    """Doubles space (halving channels) and, if temporal, time first: the first frame passes through undoubled."""

    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": FrameConv(channels, channels // 2, 3, padding=1)})
        self.time_conv = CausalConv(channels, 2 * channels, taps=3, space=1) if temporal else None

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        if self.time_conv is not None:
            passed, doubled = (x[:, :0], x) if memory.started else (x[:, :1], x[:, 1:])
            if doubled.shape[1]:
                pairs = self.time_conv(doubled, memory)
                doubled = rearrange(pairs, "b t (two c) h w -> b (t two) c h w", two=2)
            x = torch.cat([passed, doubled], dim=1)
        height, width = x.shape[-2:]
        flat = F.interpolate(rearrange(x, "b t c h w -> (b t) c h w"), size=(2 * height, 2 * width), mode="nearest")
        return self.resample["1"](rearrange(flat, "(b t) c h w -> b t c h w", b=len(x)))


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
    """What both directions share: one memory, and copies of it. weight: of the half that it runs through."""

    def __init__(self, vae: WanVAE, slots: int, weight: Tensor) -> None:
        self._vae = vae
        self._memory = StreamMemory(slots)
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
        super().__init__(vae, vae.encoder.slots, vae.conv1.weight)

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
        super().__init__(vae, vae.decoder.slots, vae.conv2.weight)

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
