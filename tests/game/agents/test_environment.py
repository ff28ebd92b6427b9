"""Claims about worlds as environments, by Gymnasium's own checks."""

import textwrap
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

import game.agents
from game.agents import World
from tests.game.fakes import FakeWorld


def fake(**options) -> World:
    world = FakeWorld(**options)
    world.config.frames_of_block = lambda block: world.later if block else world.first
    return World(world)


@pytest.mark.parametrize("mode", ["universal", "gta_drive", "templerun"])
def test_gymnasiums_own_check_passes(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(
            gymnasium.make("NeuralWorld-v0", model=fake(mode=mode), render_mode="rgb_array", scene="hall").unwrapped
        )


def test_the_embedded_world_plays():
    env = gymnasium.make("NeuralWorld-v0", model="tiny", render_mode="rgb_array", max_episode_steps=3)
    first, _ = env.reset(seed=5, options={"scene": "garden"})
    assert first.shape == env.observation_space.shape and first.dtype == np.uint8
    walk = {"keys": np.array([1, 0, 0, 0], np.int8), "mouse": np.array([0, 0.1], np.float32)}
    seen = [env.step(walk) for _ in range(3)]
    assert [row[1] for row in seen] == [0.0] * 3
    assert [row[3] for row in seen] == [False, False, True]
    assert np.abs(seen[0][0].astype(int) - first).mean() > 0.5
    assert np.array_equal(env.render(), seen[-1][0])
    again, _ = env.reset(seed=5, options={"scene": "garden"})
    assert np.array_equal(again, first) and np.array_equal(env.step(walk)[0], seen[0][0])


def test_a_reward_of_ones_own_sees_picture_and_action():
    reward = lambda frame, action, info: float(action["keys"][0]) + info["frames"].shape[0]  # noqa: E731
    env = gymnasium.make("NeuralWorld-v0", model=fake(first=4, later=4), reward_fn=reward)
    env.reset(seed=0)
    assert env.step({"keys": np.array([1, 0, 0, 0], np.int8), "mouse": np.zeros(2, np.float32)})[1] == 5.0


def test_a_step_before_a_reset_is_an_error():
    with pytest.raises(gymnasium.error.ResetNeeded):
        gymnasium.make("NeuralWorld-v0", model=fake()).unwrapped.step({})


def test_several_at_once_are_what_each_is_alone():
    world = fake()
    envs = gymnasium.make_vec("NeuralWorld-v0", num_envs=3, model=world, scene="hall", max_episode_steps=2)
    pictures, _ = envs.reset(seed=7)
    assert pictures in envs.observation_space
    envs.action_space.seed(1)
    actions = [envs.action_space.sample() for _ in range(2)]
    seen = [envs.step(action) for action in actions]
    for n in range(3):
        env = gymnasium.make("NeuralWorld-v0", model=fake(), scene="hall")
        picture, _ = env.reset(seed=7 + n)
        assert np.array_equal(picture, pictures[n])
        for action, row in zip(actions, seen, strict=True):
            picture = env.step({name: values[n] for name, values in action.items()})[0]
            assert np.array_equal(picture, row[0][n])
    assert [row[3].tolist() for row in seen] == [[False] * 3, [True] * 3]
    assert np.array_equal(envs.step(actions[0])[0], pictures)  # begun anew


@pytest.mark.parametrize("way", ["sync", "vector_entry_point"])
def test_vector_versions_reset_alike_and_step_alike(way):
    """What Gymnasium checks of its own vector environments."""
    runs = []
    for _ in range(2):
        envs = gymnasium.make_vec("NeuralWorld-v0", num_envs=2, vectorization_mode=way, model=fake(), scene="hall")
        assert isinstance(envs, gymnasium.vector.VectorEnv) and envs.num_envs == 2
        envs.action_space.seed(3)
        rows = [envs.reset(seed=11)[0]]
        for _ in range(3):
            picture, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
            assert picture in envs.observation_space
            assert reward.shape == terminated.shape == truncated.shape == (2,)
            assert reward.dtype == np.float64 and terminated.dtype == truncated.dtype == bool
            rows.append(picture)
        runs.append(rows)
        envs.close()
    assert data_equivalence(runs[0], runs[1])


def test_a_dozen_lines_are_enough():
    play = fake().start("hall", seed=1)
    frames = play.step(keys=["W"], mouse=(0.0, 0.1))
    moment = play.snapshot()
    on = [play.step(["W", "D"]) for _ in range(3)]
    play.restore(moment)
    assert np.array_equal(play.frame, frames[-1]) and play.frames_done == 1
    assert all(np.array_equal(play.step(["W", "D"]), frame) for frame in on)


def test_the_documented_lines_are_true():
    code = game.agents.__doc__.partition("\n")[2].partition("import gymnasium")[0]
    code = textwrap.dedent(code).replace("range(20)", "range(2)").replace('load("tiny")', "WORLD")
    scope = {"WORLD": fake()}
    exec(code, scope)
    assert scope["frames"].shape == (1, 80, 144, 3)
