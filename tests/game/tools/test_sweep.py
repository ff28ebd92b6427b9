"""Claims about `--multirun`: every combination once, what is there kept, and one that fails told while others stay."""

import importlib.util
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from game.cli import main, parse
from game.errors import InputError
from game.tools import sweep as module

SCRIPT = "actions:\n  - {keys: [W], frames: 3}\n"


@pytest.fixture
def ran(monkeypatch, tmp_path) -> list[list[str]]:
    """Command lines that were run; a stand-in makes a report, and fails for the scene `nowhere`."""
    lines: list[list[str]] = []

    def run(line, **_):
        lines.append(line[3:])
        if "nowhere" in line:
            return SimpleNamespace(returncode=2, stdout="", stderr="a warning\ngame: there is no scene 'nowhere'\n")
        Path(line[-1], "report.json").write_text(json.dumps({"frames": 3, "seed": line[line.index("--seed") + 1]}))
        return SimpleNamespace(returncode=0, stdout="done", stderr="")

    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=run, DEVNULL=subprocess.DEVNULL))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walk.yaml").write_text(SCRIPT)
    return lines


def multirun(*words: str) -> int:
    return main(["--headless", "--script", "walk.yaml", "--multirun", "--out", "out", *words])


def runs() -> list[dict]:
    return json.loads(Path("out/sweep.json").read_text())["runs"]


def test_every_combination_is_run_once_in_a_folder_of_its_own(ran):
    assert multirun("seed=0,1", "scene=hall,pool", "threads=1") == 0
    assert len(ran) == 4
    assert ran[1] == ["--headless", "--script", "walk.yaml", "--seed", "0", "--scene", "pool", "threads=1", "--out",
                      str(Path("out").absolute() / "seed=0_scene=pool_threads=1")]  # fmt: skip
    assert [row["result"]["seed"] for row in runs()] == ["0", "0", "1", "1"]
    assert {row["made"] for row in runs()} == {True}


def test_what_is_there_is_not_made_again_unless_an_input_changed(ran):
    multirun("seed=0,1")
    assert multirun("seed=0,1,2") == 0
    assert [row["made"] for row in runs()] == [False, False, True]
    Path("walk.yaml").write_text(SCRIPT.replace("3", "4"))
    multirun("seed=0,1,2")
    assert [row["made"] for row in runs()] == [True] * 3
    assert len(ran) == 6


def test_one_that_fails_is_told_at_the_end_and_tried_again(ran, capsys):
    assert multirun("seed=0", "scene=hall,nowhere,pool") == 1
    said = capsys.readouterr().out
    assert "scene=nowhere: failed: there is no scene 'nowhere'" in said and "2 of 3 runs done" in said
    assert [row["code"] for row in runs()] == [0, 2, 0]
    assert multirun("seed=0", "scene=hall,nowhere,pool") == 1
    assert len(ran) == 4


def test_ranges_and_choices_of_hydra_are_understood(ran):
    multirun("seed=range(3)", "scene=choice(hall,pool)")
    assert len(ran) == 6


def test_what_hydra_cannot_read_is_one_line(ran, capsys):
    assert multirun("seed={") == 2
    assert capsys.readouterr().err.startswith("game: hydra cannot read this")


def test_a_launcher_that_is_not_installed_says_how_to_get_it(ran, capsys, monkeypatch):
    def missing(name):
        raise module.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.importlib.metadata, "version", missing)
    assert multirun("seed=0", "hydra/launcher=ray") == 2
    assert "hydra-ray-launcher; pip install 'neural-world[sweep]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [("--multirun seed=0,1", "needs something to run"), ("--headless --script - --multirun", "reads no keys")],
)
def test_flags_that_do_not_go_together_are_told(line, said):
    with pytest.raises(InputError, match=said):
        parse(line.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("joblib", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")),
        (
            "submitit",
            ("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5", "hydra.launcher.cpus_per_task=1"),
        ),
        ("ray", ("hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2")),
    ],
)
def test_hydras_launchers_run_them_elsewhere(plugin, words, tmp_path, monkeypatch):
    if importlib.util.find_spec(f"hydra_plugins.hydra_{plugin}_launcher") is None:
        pytest.skip("not installed")
    monkeypatch.chdir(tmp_path)
    Path("walk.yaml").write_text(SCRIPT)
    assert multirun("seed=0,1", "scene=hall,nowhere", *words) == 1
    assert [row["code"] for row in runs()] == [0, 2, 0, 2]
    hashes = [row["result"]["frames_sha256"] for row in runs() if row["code"] == 0]
    assert len(hashes) == 2
