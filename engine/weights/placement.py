"""Which device holds which network, and in which precision."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch


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
    """

    transformer: Place
    vae: Place | None = None
    image_tower: Place | None = None

    def of(self, network: str, exact: Collection[str] = ()) -> Place:
        """The place of a network by its name in `Networks.modules`. exact: those that are in float32 all the same."""
        named = {"codec": self.vae, "light_decoder": self.vae, "image_tower": self.image_tower}
        place = named.get(network) or self.transformer
        return replace(place, dtype=torch.float32) if network in exact else place
