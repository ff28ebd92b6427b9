"""Waypoint's transformer at speed: what engine.nets.waypoint computes, in fixed shapes and few kernels.

A pass is a loop over layers. A layer whose history is full sees slots that are always the same, so its program can be
compiled, and a pass of which all layers do so can be recorded; before that it sees the slots that are filled, by
kernels that need no fixed shapes. Nothing is masked. Frames that stay in the global layers' history see one slot fewer
than those that do not (their own is in the ring, not in front of it): a pass is one of two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.fast.caches import Ahead, SlotCache
from engine.fast.lease import Lease
from engine.fast.weights import merged_linear, one_storage
from engine.nets.caches import CacheSnapshot, FrameRing, SlotState
from engine.nets.rope import Rotation
from engine.nets.waypoint import (
    EPS,
    Layer,
    WaypointSnapshot,
    WaypointTransformer,
    rms,
    space_rotation,
    time_rotation,
)


class LayerTensors(NamedTuple):
    """What one layer of a pass reads or writes, beside its input and weights.

    Attributes:
        modulation: scale, shift, gate of attention, then of the MLP, (6, width); one is already added to the scales.
        cos, sin: rotation of every token, (S, 1, head dim).
        slots: the frame's place in the cache, (1,).
        first, lamb: layer 0's own values (S, KV heads, head dim) and their share; anything, and 0, in layer 0 itself.
        keys, values: the cache, (capacity, S, KV heads, head dim); written to.
        controls: their share of the fusion, (1, width); None where there is none.
    """

    modulation: Tensor
    cos: Tensor
    sin: Tensor
    slots: Tensor
    first: Tensor
    lamb: Tensor
    keys: Tensor
    values: Tensor
    controls: Tensor | None


class PassTensors(NamedTuple):
    """Everything a pass reads or writes, beside its input and weights; see LayerTensors.

    Attributes:
        modulation: (L, 6, width); head: scale and shift, (2, width).
        near, far: the frame's slot in the caches of local and of global layers, (1,).
        controls: (layers that take them, 1, width).
        keys, values: every layer's cache. What lies in tuples stays at one address throughout a rollout.
    """

    modulation: Tensor
    head: Tensor
    cos: Tensor
    sin: Tensor
    near: Tensor
    far: Tensor
    controls: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


class FastLayer(nn.Module):
    """One layer of one latent frame; the readable one's weights become parts of its."""

    def __init__(self, source: Layer) -> None:
        super().__init__()
        attention = source.attn
        self.heads, self.kv_heads = attention.heads, attention.kv_heads
        self.qkv = merged_linear((attention.q_proj, attention.k_proj, attention.v_proj))
        self.out, self.mlp = attention.out_proj, source.dit_mlp
        self.fusion = getattr(source, "ctrl_mlpfusion", None)

    def forward(self, x: Tensor, t: LayerTensors, first: int, held: int) -> tuple[Tensor, Tensor]:
        """x (S, width) -> the same, a new one, and the layer's own values. The slots seen are first .. held - 1."""
        scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = t.modulation.unbind(0)
        attended, own = self._attend(_norm(x, scale, shift), t, first, held)
        x = torch.addcmul(x, attended, gate)
        if self.fusion is not None and t.controls is not None:
            x.add_(self.fusion.fc2(F.silu(self.fusion.fc1_x(rms(x)).add_(t.controls), inplace=True)))
        hidden = F.silu(self.mlp.fc1(_norm(x, mlp_scale, mlp_shift)), inplace=True)
        return x.addcmul_(self.mlp.fc2(hidden), mlp_gate), own

    def _attend(self, x: Tensor, t: LayerTensors, first: int, held: int) -> tuple[Tensor, Tensor]:
        tokens, heads, kv_heads = x.shape[0], self.heads, self.kv_heads
        q, k, own = self.qkv(x).view(tokens, heads + 2 * kv_heads, -1).split((heads, kv_heads, kv_heads), 1)
        qk = Rotation(t.cos, t.sin).apply(rms(torch.cat((q, k), 1)))
        t.keys.index_copy_(0, t.slots, qk[None, :, heads:])
        t.values.index_copy_(0, t.slots, torch.lerp(own, t.first, t.lamb)[None])
        q = qk[:, :heads].transpose(0, 1)[None]
        keys, values = (part[first:held].flatten(0, 1).transpose(0, 1)[None] for part in (t.keys, t.values))
        out = F.scaled_dot_product_attention(q, keys, values, enable_gqa=True)
        return self.out(out[0].transpose(0, 1).reshape(tokens, -1)), own


