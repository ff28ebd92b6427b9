"""What a person presses and moves becomes what each video frame of the next block is told."""

from __future__ import annotations

import pytest

from engine.families import action_space
from game.config.bindings import by_input, default_controls
from game.input.controls import Controls, Feel


def keys(row) -> list[tuple[str, ...]]:
    return [frame.keys for frame in row]


def yaws(row) -> list[float]:
    return [frame.mouse[1] for frame in row]


@pytest.fixture
def controls() -> Controls:
    """Of a model with one-frame blocks at 20 fps, sampled once."""
    made = Controls("universal", 20.0)
    made.sample(1, 10.0)
    return made


@pytest.fixture
def long_controls() -> Controls:
    """Of a model with blocks of 12 frames at 16 fps (0.75 s), sampled once."""
    made = Controls("universal", 16.0)
    made.sample(12, 10.0)
    return made


def test_a_held_key_counts_for_every_frame_until_it_is_let_go(long_controls):
    long_controls.press("w", 10.5)
    assert keys(long_controls.sample(12, 10.75)) == [("W",)] * 12
    assert keys(long_controls.sample(12, 11.5)) == [("W",)] * 12
    long_controls.release("w", 11.6)
    assert keys(long_controls.sample(12, 12.25)) == [()] * 12


def test_a_tap_within_one_frame_is_shown_by_the_next(controls):
    controls.press("a", 10.01)
    controls.release("a", 10.02)
    assert keys(controls.sample(1, 10.05)) == [("A",)]
    assert keys(controls.sample(1, 10.10)) == [()]


def test_a_tap_within_a_long_block_keeps_its_length(long_controls):
    long_controls.press("w", 10.30)
    long_controls.release("w", 10.30 + 3 / 16)
    assert keys(long_controls.sample(12, 10.75)) == [("W",)] * 3 + [()] * 9


def test_taps_after_each_other_keep_their_order_and_distance(long_controls):
    for key, down in (("a", 10.1), ("d", 10.1 + 4 / 16)):
        long_controls.press(key, down)
        long_controls.release(key, down + 1 / 16)
    row = keys(long_controls.sample(12, 10.75))
    assert row == [("A",), (), (), (), ("D",)] + [()] * 7


def test_a_tap_that_a_block_has_shown_is_not_shown_again(controls):
    controls.press("w", 10.04)
    assert keys(controls.sample(1, 10.05)) == [("W",)]
    controls.release("w", 10.06)
    assert keys(controls.sample(1, 10.10)) == [()]


def test_opposite_taps_in_one_frame_come_one_after_the_other(controls):
    for key in ("a", "d"):
        controls.press(key, 10.01)
        controls.release(key, 10.02)
    assert [keys(controls.sample(1, 10.05 * k)) for k in (1, 2, 3)] == [[("A",)], [("D",)], [()]]


def test_opposite_keys_held_cancel(controls):
    for key in ("w", "a", "d"):
        controls.press(key, 10.01)
    assert keys(controls.sample(1, 10.05)) == [("W",)]
    controls.release("a", 10.06)
    assert set(controls.sample(1, 10.10)[0].keys) == {"W", "D"}


def test_a_tap_against_a_held_key_wins_its_frame(controls):
    controls.press("w", 10.01)
    controls.sample(1, 10.05)
    controls.press("s", 10.06)
    controls.release("s", 10.07)
    assert keys(controls.sample(1, 10.10)) == [("S",)]
    assert keys(controls.sample(1, 10.15)) == [("W",)]


def test_two_keys_for_one_control_hold_it_until_both_are_up():
    controls = Controls("gta_drive", 16.0)
    controls.sample(1, 0.0)
    controls.press("w", 0.1)
    controls.press("up", 0.2)
    controls.sample(1, 0.3)
    controls.release("w", 0.4)
    assert keys(controls.sample(1, 0.5)) == [("W",)]
    controls.release("up", 0.6)
    assert keys(controls.sample(1, 0.7)) == [()]


def test_mouse_motion_is_summed_up_and_scaled_by_the_sensitivity(controls):
    for _ in range(10):
        controls.motion(3, -1.5, 10.03)
    (frame,) = controls.sample(1, 10.05)
    assert frame.mouse == pytest.approx((0.025, 0.05)), "up and right are positive"
    assert controls.sample(1, 10.10)[0].mouse == (0.0, 0.0)


