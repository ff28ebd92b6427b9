"""Puts together what was watched: who is the same from picture to picture, where it goes, and whom there is at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.nets.spatial_memory import SpatialMemory
from engine.training.watch import EVERY, Sightings

DOOR = 1.05
"""Cells: what is taller is a door."""

_JUMP = 0.3  # cells that somebody may seem to go between two pictures
_GOES = 0.007  # cells a frame, above which one walks
_SMOOTH = 2.5  # pictures, the deviation of the smoothing of ways
_LOW = 0.5  # what is lower is no person
_OTHER = 0.2  # difference of colours of what is not one
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
            # who stands faces the way it came: the way it goes on may be another one
            latest = torch.where(goes, torch.arange(len(index)), -1).cummax(0).values
            heading[index] = torch.atan2(vy, vx)[latest.clamp(min=0)]
            known[index] = latest >= 0
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
    for chosen, groups in (((top >= _LOW) & (top < DOOR), told.people), (top < _LOW, told.low)):
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
