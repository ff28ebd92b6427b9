"""How soon after the command is the window there? Prints seconds from the start of the process, medians and p95.

    python -m tests.game.start_times [--runs 10] [--size 1280x800]

Not a test: what it prints is of this machine and of what else runs on it. The screen is a virtual one whose pixels lie
in a file, which is looked at every millisecond: "window" is the first moment at which the colour that the window stands
on is in it. Its close button is pressed as soon as that was seen. "Picture" is the
scene's, shown while its world is loaded.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from game.media.palette import INK
from tests.game.display import MISSING, ROOT, virtual_display


class Screen:
    """The pixels of a virtual display that writes them to a file, in the format of xwd."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as opened:
            self._data = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        words = struct.unpack(">25I", self._data[:100])
        self._begin, self.width, self.height, self._line = words[0] + words[19] * 12, words[4], words[5], words[12]

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        """Red, green and blue."""
        at = self._begin + y * self._line + 4 * x
        blue, green, red = self._data[at : at + 3]
        return red, green, blue


def run(environment: dict[str, str], screen: Screen, *, wait_for_picture: bool) -> dict[str, float]:
    """Starts the game once. Returns seconds from its start by what they are until."""
    x, y = screen.width // 2, screen.height // 2 + screen.height // 4  # beside all words
    began = time.perf_counter()
    game = subprocess.Popen([sys.executable, "-m", "game"], cwd=ROOT, env=environment)
    seen = {}

    def until(name: str, is_so) -> None:
        while not is_so():
            if game.poll() is not None or time.perf_counter() - began > 60:
                raise SystemExit(f"the game ended with {game.poll()} before there was a {name}")
            time.sleep(0.001)
        seen[name] = time.perf_counter() - began

    until("window", lambda: screen.pixel(x, y) == INK)
    if wait_for_picture:
        until("picture", lambda: screen.pixel(x, y) not in (INK, (0, 0, 0)))
        game.terminate()
        game.wait()
        return seen
    found = ["xdotool", "search", "--class", "neural-world"]
    window = int(subprocess.run(found, env=environment, check=True, capture_output=True).stdout.split()[0])
    told = time.perf_counter()
    press_close_button(environment["DISPLAY"], window)
    while screen.pixel(x, y) == INK and time.perf_counter() - told < 30:
        time.sleep(0.001)
    seen["close button to window gone"] = time.perf_counter() - told
    game.wait()
    seen["close button to process gone"] = time.perf_counter() - told
    return seen


class _Message(ctypes.Structure):
    """XClientMessageEvent, with the room that XEvent takes."""

    _fields_ = (
        *(("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int)),
        *(("display", ctypes.c_void_p), ("window", ctypes.c_ulong), ("message_type", ctypes.c_ulong)),
        *(("format", ctypes.c_int), ("data", ctypes.c_long * 5), ("room", ctypes.c_long * 24)),
    )


def press_close_button(display: str, window: int) -> None:
    """Asks a window to close, as a window manager does when its button is pressed."""
    x = ctypes.CDLL("libX11.so.6")
    x.XOpenDisplay.restype, x.XInternAtom.restype = ctypes.c_void_p, ctypes.c_ulong
    server = ctypes.c_void_p(x.XOpenDisplay(display.encode()))
    protocols, delete = (x.XInternAtom(server, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    message = _Message(type=33, window=window, message_type=protocols, format=32)
    message.data[0] = delete
    x.XSendEvent(server, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    x.XCloseDisplay(server)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--size", default="1280x800")
    flags = parser.parse_args()
    if MISSING:
        raise SystemExit(f"{' and '.join(MISSING)} not installed")
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, virtual_display(flags.size, "-fbdir", folder) as environment:
        screen = Screen(Path(folder) / "Xvfb_screen0")
        for number in range(flags.runs + 3):
            environment["NEURAL_WORLD_CONFIG"] = str(Path(folder) / f"config-{number}")
            for name, seconds in run(environment, screen, wait_for_picture=number >= flags.runs).items():
                times.setdefault(name, []).append(seconds)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, values in times.items():
        ordered = sorted(values)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        middle = ordered[len(ordered) // 2]
        print(f"{name:30} median {middle:.3f} s, p95 {p95:.3f} s, least {ordered[0]:.3f} s of {len(values)}")


if __name__ == "__main__":
    main()
