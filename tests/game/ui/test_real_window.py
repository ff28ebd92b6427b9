"""The window on a real X server, driven by real key events."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.game.display import MISSING, ROOT, virtual_display
from tests.game.fakes import wait_until

pytestmark = [
    pytest.mark.xvfb,
    pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed"),
]

_PROGRAM = """
import json, sys
from game.ui.app import PlaySettings, play
from tests.game.fakes import FakeWorld, players

world = FakeWorld(fps=20.0)
sleep = world.sleep
def note(seconds):
    print(json.dumps(world.taken[-1]) if world.taken else "started", flush=True)
    sleep(seconds)
world.sleep = note
sys.exit(play(PlaySettings(seconds=300.0), players(lambda progress: world)))
"""


@pytest.fixture
def display():
    """Environment of a virtual display of its own."""
    with virtual_display() as environment:
        yield environment


def test_keys_pressed_on_a_real_display_reach_the_model(display, tmp_path):
    said = tmp_path / "said.txt"

    def xdotool(*words: str) -> str:
        return subprocess.run(["xdotool", *words], env=display, capture_output=True, text=True, check=False).stdout

    with said.open("w") as out:
        game = subprocess.Popen([sys.executable, "-c", _PROGRAM], cwd=ROOT, env=display, stdout=out, stderr=out)
    try:
        assert wait_until(lambda: said.read_text().count("\n") > 5, 60.0), said.read_text()
        window = xdotool("search", "--class", "neural-world").split()[0]
        xdotool("windowfocus", "--sync", window)
        xdotool("keydown", "w")
        assert wait_until(lambda: '[["W"], [0.0, 0.0]]' in said.read_text())
        xdotool("keyup", "w")
        xdotool("mousemove", "--window", window, "300", "200", "click", "1")

        def turned() -> bool:  # once the click has captured the mouse
            xdotool("mousemove_relative", "10", "0")
            told = [json.loads(line) for line in said.read_text().splitlines() if line.startswith("[[], [")]
            return any(yaw > 0 for _, (_, yaw) in told)

        assert wait_until(turned)
        for key in ("Escape", "Up", "Return"):  # the menu's last line
            xdotool("key", key)
        assert game.wait(60) == 0, said.read_text()
    finally:
        if game.poll() is None:
            game.kill()


_RECORDED = """
import sys
from game.ui.app import PlaySettings, play
from tests.game.fakes import FakeRecorder, FakeWorld, players

class Recorder(FakeRecorder):
    def add(self, block, *rest):
        super().add(block, *rest)
        print("block", flush=True)

    def finish(self, stats, then=None):
        print("closed after", len(self.blocks) > 3, flush=True)

sys.exit(play(PlaySettings(seconds=300.0), players(lambda progress: FakeWorld(), lambda *_: Recorder())))
"""


def test_a_display_that_goes_away_ends_the_game_in_one_line_and_keeps_the_recording(tmp_path):
    said, complained = tmp_path / "said.txt", tmp_path / "complained.txt"
    with virtual_display() as environment, said.open("w") as out, complained.open("w") as err:
        game = subprocess.Popen([sys.executable, "-c", _RECORDED], cwd=ROOT, env=environment, stdout=out, stderr=err)
        assert wait_until(lambda: said.read_text().count("block") > 5, 60.0), complained.read_text()
    try:
        assert game.wait(60) == 1
    finally:
        if game.poll() is None:
            game.kill()
    assert said.read_text().endswith("closed after True\n")
    assert complained.read_text() == "game: the display is gone; what was recorded is kept\n"


def test_a_real_window_is_resized_left_and_driven_by_its_menu(display, tmp_path):
    said = tmp_path / "said.txt"

    def xdotool(*words: str) -> str:
        return subprocess.run(["xdotool", *words], env=display, capture_output=True, text=True, check=False).stdout

    def last() -> str:
        return said.read_text().splitlines()[-1]

    with said.open("w") as out:
        game = subprocess.Popen([sys.executable, "-c", _PROGRAM], cwd=ROOT, env=display, stdout=out, stderr=out)
    try:
        assert wait_until(lambda: said.read_text().count("\n") > 5, 60.0), said.read_text()
        window = xdotool("search", "--class", "neural-world").split()[0]
        xdotool("windowfocus", "--sync", window)
        xdotool("keydown", "w")
        assert wait_until(lambda: '"W"' in last())
        for size in (("900", "300"), ("300", "700"), ("640", "400")):
            xdotool("windowsize", "--sync", window, *size)
        assert wait_until(lambda: '"W"' in last())
        xdotool("key", "Escape")  # and the key is let go of, though it is still down
        looks = [""]

        def waits() -> bool:
            time.sleep(1.0)
            looks.append(said.read_text())
            return looks[-1] == looks[-2]

        assert wait_until(waits), "the world waits while the menu is open"
        paused = looks[-1]
        xdotool("keyup", "w")
        xdotool("key", "Escape")
        assert wait_until(lambda: len(said.read_text()) > len(paused) and '"W"' not in last())
        for key in ("Escape", "Up", "Return"):
            xdotool("key", key)
        assert game.wait(60) == 0, said.read_text()
    finally:
        if game.poll() is None:
            game.kill()
