"""RGB frames to fragmented H.264, by a ffmpeg process at the end of a pipe and a thread that feeds it."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from game.errors import RecordingError

_CLOSE_TIMEOUT_S = 60.0
_SKIP = 48  # frames that are sooner decoded one after another than jumped over


def ffmpeg_binary() -> str:
    """Path of the ffmpeg that imageio-ffmpeg brings. Raises RecordingError if there is none."""
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise RecordingError(
            "no ffmpeg to write videos with", remedy="install imageio-ffmpeg's binary or set IMAGEIO_FFMPEG_EXE"
        ) from error


def encode_command(path: Path, width: int, height: int, fps: float, crf: int) -> list[str]:
    """ffmpeg's command line: raw rgb24 from standard input to a fragmented mp4 at `path`.

    A fragment per frame and no look-ahead: whatever has been handed over is on disk a frame later, so that a file cut
    off anywhere still plays up to there. One thread, because the engine needs the others.
    """
    read = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", repr(float(fps)), "-i", "pipe:0"]
    colours = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    convert = ["-vf", "scale=in_range=full:out_range=tv:out_color_matrix=bt709:flags=accurate_rnd", *colours]
    encode = ["-an", "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-crf", str(crf)]
    layout = ["-pix_fmt", "yuv420p", "-g", str(max(1, round(2 * fps))), "-threads", "1", "-fps_mode", "passthrough"]
    fragments = ["-movflags", "+empty_moov+default_base_moof+frag_every_frame", "-flush_packets", "1"]
    quiet = ["-hide_banner", "-loglevel", "error", "-nostats", "-y"]
    return [ffmpeg_binary(), *quiet, *read, *convert, *encode, *layout, *fragments, "-f", "mp4", str(path)]


class Encoder:
    """One ffmpeg process. Not thread-safe; write() blocks while the pipe is full.

    The process has a session of its own: Ctrl-C and a kill of the program do not reach it, so it sees the end of its
    input and finishes the file.
    """

    def __init__(self, path: Path, width: int, height: int, fps: float, crf: int = 18) -> None:
        """path: the mp4. width, height: even, pixels. fps: frames a second. crf: 0 (lossless) .. 51 (worst).

        Raises RecordingError if the size is odd or ffmpeg cannot be started.
        """
        if width % 2 or height % 2:
            raise RecordingError("H.264 in yuv420p needs even sizes", got=f"{width}x{height}")
        self.path = path
        # A file and not a pipe: nobody reads while the process lives, and a full pipe would stop it.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            self._process = subprocess.Popen(
                encode_command(path, width, height, fps, crf),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                start_new_session=True,
            )
        except OSError as error:
            raise RecordingError(f"ffmpeg does not start ({error.strerror or error})") from error

    @property
    def pid(self) -> int:
        """Process id of the ffmpeg."""
        return self._process.pid

    def write(self, frames: np.ndarray) -> None:
        """Hands frames over. frames: (F, H, W, 3) uint8 RGB. Raises RecordingError if ffmpeg is gone."""
        try:
            self._process.stdin.write(np.ascontiguousarray(frames).data)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise self._failure() from error

    def kill(self) -> None:
        """Ends ffmpeg at once; a `write` or `close` that waits for it ends with a RecordingError."""
        self._process.kill()

    def close(self) -> None:
        """Finishes the file. Raises RecordingError if it could not be written."""
        with contextlib.suppress(BrokenPipeError):  # said below, with ffmpeg's own reason
            self._process.stdin.close()
        try:
            code = self._process.wait(_CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise RecordingError(
                f"ffmpeg did not finish {self.path}", remedy="the file plays up to where it is"
            ) from error
        if code != 0:
            raise self._failure()
        self._complaints.close()

    def _failure(self) -> RecordingError:
        self._process.kill()
        self._process.wait()
        reason = ""
        if not self._complaints.closed:
            self._complaints.seek(0)
            lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
            reason = f" ({lines[-1].strip()})" if lines else ""
            self._complaints.close()
        return RecordingError(
            f"ffmpeg stopped while writing {self.path}{reason}",
            remedy="free some space or choose another --out; what was recorded so far is kept",
        )


class EncoderThread:
    """An Encoder fed from a bounded queue, so that the caller never waits for a picture to be encoded."""

    def __init__(self, encoder: Encoder, draw: Callable[[Any], np.ndarray], queue_items: int) -> None:
        """draw: turns a queued item into frames, on the writer's thread. queue_items: how many items may wait."""
        self._encoder = encoder
        self._draw = draw
        self._queue: queue.Queue[object | None] = queue.Queue(queue_items)
        self._problem: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"encode {self._encoder.path.name}", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> Exception | None:
        """What went wrong, if anything did; from then on nothing is written."""
        return self._problem

    @property
    def pid(self) -> int:
        """Process id of the ffmpeg."""
        return self._encoder.pid

    def put(self, item: object, wait: bool) -> None:
        """Queues an item. wait: if the queue is full, wait for room; otherwise give this video up and say so."""
        if self._problem is not None:
            return
        try:
            while True:
                try:
                    return self._queue.put(item, block=wait, timeout=0.5)
                except queue.Full:
                    # A writer that has failed still empties its queue, so waiting ends.
                    if not wait:
                        raise
        except queue.Full:
            self._problem = RecordingError(
                f"the encoder cannot keep up; {self._encoder.path} ends here",
                remedy="close other programs, or choose a smaller record.icon_height",
            )

    def kill(self) -> None:
        """Kills the encoder: `close`, and whoever waits in it, then ends soon. The file plays up to where it is."""
        self._encoder.kill()

    def close(self) -> None:
        """Waits for everything queued, then finishes the file; a failure is left in `problem`.

        An encoder that takes nothing for a minute is killed.
        """
        told = False
        while not told:
            try:
                self._queue.put(None, timeout=_CLOSE_TIMEOUT_S)
                told = True
            except queue.Full:
                self._encoder.kill()
        while self._thread.is_alive():
            waiting = self._queue.qsize()
            self._thread.join(_CLOSE_TIMEOUT_S)
            if self._thread.is_alive() and self._queue.qsize() == waiting:
                self._encoder.kill()
        try:
            self._encoder.close()
        except RecordingError as error:
            self._problem = self._problem or error

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._problem is not None:
                continue
            try:
                self._encoder.write(self._draw(item))
            except Exception as error:
                # Kept for the caller to tell: an encoder's trouble must not end a session.
                self._problem = error


