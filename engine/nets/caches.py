"""Keys and values of the latent frames a block may still attend to: one kind of cache for every attention over time.

A `FrameRing` decides, once a block and for all layers together, which frame slots the block takes and thereby which
frames it evicts. A cache then holds tensors of (batch, heads, frames, tokens a frame, head dim) by those slots.
Attention has no order of its own (positions are in the keys, by rotation), so slots may lie in any order.

`RingCache` writes in place and is what plays. `GrowingCache` concatenates, so that gradients reach earlier blocks, and
is what trains; for the same writes both hand out the same keys and values, up to the order of frames.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from engine.nets.rope import Rotation


@dataclass(frozen=True)
class Span:
    """`length` frames of a block, from its frame `source` on, lie in the slots from `slot` on."""

    slot: int
    source: int
    length: int


class FrameRing:
    """Where each latent frame lies: the first `sink` frames for ever in front, the others in a ring behind them.

    With a `dilation` only every so-manyth frame stays; the others are seen while they are made and never again, in a
    spare slot in front of the ring.

    Args:
        capacity: frames held, the block being made and the sink included.
        sink: first frames that are never evicted; less than `capacity`.
        dilation: frame f stays if it divides f. More than 1: blocks of one frame, no sink, and one slot is the spare.
    """

    def __init__(self, capacity: int, sink: int = 0, dilation: int = 1) -> None:
        self.capacity, self.sink, self.dilation = capacity, sink, dilation
        self.spare = int(dilation > 1)
        if self.spare and sink:
            raise ValueError("a ring has a sink or a dilation, not both")
        self.first = 0  # of the slots that the newest block sees
        self.filled = self.spare  # slots in use, always the leading ones
        self.evicted = 0  # frames that the newest block pushed out
        self.spans: tuple[Span, ...] = ()
        self._cursor = self.spare  # slot of the next frame
        self._begun = 0  # frames so far
        self._stamps: list[object] = [None] * capacity

    def begin(self, frames: int) -> None:
        """Takes slots for a new block of `frames`, at most capacity - sink; the oldest frames behind the sink go."""
        number = self._begun
        self._begun += frames
        if self.spare:
            if frames != 1:
                raise ValueError("a ring with a dilation takes one frame at a time")
            self.first = int(number % self.dilation == 0)
            if not self.first:
                self.spans, self.evicted = (Span(0, 0, 1),), 0
                self._stamp(self.spans)
                return
        spans: list[Span] = []
        done = 0
        while done < frames:
            length = min(frames - done, self.capacity - self._cursor)
            spans.append(Span(self._cursor, done, length))
            done += length
            self._cursor += length
            if self._cursor == self.capacity:
                self._cursor = self.sink + self.spare
        self.spans = tuple(spans)
        self._stamp(spans)
        self.evicted = max(0, self.filled + frames - self.capacity)
        self.filled = min(self.capacity, self.filled + frames)

    def touched(self) -> None:
        """What every slot holds has been changed in place."""
        self._stamp([Span(slot, 0, 1) for slot in range(self.filled)])

    def snapshot(self) -> "RingState":
        stamps = tuple(self._stamps[: self.filled])
        return RingState(self.filled, self.evicted, self._cursor, self.spans, stamps, self.first, self._begun)

    def restore(self, state: "RingState") -> None:
        self.filled, self.evicted, self._cursor, self.spans = state.filled, state.evicted, state.cursor, state.spans
        self.first, self._begun = state.first, state.begun
        self._stamps[: state.filled] = state.stamps

    def _stamp(self, spans: Sequence[Span]) -> None:
        """Marks slots as holding something new: a stamp is an object of its own, so equal ones mean equal contents,
        whatever was restored in between and in whichever rollout."""
        stamp = object()
        for span in spans:
            self._stamps[span.slot : span.slot + span.length] = [stamp] * span.length


@dataclass(frozen=True)
class RingState:
    """A `FrameRing` at one moment. stamps: what each filled slot held; equal objects mean equal contents."""

    filled: int
    evicted: int
    cursor: int
    spans: tuple[Span, ...]
    stamps: tuple[object, ...]
    first: int = 0
    begun: int = 0


class KVCache(Protocol):
    """Keys and values of one attention."""

    def begin(self) -> None:
        """A new block began in the ring: what was written last stays."""

    def write(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Puts the block's keys and values (B, H, frames, S, D) in its place, over those of the pass before.

        Returns the keys and values of every frame to attend to, the block's included: (B, H, frames held, S, D).
        """

    def rotate(self, rotation: Rotation) -> None:
        """Turns every key held, to move all positions by the same amount."""

    def detach(self) -> None:
        """Cuts what is held off from the graph that made it."""


