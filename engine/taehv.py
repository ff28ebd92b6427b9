"""The light decoder: latents of Wan2.1 to video frames for a small part of what Wan's own decoder costs.

TAEHV's decoder: every convolution looks at one frame, and time passes only through memory blocks, each of which sees
its own input of the frame before. So a stream carries one frame per memory block, and nothing is decoded twice.
Weights are the network's (`LightDecoder`, immutable); what a stream remembers is its own (`LightDecoderStream`).

Source: madebyollin/taehv (MIT): names, shapes and arithmetic of the published taew2_1 weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.decoder_config import LightDecoderConfig
from engine.vae_layers import FrameConv, StreamMemory

_SOFT_LIMIT = 3.0  # latents are squeezed into -3..3


class LightDecoder(nn.ModuleDict):
    """The whole decoder; parameters bear the published names without their leading `decoder.`.

    config: widths, memory blocks of a level, and which levels double time.
    """

    def __init__(self, config: LightDecoderConfig) -> None:
        # Keys are the places the layers have in the published file; activations and upsampling take places too.
        layers: dict[str, nn.Module] = {"1": FrameConv(config.latent_channels, config.widths[0], 3, padding=1)}
        place, slots = 3, 0
        for level, doubles in enumerate(config.temporal):
            width = config.widths[level]
            for _ in range(config.memory_blocks):
                layers[str(place)] = MemoryBlock(width, slots)
                place, slots = place + 1, slots + 1
            layers[str(place + 1)] = Grow(width, 2 if doubles else 1)
            layers[str(place + 2)] = FrameConv(width, config.widths[level + 1], 3, padding=1, bias=False)
            place += 3
        layers[str(place + 1)] = FrameConv(config.widths[-1], 3, 3, padding=1)
        super().__init__(layers)
        self.config, self.slots = config, slots

    def forward(self, latents: Tensor, memory: StreamMemory) -> Tensor:
        """latents (B, T, C, h, w) -> frames (B, time_ratio T, 3, H, W), about 0..1 and not clamped."""
        first, *layers, last = self.values()
        x = F.relu(first(torch.tanh(latents / _SOFT_LIMIT) * _SOFT_LIMIT))
        for layer in layers:
            x = layer(x, memory) if isinstance(layer, MemoryBlock) else layer(x)
        return last(F.relu(x))

    def decoder_stream(self) -> LightDecoderStream:
        """A fresh stream that turns latents into video frames."""
        return LightDecoderStream(self)


class MemoryBlock(nn.Module):
    """Three 3x3 convolutions over a frame and the block's input of the frame before, added to the frame.

    slot: where in the stream's memory that input lies; zeros before the first frame.
    """

    def __init__(self, width: int, slot: int) -> None:
        super().__init__()
        self.slot = slot
        # 1 and 3 are the places of the activations in the published file.
        self.conv = nn.ModuleDict({
            "0": FrameConv(2 * width, width, 3, padding=1),
            "2": FrameConv(width, width, 3, padding=1),
            "4": FrameConv(width, width, 3, padding=1),
        })  # fmt: skip

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        """x (B, T, C, H, W), T new frames -> the same shape."""
        before = torch.cat((memory.recall(self.slot, x, 1), x[:, :-1]), dim=1)
        memory.keep(self.slot, x[:, -1:])
        y = self.conv["0"](torch.cat((x, before), dim=2))
        for place in ("2", "4"):
            y = self.conv[place](F.relu(y))
        return F.relu(y + x)


class Grow(nn.Module):
    """Doubles space by repetition and makes `times` frames of each, by a 1x1 convolution to as many times the channels.

    Published in the other order, which comes to the same: the convolution sees no neighbours. So it costs a quarter.
    """

    def __init__(self, width: int, times: int) -> None:
        super().__init__()
        self.times = times
        self.conv = FrameConv(width, times * width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C, H, W) -> (B, times T, C, 2 H, 2 W)."""
        batch, frames = x.shape[0], x.shape[1] * self.times
        flat = rearrange(self.conv(x), "b t (n c) h w -> (b t n) c h w", n=self.times)
        return rearrange(F.interpolate(flat, scale_factor=2.0), "(b t) c h w -> b t c h w", b=batch, t=frames)


class LightDecoderStream:
    """Turns latents into a video, some latents at a time."""

    def __init__(self, decoder: LightDecoder) -> None:
        self._decoder = decoder
        self._memory = StreamMemory(decoder.slots)

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes the next latents, one after the other.

        latents: (B, T, C, h, w), normalised per channel, T >= 1. Returns (B, F, 3, H, W) in [-1, 1]: one video frame
        for the very first latent of the stream and `config.time_ratio` for every other.
        """
        return torch.cat([self.decode_at_once(latent) for latent in latents.split(1, dim=1)], dim=1)

    def decode_at_once(self, latents: Tensor) -> Tensor:
        """The same in one pass through the network; costs memory in proportion to the latents."""
        weight = self._decoder["1"].weight
        frames = self._decoder(latents.to(weight), self._memory)
        # The first latent is one video frame, the last of those made of it; those before only warm up the memory.
        extra = 0 if self._memory.started else self._decoder.config.time_ratio - 1
        self._memory.started = True
        return frames[:, extra:].clamp(0, 1) * 2 - 1

    def snapshot(self) -> StreamMemory:
        """A deep copy of everything the stream remembers."""
        return self._memory.copy()

    def restore(self, snapshot: StreamMemory) -> None:
        """Goes back to a snapshot of a stream of the same kind; what follows is bit for bit what followed then."""
        self._memory = snapshot.copy()

    def nbytes(self) -> int:
        """Bytes remembered; constant from the first latent frame on."""
        return self._memory.nbytes()
