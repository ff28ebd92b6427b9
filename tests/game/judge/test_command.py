"""Claims about `--judge`: what it writes, that it is the same every time, and what it says when it cannot."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from engine.families import action_space, action_spaces
from engine.measures.clip import commands
from game.cli import parse
from game.config.settings import load_settings
from game.errors import InputError
from game.judge.command import judge
from game.judge.suites import load_suite, render_suite, suites, takes_of
from game.models.loader import make_world
from game.recording.format import read_recording
from tests.engine import tiny
from tests.game.fakes import FakeWorld
from tests.game.judge.broken import BrokenWorld

SCRIPT = "actions:\n  - still@10\n  - yaw:left:22.5@12\n  - still@10\n  - yaw:right:22.5@12\n  - still@10\n"
SUITE = """version: 3
seed: 1
cases:
  - {script: turns.yaml, scenes: [hall, pool], modes: [universal], measures: [following, mirror, seams, sharpness]}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A suite of two takes, 54 frames each."""
    folder = tmp_path_factory.mktemp("suites") / "small"
    folder.mkdir()
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "turns.yaml").write_text(SCRIPT)
    return folder


@pytest.fixture(scope="module")
def judged(small, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("judged") / "good"
    assert judge([], [], suite=str(small), out=out, open_model=lambda settings: FakeWorld()) == 0
    return out


def without_times(folder: Path) -> dict:
    data = json.loads((folder / "judge.json").read_text())
    for one in data["inputs"]:
        assert one.pop("times")["judging_s"] > 0
    return data


def test_the_result_says_what_was_measured_on_what(judged):
    data = without_times(judged)
    one = data["inputs"][0]
    assert (data["version"], one["name"], one["frames"], one["fps"]) == (1, "small: fake", 108, 20.0)
    assert one["suite"] == {"suite": "small", "version": 3, "seed": 1}
    assert {len(digest) for digest in one["hashes"].values()} == {64}
    turn = one["measures"]["following"]["turn_left"]
    assert turn["accuracy"]["count"] == 2 and set(turn["gain"]) == {"value", "unit", "count", "interval"}
    low, high = turn["gain"]["interval"]
    assert low <= turn["gain"]["value"] <= high
    assert "forward is never asked for" in one["measures"]["following"]["forward"]["accuracy"]["undecidable"]
    assert [row["scene"] for row in one["recordings"]] == ["hall", "pool"]
    assert "stillness" not in one["measures"]


def test_a_suite_judged_again_gives_the_same_and_renders_nothing_anew(judged, small):
    before = without_times(judged)
    world = FakeWorld()
    judge([], [], suite=str(small), out=judged, open_model=lambda settings: world)
    assert "start" not in world.log
    assert without_times(judged) == before


def test_another_seed_is_another_recording(small, tmp_path):
    world, settings, suite = FakeWorld(), load_settings(), load_suite(str(small))
    for seed in (1, 2, 2):
        render_suite(suite, world, settings, tmp_path, None, seed, lambda what, share: None)
    assert world.log.count("start") == 4


def test_two_are_put_side_by_side(judged, small, tmp_path, capsys):
    other = tmp_path / "late"
    judge(
        [], [], suite=str(small), out=other, open_model=lambda settings: BrokenWorld(FakeWorld(name="late"), "delayed")
    )
    out = tmp_path / "both"
    assert judge([judged, other], [], out=out) == 0
    said = capsys.readouterr().out
    assert "small: fake: 108 frames" in said and "delay 3 frames" in said
    data = without_times(out)
    assert [one["name"] for one in data["inputs"]] == ["small: fake", "small: late"]
    assert data["inputs"][1]["measures"]["following"]["turn_left"]["delay_frames"]["value"] == 3
    page = (out / "judge.html").read_text()
    assert page.count("small: late") > 3 and "<svg" in page


def test_one_take_is_judged_as_any_recording(judged, tmp_path):
    assert judge([judged / "clips" / "turns-hall"], [], out=tmp_path / "one") == 0
    one = without_times(tmp_path / "one")["inputs"][0]
    assert one["hashes"]["suite"] is None and "stillness" in one["measures"]
    assert one["measures"]["drift"][0]["sharpness"]["undecidable"].startswith("shorter than")


def test_the_page_needs_nothing_but_itself_and_the_videos(judged):
    page = (judged / "judge.html").read_text()
    assert set(re.findall(r"src=['\"](\w+:)", page)) == {"data:"}
    assert not re.search(r"<(script|link|iframe)\b|@import|url\((?!#)", page)
    links = re.findall(r"href='([^'#]+)", page)
    assert links and all((judged / link).is_file() for link in links)


@pytest.mark.parametrize("name", suites())
def test_shipped_suites_have_something_for_every_mode(name):
    suite = load_suite(name)
    for mode, space in action_spaces().items():
        takes = takes_of(suite, mode, None)
        measured = {name for take in takes for name in take.case.measures}
        assert {"following", "alive_s", "seams", "drift"} <= measured
        first = next(case for case in suite.cases if mode in case.modes)
        asked = commands(first.script.actions(space), mode)
        assert (asked[:, 2] > 0).any() and (asked[:, 2] < 0).any()  # turned both ways, in whatever way the mode can


def test_the_standard_suite_goes_all_the_way_round():
    for mode in ("universal", "keyboard_mouse"):
        case = next(case for case in load_suite("standard").cases if "loop" in case.measures and mode in case.modes)
        space = action_space(mode)
        turned = space.degrees[1] * case.script.actions(space).mouse[:, 1].cumsum()
        assert np.ptp(turned) >= 405


WAYPOINT = """version: 1
seed: 0
cases:
  - {script: look.yaml, scenes: [hall], modes: [keyboard_mouse], measures: [following, seams, loop]}
