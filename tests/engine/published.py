"""A folder as published, of weights small enough for a test."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.config.model import MatrixGame2Config
from engine.families import family_of
from tests.engine.tiny import big_config, networks


def published_names(model: str) -> tuple[str, ...]:
    """Files of one of Matrix-Game 2.0's models, relative to the published folder."""
    config = MatrixGame2Config(name=model)
    return tuple(file.name for file in family_of(config).checkpoint(config).files)


def publish(folder: Path) -> Path:
    """Writes the big-like model's weights, laid out and named as the published folder is."""
    made = networks(big_config())
    target = folder / "base_distilled_model" / "base_distill.safetensors"
    target.parent.mkdir(parents=True)
    save_file({f"model.{key}": weight for key, weight in made.transformer.state_dict().items()}, target)
    torch.save(dict(made.codec.state_dict()), folder / "Wan2.1_VAE.pth")
    tower = {f"visual.{key}": weight for key, weight in made.image_tower.state_dict().items()}
    torch.save(
        tower | {"textual.head": torch.zeros(2)}, folder / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
    )
    return folder
