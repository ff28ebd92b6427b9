"""Learns the slots from what was watched: who there is, what they look like, how they go, where one meets them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import ConfigError
from engine.nets.camera import Camera
from engine.nets.slots import HEADINGS, OPENS, ROLLS, WALKS, SlotDynamics, SlotMemory, Slots, beside
from engine.nets.spatial_memory import Pose, SpatialMemory
from engine.training.stage import Say, Stage
from engine.training.watch import EVERY, Door, Sightings, stand_and_watch, visit_balls, visit_door

_JUMP = 0.3  # cells that somebody may seem to go between two pictures
_GOES = 0.007  # cells a frame, above which one walks
_SMOOTH = 2.5  # pictures, the deviation of the smoothing of ways
_DOOR = 1.05  # cells: what is taller is a door
_SHUT_FRAMES = 10  # in which a door that one comes to is still shut
_OPEN = 0.98  # share of the way from which on a door counts as wide open
_OPENING_LR = 1e-2
_LOW = 0.5  # and what is lower no person
_CLOSE = 4.5  # cells, from where one sees well what somebody looks like
_OTHER = 0.2  # difference of colours of what is not one
_SPARE = 8  # tiles kept for doors
_STRIDES = 3  # pictures that a stride is told apart in
_MANY = 120  # pictures of a side that are looked at, the nearest
_BEST = 12  # and that a tile is made of
_SQUARE = 0.6  # of half of what one side is seen from: how far beside its middle a side may be looked at
_SIZES = 0.12  # of somebody's height, by how much its sides and height differ in a stride
_SHARE = 0.1  # of the pictures of a side, that a part of a stride is seen in at least: else that was something behind
_OF_ONE = 8  # sightings of one watcher that a side is made of
_OFTEN = 2  # times that somebody is watched who stands
_STRAIGHT = 0.3  # radians in a beat, below which one goes straight on
_STEADY = 0.12  # radians in six pictures: who turns no more goes straight


@dataclass
class Ways:
    """Sightings put together, all (N,): `track`, of whom each is; heading; speed, cells a frame; known, whether the
    heading is; straight, whether one goes on that way for a while."""

    seen: Sightings
    track: Tensor
    heading: Tensor
    speed: Tensor
    known: Tensor
    straight: Tensor


def tracks(seen: Sightings) -> Tensor:
    """The number of the one that each sighting is of, (N,)."""
    track = torch.full((len(seen),), -1)
    order = torch.argsort(seen.clip.double() * 10_000 + seen.frame)
    last: dict[int, int] = {}
    clip, count = -1, 0
    clips, frames = seen.clip.tolist(), seen.frame.tolist()
    xs, ys, tops = seen.x.tolist(), seen.y.tolist(), seen.top.tolist()
    taken: set[tuple[int, int]] = set()
    for n in order.tolist():
        if clips[n] != clip:
            clip, last = clips[n], {}
        best, who = _JUMP, -1
        for name, m in last.items():
            if not 0 < frames[n] - frames[m] <= 4 or (name, frames[n]) in taken:
                continue
            if abs(math.log(tops[n] / tops[m])) > 0.3:
                continue
            apart = math.hypot(xs[n] - xs[m], ys[n] - ys[m])
            if apart < best:
                best, who = apart, name
        if who < 0:
            who, count = count, count + 1
        last[who] = n
        taken.add((who, frames[n]))
        track[n] = who
    return track


def ways(seen: Sightings) -> Ways:
    """Who goes where: places are smoothed over time, headings are the way they go."""
    track = tracks(seen)
    heading, speed = torch.zeros(len(seen)), torch.zeros(len(seen))
    known, straight = torch.zeros(2, len(seen), dtype=torch.bool)
    x, y = seen.x.clone(), seen.y.clone()
    for name in range(int(track.max()) + 1 if len(track) else 0):
        index = (track == name).nonzero()[:, 0]
        if len(index) < 6:
            continue
        index = index[seen.frame[index].argsort()]
        time = seen.frame[index].float()
        trusted = seen.whole[index] * 0.9 + 0.1
        weights = torch.exp(-(((time[:, None] - time) / _SMOOTH) ** 2) / 2) * trusted
        # a straight line through the pictures round every moment
        total = weights.sum(1)
        mean_t = (weights * time).sum(1) / total
        spread = (weights * (time[None] - mean_t[:, None]) ** 2).sum(1) / total
        lines = []
        for part in (seen.x[index], seen.y[index]):
            mean = (weights * part).sum(1) / total
            slope = (weights * (time[None] - mean_t[:, None]) * part).sum(1) / total / spread.clamp(min=1e-3)
            lines.append((mean + slope * (time - mean_t), slope / EVERY))
        (px, vx), (py, vy) = lines
        x[index], y[index] = px, py
        pace = torch.hypot(vx, vy)
        goes = pace > _GOES
        speed[index] = torch.where(goes, pace, 0.0)
        if goes.any():
            moving = goes.nonzero()[:, 0]
            nearest = moving[(time[:, None] - time[moving]).abs().argmin(1)]
            heading[index] = torch.atan2(vy, vx)[nearest]
            known[index] = True
            turn = (heading[index][:, None] - heading[index] + math.pi) % (2 * math.pi) - math.pi
            around = (time[:, None] - time).abs() <= 3 * EVERY
            straight[index] = torch.where(around, turn.abs(), 0.0).amax(1) < _STEADY
    parts = dict(vars(seen)) | {"x": x, "y": y}
    return Ways(Sightings(**parts), track, heading, speed, known, straight)


def means(points: Tensor, count: int, seed: int = 0) -> Tensor:
    """k-means: the number of the group of each of points (N, D), (N,); the best of several tries."""
    rng = torch.Generator().manual_seed(seed)
    best, groups = math.inf, torch.zeros(len(points), dtype=torch.long)
    for _ in range(8):
        centres = points[torch.randperm(len(points), generator=rng)[:count]]
        for _ in range(20):
            near = torch.cdist(points, centres).argmin(1)
            centres = torch.stack(
                [points[near == n].mean(0) if (near == n).any() else centres[n] for n in range(len(centres))]
            )
        error = float((points - centres[near]).square().sum())
        if error < best:
            best, groups = error, near
    return groups


def colours(seen: Sightings, memory: SpatialMemory) -> Tensor:
    """The mean colours of each, at its top and below its middle, less the light of the hour: (N, 6), of which
    three sum up to 1."""
    light = memory.light_at(seen.hour.float())
    rows, found = seen.patch.shape[2], []
    for begin, end in ((0, rows * 3 // 16), (rows * 5 // 8, rows * 25 // 32)):
        part = seen.patch[:, :, begin:end]
        mean = (part[:, :3] * part[:, 3:]).sum((2, 3)) / part[:, 3:].sum((2, 3)).clamp(min=1)
        own = mean / (light.day + 0.5 * light.lamp).clamp(min=0.05)
        found.append(own / own.sum(1, keepdim=True).clamp(min=1e-3))
    return torch.cat(found, 1)


# -- tiles -----------------------------------------------------------------------------------------------------------
def tile_of(patch: Tensor, hour: Tensor, weight: Tensor, memory: SpatialMemory) -> Tensor:
    """The bytes (rows, columns, 4) that were seen in patches (N, 4, rows, columns), see SlotMemory.

    Every texel's two colours are the least squares of what was seen at many hours; where hours are too few, lamplight
    and daylight are taken to be of one colour.
    """
    light = memory.light_at(hour.float())
    weight = weight[:, None, None]
    cover = (patch[:, 3] * weight).sum(0) / weight.sum(0)
    on = patch[:, 3] * weight
    day, lamp = light.day[..., None, None], light.lamp[..., None, None]
    seen = patch[:, :3]
    on = on[:, None]
    aa, ab, bb = ((on * one * other).sum(0) for one, other in ((day, day), (day, lamp), (lamp, lamp)))
    ao, bo = (on * day * seen).sum(0), (on * lamp * seen).sum(0)
    # the lamp layer leans to half of the day layer
    lean, ratio = 0.03 * (aa + bb) + 1e-6, 0.45
    aa, ab, bb = aa + lean * ratio * ratio, ab - lean * ratio, bb + lean
    determinant = (aa * bb - ab * ab).clamp(min=1e-9)
    by_day, by_lamp = (bb * ao - ab * bo) / determinant, (aa * bo - ab * ao) / determinant
    # as much by lamp as by day, for all three colours
    share = (by_lamp.clamp(0, 1) * by_day).sum(0) / by_day.square().sum(0).clamp(min=1e-4)
    lamp_byte = (share * 128).round().clamp(1, 255) * (cover > 0.5)
    return torch.cat(((by_day.clamp(0, 1) * 255).round(), lamp_byte[None])).to(torch.uint8).permute(1, 2, 0)


def strides(patch: Tensor, count: int) -> Tensor:
    """Groups of patches (N, 4, rows, columns) by what part of a stride they show, the most common first: (N,)."""
    small = F.interpolate(torch.cat((patch[:, 3:] * 1.5, patch[:, :3].mean(1, keepdim=True) * patch[:, 3:]), 1),
                          size=(14, 10), mode="area")  # fmt: skip
    groups = means(small.flatten(1), min(count, len(patch)))
    order = torch.bincount(groups, minlength=count).argsort(descending=True)
    return torch.argsort(order)[groups]


# -- how they decide -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Choices:
    """What walkers were shown and then did: features (N, F), goes (N,) and turn (N,), the number of it."""

    features: Tensor
    goes: Tensor
    turn: Tensor


@torch.no_grad()
def choices(path: Ways, look: Tensor, eyes: Tensor, dynamics: SlotDynamics, memory: SpatialMemory) -> Choices:
    """From sightings and their looks (N,), -1: of none that walks; eyes: (N, 2) where who saw it stood."""
    beat = dynamics.config.beat / EVERY  # pictures of a beat
    seen, found = path.seen, []
    by_clip: dict[tuple[int, int], list[int]] = {}
    for n in ((look >= 0) & path.known).nonzero()[:, 0].tolist():
        by_clip.setdefault((int(seen.clip[n]), int(seen.frame[n])), []).append(n)
    for name in range(int(path.track.max()) + 1 if len(path.track) else 0):
        index = ((path.track == name) & path.known & (look >= 0)).nonzero()[:, 0]
        at = {int(seen.frame[n]): int(n) for n in index}
        for frame, n in at.items():
            then, before = at.get(round(frame + beat)), at.get(round(frame - beat))
            if then is None or before is None:
                continue
            others = [m for m in by_clip[int(seen.clip[n]), frame] if m != n][:3]
            found.append((n, then, before, others))
    if not found:
        return Choices(torch.zeros(0, 1), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    who = torch.tensor([[n, *(others + [n] * 3)[:3]] for n, _, _, others in found])  # (M, 4)
    there = torch.tensor([[True, *((m < len(others)) for m in range(3))] for _, _, _, others in found])
    n, later, earlier = (torch.tensor([row[k] for row in found]) for k in range(3))

    def turned(a: Tensor, b: Tensor) -> Tensor:
        return (path.heading[b] - path.heading[a] + math.pi) % (2 * math.pi) - math.pi

    zero = torch.zeros(who.shape)
    turning = zero.clone()
    turning[:, 0] = turned(earlier, n) / dynamics.config.beat
    slots = Slots(look[who].clamp(min=0), there, seen.x[who], seen.y[who], path.heading[who], path.speed[who], turning,
                  zero, zero)  # fmt: skip
    pose = Pose(eyes[n, 0], eyes[n, 1], *[torch.zeros(len(n))] * 3)
    features = torch.cat(
        [
            dynamics.features(
                Slots(*(part[a : a + 512] for part in vars(slots).values())),
                Pose(*(part[a : a + 512] for part in vars(pose).values())),
                torch.zeros(len(n[a : a + 512]), 2),
                memory,
            )[:, 0]
            for a in range(0, len(n), 512)
        ]
    )
    turn = turned(n, later)
    turn = torch.where(turn.abs() < _STRAIGHT, 0.0, turn)  # headings that were seen are not more certain than that
    turn = (turn[:, None] - dynamics.turns).abs().argmin(1)
    return Choices(features, (path.speed[later] > 0).float(), turn)


def choice_loss(dynamics: SlotDynamics, made: Choices) -> Tensor:
    """How unlikely what walkers did is."""
    answer = dynamics.decide(made.features)
    going = F.binary_cross_entropy_with_logits(answer[:, 0], made.goes)
    turning = F.cross_entropy(answer[:, 1:], made.turn, reduction="none")
    return going + (turning * made.goes).sum() / made.goes.sum().clamp(min=1)


# -- into the slots --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Told:
    """What the learning is told instead of finding it out: how many looks of people and of low things there are, and
    how many walkers and balls live in a world. A stride, if it cannot be seen."""

    people: int = 4
    low: int = 3
    walkers: int = 6
    balls: int = 3
    stride: float = 0.3


@dataclass(frozen=True)
class Kinds:
    """look (N,) of every sighting, -1: of none; walks, rolls: the looks that do."""

    look: Tensor
    walks: list[int]
    rolls: list[int]


def kinds(path: Ways, memory: SpatialMemory, told: Told) -> Kinds:
    """Whom there is, by size, colour and whether they ever go."""
    seen, track = path.seen, path.track
    look = torch.full((len(seen),), -1)
    count = int(track.max()) + 1 if len(track) else 0
    members = [(track == name).nonzero()[:, 0] for name in range(count)]
    whole = [index[seen.whole[index] > 0] for index in members]
    usable = [name for name in range(count) if len(whole[name]) >= 4]
    if not usable:
        return Kinds(look, [], [])
    top = torch.tensor([float(seen.top[whole[name]].median()) for name in usable])
    colour = torch.stack([colours(seen.at(whole[name]), memory).mean(0) for name in usable])
    walks: list[int] = []
    rolls: list[int] = []
    number = 0
    for chosen, groups in (((top >= _LOW) & (top < _DOOR), told.people), (top < _LOW, told.low)):
        index = chosen.nonzero()[:, 0]
        if len(index) < groups:
            number += groups
            continue
        group = means(colour[index] * 10, groups)
        for n in range(groups):
            names = [usable[int(k)] for k in index[group == n]]
            rows = torch.cat([members[name] for name in names])
            look[rows] = number
            each = colours(seen.at(rows), memory)
            look[rows[(each - each.median(0).values).norm(dim=1) > _OTHER]] = -1  # somebody else, met on the way
            goes = (path.speed[rows] > 0).float().mean()
            (walks if goes > 0.15 else rolls).append(number)
            number += 1
    return Kinds(look, walks, rolls)


def sides(path: Ways, views: int) -> tuple[Tensor, Tensor]:
    """Which side each shows, (N,): 0 looks at who looks; and how far that is from its middle, in halves of a side."""
    place = (path.heading - path.seen.bearing - math.pi) * (views / (2 * math.pi))
    return place.round().long() % views, 2 * (place - place.round()).abs()


@torch.no_grad()
def write_looks(slots: SlotMemory, path: Ways, kind: Kinds, memory: SpatialMemory, told: Told) -> int:
    """The tiles of all that walks and rolls; returns how many."""
    config, seen = slots.config, path.seen
    (side, off), used = sides(path, config.views), 0

    def add(index: Tensor, flip: bool = False) -> int:
        nonlocal used
        index = _alike(seen, index, memory)
        index = index[seen.far[index].argsort()][:_BEST]
        patch = seen.patch[index]
        patch = patch.flip(3) if flip else patch
        weight = 1 / seen.far[index].clamp(min=0.7) ** 2
        number = used
        slots.tiles[number] = tile_of(patch, seen.hour[index], weight, memory)
        left, right, top = (part[index].median() for part in (seen.left, seen.right, seen.top))
        left, right = (-right, -left) if flip else (left, right)
        slots.frame[number] = torch.stack((left, right, torch.zeros(()), top))
        used += 1
        return number

    good = (seen.whole > 0) & (kind.look >= 0)
    for look in kind.walks:  # two who stand before each other are no one
        mine = good & (kind.look == look)
        wide = seen.right - seen.left
        if mine.any():
            good &= ~mine | (wide < 1.25 * wide[mine].quantile(0.75))
    for look in kind.rolls:
        index = (good & (kind.look == look) & (path.speed == 0)).nonzero()[:, 0]
        if len(index):  # as it lies most often
            index = index[seen.far[index].argsort()][:60]
            slots.tile[look] = add(index[strides(seen.patch[index], _STRIDES) == 0])
            slots.dynamics.role[look] = ROLLS
    for look in kind.walks:
        mine = good & path.known & (kind.look == look)
        goes = mine & (path.speed > 0)
        slots.dynamics.role[look] = WALKS
        straight = goes & path.straight
        slots.dynamics.pace[look] = path.speed[straight if straight.any() else goes].median() if goes.any() else 0.02
        slots.dynamics.stride[look] = told.stride
        for here in range(config.views):
            index, flip = _of_side(goes, goes & path.straight & (off < _SQUARE), side, here, seen.far, config.views)
            stands = _alone(seen, (mine & (path.speed == 0) & (side == here)).nonzero()[:, 0])
            index = _alone(seen, _often(seen, index))
            index = index[seen.far[index].argsort()][:_MANY]
            group = strides(seen.patch[index], _STRIDES)
            parts = [index[group == n] for n in range(int(group.max()) + 1)]
            tiles = [add(part, flip) for part in parts if len(part) >= max(4, _SHARE * len(index)) or part is parts[0]]
            tiles = (tiles * 3)[:_STRIDES]
            standing = tiles[0]
            # the sides still to come, and doors, need room for their tiles
            sides_left = (len(kind.walks) - kind.walks.index(look)) * config.views - here
            if (
                len(stands) >= _BEST // 2
                and len(seen.clip[stands].unique()) >= _OFTEN
                and used + sides_left * _STRIDES + _SPARE < len(slots.tiles)
            ):
                standing = _standing(seen, index, group, stands, tiles, add)
            neutral = standing if standing in tiles else tiles[0]
            first, second = [tile for tile in tiles if tile != neutral][:2] if len(set(tiles)) == 3 else tiles[1:]
            slots.tile[look, here] = torch.tensor([standing, neutral, first, neutral, second])
    return used


def _of_side(goes: Tensor, square: Tensor, side: Tensor, here: int, far: Tensor, views: int) -> tuple[Tensor, bool]:
    """Sightings of a side, those of `square` and from near by if there are enough, and whether they are to be mirrored:
    those of the other hand, or of a side beside it, where there are none."""
    for beside_it in (0, 1, -1, 2, -2, 3, -3, 4):
        for mirrored in (False, True):
            for those, reach in ((square, _CLOSE), (square, 1.6 * _CLOSE), (goes, 1.6 * _CLOSE)):
                wanted = (here + beside_it) % views
                wanted = -wanted % views if mirrored else wanted
                index = (those & (far < reach) & (side == wanted)).nonzero()[:, 0]
                if len(index) >= _BEST or (len(index) >= 4 and those is goes):
                    return index, mirrored
    return goes.nonzero()[:, 0], False


def _often(seen: Sightings, index: Tensor) -> Tensor:
    """Of sightings (N,) the nearest few of each watcher's: what one saw for long, before a door, is not usual."""
    index = index[seen.far[index].argsort()]
    clip = seen.clip[index]
    earlier = (clip[:, None] == clip).tril(-1).sum(1)
    return index[earlier < _OF_ONE]


