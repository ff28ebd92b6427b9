"""Every number of a model, as frozen dataclasses: the engine's code holds none of them.

Defaults are those of Matrix-Game 2.0 (universal) and its Wan2.1 parts, so that a config file names only what differs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from engine.config.fields import build, need, plain, positive
from engine.errors import ConfigError

Config = TypeVar("Config", bound="ModelConfig")

# Wan2.1's latent statistics per channel, see its vae.py.
_WAN_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
_WAN_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip


@dataclass(frozen=True)
class LightDecoderConfig:
    """A light decoder (TAEHV's, taew2_1 by default) that may stand in for that of Wan's VAE.

    Attributes:
        latent_channels: channels of a latent.
        widths: channels of each level, from the latent outwards, and of the last convolution's input.
        memory_blocks: per level.
        temporal: whether each level doubles time as well as space.
        patch: pixels, along one axis, that the last convolution makes at once.
    """

    latent_channels: int = 16
    widths: tuple[int, ...] = (256, 128, 64, 64)
    memory_blocks: int = 3
    temporal: tuple[bool, ...] = (False, True, True)
    patch: int = 1

    def __post_init__(self) -> None:
        least = min(self.latent_channels, self.memory_blocks, self.patch, *self.widths)
        if least <= 0:
            raise ConfigError("a size of the light decoder is out of range", got=least, expected="more than 0")
        if len(self.widths) != len(self.temporal) + 1:
            expected = f"{len(self.temporal) + 1}, one more than temporal"
            raise ConfigError("decoder.widths has the wrong length", got=len(self.widths), expected=expected)

    @property
    def space(self) -> int:
        """Pixels of a latent position, along one axis."""
        return self.patch * int(2 ** len(self.temporal))

    @property
    def time_ratio(self) -> int:
        """Video frames of a latent frame."""
        return int(2 ** sum(self.temporal))


@dataclass(frozen=True)
class TaehvCodecConfig:
    """TAEHV's tiny autoencoder both ways (taehv1_5 by default): 16x in space, 4x in time.

    Attributes:
        latent_channels: channels of a latent; there is no scale and no shift on them.
        encoder_width: channels of the whole encoder.
        widths: channels of the decoder's levels, from the latent outwards, and of its last convolution's input.
        memory_blocks: per level, in both.
        pooled: frames that each level of the encoder makes one of, from the picture inwards.
        temporal: whether each level of the decoder doubles time, from the latent outwards.
        patch: pixels, along one axis, that are moved into channels before the encoder and back after the decoder.
    """

    kind: ClassVar[str] = "taehv"
    latent_channels: int = 32
    encoder_width: int = 64
    widths: tuple[int, ...] = (256, 128, 64, 64)
    memory_blocks: int = 3
    pooled: tuple[int, ...] = (2, 2, 1)
    temporal: tuple[bool, ...] = (False, True, True)
    patch: int = 2

    def __post_init__(self) -> None:
        positive(self, "encoder_width")
        ratio = math.prod(self.pooled)
        need(min(self.pooled) > 0, "codec.pooled", self.pooled, "more than 0")
        need(len(self.pooled) == len(self.temporal), "codec.pooled has the wrong length", len(self.pooled),
             f"{len(self.temporal)}, as temporal")  # fmt: skip
        need(ratio == self.decoder.time_ratio, "codec.pooled", self.pooled, f"a product of {self.decoder.time_ratio}")

    @property
    def decoder(self) -> LightDecoderConfig:
        """Of the decoding half."""
        return LightDecoderConfig(self.latent_channels, self.widths, self.memory_blocks, self.temporal, self.patch)

    @property
    def space(self) -> int:
        """Pixels of a latent position, along one axis."""
        return self.decoder.space

    @property
    def time_ratio(self) -> int:
        """Video frames of a latent frame."""
        return self.decoder.time_ratio


@dataclass(frozen=True)
class AttentionActionsConfig:
    """Actions by the action module: mouse in attention over time, keyboard by cross attention (arXiv 2501.08325).

    Attributes:
        layers: the transformer layers that have an action module.
        keyboard_dim: width of the keyboard array; always more than 0.
        mouse_dim: width of the mouse array, 0 for a model with no mouse.
        keyboard_embed: width a video frame's keyboard is embedded to.
        keyboard_width: queries, keys and values of the keyboard attention, all heads together.
        mouse_width: the same of the mouse attention.
        heads: heads of both attentions.
        windows: latent frames' worth of video frames whose actions a latent frame sees.
        rope_dims: dims of a head for time, height and width; only time's are ever rotated.
        rope_theta: base of the rotary frequencies.
    """

    kind: ClassVar[str] = "attention"
    layers: tuple[int, ...] = tuple(range(15))
    keyboard_dim: int = 4
    mouse_dim: int = 2
    keyboard_embed: int = 128
    keyboard_width: int = 1024
    mouse_width: int = 1024
    heads: int = 16
    windows: int = 3
    rope_dims: tuple[int, int, int] = (8, 28, 28)
    rope_theta: float = 256.0

    def __post_init__(self) -> None:
        positive(self, "keyboard_dim", "keyboard_embed", "keyboard_width", "heads", "windows", "rope_theta")
        need(self.mouse_dim >= 0, "actions.mouse_dim is out of range", self.mouse_dim, "0 or more")
        for width in (self.keyboard_width, *((self.mouse_width,) if self.mouse_dim else ())):
            ok = width % self.heads == 0 and width // self.heads == sum(self.rope_dims)
            need(ok, "actions: width of a head", f"{width} / {self.heads}", f"the sum of rope_dims {self.rope_dims}")
        need(self.rope_dims[0] % 2 == 0, "actions.rope_dims[0] is odd", self.rope_dims, "pairs")


@dataclass(frozen=True)
class ModulationActionsConfig:
    """Actions by modulation: those of a latent frame's video frames, embedded and added to the time embedding.

    Attributes:
        keyboard_dim: width of the keyboard array.
        mouse_dim: width of the mouse array, 0 for a model with no mouse.
        mouse_limit: the mouse is divided by it before it is embedded.
    """

    kind: ClassVar[str] = "modulation"
    keyboard_dim: int = 4
    mouse_dim: int = 2
    mouse_limit: float = 0.1

    def __post_init__(self) -> None:
        positive(self, "keyboard_dim", "mouse_limit")
        need(self.mouse_dim >= 0, "actions.mouse_dim is out of range", self.mouse_dim, "0 or more")


@dataclass(frozen=True)
class VisualContextConfig:
    """What cross attention looks at: `tokens` vectors of `channels` from the image tower, once per rollout."""

    tokens: int = 257
    channels: int = 1280

    def __post_init__(self) -> None:
        positive(self, "tokens", "channels")


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the block-causal diffusion transformer (Wan2.1's, 1.3 B by default).

    Attributes:
        in_channels: noisy latent and condition together.
        out_channels: channels of a latent.
        width, layers, heads, ffn: the usual ones; a head has width / heads dims.
        patch: (time, height, width) of one token in latent units; time is 1.
        time_dim: width of the timestep's sinusoid.
        rope_theta: base of the rotary frequencies.
        eps: of every normalisation over the width.
        visual_context: None for a model without cross attention.
        actions: how actions reach the network.
    """

    in_channels: int = 36
    out_channels: int = 16
    width: int = 1536
    layers: int = 30
    heads: int = 12
    ffn: int = 8960
    patch: tuple[int, int, int] = (1, 2, 2)
    time_dim: int = 256
    rope_theta: float = 10000.0
    eps: float = 1e-6
    visual_context: VisualContextConfig | None = field(default_factory=VisualContextConfig)
    actions: AttentionActionsConfig | ModulationActionsConfig = field(default_factory=AttentionActionsConfig)

    def __post_init__(self) -> None:
        positive(self, "in_channels", "out_channels", "width", "layers", "heads", "ffn", "rope_theta", "eps")
        need(self.in_channels >= self.out_channels, "transformer.in_channels is out of range", self.in_channels,
              f"at least out_channels {self.out_channels}")  # fmt: skip
        need(self.width % (2 * self.heads) == 0, "transformer.width", self.width, f"a multiple of 2 x {self.heads}")
        need(self.time_dim > 0 and self.time_dim % 2 == 0, "transformer.time_dim", self.time_dim, "even, more than 0")
        need(self.patch[0] == 1 and min(self.patch) > 0, "transformer.patch", self.patch, "(1, height, width)")
        listed = self.actions.layers if isinstance(self.actions, AttentionActionsConfig) else ()
        bad = [layer for layer in listed if not 0 <= layer < self.layers]
        need(not bad, "actions.layers names layers the transformer has not", bad, f"0..{self.layers - 1}")

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class WanCodecConfig:
    """Wan2.1's causal video VAE: 8x in space, 4x in time by default.

    Attributes:
        width: channels of the first level; `multipliers` of it at each level.
        residual_blocks: per level of the encoder; the decoder has one more.
        latent_channels: channels of a latent, `mean` and `std` of each.
        temporal: whether each step between two levels, from the picture inwards, halves time too.
    """

    kind: ClassVar[str] = "wan"
    width: int = 96
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    residual_blocks: int = 2
    latent_channels: int = 16
    temporal: tuple[bool, ...] = (False, True, True)
    mean: tuple[float, ...] = _WAN_MEAN
    std: tuple[float, ...] = _WAN_STD

    def __post_init__(self) -> None:
        positive(self, "width", "residual_blocks", "latent_channels")
        for name, length in (("mean", self.latent_channels), ("std", self.latent_channels),
                             ("temporal", len(self.multipliers) - 1)):  # fmt: skip
            got = len(getattr(self, name))
            need(got == length, f"codec.{name} has the wrong length", got, f"{length} values")

    @property
    def space(self) -> int:
        """Pixels of a latent position, along one axis."""
        return int(2 ** len(self.temporal))

    @property
    def time_ratio(self) -> int:
        """Video frames of a latent frame."""
        return int(2 ** sum(self.temporal))


@dataclass(frozen=True)
class PatchCodecConfig:
    """The embedded model's codec: patches of one frame to `latent_channels` numbers and back, frame by frame.

    Attributes:
        patch: pixels of a latent position, along one axis.
        latent_channels: channels of a latent.
        finish_width, finish_layers: of the convolutions after the decoder; 0 layers for none.
    """

    kind: ClassVar[str] = "patch"
    patch: int = 8
    latent_channels: int = 24
    finish_width: int = 0
    finish_layers: int = 0

    def __post_init__(self) -> None:
        positive(self, "patch", "latent_channels")
        ok = self.finish_layers >= 0 and (self.finish_layers == 0) == (self.finish_width == 0)
        need(ok, "codec.finish_layers and finish_width", (self.finish_layers, self.finish_width), "both 0 or neither")

    @property
    def space(self) -> int:
        """Pixels of a latent position, along one axis."""
        return self.patch

    @property
    def time_ratio(self) -> int:
        """Video frames of a latent frame: one."""
        return 1


@dataclass(frozen=True)
class ImageTowerConfig:
    """The CLIP image tower (ViT-H/14 of open-clip XLM-RoBERTa); its last layer is never run."""

    image_size: int = 224
    patch: int = 14
    width: int = 1280
    layers: int = 32
    heads: int = 16
    mlp_ratio: int = 4
    out_dim: int = 1024

    def __post_init__(self) -> None:
        positive(self, "image_size", "patch", "width", "layers", "heads", "mlp_ratio", "out_dim")
        need(self.image_size % self.patch == 0, "image_tower.image_size", self.image_size, f"k x {self.patch}")
        need(self.width % self.heads == 0, "image_tower.width", self.width, f"a multiple of {self.heads}")

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.image_size // self.patch) ** 2 + 1


@dataclass(frozen=True)
class ModelConfig:
    """What every model says of itself; families add the sizes of their networks.

    Attributes:
        name: what people call it.
        mode: its action space, one of its family's.
        width, height: of the picture, pixels.
        fps: video frames a second of play.
        denoising_steps: noise levels that a block is made at, falling, of 1000.
        decoder: a light decoder in place of the codec's own, None for that one.
        slice_of: the whole model that this one is a few layers of, good for measuring only; None for a whole one.
    """

    family: ClassVar[str]
    name: str = "universal"
    mode: str = "universal"
    width: int = 640
    height: int = 352
    fps: float = 16.0
    denoising_steps: tuple[int, ...] = (1000, 666, 333)
    decoder: LightDecoderConfig | None = None
    slice_of: str | None = None

    @classmethod
    def from_dict(cls: type[Config], data: dict[str, Any]) -> Config:
        """A config from plain nested data; raises ConfigError (with the nearest right name) on any mistake."""
        return build(cls, data, "model")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested data from which `from_dict` makes an equal config."""
        made = plain(self)
        assert isinstance(made, dict)
        return made

    def __post_init__(self) -> None:
        positive(self, "width", "height", "fps")
        steps = self.denoising_steps
        ok = len(steps) > 0 and all(0 < s <= 1000 for s in steps) and list(steps) == sorted(set(steps), reverse=True)
        need(ok, "denoising_steps", steps, "falling numbers of 1..1000")
        if self.decoder is not None and not self._takes_decoder(self.decoder):
            expected = "a model whose latents are Wan 2.1's"
            raise ConfigError("the light decoder does not fit the model's codec", got=self.name, expected=expected)

    def frames_of_block(self, index: int) -> int:
        """Video frames that block `index` shows, from 0."""
        raise NotImplementedError

    def _takes_decoder(self, decoder: LightDecoderConfig) -> bool:
        """Whether the model's latents are those that a light decoder reads."""
        return False


@dataclass(frozen=True)
class CausalConfig(ModelConfig):
    """A model that engine.rollout.causal plays: a block-causal diffusion transformer over a rolling window.

    Attributes:
        time_ratio: video frames of a latent frame; the very first latent frame is one video frame.
        block_latents: latent frames denoised together.
        window: latent frames attended to, the block itself and the sink included.
        sink: first latent frames that are never evicted.
        timestep_shift: of the flow-matching noise table, which `denoising_steps` index.
        context_noise: timestep of the context pass, None for no such pass.
        transformer, codec: sizes of the networks.
    """

    time_ratio: int = 4
    block_latents: int = 3
    window: int = 6
    sink: int = 0
    timestep_shift: float = 5.0
    context_noise: int | None = 0
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    codec: WanCodecConfig | PatchCodecConfig = field(default_factory=WanCodecConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "time_ratio", "block_latents", "timestep_shift")
        need(self.sink >= 0, "sink is out of range", self.sink, "0 or more")
        least = self.sink + self.block_latents
        need(self.window >= least, "window is out of range", self.window, f"at least sink + block_latents = {least}")
        ok = self.context_noise is None or 0 <= self.context_noise < 1000
        need(ok, "context_noise is out of range", self.context_noise, "null or 0..999")
        net, codec = self.transformer, self.codec
        for name, patch in (("height", net.patch[1]), ("width", net.patch[2])):
            size, unit = getattr(self, name), patch * codec.space
            need(size % unit == 0, f"{name} does not divide into tokens", size, f"a multiple of {unit}")
        need(self.time_ratio == codec.time_ratio, "time_ratio", self.time_ratio, f"the codec's {codec.time_ratio}")
        made, what = codec.latent_channels + self.views, f"a latent{' and the views' if self.views else ''}"
        need(net.out_channels == made, "transformer.out_channels", net.out_channels, f"{what}: {made}")

    @property
    def views(self) -> int:
        """Pictures of the next frame that the condition shows, and whose mixture the transformer weighs."""
        return 0

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of a latent frame."""
        return self.height // self.codec.space, self.width // self.codec.space

    @property
    def token_grid(self) -> tuple[int, int]:
        """(rows, columns) of tokens of a latent frame."""
        _, rows, columns = self.transformer.patch
        return self.latent_size[0] // rows, self.latent_size[1] // columns

    def frames_of_block(self, index: int) -> int:
        """As ModelConfig: the very first latent frame of a rollout is one video frame."""
        return self.block_latents * self.time_ratio - (self.time_ratio - 1 if index == 0 else 0)


@dataclass(frozen=True)
class MatrixGame2Config(CausalConfig):
    """Matrix-Game 2.0. image_tower: what looks at the first frame, None for a model without visual context."""

    family: ClassVar[str] = "matrix_game2"
    image_tower: ImageTowerConfig | None = field(default_factory=ImageTowerConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        net, codec = self.transformer, self.codec
        made = 2 * codec.latent_channels + self.time_ratio
        need(net.in_channels == made, "transformer.in_channels", net.in_channels, f"noise, mask and latents: {made}")
        has = self.image_tower is not None
        both = has == (net.visual_context is not None)
        need(both, "image_tower and transformer.visual_context", has, "both or none")
        if self.image_tower and net.visual_context:
            pair = (net.visual_context.tokens, net.visual_context.channels)
            tower = (self.image_tower.tokens, self.image_tower.width)
            need(pair == tower, "transformer.visual_context", pair, f"the image tower's {tower}")

    def _takes_decoder(self, decoder: LightDecoderConfig) -> bool:
        ours, theirs = ((part.latent_channels, part.space, part.time_ratio) for part in (decoder, self.codec))
        return isinstance(self.codec, WanCodecConfig) and ours == theirs
