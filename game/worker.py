"""The inference thread: owns world and rollout, makes blocks when the pacer says so, and never touches the window.

The window's thread sends commands and looks: `look` for the picture to show, `status` for words. All engine work, all
recording and everything slow happens here. A failure becomes a status with words, and waits for `restart`.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from engine.actions import Actions, ActionSpace
from engine.block import Block
from engine.errors import EngineError, InputError
from game.controls import Controls, FrameControl
from game.pacing import LiveStats, Pacer

if TYPE_CHECKING:  # both bring torch along, which the window does not wait for
    from engine.rollout import Rollout
    from engine.world import WorldModel

_MOST_WORDS = 400
_IDLE = FrameControl((), None)
Progress = Callable[[str, float], None]


class SceneLike(Protocol):
    """A first frame with a name, see game/scenes.py."""

    name: str

    def picture(self) -> np.ndarray: ...


class RecorderLike(Protocol):
    """What a session is written with, see game/recorder.py. problem: why part of it is no longer written, or None."""

    problem: str | None

    def add(self, block: Block) -> None: ...
    def close(self, stats: LiveStats) -> Any: ...


OpenWorld = Callable[[Progress], "WorldModel"]
MakeRecorder = Callable[["Rollout", "WorldModel", str], RecorderLike]


class State(Enum):
    """What the worker is about; a pause is the play clock's affair and not among them."""

    LOADING = "loading"
    PLAYING = "playing"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Status:
    """What the window may tell a person.

    words: what is being done, or what went wrong. progress: share done while loading, 0 to 1. notice: a passing
    remark (a recording that stopped), with its number so that each is shown once. beside: what the world tells of while
    it plays (compiling). exit_code: what a failure that is not mended ends the program with. model, device: for the
    HUD, "" while loading.
    """

    state: State = State.LOADING
    words: str = "Starting"
    progress: float = 0.0
    notice: str = ""
    notices: int = 0
    beside: str = ""
    exit_code: int = 0
    details: str = ""
    model: str = ""
    device: str = ""
    scene: str = ""
    recording: bool = False
    space: ActionSpace | None = None


@dataclass(frozen=True)
class Picture:
    """A picture to show.

    pixels: (H, W, 3) uint8 RGB. number: of the video frame, None for a still. control: what the model was told for it.
    backdrop: a scene's picture as it is, any size, to put behind the loading words.
    """

    pixels: np.ndarray
    number: int | None = None
    control: FrameControl = _IDLE
    backdrop: bool = False


class _Halt(Exception):
    """Leaves whatever the worker is doing because the program ends."""


