"""Finds who is in a picture: what the memory does not explain is compared with every look, side and stride.

Analysis by synthesis, as the recogniser's closer look. Where picture and memory differ, and somebody could stand there,
every tile is drawn there and the one that explains most is kept, moved until it fits, and taken away; until nothing
more is explained. Whoever is not in the picture is put where such are met, out of sight. A picture that the memory does
not explain at all says nothing about who is in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.cards import Cards, draw_cards
from engine.nets.slots import OPENS, WALKS, SlotMemory, Slots, chance
from engine.nets.spatial_memory import Pose, SpatialMemory
from engine.nets.surfaces import Light, Picture

_WIDE = 128  # pixels across, of the picture that is searched
_FOREIGN = 0.16  # mean error (of 0..1) at which the memory explains nothing of the picture
_TAKEN = 0.25  # share of the error within its outline that somebody must explain to be there
_LEAST = 0.05  # mean error that must be explained, a pixel of the outline
_TRIES = 10  # places looked at in earnest, at most
_DEPTHS = tuple(0.45 * 1.22**n for n in range(16))
_DRAWS = 24  # places drawn for somebody who is out of sight
_MARGIN = 0.15  # cells beside its foot that somebody may be seen
_AJAR = (0.0, 0.25, 0.5, 0.75, 1.0)


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
    device = frame.device
    height = round(camera.height * _WIDE / camera.width)
    small = Camera(camera.config, _WIDE, height, device)
    view = memory.look(pose, small)
    true = F.interpolate(frame.float(), size=(height, _WIDE), mode="area")[0] / 2 + 0.5
    light = memory.light_at(pose.hour)
    scene = _Scene(true, Picture(view.frames / 2 + 0.5, view.nearness), small, pose, light)
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
    heading, stride = draws[None, :, -2] * 2 * math.pi, draws[None, :, -1]
    hidden_in_sight = (~opens & in_sight(scene, x[:, None], y[:, None])[:, 0])[None]
    return Slots(look, there & ~hidden_in_sight, x[None], y[None], heading, zero, zero, stride, zero)


def in_sight(scene: _Scene, x: Tensor, y: Tensor) -> Tensor:
    """Whether what stands at x, y (any shape) is in the picture."""
    pose, camera = scene.pose, scene.camera
    cos, sin = pose.yaw.cos(), pose.yaw.sin()
    depth = (x - pose.x) * cos + (y - pose.y) * sin
    aside = (y - pose.y) * cos - (x - pose.x) * sin
    wall, seen = scene.picture.nearness[0].amin(0), torch.zeros_like(depth, dtype=torch.bool)
    for beside in (-_MARGIN, 0.0, _MARGIN):  # some of it may look out from behind a pillar
        column = (aside + beside) / depth.clamp(min=0.05) * camera.focal + camera.width / 2
        nearest = wall[column.clamp(0, camera.width - 1).long()]
        seen = seen | ((column >= 0) & (column < camera.width) & (depth * nearest < 1.05))
    return (depth > 0.05) & seen


# -- who is in sight -------------------------------------------------------------------------------------------------
def _drawn(scene: _Scene, slots: SlotMemory, cards: Cards) -> tuple[Tensor, Tensor]:
    """Pictures with each of N cards (N, 1), (N, 3, H, W), and their nearness."""
    count = len(cards.present)
    eyes = tuple(part.expand(count) for part in scene.eyes)
    light = Light(*(part.expand(count, 3) for part in vars(scene.light).values()))
    picture = Picture(scene.picture.frames.expand(count, -1, -1, -1), scene.picture.nearness.expand(count, -1, -1))
    made = draw_cards(picture, cards, slots.atlas(), eyes, scene.camera, light)  # type: ignore[arg-type]
    return made.frames, made.nearness


def _gains(scene: _Scene, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How much of the error pictures (N, 3, H, W) explain, all in all, of what there was, and over how many pixels."""
    before, changed = scene.error(), (frames != scene.picture.frames).any(1)
    after = (frames - scene.true).abs().mean(1)
    return (before - after).flatten(1).sum(1), (before * changed).flatten(1).sum(1), changed.flatten(1).sum(1)


