"""What the model's movers are worth: whether they last, where they are, how crisp, and whether they answer the player.

What a mover does next is partly chance: it stops, or turns at a junction. A perfect model is therefore not where the
simulator's mover is, and is not asked to be. Every number stands beside that of two others on the very same trials:
`perfect`, the simulator itself, going on from the same moment by another seed's chance, which is what could be reached
at best; and `place_alone`, the model's map without anything that moves in it.

- *Still there*, after some seconds: the model has the mover that it found in the first frame, no farther off than it
  can have walked; and it is drawn (at least half of it, as `presence` measures) where it is in the model's own sight.
  What fades, or jumps, is not there; what has walked on behind a pillar is. If no mover was found within a twelfth of
  the picture's width of the true one in the first frame, it is not there.
- *In sight too*: the stricter number. Of trials in which the true mover is in sight then, those in which the model's is
  still there and in sight as well. It asks for chance to fall alike: a mover that has turned off, or has gone out of
  the picture, fails it without being lost, and `perfect` says how often that has to be.
- *Place error*: between the columns of the model's and of the true mover, in shares of the picture's width, where both
  are in sight; `within_6_percent`: of all trials in which the true one is in sight, whether or not the model's is.
  `straight` is the same for those trials in which the true mover neither stopped nor turned nor started off: chance
  has no part in these.
- *Within the movers' boxes*: PSNR over the pixels that the simulator's mover takes up.
- *Behind a pillar*: of trials in which the model's mover goes out of sight behind something while it is within the
  frame, those in which it comes out again and is drawn.
- *Doors* and *balls* answer what the player does, and there is no chance in that.

Nothing of the truth reaches the model: it is given the first frame and actions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.measures.pictures import presence, psnrs_within, sharpness_within
from engine.nets.camera import Camera
from engine.nets.surfaces import Eyes
from engine.training.inhabitants import DOORS, DOORWAYS, THINGS, WALKERS, sight
from engine.training.place import bake, is_free
from engine.training.policy import Players
from engine.training.simulator import Simulator

FPS = 20
LASTS = (2, 8)
"""Seconds after which it is asked whether a mover is still there."""
BOX_FRAMES = (4, 8, 16, 40)

_LEAST_PIXELS = 60  # of 256x144, that a mover must take up to be a trial
_VISIBLE = 8  # and to be in sight at all
_MATCHED = 1 / 12  # of the picture's width
_FASTEST = 0.06  # cells a frame
_HALF = 0.5
_LEAST_CHANGE = 2e-3  # of -1..1: more than rounding, less than a grey level
_CLOSE = 0.06  # of the picture's width
_HIDDEN_FRAMES = 5
_COMES_OUT = 3  # frames in a row that it is seen again
_BIRTHS = 400  # tries to find a trial, at most


class Rollouts(Protocol):
    """A batch of players' rollouts: by the model, or by what it is compared with."""

    @property
    def camera(self) -> Camera: ...

    @property
    def frames(self) -> Tensor:
        """The newest, (B, 3, H, W) in -1..1."""

    @property
    def place(self) -> Tensor:
        """The same without anything that moves."""

    @property
    def eyes(self) -> Eyes:
        """Where it takes players to be."""

    @property
    def edges(self) -> Tensor:
        """The faces of the place, (E, 4)."""

    @property
    def movers(self) -> Tensor:
        """Where all movers are, (B, K, 2)."""

    @property
    def there(self) -> Tensor:
        """Which of them there are, (B, K)."""

    def step(self, keyboard: Tensor, mouse: Tensor) -> None:
        """One video frame of actions (B, 4) and (B, 2)."""

    @property
    def shown(self) -> Tensor:
        """`place` with all movers in it, as the rollout's state has them; `frames` are made after it."""

    def without(self, which: Tensor) -> Tensor:
        """`shown` but for one mover of each player, by numbers (B,), (B, 3, H, W)."""


Maker = Callable[[Tensor, Simulator, int], Rollouts]
"""From the first frames, the simulator that they are of, and a seed. A model may look at the frames alone."""


