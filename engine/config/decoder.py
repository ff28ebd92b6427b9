"""Sizes of TAEHV's decoders and encoder; without torch, as engine.config.model."""

import math
from dataclasses import dataclass
from typing import ClassVar

from engine.config.fields import need, positive
from engine.errors import ConfigError


@dataclass(frozen=True)
class LightDecoderConfig:
    """A light decoder (TAEHV's, taew2_1 by default) that may stand in for that of Wan's VAE.

    Attributes:
        latent_channels: channels of a latent.
        widths: channels of each level, from the latent outwards, and of the last convolution's input.
        memory_blocks: per level.
        temporal: whether each level doubles time as well as space.
        patch: pixels, along one axis, that the last convolution makes at once.
    """

    latent_channels: int = 16
    widths: tuple[int, ...] = (256, 128, 64, 64)
    memory_blocks: int = 3
    temporal: tuple[bool, ...] = (False, True, True)
    patch: int = 1

    def __post_init__(self) -> None:
        least = min(self.latent_channels, self.memory_blocks, self.patch, *self.widths)
        if least <= 0:
            raise ConfigError("a size of the light decoder is out of range", got=least, expected="more than 0")
        if len(self.widths) != len(self.temporal) + 1:
            expected = f"{len(self.temporal) + 1}, one more than temporal"
            raise ConfigError("decoder.widths has the wrong length", got=len(self.widths), expected=expected)

    @property
    def space(self) -> int:
        """Pixels of a latent position, along one axis."""
        return self.patch * int(2 ** len(self.temporal))

    @property
    def time_ratio(self) -> int:
        """Video frames of a latent frame."""
        return int(2 ** sum(self.temporal))


@dataclass(frozen=True)
class TaehvCodecConfig:
    """TAEHV's tiny autoencoder both ways (taehv1_5 by default): 16x in space, 4x in time.

    Attributes:
        latent_channels: channels of a latent; there is no scale and no shift on them.
        encoder_width: channels of the whole encoder.
        widths: channels of the decoder's levels, from the latent outwards, and of its last convolution's input.
        memory_blocks: per level, in both.
        pooled: frames that each level of the encoder makes one of, from the picture inwards.
        temporal: whether each level of the decoder doubles time, from the latent outwards.
        patch: pixels, along one axis, that are moved into channels before the encoder and back after the decoder.
    """

    kind: ClassVar[str] = "taehv"
    latent_channels: int = 32
    encoder_width: int = 64
    widths: tuple[int, ...] = (256, 128, 64, 64)
    memory_blocks: int = 3
    pooled: tuple[int, ...] = (2, 2, 1)
    temporal: tuple[bool, ...] = (False, True, True)
    patch: int = 2

    def __post_init__(self) -> None:
        positive(self, "encoder_width")
        ratio = math.prod(self.pooled)
        need(min(self.pooled) > 0, "codec.pooled", self.pooled, "more than 0")
        need(len(self.pooled) == len(self.temporal), "codec.pooled has the wrong length", len(self.pooled),
             f"{len(self.temporal)}, as temporal")  # fmt: skip
        need(ratio == self.decoder.time_ratio, "codec.pooled", self.pooled, f"a product of {self.decoder.time_ratio}")

    @property
    def decoder(self) -> LightDecoderConfig:
        """Of the decoding half."""
        return LightDecoderConfig(self.latent_channels, self.widths, self.memory_blocks, self.temporal, self.patch)

    @property
    def space(self) -> int:
        """Pixels of a latent position, along one axis."""
        return self.decoder.space

    @property
    def time_ratio(self) -> int:
        """Video frames of a latent frame."""
        return self.decoder.time_ratio
