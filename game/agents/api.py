"""A world in a dozen lines: load, start, step, snapshot. No window, no clock, no files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.actions import Actions, ActionSpace
from engine.families import shipped_models
from game.config.settings import load_settings
from game.world.scenes import find_scene, shipped_scenes

if TYPE_CHECKING:
    from engine.rollout.rollout import Rollout, Snapshot
    from engine.world import WorldModel

Start = str | Path | np.ndarray | None
SHIPPED = shipped_models()[0]  # comes with its weights


def load(model: str = SHIPPED, *words: str) -> World:
    """A model ready to play; takes seconds. model: its name. words: settings as on the command line, "weights=DIR".

    Raises InputError for settings or weights that cannot be used.
    """
    from game.models.catalog import find_weights
    from game.models.loader import open_world
    from game.requirements import calm_threads

    settings = load_settings([f"model={model}", *words])
    find_weights(settings)
    calm_threads()
    return World(open_world(settings))


class World:
    """A loaded model, from which any number of worlds start."""

    def __init__(self, model: WorldModel) -> None:
        self.model = model

    @property
    def action_space(self) -> ActionSpace:
        """The keys, and how far the mouse may move in a video frame."""
        return self.model.action_space

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its frames."""
        return self.model.config.height, self.model.config.width

    @property
    def fps(self) -> float:
        """Video frames a second at which it was taught."""
        return self.model.config.fps

    def start(self, first_frame: Start = None, seed: int = 0) -> Play:
        """A new world. first_frame: a scene's name, a picture's path, an (h, w, 3) uint8 RGB array, or None for the
        opening scene. Raises InputError, PictureError."""
        return Play(self, self.model.start(picture_of(first_frame), seed))


class Play:
    """One world being played. frame: the newest picture, (H, W, 3) uint8 RGB; the first frame at the beginning."""

    def __init__(self, world: World, rollout: Rollout) -> None:
        self.world, self._rollout = world, rollout
        self.frame: np.ndarray = rollout.first_frame

    @property
    def next_frames(self) -> int:
        """Video frames that the next step makes."""
        return self._rollout.next_frames

    @property
    def frames_done(self) -> int:
        """Video frames so far."""
        return self._rollout.frames_done

    def step(self, keys: Iterable[str] = (), mouse: Sequence[float] = (0.0, 0.0)) -> np.ndarray:
        """The next block, (F, H, W, 3) uint8 RGB, with the same pressed through all of it.

        mouse: (pitch, yaw) per video frame, + looks up and turns right. Raises ActionError for what the mode lacks.
        """
        action = self.world.action_space.action(keys, (float(mouse[0]), float(mouse[1])))
        return self.step_actions(Actions.stack([action] * self.next_frames))

    def step_actions(self, actions: Actions) -> np.ndarray:
        """The next block, from an action for each of its `next_frames` video frames. Raises ActionError."""
        frames = self._rollout.step(actions).frames
        self.frame = frames[-1]
        return frames

    def snapshot(self) -> tuple[Snapshot, np.ndarray]:
        """This moment, to be restored any number of times."""
        return self._rollout.snapshot(), self.frame

    def restore(self, moment: tuple[Snapshot, np.ndarray]) -> None:
        """Goes back to (or on to) a moment of this world."""
        self._rollout.restore(moment[0])
        self.frame = moment[1]


def picture_of(first_frame: Start) -> np.ndarray:
    """The picture that is meant by a scene's name, a path, or an array. Raises InputError, PictureError."""
    if isinstance(first_frame, np.ndarray):
        return first_frame
    scene = shipped_scenes()[0] if first_frame is None else find_scene(str(first_frame))
    return scene.picture()
