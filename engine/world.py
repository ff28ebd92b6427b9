"""A loaded world model: immutable weights, from which any number of rollouts start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.actions import ActionSpace
from engine.config.model import ModelConfig
from engine.errors import CheckpointError
from engine.families import WeightFile, build_networks, family_of, lighten, new_rollout, readable_kernels
from engine.fast.kernels import Kernels
from engine.nets.networks import Networks
from engine.pictures import fit_picture
from engine.rollout.rollout import Rollout
from engine.weights.checkpoint import (
    FittingWeights,
    HashOf,
    Sought,
    find_files,
    open_weights,
    sha256_of,
    sha256_of_all,
)
from engine.weights.placement import Bits, Place, Placement


class WorldModel:
    """Networks with their weights, and what a client needs to know of them.

    Args:
        networks: loaded, on their device; never written to.
        weights_sha256: hash of the files they came from.
        remarks: what these turned out to hold, in lines for the log.

    Raises:
        ConfigError: the config's action widths are not those of its mode.
    """

    def __init__(self, networks: Networks, weights_sha256: str, remarks: tuple[str, ...] = ()) -> None:
        self.networks = networks
        self.kernels: Kernels = readable_kernels(networks)
        self.config: ModelConfig = networks.config
        self.weights_sha256, self.remarks = weights_sha256, remarks
        self.action_space: ActionSpace = family_of(self.config).space(self.config)
        family_of(self.config).check(self.config)

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
        picture = fit_picture(first_frame, self.config.height, self.config.width)
        return new_rollout(self.networks, picture, seed, self.kernels)

    def use(self, kernels: Kernels) -> None:
        """Has every later rollout computed by other kernels of these networks."""
        self.kernels = kernels

    def with_steps(self, denoising_steps: tuple[int, ...]) -> WorldModel:
        """The same weights, shared, and every block made in these denoising steps, see ModelConfig."""
        config = replace(self.config, denoising_steps=tuple(denoising_steps))
        made = WorldModel(replace(self.networks, config=config), self.weights_sha256, self.remarks)
        made.use(self.kernels)
        return made

    def flops_per_block(self) -> int:
        """Floating-point operations of one block with full windows: every pass, the codec and the condition."""
        from engine.cost.operations import block_flops  # brings torch's counters, which no start waits for

        return block_flops(self.config).total


def load_world(
    config: ModelConfig,
    weights: Path,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    vae: Place | None = None,
    image_tower: Place | None = None,
    bits: Bits | None = None,
    elsewhere: Mapping[str, Path] | None = None,
    checked: Callable[[], None] | None = None,
    hash_of: HashOf = sha256_of,
    progress: Callable[[str, float], None] | None = None,
) -> WorldModel:
    """Reads a model's weights and makes it ready to play.

    Every file is checked by its header before any is read. What a family only borrows (an image tower) is read when a
    world starts, and let go of.

    Args:
        config: which model.
        weights: its folder, laid out as its repository is; of a model without one, a file for each network.
        device, dtype: where the networks go and in which precision.
        vae, image_tower: other places for these.
        bits: of the transformer's large linear layers; None for those of the dtype.
        elsewhere: network -> its file, where that is not in `weights`.
        checked: called when all files are found to fit and none is read yet; may raise.
        hash_of: finds out a file's SHA-256.
        progress: told what is being done and the share 0..1 of it all that is done.

    Raises:
        CheckpointError: a file is missing or unreadable, or holds other names or shapes than the config says.
        ConfigError: the config's actions are not those of its mode.
    """
    family = family_of(config)
    family.check(config)
    networks = build_networks(config, "meta")
    placement = Placement(Place(device, dtype), vae, image_tower, bits)
    decoding = family.decoding(networks)
    parts = _parts(networks, weights, elsewhere or {})
    opened = [(part, part.open()) for part in parts]
    if checked is not None:
        checked()
    report = _Report(progress, [part.path for part in parts], [part.path for part in parts if not part.borrowed])
    for part, file in opened:
        if not part.borrowed:
            decoders = decoding.get(part.name, ())
            part.fill(part.module, file, placement, networks.exact, decoders, report.of("loading"))
    by_name = {part.name: part for part in parts if part.borrowed}

    def borrow(name: str) -> nn.Module:
        part, module = by_name[name], build_networks(config, "meta").modules()[name]
        part.fill(module, part.open(), placement, networks.exact)
        return module

    remarks = family.remarks(networks)
    loaded = family.beside(family.loaded(networks, borrow if by_name else None), weights)
    lighten(loaded, bits)
    digest = sha256_of_all([part.path for part in parts], report.of("checking"), hash_of)
    return WorldModel(loaded, digest, remarks)


def check_weights(config: ModelConfig, weights: Path, elsewhere: Mapping[str, Path] | None = None) -> None:
    """Checks, as `load_world` does before it reads, that all files are there and hold the model; reads headers only.

    Raises CheckpointError, ConfigError as it does.
    """
    family_of(config).check(config)
    for part in _parts(build_networks(config, "meta"), weights, elsewhere or {}):
        part.open()


@dataclass(frozen=True)
class _Part:
    """Which file holds which network, and how its names differ from the network's own.

    unread: beginnings of names that are checked and never used. borrowed: read only when a world starts.
    """

    file: WeightFile
    path: Path
    module: nn.Module
    unread: tuple[str, ...]
    borrowed: bool

    @property
    def name(self) -> str:
        return self.file.network

    def open(self) -> FittingWeights:
        prefix, only = self.file.prefix, self.file.only_prefixed
        return open_weights(self.module, self.path, prefix=prefix, only_prefixed=only)

    def fill(
        self,
        module: nn.Module,
        file: FittingWeights,
        placement: Placement,
        exact: Collection[str],
        decoding: tuple[str, ...] = (),
        progress: Callable[[str, float], None] | None = None,
    ) -> None:
        """Reads the file into `module`, where and in what numbers the placement says. exact, decoding: as there."""
        numbers = placement.numbers(self.name, decoding, exact)
        device = placement.of(self.name, exact).device
        file.fill(module, device=device, dtype=numbers, unread=self.unread, progress=progress)


def _parts(networks: Networks, folder: Path, elsewhere: Mapping[str, Path]) -> list[_Part]:
    config = networks.config
    family, modules = family_of(config), networks.modules()
    checkpoint, unread = family.checkpoint(config), family.unread(networks)
    if checkpoint is None:
        known = ", ".join(family.models)
        raise CheckpointError(f"no weight files are known of the model {config.name}", expected=known)
    paths = {file.network: folder / file.name for file in checkpoint.files}
    if checkpoint.repository is not None:
        files = [file for file in checkpoint.files if file.network not in elsewhere]
        sought = [Sought(file.network, (file.name, *file.others), file.source) for file in files]
        found = find_files(folder, config.name, sought, checkpoint.repository)
        paths |= {one.network: path for one, path in zip(sought, found, strict=True)}
    return [
        _Part(file, path, modules[file.network], unread.get(file.network, ()), file.network in family.borrowed)
        for file, path in ((file, elsewhere.get(file.network, paths[file.network])) for file in checkpoint.files)
    ]


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
        progress = self._progress
        if progress is None:
            return None

        def tell(name: str, share: float) -> None:
            if name != self._file and self._file:
                self._before += self._sizes[self._file]
            self._file = name
            progress(f"{doing} {name}", min(1.0, (self._before + share * self._sizes[name]) / self._total))

        return tell
