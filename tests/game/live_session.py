"""How does the live game feel here? Plays the real thing in a real X window, by xdotool, and prints the figures.

    python -m tests.game.live_session --seconds 60 [--everything]

Not a test: what it prints is of this machine and of what else runs on it. Moments are read where the window has been
flipped, so "first picture" is the world's first frame on the screen, "first generated" the first one of the network.
With --everything the person also opens menus, rewinds, saves and returns, changes worlds, and resizes the window.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from game.session import percentiles
from tests.game.display import MISSING, ROOT, virtual_display

# `python -m game` with a watch on what the window shows: (kind, moment) of every drawing, written at the end.
_WATCHED = """
import atexit, json, runpy, sys, time
from game.app import App

shown, path, draw = [], sys.argv.pop(1), App._draw

def watched(app, now):
    before = app._drawn
    draw(app, now)
    picture = app._drawn.picture
    if before is None or picture is not before.picture:
        still = picture is None or picture.backdrop
        shown.append(("loading" if still else "world" if picture.number is None else "generated", time.monotonic()))

App._draw = watched
atexit.register(lambda: json.dump(shown, open(path, "w")))
runpy.run_module("game", run_name="__main__")
"""


# What --everything adds: keys one after another, each with the seconds it is held and the seconds waited then.
_MORE = {
    "menu": [("Escape", 0.02, 0.8), *[("Down", 0.02, 0.3)] * 6, ("Escape", 0.02, 0.5)],
    "controls": [("Escape", 0.02, 0.3), *[("Down", 0.02, 0.2)] * 4, ("Right", 0.02, 0.3), *[("Down", 0.02, 0.2)] * 8,
                 ("Escape", 0.02, 0.5)],
    "rewind": [("BackSpace", 1.0, 0.5)],
    "save": [("F5", 0.02, 2.0), ("F9", 0.02, 0.5)],
    "pause": [("p", 0.02, 1.0), ("p", 0.02, 0.2)],
    "anchor": [("g", 0.02, 0.5)],
    "scene": [("n", 0.02, 2.0), ("Tab", 0.02, 1.0)],
    "restart": [("r", 0.02, 0.5)],
    "record": [("F6", 0.02, 1.5), ("F6", 0.02, 0.5)],
    "screenshot": [("F12", 0.02, 0.3)],
    "numbers": [("F3", 0.02, 0.3)],
}  # fmt: skip
_SIZES = ((1152, 640), (640, 400), (1200, 500))


def plan(seconds: float, seed: int, everything: bool = False) -> list[str]:
    """A person's doings as lines for xdotool: holds, taps, arrow keys, sweeps of the mouse, and rests."""
    chance, lines, passed = random.Random(seed), [], 0.0

    def wait(low: float, high: float) -> None:
        nonlocal passed
        pause = chance.uniform(low, high)
        passed += pause
        lines.append(f"sleep {pause:.3f}")

    def press(keys: list[str], low: float, high: float) -> None:
        lines.extend(f"keydown {key}" for key in keys)
        wait(low, high)
        lines.extend(f"keyup {key}" for key in keys)

    def sweep() -> None:
        dx, dy = chance.uniform(-14, 14), chance.uniform(-4, 4)
        for _ in range(chance.randint(10, 60)):
            lines.append(f"mousemove_relative -- {round(dx + chance.uniform(-2, 2))} {round(dy)}")
            wait(0.007, 0.009)

    while passed < seconds:
        what = chance.choice(["hold", "hold", "chord", "tap", "tap", "look", "sweep", "sweep"])
        if everything and chance.random() < 0.3:
            for key, held, then in _MORE[chance.choice(list(_MORE))]:
                press([key], held, held)
                wait(then, then)
        elif everything and chance.random() < 0.05:
            lines.append("windowsize --sync %1 {} {}".format(*chance.choice(_SIZES)))
        elif what == "hold":
            press([chance.choice("wasd")], 0.2, 1.5)
        elif what == "chord":
            press(["w", chance.choice("ad")], 0.2, 1.0)
        elif what == "tap":
            press([chance.choice("wasd")], 0.005, 0.04)
        elif what == "look":
            press([chance.choice(["Left", "Right", "Up", "Down"])], 0.1, 0.8)
        else:
            sweep()
        wait(0.05, 0.6)
    return lines


