"""Measures play from elsewhere: `python -m tests.game.remote.measure [--seconds N] [--out FILE]`.

A stand-in model (its frames are there before they are asked for) is served by a process of its own and played over a
line that is made worse: what is measured is all that this program adds. Loss and delay are imitated on loopback
(tests/game/remote/house.py: Line) unless --netem asks for network namespaces, where the machine allows them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from engine.block import Block, Timings
from game.input.controls import Controls
from game.live.player import Habits, LocalPlayer
from game.live.status import State
from game.models.switcher import OneModel
from game.remote.client import RemotePlayer
from tests.game.fakes import FakeRollout, FakeScene, FakeWorld, landscape
from tests.game.remote.house import KEY, Line, ServerThread


class StandIn(FakeWorld):
    """A world whose pictures cost nothing: a few of them, over and over. step_ms: what a block takes, asleep."""

    def start(self, first_frame: np.ndarray, seed: int) -> FakeRollout:
        """As FakeWorld.start."""
        rollout = _Rollout(self, self.pictures[0], seed)
        self.rollouts.append(rollout)
        return rollout

    @property
    def pictures(self) -> np.ndarray:
        """(16, H, W, 3), with as much detail as a model's."""
        if not hasattr(self, "_pictures"):
            grain = np.random.default_rng(0).normal(0, 3, (self.height, self.width, 3))
            made = [landscape(self.height, self.width, i / 40, 0.0) + grain for i in range(16)]
            self._pictures = np.clip(np.stack(made), 0, 255).astype(np.uint8)
        return self._pictures


class _Rollout(FakeRollout):
    def step(self, actions, early=None) -> Block:
        """As FakeRollout.step."""
        world = self.world
        world.sleep(world.step_seconds)
        at = [(self.frames_done + i) % 16 for i in range(len(actions))]
        block = Block(self.blocks_done, self.frames_done, world.pictures[at], actions,
                      Timings(world.step_seconds * 1000, 0.0, 0.0, world.step_seconds * 1000))  # fmt: skip
        self.frames_done += len(actions)
        self.blocks_done += 1
        return block


def stand_in(size: str, step: float, fps: float = 20.0, later: int = 1) -> StandIn:
    """size: "WxH"."""
    width, height = map(int, size.split("x"))
    return StandIn(fps=fps, width=width, height=height, step_seconds=step, later=later, state_bytes=1000)


