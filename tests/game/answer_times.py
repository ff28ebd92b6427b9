"""How fast does the window answer a key while the engine is busy? Prints milliseconds from event to picture.

    python -m tests.game.answer_times [--size 2560x1440] [--rounds 30]

Not a test: what it prints is of this machine and of what else runs on it. The engine is a fake whose blocks take three
seconds in a thread that computes all the while, as a real one would. An answer is the first picture on the window, flip
and all, that differs because of the key. What the window's thread computed for it means something on a busy machine,
too. On a virtual X server where there is one, else on SDL's dummy display.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the engine's thread, not every core's

import numpy as np

from tests.game.display import MISSING, virtual_display

KEYS = ("f3", "f3", "p", "p", "escape", "down", "down", "down", "return", "down", "right", "escape")


def busy(seconds: float) -> None:
    """Computes for so long, as an engine does: mostly outside the interpreter's lock."""
    end, a = time.monotonic() + seconds, np.ones((256, 256), np.float32)
    while time.monotonic() < end:
        a = np.tanh(a @ a * 1e-3)


def measure(size: str, rounds: int) -> None:
    """Plays, presses keys, and prints how long their answers took."""
    import pygame

    from game.config.preferences import SettingsFile
    from game.recording.format import percentiles
    from game.ui.app import App, PlaySettings
    from tests.game.fakes import FakeWorld, players

    world = FakeWorld(fps=16.0, first=1, later=12, step_seconds=3.0, sleep=lambda s: world.steps > 1 and busy(s))
    file = SettingsFile(session={"window": size, "keys_shown": True})
    app = App(PlaySettings(settings_file=file), players(lambda progress: world))
    app.player.start()
    while world.steps < 2 or app.drawn is None:
        app.turn()
    took: dict[str, list[float]] = {}
    worked: list[float] = []
    for key in KEYS * rounds:
        before, code = app.drawn, pygame.key.key_code(key)
        for _ in range(20):
            app.turn()
            before = app.drawn
        began, before_work = time.perf_counter(), time.thread_time()
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code))
        while app.drawn is before and time.perf_counter() - began < 2.0:
            app.turn()
        took.setdefault(key, []).append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (time.thread_time() - before_work))
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=code))
    everything = [ms for values in took.values() for ms in values]
    print(f"{size}: {len(everything)} keys, {percentiles(everything)}, longest {max(everything):.1f} ms")
    print(f"  of this the window's thread computed {percentiles(worked)} ms")
    for key, values in took.items():
        print(f"  {key:8} {percentiles(values)}, longest {max(values):.1f} ms")
    sys.stdout.flush()
    os._exit(0)  # the fake's block would be waited for


def main() -> None:
    """Measures in a process of its own for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", action="append")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    sizes = flags.size or ["1280x720", "2560x1440"]
    if flags.here:
        measure(sizes[0], flags.rounds)
    for size in sizes:
        words = [
            sys.executable,
            "-m",
            "tests.game.answer_times",
            "--here",
            "--size",
            size,
            "--rounds",
            str(flags.rounds),
        ]
        if MISSING:
            subprocess.run(words, env=os.environ | {"SDL_VIDEODRIVER": "dummy"}, check=True)
            continue
        with virtual_display("2600x1500") as environment:
            subprocess.run(words, env=environment, check=True)


if __name__ == "__main__":
    main()
