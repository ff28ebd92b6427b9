"""A world without a network: the engine's interface, with block times, failures and pictures that a test chooses."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.actions import Actions
from engine.block import Block, TakePictures, Timings
from engine.families import action_space
from game.input.controls import Controls
from game.live.player import Habits, LocalPlayer, MakeRecorder
from game.models.switcher import OneModel, OpenWorld


@dataclass
class FakeScene:
    """A scene that needs no file."""

    name: str = "hall"
    error: Exception | None = None

    def picture(self) -> np.ndarray:
        """A picture larger than any model's."""
        if self.error is not None:
            raise self.error
        return landscape(240, 320, 0.0, 0.0, hue=sum(map(ord, self.name)))


@dataclass
class FakeWorld:
    """What a test may set, and what the rollouts noted.

    first, later: video frames of the first and of every other block. step_seconds, settle_seconds: how long a call
    takes. part: frames that are decoded together, `decode_seconds` long; the first part of a block has what is left
    over; 0: all at once. fail_at: numbers of the steps (counted over all rollouts) that raise `error`; fail_in: of
    those that raise it when some pictures are finished. log: every call by name, in order. taken: every video frame's
    keys and mouse, in order. states: the snapshots of its rollouts that are alive.
    """

    mode: str = "universal"
    fps: float = 20.0
    width: int = 144
    height: int = 80
    first: int = 1
    later: int = 1
    state_bytes: int = 1000
    step_seconds: float = 0.0
    settle_seconds: float = 0.0
    part: int = 0
    decode_seconds: float = 0.0
    fail_at: frozenset[int] = frozenset()
    fail_in: frozenset[int] = frozenset()
    fail_start: bool = False
    error: Exception = field(default_factory=lambda: RuntimeError("the fake engine was told to fail"))
    sleep: Callable[[float], None] = time.sleep
    name: str = "fake"
    denoising_steps: tuple[int, ...] = (1000,)

    def __post_init__(self) -> None:
        self.config = SimpleNamespace(
            name=self.name, mode=self.mode, width=self.width, height=self.height, fps=self.fps,
            denoising_steps=self.denoising_steps,
        )  # fmt: skip
        self.device, self.dtype, self.weights_sha256 = "cpu", "float32", "0" * 64
        self.kernels = SimpleNamespace(compiled="off")
        self.action_space = action_space(self.mode)
        self.log: list[str] = []
        self.taken: list[tuple[tuple[str, ...], tuple[float, float] | None]] = []
        self.rollouts: list[FakeRollout] = []
        self.states: weakref.WeakSet[FakeSnapshot] = weakref.WeakSet()
        self.steps = 0

    def start(self, first_frame: np.ndarray, seed: int) -> FakeRollout:
        """A new rollout; its first frame is the world's own picture."""
        self.log.append("start")
        if self.fail_start:
            raise self.error
        rollout = FakeRollout(
            self, landscape(self.height, self.width, 0.0, 0.0, hue=int(first_frame.sum()) % 1000), seed
        )
        self.rollouts.append(rollout)
        return rollout

    def flops_per_block(self) -> int:
        """Made up."""
        return 1_000_000


class FakeModels:
    """Models by name, each opened by a function; the first is the one to begin with.

    at: makes the world of another quality. tries: names in the order they were opened.
    """

    quality = "default"

    def __init__(self, at: Callable[[FakeWorld, str], FakeWorld] | None = None, **openers: OpenWorld) -> None:
        self.model, self._openers, self._at = next(iter(openers)), openers, at
        self.tries: list[str] = []

    def opener(self) -> OpenWorld:
        """Opens the first."""
        return self.choose(self.model, "default", "")

    def choose(self, model: str, quality: str, weights: str) -> OpenWorld:
        """Opens the one of that name."""

        def open_it(progress):
            self.tries.append(model)
            return self._openers[model](progress)

        return open_it

    def at_quality(self, world, quality: str):
        """What the test says."""
        assert self._at is not None
        return self._at(world, quality)

    def qualities(self) -> tuple[str, ...]:
        """Made up."""
        return () if self._at is None else ("default", "fast", "max")

    def choices(self, weights: str) -> list:
        """None."""
        return []


@dataclass(eq=False)
class FakeSnapshot:
    """A FakeRollout's state, as large as the world says."""

    state: tuple
    size: int

    def storages(self) -> dict[int, int]:
        """One made-up tensor."""
        return {id(self): self.size}


