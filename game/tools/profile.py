"""`--profile`: a Chrome trace with named ranges, and the time of every block, for any way of running a world."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.actions import Actions
from engine.block import Block, TakePictures
from game.config.settings import Settings
from game.console import Progress, say, tell
from game.files import folder_error, write_json, write_whole
from game.models.catalog import random_weights
from game.models.loader import make_world, open_world
from game.recording.format import RunStats

if TYPE_CHECKING:
    from engine.rollout.rollout import Rollout
    from engine.world import WorldModel

_STAGES = ("denoise", "context", "decode", "total")
_TRACED_BLOCKS = 32  # a trace of more is too large for the viewers


class Profile:
    """What is noted of one world. It does not hold the world, which may be gone before it is written.

    The profiler starts with the first rollout, on the thread that makes it, since it sees only the operations of that
    thread. Times of blocks are the engine's own: by events in the device's queue on a GPU, by the wall clock elsewhere.
    """

    def __init__(self, fps: float) -> None:
        self.blocks: list[dict] = []
        self._fps = fps
        self._profiler: Any = None
        self._stats = RunStats()
        self._encode_ms: list[float] = []  # of each rollout's first frame
        self._stopped = False
        self._thread = threading.local()

    def start(self) -> bool:
        """Begins, unless it has begun before. Returns whether it did."""
        if self._profiler is not None:
            return False
        self._profiler = _start_profiler()
        self._thread.end = _AtThreadsEnd(self.stop)
        return True

    def encoded(self, seconds: float) -> None:
        """Notes how long a first frame took."""
        self._encode_ms.append(round(seconds * 1000, 3))

    def note(self, block: Block) -> None:
        """Notes a block."""
        timings = block.timings
        self._stats.add(block)
        times = {f"{stage}_ms": round(getattr(timings, f"{stage}_ms"), 3) for stage in _STAGES}
        self.blocks.append({"block": block.index, "frames": len(block.frames)} | times)
        if len(self.blocks) == _TRACED_BLOCKS:
            self.stop()

    def stop(self) -> None:
        """Ends the trace; blocks are timed all the same."""
        if self._profiler is not None and not self._stopped:
            self._profiler.stop()
            self._stopped = True

    def write(self, folder: Path, number: int = 1) -> list[str]:
        """Writes trace.json and profile.json into `folder`. Returns the lines to show. Raises OSError.

        number: of the world in its run; from the second on it is in the files' names.
        """
        if not self.blocks:
            return ["nothing was profiled: no block was made"]
        self.stop()
        folder.mkdir(parents=True, exist_ok=True)
        end = "" if number == 1 else f"-{number}"
        trace = folder / f"trace{end}.json"
        with tempfile.TemporaryDirectory() as own:  # torch takes no path that is not UTF-8
            self._profiler.export_chrome_trace(str(Path(own) / "trace.json"))
            write_whole(trace, (Path(own) / "trace.json").read_bytes())
        report = self._stats.to_report(self._fps)
        write_json(folder / f"profile{end}.json", report | {"encode_ms": self._encode_ms, "blocks": self.blocks})
        speed = f"{report['generated_fps']:.1f} frames/s, {report['realtime_factor']:.2f} x real time (while profiled)"
        encoded = f"first frame encoded in {self._encode_ms[0]:.1f} ms"
        return [encoded, *block_table(self.blocks), speed, f"{trace}: open it in ui.perfetto.dev"]


class Profiles:
    """The profiles of all worlds of a run: one of each model and quality that was played."""

    def __init__(self) -> None:
        self._all: list[Profile] = []
        self._running: Profile | None = None

    def wrap(self, world: WorldModel) -> ProfiledWorld:
        """A world that notes everything, in everything else as the one it wraps."""
        self._all.append(Profile(world.config.fps))
        return ProfiledWorld(world, self._all[-1], self)

    def begin(self, profile: Profile) -> None:
        """Called on the thread that makes the blocks: a thread is traced by one profiler at a time."""
        if self._running is not None and self._running is not profile:
            self._running.stop()
        profile.start()
        self._running = profile

    def write(self, folder: Path) -> list[str]:
        """Writes all of them. Returns the lines to show. Raises RecordingError if the folder cannot be written."""
        lines: list[str] = []
        made = [profile for profile in self._all if profile.blocks] or self._all[:1]
        try:
            for number, profile in enumerate(made, 1):
                lines += profile.write(folder, number)
        except (OSError, ValueError) as error:
            raise folder_error(folder, error) from error
        return lines


class ProfiledWorld:
    """A WorldModel whose rollouts are profiled; in everything else it is the world it wraps."""

    def __init__(self, world: WorldModel, profile: Profile, profiles: Profiles) -> None:
        self._world, self._profile, self._profiles = world, profile, profiles

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def start(self, first_frame: np.ndarray, seed: int) -> ProfiledRollout:
        """As WorldModel.start."""
        self._profiles.begin(self._profile)
        began = time.perf_counter()
        rollout = self._world.start(first_frame, seed)
        self._profile.encoded(time.perf_counter() - began)
        return ProfiledRollout(rollout, self)

    def step(self, rollout: Rollout, actions: Actions, early: TakePictures | None = None) -> Block:
        """One step of `rollout`, traced and timed; the engine names the ranges within it."""
        from torch.profiler import record_function

        with record_function(f"block {rollout.blocks_done}"):
            block = rollout.step(actions, early)
        self._profile.note(block)
        return block


class ProfiledRollout:
    """A Rollout that tells its ProfiledWorld about every block."""

    def __init__(self, rollout: Rollout, world: ProfiledWorld) -> None:
        self._rollout, self._world = rollout, world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rollout, name)

    def step(self, actions: Actions, early: TakePictures | None = None) -> Block:
        """As Rollout.step."""
        return self._world.step(self._rollout, actions, early)


class _AtThreadsEnd:
    """Kept in a thread's own memory, it calls `stop` as the last thing of that thread.

    A profiler has to be stopped on the thread that started it, and an inference thread may end at any block.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def __del__(self) -> None:
        self._stop()


def _start_profiler() -> Any:
    import torch
    from torch.profiler import ProfilerActivity, profile

    # Kineto tells its own story on standard error otherwise.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    profiler = profile(activities=activities)
    profiler.start()
    return profiler


def block_table(blocks: list[dict], most: int = 40) -> list[str]:
    """Lines of a table with the times of each block; the middle is left out if there are more than `most`."""
    lines = ["block  frames  denoise  context   decode    total  ms"]
    shown = blocks if len(blocks) <= most else blocks[: most // 2] + blocks[-most // 2 :]
    for i, b in enumerate(shown):
        if i == most // 2 and len(blocks) > most:
            lines.append("...")
        times = "".join(f"{b[f'{stage}_ms']:9.1f}" for stage in _STAGES)
        lines.append(f"{b['block']:5d}  {b['frames']:6d}{times}")
    return lines


def run_profiled(run: Callable[[Callable[[Settings], ProfiledWorld]], int], folder: Path) -> int:
    """Calls `run` with a way to open worlds that are profiled, then writes the trace into `folder`.

    Returns run's exit code. Raises what run raises, once the trace of what was done is written.
    """
    profiles = Profiles()

    def open_profiled(settings: Settings) -> ProfiledWorld:
        opened = make_world if random_weights(settings) else open_world
        return profiles.wrap(opened(settings, Progress(), say))

    try:
        return run(open_profiled)
    finally:
        for line in profiles.write(folder):
            tell(line)
