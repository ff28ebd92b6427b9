"""The simulated place itself: its plan, what everything is painted like, and the light that falls on it.

Seven areas, two of them under the open sky, on long axes of doorways. Everything is baked into texels once: the
material's own colour, times daylight (sky, sun through windows and over walls, shadows) in one layer, and times
lamplight in the other; see engine.nets.surfaces. Nothing here is known to the model: it sees pictures and actions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from engine.nets.surfaces import MIPS, Planes, Surfaces, cast, pack, plane_mips, strip_mips, strip_table
from engine.training import materials
from engine.training.materials import Array, Wall

PLAN = (
    "################################",
    "#aaaaaaaaa#bbbbbbbbbbb#cccccccc#",
    "#aaaaaaaaa#bbbbbbbbbbb#cccccccc#",
    "#aaaaaaaaaabbbbbbbbbbbbcccccccc#",
    "#aaaaaaaaaabbbbbbbbbbbbcccccccc#",
    "#aaaaaaaaa#bbbbbbbbbbb#cccccccc#",
    "#aaaaaaaaa#bbbbbbbbbbb#cccccccc#",
    "#####aa#########bb########cc####",
    "#dddddddddd#eeeeeeeeee#ffffffff#",
    "#dddddddddd#eeeeeeeeee#ffffffff#",
    "#ddddddddddeeeeeeeeeeeefffffff f#".replace(" ", ""),
    "#ddddddddddeeeeeeeeeeeeffffffff#",
    "#dddddddddd#eeeeeeeeee#ffffffff#",
    "#dddddddddd#eeeeeeeeee#ffffffff#",
    "#####dd#########ee########ff####",
    "#gggggggggggggggggggggggggggggg#",
    "#gggggggggggggggggggggggggggggg#",
    "#gggggggggggggggggggggggggggggg#",
    "#gggggggggggggggggggggggggggggg#",
    "################################",
)
NAMES = {"a": "hall", "b": "library", "c": "tower", "d": "garden", "e": "pool", "f": "forge", "g": "terrace"}
OPEN_AIR = "dg"
HEIGHT = 1.25
SCALE, CEILING_SCALE = 64, 32
LEVELS = round(HEIGHT * SCALE)
ROWS, COLUMNS = len(PLAN), len(PLAN[0])

# x, y of the north-west corner, width, depth, what it is
BOXES = (
    (2.75, 2.5, 0.5, 0.5, "marble"),
    (7.25, 2.5, 0.5, 0.5, "marble"),
    (2.75, 5.0, 0.5, 0.5, "marble"),
    (7.25, 5.0, 0.5, 0.5, "marble"),
    (12.5, 2.5, 2.0, 0.5, "case"),
    (18.5, 2.5, 2.0, 0.5, "case"),
    (12.5, 5.0, 2.0, 0.5, "case"),
    (18.5, 5.0, 2.0, 0.5, "case"),
    (24.75, 2.5, 0.5, 0.5, "rock"),
    (28.75, 2.5, 0.5, 0.5, "rock"),
    (24.75, 5.0, 0.5, 0.5, "rock"),
    (28.75, 5.0, 0.5, 0.5, "rock"),
    (2.5, 9.5, 1.0, 0.5, "hedge"),
    (2.5, 12.0, 1.0, 0.5, "hedge"),
    (8.0, 9.5, 1.0, 0.5, "hedge"),
    (8.0, 12.0, 1.0, 0.5, "hedge"),
    (13.5, 9.5, 0.5, 0.5, "tiled"),
    (20.0, 9.5, 0.5, 0.5, "tiled"),
    (13.5, 12.0, 0.5, 0.5, "tiled"),
    (20.0, 12.0, 0.5, 0.5, "tiled"),
    (24.5, 9.5, 0.5, 0.5, "iron"),
    (28.75, 9.5, 0.5, 0.5, "iron"),
    (24.5, 12.0, 0.5, 0.5, "iron"),
    (28.25, 11.75, 1.25, 0.75, "furnace"),
    (3.0, 17.0, 0.5, 0.5, "sand"),
    (8.5, 17.0, 0.5, 0.5, "sand"),
    (13.5, 17.0, 0.5, 0.5, "sand"),
    (20.0, 17.0, 0.5, 0.5, "sand"),
    (24.0, 17.0, 0.5, 0.5, "sand"),
    (29.0, 17.0, 0.5, 0.5, "sand"),
)
"""Far enough from each other and from walls that one can pass between."""

SUN = (-0.52, -0.855)
"""Towards the sun, in plan."""
_SUN_RISE = 0.9  # of a ray towards the sun, a cell along the ground
_SUN_COLOUR = np.array((0.92, 0.82, 0.62))
_AMBIENT = {"a": (0.66, 0.63, 0.60), "b": (0.72, 0.70, 0.70), "c": (0.76, 0.73, 0.80), "d": (0.60, 0.64, 0.70),
            "e": (0.60, 0.66, 0.70), "f": (0.78, 0.72, 0.70), "g": (0.58, 0.62, 0.70)}  # fmt: skip

_ALONG = (2.0, 6.0, 10.8, 14.5, 19.0, 23.0, 27.0, 30.2)  # the terrace
# x, y, height, colour, strength
LAMPS = tuple(
    [(x, y, 1.1, (1.0, 0.78, 0.48), 0.42) for x in (2.0, 4.2, 6.3, 8.5) for y in (1.6, 6.4)]
    + [(x, 4.0, 1.15, (1.0, 0.80, 0.52), 0.36) for x in (3.0, 5.25, 7.5)]
    + [(x, y, 1.1, (1.0, 0.84, 0.56), 0.44) for x in (12.0, 16.5, 21.0) for y in (1.6, 6.4)]
    + [(x, 4.0, 1.15, (1.0, 0.84, 0.58), 0.40) for x in (13.5, 16.5, 19.5)]
    + [(x, y, 1.0, (0.86, 0.70, 1.0), 0.44) for x in (24.0, 27.0, 30.0) for y in (1.8, 6.2)]
    + [(27.0, 4.0, 1.15, (1.0, 0.80, 0.60), 0.5)]
    + [(x, y, 0.9, (1.0, 0.82, 0.46), 0.42) for x in (1.8, 5.5, 9.6) for y in (8.7, 13.3)]
    + [(5.5, 11.0, 1.0, (1.0, 0.86, 0.52), 0.3)]
    + [(x, y, 0.8, (0.46, 0.90, 1.0), 0.46) for x in (13.0, 16.9, 20.8) for y in (9.3, 12.7)]
    + [(x, y, 1.0, (1.0, 0.56, 0.22), 0.50) for x in (24.2, 27.0, 30.0) for y in (8.8, 13.2)]
    + [(28.9, 11.2, 0.45, (1.0, 0.46, 0.12), 0.6), (27.8, 12.1, 0.45, (1.0, 0.46, 0.12), 0.5)]
    + [(x, y, 1.0, (1.0, 0.82, 0.50), 0.44) for x in _ALONG for y in (15.6, 18.3)]
)  # fmt: skip


def is_free(x: torch.Tensor, y: torch.Tensor, margin: float) -> torch.Tensor:
    """Whether at places (...) nothing upright is within `margin` cells, along either axis."""
    opening = torch.from_numpy(areas() >= 0)
    free = torch.ones_like(x, dtype=torch.bool)
    for dx in (-margin, margin):
        for dy in (-margin, margin):
            column = (x + dx).floor().long().clamp(0, COLUMNS - 1)
            row = (y + dy).floor().long().clamp(0, ROWS - 1)
            free &= opening[row, column]
    bx, by, wide, deep = _box_middles().unbind(1)
    apart = ((x[..., None] - bx).abs() >= wide + margin) | ((y[..., None] - by).abs() >= deep + margin)
    return free & apart.all(-1)


@lru_cache
def _box_middles() -> torch.Tensor:
    return torch.tensor([(x + w / 2, y + d / 2, w / 2, d / 2) for x, y, w, d, _ in BOXES])


@dataclass(frozen=True)
class Edge:
    """A face in plan: from (x0, y0) to (x1, y1), coordinates growing; its open side; what it is painted like."""

    x0: float
    y0: float
    x1: float
    y1: float
    facing: str
    kind: str
    area: str

    @property
    def upright(self) -> bool:
        return self.x0 == self.x1

    @property
    def length(self) -> float:
        return self.x1 - self.x0 + self.y1 - self.y0

    @property
    def mirrored(self) -> bool:
        """Whether somebody who looks at it sees its coordinate grow to the left."""
        return self.facing in "ne"


@lru_cache
def areas() -> Array:
    """Index into NAMES of every cell, -1: rock; (ROWS, COLUMNS)."""
    letters = list(NAMES)
    return np.array([[letters.index(c) if c != "#" else -1 for c in row] for row in PLAN])


@lru_cache
def edges() -> tuple[Edge, ...]:
    """Every face of the place."""
    grid, letters, found = areas(), list(NAMES), []
    # open cell with rock at its north, south, west, east: the face looks the other way
    for facing, dy, dx in (("s", -1, 0), ("n", 1, 0), ("e", 0, -1), ("w", 0, 1)):
        lines: dict[tuple[int, int], list[tuple[int, str]]] = {}
        for y in range(ROWS):
            for x in range(COLUMNS):
                if grid[y, x] >= 0 and grid[y + dy, x + dx] < 0:
                    line, along = (y + (dy > 0), x) if dy else (x + (dx > 0), y)
                    lines.setdefault((line, 0), []).append((along, letters[grid[y, x]]))
        for (line, _), cells in lines.items():
            cells.sort()
            run: list[tuple[int, str]] = []
            for along, letter in [*cells, (10**6, "")]:
                if run and (along != run[-1][0] + 1 or letter != run[-1][1]):
                    a, b, area = run[0][0], run[-1][0] + 1, run[0][1]
                    ends = (a, line, b, line) if dy else (line, a, line, b)
                    x0, y0, x1, y1 = map(float, ends)
                    found.append(Edge(x0, y0, x1, y1, facing, "wall", area))
                    run = []
                run.append((along, letter))
    for left, top, w, d, kind in BOXES:
        right, low, area = left + w, top + d, letters[grid[int(top), int(left)]]
        found += [
            Edge(left, top, right, top, "n", kind, area), Edge(left, low, right, low, "s", kind, area),
            Edge(left, top, left, low, "w", kind, area), Edge(right, top, right, low, "e", kind, area),
        ]  # fmt: skip
    return tuple(found)


# -- walls -------------------------------------------------------------------------------------------------------------
def _paint_wall(edge: Edge, seed: int) -> Wall:
    wall = Wall.blank(LEVELS, round(edge.length * SCALE), seed)
    (_BOX_PAINTERS[edge.kind] if edge.kind != "wall" else _WALL_PAINTERS[edge.area])(wall, edge)
    if edge.mirrored:
        wall.colour, wall.glow, wall.cover = wall.colour[:, ::-1], wall.glow[:, ::-1], wall.cover[:, ::-1]
    return wall


def _middles(wall: Wall, every: float, margin: float = 0.5) -> list[int]:
    """Columns of what hangs on a wall at about so many cells' distance."""
    length = wall.width / SCALE
    count = int((length - 2 * margin) / every + 1.001)
    if count < 1:
        return [wall.width // 2]
    first = (length - (count - 1) * every) / 2
    return [round((first + n * every) * SCALE) for n in range(count)]


def _outer(edge: Edge) -> bool:
    """Whether nothing but sky lies behind a wall."""
    if edge.upright:
        return edge.x0 in (1, COLUMNS - 1)
    return edge.y0 in (1, ROWS - 1)


def _hall(wall: Wall, edge: Edge) -> None:
    wall.fill(0, LEVELS, 0, wall.width, (0.88, 0.76, 0.58))
    wall.colour *= 1 + 0.025 * wall.rng.normal(size=(*wall.colour.shape[:2], 1))
    for x in range(0, wall.width, 8):  # striped paper
        wall.fill(8, 52, x, x + 3, (0.78, 0.60, 0.42))
        wall.fill(8, 52, x + 3, x + 4, (0.95, 0.88, 0.70))
    wall.fill(0, 6, 0, wall.width, (0.96, 0.93, 0.86))
    wall.fill(2, 3, 0, wall.width, (0.62, 0.56, 0.46))
    wall.fill(6, 8, 0, wall.width, (0.52, 0.42, 0.30))
    for x in range(0, wall.width, 6):
        wall.fill(3, 6, x, x + 3, (0.76, 0.70, 0.60))
    materials.panels(wall, 52, LEVELS, 32, (0.46, 0.25, 0.14))
    short = edge.length < 1.6
    if short:
        materials.sconce(wall, wall.width // 2, 26)
        return
    for n, middle in enumerate(_middles(wall, 1.5, 0.75)):
        if _outer(edge) and n % 2 == 0:
            materials.window(wall, 13, 50, middle - 15, middle + 15, (0.96, 0.92, 0.82), (3, 2), arch=True)
        elif n % 3 == 1:
            materials.banner(wall, 11, 50, middle - 9, 19, (0.66, 0.12, 0.16), (0.94, 0.78, 0.36))
        else:
            wide = int(wall.rng.integers(13, 22))
            materials.painting(wall, 17, 47, middle - wide, middle + wide)
        if n:
            materials.sconce(wall, middle - 48, 28)


def _library(wall: Wall, edge: Edge) -> None:
    wood = (0.42, 0.24, 0.13)
    wall.fill(0, LEVELS, 0, wall.width, (0.20, 0.34, 0.36))
    for y in range(6, LEVELS, 10):  # patterned paper
        for x in range((y // 10 % 2) * 6, wall.width, 12):
            wall.fill(y, y + 4, x, x + 1, (0.44, 0.58, 0.50))
            wall.fill(y + 1, y + 3, x - 1, x + 2, (0.44, 0.58, 0.50))
    wall.fill(0, 5, 0, wall.width, (0.52, 0.32, 0.18))
    wall.fill(4, 5, 0, wall.width, (0.22, 0.12, 0.07))
    if edge.length < 1.6:
        materials.panels(wall, 48, LEVELS, 32, wood)
        materials.sconce(wall, wall.width // 2, 24)
        return
    position, n = 4, 0
    while position < wall.width - 20:
        wide = min(84, wall.width - 4 - position)
        if n % 3 == 1 and wide > 60:
            materials.panels(wall, 52, LEVELS, 28, wood)
            middle = position + 30
            if _outer(edge):
                materials.window(wall, 12, 48, middle - 17, middle + 17, wood, (4, 3))
            else:
                materials.painting(wall, 14, 46, middle - 20, middle + 20)
            materials.sconce(wall, position + 66 if wide > 76 else position + 3, 26)
            position += 76
        else:
            materials.shelves(wall, 7, LEVELS, position, position + wide, wood)
            position += wide + 2
        n += 1


def _tower(wall: Wall, edge: Edge) -> None:
    materials.blocks(wall, 0, LEVELS, (16, 30), (0.54, 0.50, 0.58), (0.24, 0.21, 0.27), 0.12, 3, joint_width=2)
    if edge.length < 1.6:
        materials.sconce(wall, wall.width // 2, 30, (0.80, 0.64, 1.0))
        return
    for n, middle in enumerate(_middles(wall, 1.5, 0.75)):
        if n % 2 == 0:
            if _outer(edge):
                materials.window(
                    wall, 10, 58, middle - 10, middle + 10, (0.40, 0.37, 0.44), (6, 2), arch=True, glass=(1, 1, 1)
                )
            else:
                materials.banner(wall, 10, 60, middle - 11, 23, (0.34, 0.16, 0.52), (0.96, 0.76, 0.88))
        else:
            materials.painting(wall, 20, 50, middle - 14, middle + 14)
            materials.sconce(wall, middle - 26, 28, (0.80, 0.64, 1.0))


def _garden(wall: Wall, edge: Edge) -> None:
    flowers = ((0.96, 0.42, 0.56), (0.98, 0.90, 0.96), (0.98, 0.74, 0.24), (0.62, 0.46, 0.92))
    if _outer(edge):  # a hedge with a ragged top, over a low wall
        materials.leaves(wall, 14, 66, (0.34, 0.60, 0.24), flowers)
        top = 20 + (6 * np.sin(np.arange(wall.width) * 0.11) + 4 * np.sin(np.arange(wall.width) * 0.37)).astype(int)
        for x in range(wall.width):
            wall.cover[: max(4, top[x] - int(wall.rng.integers(0, 4))), x] = 0.0
        materials.blocks(wall, 62, LEVELS, (9, 20), (0.70, 0.62, 0.50), (0.34, 0.30, 0.24), 0.12)
        return
    materials.blocks(wall, 0, LEVELS, (8, 18), (0.78, 0.60, 0.46), (0.46, 0.38, 0.32), 0.13)
    for x in range(0, wall.width, 1):  # vines
        if wall.rng.random() < 0.10:
            deep = int(wall.rng.integers(12, 60))
            for y in range(0, deep, 2):
                shift = int(2 * np.sin(y * 0.3 + x))
                green = np.array((0.24, 0.50, 0.20)) * wall.rng.uniform(0.6, 1.35)
                wall.fill(y, y + 2, x + shift, x + shift + 3, green)
    materials.blocks(wall, 72, LEVELS, (8, 28), (0.56, 0.54, 0.50), (0.28, 0.27, 0.26), 0.1)
    if edge.length < 1.6:
        materials.sconce(wall, wall.width // 2, 30)
        return
    for n, middle in enumerate(_middles(wall, 1.5, 0.75)):
        if n % 2:
            materials.window(wall, 20, 52, middle - 13, middle + 13, (0.26, 0.42, 0.52), (3, 2), glass=(1, 1, 1))
        else:
            materials.pot(wall, middle, LEVELS)
            materials.sconce(wall, middle + 26, 30)


def _pool(wall: Wall, edge: Edge) -> None:
    white, blue, teal = np.array((0.93, 0.95, 0.93)), np.array((0.16, 0.44, 0.68)), np.array((0.24, 0.70, 0.70))
    y, x = np.mgrid[0:LEVELS, 0 : wall.width]
    tile = wall.rng.normal(size=(LEVELS // 8 + 1, wall.width // 8 + 1))[y // 8, x // 8][..., None]
    wall.colour[:] = np.clip(white * (1 + 0.05 * tile), 0, 1)
    wall.colour[(y % 8 == 7) | (x % 8 == 7)] = (0.62, 0.72, 0.74)
    band = (y >= 40) & (y < 56)
    mosaic = ((x // 4 + y // 4) % 4 < 2) ^ ((x // 4 - y // 4) % 4 < 2)
    wall.colour[band] = np.where(mosaic[..., None], blue, teal)[band]
    wall.colour[band & ((y % 4 == 3) | (x % 4 == 3))] = (0.80, 0.90, 0.90)
    wall.fill(39, 40, 0, wall.width, (0.96, 0.84, 0.42))
    wall.fill(56, 57, 0, wall.width, (0.96, 0.84, 0.42))
    wall.fill(0, 5, 0, wall.width, tuple(blue))
    wall.fill(4, 5, 0, wall.width, (0.96, 0.84, 0.42))
    low = y >= 72
    wall.colour[low] = (blue * (0.8 + 0.1 * tile))[low]
    if edge.length < 1.6:
        return
    for n, middle in enumerate(_middles(wall, 2.0, 1.0)):
        if n % 2:
            materials.pot(wall, middle, LEVELS, (0.86, 0.84, 0.80))
            materials.sconce(wall, middle - 20, 24, (0.60, 0.94, 1.0))
        else:  # a shell-shaped fountain's niche
            materials.window(
                wall, 10, 36, middle - 18, middle + 18, (0.90, 0.92, 0.90), (2, 4), arch=True, glass=(1, 1, 1)
            )
            materials.sconce(wall, middle + 32, 24, (0.60, 0.94, 1.0))


def _forge(wall: Wall, edge: Edge) -> None:
    materials.blocks(wall, 0, LEVELS, (7, 17), (0.50, 0.28, 0.22), (0.20, 0.15, 0.14), 0.17)
    wall.fill(0, 8, 0, wall.width, (0.26, 0.20, 0.16))
    wall.fill(7, 8, 0, wall.width, (0.10, 0.08, 0.07))
    for x in range(24, wall.width, 64):
        wall.fill(0, LEVELS, x, x + 7, (0.30, 0.20, 0.13))
        wall.fill(0, LEVELS, x, x + 1, (0.46, 0.32, 0.20))
        wall.fill(0, LEVELS, x + 6, x + 7, (0.12, 0.08, 0.06))
    if edge.length < 1.6:
        materials.sconce(wall, wall.width // 2, 30, (1.0, 0.60, 0.22))
        return
    for n, middle in enumerate(_middles(wall, 1.0, 0.5)):
        kind = n % 4
        if kind == 0:  # tools on a rack
            wall.fill(26, 29, middle - 24, middle + 24, (0.34, 0.22, 0.13))
            for i in range(6):
                x = middle - 21 + i * 8
                wall.fill(29, 44, x, x + 2, (0.52, 0.36, 0.20))
                wall.fill(44, 49 + i % 3, x - 2, x + 4, (0.66, 0.68, 0.72))
                wall.fill(44, 45, x - 2, x + 4, (0.90, 0.92, 0.95))
        elif kind == 1:
            materials.sconce(wall, middle, 28, (1.0, 0.60, 0.22))
        elif kind == 2:  # shields
            for side in (-13, 13):
                for r in range(11):
                    wall.fill(
                        24 + r,
                        46 - r,
                        middle + side - 11 + r // 2,
                        middle + side + 11 - r // 2,
                        (0.58, 0.60, 0.66) if r < 2 else ((0.70, 0.20, 0.14) if side < 0 else (0.18, 0.30, 0.56)),
                    )
                wall.fill(33, 37, middle + side - 2, middle + side + 2, (0.94, 0.80, 0.40))
        elif _outer(edge):
            materials.window(wall, 18, 44, middle - 14, middle + 14, (0.22, 0.18, 0.16), (2, 3))


def _terrace(wall: Wall, edge: Edge) -> None:
    if _outer(edge):  # a balustrade before the view
        wall.cover[:50] = 0.0
        materials.blocks(wall, 50, LEVELS, (30, 64), (0.86, 0.76, 0.58), (0.56, 0.48, 0.36), 0.04)
        wall.fill(50, 53, 0, wall.width, (0.98, 0.92, 0.76))
        wall.fill(53, 55, 0, wall.width, (0.62, 0.52, 0.38))
        for x in range(0, wall.width, 10):
            for row in range(55, 72):
                half = (2, 2, 3, 3, 4, 4, 4, 3, 3, 2, 2, 2, 2, 3, 3, 3, 3)[row - 55]
                wall.cover[row, x : x + 10] = 0.0
                wall.fill(row, row + 1, x + 5 - half, x + 5 + half, (0.90, 0.82, 0.64))
                wall.fill(row, row + 1, x + 3 + half, x + 5 + half, (0.58, 0.48, 0.34))
                wall.fill(row, row + 1, x + 5 - half, x + 6 - half, (1.0, 0.96, 0.82))
                wall.cover[row, max(0, x + 5 - half) : x + 5 + half] = 1.0
        wall.fill(72, 75, 0, wall.width, (0.92, 0.84, 0.66))
        for x in range(32, wall.width, 128):  # posts with lanterns and urns
            wall.cover[44:, x - 7 : x + 7] = 1.0
            wall.fill(44, LEVELS, x - 7, x + 7, (0.88, 0.78, 0.60))
            wall.frame(44, LEVELS, x - 7, x + 7, (0.88, 0.78, 0.60))
            wall.cover[26:44, x - 5 : x + 5] = 1.0
            materials.sconce(wall, x, 32)
            wall.fill(26, 29, x - 5, x + 5, (0.14, 0.12, 0.12))
            wall.fill(40, 44, x - 5, x + 5, (0.20, 0.17, 0.15))
            wall.fill(29, 40, x - 5, x - 3, (0.12, 0.10, 0.10))
            wall.fill(29, 40, x + 3, x + 5, (0.12, 0.10, 0.10))
        return
    materials.blocks(wall, 0, LEVELS, (12, 26), (0.88, 0.74, 0.52), (0.62, 0.50, 0.34), 0.06)
    wall.fill(0, 4, 0, wall.width, (0.78, 0.40, 0.26))
    for x in range(0, wall.width, 8):
        wall.fill(0, 5, x, x + 4, (0.90, 0.52, 0.34))
        wall.fill(4, 6, x + 4, x + 5, (0.42, 0.20, 0.14))
    wall.fill(70, LEVELS, 0, wall.width, (0.58, 0.46, 0.34))
    wall.fill(70, 71, 0, wall.width, (0.94, 0.84, 0.64))
    if edge.length < 1.6:
        materials.sconce(wall, wall.width // 2, 28)
        return
    for n, middle in enumerate(_middles(wall, 1.0, 0.5)):
        if n % 3 == 0:  # a shuttered window
            materials.window(wall, 18, 54, middle - 11, middle + 11, (0.94, 0.90, 0.80), (4, 2), glass=(1, 1, 1))
            for side in (-24, 13):
                wall.fill(17, 55, middle + side, middle + side + 11, (0.16, 0.40, 0.62))
                for y in range(19, 54, 3):
                    wall.fill(y, y + 1, middle + side + 1, middle + side + 10, (0.40, 0.64, 0.82))
                    wall.fill(y + 1, y + 2, middle + side + 1, middle + side + 10, (0.08, 0.24, 0.40))
            wall.fill(56, 60, middle - 12, middle + 12, (0.42, 0.24, 0.14))
            for x in range(-11, 11, 3):
                colour = ((0.96, 0.30, 0.36), (0.98, 0.80, 0.30), (0.98, 0.96, 0.96))[x % 3]
                wall.fill(52, 55, middle + x, middle + x + 2, colour)
                wall.fill(55, 57, middle + x, middle + x + 3, (0.22, 0.50, 0.20))
        elif n % 3 == 1:
            materials.pot(wall, middle, LEVELS)
        else:
            materials.sconce(wall, middle, 28)


_WALL_PAINTERS = {"a": _hall, "b": _library, "c": _tower, "d": _garden, "e": _pool, "f": _forge, "g": _terrace}


def _column(
    tone: tuple[float, float, float], dark: tuple[float, float, float], flutes: int, lamp: tuple[float, float, float]
) -> Callable[[Wall, Edge], None]:
    def paint(wall: Wall, edge: Edge) -> None:
        wall.fill(0, LEVELS, 0, wall.width, tone)
        wall.colour *= 1 + 0.04 * wall.rng.normal(size=(*wall.colour.shape[:2], 1))
        for x in range(3, wall.width - 3, flutes):
            wall.fill(12, 66, x, x + 2, dark)
            wall.fill(12, 66, x + 2, x + 3, tuple(np.minimum(np.array(tone) * 1.25, 1)))
        for top, bottom in ((0, 4), (6, 9), (68, 71), (73, LEVELS)):
            wall.fill(top, bottom, 0, wall.width, tuple(np.minimum(np.array(tone) * 1.15, 1)))
            wall.fill(bottom - 1, bottom, 0, wall.width, tuple(np.array(dark) * 0.7))
        materials.sconce(wall, wall.width // 2, 28, lamp)

    return paint


def _case(wall: Wall, edge: Edge) -> None:
    materials.shelves(wall, 2, LEVELS, 0, wall.width, (0.46, 0.27, 0.15))


def _rock(wall: Wall, edge: Edge) -> None:
    materials.blocks(wall, 0, LEVELS, (13, 16), (0.60, 0.55, 0.64), (0.26, 0.22, 0.30), 0.13, joint_width=2)
    materials.sconce(wall, wall.width // 2, 30, (0.80, 0.64, 1.0))


def _hedge(wall: Wall, edge: Edge) -> None:
    materials.leaves(
        wall, 0, 68, (0.28, 0.56, 0.22), ((0.98, 0.86, 0.92), (0.96, 0.36, 0.44), (0.98, 0.84, 0.34)), 0.05
    )
    materials.blocks(wall, 64, LEVELS, (8, 16), (0.74, 0.66, 0.54), (0.36, 0.32, 0.26), 0.1)


def _tiled(wall: Wall, edge: Edge) -> None:
    y, x = np.mgrid[0:LEVELS, 0 : wall.width]
    ring = ((y // 4 + x // 4) % 3)[..., None]
    wall.colour[:] = np.where(
        ring == 0, (0.12, 0.42, 0.62), np.where(ring == 1, (0.26, 0.70, 0.72), (0.92, 0.95, 0.92))
    )
    wall.colour[(y % 4 == 3) | (x % 4 == 3)] = (0.78, 0.84, 0.84)
    for top in (0, 38, 70):
        wall.fill(top, top + 3, 0, wall.width, (0.94, 0.80, 0.36))
        wall.fill(top + 3, top + 4, 0, wall.width, (0.30, 0.24, 0.12))


def _iron(wall: Wall, edge: Edge) -> None:
    materials.planks(wall, 0, LEVELS, 8, (0.36, 0.24, 0.15), 0.14)
    for top in (6, 40, 68):
        wall.fill(top, top + 5, 0, wall.width, (0.30, 0.31, 0.35))
        wall.fill(top, top + 1, 0, wall.width, (0.60, 0.62, 0.68))
        for x in range(3, wall.width, 8):
            wall.fill(top + 2, top + 4, x, x + 2, (0.80, 0.82, 0.88))
    materials.sconce(wall, wall.width // 2, 24, (1.0, 0.60, 0.22))


def _furnace(wall: Wall, edge: Edge) -> None:
    materials.blocks(wall, 0, LEVELS, (9, 18), (0.44, 0.40, 0.40), (0.18, 0.16, 0.16), 0.14)
    middle = wall.width // 2
    for y in range(40, LEVELS - 4):
        half = int(min(16, 6 + (y - 40) * 1.3))
        wall.fill(y, y + 1, middle - half - 3, middle + half + 3, (0.16, 0.14, 0.14))
        for x in range(middle - half, middle + half):
            heat = np.clip((y - 38) / 36 + 0.25 * np.sin(x * 0.9 + y * 0.5) + 0.1 * wall.rng.normal(), 0, 1)
            colour = np.array((1.0, 0.25 + 0.65 * heat, 0.05 + 0.5 * heat * heat))
            if 0 <= x < wall.width:
                wall.colour[y, x] = colour
                wall.glow[y, x] = colour


_BOX_PAINTERS = {
    "marble": _column((0.84, 0.80, 0.74), (0.46, 0.42, 0.40), 6, (1.0, 0.82, 0.48)),
    "case": _case, "rock": _rock, "hedge": _hedge, "tiled": _tiled, "iron": _iron, "furnace": _furnace,
    "sand": _column((0.88, 0.76, 0.56), (0.52, 0.40, 0.28), 8, (1.0, 0.82, 0.50)),
}  # fmt: skip


# -- floors and ceilings -----------------------------------------------------------------------------------------------
def _noise(y: Array, x: Array, seed: int) -> Array:
    """A number 0..1 for every pair of whole numbers."""
    value = np.asarray(x, np.uint32) * np.uint32(0x9E3779B1) ^ np.asarray(y, np.uint32) * np.uint32(0x85EBCA77)
    value = (value ^ np.uint32(seed * 0x27D4EB2F & 0xFFFFFFFF)) * np.uint32(0xC2B2AE3D)
    value = (value ^ (value >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    return ((value ^ (value >> np.uint32(13))) & np.uint32(0xFFFF)).astype(np.float32) / np.float32(65536)


class _Floor:
    """One area's floor: colour and glow (rows, columns, 3), a part of the map's, painted in place.

    y, x: (rows, columns) of its texels in the map. mine: which of them are the area's. grain: a number 0..1 for each.
    """

    def __init__(self, number: int, colour: Array, glow: Array) -> None:
        rows, columns = (areas() == number).nonzero()
        part = np.s_[rows.min() * SCALE : (rows.max() + 1) * SCALE, columns.min() * SCALE : (columns.max() + 1) * SCALE]
        self.colour, self.glow = colour[part], glow[part]
        self.y, self.x = (grid.astype(np.int32) for grid in np.mgrid[part])
        self.mine = areas().repeat(SCALE, 0).repeat(SCALE, 1)[part] == number
        self.grain = _noise(self.y, self.x, 1)[..., None]

    def put(self, mask: Array, value: Array | tuple[float, float, float]) -> None:
        """Paints the area's texels in `mask` in one colour, or as a picture (rows, columns, 3) has them."""
        mask = mask & self.mine
        whole = isinstance(value, np.ndarray)
        self.colour[mask] = np.broadcast_to(value, self.colour.shape)[mask] if whole else value

    def fill(self, value: Array) -> None:
        """Paints all of the area as the picture has it."""
        self.put(self.mine, np.clip(value, 0, 1))

    def slabs(
        self,
        wide: int,
        deep: int,
        tone: tuple[float, float, float],
        joint: tuple[float, float, float],
        vary: float,
        seed: int,
    ) -> Array:
        """A picture of bonded slabs, with their joints."""
        row = self.y // deep
        shifted = self.x + (row % 2) * (wide // 2)
        shade = 1 + vary * (_noise(row, shifted // wide, seed) - 0.5)[..., None]
        picture = np.array(tone) * shade * (0.95 + 0.1 * self.grain)
        inside_x, inside_y = shifted % wide, self.y % deep
        picture[(inside_x == 0) | (inside_y == 0)] *= 1.16
        picture[(inside_x == wide - 1) | (inside_y == deep - 1)] = joint
        return picture


def _hall_floor(floor: _Floor) -> None:
    """Chequered marble, a red carpet along the axes."""
    x, y = floor.x, floor.y
    checker = ((x // 32 + y // 32) % 2)[..., None]
    vein = (_noise(y // 3, (x + y // 2) // 9, 5) > 0.86)[..., None]
    marble = np.where(checker == 0, np.array((0.90, 0.87, 0.80)), np.array((0.26, 0.22, 0.24)))
    marble = np.where(vein, marble * 0.82 + 0.06, marble)
    marble[(x % 32 == 31) | (y % 32 == 31)] = (0.46, 0.42, 0.40)
    floor.fill(marble)
    for centre, along, across in ((4.0, x, y), (6.0, y, x)):
        off = np.abs(across - centre * SCALE + 0.5)
        carpet = off < 34
        floor.put(carpet, (0.64, 0.10, 0.13))
        diamond = ((np.abs(along % 32 - 16) + off % 34) % 34 < 7) & (off < 24)
        floor.put(carpet & diamond, (0.84, 0.30, 0.22))
        floor.put(carpet & ((np.abs(along % 32 - 16) + off) < 5), (0.96, 0.80, 0.40))
        floor.put(carpet & (off > 27) & (off < 31), (0.94, 0.76, 0.36))


def _library_floor(floor: _Floor) -> None:
    """Herringbone."""
    x, y = floor.x, floor.y
    u, v = (x + y) // 10, (x - y) // 10
    board = np.where((u + v) % 2 == 0, _noise(u, (x - y) // 40, 3), _noise(v, (x + y) // 40, 9))[..., None]
    wood = np.array((0.58, 0.36, 0.19)) * (0.72 + 0.56 * board) * (0.95 + 0.1 * floor.grain)
    wood[((x + y) % 10 == 0) | ((x - y) % 40 == 0)] *= 0.55
    floor.fill(wood)
    rug = (np.abs(x - 16.5 * SCALE) < 3.2 * SCALE) & (np.abs(y - 4 * SCALE) < 0.8 * SCALE)
    rx, ry = np.abs(x - 16.5 * SCALE + 0.5), np.abs(y - 4 * SCALE + 0.5)
    floor.put(rug, (0.12, 0.24, 0.42))
    floor.put(rug & (((rx // 6 + ry // 6) % 3) == 0), (0.20, 0.38, 0.56))
    floor.put(rug & ((np.abs(rx % 64 - 32) + ry) < 22), (0.88, 0.74, 0.44))
    floor.put(rug & ((np.abs(rx % 64 - 32) + ry) < 16), (0.60, 0.14, 0.18))
    floor.put(rug & ((ry > 44) | (rx > 3.2 * SCALE - 8)), (0.86, 0.72, 0.42))
    floor.put(rug & ((ry > 48) | (rx > 3.2 * SCALE - 4)), (0.44, 0.10, 0.14))


def _tower_floor(floor: _Floor) -> None:
    """Flagstones and a compass rose."""
    x, y = floor.x, floor.y
    floor.fill(floor.slabs(44, 32, (0.52, 0.48, 0.56), (0.22, 0.19, 0.26), 0.4, 2))
    dx, dy = x - 27 * SCALE + 0.5, y - 4 * SCALE + 0.5
    radius, angle = np.hypot(dx, dy) / SCALE, np.arctan2(dy, dx)
    rose = radius < 1.35
    floor.put(rose, (0.86, 0.82, 0.76))
    star = np.abs((angle * 8 / (2 * np.pi) + 0.5) % 1 - 0.5) * 2
    floor.put(rose & (radius < 1.15 * (1 - star) ** 0.9), (0.40, 0.18, 0.52))
    floor.put(rose & (radius < 0.8 * (1 - np.abs((angle * 4 / (2 * np.pi) + 0.5) % 1 - 0.5) * 2)), (0.94, 0.70, 0.30))
    floor.put(rose & (radius > 1.25), (0.30, 0.24, 0.36))
    floor.put(rose & (np.abs(radius - 1.18) < 0.02), (0.94, 0.70, 0.30))


def _garden_floor(floor: _Floor) -> None:
    """Grass, gravel paths, flower beds."""
    x, y = floor.x, floor.y
    blade = _noise(y // 3, x, 11)[..., None]
    grass = np.array((0.30, 0.54, 0.20)) * (0.66 + 0.6 * blade) * (0.9 + 0.2 * _noise(y // 40, x // 40, 4)[..., None])
    floor.fill(grass)
    daisies = _noise(y // 3, x // 3, 21) > 0.985
    floor.put(daisies, (0.97, 0.96, 0.90))
    floor.put(_noise(y // 3, x // 3, 25) > 0.992, (0.98, 0.82, 0.24))
    path = (np.abs(y - 11 * SCALE) < 0.62 * SCALE) | (np.abs(x - 6 * SCALE) < 0.62 * SCALE)
    path |= np.abs(np.hypot(x - 6 * SCALE, y - 11 * SCALE) / SCALE - 1.0) < 0.5
    floor.put(path, np.clip(floor.slabs(16, 12, (0.80, 0.72, 0.58), (0.50, 0.44, 0.36), 0.45, 8), 0, 1))
    bed = np.hypot(x - 6 * SCALE, y - 11 * SCALE) < 0.62 * SCALE
    floor.put(bed, np.clip(np.array((0.20, 0.40, 0.16)) * (0.5 + blade), 0, 1))
    petals = np.array(((0.96, 0.30, 0.42), (0.98, 0.84, 0.30), (0.98, 0.94, 0.98), (0.62, 0.40, 0.92)))
    flower = bed & (_noise(y // 4, x // 4, 13) > 0.55) & ((y % 4 != 0) & (x % 4 != 0))
    floor.put(flower, petals[(_noise(y // 4, x // 4, 17) * 4).astype(int)])


def _pool_floor(floor: _Floor) -> None:
    """Tiles, water with mosaic below."""
    x, y = floor.x, floor.y
    floor.fill(floor.slabs(20, 20, (0.88, 0.88, 0.82), (0.60, 0.62, 0.60), 0.14, 6))
    wx, wy = np.abs(x - 16.9 * SCALE), np.abs(y - 11 * SCALE)
    rim = (wx < 2.6 * SCALE) & (wy < 1.45 * SCALE)
    floor.put(
        rim,
        np.where(((x // 6 + y // 6) % 2)[..., None] == 0, np.array((0.16, 0.42, 0.62)), np.array((0.95, 0.90, 0.72))),
    )
    water = (wx < 2.42 * SCALE) & (wy < 1.27 * SCALE)
    wave = (
        np.sin(x * 0.13 + 2.2 * np.sin(y * 0.07))
        + np.sin(y * 0.17 + 2.0 * np.sin(x * 0.06 + 1))
        + np.sin((x + y) * 0.09)
    )
    basin = np.where(
        ((x // 12 + y // 12) % 2)[..., None] == 0, np.array((0.14, 0.56, 0.68)), np.array((0.20, 0.66, 0.76))
    )
    basin = np.where((np.abs(wave) < 0.22)[..., None], np.array((0.78, 0.96, 0.96)), basin)
    basin = np.where((np.abs(wave) > 1.7)[..., None], basin * 0.72, basin)
    floor.put(water, basin)
    floor.glow[water] = basin[water] * 0.28


def _forge_floor(floor: _Floor) -> None:
    """Cobbles with a channel of glowing metal."""
    x, y = floor.x, floor.y
    cob_y, cob_x = y // 11, (x + (y // 11 % 2) * 6) // 12
    cobble = (
        np.array((0.36, 0.32, 0.32)) * (0.7 + 0.7 * _noise(cob_y, cob_x, 31)[..., None]) * (0.94 + 0.12 * floor.grain)
    )
    edge_ = (y % 11 == 10) | ((x + (y // 11 % 2) * 6) % 12 == 11)
    cobble[edge_] = (0.12, 0.10, 0.11)
    cobble[(y % 11 == 0) & ~edge_] *= 1.3
    floor.fill(cobble)
    for centre, along, across, low, high in ((9.0, x, y, 24.2, 29.6), (12.1, x, y, 25.2, 28.2)):
        off = np.abs(across - centre * SCALE + 0.5)
        channel = (along > low * SCALE) & (along < high * SCALE)
        floor.put(channel & (off < 13), (0.20, 0.18, 0.19))
        floor.put(channel & (off < 13) & (off > 10), (0.50, 0.48, 0.50))
        heat = 0.5 + 0.5 * np.sin(along * 0.10 + 2 * np.sin(across * 0.4)) * np.sin(along * 0.043)
        lava = np.stack((np.ones_like(heat), 0.30 + 0.55 * heat, 0.06 + 0.4 * heat**2), -1)
        hot = channel & (off < 8)
        floor.put(hot, lava)
        floor.glow[hot] = lava[hot]


def _terrace_floor(floor: _Floor) -> None:
    """Sandstone slabs with a band of blue tiles."""
    x, y = floor.x, floor.y
    floor.fill(floor.slabs(48, 32, (0.86, 0.76, 0.58), (0.54, 0.46, 0.34), 0.16, 15))
    for centre in (15.5, 18.5):
        off = np.abs(y - centre * SCALE + 0.5)
        band = off < 12
        pattern = ((np.abs(x % 24 - 12) + off) < 11)[..., None]
        floor.put(band, np.where(pattern, np.array((0.18, 0.42, 0.64)), np.array((0.94, 0.90, 0.80))))
        floor.put(band & ((np.abs(x % 24 - 12) + off) < 5), (0.94, 0.66, 0.26))
        floor.put(band & (off > 10), (0.36, 0.28, 0.22))


_FLOOR_PAINTERS = (
    _hall_floor,
    _library_floor,
    _tower_floor,
    _garden_floor,
    _pool_floor,
    _forge_floor,
    _terrace_floor,
)  # in the order of NAMES


def _floors() -> tuple[Array, Array]:
    """Colour and glow of every floor, (rows, columns, 3)."""
    size = (ROWS * SCALE, COLUMNS * SCALE, 3)
    colour, glow = np.full(size, 0.3, np.float32), np.zeros(size, np.float32)
    for number, paint in enumerate(_FLOOR_PAINTERS):
        paint(_Floor(number, colour, glow))
    return colour, glow


def _ceilings() -> tuple[Array, Array, Array]:
    """Colour and glow of every ceiling (rows, columns, 3), and how much of one there is (rows, columns)."""
    s = CEILING_SCALE
    y, x = np.mgrid[0 : ROWS * s, 0 : COLUMNS * s].astype(np.int32)
    kind = areas().repeat(s, 0).repeat(s, 1)
    colour, glow, cover = (
        np.full((*y.shape, 3), 0.4, np.float32),
        np.zeros((*y.shape, 3), np.float32),
        np.ones(y.shape, np.float32),
    )
    grain = 0.94 + 0.12 * _noise(y, x, 41)[..., None]

    def put(mask: Array, value: Array | tuple[float, float, float]) -> None:
        colour[mask] = np.broadcast_to(value, colour.shape)[mask] if isinstance(value, np.ndarray) else value

    px, py = x % s, y % s
    rim = np.minimum(np.minimum(px, s - 1 - px), np.minimum(py, s - 1 - py))
    coffer = np.full((*y.shape, 3), 0.92) * np.array((1.0, 0.96, 0.88)) * grain
    coffer[(rim >= 4) & (rim < 6)] = (0.62, 0.52, 0.38)
    coffer[rim >= 6] = (0.40, 0.52, 0.66)
    coffer[(np.abs(px - 15.5) + np.abs(py - 15.5)) < 6] = (0.94, 0.78, 0.40)
    coffer[rim == 0] = (0.74, 0.66, 0.54)
    put(kind == 0, coffer)
    beams = np.array((0.66, 0.52, 0.36)) * (0.86 + 0.28 * _noise(y // 5, x * 0, 51)[..., None]) * grain
    beams[y % 5 == 4] *= 0.6
    beams[px < 8] = (0.36, 0.21, 0.12)
    beams[px == 8] = (0.16, 0.09, 0.05)
    beams[px == 0] = (0.54, 0.34, 0.20)
    put(kind == 1, beams)
    vault = (
        np.array((0.46, 0.42, 0.52)) * (0.8 + 0.4 * _noise(y // 8, (x + y // 8 % 2 * 8) // 16, 61)[..., None]) * grain
    )
    vault[(y % 8 == 7) | ((x + y // 8 % 2 * 8) % 16 == 15)] = (0.22, 0.19, 0.27)
    ribs = (np.abs((x - 27 * s) * 0.75 - (y - 4 * s)) < 5) | (np.abs((x - 27 * s) * 0.75 + (y - 4 * s)) < 5)
    vault[ribs] = (0.70, 0.64, 0.74)
    put(kind == 2, vault)
    glass = kind == 4
    put(glass, (0.88, 0.92, 0.92))
    inside = glass & (np.abs(x - 16.9 * s) < 4.2 * s) & (np.abs(y - 11 * s) < 2.2 * s)
    cover[inside & (x % 16 > 1) & (y % 16 > 1)] = 0.0
    put(inside, (0.30, 0.40, 0.44))
    put(glass & ~inside & ((x % 8 == 0) | (y % 8 == 0)), (0.60, 0.72, 0.74))
    timber = np.array((0.30, 0.22, 0.17)) * (0.7 + 0.6 * _noise(y * 0, x // 6, 71)[..., None]) * grain
    timber[x % 6 == 5] *= 0.45
    timber[py < 7] = (0.20, 0.14, 0.10)
    timber[py == 7] = (0.07, 0.05, 0.04)
    timber[py == 0] = (0.38, 0.28, 0.20)
    put(kind == 5, timber)
    for lx, ly, _, lamp, _ in LAMPS:  # hanging lamps on the axes
        if areas()[int(ly), int(lx)] in (0, 1, 2) and abs(ly - 4.0) < 0.1:
            near = np.hypot(x - lx * s + 0.5, y - ly * s + 0.5)
            put(near < 6, (0.14, 0.11, 0.10))
            put(near < 5, tuple(np.array(lamp)))
            glow[near < 5] = lamp
    cover[(kind == 3) | (kind == 6)] = 0.0
    return colour, glow, cover


SKY_ROWS, SKY_COLUMNS, SKY_LOW, SKY_HIGH = 256, 1152, -0.6, 0.95


@dataclass(frozen=True)
class _Sky:
    """The view all round as it is painted, all (rows, columns): slope and angle of the lines of sight, radians from the
    east; day and night, (rows, columns, 3)."""

    slope: Array
    angle: Array
    day: Array
    night: Array

    @classmethod
    def blank(cls) -> _Sky:
        slope = SKY_HIGH - (np.arange(SKY_ROWS)[:, None] + 0.5) * (SKY_HIGH - SKY_LOW) / SKY_ROWS
        slope = slope + np.zeros((1, SKY_COLUMNS))
        angle = (np.arange(SKY_COLUMNS)[None] + 0.5) * 2 * np.pi / SKY_COLUMNS + np.zeros((SKY_ROWS, 1))
        t = np.clip(np.clip(slope, 0, None) / 0.85, 0, 1)[..., None]
        day = np.array((0.74, 0.88, 0.96)) * (1 - t) + np.array((0.22, 0.48, 0.86)) * t
        night = np.array((0.10, 0.12, 0.26)) * (1 - t) + np.array((0.03, 0.04, 0.12)) * t
        return cls(slope, angle, day, night)

    def sunward(self) -> Array:
        """How far from the sun's direction, radians all round."""
        toward = math.atan2(SUN[1], SUN[0]) % (2 * np.pi)
        return np.abs((self.angle - toward + np.pi) % (2 * np.pi) - np.pi)


def _clouds(sky: _Sky) -> None:
    up, angle = np.clip(sky.slope, 0, None), sky.angle
    cloud = sum(
        np.sin(angle * f + p + 1.7 * np.sin(up * g + p * 2)) * a
        for f, g, p, a in (
            (5, 6, 0.3, 0.5),
            (9, 11, 2.1, 0.4),
            (17, 19, 4.0, 0.3),
            (31, 43, 1.1, 0.22),
            (63, 71, 5.2, 0.16),
        )
    )
    cloud = cloud * np.clip(up * 4, 0, 1) * np.clip(1.5 - up, 0, 1)
    sky.day[cloud > 0.34] = (0.90, 0.94, 0.98)
    sky.day[cloud > 0.50] = (1.0, 1.0, 0.99)
    sky.day[(cloud > 0.34) & (np.roll(cloud, -6, 0) < 0.34)] = (0.70, 0.78, 0.88)


def _sun_moon_and_stars(sky: _Sky, rng: np.random.Generator) -> None:
    slope, angle, day, night = sky.slope, sky.angle, sky.day, sky.night
    disc = np.hypot(sky.sunward(), np.arctan(slope) - math.atan(0.62))
    day[disc < 0.075] = (1.0, 0.96, 0.80)
    day[disc < 0.055] = (1.0, 1.0, 0.94)
    stars = rng.random(slope.shape) > 0.9965
    night[stars] = rng.uniform(0.6, 1.0, (stars.sum(), 1)) * np.array((1.0, 0.97, 0.88))
    moon = np.hypot(np.abs((angle - 2.2 + np.pi) % (2 * np.pi) - np.pi), np.arctan(slope) - 0.42)
    night[moon < 0.07] = (0.96, 0.95, 0.84)
    night[
        (np.hypot((angle - 2.22), np.arctan(slope) - 0.43) < 0.02)
        | (np.hypot(angle - 2.17, np.arctan(slope) - 0.40) < 0.014)
    ] = (0.80, 0.79, 0.70)


def _land_and_sea(sky: _Sky) -> None:
    slope, angle, day, night = sky.slope, sky.angle, sky.day, sky.night
    for depth, base, rough, tone in (
        (0, 0.16, 0.10, (0.56, 0.66, 0.80)),
        (1, 0.09, 0.07, (0.40, 0.54, 0.58)),
        (2, 0.035, 0.05, (0.28, 0.44, 0.30)),
    ):
        line = base + rough * sum(
            np.sin(angle[0] * f + depth * 1.9 + f) * a
            for f, a in ((3, 0.5), (7, 0.35), (13, 0.22), (29, 0.12), (61, 0.06))
        )
        land = slope < line[None]
        fall = np.clip((line[None] - slope) / 0.12, 0, 1)[..., None]
        shade = np.array(tone) * (1.12 - 0.3 * fall)
        peak = (depth == 0) & (slope > 0.19)
        day[land] = np.where(peak[..., None], np.array((0.95, 0.97, 1.0)), shade)[land]
        night[land] = (shade * 0.10)[land]
        if depth == 2:
            trees = land & ((np.floor(angle * 260) + np.floor(slope * 190)) % 3 < 1)
            day[trees] = (0.20, 0.34, 0.22)
    sea = slope < -0.02
    ripple = ((np.sin(angle * 140 + slope * 900) + np.sin(angle * 61 - slope * 500)) > 1.1) & sea
    day[sea] = (np.array((0.16, 0.42, 0.58)) * (1.25 + np.clip(slope, -0.6, 0))[..., None])[sea]
    day[ripple] = (0.66, 0.84, 0.90)
    night[sea] = (0.03, 0.06, 0.12)
    night[ripple & (sky.sunward() > 2)] = (0.22, 0.24, 0.30)


def _villages_and_sails(sky: _Sky, rng: np.random.Generator) -> None:
    day, night = sky.day, sky.night
    rows, columns, low, high = SKY_ROWS, SKY_COLUMNS, SKY_LOW, SKY_HIGH
    for _ in range(90):
        a, row = int(rng.integers(columns)), int((high - rng.uniform(-0.015, 0.03)) * rows / (high - low))
        wide, tall = int(rng.integers(2, 5)), int(rng.integers(2, 5))
        columns_ = np.arange(a, a + wide) % columns
        day[row - tall : row, columns_] = (0.96, 0.92, 0.84)
        day[row - tall - 1, columns_] = (0.76, 0.36, 0.26)
        night[row - tall : row, columns_] = (0.10, 0.09, 0.10)
        night[row - tall + 1, columns_[0]] = (1.0, 0.82, 0.44)
    sails = rng.integers(0, columns, 14)
    for a in sails:
        row = int((high + 0.035 + 0.03 * rng.random()) * rows / (high - low))
        for r in range(6):
            day[row - 6 + r, np.arange(a, a + 1 + r // 2) % columns] = (1.0, 0.99, 0.96)
        day[row, np.arange(a - 1, a + 4) % columns] = (0.36, 0.22, 0.16)


def _sky() -> Array:
    """The view all round, (rows, columns, 8): by day clouds over hills and a bay, by night stars and lit windows."""
    rng, sky = np.random.default_rng(5), _Sky.blank()
    _clouds(sky)
    _sun_moon_and_stars(sky, rng)
    _land_and_sea(sky)
    _villages_and_sails(sky, rng)
    texels = np.zeros((SKY_ROWS, SKY_COLUMNS, 8))
    texels[..., :3], texels[..., 3:6], texels[..., 6] = np.clip(sky.day, 0, 1), np.clip(sky.night, 0, 1), 1
    return texels


# -- light -------------------------------------------------------------------------------------------------------------
def _sun_on_floor(walls: list[Wall], roof: Array) -> Array:
    """Share of the sun that falls on every floor texel, (rows, columns)."""
    step = np.array(SUN) / math.hypot(*SUN)
    reach = HEIGHT / _SUN_RISE
    y, x = np.mgrid[0 : ROWS * SCALE, 0 : COLUMNS * SCALE].astype(np.float32)
    ry = ((y + 0.5) / SCALE + reach * step[1]) * CEILING_SCALE
    rx = ((x + 0.5) / SCALE + reach * step[0]) * CEILING_SCALE
    inside = (ry >= 0) & (rx >= 0)
    light = np.where(
        inside,
        1 - roof[np.clip(ry.astype(int), 0, roof.shape[0] - 1), np.clip(rx.astype(int), 0, roof.shape[1] - 1)],
        1.0,
    )
    escaped, blocked = np.zeros(light.shape, bool), np.zeros(light.shape, bool)
    for edge, wall in zip(edges(), walls, strict=True):
        y0 = int(max(0, (edge.y0 - max(0.0, step[1] * reach)) * SCALE))
        y1 = int((edge.y1 - min(0.0, step[1] * reach)) * SCALE) + 1
        x0 = int(max(0, (edge.x0 - max(0.0, step[0] * reach)) * SCALE))
        x1 = int((edge.x1 - min(0.0, step[0] * reach)) * SCALE) + 1
        py, px = (y[y0:y1, x0:x1] + 0.5) / SCALE, (x[y0:y1, x0:x1] + 0.5) / SCALE
        far, along = _crossing(edge, px, py, step)
        hit = (far > 0) & (far < reach) & (along >= 0) & (along < edge.length)
        level = np.clip(((HEIGHT - far * _SUN_RISE) * SCALE).astype(int), 0, LEVELS - 1)
        column = np.clip((along * SCALE).astype(int), 0, wall.width - 1)
        solid = wall.cover[level, column] > 0
        blocked[y0:y1, x0:x1] |= hit & solid
        escaped[y0:y1, x0:x1] |= hit & ~solid
    return np.where(blocked, 0.0, np.where(escaped, 1.0, light))


def _crossing(edge: Edge, px: Array, py: Array, step: Array) -> tuple[Array, Array]:
    """How far along `step` rays from px, py cross an edge's line, and where along it."""
    if edge.upright:
        far = (edge.x0 - px) / step[0]
        return far, py + far * step[1] - edge.y0
    far = (edge.y0 - py) / step[1]
    return far, px + far * step[0] - edge.x0


def _sun_on_wall(number: int, walls: list[Wall], roof: Array) -> Array:
    """Share of the sun on a wall's texels (levels, n), with the angle it falls at."""
    edge, wall = edges()[number], walls[number]
    step = np.array(SUN) / math.hypot(*SUN)
    normal = _NORMALS[edge.facing]
    facing = (step[0] * normal[0] + step[1] * normal[1]) / math.hypot(1, _SUN_RISE)
    light = np.zeros((LEVELS, wall.width))
    if facing <= 0:
        return light
    along = (np.arange(wall.width)[None] + 0.5) / SCALE
    px = (edge.x0 if edge.upright else edge.x0 + along) + normal[0] * 0.01
    py = (edge.y0 + along if edge.upright else edge.y0) + normal[1] * 0.01
    above = (np.arange(LEVELS)[:, None] + 0.5) / SCALE  # below the top
    px, py = px + above * 0, py + above * 0
    reach = above / _SUN_RISE
    ry, rx = ((py + reach * step[1]) * CEILING_SCALE).astype(int), ((px + reach * step[0]) * CEILING_SCALE).astype(int)
    light = 1 - roof[np.clip(ry, 0, roof.shape[0] - 1), np.clip(rx, 0, roof.shape[1] - 1)]
    blocked, escaped = np.zeros(light.shape, bool), np.zeros(light.shape, bool)
    cx, cy = (edge.x0 + edge.x1) / 2, (edge.y0 + edge.y1) / 2
    for other, shade in zip(edges(), walls, strict=True):
        ox, oy = (other.x0 + other.x1) / 2, (other.y0 + other.y1) / 2
        if other is edge or abs(ox - cx) + abs(oy - cy) > 2.2 + edge.length / 2 + other.length / 2:
            continue
        far, where = _crossing(other, px, py, step)
        hit = (far > 0.02) & (far < reach) & (where >= 0) & (where < other.length)
        level = np.clip(((above - far * _SUN_RISE) * SCALE).astype(int), 0, LEVELS - 1)
        column = np.clip((where * SCALE).astype(int), 0, shade.width - 1)
        solid = shade.cover[level, column] > 0
        blocked |= hit & solid
        escaped |= hit & ~solid
    return np.where(blocked, 0.0, np.where(escaped, 1.0, light)) * min(1.0, facing * 1.5)


def _lamplight(
    px: Array, py: Array, pz: Array, normal: tuple[Array | float, Array | float, float], visible: Array
) -> Array:
    """Lamplight (..., 3) at points with normals; visible: (lamps, ...)."""
    light = np.zeros((*px.shape, 3))
    for (lx, ly, lz, colour, strength), seen in zip(LAMPS, visible, strict=True):
        dx, dy, dz = lx - px, ly - py, lz - pz
        square = dx * dx + dy * dy + dz * dz
        fall = np.clip((dx * normal[0] + dy * normal[1] + dz * normal[2]) / np.sqrt(square + 1e-6), 0.12, 1)
        light += (strength * seen * fall / (square + 0.22))[..., None] * np.array(colour)
    return light


def _seen(surfaces_edges: torch.Tensor, px: Array, py: Array) -> Array:
    """Which lamps see points (N,): (lamps, N) 0 or 1."""
    seen = np.zeros((len(LAMPS), len(px)), np.float32)
    x, y = torch.from_numpy(px).float(), torch.from_numpy(py).float()
    for n, (lx, ly, *_) in enumerate(LAMPS):
        near = (np.hypot(px - lx, py - ly) < 5).nonzero()[0]
        if len(near):
            index = torch.from_numpy(near)
            dx, dy = x[index] - lx, y[index] - ly
            origin = torch.full((1,), lx), torch.full((1,), ly)
            depth = cast(surfaces_edges, *origin, dx[None], dy[None], 1.0).depth[0]
            seen[n, near] = (depth > 0.985).numpy()
    return seen


def _blur(grids: Array, radius: int, times: int = 2) -> Array:
    """Means of (N, rows, columns) over squares."""
    picture = torch.from_numpy(grids).float()[None]
    for _ in range(times):
        for across in (True, False):
            pad, size = (
                ((radius, radius, 0, 0), (1, 2 * radius + 1))
                if across
                else ((0, 0, radius, radius), (2 * radius + 1, 1))
            )
            picture = F.avg_pool2d(F.pad(picture, pad, mode="replicate"), size, 1)
    return picture[0].numpy()


_NORMALS = {"n": (0, -1), "s": (0, 1), "w": (-1, 0), "e": (1, 0)}
_COARSE = 8  # places in a cell at which lamplight is worked out


@lru_cache
def bake() -> Surfaces:
    """The whole place, painted and lit."""
    walls = [_paint_wall(edge, number) for number, edge in enumerate(edges())]
    ends = torch.tensor([(e.x0, e.y0, e.x1, e.y1) for e in edges()])
    ceiling, ceiling_glow, roof = _ceilings()
    planes = torch.cat(
        [
            plane_mips(torch.from_numpy(part).float())
            for part in (_lit_floor(*_floors(), walls, roof, ends), _lit_ceiling(ceiling, ceiling_glow, roof, ends))
        ]
    )
    first, origin, count = strip_table(ends, SCALE)
    strips = torch.zeros(int(count[0].sum()), LEVELS, 8)
    for number, (edge, texels) in enumerate(zip(edges(), _lit_walls(walls, roof, ends), strict=True)):
        begin = (edge.y0 if edge.upright else edge.x0) * SCALE
        place = int(first[0, number] + begin - origin[number])
        strips[place : place + texels.shape[1]] = torch.from_numpy(texels).float().transpose(0, 1)
    sizes = ((ROWS * SCALE, COLUMNS * SCALE), (ROWS * CEILING_SCALE, COLUMNS * CEILING_SCALE))
    return Surfaces(
        ends, first, origin, count, pack(strip_mips(strips)), LEVELS, SCALE,
        Planes(pack(planes), sizes, (SCALE, CEILING_SCALE)), pack(torch.from_numpy(_sky()).float()).flatten(),
        (SKY_ROWS, SKY_COLUMNS), SKY_LOW, SKY_HIGH, HEIGHT,
    )  # fmt: skip


def _lit_floor(colour: Array, glow: Array, walls: list[Wall], roof: Array, ends: torch.Tensor) -> Array:
    """Texels (rows, columns, 8) of the floor, on which the sun falls as well."""
    shade, lamp = _corners()[..., None], _lamps_on_plane(0.0, SCALE, ends)
    daylight = _around(SCALE) * shade + _sun_on_floor(walls, roof)[..., None] * _SUN_COLOUR * 0.62
    return _texels(colour, glow, np.ones(colour.shape[:2]), daylight, lamp * shade + 0.05)


def _lit_ceiling(colour: Array, glow: Array, roof: Array, ends: torch.Tensor) -> Array:
    """Texels (rows, columns, 8) of the ceiling."""
    coarser = SCALE // CEILING_SCALE
    shade, lamp = _corners()[::coarser, ::coarser][..., None], _lamps_on_plane(HEIGHT, CEILING_SCALE, ends)
    return _texels(colour, glow, roof, _around(CEILING_SCALE) * shade, lamp * shade + 0.05)


@lru_cache
def _solid() -> Array:
    """1 where there is rock or something stands, at every floor texel, (rows, columns)."""
    solid = (areas() < 0).repeat(SCALE, 0).repeat(SCALE, 1).astype(float)
    for x, y, w, d, _ in BOXES:
        solid[round(y * SCALE) : round((y + d) * SCALE), round(x * SCALE) : round((x + w) * SCALE)] = 1
    return solid


@lru_cache
def _corners() -> Array:
    """How much light is left beside what stands upright, at every floor texel, (rows, columns)."""
    return 1 - 0.75 * np.clip(_blur(_solid()[None], 9)[0], 0, 0.6)


def _around(scale: int) -> Array:
    """The light of each place's sky, (rows, columns, 3), at so many texels a cell."""
    ambient = np.array([_AMBIENT[letter] for letter in NAMES])
    return ambient[_filled(areas())].repeat(scale, 0).repeat(scale, 1)


def _lamps_on_plane(high: float, scale: int, ends: torch.Tensor) -> Array:
    """Lamplight (rows, columns, 3) on the floor or the ceiling `high` cells above it, worked out coarsely."""
    cy, cx = (np.mgrid[0 : ROWS * _COARSE, 0 : COLUMNS * _COARSE] + 0.5) / _COARSE
    known = _solid()[_COARSE // 2 :: SCALE // _COARSE, _COARSE // 2 :: SCALE // _COARSE] == 0
    near = _blur(known.astype(np.float32)[None], 1, 1).clip(1e-3)
    seen = np.zeros((len(LAMPS), *cy.shape), np.float32)
    seen[:, known] = _seen(ends, cx[known], cy[known])
    seen = _blur(seen * known, 1, 1) / near
    lamp = _lamplight(cx, cy, np.full_like(cx, high), (0, 0, 1.0 if high == 0 else -1.0), seen)
    fine = torch.from_numpy(lamp).permute(2, 0, 1)[None].float()
    return F.interpolate(fine, scale_factor=scale / _COARSE, mode="bilinear")[0].permute(1, 2, 0).numpy()


def _lit_walls(walls: list[Wall], roof: Array, ends: torch.Tensor) -> Iterator[Array]:
    """Texels (levels, columns, 8) of every wall."""
    level = (np.arange(LEVELS) + 0.5) / LEVELS
    rim = (1 - 0.30 * np.exp(-(1 - level) * 14) - 0.16 * np.exp(-level * 16))[:, None]
    places = [_before(edge) for edge in edges()]
    rough = slice(None, None, 4)
    all_x, all_y = (np.concatenate([place[axis] for place in places]) for axis in (0, 1))
    seen = _seen(ends, all_x[rough], all_y[rough]).repeat(4, 1)[:, : len(all_x)]
    start = 0
    for number, (edge, wall, (x, y)) in enumerate(zip(edges(), walls, places, strict=True)):
        n = len(x)
        z = HEIGHT * (1 - level[::4])[:, None]
        px, py = x[None] + 0 * z, y[None] + 0 * z
        visible = seen[:, None, start : start + n]
        start += n
        lamp = _lamplight(px, py, z + 0 * px, (*_NORMALS[edge.facing], 0.0), visible).repeat(4, 0)
        edges_dark = np.ones((1, n))
        if edge.kind == "wall":
            away = np.minimum(np.arange(n), np.arange(n)[::-1]) / SCALE
            edges_dark = (1 - 0.28 * np.exp(-away * 7))[None]
        shade = (rim * edges_dark)[..., None]
        side = {"n": 1.0, "s": 0.86, "w": 0.94, "e": 0.80}[edge.facing]
        sun = _sun_on_wall(number, walls, roof)[..., None] * _SUN_COLOUR * 0.66
        daylight = np.array(_AMBIENT[edge.area]) * side * shade + sun
        yield _texels(wall.colour, wall.glow, wall.cover, daylight, lamp * shade + 0.05)


def _before(edge: Edge) -> tuple[Array, Array]:
    """x and y a little before every column of a wall's texels."""
    along = (np.arange(round(edge.length * SCALE)) + 0.5) / SCALE
    nx, ny = _NORMALS[edge.facing]
    x = (edge.x0 if edge.upright else edge.x0 + along) + nx * 0.02 + 0 * along
    y = (edge.y0 + along if edge.upright else edge.y0) + ny * 0.02 + 0 * along
    return x, y


def _texels(colour: Array, glow: Array, cover: Array, daylight: Array, lamp: Array) -> Array:
    """Both layers of light and the cover, (..., 8)."""
    texels = np.zeros((*colour.shape[:2], 8), np.float32)
    texels[..., :3] = np.clip(colour * daylight + glow * 0.25, 0, 1) * cover[..., None]
    texels[..., 3:6] = np.clip(colour * lamp + glow, 0, 1) * cover[..., None]
    texels[..., 6] = cover
    return texels


def _filled(grid: Array) -> Array:
    """Rock takes the area of a neighbour."""
    filled = grid.copy()
    for _ in range(3):
        for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
            filled = np.where(filled < 0, np.roll(filled, shift, axis), filled)
    return filled.clip(min=0)


assert 2 ** (MIPS - 1) <= SCALE // 4
