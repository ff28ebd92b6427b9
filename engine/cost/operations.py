"""What a block takes, counted on networks without data: operations, and what it asks of its device.

Operations are matrix products, convolutions and attention, at two per multiply-add; element-wise work is not counted.
Asked of the device: kernels launched, bytes made, times the host waits; composite operations are taken apart, views are
no work, and a fused attention counts as the one kernel it is on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from engine.actions import Actions
from engine.config.model import ModelConfig
from engine.families import best_kernels, build_networks, family_of, lighten, readable_kernels
from engine.fast.kernels import Kernels
from engine.frames import to_uint8
from engine.nets.networks import Networks
from engine.weights.placement import Bits

aten = torch.ops.aten
# They bring a value to the host, or a shape that depends on one: the host waits until the device has got there.
READS = frozenset({
    aten._local_scalar_dense, aten.item, aten.is_nonzero, aten.nonzero, aten.equal, aten.masked_select, aten._unique2,
})  # fmt: skip
_WHOLE = frozenset({aten.scaled_dot_product_attention, aten.rms_norm, aten.layer_norm, aten.silu_})
_UNWRITTEN = frozenset({aten.empty, aten.empty_strided, aten.empty_like, aten.new_empty})  # memory, and no work
_VIEWS = frozenset({aten.lift_fresh, aten.alias, aten._unsafe_view})  # whose schemas do not say so


class Trial:
    """The pipeline of a world in the steady state, one stage at a time.

    Args:
        networks: on "meta", where tensors have sizes and no memory.
        kernels: what computes them.
    """

    def __init__(self, networks: Networks, kernels: Kernels) -> None:
        config, family = networks.config, family_of(networks.config)
        self._config, self._idle = config, family.space(config).idle()
        blank = np.zeros((config.height, config.width, 3), np.uint8)
        self._pipeline = family.pipeline(networks, kernels, blank, seed=0)
        self._index = 0
        # The first block takes the caches' memory and starts the decoder; what fills the window after it only has to
        # be counted as there.
        inputs = self.prepare()
        for latents in self.denoise(inputs):
            newest = latents
        self.decode(newest)
        while not self._pipeline.steady:
            self.prepare()
        self._pipeline.ahead(self._index)  # no part of a block

    @property
    def commits(self) -> bool:
        """Whether there is a context pass."""
        return self._pipeline.commits

    def prepare(self) -> Any:
        """What the next block needs once."""
        frames = self._config.frames_of_block(self._index)
        inputs = self._pipeline.prepare(self._index, Actions.stack([self._idle] * frames))
        self._index += 1
        return inputs

    def denoise(self, inputs: Any) -> Iterator[Tensor]:
        """Each denoising step of a block."""
        noise = torch.empty(self._pipeline.noise_shape[1:], device="meta")
        return self._pipeline.denoise(inputs, lambda: noise)

    def commit(self, latents: Tensor, inputs: Any) -> None:
        """The context pass, if there is one."""
        if self._pipeline.commits:
            self._pipeline.commit(latents, inputs)

    def decode(self, latents: Tensor) -> Tensor:
        """A block's latents to its frames."""
        return self._pipeline.decode(latents)


@dataclass(frozen=True)
class BlockFlops:
    """Operations of one block in the steady state: windows full, codec past its first frame.

    Attributes:
        prepare: what a block needs once, its condition with it.
        denoise: all its denoising passes.
        context: the context pass, 0 without one.
        decode: latents to frames.
    """

    prepare: int
    denoise: int
    context: int
    decode: int

    @property
    def passes(self) -> int:
        """Of the transformer's part of a block."""
        return self.prepare + self.denoise + self.context

    @property
    def total(self) -> int:
        return self.passes + self.decode


@torch.inference_mode()
def block_flops(config: ModelConfig) -> BlockFlops:
    """The operations of one block of `config`'s model; needs no weights and next to no memory."""
    networks = build_networks(config, "meta")
    trial = Trial(networks, readable_kernels(networks))
    prepare, inputs = _flops_of(trial.prepare)
    denoise, latents = _flops_of(lambda: list(trial.denoise(inputs))[-1])
    context, _ = _flops_of(lambda: trial.commit(latents, inputs))
    decode, _ = _flops_of(lambda: trial.decode(latents))
    return BlockFlops(prepare, denoise, context, decode)


