"""The immutable half of a world: its config and the networks with their weights."""

from dataclasses import dataclass

import torch
from torch import nn

from engine.config.model import ModelConfig
from engine.nets.borrowed_tower import BorrowedTower
from engine.nets.codec import Codec, DecoderStream, build_codec
from engine.nets.image_tower import ImageTower
from engine.nets.recogniser import Recogniser
from engine.nets.spatial_memory import SpatialMemory
from engine.nets.taehv import LightDecoder
from engine.nets.transformer import Transformer


@dataclass(frozen=True)
class Networks:
    """Shared by every rollout of a world; never written to after loading."""

    config: ModelConfig
    transformer: Transformer
    codec: Codec
    image_tower: ImageTower | BorrowedTower | None
    light_decoder: LightDecoder | None = None
    spatial_memory: SpatialMemory | None = None
    recogniser: Recogniser | None = None

    @property
    def device(self) -> torch.device:
        return self.transformer.patch_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.transformer.patch_embedding.weight.dtype

    def decoder_stream(self) -> DecoderStream:
        """A fresh stream that turns latents into video frames: the light decoder's, if the model has one."""
        return (self.light_decoder or self.codec).decoder_stream()

    def modules(self) -> dict[str, nn.Module]:
        """The networks that the model has, by name.

        A tower that is only borrowed is in no memory and so not among them.
        """
        named = {
            "transformer": self.transformer,
            "codec": self.codec,
            "image_tower": self.image_tower,
            "light_decoder": self.light_decoder,
            "spatial_memory": self.spatial_memory,
            "recogniser": self.recogniser,
        }
        return {name: module for name, module in named.items() if isinstance(module, nn.Module)}


def build_networks(config: ModelConfig, device: torch.device | str = "meta") -> Networks:
    """The networks that a config describes, with weights still to be loaded (on "meta" they take no memory)."""
    with torch.device(device):
        tower = None if config.image_tower is None else ImageTower(config.image_tower)
        light = None if config.decoder is None else LightDecoder(config.decoder)
        memory = None if config.spatial_memory is None else SpatialMemory(config.spatial_memory)
        recogniser = None if memory is None else Recogniser(config.recogniser, config.spatial_memory)
        transformer = Transformer(config.transformer, config.time_ratio)
        return Networks(config, transformer, build_codec(config.codec), tower, light, memory, recogniser)
