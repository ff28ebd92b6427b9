"""The command line of --serve and --connect, the examples for operators, and what --bench --players says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from game import cli
from game.config.settings import load_settings
from game.errors import InputError
from game.remote import serve
from game.remote.bench import Carried, carry
from game.remote.serve import ServeFlags, share_cores
from game.remote.server import Serving, address
from tests.game.fakes import FakeWorld
from tests.game.remote.test_page import Served

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "configs" / "serve"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--serve", "--connect", "http://x/#k"], "exclude each other"),
        (["--port", "80"], "--port belongs to --serve"),
        (["--watch"], "--watch belongs to --serve"),
        (["--players", "2"], "--players belongs to --serve"),
        (["--lossless"], "--lossless belongs to --connect"),
        (["--connect", ""], "needs an address"),
        (["--connect", "nonsense"], "has no key"),
        (["--serve", "--tls-cert", "x"], "belong together"),
        (["--serve", "--key-file", "/nonexistent/key"], "cannot read the key file"),
        (["--serve", "--port", "70000"], "whole number"),
        (["--serve", "serve.take_over=maybe"], "take_over"),
    ],
)
def test_a_mistake_is_told_in_one_line(words, says, capsys):
    assert cli.main(words) == cli.EXIT_INPUT
    line = capsys.readouterr().err.strip()
    assert says in line
    assert "\n" not in line


@pytest.mark.parametrize("text", ["", "short", "has spaces in it, and is long enough", "ümläut" * 5, "a/b" * 10])
def test_a_file_without_a_proper_key_is_refused(tmp_path, text):
    file = tmp_path / "key"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        serve.read_key(file)


def test_a_key_that_others_can_read_is_used_and_told_about(tmp_path, capsys):
    file = tmp_path / "key"
    file.write_text("a" * 30 + "\n")
    file.chmod(0o644)
    assert serve.read_key(file) == "a" * 30
    assert "chmod 600" in capsys.readouterr().err
    assert serve.read_key(None) != serve.read_key(None)


def test_whoever_listens_to_all_without_tls_is_warned(capsys):
    serve.tell_address(Serving("k" * 30, host="0.0.0.0"), 8765)
    out, err = capsys.readouterr()
    assert "ssh -L 8765:127.0.0.1:8765" in err
    assert "k" * 30 not in err
    serve.tell_address(Serving("k" * 30), 8765)
    assert capsys.readouterr() == (f"http://127.0.0.1:8765/#{'k' * 30}\n", "")
    assert out.startswith("http://")
    assert address(Serving("k" * 30, host="::1"), 9) == f"http://[::1]:9/#{'k' * 30}"


def test_a_certificate_that_is_none_is_told(tmp_path):
    (tmp_path / "cert.pem").write_text("nonsense")
    with pytest.raises(InputError, match="certificate"):
        serve.tls_context(ServeFlags(tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "cert.pem"))


def test_the_unit_starts_what_the_command_line_knows():
    unit = (EXAMPLES / "neural-world.service").read_text()
    line = re.search(r"^ExecStart=(.*)$", unit, re.M)
    assert line is not None
    python, *words = shlex.split(line[1])
    assert python.endswith("python")
    assert words[:2] == ["-m", "game"]
    command = cli.parse(words[2:])
    assert command.flags.serve
    assert command.words == ["record.root=/var/lib/neural-world/recordings"]
    if shutil.which("systemd-analyze"):
        done = subprocess.run(["systemd-analyze", "verify", str(EXAMPLES / "neural-world.service")],
                              capture_output=True, text=True, check=False)  # fmt: skip
        said = [line for line in done.stderr.splitlines() if "neural-world.service" in line]
        assert not [line for line in said if "not executable" not in line]


def test_the_container_starts_what_the_command_line_knows():
    lines = (EXAMPLES / "Containerfile").read_text().splitlines()
    entry = next(line for line in lines if line.startswith("ENTRYPOINT"))
    words = json.loads(entry.partition(" ")[2])
    assert cli.parse(words[3:]).flags.serve
    assert any(line.startswith("USER ") for line in lines)


@pytest.mark.slow
def test_the_unit_s_command_serves_and_ends_well(tmp_path):
    """As the unit and the container run it: a key from a file, a root of its own, ended by SIGINT; over TLS, too."""
    key, cert = tmp_path / "key", tmp_path / "cert.pem"
    key.write_text("k" * 32)
    key.chmod(0o600)
    served = Served(tmp_path, "--key-file", str(key))
    assert served.key == "k" * 32
    request = urllib.request.Request(served.url + "/health", headers={"Authorization": "Bearer " + "k" * 32})
    assert json.loads(urllib.request.urlopen(request, timeout=10).read())["ok"]
    assert served.stop()[0] == 0
    if shutil.which("openssl") is None:
        return
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    command = [sys.executable, "-m", "game", "--serve", "--port", "0", "--key-file", str(key), "--tls-cert", str(cert),
               "--tls-key", str(tmp_path / "key.pem"), f"record.root={tmp_path / 'r'}"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    url = process.stdout.readline().strip().partition("/#")[0]  # type: ignore[union-attr]
    assert url.startswith("https://127.0.0.1:")
    trust = ssl.create_default_context(cafile=str(cert))
    request = urllib.request.Request(url + "/health", headers={"Authorization": "Bearer " + "k" * 32})
    assert json.loads(urllib.request.urlopen(request, timeout=10, context=trust).read())["ok"]
    environment = os.environ | {"SSL_CERT_FILE": str(cert), "SDL_VIDEODRIVER": "dummy"}
    window = [sys.executable, "-m", "game", "--connect", f"{url}/#{'k' * 32}", "--seconds", "3"]
    done = subprocess.run(window, capture_output=True, text=True, env=environment, timeout=120, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    process.terminate()
    assert process.wait(30) == 0


@pytest.mark.parametrize(
    "words, players, cores, got",
    [
        (["device=cpu"], 1, 4, (0, 1)),
        (["device=cpu"], 3, 4, (1, 4)),
        (["device=cpu", "threads=2"], 3, 4, (2, 2)),
        (["model=universal", "device=cpu"], 3, 4, (0, 1)),
        (["device=cuda"], 3, 4, (0, 1)),
    ],
)
def test_small_models_on_a_cpu_have_a_core_each_and_others_take_turns(words, players, cores, got, monkeypatch):
    monkeypatch.setattr("game.remote.serve.os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr("game.remote.serve.os.cpu_count", lambda: cores)
    monkeypatch.setattr("game.remote.serve.choose_device", lambda settings: settings.device)
    told, slots = share_cores(words, load_settings(words), players)
    assert (load_settings(told).threads, slots) == got


def test_how_many_are_carried_is_how_many_are_in_time():
    spare = {"p50": 20.0, "p95": 5.0}
    assert Carried(1, 20.0, 0.0, spare).real_time(20.0)
    assert not Carried(1, 20.0, 0.05, spare).real_time(20.0)
    assert not Carried(1, 15.0, 0.0, spare).real_time(20.0)


def test_several_play_at_once_and_are_counted():
    one = carry(FakeWorld(fps=50.0), 3, slots=1, blocks=10)
    assert one.players == 3
    assert one.fps > 0.0
