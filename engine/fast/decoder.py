"""Wan's decoder in fixed shapes: one latent frame in, four video frames out, memory written in place.

Pictures are channels-last throughout, (frames, height, width, channels): a norm over channels reads memory in order, a
1x1x1 convolution is a matrix product, and a 3x3x3 one is the sum of three 2-d convolutions of all frames, one a tap:
every library is quick at these, and nothing is put together for them. See engine.nets.vae for what is computed, and
why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.fast.lease import Lease
from engine.nets.vae import (
    CausalConv,
    ChannelNorm,
    FrameAttention,
    ResidualBlock,
    StreamMemory,
    StreamSnapshot,
    Upsample,
    WanVAE,
)

Memory = tuple[Tensor, ...]
"""The last two input frames of every convolution over time, (2, height, width, channels), in the order of slots."""


def channels_last(conv: CausalConv | nn.Conv2d) -> Tensor:
    """A convolution's weight as (taps, outputs, inputs, height, width), each tap's in channels-last memory.

    The readable layer's own weight becomes a view of it, so that memory holds it once.
    """
    weight = conv.weight.detach()
    five = weight if weight.dim() == 5 else weight[:, :, None]
    moved = five.permute(2, 0, 3, 4, 1).contiguous()
    own = moved.permute(1, 4, 0, 2, 3)
    conv.weight = nn.Parameter(own if weight.dim() == 5 else own[:, :, 0], requires_grad=False)
    return moved.permute(0, 1, 4, 2, 3)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (T, H, W, inputs), weight (outputs, inputs, 3, 3) or (outputs, inputs, 1, 1) -> (T, H, W, outputs)."""
    if weight.shape[-1] == 1:
        return F.linear(x, weight.flatten(1), bias)
    return F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=1).permute(0, 2, 3, 1)


class FrameWiseConv(nn.Module):
    """A convolution of every frame by itself, (T, H, W, inputs) -> (T, H, W, outputs)."""

    def __init__(self, source: CausalConv | nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(channels_last(source)[0], requires_grad=False)
        self.bias = source.bias

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias)


class TimedConv(nn.Module):
    """A convolution over the frame and the two before it; the last two frames stay in its memory.

    scale: of its pictures, relative to the latent's. padded: computes some outputs more, so that they are a multiple of
    eight: on a GPU, kernels for a few channels in this layout are slow ones.
    """

    def __init__(self, source: CausalConv, scale: int, padded: bool = False) -> None:
        super().__init__()
        self.slot, self.inputs, self.scale = source.slot, source.weight.shape[1], scale
        self.outputs = source.weight.shape[0]
        weight, bias = channels_last(source), source.bias.detach()
        if padded:
            more = -self.outputs % 8
            weight = F.pad(weight.permute(0, 1, 3, 4, 2), (0, 0) * 3 + (0, more)).permute(0, 1, 4, 2, 3)
            bias = F.pad(bias, (0, more))
        self.weight, self.bias = (nn.Parameter(part, requires_grad=False) for part in (weight, bias))

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """x (T, H, W, inputs) -> (T, H, W, outputs)."""
        window, frames = torch.cat((memory[self.slot], x)), len(x)
        memory[self.slot].copy_(window[-2:])
        first, second, third = self.weight
        y = convolve(window[:frames], first, self.bias)
        y.add_(convolve(window[1:-1], second, None))
        y.add_(convolve(window[2:], third, None))
        return y[..., : self.outputs]


class Norm(nn.Module):
    """ChannelNorm: a root-mean-square normalisation, whose epsilon stands for that of the length."""

    def __init__(self, source: ChannelNorm) -> None:
        super().__init__()
        self.gamma = source.gamma

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.gamma.flatten(), 1e-24)


class FastResidual(nn.Module):
    """See ResidualBlock."""

    def __init__(self, source: ResidualBlock, scale: int) -> None:
        super().__init__()
        layers = source.residual
        self.norms = nn.ModuleList([Norm(cast(ChannelNorm, layers[place])) for place in ("0", "3")])
        self.convs = nn.ModuleList([TimedConv(cast(CausalConv, layers[place]), scale) for place in ("2", "6")])
        self.shortcut = None if source.shortcut is None else FrameWiseConv(source.shortcut)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.silu(norm(y), inplace=True), memory)
        return y.add_(x if self.shortcut is None else self.shortcut(x))


