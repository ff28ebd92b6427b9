"""Gymnasium's environments over a world: one, and several rollouts of one model at once. Needs the extra `gym`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from game.agents.api import SHIPPED, Play, Start, World, load
from game.world.scenes import shipped_scenes

RewardOf = Callable[[np.ndarray, dict[str, Any], dict[str, Any]], float]
_SEEDS = 2**31


def no_reward(frame: np.ndarray, action: dict[str, Any], info: dict[str, Any]) -> float:
    """A world has no aim of its own."""
    return 0.0


class NeuralWorldEnv(gymnasium.Env[np.ndarray, dict[str, Any]]):
    """A world as an environment: a step is a block, with the same pressed through all of it.

    The observation is the newest picture, (H, W, 3) uint8 RGB. An action is a dict: `keys`, a 0 or 1 for each of the
    mode's keys (where only one counts at a time: its number, from 1, or 0 for none), and `mouse`, (pitch, yaw) per
    video frame, in modes with a mouse. There is no reward (0.0) unless `reward_fn` gives one, and no end. `info`
    holds all `frames` of the block.

    Args:
        model: its name, or a World that is loaded already.
        words: settings as on the command line, such as "weights=DIR".
        scene: what a world starts from, see World.start; None: at every reset one of the shipped scenes by chance.
        render_mode: "rgb_array" or None.
        reward_fn: (picture, action, info) -> reward.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        model: str | World = SHIPPED,
        words: Sequence[str] = (),
        scene: Start = None,
        render_mode: str | None = None,
        reward_fn: RewardOf = no_reward,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is {render_mode!r}; it can be 'rgb_array' or None")
        self.world = model if isinstance(model, World) else load(model, *words)
        self.render_mode, self._scene, self._reward = render_mode, scene, reward_fn
        self.observation_space = spaces.Box(0, 255, (*self.world.size, 3), np.uint8)
        self.action_space = action_space_of(self.world)
        self.play: Play | None = None
        per_step = max(1, self.world.model.config.frames_of_block(1))
        self.metadata = self.metadata | {"render_fps": self.world.fps / per_step}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new world. seed: of its noise and, where none was chosen, of its scene. options: {"scene": ...}."""
        super().reset(seed=seed)
        scene = (options or {}).get("scene", self._scene)
        self.play = begin(self.world, scene, self.np_random)
        return self.play.frame.copy(), {"frames": self.play.frame[None].copy()}

    def step(self, action: dict[str, Any]) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The next block. Raises ActionError for mouse motion out of range."""
        if self.play is None:
            raise gymnasium.error.ResetNeeded("reset() comes before the first step()")
        frames = self.play.step(*pressed(self.world, action))
        info = {"frames": frames}
        frame = self.play.frame.copy()
        return frame, float(self._reward(frame, action, info)), False, False, info

    def render(self) -> np.ndarray | None:
        """The newest picture."""
        if self.render_mode is None or self.play is None:
            return None
        return self.play.frame.copy()


class NeuralWorldVectorEnv(gymnasium.vector.VectorEnv[np.ndarray, dict[str, Any], np.ndarray]):
    """Several rollouts of one model, whose weights are in memory once; see NeuralWorldEnv.

    max_episode_steps: blocks after which a world is cut off, and begun anew in the next step.
    """

    metadata = {  # noqa: RUF012 (Gymnasium's own form)
        "render_modes": ["rgb_array"],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        model: str | World = SHIPPED,
        words: Sequence[str] = (),
        scene: Start = None,
        render_mode: str | None = None,
        reward_fn: RewardOf = no_reward,
        max_episode_steps: int | None = None,
    ) -> None:
        self.world = model if isinstance(model, World) else load(model, *words)
        self.num_envs, self.render_mode = num_envs, render_mode
        self._scene, self._reward, self._limit = scene, reward_fn, max_episode_steps
        self.single_observation_space = spaces.Box(0, 255, (*self.world.size, 3), np.uint8)
        self.single_action_space = action_space_of(self.world)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.plays: list[Play] = []
        self._random: list[np.random.Generator] = []
        self._steps = np.zeros(num_envs, dtype=np.int64)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """New worlds. seed: of the first, the next ones count on from it; or one for each."""
        first = seed if isinstance(seed, int) else None
        super().reset(seed=first)
        seeds: list[int | None] = [None] * self.num_envs
        if isinstance(seed, int):
            seeds = [seed + n for n in range(self.num_envs)]
        elif seed is not None:
            seeds = list(seed)
        self._random = [gymnasium.utils.seeding.np_random(one)[0] for one in seeds]
        scene = (options or {}).get("scene", self._scene)
        self.plays = [begin(self.world, scene, random) for random in self._random]
        self._steps[:] = 0
        return self._pictures(), {}

    def step(self, actions: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """The next block of each."""
        if not self.plays:
            raise gymnasium.error.ResetNeeded("reset() comes before the first step()")
        rewards = np.zeros(self.num_envs, dtype=np.float64)
        for n in range(self.num_envs):
            if self._limit is not None and self._steps[n] >= self._limit:
                self.plays[n], self._steps[n] = begin(self.world, self._scene, self._random[n]), 0
                continue
            action = {name: values[n] for name, values in actions.items()}
            frames = self.plays[n].step(*pressed(self.world, action))
            rewards[n] = self._reward(self.plays[n].frame, action, {"frames": frames})
            self._steps[n] += 1
        truncated = np.zeros(self.num_envs, dtype=bool) if self._limit is None else self._steps >= self._limit
        return self._pictures(), rewards, np.zeros(self.num_envs, dtype=bool), truncated, {}

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The newest picture of each."""
        if self.render_mode is None or not self.plays:
            return None
        return tuple(play.frame.copy() for play in self.plays)

    def _pictures(self) -> np.ndarray:
        return np.stack([play.frame for play in self.plays])


def action_space_of(world: World) -> spaces.Dict:
    """Gymnasium's form of a mode's action space."""
    space = world.action_space
    keys: spaces.Space[Any] = spaces.MultiBinary(len(space.keys))
    if space.one_at_a_time:
        keys = spaces.Discrete(len(space.keys) + 1)
    parts: dict[str, spaces.Space[Any]] = {"keys": keys}
    if space.has_mouse:
        parts["mouse"] = spaces.Box(-space.mouse_limit, space.mouse_limit, (2,), np.float32)
    return spaces.Dict(parts)


def begin(world: World, scene: Start, random: np.random.Generator) -> Play:
    """A world from `scene`, or from one by chance, with noise by chance."""
    seed = int(random.integers(_SEEDS))
    if scene is None:
        names = [shipped.name for shipped in shipped_scenes()]
        scene = names[int(random.integers(len(names)))]
    return world.start(scene, seed)


def pressed(world: World, action: dict[str, Any]) -> tuple[list[str], tuple[float, float]]:
    """Keys and mouse of a Gymnasium action."""
    space = world.action_space
    if space.one_at_a_time:
        number = int(action["keys"])
        keys = [space.keys[number - 1]] if number else []
    else:
        keys = [name for name, held in zip(space.keys, action["keys"], strict=True) if held]
    mouse = action.get("mouse", (0.0, 0.0))
    return keys, (float(mouse[0]), float(mouse[1]))
