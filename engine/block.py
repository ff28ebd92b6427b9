"""What a rollout's step hands back. Imports no torch, so that a client can name these types at no cost."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from engine.actions import Actions

TakePictures: TypeAlias = Callable[[np.ndarray], None]
"""Is handed a block's frames as they are finished, (F, H, W, 3) uint8 RGB, in order."""


@dataclass(frozen=True)
class Timings:
    """Wall-clock milliseconds of one block's stages.

    Attributes:
        denoise_ms: preparing the block and its denoising steps.
        context_ms: the context pass run since the block before (0.0 if the model has none).
        decode_ms: latents to frames on the host.
        total_ms: all of these together: what the block costs, wherever its context pass ran.
        first_picture_ms: from the block's start until its first pictures are there; the others follow while these are
            shown. 0.0 where nobody measured it.
    """

    denoise_ms: float
    context_ms: float
    decode_ms: float
    total_ms: float
    first_picture_ms: float = 0.0


@dataclass(frozen=True)
class Block:
    """The finished frames of one step.

    Attributes:
        index: number of the block, from 0.
        first_frame: absolute number of its first video frame, from 0.
        frames: (F, H, W, 3) uint8 RGB.
        actions: the F actions the model was given.
        timings: how long each stage took.
    """

    index: int
    first_frame: int
    frames: np.ndarray
    actions: Actions
    timings: Timings
