"""Where the embedded model's description and weights lie, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from safetensors.torch import save_file

from engine.config.memory import EmbeddedConfig
from engine.errors import ConfigError
from engine.families import model_config
from engine.nets.networks import Networks

ROOT = Path(__file__).resolve().parents[2]


def _data(name: str) -> Path:
    """A folder of the repository, or where an installed wheel has it."""
    packaged = ROOT / "game" / f"_{name}"
    return packaged if packaged.is_dir() else ROOT / name


MODEL = _data("configs") / "model" / "tiny.yaml"
LARGE = MODEL.with_name("tiny_large.yaml")
"""The same weights, seen larger."""
WEIGHTS = _data("assets") / "tiny"


def read_model(path: Path) -> EmbeddedConfig:
    """The model that a YAML file describes; raises ConfigError if there is none."""
    try:
        data = _composed(path)
    except OSError as error:
        raise ConfigError("the model's description cannot be read", got=f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError("the model's description is no YAML", got=f"{path}: {error}".splitlines()[0]) from error
    config = model_config(data)
    if not isinstance(config, EmbeddedConfig):
        raise ConfigError("only the embedded model is trained here", got=config.family, expected=EmbeddedConfig.family)
    return config


def _composed(path: Path) -> Any:
    """What a YAML file says, on top of those beside it that its `defaults` name, as play composes it."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        return data
    bases = [path.with_name(f"{name}.yaml") for name in data.pop("defaults", ()) if name != "_self_"]
    return OmegaConf.to_container(OmegaConf.merge(*(_composed(base) for base in bases), data))


def export(networks: Networks, folder: Path) -> int:
    """Writes every network's weights, each to its own file; returns their size in bytes.

    Weights become float16, but for whole numbers, and those of the spatial memory and the slots, in which places are.

    Args:
        networks: the weights to ship.
        folder: made if it is not there; each file is replaced in one move.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    for name, module in networks.modules().items():
        path = folder / f"{name}.safetensors"
        part = path.with_suffix(".part")
        exact = name in ("spatial_memory", "slots")
        weights = {
            key: value.detach()
            .to(torch.float16 if value.is_floating_point() and not exact else value.dtype)
            .contiguous()
            for key, value in module.state_dict().items()
        }
        save_file(weights, part)
        part.replace(path)
        size += path.stat().st_size
    return size
