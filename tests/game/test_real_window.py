"""The window on a real X server, driven by real key events."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.game.fakes import wait_until

ROOT = Path(__file__).resolve().parents[2]
_MISSING = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.xvfb,
    pytest.mark.skipif(bool(_MISSING), reason=f"{' and '.join(_MISSING)} not installed"),
]

_PROGRAM = """
import json, sys
from game.app import PlaySettings, play
from tests.game.fakes import FakeScene, FakeWorld

world = FakeWorld(fps=20.0)
sleep = world.sleep
def note(seconds):
    print(json.dumps(world.taken[-1]) if world.taken else "started", flush=True)
    sleep(seconds)
world.sleep = note
sys.exit(play(PlaySettings(scenes=(FakeScene(),), seconds=30.0), lambda progress: world))
"""


@pytest.fixture
def display(tmp_path):
    """Environment of a virtual display of its own."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as answer:
        number = answer.readline().strip()
    assert number, "Xvfb did not start"
    environment = {k: v for k, v in os.environ.items() if k not in ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY")}
    yield environment | {"DISPLAY": f":{number}", "PYTHONPATH": str(ROOT)}
    server.terminate()
    server.wait(10)


def test_keys_pressed_on_a_real_display_reach_the_model(display, tmp_path):
    said = tmp_path / "said.txt"

    def xdotool(*words: str) -> str:
        return subprocess.run(["xdotool", *words], env=display, capture_output=True, text=True, check=False).stdout

    with said.open("w") as out:
        game = subprocess.Popen([sys.executable, "-c", _PROGRAM], cwd=ROOT, env=display, stdout=out, stderr=out)
    try:
        assert wait_until(lambda: said.read_text().count("\n") > 5, 30.0), said.read_text()
        window = xdotool("search", "--class", "neural-world").split()[0]
        xdotool("windowfocus", "--sync", window)
        xdotool("keydown", "w")
        assert wait_until(lambda: '[["W"], [0.0, 0.0]]' in said.read_text())
        xdotool("keyup", "w")
        xdotool("mousemove", "--window", window, "300", "200", "click", "1")
        time.sleep(0.2)
        for _ in range(5):
            xdotool("mousemove_relative", "10", "0")
        assert wait_until(lambda: any(line.startswith("[[], [0.0, 0.0") and not line.startswith("[[], [0.0, 0.0]")
                                      for line in said.read_text().splitlines()))  # fmt: skip
        xdotool("key", "Escape")
        xdotool("key", "Escape")
        assert game.wait(15) == 0, said.read_text()
    finally:
        if game.poll() is None:
            game.kill()
