"""What upright surfaces between one floor and one ceiling look like: ray casting in plan, and antialiased texels.

A place is a set of axis-aligned *edges* in plan, each an upright face from the ground to one height, with texels of its
own; floor and ceiling are pictures seen from above; what no surface covers is sky, a picture by direction. Every
texel has two layers of light, by day and by lamp, and how much of it there is: the rest shows the sky. A wall's
colours along one column of the picture are one strip of its texels, so it is fetched once a column, summed up, and
every pixel is the difference of two sums: exact at any distance, near ones without blur. Knows no learning and no
simulator; both draw with it. Lengths are in cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera

CHANNELS = 8  # of a texel: day RGB, lamp RGB, cover, unused
MIPS = 5  # sizes that a wall's texels are kept in, each half as wide as the one before
PLANE_MIPS = 6
_NEAR, _FARTHEST = 0.05, 1e4
_EVEN_BYTES = 0x00FF00FF00FF00FF
SAMPLES = ((-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))  # of a pixel, right and down


class Table:
    """Texels that are being learned: whoever fits them finds out what was looked up, and the gradients of that.

    Args:
        data: (N, ..., 8) float 0..1.
    """

    def __init__(self, data: Tensor) -> None:
        self.data = data
        self.taken: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return len(self.data)

    def rows(self, index: Tensor) -> Tensor:
        """Rows `index` (...), which gradients will be found in `taken` of: (..., 8)."""
        index = index.flatten()
        found = self.data.index_select(0, index)
        if torch.is_grad_enabled():
            self.taken.append((index, found.requires_grad_()))
        return found


Texels = Tensor | Table
"""int64, the eight bytes of one; or floats 0..1 with a last axis of 8; or a Table of these."""


@dataclass(frozen=True)
class Planes:
    """Floor and ceiling in PLANE_MIPS sizes: the floor's largest first, then the ceiling's.

    texels: of all of them. sizes: (2, 2), rows and columns of the floor's and
    the ceiling's largest size. scales: their texels in a cell.
    """

    texels: Texels
    sizes: tuple[tuple[int, int], tuple[int, int]]
    scales: tuple[int, int]

    def tables(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """First texel, columns and texels in a cell of every size, each (2 PLANE_MIPS,): the floor's first."""
        return _plane_tables(self.sizes, self.scales, device)


