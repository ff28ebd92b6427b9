"""Waypoint-1.5's transformer: one pass turns a noisy latent frame into the velocity that denoises it.

One latent frame at a time, of which every token sees every other and the frames of the past that its layer looks at:
local layers the newest, global layers few of them and far back. What the noise level and the controls add is prepared
apart: `prepare_rollout` once, `prepare_block` once a latent frame, `forward` once a pass. Modules keep no state; keys
and values live in `WaypointCaches`. Weight names are those of the published `model.safetensors`.

Source: model card of Overworld/Waypoint-1.5-1B; NVIDIA's FlashDreams and quark's description of its arithmetic.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.config.waypoint import WaypointTransformerConfig
from engine.nets.caches import Caches, CacheSnapshot, FrameRing, KVCache, RingCache
from engine.nets.rope import Rotation

EPS = 1.1920929e-07  # float32's epsilon, in bfloat16 runs too: no norm has a weight, so no other number sets its scale
NOISE_FEATURES = 512


def rms(x: Tensor) -> Tensor:
    """Root-mean-square normalisation of the last axis, without weights."""
    return F.rms_norm(x, x.shape[-1:], None, EPS)


@dataclass(frozen=True)
class Modulation:
    """What the noise level does to one pass. `layers` (L, 6, width): scale, shift and gate of the attention branch and
    of the MLP branch; `head` (2, width): scale and shift. One is to be added to the scales."""

    layers: Tensor
    head: Tensor


@dataclass(frozen=True)
class WaypointRolloutInputs:
    """What stays the same throughout a rollout: the rotation of every token in space, (S, half a head), and the
    modulation of each pass of a latent frame."""

    space: Rotation
    modulations: tuple[Modulation, ...]


@dataclass(frozen=True)
class WaypointBlockInputs:
    """What stays the same in every pass of a latent frame.

    Attributes:
        rotation: of every token, tables (S, head dim).
        modulations: one per pass.
        controls: their share of the first layer of each fusion, by layer, (B, 1, width).
    """

    rotation: Rotation
    modulations: tuple[Modulation, ...]
    controls: dict[int, Tensor]


class MLP(nn.Module):
    """fc2(SiLU(fc1(x))), without biases."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.silu(self.fc1(x)))
        return out


class Embedding(nn.Module):
    """An MLP under the published name."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.mlp = MLP(inputs, hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(x)
        return out


class ConditionHead(nn.Module):
    """Scale, shift and gate of one branch of one layer, from the embedded noise level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias_in = nn.Parameter(torch.empty(width))
        self.cond_proj = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, noise: Tensor) -> Tensor:
        """noise (passes, width) -> (passes, 3, width)."""
        hidden = F.silu(noise + self.bias_in)
        return torch.stack([projection(hidden) for projection in self.cond_proj], dim=1)


class Attention(nn.Module):
    """Attention of a frame's tokens to its own and to the frames that the cache holds; queries share keys in groups."""

    def __init__(self, config: WaypointTransformerConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.heads, config.kv_heads
        narrow = config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.width, config.width, bias=False)
        self.k_proj = nn.Linear(config.width, narrow, bias=False)
        self.v_proj = nn.Linear(config.width, narrow, bias=False)
        self.out_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_lamb = nn.Parameter(torch.empty(()))

    def forward(self, x: Tensor, rotation: Rotation, cache: KVCache, first: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (B, S, width), rotation (S, head dim), first: layer 0's own values, None in layer 0.

        Returns the branch's output (B, S, width) and layer 0's own values (B, KV heads, S, head dim).
        """
        split = "b s (h d) -> b h s d"
        q = rotation.apply(rms(rearrange(self.q_proj(x), split, h=self.heads)))
        k = rotation.apply(rms(rearrange(self.k_proj(x), split, h=self.kv_heads)))
        own = rearrange(self.v_proj(x), split, h=self.kv_heads)
        first = own if first is None else first
        keys, values = cache.write(k[:, :, None], torch.lerp(own, first, self.v_lamb)[:, :, None])
        out = F.scaled_dot_product_attention(q, keys.flatten(2, 3), values.flatten(2, 3), enable_gqa=True)
        return self.out_proj(rearrange(out, "b h s d -> b s (h d)")), first


class ControlFusion(nn.Module):
    """What the controls add to every token alike."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1_x = nn.Linear(width, width, bias=False)
        self.fc1_c = nn.Linear(width, width, bias=False)
        self.fc2 = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, controls: Tensor) -> Tensor:
        """x (B, S, width), controls (B, 1, width) after `fc1_c` -> what to add to x."""
        out: Tensor = self.fc2(F.silu(self.fc1_x(rms(x)) + controls))
        return out


