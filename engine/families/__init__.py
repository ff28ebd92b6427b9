"""The kinds of models there are: one file each, in one registry, which finds them here by itself.

A new family is its file here, its networks, a config file per model, and its tests; nothing else names it. What a
family answers is in engine.families.family; this package is what others see of it. Imports no torch by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from engine.actions import ActionSpace
from engine.config.model import ModelConfig
from engine.errors import ActionError, ConfigError, InputError, nearest
from engine.families.family import Checkpoint, Family, Job, WeightFile

if TYPE_CHECKING:
    import numpy as np
    import torch

    from engine.fast.kernels import Kernels
    from engine.nets.networks import Networks
    from engine.rollout.rollout import Rollout
    from engine.weights.placement import Bits, Place

__all__ = [
    "SEEDS", "Checkpoint", "Family", "Job", "WeightFile", "action_space", "action_spaces", "best_kernels",
    "build_networks", "families", "family_of", "first_space", "lighten", "model_config", "new_rollout",
    "readable_kernels", "register", "seeded_networks", "shipped_models",
]  # fmt: skip

AnyFamily = Family[Any, Any]
SEEDS = 2**63


def _found() -> dict[str, AnyFamily]:
    """Every family that has a file here, by name."""
    modules = [import_module(f"{__name__}.{info.name}") for info in iter_modules(__path__)]
    kinds = [(module, kind) for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    made = [
        kind() for module, kind in kinds
        if issubclass(kind, Family) and kind.__module__ == module.__name__ and not isabstract(kind)
    ]  # fmt: skip
    return {family.name: family for family in made}


_REGISTRY: dict[str, AnyFamily] = _found()


def register(family: AnyFamily) -> None:
    """Adds a family, or puts it in the place of the one of its name."""
    _REGISTRY[family.name] = family


def families() -> tuple[AnyFamily, ...]:
    """All of them, in the order they were registered."""
    return tuple(_REGISTRY.values())


def family_of(config: ModelConfig) -> AnyFamily:
    """The family of a model."""
    return _REGISTRY[config.family]


def model_config(data: object) -> ModelConfig:
    """A model's config from plain nested data, whose field `family` says what it is read as.

    Raises ConfigError, with the nearest right name, on any mistake.
    """
    if not isinstance(data, Mapping):
        raise ConfigError("model is not a group of fields", got=repr(data), expected="family, name and more")
    rest = dict(data)
    name = rest.pop("family", None)
    if name not in _REGISTRY:
        near = nearest(name, _REGISTRY) if isinstance(name, str) else None
        remedy = f"did you mean {near!r}?" if near else None
        raise ConfigError("model.family is unknown", got=repr(name), expected=" or ".join(_REGISTRY), remedy=remedy)
    family = _REGISTRY[name]
    config: ModelConfig = family.config.from_dict(rest)
    family.space(config)
    return config


def action_spaces() -> dict[str, ActionSpace]:
    """Mode -> action space, of all families; families may share one."""
    return {space.mode: space for family in families() for space in family.spaces}


def action_space(mode: str) -> ActionSpace:
    """The action space of a mode. Raises ActionError for an unknown one, naming those there are."""
    spaces = action_spaces()
    if mode not in spaces:
        raise ActionError("unknown mode", got=mode, expected=", ".join(spaces))
    return spaces[mode]


def shipped_models() -> tuple[str, ...]:
    """Names of the models whose weights come with the program."""
    return tuple(name for family in families() if not family.large for name in family.models)


def first_space() -> ActionSpace:
    """The action space that is shown before any model is loaded."""
    return families()[0].spaces[0]


def build_networks(config: ModelConfig, device: torch.device | str = "meta") -> Networks:
    """The networks that a config describes, with weights still to be loaded (on "meta" they take no memory)."""
    networks: Networks = family_of(config).build(config, device)
    return networks


def readable_kernels(networks: Networks) -> Kernels:
    """The networks as they are written down to be read."""
    return family_of(networks.config).kernels(networks, False)


def best_kernels(networks: Networks) -> Kernels:
    """The fast kernels of models that have any, else the readable ones.

    To be called once, before anything is computed: it may move weights together in memory.
    """
    return family_of(networks.config).kernels(networks, True)


def seeded_networks(
    config: ModelConfig,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    vae: Place | None = None,
    image_tower: Place | None = None,
    bits: Bits | None = None,
) -> Networks:
    """Networks of seeded random weights: for tests, and to time a model whose files are not at hand.

    dtype: None for float32. vae, image_tower: other places for these. bits: see Placement. The same seed makes the same
    weights, up to rounding, whatever the device.
    """
    import torch

    from engine.weights.placement import Place, Placement
    from engine.weights.seeded import seed_weights

    networks = build_networks(config, "meta")
    family = family_of(config)
    placement = Placement(Place(device, dtype or torch.float32), vae, image_tower, bits)
    decoding = family.decoding(networks)
    for name, module in networks.modules().items():
        numbers = placement.numbers(name, decoding.get(name, ()), networks.exact)
        seed_weights(module, seed, placement.of(name, networks.exact).device, numbers)
    loaded: Networks = family.loaded(networks, None)
    lighten(loaded, bits)
    return loaded


def lighten(networks: Networks, bits: Bits | None) -> None:
    """Puts layers of eight bits in the place of the large ones, where that is asked for; once, after loading.

    Raises InputError for a model that has none.
    """
    if bits is None:
        return
    from engine.nets.quantised import quantise

    names = family_of(networks.config).eighths(networks, bits)
    if not names:
        raise InputError(f"{networks.config.name} has no layers for eight bits", got=bits, remedy="leave it away")
    quantise(networks.modules()["transformer"], names, bits)


def new_rollout(networks: Networks, first_frame: np.ndarray, seed: int, kernels: Kernels | None = None) -> Rollout:
    """A world from its first frame.

    Args:
        networks: with their weights, on their devices.
        first_frame: (H, W, 3) uint8 RGB of the model's own size.
        seed: of all noise, 0 .. 2^63 - 1.
        kernels: what computes it; None for the readable networks.

    Raises:
        InputError: a seed out of range.
    """
    import torch
    from torch.profiler import record_function

    from engine.rollout.rollout import Rollout

    if not 0 <= seed < SEEDS:
        raise InputError("seed is out of range", got=seed, expected=f"0..{SEEDS - 1}")
    config, family = networks.config, family_of(networks.config)
    kernels = kernels or readable_kernels(networks)
    with torch.inference_mode(), record_function("encode"):
        pipeline = family.pipeline(networks, kernels, first_frame, seed)
    narrow = networks.dtype == torch.float16
    return Rollout(pipeline, config, family.space(config), networks.device, first_frame, seed, kernels, narrow)
