"""The action module: how mouse and keyboard reach the tokens of a latent frame (arXiv 2501.08325, adapted).

The mouse moves the picture, so each position attends over time to what it saw and how the mouse moved. The keyboard
says what happens, so every position asks the same few keys, one per latent frame.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.config.model import AttentionActionsConfig
from engine.nets.action_windows import ActionWindows
from engine.nets.attention import KeysValues
from engine.nets.caches import KVCache
from engine.nets.rope import Rotation


@dataclass(frozen=True)
class PreparedActions:
    """What one layer's action module computes once per block.

    Attributes:
        rotation: tables (T, 1, dims turned) of the block's latent frames.
        mouse: the mouse's share of the first layer of the MLP, (B, T, 1, mouse width); None without mouse.
        keyboard: keys and values (B, heads, frames of the window, head dim).
    """

    rotation: Rotation
    mouse: Tensor | None
    keyboard: KeysValues


class UnusedWeightNorm(nn.Module):
    """Root-mean-square normalisation per head. Checkpoints hold a weight for it that the original never applies."""

    def __init__(self, head_dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(head_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, None, self.eps).type_as(x)


class ActionModule(nn.Module):
    """Mouse attention, then keyboard attention, both added to the tokens.

    Args:
        config: sizes of both attentions.
        width: of the transformer's tokens.
        time_ratio: video frames of a latent frame.
        eps: of the normalisation of queries and keys.

    Source: Matrix-Game-2 wan/modules/action_module.py.
    """

    def __init__(self, config: AttentionActionsConfig, width: int, time_ratio: int, eps: float) -> None:
        super().__init__()
        self.heads, self.width = config.heads, width
        seen = time_ratio * config.windows
        head_dim = sum(config.rope_dims)
        if config.mouse_dim:
            inner = config.mouse_width
            self.mouse_mlp = nn.Sequential(
                nn.Linear(width + seen * config.mouse_dim, inner),
                nn.GELU(approximate="tanh"),
                nn.Linear(inner, inner),
                nn.LayerNorm(inner),
            )
            self.t_qkv = nn.Linear(inner, 3 * inner, bias=False)
            self.img_attn_q_norm = UnusedWeightNorm(head_dim, eps)
            self.img_attn_k_norm = UnusedWeightNorm(head_dim, eps)
            self.proj_mouse = nn.Linear(inner, width, bias=False)
        embed, inner = config.keyboard_embed, config.keyboard_width
        self.has_mouse = bool(config.mouse_dim)
        self.keyboard_embed = nn.Sequential(nn.Linear(config.keyboard_dim, embed), nn.SiLU(), nn.Linear(embed, embed))
        self.mouse_attn_q = nn.Linear(width, inner, bias=False)  # the keyboard's query, whatever the name says
        self.keyboard_attn_kv = nn.Linear(seen * embed, 2 * inner, bias=False)
        self.key_attn_q_norm = UnusedWeightNorm(head_dim, eps)
        self.key_attn_k_norm = UnusedWeightNorm(head_dim, eps)
        self.proj_keyboard = nn.Linear(inner, width, bias=False)

    @property
    def first_of_mouse(self) -> nn.Linear:
        """The first layer of the mouse's MLP."""
        first = self.mouse_mlp[0]
        assert isinstance(first, nn.Linear)
        return first

    def prepare(self, actions: ActionWindows, rotation: Rotation, cache: KVCache) -> PreparedActions:
        """What stays the same in every pass of a block; writes the keyboard's keys and values into `cache`."""
        embedded = rearrange(self.keyboard_embed(actions.keyboard), "b t f c -> b t (f c)")
        k, v = rearrange(self.keyboard_attn_kv(embedded), "b t (n h d) -> n b h t 1 d", n=2, h=self.heads)
        keys, values = cache.write(rotation.apply(self.key_attn_k_norm(k)), v)
        keyboard = KeysValues(keys.flatten(2, 3), values.flatten(2, 3))
        mouse = None
        if self.has_mouse:
            first = self.first_of_mouse
            assert actions.mouse is not None
            share = first.weight[:, self.width :]
            mouse = F.linear(rearrange(actions.mouse, "b t f c -> b t 1 (f c)"), share, first.bias)
        return PreparedActions(rotation, mouse, keyboard)

    def forward(self, x: Tensor, actions: PreparedActions, mouse_cache: KVCache | None) -> Tensor:
        """x: (B, T, S, width); returns x with both attentions added."""
        if mouse_cache is not None:
            x = x + self._mouse(x, actions, mouse_cache)
        return x + self._keyboard(x, actions)

    def _mouse(self, x: Tensor, actions: PreparedActions, cache: KVCache) -> Tensor:
        # The MLP's input is cat(token, mouse): its first layer is split instead, since the mouse's share is per block.
        assert actions.mouse is not None
        hidden = F.linear(x, self.first_of_mouse.weight[:, : self.width]) + actions.mouse
        for layer in list(self.mouse_mlp)[1:]:
            hidden = layer(hidden)
        q, k, v = rearrange(self.t_qkv(hidden), "b t s (n h d) -> n (b s) h t 1 d", n=3, h=self.heads)
        q = actions.rotation.apply(self.img_attn_q_norm(q))
        keys, values = cache.write(actions.rotation.apply(self.img_attn_k_norm(k)), v)
        out = F.scaled_dot_product_attention(q.flatten(2, 3), keys.flatten(2, 3), values.flatten(2, 3))
        return self.proj_mouse(rearrange(out, "(b s) h t d -> b t s (h d)", b=x.shape[0]))

    def _keyboard(self, x: Tensor, actions: PreparedActions) -> Tensor:
        q = rearrange(self.mouse_attn_q(x), "b t s (h d) -> b h t s d", h=self.heads)
        q = actions.rotation.apply(self.key_attn_q_norm(q)).flatten(2, 3)
        out = F.scaled_dot_product_attention(q, actions.keyboard.keys, actions.keyboard.values)
        return self.proj_keyboard(rearrange(out, "b h (t s) d -> b t s (h d)", t=x.shape[1]))
