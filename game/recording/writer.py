"""Writes a session's folder while it happens: videos, action log, first frame, report.

Knows neither windows nor networks. add() costs a hash and a few lines of text; pictures are drawn and encoded on
threads of their own, so that recording never holds up a play clock.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np

from engine.actions import Actions, action_space
from engine.block import Block
from game.config.settings import RecordSettings
from game.errors import RecordingError
from game.media.video import Encoder, EncoderThread, write_clip
from game.recording.format import (
    ACTIONS,
    REPORT,
    RunStats,
    SessionHeader,
    action_lines,
    folder_error,
    json_line,
    prelude_files,
    write_json,
    write_whole,
)


class Reportable(Protocol):
    """Numbers that a report takes over: game.live.player's LiveStats, for one."""

    def to_report(self) -> dict: ...


class Recorder:
    """One session being written, until it is `closed`. add() and close() are called from one thread; `problem` and
    `closed` may be read from any.

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
        settings: RecordSettings | None = None,
    ) -> None:
        """Opens every file.

        folder: exists, and this session may write all of it. header: first line of the action log. name: of the
        videos. first_frame: (H, W, 3) uint8 RGB as the model sees it, from which the world was played by the actions
        `prelude` (`header.prelude` of them) before the recording began. current: keep NAME_current.mp4 too. wait: let
        add() wait for a busy encoder (a render) rather than give the session up (live play). Raises RecordingError if
        a file cannot be opened.
        """
        self.folder, self.header, self.name = folder, header, name
        self._settings = settings or RecordSettings()
        self._wait, self._raised = wait, False
        self._stats, self._hash = RunStats(), hashlib.sha256()
        self._problem: Exception | None = None
        self.closed = False
        self._preludes = 0
        self._writers: list[threading.Thread] = []
        self._log = self._open_log(first_frame, prelude)
        self._videos: list[EncoderThread] = []
        try:
            self._open_videos()
        except RecordingError:
            self._log.close()
            for video in self._videos:
                video.close()
            raise
        self._current = _CurrentThread(self.path("_current.mp4"), header.fps, self._settings.crf) if current else None

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
        self._write_log(block, events, held)
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

    def close(self, stats: Reportable | None = None) -> dict:
        """Finishes all files and writes report.json. stats: live numbers to add. Returns the report.

        Raises RecordingError, once all that can be written is, for a problem that add() has not raised.
        """
        for video in self._videos:
            video.close()
        if self._current is not None:
            self._current.close()
        for writer in self._writers:
            writer.join()
        try:
            self._log.close()
        except OSError as error:
            self._fail(error)
        report = self.report() | (stats.to_report() if stats is not None else {})
        try:
            write_json(self.folder / REPORT, report)
        except OSError as error:
            self._fail(error)
        self.closed = True
        self._raise_problem()
        return report

    def kill(self) -> None:
        """Kills the encoders, from whichever thread: a `close` that waits for one then ends. The videos play up to
        where they are."""
        for video in self._videos:
            video.kill()

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
            "weights_sha256": header.weights_sha256,
        }
        machine = {"device": header.device, "dtype": header.dtype, "threads": header.threads, "torch": header.torch}
        return identity | self._stats.to_report(header.fps) | machine

    def _open_log(self, first_frame: np.ndarray, prelude: Actions | None) -> TextIO:
        self._write_state(0, first_frame, prelude)
        try:
            (self.folder / REPORT).unlink(missing_ok=True)
            log = (self.folder / ACTIONS).open("w", encoding="utf-8")
            log.write(json_line(self.header.to_json()))
            log.flush()
        except OSError as error:
            raise folder_error(self.folder, error) from error
        return log

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
            writer = threading.Thread(target=self._write_prelude, args=(log, actions), name=f"write {log.name}")
            self._writers.append(writer)
            writer.start()

    def _write_prelude(self, log: Path, actions: Actions) -> None:
        try:
            write_whole(log, "".join(action_lines(actions, 0)))
        except OSError as error:
            self._fail(error)

    def _open_videos(self) -> None:
        header, crf = self.header, self._settings.crf
        scale = icon_scale(header.height, self._settings.icon_height)
        space = action_space(header.mode)
        sizes = {".mp4": 1, "_icon.mp4": scale}
        draws = {".mp4": lambda block: block.frames, "_icon.mp4": lambda block: draw_icons(block, space, scale)}
        block_bytes = header.width * header.height * 3 * 12
        waiting = max(4, self._settings.queue_mb * 2**20 // block_bytes)
        for suffix, size in sizes.items():
            path, width, height = self.path(suffix), header.width * size, header.height * size
            encoder = Encoder(path, width, height, header.fps, crf)
            self._videos.append(EncoderThread(encoder, draws[suffix], waiting))

    def _write_log(self, block: Block, events: Sequence[dict], held: bool) -> None:
        if self._problem is not None:
            return
        try:
            lines = action_lines(block.actions, self._stats.frames, self._stats.blocks, events, held)
            self._log.write("".join(lines))
            self._log.flush()
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._problem is None:
            self._problem = folder_error(self.folder, error) if isinstance(error, OSError) else error

    def _raise_problem(self) -> None:
        if not self._raised and (line := self.problem) is not None:
            self._raised = True
            raise RecordingError(line)


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


def draw_icons(block: Block, space, scale: int) -> np.ndarray:
    """The block's frames, enlarged `scale` times, with each frame's own keys and mouse drawn over it."""
    from game.media.icons import draw_controls
    from game.media.pictures import enlarge

    drawn = []
    for frame, action in zip(block.frames, block.actions, strict=True):
        drawn.append(draw_controls(enlarge(frame, scale), action.keys, action.mouse, space))
    return np.stack(drawn)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
