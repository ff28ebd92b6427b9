"""Lines of the action log: written as short as they can be, and read back to the bit."""

from __future__ import annotations

import json

import pytest

from engine.actions import Actions
from engine.families import action_space
from game.errors import ScriptError
from game.recording.format import ACTIONS, SessionHeader, action_lines, json_line, read_recording

WIDE, NARROW = action_space("keyboard_mouse"), action_space("universal")
HEADER = SessionHeader("waypoint", "keyboard_mouse", 0, 8, 8, 60.0, "", "", "0")


def pressed(*frames: tuple[str, ...]) -> Actions:
    return Actions.stack([WIDE.action(keys) for keys in frames])


def log(folder, lines, mode="keyboard_mouse"):
    path = folder / ACTIONS
    header = HEADER.to_json() | {"mode": mode}
    path.write_text(json_line(header) + "".join(lines))
    return path


def as_once(actions: Actions) -> list[str]:
    """Lines as they were written when every number of a wide keyboard was."""
    told = (json.loads(line) for line in action_lines(actions, 0, 0))
    rows = zip(told, actions.keyboard, strict=True)
    return [json_line(line | {"keyboard": [float(value) for value in values]}) for line, values in rows]


def test_of_a_wide_keyboard_only_what_is_not_zero_is_written():
    idle, walking = map(json.loads, action_lines(pressed((), ("W", "SHIFT")), 0, 0))
    assert idle["keyboard"] == {"width": 258} and walking["keyboard"] == {"width": 258, "16": 1.0, "87": 1.0}
    assert all(len(line) < 160 for line in action_lines(pressed((), ("W", "SHIFT")), 0, 0))


def test_a_narrow_keyboard_is_written_as_ever():
    (line,) = action_lines(Actions.stack([NARROW.action(["W"])]), 7, 2)
    assert line == '{"frame": 7, "block": 2, "keyboard": [1.0, 0.0, 0.0, 0.0], "mouse": [0.0, 0.0], "keys": ["W"]}\n'


def test_a_wide_keyboard_is_read_back_to_the_bit(tmp_path):
    actions = pressed((), ("W",), ("A", "VK_255"))
    actions.keyboard[2, :5] = [0.1, 0.0, 1e-45, -3.3333333, 1e38]
    read = read_recording(log(tmp_path, action_lines(actions, 0, 0))).actions
    assert read.keyboard.tobytes() == actions.keyboard.tobytes() and read.keys == actions.keys


def test_a_wide_keyboard_of_an_older_recording_is_read_as_before(tmp_path):
    actions = pressed((), ("W",), ("A", "VK_255"))
    read = read_recording(log(tmp_path, as_once(actions))).actions
    assert read.keyboard.tobytes() == actions.keyboard.tobytes() and read.keys == actions.keys


@pytest.mark.parametrize(
    "keyboard",
    ['{}', '{"width": true}', '{"width": 0}', '{"width": 99999}', '{"width": 258, "258": 1}', '{"width": 258, "-1": 1}',
     '{"width": 258, "087": 1}', '{"width": 258, "W": 1}', '{"width": 258, "87": "1"}', '{"width": 258, "87": NaN}',
     '{"width": 258, "87": [1]}'],
)  # fmt: skip
def test_a_wide_keyboard_that_cannot_be_is_one_line(tmp_path, keyboard):
    row = f'{{"frame": 0, "keyboard": {keyboard}, "mouse": [0, 0], "keys": []}}\n'
    with pytest.raises(ScriptError, match="line 2: bad keyboard"):
        read_recording(log(tmp_path, [row]))


def test_a_keyboard_of_another_width_is_one_line(tmp_path):
    wide, narrow = (f'"mouse": [0, 0], "keys": [], "keyboard": {{"width": {width}}}}}\n' for width in (258, 257))
    with pytest.raises(ScriptError, match="line 3: keyboard or mouse differs"):
        read_recording(log(tmp_path, ['{"frame": 0, ' + wide, '{"frame": 1, ' + narrow]))
