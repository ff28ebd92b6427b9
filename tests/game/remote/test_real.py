"""The embedded model over the wire: a lossless session's pictures are those of its replay, bit for bit."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
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


@pytest.mark.slow
def test_a_window_elsewhere_records_fetches_and_replays(tmp_path):
    """Through the window's own keys and pages: record, fetch to here, replay live from there, and take over."""
    import pygame

    from game.ui.app import play as play_window
    from tests.game.player import Player

    served = Served(tmp_path)
    remote = RemotePlayer(served.url, served.key, Controls(), pictures=wire.Pictures("png"), shots=tmp_path)
    remote.connect(60.0)
    library = RemoteLibrary(remote.line, tmp_path / "here")
    lived: list = []
    replayed: list = []

    def press(p: Player, name: str) -> None:
        """A button of the page, by the start of its words."""
        next(w for w in p.app.menu.page_widgets() if w.label.startswith(name)).activate()

    def note(header: wire.Block, pictures) -> None:
        if header.kind == "block" and remote.status.replay is not None:
            replayed.append(pictures)
        elif header.kind == "block" and remote.status.recording:
            lived.append(pictures)

    def script(p: Player):
        yield lambda: p.shown >= 2
        remote.on_block = note
        p.tap(pygame.K_F6)
        yield lambda: p.app.player.status.recording
        p.press(pygame.K_w)
        begun = p.shown
        yield lambda: p.shown > begun + 24
        p.release(pygame.K_w)
        p.tap(pygame.K_F6)
        yield lambda: not p.app.player.status.recording
        yield lambda: len(served.reports()) == 1
        p.app.menu.open("Recordings")
        yield lambda: any(w.tile for w in p.app.menu.page_widgets())
        next(w for w in p.app.menu.page_widgets() if w.tile).activate()
        yield lambda: any(w.label == "Fetch to here" for w in p.app.menu.page_widgets())
        press(p, "Fetch to here")
        yield lambda: p.app.menu.remark.startswith("Fetched")
        press(p, "Replay live from here")
        yield lambda: p.app.player.status.replay is not None and not p.app.menu.is_open
        yield lambda: len(replayed) >= 8
        p.tap(pygame.K_d)
        yield lambda: p.app.player.status.replay is None

    class There(Player):
        def play(self) -> int:
            def make(controls, wake):
                remote.attach(controls, wake)
                return remote

            code = play_window(replace(self.settings, library=library), make, self.watch)
            assert self._ready is self.closes, "the window closed, and the script still waits"
            return code

    person = There(script, seconds=180.0)
    try:
        code = person.play()
    finally:
        remote.shutdown()
        ended, _, err = served.stop()
    assert code == 0
    assert ended == 0, err
    (folder,) = [path for path in (tmp_path / "here").iterdir() if not path.name.startswith(".")]
    (there,) = served.reports()
    assert (folder / "report.json").read_bytes() == there.read_bytes()
    assert (folder / "actions.jsonl").read_bytes() == (there.parent / "actions.jsonl").read_bytes()
    # the server begins to record with the block after the key, and says so a moment later or earlier
    first = np.concatenate(replayed)[:8]
    assert any(np.array_equal(first, np.concatenate(lived)[at : at + 8]) for at in range(8))
