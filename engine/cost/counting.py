"""What a block asks of its device, counted on networks without data: operations launched, bytes made, host waits.

Composite operations are taken apart, and views are no work; a fused attention counts as the one kernel it is on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.config.model import ModelConfig
from engine.cost.trial import Trial
from engine.families import best_kernels, build_networks, readable_kernels
from engine.pictures import to_uint8

aten = torch.ops.aten
# They bring a value to the host, or a shape that depends on one: the host waits until the device has got there.
READS = frozenset({
    aten._local_scalar_dense, aten.item, aten.is_nonzero, aten.nonzero, aten.equal, aten.masked_select, aten._unique2,
})  # fmt: skip
_WHOLE = frozenset({aten.scaled_dot_product_attention, aten.rms_norm, aten.layer_norm, aten.silu_})
_UNWRITTEN = frozenset({aten.empty, aten.empty_strided, aten.empty_like, aten.new_empty})  # memory, and no work
_VIEWS = frozenset({aten.lift_fresh, aten.alias, aten._unsafe_view})  # whose schemas do not say so


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
def block_work(config: ModelConfig, *, fast: bool, dtype: torch.dtype = torch.float32) -> BlockWork:
    """The work of one block of `config`'s model by fast or readable kernels; needs neither weights nor a GPU."""
    networks = build_networks(config, "meta")
    for name, module in networks.modules().items():
        module.to(torch.float32 if name in networks.exact else dtype)
    trial = Trial(networks, best_kernels(networks) if fast else readable_kernels(networks))
    prepare, inputs = _count(trial.prepare)
    steps, passes = trial.denoise(inputs), []
    for _ in config.denoising_steps:
        work, latents = _count(lambda: next(steps))
        passes.append(work)
    context, _ = _count(lambda: trial.commit(latents, inputs))
    decode, _ = _count(lambda: to_uint8(trial.decode(latents)))
    return BlockWork(prepare, passes[-1], sum(passes, Work()), context, decode + Work(host_waits=1))


def _count(work: Callable[[], Any]) -> tuple[Work, Any]:
    with WorkCounter() as counter:
        result = work()
    return counter.work, result
