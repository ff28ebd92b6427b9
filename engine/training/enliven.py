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
from engine.nets.slots import FEATURES, HEADINGS, OPENS, SlotDynamics, SlotMemory, Slots, beside
from engine.nets.spatial_memory import Pose, SpatialMemory
from engine.training.looks import texels_of, write_looks
from engine.training.stage import Say, Stage
from engine.training.watch import EVERY, Door, Sightings, stand_and_watch, visit_balls, visit_door, visit_walkers
from engine.training.who import DOOR, Kinds, Told, Ways, kinds, ways

_SHUT_FRAMES = 10  # in which a door that one comes to is still shut
_OPEN = 0.98  # share of the way from which on a door counts as wide open
_OPENING_LR = 1e-2
_DOUBT = 0.5  # somebody, by how many it is uncertain which share went each way
_STRAIGHT = 0.3  # radians in a beat, below which one goes straight on


# -- where they go ---------------------------------------------------------------------------------------------------
@torch.no_grad()
def flow_of(path: Ways, goes: Tensor, dynamics: SlotDynamics) -> Tensor:
    """Which share of those who came by a place went each way, as SlotDynamics.flow; goes: a mask (N,) of sightings."""
    ways_, rows, columns = dynamics.flow.shape
    per, seen = dynamics.config.met, path.seen
    row = (seen.y[goes] * per).long().clamp(0, rows - 1)
    column = (seen.x[goes] * per).long().clamp(0, columns - 1)
    way = (path.heading[goes] * (ways_ / (2 * math.pi))).round().long() % ways_
    # who stays for long in a place came by but once
    once = torch.stack((path.track[goes], way, row, column), 1).unique(dim=0)[:, 1:]
    count = torch.zeros(ways_, rows, columns).index_put(tuple(once.T), torch.ones(len(once)), accumulate=True)
    blur = torch.tensor((0.25, 0.5, 0.25))
    count = F.conv2d(count[:, None], (blur[:, None] * blur)[None, None], padding=1)[:, 0]
    return (count / (count.sum(0) + _DOUBT) * 255).round().to(torch.uint8)


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
        return Choices(
            torch.zeros(0, FEATURES + dynamics.config.looks), torch.zeros(0), torch.zeros(0, dtype=torch.long)
        )
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
            slots.tiles[used] = texels_of(full, door.hours, torch.ones(len(full)), memory).bytes(slots.tint)
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
        balls: times that each place where a ball was seen is walked up to. walkers: how many walk into somebody.
        told: see Told. seed: of places, hours and weights.
    """

    parts: int = 160
    watchers: int = 8
    pictures: int = 36
    wide: int = 384
    steps: int = 3000
    lr: float = 3e-3
    balls: int = 4
    walkers: int = 48
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
        eyes = seen.eye[:, :2]
        path = ways(seen)
        kind = kinds(path, self.memory, self.config.told)
        say(f"slots: {len(seen)} sightings, looks that walk: {len(kind.walks)}, that roll: {len(kind.rolls)}")
        doors, balls, apart = self._visit(folder, path, kind, say)
        used = write_looks(self.slots, path, kind, self.memory, self._camera, self.config.told, say)
        write_places(self.slots, path, kind, self.memory, self.config.told)
        write_doors(self.slots, doors, used, self.memory)
        self.slots.dynamics.rolling.copy_(rolling(balls))
        self.slots.dynamics.keeps.fill_(float(apart.median()) if len(apart) else 0.0)
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
                seen = stand_and_watch(config.watchers, config.pictures, seed, self._camera, part * config.watchers)
                torch.save(dict(vars(seen)), file)
                say(f"slots: watched {part + 1} of {config.parts}")
            found.append(Sightings(**torch.load(file, weights_only=True)))
        return Sightings.joined(found)

    def _visit(self, folder: Path, path: Ways, kind: Kinds, say: Say) -> tuple[list[Door], list[Tensor], Tensor]:
        """Doors, ways of balls that were walked up to, and how far from the player those were that were walked into."""
        file, seen = folder / "visited.pt", path.seen
        if not file.exists():
            tall = seen.top > DOOR
            doors: list[Door] = []
            for x, y in _heaps(seen.x[tall], seen.y[tall], 1.2):
                door = visit_door(x, y, self.config.seed + 5, self._camera, self.slots.config.size)
                if door is not None and all(_apart(door, other) > 1 for other in doors):
                    doors.append(door)
            lying = torch.isin(kind.look, torch.tensor(kind.rolls)) & (path.speed == 0)
            small = Camera(self._camera.config, 256, 144)
            places = _heaps(seen.x[lying], seen.y[lying], 1.5)[: 2 * self.config.told.balls]
            balls = visit_balls(places, self.config.balls, self.config.seed + 9, small)
            apart = visit_walkers(self.config.walkers, self.config.seed + 13, small)
            torch.save(([dict(vars(door)) for door in doors], balls, apart), file)
            told = f"{len(balls)} times walked up to a ball, {len(apart)} into somebody"
            say(f"slots: {len(doors)} doors found and opened, {told}")
        found, balls, apart = torch.load(file, weights_only=True)
        return [Door(**door) for door in found], balls, apart

    def _decide(self, folder: Path, say: Say, save_every: float, path: Ways, kind: Kinds, eyes: Tensor) -> None:
        dynamics = self.slots.dynamics
        walker = torch.isin(kind.look, torch.tensor(kind.walks))
        goes, fold, parts = walker & (path.speed > 0), path.seen.clip.long() % 2, []
        for number in range(2):  # shown where others went, nobody may see where he himself did
            dynamics.flow.copy_(flow_of(path, goes & (fold != number), dynamics))
            look = torch.where(walker & (fold == number), kind.look, -1)
            parts.append(choices(path, look, eyes, dynamics, self.memory))
        dynamics.flow.copy_(flow_of(path, goes, dynamics))
        made = Choices(*(torch.cat(same) for same in zip(*(vars(part).values() for part in parts), strict=True)))
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
    distance, before, after = told.unbind(1)
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
