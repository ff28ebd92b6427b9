"""What lives in the remembered place: a few slots, each somebody or something that moves, with a state of its own.

A map cannot hold what moves, and a picture forgets it in half a second. A slot is kept where it belongs instead: a
place and a heading in the world, how fast it goes, where in its stride it is, how far it is open. It goes on when
nobody looks, passes behind a pillar and comes out again. How slots move is learned: those that *walk* by a small
network that is shown where one can stand around them, the player and the nearest other one, and answers with a
distribution of what they do in the next few frames; those that *open* and those that *roll* by what the player's place
does to them. Draws are made from the seed and the number of the frame, so there is no generator to keep.

Lengths are in cells, times in video frames, angles in radians (0 looks east and grows to the right).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config.memory import SlotsConfig, SpatialMemoryConfig
from engine.nets.cards import Atlas, Cards, reaching, side_seen
from engine.nets.spatial_memory import Pose, SpatialMemory
from engine.nets.surfaces import Eyes

WALKS, OPENS, ROLLS = 1, 2, 3
"""What a look does; 0: there is no such look."""

HEADINGS = 32
"""Directions that are told apart in what is known of where walkers face."""
_COMPASS = 8  # directions in which a walker is shown whether one can stand
_BESIDE = 0.35  # radians beside a way that others went, about, in which one is taken to go that way
_LEAST_WENT = 0.05  # share of others that one follows
_REACHES = (0.35, 0.8)  # cells ahead of it at which
_NEAR = 2.0  # cells, the distance at which others begin to matter
_FAR = 1e3
_FROM_DOORS = 2.0  # cells from which on doors do what they do there: nobody ever saw one move from farther away
_STEP = 0.06  # cells a frame that a player walks, about
_AHEAD = (0.0, 0.5, 1.0)  # cells ahead of it at which it is shown where others went
FEATURES = _COMPASS * (len(_REACHES) + len(_AHEAD)) + 5 + 3 + 2
"""Numbers that a walker is shown: the ground, which way others went, the player's place and motion, the nearest other's
place, its own motion; and then its look."""


@dataclass(frozen=True)
class Slots:
    """The state of all slots of a batch of worlds; its tensors are replaced and never written to. Each (B, K).

    look: int64, what it looks like. there: bool. x, y: of its foot; of a leaf of a door, the middle of the doorway.
    heading: the way it faces, or rolls. speed: cells a frame. turning: radians a frame. stride: how far into its
    stride, 0..1. open: from 0, shut, to 1.
    """

    look: Tensor
    there: Tensor
    x: Tensor
    y: Tensor
    heading: Tensor
    speed: Tensor
    turning: Tensor
    stride: Tensor
    open: Tensor

    @property
    def count(self) -> int:
        """Slots of a world."""
        return self.look.shape[1]


class SlotDynamics(nn.Module):
    """How slots move.

    Args:
        config: how many looks there are, and the network's width. world: the map that they move in.

    Weights: decide, the network of those that walk; opening, a small network from the player's distance and how open a
    door is to how much more open it will be in the next frame. Buffers: role (looks,), WALKS, OPENS, ROLLS or 0; pace
    and stride (looks,), cells a frame and cells a stride of those that walk; room (looks,), how far one keeps from what
    is upright; keeps (1,), how far those that walk keep from the player; flow (8, rows, columns) bytes, which share of
    those that walked there went each way, eastward first; rolling (4,): within how many cells of the player it is
    pushed, how fast it then goes, and the share of its speed that it keeps in a frame and at a wall.
    """

    role: Tensor
    pace: Tensor
    stride: Tensor
    room: Tensor
    keeps: Tensor
    flow: Tensor
    rolling: Tensor

    def __init__(self, config: SlotsConfig, world: SpatialMemoryConfig) -> None:
        super().__init__()
        self.config = config
        wide, looks = config.width, config.looks
        self.decide = nn.Sequential(
            nn.Linear(FEATURES + looks, wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU(),
            nn.Linear(wide, 1 + config.turns),
        )  # fmt: skip
        self.opening = nn.Sequential(nn.Linear(2, 12), nn.SiLU(), nn.Linear(12, 1))
        self.register_buffer("role", torch.zeros(looks, dtype=torch.uint8))
        self.register_buffer("pace", torch.zeros(looks))
        self.register_buffer("stride", torch.ones(looks))
        self.register_buffer("room", torch.full((looks,), 0.15))
        self.register_buffer("keeps", torch.zeros(1))
        places = (_COMPASS, world.rows * config.met, world.columns * config.met)
        self.register_buffer("flow", torch.zeros(places, dtype=torch.uint8))
        self.register_buffer("rolling", torch.tensor((0.5, 0.0, 0.9, 0.5)))

    @property
    def turns(self) -> Tensor:
        """The turns that a walker chooses from, radians in one beat, (turns,)."""
        return torch.linspace(-1, 1, self.config.turns, device=self.pace.device) * (math.pi / 2)

    def features(self, slots: Slots, pose: Pose, walked: Tensor, memory: SpatialMemory) -> Tensor:
        """What each slot is shown, in its own frame: (B, K, FEATURES + looks).

        Args:
            pose: of the player, (B,). walked: (B, 2) cells to the east and to the south that the player just went.
        """
        way = torch.arange(_COMPASS, device=slots.x.device) * (2 * math.pi / _COMPASS)
        angle = (slots.heading[..., None] + way)[..., None]
        reach = torch.tensor(_REACHES, device=slots.x.device)
        across, down = slots.x[..., None, None] + angle.cos() * reach, slots.y[..., None, None] + angle.sin() * reach
        free = memory.standing(across, down).flatten(2) * 2.0 - 1
        onward = self._onward(slots)
        player = _seen_from(slots, pose.x[:, None], pose.y[:, None])
        coming = torch.stack(_turned(slots.heading, walked[:, :1] / _STEP, walked[:, 1:] / _STEP), -1)
        apart = torch.hypot(slots.x[:, None] - slots.x[..., None], slots.y[:, None] - slots.y[..., None])
        walkers = (slots.there & (self.role[slots.look] == WALKS))[:, None]
        itself = torch.eye(slots.count, dtype=torch.bool, device=apart.device)
        gap, other = torch.where(walkers & ~itself, apart, _FAR).min(-1)
        near = _seen_from(slots, slots.x.gather(1, other), slots.y.gather(1, other)) * (gap < _FAR)[..., None]
        own = torch.stack(((slots.speed > 0).float(), slots.turning * self.config.beat), -1)
        kind = F.one_hot(slots.look, self.config.looks).float()
        return torch.cat((free, onward, player, coming, near, own, kind), -1)

    def _went(self, x: Tensor, y: Tensor) -> Tensor:
        """Which share of those that came by places (...) went each way, (ways, ...)."""
        rows, columns = self.flow.shape[1:]
        size = torch.tensor((columns, rows), device=x.device) / self.config.met
        grid = (torch.stack((x, y), -1) / size * 2 - 1).view(1, 1, -1, 2)
        found = F.grid_sample(self.flow[None].float() / 255, grid, padding_mode="border", align_corners=False)
        return found.view(_COMPASS, *x.shape)

    def _onward(self, slots: Slots) -> Tensor:
        """Which way others went here and ahead, (B, K, places and ways), the way that each faces first."""
        ahead = torch.tensor(_AHEAD, device=slots.x.device)
        facing = slots.heading[..., None]
        went = self._went(slots.x[..., None] + facing.cos() * ahead, slots.y[..., None] + facing.sin() * ahead)
        turn = facing * (_COMPASS / (2 * math.pi))
        way = torch.arange(_COMPASS, device=turn.device).view(-1, 1, 1, 1) + turn.floor().long()
        at = went.gather(0, (way % _COMPASS).expand_as(went))
        return torch.lerp(at, at.roll(-1, 0), turn - turn.floor()).permute(1, 2, 3, 0).flatten(2)

    def _astray(self, slots: Slots, heading: Tensor) -> Tensor:
        """By how much each that faces so would have to turn to go the way that others went here, radians (B, K)."""
        way = (torch.arange(_COMPASS, device=heading.device) * (2 * math.pi / _COMPASS)).view(-1, 1, 1)
        off = (way - heading + math.pi) % (2 * math.pi) - math.pi
        weight = self._went(slots.x, slots.y) * torch.exp(-((off / _BESIDE) ** 2) / 2)
        return (weight * off).sum(0) / (weight.sum(0) + _LEAST_WENT)

    def step(self, slots: Slots, pose: Pose, walked: Tensor, memory: SpatialMemory, seed: int, frame: int) -> Slots:
        """The slots a video frame later, the player now being at `pose`; frame: how many there were before."""
        role = self.role[slots.look]
        if frame % self.config.beat == 0:
            slots = self._decided(slots, role, self.features(slots, pose, walked, memory), seed, frame)
        rolls, walks = role == ROLLS, role == WALKS
        heading, speed = slots.heading + slots.turning * walks, slots.speed
        pushed_heading, pushed_speed = self._pushed(slots, pose)
        heading, speed = torch.where(rolls, pushed_heading, heading), torch.where(rolls, pushed_speed, speed)
        east, south = speed * heading.cos(), speed * heading.sin()
        to_x, to_y = slots.x + east, slots.y + south
        # here, after each axis of the move alone, and after both: one may not come nearer to a wall than its room
        places = (slots.x, to_x, slots.x, to_x), (slots.y, slots.y, to_y, to_y)
        here, across, down, both = beside(memory, *(torch.stack(part) for part in places))
        least = torch.minimum(self.room[slots.look], here)
        free_x = across > least
        free_y = torch.where(free_x, both, down) > least
        x, y = torch.where(free_x, to_x, slots.x), torch.where(free_y, to_y, slots.y)
        # what rolls against a wall comes back from it
        bounced = torch.atan2(torch.where(free_y, south, -south), torch.where(free_x, east, -east))
        hit = rolls & ~(free_x & free_y)
        heading = torch.where(hit, bounced, heading)
        speed = torch.where(hit, speed * self.rolling[3], speed)
        went = torch.hypot(x - slots.x, y - slots.y)
        stride = (slots.stride + went / self.stride[slots.look]) % 1
        x, y = self._out_of_the_way(x, y, least, walks, pose, memory)
        opened = self.opened(torch.hypot(pose.x[:, None] - slots.x, pose.y[:, None] - slots.y), slots.open)
        return replace(
            slots, x=x, y=y, heading=heading % (2 * math.pi), speed=speed, stride=stride,
            open=torch.where(role == OPENS, opened, slots.open),
        )  # fmt: skip

    def _out_of_the_way(
        self, x: Tensor, y: Tensor, least: Tensor, walks: Tensor, pose: Pose, memory: SpatialMemory
    ) -> tuple[Tensor, Tensor]:
        """Those that walk step back from a player who came too near, or else aside; none nearer to a wall than
        `least`."""
        east, south = x - pose.x[:, None], y - pose.y[:, None]
        distance = torch.hypot(east, south).clamp(min=1e-3)
        lacks = (self.keeps - distance).clamp(min=0) * walks
        east, south = east / distance * lacks, south / distance * lacks
        ways = torch.stack((east, -south, south)), torch.stack((south, east, -east))
        can = (beside(memory, x + ways[0], y + ways[1]) > least).long()
        first = can.argmax(0, keepdim=True)
        east, south = (way.gather(0, first)[0] * can.amax(0) for way in ways)
        return x + east, y + south

    def opened(self, distance: Tensor, opening: Tensor) -> Tensor:
        """How open doors are a frame later, from the player's distance and how open they are."""
        return self.opened_by(distance, opening).clamp(0, 1)

    def opened_by(self, distance: Tensor, opening: Tensor) -> Tensor:
        """As `opened`, and how far beyond open or shut they are pushed."""
        more: Tensor = self.opening(torch.stack((distance.clamp(max=_FROM_DOORS), opening), -1))[..., 0]
        return opening + more

    def _decided(self, slots: Slots, role: Tensor, features: Tensor, seed: int, frame: int) -> Slots:
        """What those that walk will do until the next beat."""
        answer = self.decide(features)
        batch, count = slots.x.shape
        draws = chance(seed, frame, batch, count, 2).to(answer.device)
        goes = draws[..., 0] < answer[..., 0].sigmoid()
        heaps = answer[..., 1:].softmax(-1).cumsum(-1)
        turn = self.turns[(draws[..., 1:] > heaps[..., :-1]).sum(-1)]
        walks = role == WALKS
        turn = turn + self._astray(slots, slots.heading + turn)  # none is off its way for long
        speed = torch.where(walks, torch.where(goes, self.pace[slots.look], 0.0), slots.speed)
        return replace(slots, speed=speed, turning=torch.where(walks, turn / self.config.beat, slots.turning))

    def _pushed(self, slots: Slots, pose: Pose) -> tuple[Tensor, Tensor]:
        """Heading and speed of what rolls."""
        reach, push, keep, _ = self.rolling
        east, south = slots.x - pose.x[:, None], slots.y - pose.y[:, None]
        distance = torch.hypot(east, south).clamp(min=1e-3)
        vx, vy = slots.speed * keep * slots.heading.cos(), slots.speed * keep * slots.heading.sin()
        away_x, away_y = east / distance, south / distance
        away = vx * away_x + vy * away_y
        more = torch.where(distance < reach, (push - away).clamp(min=0), 0.0)
        vx, vy = vx + more * away_x, vy + more * away_y
        speed = torch.hypot(vx, vy)
        still = speed < 1e-4
        return torch.where(still, slots.heading, torch.atan2(vy, vx)), torch.where(still, 0.0, speed)


