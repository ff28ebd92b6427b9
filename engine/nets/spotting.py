"""Finds who is in a picture: what the memory does not explain is compared with every look, side and stride.

Analysis by synthesis, as the recogniser's closer look. Where picture and memory differ, and somebody could stand there,
every tile is drawn there and moved until it fits. Of all such places the one at which most is explained is kept and
drawn into what is explained, until nothing more is; then everybody is fitted once more, with all others known. Much
error beside an outline says that memory is wrong about the place, and that nobody is there. Whoever is not in the
picture is put where such are met, out of sight. A picture that the memory does not explain at all says nothing about
who is in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.cards import draw_alone, draw_cards
from engine.nets.slots import OPENS, ROLLS, WALKS, SlotMemory, Slots, beside, chance
from engine.nets.spatial_memory import Pose, SpatialMemory
from engine.nets.surfaces import Eyes, Light, Picture

_FOREIGN = 0.16  # mean error (of 0..1) at which the memory explains nothing of the picture
_TAKEN = 0.25  # share of the error within its outline that somebody must explain to be there
_LEAST = 0.025  # mean error that must be explained, a pixel of the outline
_PIXELS = 16  # of it that must be in sight
_BESIDE = 1.25  # mean error beside an outline, in shares of what is explained within it, at most
_WHOLE = 0.3  # share of somebody that is in sight; of whom less is, that must be explained better:
_PART, _PART_GAIN = 0.06, 7.0  # so much must be in sight at least, and so much error be explained, in pixels
_APART = 0.25  # cells between any two
_PLACES = 4  # looked at in earnest, for all of one size, at most
_RIM = 2  # pixels around somebody that say nothing of others
_LIKELY = 0.05  # what a side is worth that is seen e times as often, in shares of the error
_DEPTHS = tuple(0.45 * 1.22**n for n in range(16))
_DRAWS = 24  # places drawn for somebody who is out of sight
_BEYOND = 7.0  # cells beyond which somebody is put who is out of sight
_MARGIN = 0.15  # cells beside its foot that somebody may be seen
_SETTLED = 30  # video frames after which a door is as it will be
_STEP = 4  # columns of the picture between places looked at
_SUSPICIOUS = 0.45  # mean error of a part of the picture, times the root of its pixels, that is looked at in earnest
_GRID, _FINE_GRID = (16, 10), (32, 16)  # points of a tile that are compared, at first and in the end
_FINER = (2.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.12)  # pixels that somebody found is moved by in the end
_MOVED = 0.15  # what a move costs, in shares of the error


@dataclass(frozen=True)
class _Scene:
    """One picture, small, as it is explained so far."""

    true: Tensor  # (3, H, W) 0..1
    picture: Picture  # of one eye
    camera: Camera
    pose: Pose
    light: Light
    free: Tensor
    """(H, W) 1; 0 where somebody was found, and at their rim: what is left unexplained there is theirs."""
    _coarse: dict[int, Tensor] = field(default_factory=dict, init=False, compare=False)

    @property
    def eyes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.pose.x, self.pose.y, self.pose.yaw, self.pose.pitch

    @property
    def wall(self) -> Tensor:
        """(W,) how near the nearest that is upright is in each column."""
        return self.picture.nearness[0].amin(0)

    def blurred(self, blur: int) -> Tensor:
        """What is seen and what is explained, blurred by so many pixels, how near that is and where nobody was found:
        (1, 8, H, W)."""
        if blur not in self._coarse:
            both = torch.cat((self.true[None], self.picture.frames), 1)
            both = F.avg_pool2d(both, blur, 1, blur // 2)[..., : self.camera.height, : self.camera.width]
            self._coarse[blur] = torch.cat((both, self.picture.nearness[:, None], self.free[None, None]), 1)
        return self._coarse[blur]

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
    scene = _Scene(frame[0].float() / 2 + 0.5, Picture(view.frames / 2 + 0.5, view.nearness), camera, pose, light,
                   torch.ones_like(frame[0, 0].float()))  # fmt: skip
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
    bad = ~memory.standing(x, y) | in_sight(scene, x, y)
    # nobody bursts in the moment that one has looked
    near = (1 - torch.hypot(x - scene.pose.x, y - scene.pose.y) / _BEYOND).clamp(min=0)
    best = (2.0 * bad + near).argmin(1, keepdim=True)
    x, y = x.gather(1, best)[:, 0], y.gather(1, best)[:, 0]
    opens = slots.dynamics.role[look[0]] == OPENS
    x, y = (torch.where(opens, at, drawn) for at, drawn in zip(slots.doorways.unbind(1), (x, y), strict=True))
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
    wall, seen = scene.wall, torch.zeros_like(depth, dtype=torch.bool)
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


def _found(scene: _Scene, slots: SlotMemory, who: Slots) -> _Scene:
    """The scene with these in its picture, where nobody else is looked for."""
    made = _with(scene, slots, who)
    shown = (made.picture.nearness != scene.picture.nearness).float()
    rim = F.max_pool2d(shown, 2 * _RIM + 1, 1, _RIM)[0]
    return replace(made, free=scene.free * (1 - rim))


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
    role, bare = slots.dynamics.role, scene
    free = [slot for slot in range(state.count) if bool(slots.census[slot])]
    free = [slot for slot in free if int(role[state.look[0, slot]]) in (WALKS, ROLLS)]
    parts = {name: part.clone() for name, part in vars(state).items()}
    tiles = _Tiles.of(slots, scene.light, _GRID)
    fits: dict[_Place, _Fit | None] = {}
    found: dict[int, _Fit] = {}
    while free:
        looks = sorted({int(state.look[0, slot]) for slot in free})
        for place in _suspicious(scene, memory, slots, looks, [fit.who for fit in found.values()]):
            if place not in fits:
                fits[place] = _fitted(scene, slots, tiles, place)
        able = [fit for fit in fits.values() if fit and all(fit.away(other) > _APART for other in found.values())]
        best = max(able, key=lambda fit: fit.gain, default=None)
        if best is None:
            break
        slot = next(slot for slot in free if int(state.look[0, slot]) == best.look)
        free.remove(slot)
        found[slot] = best
        scene = _found(scene, slots, best.who)
        left = {int(state.look[0, slot]) for slot in free}
        # what it hides or explains is looked at again
        fits = {
            place: fit for place, fit in fits.items() if not place.meets(best.place) and left.issuperset(place.looks)
        }
    for slot, fit in found.items():
        others = [other.who for number, other in found.items() if number != slot]
        found[slot] = _closer(_with_all(bare, slots, others), slots, fit)
    for slot, fit in found.items():
        for name, part in vars(fit.who).items():
            parts[name][0, slot] = part[0, 0]
    return Slots(**parts)


def _with_all(scene: _Scene, slots: SlotMemory, who: list[Slots]) -> _Scene:
    """The scene with all of them found."""
    for one in who:
        scene = _found(scene, slots, one)
    return scene


class _Place(NamedTuple):
    """Where somebody of one of `looks` might stand, and the part of the picture that would be."""

    x: float
    y: float
    looks: tuple[int, ...]
    top: int
    bottom: int
    left: int
    right: int

    def meets(self, other: _Place) -> bool:
        """Whether what is found at the one changes what is seen at the other."""
        return (
            self.left < other.right + _RIM
            and other.left < self.right + _RIM
            and self.top < other.bottom + _RIM
            and other.top < self.bottom + _RIM
        )


class _Fit(NamedTuple):
    """Who would explain best what is seen there, (1, 1), and the numbers of `_explained`."""

    who: Slots
    place: _Place
    gain: float
    before: float
    pixels: float
    ring: float
    share: float

    @property
    def look(self) -> int:
        return int(self.who.look)

    def away(self, other: _Fit) -> float:
        """Cells between the two."""
        return math.hypot(float(self.who.x - other.who.x), float(self.who.y - other.who.y))


def _suspicious(
    scene: _Scene, memory: SpatialMemory, slots: SlotMemory, looks: list[int], found: list[Slots]
) -> list[_Place]:
    """Where somebody might stand who would explain much."""
    camera, pose, device = scene.camera, scene.pose, scene.true.device
    error = (scene.error() - scene.error().median()).clamp(-0.2, 0.5) * scene.free
    sums = F.pad(error.cumsum(0).cumsum(1), (1, 0, 1, 0))
    horizon = float(camera.horizon(pose.pitch))
    column = torch.arange(0, camera.width, _STEP, device=device, dtype=torch.float32) + 0.5
    depth = torch.tensor(_DEPTHS, device=device)[:, None]
    aside = (column - camera.width / 2) / camera.focal * depth
    cos, sin = pose.yaw.cos(), pose.yaw.sin()
    x, y = pose.x + depth * cos - aside * sin, pose.y + depth * sin + aside * cos  # (depths, columns)
    wall = scene.wall[column.long()]
    possible = (depth * wall < 1.02) & (beside(memory, x, y) > 0.1)
    for who in found:
        possible &= torch.hypot(x - who.x, y - who.y) > _APART
    scale, eye = camera.focal / depth, camera.config.eye_height
    places = []
    for alike in _alike(slots, looks):
        left, right, base, top = (
            sum(part) / len(alike) for part in zip(*(_size(slots, n) for n in alike), strict=True)
        )
        rows = [(horizon + (eye - part) * scale).round().long().clamp(0, camera.height) for part in (top, base)]
        columns = [(column + part * scale).round().long().clamp(0, camera.width) for part in (left, right)]
        (upper, lower), (begin, end) = [part.expand_as(columns[0]) for part in rows], columns
        inner = sums[lower, end] - sums[upper, end] - sums[lower, begin] + sums[upper, begin]
        area = (lower - upper) * (end - begin)
        inner = torch.where(possible & (area >= 16), inner / area.clamp(min=1).float().sqrt(), 0.0)
        for _ in range(_PLACES):
            index = int(inner.argmax())
            if float(inner.flatten()[index]) < _SUSPICIOUS:
                break
            box = [int(part.flatten()[index]) for part in (upper, lower, begin, end)]
            places.append(_Place(float(x.flatten()[index]), float(y.flatten()[index]), alike, *box))
            row = index // len(column)
            near = (column - column[index % len(column)]).abs() < (box[3] - box[2]) * 0.6
            inner[max(0, row - 3) : row + 4, near] = 0
    return places


def _alike(slots: SlotMemory, looks: list[int]) -> list[tuple[int, ...]]:
    """Looks of about one size."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for look in looks:
        left, right, _, top = _size(slots, look)
        role = int(slots.dynamics.role[look])
        groups.setdefault((role, round(4 * (right - left)), round(4 * top)), []).append(look)
    return [tuple(group) for group in groups.values()]


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
    rows: int

    @staticmethod
    def of(slots: SlotMemory, light: Light, size: tuple[int, int]) -> _Tiles:
        rows, columns = size
        small = F.adaptive_avg_pool2d(slots.texels().permute(0, 3, 1, 2), size).flatten(2).transpose(1, 2)
        colour = small[..., :3] * light.day[0] + small[..., 3:6] * light.lamp[0]
        up, across = torch.meshgrid((rows - 0.5 - torch.arange(rows)) / rows, (torch.arange(columns) + 0.5) / columns,
                                    indexing="ij")  # fmt: skip
        device = colour.device
        return _Tiles(colour, small[..., 6], across.flatten().to(device), up.flatten().to(device), rows)


