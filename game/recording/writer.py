"""Writes a session's folder while it happens: videos, action log, first frame, report.

`Recorder` writes blocks; `Scribe` brings it a playthrough, with what happened between blocks; `Keeper` begins and ends
recordings while a person plays on. Adding a block costs a hash and a few lines of text: pictures are drawn and encoded
on the encoders' threads, which also finish the files, so that recording never holds up a play clock.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from engine.actions import Actions, ActionSpace
from engine.block import Block
from engine.errors import EngineError
from engine.families import action_space
from game import VERSION
from game.config.settings import RecordSettings, Settings
from game.console import say, tell
from game.errors import RecordingError
from game.files import folder_error, numbered, write_json, write_whole
from game.media.video import Encoder, EncoderThread, write_clip
from game.models.compiling import CompilingWorld, compiled_from
from game.recording.format import (
    ACTIONS,
    REPORT,
    Job,
    RunStats,
    SessionHeader,
    action_lines,
    holds_session,
    json_line,
    new_folder,
    picture_sha256,
    prelude_files,
)
from game.world.playthrough import Anchored, Event, Played, Playthrough

if TYPE_CHECKING:  # these bring torch along, which the window does not wait for
    from engine.rollout.rollout import Rollout
    from engine.world import WorldModel
    from game.models.switcher import Switcher


class Reportable(Protocol):
    """Numbers that a report takes over, such as those of live play."""

    def to_report(self) -> dict: ...


class Recorder:
    """One session being written, until it is `closed`. add(), enter() and finish() are called from one thread; the rest
    from any.

    What is on disk survives a kill: the videos up to the block in flight, the action log up to the last block.
    """

    def __init__(
        self,
        folder: Path,
        header: SessionHeader,
        *,
        name: str,
        first_frame: np.ndarray,
        prelude: Actions | None = None,
        current: bool = False,
        wait: bool = False,
        icons: bool = True,
        settings: RecordSettings | None = None,
    ) -> None:
        """Opens every file.

        folder: exists, and this session may write all of it. header: first line of the action log. name: of the
        videos. first_frame: (H, W, 3) uint8 RGB as the model sees it, from which the world was played by the actions
        `prelude` (`header.prelude` of them) before the recording began. current: keep NAME_current.mp4 too. wait: let
        add() wait for a busy encoder (a render) rather than give the session up (live play). icons: write the video
        with icons, too. Raises RecordingError if a file cannot be opened; what there was before in the folder is left
        as it is then, where it can be.
        """
        self.folder, self.header, self.name = folder, header, name
        self._settings = settings or RecordSettings()
        self._wait, self._raised = wait, False
        self._stats, self._hash, self._log_hash = RunStats(), hashlib.sha256(), hashlib.sha256()
        self._problem: Exception | None = None
        self._preludes = 0
        self._live: Reportable | None = None
        self._concluding = threading.Lock()
        self._concluded = threading.Event()
        self._unfinished = 0
        self._report: dict = {}
        self._then: Callable[[str | None], None] | None = None
        self._videos: list[EncoderThread] = []
        try:
            self._open_videos(icons)
            self._open_log(first_frame, prelude)
        except BaseException:
            for video in self._videos:
                video.close()
            raise
        self._current = _CurrentThread(self.path("_current.mp4"), header.fps, self._settings.crf) if current else None

    @property
    def closed(self) -> bool:
        """Whether all of it is on disk."""
        return self._concluded.is_set()

    @property
    def problem(self) -> str | None:
        """One line saying why part of the session is no longer written, or None."""
        for candidate in (self._problem, *(video.problem for video in self._videos)):
            if candidate is not None:
                return _one_line(candidate)
        return None

    @property
    def frames(self) -> int:
        """Video frames added so far."""
        return self._stats.frames

    @property
    def encoder_pids(self) -> list[int]:
        """Process ids of the encoders."""
        return [video.pid for video in self._videos]

    def path(self, suffix: str) -> Path:
        """Path of NAME + suffix in the session's folder."""
        return self.folder / f"{self.name}{suffix}"

    def add(self, block: Block, events: Sequence[dict] = (), held: bool = False) -> None:
        """Takes a finished block over: its actions are on disk when this returns, its pictures soon after.

        Blocks and frames are numbered as they come. events: what happened to the world just before, and held: whether
        the block is only the picture before once more; both as `action_lines` has them.

        Raises RecordingError as soon as any of its files can no longer be written (disk full, encoder gone or too
        slow); close() then still finishes what there is.
        """
        frames = np.ascontiguousarray(block.frames)
        self._write_log(block, events, held, frames)
        self._hash.update(frames.data)
        self._stats.add(block, held)
        for video in self._videos:
            video.put(block, wait=self._wait)
        if self._current is not None:
            self._current.show(frames)
        self._raise_problem()

    def enter(self, first_frame: np.ndarray, seed: int, actions: Actions | None, compiled_from: int = 0) -> dict:
        """Notes a state that is no part of this recording; returns the event with which the world becomes it.

        first_frame, seed: of the rollout that was brought there by `actions`. compiled_from: its own, as the header
        has one for the rollout that the recording began with. Raises RecordingError.
        """
        self._preludes += 1
        self._write_state(self._preludes, first_frame, actions)
        frames = 0 if actions is None else len(actions)
        return {"event": "enter", "prelude": self._preludes, "seed": seed, "frames": frames,
                "compiled_from": compiled_from}  # fmt: skip

    def write_current(self, frames: np.ndarray) -> None:
        """Puts `frames` (F, H, W, 3) uint8 into NAME_current.mp4 before returning. Raises RecordingError."""
        write_clip(self.path("_current.mp4"), frames, self.header.fps, self._settings.crf)

    def finish(self, stats: Reportable | None = None, then: Callable[[str | None], None] | None = None) -> None:
        """Has everything finished and report.json written, on the encoders' threads; `join` waits for it.

        stats: live numbers to add. then: called at the end, on any thread, with a problem that add() has not raised.
        """
        self._live, self._then, self._unfinished = stats, then, len(self._videos)
        for video in self._videos:
            video.finish(self._video_finished)

    def wait(self, limit: float) -> bool:
        """Waits at most so many seconds until a recording that was told to `finish` is on disk; whether it is."""
        return self._concluded.wait(limit)

    def kill(self) -> None:
        """Ends the encoders here and now; the videos play up to where they are, and the report is written at once."""
        for video in self._videos:
            video.kill()

    def close(self, stats: Reportable | None = None) -> dict:
        """Finishes all files and writes report.json, and waits for it. stats: live numbers to add. Returns the report.

        Raises RecordingError, once all that can be written is, for a problem that add() has not raised.
        """
        self.finish(stats)
        for video in self._videos:
            video.join()
        self._conclude()  # if an encoder could not be ended
        self._raise_problem()
        return self._report

    def discard(self) -> None:
        """Removes the files of a session without frames; a folder that holds more than them stays."""
        remove_session(self.folder, self.name)

    def report(self) -> dict:
        """report.json's fields as they stand now."""
        header = self.header
        identity = {
            "model": header.model,
            "mode": header.mode,
            "seed": header.seed,
            "width": header.width,
            "height": header.height,
            "fps": header.fps,
            "frames": self._stats.frames,
            "blocks": self._stats.blocks,
            "frames_sha256": self._hash.hexdigest(),
            "log_sha256": self._log_hash.hexdigest(),
            "weights_sha256": header.weights_sha256,
        }
        machine = {"device": header.device, "dtype": header.dtype, "threads": header.threads, "torch": header.torch}
        return identity | self._stats.to_report(header.fps) | machine

    def _video_finished(self) -> None:
        with self._concluding:
            self._unfinished -= 1
            last = not self._unfinished
        if last:
            self._conclude()

    def _conclude(self) -> None:
        """Writes what is written at the end, once."""
        with self._concluding:
            if self._concluded.is_set():
                return
            if self._current is not None:
                self._current.close()
            try:
                self._log.close()
            except OSError as error:
                self._fail(error)
            self._report = self.report() | (self._live.to_report() if self._live is not None else {})
            try:
                write_json(self.folder / REPORT, self._report)
            except OSError as error:
                self._fail(error)
            self._concluded.set()
        if self._then is not None:
            untold = None if self._raised else self.problem
            self._raised = True
            self._then(untold)

    def _open_log(self, first_frame: np.ndarray, prelude: Actions | None) -> None:
        self._write_state(0, first_frame, prelude)
        try:
            (self.folder / REPORT).unlink(missing_ok=True)
            self._log = (self.folder / ACTIONS).open("wb")
            self._write_lines(json_line(self.header.to_json()))
        except OSError as error:
            raise folder_error(self.folder, error) from error

    def _write_lines(self, lines: str) -> None:
        data = lines.encode("utf-8")
        self._log.write(data)
        self._log.flush()
        self._log_hash.update(data)

    def _write_state(self, number: int, first_frame: np.ndarray, actions: Actions | None) -> None:
        """Writes prelude `number`: a first frame, and the actions since, if there are any."""
        from game.media.pictures import save_png

        picture, log = (self.folder / name for name in prelude_files(number))
        try:
            save_png(picture, first_frame)
            log.unlink(missing_ok=True)
        except OSError as error:
            raise folder_error(self.folder, error) from error
        if actions is not None:  # beside the game: a long evening's actions take a second to write
            self._videos[0].run(lambda: self._write_prelude(log, actions))

    def _write_prelude(self, log: Path, actions: Actions) -> None:
        try:
            write_whole(log, "".join(action_lines(actions, 0)))
        except OSError as error:
            self._fail(error)

    def _open_videos(self, icons: bool) -> None:
        header, crf = self.header, self._settings.crf
        scale = icon_scale(header.height, self._settings.icon_height)
        space = action_space(header.mode)
        sizes = {".mp4": 1, "_icon.mp4": scale} if icons else {".mp4": 1}
        draws = {".mp4": lambda block: block.frames, "_icon.mp4": lambda block: draw_icons(block, space, scale)}
        block_bytes = header.width * header.height * 3 * 12
        waiting = max(4, self._settings.queue_mb * 2**20 // block_bytes)
        for suffix, size in sizes.items():
            path, width, height = self.path(suffix), header.width * size, header.height * size
            encoder = Encoder(path, width, height, header.fps, crf)
            self._videos.append(EncoderThread(encoder, draws[suffix], waiting))

    def _write_log(self, block: Block, events: Sequence[dict], held: bool, frames: np.ndarray) -> None:
        if self._problem is not None:
            return
        try:
            numbers = self._stats.frames, self._stats.blocks
            self._write_lines("".join(action_lines(block.actions, *numbers, events, held, frames)))
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._problem is None:
            self._problem = folder_error(self.folder, error) if isinstance(error, OSError) else error

    def _raise_problem(self) -> None:
        if not self._raised and (line := self.problem) is not None:
            self._raised = True
            raise RecordingError(line)


def start_recorder(
    out: Path | None,
    header: SessionHeader,
    *,
    name: str,
    first_frame: np.ndarray,
    settings: RecordSettings,
    prelude: Actions | None = None,
    wait: bool = False,
    current: bool = False,
    keep_live: bool = True,
) -> Recorder:
    """A Recorder in a folder made for it; see `new_folder` for out and keep_live, and Recorder for the rest.

    Raises RecordingError; then it leaves nothing behind.
    """
    root = Path(settings.root)
    wanted = root if out is None else out
    new = [folder for folder in (wanted, *wanted.parents) if not folder.exists()]
    held = out is not None and (out / ACTIONS).exists() and not keep_live
    folder = new_folder(out, name, root=root, keep_live=keep_live)
    try:
        return Recorder(
            folder, header, name=name, first_frame=first_frame, prelude=prelude, wait=wait, current=current,
            settings=settings,
        )  # fmt: skip
    except BaseException:
        if not held:
            remove_session(folder, name)
        with contextlib.suppress(OSError):
            for made in new:
                made.rmdir()
        raise


def remove_session(folder: Path, name: str) -> None:
    """Removes a session's files, and its folder if nothing else is in it."""
    names = [ACTIONS, REPORT, *prelude_files(0), *(f"{name}{end}" for end in (".mp4", "_icon.mp4", "_current.mp4"))]
    with contextlib.suppress(OSError):
        for file in names:
            (folder / file).unlink(missing_ok=True)
        folder.rmdir()


def header_of(
    world: WorldModel, rollout: Rollout, settings: Settings, *, source: str, scene: str, prelude: Actions | None = None
) -> SessionHeader:
    """The header line of a session made by `rollout`. source: "live" or "headless". scene: its name, for people.
    prelude: what the rollout was told before."""
    import torch

    config = world.config
    if isinstance(world, CompilingWorld):
        world.keep_kernels()  # since the header can say only once which they are
    return SessionHeader(
        model=config.name,
        mode=config.mode,
        seed=rollout.seed,
        width=config.width,
        height=config.height,
        fps=config.fps,
        first_frame_sha256=picture_sha256(rollout.first_frame),
        weights_sha256=world.weights_sha256,
        version=VERSION,
        source=source,
        scene=scene,
        quality=settings.quality.name,
        overrides=settings.overrides,
        denoising_steps=tuple(config.denoising_steps),
        device=" ".join([str(world.device), *_elsewhere(settings)]),
        dtype=str(world.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        torch=str(torch.__version__),
        compiled=world.kernels.compiled,
        compiled_from=compiled_from(rollout, world),
        prelude=0 if prelude is None else len(prelude),
    )


def _elsewhere(settings: Settings) -> list[str]:
    """The parts that run on a device of their own, since that may round differently."""
    return [f"{name}:{where}" for name, where in vars(settings.devices).items() if where is not None]


class _CurrentThread:
    """Keeps NAME_current.mp4 at the newest block; blocks that come while one is being written are passed over."""

    def __init__(self, path: Path, fps: float, crf: int) -> None:
        self._path, self._fps, self._crf = path, fps, crf
        self._newest: np.ndarray | None = None
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"write {path.name}", daemon=True)
        self._thread.start()

    def show(self, frames: np.ndarray) -> None:
        with self._wake:
            self._newest = frames
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._newest is not None or self._closing)
                frames, self._newest = self._newest, None
            if frames is None:
                return
            try:
                write_clip(self._path, frames, self._fps, self._crf)
            except RecordingError:
                continue  # a preview: the videos proper report the same trouble


