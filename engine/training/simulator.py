"""The small world the embedded model learned: one fixed map of seven places, walked in first person.

A batch of players walks the same map. The picture is made the way early first-person games made it (one ray a picture
column through a grid, floor and ceiling by plane), with soft colours, analytic edges and no textures, because a small
network can learn that world sharply. Looking up and down moves the horizon (a shifted lens), so a turn of the camera is
an exact plane-to-plane mapping of the picture.

Nothing here is known to the model: it sees pictures and actions alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera

MAP = (
    "###############",
    "#aaaa#bbbb#ccc#",
    "#aaaa#bbbb#ccc#",
    "#aaaabbbbbbccc#",
    "#aaaa#bbbb#ccc#",
    "##a####b####c##",
    "#dddd#eeee#fff#",
    "#dddd#eeee#fff#",
    "#dddddeeeeefff#",
    "#dddd#eeee#fff#",
    "#dddd####g##f##",
    "##d#gggggggggg#",
    "#gggggggggggg##",
    "###############",
)


@dataclass(frozen=True)
class Place:
    """One visually distinct part of the map. Colours are linear RGB in 0..1."""

    letter: str
    name: str
    wall: tuple[float, float, float]
    accent: tuple[float, float, float]
    floor: tuple[float, float, float]
    ceiling: tuple[float, float, float] | None
    """None: open to the sky."""
    panel: tuple[float, float, float]
    """What hangs in the middle of a cell of wall (a picture, a window, a shutter): half its width in cells, its upper
    and its lower edge, 0 at the top of the wall and 1 at the ground."""
    band: tuple[float, float]
    """From where to the ground the wall has another tone, and its brightness."""


PLACES = (
    Place("a", "hall", (0.80, 0.46, 0.34), (0.98, 0.82, 0.46), (0.46, 0.30, 0.24),
          (0.90, 0.80, 0.68), (0.26, 0.26, 0.62), (0.80, 0.62)),
    Place("b", "library", (0.30, 0.50, 0.72), (0.92, 0.90, 0.78), (0.24, 0.30, 0.42),
          (0.62, 0.74, 0.88), (0.40, 0.14, 0.74), (0.90, 0.55)),
    Place("c", "tower", (0.62, 0.36, 0.64), (0.98, 0.62, 0.74), (0.36, 0.20, 0.40),
          (0.30, 0.18, 0.36), (0.15, 0.10, 0.72), (0.86, 0.70)),
    Place("d", "garden", (0.52, 0.68, 0.36), (0.96, 0.96, 0.70), (0.34, 0.56, 0.26),
          None, (0.30, 0.48, 0.66), (0.74, 1.22)),
    Place("e", "pool", (0.80, 0.88, 0.86), (0.20, 0.62, 0.66), (0.16, 0.56, 0.62),
          (0.86, 0.94, 0.94), (0.44, 0.40, 0.52), (0.70, 0.72)),
    Place("f", "forge", (0.34, 0.30, 0.32), (0.98, 0.52, 0.16), (0.24, 0.20, 0.22),
          (0.44, 0.22, 0.14), (0.22, 0.60, 0.86), (0.92, 0.55)),
    Place("g", "terrace", (0.88, 0.78, 0.56), (0.40, 0.60, 0.84), (0.78, 0.70, 0.54),
          None, (0.20, 0.24, 0.80), (0.84, 0.80)),
)  # fmt: skip

# x, y, radius, RGB
PILLARS = (
    (2.0, 2.6, 0.20, (0.96, 0.80, 0.34)),
    (7.2, 2.2, 0.22, (0.90, 0.34, 0.30)),
    (8.8, 4.4, 0.18, (0.95, 0.92, 0.80)),
    (12.5, 2.4, 0.26, (0.98, 0.60, 0.76)),
    (2.0, 7.4, 0.24, (0.20, 0.40, 0.18)),
    (3.9, 9.3, 0.20, (0.82, 0.44, 0.58)),
    (7.0, 7.6, 0.22, (0.14, 0.48, 0.56)),
    (8.9, 9.2, 0.18, (0.96, 0.96, 0.90)),
    (12.6, 7.0, 0.26, (1.00, 0.50, 0.12)),
    (6.5, 12.2, 0.20, (0.62, 0.32, 0.22)),
    (10.8, 11.9, 0.22, (0.30, 0.50, 0.78)),
)

FACE_LIGHT = (1.00, 0.74, 0.90, 0.82)
"""Light on walls facing west, east, north, south."""
MARGIN = 0.36
FOG = (0.74, 0.78, 0.84)
FOG_DISTANCE = 11.0
TEXELS = 8
EDGE = 0.05
"""How soft the edges of what hangs on walls are, as a share of a cell."""
_RAYS = 2  # a picture column


def _place_grid() -> Tensor:
    """Index into PLACES for every cell, -1 for wall; (rows, columns)."""
    letters = {place.letter: i for i, place in enumerate(PLACES)}
    return torch.tensor([[letters.get(c, -1) for c in row] for row in MAP])


class Simulator:
    """A batch of players in the world.

    Positions are in cells (x to the east, y to the south), yaw in radians (0 looks east, positive turns right), pitch
    in radians (positive looks up).

    Args:
        players: how many.
        seed: of the places they start from.
        camera: lens, picture size and how far an action moves.
    """

    def __init__(self, players: int, seed: int, camera: Camera) -> None:
        self.camera = camera
        self.players = players
        self.rng = torch.Generator().manual_seed(seed)
        self.places = _place_grid()
        self.open = self.places >= 0
        self.pillars = torch.tensor([(x, y, r) for x, y, r, _ in PILLARS])
        self.pillar_colour = torch.tensor([c for *_, c in PILLARS])
        self.wall_colour = torch.tensor([p.wall for p in PLACES])
        self.accent_colour = torch.tensor([p.accent for p in PLACES])
        self.panel = torch.tensor([p.panel for p in PLACES])
        self.band = torch.tensor([p.band for p in PLACES])
        self.floor_map, self.ceiling_map = _plane_maps(self.places)
        self.x = torch.zeros(players)
        self.y = torch.zeros(players)
        self.yaw = torch.zeros(players)
        self.pitch = torch.zeros(players)
        self.respawn(torch.ones(players, dtype=torch.bool))

    # -- players ---------------------------------------------------------------------------------------------------
    def respawn(self, which: Tensor) -> None:
        """Put the players chosen by the boolean mask `which` (players,) at random free places, looking level."""
        need = which.clone()
        rows, columns = self.open.shape
        while need.any():
            n = int(need.sum())
            x = torch.rand(n, generator=self.rng) * columns
            y = torch.rand(n, generator=self.rng) * rows
            index = need.nonzero().squeeze(1)
            ok = self.is_free(x, y)
            chosen = index[ok]
            self.x[chosen], self.y[chosen] = x[ok], y[ok]
            self.yaw[chosen] = torch.rand(int(ok.sum()), generator=self.rng) * 2 * math.pi
            self.pitch[chosen] = 0.0
            need[chosen] = False

    def is_free(self, x: Tensor, y: Tensor) -> Tensor:
        """Whether a player can stand at (x, y): no wall within MARGIN, no pillar within its radius and MARGIN."""
        free = torch.ones_like(x, dtype=torch.bool)
        rows, columns = self.open.shape
        for dx in (-MARGIN, MARGIN):
            for dy in (-MARGIN, MARGIN):
                column = (x + dx).floor().long().clamp(0, columns - 1)
                row = (y + dy).floor().long().clamp(0, rows - 1)
                free &= self.open[row, column]
        apart = torch.hypot(x[:, None] - self.pillars[:, 0], y[:, None] - self.pillars[:, 1])
        return free & (apart > self.pillars[:, 2] + MARGIN - 0.05).all(1)

    def step(self, keyboard: Tensor, mouse: Tensor) -> None:
        """Move every player by one video frame; walls are slid along, each axis on its own.

        Args:
            keyboard: (players, 4) W S A D, 0 or 1.
            mouse: (players, 2) pitch and yaw, in the model's unit.
        """
        self.yaw = (self.yaw + self.camera.turn(mouse)) % (2 * math.pi)
        self.pitch = self.camera.pitched(self.pitch, mouse)
        ahead, side = self.camera.walk(keyboard)
        cos, sin = self.yaw.cos(), self.yaw.sin()
        x = self.x + ahead * cos - side * sin
        self.x = torch.where(self.is_free(x, self.y), x, self.x)
        y = self.y + ahead * sin + side * cos
        self.y = torch.where(self.is_free(self.x, y), y, self.y)

    # -- picture ---------------------------------------------------------------------------------------------------
    def render(self) -> Tensor:
        """The picture every player sees: (players, 3, height, width) float32 in -1..1."""
        horizon = self.camera.horizon(self.pitch)
        background = self._planes(horizon)
        wall, cover = self._walls(horizon)
        picture = background * (1 - cover) + wall
        return picture.clamp(0, 1) * 2 - 1

    def _planes(self, horizon: Tensor) -> Tensor:
        """Floor, ceiling and sky without walls: (players, 3, height, width)."""
        lens = self.camera
        across = (torch.arange(lens.width) + 0.5 - lens.width / 2) / lens.focal
        down = (torch.arange(lens.height) + 0.5)[None] - horizon[:, None]
        distance = lens.config.eye_height * lens.focal / down.abs().clamp(min=0.4)
        cos, sin = self.yaw.cos()[:, None], self.yaw.sin()[:, None]
        ray_x, ray_y = cos - across * sin, sin + across * cos
        x = self.x[:, None, None] + distance[:, :, None] * ray_x[:, None]
        y = self.y[:, None, None] + distance[:, :, None] * ray_y[:, None]
        rows, columns = self.open.shape
        grid = torch.stack([x / columns * 2 - 1, y / rows * 2 - 1], -1)
        n = self.players

        def sample(texture: Tensor) -> Tensor:
            flat = grid.reshape(1, n * lens.height, lens.width, 2)
            out = F.grid_sample(texture[None], flat, padding_mode="border", align_corners=False)
            return out.reshape(texture.shape[0], n, lens.height, lens.width).transpose(0, 1)

        haze = torch.exp(-distance / FOG_DISTANCE)[:, None, :, None]
        fog = torch.tensor(FOG)[None, :, None, None]
        floor = sample(self.floor_map)
        above = sample(self.ceiling_map)
        sky = self._sky(down, ray_x, ray_y)
        inside = above[:, 3:]
        floor = floor * haze + fog * (1 - haze)
        ceiling = above[:, :3] * haze + fog * (1 - haze) * inside + sky * (1 - inside)
        return torch.where((down > 0)[:, None, :, None], floor, ceiling)

    def _sky(self, down: Tensor, ray_x: Tensor, ray_y: Tensor) -> Tensor:
        """Sky colour by direction, with a warm glow in the west that serves as a compass."""
        height = (-down / self.camera.focal).clamp(min=0)[:, :, None]
        west = (-ray_x / torch.hypot(ray_x, ray_y))[:, None] * 0.5 + 0.5
        low = torch.tensor((0.66, 0.80, 0.92))[:, None, None] * (1 - west[:, None]) + (
            torch.tensor((0.98, 0.80, 0.62))[:, None, None] * west[:, None]
        )
        high = torch.tensor((0.24, 0.46, 0.80))[None, :, None, None]
        up = (height * 1.6).clamp(max=1)[:, None]
        return low * (1 - up) + high * up

    def _walls(self, horizon: Tensor) -> tuple[Tensor, Tensor]:
        """Walls and pillars: colour times coverage (players, 3, H, W) and coverage (players, 1, H, W)."""
        lens, n = self.camera, self.players
        # all first rays of the columns, then all second ones: the pixels of a row stay side by side in memory
        offset = (torch.arange(_RAYS)[:, None] + 0.5) / _RAYS
        across = ((torch.arange(lens.width) + offset - lens.width / 2) / lens.focal).flatten()
        cos, sin = self.yaw.cos()[:, None], self.yaw.sin()[:, None]
        ray_x, ray_y = cos - across * sin, sin + across * cos
        distance, face = self._hit_walls(ray_x, ray_y)
        distance, face = self._hit_pillars(ray_x, ray_y, distance, face)
        half = lens.config.eye_height * lens.focal / distance
        row = torch.arange(lens.height)[None, :, None]
        top, bottom = (horizon[:, None] - half)[:, None], (horizon[:, None] + half)[:, None]
        cover = (torch.minimum(row + 1.0, bottom) - torch.maximum(row * 1.0, top)).clamp(0, 1)
        level = ((row + 0.5 - top) / (bottom - top)).clamp(0, 1)
        haze = torch.exp(-distance / FOG_DISTANCE)[..., None]
        plain, hung = face.shades(level, 1 / (bottom - top))
        parts = (
            (face.plain * haze, plain * cover),
            ((face.panel - face.plain) * haze, hung * cover),
            (torch.tensor(FOG) * (1 - haze), cover),
        )
        shape = (n, 1, lens.height, _RAYS, lens.width)
        painted = torch.zeros(n, 3, lens.height, lens.width)
        for colour, amount in parts:
            tint, share = colour.permute(0, 2, 1).reshape(n, 3, 1, _RAYS, lens.width), amount.reshape(shape)
            for ray in range(_RAYS):
                painted.addcmul_(share[..., ray, :], tint[..., ray, :], value=1 / _RAYS)
        return painted, cover.reshape(shape).mean(3)

    def _hit_walls(self, ray_x: Tensor, ray_y: Tensor) -> tuple[Tensor, _Face]:
        """First wall along every ray: distance (players, rays) in ray units, and what is painted there."""
        origin_x, origin_y = self.x[:, None].expand_as(ray_x), self.y[:, None].expand_as(ray_y)
        column, row = origin_x.floor().long(), origin_y.floor().long()
        step_x, step_y = ray_x.sign().long(), ray_y.sign().long()
        per_x, per_y = 1 / ray_x.abs().clamp(min=1e-6), 1 / ray_y.abs().clamp(min=1e-6)
        next_x = torch.where(ray_x > 0, column + 1 - origin_x, origin_x - column) * per_x
        next_y = torch.where(ray_y > 0, row + 1 - origin_y, origin_y - row) * per_y
        distance = torch.zeros_like(ray_x)
        across_x = torch.zeros_like(ray_x, dtype=torch.bool)
        going = torch.ones_like(across_x)
        rows, columns = self.open.shape
        for _ in range(rows + columns):
            along_x = next_x < next_y
            distance = torch.where(going, torch.minimum(next_x, next_y), distance)
            across_x = torch.where(going, along_x, across_x)
            move_x, move_y = going & along_x, going & ~along_x
            column = column + step_x * move_x
            row = row + step_y * move_y
            next_x, next_y = next_x + per_x * move_x, next_y + per_y * move_y
            going = going & self.open[row, column]
            if not going.any():
                break
        hit_x, hit_y = origin_x + distance * ray_x, origin_y + distance * ray_y
        place = self.places[
            torch.where(across_x, row, row - step_y * ~across_x), torch.where(across_x, column - step_x, column)
        ]
        along = torch.where(across_x, hit_y, hit_x)
        face = torch.where(across_x, (step_x < 0).long(), 2 + (step_y < 0).long())
        return distance.clamp(min=0.05), self._paint(place.clamp(min=0), face, along, hit_x, hit_y)

    def _paint(self, place: Tensor, face: Tensor, along: Tensor, x: Tensor, y: Tensor) -> _Face:
        """The place's own colour, lit by its face, with soft stripes and a slow drift of hue; and what hangs there."""
        base, accent = self.wall_colour[place], self.accent_colour[place]
        light = torch.tensor(FACE_LIGHT)[face][..., None]
        stripe = (0.5 - 0.5 * torch.cos(2 * math.pi * along)).square()[..., None]
        amount = 0.22 * (torch.sin(1.7 * x + 0.9) * torch.cos(1.3 * y - 0.4)).clamp(min=0)[..., None]
        drift = torch.stack(
            [0.06 * torch.sin(0.8 * x + 0.5 * y), 0.05 * torch.sin(1.1 * y), 0.06 * torch.cos(0.9 * x)], -1
        )
        plain = ((base + drift) * (1 - stripe * amount) + accent * stripe * amount) * light
        middle = along.floor() + 0.5
        hue = torch.stack([torch.sin(2.3 * middle + 1.9 * face + shift) for shift in (0.0, 2.1, 4.2)], -1)
        panel = (accent * (1 + 0.16 * hue) + drift).clamp(0, 1) * light
        size = self.panel[place]
        across = ((size[..., 0] - (along - middle).abs()) / EDGE + 0.5).clamp(0, 1)
        return _Face(plain, panel, across, size[..., 1], size[..., 2], *self.band[place].unbind(-1))

    def _hit_pillars(self, ray_x: Tensor, ray_y: Tensor, distance: Tensor, face: _Face) -> tuple[Tensor, _Face]:
        """Put round pillars before the walls behind them."""
        length = torch.hypot(ray_x, ray_y)
        ux, uy = ray_x / length, ray_y / length
        plain, across, band = face.plain, face.across, face.band
        for (px, py, radius), paint in zip(self.pillars.tolist(), self.pillar_colour, strict=True):
            to_x, to_y = px - self.x[:, None], py - self.y[:, None]
            along = to_x * ux + to_y * uy
            aside = to_x * uy - to_y * ux
            depth = (along - (radius * radius - aside * aside).clamp(min=0).sqrt()) / length
            hit = (aside.abs() < radius) & (along > 0) & (depth < distance)
            light = 0.72 + 0.28 * (-aside / radius)
            plain = torch.where(hit[..., None], paint * light[..., None], plain)
            across, band = torch.where(hit, 0.0, across), torch.where(hit, 2.0, band)
            distance = torch.where(hit, depth.clamp(min=0.05), distance)
        return distance, replace(face, plain=plain, across=across, band=band)


