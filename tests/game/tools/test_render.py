"""Headless renders and replays, with a real engine of random weights."""

import json
import os
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from game.errors import InputError, RunError, ScriptError
from game.recording.format import Job, read_recording
from game.recording.script import load
from game.tools.render import render
from tests.engine import tiny
from tests.game.offline import picture_file, read_video, real_world

SCRIPT = "seed: 3\nfirst_frame: start.png\nactions:\n  - {keys: [W], mouse: [0, 0.1], frames: 25}\n"


@pytest.fixture
def words(tmp_path):
    return [f"weights={tmp_path}"]


def write_script(folder: Path) -> Path:
    picture_file(folder)
    path = folder / "bench.yaml"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def script(tmp_path):
    return write_script(tmp_path)


@pytest.fixture(scope="module")
def render_kept(tmp_path_factory):
    """A finished render that nobody touches."""
    folder = tmp_path_factory.mktemp("rendered")
    assert render(load(write_script(folder)), [f"weights={folder}"], Job(out=folder / "a"), real_world) == 0
    (folder / "start.png").unlink()
    return folder / "a"


@pytest.fixture
def rendered(tmp_path, render_kept):
    """A copy of it to do with as one likes."""
    return shutil.copytree(render_kept, tmp_path / "a")


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_frames_left_over_in_the_last_block_are_generated_with_no_keys_and_shown(rendered):
    recording = read_recording(rendered / "actions.jsonl")
    assert len(recording.actions) == 9 + 12 + 12 == report(rendered)["frames"]
    assert set(recording.actions.keys[:25]) == {("W",)}
    assert set(recording.actions.keys[25:]) == {()}
    assert not recording.actions.mouse[25:].any()
    assert len(read_video(rendered / "demo.mp4")) == len(read_video(rendered / "demo_icon.mp4")) == 33


def test_the_same_script_gives_the_same_frames_and_another_seed_others(tmp_path, script, words, rendered):
    render(load(script), words, Job(out=tmp_path / "b"), real_world)
    render(load(script), words, Job(out=tmp_path / "c", seed=4), real_world)
    assert report(tmp_path / "b")["frames_sha256"] == report(rendered)["frames_sha256"]
    assert report(tmp_path / "c")["frames_sha256"] != report(rendered)["frames_sha256"]


@pytest.mark.parametrize("what", ["", "actions.jsonl"])
def test_a_replay_says_that_every_frame_is_the_recordings(tmp_path, words, rendered, what, capsys):
    assert render(load(rendered / what), words, Job(out=tmp_path / "again"), real_world) == 0
    assert "identical" in capsys.readouterr().out
    assert report(tmp_path / "again")["frames_sha256"] == report(rendered)["frames_sha256"]


def test_a_replay_needs_nothing_but_the_session_folder(tmp_path, words, rendered, capsys):
    moved = tmp_path / "elsewhere" / "s"
    shutil.copytree(rendered, moved)
    assert render(load(moved), words, Job(out=tmp_path / "again"), real_world) == 0


def test_a_replay_on_other_weights_says_so_and_fails(tmp_path, words, rendered, capsys):
    def other(settings):
        made = tiny.world(tiny.big_config(name="tiny"), seed=1)
        made.weights_sha256 = "1" * 64
        return made

    with pytest.raises(RunError, match=r"not identical .*weights: recorded 000000000000, now 111111111111"):
        render(load(rendered), words, Job(out=tmp_path / "again"), other)
    assert "weights differ" in capsys.readouterr().err


def test_a_replay_with_another_seed_is_another_world_and_no_failure(tmp_path, words, rendered, capsys):
    assert render(load(rendered), words, Job(out=tmp_path / "b", seed=9), real_world) == 0
    assert "not the recording's frames, as asked for: seed: recorded 3, now 9" in capsys.readouterr().out


def test_a_replay_in_another_mode_is_refused(tmp_path, rendered, words):
    with pytest.raises(ScriptError, match="recorded in another mode"):
        render(load(rendered), [*words, "model=templerun"], Job(out=tmp_path / "x"), real_world)


