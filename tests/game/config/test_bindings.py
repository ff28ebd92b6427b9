"""Presets bind every control once, and no rebinding leaves an input with two meanings."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.families import action_space, action_spaces
from game.config.bindings import (
    COMMANDS,
    PRESETS,
    bound,
    by_input,
    controls_of,
    default_commands,
    default_controls,
    preset,
    preset_of,
    short_name,
    without,
)

README = Path(__file__).parents[3] / "README.md"


@pytest.mark.parametrize("mode", list(action_spaces()))
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_binds_every_control_and_no_input_twice(mode, name):
    table = preset(name, mode)
    assert {key.name for key in action_space(mode).controls} <= set(table) == set(controls_of(mode))
    inputs = [one for row in table.values() for one in row]
    assert len(inputs) == len(set(inputs)) and all(table.values())
    assert preset_of(table, mode) == name


@pytest.mark.parametrize("mode", list(action_spaces()))
def test_no_control_is_a_command_at_first(mode):
    assert not set(by_input(default_controls()[mode])) & set(by_input(default_commands()))


def test_the_commands_have_inputs_of_their_own():
    inputs = [one for command in COMMANDS for one in command.inputs]
    assert len(inputs) == len(set(inputs))


def test_binding_takes_an_input_from_whatever_had_it():
    table = bound({"a": ("x", "y"), "b": ("z",)}, "b", "x")
    assert table == {"a": ("y",), "b": ("z", "x")}
    for key in "pqrstu":
        table = bound(table, "b", key)
    assert len(table["b"]) == 4 and table["b"][-1] == "u"
    assert preset_of(bound(preset(PRESETS[0], "universal"), "W", "x"), "universal") is None


def test_an_input_can_be_taken_away_but_not_the_menus_own():
    assert without(default_commands(), "p")["pause"] == ("pad back",)
    assert "escape" in without(default_commands(), "escape")["menu"]


def test_short_names_are_short():
    names = {short_name(one) for table in default_controls().values() for row in table.values() for one in row}
    names |= {short_name(one) for row in default_commands().values() for one in row}
    assert max(map(len, names)) <= 14
    assert (short_name("w"), short_name("up"), short_name("pad left stick up")) == ("W", "↑", "L stick ↑")
    assert (short_name("pad left stick"), short_name("pad a"), short_name("wheel up")) == (
        *("L stick click", "Pad A", "Wheel ↑"),
    )
    assert short_name("mouse left") == "Mouse left" and short_name("page up") == "Page up"


def test_the_readme_says_which_stick_saves_and_which_one_returns():
    (row,) = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| F5, F9 |")]
    pads = [inputs[-1] for inputs in (default_commands()["save"], default_commands()["load"])]
    assert pads == ["pad right stick", "pad left stick"] and "right, left stick click" in row
