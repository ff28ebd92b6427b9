"""Scripts become actions; anything else in them is named with file, line and what is allowed."""

import numpy as np
import pytest

from engine.actions import benchmark_actions
from engine.families import action_space
from game.errors import ScriptError
from game.recording.script import load, parse


def script(tmp_path, text):
    path = tmp_path / "bench.yaml"
    path.write_text(text)
    return path


def test_a_script_says_what_to_press_frame_by_frame(tmp_path):
    path = script(
        tmp_path,
        """
model: tiny
seed: 7
scene: hall
actions:
  - {keys: [W], frames: 2}
  - {keys: [w, D], mouse: [0, 0.1], frames: 1}
  - {bench: universal, seed: 42, frames: 14}
  - frames: 3
repeat: 2
""",
    )
    read = parse(path)
    actions = read.actions(action_space("universal"))
    assert (read.model, read.seed, read.scene, len(actions)) == ("tiny", 7, "hall", 40)
    assert actions.keys[:3] == (("W",), ("W",), ("W", "D"))
    np.testing.assert_array_equal(actions.mouse[2], np.float32([0, 0.1]))
    assert actions[3:17] == benchmark_actions(action_space("universal"), 42, 14)
    assert actions.keys[17:20] == ((),) * 3
    assert actions[:20] == actions[20:]


def test_any_key_the_mouses_buttons_and_its_wheel_are_told_by_name(tmp_path):
    entries = "[{keys: [W, SPACE, SHIFT], frames: 2}, {keys: [mouse_left, WHEEL_UP, K], mouse: [-3, 40], frames: 1}]"
    actions = parse(script(tmp_path, f"model: waypoint\nactions: {entries}")).actions(action_space("keyboard_mouse"))
    assert actions.keys == (("W", "SPACE", "SHIFT"),) * 2 + (("MOUSE_LEFT", "WHEEL_UP", "K"),)
    assert [np.flatnonzero(row).tolist() for row in actions.keyboard[1:]] == [[16, 32, 87], [1, 75, 256]]
    assert actions.mouse[2].tolist() == [-3.0, 40.0]


def test_a_key_is_told_by_its_number_too(tmp_path):
    entries = "[{keys: [VK_75, K, vk_32, VK_200], frames: 1}]"
    actions = parse(script(tmp_path, f"model: waypoint\nactions: {entries}")).actions(action_space("keyboard_mouse"))
    assert actions.keys == (("SPACE", "K", "VK_200"),)
    assert np.flatnonzero(actions.keyboard[0]).tolist() == [32, 75, 200]


def test_a_first_frame_is_looked_for_beside_the_script(tmp_path):
    path = script(tmp_path, "first_frame: a.png\nactions: [{keys: [W], frames: 1}]")
    assert parse(path).first_frame == tmp_path / "a.png"


def test_the_shipped_script_is_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(load(tmp_path.__class__("bench.yaml")).actions(action_space("universal"))) > 100


