"""Watches the inhabited world: what is seen of those who live in it, and how doors and balls answer.

Somebody stands still and looks, for some seconds, from many places and at many hours. What differs from the picture of
the empty place is somebody or something: its lowest row says where it stands, since the eye's height is known, and from
frame to frame it is followed. Without names and without being told who is who, engine.training.who and looks make of it
who there is, and what they look like. What reaches the ceiling and never leaves its place is a door. Doors and balls
are then walked up to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median_low

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.surfaces import Picture, draw
from engine.training.place import bake
from engine.training.simulator import Simulator, daylight

_CHANGED = 0.03  # of 0..1 that a pixel differs by where somebody is
# Cells from a door at which one stops: going there, and coming back. For so many video frames.
_STOPS = ((1.55, 1.62), (1.5, 1.66), (1.42, 1.7), (1.3, 1.8), (1.1, 1.95), (0.8, 9.0))
_STOP_FRAMES = 18
_SMALLEST = 14  # pixels of what is looked at
_PLACES = 6  # that a watcher chooses from
_TOO_MUCH = 0.15  # share of a picture that is somebody: a door, or too near
EVERY = 2
"""Video frames between two pictures."""
GLANCE = (28, 18)
"""Rows and columns of what is kept of everything that was seen."""
CUT = (104, 84)
"""Rows and columns of what is cut out of a picture where somebody was seen as a whole."""
_NUMBERS = ("clip", "frame", "x", "y", "left", "right", "top", "bearing", "far", "hour", "whole")
_TALL = (0.5, 1.0)  # cells, of who is walked into: a cat is lower, a door higher
_CUT_OFF = 1.05  # times the distance at which feet go out of the picture below
_LAST = 12  # pictures of a visit that count
_MARGIN = 4  # pixels around somebody that are cut out as well


@dataclass(frozen=True)
class Sightings:
    """What was seen, N times; all (N, ...) but `cuts`.

    clip: number of the watcher. frame: of the clip. x, y: where its foot is in plan. left, right, top: how far it
    reaches to the right of its foot, from and to, and up, cells. bearing: the way that one looks at it. far: cells.
    hour. whole: whether all of it was seen. eye: x, y, yaw and pitch of who looked, (N, 4). corner: row and column of
    the picture where its cut begins, (N, 2); cut: the number of that, -1 if it was not seen whole or is too large.
    patch: colour and cover in its own frame, 0..1, (N, 4, *GLANCE). cuts: bytes (cuts, 7, *CUT), the picture, the same
    without anybody, and 255 where there is nobody else.
    """

    clip: Tensor
    frame: Tensor
    x: Tensor
    y: Tensor
    left: Tensor
    right: Tensor
    top: Tensor
    bearing: Tensor
    far: Tensor
    hour: Tensor
    whole: Tensor
    eye: Tensor
    corner: Tensor
    cut: Tensor
    patch: Tensor
    cuts: Tensor

    def __len__(self) -> int:
        return len(self.clip)

    def at(self, index: Tensor) -> Sightings:
        """Those of these numbers."""
        return replace(self, **{name: part[index] for name, part in vars(self).items() if name != "cuts"})

    @staticmethod
    def none() -> Sightings:
        """Nothing."""
        return Sightings(
            **{name: torch.zeros(0) for name in _NUMBERS},
            eye=torch.zeros(0, 4),
            corner=torch.zeros(0, 2),
            cut=torch.zeros(0, dtype=torch.long),
            patch=torch.zeros(0, 4, *GLANCE),
            cuts=torch.zeros(0, 7, *CUT, dtype=torch.uint8),
        )

    @staticmethod
    def joined(parts: list[Sightings]) -> Sightings:
        """All of them."""
        if not parts:
            return Sightings.none()
        before = torch.tensor([0] + [len(part.cuts) for part in parts]).cumsum(0).tolist()
        parts = [
            replace(part, cut=torch.where(part.cut < 0, -1, part.cut + first))
            for part, first in zip(parts, before, strict=False)
        ]
        return Sightings(*(torch.cat(same) for same in zip(*(vars(part).values() for part in parts), strict=True)))


def blobs(mask: np.ndarray) -> list[tuple[int, int, int, int, list[tuple[int, int, int]]]]:
    """Connected parts of a mask (H, W): top, bottom, left, right (past the end) and runs (row, from, to)."""
    parents: list[int] = []

    def root(n: int) -> int:
        while parents[n] != n:
            parents[n] = parents[parents[n]]
            n = parents[n]
        return n

    runs: list[tuple[int, int, int, int]] = []
    before: list[tuple[int, int, int]] = []
    for row in np.flatnonzero(mask.any(1)):
        line = np.flatnonzero(np.diff(np.concatenate(([0], mask[row].view(np.int8), [0]))))
        now = []
        if before and before[0][0] >= 0 and runs and runs[-1][0] != row - 1:
            before = []
        for begin, end in zip(line[::2].tolist(), line[1::2].tolist(), strict=True):
            name = len(parents)
            parents.append(name)
            for low, high, other in before:
                if low <= end and begin <= high:  # corners touch
                    parents[root(name)] = root(other)
            now.append((begin, end, name))
            runs.append((int(row), begin, end, name))
        before = now
    found: dict[int, list[tuple[int, int, int]]] = {}
    for at, begin, end, name in runs:
        found.setdefault(root(name), []).append((at, begin, end))
    return [
        (min(r[0] for r in part), max(r[0] for r in part) + 1, min(r[1] for r in part), max(r[2] for r in part), part)
        for part in found.values()
    ]


def sighted(
    clip: int, frame: int, made: Tensor, empty: Picture, who: int, simulator: Simulator, cutting: bool = True
) -> list[Sightings]:
    """What is seen in one picture (3, H, W), 0..1, of watcher `who`; cutting: whether to cut it out."""
    camera = simulator.camera
    bare = empty.frames[who].clamp(0, 1)
    wrong = (made - bare).abs().amax(0)
    mask = (wrong > _CHANGED).numpy()
    if not mask.any():
        return []
    x, y, yaw, pitch = (float(part[who]) for part in simulator.eyes)
    horizon, eye, focal = camera.height / 2 + math.tan(pitch) * camera.focal, camera.config.eye_height, camera.focal
    wall = empty.nearness[who].amin(0)
    found = []
    parts = [part for part in blobs(mask) if sum(r[2] - r[1] for r in part[4]) >= _SMALLEST]
    for top, bottom, left, right, runs in parts:
        if bottom <= horizon + 4 or bottom - top < 5:
            continue
        depth = eye * focal / (bottom - 0.3 - horizon)
        low = [run for run in runs if run[0] >= bottom - max(2, (bottom - top) // 8)]
        foot = (min(r[1] for r in low) + max(r[2] for r in low)) / 2
        per = depth / focal
        right_of = (foot - camera.width / 2) * per
        place = (
            x + depth * math.cos(yaw) - right_of * math.sin(yaw),
            y + depth * math.sin(yaw) + right_of * math.cos(yaw),
        )
        beside = [column for column in (left - 2, right + 1) if 0 <= column < camera.width]
        whole = left > 1 and right < camera.width - 1 and top > 0 and bottom < camera.height
        whole = whole and all(float(wall[column]) * depth < 1 for column in beside)
        own = np.zeros_like(mask[top:bottom, left:right])
        for row, begin, end in runs:
            own[row - top, begin - left : end - left] = True
        cut = torch.cat((made[:, top:bottom, left:right], torch.from_numpy(own)[None].float()))
        patch = F.interpolate(cut[None], size=GLANCE, mode="bilinear", align_corners=False, antialias=True)
        corner, cuts = (top - _MARGIN, left - _MARGIN), []
        if cutting and whole and bottom - top + 2 * _MARGIN <= CUT[0] and right - left + 2 * _MARGIN <= CUT[1]:
            nobody_else = torch.from_numpy(~mask)
            nobody_else[top:bottom, left:right] |= torch.from_numpy(own)
            cuts = [_cut(torch.cat((made, bare, nobody_else[None].float())), corner)]
        numbers: tuple[float, ...] = (
            clip, frame, *place, (left - foot + 0.3) * per, (right - foot - 0.3) * per, (bottom - top - 0.6) * per,
            math.atan2(place[1] - y, place[0] - x), math.hypot(place[0] - x, place[1] - y),
            float(simulator.hour[who]), float(whole),
        )  # fmt: skip
        found.append(
            Sightings(
                **{name: torch.tensor([number]) for name, number in zip(_NUMBERS, numbers, strict=True)},
                eye=torch.tensor([[x, y, yaw, pitch]]),
                corner=torch.tensor([corner]),
                cut=torch.tensor([len(cuts) - 1]),
                patch=patch,
                cuts=torch.stack(cuts) if cuts else torch.zeros(0, 7, *CUT, dtype=torch.uint8),
            )
        )
    return found


def _cut(picture: Tensor, corner: tuple[int, int]) -> Tensor:
    """The bytes (C, *CUT) of a picture (C, H, W) 0..1 that begin at `corner`; beyond its rim all are 0."""
    height, width = picture.shape[1:]
    cut = torch.zeros(len(picture), *CUT, dtype=torch.uint8)
    (top, left), bottom, right = corner, min(corner[0] + CUT[0], height), min(corner[1] + CUT[1], width)
    part = picture[:, max(0, top) : bottom, max(0, left) : right]
    cut[:, max(0, -top) : bottom - top, max(0, -left) : right - left] = (part * 255).round().to(torch.uint8)
    return cut


def _where_to_stand(watchers: int, seed: int, camera: Camera) -> Simulator:
    """Watchers who, of several places each, chose one from which somebody is well seen, and who is no door."""
    tried = Simulator(watchers * _PLACES, seed, Camera(camera.config, 64, 36), folk=True)
    made, empty = _look(tried)
    share = ((made - empty.frames.clamp(0, 1)).abs().amax(1) > _CHANGED).float().mean((1, 2))
    share = torch.where(share < _TOO_MUCH, share, 0.0).view(watchers, _PLACES)
    best = share.argmax(1) + torch.arange(watchers) * _PLACES
    simulator = tried.chosen(best)
    simulator.camera = camera
    return simulator


def stand_and_watch(watchers: int, pictures: int, seed: int, camera: Camera, clip: int = 0) -> Sightings:
    """Watchers who stand still where somebody is met, a picture every EVERY video frames; at one hour each."""
    simulator = _where_to_stand(watchers, seed, camera)
    hour, still = simulator.hour.clone(), (torch.zeros(watchers, 4), torch.zeros(watchers, 2))
    light = daylight(hour, simulator.flicker)
    empty = draw(bake(), simulator.eyes, camera, light)
    found = []
    for frame in range(pictures):
        for _ in range(EVERY):
            simulator.step(*still)
        simulator.hour, simulator.flicker = hour.clone(), torch.zeros(watchers)  # the light waits: it is drawn once
        made = simulator.peopled(empty).frames.clamp(0, 1)
        for who in range(watchers):
            found += sighted(clip + who, frame, made[who], empty, who, simulator)
    return Sightings.joined(found)


# -- going there -----------------------------------------------------------------------------------------------------
def _put(simulator: Simulator, x: list[float], y: list[float], yaw: list[float]) -> None:
    """The players where somebody could have walked to."""
    simulator.x, simulator.y, simulator.yaw = (torch.tensor(part, dtype=torch.float32) for part in (x, y, yaw))
    simulator.pitch = torch.zeros_like(simulator.x)


def _look(simulator: Simulator) -> tuple[Tensor, Picture]:
    """What players see, (B, 3, H, W) 0..1, and the place without anybody."""
    empty = draw(bake(), simulator.eyes, simulator.camera, daylight(simulator.hour, simulator.flicker))
    return simulator.peopled(empty).frames.clamp(0, 1), empty


@dataclass(frozen=True)
class Door:
    """A doorway: the ends (4,) of its card in plan when it is shut, left first as seen by who looked; its leaves'
    texels, seen at some hours: (hours, 3, rows, columns) for each of the two; and how it opened: (frames, 3), the
    player's distance, how open it was, and how open it was a frame later."""

    ends: Tensor
    top: float
    hours: Tensor
    leaves: tuple[Tensor, Tensor]
    opening: Tensor


