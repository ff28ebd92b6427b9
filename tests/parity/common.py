"""Reads parity fixtures: what the original programs computed, on weights that anyone can make again from a seed.

A weight depends only on its name, its shape and the fixture's seed. A file's kind is the beginning of its name (`dit_`,
`vae`, `clip`, `bench_actions`, `waypoint_dit`, `waypoint_vae`). More folders of such files may be named in the
environment variable PARITY_FIXTURES (separated like PATH). Files of models at full width take minutes and are marked
slow: add `-m ""` to run them too.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

TOLERANCE = 2e-4
"""Largest allowed max|ours - stored| / max|stored|, in float32."""

_OWN_FOLDER = Path(__file__).parent / "fixtures"


def fixture_files(kind: str, suffix: str = ".safetensors") -> list[Path]:
    """Every fixture file whose name begins with `kind`: our own folder first, then those in PARITY_FIXTURES."""
    further = [Path(folder) for folder in os.environ.get("PARITY_FIXTURES", "").split(os.pathsep) if folder]
    for folder in further:
        if not folder.is_dir():
            raise FileNotFoundError(f"PARITY_FIXTURES names {folder}, which is no folder")
    return [path for folder in (_OWN_FOLDER, *further) for path in sorted(folder.glob(f"{kind}*{suffix}"))]


def cases(kind: str) -> list:
    """Every fixture of a kind as a parameter of a test that runs the model, slow where the model is large."""
    return [
        pytest.param(path, id=fixture_id(path), marks=[pytest.mark.slow] if is_large(path) else [])
        for path in fixture_files(kind)
    ]


def is_large(path: Path) -> bool:
    """Whether a fixture is of full width, or of long or large pictures."""
    with safe_open(path, "pt") as file:
        config = json.loads((file.metadata() or {}).get("config", "{}"))
    return config.get("dim", config.get("d_model", 0)) >= 1024 or path.stat().st_size > 5_000_000


def fixture_id(path: Path) -> str:
    """The name a fixture has in pytest's output."""
    return path.stem if path.parent == _OWN_FOLDER else f"{path.parent.name}/{path.stem}"


@dataclass(frozen=True)
class Fixture:
    """One fixture file. tensors: inputs and outputs by name; metadata: strings, JSON where structured."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @property
    def seed(self) -> int:
        """The number the weights are made from."""
        return int(self.metadata["seed"])

    def json(self, key: str):
        """A metadata entry parsed as JSON."""
        return json.loads(self.metadata[key])

    def names(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight of the model the fixture was made with, from the file beside it."""
        listed = json.loads(self.path.with_name(f"{self.path.stem}.names.json").read_text())
        return {name: tuple(shape) for name, shape in listed}


def load_fixture(path: Path) -> Fixture:
    """Reads a fixture file whole."""
    with safe_open(path, "pt") as file:
        return Fixture(path, {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {})  # noqa: SIM118


def seeded_weight(name: str, shape: Iterable[int], seed: int) -> Tensor:
    """The weight of that name and shape, float32, as the fixtures' README defines it."""
    shape = tuple(shape)
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
    x = torch.randn(shape, generator=generator)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "bias":
        return 0.02 * x
    if leaf == "gamma" or (leaf == "weight" and len(shape) == 1):
        return 1 + 0.1 * x
    if leaf == "modulation":
        return x / math.sqrt(shape[-1])
    if leaf in ("pos_embedding", "cls_embedding"):
        return 0.02 * x
    return x / math.sqrt(math.prod(shape[1:]))


def seeded_weights(names: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """A whole checkpoint's worth of seeded weights, by name."""
    return {name: seeded_weight(name, shape, seed) for name, shape in names.items()}


def fill_with_seed(module: nn.Module, seed: int, prefix: str = "") -> None:
    """Gives every weight of `module` its seeded value, in place; works on the meta device too.

    prefix: what the checkpoint's names have in front of the module's own (`visual.` for the image tower).
    """
    state = {name: seeded_weight(prefix + name, w.shape, seed) for name, w in module.state_dict().items()}
    module.load_state_dict(state, assign=True)
    module.requires_grad_(False)


def relative_error(ours: Tensor, stored: Tensor) -> float:
    """max|ours - stored| / max|stored|; infinite when the shapes differ or ours has a NaN."""
    if ours.shape != stored.shape or not torch.isfinite(ours).all():
        return math.inf
    return float((ours.double() - stored.double()).abs().max() / stored.double().abs().max())
