"""The small world the embedded model learns: seven places under one changing light, walked in first person.

A batch of players walks the same plan (engine.training.place) and each has a time of day, which goes on by itself, and
lamps that flicker. With `folk`, others live there too (engine.training.inhabitants). Looking up and down moves the
horizon (a shifted lens), so a turn of the camera is an exact plane-to-plane mapping of the picture.

Nothing here is known to the model: it sees pictures and actions alone.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.cards import draw_cards
from engine.nets.surfaces import Eyes, Light, Picture, draw
from engine.training import figures
from engine.training.inhabitants import DOORS, THINGS, WALKERS, Inhabitants
from engine.training.place import COLUMNS, ROWS, bake, is_free

MARGIN = 0.5
"""Cells that walls keep players away."""
DAY_SECONDS = 120
FLICKER = 0.05
_FPS = 20
_STEADY = 0.85  # share of its flicker that a lamp keeps from one video frame to the next
_RAYS = 2  # in a column of a picture; one will do in a small one
_SMALL = 128


class Simulator:
    """A batch of players in the world.

    Positions are in cells (x to the east, y to the south), yaw in radians (0 looks east, positive turns right), pitch
    in radians (positive looks up), hour 0..1 (0 is midnight, 0.25 sunrise).

    Args:
        players: how many.
        seed: of the places and hours they start from, and of the lamps.
        camera: lens, picture size and how far an action moves.
        folk: whether anybody lives there; folk_seed: of what they do by chance, if not `seed`.
    """

    def __init__(
        self, players: int, seed: int, camera: Camera, folk: bool = False, folk_seed: int | None = None
    ) -> None:
        self.camera = camera
        self.players = players
        self.rng = torch.Generator().manual_seed(seed)
        self.x = torch.zeros(players)
        self.y = torch.zeros(players)
        self.yaw = torch.zeros(players)
        self.pitch = torch.zeros(players)
        self.hour = torch.zeros(players)
        self.flicker = torch.zeros(players)
        self.folk = Inhabitants(players, seed + 2 if folk_seed is None else folk_seed) if folk else None
        """Whom nobody but those who evaluate may ask about."""
        self.respawn(torch.ones(players, dtype=torch.bool))

    def copied(self, folk_seed: int | None = None) -> Simulator:
        """The same at this moment, going on by the same chance; the folk by that of another seed, if there is one."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(other, name, value.clone())
        other.rng = torch.Generator()
        other.rng.set_state(self.rng.get_state())
        if self.folk:
            other.folk = self.folk.copied(folk_seed)
        return other

    def as_seen(self, folk_seed: int) -> Simulator:
        """What the picture of this moment tells of the folk, and another seed's chance for all else: walkers of whom
        anything is seen are where they are, at some pace; the others are anywhere that they are not seen."""
        other = self.copied(folk_seed)
        if other.folk:
            seen = other.shown()
            other.folk.draw_speeds()
            again = ~seen
            while again.any():
                other.folk.renew(again)
                again = other.shown() & ~seen
        return other

    def shown(self) -> Tensor:
        """Of which walkers the picture shows anything, (players, WALKERS) bool."""
        empty, each = self.empty(), []
        for number in range(WALKERS):
            only = torch.arange(THINGS) == number
            each.append((self.peopled(empty, only).frames != empty.frames).flatten(1).any(1))
        return torch.stack(each, 1)

    def chosen(self, index: Tensor) -> Simulator:
        """Some of its players, by number (N,); what they do by chance is another's from here on."""
        some = self.copied()
        for owner in (some, some.folk):
            for name, value in vars(owner).items() if owner else ():
                if isinstance(value, Tensor):
                    setattr(owner, name, value[index])
        some.players = len(index)
        return some

    # -- players ---------------------------------------------------------------------------------------------------
    def respawn(self, which: Tensor) -> None:
        """Put the players chosen by the boolean mask `which` (players,) at random free places and hours, looking
        level."""
        need = which.clone()
        while need.any():
            n = int(need.sum())
            x = torch.rand(n, generator=self.rng) * COLUMNS
            y = torch.rand(n, generator=self.rng) * ROWS
            index = need.nonzero().squeeze(1)
            ok = self.is_free(x, y)
            chosen = index[ok]
            self.x[chosen], self.y[chosen] = x[ok], y[ok]
            self.yaw[chosen] = torch.rand(int(ok.sum()), generator=self.rng) * 2 * math.pi
            self.hour[chosen] = torch.rand(int(ok.sum()), generator=self.rng)
            self.pitch[chosen] = 0.0
            need[chosen] = False
        if self.folk:
            self.folk.respawn(which, self.eyes, self.camera)

    def repeople(self) -> None:
        """The folk begin anew, with the players where they are now."""
        if self.folk:
            self.folk.respawn(torch.ones(self.players, dtype=torch.bool), self.eyes, self.camera)

    def is_free(self, x: Tensor, y: Tensor) -> Tensor:
        """Whether a player can stand at (x, y): nothing upright within MARGIN, along either axis."""
        return is_free(x, y, MARGIN)

    def step(self, keyboard: Tensor, mouse: Tensor) -> None:
        """Move every player by one video frame; walls are slid along, each axis on its own. Time goes on.

        Args:
            keyboard: (players, 4) W S A D, 0 or 1.
            mouse: (players, 2) pitch and yaw, in the model's unit.
        """
        self.yaw = (self.yaw + self.camera.turn(mouse)) % (2 * math.pi)
        self.pitch = self.camera.pitched(self.pitch, mouse)
        ahead, side = self.camera.walk(keyboard)
        cos, sin = self.yaw.cos(), self.yaw.sin()
        x = self.x + ahead * cos - side * sin
        self.x = torch.where(self.is_free(x, self.y), x, self.x)
        y = self.y + ahead * sin + side * cos
        self.y = torch.where(self.is_free(self.x, y), y, self.y)
        self.hour = (self.hour + 1 / (DAY_SECONDS * _FPS)) % 1
        fresh = torch.randn(self.players, generator=self.rng) * math.sqrt(1 - _STEADY**2)
        self.flicker = self.flicker * _STEADY + fresh
        if self.folk:
            self.folk.step(self.x, self.y)

    # -- picture ---------------------------------------------------------------------------------------------------
    @property
    def eyes(self) -> Eyes:
        """Where players look from, and where to."""
        return self.x, self.y, self.yaw, self.pitch

    def render(self) -> Tensor:
        """The picture every player sees: (players, 3, height, width) float32 in -1..1."""
        return self.peopled(self.empty()).frames.clamp(0, 1) * 2 - 1

    def empty(self) -> Picture:
        """The place as it is without anybody in it."""
        rays = _RAYS if self.camera.width > _SMALL else 1
        return draw(bake(), self.eyes, self.camera, daylight(self.hour, self.flicker), rays)

    def peopled(self, picture: Picture, only: Tensor | None = None) -> Picture:
        """The folk drawn into a picture; only: (things,) or (players, things) bool, which of them, see
        inhabitants.KINDS."""
        if self.folk is None:
            return picture
        cards = self.folk.cards(self.eyes)
        if only is not None:
            both = torch.cat((only, only[..., -DOORS:]), -1)  # a door has two leaves
            cards = replace(cards, present=cards.present & both)
        return draw_cards(picture, cards, figures.atlas(), self.eyes, self.camera, daylight(self.hour, self.flicker))


def daylight(hour: Tensor, flicker: Tensor) -> Light:
    """How bright everything is at an hour (B,): cool mornings, golden evenings, blue nights with lamps."""
    height = -torch.cos(2 * math.pi * hour)
    day = torch.sigmoid(5 * height + 1.0)[:, None]
    low = torch.exp(-((height / 0.35) ** 2))[:, None]
    late = torch.sin(2 * math.pi * (hour - 0.5))[:, None]  # -1 in the morning, 1 in the evening
    tint = 1 + late * torch.tensor((0.10, 0.0, -0.14)) + low * torch.tensor((0.10, -0.06, -0.16)) * (1 + 0.5 * late)
    night = torch.tensor((0.20, 0.25, 0.42))
    by_day = night * (1 - day) + tint * day
    lamp = (1.0 - 0.6 * day) * (1 + FLICKER * flicker[:, None]) * torch.ones(3)
    sky = (0.04 + 0.96 * day) * (tint + low * torch.tensor((0.10, -0.06, -0.20)))
    return Light(by_day, lamp, sky, (1 - day) ** 2 * torch.ones(3))
