"""Sizes of the embedded model: its camera, its memory of the world, and how it finds itself in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from engine.config.fields import need, positive
from engine.config.model import CausalConfig, ModulationActionsConfig, PatchCodecConfig


@dataclass(frozen=True)
class CameraConfig:
    """The camera of the embedded world: what an action does to it in one video frame. Lengths in cells of the map.

    Attributes:
        fov_x: horizontal field of view, degrees.
        yaw_per_unit: degrees it turns right per unit of the mouse's yaw.
        pitch_per_unit: degrees it looks up per unit of pitch.
        pitch_limit: degrees it can look up or down.
        forward_step, back_step, side_step: walked by the keys.
        eye_height: of the eye above the ground.
    """

    fov_x: float = 84.0
    yaw_per_unit: float = 22.5
    pitch_per_unit: float = 12.0
    pitch_limit: float = 18.0
    forward_step: float = 0.07
    back_step: float = 0.05
    side_step: float = 0.05
    eye_height: float = 0.5

    def __post_init__(self) -> None:
        need(0 < self.fov_x < 180, "camera.fov_x is out of range", self.fov_x, "0..180 degrees")
        need(0 < self.pitch_limit < 90, "camera.pitch_limit is out of range", self.pitch_limit, "0..90 degrees")
        positive(self, "yaw_per_unit", "pitch_per_unit", "forward_step", "back_step", "side_step", "eye_height")


@dataclass(frozen=True)
class SpatialMemoryConfig:
    """The embedded model's spatial memory, see engine.nets.spatial_memory. Lengths in cells of the map.

    Attributes:
        rows, columns: of the map, in cells.
        height: of the walls, from the ground to the ceiling.
        texels, ceiling_texels: along a side of a cell, of walls and floors and of ceilings; powers of 2 from 16 on.
        levels: texels of a wall from its top to the ground.
        edges, strips, floors, ceilings: how many there is room for: faces in plan, columns of wall texels in all, cells
            that have a floor and cells that have a ceiling.
        sky: (down, round) texels of the sky; sky_slopes: of its lowest and of its highest line of sight.
        hours: of a day at which the light is kept.
    """

    rows: int = 20
    columns: int = 32
    height: float = 1.25
    texels: int = 64
    ceiling_texels: int = 32
    levels: int = 80
    edges: int = 192
    strips: int = 20000
    floors: int = 440
    ceilings: int = 280
    sky: tuple[int, int] = (256, 1152)
    sky_slopes: tuple[float, float] = (-0.6, 0.95)
    hours: int = 32

    def __post_init__(self) -> None:
        positive(self, "rows", "columns", "height", "levels", "edges", "strips", "floors", "ceilings", "hours")
        for name in ("texels", "ceiling_texels"):
            value = getattr(self, name)
            need(value >= 16 and value & (value - 1) == 0, f"memory.{name} is out of range", value, "16, 32, 64 ...")
        need(all(size > 0 for size in self.sky), "memory.sky is out of range", self.sky, "more than 0")
        low, high = self.sky_slopes
        need(low < high, "memory.sky_slopes are out of order", self.sky_slopes, "the lower one first")


@dataclass(frozen=True)
class SlotsConfig:
    """What moves in the embedded model's world, see engine.nets.slots.

    Attributes:
        count: slots of a world. looks: kinds of things told apart by their look.
        views: sides of a look, all round. phases: pictures of a stride, after that of standing still.
        tiles: pictures of sides and strides in all; size: (rows, columns) of texels of one.
        beat: video frames between a walker's decisions; turns: turns that it chooses from; width: of the network that
            decides.
        met: places along a side of a cell at which it is known how often somebody is met.
    """

    count: int = 24
    looks: int = 5
    views: int = 8
    phases: int = 4
    tiles: int = 120
    size: tuple[int, int] = (64, 32)
    beat: int = 5
    turns: int = 13
    width: int = 40
    met: int = 2

    def __post_init__(self) -> None:
        positive(self, "count", "looks", "views", "phases", "tiles", "beat", "turns", "width", "met")
        need(all(size > 0 for size in self.size), "slots.size is out of range", self.size, "more than 0")


@dataclass(frozen=True)
class RecogniserConfig:
    """The network that says where in the remembered world a picture was taken, see engine.nets.recogniser.

    Attributes:
        size: (height, width) of the picture it looks at. widths: channels of its convolutions, which halve the picture.
        hidden: width of the layer behind them.
        per_cell: places told apart along a side of a cell; places: how many of them there is room for, those where one
            can stand (0: all of the map); headings: directions told apart, all round.
        guesses: likeliest pairs of place and heading that are compared with the picture: so many at first, and so many
            more, in turn, as long as nothing is like it: enough: the error that is, 0..1;
            glance: (height, width) of the pictures drawn from memory for that; shortlists: how many of each turn are
            then tried with others around them, around: how many, with itself; earnest: how many are left each of the
            three times. For each closer look in turn, sizes: (height, width) of the picture that is drawn from memory,
            blurs: pixels of it that are taken together before it is compared, looks: how often, and keep: how many
            places are left after it (after the last: 1).
    """

    size: tuple[int, int] = (54, 96)
    widths: tuple[int, ...] = (32, 64, 128, 192)
    hidden: int = 384
    per_cell: int = 2
    places: int = 0
    headings: int = 32
    guesses: tuple[int, ...] = (96, 480)
    enough: float = 0.2
    glance: tuple[int, int] = (18, 32)
    shortlists: tuple[int, ...] = (16, 16)
    around: int = 32
    earnest: tuple[int, int, int] = (8, 5, 4)
    sizes: tuple[tuple[int, int], ...] = ((36, 64), (72, 128), (72, 128))
    blurs: tuple[int, ...] = (4, 4, 2)
    looks: tuple[int, ...] = (3, 3, 2)
    keep: tuple[int, ...] = (2, 1, 1)

    def __post_init__(self) -> None:
        positive(self, "hidden", "per_cell", "headings", "enough", "around")
        need(self.places >= 0, "recogniser.places", self.places, "0 or more")
        turns = self.guesses, self.shortlists
        many = len(self.guesses) == len(self.shortlists) > 0 and min(map(min, turns)) > 0
        need(min(self.earnest) > 0, "recogniser.earnest", self.earnest, "above 0")
        need(many, "recogniser.guesses and shortlists", turns, "as many of each, above 0")
        parts = (self.sizes, self.blurs, self.looks, self.keep)
        same = len({len(part) for part in parts}) == 1 and len(self.keep) > 0
        need(same, "recogniser.sizes, blurs, looks and keep", parts, "as many of each")
        whole = all(size % blur == 0 for pair, blur in zip(self.sizes, self.blurs, strict=True) for size in pair)
        need(whole, "recogniser.blurs", self.blurs, f"divisors of the sizes {self.sizes}")
        need(self.keep[-1] == 1, "recogniser.keep", self.keep, "1 at the end")


@dataclass(frozen=True)
class EmbeddedConfig(CausalConfig):
    """The embedded model: a camera, a memory of the world, and a network that finds a picture's place in it."""

    family: ClassVar[str] = "embedded"
    codec: PatchCodecConfig = field(default_factory=PatchCodecConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    spatial_memory: SpatialMemoryConfig = field(default_factory=SpatialMemoryConfig)
    recogniser: RecogniserConfig = field(default_factory=RecogniserConfig)
    slots: SlotsConfig = field(default_factory=SlotsConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        need(self.block_latents == 1, "block_latents of the embedded model", self.block_latents, "1")
        made = self.codec.latent_channels * (1 + self.views)
        need(self.transformer.in_channels == made, "transformer.in_channels", self.transformer.in_channels,
              f"noise and one latent per view: {made}")  # fmt: skip
        kind = self.transformer.actions.kind
        need(isinstance(self.transformer.actions, ModulationActionsConfig), "transformer.actions", kind, "modulation")
        need(self.transformer.visual_context is None, "transformer.visual_context", "given", "null")

    @property
    def mouse_limit(self) -> float:
        """What the mouse is divided by before it is embedded."""
        assert isinstance(self.transformer.actions, ModulationActionsConfig)
        return self.transformer.actions.mouse_limit

    @property
    def views(self) -> int:
        """The next frame by the frame before, and by memory."""
        return 2
