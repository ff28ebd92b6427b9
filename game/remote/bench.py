"""`--bench --players N`: how many worlds of one model this machine carries in real time, pictures encoded and all."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.actions import Actions, benchmark_actions
from game.config.settings import load_settings
from game.console import Progress, say, tell
from game.files import check_folder, folder_error, write_json
from game.models.loader import find_weights, open_world
from game.recording.format import percentiles
from game.remote import wire
from game.remote.pictures import encode
from game.remote.serve import share_cores
from game.remote.turns import SharedWorld, Turns
from game.world.scenes import shipped_scenes

if TYPE_CHECKING:
    from engine.world import WorldModel

_SECONDS = 6.0  # of each number of players
_LATE = 0.01  # share of blocks that may be late where a number of players is carried
_WARM = 8  # blocks that are not counted


@dataclass(frozen=True)
class Carried:
    """What so many players got. fps: frames a second of the slowest of them. late: share of blocks after their due
    moment. spare_ms: how long before it blocks were ready, negative where they were late."""

    players: int
    fps: float
    late: float
    spare_ms: dict[str, float]

    def real_time(self, fps: float) -> bool:
        """Whether all of them played at the model's rate."""
        return self.late <= _LATE and self.fps >= 0.98 * fps


def bench_players(words: list[str], players: int, blocks: int | None, out: Path | None) -> int:
    """Plays with 1 to `players` at once, prints a table and writes bench.json. Raises InputError, RunError.

    blocks: of each player, by default six seconds' worth.
    """
    settings = load_settings(words)
    find_weights(settings)
    folder = out or Path(".")
    check_folder(folder)
    progress = Progress()
    words, slots = share_cores(words, settings, players)
    world = open_world(load_settings(words), progress, say)
    fps, found = world.config.fps, []
    for count in range(1, players + 1):
        progress(f"{count} at once", (count - 1) / players)
        found.append(carry(world, count, slots, blocks))
    progress.clear()
    most = max((one.players for one in found if one.real_time(fps)), default=0)
    tell(f"{'players':>8} {'frames/s each':>14} {'late':>7} {'ready before due':>18}")
    for one in found:
        spare = f"{one.spare_ms['p50']:.0f} ms ({one.spare_ms['p95']:.0f})"
        tell(f"{one.players:>8} {one.fps:>14.1f} {one.late:>7.1%} {spare:>18}")
    tell(f"{world.config.name} carries {most} of {players} in real time here ({fps:g} frames/s each)")
    data = {
        "model": world.config.name, "device": str(world.device), "fps": fps, "at_once": slots, "carried": most,
        "players": [{"players": one.players, "fps": round(one.fps, 3), "late": round(one.late, 4),
                     "spare_ms": one.spare_ms} for one in found],
    }  # fmt: skip
    path = folder / "bench.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, data)
    except OSError as error:
        raise folder_error(path.parent, error) from error
    tell(path)
    return 0


def carry(world: WorldModel, players: int, slots: int, blocks: int | None = None) -> Carried:
    """Has so many play at once, each asking for a block when the one before begins to be shown."""
    turns, picture = Turns(slots), shipped_scenes()[0].picture()
    fps = world.config.fps
    spares: list[list[float]] = [[] for _ in range(players)]
    rates = [0.0] * players
    problems: list[BaseException] = []
    ready, stop = threading.Barrier(players), threading.Event()

    def play(number: int) -> None:
        deadline, frames = [0.0], [1]
        try:
            mine = SharedWorld(world, turns, lambda: deadline[0], lambda count: frames.__setitem__(0, count))
            rollout = mine.start(picture, number)
            told = benchmark_actions(world.action_space, number, 4096)
            done, made = 0, 0
            ready.wait()
            due = time.perf_counter() + number / players / fps  # they do not all ask at the same moment
            counted = max(2, blocks if blocks is not None else round(_SECONDS * fps / max(1, rollout.next_frames)))
            began = 0.0
            for index in range(_WARM + counted):
                if index == _WARM:
                    began = time.perf_counter()
                if stop.is_set() or (index > _WARM + 1 and time.perf_counter() - began > 2.0 * _SECONDS):
                    break  # it is far from real time: that much is known
                period = frames[0] / fps
                time.sleep(max(0.0, due - time.perf_counter()))
                due = max(due, time.perf_counter() - period) + period
                deadline[0] = due
                block = rollout.step(_some(told, done, rollout.next_frames))
                for pixels in block.frames:
                    encode(pixels, wire.Pictures(), 90)
                if index >= _WARM:
                    spares[number].append(1000.0 * (due - time.perf_counter()))
                    made += len(block.frames)
                done += len(block.frames)
                rollout.settle()
            time.sleep(max(0.0, due - time.perf_counter()))
            rates[number] = made / (time.perf_counter() - began)
        except BaseException as error:  # told by the caller's thread
            problems.append(error)
            ready.abort()

    threads = [threading.Thread(target=play, args=(number,), name=f"player {number}") for number in range(players)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:  # Ctrl-C: every block in flight ends
        stop.set()
        for thread in threads:
            thread.join()
    if problems:
        raise problems[0]
    flat = [spare for one in spares for spare in one]
    spread = percentiles(sorted(flat, reverse=True))
    low = float(np.percentile(flat, 5))
    late = sum(spare < 0 for spare in flat) / len(flat)
    return Carried(players, min(rates), late, {"p50": spread["p50"], "p95": round(low, 3)})


def _some(told: Actions, done: int, count: int) -> Actions:
    """The next actions of a mix that begins again when it ends."""
    at = done % max(1, len(told.keys) - count)
    return told[at : at + count]