class FastFrameAttention(nn.Module):
    """See FrameAttention."""

    def __init__(self, source: FrameAttention) -> None:
        super().__init__()
        self.norm, self.to_qkv = Norm(source.norm), FrameWiseConv(source.to_qkv)
        self.proj = FrameWiseConv(source.proj)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        frames, height, width, channels = x.shape
        q, k, v = self.to_qkv(self.norm(x)).view(frames, 1, height * width, 3, channels).unbind(3)
        y = F.scaled_dot_product_attention(q, k, v).view(frames, height, width, channels)
        return self.proj(y).add_(x)


class FastUpsample(nn.Module):
    """See Upsample. The very first latent frame passes undoubled and leaves the memory at zeros: `first`."""

    def __init__(self, source: Upsample, scale: int) -> None:
        super().__init__()
        self.conv = FrameWiseConv(cast(nn.Conv2d, source.resample["1"]))
        self.time_conv = None if source.time_conv is None else TimedConv(source.time_conv, scale)

    def forward(self, x: Tensor, memory: Memory, first: bool) -> Tensor:
        if self.time_conv is not None and not first:
            frames, height, width, channels = x.shape
            pairs = self.time_conv(x, memory).view(frames, height, width, 2, channels)
            x = pairs.permute(0, 3, 1, 2, 4).reshape(2 * frames, height, width, channels)
        large = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2.0, mode="nearest")
        return self.conv(large.permute(0, 2, 3, 1))


class StreamingNetwork(nn.Module):
    """A network whose streams share the memory they work in."""

    def __init__(self) -> None:
        super().__init__()
        self._worlds: dict[tuple[int, int], tuple[Lease, Memory]] = {}

    def worlds(self, height: int, width: int) -> tuple[Lease, Memory]:
        """The memory that all streams of a latent's size share, and who has it."""
        if (height, width) not in self._worlds:
            self._worlds[height, width] = Lease(), self.new_memory(height, width)
        return self._worlds[height, width]

    def new_memory(self, height: int, width: int) -> Memory:
        """Memory of a stream that has seen nothing. height, width: of a latent."""
        raise NotImplementedError


class DecoderNetwork(StreamingNetwork):
    """One latent frame to its video frames. vae: the readable network, whose weights it uses."""

    mean: Tensor
    std: Tensor

    def __init__(self, vae: WanVAE) -> None:
        super().__init__()
        source, scale = vae.decoder, 1
        self.conv2, self.conv1 = FrameWiseConv(vae.conv2), TimedConv(source.conv1, 1)
        layers: list[nn.Module] = []
        for layer in (*source.middle, *source.upsamples):
            if isinstance(layer, ResidualBlock):
                layers.append(FastResidual(layer, scale))
            elif isinstance(layer, FrameAttention):
                layers.append(FastFrameAttention(layer))
            else:
                layers.append(FastUpsample(layer, scale))
                scale *= 2
        self.layers = nn.ModuleList(layers)
        # On a CPU nothing is gained by more outputs.
        padded = vae.conv2.weight.device.type != "cpu"
        self.norm = Norm(cast(ChannelNorm, source.head["0"]))
        self.last = TimedConv(cast(CausalConv, source.head["2"]), scale, padded)
        weight = vae.conv2.weight  # the decoder's half may be of another dtype than the encoder's
        for name, values in (("mean", vae.config.mean), ("std", vae.config.std)):
            self.register_buffer(name, torch.tensor(values, device=weight.device, dtype=weight.dtype))

    def new_memory(self, height: int, width: int) -> Memory:
        """Memory of a stream that has seen nothing. height, width: of a latent."""
        timed = sorted((m for m in self.modules() if isinstance(m, TimedConv)), key=lambda conv: conv.slot)
        shapes = [(2, conv.scale * height, conv.scale * width, conv.inputs) for conv in timed]
        return tuple(self.mean.new_zeros(shape) for shape in shapes)

    def forward(self, latent: Tensor, memory: Memory, first: bool) -> Tensor:
        """latent (C, h, w), normalised per channel -> frames (1, 1 or 4, 3, H, W) in [-1, 1]."""
        x = latent.permute(1, 2, 0)[None] * self.std + self.mean
        x = self.conv1(self.conv2(x), memory)
        for layer in self.layers:
            x = layer(x, memory, first) if isinstance(layer, FastUpsample) else layer(x, memory)
        x = self.last(F.silu(self.norm(x), inplace=True), memory)
        return x.clamp(-1, 1).permute(0, 3, 1, 2)[None]


