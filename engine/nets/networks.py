"""The immutable half of a world: its config and the networks with their weights; and what is asked of a codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from engine.config.memory import EmbeddedConfig
from engine.config.model import CausalConfig, MatrixGame2Config, ModelConfig
from engine.config.waypoint import WaypointConfig
from engine.nets.image_tower import BorrowedTower, ImageTower
from engine.nets.patch_codec import PatchCodec
from engine.nets.places import Places
from engine.nets.recogniser import Recogniser
from engine.nets.slots import SlotMemory
from engine.nets.spatial_memory import SpatialMemory
from engine.nets.taehv import LightDecoder, TaehvCodec
from engine.nets.transformer import Transformer
from engine.nets.waypoint import WaypointTransformer


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


@dataclass(frozen=True)
class Networks(ABC):
    """Shared by every rollout of a world; never written to after loading. Each family has a kind of its own.

    exact: networks that are in float32 whatever the others are.
    """

    exact: ClassVar[frozenset[str]] = frozenset()
    config: ModelConfig

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the transformer is, and with it a rollout."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of the transformer's weights."""

    def modules(self) -> dict[str, nn.Module]:
        """The networks that the model has, by name: "transformer", "codec" and others.

        A tower that is only borrowed is in no memory and so not among them.
        """
        return {name: value for name, value in vars(self).items() if isinstance(value, nn.Module)}


@dataclass(frozen=True)
class CausalNetworks(Networks):
    """Those of a model that engine.rollout.causal plays."""

    config: CausalConfig
    transformer: Transformer
    codec: Codec

    @property
    def device(self) -> torch.device:
        return self.transformer.patch_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.transformer.patch_embedding.weight.dtype

    def decoder_stream(self) -> DecoderStream:
        """A fresh stream that turns latents into video frames."""
        return self.codec.decoder_stream()


@dataclass(frozen=True)
class MatrixGame2Networks(CausalNetworks):
    """light_decoder: in place of the codec's own decoder."""

    config: MatrixGame2Config
    image_tower: ImageTower | BorrowedTower | None = None
    light_decoder: LightDecoder | None = None

    def decoder_stream(self) -> DecoderStream:
        return (self.light_decoder or self.codec).decoder_stream()


@dataclass(frozen=True)
class WaypointNetworks(Networks):
    """Waypoint's."""

    config: WaypointConfig
    transformer: WaypointTransformer
    codec: TaehvCodec

    @property
    def device(self) -> torch.device:
        return self.transformer.patchify.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.transformer.dtype


@dataclass(frozen=True)
class EmbeddedNetworks(CausalNetworks):
    """Half a digit less than float32 in the memory, and places are no longer places.

    places: where pictures that come with it were taken.
    """

    exact: ClassVar[frozenset[str]] = frozenset({"spatial_memory", "recogniser", "slots"})
    config: EmbeddedConfig
    codec: PatchCodec
    spatial_memory: SpatialMemory
    recogniser: Recogniser
    slots: SlotMemory
    places: Places = field(default_factory=dict)
