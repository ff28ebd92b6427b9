"""The immutable half of a world: its config and the networks with their weights."""

from dataclasses import dataclass

import torch
from torch import nn

from engine.codec import Codec, build_codec
from engine.config import ModelConfig
from engine.image_tower import ImageTower
from engine.recogniser import Recogniser
from engine.spatial_memory import SpatialMemory
from engine.transformer import Transformer

EXACT = ("spatial_memory", "recogniser")
"""Networks that are in float32 whatever the others are: half a digit less and places are no longer places."""


@dataclass(frozen=True)
class Networks:
    """Shared by every rollout of a world; never written to after loading."""

    config: ModelConfig
    transformer: Transformer
    codec: Codec
    image_tower: ImageTower | None
    spatial_memory: SpatialMemory | None = None
    recogniser: Recogniser | None = None

    @property
    def device(self) -> torch.device:
        return self.transformer.patch_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.transformer.patch_embedding.weight.dtype

    def modules(self) -> dict[str, nn.Module]:
        """The networks that the model has, by name."""
        named = {
            "transformer": self.transformer,
            "codec": self.codec,
            "image_tower": self.image_tower,
            "spatial_memory": self.spatial_memory,
            "recogniser": self.recogniser,
        }
        return {name: module for name, module in named.items() if module is not None}


def build_networks(config: ModelConfig, device: torch.device | str = "meta") -> Networks:
    """The networks that a config describes, with weights still to be loaded (on "meta" they take no memory)."""
    with torch.device(device):
        tower = None if config.image_tower is None else ImageTower(config.image_tower)
        memory = None if config.spatial_memory is None else SpatialMemory(config.spatial_memory)
        recogniser = None if memory is None else Recogniser(config.recogniser, config.spatial_memory)
        transformer = Transformer(config.transformer, config.time_ratio)
        return Networks(config, transformer, build_codec(config.codec), tower, memory, recogniser)
