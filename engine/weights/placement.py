"""Which device holds which network, and in which precision."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

import torch

Bits = Literal["fp8", "int8"]
"""Kinds of numbers of eight bits."""
DtypeOf = Callable[[str], torch.dtype]
"""The dtype that a weight is to have, by its name."""


@dataclass(frozen=True)
class Place:
    """A device and the dtype of the weights there."""

    device: torch.device | str
    dtype: torch.dtype


@dataclass(frozen=True)
class Placement:
    """Places of a model's networks; those not named are where the transformer is.

    Attributes:
        transformer: where a rollout lives.
        vae: encoder and decoder, the light one too.
        image_tower: looks at the first frame.
        bits: of the transformer's large linear layers, None for as many as its other weights have.
    """

    transformer: Place
    vae: Place | None = None
    image_tower: Place | None = None
    bits: Bits | None = None

    def of(self, network: str, exact: Collection[str] = ()) -> Place:
        """The place of a network by its name in `Networks.modules`. exact: those that are in float32 all the same."""
        named = {"codec": self.vae, "light_decoder": self.vae, "image_tower": self.image_tower}
        place = named.get(network) or self.transformer
        return replace(place, dtype=torch.float32) if network in exact else place

    def numbers(self, network: str, decoding: tuple[str, ...], exact: Collection[str] = ()) -> DtypeOf:
        """The dtype of each weight of a network, by its name.

        decoding: beginnings of the names of those that make pictures of latents. Where the others are bfloat16 on a GPU
        these are float16, as in the original: as quick, and a ninth of the noise that bfloat16 leaves in a picture.
        """
        place = self.of(network, exact)
        halves = place.dtype == torch.bfloat16 and torch.device(place.device).type != "cpu"
        return lambda name: torch.float16 if halves and name.startswith(decoding) else place.dtype
