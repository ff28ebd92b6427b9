"""Caches of fixed memory and fixed shapes: a block's place is a tensor of slot numbers.

Once they are full, attention always sees the whole memory; while they fill, the leading slots. Frames come first,
(frames, tokens a frame, heads, head dim): a block is then written in one piece, and no axis need be moved before
attention.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from engine.fast.lease import Lease
from engine.nets.caches import CacheSnapshot, FrameRing, SlotState
from engine.nets.rope import Rotation

Made = TypeVar("Made")


class Ahead(Generic[Made]):
    """What depends on a block's place alone, made before the block starts. No state: it can be made again any time."""

    def __init__(self) -> None:
        self._ready: tuple[Hashable, Made] | None = None

    def of(self, place: Hashable, make: Callable[[], Made]) -> Made:
        """What belongs to `place`: as it was made before, or made now."""
        if self._ready is None or self._ready[0] != place:
            self._ready = place, make()
        return self._ready[1]


@dataclass(frozen=True)
class SlotCache:
    """Keys and values of one attention, (frames, tokens a frame, heads, head dim), written in place."""

    keys: Tensor
    values: Tensor

    def snapshot(self, known: Sequence[SlotState | None], first: int = 0) -> tuple[SlotState, ...]:
        """Keys and values of every slot from `first` on that `known` has an entry for: that, or a copy where None."""
        return tuple(self._copy(slot) if state is None else state for slot, state in enumerate(known, first))

    def restore(self, state: Sequence[SlotState], first: int = 0) -> None:
        # Into the same memory: whatever has recorded its address (a CUDA graph) stays right.
        for slot, (keys, values) in enumerate(state, first):
            self.keys[slot].copy_(keys)
            self.values[slot].copy_(values)

    def _copy(self, slot: int) -> SlotState:
        return self.keys[slot].clone(), self.values[slot].clone()


class SlotCaches:
    """All caches of one rollout, and the position of its next latent frame.

    Args:
        ring: says where each frame lies.
        attention: one cache per layer.
        mouse: one per layer that has an action module and a mouse.
        keyboard: one for all layers that have an action module; its tokens a frame are the layers.
        context: where cross attention's keys and values lie, see PassTensors.
        lease: of all this memory; None where nobody else has it.
    """

    def __init__(
        self,
        ring: FrameRing,
        attention: tuple[SlotCache, ...],
        mouse: tuple[SlotCache, ...],
        keyboard: SlotCache,
        context: tuple[Tensor, ...] = (),
        lease: Lease | None = None,
    ) -> None:
        self.ring, self.attention, self.mouse, self.keyboard = ring, attention, mouse, keyboard
        self.context, self._lease = context, lease
        self._put_by: tuple[tuple[SlotState, ...], ...] | None = None
        self._shown: tuple[Tensor, ...] | None = None  # the world's own context, if `context` holds it
        self.position = 0
        self.tables: Ahead[tuple[Rotation, Rotation]] = Ahead()
        device = keyboard.keys.device
        slots = torch.arange(ring.capacity, device=device)
        # Slots in the order of frames, from any of them on: a block's are one piece of it, so no number is ever sent.
        self._order = torch.cat((slots, slots[ring.sink :]))

    def claim(self, context: tuple[Tensor, ...] | None = None) -> None:
        """Has the memory hold what is this world's, whoever used it meanwhile. context: the world's, to be shown."""
        if self._lease is not None and self._lease.to(self):
            self._shown = None
            for cache, slots in zip(self, self._put_by or (), strict=self._put_by is not None):
                cache.restore(slots)
            self._put_by = None
        if context is not None and self._shown is not context:
            for place, part in zip(self.context, context, strict=True):
                place.copy_(part)
            self._shown = context

    @property
    def lent(self) -> bool:
        """Whether another world works in the memory now."""
        return self._lease is not None and self._lease.elsewhere(self)

    def put_by(self) -> None:
        """As engine.fast.lease.Tenant."""
        self._put_by = tuple(cache.snapshot([None] * self.ring.filled) for cache in self)

    def begin_block(self, frames: int) -> int:
        """Makes room for a block of `frames` latent frames; returns its first frame's position."""
        start = self.position
        self.ring.begin(frames)
        self.position = start + frames
        return start

    def slots(self) -> Tensor:
        """Slot of every frame of the newest block, (frames,)."""
        first, frames = self.ring.spans[0].slot, sum(span.length for span in self.ring.spans)
        return self._order[first : first + frames]

    def held(self) -> int | None:
        """How many slots, the leading ones, hold a frame; None when all do."""
        return None if self.ring.filled == self.ring.capacity else self.ring.filled

    def snapshot(self, since: CacheSnapshot | None = None) -> CacheSnapshot:
        """Everything, to keep. Slots that hold what they held in `since` are shared with it."""
        self.claim()
        ring = self.ring.snapshot()
        slots = []
        for number, cache in enumerate(self):
            known: list[SlotState | None] = [None] * ring.filled
            if since is not None:
                pairs = zip(since.slots[number] or (), since.ring.stamps, ring.stamps, strict=False)
                same = [state if old is new else None for state, old, new in pairs]
                known[: len(same)] = same
            slots.append(cache.snapshot(known))
        return CacheSnapshot(ring, self.position, tuple(slots))

    def restore(self, state: CacheSnapshot) -> None:
        """Goes back to `state`, which stays as it is."""
        self.claim()
        self.ring.restore(state.ring)
        self.position = state.position
        for cache, slots in zip(self, state.slots, strict=True):
            cache.restore(slots or ())

    def __iter__(self) -> Iterator[SlotCache]:
        yield from self.attention
        yield from self.mouse
        yield self.keyboard
