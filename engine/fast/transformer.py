"""The fast transformer: prepares what outlives a pass, and hands every pass to a program of fixed shapes.

It answers to the same calls as engine.nets.transformer.Transformer, so that a rollout need not know which one it
drives.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.fast.caches import SlotCache, SlotCaches
from engine.fast.layers import PassNetwork, PassTensors, filling_pass, rotate_front, steady_pass
from engine.fast.lease import Lease
from engine.fast.weights import stacked
from engine.nets.action_windows import ActionWindows
from engine.nets.caches import FrameRing
from engine.nets.rope import Rotation, axis_dims, combine, time_rotation
from engine.nets.transformer import RolloutInputs, Transformer

SlotMemory: TypeAlias = tuple[tuple[SlotCache, ...], tuple[SlotCache, ...], SlotCache, tuple[Tensor, ...]]
"""Of attention, mouse, keyboard and context, as SlotCaches takes them."""

_POSITIONS = 4096  # of the time tables: 1.4 MB; a rollout moves its positions back every 32 windows


@dataclass(frozen=True)
class PassPrograms:
    """The two functions a pass is one of: with (network, x, tensors), and with the number of slots held behind them."""

    steady: Callable[[PassNetwork, Tensor, PassTensors], Tensor] = steady_pass
    filling: Callable[[PassNetwork, Tensor, PassTensors, int], Tensor] = filling_pass


@dataclass(frozen=True)
class FastRolloutInputs:
    """What stays the same throughout a rollout.

    Attributes:
        space: rotation of every position of the token grid.
        times, turns: rotations of the first positions in time, for attention (N, dims) and for action modules.
        modulations: per pass: (6, L, width) and the head's (2, width), as in PassTensors.
        context: cross attention's keys and values, two of (L, heads, length, head dim).
    """

    space: Rotation
    times: Rotation
    turns: Rotation
    modulations: tuple[tuple[Tensor, Tensor], ...]
    context: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class FastBlockInputs:
    """What stays the same in every pass of a block: one PassTensors per pass, how many slots are held while the window
    fills, and the rollout's own context."""

    passes: tuple[PassTensors, ...]
    held: int | None
    context: tuple[Tensor, Tensor]


class ActionWeights(nn.Module):
    """The weights of all action modules that are used once a block, stacked: the layers' share one product."""

    def __init__(self, net: Transformer) -> None:
        super().__init__()
        blocks = net.layers
        modules = [blocks[layer].action_model for layer in net.attention_actions.layers]
        first, last = ([list(module.keyboard_embed)[i] for module in modules] for i in (0, 2))
        self.first, self.first_bias = stacked(first, "weight"), stacked(first, "bias")
        self.last, self.last_bias = stacked(last, "weight"), stacked(last, "bias")
        self.keys_values = stacked([module.keyboard_attn_kv for module in modules], "weight")
        self.heads, self.eps = modules[0].heads, modules[0].key_attn_k_norm.eps
        self.layers = len(modules)
        self.mouse: nn.Parameter | None = None
        if modules[0].has_mouse:
            mlp, width = [module.first_of_mouse for module in modules], net.config.width
            share = torch.stack([layer.weight.detach()[:, width:] for layer in mlp])
            self.mouse = nn.Parameter(share.contiguous(), requires_grad=False)
            self.mouse_bias = stacked(mlp, "bias")

    def keyboard(self, actions: ActionWindows) -> tuple[Tensor, Tensor]:
        """Keys (not yet turned) and values of every layer, each (T, A, heads, head dim)."""
        _, frames, seen, width = actions.keyboard.shape
        x = actions.keyboard.view(1, frames * seen, width).expand(self.layers, -1, -1)
        x = torch.baddbmm(self.first_bias[:, None], x, self.first.transpose(1, 2))
        x = torch.baddbmm(self.last_bias[:, None], F.silu(x), self.last.transpose(1, 2))
        x = torch.bmm(x.view(self.layers, frames, -1), self.keys_values.transpose(1, 2))
        k, v = x.view(self.layers, frames, 2, self.heads, -1).transpose(0, 1).unbind(2)
        return F.rms_norm(k, k.shape[-1:], None, self.eps), v

    def mouse_share(self, actions: ActionWindows) -> Tensor | None:
        """The mouse's share of the first layer of every MLP, (A, T, 1, mouse width)."""
        if self.mouse is None or actions.mouse is None:
            return None
        x = actions.mouse.flatten(2).expand(self.layers, -1, -1)
        return torch.baddbmm(self.mouse_bias[:, None], x, self.mouse.transpose(1, 2))[:, :, None]