def _doors(scene: _Scene, slots: SlotMemory, state: Slots) -> tuple[_Scene, Slots]:
    """How far doors are open that are in sight, and the picture with all doors in it."""
    role = slots.dynamics.role[state.look[0]]
    doors = ((role == OPENS) & state.there[0]).nonzero()[:, 0].tolist()
    for door in sorted(doors, key=lambda n: -float(_distance(scene, state, n))):
        one = Slots(*(part[:, door : door + 1].expand(len(_AJAR), 1) for part in vars(state).values()))
        one = Slots(**{**vars(one), "open": torch.tensor(_AJAR, device=state.x.device)[:, None]})
        eyes = tuple(part.expand(len(_AJAR)) for part in scene.eyes)
        cards = slots.cards(one, eyes, [door])  # type: ignore[arg-type]
        frames, nearness = _drawn(scene, slots, cards)
        wrong = (frames - scene.true).abs().mean((1, 2, 3))
        best = int(wrong.argmin())
        opened = state.open.clone()
        opened[0, door] = _AJAR[best]
        state = Slots(**{**vars(state), "open": opened})
        scene = _with(scene, frames[best : best + 1], nearness[best : best + 1])
    return scene, state


def _distance(scene: _Scene, state: Slots, slot: int) -> Tensor:
    return torch.hypot(state.x[0, slot] - scene.pose.x[0], state.y[0, slot] - scene.pose.y[0])


def _with(scene: _Scene, frames: Tensor, nearness: Tensor) -> _Scene:
    return _Scene(scene.true, Picture(frames, nearness), scene.camera, scene.pose, scene.light)


def _walkers(scene: _Scene, memory: SpatialMemory, slots: SlotMemory, state: Slots) -> Slots:
    """Puts those that walk or roll where the picture shows them."""
    role = slots.dynamics.role
    free = [slot for slot in range(state.count) if bool(state.there[0, slot]) or bool(slots.census[slot])]
    free = [slot for slot in free if int(role[state.look[0, slot]]) not in (0, OPENS)]
    looks = sorted({int(state.look[0, slot]) for slot in free})
    parts = {name: part.clone() for name, part in vars(state).items()}
    tried = torch.zeros_like(scene.error(), dtype=torch.bool)
    for _ in range(_TRIES):
        if not free:
            break
        looks = sorted({int(state.look[0, slot]) for slot in free})
        place = _suspicious(scene, memory, slots, looks, tried)
        if place is None:
            break
        x, y, box = place
        found = _fitted(scene, slots, looks, x, y)
        tried[box[0] : box[1], box[2] : box[3]] = True
        if found is None:
            continue
        who, frames, nearness = found
        slot = next(slot for slot in free if int(state.look[0, slot]) == int(who.look))
        free.remove(slot)
        for name, part in vars(who).items():
            parts[name][0, slot] = part[0, 0]
        scene = _with(scene, frames, nearness)
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
    column = torch.arange(0, camera.width, 2, device=device, dtype=torch.float32) + 0.5
    depth = torch.tensor(_DEPTHS, device=device)[:, None]
    aside = (column - camera.width / 2) / camera.focal * depth
    cos, sin = pose.yaw.cos(), pose.yaw.sin()
    x, y = pose.x + depth * cos - aside * sin, pose.y + depth * sin + aside * cos  # (depths, columns)
    wall = scene.picture.nearness[0].amin(0)[column.long()]
    possible = (memory.standing(x.flatten(), y.flatten()).view_as(x) > -60) & (depth * wall < 1.02)
    best: tuple[float, float, float, tuple[int, int, int, int]] | None = None
    for look in looks:
        left, right, base, top = slots.frame[slots.tile[look].long().flatten()].mean(0).tolist()
        scale, eye = camera.focal / depth, camera.config.eye_height
        rows = [(horizon + (eye - part) * scale).round().long().clamp(0, camera.height) for part in (top, base)]
        columns = [(column + part * scale).round().long().clamp(0, camera.width) for part in (left, right)]
        rows = [part.expand_as(columns[0]) for part in rows]
        inner = (
            sums[rows[1], columns[1]]
            - sums[rows[0], columns[1]]
            - sums[rows[1], columns[0]]
            + sums[rows[0], columns[0]]
        )
        area = (rows[1] - rows[0]) * (columns[1] - columns[0])
        inner = torch.where(possible & (area >= 6), inner / area.clamp(min=1).float().sqrt(), 0.0)
        index = int(inner.argmax())
        value = float(inner.flatten()[index])
        if value > 0.15 and (best is None or value > best[0]):
            box = tuple(int(part.flatten()[index]) for part in (*rows, *columns))
            best = value, float(x.flatten()[index]), float(y.flatten()[index]), box  # type: ignore[assignment]
    return None if best is None else best[1:]


