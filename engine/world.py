"""A loaded world model: immutable weights, from which any number of rollouts start."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.actions import ActionSpace, action_space
from engine.config.model import ModelConfig
from engine.cost.flops import block_flops
from engine.cost.kernels import Kernels, readable_kernels
from engine.errors import ConfigError, InputError
from engine.nets.borrowed_tower import BorrowedTower
from engine.nets.image_tower import ImageTower
from engine.nets.networks import Networks, build_networks
from engine.pictures import fit_picture
from engine.rollout.rollout import Rollout
from engine.weights.checkpoint import (
    LIGHT_DECODER_PREFIX,
    TOWER_PREFIX,
    TRANSFORMER_PREFIX,
    FittingWeights,
    HashOf,
    find_light_decoder,
    find_published,
    open_weights,
    sha256_of,
    sha256_of_all,
)
from engine.weights.placement import Place, Placement

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

    def with_steps(self, denoising_steps: tuple[int, ...]) -> "WorldModel":
        """The same weights, shared, and every block made in these denoising steps, see ModelConfig."""
        config = replace(self.config, denoising_steps=tuple(denoising_steps))
        made = WorldModel(replace(self.networks, config=config), self.weights_sha256)
        made.use(self.kernels)
        return made

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
    vae: Place | None = None,
    image_tower: Place | None = None,
    light_decoder: Path | None = None,
    checked: Callable[[], None] | None = None,
    hash_of: HashOf = sha256_of,
    progress: Callable[[str, float], None] | None = None,
) -> WorldModel:
    """Reads a model's weights and makes it ready to play.

    Every file is checked by its header before any is read. The image tower is read when a world starts, and let go of.

    Args:
        config: which model.
        weights: the published folder, or the embedded model's with transformer.safetensors and codec.safetensors.
        device, dtype: where the networks go and in which precision.
        vae, image_tower: other places for these.
        light_decoder: its file, for a config that has one; None: in `weights`.
        checked: called when all files are found to fit and none is read yet; may raise.
        hash_of: finds out a file's SHA-256.
        progress: told what is being done and the share 0..1 of it all that is done.

    Raises:
        CheckpointError: a file is missing or unreadable, or holds other names or shapes than the config says.
        ConfigError: the config's actions are not those of its mode.
    """
    check_actions(config)
    networks = build_networks(config, "meta")
    placement = Placement(Place(device, dtype), vae, image_tower)
    parts = _weight_files(networks, weights, light_decoder)
    opened = [(part, part.open()) for part in parts]
    if checked is not None:
        checked()
    report = _Report(progress, [part.path for part in parts], [part.path for part in parts if not part.borrowed])
    for part, file in opened:
        if not part.borrowed:
            place = placement.of(part.name)
            file.fill(
                part.module,
                device=place.device,
                dtype=place.dtype,
                unread=part.unread,
                progress=report.of("loading"),
            )
    tower = next((part for part in parts if part.borrowed), None)
    if tower is not None:
        borrowed = BorrowedTower(lambda: _load_tower(tower, placement.of(tower.name)))
        networks = replace(networks, image_tower=borrowed)
    digest = sha256_of_all([part.path for part in parts], report.of("checking"), hash_of)
    return WorldModel(networks, digest)


def check_weights(config: ModelConfig, weights: Path, light_decoder: Path | None = None) -> None:
    """Checks, as `load_world` does before it reads, that all files are there and hold the model; reads headers only.

    Raises CheckpointError, ConfigError as it does.
    """
    check_actions(config)
    for part in _weight_files(build_networks(config, "meta"), weights, light_decoder):
        part.open()


@dataclass(frozen=True)
class _Part:
    """Which file holds which network, and how its names differ from the network's own.

    unread: beginnings of names that are checked and never used. borrowed: read only when a world starts.
    """

    name: str
    path: Path
    module: nn.Module
    prefix: str = ""
    only_prefixed: bool = False
    unread: tuple[str, ...] = ()
    borrowed: bool = False

    def open(self) -> FittingWeights:
        return open_weights(self.module, self.path, prefix=self.prefix, only_prefixed=self.only_prefixed)


def _weight_files(networks: Networks, folder: Path, light_decoder: Path | None) -> list[_Part]:
    modules = networks.modules()
    if networks.image_tower is None:
        return [_Part(name, folder / f"{name}.safetensors", module) for name, module in modules.items()]
    files = find_published(folder, networks.config.mode)
    light = networks.light_decoder
    parts = [
        _Part("transformer", files.transformer, networks.transformer, TRANSFORMER_PREFIX),
        _Part("codec", files.vae, modules["codec"], unread=networks.codec.of_decoder if light else ()),
        _Part("image_tower", files.image_tower, modules["image_tower"], TOWER_PREFIX, only_prefixed=True,
              unread=networks.image_tower.unused, borrowed=True),
    ]  # fmt: skip
    if light is not None:
        path = light_decoder or find_light_decoder(folder)
        parts.append(_Part("light_decoder", path, light, LIGHT_DECODER_PREFIX, only_prefixed=True))
    return parts


def _load_tower(part: _Part, place: Place) -> ImageTower:
    with torch.device("meta"):
        tower = ImageTower(part.module.config)
    part.open().fill(tower, device=place.device, dtype=place.dtype, unread=part.unread)
    return tower


class _Report:
    """Shares of single files -> the share of everything: every file is hashed once, and `read` ones are read before."""

    def __init__(self, progress: Callable[[str, float], None] | None, paths: list[Path], read: list[Path]) -> None:
        self._progress = progress
        self._sizes = {path.name: path.stat().st_size for path in paths}
        self._total = max(1, sum(self._sizes[path.name] for path in (*paths, *read)))
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
