"""The embedded model over the wire: a lossless session's pictures are those of its replay, bit for bit."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from game.input.controls import Controls
from game.live.status import State
from game.remote import wire
from game.remote.client import RemotePlayer
from game.remote.library import RemoteLibrary
from tests.game.remote.house import Line, play
from tests.game.remote.test_page import Served

ROOT = Path(__file__).resolve().parents[3]


def lossless_session(tmp_path: Path, frames: int, line: bool = False) -> None:
    """Plays and records so many frames, hashes what came, fetches the recording, and renders it again."""
    served = Served(tmp_path)
    relay = Line(int(served.url.rpartition(":")[2]), delay=0.02) if line else None
    player = RemotePlayer(relay.url if relay else served.url, served.key, Controls(), pictures=wire.Pictures("png"))
    player.connect(60.0)
    player.start()
    try:
        play(player, lambda: player.status.state is State.PLAYING, 90.0)
        digest, came = hashlib.sha256(), []

        def block(header: wire.Block, pictures) -> None:
            if header.kind == "block" and player.status.recording:
                came.append((header.serial, pictures))

        player.on_block = block
        player.toggle_recording()
        play(player, lambda: player.status.recording, 30.0)
        player.controls.press("w", time.perf_counter())
        for _ in range(4):
            before = len(came)
            play(player, lambda before=before: len(came) >= before + frames // 4, 30.0 + frames / 4)
            player.controls.motion(40.0, 5.0, time.perf_counter())
            if relay is not None:
                relay.cut()
        player.toggle_recording()
        play(player, lambda: not player.status.recording, 30.0)
        library = RemoteLibrary(player.line, tmp_path / "here")
        deadline, (entry, *rest) = time.monotonic() + 30, library.entries()
        while "report.json" not in library._there[entry.folder].files and time.monotonic() < deadline:
            time.sleep(0.1)
            entry, *rest = library.entries()
        assert not rest
        folder = library.fetch(entry)
    finally:
        player.shutdown()
        if relay is not None:
            relay.stop()
        code, _, err = served.stop()
    assert code == 0, err
    report = json.loads((folder / "report.json").read_text())
    pictures = [p for _, p in dict(came).items()][: report["frames"]]
    assert len(pictures) == report["frames"] >= frames - 8
    for block_of in pictures:
        digest.update(block_of.tobytes())
    assert digest.hexdigest() == report["frames_sha256"]
    again = tmp_path / "again"
    command = [sys.executable, "-m", "game", "--headless", "--script", str(folder), "--out", str(again)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "identical" in done.stdout
    assert json.loads((again / "report.json").read_text())["frames_sha256"] == report["frames_sha256"]


@pytest.mark.slow
def test_a_lossless_session_has_the_hash_of_its_replay(tmp_path):
    lossless_session(tmp_path, 24)


@pytest.mark.slow
@pytest.mark.parametrize("line", [False, True])
def test_a_lossless_minute_has_the_hash_of_its_replay(tmp_path, line):
    lossless_session(tmp_path, 1200, line)


@pytest.mark.slow
def test_worlds_made_at_the_same_time_are_what_they_are_alone():
    """The embedded model lets as many worlds be computed at once as there are cores: none sees another."""
    import threading

    from engine.actions import benchmark_actions
    from game.config.settings import load_settings
    from game.models.loader import open_world
    from game.remote.turns import SharedWorld, Turns
    from game.world.scenes import shipped_scenes

    world = open_world(load_settings([]), lambda words, share: None, lambda line: None)
    scenes = [scene.picture() for scene in shipped_scenes()[:2]]

    def make(number: int, turns: Turns, found: dict[int, str]) -> None:
        rollout = SharedWorld(world, turns, time.perf_counter, lambda frames: None).start(scenes[number], number)
        told, digest = benchmark_actions(world.action_space, number, 24), hashlib.sha256()
        for frame in range(24):
            digest.update(rollout.step(told[frame : frame + 1]).frames.tobytes())
            rollout.settle()
        found[number] = digest.hexdigest()

    alone: dict[int, str] = {}
    for number in (0, 1):
        make(number, Turns(1), alone)
    together: dict[int, str] = {}
    turns = Turns(2)
    threads = [threading.Thread(target=make, args=(number, turns, together)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone
