"""A window whose model is elsewhere has all that one beside its model has, and comes back when the line breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from game.errors import InputError, RecordingError, RunError
from game.input.controls import Controls
from game.live.status import MomentId, State
from game.remote import wire
from game.remote.client import HAND_OVER, RemotePlayer, _Orders, _Passage, _Past, _Pictures, _WayTimes
from game.remote.library import RemoteLibrary
from game.world.scenes import Scene
from tests.game.fakes import FakeRecorder, FakeWorld, landscape, read_frame
from tests.game.remote.house import KEY, Line, ServerThread, connected, play, wait_until

PNG = wire.Pictures("png")


@pytest.fixture
def server(tmp_path):
    with ServerThread(tmp_path) as running:
        yield running


@pytest.fixture
def player(server, tmp_path):
    one = connected(server, pictures=PNG, shots=tmp_path / "shots")
    yield one
    assert one.shutdown()


def numbered(player: RemotePlayer, count: int):
    """Until `count` frames of the present stretch were shown."""
    return lambda: (picture := player.look(time.perf_counter())) is not None and (picture.number or 0) >= count


def test_every_frame_is_shown_once_and_in_order(player, server):
    shown = play(player, numbered(player, 30))
    assert shown.numbers == list(range(shown.numbers[0], shown.numbers[-1] + 1))
    frames = [read_frame(player.look(time.perf_counter()).pixels)[0]]
    play(player, numbered(player, 40))
    frames.append(read_frame(player.look(time.perf_counter()).pixels)[0])
    assert frames[1] - frames[0] >= 9


def test_keys_and_motion_reach_the_model_once(player, server):
    play(player, numbered(player, 3))
    player.controls.press("w", time.perf_counter())
    play(player, lambda: any("W" in keys for keys, _ in server.world.taken))
    player.controls.release("w", time.perf_counter())
    for _ in range(8):
        player.controls.motion(3.0, 0.0, time.perf_counter())
    play(player, numbered(player, player.look(time.perf_counter()).number + 15))
    assert sum(mouse[1] for _, mouse in server.world.taken) == pytest.approx(8 * 3.0 * 0.1 / 60, abs=1e-6)
    latency = player.figures(time.perf_counter()).pace.latency_ms
    assert latency is not None


def test_a_world_of_any_key_gets_those_that_are_held_and_no_more_than_the_wire_carries(tmp_path):
    with ServerThread(tmp_path, FakeWorld(mode="keyboard_mouse", fps=50.0)) as server:
        player = connected(server, pictures=PNG)
        try:
            play(player, numbered(player, 3))
            for key in ("space", "k", "mouse left", "wheel up"):
                player.controls.press(key, time.perf_counter())
            held = {"SPACE", "K", "MOUSE_LEFT", "WHEEL_UP"}
            play(player, lambda: set(server.world.taken[-1][0]) == held)
            for key in "bcefghijlmnopqrtuv":
                player.controls.press(key, time.perf_counter())
            play(player, lambda: len(server.world.taken[-1][0]) == wire.MOST_HELD)
            play(player, numbered(player, player.look(time.perf_counter()).number + 15))
        finally:
            assert player.shutdown()


def test_a_lossless_session_shows_the_models_own_pictures(player, server):
    play(player, numbered(player, 5))
    picture = player.look(time.perf_counter())
    number, _ = read_frame(picture.pixels)
    assert picture.pixels.shape == (80, 144, 3)
    assert abs(number - picture.number) <= 1


def test_a_pause_stops_the_world_and_it_goes_on_where_it_was(player, server):
    play(player, numbered(player, 5))
    player.pause(time.perf_counter())
    assert player.paused
    play(player, lambda: not player._mailbox.waiting())
    steps, picture = server.world.steps, player.look(time.perf_counter())
    time.sleep(0.2)
    assert player.look(time.perf_counter()) is picture
    assert server.world.steps == steps
    player.resume(time.perf_counter())
    play(player, numbered(player, picture.number + 3))


def test_rewinding_runs_backwards_and_goes_on_from_there(player, server):
    play(player, numbered(player, 30))
    before = read_frame(player.look(time.perf_counter()).pixels)[0]
    player.rewind(time.perf_counter())
    assert player.status.rewinding
    seen = []
    began = now = time.perf_counter()
    while now < began + 0.25:
        time.sleep(0.005)
        now = time.perf_counter()
        seen.append(read_frame(player.look(now).pixels)[0])
    player.let_go(now)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < before - 5
    play(player, numbered(player, 2))
    after = read_frame(player.look(time.perf_counter()).pixels)[0]
    assert seen[-1] <= after <= seen[-1] + 8
    assert "restore" in server.world.log
    assert not player.status.rewinding


def test_save_and_return_and_the_world_before(player, server):
    play(player, numbered(player, 6))
    saved = read_frame(player.look(time.perf_counter()).pixels)[0]
    player.save()
    play(player, lambda: player.status.saved)
    play(player, numbered(player, 20))
    assert player.load()
    play(player, lambda: read_frame(player.look(time.perf_counter()).pixels)[0] <= saved + 2)
    assert not player.other_world()
    assert player.change_scene() == "court"
    play(player, lambda: player.status.scene == "court" and player.status.state is State.PLAYING)
    play(player, numbered(player, 3))
    assert player.status.other_world == "hall"
    assert player.other_world()
    play(player, lambda: player.status.scene == "hall" and player.status.other_world == "court")
    play(player, numbered(player, 2))


def test_restart_anchor_and_hold(player, server):
    play(player, numbered(player, 5))
    player.reset()
    play(player, lambda: len(server.world.rollouts) == 2 and player.status.state is State.PLAYING)
    play(player, numbered(player, 3))
    player.anchor()
    play(player, lambda: len(server.world.rollouts) == 3)
    player.set_idle_hold(0.1)
    play(player, lambda: player.status.held)
    player.controls.press("w", time.perf_counter())
    play(player, lambda: not player.status.held)


def test_a_picture_of_ones_own_begins_a_world(player, server, tmp_path):
    play(player, numbered(player, 2))
    path = tmp_path / "mine.bmp"  # a kind that the wire does not take: it is turned into one that it does
    cv2.imwrite(str(path), landscape(100, 150, 0.2, 0.0)[:, :, ::-1])
    player.enter(Scene("mine", path))
    play(player, lambda: player.status.scene == "your picture" or player.status.scene == "yours")
    play(player, numbered(player, 2))
    path.write_bytes(b"no picture")
    player.enter(Scene("mine", path))
    play(player, lambda: "not taken" in player.status.notice)
    play(player, numbered(player, 2))


def test_scenes_and_choices_are_the_servers(player):
    assert [scene.name for scene in player.scenes] == ["hall", "court"]
    assert player.scenes[0].picture().shape == (240, 320, 3)
    assert list(player.choices("")) == []


def test_a_screenshot_is_written_here(player, tmp_path):
    play(player, numbered(player, 2))
    player.screenshot()
    play(player, lambda: player.status.notice.startswith("Screenshot"))
    (path,) = (tmp_path / "shots").iterdir()
    assert cv2.imread(str(path)).shape == (80, 144, 3)


def test_recording_is_the_servers_and_told_what_the_client_measured(tmp_path):
    recorders: list[FakeRecorder] = []

    def recorder() -> FakeRecorder:
        recorders.append(FakeRecorder())
        return recorders[-1]

    with ServerThread(tmp_path, recorder=recorder) as server:
        player = connected(server)
        play(player, numbered(player, 3))
        player.toggle_recording()
        play(player, lambda: player.status.recording)
        player.controls.press("w", time.perf_counter())
        until = player.look(time.perf_counter()).number + 60
        play(player, numbered(player, until))
        player.toggle_recording()
        play(player, lambda: not player.status.recording)
        assert wait_until(lambda: recorders[0].stats is not None)
        player.shutdown()
    frames = [block.first_frame for block in recorders[0].blocks]
    assert frames == list(range(frames[0], frames[0] + len(frames)))
    assert len(frames) >= 55
    assert recorders[0].stats.latency_ms is not None


def test_a_lossless_sessions_pictures_are_those_that_were_recorded(tmp_path):
    recorders: list[FakeRecorder] = []

    def recorder() -> FakeRecorder:
        recorders.append(FakeRecorder())
        return recorders[-1]

    came: dict[int, np.ndarray] = {}
    with ServerThread(tmp_path, FakeWorld(fps=50.0, first=2, later=3), recorder=recorder) as server:
        player = connected(server, pictures=PNG)
        player.on_block = lambda header, pixels: came.update({header.first_frame: pixels} if header.number >= 0 else {})
        play(player, numbered(player, 1))
        player.toggle_recording()
        play(player, lambda: player.status.recording)
        play(player, numbered(player, player.look(time.perf_counter()).number + 36))
        player.shutdown()
    blocks = [block for block in recorders[0].blocks if block.first_frame in came]
    assert len(blocks) >= 6
    assert all(np.array_equal(block.frames, came[block.first_frame]) for block in blocks)


# -- the line --------------------------------------------------------------------------------------------------------


def test_the_line_breaks_and_nothing_is_lost(tmp_path):
    recorders: list[FakeRecorder] = []

    def recorder() -> FakeRecorder:
        recorders.append(FakeRecorder())
        return recorders[-1]

    seen: list[int] = []
    with ServerThread(tmp_path, recorder=recorder) as server:
        line = Line(server.port, delay=0.02)
        player = connected(line.url, pictures=PNG)
        player.on_block = lambda header, _: seen.append(header.first_frame) if header.kind == "block" else None
        play(player, numbered(player, 1))
        player.toggle_recording()
        play(player, lambda: player.status.recording)
        play(player, numbered(player, 5))
        for _ in range(3):
            line.cut()
            play(player, lambda: bool(player.status.beside))
            play(player, lambda: not player.status.beside)
            number = player.look(time.perf_counter()).number
            play(player, numbered(player, number + 10))
        assert player.status.notice == "The line is back"
        player.shutdown()
        line.stop()
        assert len(server.seats) == 1
    shown = list(dict.fromkeys(seen))
    assert shown == list(range(shown[0], shown[-1] + 1))
    made = [block.first_frame for block in recorders[0].blocks]
    assert made == list(range(made[0], made[-1] + 1))
    assert server.server.counted.resumed == 3


@pytest.mark.parametrize("when", ["as it breaks", "while it is broken", "answered into the broken line"])
def test_what_was_asked_for_as_the_line_broke_is_done_once_it_is_back_and_once(tmp_path, when):
    recorders: list[FakeRecorder] = []

    def recorder() -> FakeRecorder:
        recorders.append(FakeRecorder())
        return recorders[-1]

    with ServerThread(tmp_path, recorder=recorder) as server:
        line = Line(server.port)
        player = connected(line.url)
        play(player, numbered(player, 5))
        if when == "as it breaks":
            line.gap = True  # what is on the way is lost with the line
            player.toggle_recording()
            time.sleep(0.3)
        elif when == "answered into the broken line":
            player.toggle_recording()
            assert wait_until(lambda: recorders)
        line.cut()
        line.gap = False
        play(player, lambda: bool(player.status.beside))
        if when == "while it is broken":
            player.toggle_recording()
        play(player, lambda: not player.status.beside)
        play(player, lambda: player.status.recording)
        play(player, numbered(player, player.look(time.perf_counter()).number + 10))
        assert player.status.recording
        player.shutdown()
        line.stop()
    assert len(recorders) == 1


def test_commands_are_sent_in_order_and_only_those_that_have_not_come_are_sent_again():
    sent: list[wire.Command] = []
    orders = _Orders(sent.append)
    orders.begin(done=3)
    orders.give(wire.Command("record"), 0.0)
    orders.give(wire.Command("save"), 10.0)
    assert [(one.do, one.order) for one in sent] == [("record", 4), ("save", 5)]
    orders.hold()
    orders.give(wire.Command("load"), 20.0)
    assert len(sent) == 2
    orders.again(4, 3000.0)
    assert [(one.do, one.order) for one in sent[2:]] == [("save", 5), ("load", 6)]
    orders.arrived(3500.0)
    orders.again(4, 3600.0)
    assert len(sent) == 6, "not long enough ago to be sure"
    orders.arrived(5000.0)
    orders.again(4, 6000.0)
    assert len(sent) == 6


def test_a_break_of_the_line_is_not_held_against_it_afterwards():
    times = _WayTimes(0.008)
    for _ in range(50):
        times.add(0.05, 0.05, 0.01)
        times.add_network(0.02)
    before = times.head_start()
    for _ in range(5):  # asked for before the break, answered behind it
        times.add(4.0, 0.05, 0.01)
        times.add_network(3.97)
    assert times.head_start() == pytest.approx(before, abs=0.001)
    times.add_network(0.07)
    assert times.head_start() == pytest.approx(before + 0.05, abs=0.001), "it may be lost there and back"


def test_a_slow_beginning_is_not_held_against_the_line_afterwards():
    times = _WayTimes(0.008)
    for number in range(30):
        slow = 0.3 if number < 8 else 0.05
        times.add(slow, 0.05, 0.01)
        times.add_network(slow - 0.03)
        if number == 10:
            assert times.head_start() > 0.3
    assert times.head_start() < 0.06


def test_what_is_switched_off_while_the_line_is_broken_is_off_when_it_is_back(tmp_path):
    with ServerThread(tmp_path) as server:
        line = Line(server.port)
        player = connected(line.url)
        play(player, numbered(player, 3))
        player.set_anchor_every(60.0)
        seat = server.seats[0]
        assert wait_until(lambda: seat._mailbox.habits.anchor_every == 60.0)
        line.cut()
        play(player, lambda: bool(player.status.beside))
        player.set_anchor_every(0.0)
        play(player, lambda: not player.status.beside)
        play(player, lambda: seat._mailbox.habits.anchor_every == 0.0)
        player.shutdown()
        line.stop()


def test_a_silent_line_is_noticed_and_the_world_waits(tmp_path, monkeypatch):
    monkeypatch.setattr("game.remote.client._SILENT_S", 0.6)
    monkeypatch.setattr("game.remote.client._PING_S", 0.2)
    with ServerThread(tmp_path) as server:
        line = Line(server.port)
        player = connected(line.url)
        play(player, numbered(player, 5))
        line.gap = True
        play(player, lambda: bool(player.status.beside))
        steps = server.world.steps
        time.sleep(0.3)
        assert server.world.steps == steps
        line.gap = False
        play(player, lambda: not player.status.beside)
        play(player, numbered(player, player.look(time.perf_counter()).number + 5))
        player.shutdown()
        line.stop()
    assert len(server.world.rollouts) == 1


def test_a_server_that_was_killed_is_come_back_to_with_another_world(tmp_path):
    first = ServerThread(tmp_path / "1")
    line = Line(first.port)
    player = connected(line.url)
    play(player, numbered(player, 5))
    first.stop()
    with ServerThread(tmp_path / "2") as second:
        line.target = second.port
        play(player, lambda: "another one" in player.status.notice)
        play(player, lambda: player.status.state is State.PLAYING and second.world.steps > 5)
        player.shutdown()
        line.stop()


def test_a_server_with_another_key_ends_it_in_words(tmp_path):
    with ServerThread(tmp_path) as server:
        line = Line(server.port)
        player = connected(line.url)
        play(player, numbered(player, 2))
        server.server._key = b"another-key-0123456789abcdef"
        line.cut()
        play(player, lambda: player.status.state is State.FAILED)
        assert "key" in player.status.words
        assert player.status.exit_code == 2
        player.shutdown()
        line.stop()


def test_a_long_way_is_asked_ahead_and_shown_evenly(tmp_path):
    with ServerThread(tmp_path, FakeWorld(fps=20.0)) as server:
        line = Line(server.port, delay=0.1)
        player = connected(line.url)
        play(player, numbered(player, 30))
        play(player, lambda: player.figures(time.perf_counter()).pace.speed == 1.0)
        figures = player.figures(time.perf_counter())
        player.shutdown()
        line.stop()
    assert figures.line.ahead_ms > 200.0
    assert figures.line.round_trip_ms["p50"] >= 200.0
    assert figures.line.network_ms["p50"] >= 190.0


def test_a_line_that_carries_too_little_gets_slow_motion_and_no_queue(tmp_path):
    with ServerThread(tmp_path, FakeWorld(fps=20.0)) as server:
        line = Line(server.port, rate=25_000)  # half of what lossless frames would need
        player = connected(line.url, pictures=PNG)
        shown = play(player, lambda: "line" in player.figures(time.perf_counter()).pace.slow_words, 60.0)
        figures = player.figures(time.perf_counter())
        waiting = len(player._mailbox.waiting())
        player.shutdown()
        line.stop()
    assert shown.numbers == list(range(shown.numbers[0], shown.numbers[-1] + 1))
    assert figures.pace.speed < 0.97
    assert waiting < 16


def test_who_plays_may_hand_over(server):
    first = connected(server)
    play(first, numbered(first, 3))
    words: list[str] = []
    second = RemotePlayer(server.url, KEY, Controls(), told=words.append)
    second._line.start()
    play(first, lambda: (advice := first.figures(time.perf_counter()).advice) is not None
         and advice.suggestion is not None and advice.suggestion.kind == HAND_OVER)  # fmt: skip
    first.apply(first.figures(time.perf_counter()).advice.suggestion)
    assert wait_until(lambda: first.status.state is State.FAILED)
    assert "somebody else" in first.status.words
    assert wait_until(lambda: second._welcome is not None)
    second.start()
    play(second, numbered(second, 3))
    assert words
    second.shutdown()
    first.shutdown()


def test_nobody_there_a_wrong_key_and_a_wrong_address_are_told_in_one_line(server):
    with pytest.raises(InputError, match="key"):
        RemotePlayer(server.url, "wrong", Controls()).connect()
    with pytest.raises(RunError, match="cannot play on"):
        RemotePlayer("http://127.0.0.1:1", KEY, Controls()).connect(0.5)


# -- the past -------------------------------------------------------------------------------------------------------


def test_what_the_server_cannot_return_to_takes_no_memory_here():
    past = _Past()
    for moment in range(50):
        past.add(_Passage(MomentId(1, moment), _Pictures((bytes(100),), (1, 1)), None))
        kept = past.of(1, moment - 9)
        assert [passage.id.moment for passage in kept] == list(range(max(0, moment - 9), moment + 1))
    assert past.bytes == 10 * 100
    past.cut(MomentId(1, 45))
    assert [passage.id.moment for passage in past.of(1, 40)] == list(range(40, 46))
    past.add(_Passage(MomentId(2, 0), _Pictures((bytes(100),), (1, 1)), None))
    assert past.of(1, 99) == ()
    assert past.bytes == 100


def test_the_past_of_all_worlds_stays_within_its_bytes(monkeypatch):
    monkeypatch.setattr("game.remote.client._PAST_BYTES", 1000)
    past = _Past()
    for world in (1, 2, 3):
        past.of(world, 99)
        for moment in range(8):
            past.add(_Passage(MomentId(world, moment), _Pictures((bytes(100),), (1, 1)), None))
            past.cut(MomentId(world, moment))
    past.cut(MomentId(2, -1))
    for moment in range(8, 12):
        past.add(_Passage(MomentId(3, moment), _Pictures((bytes(100),), (1, 1)), None))
    assert past.bytes <= 1000
    assert [passage.id.moment for passage in past.of(3, 0)][-4:] == [8, 9, 10, 11]


# -- recordings ------------------------------------------------------------------------------------------------------


def test_the_servers_recordings_are_listed_and_fetched_whole(player, server, tmp_path):
    folder = server.root / "20260101T000000Z-walk"
    folder.mkdir()
    (folder / "actions.jsonl").write_text("{}\n")
    (folder / "walk.mp4").write_bytes(os.urandom(100_000))
    library = RemoteLibrary(player.line, tmp_path / "here")
    (entry,) = library.entries()
    assert entry.folder.name == folder.name
    fetched = library.fetch(entry)
    assert {path.name: path.read_bytes() for path in fetched.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    with pytest.raises(RecordingError, match="already"):
        library.fetch(entry)
    with pytest.raises(RecordingError):
        library.delete(entry)
    player.replay(entry.folder)
    play(player, lambda: "Cannot replay" in player.status.notice)


def test_a_servers_list_leads_to_no_other_place(player, tmp_path, monkeypatch):
    bad = {"id": "../x", "name": "n", "model": "", "mode": "", "scene": "", "made": "2026-01-01T00:00:00", "fps": 1.0,
           "frames": 1, "seconds": 1.0, "problem": None, "live": True, "video": None, "icons": None,
           "files": {}}  # fmt: skip
    library = RemoteLibrary(player.line, tmp_path / "here")
    files = [{"../y": 1}, {".z": 1}, {"a/b": 1}, 3]
    for change in ({"id": "../x"}, {"id": "/etc"}, *({"id": "x", "files": one} for one in files)):
        text = json.dumps([bad | change])
        monkeypatch.setattr(player.line, "call", lambda work, limit=0, text=text: (work.close(), text)[1])
        with pytest.raises(RunError):
            library.entries()


# -- without torch ---------------------------------------------------------------------------------------------------

_SCRIPT = """
import os, sys, time
os.environ["SDL_VIDEODRIVER"] = "dummy"
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "einops", "safetensors", "hydra", "omegaconf", "imageio_ffmpeg"):
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocked())
import pygame
from game.ui import app
turn, keys = app.App.turn, []
def with_keys(self):
    turn(self)
    if not keys and self.shown > 3:
        keys.append(self.shown)
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_w))
    if keys and self.shown > keys[0] + 50:
        self.quit()
app.App.turn = with_keys
from game.cli import main
code = main(sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(code)
"""


def window(server: ServerThread, *more: str, python: str = sys.executable) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    command = [python, "-c", _SCRIPT, "--connect", server.address, "--seconds", "100", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


def test_a_window_without_torch_connects_and_plays(server):
    done = window(server)
    assert done.returncode == 0, done.stderr
    assert ("W",) in [keys for keys, _ in server.world.taken]
    assert KEY not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_venv_without_torch_plays_as_documented(server, tmp_path):
    root = Path(__file__).resolve().parents[3]
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=120)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q"]
    subprocess.run([*pip, "--no-deps", str(root)], check=True, timeout=300, cwd=tmp_path)
    from game.requirements import CLIENT

    subprocess.run([*pip, *CLIENT.values()], check=True, timeout=300)
    listed = subprocess.run([*pip[:-2], "list"], capture_output=True, text=True, check=True).stdout
    assert "torch" not in listed
    done = window(server, python=str(venv / "bin" / "python"))
    assert done.returncode == 0, done.stderr
    assert ("W",) in [keys for keys, _ in server.world.taken]
