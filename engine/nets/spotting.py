"""Finds who is in a picture: what the memory does not explain is compared with every look, side and stride.

Analysis by synthesis, as the recogniser's closer look. Where picture and memory differ, and somebody could stand there,
every tile is drawn there and the one that explains most is kept, moved until it fits, and taken away; until nothing
more is explained. Whoever is not in the picture is put where such are met, out of sight. A picture that the memory does
not explain at all says nothing about who is in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.cards import draw_cards
from engine.nets.slots import OPENS, ROLLS, WALKS, SlotMemory, Slots, beside, chance
from engine.nets.spatial_memory import Pose, SpatialMemory
from engine.nets.surfaces import Light, Picture

_FOREIGN = 0.16  # mean error (of 0..1) at which the memory explains nothing of the picture
_TAKEN = 0.25  # share of the error within its outline that somebody must explain to be there
_LEAST = 0.05  # mean error that must be explained, a pixel of the outline
_TRIES = 8  # places looked at in earnest, at most
_DEPTHS = tuple(0.45 * 1.22**n for n in range(16))
_DRAWS = 24  # places drawn for somebody who is out of sight
_MARGIN = 0.15  # cells beside its foot that somebody may be seen
_SETTLED = 30  # video frames after which a door is as it will be
_STEP = 4  # columns of the picture between places looked at
_SUSPICIOUS = 0.45  # mean error of a part of the picture, times the root of its pixels, that is looked at in earnest
_GRID = (16, 10)  # points of a tile that are compared
_MOVED = 0.15  # what a move costs, in shares of the error


@dataclass(frozen=True)
class _Scene:
    """One picture, small, as it is explained so far."""

    true: Tensor  # (3, H, W) 0..1
    picture: Picture  # of one eye
    camera: Camera
    pose: Pose
    light: Light

    @property
    def eyes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.pose.x, self.pose.y, self.pose.yaw, self.pose.pitch

    def error(self) -> Tensor:
        """(H, W), of each pixel."""
        return (self.picture.frames[0] - self.true).abs().mean(0)


@torch.no_grad()
def find(frames: Tensor, pose: Pose, memory: SpatialMemory, slots: SlotMemory, camera: Camera, seed: int) -> Slots:
    """Who is where in worlds whose pictures (B, 3, H, W) in -1..1 were taken at `pose`.

    seed: of those who are not in the picture; the world number n of a batch is as one alone with seed + n.
    """
    if frames.is_meta:
        return nobody(frames, slots.config.count)
    worlds = [
        _find_one(frames[n : n + 1], Pose(*(part[n : n + 1] for part in vars(pose).values())), memory, slots, camera,
                  seed + n)
        for n in range(len(frames))
    ]  # fmt: skip
    return Slots(*(torch.cat([getattr(world, name) for world in worlds]) for name in vars(worlds[0])))


def nobody(frames: Tensor, count: int) -> Slots:
    """Slots of worlds in which nobody is."""
    empty = torch.zeros(len(frames), count, device=frames.device)
    return Slots(empty.long(), empty.bool(), *[empty] * 7)


def _find_one(frame: Tensor, pose: Pose, memory: SpatialMemory, slots: SlotMemory, camera: Camera, seed: int) -> Slots:
    view = memory.look(pose, camera)
    light = memory.light_at(pose.hour)
    scene = _Scene(frame[0].float() / 2 + 0.5, Picture(view.frames / 2 + 0.5, view.nearness), camera, pose, light)
    state = _hidden(scene, memory, slots, seed)
    if float(scene.error().mean()) > _FOREIGN:
        return state
    scene, state = _doors(scene, slots, state)
    return _walkers(scene, memory, slots, state)


# -- who is out of sight ---------------------------------------------------------------------------------------------
def _hidden(scene: _Scene, memory: SpatialMemory, slots: SlotMemory, seed: int) -> Slots:
    """Everybody where such are met, but not in sight; doors shut."""
    config, device = slots.config, slots.census.device
    look = (slots.census.long() - 1).clamp(min=0)[None]
    there = slots.census[None] > 0
    draws = chance(seed, -1, 1, config.count, 2 * _DRAWS + 2).to(device)[0]
    per, (rows, columns) = config.met, slots.met.shape[1:]
    often = slots.met.float().flatten(1)[look[0]] + 1e-6  # (K, places)
    heaps = often.cumsum(1)
    place = torch.searchsorted(heaps, draws[:, :_DRAWS] * heaps[:, -1:]).clamp(max=rows * columns - 1)  # (K, draws)
    inside = draws[:, _DRAWS : 2 * _DRAWS]
    x = (place % columns + inside) / per
    y = (place // columns + (inside * 7.31) % 1) / per
    bad = (memory.standing(x.flatten(), y.flatten()).view_as(x) <= 0) | in_sight(scene, x, y)
    best = bad.float().argmin(1, keepdim=True)
    x, y = x.gather(1, best)[:, 0], y.gather(1, best)[:, 0]
    ends = (slots.shut[:, :2] + slots.shut[:, 2:]) / 2
    opens = slots.dynamics.role[look[0]] == OPENS
    x, y = torch.where(opens, ends[:, 0], x), torch.where(opens, ends[:, 1], y)
    zero = torch.zeros_like(x)[None]
    faces = slots.headings.cumsum(0)
    heading = torch.searchsorted(faces, draws[:, -2] * faces[-1]).clamp(max=len(faces) - 1)[None]
    heading, stride = heading * (2 * math.pi / len(faces)), draws[None, :, -1]
    hidden_in_sight = (~opens & in_sight(scene, x[:, None], y[:, None])[:, 0])[None]
    return Slots(look, there & ~hidden_in_sight, x[None], y[None], heading, zero, zero, stride, zero)


def in_sight(scene: _Scene, x: Tensor, y: Tensor) -> Tensor:
    """Whether what stands at x, y (any shape) is in the picture."""
    pose, camera = scene.pose, scene.camera
    cos, sin = pose.yaw.cos(), pose.yaw.sin()
    depth = (x - pose.x) * cos + (y - pose.y) * sin
    aside = (y - pose.y) * cos - (x - pose.x) * sin
    wall, seen = scene.picture.nearness[0].amin(0), torch.zeros_like(depth, dtype=torch.bool)
    for shift in (-_MARGIN, 0.0, _MARGIN):  # some of it may look out from behind a pillar
        column = (aside + shift) / depth.clamp(min=0.05) * camera.focal + camera.width / 2
        nearest = wall[column.clamp(0, camera.width - 1).long()]
        seen = seen | ((column >= 0) & (column < camera.width) & (depth * nearest < 1.05))
    return (depth > 0.05) & seen


# -- who is in sight -------------------------------------------------------------------------------------------------
def _with(scene: _Scene, slots: SlotMemory, who: Slots, which: list[int] | None = None) -> _Scene:
    """The scene with these in its picture."""
    made = draw_cards(
        scene.picture, slots.cards(who, scene.eyes, which), slots.atlas(), scene.eyes, scene.camera, scene.light
    )
    return replace(scene, picture=made)


def _doors(scene: _Scene, slots: SlotMemory, state: Slots) -> tuple[_Scene, Slots]:
    """Doors as they are for who has stood here for a while, and the picture with them in it."""
    opens = slots.dynamics.role[state.look] == OPENS
    distance = torch.hypot(scene.pose.x[:, None] - state.x, scene.pose.y[:, None] - state.y)
    opened = state.open
    for _ in range(_SETTLED):
        opened = torch.where(opens, slots.dynamics.opened(distance, opened), opened)
    state = replace(state, open=opened)
    return _with(scene, slots, replace(state, there=state.there & opens)), state


def _walkers(scene: _Scene, memory: SpatialMemory, slots: SlotMemory, state: Slots) -> Slots:
    """Puts those that walk or roll where the picture shows them."""
    role = slots.dynamics.role
    free = [slot for slot in range(state.count) if bool(slots.census[slot])]
    free = [slot for slot in free if int(role[state.look[0, slot]]) in (WALKS, ROLLS)]
    parts = {name: part.clone() for name, part in vars(state).items()}
    tried = torch.zeros_like(scene.error(), dtype=torch.bool)
    tiles = _Tiles.of(slots, scene.light)
    for _ in range(_TRIES):
        looks = sorted({int(state.look[0, slot]) for slot in free})
        place = _suspicious(scene, memory, slots, looks, tried) if looks else None
        if place is None:
            break
        x, y, box = place
        who = _fitted(scene, slots, tiles, looks, x, y, box)
        tried[box[0] : box[1], box[2] : box[3]] = True
        if who is None:
            continue
        slot = next(slot for slot in free if int(state.look[0, slot]) == int(who.look))
        free.remove(slot)
        for name, part in vars(who).items():
            parts[name][0, slot] = part[0, 0]
        scene = _with(scene, slots, who)
    return Slots(**parts)


def _suspicious(
    scene: _Scene, memory: SpatialMemory, slots: SlotMemory, looks: list[int], tried: Tensor
) -> tuple[float, float, tuple[int, int, int, int]] | None:
    """Where somebody might stand who would explain most, and the part of the picture that is: rows, columns."""
    camera, pose, device = scene.camera, scene.pose, scene.true.device
    error = (scene.error() - scene.error().median()).clamp(-0.2, 0.5)
    error = torch.where(tried, -0.2, error)
    sums = F.pad(error.cumsum(0).cumsum(1), (1, 0, 1, 0))
    horizon = float(camera.horizon(pose.pitch))
    column = torch.arange(0, camera.width, _STEP, device=device, dtype=torch.float32) + 0.5
    depth = torch.tensor(_DEPTHS, device=device)[:, None]
    aside = (column - camera.width / 2) / camera.focal * depth
    cos, sin = pose.yaw.cos(), pose.yaw.sin()
    x, y = pose.x + depth * cos - aside * sin, pose.y + depth * sin + aside * cos  # (depths, columns)
    wall = scene.picture.nearness[0].amin(0)[column.long()]
    possible = (depth * wall < 1.02) & (beside(memory, x, y) > 0.1)
    scale, eye = camera.focal / depth, camera.config.eye_height
    best: tuple[float, float, float, tuple[int, int, int, int]] | None = None
    sizes = {tuple(round(part, 1) for part in _size(slots, look)): _size(slots, look) for look in looks}
    for left, right, base, top in sizes.values():
        rows = [(horizon + (eye - part) * scale).round().long().clamp(0, camera.height) for part in (top, base)]
        columns = [(column + part * scale).round().long().clamp(0, camera.width) for part in (left, right)]
        (upper, lower), (begin, end) = [part.expand_as(columns[0]) for part in rows], columns
        inner = sums[lower, end] - sums[upper, end] - sums[lower, begin] + sums[upper, begin]
        area = (lower - upper) * (end - begin)
        inner = torch.where(possible & (area >= 16), inner / area.clamp(min=1).float().sqrt(), 0.0)
        index = int(inner.argmax())
        value = float(inner.flatten()[index])
        if value > _SUSPICIOUS and (best is None or value > best[0]):
            upper_, lower_, begin_, end_ = (int(part.flatten()[index]) for part in (upper, lower, begin, end))
            best = value, float(x.flatten()[index]), float(y.flatten()[index]), (upper_, lower_, begin_, end_)
    return None if best is None else best[1:]


def _size(slots: SlotMemory, look: int) -> tuple[float, ...]:
    """From where to where it reaches to the right of its foot, and between which heights, about."""
    return tuple(slots.frame[slots.tile[look].long().flatten()].mean(0).tolist())


@dataclass(frozen=True)
class _Tiles:
    """All tiles, small, by this light: colours (tiles, points, 3), times the cover, and the cover (tiles, points);
    where the points are: shares of a tile's width and height, from the left and from its foot, (points,)."""

    colour: Tensor
    cover: Tensor
    across: Tensor
    up: Tensor

    @staticmethod
    def of(slots: SlotMemory, light: Light) -> _Tiles:
        rows, columns = _GRID
        small = F.adaptive_avg_pool2d(slots.texels().permute(0, 3, 1, 2), _GRID).flatten(2).transpose(1, 2)
        colour = small[..., :3] * light.day[0] + small[..., 3:6] * light.lamp[0]
        up, across = torch.meshgrid((rows - 0.5 - torch.arange(rows)) / rows, (torch.arange(columns) + 0.5) / columns,
                                    indexing="ij")  # fmt: skip
        device = colour.device
        return _Tiles(colour, small[..., 6], across.flatten().to(device), up.flatten().to(device))