class Simulated:
    """The simulator as if it were a model; without folk it is a perfect map of the place alone."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    @property
    def camera(self) -> Camera:
        return self.simulator.camera

    @property
    def edges(self) -> Tensor:
        return bake().edges

    def step(self, keyboard: Tensor, mouse: Tensor) -> None:
        self.simulator.step(keyboard, mouse)

    @property
    def frames(self) -> Tensor:
        return self.simulator.render()

    @property
    def place(self) -> Tensor:
        return _frames(self.simulator.empty().frames)

    @property
    def eyes(self) -> Eyes:
        return self.simulator.eyes

    @property
    def movers(self) -> Tensor:
        folk = self.simulator.folk
        return folk.places() if folk else torch.zeros(self.simulator.players, THINGS, 2)

    @property
    def there(self) -> Tensor:
        return torch.full((self.simulator.players, THINGS), self.simulator.folk is not None)

    @property
    def shown(self) -> Tensor:
        return self.simulator.render()

    def without(self, which: Tensor) -> Tensor:
        others = ~F.one_hot(which, THINGS).bool()
        return _frames(self.simulator.peopled(self.simulator.empty(), others).frames)


def _frames(picture: Tensor) -> Tensor:
    return picture.clamp(0, 1) * 2 - 1


@dataclass(frozen=True)
class Alive:
    """The measures.

    Attributes:
        make: begins the model's rollouts. camera: of both. seed: of trials and of chance. limit: largest mouse value of
            a video frame. trials: of each measure. seconds: after which it is asked whether a mover is still there.
            patience: seconds more in which it may come out from behind a pillar.
    """

    make: Maker
    camera: Camera
    limit: float
    seed: int
    trials: int
    seconds: tuple[int, int] = LASTS
    patience: int = 4

    def run(self) -> dict[str, Any]:
        """Every measure, as evaluate.json holds it."""
        return {
            "lasting": self.lasting(),
            "behind_pillars": self.behind_pillars(),
            "doors": self.doors(),
            "balls": self.balls(),
            "seeds": self.seeds(),
        }

    # -- lasting ---------------------------------------------------------------------------------------------------
    @torch.no_grad()
    def lasting(self) -> dict[str, Any]:
        """Whether movers last, where they are, how crisp they are. Half of the players stand, half play at random."""
        simulator, which = self._meetings()
        first = simulator.render()
        start = simulator.copied()
        made, true = self.make(first, start, self.seed), Simulated(simulator)
        runs = {"model": made, "perfect": Simulated(simulator.copied(folk_seed=self.seed + 9_000_001))}
        matched = {"model": matching(made, simulator, which), "perfect": which}
        begun = {name: run.movers for name, run in runs.items()}
        players = Players(self.trials, self.seed + 3, self.limit)
        plays = (torch.arange(self.trials) % 2 == 1).float()[:, None]
        calm = torch.ones(self.trials, dtype=torch.bool)  # the true mover has done nothing by chance
        assert simulator.folk is not None
        everybody = torch.arange(self.trials)
        walks = simulator.folk.rest[everybody, which] == 0
        found = _mean((matched["model"] >= 0).float())
        result: dict[str, Any] = {
            "trials": self.trials,
            "found": found,
            "box_psnr": {},
            "box_psnr_place_alone": {},
            "after": {},
        }
        for frame in range(1, max(self.seconds) * FPS + 1):
            keyboard, mouse = (part * plays for part in players.act())
            heading = simulator.folk.heading[everybody, which].clone()
            simulator.step(keyboard, mouse)
            turned = (simulator.folk.heading[everybody, which] - heading).abs() > 0.02
            calm &= ~turned & ((simulator.folk.rest[everybody, which] == 0) == walks)
            for run in runs.values():
                run.step(keyboard, mouse)
            if frame in BOX_FRAMES:
                theirs = Sighting.of(true, which)
                seen = theirs.pixels >= _VISIBLE
                for name, picture in (("box_psnr", made.frames), ("box_psnr_place_alone", made.place)):
                    result[name][str(frame)] = _mean(psnrs_within(picture, theirs.frames, theirs.mask)[seen])
            if frame % FPS == 0 and frame // FPS in self.seconds:
                theirs = Sighting.of(true, which)
                after = {
                    name: self._after(run, matched[name], begun[name], frame, true, theirs, which, calm)
                    for name, run in runs.items()
                }
                result["after"][f"{frame // FPS}s"] = after
        return result

    def _after(
        self,
        run: Rollouts,
        matched: Tensor,
        begun: Tensor,
        frame: int,
        true: Simulated,
        theirs: Sighting,
        which: Tensor,
        calm: Tensor,
    ) -> dict[str, Any]:
        """What is left of movers by numbers `matched` (B,), -1 where none was found, after so many frames."""
        mine = Sighting.of(run, matched.clamp(min=0))
        there = lasts(run, matched, begun, frame, mine)
        in_sight = theirs.pixels >= _VISIBLE
        both = in_sight & there & (mine.pixels >= _VISIBLE)
        error = (column_of(run, matched.clamp(min=0)) - column_of(true, which)).abs() / self.camera.width
        close = both & (error <= _CLOSE)
        large = both & (torch.minimum(mine.pixels, theirs.pixels) >= self._least)
        crisp = sharpness_within(mine.frames, mine.mask) / sharpness_within(theirs.frames, theirs.mask)
        return {
            "still_there": _mean(there.float()),
            "in_sight_too": _mean(both[in_sight].float()),
            "place_error": _mean(error[both]),
            "within_6_percent": _mean(close[in_sight].float()),
            "straight": {
                "trials": int((in_sight & calm).sum()),
                "place_error": _mean(error[both & calm]),
                "within_6_percent": _mean(close[in_sight & calm].float()),
            },
            "sharpness": _median(crisp[large]),
        }

    @property
    def _least(self) -> float:
        """Pixels that a mover must take up to be a trial."""
        return _LEAST_PIXELS * self.camera.width * self.camera.height / (256 * 144)

    def _meetings(self) -> tuple[Simulator, Tensor]:
        """Players who each see a walker well, and which."""
        simulator = Simulator(self.trials, self.seed, self.camera, folk=True)
        which, todo = torch.zeros(self.trials, dtype=torch.long), torch.ones(self.trials, dtype=torch.bool)
        for _ in range(_BIRTHS):
            true = Simulated(simulator)
            framed, hidden = seen_by(true)
            near = torch.cdist(torch.stack(simulator.eyes[:2], -1)[:, None], true.movers)[:, 0]
            rank = torch.where(framed & ~hidden, near, 99.0)[:, :WALKERS]
            which = torch.where(todo, rank.argmin(1), which)
            good = (rank.amin(1) < 7) & (rank.amin(1) > 1)
            good &= Sighting.of(true, which).pixels >= self._least
            todo &= ~good
            if not todo.any():
                return simulator, which
            simulator.respawn(todo)
        raise RuntimeError(f"{int(todo.sum())} of {self.trials} players never see anybody; is the folk too small?")

    # -- behind pillars --------------------------------------------------------------------------------------------
    @torch.no_grad()
    def behind_pillars(self) -> dict[str, Any]:
        """Whether what passes behind something comes out again, within twelve seconds of the first frame.

        `came_out`: of those trials in which the rollout's own mover goes out of sight behind something within eight
        seconds; `went_behind`: the share of these, which is partly chance.
        """
        start, which = self._passages()
        count = len(which)
        if not count:
            return {"trials": 0}
        made = self.make(start.render(), start.copied(), self.seed)
        runs = {"model": made, "perfect": Simulated(start.copied(folk_seed=self.seed + 9_000_002))}
        matched = {"model": matching(made, start, which), "perfect": which}
        still = torch.zeros(count, 4), torch.zeros(count, 2)
        behind, out = ({name: torch.zeros(count, dtype=torch.bool) for name in runs} for _ in range(2))
        watched = {name: _Passage(count) for name in runs}
        for frame in range(1, (max(self.seconds) + self.patience) * FPS + 1):
            for name, run in runs.items():
                run.step(*still)
                number = matched[name].clamp(min=0)
                framed, hidden = (part.gather(1, number[:, None])[:, 0] for part in seen_by(run))
                fresh = watched[name].step(framed, hidden) & (matched[name] >= 0) & ~out[name]
                if frame <= max(self.seconds) * FPS:
                    behind[name] = watched[name].behind & (matched[name] >= 0)
                if fresh.any():
                    out[name] |= fresh & Sighting.of(run, number).drawn
        found = {
            name: {"went_behind": _mean(behind[name].float()), "came_out": _mean(out[name][behind[name]].float())}
            for name in runs
        }
        return {"trials": count} | found

    def _passages(self) -> tuple[Simulator, Tensor]:
        """Players who stand where somebody passes behind something and comes out within eight seconds; and who."""
        simulator = Simulator(8 * self.trials, self.seed + 77, self.camera, folk=True)
        start, watched = simulator.copied(), _Passage(simulator.players * WALKERS)
        still = torch.zeros(simulator.players, 4), torch.zeros(simulator.players, 2)
        framed, hidden = (part[:, :WALKERS] for part in seen_by(Simulated(simulator)))
        begun, out = framed & ~hidden, torch.zeros(simulator.players, WALKERS, dtype=torch.bool)
        assert simulator.folk is not None
        at = torch.stack(simulator.eyes[:2], -1)[:, None]
        begun &= (torch.cdist(at, simulator.folk.places())[:, 0, :WALKERS] < 6) & (simulator.folk.rest == 0)
        for _ in range(max(self.seconds) * FPS):
            simulator.step(*still)
            framed, hidden = (part[:, :WALKERS] for part in seen_by(Simulated(simulator)))
            out |= watched.step(framed.flatten(), hidden.flatten()).view(-1, WALKERS)
        good = (out & begun).any(1).nonzero()[: self.trials, 0]
        return start.chosen(good), (out & begun)[good].float().argmax(1)

    # -- what answers the player -----------------------------------------------------------------------------------
    @torch.no_grad()
    def doors(self) -> dict[str, Any]:
        """Whether doors open before a player who comes, and close behind one who steps back."""
        found = {}
        for name, away, key, walked in (("open", 2.4, 0, 15), ("close", 1.0, 1, 24)):
            simulator, door = self._before_doors(away)
            made = self.make(simulator.render(), simulator.copied(), self.seed)
            keys = torch.eye(4)[key].expand(simulator.players, 4)
            still, straight = torch.zeros(simulator.players, 4), torch.zeros(simulator.players, 2)
            shut = []
            for frame in range(2 + walked + 20):
                keyboard = keys if 2 <= frame < 2 + walked else still
                simulator.step(keyboard, straight)
                made.step(keyboard, straight)
                if frame in (1, walked + 21):
                    empty, open_ = simulator.empty(), Simulated(simulator).place
                    closed = simulator.copied()
                    assert closed.folk is not None
                    closed.folk.opened = torch.zeros_like(closed.folk.opened)
                    only = F.one_hot(door + THINGS - DOORS, THINGS).bool()
                    shut.append(presence(made.frames, _frames(closed.peopled(empty, only).frames), open_))
            before, after = shut
            right = (before >= _HALF) & (after < _HALF) if name == "open" else (before < _HALF) & (after >= _HALF)
            found[name] = _mean(right.float())
        return {"trials": 2 * 6 * _HOURS, **found, "answer": round((found["open"] + found["close"]) / 2, 3)}

    def _before_doors(self, away: float) -> tuple[Simulator, Tensor]:
        """A player on each side of every door, at some hours, and the door's number."""
        rows = [
            (x, y + side * away, -side * math.pi / 2, (hour + 0.5) / _HOURS, door)
            for door, (x, y, _) in enumerate(DOORWAYS)
            for side in (-1, 1)
            for hour in range(_HOURS)
        ]
        x, y, yaw, hour, door = torch.tensor(rows).T
        simulator = Simulator(len(rows), self.seed + 5, self.camera, folk=True)
        simulator.x, simulator.y, simulator.yaw, simulator.hour = x, y, yaw % (2 * math.pi), hour
        simulator.repeople()
        _send_away(simulator)
        return simulator, door.long()

    @torch.no_grad()
    def balls(self) -> dict[str, Any]:
        """Whether a ball that is walked into rolls off: at least half as far as the true one, and at most twice, within
        45 degrees of its way, and is drawn if it is in sight."""
        simulator = self._before_balls()
        which = torch.full((self.trials,), WALKERS)
        made = self.make(simulator.render(), simulator.copied(), self.seed)
        matched = matching(made, simulator, which)
        number, everybody = matched.clamp(min=0), torch.arange(self.trials)
        before_made, before_true = made.movers[everybody, number], Simulated(simulator).movers[everybody, which]
        ahead = torch.tensor((1.0, 0.0, 0.0, 0.0)).expand(self.trials, 4)
        straight = torch.zeros(self.trials, 2)
        for frame in range(50):
            keyboard = ahead if frame < 24 else torch.zeros_like(ahead)
            simulator.step(keyboard, straight)
            made.step(keyboard, straight)
        went = made.movers[everybody, number] - before_made
        true = Simulated(simulator).movers[everybody, which] - before_true
        far, true_far = went.norm(dim=1), true.norm(dim=1)
        along = (went * true).sum(1) / (far * true_far).clamp(min=1e-6)
        right = (far > true_far / 2) & (far < true_far * 2) & (along > math.sqrt(0.5))
        seen = Sighting.of(made, number)
        right &= (matched >= 0) & (seen.drawn | (seen.pixels < _VISIBLE))
        return {"trials": self.trials, "answer": _mean(right.float()), "rolled": _mean(far), "true": _mean(true_far)}

    def _before_balls(self) -> Simulator:
        """Players with a ball before them, and room for it to roll."""
        simulator = Simulator(self.trials, self.seed + 6, self.camera, folk=True)
        assert simulator.folk is not None
        todo = torch.ones(self.trials, dtype=torch.bool)
        for _ in range(_BIRTHS):
            way = torch.stack((simulator.yaw.cos(), simulator.yaw.sin()), -1)
            steps = torch.linspace(0, 4.5, 46)[:, None, None] * way + torch.stack(simulator.eyes[:2], -1)
            todo &= ~is_free(steps[..., 0], steps[..., 1], 0.5).all(0)
            if not todo.any():
                break
            simulator.respawn(todo)
        else:
            raise RuntimeError(f"{int(todo.sum())} of {self.trials} players never have room before them")
        simulator.hour = torch.rand(self.trials, generator=torch.Generator().manual_seed(self.seed)) * 0.4 + 0.3
        simulator.repeople()
        _send_away(simulator)
        ball = torch.stack(simulator.eyes[:2], -1) + 1.3 * way
        simulator.folk.ball_x[:, 0], simulator.folk.ball_y[:, 0] = ball.unbind(1)
        return simulator

    # -- chance ----------------------------------------------------------------------------------------------------
    @torch.no_grad()
    def seeds(self) -> dict[str, Any]:
        """Two seeds from the same first frames: how far apart those are after eight seconds that move at all, and how
        alike the place is where neither shows any."""
        simulator, _ = self._meetings()
        first = simulator.render()
        one, two = (self.make(first, simulator.copied(), self.seed + n) for n in (1, 2))
        begun, still = one.movers, (torch.zeros(self.trials, 4), torch.zeros(self.trials, 2))
        for _ in range(max(self.seconds) * FPS):
            one.step(*still)
            two.step(*still)
        apart = (one.movers - two.movers).norm(dim=2)
        goes = ((one.movers - begun).norm(dim=2) > 0.05) | ((two.movers - begun).norm(dim=2) > 0.05)
        apart = apart[goes & one.there & two.there]
        bare = ~((one.frames - one.place).abs().amax(1) > 0.1) & ~((two.frames - two.place).abs().amax(1) > 0.1)
        alike = psnrs_within(one.frames, two.frames, bare)
        return {"apart": _mean(apart), "elsewhere": _mean((apart > 0.3).float()), "place_psnr": _mean(alike)}


