"""Recordings from before the files moved (see old/README.md) replay identical for ever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from game.errors import RunError
from game.recording.format import ACTIONS, Job
from game.recording.script import load
from game.tools.render import render
from tests.engine.tiny import big_config, world
from tests.game.offline import read_video
from tests.game.recording.whole_numbers import WholeNumberWorld

OLD = Path(__file__).parent / "old"
BLOCKS = {"rewind_and_anchor": (1, 1), "mid_world": (3, 4), "headless": (9, 12)}  # frames of the first and later ones

ROW = ("frame", "block", "keyboard", "mouse", "keys")


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / ACTIONS).read_text().splitlines()]


@pytest.mark.parametrize("name", BLOCKS)
def test_an_old_recording_replays_identical_and_so_does_its_replay(name, tmp_path, capsys):
    made = WholeNumberWorld(*BLOCKS[name])
    assert render(load(OLD / name), [], Job("session", tmp_path / "a"), lambda settings: made) == 0
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert render(load(tmp_path / "b"), [], Job("session", tmp_path / "c"), lambda settings: made) == 0
    assert capsys.readouterr().out.count("identical") == 2
    assert lines(tmp_path / "b")[1:] == lines(tmp_path / "c")[1:]
    old, new = lines(OLD / name)[1:], lines(tmp_path / "b")[1:]
    assert [{name: line[name] for name in ROW} for line in old] == [{name: line[name] for name in ROW} for line in new]


def test_the_old_recordings_hold_what_they_are_kept_for():
    rewound, middle = lines(OLD / "rewind_and_anchor"), lines(OLD / "mid_world")
    events = {event["event"] for line in rewound for event in line.get("events", ())}
    assert events == {"return", "anchor"}
    assert middle[0]["prelude"] > 0 and any(line.get("held") for line in middle)
    assert [event["event"] for line in middle for event in line.get("events", ())] == ["enter", "enter"]
    assert lines(OLD / "headless")[0]["source"] == "headless"


def test_a_replay_with_one_other_action_is_not_identical(tmp_path):
    folder = shutil.copytree(OLD / "headless", tmp_path / "edited")
    text = (folder / ACTIONS).read_text().replace('"mouse": [0.02, -0.1]', '"mouse": [0.02, -0.05]', 1)
    (folder / ACTIONS).write_text(text)
    with pytest.raises(RunError, match="not identical"):
        render(load(folder), [], Job("demo", tmp_path / "b"), lambda settings: WholeNumberWorld(9, 12))


def test_the_engines_old_recording_replays_and_looks_the_same_on_any_machine(tmp_path, capsys):
    """Bit for bit where torch computes the same bits as where it was made, and else as near as rounding leaves it."""
    folder, out = OLD / "engine", tmp_path / "b"
    made = world(big_config(name="tiny", fps=100.0))
    try:
        assert render(load(folder), [], Job("session", out), lambda settings: made) == 0
        assert "identical" in capsys.readouterr().out
    except RunError as error:
        assert "not identical" in str(error)
    was, now = (read_video(path / "session.mp4").astype(np.int16) for path in (folder, out))
    assert was.shape == now.shape
    assert np.abs(was - now).mean() < 1.0
    assert [line.get("events") for line in lines(folder)[1:]] == [line.get("events") for line in lines(out)[1:]]