@dataclass(frozen=True)
class _Face:
    """What the rays (players, rays) of the pictures' columns hit: a wall's colours before the haze.

    plain, panel: (players, rays, 3). across: how far a ray is inside the panel, 0..1. upper, lower: the panel's edges,
    band: where the other tone begins, as shares of the wall's height from its top. tone: brightness from there on.
    """

    plain: Tensor
    panel: Tensor
    across: Tensor
    upper: Tensor
    lower: Tensor
    band: Tensor
    tone: Tensor

    def shades(self, level: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
        """How bright the wall is, and its panel's share of that, both (players, rows, rays).

        level: (players, rows, rays), 0 at the top of the wall and 1 at the ground. pixel: (players, 1, rays), a pixel's
        height in that unit; edges are as wide as that, and at least EDGE.
        """
        soft = pixel.clamp(min=EDGE)
        hung = ((level - self.upper[:, None]) / soft + 0.5).clamp(0, 1)
        hung = hung * ((self.lower[:, None] - level) / soft + 0.5).clamp(0, 1) * self.across[:, None]
        below = ((level - self.band[:, None]) / soft + 0.5).clamp(0, 1)
        bright = (1.06 - 0.26 * level * level) * (1 + (self.tone[:, None] - 1) * below)
        return bright, bright * hung


def _plane_maps(places: Tensor) -> tuple[Tensor, Tensor]:
    """Floor (3, h, w) and ceiling (4, h, w; the last is 1 inside, 0 under the sky) pictures of the whole map."""
    rows, columns = places.shape
    scale = TEXELS
    y, x = torch.meshgrid(
        (torch.arange(rows * scale) + 0.5) / scale, (torch.arange(columns * scale) + 0.5) / scale, indexing="ij"
    )
    filled = _fill(places)
    big = filled.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    floor = torch.tensor([p.floor for p in PLACES])[big].permute(2, 0, 1)
    ceiling = torch.tensor([(*p.ceiling, 1.0) if p.ceiling else (0.0,) * 4 for p in PLACES])[big].permute(2, 0, 1)
    checker = torch.sin(math.pi * x) * torch.sin(math.pi * y)
    rings = torch.cos(2 * math.pi * torch.hypot(x - 7.0, y - 7.6) / 1.4)
    stripes = torch.sin(math.pi * (x + y))
    pattern = torch.where(big == 4, rings, torch.where((big == 3) | (big == 6), stripes, checker))
    floor = floor * (1 + 0.22 * pattern)
    lamps = torch.exp(-(((x - x.floor() - 0.5) ** 2 + (y - y.floor() - 0.5) ** 2) / 0.05))
    ceiling[:3] = ceiling[:3] * (1 + 0.25 * (lamps - 0.5) * ceiling[3])
    blur = torch.ones(1, 1, 3, 3) / 9
    floor = F.conv2d(F.pad(floor[:, None], (1, 1, 1, 1), mode="replicate"), blur)[:, 0]
    return floor.clamp(0, 1), ceiling.clamp(0, 1)


def _fill(places: Tensor) -> Tensor:
    """Give wall cells the place of a neighbour, so that floor colours run on under the walls."""
    filled = places.clone()
    for _ in range(3):
        for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
            filled = torch.where(filled < 0, filled.roll(shift, axis), filled)
    return filled.clamp(min=0)