class Video:
    """An mp4 read frame by frame. frames: how many; fps: a second."""

    def __init__(self, path: Path) -> None:
        """Raises RecordingError if it cannot be read or holds no frame."""
        import cv2

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with it is said here, once
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        self._next = 0
        self._newest: tuple[int, np.ndarray] | None = None
        # A video that was cut off tells no length, or a wrong one.
        self.frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        if not self._capture.isOpened() or not self.frames:
            self.close()
            raise RecordingError("the video cannot be read", got=path, remedy="render the recording again")

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def at(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of a frame, the nearest there is; quickest when asked for in order.

        Raises RecordingError if not even one can be decoded.
        """
        import cv2

        frame = max(0, min(frame, self.frames - 1))
        if self._newest is not None and self._newest[0] == frame:
            return self._newest[1]
        if not self._next <= frame < self._next + _SKIP:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, frame)
            self._next = frame
        while self._next <= frame:
            ok, picture = self._capture.read()
            if not ok:
                if self._newest is None:
                    raise RecordingError("the video cannot be read", got=self.path)
                return self._newest[1]
            self._newest = (self._next, np.ascontiguousarray(picture[:, :, ::-1]))
            self._next += 1
        return self._newest[1]

    def close(self) -> None:
        """Lets the file go."""
        self._capture.release()


def write_clip(path: Path, frames: np.ndarray, fps: float, crf: int = 18) -> None:
    """Writes a short mp4 in one go and puts it in the place of `path` atomically.

    frames: (F, H, W, 3) uint8 RGB, F >= 1. Raises RecordingError; then the old file is still there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    encoder = Encoder(temporary, frames.shape[2], frames.shape[1], fps, crf)
    try:
        encoder.write(frames)
    finally:
        encoder.close()
    try:
        os.replace(temporary, path)
    except OSError as error:
        raise RecordingError(f"cannot replace {path} ({error.strerror or error})") from error