BAD = {
    "empty": ("", "line 1", "empty"),
    "only a comment": ("# nothing\n", "line 1", "empty"),
    "not yaml": ("actions: [\n  {keys: [W}\n", "line 2", "not YAML"),
    "two documents": ("a: 1\n---\nb: 2\n", "line 2", "not YAML"),
    "a list": ("- 1\n", "line 1", "expected fields model, seed"),
    "unknown field": ("seed: 0\nacttions: []\n", "line 2", "did you mean actions?"),
    "no actions": ("seed: 0\n", "line 1", "no actions"),
    "no entries": ("actions: []\n", "line 1", "at least one entry"),
    "actions no list": ("actions: {keys: [W], frames: 1}\n", "line 1", "not a list"),
    "entry no mapping": ("actions:\n  - W\n", "line 2", "not a group of fields"),
    "unknown entry field": ("actions:\n  - {key: [W], frames: 1}\n", "line 2", "did you mean keys?"),
    "keys and bench": ("actions:\n  - {bench: universal, keys: [W], frames: 1}\n", "line 2", "unknown field 'keys'"),
    "no frames": ("actions:\n  - {keys: [W]}\n", "line 2", "has no frames"),
    "no frame": ("actions:\n  - {keys: [W], frames: 0}\n", "line 2", "1 to 1000000"),
    "half a frame": ("actions:\n  - {keys: [W], frames: 1.5}\n", "line 2", "a whole number"),
    "true frames": ("actions:\n  - {keys: [W], frames: true}\n", "line 2", "a whole number"),
    "too many frames": ("actions:\n  - {keys: [W], frames: 999999}\nrepeat: 9\n", "line 1", "too long"),
    "unknown key": ("actions:\n\n  - {keys: [W, X], frames: 1}\n", "line 3", "expected W S A D"),
    "key of another mode": ("actions:\n  - {keys: [Z], frames: 1}\n", "line 2", "expected W S A D"),
    "keys no list": ("actions:\n  - {keys: W, frames: 1}\n", "line 2", "not a list"),
    "number as key": ("actions:\n  - {keys: [1], frames: 1}\n", "line 2", "no such key; got 1"),
    "mouse too fast": ("actions:\n  - {mouse: [0, 0.5], frames: 1}\n", "line 2", "between -0.1 and 0.1"),
    "mouse not finite": ("actions:\n  - {mouse: [.nan, 0], frames: 1}\n", "line 2", "not a number"),
    "mouse too short": ("actions:\n  - {mouse: [0.1], frames: 1}\n", "line 2", "[pitch, yaw]"),
    "mouse text": ("actions:\n  - {mouse: [a, b], frames: 1}\n", "line 2", "not a number"),
    "unknown bench": ("actions:\n  - {bench: univrsal, frames: 1}\n", "line 2", "did you mean universal?"),
    "bench of another mode": ("actions:\n  - {bench: templerun, frames: 1}\n", "line 2", "universal, the model's mode"),
    "negative seed": ("seed: -1\nactions: [{keys: [W], frames: 1}]\n", "line 1", "0 to"),
    "repeat zero": ("actions: [{keys: [W], frames: 1}]\nrepeat: 0\n", "line 2", "1 to"),
    "given twice": ("seed: 1\nseed: 2\nactions: [{keys: [W], frames: 1}]\n", "line 2", "given twice"),
    "scene and first_frame": (
        "scene: hall\nfirst_frame: a.png\nactions: [{keys: [W], frames: 1}]\n",
        "line 2",
        "exclude each other",
    ),
    "python object": (
        "seed: !!python/object/apply:os.system ['true']\nactions: [{frames: 1}]\n",
        "line 1",
        "wrong kind",
    ),
    "python text": ("scene: !!python/name:os.system x\nactions: [{keys: [W], frames: 1}]\n", "line 1", "wrong kind"),
    "own tag": ("scene: !x y\nactions: [{keys: [W], frames: 1}]\n", "line 1", "wrong kind"),
    "alias to itself": ("actions: &a\n  - *a\n", "line 1", "not a group of fields"),
    "date": ("seed: 2020-01-01\nactions: [{keys: [W], frames: 1}]\n", "line 1", "out of range"),
    "impossible date": ("seed: 2020-99-99\nactions: [{keys: [W], frames: 1}]\n", "line 1", "wrong kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_script_is_one_line_with_file_line_and_what_is_allowed(tmp_path, name):
    text, line, says = BAD[name]
    path = script(tmp_path, text)
    with pytest.raises(ScriptError) as caught:
        parse(path).actions(action_space("universal"))
    message = str(caught.value)
    assert f"{path}, {line}" in message
    assert says in message
    assert "\n" not in message


def test_files_that_are_no_scripts_are_refused(tmp_path):
    binary = tmp_path / "x.yaml"
    binary.write_bytes(b"\x89PNG\x00\x01")
    for path, says in (
        (binary, "no text file"),
        (tmp_path / "bench.yml", "there is no script"),
        (tmp_path, "holds no recording"),
    ):
        with pytest.raises(ScriptError, match=says):
            load(path)


def test_deep_nesting_does_not_end_in_a_recursion_error(tmp_path):
    with pytest.raises(ScriptError):
        parse(script(tmp_path, "actions: " + "[" * 20000))


@pytest.mark.parametrize("name", ["N", "12:30", "2024", "2020-01-01", "yes", "0x10", "1e5", '"\\ud83c\\udff0"'])
def test_a_name_in_a_script_is_text_as_it_stands(tmp_path, name):
    made = parse(script(tmp_path, f"scene: {name}\nactions: [{{keys: [W], frames: 1}}]\n"))
    assert made.scene == ("🏰" if name.startswith('"') else name)


@pytest.mark.parametrize("number", ["1e-1", "1E-1", "1.0e-1", "+1e-1", ".1e0", "0.1"])
def test_every_way_to_write_a_number_is_one(tmp_path, number):
    made = parse(script(tmp_path, f"actions:\n- {{keys: [W], frames: 6e0, mouse: [0, {number}]}}\n"))
    assert made.entries[0].mouse == (0.0, 0.1) and made.entries[0].frames == 6


def test_json_indented_by_tabs_is_read_with_its_lines(tmp_path):
    text = '{\n\t"scene": "hall",\n\t"actions": [\n\t\t{"keys": ["W"], "frames": 6}\n\t]\n}\n'
    assert parse(script(tmp_path, text)).entries[0].frames == 6
    with pytest.raises(ScriptError, match="line 4: frames is out of range"):
        parse(script(tmp_path, text.replace("6", "-6")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_script_saved_by_any_editor_is_read_or_said_to_be_no_text(tmp_path, encoding):
    path = tmp_path / "x.yaml"
    path.write_text("scene: снег\r\nactions: [{keys: [W], frames: 1}]\r\n", encoding=encoding)
    if encoding == "utf-16-le":  # without a mark
        with pytest.raises(ScriptError):
            parse(path)
    else:
        assert parse(path).scene == "снег"


def test_a_video_as_a_script_names_the_folder_to_use(tmp_path):
    (tmp_path / "demo.mp4").touch()
    (tmp_path / "actions.jsonl").touch()
    with pytest.raises(ScriptError, match=f"is a video.*name its folder, {tmp_path}"):
        load(tmp_path / "demo.mp4")


def test_a_first_frame_under_a_home_that_is_not_there_is_told_with_its_line(tmp_path):
    with pytest.raises(ScriptError, match="line 1: first_frame is under a home folder that is not there"):
        parse(script(tmp_path, "first_frame: ~nobody-of-that-name/x.png\nactions: [{keys: [W], frames: 1}]\n"))