def _norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    # One is in the scale already, so it is the norm's weight.
    return F.rms_norm(x, x.shape[-1:], scale, EPS) + shift


LayerProgram = Callable[[FastLayer, Tensor, LayerTensors, int, int], tuple[Tensor, Tensor]]


def near_layer(layer: FastLayer, x: Tensor, t: LayerTensors, first: int, held: int) -> tuple[Tensor, Tensor]:
    """The program of local layers. A function of its own, so that it is compiled once for all of them."""
    return layer(x, t, first, held)


def far_layer(layer: FastLayer, x: Tensor, t: LayerTensors, first: int, held: int) -> tuple[Tensor, Tensor]:
    """The program of global layers."""
    return layer(x, t, first, held)


@dataclass(frozen=True)
class Seen:
    """Which slots a frame's passes see: the `near` leading ones in local layers, `first` .. `far` - 1 in global."""

    near: int
    first: int
    far: int


class PassNetwork(nn.Module):
    """A whole pass: a noisy latent in, the velocity out. net: the readable transformer, whose weights it uses."""

    def __init__(self, net: WaypointTransformer) -> None:
        super().__init__()
        self.config, self.patchify, self.unpatchify = net.config, net.patchify, net.unpatchify
        self.blocks = nn.ModuleList(FastLayer(layer) for layer in net.transformer)
        lambs = [layer.attn.v_lamb.detach() for layer in net.transformer]
        self.lambs = [torch.zeros_like(lambs[0]), *lambs[1:]]  # layer 0 has nothing to mix in

    def forward(self, x: Tensor, t: PassTensors, seen: Seen, near: LayerProgram, far: LayerProgram) -> Tensor:
        """x (1, 1, channels, h, w) -> the same shape and dtype. near, far: what computes layers of either sort."""
        config, (rows, columns), (p, q) = self.config, self.config.grid, self.config.patch
        weight, channels = self.patchify.weight, config.channels
        patches = x.view(channels, rows, p, columns, q).permute(1, 3, 0, 2, 4).reshape(rows * columns, -1)
        tokens = F.linear(patches.to(weight.dtype), weight.flatten(1))
        first = tokens.new_zeros(len(tokens), config.kv_heads, config.head_dim)
        number = 0
        for index, layer in enumerate(self.blocks):
            block = cast(FastLayer, layer)
            is_far, controls = config.is_global(index), None
            if config.takes_controls(index):
                controls, number = t.controls[number], number + 1
            slots = t.far if is_far else t.near
            of_layer = LayerTensors(t.modulation[index], t.cos, t.sin, slots, first, self.lambs[index], t.keys[index],
                                    t.values[index], controls)  # fmt: skip
            if is_far:
                tokens, own = far(block, tokens, of_layer, seen.first, seen.far)
            else:
                tokens, own = near(block, tokens, of_layer, 0, seen.near)
            if index == 0:
                first = own.contiguous()
        tokens = F.silu(_norm(tokens, *t.head.unbind(0)))
        bias = self.unpatchify.bias
        assert bias is not None
        out = F.linear(tokens, self.unpatchify.weight.flatten(1).t()).view(rows, columns, channels, p, q)
        out = out.permute(2, 0, 3, 1, 4).reshape(1, 1, channels, *x.shape[-2:]) + bias.view(-1, 1, 1)
        return out.to(x.dtype)


def filling_pass(
    network: PassNetwork, x: Tensor, t: PassTensors, seen: Seen, near: LayerProgram = near_layer
) -> Tensor:
    """Every pass before the histories are full. near: of local layers, once theirs is."""
    return network(x, t, seen, near, far_layer)


def kept_pass(
    network: PassNetwork, x: Tensor, t: PassTensors, near: LayerProgram = near_layer, far: LayerProgram = far_layer
) -> Tensor:
    """Every later pass of a frame that stays in the global layers' history."""
    return network(x, t, _full(network, 1), near, far)


def passing_pass(
    network: PassNetwork, x: Tensor, t: PassTensors, near: LayerProgram = near_layer, far: LayerProgram = far_layer
) -> Tensor:
    """Every later pass of a frame that does not."""
    return network(x, t, _full(network, 0), near, far)


