"""Measures the embedded model against the simulator: `python -m engine.training.evaluate [--long] [--seed N]`.

Everything is measured on starts and action scripts drawn from the seed, none of which training has seen, with the very
networks and caches of play. Frame n is n video frames after the given first frame. The result is `evaluate.json`; its
fields are described in engine/training/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.multiprocessing import get_context

from engine.errors import EngineError
from engine.measures.motion import motion
from engine.measures.pictures import contrast, mean_colour, psnr, psnrs, psnrs_within, sharpness
from engine.nets.networks import EmbeddedNetworks
from engine.nets.spatial_memory import Pose
from engine.nets.surfaces import Eyes
from engine.training.alive import Alive, Rollouts
from engine.training.files import MODEL, WEIGHTS, read_model
from engine.training.policy import World
from engine.training.poses import UNSEEN, closest_views, pose_of
from engine.training.scenes import VIEWPOINTS, at_viewpoints
from engine.training.simulator import DAY_SECONDS, Simulator
from engine.training.unroll import Unroll, camera_of
from engine.world import load_world

PSNR_FRAMES = (4, 8, 16, 32, 64, 256)
WRONG_UNTIL = 64
SCENE_SECONDS = (12, 30)  # straight ahead, and then with turns
LOOK_FRAMES = (4, 16, 64)
STEADY_FRAMES = 8
SETTLE_FRAMES = 4
_FLAT, _AS_FLAT = 0.15, 0.5  # shares of what pictures have in the simulator: on average, and from the same place
_LEAST_CHANGE = 2e-3  # of -1..1: more than rounding, less than a grey level
_AS_SEEN = 4  # simulators that know no more than the first picture shows
MEASURES = ("likeness", "actions", "stillness", "turn_and_return", "scenes", "walls", "alive", "day", "drift")
_QUICK = tuple(name for name in MEASURES if name != "day")
_PARTY = 5  # long rollouts that are played together

# name -> keyboard W S A D, mouse (pitch, yaw) as shares of the mouse limit
DIRECTIONS: dict[str, tuple[tuple[int, int, int, int], tuple[float, float]]] = {
    "turn_left": ((0, 0, 0, 0), (0, -1)),
    "turn_right": ((0, 0, 0, 0), (0, 1)),
    "look_up": ((0, 0, 0, 0), (1, 0)),
    "look_down": ((0, 0, 0, 0), (-1, 0)),
    "forward": ((1, 0, 0, 0), (0, 0)),
    "back": ((0, 1, 0, 0), (0, 0)),
    "strafe_left": ((0, 0, 1, 0), (0, 0)),
    "strafe_right": ((0, 0, 0, 1), (0, 0)),
}


@dataclass(frozen=True)
class Evaluator:
    """What is measured, on what, and how much of it.

    Attributes:
        networks: the model, on the CPU.
        limit: the largest mouse value of a video frame.
        seed: of every start, script and noise.
        trials: rollouts of a measure.
        rollouts: long ones, to measure drift.
        workers: processes that play these.
        say: told what is being measured.
    """

    networks: EmbeddedNetworks
    limit: float
    seed: int
    trials: int = 64
    rollouts: int = 50
    workers: int = 1
    say: Callable[[str], None] = lambda text: None

    def run(self, drift_seconds: tuple[int, ...], only: Collection[str] = MEASURES) -> dict[str, Any]:
        """The measures of `only`, as evaluate.json holds them; drift is measured after so many seconds."""
        result: dict[str, Any] = {"seed": self.seed, "trials": self.trials}
        for name in MEASURES:
            if name not in only or (name == "alive" and not self._inhabited):
                continue
            self.say(name)
            if name == "drift":
                result |= {"drift": self.drift(drift_seconds)}
            else:
                found = getattr(self, name)()
                result |= {"alive": found} if name == "alive" else found
        return result

    # -- rollouts --------------------------------------------------------------------------------------------------
    def _world(self, offset: int, players: int | None = None) -> World:
        seed = UNSEEN + self.seed * 1000 + offset
        return World(players or self.trials, seed, camera_of(self.networks), self.limit, self._inhabited)

    @property
    def _inhabited(self) -> bool:
        """Whether anything lives in the model's world; then it does in the simulator's."""
        return not self.networks.slots.empty

    def alive(self) -> dict[str, Any]:
        """What the model's movers are worth, see engine.training.alive."""

        def make(frames: Tensor, simulator: Simulator, seed: int) -> Rollouts:
            return Played(self.networks, frames, seed)

        seed = UNSEEN + self.seed * 1000 + 20
        return Alive(make, camera_of(self.networks), self.limit, seed, self.trials).run()

    def _unroll(self, frames: Tensor) -> Unroll:
        return Unroll(self.networks, frames, torch.Generator().manual_seed(self.seed), gradients=False)

    @torch.no_grad()
    def likeness(self) -> dict[str, Any]:
        """PSNR of the model, of the first frame unchanged and of another script's actions; sharpness and contrast.

        `perfect_psnr`: of the simulator itself, whose folk go on by another chance; `as_seen_psnr`: of the simulator
        that knows of its folk no more than the first picture shows, as the model, the mean of a few.
        """
        world = self._world(1)
        first = world.restart()
        perfect = world.simulator.copied(folk_seed=self.seed + 9_000_003 if self._inhabited else None)
        told = [world.simulator.as_seen(self.seed + 9_000_100 + n) for n in range(_AS_SEEN if self._inhabited else 0)]
        right, wrong = self._unroll(first), self._unroll(first)
        rows: dict[str, Any] = {
            name: {}
            for name in (
                "psnr",
                "psnr_worst_tenth",
                "memory_psnr",
                "place_psnr",
                "place_psnr_worst_tenth",
                "perfect_psnr",
                "perfect_psnr_worst_tenth",
                "as_seen_psnr",
                "as_seen_psnr_worst_tenth",
                "copy_psnr",
                "wrong_action_psnr",
                "sharpness",
                "contrast",
            )
        }
        codec, seen = self.networks.codec, []
        rows["codec_psnr"] = round(psnr(codec.decode(codec.encode(first)).clamp(-1, 1), first), 2)
        fps = round(self.networks.config.fps)
        for frame in range(1, max(PSNR_FRAMES) + 1):
            keyboard, mouse, true = world.step()
            for simulator in (perfect, *told):
                simulator.step(keyboard, mouse)
            made = _advance(right, keyboard, mouse)
            if frame <= WRONG_UNTIL:
                other = _advance(wrong, keyboard.roll(1, 0), mouse.roll(1, 0))
            if frame in PSNR_FRAMES:
                each = psnrs(made, true)
                rows["psnr"][str(frame)] = round(float(each.mean()), 2)
                rows["psnr_worst_tenth"][str(frame)] = round(float(each.quantile(0.1)), 2)
                rows["memory_psnr"][str(frame)] = round(psnr(right.remembered, true), 2)
                bare = ~(_moving(world.simulator, true) | shows_movers(right))
                place, best = psnrs_within(made, true, bare), psnrs(perfect.render(), true)
                guessed = torch.stack([psnrs(simulator.render(), true) for simulator in told] or [best])
                for name, values in (("place_psnr", place), ("perfect_psnr", best), ("as_seen_psnr", guessed)):
                    rows[name][str(frame)] = round(float(values.mean()), 2)
                    rows[f"{name}_worst_tenth"][str(frame)] = round(float(values.quantile(0.1, -1).mean()), 2)
                rows["copy_psnr"][str(frame)] = round(psnr(first, true), 2)
                if frame <= WRONG_UNTIL:
                    rows["wrong_action_psnr"][str(frame)] = round(psnr(other, true), 2)
            if frame in LOOK_FRAMES:
                rows["sharpness"][str(frame)] = _ratio(sharpness(made), sharpness(true))
                rows["contrast"][str(frame)] = _ratio(contrast(made), contrast(true))
            if frame % fps == 0:
                seen.append((sharpness(made), sharpness(true)))
        return rows | {"crisp": {"play": _crisp(seen)}}

    @torch.no_grad()
    def scenes(self) -> dict[str, Any]:
        """From every shipped first frame, twelve seconds of W and then W with turns: how crisp it stays."""
        config = self.networks.config
        camera, fps = camera_of(self.networks), round(config.fps)
        simulator = at_viewpoints(camera, self._inhabited)
        unroll = self._unroll(simulator.render())
        count = simulator.players
        ahead, straight = torch.tensor((1.0, 0.0, 0.0, 0.0)).expand(count, 4), torch.zeros(count, 2)
        seen, pictures = [], []
        for frame in range(1, SCENE_SECONDS[1] * fps + 1):
            # after a while, a second of turning this way or that in every two
            phase = (frame // fps) % 4
            turn = 0.0 if frame <= SCENE_SECONDS[0] * fps or phase % 2 else (self.limit if phase else -self.limit)
            mouse = straight + torch.tensor((0.0, turn))
            simulator.step(ahead, mouse)
            made = _advance(unroll, ahead, mouse)
            if frame % fps == 0:
                true = simulator.render()
                seen.append((sharpness(made), sharpness(true)))
                pictures.append(psnrs(made, true))
        each = torch.stack([made for made, _ in seen])  # (seconds, scenes)
        first = each[: SCENE_SECONDS[0]].min(0).values
        rows = {name: round(float(value), 1) for name, value in zip(VIEWPOINTS, first, strict=True)}
        alike = torch.stack(pictures)
        rows_psnr = {name: round(float(value), 1) for name, value in zip(VIEWPOINTS, alike.mean(0), strict=True)}
        return {"scenes": _crisp(seen) | {"plainest_of_12_s": rows, "psnr": rows_psnr}}

    @torch.no_grad()
    def walls(self) -> dict[str, Any]:
        """The closest that one can stand before the middle of every wall, looking at it, as if one had walked there:
        the first picture is what memory sees, and says nothing that memory does not know."""
        camera = camera_of(self.networks)
        simulator = closest_views(camera)
        made, true = [], simulator.render()
        pose = pose_of(simulator)
        for begin in range(0, simulator.players, 32):
            here = slice(begin, begin + 32)
            part = Pose(*(value[here] for value in (pose.x, pose.y, pose.yaw, pose.pitch, pose.hour)))
            first = self.networks.spatial_memory.look(part, camera).frames
            unroll = Unroll(self.networks, first, torch.Generator().manual_seed(self.seed), False, part)
            still = torch.zeros(len(part.x), 4), torch.zeros(len(part.x), 2)
            for _ in range(SETTLE_FRAMES):
                picture = _advance(unroll, *still)
            made.append(picture)
        pictures = torch.cat(made)
        alike = psnrs(pictures, true)
        return {
            "walls": _crisp([(sharpness(pictures), sharpness(true))])
            | {"count": len(alike), "psnr": round(float(alike.mean()), 2), "psnr_worst": round(float(alike.min()), 2)}
        }

    @torch.no_grad()
    def day(self) -> dict[str, Any]:
        """Mean brightness over a day of standing still, beside the simulator's, where neither shows what moves: the
        largest error, in grey levels."""
        world = self._world(7, 7)
        first = world.restart()
        unroll, worst = self._unroll(first), torch.zeros(7)
        keyboard, mouse = torch.zeros(7, 4), torch.zeros(7, 2)
        for frame in range(1, DAY_SECONDS * round(self.networks.config.fps) + 1):
            world.simulator.step(keyboard, mouse)
            made = _advance(unroll, keyboard, mouse)
            if frame % 60 == 0:
                true = world.simulator.render()
                bare = ~(_moving(world.simulator, true) | shows_movers(unroll))
                off = ((made - true).mean(1) * bare).sum((1, 2)) / bare.sum((1, 2)).clamp(min=1)
                worst = torch.maximum(worst, off.abs() * 127.5)
        return {"day": {"worst": round(float(worst.max()), 2), "median": round(float(worst.median()), 2)}}

    @torch.no_grad()
    def actions(self) -> dict[str, Any]:
        """Whether, and how much, the picture moves as it should for each direction, by optical flow."""
        accuracy, amount = {}, {}
        for index, (name, (keys, look)) in enumerate(DIRECTIONS.items()):
            simulator, first = self._unhindered(keys, 100 + index)
            unroll = self._unroll(first)
            keyboard = torch.tensor(keys, dtype=torch.float32).expand(self.trials, 4)
            mouse = torch.tensor(look) * self.limit * torch.ones(self.trials, 1)
            idle = torch.zeros_like(keyboard), torch.zeros_like(mouse)
            for _ in range(SETTLE_FRAMES):
                made = _advance(unroll, *idle)
            true = first
            moved_made, moved_true = torch.zeros(self.trials), torch.zeros(self.trials)
            for _ in range(STEADY_FRAMES):
                simulator.step(keyboard, mouse)
                next_true, next_made = simulator.render(), _advance(unroll, keyboard, mouse)
                moved_true += motion(name, true, next_true)
                moved_made += motion(name, made, next_made)
                true, made = next_true, next_made
            # Before a bare wall optical flow sees nothing, of the simulator neither: such a trial says nothing.
            clear = moved_true > 0.2 * moved_true.median()
            accuracy[name] = round(float((moved_made[clear] > 0.2 * moved_true.median()).float().mean()), 3)
            amount[name] = round(float(moved_made.sum() / moved_true.sum()), 3)
        return {"action_accuracy": accuracy, "action_amount": amount}

    def _unhindered(self, keys: tuple[int, int, int, int], offset: int) -> tuple[Simulator, Tensor]:
        """Starts from which the keys lead through free space for the whole trial, and their pictures."""
        world = self._world(offset)
        simulator = world.simulator
        keyboard = torch.tensor(keys, dtype=torch.float32).expand(self.trials, 4)
        ahead, side = simulator.camera.walk(keyboard)
        stuck = torch.ones(self.trials, dtype=torch.bool)
        while stuck.any():
            simulator.respawn(stuck)
            cos, sin = simulator.yaw.cos(), simulator.yaw.sin()
            stuck = torch.zeros_like(stuck)
            for n in range(1, STEADY_FRAMES + 1):
                x = simulator.x + n * (ahead * cos - side * sin)
                y = simulator.y + n * (ahead * sin + side * cos)
                stuck |= ~simulator.is_free(x, y)
        return simulator, simulator.render()

    @torch.no_grad()
    def stillness(self) -> dict[str, Any]:
        """Grey levels a second that the picture comes to differ by from the simulator's when nothing is pressed: what
        the light of the hour changes is no restlessness."""
        world = self._world(3)
        unroll = self._unroll(world.restart())
        keyboard, mouse = torch.zeros(self.trials, 4), torch.zeros(self.trials, 2)
        fps, seconds = round(self.networks.config.fps), 3
        differences = []
        for frame in range(1, seconds * fps + 1):
            world.simulator.step(keyboard, mouse)
            made = _advance(unroll, keyboard, mouse)
            if frame in (1, seconds * fps):
                differences.append(made - world.simulator.render())
        return {"idle_change": round(float((differences[1] - differences[0]).abs().mean()) * 127.5 / seconds, 3)}

    @torch.no_grad()
    def turn_and_return(self) -> dict[str, Any]:
        """PSNR of the picture after turning away and back within the attention window."""
        first = self._world(4).restart()
        unroll = self._unroll(first)
        keyboard, mouse = torch.zeros(self.trials, 4), torch.zeros(self.trials, 2)
        away = max(1, (self.networks.config.window - 1) // 2)
        for sign in (1.0, -1.0):
            mouse = torch.tensor((0.0, sign * self.limit)).expand(self.trials, 2)
            for _ in range(away):
                made = _advance(unroll, keyboard, mouse)
        return {"return_psnr": round(psnr(made, first), 2)}

    def drift(self, seconds: tuple[int, ...]) -> dict[str, Any]:
        """The look of long rollouts under random play beside that of the same players in the simulator.

        By then they stand where walls and corners have led them, and the simulator's pictures of such places are not as
        sharp and rich as those of places at random; so these are what is compared with, and not the first frames.
        Parties of a few rollouts are played in as many processes as there are `workers`, a thread each.
        """
        sizes = [min(_PARTY, self.rollouts - start) for start in range(0, self.rollouts, _PARTY)]
        parties = [_Party(self.networks, self.limit, self.seed, n, size, seconds) for n, size in enumerate(sizes)]
        seen: list[dict[int, Look]] = []
        with get_context("spawn").Pool(self.workers, torch.set_num_threads, (1,)) as pool:
            for look in pool.imap(_Party.play, parties):
                seen.append(look)
                self.say(f"drift, {sum(sizes[: len(seen)])} of {self.rollouts} rollouts done")
        known = mean_colour(self._world(6, 512).restart())
        return {str(second): drifted([look[second] for look in seen], known) for second in seconds}


@dataclass(frozen=True)
class Look:
    """What long rollouts look like at one moment, all (rollouts, ...).

    sharpness, contrast: (rollouts, 3), of the model's pictures, of the same players' in the simulator, and of what the
    simulator shows where the model takes them to be. colour: of the model's newest picture, (rollouts, 3). moving:
    whether the model's pictures move, or the same players' in the simulator do not either.
    """

    sharpness: Tensor
    contrast: Tensor
    colour: Tensor
    moving: Tensor


@dataclass(frozen=True)
class _Party:
    """Some of the long rollouts. number: of the party, which decides its players."""

    networks: EmbeddedNetworks
    limit: float
    seed: int
    number: int
    players: int
    seconds: tuple[int, ...]

    @torch.no_grad()
    def play(self) -> dict[int, Look]:
        """Second -> what the rollouts look like in the two seconds before it."""
        seed = UNSEEN + self.seed * 1000 + 500 + self.number
        camera = camera_of(self.networks)
        world, there = World(self.players, seed, camera, self.limit), Simulator(self.players, seed, camera)
        unroll = Unroll(self.networks, world.restart(), torch.Generator().manual_seed(seed), gradients=False)
        fps, done, looks = round(self.networks.config.fps), 0, {}
        for second in self.seconds:
            made, true, here = [], [], []
            while done < second * fps:
                keyboard, mouse = world.players.act()
                world.simulator.step(keyboard, mouse)
                picture = _advance(unroll, keyboard, mouse)
                done += 1
                if done > (second - 2) * fps and done % 4 == 0:
                    made.append(picture)
                    true.append(world.simulator.render())
                    here.append(_seen_from(there, unroll.pose))
            looks[second] = _look(*(torch.stack(pictures, 1) for pictures in (made, true, here)))
        return looks


def _moving(simulator: Simulator, true: Tensor) -> Tensor:
    """Where the simulator's pictures show something that moves, (B, H, W)."""
    if simulator.folk is None:
        return torch.zeros_like(true[:, 0], dtype=torch.bool)
    return (true - (simulator.empty().frames.clamp(0, 1) * 2 - 1)).abs().amax(1) > _LEAST_CHANGE


def shows_movers(unroll: Unroll) -> Tensor:
    """Where the model's memory shows something that moves, (B, H, W)."""
    if unroll.slots is None:
        return torch.zeros_like(unroll.frames[:, 0], dtype=torch.bool)
    nobody = torch.zeros_like(unroll.slots.there)
    return (unroll.remembered - unroll.remembered_with(nobody)).abs().amax(1) > _LEAST_CHANGE


class Played:
    """The model's rollouts as engine.training.alive.Rollouts.

    Args:
        networks: of the model. frames: (B, 3, H, W) in -1..1, all that it is given. seed: of its chance.
    """

    def __init__(self, networks: EmbeddedNetworks, frames: Tensor, seed: int) -> None:
        self._networks, self.camera = networks, camera_of(networks)
        generator = torch.Generator().manual_seed(seed)
        self._unroll = Unroll(networks, frames, generator, gradients=False, seed=seed % 2**31)

    def step(self, keyboard: Tensor, mouse: Tensor) -> None:
        self._unroll.step(keyboard, mouse)

    @property
    def frames(self) -> Tensor:
        return self._unroll.frames

    @property
    def shown(self) -> Tensor:
        return self._unroll.remembered

    @property
    def eyes(self) -> Eyes:
        pose = self._unroll.pose
        return pose.x, pose.y, pose.yaw, pose.pitch

    @property
    def edges(self) -> Tensor:
        return self._networks.spatial_memory.surfaces().edges

    @property
    def movers(self) -> Tensor:
        slots = self._unroll.slots
        if slots is None:
            return torch.zeros(len(self.frames), 1, 2)
        return torch.stack((slots.x, slots.y), -1)

    @property
    def there(self) -> Tensor:
        slots = self._unroll.slots
        return torch.zeros(len(self.frames), 1, dtype=torch.bool) if slots is None else slots.there

    @property
    def place(self) -> Tensor:
        return self._peopled(torch.zeros_like(self.there))

    def without(self, which: Tensor) -> Tensor:
        return self._peopled(~F.one_hot(which, self.there.shape[1]).bool())

    def _peopled(self, only: Tensor) -> Tensor:
        """What the memory sees, with some of the movers (B, K)."""
        return self._unroll.remembered_with(only)


def _seen_from(simulator: Simulator, pose: Pose) -> Tensor:
    simulator.x, simulator.y, simulator.yaw, simulator.pitch = pose.x, pose.y, pose.yaw, pose.pitch
    simulator.hour = pose.hour
    return simulator.render()


def _look(made: Tensor, true: Tensor, here: Tensor) -> Look:
    """Of pictures (rollouts, pictures, 3, H, W)."""

    def means(measure: Callable[[Tensor], Tensor]) -> Tensor:
        rows = [measure(pictures.flatten(0, 1)).view(len(pictures), -1).mean(1) for pictures in (made, true, here)]
        return torch.stack(rows, 1)

    return Look(means(sharpness), means(contrast), mean_colour(made[:, -1]), _moves(made) | ~_moves(true))


def drifted(looks: list[Look], known: Tensor) -> dict[str, Any]:
    """A row of evaluate.json's drift. known: mean colours (N, 3) of pictures of the world."""
    ratios, alive = {}, torch.cat([look.moving for look in looks])
    for name in ("sharpness", "contrast"):
        made, true, here = torch.cat([getattr(look, name) for look in looks]).unbind(1)
        ratios[name] = round(float(made.mean() / true.mean()), 3)
        # Flat is no collapse where the world is flat: close to a bare wall.
        alive &= (made > _FLAT * true.mean()) | (made > _AS_FLAT * here)
    colour = torch.cdist(torch.cat([look.colour for look in looks]), known).min(dim=1).values
    return ratios | {"colour_distance": round(float(colour.mean()), 2), "alive": f"{int(alive.sum())}/{len(alive)}"}


def _moves(pictures: Tensor) -> Tensor:
    """Whether each rollout's pictures (rollouts, pictures, 3, H, W) change, by a twentieth of a grey level."""
    return pictures.diff(dim=1).abs().mean((1, 2, 3, 4)) * 127.5 > 0.05


def _advance(unroll: Unroll, keyboard: Tensor, mouse: Tensor) -> Tensor:
    unroll.step(keyboard, mouse)
    return unroll.frames


def _crisp(seen: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """Of sharpnesses (B,) of the model's pictures and of the simulator's, grey levels a pixel."""
    made, true = (torch.cat(part) for part in zip(*seen, strict=True))
    share = made / true

    def told(values: Tensor) -> list[float]:
        return [round(float(values.median()), 2), round(float(values.quantile(0.1)), 2)]

    names = ("median", "worst_tenth")
    return {
        "sharpness": dict(zip(names, told(made), strict=True)),
        "simulator": dict(zip(names, told(true), strict=True)),
        "relative": dict(zip(names, told(share), strict=True)),
    }


def _ratio(made: Tensor, true: Tensor) -> float:
    return round(float(made.mean() / true.mean()), 3)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="their folder (default: the shipped ones)")
    parser.add_argument("--model", type=Path, default=MODEL, help="the model's YAML")
    parser.add_argument("--seed", type=int, default=0, help="of starts and scripts")
    parser.add_argument("--trials", type=int, default=64, help="rollouts of a measure")
    parser.add_argument("--rollouts", type=int, default=50, help="long rollouts, to measure drift")
    parser.add_argument("--long", action="store_true", help="a whole day, and drift after 600 s as well")
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--out", type=Path, default=Path("evaluate.json"))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="and processes, to measure drift")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        model = read_model(options.model)
        world = load_world(model, options.weights, device="cpu", dtype=torch.float32)
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2

    def say(text: str) -> None:
        sys.stderr.write(f"measuring {text} ...\n")

    limit, networks = model.mouse_limit, cast(EmbeddedNetworks, world.networks)
    evaluator = Evaluator(networks, limit, options.seed, options.trials, options.rollouts, options.threads, say)
    only = options.only or (MEASURES if options.long else _QUICK)
    measured = evaluator.run((10, 60, 600) if options.long else (10, 60), only)
    result = {"weights_sha256": world.weights_sha256} | measured
    text = json.dumps(result, indent=2)
    options.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
