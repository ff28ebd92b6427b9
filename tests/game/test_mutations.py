"""Whatever is in a file or on the command line: never a traceback, always exit 0, 1 or 2 and one line.

Inputs that are right are changed at random, by a seed: bytes, words from a list of nasty ones, pieces left out, doubled
or swapped. A few hundred in the default run, thousands in the slow one.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from engine.errors import CheckpointError, EngineError, InputError, PictureError
from engine.families import action_space
from engine.weights.checkpoint import load_weights
from game import cli
from game.config.preferences import Preferences, load, to_text
from game.config.settings import load_settings, settings_file_of
from game.errors import ScriptError
from game.media.pictures import read_picture
from game.recording.format import ACTIONS, Job
from game.recording.library import read_entry
from game.recording.script import load as load_script
from game.tools.render import render
from game.tools.terminal import lines_of
from tests.game.recording.whole_numbers import WholeNumberWorld

NASTY = [
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xb2\xa9", b"\xf0\x9f\x8f\xb0", "é".encode(), b"\\ud83c"),
    *(b"\r", b"\t", b"\n\n", b"-1", b"1e999", b"1e-1", b"NaN", b".inf", b"0x10", b"1:30", b"9" * 30, b"9" * 5000),
    *(b"true", b"null", b"~", b"~nobody/", b"[", b"]", b"{", b"}", b"'", b'"', b"&a", b"*a", b"!!python/none", b"---"),
    *(b": ", b"- ", b"#", b"%", b"@", b"${x}", b"=", b",", b"/dev/null", b"/", b"..", b"[" * 300, b"!!binary", b"<<"),
]


def mutated(good: bytes, draws: random.Random) -> bytes:
    """One to three changes to `good`."""
    data = bytearray(good)
    for _ in range(draws.randint(1, 3)):
        at = draws.randrange(len(data) + 1)
        end = min(len(data), at + draws.choice((1, 1, 2, 8, 40)))
        match draws.randrange(7):
            case 0:
                data[at:end] = b""
            case 1:
                data[at:at] = draws.choice(NASTY)
            case 2:
                data[at:end] = draws.choice(NASTY)
            case 3:
                data[at:end] = bytes(draws.randrange(256) for _ in range(end - at))
            case 4:
                data[at:at] = data[at:end] * draws.randint(1, 3)
            case 5:
                del data[at:]
            case _ if data:
                data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
    return bytes(data)


def cases(name: str, few: int, many: int):
    """The numbers of the cases, few by default."""
    return pytest.mark.parametrize(
        "numbers",
        [
            pytest.param(range(few), id=f"{name}-{few}"),
            pytest.param(range(few, many), id=f"{name}-{many}", marks=pytest.mark.slow),
        ],
    )


@contextlib.contextmanager
def only(kind: type[Exception], what: object):
    """Nothing but errors of that kind, told in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except kind as error:
        assert len(str(error)) < 3000, f"{what}: {len(str(error))} characters"
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error


SCRIPT = b"""model: tiny
seed: 3
scene: hall
actions:
  - {keys: [W, D], mouse: [0, 1e-1], frames: 24}
  - yaw:left:60@40
  - keys: []
    frames: 3
  - {bench: universal, seed: 42, frames: 57}
repeat: 2
"""


@cases("scripts", 200, 6000)
def test_scripts(numbers, tmp_path):
    path = tmp_path / "x.yaml"
    for number in numbers:
        path.write_bytes(data := mutated(SCRIPT, random.Random(number)))
        with only(ScriptError, data):
            source = load_script(path)
            source.actions(action_space("universal"))


@cases("settings", 120, 4000)
def test_settings(numbers, tmp_path):
    good = to_text(Preferences()).replace("\n# ", "\n").encode() + b"recent:\n  - a.png\n"
    path = tmp_path / "settings.yaml"
    for number in numbers:
        path.write_bytes(data := mutated(good, random.Random(number)))
        with only(InputError, data[:99]):
            prefer, problems = load(path)
            assert all("\n" not in line and len(line) < 2000 for line in problems), problems
        path.write_text(to_text(prefer), encoding="utf-8")
        assert load(path) == (prefer, [])


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """A recording in mid-world, with a way back and a held picture."""
    return Path(
        shutil.copytree(Path(__file__).parent / "recording" / "old" / "mid_world", tmp_path_factory.mktemp("r") / "a")
    )


@cases("recordings", 30, 400)
def test_recordings(numbers, recording, tmp_path, capsys):
    """Read, listed, and replayed where they can still be read."""
    names = [ACTIONS, ACTIONS, "prelude.jsonl", "report.json", "first_frame.png", "first_frame-2.png"]
    folder = tmp_path / "changed"
    for number in numbers:
        draws = random.Random(number)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(recording, folder)
        file = folder / draws.choice(names)
        data = file.read_bytes()
        if file.suffix == ".jsonl":  # changes that matter lie in a line, and most lines are alike
            lines = data.split(b"\n")
            at = draws.choice((0, 0, draws.randrange(len(lines))))
            lines[at] = mutated(lines[at], draws)
            file.write_bytes(b"\n".join(lines))
        else:
            file.write_bytes(mutated(data, draws))
        assert read_entry(folder).folder == folder
        with only(EngineError, (number, file.name)):
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            source = load_script(folder)
            if len(source.actions) < 300:
                render(source, [], Job("demo", tmp_path / "out"), lambda settings: WholeNumberWorld(3, 4))
        capsys.readouterr()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)