def beside(memory: SpatialMemory, x: Tensor, y: Tensor) -> Tensor:
    """How far the nearest face is from places x, y, cells, in their shape."""
    ends = memory.surfaces().edges
    low, high = torch.minimum(ends[:, :2], ends[:, 2:]), torch.maximum(ends[:, :2], ends[:, 2:])
    place = torch.stack((x, y), -1)[..., None, :]
    off = (low - place).clamp(min=0) + (place - high).clamp(min=0)
    return off.square().sum(-1).amin(-1).sqrt()


def chance(seed: int, frame: int, batch: int, count: int, numbers: int) -> Tensor:
    """Draws 0..1 (B, count, numbers) of a frame; the world number n of a batch draws as one alone with seed + n."""
    draws = [
        torch.rand(
            count,
            numbers,
            generator=torch.Generator().manual_seed(((seed + n) * 0x9E3779B97F4A7C15 + frame * 0xBF58476D + 7) % 2**63),
        )
        for n in range(batch)
    ]
    return torch.stack(draws)


def _turned(heading: Tensor, east: Tensor, south: Tensor) -> tuple[Tensor, Tensor]:
    """Cells ahead and to the right of somebody who faces `heading`."""
    cos, sin = heading.cos(), heading.sin()
    return east * cos + south * sin, south * cos - east * sin


