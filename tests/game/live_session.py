"""How does the live game feel here? Plays the real thing in a real X window, by xdotool, and prints the figures.

    python -m tests.game.live_session --seconds 600 --replay

A person is played who walks and looks, and now and then pauses, opens the menu, rewinds, saves and returns, changes
worlds, anchors, records, takes pictures and resizes the window (--plain: only walks and looks). --replay renders every
recording again afterwards and says whether its frames are the same. Not a test: what it prints is of this machine and
of what else runs on it. Moments are read where the window has been flipped, so "first picture" is the world's first
frame on the screen, "first generated" the first one of the network. "machine stalls" are moments when nothing could run
here: they are counted by a thread of this tool that only sleeps.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

from game.recording.format import percentiles
from tests.game.display import MISSING, ROOT, virtual_display

# `python -m game` with a watch on what the window shows and says of itself: (kind, number, moment) of every new
# picture, and four times a second the figures; written at the end.
_WATCHED = """
import atexit, json, runpy, sys, time
from game.ui.app import App

shown, told, path, draw = [], [], sys.argv.pop(1), App._draw

def watched(app, now):
    before = app.drawn
    draw(app, now)
    scenery, moment = app.drawn, time.monotonic()
    picture = scenery.picture
    if before is None or picture is not before.picture:
        status = app.player.status
        still = picture is None or picture.backdrop
        backwards = status.rewinding
        kind = "loading" if still else "back" if backwards else "world" if picture.number is None else "generated"
        shown.append((kind, None if still else picture.number, moment))
    if not told or moment - told[-1]["at"] > 0.25:
        figures = app.player.figures(now)
        told.append({
            "at": moment, "late": figures.pace.late_frames, "undrawn": figures.pace.undrawn_frames,
            "rss": figures.rss_mb, "rewind": figures.rewind.mb, "depth": figures.rewind.depth_s,
            "latency": figures.pace.latency_ms, "block": figures.pace.block_ms, "speed": figures.pace.speed,
            "fps": figures.pace.fps, "paused": app.player.paused,
        })

App._draw = watched
atexit.register(lambda: json.dump({"shown": shown, "told": told}, open(path, "w")))
runpy.run_module("game", run_name="__main__")
"""


class Plan:
    """A person's doings as lines for xdotool. chance: of everything; counts: what was done, and how often."""

    def __init__(self, seed: int) -> None:
        self.lines: list[str] = []
        self.seconds = 0.0
        self.counts: dict[str, int] = {}
        self._chance = random.Random(seed)

    def walk(self, seconds: float) -> None:
        """Holds, taps, arrow keys, sweeps of the mouse, and rests, for so long."""
        end = self.seconds + seconds
        while self.seconds < end:
            what = self._chance.choice(["hold", "hold", "chord", "tap", "tap", "look", "sweep", "sweep"])
            if what == "hold":
                self._press([self._chance.choice("wasd")], 0.2, 1.5)
            elif what == "chord":
                self._press(["w", self._chance.choice("ad")], 0.2, 1.0)
            elif what == "tap":
                self._press([self._chance.choice("wasd")], 0.005, 0.04)
            elif what == "look":
                self._press([self._chance.choice(["Left", "Right", "Up", "Down"])], 0.1, 0.8)
            else:
                self._sweep()
            self._wait(0.05, 0.6)

    def do(self, what: str) -> None:
        """One of the things a person does with a world, see DEEDS."""
        self.counts[what] = self.counts.get(what, 0) + 1
        DEEDS[what](self)
        self._wait(0.3, 0.8)

    def key(self, name: str) -> None:
        """Taps a key."""
        self.lines.append(f"key {name}")
        self._wait(0.08, 0.15)

    def hold(self, name: str, low: float, high: float) -> None:
        """Holds a key."""
        self._press([name], low, high)

    def _wait(self, low: float, high: float) -> None:
        pause = self._chance.uniform(low, high)
        self.seconds += pause
        self.lines.append(f"sleep {pause:.3f}")

    def _press(self, keys: list[str], low: float, high: float) -> None:
        self.lines.extend(f"keydown {key}" for key in keys)
        self._wait(low, high)
        self.lines.extend(f"keyup {key}" for key in keys)

    def _sweep(self) -> None:
        dx, dy = self._chance.uniform(-14, 14), self._chance.uniform(-4, 4)
        for _ in range(self._chance.randint(10, 60)):
            self.lines.append(f"mousemove_relative -- {round(dx + self._chance.uniform(-2, 2))} {round(dy)}")
            self._wait(0.007, 0.009)


def _twice(name: str, low: float, high: float):
    def do(plan: Plan) -> None:
        plan.key(name)
        plan._wait(low, high)
        plan.key(name)

    return do


