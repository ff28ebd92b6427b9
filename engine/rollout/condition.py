"""What the network sees beside the noisy latents, block by block."""

import operator
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.actions import Actions
from engine.nets.networks import Codec


class Condition(Protocol):
    """One rollout's condition; all its state is its own."""

    @property
    def steady(self) -> bool:
        """Whether every further block asks for the same work."""

    def for_block(self, first: int, latents: int, actions: Actions) -> Tensor:
        """The condition of latent frames first .. first+latents-1: (1, latents, channels, h, w) float32.

        Asked for once per block, in order. `actions` are those of the block's video frames.
        """

    def ahead(self, first: int, latents: int) -> None:
        """Makes what `for_block` of these will need whatever the actions; may do nothing."""

    def observe(self, frames: Tensor, latents: Tensor) -> None:
        """Sees a finished block: frames (1, F, 3, H, W) in [-1, 1] and the latents (1, T, C, h, w) they came from."""

    def snapshot(self) -> Any:
        """A deep copy of the state; opaque."""

    def restore(self, snapshot: Any) -> None:
        """Goes back to it."""


class FirstFrameCondition:
    """Mask and latents of a video that shows the first frame and then nothing, for ever (Matrix-Game 2.0).

    The mask has one channel per video frame of a latent frame: 1 at latent frame 0, then 0. The empty tail is encoded
    as the rollout gets there; once the encoder has forgotten the first frame it repeats itself, and encoding ends.

    Args:
        codec: encodes; its stream's state is kept here.
        picture: (1, 1, 3, H, W) in [-1, 1], on the transformer's device; the codec may be on another.
        time_ratio: video frames of a latent frame.
    """

    def __init__(self, codec: Codec, picture: Tensor, time_ratio: int) -> None:
        self._codec, self._stream = codec, codec.encoder_stream()
        self._settled = codec.memory_latents
        self._nothing = torch.zeros_like(picture).expand(-1, time_ratio, -1, -1, -1)
        self._newest = self._stream.encode(picture).to(picture.device, torch.float32)
        self._index = 0  # of the latent that was encoded last
        self._ready: dict[int, Tensor] = {}  # latents that were encoded before their block asked
        self._shown: tuple[bool, list[Tensor], Tensor] | None = None  # as `_of` took and made them
        batch, _, _, height, width = self._newest.shape
        self._blank = self._newest.new_zeros(batch, 1, time_ratio, height, width)

    def for_block(self, first: int, latents: int, actions: Actions) -> Tensor:
        return self._of([self._take(index) for index in range(first, first + latents)], first == 0)

    def ahead(self, first: int, latents: int) -> None:
        for index in range(max(first, 1), first + latents):
            if index > self._index and index <= self._settled:
                self._ready[index] = self._encode(index)
        # Taken by nobody yet: a snapshot finds them as they are.
        newest, seen = self._newest, []
        for index in range(first, first + latents):
            newest = self._ready.get(index, newest)
            seen.append(newest)
        self._of(seen, first == 0)

    @property
    def steady(self) -> bool:
        return self._index >= self._settled and not self._ready

    def observe(self, frames: Tensor, latents: Tensor) -> None:
        pass  # the first frame never changes

    def snapshot(self) -> tuple[Any, Tensor, int, dict[int, Tensor]]:
        # The latent is replaced, never written to; and once it is settled, nobody asks the stream again.
        stream = self._stream.snapshot() if self._index < self._settled else None
        return stream, self._newest, self._index, dict(self._ready)

    def restore(self, snapshot: tuple[Any, Tensor, int, dict[int, Tensor]]) -> None:
        stream, self._newest, self._index, ready = snapshot
        self._ready = dict(ready)
        if stream is not None:
            self._stream.restore(stream)

    def _take(self, index: int) -> Tensor:
        if 0 < index <= self._settled:
            self._newest = self._ready.pop(index) if index in self._ready else self._encode(index)
        return self._newest

    def _of(self, latents: list[Tensor], begins: bool) -> Tensor:
        """These with their masks; kept, since the same may be asked for next. begins: with latent frame 0."""
        if self._shown is not None:
            began, before, whole = self._shown
            if began == begins and len(before) == len(latents) and all(map(operator.is_, before, latents)):
                return whole
        masks = [torch.ones_like(self._blank) if begins and i == 0 else self._blank for i in range(len(latents))]
        whole = torch.cat((torch.cat(masks, dim=1), torch.cat(latents, dim=1)), dim=2)
        self._shown = begins, latents, whole
        return whole

    def _encode(self, index: int) -> Tensor:
        """The next latent of the empty tail."""
        latent = self._stream.encode(self._nothing).to(self._blank)
        self._index = index
        if index == self._settled:
            self._stream = self._codec.encoder_stream()  # never used again: hundreds of megabytes are given back
        return latent