def visit_door(
    x: float, y: float, seed: int, camera: Camera, size: tuple[int, int], hours: int = 6, frames: int = 150
) -> Door | None:
    """Goes to a door that was seen at about x, y: looks at it squarely, and walks up to it and back."""
    tries = [(math.cos(turn), math.sin(turn), turn) for turn in (0.0, math.pi / 2, math.pi, -math.pi / 2)]
    stands = [(x - 2.4 * c, y - 2.4 * s, turn) for c, s, turn in tries]
    simulator = Simulator(len(stands), seed, camera, folk=True)
    free = simulator.is_free(*(torch.tensor(part) for part in zip(*[(s[0], s[1]) for s in stands], strict=True)))
    best = None
    _put(simulator, *([s[k] for s in stands] for k in range(3)))
    simulator.hour[:] = 0.5
    for _ in range(20):  # it shuts
        simulator.step(torch.zeros(len(stands), 4), torch.zeros(len(stands), 2))
    made, empty = _look(simulator)
    for who in range(len(stands)):
        part = _squarely((made[who] - empty.frames[who].clamp(0, 1)).abs().amax(0), camera)
        if part is not None and bool(free[who]) and (best is None or part[4] > best[1][4]):
            best = who, part
    if best is None:
        return None
    who, (top, bottom, left, right, _) = best
    sx, sy, turn = stands[who]
    depth = camera.config.eye_height * camera.focal / (bottom - camera.height / 2)
    per = depth / camera.focal

    def plan(column: float) -> list[float]:
        right_of = (column - camera.width / 2) * per
        return [
            sx + depth * math.cos(turn) - right_of * math.sin(turn),
            sy + depth * math.sin(turn) + right_of * math.cos(turn),
        ]

    ends = torch.tensor(plan(left) + plan(right))
    # -- its texels, at some hours
    looks = Simulator(hours, seed + 1, camera, folk=True)
    _put(looks, [sx] * hours, [sy] * hours, [turn] * hours)
    looks.hour = (torch.arange(hours) + 0.5) / hours
    for _ in range(20):
        looks.step(torch.zeros(hours, 4), torch.zeros(hours, 2))
    looks.hour, looks.flicker = (torch.arange(hours) + 0.5) / hours, torch.zeros(hours)
    made, _ = _look(looks)
    half = (left + right) // 2
    leaves = tuple(
        F.interpolate(made[:, :, top:bottom, a:b], size=size, mode="bilinear", align_corners=False, antialias=True)
        for a, b in ((left, half), (half, right))
    )
    opening = _watch_it_open((sx, sy, turn), ends, seed + 2, camera, frames)
    return Door(ends, (bottom - top) * per, looks.hour, leaves, opening)  # type: ignore[arg-type]