def _fitted(
    scene: _Scene,
    slots: SlotMemory,
    tiles: _Tiles,
    looks: list[int],
    x: float,
    y: float,
    box: tuple[int, int, int, int],
) -> Slots | None:
    """Who stands there or thereabouts, (1, 1); None if nobody explains what is seen."""
    config, device = slots.config, scene.true.device
    blur = max(1, (box[1] - box[0]) // (2 * _GRID[0]))
    both = torch.cat((scene.true[None], scene.picture.frames), 1)
    both = F.avg_pool2d(both, blur, 1, blur // 2)[..., : scene.camera.height, : scene.camera.width]

    def product(*parts: list[float]) -> Tensor:
        return torch.cartesian_prod(*(torch.tensor(part, device=device) for part in parts)).float()

    # look, side, phase, moves along the line of sight (a share of the depth) and across (a share of its width)
    sides = [float(side) for side in range(config.views)]
    tried = product([float(look) for look in looks], sides, [0.0], [-0.12, 0.0, 0.12], [-0.4, 0.0, 0.4])
    best = tried[0]
    for finer in range(3):
        if finer:
            look, side, _, deep, across = best.tolist()
            phases = [float(n) for n in range(1 + config.phases)]
            turns = [(side + turn) % config.views for turn in (0.0, 1.0, -1.0)]
            step = 0.06 / finer
            tried = product([look], turns, phases, [deep - step, deep, deep + step],
                            [across - 3 * step, across, across + 3 * step])  # fmt: skip
        who = _standing(scene, slots, tried, x, y)
        gain, before, seen = _explained(scene, slots, tiles, tried, who, both)
        index = int((gain - _MOVED * (tried[:, 3].abs() + tried[:, 4].abs() / 8) * before).argmax())
        best = tried[index]
    if float(gain[index]) < max(_TAKEN * float(before[index]), _LEAST * float(seen[index])) or float(seen[index]) < 0.1:
        return None
    return Slots(*(part[index : index + 1] for part in vars(who).values()))


def _explained(
    scene: _Scene, slots: SlotMemory, tiles: _Tiles, tried: Tensor, who: Slots, both: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each of slots (N, 1): how much of the error within its outline it explains, how much there was, and how many
    pixels of it are in sight; each (N,)."""
    camera, pose = scene.camera, scene.pose
    tile = slots.tile[tried[:, 0].long(), tried[:, 1].long(), tried[:, 2].long()].long()
    left, right, base, top = slots.frame[tile].unbind(-1)
    cos, sin = pose.yaw.cos(), pose.yaw.sin()
    east, south = who.x[:, 0] - pose.x, who.y[:, 0] - pose.y
    depth, aside = (east * cos + south * sin).clamp(min=0.1)[:, None], (south * cos - east * sin)[:, None]
    off = left[:, None] + tiles.across * (right - left)[:, None]
    high = base[:, None] + tiles.up * (top - base)[:, None]
    column = camera.width / 2 + (aside + off) / depth * camera.focal
    row = camera.horizon(pose.pitch) + (camera.config.eye_height - high) / depth * camera.focal
    grid = torch.stack((column / camera.width, row / camera.height), -1) * 2 - 1
    found = F.grid_sample(both, grid[None], padding_mode="border", align_corners=False)[0]  # (6, N, points)
    true, bare = found[:3], found[3:]
    wall = scene.picture.nearness[0].amin(0)[column.long().clamp(0, camera.width - 1)]
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height) & (wall * depth < 1)
    cover = tiles.cover[tile]
    made = bare * (1 - cover) + tiles.colour[tile].permute(2, 0, 1)
    area = (top - base) * (right - left) * (camera.focal / depth[:, 0]).square() / len(tiles.up)
    weight = cover * inside * area[:, None]
    before, after = ((part - true).abs().mean(0) for part in (bare, made))
    return ((before - after) * weight).sum(1), (before * weight).sum(1), weight.sum(1)


def _standing(scene: _Scene, slots: SlotMemory, tried: Tensor, x: float, y: float) -> Slots:
    """Slots (N, 1) of looks, sides, phases and moves (N, 5) from x, y."""
    config, pose = slots.config, scene.pose
    look, side, phase, deep, across = tried.unbind(1)
    cos, sin = pose.yaw.cos(), pose.yaw.sin()
    depth = (x - pose.x) * cos + (y - pose.y) * sin
    aside = (y - pose.y) * cos - (x - pose.x) * sin
    far = depth * (1 + deep)
    right = (aside / depth) * far + across * 0.25
    east, south = pose.x + far * cos - right * sin, pose.y + far * sin + right * cos
    towards = torch.atan2(pose.y - south, pose.x - east)
    heading = _likely(slots, (towards + side * (2 * math.pi / config.views)) % (2 * math.pi))
    look = look.long()
    walks = slots.dynamics.role[look] == WALKS
    # one may stand as one stands in the middle of a stride, and mostly does not stand
    tiles = slots.tile[look, side.long()]
    goes = (phase > 0) | (tiles[:, :1] == tiles[:, 1:]).any(1)
    speed = torch.where(goes & walks, slots.dynamics.pace[look], 0.0)
    stride = ((phase - 0.5) / config.phases).clamp(min=0)
    zero = torch.zeros_like(east)
    parts = (look, torch.ones_like(look, dtype=torch.bool), east, south, heading, speed, zero, stride, zero)
    return Slots(*(part[:, None] for part in parts))


def _likely(slots: SlotMemory, heading: Tensor) -> Tensor:
    """The way (N,) that one most likely faces whose side says it is about `heading`."""
    ways = torch.arange(len(slots.headings), device=heading.device) * (2 * math.pi / len(slots.headings))
    off = (ways - heading[:, None] + math.pi) % (2 * math.pi) - math.pi
    width = math.pi / slots.config.views
    score = (slots.headings + 0.02 * slots.headings.sum()) * torch.exp(-((off / width) ** 2) / 2)
    best = torch.where(off.abs() < 1.2 * width, score, 0.0).argmax(1)
    return torch.where(slots.headings.max() > 1.01 * slots.headings.min(), ways[best], heading)
