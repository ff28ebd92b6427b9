"""The layers of Wan2.1's causal video VAE, each able to go on where the frames before left off.

Every tensor is (B, T, C, H, W). No layer holds state: what a layer must remember of earlier frames lies in the
`StreamMemory` passed to it, under the number the layer was given when the network was built.
Source: Wan2.1 wan/modules/vae.py (weight names and arithmetic).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class StreamMemory:
    """Everything one stream remembers between calls.

    slots: per remembering layer its last input frames, None before the first. started: whether any frame has passed.
    Tensors in the slots are replaced, never written into.
    """

    def __init__(self, slots: int) -> None:
        self.slots: list[Tensor | None] = [None] * slots
        self.started = False

    def recall(self, slot: int, like: Tensor, frames: int) -> Tensor:
        """The last `frames` input frames of a layer; zeros before the first frame."""
        past = self.slots[slot]
        return torch.zeros_like(like[:, :1]).expand(-1, frames, -1, -1, -1) if past is None else past

    def keep(self, slot: int, frames: Tensor) -> None:
        """Remembers `frames` for the next call; a copy, so that the longer tensor it may be a view of is freed."""
        self.slots[slot] = frames.clone(memory_format=torch.contiguous_format)

    def copy(self) -> StreamMemory:
        """An independent memory with the same content; the tensors, which nobody writes into, are shared."""
        twin = StreamMemory(len(self.slots))
        twin.slots = list(self.slots)
        twin.started = self.started
        return twin

    def nbytes(self) -> int:
        """Bytes held."""
        return sum(frames.nbytes for frames in self.slots if frames is not None)


def number_slots(network: nn.Module) -> int:
    """Gives every remembering layer of a network its slot number; returns how many there are."""
    remembering = [layer for layer in network.modules() if isinstance(layer, CausalConv) and layer.taps > 1]
    for number, layer in enumerate(remembering):
        layer.slot = number
    return len(remembering)


class CausalConv(nn.Module):
    """A convolution over time and space whose output frame sees its own and `taps - 1` earlier input frames.

    It is computed as one 2-d convolution per output frame, over the channels of all its taps: the same sums as a 3-d
    convolution, quicker on the CPU, and with one frame's worth of scratch memory.
    """

    def __init__(self, inputs: int, outputs: int, taps: int = 3, space: int = 3) -> None:
        super().__init__()
        self.taps, self.space = taps, space
        self.slot = -1
        self.weight = nn.Parameter(torch.empty(outputs, inputs, taps, space, space))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        """x (B, T, inputs, H, W), T new frames -> (B, T, outputs, H, W)."""
        if self.taps == 1:
            return self.slide(x)
        window = torch.cat([memory.recall(self.slot, x, self.taps - 1), x], dim=1)
        memory.keep(self.slot, window[:, 1 - self.taps :])
        return self.slide(window)

    def slide(self, window: Tensor, step: int = 1) -> Tensor:
        """The convolution without padding in time: T frames -> (T - taps) // step + 1."""
        weight = rearrange(self.weight, "o c t h w -> o (c t) h w")
        starts = range(0, window.shape[1] - self.taps + 1, step)
        seen = (rearrange(window[:, i : i + self.taps], "b t c h w -> b (c t) h w") for i in starts)
        return torch.stack([F.conv2d(x, weight, self.bias, padding=self.space // 2) for x in seen], dim=1)


class FrameConv(nn.Conv2d):
    """A 2-d convolution of every frame by itself."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, inputs, H, W) -> (B, T, outputs, H', W')."""
        return rearrange(
            super().forward(rearrange(x, "b t c h w -> (b t) c h w")), "(b t) c h w -> b t c h w", b=len(x)
        )


class ChannelNorm(nn.Module):
    """Scales each position's channel vector to length sqrt(C), then by a learned factor per channel.

    axes: how many axes of size 1 the stored factor has after its channels (3 in video layers, 2 in attention).
    """

    def __init__(self, channels: int, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(channels, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C, H, W) -> the same shape."""
        return F.normalize(x, dim=2) * (len(self.gamma) ** 0.5 * rearrange(self.gamma, "c ... -> c (...) 1"))


class ResidualBlock(nn.Module):
    """Twice norm, SiLU, 3x3x3 convolution, added to the input (through a 1x1x1 one where the width changes)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # The numbers are the places these layers have in the published checkpoints.
        self.residual = nn.ModuleDict(
            {
                "0": ChannelNorm(inputs),
                "2": CausalConv(inputs, outputs),
                "3": ChannelNorm(outputs),
                "6": CausalConv(outputs, outputs),
            }
        )
        self.shortcut = CausalConv(inputs, outputs, taps=1, space=1) if inputs != outputs else None

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        skip = x if self.shortcut is None else self.shortcut(x, memory)
        x = self.residual["2"](F.silu(self.residual["0"](x)), memory)
        x = self.residual["6"](F.silu(self.residual["3"](x)), memory)
        return x + skip


class FrameAttention(nn.Module):
    """One head of attention over all positions of a frame; frames don't see each other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, axes=2)
        self.to_qkv = FrameConv(channels, 3 * channels, 1)
        self.proj = FrameConv(channels, channels, 1)

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        height = x.shape[-2]
        q, k, v = rearrange(self.to_qkv(self.norm(x)), "b t (n c) h w -> n b t (h w) c", n=3)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj(rearrange(y, "b t (h w) c -> b t c h w", h=height))


class Downsample(nn.Module):
    """Halves space and, if temporal, time: the first frame passes through, each later pair becomes one frame."""

    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": FrameConv(channels, channels, 3, stride=2)})
        self.time_conv = CausalConv(channels, channels, taps=3, space=1) if temporal else None

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        x = self.resample["1"](F.pad(x, (0, 1, 0, 1)))  # one column on the right, one row below
        if self.time_conv is None:
            return x
        slot = self.time_conv.slot
        passed = x[:, :0] if memory.started else x[:, :1]
        window = x if not memory.started else torch.cat([memory.recall(slot, x, 1), x], dim=1)
        memory.keep(slot, x[:, -1:])
        if window.shape[1] < self.time_conv.taps:
            return passed
        return torch.cat([passed, self.time_conv.slide(window, step=2)], dim=1)


class Upsample(nn.Module):
    """Doubles space (halving channels) and, if temporal, time first: the first frame passes through undoubled."""

    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": FrameConv(channels, channels // 2, 3, padding=1)})
        self.time_conv = CausalConv(channels, 2 * channels, taps=3, space=1) if temporal else None

    def forward(self, x: Tensor, memory: StreamMemory) -> Tensor:
        if self.time_conv is not None:
            passed, doubled = (x[:, :0], x) if memory.started else (x[:, :1], x[:, 1:])
            if doubled.shape[1]:
                pairs = self.time_conv(doubled, memory)
                doubled = rearrange(pairs, "b t (two c) h w -> b (t two) c h w", two=2)
            x = torch.cat([passed, doubled], dim=1)
        height, width = x.shape[-2:]
        flat = F.interpolate(rearrange(x, "b t c h w -> (b t) c h w"), size=(2 * height, 2 * width), mode="nearest")
        return self.resample["1"](rearrange(flat, "(b t) c h w -> b t c h w", b=len(x)))
