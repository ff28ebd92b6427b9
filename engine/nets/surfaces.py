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

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera

CHANNELS = 8  # of a texel: day RGB, lamp RGB, cover, unused
MIPS = 5  # sizes that a wall's texels are kept in, each half as wide as the one before
PLANE_MIPS = 6
_NEAR = 0.05
_SAMPLES = ((-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))  # of a pixel, right and down


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

    def tables(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """First texel, rows, columns and texels in a cell of every size, each (2 PLANE_MIPS,): the floor's first."""
        rows = [size[0] >> m for size in self.sizes for m in range(PLANE_MIPS)]
        columns = [size[1] >> m for size in self.sizes for m in range(PLANE_MIPS)]
        scales = [scale / 2**m for scale in self.scales for m in range(PLANE_MIPS)]
        areas = [r * c for r, c in zip(rows, columns, strict=True)]
        starts = [sum(areas[:m]) for m in range(len(areas))]
        return tuple(torch.tensor(part, device=device) for part in (starts, rows, columns, scales))  # type: ignore[return-value]


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
    hit = (depth > _NEAR) & (along >= low) & (along <= high)
    depth, edge = torch.where(hit, depth, 1e4).min(2)
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
    walls, cover = _walls(surfaces, hits, _mixing(surfaces, light.day, light.lamp), horizon, camera)
    walls = walls.view(batch, width, rays, height, 4).mean(2).transpose(1, 2)  # (B, H, W, 4)
    cover = cover.view(batch, width, rays, height).mean(2).transpose(1, 2)
    seen, rest = walls[..., 3], (1 - cover)[..., None]
    down = camera.rows[None] - horizon
    # planes and sky are looked up only where they are seen
    bare = _numbers(cover < 0.999)
    planes = _planes(surfaces, eyes, camera, light, down, bare).view(*cover.shape, 4)
    frames = walls[..., :3] + planes[..., :3] * rest
    gap = cover - seen + (1 - planes[..., 3]) * rest[..., 0]
    far = _numbers(gap > 2e-3)
    if len(far):
        frames = frames + _sky(surfaces, eyes, camera, light, down, far).view(*cover.shape, 4)[..., :3] * gap[..., None]
    on_wall = (1 / hits.depth).view(batch, width, rays).amax(2)[:, None]
    on_plane = (down / (eye * focal)).clamp(min=0) + (-down / ((surfaces.height - eye) * focal)).clamp(min=0)
    return Picture(frames.permute(0, 3, 1, 2), torch.maximum(on_wall, on_plane[..., None]))


def _numbers(mask: Tensor) -> Tensor:
    """Of the pixels that are set; of all, where the host would have to wait for a device or there is no data."""
    flat = mask.flatten()
    if flat.device.type != "cpu":
        return torch.arange(len(flat), device=flat.device)
    return flat.nonzero()[:, 0]


def _mixing(surfaces: Surfaces, first: Tensor, second: Tensor) -> Tensor:
    """What turns a texel's eight numbers into RGB and cover: (B, 8, 4), from the gains (B, 3) of both layers."""
    mixing = first.new_zeros(len(first), CHANNELS, 4)
    three = torch.arange(3, device=first.device)
    mixing[:, three, three] = first
    mixing[:, 3 + three, three] = second
    mixing[:, 6, 3] = 1
    return mixing / 255 if surfaces.packed else mixing


def _walls(surfaces: Surfaces, hits: Hits, mixing: Tensor, horizon: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
    """Every ray's column of pixels: colour and how much of it hides the sky (B, N, H, 4), all times its share of the
    pixel, and that share (B, N, H)."""
    size = hits.width.log2().ceil().clamp(0, MIPS - 1)
    shrink = torch.exp2(-size)
    size = size.long()
    place = (hits.along * surfaces.scale - surfaces.origin[hits.edge]) * shrink
    half = (hits.width * shrink).clamp(max=1.0) / 2
    low, high = (place - half).floor(), (place + half).floor()
    share = ((place + half - high) / (2 * half)).clamp(0, 1) * (high > low)
    first, last = surfaces.first[size, hits.edge], surfaces.count[size, hits.edge] - 1
    zero = torch.zeros_like(last)

    def strips(index: Tensor) -> Tensor:
        return _fetch(surfaces.strips, first + torch.minimum(torch.maximum(index.long(), zero), last))

    batch, n, levels = *hits.depth.shape, surfaces.levels
    texels = torch.lerp(strips(low), strips(high), share[..., None, None])
    lit = (texels.view(batch, n * levels, CHANNELS) @ mixing).view(batch * n, levels, 4)
    sums = F.pad(lit.cumsum(1), (0, 0, 1, 0)).view(-1, 4)
    top = horizon - (surfaces.height - camera.config.eye_height) * camera.focal / hits.depth
    tall = surfaces.height * camera.focal / hits.depth
    rim = torch.arange(camera.height + 1, device=top.device, dtype=top.dtype)
    level = ((rim - top[..., None]) / tall[..., None]).clamp(0, 1)  # (B, N, H + 1)
    where = level * levels
    below = where.detach().floor().clamp(max=levels - 1)
    column = torch.arange(batch * n, device=top.device).view(batch, n, 1) * (levels + 1)
    index = (below.long() + column).flatten()
    lower, upper = sums.index_select(0, index), sums.index_select(0, index + 1)
    reached = torch.lerp(lower, upper, (where - below).view(-1, 1)).view(batch, n, -1, 4)
    return reached.diff(dim=2) * (tall / levels)[..., None, None], level.diff(dim=2) * tall[..., None]


def _planes(surfaces: Surfaces, eyes: Eyes, camera: Camera, light: Light, down: Tensor, pixels: Tensor) -> Tensor:
    """Floor and ceiling as if no wall stood there, at numbered pixels of all (P,), 0 at the others: RGB and how much
    of it hides the sky, (all, 4)."""
    x, y, yaw, _ = eyes
    eye, focal = camera.config.eye_height, camera.focal
    below = down > 0
    reach = torch.where(below, eye, surfaces.height - eye) * focal  # depth = reach / |down|
    starts, _, widths, scales = surfaces.planes.tables(x.device)
    plain = torch.where(below, 0, PLANE_MIPS)
    scale = torch.where(below, *surfaces.planes.scales)
    cos, sin = yaw.cos()[:, None], yaw.sin()[:, None]
    middle = camera.columns(1)
    indices = []
    for right, lower in _SAMPLES:
        distance = reach / (down + lower).abs().clamp(min=0.4)  # (B, H)
        # the texel is as wide as a pixel, or a quarter as deep: four samples lie behind each other
        texel = torch.maximum(distance / focal, distance.square() / (reach * 4)) * scale
        size = plain + texel.log2().round().clamp(0, PLANE_MIPS - 1).long()
        fine, wide = scales[size], widths[size].int()[..., None]
        aside, far = (middle + right / focal)[None, None], distance * fine
        across = torch.addcmul((x[:, None] * fine + far * cos)[..., None], (-far * sin)[..., None], aside).int()
        along = torch.addcmul((y[:, None] * fine + far * sin)[..., None], (far * cos)[..., None], aside).int()
        indices.append((along * wide + across + starts[size].int()[..., None]).flatten().index_select(0, pixels))
    index = torch.stack(indices).clamp(0, len(surfaces.planes.texels) - 1)
    return _lit(
        surfaces,
        _fetch(surfaces.planes.texels, index).mean(0),
        light.day,
        light.lamp,
        pixels,
        down.numel() * len(middle),
    )


def _sky(surfaces: Surfaces, eyes: Eyes, camera: Camera, light: Light, down: Tensor, pixels: Tensor) -> Tensor:
    """The sky at numbered pixels of all (P,), 0 at the others: (all, 4)."""
    rows, columns = surfaces.sky_size
    fine = rows / (surfaces.high - surfaces.low)
    middle, indices = camera.columns(1), []
    for right, lower in _SAMPLES:
        aside = middle + right / camera.focal
        steep = (fine / camera.focal) / torch.hypot(torch.ones_like(aside), aside)
        row = (surfaces.high * fine + (down + lower)[..., None] * steep).clamp(0, rows - 1).int()
        place = ((eyes[2][:, None] + aside.atan()) * (columns / (2 * math.pi))).floor().int() % columns
        indices.append((row * columns + place[:, None]).flatten().index_select(0, pixels))
    texels = _fetch(surfaces.sky, torch.stack(indices)).mean(0)
    return _lit(surfaces, texels, light.sky, light.night, pixels, down.numel() * len(middle))


def _lit(surfaces: Surfaces, texels: Tensor, first: Tensor, second: Tensor, pixels: Tensor, count: int) -> Tensor:
    """Texels (P, 8) as RGB and cover by the gains (B, 3) of their layers, at numbered pixels of `count`: (count, 4)."""
    mixing = _mixing(surfaces, first, second)
    if len(mixing) == 1:
        lit = texels @ mixing[0]
    else:
        who = pixels // (count // len(mixing))
        one = 255 if surfaces.packed else 1
        colour = texels[:, :3] * (first / one).index_select(0, who) + texels[:, 3:6] * (second / one).index_select(
            0, who
        )
        lit = torch.cat((colour, texels[:, 6:7] / one), 1)
    return lit.new_zeros(count, 4).index_copy(0, pixels, lit)