def _seen_from(slots: Slots, x: Tensor, y: Tensor) -> Tensor:
    """How near a place is, and where, in a slot's own frame: (B, K, 3), zeros when it is far."""
    east, south = x - slots.x, y - slots.y
    distance = torch.hypot(east, south).clamp(min=1e-3)
    near = (1 - distance / _NEAR).clamp(min=0)
    ahead, right = _turned(slots.heading, east / distance, south / distance)
    return torch.stack((near, ahead * near, right * near), -1)


class SlotMemory(nn.Module):
    """All that is known of slots: how they move, what they look like, how many there are and where one meets them.

    Args:
        config: how many of everything. world: the map that they live in.

    Buffers beside `dynamics`: tiles (tiles, rows, columns, 4) bytes, the texels of one side of a look in one part of
    its stride: RGB by day, and how much of it they are by lamp, in 128ths, 0 where there is nothing; tint (3,), the
    colour of lamplight beside daylight; frame (tiles, 4), from where to where it reaches to the right of the foot, and
    between which heights, cells; tile (looks, views, 1 + phases), which tile that is: side 0 looks at the eye, and
    phase 0 stands still; census (count,), the look of every slot that there is, counted from 1; shut, ajar (count, 4):
    of slots that open, the ends of their card in plan; met (looks, rows, columns), how often one is met there; headings
    (HEADINGS,), how often those that walk face each way.
    """

    tiles: Tensor
    tint: Tensor
    frame: Tensor
    tile: Tensor
    census: Tensor
    shut: Tensor
    ajar: Tensor
    met: Tensor
    headings: Tensor

    def __init__(self, config: SlotsConfig, world: SpatialMemoryConfig) -> None:
        super().__init__()
        self.config, self.world = config, world
        self.dynamics = SlotDynamics(config, world)
        per, byte = config.met, torch.uint8
        self.register_buffer("tiles", torch.zeros(config.tiles, *config.size, 4, dtype=byte))
        self.register_buffer("tint", torch.ones(3))
        self.register_buffer("frame", torch.zeros(config.tiles, 4))
        self.register_buffer("tile", torch.zeros(config.looks, config.views, 1 + config.phases, dtype=torch.int16))
        self.register_buffer("census", torch.zeros(config.count, dtype=byte))
        self.register_buffer("shut", torch.zeros(config.count, 4))
        self.register_buffer("ajar", torch.zeros(config.count, 4))
        self.register_buffer("met", torch.zeros(config.looks, world.rows * per, world.columns * per, dtype=byte))
        self.register_buffer("headings", torch.ones(HEADINGS))
        self._atlas: Atlas | None = None  # the tiles, laid out for drawing; made at the first look

    @property
    def empty(self) -> bool:
        """Whether nothing moves in this world."""
        return not self.census.is_meta and not bool(self.census.any())

    @property
    def doorways(self) -> Tensor:
        """The middle of the doorway of every slot that opens, (count, 2): what opens is one of two leaves that part
        there, and each slides by its own width."""
        shut, ajar = ((ends[:, :2] + ends[:, 2:]) / 2 for ends in (self.shut, self.ajar))
        return shut - (ajar - shut) / 2

    def atlas(self) -> Atlas:
        """The tiles, laid out for drawing."""
        if self._atlas is None or self._atlas.sums.device != self.tiles.device:
            self._atlas = Atlas(self.texels())
        return self._atlas

    def texels(self) -> Tensor:
        """The tiles as texels of engine.nets.surfaces, (tiles, rows, columns, 8) 0..1."""
        used = len(self.tiles) if self.tiles.is_meta else max(1, int(self.tile.max()) + 1)
        day, lamp = self.tiles[:used].float().split((3, 1), -1)
        cover = (lamp > 0).float()
        day = day / 255 * cover
        return torch.cat((day, day * lamp / 128 * self.tint, cover, torch.zeros_like(cover)), -1)

    def cards(self, slots: Slots, eyes: Eyes, which: list[int] | None = None) -> Cards:
        """What is seen of them; which: their numbers in the census, if these are not all."""
        config = self.config
        opens = self.dynamics.role[slots.look] == OPENS
        side = side_seen(slots.x, slots.y, slots.heading, eyes, config.views)
        phase = torch.where(slots.speed > 0, 1 + (slots.stride * config.phases).long().clamp(max=config.phases - 1), 0)
        tile = self.tile[slots.look, torch.where(opens, 0, side), torch.where(opens, 0, phase)].long()
        left, right, base, top = self.frame[tile].unbind(-1)
        facing = reaching(slots.x, slots.y, left, right, eyes)
        shut, ajar = (self.shut, self.ajar) if which is None else (self.shut[which], self.ajar[which])
        if which is None and slots.count != len(shut):  # none of them a door
            shut = ajar = shut[:1]
        leaf = torch.lerp(shut, ajar, slots.open[..., None])
        return Cards(torch.where(opens[..., None], leaf, facing), base, top, tile, slots.there)

    def stand_in(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Weights of one who walks, in tiles at random, for tests and to time a model whose files are not at hand."""
        config = self.config
        state = {name: part.clone() for name, part in self.state_dict().items() if name in dict(self.named_buffers())}
        state = {name: torch.zeros_like(part, device="cpu") for name, part in state.items()}
        state["tiles"] = torch.randint(256, self.tiles.shape, generator=generator, dtype=torch.uint8)
        state["tiles"][..., 3] = 128
        state["tint"] += 1
        state["frame"] = torch.tensor((-0.1, 0.1, 0.0, 0.5)).expand(config.tiles, 4).clone()
        state["census"][0] = 1
        state["met"] += 255
        state["headings"] += 1
        state["dynamics.role"][0] = WALKS
        state["dynamics.pace"] += 0.02
        state["dynamics.stride"] += 0.4
        state["dynamics.room"] += 0.15
        return state