@cases("weights", 150, 5000)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights(numbers, suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    table = {name: weight.detach() for name, weight in Net().state_dict().items()}
    save_file(table, path) if suffix == ".safetensors" else torch.save(table, path)
    good = path.read_bytes()
    for number in numbers:
        draws = random.Random(number)
        if suffix == ".safetensors" and draws.random() < 0.8:
            length = struct.unpack("<Q", good[:8])[0]
            header = mutated(good[8 : 8 + length], draws)
            data = struct.pack("<Q", len(header)) + header + good[8 + length :]
        else:
            data = mutated(good, draws)
        path.write_bytes(data)
        with only(CheckpointError, data[:99]), warnings.catch_warnings():
            with torch.device("meta"):
                net = Net()
            load_weights(net, path)


PICTURES = ["png", "jpeg", "webp", "gif", "bmp", "tiff", "ppm"]


@cases("pictures", 30, 1200)
@pytest.mark.parametrize("kind", PICTURES)
def test_pictures(numbers, kind, tmp_path, capfd):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    good = io.BytesIO()
    Image.fromarray(pixels).save(good, kind)
    path = tmp_path / f"x.{kind}"
    for number in numbers:
        path.write_bytes(data := mutated(good.getvalue(), random.Random(number)))
        with only(PictureError, data[:99]):
            assert read_picture(path, near=(16, 9) if number % 2 else None).dtype == np.uint8
    assert capfd.readouterr().err == "", "nobody but us says what is wrong"


LINES = b"w\nd x2\nW L\nq\ni j x3\nn\n"


@cases("keys", 300, 4000)
def test_lines_of_keys(numbers):
    for number in numbers:
        data = mutated(LINES, random.Random(number))
        stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)), encoding="utf-8")
        with only(InputError, data), contextlib.redirect_stdout(io.StringIO()):
            assert sum(line.blocks for line in lines_of(stdin, action_space("universal"))) < 10_000


WORDS = [
    *("model=tiny", "quality=fast", "compile=off", "decoder=own", "device=cpu", "dtype=float32", "threads=1"),
    *("weights=x", "record.root=a b", "record.crf=16", "record.icon_height=0", "play.sensitivity=40"),
    *("play.scale=sharp", "play.rewind_mb=1", "model.window=4", "model.fps=20", "model.denoising_steps=[1000,500]"),
    *("model.transformer.layers=2", "check_memory=false"),
]
FLAGS = [
    *(["--headless", "--script", "s.yaml"], ["--seed", "3"], ["--scene", "hall"], ["--out", "o"], ["--name", "n"]),
    *(["--seconds", "1"], ["--bench"], ["--blocks", "3"], ["--doctor"], ["--record"], ["--profile"], ["--fetch"]),
]


@cases("flags", 40, 800)
def test_flags_and_words(numbers, tmp_path, monkeypatch, capsys):
    """As far as the point at which a model would be loaded."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_bytes(SCRIPT)

    def run(command) -> int:
        settings = load_settings(command.words)
        assert settings_file_of(settings).now.window
        if command.flags.script:
            load_script(Path(command.flags.script))
        cli._job(command, "demo")
        return 0

    monkeypatch.setattr(cli, "_run", run)
    for number in numbers:
        draws = random.Random(number)
        argv = [word for flag in draws.sample(FLAGS, draws.randint(0, 3)) for word in flag]
        argv += draws.sample(WORDS, draws.randint(0, 2))
        at = draws.randrange(len(argv) + 1)
        nasty = mutated(argv[at].encode() if at < len(argv) else b"model.window=4", draws)
        argv[at : at + 1] = [nasty.replace(b"\0", b"").decode("utf-8", "surrogateescape")]
        if {"--help", "-h", "--version"} & set(argv):
            continue
        code = cli.main(argv)
        err = capsys.readouterr().err
        assert code in (0, 2), (argv, err)
        assert err.count("\n") == (1 if code else 0) and len(err) < 3000, (argv, err)


def test_a_header_that_would_be_a_million_things_is_refused_at_once(recording, tmp_path):
    """Numbers that only make sense to a mutation."""
    folder = Path(shutil.copytree(recording, tmp_path / "a"))
    lines = (folder / ACTIONS).read_text().splitlines(True)
    good = json.loads(lines[0])
    for name, values in {
        "fps": (0, -1, 1e9, "20", None, True),
        "seed": (-1, 2**63, 10**400, 1.5),
        "width": (0, -5, 10**9, "x"),
        "prelude": (-1, 10**12),
        "threads": (-1, 10**9),
        "overrides": ("abc", [1], ["record.root=/x"], ["weights=/x"], {"a": 1}),
        "mode": ("walk", 3),
        "denoising_steps": ("x", 5),
    }.items():
        for value in values:
            (folder / ACTIONS).write_text("".join([json.dumps(good | {name: value}) + "\n", *lines[1:]]))
            with pytest.raises(ScriptError, match="line 1"):
                load_script(folder)