def _fitted(
    scene: _Scene, slots: SlotMemory, looks: list[int], x: float, y: float
) -> tuple[Slots, Tensor, Tensor] | None:
    """Who stands there or thereabouts, (1, 1), and the picture with them; None if nobody explains it."""
    config, device = slots.config, scene.true.device
    sides = torch.arange(config.views, device=device)
    # look, side, phase, moves along the line of sight (a share of the depth) and across (pixels)
    first = torch.cartesian_prod(torch.tensor(looks, device=device), sides, torch.tensor((0,), device=device)).float()
    moves = torch.tensor(((0.0, 0.0), (-0.1, 0.0), (0.1, 0.0), (0.0, -2.0), (0.0, 2.0)), device=device)
    tried = torch.cat((first.repeat_interleave(len(moves), 0), moves.repeat(len(first), 1)), 1)
    best = tried
    for step, width in ((0, 0.0), (1, 1.0), (2, 0.4)):
        if step:
            look, side, phase, deep, across = best
            phases = torch.arange(1 + config.phases, device=device) if step == 1 else phase[None].long()
            nudges = torch.tensor((-1.0, 0.0, 1.0), device=device) * width
            grid = torch.cartesian_prod(phases.float(), nudges, nudges)
            around = torch.tensor((0.0, -1.0, 1.0), device=device) if step == 2 else torch.zeros(1, device=device)
            grid = grid.repeat(len(around), 1)
            turn = around.repeat_interleave(len(grid) // len(around))
            rows = (look.expand(len(grid)), (side + turn) % config.views, grid[:, 0], deep + grid[:, 1] * 0.05,
                    across + grid[:, 2])  # fmt: skip
            tried = torch.stack(rows, 1)
        who = _standing(scene, slots, tried, x, y)
        eyes = tuple(part.expand(len(tried)) for part in scene.eyes)
        frames, nearness = _drawn(scene, slots, slots.cards(who, eyes))  # type: ignore[arg-type]
        gain, there, area = _gains(scene, frames)
        index = int(gain.argmax())
        best = tried[index]
    if float(gain[index]) < max(_TAKEN * float(there[index]), _LEAST * float(area[index])) or int(area[index]) < 4:
        return None
    one = Slots(*(part[index : index + 1] for part in vars(who).values()))
    return one, frames[index : index + 1], nearness[index : index + 1]


def _standing(scene: _Scene, slots: SlotMemory, tried: Tensor, x: float, y: float) -> Slots:
    """Slots (N, 1) of looks, sides, phases and moves (N, 5) from x, y."""
    config, pose, camera = slots.config, scene.pose, scene.camera
    look, side, phase, deep, across = tried.unbind(1)
    cos, sin = pose.yaw.cos(), pose.yaw.sin()
    depth = (x - pose.x) * cos + (y - pose.y) * sin
    aside = (y - pose.y) * cos - (x - pose.x) * sin
    far = depth * (1 + deep)
    right = (aside / depth + across / camera.focal) * far
    east, south = pose.x + far * cos - right * sin, pose.y + far * sin + right * cos
    towards = torch.atan2(pose.y - south, pose.x - east)
    heading = (towards + side * (2 * math.pi / config.views)) % (2 * math.pi)
    look = look.long()
    walks = slots.dynamics.role[look] == WALKS
    speed = torch.where((phase > 0) & walks, slots.dynamics.pace[look], 0.0)
    stride = ((phase - 0.5) / config.phases).clamp(min=0)
    zero = torch.zeros_like(east)
    parts = (look, torch.ones_like(look, dtype=torch.bool), east, south, heading, speed, zero, stride, zero)
    return Slots(*(part[:, None] for part in parts))