class Layer(nn.Module):
    """Attention, controls in some layers, MLP."""

    def __init__(self, config: WaypointTransformerConfig, index: int) -> None:
        super().__init__()
        self.attn = Attention(config)
        self.attn_cond_head, self.mlp_cond_head = ConditionHead(config.width), ConditionHead(config.width)
        if config.takes_controls(index):
            self.ctrl_mlpfusion = ControlFusion(config.width)
        self.dit_mlp = MLP(config.width, config.ffn, config.width)

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        rotation: Rotation,
        controls: Tensor | None,
        cache: KVCache,
        first: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """x (B, S, width), modulation (6, width); returns the same shape, and layer 0's own values."""
        scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = modulation
        attended, first = self.attn(rms(x) * (1 + scale) + shift, rotation, cache, first)
        x = x + gate * attended
        if controls is not None:
            x = x + self.ctrl_mlpfusion(x, controls)
        return x + mlp_gate * self.dit_mlp(rms(x) * (1 + mlp_scale) + mlp_shift), first


class Layers(nn.Module):
    """The layers under the published name."""

    def __init__(self, config: WaypointTransformerConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Layer(config, index) for index in range(config.layers))

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.blocks)  # type: ignore[arg-type]


class NullEmbedding(nn.Module):
    """A learned stand-in for the controls that is in the file and never used."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.null_emb = nn.Parameter(torch.empty(1, 1, width))


class OutNorm(nn.Module):
    """Scale and shift of the head, from the embedded noise level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 2 * width, bias=False)

    def forward(self, noise: Tensor) -> Tensor:
        """noise (passes, width) -> (passes, 2, width)."""
        out: Tensor = rearrange(self.fc(F.silu(noise)), "n (two c) -> n two c", two=2)
        return out


@dataclass(frozen=True)
class WaypointSnapshot:
    """`WaypointCaches` at one moment."""

    local: CacheSnapshot
    distant: CacheSnapshot


class WaypointCaches:
    """All caches of one rollout: `local` those of local layers, `distant` those of global ones."""

    def __init__(self, config: WaypointTransformerConfig) -> None:
        capacities = config.rings()
        near, far = FrameRing(capacities[0]), FrameRing(capacities[1], dilation=config.global_dilation)
        self.attention = tuple(RingCache(far if config.is_global(i) else near) for i in range(config.layers))
        of_global = [config.is_global(i) for i in range(config.layers)]
        self.local = Caches(near, tuple(c for c, g in zip(self.attention, of_global, strict=True) if not g))
        self.distant = Caches(far, tuple(c for c, g in zip(self.attention, of_global, strict=True) if g))

    @property
    def position(self) -> int:
        """Number of the next latent frame."""
        return self.local.position

    @property
    def full(self) -> bool:
        """Whether every history is."""
        return all(ring.filled == ring.capacity for ring in (self.local.ring, self.distant.ring))

    def begin_block(self, frames: int) -> int:
        """Makes room for the next latent frame in every cache; returns its number. frames: 1."""
        self.distant.begin_block(frames)
        return self.local.begin_block(frames)

    def snapshot(self, since: WaypointSnapshot | None = None) -> WaypointSnapshot:
        """Everything, to keep. Slots that hold what they held in `since` are shared with it."""
        return WaypointSnapshot(
            self.local.snapshot(None if since is None else since.local),
            self.distant.snapshot(None if since is None else since.distant),
        )

    def restore(self, state: WaypointSnapshot) -> None:
        """Goes back to `state`, which stays as it is."""
        self.local.restore(state.local)
        self.distant.restore(state.distant)


@dataclass(frozen=True)
class Copies:
    """Which weights of a file are copies of others: the makers' engine takes both kinds for copies wherever it loads
    one, and other programs take none. Here every weight is used under its own name, so nothing depends on it.

    Attributes:
        projections: layers whose projections of the noise level are those of layer 0, branch by branch.
        biases: layers whose two branches have the same `bias_in`.
        layers: how many there are.
    """

    projections: int
    biases: int
    layers: int

    def words(self) -> str:
        """For the log."""
        return (f"weights that may be copies: projections of the noise level {self._said(self.projections)}, "
                f"the two biases of a layer {self._said(self.biases)}")  # fmt: skip

    def _said(self, equal: int) -> str:
        return {self.layers: "are equal in all layers", 0: "differ in all layers"}.get(
            equal, f"are equal in {equal} of {self.layers} layers"
        )


