"""The fast kernels of the embedded model: from pictures to a picture, with no latents in between.

Its codec is linear, and so are the transformer's first and last layers. Put together once, they read the patches of the
two views and write those of the next frame, and the mixture of the views is taken where they are: among pixels. It is
the same mathematics as engine.nets.transformer and engine.rollout.sampler, up to rounding, with fewer products and
several times fewer operations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config.memory import EmbeddedConfig
from engine.fast.weights import merged_linear
from engine.nets.caches import Caches
from engine.nets.networks import EmbeddedNetworks
from engine.nets.rope import Rotation, axis_dims, space_rotation, time_rotation
from engine.nets.transformer import Layer

_GELU = math.sqrt(2 / math.pi)
_COMPLETE = (
    2e-3  # what a codec's way there and back may add to a pixel's share and still count as none: float16's digits
)


def can_be_fast(config: EmbeddedConfig) -> bool:
    """Whether the model is of the kind that is computed here: a linear codec, one step of one video frame."""
    return (
        config.codec.finish_layers == 0
        and len(config.denoising_steps) == 1
        and config.context_noise is None
        and config.time_ratio == 1
    )


@dataclass(frozen=True)
class FastInputs:
    """What stays the same throughout a rollout: the embedded timestep (1, width), and rotations as complex numbers, of
    times (positions, dims) and of the token grid (tokens, dims)."""

    time: Tensor
    times: Tensor
    space: Tensor


class FastEmbedded:
    """See the module's text.

    Args:
        networks: a transformer and a codec that `can_be_fast`; their weights stay as they are, some of them moved
            together in memory.
    """

    def __init__(self, networks: EmbeddedNetworks) -> None:
        net, codec, config = networks.transformer, networks.codec, networks.config
        self._net, self._config = net, config
        height, width = config.latent_size
        _, rows, columns = config.transformer.patch
        self._grid, self._split = (height // rows, width // columns), (rows, columns)
        self._patch, self._views = codec.config.patch, config.views
        channels = codec.config.latent_channels

        # all in float64: what is put together must not be rounded twice
        encoder, decoder = codec.encoder.weight.double(), codec.decoder.weight.double()  # (C, 3, p, p)
        encoder_bias, decoder_bias = _bias(codec.encoder), _bias(codec.decoder)
        embed = net.patch_embedding.weight.double()[:, :, 0].unflatten(1, (1 + self._views, channels))
        of_views = torch.einsum("wvcrs,ckij->wvkrisj", embed[:, 1:], encoder).flatten(1)
        constant = torch.einsum("wvcrs,c->w", embed[:, 1:], encoder_bias)
        head = net.head.head.weight.double().view(rows, columns, channels + self._views, -1)
        bias = _bias(net.head.head).view(rows, columns, channels + self._views)
        change = torch.einsum("rscw,ckij->krisjw", head[:, :, :channels], decoder).flatten(0, 4)
        share = (head[:, :, -2] - head[:, :, -1]).flatten(0, 1)
        of_change = torch.einsum("rsc,ckij->krisj", bias[:, :, :channels], decoder).flatten()
        of_share = (bias[:, :, -2] - bias[:, :, -1]).flatten()
        weight = net.patch_embedding.weight
        self._of_noise = embed[:, 0].flatten(1).to(weight.dtype)
        self._of_views = of_views.to(weight.dtype)
        self._constant = (_bias(net.patch_embedding) + constant).to(weight.dtype)
        self._leave = torch.cat((change, share)).to(weight.dtype)
        self._leave_bias = torch.cat((of_change, of_share)).to(weight.dtype)
        self._learned = torch.stack([layer.modulation[0] for layer in net.layers])  # (L, 6, width)
        self._learned = self._learned + self._learned.new_tensor((0, 1, 0, 0, 1, 0))[:, None]
        self._learned_head = net.head.modulation[0] + weight.new_tensor((0, 1))[:, None]
        self._layers = [_FastLayer(layer, config.transformer.heads) for layer in net.layers]

        there_and_back = encoder.flatten(1).T @ decoder.flatten(1)  # of a patch's pixels, from the left
        offset = encoder_bias @ decoder.flatten(1)
        offset = offset + decoder_bias.repeat_interleave(self._patch**2)
        off = there_and_back - torch.eye(len(there_and_back), dtype=torch.float64, device=weight.device)
        self._there_and_back: tuple[Tensor, Tensor] | None = None
        if weight.is_meta or max(float(off.abs().max()), float(offset.abs().max())) > _COMPLETE:
            self._there_and_back = there_and_back.to(weight.dtype), offset.to(weight.dtype)

    def new_caches(self, window: int, sink: int) -> Caches:
        """Empty caches for one rollout."""
        return self._net.new_caches(window, sink)

    def rebase(self, caches: Caches, position: int) -> None:
        """As Transformer.rebase."""
        self._net.rebase(caches, position)

    def prepare_rollout(self, timestep: float, positions: int) -> FastInputs:
        """What a rollout needs once. positions: how many latent frames it lets pass before it moves them back."""
        config, device = self._config.transformer, self._of_noise.device
        made = self._net.prepare_rollout(torch.tensor((timestep,)), self._config.latent_size)
        dims = axis_dims(config.head_dim)
        times = time_rotation(0, positions, dims[0], config.rope_theta, device)
        space = space_rotation(self._grid, dims[1:], config.rope_theta, device)
        return FastInputs(made.times[0, 0], _complex(times), _complex(space))

    def __call__(self, noise: Tensor, views: Tensor, actions: Tensor, rollout: FastInputs, caches: Caches) -> Tensor:
        """The next frame (1, 3, H, W), about -1..1 and not clamped.

        Args:
            noise: (1, 1, C, h, w) float32. views: (1, 2, 3, H, W) float32. actions: (1, keyboard and mouse), the mouse
                as a share of its limit.
            rollout: from `prepare_rollout`. caches: the rollout's own; this frame takes its place in them.
        """
        start = caches.begin_block(1)
        table = torch.cat((rollout.times[start].expand(len(rollout.space), -1), rollout.space), -1)[:, None]
        dtype = self._of_noise.dtype
        time = rollout.time + self._net.action_embedding(actions.to(dtype))
        modulation = self._learned + self._net.time_projection(time).view(1, 6, -1)
        x = F.linear(self._tokens(views.flatten(0, 2)).to(dtype), self._of_views, self._constant)
        (rows, columns), (high, wide) = self._grid, self._split
        latents = noise.view(-1, rows, high, columns, wide).permute(1, 3, 0, 2, 4).reshape(rows * columns, -1)
        x = torch.addmm(x, latents.to(dtype), self._of_noise.T)
        for index, layer in enumerate(self._layers):
            x = layer(x, modulation[index], table, caches, index)
        shift, scale = self._learned_head + time
        x = F.layer_norm(x, scale.shape, scale, shift, self._config.transformer.eps)
        x = F.linear(x, self._leave, self._leave_bias).float()
        return self._mixed(views, x[:, -high * wide :]) + self._pictures(x[:, : -high * wide])

    def _mixed(self, views: Tensor, logits: Tensor) -> Tensor:
        """The views (1, 2, 3, H, W) mixed by what tokens say (S, places), through the codec and back: (1, 3, H, W)."""
        (rows, columns), (high, wide) = self._grid, self._split
        share = logits.sigmoid().view(rows, columns, high, wide).transpose(1, 2).reshape(1, 1, rows * high, -1)
        share = F.interpolate(share, size=views.shape[-2:], mode="bilinear", align_corners=False)
        mixed = torch.lerp(views[:, 1], views[:, 0], share)
        if self._there_and_back is None:
            return mixed
        matrix, offset = self._there_and_back
        patches = F.pixel_unshuffle(mixed, self._patch).flatten(2).mT.to(matrix.dtype)
        mixed = torch.addmm(offset, patches[0], matrix).float()
        return F.pixel_shuffle(mixed.T.view(1, -1, *self._config.latent_size), self._patch)

    def _tokens(self, pictures: Tensor) -> Tensor:
        """(N, H, W) -> (S, N x pixels of a token)."""
        rows, columns = self._grid
        apart = pictures.view(len(pictures), rows, pictures.shape[1] // rows, columns, -1)
        return apart.permute(1, 3, 0, 2, 4).reshape(rows * columns, -1)

    def _pictures(self, tokens: Tensor) -> Tensor:
        """(S, 3 x pixels of a token) -> (1, 3, H, W)."""
        (rows, columns), (high, wide) = self._grid, (part * self._patch for part in self._split)
        apart = tokens.view(rows, columns, 3, high, wide).permute(2, 0, 3, 1, 4)
        return apart.reshape(1, 3, rows * high, columns * wide)


class _FastLayer:
    """engine.nets.transformer.Layer for one world and one video frame, in fewer operations."""

    def __init__(self, layer: Layer, heads: int) -> None:
        attention = layer.self_attn
        self._qkv = merged_linear([attention.q, attention.k, attention.v])
        self._norm = torch.stack((attention.norm_q.weight, attention.norm_k.weight))
        self._eps, self._norm_eps = layer.norm1.eps, attention.norm_q.eps
        self._out, self._ffn = attention.o, layer.ffn
        self._heads = heads

    def __call__(self, x: Tensor, modulation: Tensor, table: Tensor, caches: Caches, index: int) -> Tensor:
        """x: (S, width), modulation: (6, width), table: (S, 1, complex numbers of a head)."""
        tokens, width = x.shape
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = modulation.unbind()
        qkv = self._qkv(F.layer_norm(x, (width,), scale, shift, self._eps))
        qk = qkv[:, : 2 * width].view(tokens, 2, width).float()
        qk = qk * (qk.square().mean(-1, keepdim=True) + self._norm_eps).rsqrt() * self._norm
        turned = torch.view_as_complex(qk.view(tokens, 2 * self._heads, -1, 2)) * table
        turned = torch.view_as_real(turned).flatten(2).to(x.dtype).transpose(0, 1)  # (2 heads, S, head dim)
        q, k = turned[None].chunk(2, 1)
        v = qkv[:, 2 * width :].view(1, tokens, self._heads, -1).transpose(1, 2)
        keys, values = caches.attention[index].write(k[:, :, None], v[:, :, None])
        out = F.scaled_dot_product_attention(q, keys.flatten(2, 3), values.flatten(2, 3))
        x = torch.addcmul(x, self._out(out[0].transpose(0, 1).reshape(tokens, width)), gate)
        h = F.layer_norm(x, (width,), ffn_scale, ffn_shift, self._eps)
        return torch.addcmul(x, self._ffn[2](_gelu(self._ffn[0](h))), ffn_gate)


def _gelu(x: Tensor) -> Tensor:
    """GELU by its approximation with tanh, as F.gelu has it; that tanh takes a CPU twice as long as this logistic."""
    if x.device.type != "cpu":
        return F.gelu(x, approximate="tanh")
    return x.square().mul_(2 * _GELU * 0.044715).add_(2 * _GELU).mul_(x).sigmoid_().mul_(x)


def _bias(layer: nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.Linear) -> Tensor:
    assert layer.bias is not None
    return layer.bias.double()


def _complex(rotation: Rotation) -> Tensor:
    """Tables (..., D) as complex numbers (..., D / 2)."""
    return torch.complex(rotation.cos[..., 0::2].contiguous(), rotation.sin[..., 1::2].contiguous())
