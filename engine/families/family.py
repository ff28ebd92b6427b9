"""What a family is: all that is particular to one kind of model, behind one interface.

Nothing here imports torch, and neither does the head of a family's file: settings, menus and scripts ask families what
their models are told and where their files are long before anything is loaded. A method that needs networks imports
them itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from engine.actions import ActionSpace
from engine.config.model import ModelConfig
from engine.errors import CompileError, ConfigError, nearest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from engine.fast.kernels import Kernels
    from engine.nets.networks import Networks
    from engine.rollout.pipeline import Pipeline
    from engine.weights.placement import Bits

C = TypeVar("C", bound=ModelConfig)
N = TypeVar("N", bound="Networks")


@dataclass(frozen=True)
class WeightFile:
    """One file of a checkpoint.

    Attributes:
        network: which of the networks it fills.
        name: below the checkpoint's folder; others: names under which it is taken, too.
        prefix: what the file's names have in front of the network's own.
        only_prefixed: whether what lacks the prefix is left out, instead of refused.
        url, sha256, size: where it is, SHA-256 of its bytes in hex, and bytes; None where the repository says so.
        source: in words, where to get it by hand, if it is not in the checkpoint's repository.
    """

    network: str
    name: str
    others: tuple[str, ...] = ()
    prefix: str = ""
    only_prefixed: bool = False
    url: str | None = None
    sha256: str | None = None
    size: int | None = None
    source: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """The files of one model.

    Attributes:
        files: in the order in which their hashes make the model's.
        repository: on Hugging Face ("owner/name"); None for weights that come with the program.
        revision: the repository's commit, or how its name begins; None for the newest.
        shipped: the folder of assets/ that holds weights that come with the program; None: it is named as the model.
    """

    files: tuple[WeightFile, ...]
    repository: str | None = None
    revision: str | None = None
    shipped: str | None = None

    @property
    def folder(self) -> str | None:
        """Name of the user's own folder that a download fills."""
        return None if self.repository is None else self.repository.rpartition("/")[2]


@dataclass(frozen=True)
class Job:
    """Work that a network does in play, so that its memory can be counted.

    begin: makes what a rollout keeps of it. work: does one block's worth on that.
    """

    begin: Callable[[], Any]
    work: Callable[[Any], Any]


class Family(ABC, Generic[C, N]):
    """See the module's text. C: its config; N: its networks.

    Attributes:
        name: in configs, as `family`.
        title: for people.
        config: what a config file is read as.
        spaces: the action spaces of its modes.
        large: whether its models are made for a GPU: they come without weights, memory is checked before they are
            read, and torch uses as many threads as it likes.
        parts: those of "vae" and "image_tower" that may be put on a device of their own.
        borrowed: networks that are read when a world starts, and let go of.
        takes_decoder: whether a light decoder may stand in for its own.
        compiles: whether its programs can be compiled.
        graphs: of each network, how many programs are recorded where graphs are.
        original: kernels a pass and host waits a block of its makers' own program; None where nobody has counted.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    config: type[C]
    spaces: ClassVar[tuple[ActionSpace, ...]]
    large: ClassVar[bool] = True
    parts: ClassVar[tuple[str, ...]] = ()
    borrowed: ClassVar[tuple[str, ...]] = ()
    takes_decoder: ClassVar[bool] = False
    compiles: ClassVar[bool] = False
    graphs: ClassVar[Mapping[str, int]] = {}
    original: ClassVar[tuple[int, int] | None] = None

    @property
    @abstractmethod
    def models(self) -> tuple[str, ...]:
        """Names of the models whose files it knows, the one to begin with first."""

    @abstractmethod
    def checkpoint(self, config: C) -> Checkpoint | None:
        """The files of a model, by its name; None if none are known."""

    def space(self, config: C) -> ActionSpace:
        """The model's action space. Raises ConfigError for a mode that the family has not."""
        found = next((space for space in self.spaces if space.mode == config.mode), None)
        if found is None:
            modes = [space.mode for space in self.spaces]
            near = nearest(config.mode, modes)
            remedy = f"did you mean {near!r}?" if near else None
            raise ConfigError(
                "model.mode is unknown", got=repr(config.mode), expected=" or ".join(modes), remedy=remedy
            )
        return found

    def check(self, config: C) -> None:
        """Raises ConfigError unless the networks take the actions that the config's mode makes."""
        self.space(config)

    @abstractmethod
    def build(self, config: C, device: torch.device | str) -> N:
        """The networks, with weights still to be loaded (on "meta" they take no memory)."""

    def unread(self, networks: N) -> Mapping[str, tuple[str, ...]]:
        """Of each network, beginnings of the names of weights that nobody will use: checked, and not read."""
        return {}

    def decoding(self, networks: N) -> Mapping[str, tuple[str, ...]]:
        """Of each network, beginnings of the names of weights that make pictures of latents; see Placement.numbers."""
        return {}

    def eighths(self, networks: N, bits: Bits) -> tuple[str, ...]:
        """Names of the transformer's linear layers that may be of eight bits: large, and not sensitive to it."""
        return ()

    def remarks(self, networks: N) -> tuple[str, ...]:
        """What their files turned out to hold, in lines for the log; asked when they are read, before `loaded`."""
        return ()

    def loaded(self, networks: N, borrow: Callable[[str], nn.Module] | None) -> N:
        """The networks as they are played, once their weights are there.

        borrow: reads one of `borrowed` whenever it is wanted; None where all are in memory.
        """
        return networks

    def beside(self, networks: N, folder: Path) -> N:
        """The networks with what lies beside their weights in `folder` and is no weight. Raises CheckpointError."""
        return networks

    @abstractmethod
    def kernels(self, networks: N, fast: bool) -> Kernels:
        """What computes rollouts: the fast kernels if there are any and they are wanted, else the networks as they are.

        To be called once with `fast`, before anything is computed: it may move weights together in memory.
        """

    @abstractmethod
    def pipeline(self, networks: N, kernels: Kernels, first_frame: np.ndarray, seed: int) -> Pipeline:
        """A world from a first frame (H, W, 3) uint8 RGB of the model's own size.

        seed: of what happens in it by chance beside the noise, which the rollout draws.
        """

    def compilation(self, kernels: Kernels, config: C, how: str) -> Any:
        """What compiles these kernels, see engine.fast.compiling.Compilation. how: "default" or "max"."""
        raise CompileError(f"{self.title} has nothing to compile")

    def jobs(self, networks: N, kernels: Kernels) -> Mapping[str, tuple[Job, ...]]:
        """The work of each network in play, for networks without data. Those not named only have weights."""
        return {}