class RingCache:
    """Fixed memory, written in place; not for autograd. Memory is taken at the first write, from its shape."""

    def __init__(self, ring: FrameRing) -> None:
        self._ring = ring
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def begin(self) -> None:
        pass

    def write(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self._keys is None or self._values is None:
            self._keys, self._values = self._memory(keys), self._memory(values)
        for span in self._ring.spans:
            self._keys.narrow(2, span.slot, span.length).copy_(keys.narrow(2, span.source, span.length))
            self._values.narrow(2, span.slot, span.length).copy_(values.narrow(2, span.source, span.length))
        first, seen = self._ring.first, self._ring.filled - self._ring.first
        return self._keys.narrow(2, first, seen), self._values.narrow(2, first, seen)

    def rotate(self, rotation: Rotation) -> None:
        if self._keys is not None:
            self._keys.copy_(rotation.apply(self._keys))

    def detach(self) -> None:
        pass

    def snapshot(self, known: "Sequence[SlotState | None]" = ()) -> "tuple[SlotState, ...] | None":
        """Keys and values of every filled slot but the spare one; of a slot that is `known`, those and no copy."""
        if self._keys is None or self._values is None:
            return None
        spare = self._ring.spare
        known = [*known, *[None] * (self._ring.filled - spare - len(known))]
        return tuple(self._copy(spare + i) if state is None else state for i, state in enumerate(known))

    def restore(self, state: "tuple[SlotState, ...] | None") -> None:
        if state is None:
            self._keys = self._values = None
            return
        if self._keys is None or self._values is None:
            self._keys, self._values = (self._memory(part) for part in state[0])
        # Into the same memory: whatever has recorded its address (a CUDA graph) stays right.
        for slot, (keys, values) in enumerate(state, self._ring.spare):
            self._keys.narrow(2, slot, 1).copy_(keys)
            self._values.narrow(2, slot, 1).copy_(values)

    def _copy(self, slot: int) -> "SlotState":
        assert self._keys is not None and self._values is not None
        return self._keys.narrow(2, slot, 1).clone(), self._values.narrow(2, slot, 1).clone()

    def _memory(self, like: Tensor) -> Tensor:
        return like.new_zeros((*like.shape[:2], self._ring.capacity, *like.shape[3:]))


SlotState = tuple[Tensor, Tensor]
"""Keys and values of one slot, each (B, H, 1, S, D); never written to."""


class GrowingCache:
    """Concatenates, so that gradients flow through every key and value handed out."""

    def __init__(self, ring: FrameRing) -> None:
        self._ring = ring
        self._past: tuple[Tensor, Tensor] | None = None
        self._held: tuple[Tensor, Tensor] | None = None  # past and the block's newest pass

    def begin(self) -> None:
        self._past = self._held
        if self._past is not None and self._ring.evicted:
            sink, gone = self._ring.sink, self._ring.evicted
            keep = [(0, sink), (sink + gone, self._past[0].shape[2] - sink - gone)]
            self._past = tuple(  # type: ignore[assignment]
                torch.cat([t.narrow(2, start, length) for start, length in keep], dim=2) for t in self._past
            )

    def write(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self._past is None:
            self._held = (keys, values)
        else:
            self._held = (torch.cat((self._past[0], keys), dim=2), torch.cat((self._past[1], values), dim=2))
        return self._held

    def rotate(self, rotation: Rotation) -> None:
        if self._held is not None:
            self._held = (rotation.apply(self._held[0]), self._held[1])

    def detach(self) -> None:
        if self._held is not None:
            self._held = (self._held[0].detach(), self._held[1].detach())


@dataclass(frozen=True)
class CacheSnapshot:
    """`Caches` at one moment; see `Caches.restore`. slots: of each cache."""

    ring: RingState
    position: int
    slots: tuple[tuple[SlotState, ...] | None, ...]


@dataclass
class Caches:
    """All caches of one rollout, and the position of its next latent frame.

    Attributes:
        ring: shared by all of them.
        attention: one cache per layer.
        mouse, keyboard: by layer, of those that have an action module.
        position: rotary time position of the next block's first frame; a Python number, moved back by re-basing.
        frames: latent frames of the block being made.
    """

    ring: FrameRing
    attention: tuple[KVCache, ...]
    mouse: dict[int, KVCache] = field(default_factory=dict)
    keyboard: dict[int, KVCache] = field(default_factory=dict)
    position: int = 0
    frames: int = 0

    def begin_block(self, frames: int) -> int:
        """Makes room for a block of `frames` latent frames in every cache; returns its first frame's position."""
        start = self.position
        self.ring.begin(frames)
        for cache in self:
            cache.begin()
        self.position, self.frames = start + frames, frames
        return start

    def detach(self) -> None:
        """Cuts every cache off from the graph that made it (training, between chunks of an unrolled clip)."""
        for cache in self:
            cache.detach()

    def snapshot(self, since: CacheSnapshot | None = None) -> CacheSnapshot:
        """Everything, to keep; only of ring caches. Slots that hold what they held in `since` are shared with it."""
        ring = self.ring.snapshot()
        if since is None:
            return CacheSnapshot(ring, self.position, tuple(cache.snapshot() for cache in self._kept()))
        same = [old is new for old, new in zip(since.ring.stamps, ring.stamps, strict=False)][self.ring.spare :]
        slots = []
        for cache, past in zip(self._kept(), since.slots, strict=True):
            known = [state if kept else None for state, kept in zip(past or (), same, strict=False)]
            slots.append(cache.snapshot(known))
        return CacheSnapshot(ring, self.position, tuple(slots))

    def restore(self, state: CacheSnapshot) -> None:
        """Goes back to `state`, which stays as it is."""
        self.ring.restore(state.ring)
        self.position = state.position
        for cache, slots in zip(self._kept(), state.slots, strict=True):
            cache.restore(slots)

    def _kept(self) -> Iterator[RingCache]:
        """All of them; those of training are not kept."""
        for cache in self:
            assert isinstance(cache, RingCache)
            yield cache

    def __iter__(self) -> Iterator[KVCache]:
        yield from self.attention
        yield from self.mouse.values()
        yield from self.keyboard.values()
