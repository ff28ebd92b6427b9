"""Claims about camera paths: what they ask of each mode, and what they say when it cannot be."""

import pytest

from engine.errors import ActionError
from engine.families import action_space, action_spaces
from engine.measures.clip import commands
from game.errors import ScriptError
from game.recording.camera_path import Degrees, parse_path
from game.recording.script import parse

UNIVERSAL = action_space("universal")


def test_degrees_are_shared_out_among_the_frames():
    actions = parse_path("yaw:left:60@40").actions(UNIVERSAL, Degrees(22.5, 12))
    assert len(actions) == 40
    assert actions.mouse[:, 1].sum() * 22.5 == pytest.approx(-60, rel=1e-5)
    assert not actions.mouse[:, 0].any() and not actions.keyboard.any()


def test_moves_at_once_are_joined():
    actions = parse_path("walk:forward + pitch:up:6 @ 20").actions(UNIVERSAL, Degrees(22.5, 12))
    assert set(actions.keys) == {("W",)}
    assert actions.mouse[:, 0].sum() * 12 == pytest.approx(6, rel=1e-5)


@pytest.mark.parametrize("mode", action_spaces())
def test_every_mode_of_every_family_turns_by_the_same_degrees_or_by_its_own_keys(mode):
    space = action_space(mode)
    degrees = Degrees.of_space(space)
    actions = parse_path("yaw:left:60@40").actions(space, degrees)
    assert len(actions) == 40
    if space.has_mouse:
        assert actions.mouse[:, 1].sum() * degrees.yaw == pytest.approx(-60, rel=1e-4)
    else:
        assert set(actions.keys) == {("Z",)}
    assert (commands(actions, mode)[:, 2] < 0).all()


def test_a_pixel_of_waypoints_mouse_is_a_twentieth_of_a_degree():
    mouse = parse_path("yaw:right:30@60").actions(action_space("keyboard_mouse"), Degrees(0.05, 0.05)).mouse
    assert mouse[0].tolist() == pytest.approx([0, 10])


def test_a_mode_that_turns_by_keys_holds_the_key():
    assert set(parse_path("yaw:right:30@8").actions(action_space("templerun"), Degrees(22.5, 12)).keys) == {("C",)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yaw:left:60", "no number of frames"), ("yaw:left@9", "no camera path has a part"),
        ("walk:up@9", "no camera path has a part"), ("yaw:left:x@9", "no number of degrees"),
        ("yaw:left:nan@9", "no number of degrees"), ("W", "no number of frames"), ("still@0", "no number of frames"),
        ("walk:forward+walk:back@9", "one motion twice"),
    ],
)  # fmt: skip
def test_what_is_no_path_is_told_with_examples(text, said):
    with pytest.raises(ActionError, match=said) as error:
        parse_path(text)
    assert "yaw:left:60@40" in str(error.value)


def test_too_fast_a_turn_says_how_many_frames_it_takes():
    with pytest.raises(ActionError, match="27 frames or more"):
        parse_path("yaw:left:60@20").actions(UNIVERSAL, Degrees(22.5, 12))


def test_a_motion_the_mode_lacks_is_told():
    with pytest.raises(ActionError, match="gta_drive has no such motion"):
        parse_path("strafe:left@9").actions(action_space("gta_drive"), Degrees(22.5, 12))


def test_paths_are_entries_of_a_script(tmp_path):
    path = tmp_path / "paths.yaml"
    path.write_text("actions:\n  - yaw:left:60@40\n  - still@5\n  - {keys: [W], frames: 3}\n", encoding="utf-8")
    assert len(parse(path).actions(UNIVERSAL)) == 48
    path.write_text("actions:\n  - still@5\n  - yaw:up:60@40\n", encoding="utf-8")
    with pytest.raises(ScriptError, match="line 3"):
        parse(path)