def _full(network: PassNetwork, first: int) -> Seen:
    config = network.config
    return Seen(config.local_window, first, config.global_window // config.global_dilation + 1)


@dataclass(frozen=True)
class PassPrograms:
    """What passes are computed with. settled: of local layers in `filling` once their history is full."""

    kept: Callable[[PassNetwork, Tensor, PassTensors], Tensor] = kept_pass
    passing: Callable[[PassNetwork, Tensor, PassTensors], Tensor] = passing_pass
    settled: LayerProgram = near_layer


class FastWaypointCaches:
    """All caches of one rollout, in memory that the worlds of a model share.

    Args:
        near, far: rings of local and of global layers.
        memory: one cache per layer.
        is_far: whether each layer is global.
        lease: of the memory.
    """

    def __init__(
        self, near: FrameRing, far: FrameRing, memory: Sequence[SlotCache], is_far: Sequence[bool], lease: Lease
    ) -> None:
        self.near, self.far, self.memory, self._is_far, self._lease = near, far, memory, is_far, lease
        self.position = 0  # number of the next latent frame
        self.tables: Ahead[Rotation] = Ahead()
        self._put_by: WaypointSnapshot | None = None
        device = memory[0].keys.device
        self._numbers = torch.arange(max(near.capacity, far.capacity), device=device)

    def claim(self) -> None:
        """Has the memory hold what is this world's, whoever used it meanwhile."""
        if self._lease.to(self) and self._put_by is not None:
            self._fill(self._put_by)
            self._put_by = None

    @property
    def lent(self) -> bool:
        """Whether another world works in the memory now."""
        return self._lease.elsewhere(self)

    def put_by(self) -> None:
        """As engine.fast.lease.Tenant."""
        self._put_by = self._copy(None)

    def begin_frame(self) -> int:
        """Makes room for the next latent frame; returns its number."""
        number = self.position
        for ring in (self.near, self.far):
            ring.begin(1)
        self.position = number + 1
        return number

    def slots(self, ring: FrameRing) -> Tensor:
        """Slot of the newest frame, (1,)."""
        slot = ring.spans[0].slot
        return self._numbers[slot : slot + 1]

    @property
    def seen(self) -> Seen:
        """Which slots the newest frame sees."""
        return Seen(self.near.filled, self.far.first, self.far.filled)

    @property
    def full(self) -> bool:
        """Whether both histories are."""
        return self.near.filled == self.near.capacity and self.far.filled == self.far.capacity

    def snapshot(self, since: WaypointSnapshot | None = None) -> WaypointSnapshot:
        """Everything, to keep. Slots that hold what they held in `since` are shared with it."""
        self.claim()
        return self._copy(since)

    def restore(self, state: WaypointSnapshot) -> None:
        """Goes back to `state`, which stays as it is."""
        self.claim()
        self.near.restore(state.local.ring)
        self.far.restore(state.distant.ring)
        self.position = state.local.position
        self._fill(state)

    def _copy(self, since: WaypointSnapshot | None) -> WaypointSnapshot:
        parts = []
        local, distant = (None, None) if since is None else (since.local, since.distant)
        for ring, caches, old in (
            (self.near, self._of(False), local),
            (self.far, self._of(True), distant),
        ):
            state, slots = ring.snapshot(), []
            for number, cache in enumerate(caches):
                known: list[SlotState | None] = [None] * (ring.filled - ring.spare)
                if old is not None:
                    stamps = zip(old.ring.stamps[ring.spare :], state.stamps[ring.spare :], strict=False)
                    pairs = zip(old.slots[number] or (), stamps, strict=False)
                    same = [kept if before is after else None for kept, (before, after) in pairs]
                    known[: len(same)] = same
                slots.append(cache.snapshot(known, ring.spare))
            parts.append(CacheSnapshot(state, self.position, tuple(slots)))
        return WaypointSnapshot(*parts)

    def _fill(self, state: WaypointSnapshot) -> None:
        for ring, caches, part in (
            (self.near, self._of(False), state.local),
            (self.far, self._of(True), state.distant),
        ):
            for cache, slots in zip(caches, part.slots, strict=True):
                cache.restore(slots or (), ring.spare)

    def _of(self, far: bool) -> list[SlotCache]:
        return [cache for cache, is_far in zip(self.memory, self._is_far, strict=True) if is_far == far]


@dataclass(frozen=True)
class FastRolloutInputs:
    """What stays the same throughout a rollout: rotations in space; per pass (L, 6, width) and head (2, width)."""

    space: Rotation
    modulations: tuple[tuple[Tensor, Tensor], ...]


@dataclass(frozen=True)
class FastBlockInputs:
    """What stays the same in every pass of a latent frame, and which of the passes it takes."""

    passes: tuple[PassTensors, ...]
    seen: Seen
    full: bool
    settled: bool


class FastWaypoint:
    """See the module's text; answers to the calls of engine.nets.waypoint.WaypointTransformer.

    Args:
        net: the readable transformer; its weights are moved together.
        programs: what passes are computed with.
    """

    def __init__(self, net: WaypointTransformer, programs: PassPrograms | None = None) -> None:
        self.net, self.programs, self.network = net, programs or PassPrograms(), PassNetwork(net)
        fusions = [layer.ctrl_mlpfusion for i, layer in enumerate(net.transformer) if net.config.takes_controls(i)]
        self._controls = one_storage([fusion.fc1_c for fusion in fusions], "weight")
        self._world: tuple[Lease, tuple[SlotCache, ...]] | None = None  # the memory that all worlds share

    def with_programs(self, programs: PassPrograms) -> "FastWaypoint":
        """The same network, computed with other programs; rollouts may change from one to the other."""
        twin = object.__new__(FastWaypoint)
        twin.__dict__ = {**self.__dict__, "programs": programs}
        return twin

    def apart(self) -> "FastWaypoint":
        """The same network and programs, with worlds that share no memory with those of this one."""
        twin = self.with_programs(self.programs)
        twin._world = None
        return twin

    def new_caches(self) -> FastWaypointCaches:
        """Empty caches for one rollout. Their memory is that of all worlds."""
        config, weight = self.net.config, self.net.patchify.weight
        near, far = config.rings()
        is_far = [config.is_global(layer) for layer in range(config.layers)]
        if self._world is None:
            tokens = config.grid[0] * config.grid[1]
            shapes = [((far if i else near), tokens, config.kv_heads, config.head_dim) for i in is_far]
            memory = tuple(SlotCache(weight.new_zeros(shape), weight.new_zeros(shape)) for shape in shapes)
            self._world = Lease(), memory
        lease, memory = self._world
        rings = FrameRing(near), FrameRing(far, dilation=config.global_dilation)
        return FastWaypointCaches(*rings, memory, is_far, lease)

    def prepare_rollout(self, sigmas: Sequence[float]) -> FastRolloutInputs:
        """As WaypointTransformer.prepare_rollout."""
        modulations = []
        for sigma in sigmas:
            made = self.net.modulation(sigma)
            one = made.layers.new_tensor((1.0, 0.0, 0.0))
            modulations.append((made.layers + one.repeat(2)[:, None], made.head + one[:2, None]))
        return FastRolloutInputs(space_rotation(self.net.config, self.net.patchify.weight.device), tuple(modulations))

    def ahead(self, rollout: FastRolloutInputs, caches: FastWaypointCaches) -> None:
        """Makes what the next latent frame will need whatever the player does, so that `prepare_block` need not."""
        if not caches.lent:  # worlds that take turns would copy their past to and fro once more
            caches.claim()
        number = caches.position
        caches.tables.of(number, lambda: self._table(rollout, number))

    def prepare_block(
        self, rollout: FastRolloutInputs, controls: Tensor, caches: FastWaypointCaches
    ) -> FastBlockInputs:
        """As WaypointTransformer.prepare_block, for one world: controls (1, 3 + buttons)."""
        caches.claim()
        number = caches.begin_frame()
        table = caches.tables.of(number, lambda: self._table(rollout, number))
        embedded = rms(self.net.embed_controls(controls)[0])
        shared: dict[str, Any] = {
            "cos": table.cos, "sin": table.sin, "near": caches.slots(caches.near), "far": caches.slots(caches.far),
            "controls": F.linear(embedded, self._controls).view(-1, 1, embedded.shape[-1]),
            "keys": tuple(cache.keys for cache in caches.memory),
            "values": tuple(cache.values for cache in caches.memory),
        }  # fmt: skip
        passes = tuple(PassTensors(modulation=m, head=head, **shared) for m, head in rollout.modulations)
        return FastBlockInputs(passes, caches.seen, caches.full, caches.near.filled == caches.near.capacity)

    def _table(self, rollout: FastRolloutInputs, number: int) -> Rotation:
        """Rotation of every token of latent frame `number`, (S, 1, head dim)."""
        space = rollout.space
        time = time_rotation(self.net.config, number, space.cos.device)
        cos, sin = (torch.cat((of_space, of_time.expand(len(of_space), -1)), -1)[:, None]
                    for of_space, of_time in ((space.cos, time.cos), (space.sin, time.sin)))  # fmt: skip
        return Rotation(cos, sin)

    def __call__(self, x: Tensor, block: FastBlockInputs, step: int, caches: FastWaypointCaches) -> Tensor:
        """As WaypointTransformer.forward, for one world: x (1, 1, channels, h, w)."""
        caches.claim()
        programs, tensors = self.programs, block.passes[step]
        if block.full:
            return (programs.kept if block.seen.first else programs.passing)(self.network, x, tensors)
        near = programs.settled if block.settled else near_layer
        return filling_pass(self.network, x, tensors, block.seen, near)