class WaypointTransformer(nn.Module):
    """See the module's text. config: all sizes.

    `tabulate` puts numbers in the place of the weights that only the noise level passes through.
    """

    def __init__(self, config: WaypointTransformerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.ctrl_cfg = NullEmbedding(width)
        self.ctrl_emb = Embedding(config.controls, config.ffn, width)
        self.denoise_step_emb = Embedding(NOISE_FEATURES, 4 * width, width)
        self.out_norm = OutNorm(width)
        self.patchify = nn.Conv2d(config.channels, width, config.patch, stride=config.patch, bias=False)
        self.transformer = Layers(config)
        self.unpatchify = nn.ConvTranspose2d(width, config.channels, config.patch, stride=config.patch)
        self._table: dict[float, Modulation] = {}

    def new_caches(self) -> WaypointCaches:
        """Empty caches for one rollout of any batch size."""
        return WaypointCaches(self.config)

    def modulation(self, sigma: float) -> Modulation:
        """What noise level `sigma` 0..1 does to a pass."""
        if sigma in self._table:
            return self._table[sigma]
        layers = tuple(self.transformer)
        noise = self.embed_noise(torch.tensor([sigma])).to(self.dtype)
        heads = [head(noise)[0] for layer in layers for head in (layer.attn_cond_head, layer.mlp_cond_head)]
        return Modulation(torch.stack(heads).view(len(layers), 6, -1), self.out_norm(noise)[0])

    def embed_noise(self, sigmas: Tensor) -> Tensor:
        """sigmas (passes,) 0..1 -> (passes, width), in float32 whatever the weights are."""
        mlp = self.denoise_step_emb.mlp
        features = noise_features(sigmas, self.config.tables).to(self.patchify.weight.device)
        return F.linear(F.silu(F.linear(features, mlp.fc1.weight.float())), mlp.fc2.weight.float())

    def copies(self) -> Copies:
        """Which weights are copies of others; before `tabulate` gives them up, and with data in them."""
        layers = tuple(self.transformer)

        def same(one: ConditionHead, other: ConditionHead) -> bool:
            pairs = zip(one.cond_proj.parameters(), other.cond_proj.parameters(), strict=True)
            return all(torch.equal(a, b) for a, b in pairs)

        first, biases = layers[0], [(one.attn_cond_head.bias_in, one.mlp_cond_head.bias_in) for one in layers]
        projections = [same(one.attn_cond_head, first.attn_cond_head) and same(one.mlp_cond_head, first.mlp_cond_head)
                       for one in layers[1:]]  # fmt: skip
        equal = sum(projections)
        return Copies(equal + (equal > 0 or not projections), sum(torch.equal(a, b) for a, b in biases), len(layers))

    def tabulate(self, sigmas: Sequence[float]) -> None:
        """Works out the modulation of the only noise levels there will be, and gives up the weights it takes.

        Once, after loading: a third of the weights. sigmas: of every pass, 0..1.
        """
        self._table = {sigma: self.modulation(sigma) for sigma in sigmas}
        del self.denoise_step_emb, self.out_norm
        for layer in self.transformer:
            del layer.attn_cond_head, layer.mlp_cond_head

    def embed_controls(self, controls: Tensor) -> Tensor:
        """controls (B, 3 + buttons): mouse x and y, the buttons, the wheel -> (B, 1, width)."""
        embedded: Tensor = self.ctrl_emb(controls.to(self.dtype))
        return embedded[:, None]

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.patchify.weight.dtype

    def prepare_rollout(self, sigmas: Sequence[float]) -> WaypointRolloutInputs:
        """What a rollout needs once. sigmas: of each pass of a latent frame, 0..1."""
        space = space_rotation(self.config, self.patchify.weight.device)
        return WaypointRolloutInputs(space, tuple(self.modulation(sigma) for sigma in sigmas))

    def prepare_block(
        self, rollout: WaypointRolloutInputs, controls: Tensor, caches: WaypointCaches
    ) -> WaypointBlockInputs:
        """What a latent frame needs once; makes room for it in `caches`.

        Args:
            rollout: from `prepare_rollout`.
            controls: (B, 3 + buttons), on the weights' device.
            caches: the rollout's own.
        """
        number, space = caches.begin_block(1), rollout.space
        time = time_rotation(self.config, number, space.cos.device)
        rotation = Rotation(*(torch.cat((of_space, of_time.expand(len(of_space), -1)), -1)
                              for of_space, of_time in ((space.cos, time.cos), (space.sin, time.sin))))  # fmt: skip
        embedded = rms(self.embed_controls(controls))
        fused = {
            index: layer.ctrl_mlpfusion.fc1_c(embedded)
            for index, layer in enumerate(self.transformer)
            if self.config.takes_controls(index)
        }
        return WaypointBlockInputs(rotation, rollout.modulations, fused)

    def forward(self, x: Tensor, block: WaypointBlockInputs, step: int, caches: WaypointCaches) -> Tensor:
        """One pass.

        Args:
            x: (B, 1, channels, h, w), a noisy latent frame.
            block: from `prepare_block`.
            step: which of the frame's passes this is.
            caches: the rollout's own; this pass's keys and values take the frame's place in them.

        Returns:
            The velocity, noise - clean: (B, 1, channels, h, w) in x's dtype.
        """
        modulation = block.modulations[step]
        tokens, first = self._embed_patches(x), None
        for index, (layer, cache) in enumerate(zip(self.transformer, caches.attention, strict=True)):
            controls = block.controls.get(index)
            tokens, first = layer(tokens, modulation.layers[index], block.rotation, controls, cache, first)
        scale, shift = modulation.head
        tokens = F.silu(rms(tokens) * (1 + scale) + shift)
        # Each token becomes a patch, and patches do not overlap: one product instead of a transposed convolution.
        patches = F.linear(tokens, self.unpatchify.weight.flatten(1).t())
        rows, columns = self.config.grid
        p, q = self.config.patch
        split = "b (h w) (c p q) -> b 1 c (h p) (w q)"
        out = rearrange(patches, split, h=rows, w=columns, p=p, q=q) + self.unpatchify.bias[:, None, None]  # type: ignore[index]
        return out.to(x.dtype)

    def _embed_patches(self, x: Tensor) -> Tensor:
        # A convolution whose stride is its kernel is a matrix product, and much faster as one.
        p, q = self.config.patch
        patches = rearrange(x, "b 1 c (h p) (w q) -> b (h w) (c p q)", p=p, q=q)
        return F.linear(patches.to(self.dtype), self.patchify.weight.flatten(1))


def _table(values: Tensor, tables: str) -> Tensor:
    """Frequencies as they are kept: float32, or rounded to bfloat16 as the makers' engine does to all its tensors."""
    values = values.float()
    return values.bfloat16().float() if tables == "bfloat16" else values


def noise_features(sigmas: Tensor, tables: str) -> Tensor:
    """sigmas (passes,) 0..1 -> (passes, 512): sines, then cosines, times sqrt 2."""
    half = NOISE_FEATURES // 2
    # The last frequency is 1e-4 exactly: the exponent's denominator is half - 1.
    frequencies = _table(10000.0 ** -(torch.arange(half, dtype=torch.float64) / (half - 1)), tables)
    angles = 1000 * sigmas.double()[:, None] * frequencies.double()
    return (math.sqrt(2) * torch.cat((angles.sin(), angles.cos()), dim=-1)).float()


def _rotation(angles: Tensor) -> Rotation:
    """Angles (N, pairs), float64 -> tables (N, 2 pairs)."""
    cos, sin = angles.cos().float(), angles.sin().float()
    return Rotation(cos.repeat_interleave(2, -1), torch.stack((-sin, sin), -1).flatten(-2))


def space_rotation(config: WaypointTransformerConfig, device: torch.device) -> Rotation:
    """Of every token, row by row: tables (S, half a head), of which the first half turns with x, the second with y."""
    rows, columns = config.grid
    highest = config.rope_nyquist / 2 * min(rows, columns)
    frequencies = torch.linspace(1.0, highest, config.head_dim // 16, dtype=torch.float64) * math.pi
    frequencies = _table(frequencies, config.tables).double().repeat_interleave(2)
    y, x = ((2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1 for size in (rows, columns))
    x, y = x.repeat(rows), y.repeat_interleave(columns)
    tables = _rotation(torch.cat((torch.outer(x, frequencies), torch.outer(y, frequencies)), -1))
    return Rotation(tables.cos.to(device), tables.sin.to(device))


def time_rotation(config: WaypointTransformerConfig, number: int, device: torch.device) -> Rotation:
    """Of latent frame `number`: tables (1, half a head)."""
    count = config.head_dim // 8
    frequencies = config.rope_theta ** -(torch.arange(count, dtype=torch.float64, device=device) / count)
    frequencies = _table(frequencies, config.tables).double().repeat_interleave(2)
    # In float64, so that a world may go on for ever: only differences of time matter, and these stay exact.
    return _rotation(number * config.time_step * frequencies[None])