def _watch_it_open(start: tuple[float, float, float], ends: Tensor, seed: int, camera: Camera, frames: int) -> Tensor:
    """How open a door is seen to be, as `Door.opening`, by several who walk up to it and back and stop on both ways."""
    sx, sy, turn = start
    middle, wide = (ends[:2] + ends[2:]) / 2, math.hypot(*(ends[2:] - ends[:2]).tolist())
    count, rows = len(_STOPS), slice(camera.height // 2 - 20, camera.height // 2 + 20)
    walker = Simulator(count, seed, camera, folk=True)
    _put(walker, [sx] * count, [sy] * count, [turn] * count)
    walker.hour[:] = 0.5
    told: list[list[tuple[float, float]]] = [[] for _ in _STOPS]
    phase, waited = [0] * count, [0] * count
    for _ in range(frames):
        shown, empty = _look(walker)
        keys = torch.zeros(count, 4)
        for who, (near, far) in enumerate(_STOPS):
            east, south = (float(to) - float(at[who]) for to, at in zip(middle, (walker.x, walker.y), strict=True))
            distance, depth = math.hypot(east, south), math.cos(turn) * east + math.sin(turn) * south
            wrong = (shown[who] - empty.frames[who].clamp(0, 1)).abs().amax(0)
            half = wide * camera.focal / max(depth, 0.1) / 2
            left, right = max(0, round(camera.width / 2 - half)), min(camera.width, round(camera.width / 2 + half))
            shut = (wrong[rows, left:right] > _CHANGED).float().mean(0) > 0.5
            told[who].append((distance, 1 - float(shut.sum()) / max(2 * half, 1.0) if depth > 0.4 else 1.0))
            # up to it, a stop, back, a stop, and away
            waited[who] += phase[who] in (1, 3)
            done = (
                distance <= near,
                waited[who] >= _STOP_FRAMES,
                distance >= far,
                waited[who] >= 2 * _STOP_FRAMES,
                False,
            )
            phase[who] += done[phase[who]]
            keys[who, 0], keys[who, 1] = phase[who] == 0, phase[who] in (2, 4)
        walker.step(keys, torch.zeros(count, 2))
        walker.hour[:] = 0.5
    found = []
    for one in told:
        openness = torch.tensor(one).clamp(min=0)
        found.append(torch.cat((openness[1:, :1], openness[:-1, 1:], openness[1:, 1:]), 1))
    return torch.cat(found)


def _squarely(wrong: Tensor, camera: Camera) -> tuple[int, int, int, int, float] | None:
    """The middle blob of a picture's differences, if its foot is level: top, bottom, left, right, and its area."""
    mask = (wrong > _CHANGED).numpy()
    for top, bottom, left, right, runs in blobs(mask):
        if not left < camera.width / 2 < right or bottom - top < camera.height / 4:
            continue
        area = sum(run[2] - run[1] for run in runs)
        if area > 0.93 * (bottom - top) * (right - left) and bottom < camera.height and top > 0:
            return top, bottom, left, right, float(area)
    return None


def visit_walkers(visitors: int, seed: int, camera: Camera, frames: int = 70) -> Tensor:
    """Walks into whoever walks; how far from the player each of them was in the end, cells, (N,), N up to `visitors`.

    By then its feet are out of the picture: what tells how near it has come is how much wider it is seen than before.
    """
    simulator = _where_to_stand(visitors, seed, camera)
    limit, per_unit = camera.config.pitch_limit, math.radians(camera.config.yaw_per_unit)
    wide: list[list[float]] = [[] for _ in range(visitors)]  # of whom each goes to, while its feet are seen
    apart: list[list[float]] = [[] for _ in range(visitors)]  # how far it is in front of each, when they are not
    for frame in range(frames):
        made, empty = _look(simulator)
        keys, mouse = torch.zeros(visitors, 4), torch.zeros(visitors, 2)
        for who in range(visitors):
            yaw, pitch = float(simulator.yaw[who]), float(simulator.pitch[who])
            lowest = camera.config.eye_height / (camera.height / 2 / camera.focal - math.tan(pitch))
            found = []
            for one in sighted(0, frame, made[who], empty, who, simulator, cutting=False):
                off = (float(one.bearing) - yaw + math.pi) % (2 * math.pi) - math.pi
                cut_off = float(one.far) * math.cos(off) < _CUT_OFF * lowest
                if (float(one.top) > _TALL[0] or cut_off) and float(one.top) < _TALL[1]:
                    found.append((float(one.far) + abs(off), off, cut_off, one))
            if not found:
                continue
            _, off, cut_off, one = min(found, key=lambda each: each[0])
            mouse[who, 1], keys[who, 0] = max(-0.1, min(0.1, off / per_unit)), float(abs(off) < 0.4)
            across = float(one.right - one.left)
            if cut_off and wide[who] and pitch < -0.9 * math.radians(limit):
                apart[who].append(float(one.far) * math.cos(off) * median_low(wide[who][-_LAST:]) / across)
            elif not cut_off and bool(one.whole):
                wide[who].append(across)
        mouse[:, 0] = -0.1 * (frame > 4)  # down, to see as much of it as can be seen
        simulator.step(keys, mouse)
        simulator.hour[:] = 0.5
    return torch.tensor([median_low(ways[-_LAST:]) for ways in apart if len(ways) >= _LAST])


def visit_balls(
    places: list[tuple[float, float]], each: int, seed: int, camera: Camera, frames: int = 50
) -> list[Tensor]:
    """Walks up to what lies at about these places; for each time, (frames, 4): where the player is, and where it is,
    NaN where it is not seen."""
    if not places:  # nothing of the kind was seen, in a trial
        return []
    starts = []
    rng = torch.Generator().manual_seed(seed)
    for x, y in places:
        for n in range(each):
            angle = 2 * math.pi * (n + float(torch.rand((), generator=rng)) * 0.5) / each
            starts.append((x - 1.6 * math.cos(angle), y - 1.6 * math.sin(angle), angle))
    simulator = Simulator(len(starts), seed, camera, folk=True)
    free = simulator.is_free(*(torch.tensor(part) for part in zip(*[(s[0], s[1]) for s in starts], strict=True)))
    _put(simulator, *([s[k] for s in starts] for k in range(3)))
    simulator.hour[:] = 0.5
    told: list[list[tuple[float, ...]]] = [[] for _ in starts]
    aim = torch.zeros(len(starts))
    for frame in range(frames):
        made, empty = _look(simulator)
        for who in range(len(starts)):
            seen = sighted(0, frame, made[who], empty, who, simulator, cutting=False)
            low = [
                one
                for one in seen
                if float(one.whole) and float(one.top) < 0.5 and abs(float(one.right - one.left - one.top)) < 0.12
            ]
            here = (float(simulator.x[who]), float(simulator.y[who]))
            if not low:
                told[who].append((*here, math.nan, math.nan))
                continue
            one = min(low, key=lambda one: float(one.far))
            told[who].append((*here, float(one.x), float(one.y)))
            if frame < 12:
                aim[who] = (float(one.bearing) - float(simulator.yaw[who]) + math.pi) % (2 * math.pi) - math.pi
        mouse = torch.zeros(len(starts), 2)
        if frame < 12:
            mouse[:, 1] = (aim / math.radians(camera.config.yaw_per_unit)).clamp(-0.1, 0.1)
            mouse[:, 0] = -0.1 * (frame > 4)  # what is pushed lies at one's feet
        keys = torch.tensor((1.0, 0.0, 0.0, 0.0)) * (12 <= frame < 36)
        simulator.step(keys.expand(len(starts), -1), mouse)
        simulator.hour[:] = 0.5
    return [torch.tensor(way) for way, can in zip(told, free.tolist(), strict=True) if can]