_HOURS = 3


class _Passage:
    """Follows whether things (N,) go out of sight behind something and come out again."""

    def __init__(self, count: int) -> None:
        self._hidden, self._seen = torch.zeros(count), torch.zeros(count)

    @property
    def behind(self) -> Tensor:
        """Which have gone behind something."""
        return self._hidden >= _HIDDEN_FRAMES

    def step(self, framed: Tensor, hidden: Tensor) -> Tensor:
        """Which have come out again, by now."""
        self._hidden = torch.where(framed & hidden, self._hidden + 1, self._hidden)
        self._seen = torch.where(self.behind & framed & ~hidden, self._seen + 1, 0.0)
        return self._seen >= _COMES_OUT


def _send_away(simulator: Simulator) -> None:
    """Walkers and balls to where nobody sees them."""
    folk = simulator.folk
    assert folk is not None
    far = (simulator.x < 16).float()[:, None] * 28.0 + 1.75
    folk.x, folk.ball_x = far.expand_as(folk.x).clone(), far.expand_as(folk.ball_x).clone()
    folk.y, folk.ball_y = torch.full_like(folk.y, 18.3), torch.full_like(folk.ball_y, 18.3)
    folk.rest = torch.full_like(folk.rest, 1e6)


def seen_by(run: Rollouts) -> tuple[Tensor, Tensor]:
    """Which of its movers are within the frame, and which of all have something before them, each (B, K)."""
    return sight(run.movers[..., 0], run.movers[..., 1], run.eyes, run.camera, run.edges)