def test_a_replay_of_a_changed_first_frame_is_refused(tmp_path, rendered, words):
    cv2.imwrite(str(rendered / "first_frame.png"), np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(ScriptError, match="not the picture this recording started from"):
        render(load(rendered), words, Job(out=tmp_path / "x"), real_world)
    (rendered / "first_frame.png").unlink()
    with pytest.raises(ScriptError, match="first frame is missing"):
        render(load(rendered), words, Job(out=tmp_path / "x"), real_world)


def test_a_recording_without_a_report_replays_without_a_verdict(tmp_path, rendered, words, capsys):
    (rendered / "report.json").unlink()
    assert render(load(rendered), words, Job(out=tmp_path / "x"), real_world) == 0
    assert "no report.json that can be read" in capsys.readouterr().out


def test_a_recording_cut_off_in_its_last_line_still_replays(tmp_path, rendered, words):
    log = rendered / "actions.jsonl"
    log.write_text(log.read_text()[:-20])
    (rendered / "report.json").unlink()
    assert len(load(rendered).actions) == 32
    assert render(load(rendered), words, Job(out=tmp_path / "x"), real_world) == 0


def test_a_recording_is_never_written_over_by_its_replay(rendered, words):
    with pytest.raises(InputError, match="is the recording being replayed"):
        render(load(rendered), words, Job(out=rendered), real_world)


def test_a_live_session_is_never_written_over_by_a_render(rendered, script, words):
    log = rendered / "actions.jsonl"
    log.write_text(log.read_text().replace('"source": "headless"', '"source": "live"'))
    with pytest.raises(InputError, match="holds a live session"):
        render(load(script), words, Job(out=rendered), real_world)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_a_kill_ends_a_render_well_and_keeps_what_was_rendered(tmp_path, script, words, capsys, number):
    script.write_text(SCRIPT.replace("frames: 25", "frames: 100000"))

    def interrupted(settings):
        made, start = real_world(), None

        def begin(picture, seed):
            rollout = start(picture, seed)
            step = rollout.step

            def stepping(actions):
                if rollout.blocks_done == 2:
                    os.kill(os.getpid(), number)
                return step(actions)

            rollout.step = stepping
            return rollout

        start, made.start = made.start, begin
        return made

    assert render(load(script), words, Job(out=tmp_path / "x"), interrupted) == 0
    assert report(tmp_path / "x")["frames"] == 33 == len(read_video(tmp_path / "x" / "demo.mp4"))
    assert "stopped early" in capsys.readouterr().out


BAD_LINES = {
    "not json": (1, "{", "line 2: not JSON"),
    "no object": (1, "[1]", "line 2: not a JSON object"),
    "no keyboard": (1, '{"frame": 0, "mouse": null, "keys": []}', "line 2: bad keyboard"),
    "keyboard text": (1, '{"frame": 0, "keyboard": ["a"], "mouse": null, "keys": []}', "line 2: bad keyboard"),
    "not finite": (1, '{"frame": 0, "keyboard": [NaN, 0, 0, 0], "mouse": [0, 0], "keys": []}', "line 2: bad keyboard"),
    "gap": (2, None, "line 2: frames out of order"),
    "narrow": (2, '{"frame": 1, "keyboard": [0], "mouse": [0, 0], "keys": []}', "line 3: keyboard or mouse differs"),
    "header text": (0, "hello", "line 1: not JSON"),
    "header without seed": (0, '{"model": "tiny", "mode": "universal"}', "line 1: the header lacks 'seed'"),
    "empty": (0, None, "line 1"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_damaged_recording_is_one_line_with_file_and_line(rendered, name):
    number, text, says = BAD_LINES[name]
    log = rendered / "actions.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    if text is None:
        lines = lines[:1] + lines[2:] if number else [""]
    else:
        lines[number] = text + "\n"
    log.write_text("".join(lines))
    with pytest.raises(ScriptError) as caught:
        load(rendered)
    assert f"{log}, {says}" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"model": "tiny"', '"model": "huge"', "unknown model"),
        ('"mode": "universal"', '"mode": "flying"', "unknown mode"),
        ('"seed": 3', '"seed": "3"', "the header's seed is of the wrong kind"),
    ],
)
def test_a_damaged_header_is_named(tmp_path, rendered, words, old, new, says):
    log = rendered / "actions.jsonl"
    log.write_text(log.read_text().replace(old, new, 1))
    with pytest.raises(ScriptError, match=says):
        render(load(rendered), words, Job(out=tmp_path / "x"), real_world)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"keyboard": [1.0', '"keyboard": [5.0', "video frame 0: keyboard and keys do not say the same"),
        ('"keys": ["W"]', '"keys": ["S"]', "video frame 0: keyboard and keys do not say the same"),
        ('"keys": ["W"]', '"keys": ["Foo"]', "video frame 0: mode universal has no such key; got Foo"),
        ('"mouse": [0.0, 0.1]', '"mouse": [0.0, 9e9]', "video frame 0: mouse motion is out of range"),
        ('"seed": 3', '"seed": -4', "line 1: seed is out of range"),
        ('"dtype": "float32"', '"dtype": "foo"', "line 1: dtype is of the wrong kind"),
        ('"overrides": []', '"overrides": [3]', "line 1: bad overrides"),
    ],
)
def test_a_recording_changed_by_hand_is_refused_in_one_line(tmp_path, rendered, words, old, new, says):
    log = rendered / "actions.jsonl"
    text = log.read_text()
    assert old in text
    log.write_text(text.replace(old, new, 1))
    with pytest.raises(ScriptError) as told:
        render(load(rendered), words, Job(out=tmp_path / "x"), real_world)
    assert f"{log}, {says}" in str(told.value)