def test_what_a_frame_cannot_turn_is_turned_by_the_next_ones(controls):
    controls.motion(150, 0, 10.03)
    turned = [yaws(controls.sample(1, 10.05 + k / 20))[0] for k in range(4)]
    assert turned == pytest.approx([0.1, 0.1, 0.05, 0.0])


def test_a_wild_flick_does_not_turn_the_view_for_long(controls):
    controls.motion(100_000, 0, 10.03)
    turned = [yaws(controls.sample(1, 10.05 + k / 20))[0] for k in range(20)]
    assert max(turned) <= 0.1 and sum(value > 0 for value in turned) <= 6


def test_turning_back_takes_effect_at_once(controls):
    controls.motion(300, 0, 10.03)
    controls.sample(1, 10.05)
    controls.motion(-30, 0, 10.07)
    assert yaws(controls.sample(1, 10.10)) == pytest.approx([-0.05])


def test_a_steady_hand_turns_a_long_block_steadily_and_completely(long_controls):
    for i in range(75):
        long_controls.motion(4, 0, 10.0 + 0.01 * i)
    turned = yaws(long_controls.sample(12, 10.75))
    assert sum(turned) == pytest.approx(75 * 4 / 600, abs=1e-9)
    assert max(turned) - min(turned) < 0.012


def test_motion_after_rest_begins_with_the_first_frame(long_controls):
    for i in range(5):
        long_controls.motion(12, 0, 10.4 + 0.01 * i)
    turned = yaws(long_controls.sample(12, 10.75))
    assert turned[0] > 0 and sum(turned) == pytest.approx(0.1)
    assert turned[2:] == [0.0] * 10


def test_a_stalled_block_still_gets_all_motion(controls):
    for i in range(6000):
        controls.motion(0.01, 0, 10.0 + i / 1000)
    turned = [yaws(controls.sample(1, 16.0 + k / 20))[0] for k in range(3)]
    assert sum(turned) == pytest.approx(0.1)


def test_arrow_keys_look_round_without_a_mouse(controls):
    controls.press("right", 10.01)
    controls.press("up", 10.01)
    assert controls.sample(1, 10.05)[0].mouse == pytest.approx((0.1, 0.1))
    controls.press("left", 10.06)
    assert controls.sample(1, 10.10)[0].mouse == pytest.approx((0.1, 0.0))


def test_mouse_and_arrows_together_stay_within_the_models_range(controls):
    controls.press("right", 10.01)
    controls.motion(60, 0, 10.02)
    assert yaws(controls.sample(1, 10.05)) == pytest.approx([0.1])


def test_losing_the_focus_lets_go_of_everything(controls):
    controls.press("w", 10.01)
    controls.press("d", 10.01)
    controls.release("d", 10.02)
    controls.motion(500, 0, 10.03)
    controls.release_all()
    (frame,) = controls.sample(1, 10.05)
    assert (frame.keys, frame.mouse, frame.since) == ((), (0.0, 0.0), None)
    controls.release("w", 10.06)
    assert keys(controls.sample(1, 10.10)) == [()]


def test_what_was_tapped_in_a_pause_is_forgotten_and_what_is_held_is_not(controls):
    controls.press("w", 10.01)
    controls.press("a", 10.02)
    controls.release("a", 10.03)
    controls.motion(60, 0, 10.03)
    controls.forget_past(20.0)
    (frame,) = controls.sample(1, 20.05)
    assert (frame.keys, frame.mouse, frame.since) == (("W",), (0.0, 0.0), 20.0)


def test_a_frame_knows_the_oldest_control_it_is_first_to_show(controls):
    controls.press("w", 10.02)
    controls.motion(5, 0, 10.01)
    controls.motion(5, 0, 10.04)
    assert controls.sample(1, 10.05)[0].since == 10.01
    assert controls.sample(1, 10.10)[0].since is None, "W is still held, but that is no news"
    controls.release("w", 10.12)
    assert controls.sample(1, 10.15)[0].since == 10.12


def test_templerun_has_no_mouse_and_its_arrows_are_its_keys():
    controls = Controls("templerun", 16.0)
    controls.sample(12, 0.0)
    controls.motion(500, 500, 0.1)
    for key in ("up", "z"):
        controls.press(key, 0.2)
    row = controls.sample(12, 0.75)
    assert keys(row) == [("W", "Z")] * 12 and row[0].mouse is None