def icon_scale(height: int, icon_height: int) -> int:
    """How many times a picture of `height` is enlarged so that icons on it can be read; 1 if it is large enough."""
    return max(1, -(-icon_height // height)) if icon_height else 1


def draw_icons(block: Block, space: ActionSpace, scale: int) -> np.ndarray:
    """The block's frames, enlarged `scale` times, with each frame's own keys and mouse drawn over it."""
    from game.media.icons import draw_controls
    from game.media.pictures import enlarge

    drawn = []
    for frame, action in zip(block.frames, block.actions, strict=True):
        drawn.append(draw_controls(enlarge(frame, scale), action.keys, action.mouse, space))
    return np.stack(drawn)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# -- a playthrough into a recorder -------------------------------------------------------------------------------------


class RecorderLike(Protocol):
    """What a session is written with, as Recorder."""

    @property
    def problem(self) -> str | None: ...
    @property
    def closed(self) -> bool: ...
    def add(self, block: Block, events: Sequence[dict] = (), held: bool = False) -> None: ...
    def enter(self, first_frame: np.ndarray, seed: int, actions: Actions | None, compiled_from: int) -> dict: ...
    def finish(self, stats: Any = None, then: Callable[[str | None], None] | None = None) -> None: ...
    def wait(self, limit: float) -> bool: ...
    def kill(self) -> None: ...


class Scribe:
    """One recording of a playthrough, from its present moment on.

    A moment that came by since is named by the recorded frames before it; to any other the world was brought by
    actions, which the recorder gets then.
    """

    def __init__(self, recorder: RecorderLike, playthrough: Playthrough) -> None:
        self.recorder, self.frames = recorder, 0
        self._journey = playthrough
        self._mark = object()  # not the scribe: moments that knew it would keep each other, and whole worlds, alive
        playthrough.present.mark = (self._mark, 0)
        playthrough.forget_events()

    def add(self, played: Played) -> None:
        """Records the playthrough's newest frames. Raises what Recorder.add and Recorder.enter raise."""
        events = [self._told(event) for event in played.events]
        self.recorder.add(played.block, events, played.held)
        self.frames += len(played.block.frames)
        if not played.held:
            played.moment.mark = (self._mark, self.frames)

    def _told(self, event: Event) -> dict:
        if isinstance(event, Anchored):
            return {"event": "anchor", "seed": event.seed}
        moment = event.moment
        if moment.mark is not None and moment.mark[0] is self._mark:
            return {"event": "return", "frame": moment.mark[1]}
        start, told = moment.start, self._journey.actions_of(moment)
        kernels = compiled_from(start.rollout, self._journey.world)
        return self.recorder.enter(start.first_frame, start.seed, told, kernels)


# -- recordings of live play -------------------------------------------------------------------------------------------

_AFTER_KILL = 3.0  # s to write what is left once the encoders are gone
MakeRecorder = Callable[["Rollout", "WorldModel", str, "Actions | None"], RecorderLike]
"""(rollout, world, name of the scene, what the rollout was told before) -> a recorder."""


class Keeper:
    """The recording there is, if there is one; never a reason for the game to stop.

    Used by the engine's thread, but for `shutdown`. say: tells a person a line; recording=False with it: it has ended.
    """

    def __init__(self, make_recorder: MakeRecorder | None, say: Callable[..., None]) -> None:
        self._make, self._say = make_recorder, say
        self._scribe: Scribe | None = None
        self._finishing: list[RecorderLike] = []

    @property
    def can_record(self) -> bool:
        return self._make is not None

    @property
    def recording(self) -> bool:
        return self._scribe is not None

    @property
    def frames(self) -> int:
        """Video frames of the recording so far."""
        return 0 if self._scribe is None else self._scribe.frames

    def start(self, playthrough: Playthrough, scene: str) -> None:
        """Begins a recording at the playthrough's present moment. Raises RecordingError."""
        assert self._make is not None
        told = playthrough.actions_of(playthrough.present)
        self._scribe = Scribe(self._make(playthrough.rollout, playthrough.world, scene, told), playthrough)

    def add(self, played: Played, stats: Callable[[], Reportable]) -> None:
        """Records frames; what goes wrong is said, and ends the recording if it must. stats: for its report then."""
        if self._scribe is None:
            return
        recorder = self._scribe.recorder
        had = recorder.problem
        try:
            self._scribe.add(played)
            if recorder.problem is not None and had is None:
                self._say(f"Recording: {recorder.problem}")
        except (EngineError, OSError) as error:  # a full disk must not end the game
            self.close(stats())
            self._say(f"Recording stopped: {error}", recording=False)

    def close(self, stats: Reportable) -> None:
        """Ends the recording; its files are finished beside the game, as that takes its time."""
        scribe, self._scribe = self._scribe, None
        if scribe is None:
            return
        self._finishing = [other for other in self._finishing if not other.closed] + [scribe.recorder]
        say = self._say

        def tell(problem: str | None) -> None:
            if problem is not None:
                say(f"The recording could not be closed: {problem}")

        scribe.recorder.finish(stats, tell)

    def shutdown(self, limit: float) -> bool:
        """Waits until everything is on disk, at most `limit` seconds; then encoders are killed, whose files play up to
        there. Returns whether that was not needed."""
        until = time.monotonic() + limit
        late = [one for one in self._finishing if not one.wait(max(0.0, until - time.monotonic()))]
        for recorder in late:
            recorder.kill()
        until = time.monotonic() + _AFTER_KILL
        for recorder in late:
            recorder.wait(max(0.0, until - time.monotonic()))
        self._finishing = []
        return not late


class LiveRecordings:
    """Makes a recorder for every rollout, each in a folder of its own, and remembers where they went."""

    def __init__(self, models: Switcher, job: Job) -> None:
        self._models, self._job = models, job
        self._recorders: list[Recorder] = []

    def __call__(self, rollout: Rollout, world: WorldModel, scene: str, prelude: Actions | None = None) -> Recorder:
        """A recorder for a rollout that was told `prelude` so far. Raises RecordingError if its folder cannot be
        written."""
        settings, job = self._models.settings_of(world), self._job
        header = header_of(world, rollout, settings, source="live", scene=scene, prelude=prelude)
        recorder = start_recorder(
            job.out,
            header,
            name=job.name,
            first_frame=rollout.first_frame,
            prelude=prelude,
            current=settings.record.current,
            settings=settings.record,
        )
        # One that was here before has been deleted meanwhile, and what lies here at the end is not its own.
        self._recorders = [other for other in self._recorders if other.folder != recorder.folder] + [recorder]
        return recorder

    def folders(self) -> list[Path]:
        """Where this run's recordings are, and those that earlier runs left in the same --out."""
        there = [] if self._job.out is None else takewhile(holds_session, numbered(self._job.out))
        return [*there, *(recorder.folder for recorder in self._recorders)]

    def being_written(self) -> list[Path]:
        """The folders of this run's recordings that are not finished."""
        return [recorder.folder for recorder in self._recorders if not recorder.closed]

    def tell(self) -> bool:
        """Says what was kept and where. Returns whether any recording went wrong."""
        for recorder in self._recorders:
            if recorder.frames:
                tell(f"{recorder.frames} frames in {recorder.folder}")
            else:
                recorder.discard()
            if recorder.problem is not None:
                say(f"game: {recorder.problem}")
        return any(recorder.problem is not None for recorder in self._recorders)


def summary(report: dict, folder: Path, name: str) -> str:
    """What was made and how fast, in two lines."""
    seconds = report["frames"] / report["fps"]
    speed = f"{report['generated_fps']:.1f} frames/s, {report['realtime_factor']:.2f} x real time"
    made = f"{report['frames']} frames ({seconds:.1f} s of play) in {report['blocks']} blocks: {speed}"
    return f"{made}\n{folder / name}.mp4  frames_sha256 {report['frames_sha256']}"