def play(
    seconds: float, seed: int, out: Path, words: list[str], everything: bool = False
) -> tuple[list[dict], list, float, list[int]]:
    """One session. Returns its recordings' reports, what was shown when, when the command was given, and memory in MB
    over time.
    """
    watch, memory = out / "shown.json", []
    with virtual_display("1280x800") as environment:
        environment["NEURAL_WORLD_CONFIG"] = str(out / "settings")
        began = time.monotonic()
        command = [sys.executable, "-c", _WATCHED, str(watch), "--record", "--out", str(out / "session")]
        game = subprocess.Popen([*command, "--seconds", str(seconds), *words], cwd=ROOT, env=environment)

        def xdotool(*arguments: str) -> str:
            return subprocess.run(["xdotool", *arguments], env=environment, stdout=subprocess.PIPE, text=True).stdout

        log = out / "session" / "actions.jsonl"
        while game.poll() is None and not (log.exists() and log.read_text().count("\n") > 1):
            time.sleep(0.1)
        if game.poll() is not None:
            raise SystemExit(f"the game ended with {game.returncode} before it played")
        window = xdotool("search", "--class", "neural-world").split()[0]
        xdotool("windowfocus", "--sync", window, "mousemove", "--window", window, "300", "200", "click", "1")
        script = out / "plan.txt"
        script.write_text("\n".join(["search --class neural-world", *plan(seconds, seed, everything)]))
        person = subprocess.Popen(["xdotool", str(script)], env=environment)
        while game.poll() is None:
            memory.append(resident_mb(game.pid))
            time.sleep(2.0)
        person.terminate()
        person.wait()
    if game.returncode:
        raise SystemExit(f"the game ended with {game.returncode}")
    reports = [json.loads(path.read_text()) for path in sorted(out.glob("session*/report.json"))]
    return reports, json.loads(watch.read_text()), began, memory


def resident_mb(pid: int) -> int:
    """Memory of a process; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def figures(reports: list[dict], shown: list, began: float, memory: list[int]) -> list[tuple[str, str]]:
    """What is worth reading of a session, as (name, value); latency and the like of its longest recording."""
    report = max(reports, key=lambda report: report["frames"])

    def spread(values: dict) -> str:
        return "-" if values["p50"] is None else f"{values['p50']:.1f} / {values['p95']:.1f} ms"

    def first(*kinds: str) -> str:
        return f"{next(moment for kind, moment in shown if kind in kinds) - began:.2f} s"

    moments = [moment for kind, moment in shown if kind == "generated"]
    period = 1.0 / report["fps"]
    off = [abs(b - a - period) * 1000.0 for a, b in pairwise(moments)]
    alive = [mb for mb in memory if mb]
    return [
        ("time to window", first("loading", "world")),
        ("time to first picture", first("world")),
        ("time to first generated", first("generated")),
        ("frames shown", f"{len(moments)} in {moments[-1] - moments[0]:.1f} s, {report['fps']:g} a second wanted"),
        ("latency p50 / p95", spread(report["latency_ms"])),
        ("lookahead p50 / p95", spread(report["lookahead_ms"])),
        ("block p50 / p95", spread(report["block_ms"])),
        ("frame interval off by", spread(percentiles(off))),
        ("late frames", f"{sum(r['late_frames'] for r in reports)} of {sum(r['frames'] for r in reports)}"),
        ("recordings", str(len(reports))),
        ("memory", f"{alive[0]} MB at first, {alive[-1]} MB at last, {max(alive)} MB at most"),
    ]


def main() -> None:
    """Reads the flags, plays, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="of what the person does")
    parser.add_argument("--everything", action="store_true", help="menus, rewinds, saves, other worlds, resizing, too")
    parser.add_argument("words", nargs="*", help="settings for the game, such as threads=2")
    flags = parser.parse_args()
    if MISSING:
        raise SystemExit(f"{' and '.join(MISSING)} not installed")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        rows = figures(*play(flags.seconds, flags.seed, Path(folder), flags.words, flags.everything))
    for name, value in [*rows, ("load before", f"{load:.1f} on {os.cpu_count()} cores")]:
        print(f"{name:26}{value}")


if __name__ == "__main__":
    main()