class Worker:
    """Runs worlds in a thread of its own.

    open_world: loads the model, telling its progress. make_recorder: a recorder for a new rollout, or None. scenes:
    first frames to choose from; scene: number of the one to begin with. seed: of every rollout. clock: seconds,
    monotonic. wake: called from this thread when the window should look again.
    """

    def __init__(
        self,
        open_world: OpenWorld,
        scenes: Sequence[SceneLike],
        controls: Controls,
        pacer: Pacer,
        *,
        scene: int = 0,
        seed: int = 0,
        make_recorder: MakeRecorder | None = None,
        clock: Callable[[], float] = time.perf_counter,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._open_world, self._make_recorder = open_world, make_recorder
        self._scenes, self._scene, self._seed = list(scenes), scene, seed
        self._controls, self._pacer, self._clock, self._wake = controls, pacer, clock, wake
        self._changed = threading.Condition()  # guards what follows, and wakes the thread
        self._status = Status(scene=self._scenes[scene].name)
        self._finished: deque[Picture] = deque()
        self._current: Picture | None = None
        self._epoch = 0  # raised by whatever makes finished frames worthless
        self._wanted = False  # a new rollout, before the next block
        self._left_stats: LiveStats | None = None  # of a rollout that was left while its block was in flight
        self._halting = False
        self._world: WorldModel | None = None
        self._rollout: Rollout | None = None
        self._recorder: RecorderLike | None = None
        self._closers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    # -- the window's side: none of these wait for the engine --------------------------------------------------------

    def start(self) -> None:
        """Begins loading."""
        self._thread.start()

    @property
    def status(self) -> Status:
        return self._status

    def look(self, now: float) -> Picture | None:
        """The picture that is due now; the one before if nothing newer is, None before there is any."""
        with self._changed:
            number = self._pacer.advance(now)
            while self._finished and number is not None and self._finished[0].number <= number:
                self._current = self._finished.popleft()
                self._changed.notify_all()
            return self._current

    def reset(self) -> None:
        """Starts the scene anew; finished frames are thrown away."""
        self._demand_rollout()

    def change_scene(self, step: int = 1) -> str:
        """Goes `step` scenes on (round and round) and returns the new scene's name."""
        with self._changed:
            self._scene = (self._scene + step) % len(self._scenes)
            name = self._scenes[self._scene].name
        self._demand_rollout()
        return name

    def pause(self, now: float) -> None:
        """Stops the play clock at once; a block in flight is finished and waits."""
        self._pacer.pause(now)

    def resume(self, now: float) -> None:
        """Goes on exactly where the pause began; what was tapped or moved meanwhile is forgotten."""
        with self._changed:
            self._controls.forget_past(now)
            self._pacer.resume(now)
            self._changed.notify_all()

    def restart(self) -> None:
        """Tries again after a failure, from the weights if they never loaded."""
        self._demand_rollout()

    def stop(self, timeout: float | None = None) -> bool:
        """Ends the thread after the block in flight and closes the recording. Returns whether it ended in time."""
        with self._changed:
            self._halting = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _demand_rollout(self) -> None:
        with self._changed:
            self._left_stats = self._left_stats or self._pacer.live_stats()
            self._epoch += 1
            self._finished.clear()
            self._pacer.restart()
            self._wanted = True
            self._changed.notify_all()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                try:
                    self._live()
                except _Halt:
                    raise
                except Exception as error:  # whatever the engine raises becomes words; the thread must outlive it
                    self._fail(error)
                    self._wait_for_demand()
        except _Halt:
            pass
        finally:
            self._close_recording()
            for closer in self._closers:
                closer.join()
            self._tell(state=State.STOPPED)

    def _live(self) -> None:
        """Loads what is missing, then makes block after block until something is raised."""
        if self._world is None:
            self._load()
        self._begin()
        while True:
            epoch = self._wait_for_start()
            if epoch is None:
                self._begin()
            else:
                self._make_block(epoch)

    def _load(self) -> None:
        self._tell(state=State.LOADING, words="Opening the scene", progress=0.0)
        self._show(Picture(self._scenes[self._scene].picture(), backdrop=True))
        self._tell(words="Loading the engine")
        world = self._open_world(self._on_progress)
        config = world.config
        self._controls.configure(world.action_space, config.fps)
        with self._changed:
            self._world = world
            self._pacer.restart(config.fps)
        self._tell(model=config.name, device=str(world.device), space=world.action_space)

    def _begin(self) -> None:
        """Makes a new rollout and shows its first frame."""
        self._close_recording()
        with self._changed:
            self._wanted = False
            self._rollout = self._left_stats = None
            self._finished.clear()
            scene, epoch = self._scenes[self._scene], self._epoch
        self._tell(state=State.LOADING, words=f"Entering {scene.name}", progress=1.0, scene=scene.name)
        rollout = self._world.start(scene.picture(), self._seed)
        if self._make_recorder is not None:
            self._recorder = self._make_recorder(rollout, self._world, scene.name)
        self._controls.forget_past(self._clock())
        with self._changed:
            self._rollout = rollout
            if epoch == self._epoch:
                self._current = Picture(rollout.first_frame, control=self._no_control())
                self._pacer.restart()
        self._tell(state=State.PLAYING, words="", exit_code=0, recording=self._recorder is not None)

    def _wait_for_start(self) -> int | None:
        """Sleeps until the next block should start. Returns the epoch it belongs to, or None for a new rollout."""
        with self._changed:
            while True:
                if self._halting:
                    raise _Halt
                if self._wanted:
                    return None
                start, now = self._pacer.start_at(), self._clock()
                if start is not None and start <= now:
                    return self._epoch
                self._changed.wait(None if start is None else start - now)

    def _make_block(self, epoch: int) -> None:
        rollout, began = self._rollout, self._clock()
        row = self._controls.sample(rollout.next_frames, began)
        space = self._world.action_space
        actions = [space.action(frame.keys, frame.mouse) for frame in row]
        block = rollout.step(Actions.stack(actions))
        finished = self._clock()
        with self._changed:
            if epoch != self._epoch:
                return  # a reset came meanwhile: nobody will see this block, and it is in no recording
            self._pacer.deliver(len(block.frames), finished, finished - began)
            for i, (pixels, action, frame) in enumerate(zip(block.frames, actions, row, strict=True)):
                told = FrameControl(action.keys, action.mouse, frame.since)  # what the model got, not what was held
                self._finished.append(Picture(pixels, block.first_frame + i, told))
        self._wake()
        self._record(block)
        rollout.settle()
        now = self._clock()
        self._pacer.settled(now - began, now)

    def _wait_for_demand(self) -> None:
        with self._changed:
            while not self._wanted:
                if self._halting:
                    raise _Halt
                self._changed.wait()

    # -- what it tells -----------------------------------------------------------------------------------------------

    def _no_control(self) -> FrameControl:
        return FrameControl((), (0.0, 0.0) if self._world.action_space.has_mouse else None)

    def _tell(self, **changes: Any) -> None:
        with self._changed:
            self._status = replace(self._status, **changes)
        self._wake()

    def _notice(self, words: str) -> None:
        with self._changed:
            self._status = replace(self._status, notice=words, notices=self._status.notices + 1)
        self._wake()

    def _show(self, picture: Picture) -> None:
        with self._changed:
            self._current = picture

    def _on_progress(self, words: str, share: float) -> None:
        if self._halting:
            raise _Halt
        if self._rollout is not None:
            self._tell(beside=words)
            return
        self._tell(words=words, progress=share)

    def _fail(self, error: Exception) -> None:
        words = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        with self._changed:
            self._rollout = None
            self._wanted = False
            self._finished.clear()
        self._close_recording()
        self._tell(
            state=State.FAILED,
            words=" ".join(words.split())[:_MOST_WORDS],
            exit_code=2 if isinstance(error, InputError) else 1,
            details="".join(traceback.format_exception(error)),
            recording=False,
        )

    # -- recording ---------------------------------------------------------------------------------------------------

    def _record(self, block: Block) -> None:
        if self._recorder is None:
            return
        had = self._recorder.problem
        try:
            self._recorder.add(block)
            if self._recorder.problem is not None and had is None:
                self._notice(f"Recording: {self._recorder.problem}")
        except (EngineError, OSError) as error:  # a full disk must not end the game
            self._close_recording()
            self._tell(recording=False)
            self._notice(f"Recording stopped: {error}")

    def _close_recording(self) -> None:
        """Closes the recording beside the game, as finishing a video takes its time."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        stats = self._left_stats or self._pacer.live_stats()

        def close() -> None:
            try:
                recorder.close(stats)
            except (EngineError, OSError) as error:
                self._notice(f"The recording could not be closed: {error}")

        closer = threading.Thread(target=close, name="recorder-close")
        self._closers = [thread for thread in self._closers if thread.is_alive()] + [closer]
        closer.start()
