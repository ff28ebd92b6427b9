"""How much memory a model takes, on the GPU and on the host, found by running it on no data.

Networks, caches and streams are built on the meta device, where tensors have sizes and no memory, and one block is made
there; every tensor's bytes are counted while it lives. What the libraries take for themselves is added by rule of thumb
and said apart: an estimate, good to tell "fits" from "does not", not the last hundred megabytes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.actions import Actions, action_space
from engine.config.model import ModelConfig
from engine.cost.kernels import Kernels, best_kernels
from engine.nets.networks import Networks, build_networks
from engine.rollout.action_windows import ActionHistory
from engine.rollout.condition import new_condition
from engine.weights.placement import EXACT, Place, Placement

# Not found by counting tensors: CUDA's context and kernels, torch itself, and what an allocator cannot use.
_CUDA_ON_GPU = 600 * 2**20
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
class _Footprint:
    """Bytes of one network: its weights, what a rollout keeps of it, and the most that its work takes beside."""

    weights: int
    kept: int
    passing: int


def memory_need(config: ModelConfig, placement: Placement) -> MemoryNeed:
    """The peak memory of loading and playing `config`'s model with its networks at `placement`; see `MemoryCount`."""
    return MemoryCount(config).need(placement)


class MemoryCount:
    """Counts a large model's memory for any number of placements; each part is run once per dtype, in half a second.

    Large: one whose condition is the first frame. Small ones have other parts, and fit anywhere.
    Several GPUs are counted as one. Of weights on their way to a GPU, host memory holds one tensor at a time.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._done: dict[tuple[str, torch.dtype], _Footprint] = {}
        networks = build_networks(config, "meta")
        self._names = list(networks.modules())
        self._largest = 4 * max(weight.numel() for weight in networks.transformer.state_dict().values())

    def need(self, placement: Placement) -> MemoryNeed:
        """The peak with the networks at `placement`."""
        gpu = any(_on_gpu(placement.of(name)) for name in self._names)
        on_host = _PROCESS + (_CUDA_ON_HOST if gpu else 0)
        on_gpu = self._share(placement, True, _CUDA_ON_GPU, 0) if gpu else None
        return MemoryNeed(on_gpu, self._share(placement, False, on_host, self._largest))

    def _share(self, placement: Placement, on_gpu: bool, libraries: int, streamed: int) -> Share:
        here = [name for name in self._names if _on_gpu(placement.of(name)) == on_gpu]
        parts = {name: self._footprint(name, placement.of(name).dtype) for name in here}
        tower = parts.pop("image_tower", _Footprint(0, 0, 0))
        # The tower is gone before a block's work begins.
        passing = max([streamed, tower.weights + tower.passing, *(part.passing for part in parts.values())])
        weights, kept = (sum(getattr(part, name) for part in parts.values()) for name in ("weights", "kept"))
        return Share(weights, kept, passing, libraries)

    @torch.inference_mode()
    def _footprint(self, name: str, dtype: torch.dtype) -> _Footprint:
        if (name, dtype) not in self._done:
            networks = build_networks(self._config, "meta")
            for other, module in networks.modules().items():
                module.to(torch.float32 if other in EXACT else dtype)
            count = {"transformer": _transformer, "codec": _codec, "light_decoder": _light, "image_tower": _tower}
            self._done[name, dtype] = count.get(name, _only_weights(name))(networks, best_kernels(networks))
        return self._done[name, dtype]


def _on_gpu(place: Place) -> bool:
    return torch.device(place.device).type != "cpu"


def _only_weights(name: str) -> Callable[[Networks, Kernels], _Footprint]:
    """Of a network whose work is counted where it is done: the memory's with the codec's, in the condition."""
    return lambda networks, _kernels: _Footprint(_bytes(networks.modules()[name].state_dict().values()), 0, 0)


def _tower(networks: Networks, _kernels: Kernels) -> _Footprint:
    tower, config = networks.image_tower, networks.config
    frame = torch.empty(1, 3, config.height, config.width, device="meta")
    used = [weight for name, weight in tower.state_dict().items() if not name.startswith(tower.unused)]
    with _Living() as living:
        tower(frame)
    return _Footprint(_bytes(used), 0, living.peak)


def _transformer(networks: Networks, kernels: Kernels) -> _Footprint:
    config, net, dtype = networks.config, kernels.transformer, networks.dtype
    visual = config.transformer.visual_context
    noisy = torch.empty(1, config.block_latents, config.transformer.in_channels, *config.latent_size, device="meta")
    passes = len(config.denoising_steps) + (config.context_noise is not None)
    with _Living() as living:
        caches = net.new_caches(config.window, config.sink)
        context = None if visual is None else torch.empty(1, visual.tokens, visual.channels, device="meta", dtype=dtype)
        rollout = net.prepare_rollout(torch.zeros(passes, device="meta"), config.latent_size, context)
        history = ActionHistory(config.transformer.actions, config.time_ratio)
        windows = history.extend(_idle(config)).to(networks.device, dtype)
        block = net.prepare_block(rollout, windows, config.block_latents, caches)
        net(noisy, block, 0, caches)
    return _Footprint(_bytes(networks.transformer.state_dict().values()), living.now, living.peak - living.now)


def _codec(networks: Networks, kernels: Kernels) -> _Footprint:
    """Of the codec; where there is a light decoder it only encodes."""
    config = networks.config
    picture = torch.empty(1, 1, 3, config.height, config.width, device="meta", dtype=networks.dtype)
    kept, passing = _work(lambda condition: condition.for_block(0, config.block_latents, _idle(config)),
                          lambda: new_condition(networks, picture))  # fmt: skip
    state = networks.codec.state_dict()
    if networks.light_decoder is not None:
        encoder = [weight for name, weight in state.items() if not name.startswith(networks.codec.of_decoder)]
        return _Footprint(_bytes(encoder), kept, passing)
    decoded = _decoding(networks, kernels)
    return _Footprint(_bytes(state.values()), kept + decoded[0], max(passing, decoded[1]))


def _light(networks: Networks, kernels: Kernels) -> _Footprint:
    return _Footprint(_bytes(networks.light_decoder.state_dict().values()), *_decoding(networks, kernels))


def _decoding(networks: Networks, kernels: Kernels) -> tuple[int, int]:
    config = networks.config
    latents = torch.empty(1, config.block_latents, config.codec.latent_channels, *config.latent_size, device="meta")
    return _work(lambda stream: stream.decode(latents), kernels.decoder.decoder_stream)


def _idle(config: ModelConfig) -> Actions:
    return Actions.stack([action_space(config.mode).idle()] * config.frames_of_block(0))


def _work(work: Callable, begin: Callable) -> tuple[int, int]:
    """Bytes that what `begin` makes holds after `work` on it, and the most taken beside meanwhile."""
    with _Living() as living:
        held = begin()
        work(held)
        kept = living.now
    del held
    return kept, living.peak - kept


def _bytes(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Living:
    """While entered: bytes of the tensors made meanwhile that are alive now, and the most there ever were."""

    def __init__(self) -> None:
        self._modes: tuple[TorchDispatchMode | TorchFunctionMode, ...] = ()
        self._sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __enter__(self) -> _Living:
        self._modes = (_FusedAttention(), _Watch(self.see))
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)

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
        super().__init__()
        self._see = see

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        # Views of what was there before, such as weights, are nothing new.
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given:
                self._see(leaf)
        return result


class _FusedAttention(TorchFunctionMode):
    """Attention as fused kernels do it: the result, and no table of every query with every key."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is nn.functional.scaled_dot_product_attention:
            query, _, values = args[:3]
            return query.new_empty(*query.shape[:-1], values.shape[-1])
        return func(*args, **(kwargs or {}))