def _restart_recording(plan: Plan) -> None:
    """Ends the recording there is and begins another in the middle of the world."""
    plan.key("F6")
    plan.walk(1.0)
    plan.key("F6")


def _save_and_return(plan: Plan) -> None:
    plan.key("F5")
    plan.walk(2.0)
    plan.key("F9")


def _resize(plan: Plan) -> None:
    """Makes the window another size while blocks are in flight, and gives it its size back."""
    for width, height in ((640, 400), (1200, 500), (1152, 672)):
        plan.lines.append(f"search --class neural-world windowsize {width} {height}")
        plan._wait(0.4, 0.9)


DEEDS = {
    "pause": _twice("p", 0.5, 1.5),
    "menu": lambda plan: [plan.key(name) for name in ("Escape", "Down", "Down", "Up", "Escape")],
    "rewind": lambda plan: plan.hold("BackSpace", 0.3, 1.5),
    "save and return": _save_and_return,
    "next scene": lambda plan: plan.key("n"),
    "world before": lambda plan: plan.key("Tab"),
    "anchor": lambda plan: plan.key("g"),
    "new recording": _restart_recording,
    "screenshot": lambda plan: plan.key("F12"),
    "numbers": _twice("F3", 0.5, 1.0),
    "restart": lambda plan: plan.key("r"),
    "resize": _resize,
}


def plan(seconds: float, seed: int, plain: bool) -> Plan:
    """What a person does in so many seconds: walks, and between walks every deed in turn, in a new order each round."""
    made, chance, waiting = Plan(seed), random.Random(seed), []
    while made.seconds < seconds:
        made.walk(3.0)
        if not plain:
            waiting = waiting or chance.sample(list(DEEDS), len(DEEDS))
            made.do(waiting.pop())
    return made


class Stalls:
    """Counts the moments when this machine let nobody run: a thread that only sleeps wakes up late."""

    def __init__(self, late: float = 0.01) -> None:
        self.moments: list[tuple[float, float]] = []
        self._late, self._over = late, False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over = True
        self._thread.join()

    def _run(self) -> None:
        before = time.monotonic()
        while not self._over:
            time.sleep(0.002)
            now = time.monotonic()
            if now - before - 0.002 > self._late:
                self.moments.append((before, now))
            before = now


def play(seconds: float, doings: Plan, out: Path, words: list[str]) -> dict:
    """One session. Returns what the watch saw, with when the command was given and memory in MB over time."""
    watch, memory = out / "watch.json", []
    stalls = Stalls()
    with virtual_display("1280x800") as environment:
        environment = environment | {"NEURAL_WORLD_CONFIG": str(out / "config")}
        began = time.monotonic()
        command = [sys.executable, "-c", _WATCHED, str(watch), "--record", "--seconds", str(seconds)]
        game = subprocess.Popen([*command, f"record.root={out / 'recordings'}", *words], cwd=ROOT, env=environment)

        def xdotool(*arguments: str) -> str:
            return subprocess.run(["xdotool", *arguments], env=environment, stdout=subprocess.PIPE, text=True).stdout

        while game.poll() is None and not any(
            log.read_text().count("\n") > 1 for log in (out / "recordings").glob("*/actions.jsonl")
        ):
            time.sleep(0.1)
        if game.poll() is not None:
            raise SystemExit(f"the game ended with {game.returncode} before it played")
        window = xdotool("search", "--class", "neural-world").split()[0]
        xdotool("windowfocus", "--sync", window, "mousemove", "--window", window, "300", "200", "click", "1")
        script = out / "plan.txt"
        script.write_text("\n".join(doings.lines))
        person = subprocess.Popen(["xdotool", str(script)], env=environment, stderr=subprocess.DEVNULL)
        while game.poll() is None:
            memory.append(resident_mb(game.pid))
            time.sleep(2.0)
        person.terminate()
        person.wait()
    stalls.stop()
    if game.returncode:
        raise SystemExit(f"the game ended with {game.returncode}")
    return json.loads(watch.read_text()) | {"began": began, "memory": memory, "stalls": stalls.moments}


