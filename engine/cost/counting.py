"""What a block asks of its device, counted on networks without data: operations launched, bytes made, host waits.

Composite operations are taken apart, and views are no work; a fused attention counts as the one kernel it is on a GPU.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.actions import Actions, action_space
from engine.config.model import ModelConfig
from engine.cost.kernels import Kernels, best_kernels, readable_kernels
from engine.nets.networks import Networks, build_networks
from engine.pictures import to_uint8
from engine.rollout.action_windows import ActionHistory
from engine.rollout.noise import add_noise, noise_schedule
from engine.rollout.sampler import Sampler

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

    def __add__(self, other: "Work") -> "Work":
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def times(self, number: int) -> "Work":
        return Work(*(number * value for value in astuple(self)))


class WorkCounter(TorchDispatchMode):
    """Counts the work of what runs inside it. host: the device whose operations are not the device's."""

    def __init__(self, host: str = "cpu") -> None:
        super().__init__()
        self.work = Work()
        self._host = host

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
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

    def _comes_home(self, func: Any, args: tuple, kwargs: dict) -> bool:
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
        one_pass: one pass of the transformer and what the sampler does with its output.
        prepare: what is done once before a block's passes.
        decode: latents to uint8 pictures; and their way to the host, which is waited for.
        total: all passes, with the others.
    """

    one_pass: Work
    prepare: Work
    decode: Work
    total: Work


@torch.inference_mode()
def block_work(config: ModelConfig, *, fast: bool, dtype: torch.dtype = torch.float32) -> BlockWork:
    """The work of one block of `config`'s model by the fast or the readable kernels; needs neither weights nor a GPU.

    Only for models whose condition is the first frame.
    """
    networks = build_networks(config, "meta")
    for module in networks.modules().values():
        module.to(dtype)
    kernels = best_kernels(networks) if fast else readable_kernels(networks)
    schedule = noise_schedule(config.denoising_steps, config.timestep_shift, config.context_noise)
    prepare, one_pass = _passes(networks, kernels, Sampler(kernels.transformer, schedule, config.prediction))
    decode = _decode(networks, kernels)
    return BlockWork(one_pass, prepare, decode, prepare + one_pass.times(len(schedule.timesteps)) + decode)


def _passes(networks: Networks, kernels: Kernels, sampler: Sampler) -> tuple[Work, Work]:
    """Of preparing a block, and of one denoising step."""
    config, net, visual = networks.config, kernels.transformer, networks.config.transformer.visual_context
    context = torch.empty(1, visual.tokens, visual.channels, device="meta") if visual is not None else None
    prepared = net.prepare_rollout(torch.tensor(sampler.schedule.timesteps), config.latent_size, context)
    caches, history = (
        net.new_caches(config.window, config.sink),
        ActionHistory(config.transformer.actions, config.time_ratio),
    )
    shape = (1, config.block_latents, config.codec.latent_channels, *config.latent_size)
    noisy = torch.empty(shape, device="meta")
    condition = torch.empty(1, shape[1], config.transformer.in_channels - shape[2], *shape[3:], device="meta")
    idle, full = action_space(config.mode).idle(), False
    while not full:
        full = caches.ring.filled == config.window
        actions = Actions.stack([idle] * config.frames_of_block(1 if caches.position else 0))
        windows = history.extend(actions).to(networks.device, networks.dtype)
        prepare, block = _count(lambda w=windows: net.prepare_block(prepared, w, config.block_latents, caches))
        if caches.position == config.block_latents:  # takes the readable caches' memory
            sampler.clean(noisy, condition, block, 0, caches)

    def step() -> Tensor:
        clean = sampler.clean(noisy, condition, block, 0, caches)
        return add_noise(clean, noisy, 0.5)

    return prepare, _count(step)[0]


def _decode(networks: Networks, kernels: Kernels) -> Work:
    config, stream = networks.config, kernels.decoder.decoder_stream()
    latents = torch.empty(1, config.block_latents, config.codec.latent_channels, *config.latent_size, device="meta")
    stream.decode(latents.to(networks.dtype))
    work, _ = _count(lambda: to_uint8(stream.decode(latents.to(networks.dtype))))
    return work + Work(host_waits=1)


def _count(work: Callable[[], Any]) -> tuple[Work, Any]:
    with WorkCounter() as counter:
        result = work()
    return counter.work, result
