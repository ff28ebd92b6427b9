"""A third family in one file, as unlike the others as a model may be: a picture that slides as it is told.

One latent frame a block and four video frames of each; keys of its own, a mouse in pixels and a wheel; no image tower,
no noise but the first, a codec whose state is one number, and a context pass that brings it up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.actions import Actions, ActionSpace, Hint, Key
from engine.config.model import ModelConfig
from engine.families import Checkpoint, Family, WeightFile
from engine.fast.kernels import Kernels
from engine.frames import to_signed
from engine.nets.networks import Networks
from engine.weights.seeded import seed_weights

SLIDE = ActionSpace(
    mode="slide",
    label="slide",
    controls=(
        Key("SPACE", "shake", 0),
        Key("WHEEL_UP", "brighter", 1, opposite="WHEEL_DOWN"),
        Key("WHEEL_DOWN", "darker", 2, opposite="WHEEL_UP"),
    ),
    keyboard_dim=3,
    has_mouse=True,
    mouse_limit=40.0,
    mouse_step=8.0,
    has_pitch=True,
    hints=(Hint(("SPACE",), "shake"),),
)


@dataclass(frozen=True)
class ToyConfig(ModelConfig):
    """frames: video frames of a block."""

    family: ClassVar[str] = "toy"
    frames: int = 4

    def frames_of_block(self, index: int) -> int:
        return self.frames


@dataclass(frozen=True)
class ToyNetworks(Networks):
    transformer: nn.Linear

    @property
    def device(self) -> torch.device:
        return self.transformer.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.transformer.weight.dtype

    def modules(self) -> dict[str, nn.Module]:
        return {"transformer": self.transformer}


class ToyPipeline:
    """The first picture, moved by what was told so far, with a little of the block's noise in it."""

    commits, full, steady = True, True, True
    noise_shape = (1, 1, 1, 1, 1, 1)

    def __init__(self, networks: ToyNetworks, first_frame: np.ndarray) -> None:
        self._net, self._picture = networks.transformer, to_signed(first_frame).to(networks.device)
        self._told = torch.zeros(3, device=networks.device)  # right, down, brighter; what was committed

    def prepare(self, index: int, actions: Actions) -> Tensor:
        assert actions.mouse is not None
        return torch.from_numpy(np.concatenate((actions.mouse, actions.keyboard), axis=1)).to(self._told)

    def ahead(self, index: int) -> None:
        pass

    def denoise(self, inputs: Tensor, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
        yield (self._told + self._net(inputs).cumsum(0) + 0.01 * draw().flatten())[None, None]

    def decode(self, latents: Tensor) -> Tensor:
        height, width = self._picture.shape[-2:]
        y, x = torch.arange(height)[:, None], torch.arange(width)[None]
        frames = []
        for right, down, brighter in latents[0, 0].tolist():
            moved = self._picture[0, 0][:, (y + round(down)) % height, (x + round(right)) % width]
            frames.append((moved + 0.1 * brighter).clamp(-1, 1))
        return torch.stack(frames)[None]

    def commit(self, latents: Tensor, inputs: Tensor) -> None:
        self._told = latents[0, 0, -1].clone()

    def use(self, kernels: Kernels) -> None:
        pass

    def snapshot(self, since: Any | None = None) -> Tensor:
        return self._told

    def restore(self, state: Tensor) -> None:
        self._told = state


class Toy(Family[ToyConfig, ToyNetworks]):
    name, title, config, spaces, large = "toy", "a toy", ToyConfig, (SLIDE,), False
    models = ("toy",)

    def checkpoint(self, config: ToyConfig) -> Checkpoint:
        return Checkpoint((WeightFile("transformer", f"{config.name}.safetensors"),))

    def build(self, config: ToyConfig, device: torch.device | str) -> ToyNetworks:
        with torch.device(device):
            return ToyNetworks(config, nn.Linear(5, 3, bias=False))

    def kernels(self, networks: ToyNetworks, fast: bool) -> Kernels:
        return Kernels(networks.transformer, None)

    def pipeline(self, networks: ToyNetworks, kernels: Kernels, first_frame: np.ndarray, seed: int) -> ToyPipeline:
        return ToyPipeline(networks, first_frame)


YAML = "family: toy\nname: {name}\nmode: slide\nwidth: 96\nheight: 64\nfps: 30.0\ndenoising_steps: [1000]\n"


def write_weights(folder: Path, name: str, seed: int = 0) -> Path:
    """A checkpoint of the toy."""
    net = Toy().build(ToyConfig(), "meta")
    seed_weights(net.transformer, seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(net.transformer.state_dict(), folder / f"{name}.safetensors")
    return folder
