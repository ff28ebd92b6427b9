"""One pass of the transformer in fixed shapes; see engine.nets.transformer for what it computes, and why.

A pass is a loop over layers that share one program, `layer_pass`: what differs between them is weights and tensors, so
torch's compiler makes it once for all of them (twice where only some have an action module), in the time of one.

Each step away from the readable layers is one function or class here:
queries, keys and values of self attention in one product; modulation folded into the normalisation before it; both
halves of a norm or rotation of queries and keys in one kernel; sums into the residual stream done by the product.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.fast.weights import merged_linear, one_storage
from engine.nets.attention import CrossAttention, SelfAttention
from engine.nets.rope import Rotation
from engine.nets.transformer import Layer, Transformer


class PassTensors(NamedTuple):
    """Everything a pass reads or writes, beside its input and the network's weights. L layers, A with action modules.

    Attributes:
        modulation: shift, scale, gate for attention, then for ffn, (6, L, width); one is already added to the scales.
        head: shift and scale of the head, (2, width).
        cos, sin: rotation of every token, (T, S, 1, head dim).
        action_cos, action_sin: of the block's latent frames in action modules, (T, 1, 1, dims turned).
        mouse: the mouse's share of the first layer of each MLP, (A, T, 1, mouse width); None without mouse.
        keyboard_keys, keyboard_values: all layers' cache, (capacity, A, heads, head dim).
        slots: the block's place in the caches, (T,).
        context: cross attention's keys and values, two of (L, heads, length, head dim).
        keys, values: every layer's cache, each (capacity, S, heads, head dim); written to.
        mouse_keys, mouse_values: the same of the A mouse attentions.

    What lies in tuples stays at one address throughout a rollout; see engine.fast.graphs.
    """

    modulation: Tensor
    head: Tensor
    cos: Tensor
    sin: Tensor
    action_cos: Tensor
    action_sin: Tensor
    mouse: Tensor | None
    keyboard_keys: Tensor
    keyboard_values: Tensor
    slots: Tensor
    context: tuple[Tensor, Tensor]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    mouse_keys: tuple[Tensor, ...]
    mouse_values: tuple[Tensor, ...]


class ActionTensors(NamedTuple):
    """The part of one action module in PassTensors; caches are (capacity, 1 or S, heads, head dim)."""

    cos: Tensor
    sin: Tensor
    keyboard_keys: Tensor
    keyboard_values: Tensor
    mouse: Tensor | None
    mouse_keys: Tensor | None
    mouse_values: Tensor | None


class LayerTensors(NamedTuple):
    """One layer's part of PassTensors: modulation (6, width), context (heads, length, head dim)."""

    modulation: Tensor
    cos: Tensor
    sin: Tensor
    slots: Tensor
    context_keys: Tensor
    context_values: Tensor
    keys: Tensor
    values: Tensor
    actions: ActionTensors | None


def of_layer(t: PassTensors, layer: int, actions: int | None) -> LayerTensors:
    """The part of a layer. actions: its number among those that have an action module, or None."""
    of_actions = None
    if actions is not None:
        keys, values = t.keyboard_keys[:, actions, None], t.keyboard_values[:, actions, None]
        mouse: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)
        if t.mouse is not None:
            mouse = (t.mouse[actions], t.mouse_keys[actions], t.mouse_values[actions])
        of_actions = ActionTensors(t.action_cos, t.action_sin, keys, values, *mouse)
    context_keys, context_values = t.context[0][layer], t.context[1][layer]
    shared = t.modulation[:, layer], t.cos, t.sin, t.slots
    return LayerTensors(*shared, context_keys, context_values, t.keys[layer], t.values[layer], of_actions)


def attend(q: Tensor, keys: Tensor, values: Tensor, held: int | None) -> Tensor:
    """Every token sees every token: q (T, S, H, D), keys and values (C, S', H, D) -> (T, S, H D).

    held: how many leading frames there are, None for all. No mask: with one, the quickest kernels cannot be used.
    """
    frames, tokens, heads, dim = q.shape
    q, keys, values = (t.flatten(0, 1).transpose(0, 1)[None] for t in (q, keys[:held], values[:held]))
    out = F.scaled_dot_product_attention(q, keys, values)
    return out[0].transpose(0, 1).reshape(frames, tokens, heads * dim)


