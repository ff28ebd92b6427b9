"""A playthrough can go back anywhere it remembers, and what it then makes is what it would have made, bit for bit."""

import numpy as np
import pytest

from engine.actions import Actions
from game.config.settings import load_settings
from game.models.loader import open_world
from game.world.history import Tape
from game.world.playthrough import Anchored, Played, Playthrough, Went
from game.world.scenes import shipped_scenes
from tests.engine.tiny import big_config, picture, random_actions, small_config, world

CONFIGS = [pytest.param(big_config(), id="big-like"), pytest.param(small_config(), id="embedded-like")]
ROOM = 2**30


def playthrough(config, budget: int = ROOM, seed: int = 5) -> Playthrough:
    return Playthrough(world(config), picture(config), seed, budget)


def step(made: Playthrough, seed: int = 0) -> Played:
    """The next block; its actions depend on how far the rollout is, and on `seed`."""
    start = made.present.start
    played = made.step(random_actions(made.world.config, made.next_frames, seed * 1009 + made.present.frames))
    made.settle()
    assert made.present.start is start
    return played


def frames(made: Playthrough, blocks: int, seed: int = 0) -> np.ndarray:
    return np.concatenate([step(made, seed).block.frames for _ in range(blocks)])


@pytest.mark.parametrize("config", CONFIGS)
def test_going_back_and_on_with_the_same_keys_gives_the_same_frames(config):
    made = playthrough(config)
    frames(made, 2)
    there = made.present
    onwards = frames(made, 4)
    made.go(there)
    frames(made, 3, seed=1)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(made.present.pictures, onwards[-len(made.present.pictures) :])
    made.go(made.past.moments()[2])
    assert made.present is there
    np.testing.assert_array_equal(frames(made, 4), onwards)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_moment_within_the_budget_can_be_returned_to(config, monkeypatch):
    monkeypatch.setattr("game.world.history._MOST_AGAIN", 6)
    made = playthrough(config)
    whole = frames(made, 21)
    roomy = made.past.bytes
    tight = playthrough(config, roomy // 3)
    np.testing.assert_array_equal(frames(tight, 20), whole[: tight.present.frames])
    assert tight.past.bytes <= roomy // 3
    moments = tight.past.moments()
    kept = [moment.snapshot is not None for moment in moments]
    assert kept[0] and kept[-1] and not all(kept), "thinned, and its ends stay"
    assert len(moments) > 4
    for moment in reversed(moments):
        tight.go(moment)
        assert tight.past.newest is moment
        step(tight)
        np.testing.assert_array_equal(tight.present.pictures, whole[moment.frames : tight.present.frames])
        tight.go(moment)


def test_a_long_walk_keeps_to_its_budget_and_its_near_past():
    config = small_config()
    made = playthrough(config)
    frames(made, 4)
    budget = 20 * made.past.bytes
    made = playthrough(config, budget)
    most = 0
    for _ in range(400):
        step(made)
        most = max(most, made.past.bytes)
    assert budget / 2 < most <= budget
    assert made.past.frames == sum(len(moment.pictures) for moment in made.past.moments()[1:])
    assert all(moment.snapshot is not None for moment in made.past.moments()[-3:])


def test_a_budget_too_small_for_one_state_keeps_none():
    config = small_config()
    made = playthrough(config, 1000)
    plain = frames(playthrough(config), 5)
    np.testing.assert_array_equal(frames(made, 5), plain)
    assert made.past.frames == 0 and made.present.snapshot is None


@pytest.mark.parametrize("config", CONFIGS)
def test_a_kept_moment_outlives_its_past_and_its_path(config):
    made = playthrough(config)
    frames(made, 3)
    kept, told = made.keep(), made.actions_of(made.present)
    onwards = frames(made, 2)
    made.go(made.past.moments()[1])
    frames(made, 3, seed=2)
    made.go(kept)
    np.testing.assert_array_equal(frames(made, 2), onwards)
    made.past.clear()
    made.go(kept)
    assert made.actions_of(kept) == told
    np.testing.assert_array_equal(frames(made, 2), onwards)
    before = made.past.bytes
    made.let_go(kept)
    assert made.past.bytes <= before


@pytest.mark.parametrize("config", CONFIGS)
def test_an_anchor_begins_a_new_rollout_from_the_present_picture_and_can_be_undone(config):
    made = playthrough(config)
    frames(made, 2)
    before, onwards = made.present, None
    made.anchor()
    assert made.present.frames == 0 and made.present.start.seed == 6
    np.testing.assert_array_equal(made.present.picture, before.picture)
    anchored = frames(made, 2)
    fresh = Playthrough(made.world, before.picture, 6)
    np.testing.assert_array_equal(frames(fresh, 2), anchored)
    made.go(before)
    onwards = frames(made, 2)
    straight = playthrough(config)
    frames(straight, 2)
    np.testing.assert_array_equal(frames(straight, 2), onwards)


def test_a_hold_shows_the_present_picture_and_moves_nothing():
    config = big_config()
    made, plain = playthrough(config), playthrough(config)
    frames(made, 2), frames(plain, 2)
    held = made.hold(5)
    assert held.held and held.block.frames.shape[0] == 5 and len(held.block.actions) == 5
    assert (held.block.frames == made.present.picture).all()
    np.testing.assert_array_equal(frames(made, 1), frames(plain, 1))


def test_what_happens_between_blocks_comes_out_with_the_next():
    made = playthrough(small_config())
    assert step(made).events == ()
    there = made.present
    step(made)
    made.anchor()
    made.go(there)
    made.anchor(77)
    assert step(made).events == (Went(there), Anchored(77))
    assert step(made).events == ()


def test_entering_a_state_by_its_actions_is_being_there():
    config = big_config()
    made = playthrough(config)
    frames(made, 3)
    told, onwards = made.actions_of(made.present), None
    first, seed = made.present.start.first_frame, made.present.start.seed
    onwards = frames(made, 1)
    shares: list[float] = []
    made.enter(first, seed, told, shares.append)
    assert made.present.frames == len(told) and shares[-1] == 1.0
    np.testing.assert_array_equal(frames(made, 1), onwards)


@pytest.mark.parametrize("config", [*CONFIGS, pytest.param(small_config(window=2), id="window 2")])
def test_a_tape_gives_back_what_was_recorded_on_it(config):
    tape, given = Tape(), random_actions(config, 30)
    tape.add(given[:11])
    tape.add(given[11:])
    assert len(tape) == 30 and tape.actions(0, 30) == given and tape.actions(7, 20) == given[7:20]
    assert tape.actions(4, 4) is None
    twin = tape.copy(12)
    tape.cut(5)
    tape.add(given[20:])
    assert tape.actions(0, len(tape)) == Actions.join([given[:5], given[20:]])
    assert twin.actions(0, 12) == given[:12]


def test_the_shipped_world_goes_back_and_on_bit_for_bit():
    made = Playthrough(open_world(load_settings()), shipped_scenes()[0].picture(), 1, 2**28)
    frames(made, 12)
    there = made.present
    onwards = frames(made, 12)
    frames(made, 60, seed=1)
    made.go(there)
    frames(made, 3, seed=2)
    made.go(there)
    np.testing.assert_array_equal(frames(made, 12), onwards)