@dataclass(frozen=True)
class Sighting:
    """One mover of each player in its rollout's newest pictures (B, 3, H, W): as they are, as they are to be by the
    rollout's own state, and as they would be without that mover."""

    frames: Tensor
    shown: Tensor
    without: Tensor

    @property
    def mask(self) -> Tensor:
        """Pixels in which it is to be seen, (B, H, W)."""
        return (self.shown - self.without).abs().amax(1) > _LEAST_CHANGE

    @property
    def pixels(self) -> Tensor:
        """How many these are, (B,)."""
        return self.mask.sum((1, 2))

    @property
    def drawn(self) -> Tensor:
        """Whether pictures show half of it and more, (B,)."""
        return presence(self.frames, self.shown, self.without) >= _HALF

    @staticmethod
    def of(run: Rollouts, which: Tensor) -> Sighting:
        """Of movers by numbers (B,)."""
        return Sighting(run.frames, run.shown, run.without(which))


def column_of(run: Rollouts, which: Tensor) -> Tensor:
    """Column of the picture in which a mover of each player stands, (B,), wherever that is."""
    at = run.movers[torch.arange(len(which)), which]
    east, south = at[:, 0] - run.eyes[0], at[:, 1] - run.eyes[1]
    cos, sin = run.eyes[2].cos(), run.eyes[2].sin()
    right = (south * cos - east * sin) / (east * cos + south * sin).clamp(min=0.05)
    return run.camera.width / 2 + right * run.camera.focal


