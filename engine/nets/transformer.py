"""The block-causal diffusion transformer: one pass turns a block's noisy latents into what the model predicts.

What outlives a pass is prepared apart from it and handed in, so that nothing is computed twice and modules keep no
state: `prepare_rollout` once, `prepare_block` once a block, `forward` once a pass. Keys and values live in `Caches`.
Weight names are those of the published checkpoints, without their leading `model.`.

Source: Wan2.1 model.py (architecture), Self-Forcing causal_model.py (rolling caches), Matrix-Game-2 (action module).
"""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.config.model import AttentionActionsConfig, ModulationActionsConfig, TransformerConfig
from engine.nets.action_module import ActionModule, PreparedActions
from engine.nets.action_windows import ActionWindows
from engine.nets.attention import CrossAttention, KeysValues, SelfAttention
from engine.nets.caches import Caches, FrameRing, GrowingCache, KVCache, RingCache
from engine.nets.rope import Rotation, axis_dims, combine, space_rotation, time_rotation


@dataclass(frozen=True)
class Modulation:
    """Shift, scale and gate of every layer for one pass: `attention` and `ffn` (3, L, B, T or 1, 1, width), `head` the
    final (2, B, T or 1, 1, width). One is already added to the scales."""

    attention: Tensor
    ffn: Tensor
    head: Tensor


@dataclass(frozen=True)
class RolloutInputs:
    """What stays the same throughout a rollout.

    Attributes:
        space: rotation of every position of the token grid.
        grid: (rows, columns) of that grid.
        times: time embedding of each pass of a block, (passes, B or 1, 1, width).
        modulations: one per pass where actions have no part in them, else None.
        context: cross attention's keys and values per layer; empty without cross attention.
    """

    space: Rotation
    grid: tuple[int, int]
    times: Tensor
    modulations: tuple[Modulation, ...] | None
    context: tuple[KeysValues, ...]


@dataclass(frozen=True)
class BlockInputs:
    """What stays the same in every pass of a block.

    Attributes:
        rotation: of every token of the block, tables (T, S, head dim).
        modulations: one per pass.
        context: as in RolloutInputs.
        actions: per layer that has an action module.
    """

    rotation: Rotation
    modulations: tuple[Modulation, ...]
    context: tuple[KeysValues, ...]
    actions: dict[int, PreparedActions]


def _modulation(parts: int, width: int) -> nn.Parameter:
    """Shifts, scales and gates that are added to the timestep's, at random of size 1 / sqrt(width)."""
    weight = torch.empty(1, parts, width)
    if not weight.is_meta:  # there nothing would come of it but torch's compiler, imported: a second of every start
        nn.init.normal_(weight, std=width**-0.5)
    return nn.Parameter(weight)


class Layer(nn.Module):
    """Self attention, cross attention, action module, feed-forward."""

    def __init__(self, config: TransformerConfig, index: int, time_ratio: int) -> None:
        super().__init__()
        width, eps = config.width, config.eps
        self.norm1 = nn.LayerNorm(width, eps, elementwise_affine=False)
        self.self_attn = SelfAttention(width, config.heads, eps)
        if config.visual_context is not None:
            self.norm3 = nn.LayerNorm(width, eps)
            self.cross_attn = CrossAttention(width, config.heads, eps)
        if isinstance(config.actions, AttentionActionsConfig) and index in config.actions.layers:
            self.action_model = ActionModule(config.actions, width, time_ratio, eps)
        self.norm2 = nn.LayerNorm(width, eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(width, config.ffn), nn.GELU(approximate="tanh"), nn.Linear(config.ffn, width)
        )
        self.modulation = _modulation(6, width)
        self.index = index

    def forward(self, x: Tensor, modulation: Modulation, block: BlockInputs, caches: Caches) -> Tensor:
        """x: (B, T, S, width); returns the same shape."""
        shift, scale, gate = modulation.attention[:, self.index]
        attended = self.self_attn(
            torch.addcmul(shift, self.norm1(x), scale), block.rotation, caches.attention[self.index]
        )
        x = torch.addcmul(x, attended, gate)
        if block.context:
            x = x + self.cross_attn(self.norm3(x), block.context[self.index])
        if self.index in block.actions:
            x = self.action_model(x, block.actions[self.index], caches.mouse.get(self.index))
        shift, scale, gate = modulation.ffn[:, self.index]
        return torch.addcmul(x, self.ffn(torch.addcmul(shift, self.norm2(x), scale)), gate)


