"""Models that take any key: those nobody bound stand for themselves, and are drawn and written as they are called."""

from itertools import pairwise

import numpy as np
import pytest

from engine.families import action_space
from game.config.bindings import default_controls, input_of, passed_through
from game.errors import InputError
from game.input.controls import Controls, Feel
from game.media.icons import control_icons
from game.tools.terminal import keys_help, read_line

SPACE = action_space("keyboard_mouse")
WALK = action_space("universal")


def controls(feel: Feel | None = None) -> Controls:
    return Controls(SPACE.mode, 60.0, feel)


def told(made: Controls, now: float = 1.0) -> tuple[str, ...]:
    return made.sample(1, now)[0].keys


@pytest.mark.parametrize(
    ("pressed", "key"),
    [("w", "W"), ("space", "SPACE"), ("left shift", "SHIFT"), ("k", "K"), ("[5]", "NUM_5"), ("f12", "F12"),
     ("mouse left", "MOUSE_LEFT"), ("mouse 4", "MOUSE_4"), ("wheel up", "WHEEL_UP"), ("return", "ENTER"),
     (";", "SEMICOLON")],
)  # fmt: skip
def test_an_input_is_the_key_it_is_named_after(pressed, key):
    made = controls()
    assert made.press(pressed, 0.0)
    assert told(made) == (key,)
    made.release(pressed, 1.1)
    assert told(made, 2.0) == ()


def test_an_input_that_is_bound_does_only_what_it_is_bound_to():
    table = {**default_controls()[SPACE.mode], "W": ("k",)}
    made = controls(Feel(tables={**default_controls(), SPACE.mode: table}))
    assert made.press("k", 0.0) and told(made) == ("W",)
    assert "k" not in passed_through(SPACE, table) and passed_through(SPACE, table)["w" if "w" in SPACE.keys else "o"]
    assert not controls().press("no such key", 0.0)


def test_other_models_take_no_key_that_is_not_theirs():
    assert passed_through(WALK, default_controls()[WALK.mode]) == {}
    assert not Controls(WALK.mode, 20.0).press("k", 0.0)


def test_every_input_has_one_key():
    inputs = [input_of(key.name) for key in SPACE.controls]
    assert len(set(inputs)) == len(inputs)


def test_a_pixel_of_the_mouse_is_a_pixel_and_look_keys_are_slower():
    made = controls()
    made.motion(7, -3, 0.99)
    assert made.sample(1, 1.0)[0].mouse == pytest.approx((3.0, 7.0))
    made.press("left", 1.0)
    assert made.sample(1, 1.1)[0].mouse == (0.0, -SPACE.look_step)


def test_keys_without_a_place_are_drawn_while_they_are_held():
    still = control_icons(1280, 720, (), None, SPACE)
    held = control_icons(1280, 720, ("W", "SPACE", "MOUSE_LEFT", "VK_200"), (0.0, 20.0), SPACE)
    assert len(still) == 6 and len(held) == 9  # four keys, disc and dot; and three more
    row = held[4:7]
    assert len({icon.y for icon in row}) == 1 and row[0].y < min(icon.y for icon in still)
    assert all(a.x + a.rgba.shape[1] <= b.x for a, b in pairwise(row))
    assert len({icon.rgba.tobytes() for icon in row}) == 3
    crowded = control_icons(160, 90, tuple(SPACE.keys), None, SPACE)
    assert all(icon.x + icon.rgba.shape[1] <= 160 for icon in crowded)


def test_every_key_of_the_table_can_be_drawn_and_told_from_the_others():
    drawn = {key.name: control_icons(1280, 720, (key.name,), None, SPACE) for key in SPACE.controls}
    looks = {name: tuple(np.asarray(icon.rgba).tobytes() for icon in icons) for name, icons in drawn.items()}
    assert len(set(looks.values())) == len(looks)


@pytest.mark.parametrize(
    ("line", "keys", "mouse"),
    [
        ("W SPACE L", ("W", "SPACE"), (0.0, 10.0)),
        ("wd x3", ("W", "D"), (0.0, 0.0)),
        ("Q", ("Q",), (0.0, 0.0)),
        ("U", (), (0.0, 0.0)),
        ("F12 MOUSE_LEFT", ("MOUSE_LEFT", "F12"), (0.0, 0.0)),
    ],
)
def test_a_line_in_a_terminal_takes_keys_by_name(line, keys, mouse):
    read = read_line(line, SPACE)
    assert read.action.keys == keys and read.action.mouse == mouse


def test_what_a_terminal_takes_is_said_shortly():
    words = keys_help(SPACE)
    assert len(words) < 300 and "any other key by its name" in words and "U (nothing)" in words
    with pytest.raises(InputError, match="no such key"):
        read_line("NONSENSE!", SPACE)
