"""Worlds broken on purpose, each in one way that one measure is meant for. Any world model can be wrapped."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from engine.actions import Action, Actions
from engine.block import Block, TakePictures

FAULTS = ("delayed", "mirrored", "seam", "frozen", "tint", "copy")
LATE, SEAM_EVERY, SEAM_LEVELS, FREEZE_S, TINT_A_SECOND = 3, 4, 4.0, 10.0, 2.0
TINT = np.array([1.0, -0.42, -0.46])  # as bright as before


class BrokenWorld:
    """A world model whose rollouts have a fault."""

    def __init__(self, world: Any, fault: str) -> None:
        self._world, self._fault = world, fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def start(self, first_frame: np.ndarray, seed: int) -> BrokenRollout:
        return BrokenRollout(self._world.start(first_frame, seed), self._fault, self._world)


class BrokenRollout:
    """A rollout with a fault; goes forward only."""

    def __init__(self, rollout: Any, fault: str, world: Any) -> None:
        self._rollout, self._fault, self._fps = rollout, fault, world.config.fps
        self._waiting = deque([world.action_space.action()] * LATE)
        self._frozen: np.ndarray | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rollout, name)

    def step(self, actions: Actions, early: TakePictures | None = None) -> Block:
        block = self._rollout.step(Actions.stack([self._told(action) for action in actions]))
        frames = [self._shown(frame, block.first_frame + n) for n, frame in enumerate(block.frames)]
        return replace(block, frames=np.stack(frames), actions=actions)

    def _told(self, action: Action) -> Action:
        if self._fault == "delayed":
            self._waiting.append(action)
            return self._waiting.popleft()
        if self._fault == "mirrored" and action.mouse is not None:
            return replace(action, mouse=(action.mouse[0], -action.mouse[1]))
        return action

    def _shown(self, frame: np.ndarray, number: int) -> np.ndarray:
        if self._fault == "copy":
            return self._rollout.first_frame
        if self._fault == "frozen" and number >= FREEZE_S * self._fps:
            return frame if self._frozen is None else self._frozen
        self._frozen = frame
        if self._fault == "seam":
            return levels(frame + (SEAM_LEVELS if number // SEAM_EVERY % 2 else -SEAM_LEVELS))
        if self._fault == "tint":
            return levels(frame + TINT * TINT_A_SECOND * number / self._fps)
        return frame


def levels(frame: np.ndarray) -> np.ndarray:
    """What can be shown of it, uint8."""
    return frame.round().clip(0, 255).astype(np.uint8)
