"""The embedded model's codec: every picture for itself, patch by patch, with a small convolutional finish.

The encoder is one linear map of non-overlapping patches, so a latent moves as the picture moves and encoding is nearly
free; the decoder is the map back, then a few convolutions that smooth the seams between patches. Both were fitted by
engine.training. The streams mirror those of engine.nets.vae, so that a rollout need not know which codec it drives.
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.config.model import PatchCodecConfig


class PatchCodec(nn.Module):
    """Pictures to latents and back.

    Args:
        config: patch size, channels, and the width and depth of the finish (0: none).
    """

    def __init__(self, config: PatchCodecConfig) -> None:
        super().__init__()
        self.config = config
        patch, channels = config.patch, config.latent_channels
        self.encoder = nn.Conv2d(3, channels, patch, stride=patch)
        self.decoder = nn.ConvTranspose2d(channels, 3, patch, stride=patch)
        self.finish = Finish(config.finish_width, config.finish_layers) if config.finish_layers else None

    @property
    def memory_latents(self) -> int:
        """Frames that a latent depends on beside its own: none."""
        return 0

    def encode(self, frames: Tensor) -> Tensor:
        """frames (B, 3, H, W) in -1..1 -> latents (B, C, H / patch, W / patch)."""
        return self.encoder(frames)

    def decode(self, latents: Tensor) -> Tensor:
        """latents (B, C, h, w) -> frames (B, 3, h * patch, w * patch), about -1..1 and not clamped."""
        frames = self.decoder(latents)
        return frames if self.finish is None else frames + self.finish(frames)

    def encoder_stream(self) -> PatchEncoderStream:
        """A fresh stream that turns video frames into latents."""
        return PatchEncoderStream(self)

    def decoder_stream(self) -> PatchDecoderStream:
        """A fresh stream that turns latents into video frames."""
        return PatchDecoderStream(self)


class Finish(nn.Module):
    """What the patches' decoder left out, as a small residual network at half the picture's size.

    Args:
        width: channels inside.
        layers: 3x3 convolutions with a residual path, beside the first and the last.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(12, width, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(layers))
        self.leave = nn.Conv2d(width, 12, 3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, 3, H, W), H and W even -> what to add to them, the same shape."""
        x = self.enter(F.pixel_unshuffle(frames, 2))
        for layer in self.layers:
            x = x + layer(F.silu(x))
        return F.pixel_shuffle(self.leave(F.silu(x)), 2)


class _FrameStream:
    """A stream without memory: each frame stands alone."""

    def __init__(self, codec: PatchCodec) -> None:
        self._codec = codec

    def snapshot(self) -> None:
        """Nothing is remembered."""

    def restore(self, snapshot: None) -> None:
        """Nothing to go back to."""


class PatchEncoderStream(_FrameStream):
    """Video frames to latents, one for one."""

    def encode(self, frames: Tensor) -> Tensor:
        """frames (B, T, 3, H, W) in -1..1 -> latents (B, T, C, h, w)."""
        flat = self._codec.encode(rearrange(frames, "b t c h w -> (b t) c h w"))
        return rearrange(flat, "(b t) c h w -> b t c h w", b=frames.shape[0])


class PatchDecoderStream(_FrameStream):
    """Latents to video frames, one for one."""

    def decode(self, latents: Tensor) -> Tensor:
        """latents (B, T, C, h, w) -> frames (B, T, 3, H, W), clamped to -1..1."""
        flat = rearrange(latents, "b t c h w -> (b t) c h w").to(self._codec.decoder.weight.dtype)
        flat = self._codec.decode(flat)
        return rearrange(flat, "(b t) c h w -> b t c h w", b=latents.shape[0]).clamp(-1, 1)
