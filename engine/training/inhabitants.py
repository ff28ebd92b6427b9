"""What lives in the simulated place: lantern-bearers, a cat, balls that can be pushed, doors that open.

Every player has a place of his own with a folk of his own, all in one batch. Lantern-bearers and the cat walk on lanes
along the axes of doorways and round what stands about, on the right-hand side; at a junction they go on by chance, and
now and then they stop for a while (the cat sits down). They keep away from the player: they wait before him, step
aside if he comes too near, and turn back if he stays. A ball that the player walks into rolls off and comes to rest, or
stops at a wall. Doors slide open before the player, and close behind him; they never block his way, because they are
open before he is there, and walkers do not use these doorways.

All chance is drawn from a seed of its own. The truth about all of this is for those who evaluate, never for the model:
it is shown pictures and actions alone.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.cards import Cards, facing, side_seen
from engine.nets.surfaces import Eyes, cast
from engine.training import figures
from engine.training.place import HEIGHT, bake, is_free

BEARERS, CATS = 5, 1
WALKERS = BEARERS + CATS
BALL_PLACES = ((4.5, 11.0), (15.0, 4.0), (22.0, 16.1))
BALLS = len(BALL_PLACES)
# x, y of the middle of the doorway, and along which axis its leaves slide: 0 x, 1 y
DOORWAYS = ((6.0, 7.5, 0), (27.0, 7.5, 0), (17.0, 14.5, 0))
DOORS = len(DOORWAYS)
THINGS = WALKERS + BALLS + DOORS
KINDS = ("bearer",) * BEARERS + ("cat",) * CATS + ("ball",) * BALLS + ("door",) * DOORS
"""Of all things of a player, in the order of `Inhabitants.places`."""

KEPT = 0.35
"""Cells that walkers keep from the player, where there is room to."""
_ROOM = 0.18  # and from everything upright
_RIGHT_HAND = 0.2  # how far from the middle of its lane a walker goes
_TURN = 0.16  # radians a frame
_STOPS = 0.004  # chance of a stop, each frame; and at a junction:
_STOPS_AT_JUNCTION = 0.25
_STOP_FRAMES = (20, 80)
_SPEED = (0.02, 0.035)
_CAT_SPEED = 0.05
_STRIDE, _CAT_STRIDE = 0.30, 0.26  # cells of a cycle of legs
_PATIENCE = 40  # frames that a walker waits before the player
_AHEAD = 0.75  # where it stops before him
_PUSH = 0.5  # how near a ball comes to the player before it rolls off
_KICK, _FRICTION = 0.10, 0.965
_DOOR_REACH, _DOOR_FRAMES = 1.6, 12
_LEAF = 1.0
_IN_VIEW = 0.75  # share of starts at which a walker is put where the player sees it
_TRIES = 160
_DIRECTIONS = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))  # east, south, west, north


@dataclass(frozen=True)
class Lanes:
    """Where walkers walk. places: (N, 2). onward: (N, 4) next place to the east, south, west and north, -1: none."""

    places: Tensor
    onward: Tensor


@lru_cache
def lanes() -> Lanes:
    """A lattice in every area, joined through the doorways that have no doors."""
    rows = {"north": (1.75, 4.0, 6.25), "middle": (8.75, 11.0, 13.25), "south": (16.1, 18.3)}
    columns = {
        "north": ((1.75, 6.0, 9.25), (11.75, 17.0, 21.25), (23.75, 27.0, 30.25)),
        "middle": ((1.75, 6.0, 10.25), (12.75, 17.0, 21.25), (23.75, 27.0, 30.25)),
        "south": ((1.75, 6.0, 11.5, 17.0, 22.0, 27.0, 30.25),),
    }
    joined: set[tuple[tuple[float, float], tuple[float, float]]] = set()
    for band, ys in rows.items():
        for xs in columns[band]:
            joined |= {((a, y), (b, y)) for y in ys for a, b in pairwise(xs)}
            joined |= {((x, a), (x, b)) for x in xs for a, b in pairwise(ys)}
        for west, east in pairwise(columns[band]):
            joined.add(((west[-1], ys[1]), (east[0], ys[1])))
    for x in (6.0, 17.0, 27.0):
        for upper, lower in ((6.25, 8.75), (13.25, 16.1)):
            if all(not (x == door[0] and upper < door[1] < lower) for door in DOORWAYS):
                joined.add(((x, upper), (x, lower)))
    places = sorted({place for pair in joined for place in pair})
    number = {place: n for n, place in enumerate(places)}
    onward = torch.full((len(places), 4), -1)
    for a, b in joined:
        direction = 0 if a[1] == b[1] else 1
        onward[number[a], direction], onward[number[b], direction + 2] = number[b], number[a]
    return Lanes(torch.tensor(places), onward)


class Inhabitants:
    """All that moves, of a batch of players.

    Args:
        players: how many. seed: of everything that happens by chance.

    Attributes, (players, WALKERS): x, y, heading of walkers, cells and radians; `phase`, cycles of their legs; `rest`,
    frames that they still stand; `speed`, cells a frame. (players, BALLS): ball_x, ball_y and their speeds ball_east,
    ball_south, cells a frame; `ball_phase`, cycles of their picture. (players, DOORS): `opened`, 0..1.
    """

    def __init__(self, players: int, seed: int) -> None:
        self._rng = torch.Generator().manual_seed(seed)
        walkers, balls, doors = (players, WALKERS), (players, BALLS), (players, DOORS)
        self.x, self.y, self.heading, self.phase = (torch.zeros(walkers) for _ in range(4))
        self.rest, self.speed, self._waited = (torch.zeros(walkers) for _ in range(3))
        self._target, self._direction = (torch.zeros(walkers, dtype=torch.long) for _ in range(2))
        self.ball_x, self.ball_y, self.ball_east, self.ball_south, self.ball_phase = (
            torch.zeros(balls) for _ in range(5)
        )
        self.opened = torch.zeros(doors)

    def copied(self, seed: int | None = None) -> Inhabitants:
        """The same at this moment, who go on by the same chance, or by that of another seed."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(other, name, value.clone())
        other._rng = torch.Generator()
        other._rng.set_state(self._rng.get_state())
        if seed is not None:
            other._rng.manual_seed(seed)
        return other

    # -- beginning -------------------------------------------------------------------------------------------------
    def respawn(self, which: Tensor, eyes: Eyes, camera: Camera) -> None:
        """Begins anew for the players chosen by the mask `which` (players,), whose eyes are here: everybody somewhere
        on the lanes, for most players one of them in view; balls where they belong, and some before the player; doors
        as they are for him."""
        everybody = self._fresh(len(which))
        self._show_one(everybody, eyes, camera)
        for field in fields(everybody):
            mine, fresh = getattr(self, field.name), getattr(everybody, field.name)
            mine[which] = fresh[which].to(mine.dtype)
        self.ball_x[which], self.ball_y[which] = (
            self._place_balls(eyes, len(which))[which].unbind(-1)
        )  # fmt: skip
        self.ball_east[which], self.ball_south[which], self.ball_phase[which] = 0.0, 0.0, 0.0
        self.opened[which] = (self._from_doors(eyes[0], eyes[1]) < _DOOR_REACH).float()[which]

    def renew(self, which: Tensor) -> None:
        """Has walkers by the mask `which` (players, WALKERS) begin anew, anywhere."""
        fresh = self._fresh(len(self.x))
        for field in fields(fresh):
            mine = getattr(self, field.name)
            setattr(self, field.name, torch.where(which, getattr(fresh, field.name).to(mine.dtype), mine))

    def draw_speeds(self) -> None:
        """Gives every walker a pace by chance."""
        self.speed = self._fresh(len(self.x)).speed

    def _fresh(self, players: int) -> _Walkers:
        shape = (players, WALKERS)
        return self._on_lanes(shape)

    def _on_lanes(self, shape: tuple[int, ...]) -> _Walkers:
        """Walkers at random places of the lanes."""
        net = lanes()
        here, way = (net.onward >= 0).nonzero().unbind(1)
        chosen = self._whole(len(here), shape)
        start, direction = here[chosen], way[chosen]
        target = net.onward[start, direction]
        share = self._uniform(shape)[..., None]
        place = torch.lerp(net.places[start], net.places[target], share) + _aside(direction)
        ahead = torch.tensor(_DIRECTIONS)[direction]
        speed = _SPEED[0] + (_SPEED[1] - _SPEED[0]) * self._uniform(shape)
        if len(shape) == 2 and shape[1] == WALKERS:
            speed[:, BEARERS:] = _CAT_SPEED
        zero = torch.zeros(shape)
        heading = torch.atan2(ahead[..., 1], ahead[..., 0])
        return _Walkers(
            place[..., 0], place[..., 1], heading, self._uniform(shape), zero, zero, speed, target, direction
        )

    def _show_one(self, fresh: _Walkers, eyes: Eyes, camera: Camera) -> None:
        """Puts one walker of most players where it is seen, if one of some places at random is such."""
        players = len(fresh.x)
        tried = self._on_lanes((players, _TRIES))
        away = torch.hypot(tried.x - eyes[0][:, None], tried.y - eyes[1][:, None])
        good = in_view(tried.x, tried.y, eyes, camera) & (away > 1.1) & (away < 6.5)
        wanted = self._uniform((players,)) < _IN_VIEW
        who = self._whole(WALKERS, (players,))
        rank = torch.where(good, self._uniform((players, _TRIES)), 2.0)
        found, best = rank.min(1)
        index = (wanted & (found < 1)).nonzero()[:, 0]
        for name in ("x", "y", "heading", "_target", "_direction"):
            getattr(fresh, name)[index, who[index]] = getattr(tried, name)[index, best[index]]

    def _place_balls(self, eyes: Eyes, players: int) -> Tensor:
        """(players, BALLS, 2): where they belong, about; for a fifth of players one lies a few steps ahead of him."""
        home = torch.tensor(BALL_PLACES) + (self._uniform((players, BALLS, 2)) - 0.5) * 0.8
        reach = 1.2 + 1.3 * self._uniform((players,))
        angle = eyes[2] + (self._uniform((players,)) - 0.5) * 0.9
        before = torch.stack((eyes[0] + reach * angle.cos(), eyes[1] + reach * angle.sin()), -1)
        which = self._whole(BALLS, (players,))
        chosen = (self._uniform((players,)) < 0.2) & is_free(before[:, 0], before[:, 1], figures.BALL_SIZE / 2)
        index = chosen.nonzero()[:, 0]
        home[index, which[index]] = before[index]
        return home

    def put(self, player: int, walker: int, x: float, y: float, direction: int) -> None:
        """Has a walker walk at x, y, which are on a lane, to the east, south, west or north (0 to 3)."""
        places, (east, south) = lanes().places, _DIRECTIONS[direction]
        off_x, off_y = places[:, 0] - x, places[:, 1] - y
        ahead = off_x * east + off_y * south
        fits = ((off_x * south - off_y * east).abs() < 1e-3) & (ahead > 1e-3)
        if not fits.any():
            raise ValueError(f"no lane leads on from ({x}, {y})")
        aside = _aside(torch.tensor(direction))
        self.x[player, walker], self.y[player, walker] = x + float(aside[0]), y + float(aside[1])
        self.heading[player, walker] = math.atan2(south, east)
        self.rest[player, walker] = 0.0
        self._target[player, walker] = int(torch.where(fits, ahead, 1e3).argmin())
        self._direction[player, walker] = direction

    # -- a frame ---------------------------------------------------------------------------------------------------
    def step(self, x: Tensor, y: Tensor) -> None:
        """One video frame, in which the players came to x, y (players,)."""
        self._walk(x, y)
        self._make_room(x, y)
        self._roll(x, y)
        near = self._from_doors(x, y) < _DOOR_REACH
        self.opened = (self.opened + torch.where(near, 1.0, -1.0) / _DOOR_FRAMES).clamp(0, 1)

    def _walk(self, x: Tensor, y: Tensor) -> None:
        net, shape = lanes(), self.x.shape
        chance, length, order = self._uniform(shape), self._uniform(shape), self._uniform((*shape, 4))
        goal = net.places[self._target] + _aside(self._direction)
        east, south = goal[..., 0] - self.x, goal[..., 1] - self.y
        left = torch.hypot(east, south)
        arrived = left < self.speed
        self._choose(arrived, order)
        stops = chance < torch.where(arrived, _STOPS_AT_JUNCTION, _STOPS)
        frames = _STOP_FRAMES[0] + (_STOP_FRAMES[1] - _STOP_FRAMES[0]) * length
        self.rest = torch.where(stops & (self.rest < 1), frames.floor(), (self.rest - 1).clamp(min=0))
        goal = net.places[self._target] + _aside(self._direction)
        east, south = goal[..., 0] - self.x, goal[..., 1] - self.y
        left = torch.hypot(east, south).clamp(min=1e-6)
        # -- who is in the way: the player, or a walker of a smaller number that goes the same way
        to_x, to_y = x[:, None] - self.x, y[:, None] - self.y
        away = torch.hypot(to_x, to_y).clamp(min=1e-6)
        before = (to_x * east + to_y * south) / (away * left) > 0.5
        waits = (away < _AHEAD) & before
        self._waited = torch.where(waits & (self.rest == 0), self._waited + 1, 0.0)
        self._turn_back(self._waited > _PATIENCE)
        ox, oy = self.x[:, None] - self.x[..., None], self.y[:, None] - self.y[..., None]  # from the one to the other
        apart = torch.hypot(ox, oy).clamp(min=1e-6)
        ahead = (ox * east[..., None] + oy * south[..., None]) / (apart * left[..., None]) > 0.7
        first = torch.arange(WALKERS)
        waits |= ((apart < 0.5) & ahead & (first < first[:, None])).any(2)
        # -- turning, then walking
        wanted = torch.atan2(south, east)
        off = (wanted - self.heading + math.pi) % (2 * math.pi) - math.pi
        stands = (self.rest > 0) | waits
        self.heading = torch.where(stands, self.heading, self.heading + off.clamp(-_TURN, _TURN)) % (2 * math.pi)
        go = torch.where(stands | (off.abs() > 0.6), 0.0, torch.minimum(self.speed, left))
        stride = torch.full((WALKERS,), _STRIDE)
        stride[BEARERS:] = _CAT_STRIDE
        self.x, self.y = self.x + go * east / left, self.y + go * south / left
        self.phase = torch.where(go > 0, (self.phase + go / stride) % 1, 0.0)

    def _choose(self, arrived: Tensor, order: Tensor) -> None:
        """Another lane at a junction, by chance; back only where there is no other."""
        onward = lanes().onward[self._target]  # (players, WALKERS, 4)
        liking = torch.where(onward >= 0, order + 1, 0.0)
        back = (self._direction + 2) % 4
        liking = liking.scatter_add(2, back[..., None], torch.where(onward.gather(2, back[..., None]) >= 0, -1.0, 0.0))
        best = liking.argmax(2)
        self._direction = torch.where(arrived, best, self._direction)
        self._target = torch.where(arrived, onward.gather(2, best[..., None])[..., 0], self._target)

    def _turn_back(self, which: Tensor) -> None:
        """Back to the place that they came from."""
        back = (self._direction + 2) % 4
        before = lanes().onward[self._target].gather(2, back[..., None])[..., 0]
        self._target = torch.where(which, before, self._target)
        self._direction = torch.where(which, back, self._direction)
        self._waited = torch.where(which, 0.0, self._waited)

    def _make_room(self, x: Tensor, y: Tensor) -> None:
        """Walkers step aside for a player who comes too near: away from him, or else to one side."""
        off_x, off_y = self.x - x[:, None], self.y - y[:, None]
        away = torch.hypot(off_x, off_y).clamp(min=1e-4)
        lacks = (KEPT + 0.03 - away).clamp(0, 0.08)
        ux, uy = off_x / away, off_y / away
        todo = lacks > 0
        for way_x, way_y in ((ux, uy), (-uy, ux), (uy, -ux)):
            to_x, to_y = self.x + way_x * lacks, self.y + way_y * lacks
            can = todo & is_free(to_x, to_y, _ROOM)
            self.x, self.y = torch.where(can, to_x, self.x), torch.where(can, to_y, self.y)
            todo &= ~can

    def _roll(self, x: Tensor, y: Tensor) -> None:
        off_x, off_y = self.ball_x - x[:, None], self.ball_y - y[:, None]
        away = torch.hypot(off_x, off_y).clamp(min=1e-4)
        pushed = away < _PUSH
        self.ball_east = torch.where(pushed, off_x / away * _KICK, self.ball_east * _FRICTION)
        self.ball_south = torch.where(pushed, off_y / away * _KICK, self.ball_south * _FRICTION)
        for mine, other, speed, across in (
            ("ball_x", "ball_y", "ball_east", True),
            ("ball_y", "ball_x", "ball_south", False),
        ):
            to = getattr(self, mine) + getattr(self, speed)
            beside = getattr(self, other)
            can = is_free(to, beside, figures.BALL_SIZE / 2) if across else is_free(beside, to, figures.BALL_SIZE / 2)
            setattr(self, mine, torch.where(can, to, getattr(self, mine)))
            setattr(self, speed, torch.where(can, getattr(self, speed), 0.0))
        speed_ = torch.hypot(self.ball_east, self.ball_south)
        slow = speed_ < 0.003
        self.ball_east, self.ball_south = (
            torch.where(slow, 0.0, part) for part in (self.ball_east, self.ball_south)
        )  # fmt: skip
        # a sixth of its round is a cycle of its picture
        self.ball_phase = (self.ball_phase + torch.where(slow, 0.0, speed_) / (math.pi * figures.BALL_SIZE / 6)) % 1

    @staticmethod
    def _from_doors(x: Tensor, y: Tensor) -> Tensor:
        """How far players (B,) are from the doorways: (B, DOORS)."""
        at = torch.tensor(DOORWAYS)
        return torch.hypot(x[:, None] - at[:, 0], y[:, None] - at[:, 1])

    # -- what is seen ----------------------------------------------------------------------------------------------
    def places(self) -> Tensor:
        """Where all things are, (players, THINGS, 2); a door is in the middle of its doorway, open or not."""
        at = torch.tensor(DOORWAYS)[:, :2].expand(len(self.x), DOORS, 2)
        return torch.cat((torch.stack((self.x, self.y), -1), torch.stack((self.ball_x, self.ball_y), -1), at), 1)

    def cards(self, eyes: Eyes) -> Cards:
        """One card for every thing, in the order of KINDS, and then the doors' other leaves: (players, THINGS +
        DOORS)."""
        players = len(self.x)
        side = side_seen(self.x, self.y, self.heading, eyes, figures.VIEWS)
        phase = (self.phase * figures.PHASES).long() % figures.PHASES
        look = torch.arange(BEARERS) % figures.LOOKS
        walking = side * figures.PHASES + phase
        texture = torch.where(self.rest > 0, figures.SITTING + side, figures.CAT + walking)
        texture[:, :BEARERS] = look * figures.VIEWS * figures.PHASES + walking[:, :BEARERS]
        wide, tall = torch.full((players, WALKERS), figures.BEARER_WIDTH), torch.full(
            (players, WALKERS), figures.BEARER_HEIGHT
        )  # fmt: skip
        wide[:, BEARERS:], tall[:, BEARERS:] = figures.CAT_WIDTH, figures.CAT_HEIGHT
        walkers = _standing(self.x, self.y, wide, tall, texture, eyes)
        ball = torch.full((players, BALLS), figures.BALL_SIZE)
        painted = torch.arange(BALLS) % figures.BALLS * figures.PHASES
        rolled = figures.BALL + painted + (self.ball_phase * figures.PHASES).long() % figures.PHASES
        balls = _standing(self.ball_x, self.ball_y, ball, ball, rolled, eyes)
        return Cards.joined([walkers, balls, self._leaves(-1.0), self._leaves(1.0)])

    def _leaves(self, side: float) -> Cards:
        """The leaves of all doors on one side of the middle; open ones are in the wall."""
        at = torch.tensor(DOORWAYS)
        along = torch.stack((1 - at[:, 2], at[:, 2]), -1)  # (DOORS, 2)
        inner = at[:, :2] + along * (side * self.opened * _LEAF)[..., None]
        ends = torch.cat((inner + along * side * _LEAF, inner), -1)
        texture = (figures.DOOR + torch.arange(DOORS) % figures.DOORS).expand(ends.shape[:2])
        zero = torch.zeros(ends.shape[:2])
        return Cards(ends, zero, zero + HEIGHT, texture, self.opened < 0.99)

    # -- chance ----------------------------------------------------------------------------------------------------
    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self._rng)

    def _whole(self, below: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(below, shape, generator=self._rng)


@dataclass
class _Walkers:
    """Walkers that begin, named as in Inhabitants, all of one shape."""

    x: Tensor
    y: Tensor
    heading: Tensor
    phase: Tensor
    rest: Tensor
    _waited: Tensor
    speed: Tensor
    _target: Tensor
    _direction: Tensor


def _aside(direction: Tensor) -> Tensor:
    """How far from the middle of a lane one walks there, (..., 2): on its right-hand side."""
    ahead = torch.tensor(_DIRECTIONS)[direction]
    return torch.stack((-ahead[..., 1], ahead[..., 0]), -1) * _RIGHT_HAND


def _standing(x: Tensor, y: Tensor, wide: Tensor, tall: Tensor, texture: Tensor, eyes: Eyes) -> Cards:
    zero = torch.zeros_like(x)
    return Cards(facing(x, y, wide, eyes), zero, tall, texture, torch.ones_like(x, dtype=torch.bool))


def in_view(x: Tensor, y: Tensor, eyes: Eyes, camera: Camera) -> Tensor:
    """Whether the middle of what stands at x, y (B, K) is in the picture, and no wall before it: (B, K)."""
    framed, hidden = sight(x, y, eyes, camera, bake().edges)
    return framed & ~hidden


def sight(x: Tensor, y: Tensor, eyes: Eyes, camera: Camera, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the middle of what stands at x, y (B, K) is within the picture's frame, and whether one of the faces
    `edges` (E, 4) is before it: each (B, K)."""
    off_x, off_y = x - eyes[0][:, None], y - eyes[1][:, None]
    cos, sin = eyes[2].cos()[:, None], eyes[2].sin()[:, None]
    depth, right = off_x * cos + off_y * sin, off_y * cos - off_x * sin
    framed = (depth > 0.3) & (right.abs() * camera.focal < camera.width / 2 * 0.92 * depth)
    return framed, cast(edges, eyes[0], eyes[1], off_x, off_y, 1.0).depth <= 1