@cache
@torch.inference_mode(False)
def _plane_tables(
    sizes: tuple[tuple[int, int], tuple[int, int]], scales: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """As Planes.tables; every frame asks for them."""
    rows, columns = ([size[axis] >> m for size in sizes for m in range(PLANE_MIPS)] for axis in (0, 1))
    areas = [r * c for r, c in zip(rows, columns, strict=True)]
    starts = [sum(areas[:m]) for m in range(len(areas))]
    cell = [scale / 2**m for scale in scales for m in range(PLANE_MIPS)]
    first, wide = (torch.tensor(part, dtype=torch.int32, device=device) for part in (starts, columns))
    return first, wide, torch.tensor(cell, device=device)


@cache
@torch.inference_mode(False)
def _samples(device: torch.device) -> tuple[Tensor, Tensor]:
    """Of a pixel, right and down of its middle: (S, 1, 1) each, for an axis of samples before (B, columns or rows)."""
    right, lower = torch.tensor(SAMPLES, device=device).T[..., None, None].unbind()
    return right, lower


@cache
@torch.inference_mode(False)
def _pattern(device: torch.device) -> Tensor:
    """Which of a texel's numbers goes to which of RGB and cover: (8, 4) ones."""
    pattern = torch.zeros(CHANNELS, 4)
    pattern[(0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 0, 1, 2, 3)] = 1
    return pattern.to(device)


@dataclass(frozen=True)
class Surfaces:
    """Everything that can be seen.

    Attributes:
        edges: (E, 4) x, y of the beginning and x, y of the end, cells; axis-aligned.
        first: (MIPS, E) index of each edge's first strip, by size. origin: (E,) where that strip begins, in texels of
            the largest size along the edge's axis. count: (MIPS, E) strips of an edge.
        strips: (N, levels), from the top of the wall to the ground. levels: texels of one.
        scale: strips of the largest size in a cell.
        planes: see Planes. sky: (rows x columns,); sky_size: rows, columns; low, high: slopes of its rows.
        height: of the walls, cells.
    """

    edges: Tensor
    first: Tensor
    origin: Tensor
    count: Tensor
    strips: Texels
    levels: int
    scale: int
    planes: Planes
    sky: Texels
    sky_size: tuple[int, int]
    low: float
    high: float
    height: float

    @property
    def packed(self) -> bool:
        """Whether texels are bytes."""
        return isinstance(self.strips, Tensor) and self.strips.dtype == torch.int64


@dataclass(frozen=True)
class Light:
    """How bright the layers are now, each (B, 3): walls and planes by day and by lamp, the sky by day and by night."""

    day: Tensor
    lamp: Tensor
    sky: Tensor
    night: Tensor


def pack(texels: Tensor) -> Tensor:
    """(..., 8) float 0..1 -> (...) int64, a byte a channel."""
    return (texels.clamp(0, 1) * 255).round().to(torch.uint8).contiguous().view(torch.int64)[..., 0]


def _fetch(texels: Texels, index: Tensor) -> Tensor:
    """Rows `index` (...) of texels: (..., [levels,] 8), 0..255 if they are packed and 0..1 if not."""
    if isinstance(texels, Table):
        return texels.rows(index).view(*index.shape, *texels.data.shape[1:])
    if texels.dtype == torch.int64:
        found = texels.index_select(0, index.flatten()).view(*index.shape, *texels.shape[1:], 1)
        return found.view(torch.uint8).float()
    rows = F.embedding(index, texels.flatten(1))
    return rows.view(*index.shape, *texels.shape[1:])


def _sum(texels: Texels, index: Tensor) -> Tensor:
    """Sums of the rows `index` (S, P) of texels over S: their numbers 0, 2, 4, 6, then their numbers 1, 3, 5, 7, each
    (P, 4), as (2, P, 4)."""
    if isinstance(texels, Tensor) and texels.dtype == torch.int64:
        # eight bytes at a time: as two times four numbers of 16 bits, whose sums do not overflow
        found = texels.index_select(0, index.flatten()).view(index.shape)
        halves = torch.stack(((found & _EVEN_BYTES).sum(0), ((found >> 8) & _EVEN_BYTES).sum(0)))
        return halves[..., None].view(torch.int16).float()
    return _fetch(texels, index).sum(0).unflatten(1, (4, 2)).permute(2, 0, 1)


def plane_mips(texels: Tensor) -> Tensor:
    """(rows, columns, 8) float -> (N, 8): all sizes."""
    picture, sizes = texels.permute(2, 0, 1)[None], []
    for _ in range(PLANE_MIPS):
        sizes.append(picture[0].flatten(1).T)
        picture = F.avg_pool2d(picture, 2)
    return torch.cat(sizes)


def strip_mips(strips: Tensor) -> Tensor:
    """(N, levels, 8) float of the largest size, every edge's a multiple of 2^(MIPS-1) -> all sizes, largest first."""
    sizes = [strips]
    for _ in range(MIPS - 1):
        sizes.append((sizes[-1][0::2] + sizes[-1][1::2]) / 2)
    return torch.cat(sizes)


def strip_table(edges: Tensor, scale: int) -> tuple[Tensor, Tensor, Tensor]:
    """`first`, `origin` and `count` of Surfaces for edges (E, 4)."""
    block = 2 ** (MIPS - 1)
    low = torch.minimum(edges[:, :2], edges[:, 2:]).double()
    high = torch.maximum(edges[:, :2], edges[:, 2:]).double()
    along = (high - low).argmax(1, keepdim=True)
    begin, end = low.gather(1, along)[:, 0], high.gather(1, along)[:, 0]
    origin = (begin * scale / block + 0.2).floor() * block
    blocks = ((end * scale - origin) / block - 0.2).ceil().clamp(min=1)
    counts = torch.stack([blocks * block / 2**m for m in range(MIPS)]).long()
    flat = counts.flatten().cumsum(0) - counts.flatten()
    return flat.view_as(counts), origin.float(), counts


@dataclass(frozen=True)
class Hits:
    """What the rays (B, N) hit first: its depth, the edge's number, the place along it, and how much of that a ray
    stands for, in texels of the largest size."""

    depth: Tensor
    edge: Tensor
    along: Tensor
    width: Tensor


def cast(edges: Tensor, x: Tensor, y: Tensor, dx: Tensor, dy: Tensor, spread: float) -> Hits:
    """First of the edges (E, 4) along rays from (B,) in directions (B, N), whose unit is that of depth.

    spread: how far apart neighbouring rays are at depth 1, in texels a cell.
    """
    upright = edges[:, 0] == edges[:, 2]  # runs along y
    line = torch.where(upright, edges[:, 0], edges[:, 1])
    begin = torch.where(upright, edges[:, 1], edges[:, 0])
    end = torch.where(upright, edges[:, 3], edges[:, 2])
    low, high = torch.minimum(begin, end) - 1e-4, torch.maximum(begin, end) + 1e-4
    # along the axis that an edge keeps, and along the other
    safe_x, safe_y = (torch.where(part.abs() < 1e-7, 1e-7, part)[..., None] for part in (dx, dy))
    gap = line - torch.where(upright, x[:, None], y[:, None])
    depth = gap[:, None] * torch.where(upright, 1 / safe_x, 1 / safe_y)
    along = torch.addcmul(
        torch.where(upright, y[:, None], x[:, None])[:, None], depth, torch.where(upright, dy[..., None], dx[..., None])
    )
    missed = (depth <= _NEAR) | (along < low) | (along > high)
    depth, edge = depth.masked_fill(missed, _FARTHEST).min(2)
    along = along.gather(2, edge[..., None])[..., 0]
    across = torch.where(upright[edge], dx, dy).abs().clamp(min=1e-7)
    return Hits(depth, edge, along, depth / across * spread)


@dataclass(frozen=True)
class Picture:
    """frames (B, 3, H, W) 0..1 and not clamped; nearness (B, H, W), 1 / depth of every pixel."""

    frames: Tensor
    nearness: Tensor


Eyes = tuple[Tensor, Tensor, Tensor, Tensor]
"""x, y, yaw and pitch, each (B,)."""


def draw(surfaces: Surfaces, eyes: Eyes, camera: Camera, light: Light, rays: int = 1) -> Picture:
    """What eyes see by that light; rays: in a column of the picture."""
    x, y, yaw, pitch = eyes
    batch, height, width = len(x), camera.height, camera.width
    eye, focal = camera.config.eye_height, camera.focal
    cos, sin = yaw.cos()[:, None], yaw.sin()[:, None]
    across = camera.columns(rays).view(rays, width).T.reshape(1, -1)  # a column's rays side by side
    spread = surfaces.scale / (focal * rays)
    hits = cast(surfaces.edges, x, y, cos - across * sin, sin + across * cos, spread)
    horizon = camera.horizon(pitch)[:, None]
    # everything column by column, and a colour's channels apart: what is told of a column is then told of whole runs
    walls, cover = _walls(surfaces, hits, _mixing(surfaces, light.day, light.lamp), horizon, camera)
    if rays > 1:
        walls, cover = walls.unflatten(2, (width, rays)).mean(3), cover.unflatten(1, (width, rays)).mean(2)
    picture, rest = walls.flatten(1), (1 - cover).flatten()  # (4, all pixels): colour and cover, added to in place
    down = camera.rows[None] - horizon
    # planes and sky are looked up only where they are seen: planes where no wall stands, sky where nothing hides it
    bare = _numbers(rest > 1e-3)
    planes = _planes(surfaces, eyes, camera, light, down, bare)
    picture.scatter_add_(1, bare.expand(4, -1), planes * rest.index_select(0, bare))
    gap = 1 - picture[3]
    far = _numbers(gap > 2e-3)
    if len(far):
        sky = _sky(surfaces, eyes, camera, light, down, far)
        picture.scatter_add_(1, far.expand(4, -1), sky * gap.index_select(0, far))
    on_wall = (1 / hits.depth).view(batch, width, rays).amax(2)[..., None]
    on_plane = (down / (eye * focal)).clamp(min=0) + (-down / ((surfaces.height - eye) * focal)).clamp(min=0)
    frames = picture[:3].view(3, batch, width, height).permute(1, 0, 3, 2)
    return Picture(frames, torch.maximum(on_wall, on_plane[:, None]).mT)


def _numbers(mask: Tensor) -> Tensor:
    """Of the pixels that are set; of all, where the host would have to wait for a device or there is no data."""
    flat = mask.flatten()
    if flat.device.type != "cpu":
        return torch.arange(len(flat), device=flat.device)
    return flat.nonzero()[:, 0]


def _mixing(surfaces: Surfaces, first: Tensor, second: Tensor) -> Tensor:
    """What turns a texel's eight numbers into RGB and cover: (B, 8, 4), from the gains (B, 3) of both layers."""
    gains = F.pad(torch.cat((first, second), 1), (0, 2), value=1.0)
    return gains[..., None] * (_pattern(first.device) / (255 if surfaces.packed else 1))


def _walls(surfaces: Surfaces, hits: Hits, mixing: Tensor, horizon: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Every ray's column of pixels: colour and how much of it hides the sky (4, B, N, H), all times its share of the
    pixel, and that share (B, N, H)."""
    size = hits.width.log2().ceil().clamp(0, MIPS - 1)
    shrink = torch.exp2(-size)
    size = size.long()
    place = (hits.along * surfaces.scale - surfaces.origin[hits.edge]) * shrink
    half = (hits.width * shrink).clamp(max=1.0) / 2
    low, high = (place - half).floor(), (place + half).floor()
    share = ((place + half - high) / (2 * half)).clamp(0, 1) * (high > low)
    first, last = surfaces.first[size, hits.edge], surfaces.count[size, hits.edge] - 1
    both = torch.stack((low, high), 1).long()
    both = torch.minimum(both.clamp(min=0), last[:, None]) + first[:, None]  # (B, 2, N)
    batch, n, levels = *hits.depth.shape, surfaces.levels
    texels = _fetch(surfaces.strips, both).view(batch, -1, CHANNELS)
    lit = (mixing.mT @ texels.mT).view(batch, 4, 2, n, levels).transpose(0, 1)
    lit = torch.lerp(lit[:, :, 0], lit[:, :, 1], share[..., None])
    sums = F.pad(lit.cumsum(-1), (1, 0))  # (4, B, N, levels + 1)
    top = horizon - (surfaces.height - camera.config.eye_height) * camera.focal / hits.depth
    tall = surfaces.height * camera.focal / hits.depth
    rim = torch.arange(camera.height + 1, device=top.device, dtype=top.dtype)
    level = ((rim - top[..., None]) / tall[..., None]).clamp(0, 1)  # (B, N, H + 1)
    where = level * levels
    below = where.detach().floor().clamp(max=levels - 1)
    index = below.long()
    lower, upper = (sums.gather(-1, part.expand(4, -1, -1, -1)) for part in (index, index + 1))
    reached = torch.lerp(lower, upper, where - below)
    return reached.diff() * (tall / levels)[..., None], level.diff() * tall[..., None]


def _planes(surfaces: Surfaces, eyes: Eyes, camera: Camera, light: Light, down: Tensor, pixels: Tensor) -> Tensor:
    """Floor and ceiling as if no wall stood there, at numbered pixels of all (P,): RGB and how much of it hides the
    sky, (4, P)."""
    x, y, yaw, _ = eyes
    eye, focal = camera.config.eye_height, camera.focal
    below = down > 0
    reach = torch.where(below, eye, surfaces.height - eye) * focal  # depth = reach / |down|
    starts, widths, scales = surfaces.planes.tables(x.device)
    plain = torch.where(below, 0, PLANE_MIPS)
    scale = torch.where(below, *surfaces.planes.scales)
    cos, sin = yaw.cos()[:, None], yaw.sin()[:, None]
    right, lower = _samples(x.device)
    distance = reach / (down + lower).abs().clamp(min=0.4)  # (S, B, H)
    # the texel is as wide as a pixel, or a quarter as deep: four samples lie behind each other
    texel = torch.maximum(distance / focal, distance.square() / (reach * 4)) * scale
    size = plain + texel.log2().round().clamp(0, PLANE_MIPS - 1).long()
    fine, far = scales[size], distance * scales[size]
    aside = (camera.columns(1) + right[..., 0] / focal)[..., None]  # (S, W, 1)
    rows = (
        x[:, None] * fine + far * cos, -far * sin, y[:, None] * fine + far * sin, far * cos, widths[size], starts[size]
    )  # fmt: skip
    indices = []
    per_sample = zip(aside, *(row[:, :, None] for row in rows), strict=True)
    for column, start_x, step_x, start_y, step_y, wide, start in per_sample:
        across = torch.addcmul(start_x, step_x, column).int()
        along = torch.addcmul(start_y, step_y, column).int()
        indices.append(torch.addcmul(across + start, along, wide).flatten().index_select(0, pixels))
    index = torch.stack(indices).clamp_(0, len(surfaces.planes.texels) - 1)
    count = down.numel() * camera.width
    return _lit(surfaces, surfaces.planes.texels, index, light.day, light.lamp, pixels, count)


def _sky(surfaces: Surfaces, eyes: Eyes, camera: Camera, light: Light, down: Tensor, pixels: Tensor) -> Tensor:
    """The sky at numbered pixels of all (P,): (4, P)."""
    rows, columns = surfaces.sky_size
    fine = rows / (surfaces.high - surfaces.low)
    right, lower = _samples(down.device)
    aside = camera.columns(1) + right[..., 0] / camera.focal  # (S, W)
    steep = (fine / camera.focal) / torch.hypot(torch.ones_like(aside), aside)
    place = ((eyes[2][:, None] + aside[:, None].atan()) * (columns / (2 * math.pi))).floor().int() % columns
    indices = []
    for sample in range(len(SAMPLES)):
        row = surfaces.high * fine + (down + lower[sample])[:, None] * steep[sample, :, None]
        at = row.clamp_(0, rows - 1).int() * columns + place[sample, ..., None]
        indices.append(at.flatten().index_select(0, pixels))
    index = torch.stack(indices)
    return _lit(surfaces, surfaces.sky, index, light.sky, light.night, pixels, down.numel() * camera.width)


def _lit(
    surfaces: Surfaces, texels: Texels, index: Tensor, first: Tensor, second: Tensor, pixels: Tensor, count: int
) -> Tensor:
    """Means of the texels `index` (S, P) as RGB and cover by the gains (B, 3) of their layers, at numbered pixels (P,)
    of `count`: (4, P)."""
    even, odd = _sum(texels, index)
    mixing = _mixing(surfaces, first, second) / len(index)
    if len(mixing) == 1:
        return torch.addmm(mixing[0, 0::2].T @ even.T, mixing[0, 1::2].T, odd.T)
    who = pixels // (count // len(mixing))
    gains = mixing.diagonal(0, 1, 2)[:, :3], mixing[:, 3:6].diagonal(0, 1, 2)
    by_first, by_second = (gain.T.index_select(1, who) for gain in gains)
    numbers = torch.stack((even.T, odd.T), 1).flatten(0, 1)  # (8, P)
    colour = numbers[:3] * by_first + numbers[3:6] * by_second
    return torch.cat((colour, numbers[6:7] * mixing[0, 6, 3]))