class FakeRollout:
    """Turns the camera as told, and writes frame number and keys into the upper left pixels (see `read_frame`)."""

    def __init__(self, world: FakeWorld, first_frame: np.ndarray, seed: int) -> None:
        self.world, self.first_frame, self.seed = world, first_frame, seed
        self.frames_done = self.blocks_done = 0
        self._yaw = self._pitch = self._way = 0.0
        self._unsettled = False

    @property
    def next_frames(self) -> int:
        """Video frames of the next step."""
        return self.world.later if self.blocks_done else self.world.first

    def step(self, actions: Actions, early: TakePictures | None = None) -> Block:
        """One block."""
        world = self.world
        assert len(actions) == self.next_frames
        self.settle()
        world.log.append("step")
        world.steps += 1
        world.sleep(world.step_seconds)
        if world.steps - 1 in world.fail_at:
            raise world.error
        frames = np.stack([self._frame(actions, i) for i in range(len(actions))])
        done = 0
        while world.part and done < len(frames):
            size = (len(frames) - done) % world.part or world.part
            world.sleep(world.decode_seconds)
            if early is not None:
                early(frames[done : done + size])
            done += size
            if world.steps - 1 in world.fail_in:
                raise world.error
        timings = Timings(world.step_seconds * 1000, 0.0, 0.0, world.step_seconds * 1000)
        block = Block(self.blocks_done, self.frames_done, frames, actions, timings)
        self.frames_done += len(actions)
        self.blocks_done += 1
        self._unsettled = True
        return block

    def settle(self) -> float:
        """The context pass."""
        if not self._unsettled:
            return 0.0
        self._unsettled = False
        self.world.log.append("settle")
        self.world.sleep(self.world.settle_seconds)
        return self.world.settle_seconds * 1000

    def snapshot(self, since: FakeSnapshot | None = None) -> FakeSnapshot:
        """Everything that makes the next frames."""
        self.settle()
        state = (self.frames_done, self.blocks_done, self._yaw, self._pitch, self._way)
        snapshot = FakeSnapshot(state, self.world.state_bytes)
        self.world.states.add(snapshot)
        return snapshot

    def restore(self, snapshot: FakeSnapshot) -> None:
        """Goes back to it."""
        self.world.log.append("restore")
        self._unsettled = False
        self.frames_done, self.blocks_done, self._yaw, self._pitch, self._way = snapshot.state

    def _frame(self, actions: Actions, i: int) -> np.ndarray:
        world, keys = self.world, actions.keys[i]
        mouse = None if actions.mouse is None else tuple(float(v) for v in actions.mouse[i])
        world.taken.append((keys, mouse))
        pitch, yaw = mouse or (0.0, 0.0)
        self._pitch, self._yaw = self._pitch + pitch, self._yaw + yaw
        self._way += ("W" in keys) - ("S" in keys)
        frame = landscape(world.height, world.width, self._yaw, self._pitch, way=self._way)
        frame[0, 0] = np.frombuffer((self.frames_done + i).to_bytes(3, "big"), np.uint8)
        frame[0, 1] = sum(1 << i for i, key in enumerate(world.action_space.keys[:8]) if key in keys)
        return frame


def read_frame(frame: np.ndarray, keys: tuple[str, ...] = ("W", "S", "A", "D")) -> tuple[int, tuple[str, ...]]:
    """Number and keys that a FakeRollout wrote into a frame."""
    return int.from_bytes(frame[0, 0].tobytes(), "big"), tuple(k for i, k in enumerate(keys) if frame[0, 1, 0] >> i & 1)


def landscape(height: int, width: int, yaw: float, pitch: float, *, way: float = 0.0, hue: int = 0) -> np.ndarray:
    """Hills under a sky, (height, width, 3) uint8; cheap to draw and pleasant enough for screenshots."""
    x = np.linspace(-1.0, 1.0, width)[None, :] + 4.0 * yaw
    y = np.linspace(-1.0, 1.0, height)[:, None] - 4.0 * pitch
    sky = np.clip(0.5 - 0.5 * y, 0, 1)[..., None] * np.array([70, 130, 210]) + np.array([90, 80, 60])
    picture = np.broadcast_to(sky, (height, width, 3)).copy()
    for depth, colour in ((1.0, (96, 120, 130)), (1.7, (70, 112, 84)), (2.6, (58, 88, 52))):
        ridge = 0.25 * depth - 0.35 + 0.16 * np.sin(3.1 * depth * x + depth + hue) + 0.01 * way * depth
        picture = np.where((y > ridge)[..., None], np.array(colour), picture)
    return np.clip(picture, 0, 255).astype(np.uint8)


def players(
    open_world: OpenWorld, make_recorder: MakeRecorder | None = None, shots: Path = Path("shots")
) -> Callable[[Controls, Callable[[], None]], LocalPlayer]:
    """What a window makes its player with: one that plays what `open_world` opens."""
    scenes, habits = (FakeScene("hall"), FakeScene("court")), Habits(record=make_recorder is not None)
    return lambda controls, wake: LocalPlayer(
        OneModel(open_world), scenes, controls, habits=habits, make_recorder=make_recorder, shots=shots, wake=wake
    )


class FakeRecorder:
    """Notes what it was given, and by which thread."""

    def __init__(self, fail_after: int | None = None, error: Exception | None = None) -> None:
        self.blocks: list[Block] = []
        self.events: list[tuple[int, dict]] = []
        self.held: list[int] = []
        self.threads: set[str] = set()
        self.stats = None
        self.closed = False
        self.problem: str | None = None
        self._fail_after, self._error = fail_after, error

    def add(self, block: Block, events=(), held: bool = False) -> None:
        """Keeps the block, and the events."""
        self.threads.add(threading.current_thread().name)
        if self._fail_after is not None and len(self.blocks) >= self._fail_after:
            raise self._error or OSError("No space left on device")
        self.blocks.append(block)
        self.events += [(len(self.blocks) - 1, event) for event in events]
        self.held += [len(self.blocks) - 1] if held else []

    def enter(self, first_frame, seed, actions, compiled_from) -> dict:
        """Keeps nothing."""
        return {"event": "enter", "frames": 0 if actions is None else len(actions)}

    def finish(self, stats, then=None) -> None:
        """Keeps the numbers."""
        self.stats, self.closed = stats, True
        if then is not None:
            then(None)

    def wait(self, limit) -> bool:
        """There is nothing to wait for."""
        return True

    def kill(self) -> None:
        """There is nothing to kill."""


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` returns, in a thread of its own; a failure, and no test that hangs, where it does not return."""
    returned: list[Any] = []
    thread = threading.Thread(target=lambda: returned.append(call()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"it has not returned within {seconds:.0f} s"
    return returned[0]


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether `condition` comes true; the time limit only ends tests that have failed anyway."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.002)
    return condition()