def decode_later(network: DecoderNetwork, latent: Tensor, memory: Memory) -> Tensor:
    """The program of every latent frame but a stream's first. A function of its own, so that it is compiled once."""
    return network(latent, memory, False)


DecodeProgram = Callable[[DecoderNetwork, Tensor, Memory], Tensor]


@dataclass(frozen=True)
class FastWanDecoder:
    """The decoding half of a codec. network: of fixed shapes. program: what decodes all but the first latent frame."""

    network: DecoderNetwork
    program: DecodeProgram = decode_later

    def first(self, latent: Tensor, memory: Memory) -> Tensor:
        """The frames of a stream's first latent frame."""
        return self.network(latent, memory, True)

    def decoder_stream(self) -> "FastDecoderStream":
        """A fresh stream that turns latents into video frames."""
        return FastDecoderStream(self)


class StreamingDecoder(Protocol):
    """A decoder of fixed shapes: `program` makes the frames of all latent frames but a stream's first."""

    @property
    def network(self) -> "StreamingNetwork": ...

    @property
    def program(self) -> Callable[..., Tensor]: ...

    def first(self, latent: Tensor, memory: Memory) -> Tensor: ...


class FastDecoderStream:
    """Turns latents into a video; answers to the calls of engine.nets.vae.DecoderStream, for one world."""

    def __init__(self, decoder: StreamingDecoder) -> None:
        self._decoder = decoder
        self._started = False
        self._size: tuple[int, int] | None = None  # of a latent, once one has come
        self._put_by: Memory | None = ()  # what was remembered, while the memory is another's; () for nothing yet

    def decode(self, latents: Tensor) -> Tensor:
        """latents (1, T, C, h, w) -> frames (1, F, 3, H, W) in [-1, 1], as engine.nets.vae.DecoderStream.decode."""
        network = self._decoder.network
        memory, frames = self._claim(latents.shape[-2], latents.shape[-1]), []
        for latent in latents[0].to(memory[0]):  # the decoder may be elsewhere
            if self._started:
                frames.append(self._decoder.program(network, latent, memory))
            else:
                frames.append(self._decoder.first(latent, memory))
                self._started = True
        return torch.cat(frames, dim=1)

    def snapshot(self) -> StreamSnapshot:
        """A deep copy of everything the stream remembers."""
        copy = StreamMemory(0)
        copy.started = self._started
        copy.slots = list(self._copied() if self._put_by is None else self._put_by)
        return StreamSnapshot(copy)

    def restore(self, snapshot: StreamSnapshot) -> None:
        """Goes back to a snapshot; into the same memory, since a CUDA graph may have recorded its address."""
        self._started, self._put_by = (
            snapshot.memory.started,
            tuple(slot for slot in snapshot.memory.slots if slot is not None),
        )

    def put_by(self) -> None:
        """As engine.fast.lease.Tenant."""
        if self._put_by is None:
            self._put_by = self._copied()

    def _copied(self) -> Memory:
        assert self._size is not None
        return tuple(frames.clone() for frames in self._decoder.network.worlds(*self._size)[1])

    def _claim(self, height: int, width: int) -> Memory:
        """The memory, with what this stream remembers in it."""
        self._size = height, width
        lease, memory = self._decoder.network.worlds(height, width)
        if lease.to(self) or self._put_by is not None:
            for place, frames in zip(memory, self._put_by or (), strict=bool(self._put_by)):
                place.copy_(frames)
            if not self._put_by:
                for place in memory:
                    place.zero_()
            self._put_by = None
        return memory
