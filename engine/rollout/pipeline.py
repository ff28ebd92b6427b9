"""What a rollout asks of a family: one world's networks at work, with all that they remember of it but the noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from torch import Tensor

from engine.actions import Actions
from engine.fast.kernels import Kernels


class Pipeline(Protocol):
    """One world from one first frame. Not thread-safe; all its state is its own.

    A block is made so: `prepare`, `denoise`, `decode`, and, if it `commits`, `commit`. Everything but `prepare`'s
    argument lives on the device and is queued there without waiting for it.
    """

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Of a block's noise: as many draws as `denoise` takes, and then the shape of one, (draws, 1, T, C, h, w)."""

    @property
    def commits(self) -> bool:
        """Whether a context pass follows each block."""

    @property
    def full(self) -> bool:
        """Whether the windows of what it attends to are full."""

    @property
    def steady(self) -> bool:
        """Whether every further block takes the same work: windows are full, and nothing is left to be encoded."""

    def prepare(self, index: int, actions: Actions) -> Any:
        """What block `index` needs once; asked for in order, with the actions of the block's video frames."""

    def ahead(self, index: int) -> None:
        """Makes what block `index` will need whatever the player does, so that `prepare` need not; may do nothing."""

    def denoise(self, inputs: Any, draw: Callable[[], Tensor]) -> Iterator[Tensor]:
        """The clean estimate after each denoising step; the last one is the block's latents.

        inputs: from `prepare`. draw: the next of the noise, on the transformer's device.
        """

    def decode(self, latents: Tensor) -> Tensor:
        """A block's latents -> its frames (1, F, 3, H, W) in [-1, 1], of the model's own size."""

    def commit(self, latents: Tensor, inputs: Any) -> None:
        """The context pass: the finished block, once more through the network, becomes part of what it remembers."""

    def use(self, kernels: Kernels) -> None:
        """The next block is made with these kernels, of the same weights and the same sort."""

    def snapshot(self, since: Any | None = None) -> Any:
        """All it remembers, never written to afterwards; may share tensors with `since`, an earlier snapshot."""

    def restore(self, state: Any) -> None:
        """Goes back to a snapshot of this pipeline, or of another of the same world and first frame."""
