"""What the engine asks of a codec, whichever it is: streams that turn frames into latents and back, piece by piece."""

from typing import Any, Protocol

from torch import Tensor, nn

from engine.config.model import PatchCodecConfig, WanCodecConfig
from engine.nets.patch_codec import PatchCodec
from engine.nets.vae import WanVAE


class Stream(Protocol):
    """The state of one video passing through a codec."""

    def snapshot(self) -> Any:
        """A deep copy of the state; opaque."""

    def restore(self, snapshot: Any) -> None:
        """Goes back to it; what follows is bit for bit what followed then."""


class EncoderStream(Stream, Protocol):
    def encode(self, frames: Tensor) -> Tensor:
        """The next frames (B, F, 3, H, W) in [-1, 1] -> latents (B, T, C, h, w)."""


class DecoderStream(Stream, Protocol):
    def decode(self, latents: Tensor) -> Tensor:
        """The next latents (B, T, C, h, w) -> frames (B, F, 3, H, W) in [-1, 1]."""


class Codec(Protocol):
    """A network without state; `memory_latents`: after so many equal inputs its encoder repeats itself exactly."""

    @property
    def memory_latents(self) -> int: ...

    def encoder_stream(self) -> EncoderStream: ...

    def decoder_stream(self) -> DecoderStream: ...


def build_codec(config: WanCodecConfig | PatchCodecConfig) -> nn.Module:
    """The codec that a config names, with weights still to be loaded."""
    if isinstance(config, WanCodecConfig):
        return WanVAE(config)
    return PatchCodec(config)