"""
LOOK = "actions:\n  - still@8\n  - yaw:left:10@20\n  - walk:forward+pitch:up:4@12\n"


def judged_waypoint(tmp_path: Path, open_model) -> dict:
    (tmp_path / "suite.yaml").write_text(WAYPOINT)
    (tmp_path / "look.yaml").write_text(LOOK)
    judge([], ["model=waypoint-slice"], suite=str(tmp_path), out=tmp_path / "out", open_model=open_model)
    actions = read_recording(tmp_path / "out" / "clips" / "look-hall" / "actions.jsonl").actions
    assert actions.mouse[8:28].tolist() == pytest.approx(np.full((20, 2), (0.0, -10.0)))
    assert set(actions.keys[28:40]) == {("W",)}
    return without_times(tmp_path / "out")["inputs"][0]


def test_waypoints_keys_and_mouse_are_asked_for_in_degrees(tmp_path):
    one = judged_waypoint(tmp_path, lambda settings: tiny.world(tiny.waypoint_config()))
    assert (one["name"], one["frames"], one["fps"]) == (f"{tmp_path.name}: waypoint-like", 40, 60.0)
    turn = one["measures"]["following"]["turn_left"]["accuracy"]
    assert turn.get("count") == 1 or turn["undecidable"]
    assert one["measures"]["loop"]["psnr"] == {"undecidable": "no full turn by the mouse in it"}


@pytest.mark.slow
def test_a_slice_of_waypoint_on_random_weights_is_rendered_and_judged(tmp_path):
    assert judged_waypoint(tmp_path, make_world)["frames"] == 40


def test_a_folder_of_pictures_takes_the_place_of_the_scenes(small, tmp_path):
    from game.media.pictures import save_png
    from tests.engine.measures.panorama import Panorama

    for name in ("a", "b", "c"):
        save_png(tmp_path / f"{name}.png", Panorama(0).look(0, 0, 1).astype("uint8"))
    assert [take.name for take in takes_of(load_suite(str(small)), "universal", str(tmp_path))] == [
        "turns-a",
        "turns-b",
        "turns-c",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cases: []", "is no suite; expected fields version, seed, cases"),
        ("version: x\nseed: 0\ncases: []", "bad version"),
        ("version: 1\nseed: 0\ncases: [{script: turns.yaml}]", "case 1 is no case"),
        (SUITE.replace("seams", "seems"), "unknown measures; got seems.*did you mean seams"),
        (SUITE.replace("universal", "quake"), "unknown modes; got quake"),
        ("version: [", "cannot be read"),
    ],
)
def test_a_bad_suite_is_one_line(small, tmp_path, text, said):
    (tmp_path / "suite.yaml").write_text(text)
    (tmp_path / "turns.yaml").write_text(SCRIPT)
    with pytest.raises(InputError, match=said):
        load_suite(str(tmp_path))


def test_a_suite_there_is_not_names_those_there_are():
    with pytest.raises(InputError, match="did you mean quick"):
        load_suite("quik")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--judge", "needs something to judge"), ("--suite quick", "--suite belongs to --judge"),
        ("--judge a --suite quick", "recordings or a suite"), ("--judge a --seed 3", "--seed belongs to a suite"),
        ("--judge a --headless", "exclude each other"), ("--judge a --name x", "--name does nothing with --judge"),
        ("suite=quick", "did you mean --suite quick"), ("--mapping x", "--mapping belongs to --judge"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together_are_told(line, said):
    with pytest.raises(InputError, match=said):
        parse(line.split())


def test_recordings_and_settings_are_told_apart():
    command = parse(["--judge", "a", "b/c.mp4", "threads=1"])
    assert [str(path) for path in command.recordings] == ["a", "b/c.mp4"]
    assert command.words == ["threads=1"]