def resident_mb(pid: int) -> int:
    """Memory of a process; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def figures(seen: dict) -> list[tuple[str, str]]:
    """What is worth reading of a session, as (name, value)."""
    shown, told, began = seen["shown"], seen["told"], seen["began"]

    def first(*kinds: str) -> str:
        return f"{next((moment for kind, _, moment in shown if kind in kinds), began) - began:.2f} s"

    fps = told[-1]["fps"]
    made = [(number, moment) for kind, number, moment in shown if kind == "generated"]
    steps = [(a[1], b[1]) for a, b in pairwise(made) if b[0] == a[0] + 1]
    steps = [step for step in steps if not _paused(told, *step)]
    off = [1000.0 * abs(b - a - 1.0 / fps) for a, b in steps]
    stalled = [off for off, step in zip(off, steps, strict=True) if _overlaps(seen["stalls"], *step)]
    calm = [off for off, step in zip(off, steps, strict=True) if not _overlaps(seen["stalls"], *step)]
    alive = [mb for mb in seen["memory"] if mb]
    later = alive[len(alive) // 4 :]
    latency = [row["latency"] for row in told if row["latency"]]
    most = {name: max(row[name] for row in told) for name in ("rewind", "depth")}
    backwards = sum(kind == "back" for kind, *_ in shown)
    return [
        ("time to the loading bar", first("loading", "world")),
        ("time to first picture", first("world")),
        ("time to first generated", first("generated")),
        ("frames shown", f"{len(made)}, and {backwards} backwards; {fps:g} a second wanted"),
        ("latency p50 / p95", _spread(latency)),
        ("block p50 / p95", _spread([row["block"] for row in told])),
        ("frame interval off by", "p50 {p50:.2f}, p95 {p95:.2f} ms".format(**percentiles(off)) + f" of {len(off)}"),
        ("  where nothing stalled", "p50 {p50:.2f}, p95 {p95:.2f} ms".format(**percentiles(calm)) + f" of {len(calm)}"),
        ("machine stalls (10 ms)", f"{len(seen['stalls'])}, {len(stalled)} frames met one"),
        ("late frames", f"{_grown(told, 'late')}, of these {_grown(told, 'undrawn')} only drawn late"),
        ("slowest play clock", f"{min(row['speed'] for row in told):.0%}"),
        ("memory", f"{alive[0]} MB at first, {max(alive)} MB at most; "
                   f"after a quarter {later[0]} MB, at the end {later[-1]} MB"),
        ("to go back to", f"{most['rewind']:.0f} MB for {most['depth']:.0f} s at most"),
    ]  # fmt: skip


def _spread(rows: list[dict]) -> str:
    """Of percentiles told now and then: their medians."""
    if not rows:
        return "-"
    return " / ".join(f"{sorted(row[name] for row in rows)[len(rows) // 2]:.1f}" for name in ("p50", "p95")) + " ms"


def _grown(told: list[dict], name: str) -> int:
    """How much a counter grew that begins anew with every world and recording."""
    values = [row[name] for row in told]
    return values[0] + sum(b - a if b >= a else b for a, b in pairwise(values))


def _paused(told: list[dict], start: float, end: float) -> bool:
    return any(row["paused"] for row in told if start - 0.3 < row["at"] < end + 0.3)


def _overlaps(moments: list, start: float, end: float) -> bool:
    return any(a < end and b > start for a, b in moments)


def replays(root: Path, words: list[str]) -> list[tuple[str, str]]:
    """Every recording rendered again: its length, and whether its frames are the same."""
    rows = []
    for folder in sorted(root.glob("*/actions.jsonl")):
        command = [sys.executable, "-m", "game", "--headless", "--script", str(folder.parent), *words]
        done = subprocess.run(
            [*command, "--out", str(root.parent / "again")], cwd=ROOT, capture_output=True, text=True, check=False
        )
        said = (done.stderr or done.stdout).strip().splitlines()[-1]
        lines = folder.read_text().splitlines()
        events = sum(len(json.loads(line).get("events", ())) for line in lines[1:])
        rows.append((folder.parent.name, f"{len(lines) - 1} frames, {events} events: {said}"))
    return rows


def main() -> None:
    """Reads the flags, plays, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="of what the person does")
    parser.add_argument("--plain", action="store_true", help="only walks and looks")
    parser.add_argument("--replay", action="store_true", help="render every recording again and compare")
    parser.add_argument("--keep", type=Path, help="folder to keep the recordings and what was seen in")
    parser.add_argument("words", nargs="*", help="settings for the game, such as threads=2")
    flags = parser.parse_args()
    if MISSING:
        raise SystemExit(f"{' and '.join(MISSING)} not installed")
    load = os.getloadavg()[0]
    doings = plan(flags.seconds, flags.seed, flags.plain)
    with tempfile.TemporaryDirectory() as temporary:
        out = flags.keep or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        rows = figures(play(flags.seconds, doings, out, flags.words))
        rows += replays(out / "recordings", flags.words) if flags.replay else []
    done = ", ".join(f"{count} {what}" for what, count in sorted(doings.counts.items()))
    for name, value in [*rows, ("done", done or "walked"), ("load before", f"{load:.1f} on {os.cpu_count()} cores")]:
        print(f"{name:26}{value}")


if __name__ == "__main__":
    main()
