"""TAEHV's tiny autoencoders: taehv1_5 both ways, and taew2_1's decoder as a light one for latents of Wan2.1.

Every convolution looks at one frame, and time passes only through memory blocks, each of which sees its own input of
the frame before, and through layers that make one frame of two or two of one. So a stream carries one frame per memory
block, and nothing is computed twice. Weights are the network's (`LightDecoder`, `LightEncoder`: immutable); what a
stream remembers is its own.

Source: madebyollin/taehv (MIT): names, shapes and arithmetic of the published weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.config.model import LightDecoderConfig, TaehvCodecConfig
from engine.nets.vae import FrameConv, StreamMemory

SOFT_LIMIT = 3.0  # latents are squeezed into -3..3
WARMING_PUSHES = 3  # of the first latent before it counts, as Waypoint's makers do


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
        layers[str(place + 1)] = FrameConv(config.widths[-1], 3 * config.patch**2, 3, padding=1)
        super().__init__(layers)
        self.config, self.slots = config, slots

    def forward(self, latents: Tensor, memory: StreamMemory) -> Tensor:
        """latents (B, T, C, h, w) -> frames (B, time_ratio T, 3, H, W), about 0..1 and not clamped."""
        first, *layers, last = self.values()
        x = F.relu(first(torch.tanh(latents / SOFT_LIMIT) * SOFT_LIMIT))
        for layer in layers:
            x = layer(x, memory) if isinstance(layer, MemoryBlock) else layer(x)
        x = last(F.relu(x))
        return F.pixel_shuffle(x, self.config.patch) if self.config.patch > 1 else x

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


class LightEncoder(nn.ModuleDict):
    """The way back; parameters bear the published names without their leading `encoder.`. config: as the decoder's."""

    def __init__(self, config: TaehvCodecConfig) -> None:
        width = config.encoder_width
        layers: dict[str, nn.Module] = {"0": FrameConv(3 * config.patch**2, width, 3, padding=1)}
        place, slots = 2, 0
        for frames in config.pooled:
            layers[str(place)] = Pool(width, frames)
            layers[str(place + 1)] = FrameConv(width, width, 3, stride=2, padding=1, bias=False)
            place += 2
            for _ in range(config.memory_blocks):
                layers[str(place)] = MemoryBlock(width, slots)
                place, slots = place + 1, slots + 1
        layers[str(place)] = FrameConv(width, config.latent_channels, 3, padding=1)
        super().__init__(layers)
        self.config, self.slots = config, slots

    def forward(self, frames: Tensor, memory: StreamMemory) -> Tensor:
        """frames (B, T, 3, H, W) in [0, 1], T a multiple of the time ratio -> latents (B, T / time ratio, C, h, w)."""
        first, *layers = self.values()
        x = F.relu(first(F.pixel_unshuffle(frames, self.config.patch)))
        for layer in layers:
            x = layer(x, memory) if isinstance(layer, MemoryBlock) else layer(x)
        return x


class Pool(nn.Module):
    """Makes one frame of `frames`, stacked on channels with the oldest first, by a 1x1 convolution."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.conv = FrameConv(frames * width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C, H, W) -> (B, T / frames, C, H, W)."""
        return self.conv(rearrange(x, "b (t n) c h w -> b t (n c) h w", n=self.frames))


class TaehvCodec(nn.Module):
    """A whole tiny autoencoder. Parameters bear the published names.

    config: of both halves. stretched: (height, width) of the model's pictures where they are not those coded; they are
    then stretched to (height, width) x `config.space` of the latent going in, and back coming out.
    """

    def __init__(self, config: TaehvCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = LightEncoder(config)
        self.decoder = LightDecoder(config.decoder)

    @property
    def of_decoder(self) -> tuple[str, ...]:
        """Beginnings of the names of all weights that only decoding uses."""
        return ("decoder.",)

    def encoder_stream(self) -> TaehvEncoderStream:
        """A fresh stream that turns video frames into latents."""
        return TaehvEncoderStream(self.encoder)

    def decoder_stream(self) -> LightDecoderStream:
        """A fresh stream that turns latents into video frames, as many for the first as for every other."""
        return LightDecoderStream(self.decoder, warm=True)


class TaehvEncoderStream:
    """Turns a video into latents, some frames at a time."""

    def __init__(self, encoder: LightEncoder) -> None:
        self._encoder = encoder
        self._memory = StreamMemory(encoder.slots)

    def encode(self, frames: Tensor) -> Tensor:
        """Encodes the next frames (B, T, 3, H, W) in [-1, 1], T a multiple of the time ratio.

        Returns latents (B, T / time ratio, C, h, w). Raises ValueError for any other number of frames, or a size that
        is no multiple of the codec's.
        """
        config = self._encoder.config
        if frames.shape[1] < 1 or frames.shape[1] % config.time_ratio:
            raise ValueError(f"got {frames.shape[1]} frames; expected n x {config.time_ratio}")
        if any(size % config.space for size in frames.shape[-2:]):
            raise ValueError(f"got frames of {tuple(frames.shape[-2:])}; expected multiples of {config.space}")
        unit = ((frames.float() + 1) / 2).to(next(self._encoder.parameters()))
        return torch.cat([self._encoder(part, self._memory) for part in unit.split(config.time_ratio, dim=1)], dim=1)

    def snapshot(self) -> StreamMemory:
        """A deep copy of everything the stream remembers."""
        return self._memory.copy()

    def restore(self, snapshot: StreamMemory) -> None:
        """Goes back to a snapshot of a stream of the same kind; what follows is bit for bit what followed then."""
        self._memory = snapshot.copy()

    def nbytes(self) -> int:
        """Bytes remembered."""
        return self._memory.nbytes()


class LightDecoderStream:
    """Turns latents into a video, some latents at a time.

    warm: the first latent is shown to a fresh decoder several times before it counts, so that it makes as many video
    frames as every other; otherwise it makes one.
    """

    def __init__(self, decoder: LightDecoder, *, warm: bool = False) -> None:
        self._decoder, self._warm = decoder, warm
        self._memory = StreamMemory(decoder.slots)

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes the next latents, one after the other.

        latents: (B, T, C, h, w), T >= 1. Returns (B, F, 3, H, W) in [-1, 1]: `config.time_ratio` video frames for each,
        but one for the very first latent of a stream that is not warmed.
        """
        if self._warm and not self._memory.started:
            for _ in range(WARMING_PUSHES):
                self._decoder(latents[:, :1].to(next(self._decoder.parameters())), self._memory)
            self._memory.started = True
        return torch.cat([self.decode_at_once(latent) for latent in latents.split(1, dim=1)], dim=1)

    def decode_at_once(self, latents: Tensor) -> Tensor:
        """The same, of a stream that is not warmed, in one pass; costs memory in proportion to the latents."""
        frames = self._decoder(latents.to(next(self._decoder.parameters())), self._memory)
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
