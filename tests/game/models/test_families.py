"""A kind of model that nobody here has heard of is one file: it plays, is recorded, and replays."""

from __future__ import annotations

import ast
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import engine.families
from game.config.bindings import default_controls
from game.config.preferences import Preferences
from game.config.settings import load_settings
from game.input.controls import Controls
from game.live.player import Habits, LocalPlayer, State
from game.models.switcher import Switcher
from game.recording.format import ACTIONS, Job
from game.recording.script import load
from game.recording.writer import header_of, start_recorder
from game.tools.render import render
from tests.engine.families.toy import YAML, Toy, write_weights
from tests.game.fakes import FakeScene, wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """The family is registered, and two checkpoints of it stand side by side; returns the folder of their weights."""
    configs = shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for name in ("toy", "toy_two"):
        (configs / "model" / f"{name}.yaml").write_text(YAML.format(name=name))
        write_weights(tmp_path / "weights", name, seed=len(name))
    monkeypatch.setattr("game.config.settings.CONFIGS", configs)
    monkeypatch.setattr(engine.families, "_REGISTRY", dict(engine.families._REGISTRY))
    engine.families.register(Toy())
    return tmp_path / "weights"


def script(path: Path) -> Path:
    path.write_text("actions:\n  - {keys: [SPACE], frames: 6}\n  - {mouse: [0, 9.5], keys: [WHEEL_UP], frames: 10}\n")
    return path


def test_a_new_family_is_rendered_and_replayed(toy, tmp_path, capsys):
    words = ["model=toy", f"weights={toy}"]
    assert render(load(script(tmp_path / "bench.yaml")), words, Job("demo", tmp_path / "a")) == 0
    assert render(load(tmp_path / "a"), [f"weights={toy}"], Job("demo", tmp_path / "b")) == 0
    assert "identical" in capsys.readouterr().out
    header = json.loads((tmp_path / "a" / ACTIONS).read_text().splitlines()[0])
    assert (header["model"], header["mode"], header["width"]) == ("toy", "slide", 96)


def test_two_checkpoints_of_one_mode_stand_side_by_side(toy, tmp_path):
    made = {}
    for name in ("toy", "toy_two"):
        folder = tmp_path / f"of_{name}"
        words = [f"model={name}", f"weights={toy}"]
        assert render(load(script(tmp_path / "bench.yaml")), words, Job("demo", folder)) == 0
        made[name] = json.loads((folder / "report.json").read_text())
    one, two = made.values()
    assert (one["model"], two["model"]) == ("toy", "toy_two") and one["mode"] == two["mode"]
    assert one["weights_sha256"] != two["weights_sha256"] and one["frames_sha256"] != two["frames_sha256"]


def test_a_new_family_is_played_recorded_and_replays(toy, tmp_path, capsys):
    settings = load_settings(["model=toy", f"weights={toy}"])
    controls = Controls("slide", settings.model.fps)

    def record(rollout, world, scene, prelude=None):
        header = header_of(world, rollout, settings, source="live", scene=scene, prelude=prelude)
        return start_recorder(
            tmp_path / "live", header, name="session", first_frame=rollout.first_frame, prelude=prelude, current=False,
            settings=settings.record,
        )  # fmt: skip

    player = LocalPlayer(
        Switcher(["model=toy", f"weights={toy}"], compile_first=True),
        [FakeScene("hall")],
        controls,
        habits=Habits(record=True),
        make_recorder=record,
    )
    player.start()
    try:
        assert wait_until(lambda: player.status.state is State.PLAYING, 60.0)
        now = time.perf_counter()
        controls.press("space", now)
        controls.motion(12, 0, now)
        shown: set[int] = set()

        def seen(number: int) -> bool:
            picture = player.look(time.perf_counter())
            if picture is not None and picture.number is not None:
                shown.add(picture.number)
            return max(shown, default=0) >= number

        assert wait_until(lambda: seen(20), 60.0)
    finally:
        assert player.shutdown(30.0)
    lines = [json.loads(line) for line in (tmp_path / "live" / ACTIONS).read_text().splitlines()]
    assert any("SPACE" in line["keys"] for line in lines[1:]) and any(line["mouse"][1] > 0 for line in lines[1:])
    assert render(load(tmp_path / "live"), [f"weights={toy}"], Job("demo", tmp_path / "again")) == 0
    assert "identical" in capsys.readouterr().out


def test_a_new_familys_keys_can_be_bound_and_its_looks_steer(toy):
    table = default_controls()["slide"]
    assert table["SPACE"] == ("space",)
    assert set(Preferences().controls) >= {"slide"}
    controls = Controls("slide", 30.0)
    controls.motion(60, 0, 1.0)
    (told,) = controls.sample(1, 1.0)
    assert np.allclose(told.mouse, (0.0, 8.0))


def test_nothing_in_game_names_a_model_or_a_mode():
    """Families are asked; only their own files, configs, tests and prose name them."""
    names = {space.mode for space in engine.families.action_spaces().values()}
    names |= {path.stem for path in (ROOT / "configs" / "model").glob("*.yaml")}
    found = []
    for path in sorted((ROOT / "game").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings: examples
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                words = set(re.findall(r"[\w-]+", node.value))
                found += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in words & names]
    assert not found, "\n".join(found)