class Head(nn.Module):
    """The last, modulated, projection of a token to its patch."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, config.eps, elementwise_affine=False)
        rows, columns = config.patch[1:]
        self.head = nn.Linear(config.width, config.patch[0] * rows * columns * config.out_channels)
        self.modulation = _modulation(2, config.width)

    def forward(self, x: Tensor, modulation: Modulation) -> Tensor:
        shift, scale = modulation.head
        return self.head(torch.addcmul(shift, self.norm(x), scale))


class VisualEmbedding(nn.Module):
    """The image tower's channels to the transformer's width."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, width),
            nn.LayerNorm(width),
        )  # fmt: skip

    def forward(self, context: Tensor) -> Tensor:
        return self.proj(context)


class Transformer(nn.Module):
    """See the module's text.

    Args:
        config: all sizes.
        time_ratio: video frames of a latent frame; says how many actions a latent frame sees.
    """

    def __init__(self, config: TransformerConfig, time_ratio: int) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch_embedding = nn.Conv3d(config.in_channels, width, config.patch, stride=config.patch)
        self.time_embedding = nn.Sequential(nn.Linear(config.time_dim, width), nn.SiLU(), nn.Linear(width, width))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        if config.visual_context is not None:
            self.img_emb = VisualEmbedding(config.visual_context.channels, width)
        if isinstance(config.actions, ModulationActionsConfig):
            actions = time_ratio * (config.actions.keyboard_dim + config.actions.mouse_dim)
            self.action_embedding = nn.Sequential(nn.Linear(actions, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Layer(config, index, time_ratio) for index in range(config.layers))
        self.head = Head(config)

    @property
    def layers(self) -> list[Layer]:
        """`blocks`, by their type."""
        return [cast(Layer, block) for block in self.blocks]

    @property
    def attention_actions(self) -> AttentionActionsConfig:
        """Of a transformer with action modules."""
        assert isinstance(self.config.actions, AttentionActionsConfig)
        return self.config.actions

    def new_caches(self, window: int, sink: int = 0, *, differentiable: bool = False) -> Caches:
        """Empty caches for one rollout of any batch size.

        Args:
            window: latent frames attended to, the block itself and the sink included.
            sink: first latent frames never evicted.
            differentiable: caches that gradients flow through (training) instead of fixed memory.
        """
        ring = FrameRing(window, sink)
        kind = GrowingCache if differentiable else RingCache
        actions = self.config.actions
        listed = actions.layers if isinstance(actions, AttentionActionsConfig) else ()
        keyboard: dict[int, KVCache] = {layer: kind(ring) for layer in listed}
        mouse: dict[int, KVCache] = {layer: kind(ring) for layer in listed if actions.mouse_dim}
        return Caches(ring, tuple(kind(ring) for _ in range(self.config.layers)), mouse, keyboard)

    def prepare_rollout(
        self, timesteps: Tensor, latent_size: tuple[int, int], visual_context: Tensor | None = None
    ) -> RolloutInputs:
        """What a rollout needs once.

        Args:
            timesteps: of each pass of a block, (passes,) or (passes, B), 0..1000.
            latent_size: (height, width) of a latent frame.
            visual_context: (B, tokens, channels) of the image tower; None if the model has no cross attention.
        """
        config, weight = self.config, self.patch_embedding.weight
        grid = (latent_size[0] // config.patch[1], latent_size[1] // config.patch[2])
        space = space_rotation(grid, axis_dims(config.head_dim)[1:], config.rope_theta, weight.device)
        timesteps = timesteps.to(weight.device)
        sinusoid = _sinusoid(timesteps.reshape(len(timesteps), -1, 1), config.time_dim).to(weight.dtype)
        times = self.time_embedding(sinusoid)
        context: tuple[KeysValues, ...] = ()
        if visual_context is not None:
            embedded = self.img_emb(visual_context.to(weight))
            context = tuple(layer.cross_attn.prepare(embedded) for layer in self.layers)
        by_modulation = isinstance(config.actions, ModulationActionsConfig)
        modulations = None if by_modulation else tuple(self._modulation(time) for time in times)
        return RolloutInputs(space, grid, times, modulations, context)

    def prepare_block(self, rollout: RolloutInputs, actions: ActionWindows, frames: int, caches: Caches) -> BlockInputs:
        """What a block needs once. Makes room for it in `caches` and writes the keyboard's keys and values there.

        Args:
            rollout: from `prepare_rollout`.
            actions: of the block's latent frames, on the weights' device.
            frames: latent frames of the block.
            caches: the rollout's own.
        """
        config, device = self.config, self.patch_embedding.weight.device
        start = caches.begin_block(frames)
        time = time_rotation(start, frames, axis_dims(config.head_dim)[0], config.rope_theta, device)
        rotation = combine(time, rollout.space)
        if rollout.modulations is None:
            embedded = self._embed_actions(actions)
            modulations = tuple(self._modulation(time + embedded) for time in rollout.times)
            return BlockInputs(rotation, modulations, rollout.context, {})
        of_actions = self._action_rotation(start, frames, device)
        prepared = {
            layer: self.layers[layer].action_model.prepare(actions, of_actions, cache)
            for layer, cache in caches.keyboard.items()
        }
        return BlockInputs(rotation, rollout.modulations, rollout.context, prepared)

    def forward(self, x: Tensor, block: BlockInputs, step: int, caches: Caches) -> Tensor:
        """One pass.

        Args:
            x: (B, T, in_channels, h, w), noisy latents and condition.
            block: from `prepare_block`.
            step: which of the block's passes this is.
            caches: the rollout's own; this pass's keys and values take the block's place in them.

        Returns:
            (B, T, out_channels, h, w), in x's dtype: velocity, or change and weights of views.
        """
        modulation = block.modulations[step]
        _, p, q = self.config.patch
        rows, columns = x.shape[-2] // p, x.shape[-1] // q
        tokens = self._embed_patches(x)
        for layer in self.blocks:
            tokens = layer(tokens, modulation, block, caches)
        split = "b t (h w) (p q c) -> b t c (h p) (w q)"
        return rearrange(self.head(tokens, modulation), split, h=rows, w=columns, p=p, q=q).to(x.dtype)

    def rebase(self, caches: Caches, position: int) -> None:
        """Turns all cached keys so that the next block begins at `position`: only differences of positions matter."""
        shift, device = position - caches.position, self.patch_embedding.weight.device
        dims, theta = axis_dims(self.config.head_dim)[0], self.config.rope_theta
        time = time_rotation(shift, 1, dims, theta, device)
        for cache in caches.attention:
            cache.rotate(time)
        if caches.keyboard:
            time = self._action_rotation(shift, 1, device)
            for cache in (*caches.mouse.values(), *caches.keyboard.values()):
                cache.rotate(time)
        caches.ring.touched()
        caches.position = position

    def _embed_patches(self, x: Tensor) -> Tensor:
        # A convolution whose stride is its kernel is a matrix product, and much faster as one.
        _, p, q = self.config.patch
        weight, bias = self.patch_embedding.weight, self.patch_embedding.bias
        patches = rearrange(x, "b t c (h p) (w q) -> b t (h w) (c p q)", p=p, q=q)
        return F.linear(patches.to(weight.dtype), weight.flatten(1), bias)

    def _action_rotation(self, start: int, frames: int, device: torch.device) -> Rotation:
        actions = self.attention_actions
        time = time_rotation(start, frames, actions.rope_dims[0], actions.rope_theta, device)
        return Rotation(time.cos[:, None], time.sin[:, None])

    def _embed_actions(self, actions: ActionWindows) -> Tensor:
        values, config = actions.keyboard, self.config.actions
        if actions.mouse is not None:
            assert isinstance(config, ModulationActionsConfig)
            values = torch.cat((values, actions.mouse / config.mouse_limit), dim=-1)
        dtype = self.patch_embedding.weight.dtype
        return self.action_embedding(rearrange(values, "b t f c -> b t (f c)").to(dtype))

    def _modulation(self, time: Tensor) -> Modulation:
        """time: (B, T or 1, width), the embedded timestep with whatever was added to it."""
        learned = torch.stack([layer.modulation for layer in self.layers], dim=2)
        six = rearrange(self.time_projection(time), "b t (n c) -> n 1 b t 1 c", n=6)
        six = six + rearrange(learned, "1 n l c -> n l 1 1 1 c")
        one = torch.tensor((0.0, 1.0, 0.0)).to(six).view(3, *(1,) * (six.dim() - 1))
        head = rearrange(self.head.modulation, "1 n c -> n 1 1 1 c") + rearrange(time, "b t c -> 1 b t 1 c")
        return Modulation(six[:3] + one, six[3:] + one, head + one[:2, 0])


def _sinusoid(timesteps: Tensor, dim: int) -> Tensor:
    """(...,) -> (..., dim): cosines, then sines, of falling frequencies."""
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float64, device=timesteps.device) / half
    angles = timesteps.double().unsqueeze(-1) * 10000.0**-exponents
    return torch.cat((angles.cos(), angles.sin()), dim=-1)
