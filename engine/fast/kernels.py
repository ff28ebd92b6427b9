"""Which code computes a rollout: the readable networks, or faster ones, plain or compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PLAIN = "off"


@dataclass(frozen=True)
class Kernels:
    """What a rollout's blocks are made with; none of it holds state, so a rollout may change kernels between blocks.

    Only the family that made them looks inside.

    Attributes:
        transformer: makes every pass.
        decoder: its `decoder_stream` turns latents into frames.
        fast: whether passes have fixed shapes; a rollout cannot change from one sort to the other.
        compiled: how the programs were compiled, "off" if they were not.
        plain: the same kernels with the programs as they were before compiling; None for themselves.
    """

    transformer: Any
    decoder: Any
    fast: bool = False
    compiled: str = PLAIN
    plain: Kernels | None = None

    def __post_init__(self) -> None:
        if (self.compiled == PLAIN) != (self.plain is None):
            raise ValueError("compiled kernels know the plain ones, and only they do")


def uncompiled(kernels: Kernels) -> Kernels:
    """The same kernels with the programs as they were before compiling."""
    return kernels.plain or kernels
