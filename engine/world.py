"""A loaded world model: immutable weights, from which any number of rollouts start."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from engine.actions import ActionSpace, action_space
from engine.config import ModelConfig
from engine.errors import ConfigError, InputError
from engine.flops import block_flops
from engine.networks import Networks
from engine.pictures import fit_picture
from engine.rollout import Rollout

SEEDS = 2**63


class WorldModel:
    """Networks with their weights, and what a client needs to know of them.

    Args:
        networks: loaded, on their device.
        weights_sha256: hash of the files they came from.

    Raises:
        ConfigError: the config's action widths are not those of its mode.
    """

    def __init__(self, networks: Networks, weights_sha256: str) -> None:
        self._networks = networks
        self.config: ModelConfig = networks.config
        self.weights_sha256 = weights_sha256
        self.action_space: ActionSpace = action_space(self.config.mode)
        check_actions(self.config)

    @property
    def device(self) -> torch.device:
        """Where the transformer is."""
        return self._networks.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the transformer's weights."""
        return self._networks.dtype

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
        return Rollout(self._networks, fit_picture(first_frame, self.config.height, self.config.width), seed)

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
        weights: its folder, as published, or a file of the embedded model.
        device, dtype: where the networks go and in which precision.
        progress: told what is being done and the share 0..1 that is done.

    Raises:
        CheckpointError: a file is missing or unreadable, or holds other names or shapes than the config says.
        ConfigError: the config contradicts itself.
    """
    raise NotImplementedError