def matching(run: Rollouts, simulator: Simulator, which: Tensor) -> Tensor:
    """Which mover of the rollouts is the simulator's mover `which` (B,): the nearest in plan that is seen within a
    twelfth of the picture's width of it and is drawn; -1: none."""
    true = Simulated(simulator)
    at = true.movers[torch.arange(len(which)), which]
    wanted = column_of(true, which)
    columns = torch.stack([column_of(run, torch.full_like(which, n)) for n in range(run.movers.shape[1])], 1)
    fits = run.there & ((columns - wanted[:, None]).abs() <= _MATCHED * simulator.camera.width)
    away = torch.where(fits, (run.movers - at[:, None]).norm(dim=2), 1e3)
    nearest, number = away.min(1)
    return torch.where(nearest < 1.5, number, -1)


def lasts(run: Rollouts, matched: Tensor, begun: Tensor, frames: int, seen: Sighting) -> Tensor:
    """Whether movers by numbers (B,), which were at `begun` (B, K, 2) so many frames ago, are still there, (B,)."""
    everybody, number = torch.arange(len(matched)), matched.clamp(min=0)
    went = (run.movers - begun)[everybody, number].norm(dim=1)
    there = (matched >= 0) & run.there[everybody, number] & (went <= _FASTEST * frames + 0.5)
    return there & ((seen.pixels < _VISIBLE) | seen.drawn)


def _mean(values: Tensor) -> float:
    return round(float(values.mean()), 3) if len(values) else math.nan


def _median(values: Tensor) -> float:
    return round(float(values.median()), 3) if len(values) else math.nan