def _flops_of(work: Callable[[], Any]) -> tuple[int, Any]:
    # Fused attention kernels are many and not all known to the counter; as plain products they cost the same.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        result = work()
    return int(counter.get_total_flops()), result


@dataclass(frozen=True)
class Work:
    """launched: kernels. bytes_made: of new tensors. host_waits: times the host waits for the device."""

    launched: int = 0
    bytes_made: int = 0
    host_waits: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def times(self, number: int) -> Work:
        return Work(*(number * value for value in astuple(self)))


class WorkCounter(TorchDispatchMode):
    """Counts the work of what runs inside it. host: the device whose operations are not the device's."""

    def __init__(self, host: str = "cpu") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()
        self._host = host

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket not in _WHOLE:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        if func.overloadpacket in READS or self._comes_home(func, args, kwargs):
            self.work += Work(host_waits=1)
        made = func(*args, **kwargs)
        self._note(func, made)
        return made

    def _comes_home(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether it copies from the device to the host."""
        if func is aten.copy_.default:
            return self._is_host(args[0]) and not self._is_host(args[1])
        to = kwargs.get("device")
        return func is aten._to_copy.default and to is not None and not self._is_host(args[0]) and self._named(to)

    def _note(self, func: Any, made: Any) -> None:
        tensors = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor) and not self._is_host(leaf)]
        infos = [result.alias_info for result in func._schema.returns]
        is_view = any(info is not None and not info.is_write for info in infos)
        if not tensors or is_view or func.overloadpacket in _VIEWS:
            return
        new = not any(info is not None for info in infos)  # and not written into an argument
        self.work += Work(func.overloadpacket not in _UNWRITTEN, sum(tensor.nbytes for tensor in tensors) if new else 0)

    def _is_host(self, tensor: Tensor) -> bool:
        return self._named(tensor.device)

    def _named(self, device: torch.device | str) -> bool:
        return torch.device(device).type == self._host


@dataclass(frozen=True)
class BlockWork:
    """The work of a block in the steady state: window full, the first frame's condition encoded.

    Attributes:
        prepare: what is done once before a block's passes.
        one_pass: one denoising step: a pass, what the sampler does with its output, and noise for it.
        denoise: all of them.
        context: the context pass.
        decode: latents to uint8 pictures; and their way to the host, which is waited for.
    """

    prepare: Work
    one_pass: Work
    denoise: Work
    context: Work
    decode: Work

    @property
    def total(self) -> Work:
        return self.prepare + self.denoise + self.context + self.decode


@torch.inference_mode()
def block_work(
    config: ModelConfig, *, fast: bool, dtype: torch.dtype = torch.float32, bits: Bits | None = None
) -> BlockWork:
    """The work of one block of `config`'s model by fast or readable kernels; needs neither weights nor a GPU.

    bits: of its large layers, if they have eight.
    """
    networks = build_networks(config, "meta")
    for name, module in networks.modules().items():
        module.to(torch.float32 if name in networks.exact else dtype)
    lighten(networks, bits)
    trial = Trial(networks, best_kernels(networks) if fast else readable_kernels(networks))
    prepare, inputs = _work_of(trial.prepare)
    steps, passes = trial.denoise(inputs), []
    for _ in config.denoising_steps:
        work, latents = _work_of(lambda: next(steps))
        passes.append(work)
    context, _ = _work_of(lambda: trial.commit(latents, inputs))
    decode, _ = _work_of(lambda: to_uint8(trial.decode(latents)))
    return BlockWork(prepare, passes[-1], sum(passes, Work()), context, decode + Work(host_waits=1))


def _work_of(work: Callable[[], Any]) -> tuple[Work, Any]:
    with WorkCounter() as counter:
        result = work()
    return counter.work, result
