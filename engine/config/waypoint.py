"""Sizes of Waypoint-1.5: transformer and codec, as frozen dataclasses without torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.config.fields import need, positive


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