class Child:
    """The server in a process of its own."""

    def __init__(self, size: str, step: float) -> None:
        command = [sys.executable, "-m", "tests.game.remote.measure", "--serve", size, str(step)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline())  # type: ignore[union-attr]
        self.process = psutil.Process(self._process.pid)

    def cpu(self) -> float:
        """Seconds of CPU time so far."""
        times = self.process.cpu_times()
        return times.user + times.system

    def added_cpu(self) -> float:
        """Seconds of CPU time of all threads but the engine's: what serving adds."""
        self._process.stdin.write("threads\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return float(self._process.stdout.readline())  # type: ignore[union-attr]

    def stop(self) -> None:
        """Ends it."""
        self._process.communicate("\n", timeout=60)


def play(player: RemotePlayer | LocalPlayer, seconds: float) -> list[int]:
    """Plays as a window does, tapping a key now and then; returns the numbers of the frames shown."""
    shown, last, tap = [], None, 0.0
    end = time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        picture = player.look(now)
        if picture is not None and picture is not last and picture.number is not None:
            player.shown(picture, time.perf_counter())
            shown.append(picture.number)
        last = picture
        if now >= tap:
            player.controls.press("w", now) if int(now * 4) % 2 else player.controls.release("w", now)
            tap = now + 0.23
        due = player.next_change(now)
        time.sleep(max(0.0002, min(0.002, 0.002 if due is None else due - now)))
    return shown


def remote(child: Child, seconds: float, warm: float = 4.0, **line) -> dict:
    """Figures of playing over a line, after some seconds of getting used to it."""
    relay = Line(child.port, **line) if line else None
    player = RemotePlayer(relay.url if relay else f"http://127.0.0.1:{child.port}", KEY, Controls())
    player.connect()
    player.start()
    while player.status.state is not State.PLAYING:
        time.sleep(0.01)
    play(player, warm)
    late, cpu, added = player.figures(time.perf_counter()).pace.late_frames, child.cpu(), child.added_cpu()
    shown = play(player, seconds)
    cpu, added = child.cpu() - cpu, child.added_cpu() - added
    figures = player.figures(time.perf_counter())
    player.shutdown()
    lost = relay.lost if relay else 0
    if relay is not None:
        relay.stop()
    steps = np.diff(shown) if len(shown) > 1 else np.array([1])
    return {
        "frames": len(shown), "skipped": int((steps != 1).sum()), "late": figures.pace.late_frames - late,
        "latency_ms": figures.pace.latency_ms, "round_trip_ms": figures.line.round_trip_ms if figures.line else None,
        "network_ms": figures.line.network_ms if figures.line else None,
        "ahead_ms": round(figures.line.ahead_ms, 1) if figures.line else None, "speed": round(figures.pace.speed, 3),
        "quality": figures.line.quality if figures.line else None, "lost_pieces": lost,
        "server_cpu_ms_a_frame": round(1000 * cpu / max(1, len(shown)), 2),
        "added_cpu_ms_a_frame": round(1000 * added / max(1, len(shown)), 2),
    }  # fmt: skip


def local(size: str, step: float, seconds: float) -> dict:
    """The same stand-in in this process, as `python -m game` plays it."""
    player = LocalPlayer(OneModel(lambda progress: stand_in(size, step)), [FakeScene()], Controls())
    player.start()
    while player.status.state is not State.PLAYING:
        time.sleep(0.01)
    play(player, 2.0)
    shown = play(player, seconds)
    pace = player.figures(time.perf_counter()).pace
    player.shutdown()
    return {"frames": len(shown), "late": pace.late_frames, "latency_ms": pace.latency_ms}


def reconnects(child: Child, count: int) -> dict:
    """Memory of the server over so many breaks of the line."""
    relay = Line(child.port)
    player = RemotePlayer(relay.url, KEY, Controls())
    player.connect()
    player.start()
    memory = []
    for number in range(count):
        play(player, 0.25)
        relay.cut()
        while not player.status.beside:
            play(player, 0.01)
        while player.status.beside:
            play(player, 0.01)
        if number % 10 == 9:
            memory.append(child.process.memory_info().rss / 2**20)
    player.shutdown()
    relay.stop()
    return {"reconnects": count, "rss_mb": [round(mb, 1) for mb in memory]}


def lengthy(child: Child, seconds: float) -> dict:
    """Memory of server and client over a long session."""
    player = RemotePlayer(f"http://127.0.0.1:{child.port}", KEY, Controls())
    player.connect()
    player.start()
    mine, server, me = [], [], psutil.Process()
    for _ in range(max(2, int(seconds / 15))):
        play(player, 15.0)
        mine.append(round(me.memory_info().rss / 2**20, 1))
        server.append(round(child.process.memory_info().rss / 2**20, 1))
    player.shutdown()
    return {"seconds": seconds, "server_mb": server, "client_mb": mine}


def _threads_cpu() -> float:
    """CPU seconds of this process, without its engine threads."""
    ours = {thread.native_id for thread in threading.enumerate() if thread.name == "engine"}
    return sum(one.user_time + one.system_time for one in psutil.Process().threads() if one.id not in ours)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", nargs=2)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", default="")
    flags = parser.parse_args()
    if flags.serve:
        # A small past, which is full before memory is looked at.
        world, habits = stand_in(flags.serve[0], float(flags.serve[1])), Habits(rewind_mb=8)
        with ServerThread(Path(tempfile.mkdtemp()), world, habits=habits) as server:
            print(server.port, flush=True)
            while sys.stdin.readline().strip() == "threads":
                print(_threads_cpu(), flush=True)
        return
    results: dict[str, dict] = {}
    wanted = flags.only.split(",") if flags.only else []

    def measure(name: str, size: str, step: float, work) -> None:
        if wanted and name not in wanted:
            return
        child = Child(size, step)
        try:
            results[name] = work(child)
        finally:
            child.stop()
        print(name, json.dumps(results[name]), flush=True)

    small, large, seconds = "192x112", "640x352", flags.seconds
    if not wanted or "local" in wanted:
        results["local"] = local(small, 0.02, seconds)
        print("local", json.dumps(results["local"]), flush=True)
    measure("loopback", small, 0.02, lambda child: remote(child, seconds))
    for ms in (20, 80, 200):
        way = ms / 2000
        measure(f"{ms} ms", small, 0.02, lambda child, way=way: remote(child, seconds, delay=way))
    measure("loss", small, 0.02, lambda child: remote(child, seconds, delay=0.01, loss=0.01))
    measure("2 Mbit/s", large, 0.02, lambda child: remote(child, seconds, delay=0.01, rate=250_000))
    measure("640x352", large, 0.02, lambda child: remote(child, seconds))
    measure("reconnects", small, 0.0, lambda child: reconnects(child, 200))
    measure("memory", small, 0.02, lambda child: lengthy(child, 3 * seconds))
    if flags.out:
        Path(flags.out).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
