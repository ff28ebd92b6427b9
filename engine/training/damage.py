"""Spoils the pictures that rollouts start from, as long play would: the model learns to mend them from what it knows.

On clean pictures alone a model learns to move what it sees and to stretch the rim into what it does not. Where a third
of the picture is missing or smeared, only knowing the world helps; a model that mends keeps long rollouts alive.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def damaged(frames: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """`frames` (B, 3, H, W) in -1..1, about `share` of them spoilt in one of several ways; the others unchanged."""
    kinds = (_smeared, _cut, _tinted)
    spoilt = frames.clone()
    for index in range(len(frames)):
        if torch.rand((), generator=generator) < share:
            kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
            spoilt[index] = kind(frames[index : index + 1], generator)[0]
    return spoilt


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _smeared(frame: Tensor, generator: torch.Generator) -> Tensor:
    """All detail below some size is gone."""
    height, width = frame.shape[-2:]
    factor = _uniform(2, 10, generator)
    small = F.interpolate(frame, size=(max(2, int(height / factor)), max(2, int(width / factor))), mode="area")
    return F.interpolate(small, size=(height, width), mode="bicubic", align_corners=False).clamp(-1, 1)


def _cut(frame: Tensor, generator: torch.Generator) -> Tensor:
    """A strip along one side, up to half the picture, is stretched from its inner rim."""
    width = frame.shape[-1]
    strip = int(_uniform(0.08, 0.5, generator) * width)
    if torch.rand((), generator=generator) < 0.5:
        return torch.cat([frame[..., strip : strip + 1].expand(-1, -1, -1, strip), frame[..., strip:]], -1)
    rim = width - strip
    return torch.cat([frame[..., :rim], frame[..., rim - 1 : rim].expand(-1, -1, -1, strip)], -1)


def _tinted(frame: Tensor, generator: torch.Generator) -> Tensor:
    """Colours and contrast have drifted, and there is grain."""
    colour = torch.randn(1, 3, 1, 1, generator=generator) * 0.08
    grain = torch.randn(frame.shape, generator=generator) * _uniform(0, 0.1, generator)
    return (frame * _uniform(0.6, 1.2, generator) + colour + grain).clamp(-1, 1)
