"""What the inhabitants of the simulated world look like: lantern-bearers, a cat, balls and doors, as textures of cards.

A figure is modelled as a few solids, each of which is an ellipse at every height, and looked at level from eight sides
in four phases of its walk. Like everything here it is painted texel by texel with hard edges and a dark outline, and
lit in two layers, see engine.nets.surfaces; lanterns glow, and light who carries them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from engine.nets.cards import Atlas
from engine.training.materials import Array, Colour, Wall, planks

TEXELS_DOWN, TEXELS_ACROSS = 64, 48
VIEWS, PHASES = 8, 4

_DAY, _LAMP = 0.74, 0.30  # how much of both lights falls on a figure
_TONES = np.array((0.62, 0.84, 1.0, 1.16))  # of its shaded side, and so on to where light falls
_SUN = np.array((-0.45, 0.55, 0.60))  # towards the light, as the eye sees it: to the right, towards the eye, up
_STEP = 0.004
_OUTLINE = np.array((0.10, 0.08, 0.10))


@dataclass(frozen=True)
class _Solid:
    """What is an ellipse at every height.

    Attributes:
        low, high: heights of its ends, cells. middle: height -> (ahead, right) of its axis. radii: height -> its radii
            ahead and to the right.
        paint: what is at (ahead, right, height), each measured from the figure's foot: colours (..., 3).
        glow: how much of the colour it sends out itself.
    """

    low: float
    high: float
    middle: Callable[[Array], tuple[Array, Array]]
    radii: Callable[[Array], tuple[Array, Array]]
    paint: Callable[[Array, Array, Array], Array]
    glow: float = 0.0


def _plain(colour: Colour) -> Callable[[Array, Array, Array], Array]:
    return lambda ahead, right, up: np.broadcast_to(np.array(colour), (*ahead.shape, 3))


def _limb(
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    thick: tuple[float, float],
    paint: Callable[[Array, Array, Array], Array],
    glow: float = 0.0,
) -> _Solid:
    """From one (ahead, right, height) up to another, so thick at both ends."""

    def share(up: Array) -> Array:
        return (up - low[2]) / (high[2] - low[2])

    def middle(up: Array) -> tuple[Array, Array]:
        return low[0] + (high[0] - low[0]) * share(up), low[1] + (high[1] - low[1]) * share(up)

    def radii(up: Array) -> tuple[Array, Array]:
        radius = thick[0] + (thick[1] - thick[0]) * share(up)
        return radius, radius

    return _Solid(low[2], high[2], middle, radii, paint, glow)


def _egg(
    at: tuple[float, float, float],
    size: tuple[float, float, float],
    paint: Callable[[Array, Array, Array], Array],
    glow: float = 0.0,
) -> _Solid:
    """An ellipsoid at (ahead, right, height) with radii in these directions."""

    def radii(up: Array) -> tuple[Array, Array]:
        round_ = np.sqrt(np.clip(1 - ((up - at[2]) / size[2]) ** 2, 1e-4, 1))
        return size[0] * round_, size[1] * round_

    return _Solid(
        at[2] - size[2], at[2] + size[2], lambda up: (at[0] + 0 * up, at[1] + 0 * up), radii, paint, glow
    )  # fmt: skip


def _seen(
    solids: list[_Solid], side: int, wide: float, tall: float, lantern: tuple[float, float, float] | None
) -> Array:
    """A texture (h, w, 8) of solids from one of VIEWS sides, on a card so wide and tall."""
    angle = 2 * math.pi * side / VIEWS
    sin, cos = math.sin(angle), math.cos(angle)
    levels = (1 - (np.arange(TEXELS_DOWN) + 0.5) / TEXELS_DOWN) * tall
    columns = ((np.arange(TEXELS_ACROSS) + 0.5) / TEXELS_ACROSS - 0.5) * wide
    size = (TEXELS_DOWN, TEXELS_ACROSS)
    nearest = np.full(size, -1e9)
    colour, glow, lit = np.zeros((*size, 3)), np.zeros(size), np.ones(size)
    # a line of sight runs through (ahead, right) = (-across sin, -across cos) along (cos, -sin), towards the eye
    for solid in solids:
        rows = np.nonzero((levels >= solid.low) & (levels <= solid.high))[0]
        if not len(rows):
            continue
        here = slice(rows[0], rows[-1] + 1)
        up, across = np.meshgrid(levels[here], columns, indexing="ij")
        middle, radii = solid.middle(up), solid.radii(up)
        ahead, right = -across * sin - middle[0], -across * cos - middle[1]
        a = (cos / radii[0]) ** 2 + (sin / radii[1]) ** 2
        b = ahead * cos / radii[0] ** 2 - right * sin / radii[1] ** 2
        c = (ahead / radii[0]) ** 2 + (right / radii[1]) ** 2 - 1
        root = b * b - a * c
        far = np.where(root > 0, (-b + np.sqrt(np.clip(root, 0, None))) / a, -1e9)
        hit = (root > 0) & (far > nearest[here])
        if not hit.any():
            continue
        at_ahead, at_right = -across * sin + far * cos, -across * cos - far * sin
        normal_ahead, normal_right = (ahead + far * cos) / radii[0] ** 2, (right - far * sin) / radii[1] ** 2
        steep = np.hypot(normal_ahead, normal_right) + 1e-9
        wider = (solid.radii(up + _STEP)[0] - radii[0]) / _STEP  # a slope that looks up gets light
        normal = np.stack(
            (
                (-normal_ahead * sin - normal_right * cos) / steep,
                (normal_ahead * cos - normal_right * sin) / steep,
                np.clip(-wider, -1.5, 1.5),
            ),
            -1,
        )
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        tone = _TONES[np.clip(((normal @ _SUN) * 2.2 + 1.5).astype(int), 0, len(_TONES) - 1)]
        painted = np.clip(solid.paint(at_ahead, at_right, up), 0, 1)
        shine = np.zeros(up.shape)
        if lantern is not None:
            away = (at_ahead - lantern[0]) ** 2 + (at_right - lantern[1]) ** 2 + (up - lantern[2]) ** 2
            shine = np.clip(1.5 * np.exp(-np.sqrt(away) / 0.13), 0, 1.1)
        nearest[here] = np.where(hit, far, nearest[here])
        colour[here] = np.where(hit[..., None], painted * (1.0 if solid.glow else tone[..., None]), colour[here])
        glow[here] = np.where(hit, solid.glow, glow[here])
        lit[here] = np.where(hit, _LAMP * tone + shine, lit[here])
    there = nearest > -1e8
    around = np.pad(there, 1)
    rim = (around[:-2, 1:-1] | around[2:, 1:-1] | around[1:-1, :-2] | around[1:-1, 2:]) & ~there
    colour[rim], glow[rim], lit[rim] = _OUTLINE, 0.0, _LAMP
    return _texels(colour, glow, there | rim, np.full(size, _DAY), lit)


def _texels(colour: Array, glow: Array, cover: Array, day: Array, lamp: Array) -> Array:
    """Both layers of light and the cover, (h, w, 8)."""
    texels = np.zeros((*colour.shape[:2], 8), np.float32)
    own = glow[..., None]
    texels[..., :3] = np.clip(colour * np.where(own > 0, 0.95, day[..., None]), 0, 1)
    texels[..., 3:6] = np.clip(colour * np.where(own > 0, own, lamp[..., None]), 0, 1)
    texels[..., 6] = cover
    texels[~cover] = 0
    return texels


# -- lantern-bearers ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Look:
    cloak: Colour
    hem: Colour
    hat: Colour
    hair: Colour
    skin: Colour
    shirt: Colour
    pointed: bool


_LOOKS = (
    _Look((0.72, 0.13, 0.16), (0.96, 0.78, 0.30), (0.40, 0.08, 0.14), (0.34, 0.18, 0.08), (0.94, 0.74, 0.58),
          (0.96, 0.92, 0.82), True),
    _Look((0.14, 0.30, 0.68), (0.86, 0.90, 0.96), (0.10, 0.16, 0.42), (0.86, 0.80, 0.70), (0.86, 0.64, 0.48),
          (0.60, 0.84, 0.92), True),
    _Look((0.16, 0.50, 0.26), (0.92, 0.62, 0.22), (0.44, 0.28, 0.12), (0.12, 0.09, 0.08), (0.62, 0.42, 0.30),
          (0.95, 0.86, 0.58), False),
    _Look((0.92, 0.66, 0.18), (0.48, 0.14, 0.44), (0.48, 0.14, 0.44), (0.70, 0.30, 0.12), (0.97, 0.80, 0.68),
          (0.98, 0.97, 0.94), False),
)  # fmt: skip
LOOKS = len(_LOOKS)
BEARER_WIDTH, BEARER_HEIGHT = 0.6, 0.8
_LANTERN = (0.185, 0.115, 0.30)
_FLAME: Colour = (1.0, 0.84, 0.40)


def _bearer(look: _Look, phase: int) -> list[_Solid]:
    swing = math.sin(2 * math.pi * phase / PHASES)
    lift = 0.012 * abs(swing)

    def leg(up_ahead: float, right: float) -> list[_Solid]:
        def paint(ahead: Array, right: Array, up: Array) -> Array:
            return np.where((up < 0.085)[..., None], np.array((0.26, 0.15, 0.09)), np.array((0.30, 0.27, 0.30)))

        return [
            _limb((up_ahead, right, 0.0), (0.0, right, 0.24), (0.034, 0.036), paint),
            _egg((up_ahead + 0.03, right, 0.022), (0.055, 0.034, 0.026), _plain((0.26, 0.15, 0.09))),
        ]

    def cloth(ahead: Array, right: Array, up: Array) -> Array:
        front = (ahead > 0.02) & (np.abs(right) < 0.012 + (up - 0.12) * 0.11)
        colour = np.where(front[..., None], np.array(look.shirt), np.array(look.cloak))
        button = front & (np.abs(right) < 0.010) & ((up * 16) % 1 < 0.40)
        colour = np.where(button[..., None], np.array(look.hem), colour)
        belt = (up > 0.325) & (up < 0.355)
        colour = np.where(belt[..., None], np.array((0.30, 0.18, 0.10)), colour)
        hem = (up < 0.165) | ((up > 0.50) & ~front)
        colour = np.where(hem[..., None], np.array(look.hem), colour)
        fold = (np.sin(np.arctan2(right, ahead) * 9) > 0.75) & (up < 0.32) & ~hem & ~front
        return np.where(fold[..., None], colour * 0.72, colour)

    def face(ahead: Array, right: Array, up: Array) -> Array:
        colour = np.broadcast_to(np.array(look.skin), (*ahead.shape, 3))
        hair = (ahead < -0.005) | (up > 0.615)
        colour = np.where(hair[..., None], np.array(look.hair), colour)
        eye = (ahead > 0.02) & (np.abs(np.abs(right) - 0.030) < 0.012) & (np.abs(up - 0.592) < 0.013)
        colour = np.where(eye[..., None], np.array((0.08, 0.08, 0.14)), colour)
        mouth = (ahead > 0.02) & (np.abs(right) < 0.022) & (np.abs(up - 0.548) < 0.007)
        return np.where(mouth[..., None], np.array((0.62, 0.22, 0.22)), colour)

    def hat(ahead: Array, right: Array, up: Array) -> Array:
        band = (up > 0.645) & (up < 0.672)
        return np.where(band[..., None], np.array(look.hem), np.array(look.hat))

    def glass(ahead: Array, right: Array, up: Array) -> Array:
        bar = np.sin(np.arctan2(right - _LANTERN[1], ahead - _LANTERN[0]) * 4) > 0.86
        hot = np.abs(up - _LANTERN[2]) < 0.022
        colour = np.where(hot[..., None], np.array((1.0, 0.98, 0.82)), np.array(_FLAME))
        return np.where(bar[..., None], np.array((0.52, 0.34, 0.14)), colour)

    iron: Colour = (0.16, 0.14, 0.15)
    light_ahead, light_right, _ = _LANTERN
    solids = [
        *leg(0.085 * swing, 0.048),
        *leg(-0.085 * swing, -0.048),
        _limb((0.0, 0.0, 0.12 + lift), (0.0, 0.0, 0.53), (0.142, 0.074), cloth),
        _limb((-0.06 * swing, -0.125, 0.27), (0.0, -0.098, 0.50), (0.030, 0.036), _plain(look.cloak)),
        _egg((-0.06 * swing, -0.125, 0.258), (0.026, 0.026, 0.026), _plain(look.skin)),
        _limb((0.165, light_right, 0.405), (0.0, 0.100, 0.50), (0.030, 0.038), _plain(look.cloak)),
        _egg((0.185, light_right, 0.400), (0.027, 0.027, 0.027), _plain(look.skin)),
        _egg((0.0, 0.0, 0.580), (0.074, 0.070, 0.078), face),
        _limb((0.0, 0.0, 0.632), (0.0, 0.0, 0.648), (0.124, 0.118), _plain(look.hat)),
        _limb((light_ahead, light_right, 0.385), (light_ahead, light_right, 0.40), (0.006, 0.006), _plain(iron)),
        _limb((light_ahead, light_right, 0.348), (light_ahead, light_right, 0.385), (0.044, 0.012), _plain(iron)),
        _limb((light_ahead, light_right, 0.256), (light_ahead, light_right, 0.348), (0.036, 0.044), glass, 1.0),
        _limb((light_ahead, light_right, 0.236), (light_ahead, light_right, 0.256), (0.046, 0.042), _plain(iron)),
    ]
    if look.pointed:
        solids.append(_limb((0.0, 0.0, 0.645), (-0.05, 0.0, 0.785), (0.080, 0.008), hat))
    else:
        solids.append(_limb((0.0, 0.0, 0.645), (0.0, 0.0, 0.735), (0.078, 0.066), hat))
    return solids


# -- the cat -----------------------------------------------------------------------------------------------------------
CAT_WIDTH, CAT_HEIGHT = 0.54, 0.34
_FUR, _DARK_FUR, _WHITE_FUR = np.array((0.93, 0.58, 0.22)), np.array((0.66, 0.34, 0.10)), np.array((0.98, 0.95, 0.88))


def _fur(ahead: Array, right: Array, up: Array) -> Array:
    stripe = np.sin(ahead * 95) > 0.35
    colour = np.where((stripe & (up > 0.135))[..., None], _DARK_FUR, _FUR)
    return np.where((up < 0.115)[..., None], _WHITE_FUR, colour)


def _cat_head(at_ahead: float, at_up: float) -> list[_Solid]:
    def face(ahead: Array, right: Array, up: Array) -> Array:
        ahead, up = ahead - at_ahead, up - at_up
        stripe = (np.sin(right * 150) > 0.3) & (up > 0.025)
        colour = np.where(stripe[..., None], _DARK_FUR, _FUR)
        muzzle = (ahead > 0.03) & (up < -0.008) & (np.abs(right) < 0.038)
        colour = np.where(muzzle[..., None], _WHITE_FUR, colour)
        eye = (ahead > 0.02) & (np.abs(np.abs(right) - 0.026) < 0.011) & (np.abs(up - 0.010) < 0.012)
        colour = np.where(eye[..., None], np.array((0.30, 0.66, 0.22)), colour)
        pupil = eye & (np.abs(np.abs(right) - 0.026) < 0.004)
        colour = np.where(pupil[..., None], np.array((0.04, 0.05, 0.04)), colour)
        nose = (ahead > 0.03) & (np.abs(right) < 0.010) & (np.abs(up + 0.012) < 0.007)
        return np.where(nose[..., None], np.array((0.86, 0.42, 0.44)), colour)

    ear = _plain((0.82, 0.46, 0.16))
    return [
        _egg((at_ahead, 0.0, at_up), (0.060, 0.064, 0.054), face),
        *(
            _limb(
                (at_ahead - 0.01, side * 0.042, at_up + 0.025),
                (at_ahead - 0.015, side * 0.050, at_up + 0.088),
                (0.026, 0.003),
                ear,
            )
            for side in (-1, 1)
        ),
    ]


def _walking_cat(phase: int) -> list[_Solid]:
    swing = 0.05 * math.sin(2 * math.pi * phase / PHASES)
    sway = 0.03 * math.cos(2 * math.pi * phase / PHASES)
    return [
        *(
            _limb(
                (at + swing * side * math.copysign(1, at), side * 0.038, 0.0),
                (at, side * 0.036, 0.14),
                (0.018, 0.026),
                _fur,
            )
            for at in (0.115, -0.115)
            for side in (-1, 1)
        ),
        _egg((0.0, 0.0, 0.155), (0.185, 0.066, 0.062), _fur),
        *_cat_head(0.185, 0.215),
        _limb((-0.17, 0.0, 0.165), (-0.225, sway, 0.315), (0.018, 0.013), lambda a, r, u: _fur(u * 1.3, r, u)),
    ]  # fmt: skip


def _sitting_cat() -> list[_Solid]:
    def front(ahead: Array, right: Array, up: Array) -> Array:
        colour = np.where((np.sin(up * 95) > 0.35)[..., None], _DARK_FUR, _FUR)
        return np.where(((ahead > 0.03) & (np.abs(right) < 0.035))[..., None], _WHITE_FUR, colour)

    return [
        _egg((-0.05, 0.0, 0.075), (0.105, 0.088, 0.082), front),
        _limb((0.0, 0.0, 0.05), (0.055, 0.0, 0.21), (0.078, 0.046), front),
        *(
            _limb((0.085, side * 0.032, 0.0), (0.065, side * 0.030, 0.13), (0.020, 0.022), _plain((0.98, 0.95, 0.88)))
            for side in (-1, 1)
        ),
        *_cat_head(0.075, 0.240),
        _egg((-0.075, 0.085, 0.020), (0.090, 0.026, 0.018), lambda a, r, u: _fur(a, r, u + 0.13)),
    ]


# -- balls and doors ---------------------------------------------------------------------------------------------------
BALL_SIZE = 0.3
_BALLS = (((0.92, 0.16, 0.18), (0.98, 0.96, 0.92)), ((0.14, 0.36, 0.82), (0.98, 0.82, 0.20)))
BALLS = len(_BALLS)


def _ball(colours: tuple[Colour, Colour], phase: int) -> list[_Solid]:
    roll = phase * (math.pi / 3) / PHASES  # a sixth of a turn shows the same again
    radius = BALL_SIZE / 2 - 0.004

    def paint(ahead: Array, right: Array, up: Array) -> Array:
        angle = np.arctan2(up - BALL_SIZE / 2, ahead) + roll
        odd = np.floor(angle / (math.pi / 6)) % 2 > 0
        colour = np.where(odd[..., None], np.array(colours[0]), np.array(colours[1]))
        cap = np.abs(right) > radius * 0.88
        return np.where(cap[..., None], np.array(colours[0]) * 0.7, colour)

    return [_egg((0.0, 0.0, BALL_SIZE / 2), (radius, radius, radius), paint)]


DOORS = 3


def _door(kind: int) -> Array:
    """A leaf (h, w, 8); its handle is at the right."""
    high, wide = TEXELS_DOWN, TEXELS_ACROSS
    wall = Wall.blank(high, wide, 700 + kind)
    wood: Colour = ((0.50, 0.28, 0.14), (0.22, 0.44, 0.56), (0.34, 0.28, 0.30))[kind]
    iron: Colour = ((0.86, 0.66, 0.28), (0.92, 0.94, 0.92), (0.62, 0.44, 0.24))[kind]
    planks(wall, 0, high, 8, wood)
    dark = tuple(np.array(wood) * 0.45)
    for top in (5, 34):
        bottom = top + (24 if top == 5 else 25)
        wall.fill(top, bottom, 6, wide - 8, dark)
        wall.fill(top + 2, bottom - 2, 8, wide - 10, tuple(np.array(wood) * 1.15))
        wall.frame(top + 2, bottom - 2, 8, wide - 10, tuple(np.array(wood) * 1.1))
        for y in range(top + 5, bottom - 5, 6):  # a lattice of studs
            for x in range(12, wide - 12, 7):
                wall.fill(y, y + 2, x, x + 2, iron)
    for y in (2, 31, 60):
        wall.fill(y, y + 2, 0, wide - 4, iron)
        wall.fill(y + 1, y + 2, 0, wide - 4, tuple(np.array(iron) * 0.6))
    wall.fill(28, 38, wide - 6, wide - 3, iron)
    wall.fill(31, 35, wide - 9, wide - 5, tuple(np.minimum(np.array(iron) * 1.25, 1)))
    wall.fill(0, high, wide - 1, wide, tuple(np.array(wood) * 0.25))
    wall.fill(0, high, 0, 1, tuple(np.array(wood) * 0.4))
    full = np.ones((high, wide))
    return _texels(np.clip(wall.colour, 0, 1), np.zeros((high, wide)), full > 0, full * 0.66, full * 0.52)


# -- all of them -------------------------------------------------------------------------------------------------------
CAT = LOOKS * VIEWS * PHASES
SITTING = CAT + VIEWS * PHASES
BALL = SITTING + VIEWS
DOOR = BALL + BALLS * PHASES


@lru_cache
def textures() -> Tensor:
    """(N, h, w, 8): of every look all sides, and of each of these all phases; then of the walking cat; the sitting
    cat's sides; every ball's phases; doors. CAT, SITTING, BALL and DOOR are the first numbers of these."""
    painted = []
    for look in _LOOKS:
        for side in range(VIEWS):
            stands, right, left = (
                _seen(_bearer(look, phase), side, BEARER_WIDTH, BEARER_HEIGHT, _LANTERN) for phase in (0, 1, 3)
            )
            painted += [stands, right, stands, left]  # halfway through its cycle it is as at the beginning
    painted += [
        _seen(_walking_cat(phase), side, CAT_WIDTH, CAT_HEIGHT, None)
        for side in range(VIEWS)
        for phase in range(PHASES)
    ]
    painted += [_seen(_sitting_cat(), side, CAT_WIDTH, CAT_HEIGHT, None) for side in range(VIEWS)]
    painted += [
        _seen(_ball(colours, phase), 0, BALL_SIZE, BALL_SIZE, None) for colours in _BALLS for phase in range(PHASES)
    ]
    painted += [_door(kind) for kind in range(DOORS)]
    return torch.from_numpy(np.stack(painted))


@lru_cache
def atlas() -> Atlas:
    """All textures, ready to be drawn."""
    return Atlas(textures())
