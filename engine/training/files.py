"""Where the embedded model's description and weights lie, and how they are written."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
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
WEIGHTS = _data("assets") / "tiny"


def read_model(path: Path) -> EmbeddedConfig:
    """The model that a YAML file describes; raises ConfigError if there is none."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("the model's description cannot be read", got=f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError("the model's description is no YAML", got=f"{path}: {error}".splitlines()[0]) from error
    config = model_config(data)
    if not isinstance(config, EmbeddedConfig):
        raise ConfigError("only the embedded model is trained here", got=config.family, expected=EmbeddedConfig.family)
    return config


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
