"""Self attention over cached latent frames and cross attention to the first frame's visual context.

Tokens are (B, frames, tokens a frame, width) here; heads come apart only inside an attention.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.nets.caches import KVCache
from engine.nets.rope import Rotation


@dataclass(frozen=True)
class KeysValues:
    """Keys and values that do not change within a rollout or block: (B, heads, length, head dim)."""

    keys: Tensor
    values: Tensor


class RMSNorm(nn.Module):
    """Root-mean-square normalisation of the last axis in float32, times a learned weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).type_as(x)


class _Attention(nn.Module):
    """The projections that every attention has, by the original's names."""

    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.o = nn.Linear(width, width)
        self.norm_q = RMSNorm(width, eps)
        self.norm_k = RMSNorm(width, eps)


class SelfAttention(_Attention):
    """Attention of a block's tokens to all tokens of the window, the block's own included.

    Source: Wan2.1 model.py, with the rolling cache of Self-Forcing's causal_model.py.
    """

    def forward(self, x: Tensor, rotation: Rotation, cache: KVCache) -> Tensor:
        """x: (B, T, S, width), rotation: tables (T, S, head dim); returns the same shape as x."""
        split = "b t s (h d) -> b h t s d"
        q = rotation.apply(rearrange(self.norm_q(self.q(x)), split, h=self.heads))
        k = rotation.apply(rearrange(self.norm_k(self.k(x)), split, h=self.heads))
        keys, values = cache.write(k, rearrange(self.v(x), split, h=self.heads))
        out = F.scaled_dot_product_attention(q.flatten(2, 3), keys.flatten(2, 3), values.flatten(2, 3))
        return self.o(rearrange(out, "b h (t s) d -> b t s (h d)", t=x.shape[1]))


class CrossAttention(_Attention):
    """Attention of every token to the visual context, whose keys and values are computed once a rollout."""

    def prepare(self, context: Tensor) -> KeysValues:
        """context: (B, length, width), already embedded."""
        split = "b l (h d) -> b h l d"
        keys = rearrange(self.norm_k(self.k(context)), split, h=self.heads)
        return KeysValues(keys, rearrange(self.v(context), split, h=self.heads))

    def forward(self, x: Tensor, context: KeysValues) -> Tensor:
        """x: (B, T, S, width); returns the same shape."""
        q = rearrange(self.norm_q(self.q(x)), "b t s (h d) -> b h (t s) d", h=self.heads)
        out = F.scaled_dot_product_attention(q, context.keys, context.values)
        return self.o(rearrange(out, "b h (t s) d -> b t s (h d)", t=x.shape[1]))
