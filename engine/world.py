"""A loaded world model: immutable weights, from which any number of rollouts start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.actions import ActionSpace, action_space
from engine.checkpoint import TOWER_PREFIX, TRANSFORMER_PREFIX, find_published, load_weights, sha256_of_all
from engine.config import ModelConfig
from engine.errors import ConfigError, InputError
from engine.flops import block_flops
from engine.kernels import Kernels, readable_kernels
from engine.networks import Networks, build_networks
from engine.pictures import fit_picture
from engine.rollout import Rollout

SEEDS = 2**63


class WorldModel:
    """Networks with their weights, and what a client needs to know of them.

    Args:
        networks: loaded, on their device; never written to.
        weights_sha256: hash of the files they came from.

    Raises:
        ConfigError: the config's action widths are not those of its mode.
    """

    def __init__(self, networks: Networks, weights_sha256: str) -> None:
        self.networks = networks
        self.kernels: Kernels = readable_kernels(networks)
        self.config: ModelConfig = networks.config
        self.weights_sha256 = weights_sha256
        self.action_space: ActionSpace = action_space(self.config.mode)
        check_actions(self.config)

    @property
    def device(self) -> torch.device:
        """Where the transformer is."""
        return self.networks.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the transformer's weights."""
        return self.networks.dtype

    def start(self, first_frame: np.ndarray, seed: int) -> Rollout:
        """A new world.

        Args:
            first_frame: (h, w, 3) uint8 RGB of any size; cropped in the middle and resized to the config's.
            seed: of all noise, 0 .. 2^63 - 1.

        Raises:
            PictureError: not such a picture.
            InputError: a seed out of range.
        """
        if not 0 <= seed < SEEDS:
            raise InputError("seed is out of range", got=seed, expected=f"0..{SEEDS - 1}")
        picture = fit_picture(first_frame, self.config.height, self.config.width)
        return Rollout(self.networks, picture, seed, self.kernels)

    def use(self, kernels: Kernels) -> None:
        """Has every later rollout computed by other kernels of these networks."""
        self.kernels = kernels

    def flops_per_block(self) -> int:
        """Floating-point operations of one block with full windows: every pass, the codec and the condition."""
        return block_flops(self.config).total


def check_actions(config: ModelConfig) -> None:
    """Raises ConfigError unless the transformer takes the actions that the config's mode makes."""
    space, actions = action_space(config.mode), config.transformer.actions
    got = (actions.keyboard_dim, actions.mouse_dim > 0)
    expected = (space.keyboard_dim, space.has_mouse)
    if got != expected:
        what = f"transformer.actions do not fit mode {config.mode}"
        raise ConfigError(what, got=f"keyboard_dim, mouse {got}", expected=expected)


def load_world(
    config: ModelConfig,
    weights: Path,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    progress: Callable[[str, float], None] | None = None,
) -> WorldModel:
    """Reads a model's weights and makes it ready to play.

    Args:
        config: which model.
        weights: the published folder, or the embedded model's with transformer.safetensors and codec.safetensors.
        device, dtype: where the networks go and in which precision.
        progress: told what is being done and the share 0..1 of it all that is done.

    Raises:
        CheckpointError: a file is missing or unreadable, or holds other names or shapes than the config says.
        ConfigError: the config's actions are not those of its mode.
    """
    check_actions(config)
    networks = build_networks(config, "meta")
    parts = _weight_files(networks, weights)
    report = _Report(progress, [path for path, _, _ in parts])
    for path, module, options in parts:
        load_weights(module, path, device=device, dtype=dtype, progress=report.of("loading"), **options)
    digest = sha256_of_all([path for path, _, _ in parts], report.of("checking"))
    return WorldModel(networks, digest)


def _weight_files(networks: Networks, folder: Path) -> list[tuple[Path, nn.Module, dict[str, Any]]]:
    """Which file holds which network, and how its names differ from the network's own."""
    if networks.image_tower is None:
        own = {"transformer": networks.transformer, "codec": networks.codec}
        return [(folder / f"{name}.safetensors", module, {}) for name, module in own.items()]
    files = find_published(folder, networks.config.mode)
    return [
        (files.transformer, networks.transformer, {"prefix": TRANSFORMER_PREFIX}),
        (files.vae, networks.codec, {}),
        (files.image_tower, networks.image_tower, {"prefix": TOWER_PREFIX, "only_prefixed": True}),
    ]


class _Report:
    """Shares of single files -> the share of everything: every file is read once and hashed once."""

    def __init__(self, progress: Callable[[str, float], None] | None, paths: list[Path]) -> None:
        self._progress = progress
        self._sizes = {path.name: path.stat().st_size if path.is_file() else 0 for path in paths}
        self._total = max(1, 2 * sum(self._sizes.values()))
        self._before = 0.0
        self._file = ""

    def of(self, doing: str) -> Callable[[str, float], None] | None:
        """What to tell the progress of one stage to."""
        if self._progress is None:
            return None

        def tell(name: str, share: float) -> None:
            if name != self._file and self._file:
                self._before += self._sizes[self._file]
            self._file = name
            self._progress(f"{doing} {name}", min(1.0, (self._before + share * self._sizes[name]) / self._total))

        return tell