def test_templerun_shows_taps_one_at_a_time_and_over_a_held_key():
    controls = Controls("templerun", 16.0)
    controls.press("w", 0.0)
    controls.sample(12, 0.0)
    for key in ("a", "c"):
        controls.press(key, 0.1)
        controls.release(key, 0.11)
    row = controls.sample(12, 0.75)
    space = action_space("templerun")
    told = [space.action(frame.keys).keys[-1:] for frame in row]
    assert told == [("A",), ("C",)] + [("W",)] * 10


def test_gta_drive_steers_with_the_mouse_and_never_looks_up():
    controls = Controls("gta_drive", 16.0)
    controls.sample(1, 0.0)
    controls.motion(30, 30, 0.01)
    assert controls.sample(1, 0.05)[0].mouse == pytest.approx((0.0, 0.05))


@pytest.mark.parametrize("mode", ["universal", "gta_drive", "templerun"])
def test_every_key_of_a_mode_is_bound_and_every_action_is_one_the_model_takes(mode):
    space, controls = action_space(mode), Controls(mode, 16.0)
    assert set(space.keys) <= set(default_controls()[mode])
    controls.sample(3, 0.0)
    for key in by_input(default_controls()[mode]):
        assert controls.press(key, 0.1)
        controls.motion(1000, 1000, 0.1)
        for frame in controls.sample(3, 0.2):
            space.action(frame.keys, frame.mouse)
        controls.release(key, 0.25)
    assert not controls.press("q", 1.0)


def test_another_mode_keeps_the_keys_that_mean_the_same(controls):
    controls.press("w", 10.01)
    controls.press("up", 10.01)
    controls.configure(action_space("templerun"), 16.0)
    assert keys(controls.sample(1, 10.1)) == [("W",)]


def test_a_stick_looks_by_how_far_it_is_held_until_it_is_moved_again(controls):
    controls.lean(0.5, -0.25, 10.01)
    for _ in range(3):
        assert controls.sample(1, 10.05)[0].mouse == pytest.approx((0.025, 0.05))
    controls.lean(0.0, 0.0, 10.06)
    assert controls.sample(1, 10.10)[0].mouse == (0.0, 0.0)


def test_a_stick_that_is_moved_is_answered_by_the_next_frame(controls):
    controls.lean(1.0, 0.0, 10.01)
    assert controls.sample(1, 10.05)[0].since == 10.01
    assert controls.sample(1, 10.10)[0].since is None


def test_stick_and_mouse_and_keys_together_stay_within_the_models_limit(controls):
    controls.lean(1.0, 1.0, 10.01)
    controls.press("right", 10.01)
    controls.motion(500, 500, 10.02)
    assert controls.sample(1, 10.05)[0].mouse == pytest.approx((-0.1, 0.1))


def test_inversion_turns_mouse_and_stick_round_and_leaves_keys_alone():
    made = Controls("universal", 20.0, Feel(invert_look=True, invert_turn=True))
    made.sample(1, 10.0)
    made.motion(6, 6, 10.01)
    assert made.sample(1, 10.05)[0].mouse == pytest.approx((0.01, -0.01))
    made.lean(0.5, 0.5, 10.06)
    assert made.sample(1, 10.10)[0].mouse == pytest.approx((0.05, -0.05))
    made.lean(0.0, 0.0, 10.11)
    made.press("up", 10.12)
    assert made.sample(1, 10.15)[0].mouse == pytest.approx((0.1, 0.0))


def test_another_feel_counts_at_once_and_keeps_what_is_held(controls):
    controls.press("w", 10.01)
    table = default_controls()["universal"] | {"S": ("x",)}
    controls.tune(Feel(sensitivity=30.0, tables=default_controls() | {"universal": table}))
    controls.motion(30, 0, 10.02)
    frame = controls.sample(1, 10.05)[0]
    assert frame.keys == ("W",) and frame.mouse == pytest.approx((0.0, 0.1))
    assert not controls.press("s", 10.06) and controls.press("x", 10.06)


def test_a_key_that_lost_its_meaning_while_it_was_held_is_let_go(controls):
    controls.press("w", 10.01)
    controls.tune(Feel(tables=default_controls() | {"universal": {"W": ("i",)}}))
    assert controls.sample(1, 10.05)[0].keys == ()
    controls.release("w", 10.06)


def test_letting_go_of_everything_brings_the_stick_to_rest(controls):
    controls.lean(1.0, 0.0, 10.01)
    controls.release_all()
    assert controls.sample(1, 10.05)[0].mouse == (0.0, 0.0)
