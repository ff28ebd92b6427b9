"""Sizes of Waypoint-1.5, as frozen dataclasses without torch."""

import struct
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from engine.config.fields import need, positive
from engine.config.model import ModelConfig, TaehvCodecConfig


@dataclass(frozen=True)
class WaypointTransformerConfig:
    """Sizes of Waypoint's transformer (1.86 B weights by default).

    Attributes:
        channels: of a latent; width, layers, heads, kv_heads, ffn: the usual ones.
        grid: (rows, columns) of tokens of a latent frame; patch: (rows, columns) of latent positions of a token.
        local_window: latent frames that a local layer attends to, the current one included.
        global_window: latent frames back to which a global layer attends, the current one included; of these it sees
            the multiples of `global_dilation`, and the current one.
        global_period, global_offset: layer l is global if global_period divides l - global_offset.
        buttons: codes of keys and mouse buttons; a control is mouse x and y, the buttons, and the wheel.
        control_period: controls are fused in every so many layers, from layer 0 on.
        time_step: RoPE time from one latent frame to the next.
        rope_theta: base of the rotary frequencies in time.
        rope_nyquist: highest rotary frequency in space, as a share of half the shorter side of the grid.
        tables: whether noise and rotary frequencies are exact or rounded to bfloat16, as the makers' engine has them.
    """

    kind: ClassVar[str] = "waypoint"
    channels: int = 32
    width: int = 2048
    layers: int = 24
    heads: int = 32
    kv_heads: int = 16
    ffn: int = 8192
    grid: tuple[int, int] = (16, 32)
    patch: tuple[int, int] = (2, 2)
    local_window: int = 16
    global_window: int = 128
    global_dilation: int = 8
    global_period: int = 4
    global_offset: int = -1
    buttons: int = 256
    control_period: int = 3
    time_step: float = 1.0
    rope_theta: float = 10000.0
    rope_nyquist: float = 0.8
    tables: Literal["exact", "bfloat16"] = "exact"

    def __post_init__(self) -> None:
        positive(self, "channels", "width", "layers", "heads", "kv_heads", "ffn", "local_window", "global_window",
                 "global_dilation", "global_period", "buttons", "control_period", "time_step", "rope_theta",
                 "rope_nyquist")  # fmt: skip
        need(self.width % self.heads == 0, "transformer.width", self.width, f"a multiple of heads {self.heads}")
        need(self.head_dim % 16 == 0, "transformer: width of a head", self.head_dim, "a multiple of 16")
        need(self.heads % self.kv_heads == 0, "transformer.kv_heads", self.kv_heads, f"a divisor of {self.heads}")
        ok = self.global_window % self.global_dilation == 0
        need(ok, "transformer.global_window", self.global_window, f"a multiple of {self.global_dilation}")

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def controls(self) -> int:
        """Numbers of a latent frame's control: mouse x and y, every button, the wheel."""
        return self.buttons + 3

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of a latent frame."""
        return self.grid[0] * self.patch[0], self.grid[1] * self.patch[1]

    def rings(self) -> tuple[int, int]:
        """Frames that the history of a local and of a global layer holds, the one being made included."""
        return self.local_window, self.global_window // self.global_dilation + 1

    def is_global(self, layer: int) -> bool:
        """Whether a layer looks far back at few frames, instead of at the newest."""
        return (layer - self.global_offset) % self.global_period == 0

    def takes_controls(self, layer: int) -> bool:
        """Whether controls are fused in a layer."""
        return layer % self.control_period == 0


@dataclass(frozen=True)
class WaypointConfig(ModelConfig):
    """Waypoint-1.5: a latent frame a block, seeded by a picture.

    Attributes:
        noise_levels: all that the model was trained with, falling, of 1000; `denoising_steps` are some of them.
        mouse_scale: what a pixel of the mouse's motion is to the network. Its training's unit is not known: programs
            that people play with send pixels (1.0 here), its makers' examples 0.1 to 0.4 for a slow turn (0.01 here).
        transformer, codec: sizes of the networks.
    """

    family: ClassVar[str] = "waypoint"
    name: str = "waypoint"
    mode: str = "keyboard_mouse"
    width: int = 1280
    height: int = 720
    fps: float = 60.0
    denoising_steps: tuple[int, ...] = (1000, 900, 750, 300)
    noise_levels: tuple[int, ...] = (1000, 900, 750, 300)
    mouse_scale: float = 1.0
    transformer: WaypointTransformerConfig = field(default_factory=WaypointTransformerConfig)
    codec: TaehvCodecConfig = field(default_factory=TaehvCodecConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "mouse_scale")
        steps = set(self.denoising_steps)
        need(steps <= set(self.noise_levels), "denoising_steps", self.denoising_steps, f"of {self.noise_levels}")
        channels = self.codec.latent_channels
        need(self.transformer.channels == channels, "transformer.channels", self.transformer.channels, f"{channels}")
        need(self.transformer.buttons == 256, "transformer.buttons", self.transformer.buttons, "256, one a key code")

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of a latent frame."""
        return self.transformer.latent_size

    @property
    def coded_size(self) -> tuple[int, int]:
        """(height, width) of the pictures that the codec sees; the world's are stretched to it and back."""
        return self.latent_size[0] * self.codec.space, self.latent_size[1] * self.codec.space

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Noise level of every pass of a frame, 0..1, the commit pass last."""
        return (*(_bfloat16(step / 1000) for step in self.denoising_steps), 0.0)

    @property
    def all_sigmas(self) -> tuple[float, ...]:
        """Of every pass that there may be."""
        return (*(_bfloat16(step / 1000) for step in self.noise_levels), 0.0)

    def frames_of_block(self, index: int) -> int:
        """As ModelConfig: a latent frame's."""
        return self.codec.time_ratio


def _bfloat16(value: float) -> float:
    """The nearest bfloat16: every engine that plays this model holds its noise levels so."""
    bits = int.from_bytes(struct.pack(">f", value), "big")
    bits += 0x7FFF + (bits >> 16 & 1)  # to even
    rounded: float = struct.unpack(">f", (bits & 0xFFFF0000).to_bytes(4, "big"))[0]
    return rounded
