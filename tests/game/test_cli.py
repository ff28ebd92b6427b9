"""The command line: exit codes, one line on standard error, and nothing heavy before the window."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import game.cli
import game.requirements
import game.tools.render
from game.cli import main
from game.files import check_folder
from game.requirements import REQUIRED, calm_threads
from tests.game.offline import picture_file, real_world

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a picture, a script, and things that are wrong."""
    monkeypatch.chdir(tmp_path)
    picture_file(tmp_path)
    (tmp_path / "good.yaml").write_text("first_frame: start.png\nactions: [{keys: [W], frames: 3}]\n")
    (tmp_path / "lost.yaml").write_text("scene: nowhere\nactions: [{keys: [W], frames: 3}]\n")
    (tmp_path / "nopic.yaml").write_text("first_frame: good.yaml\nactions: [{keys: [W], frames: 3}]\n")
    (tmp_path / "nomodel.yaml").write_text("model: huge\nactions: [{keys: [W], frames: 3}]\n")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "transformer.safetensors").write_bytes(b"nonsense")
    (tmp_path / "weights" / "codec.safetensors").write_bytes(b"nonsense")
    return tmp_path


WITH = ["weights=weights"]
RENDER = ["--headless", "--script", "good.yaml", "--out", "out", *WITH]
WRONG = {
    "unknown flag": (["--recrod"], "did you mean --record?"),
    "unknown word": (["universal"], "did you mean model=universal?"),
    "flag as word": (["seed=3"], "did you mean --seed 3?"),
    "unknown model": (["model=tniy"], "did you mean model=tiny?"),
    "unknown setting": (["play.sensitivty=3"], "did you mean play.sensitivity=3?"),
    "seed no number": (["--seed", "x"], "a whole number"),
    "seed negative": (["--seed", "-1"], "a whole number"),
    "seed missing": (["--seed"], "expected one argument"),
    "seconds zero": (["--seconds", "0"], "more than 0"),
    "seconds not finite": (["--seconds", "nan"], "more than 0"),
    "blocks alone": (["--blocks", "3"], "add --bench"),
    "blocks zero": (["--bench", "--blocks", "0"], "1 to"),
    "headless alone": (["--headless"], "add --script"),
    "script alone": (["--script", "good.yaml"], "add --headless"),
    "two ways": (["--bench", "--doctor"], "exclude each other"),
    "out alone": (["--out", "x"], "add --record"),
    "seed for the bench": (["--bench", "--seed", "3"], "--seed does nothing with --bench"),
    "out for the doctor": (["--doctor", "--out", "x"], "--out does nothing with --doctor"),
    "random weights": (["weights=random"], "a model of random weights has no world to show"),
    "name with a slash": ([*RENDER, "--name", "a/b"], "--name cannot be a file's name"),
    "out in a file": ([*RENDER[:4], "good.yaml/out", *WITH], "good.yaml is a file"),
    "bench's out in a file": (["--bench", "--out", "good.yaml", "model=universal-slice"], "good.yaml is a file"),
    "out where nothing can be made": ([*RENDER[:4], "/proc/nothing/out", *WITH], "cannot write there"),
    "out too long a name": ([*RENDER[:4], "o" * 300, *WITH], "File name too long; choose another folder with --out"),
    "record where nothing can be made": (["--record", "--out", "/proc/nothing"], "cannot write there"),
    "bench's out too long": (["--bench", "--out", "o" * 300, "model=universal-slice"], "File name too long"),
    "name with dots": ([*RENDER, "--name", ".."], "--name cannot be a file's name"),
    "no such script": (["--headless", "--script", "god.yaml"], "did you mean good.yaml?"),
    "script in script": (["--headless", "--script", "nomodel.yaml"], "nomodel.yaml, line 1: unknown model; got huge"),
    "unknown scene in script": (
        ["--headless", "--script", "lost.yaml", *WITH],
        "lost.yaml, line 1: there is no scene 'nowhere'",
    ),
    "no picture in script": (
        ["--headless", "--script", "nopic.yaml", *WITH],
        "nopic.yaml, line 1: good.yaml is no picture",
    ),
    "unknown scene": ([*RENDER, "--scene", "nowhere"], "there is no scene 'nowhere'"),
    "missing picture": ([*RENDER, "--scene", "none.png"], "cannot read the picture none.png"),
    "scene no picture": ([*RENDER, "--scene", "good.yaml"], "is no picture"),
    "live scene": (["--scene", "none.png", *WITH], "cannot read the picture none.png"),
    "weights missing": (["weights=nothing"], "the weights are not there"),
    "weights damaged": (RENDER, "can not be read as weights"),
    "big model without weights": (["model=universal"], "Skywork/Matrix-Game-2.0"),
    "big model, empty folder": (
        ["--headless", "--script", "good.yaml", "model=universal", "weights=out2"],
        "the weights are not there",
    ),
    "big model, weights of another": (
        ["--headless", "--script", "good.yaml", "model=universal", "weights=weights", "device=cpu"],
        "3 of 3 weight files for universal missing",
    ),
    "no gpu": ([*RENDER, "device=cuda"], "there is no GPU to use"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_exits_2_with_one_line_that_says_what_to_do(here, name, capsys):
    argv, says = WRONG[name]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_picture_cut_off_is_told_by_nobody_else(here, capfd):
    (here / "cut.png").write_bytes((here / "start.png").read_bytes()[:2000])
    assert main(["--headless", "--script", "good.yaml", "--scene", "cut.png", *WITH]) == 2
    err = capfd.readouterr().err
    assert "cut.png is no picture" in err
    assert err.count("\n") == 1


def test_debug_shows_the_traceback(here, capsys):
    assert main(["--debug", "model=tniy"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_what_fails_while_running_exits_1_with_one_line(here, monkeypatch, capsys):
    def fails(*_):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(game.tools.render, "open_world", fails)
    assert main(RENDER) == 1
    err = capsys.readouterr().err
    assert err == "game: RuntimeError: two lines; --debug shows where\n"


def test_a_polite_kill_ends_well_wherever_it_comes(monkeypatch, capsys):
    def killed(command):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(game.cli, "_run", killed)
    assert main([]) == 0
    assert capsys.readouterr().out == "stopped\n"
    assert signal.getsignal(signal.SIGTERM) is before


def real_world_for(settings, *_):
    return real_world()


def test_a_render_from_the_command_line_writes_the_contracts_files(here, monkeypatch, capsys):
    monkeypatch.setattr(game.tools.render, "open_world", real_world_for)
    assert main([*RENDER, "--name", "walk", "--seed", "5", "record.current=true"]) == 0
    assert {path.name for path in (here / "out").iterdir()} == {
        *("walk.mp4", "walk_icon.mp4", "walk_current.mp4", "actions.jsonl", "first_frame.png", "report.json")
    }
    assert json.loads((here / "out" / "report.json").read_text())["seed"] == 5
    assert capsys.readouterr().err == ""


def test_help_shows_examples_models_and_settings(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    for word in ("python -m game --record", "universal", "quality=", "weights=DIR", "--doctor"):
        assert word in out


def test_nothing_heavy_is_imported_before_the_window():
    code = """
import sys
import game.cli, game.ui.local, game.config.settings, game.ui.app
game.config.settings.load_settings(["model=tiny"])
heavy = {"torch", "cv2", "scipy", "matplotlib", "imageio_ffmpeg"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_m_game_ends_with_the_exit_code(tmp_path):
    argv = [sys.executable, "-m", "game", "model=tniy"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_finding_out_whether_a_folder_can_be_written_leaves_nothing_behind(tmp_path):
    check_folder(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    check_folder(tmp_path / "a")
    assert not list((tmp_path / "a").iterdir())


_HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        (("numpy", "torch", "pygame", "hydra"), "torch, numpy, pygame and hydra-core are not installed"),
        (("torch",), "torch is not installed"),
        (("cv2",), "opencv-python is not installed"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--doctor"], ["--headless", "--script", "-"]])
def test_a_missing_package_is_named_with_what_installs_it(tmp_path, hidden, said, flags):
    (tmp_path / "sitecustomize.py").write_text(_HIDE.replace("{hidden}", repr(hidden)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    argv = [sys.executable, "-m", "game", *flags]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"game: {said}; run pip install -e . in the program's folder\n"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_the_packages_looked_for_are_those_that_are_installed():
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.match(r"[\w-]+", one).group() for one in listed]
    assert list(REQUIRED.values()) == [name for name in names if name != "pygame-ce"], (
        "one of the two pygames is enough"
    )


@pytest.mark.parametrize(
    "before, after",
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1500", "KMP_BLOCKTIME": "0"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE", "KMP_BLOCKTIME": "0"}),
        ({"GOMP_SPINCOUNT": "5"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5", "KMP_BLOCKTIME": "0"}),
    ],
)
def test_how_threads_wait_is_as_it_was_set_or_calm(before, after, monkeypatch):
    monkeypatch.setattr("game.requirements.os.environ", dict(before))
    calm_threads()
    assert game.requirements.os.environ == after
