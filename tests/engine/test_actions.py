"""Claims about what keys and mouse mean to each model."""

import math

import numpy as np
import pytest

from engine.actions import Action, Actions, benchmark_actions
from engine.errors import ActionError
from engine.families import action_space, action_spaces


@pytest.mark.parametrize(
    ("mode", "keys", "keyboard", "mouse"),
    [
        ("universal", (), (0, 0, 0, 0), (0, 0)),
        ("universal", ("W",), (1, 0, 0, 0), (0, 0)),
        ("universal", ("D", "W"), (1, 0, 0, 1), (0, 0)),
        ("universal", ("S", "A"), (0, 1, 1, 0), (0, 0)),
        ("gta_drive", ("W",), (1, 0), (0, 0)),
        ("gta_drive", ("S", "A"), (0, 1), (0, -0.1)),
        ("gta_drive", ("D",), (0, 0), (0, 0.1)),
        ("gta_drive", ("A", "D"), (0, 0), (0, 0)),
        ("templerun", (), (1, 0, 0, 0, 0, 0, 0), None),
        ("templerun", ("W",), (0, 1, 0, 0, 0, 0, 0), None),
        ("templerun", ("S",), (0, 0, 1, 0, 0, 0, 0), None),
        ("templerun", ("Z",), (0, 0, 0, 1, 0, 0, 0), None),
        ("templerun", ("C",), (0, 0, 0, 0, 1, 0, 0), None),
        ("templerun", ("A",), (0, 0, 0, 0, 0, 1, 0), None),
        ("templerun", ("D",), (0, 0, 0, 0, 0, 0, 1), None),
    ],
)
def test_keys_become_the_numbers_the_network_was_trained_on(mode, keys, keyboard, mouse):
    action = action_space(mode).action(keys)
    assert (action.keyboard, action.mouse) == (keyboard, mouse)


def test_names_come_in_the_order_of_the_space_however_they_were_pressed():
    assert action_space("universal").action(("D", "A", "W")).keys == ("W", "A", "D")


def test_a_mode_that_takes_one_action_takes_the_key_pressed_last():
    space = action_space("templerun")
    assert space.action(("W", "A")) == space.action(("A",))
    assert space.action(("A", "W")) == space.action(("W",))


def test_a_set_of_keys_means_the_same_in_every_run():
    space = action_space("templerun")
    assert {space.action(set(order)).keys for order in ("WAC", "CAW", "ACW")} == {("C",)}


def test_steering_keys_win_over_the_mouse_so_that_a_stored_action_means_itself():
    space = action_space("gta_drive")
    first = space.action(("A",), (0.02, 0.07))
    assert first.mouse == (0.02, -0.1)
    assert space.action(first.keys, first.mouse) == first


@pytest.mark.parametrize("mode", list(action_spaces()))
def test_an_action_rebuilt_from_its_own_names_and_mouse_is_itself(mode):
    for action in benchmark_actions(action_space(mode), 7, 100):
        assert action_space(mode).action(action.keys, action.mouse).keyboard == action.keyboard


@pytest.mark.parametrize("mode", list(action_spaces()))
def test_idle_is_pressing_nothing(mode):
    assert action_space(mode).idle() == action_space(mode).action((), (0.0, 0.0))


@pytest.mark.parametrize(
    ("mode", "keys", "mouse", "said"),
    [
        ("universal", ("X",), (0, 0), "W S A D"),
        ("universal", ("w",), (0, 0), "W S A D"),
        ("gta_drive", ("Z",), (0, 0), "W S A D"),
        ("universal", (), (0.2, 0), "-0.1 and 0.1"),
        ("universal", (), (0, -0.11), "-0.1 and 0.1"),
        ("universal", (), (math.nan, 0), "-0.1 and 0.1"),
        ("universal", (), (math.inf, 0), "-0.1 and 0.1"),
        ("universal", (), (0.1,), "pitch and yaw"),
        ("templerun", (), (0.1, 0), "no mouse"),
    ],
)
def test_what_a_mode_does_not_have_is_refused_with_what_it_has(mode, keys, mouse, said):
    with pytest.raises(ActionError, match=said):
        action_space(mode).action(keys, mouse)


def test_an_unknown_mode_is_refused_with_the_known_ones():
    with pytest.raises(ActionError, match="universal, gta_drive, templerun"):
        action_space("unversal")


def test_a_tenth_read_back_from_float32_is_within_range():
    assert action_space("universal").action((), (float(np.float32(0.1)), 0.0)).mouse is not None


def test_stacking_and_taking_apart_are_inverse():
    space = action_space("universal")
    single = [space.action(("W",)), space.action((), (0.1, 0.0)), space.action(("A", "S"), (0.0, -0.05))]
    stacked = Actions.stack(single)
    assert stacked.keyboard.dtype == stacked.mouse.dtype == np.float32 and len(stacked) == 3
    assert Actions.stack(list(stacked)) == stacked
    assert [a.keys for a in stacked] == [("W",), (), ("S", "A")]
    assert isinstance(stacked[1], Action) and stacked[1:] == Actions.stack(single[1:])
    assert Actions.join([stacked[:1], stacked[1:]]) == stacked
    assert stacked != stacked[:2]


def test_actions_without_frames_or_of_two_models_do_not_stack():
    with pytest.raises(ActionError):
        Actions.stack([])
    with pytest.raises(ActionError):
        Actions.stack([action_space("universal").idle(), action_space("templerun").idle()])


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ActionError, match="keyboard"):
        Actions(np.zeros((3, 4), np.float32), None, ((), ()))
    with pytest.raises(ActionError, match="mouse"):
        Actions(np.zeros((2, 4), np.float32), np.zeros((3, 2), np.float32), ((), ()))


@pytest.mark.parametrize("mode", list(action_spaces()))
def test_check_passes_what_the_space_makes_and_nothing_of_other_modes(mode):
    space = action_space(mode)
    space.check(benchmark_actions(action_space(mode), 1, 30))
    for other in action_spaces():
        if other != mode:
            with pytest.raises(ActionError):
                space.check(benchmark_actions(action_space(other), 1, 30))


def test_check_refuses_numbers_no_person_may_ask_for():
    actions = benchmark_actions(action_space("universal"), 1, 3)
    for bad in (np.nan, 0.5):
        mouse = actions.mouse.copy()
        mouse[1, 0] = bad
        with pytest.raises(ActionError):
            action_space("universal").check(Actions(actions.keyboard, mouse, actions.keys))


def test_a_short_benchmark_is_the_beginning_of_a_long_one():
    space = action_space("gta_drive")
    assert benchmark_actions(space, 5, 20) == benchmark_actions(space, 5, 90)[:20]
    with pytest.raises(ActionError):
        benchmark_actions(action_space("gta_drive"), 5, 0)


def test_drawing_a_benchmark_leaves_the_programs_own_randomness_alone():
    import random

    random.seed(4)
    expected = random.random()
    random.seed(4)
    benchmark_actions(action_space("universal"), 9, 50)
    assert random.random() == expected
