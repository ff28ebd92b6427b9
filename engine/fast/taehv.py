"""TAEHV's decoder in fixed shapes: one latent frame in, its video frames out, memory written in place.

Channels-last throughout, (frames, height, width, channels), as engine.fast.decoder. See engine.nets.taehv for what is
computed, and why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.fast.decoder import FastDecoderStream, FrameWiseConv, Memory, StreamingNetwork
from engine.nets.taehv import SOFT_LIMIT, WARMING_PUSHES, Grow, LightDecoder, MemoryBlock


class FastMemoryBlock(nn.Module):
    """See MemoryBlock. scale: of its pictures, relative to the latent's."""

    def __init__(self, source: MemoryBlock, scale: int) -> None:
        super().__init__()
        self.slot, self.scale = source.slot, scale
        self.convs = nn.ModuleList(FrameWiseConv(cast(nn.Conv2d, source.conv[place])) for place in ("0", "2", "4"))
        self.width = cast(nn.Conv2d, source.conv["4"]).out_channels

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """x (T, H, W, C) -> the same shape."""
        before = torch.cat((memory[self.slot], x[:-1]))
        y = torch.cat((x, before), dim=-1)
        memory[self.slot].copy_(x[-1:])
        first, second, third = self.convs
        y = third(F.relu(second(F.relu(first(y), inplace=True)), inplace=True))
        return F.relu(y.add_(x), inplace=True)


class FastGrow(nn.Module):
    """See Grow."""

    def __init__(self, source: Grow) -> None:
        super().__init__()
        self.times, self.conv = source.times, FrameWiseConv(source.conv)

    def forward(self, x: Tensor) -> Tensor:
        """x (T, H, W, C) -> (times T, 2 H, 2 W, C)."""
        frames, height, width, channels = x.shape
        x = self.conv(x).view(frames, height, width, self.times, channels).permute(0, 3, 1, 2, 4)
        x = x.reshape(frames * self.times, height, width, channels).contiguous()
        return F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2.0).permute(0, 2, 3, 1)


class LightNetwork(StreamingNetwork):
    """One latent frame to its video frames. source: the readable network, whose weights it uses."""

    def __init__(self, source: LightDecoder) -> None:
        super().__init__()
        self.config, scale = source.config, 1
        first, *layers, last = source.values()
        self.first, self.last = FrameWiseConv(cast(nn.Conv2d, first)), FrameWiseConv(cast(nn.Conv2d, last))
        made: list[nn.Module] = []
        for layer in layers:
            if isinstance(layer, MemoryBlock):
                made.append(FastMemoryBlock(layer, scale))
            elif isinstance(layer, Grow):
                made.append(FastGrow(layer))
                scale *= 2
            else:
                made.append(FrameWiseConv(cast(nn.Conv2d, layer)))
        self.layers = nn.ModuleList(made)

    def new_memory(self, height: int, width: int) -> Memory:
        """As StreamingNetwork: every memory block's last input frame."""
        blocks = sorted((m for m in self.layers if isinstance(m, FastMemoryBlock)), key=lambda block: block.slot)
        return tuple(
            self.first.weight.new_zeros(1, block.scale * height, block.scale * width, block.width) for block in blocks
        )

    def forward(self, latent: Tensor, memory: Memory) -> Tensor:
        """latent (C, h, w) -> frames (1, time ratio, 3, H, W) in [-1, 1]."""
        x = torch.tanh(latent.permute(1, 2, 0)[None].contiguous() / SOFT_LIMIT) * SOFT_LIMIT
        x = F.relu(self.first(x), inplace=True)
        for layer in self.layers:
            x = layer(x, memory) if isinstance(layer, FastMemoryBlock) else layer(x)
        x = self.last(F.relu(x, inplace=True)).permute(0, 3, 1, 2)
        if self.config.patch > 1:
            x = F.pixel_shuffle(x, self.config.patch)
        return (x.clamp(0, 1) * 2 - 1)[None]


def decode_light(network: LightNetwork, latent: Tensor, memory: Memory) -> Tensor:
    """The program of every latent frame. A function of its own, so that it is compiled once."""
    return network(latent, memory)


@dataclass(frozen=True)
class FastLightDecoder:
    """The decoding half of a codec.

    network: of fixed shapes. program: what decodes a latent frame. warm: as in engine.nets.taehv.LightDecoderStream.
    """

    network: LightNetwork
    program: Callable[[LightNetwork, Tensor, Memory], Tensor] = decode_light
    warm: bool = False

    def first(self, latent: Tensor, memory: Memory) -> Tensor:
        """The frames of a stream's first latent frame."""
        for _ in range(WARMING_PUSHES if self.warm else 0):
            self.program(self.network, latent, memory)
        frames = self.program(self.network, latent, memory)
        return frames if self.warm else frames[:, self.network.config.time_ratio - 1 :]

    def decoder_stream(self) -> FastDecoderStream:
        """A fresh stream that turns latents into video frames."""
        return FastDecoderStream(self)