class FastTransformer:
    """See the module's text.

    Args:
        net: the readable transformer, with attention actions and cross attention; its weights are moved together.
        latent_size: (height, width) of every latent frame.
        programs: what passes are computed with.
    """

    def __init__(self, net: Transformer, latent_size: tuple[int, int], programs: PassPrograms | None = None) -> None:
        self.net, self.latent_size, self.programs = net, latent_size, programs or PassPrograms()
        self.network, self.actions = PassNetwork(net), ActionWeights(net)
        self._worlds: dict[tuple[int, int], tuple[Lease, SlotMemory]] = {}  # by window and sink: the memory they share

    def with_programs(self, programs: PassPrograms) -> "FastTransformer":
        """The same network, computed with other programs; rollouts may change from one to the other."""
        twin = object.__new__(FastTransformer)
        twin.__dict__ = {**self.__dict__, "programs": programs}
        return twin

    def apart(self) -> "FastTransformer":
        """The same network and programs, with worlds that share no memory with those of this one."""
        twin = self.with_programs(self.programs)
        twin._worlds = {}
        return twin

    def new_caches(self, window: int, sink: int = 0) -> SlotCaches:
        """Empty caches for one rollout; arguments as Transformer's. Their memory is that of all worlds."""
        if (window, sink) not in self._worlds:
            self._worlds[window, sink] = Lease(), self._new_memory(window)
        lease, memory = self._worlds[window, sink]
        return SlotCaches(FrameRing(window, sink), *memory, lease)

    def _new_memory(self, window: int) -> SlotMemory:
        """Of attention, mouse, keyboard and context, as SlotCaches takes them."""
        config, weight = self.net.config, self.net.patch_embedding.weight
        actions, (height, width) = self.net.attention_actions, self.latent_size
        tokens = height // config.patch[1] * (width // config.patch[2])

        def cache(of: int, width: int, heads: int) -> SlotCache:
            shape = (window, of, heads, width // heads)
            return SlotCache(weight.new_zeros(shape), weight.new_zeros(shape))

        attention = tuple(cache(tokens, config.width, config.heads) for _ in range(config.layers))
        with_mouse = actions.layers if actions.mouse_dim else ()
        mouse = tuple(cache(tokens, actions.mouse_width, actions.heads) for _ in with_mouse)
        keyboard = cache(len(actions.layers), actions.keyboard_width, actions.heads)
        assert config.visual_context is not None
        shape = (config.layers, config.heads, config.visual_context.tokens, config.head_dim)
        return attention, mouse, keyboard, (weight.new_zeros(shape), weight.new_zeros(shape))

    def prepare_rollout(
        self, timesteps: Tensor, latent_size: tuple[int, int], visual_context: Tensor | None = None
    ) -> FastRolloutInputs:
        """As Transformer.prepare_rollout, for one world."""
        made: RolloutInputs = self.net.prepare_rollout(timesteps, latent_size, visual_context)
        assert made.modulations is not None
        modulations = tuple(
            (torch.cat((m.attention, m.ffn)).flatten(2, 4).squeeze(2), m.head.flatten(1)) for m in made.modulations
        )
        keys, values = (torch.cat([getattr(kv, name) for kv in made.context]) for name in ("keys", "values"))
        times, turns = self._time_rotation(0, _POSITIONS), self._action_rotation(0, _POSITIONS)
        return FastRolloutInputs(made.space, times, turns, modulations, (keys, values))

    def ahead(self, rollout: FastRolloutInputs, frames: int, caches: SlotCaches) -> None:
        """Makes what the next block will need whatever the player does, so that `prepare_block` need not."""
        if not caches.lent:  # worlds that take turns would copy their past to and fro once more
            caches.claim(rollout.context)
        start = caches.position
        caches.tables.of((start, frames), lambda: self._tables(rollout, start, frames))

    def prepare_block(
        self, rollout: FastRolloutInputs, actions: ActionWindows, frames: int, caches: SlotCaches
    ) -> FastBlockInputs:
        """As Transformer.prepare_block: makes room in `caches` and writes the keyboard's keys and values there."""
        caches.claim(rollout.context)
        start = caches.begin_block(frames)
        table, turn = caches.tables.of((start, frames), lambda: self._tables(rollout, start, frames))
        slots = caches.slots()
        k, v = self.actions.keyboard(actions)
        caches.keyboard.keys.index_copy_(0, slots, rotate_front(k, turn.cos, turn.sin))
        caches.keyboard.values.index_copy_(0, slots, v)
        shared: dict[str, Any] = {
            "cos": table.cos[:, :, None], "sin": table.sin[:, :, None], "action_cos": turn.cos, "action_sin": turn.sin,
            "mouse": self.actions.mouse_share(actions),
            "context": caches.context,
            "keyboard_keys": caches.keyboard.keys, "keyboard_values": caches.keyboard.values,
            "keys": tuple(cache.keys for cache in caches.attention),
            "values": tuple(cache.values for cache in caches.attention),
            "mouse_keys": tuple(cache.keys for cache in caches.mouse),
            "mouse_values": tuple(cache.values for cache in caches.mouse),
            "slots": slots,
        }  # fmt: skip
        passes = tuple(PassTensors(modulation=m, head=head, **shared) for m, head in rollout.modulations)
        return FastBlockInputs(passes, caches.held(), rollout.context)

    def __call__(self, x: Tensor, block: FastBlockInputs, step: int, caches: SlotCaches) -> Tensor:
        """As Transformer.forward, for one world: x (1, T, in_channels, h, w)."""
        caches.claim(block.context)
        if block.held is None:
            return self.programs.steady(self.network, x, block.passes[step])
        return self.programs.filling(self.network, x, block.passes[step], block.held)

    def rebase(self, caches: SlotCaches, position: int) -> None:
        """As Transformer.rebase."""
        caches.claim()
        shift = position - caches.position
        time = self._time_rotation(shift, 1)
        for cache in caches.attention:
            rotate_front(cache.keys, time.cos[:, None, None], time.sin[:, None, None])
        turn = self._action_rotation(shift, 1)
        for cache in (*caches.mouse, caches.keyboard):
            rotate_front(cache.keys, turn.cos, turn.sin)
        caches.ring.touched()
        caches.position = position

    def _tables(self, rollout: FastRolloutInputs, start: int, frames: int) -> tuple[Rotation, Rotation]:
        """Of a block's tokens (T, S, head dim), and of its latent frames in action modules."""
        if start + frames <= _POSITIONS:
            time, turn = (_part(table, start, frames) for table in (rollout.times, rollout.turns))
        else:  # only a window of more than a hundred frames comes here before it is moved back
            time, turn = self._time_rotation(start, frames), self._action_rotation(start, frames)
        return combine(time, rollout.space), turn

    def _time_rotation(self, start: int, frames: int) -> Rotation:
        config, device = self.net.config, self.net.patch_embedding.weight.device
        return time_rotation(start, frames, axis_dims(config.head_dim)[0], config.rope_theta, device)

    def _action_rotation(self, start: int, frames: int) -> Rotation:
        """Tables (frames, 1, 1, dims turned)."""
        actions, device = self.net.attention_actions, self.net.patch_embedding.weight.device
        time = time_rotation(start, frames, actions.rope_dims[0], actions.rope_theta, device)
        return Rotation(time.cos[:, None, None], time.sin[:, None, None])


def _part(table: Rotation, start: int, length: int) -> Rotation:
    return Rotation(table.cos[start : start + length], table.sin[start : start + length])