def _alone(seen: Sightings, index: Tensor) -> Tensor:
    """Of sightings (N,) of a side those as large as most: before or behind the others there was something else."""
    size = torch.stack((seen.left[index], seen.right[index], seen.top[index]), 1)
    if len(index) < 4:
        return index
    usual = size.median(0).values
    return index[((size - usual).abs() < _SIZES * usual[2]).all(1)]


def _alike(seen: Sightings, index: Tensor, memory: SpatialMemory) -> Tensor:
    """Of sightings (N,) that ought to look the same the two thirds that do most; and those by good light, if there are
    enough: in the dark, half of somebody cannot be told from what is behind."""
    light = memory.light_at(seen.hour[index].float())
    bright = (light.day + 0.5 * light.lamp).mean(1)
    good = bright > 0.5 * bright.max()
    if int(good.sum()) >= _BEST:
        index, bright = index[good], bright[good]
    if len(index) < _BEST:
        return index
    patch = F.interpolate(seen.patch[index], size=(28, 18), mode="area")
    shape = torch.cat((patch[:, :3] * patch[:, 3:] / bright[:, None, None, None], patch[:, 3:]), 1).flatten(1)
    off = (shape - shape.median(0).values).abs().mean(1)
    return index[off.argsort()[: max(_BEST, 2 * len(index) // 3)]]


def _standing(seen: Sightings, index: Tensor, group: Tensor, stands: Tensor, tiles: list[int], add) -> int:  # type: ignore[no-untyped-def]
    """The tile of standing still: that of a part of the stride, or one of its own if it looks like none of them."""
    cover = seen.patch[stands, 3].median(0).values
    apart = [
        float((seen.patch[index[group == n], 3].mean(0) - cover).abs().mean()) for n in range(int(group.max()) + 1)
    ]
    shape = abs(math.log(float(seen.top[stands].median()) / float(seen.top[index].median())))
    if min(apart) > 0.12 or shape > 0.12:
        return int(add(stands))
    return tiles[apart.index(min(apart))]


@torch.no_grad()
def write_places(slots: SlotMemory, path: Ways, kind: Kinds, memory: SpatialMemory, told: Told) -> None:
    """How many of each there are, and where they are met."""
    seen, per = path.seen, slots.config.met
    rows, columns = slots.met.shape[1:]
    census: list[int] = []
    for looks, many in ((kind.walks, told.walkers), (kind.rolls, told.balls)):
        if not looks:
            continue  # nobody of that kind was ever seen, in a trial
        counts = torch.stack([(kind.look == look).sum().float() for look in looks])
        shares = counts / counts.sum() * many
        numbers = shares.floor().clamp(min=1)
        while numbers.sum() < many:
            numbers[(shares - numbers).argmax()] += 1
        while numbers.sum() > many:
            numbers[(shares - numbers).argmin()] -= 1
        census += [look for look, number in zip(looks, numbers.long().tolist(), strict=True) for _ in range(number)]
        group = torch.isin(kind.look, torch.tensor(looks))
        index = (seen.y[group] * per).long().clamp(0, rows - 1) * columns + (seen.x[group] * per).long().clamp(
            0, columns - 1
        )
        met = torch.bincount(index, minlength=rows * columns).view(1, 1, rows, columns).float().clamp(max=12)
        met = F.avg_pool2d(met, 3, 1, 1) * 9 + (0.3 if looks is kind.walks else 0.0)
        apart = beside(memory, seen.x[group & (seen.whole > 0)], seen.y[group & (seen.whole > 0)])
        slots.dynamics.room[looks] = apart.quantile(0.02).clamp(0.05, 0.3)
        for look in looks:
            slots.met[look] = (met[0, 0] / met.max() * 255).round().to(torch.uint8)
    goes = torch.isin(kind.look, torch.tensor(kind.walks)) & (path.speed > 0)
    way = (path.heading[goes] * (HEADINGS / (2 * math.pi))).round().long() % HEADINGS
    slots.headings.copy_(torch.bincount(way, minlength=HEADINGS).float() + 1)
    slots.census.zero_()[: len(census)] = torch.tensor(census, dtype=torch.uint8) + 1


@torch.no_grad()
def write_doors(slots: SlotMemory, doors: list[Door], used: int, memory: SpatialMemory) -> None:
    """Doors' leaves, each a look of its own: their tiles from `used` on, and where they are."""
    taken = int((slots.census > 0).sum())
    look = int(slots.dynamics.role.nonzero().max()) + 1 if bool(slots.dynamics.role.any()) else 0
    for door in doors:
        first, last = door.ends[:2], door.ends[2:]
        middle, along = (first + last) / 2, (last - first) / 2
        for ends, away, seen in (
            (torch.cat((first, middle)), -along, door.leaves[0]), (torch.cat((middle, last)), along, door.leaves[1]),
        ):  # fmt: skip
            if used == len(slots.tiles) or look == slots.config.looks or taken == slots.config.count:
                raise ConfigError("the world has more doors than there is room for", got=len(doors),
                                  expected="larger slots.tiles, slots.looks and slots.count")  # fmt: skip
            full = torch.cat((seen, torch.ones_like(seen[:, :1])), 1)
            slots.tiles[used] = tile_of(full, door.hours, torch.ones(len(full)), memory)
            slots.frame[used] = torch.tensor((0.0, 0.0, 0.0, door.top))
            slots.tile[look] = used
            slots.dynamics.role[look] = OPENS
            slots.census[taken] = look + 1
            slots.shut[taken], slots.ajar[taken] = ends, ends + away.repeat(2)
            used, look, taken = used + 1, look + 1, taken + 1


def rolling(balls: list[Tensor]) -> Tensor:
    """How what rolls does: within how many cells of the player it is pushed, how fast it then is, the share of its
    speed that it keeps a frame, and at a wall: what explains best the ways (frames, 4) of players and balls."""
    seen = [way for way in balls if (~way[:12, 2].isnan()).sum() > 4 and (~way[14:, 2].isnan()).sum() > 4]
    if not seen:
        return torch.tensor((0.5, 0.0, 0.9, 0.0))
    ways_ = torch.stack(seen)  # (ways, frames, 4)
    tried = torch.cartesian_prod(torch.linspace(0.25, 0.9, 14), torch.linspace(0.02, 0.2, 19), _kept(ways_)[None])
    reach, push, keep = (part[:, None] for part in tried.unbind(1))
    x, y = (ways_[:, :12, axis].nanmedian(1).values.expand(len(tried), -1).clone() for axis in (2, 3))
    vx, vy, errors = torch.zeros_like(x), torch.zeros_like(y), []
    for frame in range(1, ways_.shape[1]):
        px, py, true_x, true_y = ways_[:, frame].unbind(1)
        away_x, away_y = x - px, y - py
        distance = torch.hypot(away_x, away_y).clamp(min=1e-3)
        near = distance < reach
        vx = torch.where(near, push * away_x / distance, vx * keep)
        vy = torch.where(near, push * away_y / distance, vy * keep)
        x, y = x + vx, y + vy
        errors.append(torch.hypot(x - true_x, y - true_y).clamp(max=1.0))
    error = torch.stack(errors).nanmean(0).median(1).values
    return torch.cat((tried[error.argmin()], torch.zeros(1)))


def _kept(balls: Tensor) -> Tensor:
    """The share of its speed that a ball keeps a frame: from how fast (ways, frames, 4) it goes in half a second and in
    the next."""
    moved = torch.hypot(balls[:, 1:, 2] - balls[:, :-1, 2], balls[:, 1:, 3] - balls[:, :-1, 3])
    shares = []
    for way in moved:
        for start in (way > 0.05).nonzero()[:, 0].tolist():
            first, second = way[start : start + 6], way[start + 6 : start + 12]
            if len(second) == 6 and not bool(first.isnan().any() | second.isnan().any()):
                share = float(second.mean() / first.mean())
                if share > 0.5:  # else it met a wall
                    shares.append(share ** (1 / 6))
                break
    return torch.tensor(shares or [0.9]).median()


# -- all of it -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class EnliveningTraining:
    """How slots are learned.

    Attributes:
        parts, watchers, pictures: so many times, so many stand and look at so many pictures. wide: pixels across of
            these.
        steps: optimizer steps of how walkers decide and doors open. lr: of these, falling to nothing.
        balls: times that each place where a ball was seen is walked up to.
        told: see Told. seed: of places, hours and weights.
    """

    parts: int = 96
    watchers: int = 8
    pictures: int = 36
    wide: int = 384
    steps: int = 3000
    lr: float = 3e-3
    balls: int = 4
    opening_steps: int = 20_000
    told: Told = field(default_factory=Told)
    seed: int = 0


class Enlivening:
    """Learns the slots of one model, in place.

    Args:
        slots: what is learned. memory: of the place, fitted. camera: of play. config: how.
    """

    def __init__(self, slots: SlotMemory, memory: SpatialMemory, camera: Camera, config: EnliveningTraining) -> None:
        self.slots, self.memory, self.config = slots, memory, config
        self._camera = Camera(camera.config, config.wide, config.wide * camera.height // camera.width)

    def run(self, folder: Path, say: Say, save_every: float) -> None:
        """Learns everything; saves in `folder`, and goes on from what is there."""
        seen = self._watch(folder, say)
        eyes = torch.stack((seen.x - seen.far * seen.bearing.cos(), seen.y - seen.far * seen.bearing.sin()), 1)
        path = ways(seen)
        kind = kinds(path, self.memory, self.config.told)
        say(f"slots: {len(seen)} sightings, looks that walk: {len(kind.walks)}, that roll: {len(kind.rolls)}")
        doors, balls = self._visit(folder, path, kind, say)
        used = write_looks(self.slots, path, kind, self.memory, self.config.told)
        write_places(self.slots, path, kind, self.memory, self.config.told)
        write_doors(self.slots, doors, used, self.memory)
        self.slots.dynamics.rolling.copy_(rolling(balls))
        self._decide(folder, say, save_every, path, kind, eyes)
        off = learn_opening(self.slots.dynamics, doors, self.config.opening_steps)
        say(f"slots: how open a door is a frame later, off by {off:.4f}")
        self.slots._atlas = None

    def _watch(self, folder: Path, say: Say) -> Sightings:
        config, found = self.config, []
        for part in range(config.parts):
            file = folder / f"watched-{part}.pt"
            if not file.exists():
                seed = config.seed * 1_000_003 + part * 17
                seen = stand_and_watch(config.watchers, config.pictures, seed, self._camera, self.slots.config.size,
                                       part * config.watchers)  # fmt: skip
                torch.save(dict(vars(seen)), file)
                say(f"slots: watched {part + 1} of {config.parts}")
            found.append(Sightings(**torch.load(file, weights_only=True)))
        return Sightings.joined(found, self.slots.config.size)

    def _visit(self, folder: Path, path: Ways, kind: Kinds, say: Say) -> tuple[list[Door], list[Tensor]]:
        file, seen = folder / "visited.pt", path.seen
        if not file.exists():
            tall = seen.top > _DOOR
            doors: list[Door] = []
            for x, y in _heaps(seen.x[tall], seen.y[tall], 1.2):
                door = visit_door(x, y, self.config.seed + 5, self._camera, self.slots.config.size)
                if door is not None and all(_apart(door, other) > 1 for other in doors):
                    doors.append(door)
            lying = torch.isin(kind.look, torch.tensor(kind.rolls)) & (path.speed == 0)
            small = Camera(self._camera.config, 256, 144)
            places = _heaps(seen.x[lying], seen.y[lying], 1.5)[: 2 * self.config.told.balls]
            balls = visit_balls(places, self.config.balls, self.config.seed + 9, small)
            torch.save(([dict(vars(door)) for door in doors], balls), file)
            say(f"slots: {len(doors)} doors found and opened, {len(balls)} times walked up to a ball")
        found, balls = torch.load(file, weights_only=True)
        return [Door(**door) for door in found], balls

    def _decide(self, folder: Path, say: Say, save_every: float, path: Ways, kind: Kinds, eyes: Tensor) -> None:
        dynamics = self.slots.dynamics
        walker = torch.isin(kind.look, torch.tensor(kind.walks))
        made = choices(path, torch.where(walker, kind.look, -1), eyes, dynamics, self.memory)
        held_out = torch.arange(len(made.turn)) % 8 == 0
        train = Choices(made.features[~held_out], made.goes[~held_out], made.turn[~held_out])
        test = Choices(made.features[held_out], made.goes[held_out], made.turn[held_out])
        optimizer = torch.optim.AdamW(dynamics.parameters(), self.config.lr, weight_decay=0.02)

        def begin(start: int) -> None:
            self._rng = torch.Generator().manual_seed(self.config.seed * 1_000_003 + start)

        def loss(step: int) -> tuple[Tensor, dict[str, float]]:
            if len(train.turn) == 0:  # nobody was seen, in a trial
                return sum(part.sum() for part in dynamics.parameters()) * 0.0, {}  # type: ignore[return-value]
            index = torch.randint(len(train.turn), (256,), generator=self._rng)
            blurred = train.features[index] + 0.1 * torch.randn(train.features[index].shape, generator=self._rng)
            choice = choice_loss(dynamics, Choices(blurred, train.goes[index], train.turn[index]))
            return choice, {"choices": float(choice.detach())}

        Stage("slots, ways", self.config.steps, [optimizer], {"dynamics": dynamics}, begin, loss,
              rate=lambda done: 1 - done).run(folder / "slots.pt", say, save_every)  # fmt: skip
        if len(test.turn):
            with torch.no_grad():
                say(f"slots: {len(made.turn)} choices, held out {float(choice_loss(dynamics, test)):.2f}")


def learn_opening(dynamics: SlotDynamics, doors: list[Door], steps: int) -> float:
    """Learns how doors open and shut from how they did when somebody walked up to them and left again.

    Returns by how much a frame's opening is off in the end (root of the mean square). By itself, in some ten seconds:
    together with what walkers choose it was learned so coarsely that a shut door stayed shut.
    """
    if not doors:
        return 0.0
    told = torch.cat([_whole_way(door.opening) for door in doors])
    distance, before, after = torch.hypot(told[:, 0], torch.tensor(0.5)), told[:, 1], told[:, 2]  # from a leaf
    dynamics.opening.requires_grad_(True)
    optimizer = torch.optim.AdamW(dynamics.opening.parameters(), _OPENING_LR, weight_decay=1e-4)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = _OPENING_LR * (1 - step / steps)
        wrong = dynamics.opened_by(distance, before) - after
        # What is wide open or shut may be pushed on.
        wrong = torch.where(
            after > _OPEN, wrong.clamp(max=0), torch.where(after < 1 - _OPEN, wrong.clamp(min=0), wrong)
        )
        loss = 1000 * wrong.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return float((dynamics.opened(distance, before) - after).square().mean().sqrt())


def _whole_way(opening: Tensor) -> Tensor:
    """(frames, 3) of a door, such that shut is 0, as it is when one comes, and open 1: a pixel's frame round it always
    looks the same."""
    amount = opening[:, 1:]
    low, high = amount[:_SHUT_FRAMES].median(), amount[amount > 0.9].median()
    share = ((amount - low) / (high - low)).clamp(0, 1)
    share = torch.where(share > _OPEN, 1.0, torch.where(share < 1 - _OPEN, 0.0, share))
    return torch.cat((opening[:, :1], share), 1)


def _apart(one: Door, other: Door) -> float:
    return float((one.ends[:2] + one.ends[2:] - other.ends[:2] - other.ends[2:]).norm()) / 2


def _heaps(x: Tensor, y: Tensor, near: float) -> list[tuple[float, float]]:
    """Middles of the heaps of places (N,), the largest first; what is nearer than `near` is of one heap."""
    places, found = torch.stack((x, y), 1), []
    while len(places):
        apart = torch.cdist(places, places)
        most = int((apart < near).sum(1).argmax())
        heap = apart[most] < near
        middle = places[heap].median(0).values
        found.append((float(middle[0]), float(middle[1])))
        places = places[torch.cdist(places, middle[None])[:, 0] >= near]
    return found
