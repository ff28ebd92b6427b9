"""Sizes of the light decoder; apart from engine.config for length alone, and, as that, without torch."""

from dataclasses import dataclass

from engine.errors import ConfigError


@dataclass(frozen=True)
class LightDecoderConfig:
    """A light decoder (TAEHV's, taew2_1 by default) that may stand in for that of Wan's VAE.

    Attributes:
        latent_channels: channels of a latent.
        widths: channels of each level, from the latent outwards, and of the last convolution's input.
        memory_blocks: per level.
        temporal: whether each level doubles time as well as space.
    """

    latent_channels: int = 16
    widths: tuple[int, ...] = (256, 128, 64, 64)
    memory_blocks: int = 3
    temporal: tuple[bool, ...] = (False, True, True)

    def __post_init__(self) -> None:
        least = min(self.latent_channels, self.memory_blocks, *self.widths)
        if least <= 0:
            raise ConfigError("a size of the light decoder is out of range", got=least, expected="more than 0")
        if len(self.widths) != len(self.temporal) + 1:
            expected = f"{len(self.temporal) + 1}, one more than temporal"
            raise ConfigError("decoder.widths has the wrong length", got=len(self.widths), expected=expected)

    @property
    def space(self) -> int:
        """Pixels of a latent position, along one axis."""
        return 2 ** len(self.temporal)

    @property
    def time_ratio(self) -> int:
        """Video frames of a latent frame."""
        return 2 ** sum(self.temporal)