def attend_over_time(q: Tensor, keys: Tensor, values: Tensor, held: int | None) -> Tensor:
    """Every position by itself: q (T, S, H, D), keys and values (C, S, H, D) -> (T, S, H D). held: as in `attend`."""
    q, keys, values = (t.permute(1, 2, 0, 3) for t in (q, keys[:held], values[:held]))
    out = F.scaled_dot_product_attention(q, keys, values)
    return out.permute(2, 0, 1, 3).flatten(2)


def rotate_front(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the leading dims of `x` (..., D) in place, as many as the tables have; returns it."""
    front = x[..., : cos.shape[-1]]
    front.copy_(Rotation(cos, sin).apply(front))
    return x


class FastSelfAttention(nn.Module):
    """SelfAttention with one product for queries, keys and values. The readable one's weights become parts of its."""

    def __init__(self, source: SelfAttention) -> None:
        super().__init__()
        self.heads, self.eps, self.o = source.heads, source.norm_q.eps, source.o
        self.qkv = merged_linear((source.q, source.k, source.v))
        self.norm = one_storage((source.norm_q, source.norm_k), "weight")

    def forward(self, x: Tensor, t: LayerTensors, held: int | None) -> Tensor:
        """x (T, S, width), normalised and modulated -> the same shape."""
        frames, tokens, width = x.shape
        qkv = self.qkv(x).view(frames, tokens, 3, width)
        qk = F.rms_norm(qkv[:, :, :2], (width,), None, self.eps) * self.norm.view(2, width)
        qk = Rotation(t.cos, t.sin).apply(qk.view(frames, tokens, 2 * self.heads, -1))
        q, k = qk.chunk(2, dim=2)
        t.keys.index_copy_(0, t.slots, k)
        t.values.index_copy_(0, t.slots, qkv[:, :, 2].unflatten(-1, (self.heads, -1)))
        return self.o(attend(q, t.keys, t.values, held))


def cross_attention(net: CrossAttention, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """x (T, S, width), keys and values (heads, length, head dim) -> the same shape as x."""
    frames, tokens, width = x.shape
    q = F.rms_norm(net.q(x), (width,), net.norm_q.weight, net.norm_q.eps)
    q = q.view(1, frames * tokens, net.heads, -1).transpose(1, 2)
    out = F.scaled_dot_product_attention(q, keys[None], values[None])
    return net.o(out.transpose(1, 2).reshape(frames, tokens, width))


class FastActions(nn.Module):
    """An action module; what does not depend on tokens is in ActionTensors."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.source = layer.action_model
        self.eps = self.source.key_attn_q_norm.eps

    def forward(self, x: Tensor, t: ActionTensors, slots: Tensor, held: int | None) -> Tensor:
        """x (T, S, width), added to in place; returns it. slots: as in PassTensors."""
        if t.mouse is not None:
            self._mouse(x, t, slots, held)
        source = self.source
        q = source.mouse_attn_q(x).unflatten(-1, (source.heads, -1))
        q = rotate_front(F.rms_norm(q, q.shape[-1:], None, self.eps), t.cos, t.sin)
        _add_product(x, attend(q, t.keyboard_keys, t.keyboard_values, held), source.proj_keyboard.weight)
        return x

    def _mouse(self, x: Tensor, t: ActionTensors, slots: Tensor, held: int | None) -> None:
        source = self.source
        first, rest = source.first_of_mouse, list(source.mouse_mlp)[1:]
        assert t.mouse is not None and t.mouse_keys is not None and t.mouse_values is not None
        # The MLP's input is cat(token, mouse): its first product is split, the mouse's half is made once a block.
        hidden = F.linear(x, first.weight[:, : x.shape[-1]]).add_(t.mouse)
        for layer in rest:
            hidden = layer(hidden)
        qkv = source.t_qkv(hidden).unflatten(-1, (3, source.heads, -1))
        qk = F.rms_norm(qkv[:, :, :2], qkv.shape[-1:], None, self.eps)
        q, k = rotate_front(qk, t.cos[:, :, None], t.sin[:, :, None]).unbind(2)
        t.mouse_keys.index_copy_(0, slots, k)
        t.mouse_values.index_copy_(0, slots, qkv[:, :, 2])
        _add_product(x, attend_over_time(q, t.mouse_keys, t.mouse_values, held), source.proj_mouse.weight)


def _add_product(x: Tensor, left: Tensor, weight: Tensor) -> None:
    """x (T, S, width) += left (T, S, n) @ weight (width, n) transposed, in one kernel."""
    x.flatten(0, 1).addmm_(left.flatten(0, 1), weight.t())


class FastLayer(nn.Module):
    """See engine.nets.transformer.Layer. actions: whether it has an action module."""

    def __init__(self, source: Layer, actions: bool) -> None:
        super().__init__()
        self.eps = source.norm1.eps
        self.self_attn = FastSelfAttention(source.self_attn)
        self.norm3, self.cross_attn, self.ffn = source.norm3, source.cross_attn, source.ffn
        self.actions = FastActions(source) if actions else None

    def forward(self, x: Tensor, t: LayerTensors, held: int | None) -> Tensor:
        """x (T, S, width), the residual stream -> the same, a new one."""
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = t.modulation.unbind(0)
        x = torch.addcmul(x, self.self_attn(self._norm(x, scale, shift), t, held), gate)
        x.add_(cross_attention(self.cross_attn, self.norm3(x), t.context_keys, t.context_values))
        if self.actions is not None and t.actions is not None:
            self.actions(x, t.actions, t.slots, held)
        return x.addcmul_(self.ffn(self._norm(x, ffn_scale, ffn_shift)), ffn_gate)

    def _norm(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        # A block's frames are at one timestep, so its modulation is the weight and bias of the norm before it.
        return F.layer_norm(x, x.shape[-1:], scale, shift, self.eps)


LayerProgram = Callable[[FastLayer, Tensor, LayerTensors, int | None], Tensor]


def layer_pass(layer: FastLayer, x: Tensor, t: LayerTensors, held: int | None) -> Tensor:
    """The program of every layer. A function of its own, so that it is compiled once for all of them."""
    return layer(x, t, held)


class PassNetwork(nn.Module):
    """A whole pass: latents and condition in, velocity out. net: the readable transformer, whose weights it uses."""

    def __init__(self, net: Transformer) -> None:
        super().__init__()
        self.config, self.patch_embedding, self.head = net.config, net.patch_embedding, net.head
        listed = net.attention_actions.layers
        self.numbers = {layer: listed.index(layer) for layer in listed}
        self.blocks = nn.ModuleList(FastLayer(layer, i in self.numbers) for i, layer in enumerate(net.layers))

    def forward(self, x: Tensor, t: PassTensors, held: int | None, run: LayerProgram) -> Tensor:
        """x (1, T, in_channels, h, w), held: as in `attend` -> (1, T, out_channels, h, w) in x's dtype."""
        _, p, q = self.config.patch
        frames, channels, height, width = x.shape[1:]
        rows, columns = height // p, width // q
        weight = self.patch_embedding.weight
        patches = x.view(frames, channels, rows, p, columns, q).permute(0, 2, 4, 1, 3, 5)
        patches = patches.reshape(frames, rows * columns, channels * p * q).to(weight.dtype)
        tokens = F.linear(patches, weight.flatten(1), self.patch_embedding.bias)
        for index, block in enumerate(self.blocks):
            tokens = run(cast(FastLayer, block), tokens, of_layer(t, index, self.numbers.get(index)), held)
        shift, scale = t.head.unbind(0)
        out = self.head.head(F.layer_norm(tokens, tokens.shape[-1:], scale, shift, self.config.eps))
        out = out.view(frames, rows, columns, p, q, -1).permute(0, 5, 1, 3, 2, 4)
        return out.reshape(1, frames, -1, height, width).to(x.dtype)


def steady_pass(network: PassNetwork, x: Tensor, t: PassTensors, run: LayerProgram = layer_pass) -> Tensor:
    """Every pass once the window is full. run: what computes a layer."""
    return network(x, t, None, run)


def filling_pass(network: PassNetwork, x: Tensor, t: PassTensors, held: int, run: LayerProgram = layer_pass) -> Tensor:
    """Every pass before that. held: the leading slots that hold a frame."""
    return network(x, t, held, run)