def _blurred(scene: _Scene, place: _Place, tiles: _Tiles) -> Tensor:
    """See `_Scene.blurred`: as coarse as the tiles' points are there."""
    return scene.blurred(max(1, (place.bottom - place.top) // (2 * tiles.rows)))


def _fitted(scene: _Scene, slots: SlotMemory, tiles: _Tiles, place: _Place) -> _Fit | None:
    """Who stands there or thereabouts; None if nobody explains what is seen."""
    config = slots.config
    both = _blurred(scene, place, tiles)
    # look, side, phase, moves along the line of sight (a share of the depth) and across (cells)
    sides = [float(side) for side in range(config.views)]
    tried = torch.cat([_product(scene, [float(look)], sides, _postures(slots, look), [-0.24, -0.12, 0.0, 0.12, 0.24],
                                [-0.1, 0.0, 0.1]) for look in place.looks])  # fmt: skip
    best = tried[0]
    for finer in range(3):
        if finer:
            look, side, _, deep, across = best.tolist()
            phases = _phases(slots, int(look))
            turns = [(side + turn) % config.views for turn in (0.0, 1.0, -1.0)]
            step = 0.06 / finer
            tried = _product(scene, [look], turns, phases, [deep - step, deep, deep + step],
                             [across - 0.75 * step, across, across + 0.75 * step])  # fmt: skip
        who = _standing(scene, slots, tried, place.x, place.y)
        gain, before, seen, ring, share = _explained(scene, slots, tiles, tried, who, both)
        index = int((gain - _MOVED * (tried[:, 3].abs() + tried[:, 4].abs() / 2) * before).argmax())
        best = tried[index]
    fit = _Fit(
        Slots(*(part[index : index + 1] for part in vars(who).values())),
        place,
        *(float(part[index]) for part in (gain, before, seen, ring, share)),
    )
    return fit if _is_somebody(fit) else None


def _is_somebody(fit: _Fit) -> bool:
    """Whether that is more than what memory does not know of the place."""
    if fit.pixels < _PIXELS or fit.gain < max(_TAKEN * fit.before, _LEAST * fit.pixels):
        return False
    beside = fit.ring * fit.pixels / fit.gain
    if fit.share > _WHOLE:
        return beside < _BESIDE
    return fit.share > _PART and beside < _BESIDE / 2 and fit.gain > _PART_GAIN


def _closer(scene: _Scene, slots: SlotMemory, fit: _Fit) -> _Fit:
    """The same one, nearer to what is seen once all others are known."""
    config, place = slots.config, fit.place
    tiles = _Tiles.of(slots, scene.light, _FINE_GRID)
    both = _blurred(scene, place, tiles)
    x, y = float(fit.who.x), float(fit.who.y)
    sides = [float(side) for side in range(config.views)]
    best = [float(fit.look), 0.0, 0.0, 0.0, 0.0]
    for finer in range(2):
        look, side, _, deep, across = best
        if finer:
            sides = [side]
        step = 0.03 / (1 + finer)
        tried = _product(scene, [look], sides, _phases(slots, int(look)), [deep - step, deep, deep + step],
                         [across - 0.5 * step, across, across + 0.5 * step])  # fmt: skip
        who = _standing(scene, slots, tried, x, y)
        gain, before, *_ = _explained(scene, slots, tiles, tried, who, both)
        index = int((gain + _LIKELY * before * _prior(slots, who, tried[:, 1], scene)).argmax())
        best = tried[index].tolist()
    fit = fit._replace(who=Slots(*(part[index : index + 1] for part in vars(who).values())))
    return _to_the_pixel(scene, slots, fit, int(best[1]))


def _to_the_pixel(scene: _Scene, slots: SlotMemory, fit: _Fit, side: int) -> _Fit:
    """The same one, moved by parts of a pixel, and its stride, until it is drawn as it is seen."""
    camera, pose, place = scene.camera, scene.pose, fit.place
    rim = 2 + (place.bottom - place.top) // 8
    top, bottom = max(0, place.top - rim), min(camera.height, place.bottom + rim)
    left, right = max(0, place.left - rim), min(camera.width, place.right + rim)
    true, bare = scene.true[:, top:bottom, left:right], scene.picture.frames[0, :, top:bottom, left:right]
    free, wall = scene.free[top:bottom, left:right], scene.wall[left:right]
    x, y = float(fit.who.x), float(fit.who.y)
    depth = (fit.who.x - pose.x) * pose.yaw.cos() + (fit.who.y - pose.y) * pose.yaw.sin()
    pixel, tall = float(depth) / camera.focal, max(8, place.bottom - place.top)  # of one, cells; pixels of its height
    best = [float(fit.look), float(side), 0.0, 0.0, 0.0]
    phases = _phases(slots, fit.look)
    for step in _FINER:
        deep, across = best[3:]
        tried = _product(scene, best[:1], best[1:2], phases, [deep + n * step / tall for n in (-1.0, 0.0, 1.0)],
                         [across + n * step * pixel for n in (-1.0, 0.0, 1.0)])  # fmt: skip
        who = _standing(scene, slots, tried, x, y)
        count = len(tried)
        eyes: Eyes = tuple(part.expand(count) for part in scene.eyes)  # type: ignore[assignment]
        cards = slots.cards(who, eyes)
        corner = torch.tensor((top, left), device=true.device).expand(count, 2)
        layer = draw_alone(cards, slots.atlas(), eyes, camera, scene.light, corner, (bottom - top, right - left))
        layer = layer * (depth * wall < 1)
        off = (layer[:, :3] + bare * (1 - layer[:, 3:]) - true).abs().mean(1) * free
        best = tried[int(off.clamp(max=0.3).sum((1, 2)).argmin())].tolist()
        phases = [best[2]] if step < 1 else phases
    who = _standing(scene, slots, torch.tensor([best], device=true.device), x, y)
    return fit._replace(who=who)


def _phases(slots: SlotMemory, look: int) -> list[float]:
    """Parts of the stride that look different."""
    tiles = slots.tile[look, 0].tolist()
    return [float(phase) for phase, tile in enumerate(tiles) if tile not in tiles[:phase]]


def _postures(slots: SlotMemory, look: int) -> list[float]:
    """The parts of the stride that stand for all at first: standing still, and going if that looks otherwise."""
    tiles = slots.tile[look]
    return [0.0, 1.0] if bool((tiles[:, 0] != tiles[:, 1]).any()) else [0.0]


def _prior(slots: SlotMemory, who: Slots, side: Tensor, scene: _Scene) -> Tensor:
    """How often one faces such ways that this side is seen, logarithm of the share, (N,)."""
    towards = torch.atan2(scene.pose.y - who.y[:, 0], scene.pose.x - who.x[:, 0])
    _, off = _ways_from(slots, towards + side * (2 * math.pi / slots.config.views))
    near = torch.exp(-(off**2) / 2) * slots.headings
    return (near.sum(1) / slots.headings.sum() + 0.02).log()


def _ways_from(slots: SlotMemory, heading: Tensor) -> tuple[Tensor, Tensor]:
    """The ways that are told apart, and how far each is from headings (N,), in halves of what one side is seen from:
    (ways,) and (N, ways)."""
    ways = torch.arange(len(slots.headings), device=heading.device) * (2 * math.pi / len(slots.headings))
    off = (ways - heading[:, None] + math.pi) % (2 * math.pi) - math.pi
    return ways, off / (math.pi / slots.config.views)


def _product(scene: _Scene, *parts: list[float]) -> Tensor:
    """All that can be made of one of each, (N, parts)."""
    return torch.cartesian_prod(*(torch.tensor(part, device=scene.true.device) for part in parts)).float()


def _explained(
    scene: _Scene, slots: SlotMemory, tiles: _Tiles, tried: Tensor, who: Slots, both: Tensor
) -> tuple[Tensor, ...]:
    """Of each of slots (N, 1): how much of the error within its outline it explains and how much there was,
    in pixels; how many pixels of it are in sight; the mean error beside it; which share is in sight. Each (N,)."""
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
    found = F.grid_sample(both, grid[None], padding_mode="border", align_corners=False)[0]  # (8, N, points)
    true, bare, near, free = found[:3], found[3:6], found[6], found[7]
    inside = (
        (column >= 0)
        & (column < camera.width)
        & (row >= 0)
        & (row < camera.height)
        & (near * depth < 1.05)
        & (free > 0.5)
    )
    cover = tiles.cover[tile]
    made = bare * (1 - cover) + tiles.colour[tile].permute(2, 0, 1)
    area = (top - base) * (right - left) * (camera.focal / depth[:, 0]).square() / len(tiles.up)
    whole = inside * area[:, None]
    weight = cover * whole
    before, after = ((part - true).abs().mean(0) for part in (bare, made))
    ring = (before * (whole - weight)).sum(1) / (whole - weight).sum(1).clamp(min=1)
    seen, outline = weight.sum(1), (cover * area[:, None]).sum(1).clamp(min=1)
    return ((before - after) * weight).sum(1), (before * weight).sum(1), seen, ring, seen / outline


def _standing(scene: _Scene, slots: SlotMemory, tried: Tensor, x: float, y: float) -> Slots:
    """Slots (N, 1) of looks, sides, phases and moves (N, 5) from x, y."""
    config, pose = slots.config, scene.pose
    look, side, phase, deep, across = tried.unbind(1)
    cos, sin = pose.yaw.cos(), pose.yaw.sin()
    depth = (x - pose.x) * cos + (y - pose.y) * sin
    aside = (y - pose.y) * cos - (x - pose.x) * sin
    far = depth * (1 + deep)
    right = (aside / depth) * far + across
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
    ways, off = _ways_from(slots, heading)
    score = (slots.headings + 0.02 * slots.headings.sum()) * torch.exp(-(off**2) / 2)
    best = torch.where(off.abs() < 1.2, score, 0.0).argmax(1)
    return torch.where(slots.headings.max() > 1.01 * slots.headings.min(), ways[best], heading)
