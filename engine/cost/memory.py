"""How much memory a model takes, on the GPU and on the host, found by running it on no data.

Networks, caches and streams are built on the meta device, where tensors have sizes and no memory, and one block is made
there; every tensor's bytes are counted while it lives. What the libraries take for themselves is added by rule of thumb
and said apart: an estimate, good to tell "fits" from "does not", not the last hundred megabytes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.config.model import ModelConfig
from engine.families import Job, best_kernels, build_networks, family_of, lighten
from engine.weights.placement import Bits, Place, Placement

# Not found by counting tensors: CUDA's context and kernels, torch itself, and what an allocator cannot use.
_CUDA_ON_GPU = 600 * 2**20
_WORKSPACES = 3 * 32 * 2**20  # of products: one for each queue that they run in, as large as the newest cards' are
_CUDA_ON_HOST = 1000 * 2**20
_PROCESS = 400 * 2**20
_FRAGMENTATION = 0.1  # of what comes and goes


@dataclass(frozen=True)
class Share:
    """Peak bytes in one memory.

    Attributes:
        weights: of the networks that stay.
        kept: caches and streams of a rollout.
        passing: the most that comes and goes, beside these: the image tower, or one block's work.
        libraries: torch and CUDA themselves, by rule of thumb.
    """

    weights: int = 0
    kept: int = 0
    passing: int = 0
    libraries: int = 0

    @property
    def total(self) -> int:
        """All of it, with what an allocator wastes."""
        return self.weights + self.kept + round(self.passing * (1 + _FRAGMENTATION)) + self.libraries


@dataclass(frozen=True)
class MemoryNeed:
    """What a model needs: `gpu` None where no part of it runs there."""

    gpu: Share | None
    host: Share


@dataclass(frozen=True)
class Footprint:
    """Bytes of one network: its weights, what a rollout keeps of it, the most that its work takes beside, and what
    loading it takes beyond the weights and what will be kept."""

    weights: int
    kept: int
    passing: int
    loading: int


def memory_need(config: ModelConfig, placement: Placement) -> MemoryNeed:
    """The peak memory of loading and playing `config`'s model with its networks at `placement`; see `MemoryCount`."""
    return MemoryCount(config).need(placement)


class MemoryCount:
    """Counts a large model's memory for any number of placements; each part is run once per dtype, in half a second.
    What was counted is known to the whole process.

    Several GPUs are counted as one. Of weights on their way to a GPU, host memory holds one tensor at a time.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._names, self._exact, self._largest = _outline(config)
        self._borrowed = family_of(config).borrowed

    def need(self, placement: Placement, recorded: bool = False) -> MemoryNeed:
        """The peak with the networks at `placement`.

        recorded: as CUDA graphs. Each keeps the memory of its work for itself, also while another's is done.
        """
        gpu = any(_on_gpu(placement.of(name)) for name in self._names)
        on_host = _PROCESS + (_CUDA_ON_HOST if gpu else 0)
        on_gpu = self._share(placement, True, _CUDA_ON_GPU + _WORKSPACES, 0, recorded) if gpu else None
        return MemoryNeed(on_gpu, self._share(placement, False, on_host, self._largest))

    def _share(
        self, placement: Placement, on_gpu: bool, libraries: int, streamed: int, recorded: bool = False
    ) -> Share:
        places = {name: placement.of(name, self._exact) for name in self._names}
        here = [name for name in self._names if _on_gpu(places[name]) == on_gpu]
        bits = {"transformer": placement.bits}  # others have no layers of eight
        parts = {name: footprint(self._config, name, places[name].dtype, bits.get(name)) for name in here}
        # What is borrowed is gone before a block's work begins.
        lent = [parts.pop(name) for name in self._borrowed if name in parts]
        passing = [
            streamed,
            *(part.weights + part.passing for part in lent),
            *(max(p.passing, p.loading) for p in parts.values()),
        ]
        if recorded:
            graphs = family_of(self._config).graphs
            passing.append(sum(graphs.get(name, 0) * part.passing for name, part in parts.items()))
        weights, kept = (sum(getattr(part, name) for part in parts.values()) for name in ("weights", "kept"))
        return Share(weights, kept, max(passing), libraries)


@lru_cache(maxsize=64)
def _outline(config: ModelConfig) -> tuple[tuple[str, ...], frozenset[str], int]:
    """Names of a model's networks, those that stay exact, and bytes of its largest tensor in float32."""
    networks = build_networks(config, "meta")
    modules = networks.modules()
    largest = 4 * max(weight.numel() for weight in modules["transformer"].state_dict().values())
    return tuple(modules), frozenset(networks.exact), largest


@lru_cache(maxsize=256)
@torch.inference_mode()
def footprint(config: ModelConfig, name: str, dtype: torch.dtype, bits: Bits | None) -> Footprint:
    """What one network takes, by name, in a dtype. bits: of its large layers, see Placement; only the transformer's."""
    family, networks = family_of(config), build_networks(config, "meta")
    modules = networks.modules()
    for other, module in modules.items():
        module.to(torch.float32 if other in networks.exact else dtype)
    unread = family.unread(networks).get(name, ())
    read = _bytes(modules[name].state_dict().values())
    networks = family.loaded(networks, None)
    lighten(networks, bits)
    kept = passing = 0
    for job in family.jobs(networks, best_kernels(networks)).get(name, ()):
        held, beside = _work(job)
        kept, passing = kept + held, max(passing, beside)
    state = [weight for key, weight in modules[name].state_dict().items() if not key.startswith(unread)]
    # What loading gives up again has been in memory before anything is played.
    loading = max(0, read - _bytes(modules[name].state_dict().values()) - kept)
    return Footprint(_bytes(state), kept, passing, loading)


def _on_gpu(place: Place) -> bool:
    return torch.device(place.device).type != "cpu"


def _work(job: Job) -> tuple[int, int]:
    """Bytes that what a job begins with holds after its work, and the most taken beside meanwhile."""
    with _Living() as living:
        held = job.begin()
        made = job.work(held)
        del made
        kept = living.now
    del held
    return kept, living.peak - kept


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Living:
    """While entered: bytes of the tensors made meanwhile that are alive now, and the most there ever were."""

    def __init__(self) -> None:
        self._modes = ExitStack()
        self._sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __enter__(self) -> _Living:
        for mode in (_FusedAttention(), _Watch(self.see)):
            self._modes.enter_context(mode)
        return self

    def __exit__(self, *error: object) -> None:
        self._modes.close()

    def see(self, made: Tensor) -> None:
        storage = made.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


class _Watch(TorchDispatchMode):
    """Tells of every tensor that an operation hands back."""

    def __init__(self, see: Callable[[Tensor], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._see = see

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        # Views of what was there before, such as weights, are nothing new.
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given:
                self._see(leaf)
        return result


class _FusedAttention(TorchFunctionMode):
    """Attention as fused kernels do it: the result, and no table of every query with every key."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is nn.functional.scaled_dot_product_attention:
            query, _, values = args[:3]
            return query.new_empty(*query.shape[:-1], values.shape[-1])
        return func(*args, **(kwargs or {}))
