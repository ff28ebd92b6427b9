"""Play over lines as they are: real delay, loss and gaps in network namespaces, where the machine allows them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from game.input.controls import Controls
from game.live.status import State
from game.remote.client import RemotePlayer
from tests.game.remote.house import KEY, FakeWorld, Line, ServerThread, connected, play

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow
_CLIENT = """
import sys, time, json
from tests.game.remote.measure import play
from game.remote.client import RemotePlayer
from game.input.controls import Controls
from game.live.status import State
player = RemotePlayer(sys.argv[1], sys.argv[2], Controls())
player.connect(30.0); player.start()
while player.status.state is not State.PLAYING: time.sleep(0.01)
play(player, 6.0)
late = player.figures(time.perf_counter()).pace.late_frames
print("warm", flush=True)
shown = play(player, float(sys.argv[3]))
figures = player.figures(time.perf_counter())
print(json.dumps({"shown": shown, "late": figures.pace.late_frames - late, "trip": figures.line.round_trip_ms["p50"],
                  "beside": player.status.beside, "speed": figures.pace.speed}), flush=True)
player.shutdown()
"""


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(words, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces of our own, joined by a wire: names of the server's and the client's."""
    if os.name != "posix" or os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip")
    server, client = f"nws{os.getpid()}", f"nwc{os.getpid()}"
    try:
        for words in (
            f"ip netns add {server}", f"ip netns add {client}",
            f"ip link add va netns {server} type veth peer name vb netns {client}",
            f"ip -n {server} addr add 10.77.0.1/24 dev va", f"ip -n {client} addr add 10.77.0.2/24 dev vb",
            f"ip -n {server} link set va up", f"ip -n {client} link set vb up", f"ip -n {client} link set lo up",
        ):  # fmt: skip
            done = run(*words.split())
            if done.returncode:
                pytest.skip(f"this machine forbids {words}: {done.stderr.strip()}")
        yield server, client
    finally:
        run("ip", "netns", "del", server)
        run("ip", "netns", "del", client)


@contextlib.contextmanager
def served(server: str) -> Iterator[str]:
    """The stand-in model of the measuring program, in a namespace."""
    text = (
        "import sys, tempfile; from pathlib import Path; from tests.game.remote.measure import stand_in\n"
        "from tests.game.remote.house import ServerThread\n"
        "with ServerThread(Path(tempfile.mkdtemp()), stand_in('192x112', 0.02), host='10.77.0.1') as server:\n"
        "    print(server.port, flush=True); sys.stdin.readline()\n"
    )
    command = ["ip", "netns", "exec", server, sys.executable, "-c", text]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        port = process.stdout.readline().strip()  # type: ignore[union-attr]
        yield f"http://10.77.0.1:{port}"
    finally:
        process.communicate("\n", timeout=60)


def client(name: str, url: str, seconds: float) -> subprocess.Popen:
    command = ["ip", "netns", "exec", name, sys.executable, "-c", _CLIENT, url, KEY, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("netem", "trip", "late"),
    [("delay 10ms", 20, 3), ("delay 40ms", 80, 3), ("delay 100ms", 200, 3), ("delay 10ms loss 1%", 20, 12),
     ("delay 10ms rate 2mbit", 20, 12)],
)  # fmt: skip
def test_play_over_netem(netem, trip, late):
    import json

    with namespaces() as (server, other):
        for name, device in ((server, "va"), (other, "vb")):
            done = run("tc", "-n", name, "qdisc", "add", "dev", device, "root", "netem", *netem.split())
            if done.returncode:
                pytest.skip(f"this machine has no netem: {done.stderr.strip()}")
        with served(server) as url:
            process = client(other, url, 60.0)
            out, _ = process.communicate(timeout=180)
    told = json.loads(out.splitlines()[-1])
    shown = told["shown"]
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert told["trip"] >= trip
    assert told["late"] <= late


def test_a_wire_that_is_pulled_for_ten_seconds_is_come_back_over():
    import json

    with namespaces() as (server, other), served(server) as url:
        process = client(other, url, 24.0)
        assert process.stdout.readline().strip() == "warm"  # type: ignore[union-attr]
        time.sleep(2.0)
        run("ip", "-n", other, "link", "set", "vb", "down")
        time.sleep(10.0)
        run("ip", "-n", other, "link", "set", "vb", "up")
        out, _ = process.communicate(timeout=120)
    told = json.loads(out.splitlines()[-1])
    shown = told["shown"]
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert told["beside"] == ""
    assert len(shown) > 20 * (24 - 10 - 8)


def test_a_gap_of_ten_seconds_is_waited_for(tmp_path):
    """The same over a relay, for machines that have no namespaces."""
    with ServerThread(tmp_path, FakeWorld(fps=20.0)) as server:
        line = Line(server.port, delay=0.01)
        player = connected(line.url)
        play(player, lambda: (player.look(time.perf_counter()).number or 0) > 20 if player.look(0) else False)
        line.gap = True
        play(player, lambda: bool(player.status.beside), 30.0)
        steps = server.world.steps
        time.sleep(4.0)
        assert server.world.steps == steps
        line.gap = False
        play(player, lambda: not player.status.beside, 30.0)
        number = player.look(time.perf_counter()).number
        play(player, lambda: player.look(time.perf_counter()).number > number + 20)
        assert len(server.world.rollouts) == 1
        player.shutdown()
        line.stop()


def test_two_hundred_reconnects_leave_memory_as_it_was(tmp_path):
    import psutil

    with ServerThread(tmp_path, FakeWorld(fps=50.0, state_bytes=10)) as server:
        line = Line(server.port)
        player = RemotePlayer(line.url, KEY, Controls())
        player.connect()
        player.start()
        play(player, lambda: player.status.state is State.PLAYING)
        memory: list[float] = []
        for number in range(200):
            line.cut()
            play(player, lambda: bool(player.status.beside), 30.0)
            play(player, lambda: not player.status.beside, 30.0)
            if number % 50 == 49:
                memory.append(psutil.Process().memory_info().rss / 2**20)
        assert server.server.counted.resumed == 200
        player.shutdown()
        line.stop()
    assert memory[-1] - memory[0] < 40.0, memory
