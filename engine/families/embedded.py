"""The embedded model: small enough for two CPU cores, its weights shipped with the program; made by engine.training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from engine.actions import ActionSpace
from engine.config.memory import EmbeddedConfig
from engine.families.family import Checkpoint, Family, WeightFile
from engine.families.spaces import WALK

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from engine.fast.kernels import Kernels
    from engine.nets.networks import EmbeddedNetworks
    from engine.rollout.pipeline import Pipeline

_NETWORKS = ("transformer", "codec", "spatial_memory", "recogniser", "slots")


class Embedded(Family[EmbeddedConfig, "EmbeddedNetworks"]):
    """See the module's text. Every network has a file of its own, and any model its folder."""

    name: ClassVar[str] = "embedded"
    title: ClassVar[str] = "embedded"
    config = EmbeddedConfig
    spaces: ClassVar[tuple[ActionSpace, ...]] = (WALK,)
    large: ClassVar[bool] = False

    @property
    def models(self) -> tuple[str, ...]:
        return ("tiny", "tiny_large")

    def checkpoint(self, config: EmbeddedConfig) -> Checkpoint | None:
        files = tuple(WeightFile(name, f"{name}.safetensors") for name in _NETWORKS)
        return Checkpoint(files, shipped="tiny" if config.name in self.models else None)

    def check(self, config: EmbeddedConfig) -> None:
        self.space(config).check_widths(config.transformer.actions.keyboard_dim, config.transformer.actions.mouse_dim)

    def build(self, config: EmbeddedConfig, device: torch.device | str) -> EmbeddedNetworks:
        import torch

        from engine.nets.networks import EmbeddedNetworks
        from engine.nets.patch_codec import PatchCodec
        from engine.nets.recogniser import Recogniser
        from engine.nets.slots import SlotMemory
        from engine.nets.spatial_memory import SpatialMemory
        from engine.nets.transformer import Transformer

        with torch.device(device):
            memory = SpatialMemory(config.spatial_memory)
            recogniser = Recogniser(config.recogniser, config.spatial_memory)
            transformer = Transformer(config.transformer, config.time_ratio)
            slots = SlotMemory(config.slots, config.spatial_memory)
            return EmbeddedNetworks(config, transformer, PatchCodec(config.codec), memory, recogniser, slots)

    def beside(self, networks: EmbeddedNetworks, folder: Path) -> EmbeddedNetworks:
        from engine.nets.places import read_places

        return replace(networks, places=read_places(folder))

    def kernels(self, networks: EmbeddedNetworks, fast: bool) -> Kernels:
        from engine.fast.embedded import FastEmbedded, can_be_fast
        from engine.fast.kernels import Kernels

        if not (fast and can_be_fast(networks.config)):
            return Kernels(networks.transformer, networks.codec)
        return Kernels(FastEmbedded(networks), None, fast=True)

    def pipeline(self, networks: EmbeddedNetworks, kernels: Kernels, first_frame: np.ndarray, seed: int) -> Pipeline:
        from engine.frames import to_signed
        from engine.nets.places import key
        from engine.rollout.causal import CausalPipeline
        from engine.rollout.embedded import EmbeddedPipeline
        from engine.rollout.memory_condition import MemoryCondition
        from engine.rollout.sampler import from_mix

        picture = to_signed(first_frame).to(networks.device, networks.dtype)
        if kernels.fast:
            return EmbeddedPipeline(networks, kernels, picture, seed, key(first_frame))
        condition = MemoryCondition(networks, picture, seed, key(first_frame))
        return CausalPipeline(networks, kernels, condition, from_mix(condition.mix))
