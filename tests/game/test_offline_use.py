"""Playing, rendering and timing never touch a network: every attempt of the process to reach one would be heard of."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = r"""
import socket, sys
from pathlib import Path

tried = []
def listen(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.bind"):
        if getattr(arguments[0], "family", None) not in (getattr(socket, "AF_UNIX", None),):
            tried.append((event, arguments[1:]))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        tried.append((event, arguments))
sys.addaudithook(listen)

folder = Path(sys.argv[1])
import game.models.machine
from game.cli import main
game.models.machine._GEMM_SECONDS = 0.05
script = folder / "script.yaml"
script.write_text("actions: [{keys: [W], frames: 2}]\n")
codes = [main(["--headless", "--script", str(script), "--out", str(folder / "out")]),
         main(["--headless", "--script", str(folder / "out"), "--out", str(folder / "again")]),
         main(["--doctor"]),
         main(["--headless", "--script", str(script), "model=universal"])]

import torch
from engine.world import load_world
from tests.engine.published import publish
from tests.engine.tiny import big_config, picture
publish(folder / "published")
load_world(big_config(), folder / "published", device="cpu", dtype=torch.float32).start(picture(big_config()), 0)

assert codes == [0, 0, 0, 2], codes
assert not tried, tried
assert "huggingface_hub" not in sys.modules
try:
    socket.create_connection(("127.0.0.1", 9), timeout=0.1)
except OSError:
    pass
assert tried, "the listener hears nothing"
"""


def test_nothing_but_a_fetch_reaches_for_the_network(tmp_path):
    program, home = [sys.executable, "-c", PROGRAM, str(tmp_path)], {"XDG_DATA_HOME": str(tmp_path / "home")}
    done = subprocess.run(program, cwd=ROOT, env=os.environ | home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
