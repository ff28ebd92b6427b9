"""A world made of whole numbers alone: the same pictures on any machine, for ever.

The old recordings in `old/` were made with it. Change nothing here: they would no longer replay.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from engine.actions import Actions
from engine.block import Block, TakePictures, Timings
from engine.families import action_space

WIDTH, HEIGHT, FPS = 64, 48, 100.0
_FACTOR, _STEP, _MODULUS = 6364136223846793005, 1442695040888963407, 2**64


def first_picture(number: int = 0) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8: tiles whose colours depend on `number`."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    tiles = (x // 8) * 5 + (y // 8) * 11 + number * 3
    return np.stack([tiles * 7 % 200 + 20, tiles * 13 % 180 + 40, tiles * 29 % 160 + 60], axis=-1).astype(np.uint8)


class WholeNumberWorld:
    """Looks like a WorldModel. first, later: video frames of the first block and of every other."""

    def __init__(self, first: int = 1, later: int = 1, fps: float = FPS) -> None:
        self.first, self.later = first, later
        self.config = SimpleNamespace(
            name="tiny", mode="universal", width=WIDTH, height=HEIGHT, fps=fps, denoising_steps=(1000,)
        )
        self.device, self.dtype, self.weights_sha256 = "cpu", "float32", "1" * 64
        self.kernels = SimpleNamespace(compiled="off", fast=False)
        self.action_space = action_space("universal")

    def start(self, first_frame: np.ndarray, seed: int) -> WholeNumberRollout:
        """A rollout from the upper left corner of a picture that is as large as the world, or larger."""
        return WholeNumberRollout(self, np.ascontiguousarray(first_frame[:HEIGHT, :WIDTH]), seed)


class WholeNumberSnapshot:
    """A rollout's state."""

    def __init__(self, state: tuple) -> None:
        self.state = state

    def storages(self) -> dict[int, int]:
        """One made-up tensor of a kilobyte."""
        return {id(self): 1000}


class WholeNumberRollout:
    """Moves the first picture about as told; its colours depend on everything that was told, in order, and the seed."""

    def __init__(self, world: WholeNumberWorld, first_frame: np.ndarray, seed: int) -> None:
        self.world, self.first_frame, self.seed = world, first_frame, seed
        self.frames_done = self.blocks_done = self._across = self._down = 0
        self._mixed = (seed * _FACTOR + _STEP + int(first_frame.sum())) % _MODULUS
        self.compiled_from = None

    @property
    def next_frames(self) -> int:
        """Video frames of the next block."""
        return self.world.later if self.blocks_done else self.world.first

    def step(self, actions: Actions, early: TakePictures | None = None) -> Block:
        """The next block."""
        assert len(actions) == self.next_frames
        frames = np.stack([self._frame(actions, i) for i in range(len(actions))])
        block = Block(self.blocks_done, self.frames_done, frames, actions, Timings(1.0, 0.0, 1.0, 2.0))
        self.frames_done += len(actions)
        self.blocks_done += 1
        return block

    def settle(self) -> float:
        """There is nothing to settle."""
        return 0.0

    def snapshot(self, since: WholeNumberSnapshot | None = None) -> WholeNumberSnapshot:
        """Everything that makes the next frames."""
        return WholeNumberSnapshot((self.frames_done, self.blocks_done, self._across, self._down, self._mixed))

    def restore(self, snapshot: WholeNumberSnapshot) -> None:
        """Goes back to it."""
        self.frames_done, self.blocks_done, self._across, self._down, self._mixed = snapshot.state

    def _frame(self, actions: Actions, i: int) -> np.ndarray:
        keys = actions.keys[i]
        pitch, yaw = (round(float(v) * 10_000) for v in actions.mouse[i])
        told = sum(1 << "WSAD".index(key) for key in keys) + 16 * (pitch + 5000) + 16 * 10_001 * (yaw + 5000)
        self._mixed = ((self._mixed ^ told) * _FACTOR + _STEP) % _MODULUS
        self._across += ("D" in keys) - ("A" in keys) + yaw // 250
        self._down += ("W" in keys) - ("S" in keys) + pitch // 250
        moved = np.roll(self.first_frame, (self._down, self._across), (0, 1)).astype(np.int64)
        shade = np.array([self._mixed >> 61, self._mixed >> 58 & 7, self._mixed >> 55 & 7])
        return ((moved + 2 * shade) % 256).astype(np.uint8)
