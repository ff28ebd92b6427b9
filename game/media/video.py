"""RGB frames to fragmented H.264, by a ffmpeg process at the end of a pipe and a thread that feeds it."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from game.errors import InputError, RecordingError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong with a video is said here, once
STALL_S = 20.0  # an encoder that has taken nothing for so long is given up when the program waits for it
_KILLED_S = 5.0  # after a kill everything is over at once
_SKIP = 48  # frames that are sooner decoded one after another than jumped over
_NEEDS = "ffmpeg 4.2 or newer with libx264"
_INSTALL = "install imageio-ffmpeg 0.5 or newer, or set IMAGEIO_FFMPEG_EXE to another ffmpeg"


def ffmpeg_binary() -> str:
    """Path of the ffmpeg that imageio-ffmpeg brings. Raises RecordingError if there is none."""
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except (RuntimeError, OSError) as error:
        raise RecordingError("there is no ffmpeg to write videos with", expected=_NEEDS, remedy=_INSTALL) from error


def ffmpeg_version() -> str:
    """What the ffmpeg calls itself, such as "7.0.2-static". Raises RecordingError if it does not run."""
    command = [ffmpeg_binary(), "-hide_banner", "-version"]
    try:
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=STALL_S, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise _does_not_start(command[0], error) from error
    found = re.search(rb"version (\S+)", said.stdout)
    return found[1].decode("utf-8", "replace") if found else "of an unknown version"


def _does_not_start(program: str, error: Exception) -> RecordingError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return RecordingError(f"ffmpeg does not start ({reason})", got=program, expected=_NEEDS, remedy=_INSTALL)


def encode_command(path: Path, width: int, height: int, fps: float, crf: int) -> list[str]:
    """ffmpeg's command line: raw rgb24 from standard input to a fragmented mp4 at `path`.

    A fragment per frame and no look-ahead: whatever has been handed over is on disk a frame later, so that a file cut
    off anywhere still plays up to there. One thread, because the engine needs the others. Frames come at one rate and
    leave at it, so nothing needs to be said of how they are dropped or doubled (the word for it changed with 5.1).
    """
    read = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", repr(float(fps)), "-i", "pipe:0"]
    colours = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    convert = ["-vf", "scale=in_range=full:out_range=tv:out_color_matrix=bt709:flags=accurate_rnd", *colours]
    encode = ["-an", "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-crf", str(crf)]
    layout = ["-pix_fmt", "yuv420p", "-g", str(max(1, round(2 * fps))), "-threads", "1"]
    fragments = ["-movflags", "+empty_moov+default_base_moof+frag_every_frame", "-flush_packets", "1"]
    quiet = ["-hide_banner", "-loglevel", "error", "-nostats", "-y"]
    # A name with a colon, or a dash before it, is a protocol or an option to ffmpeg, unless it is told.
    to = ["-f", "mp4", f"file:{path.absolute()}"]
    return [ffmpeg_binary(), *quiet, *read, *convert, *encode, *layout, *fragments, *to]


class Encoder:
    """One ffmpeg process. Not thread-safe, but for `kill`; write() blocks while the pipe is full.

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
        command = encode_command(path, width, height, fps, crf)
        # A file and not a pipe: nobody reads while the process lives, and a full pipe would stop it.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._complaints.close()
            raise _does_not_start(command[0], error) from error
        assert self._process.stdin is not None
        self._input: IO[bytes] = self._process.stdin
        self._failed: RecordingError | None = None  # said once by ffmpeg, and the same to whoever asks again

    @property
    def pid(self) -> int:
        """Process id of the ffmpeg."""
        return self._process.pid

    def write(self, frames: np.ndarray) -> None:
        """Hands frames over. frames: (F, H, W, 3) uint8 RGB. Raises RecordingError if ffmpeg is gone."""
        try:
            self._input.write(np.ascontiguousarray(frames).data)
            self._input.flush()
        except (OSError, ValueError) as error:  # a broken pipe; Windows calls it an invalid argument
            raise self._failure() from error

    def close(self, limit: float = STALL_S) -> None:
        """Finishes the file. limit: s that this may take. Raises RecordingError if it could not be written."""
        with contextlib.suppress(OSError, ValueError):  # said below, with ffmpeg's own reason
            self._input.close()
        try:
            code = self._process.wait(limit)
        except subprocess.TimeoutExpired as error:
            self.kill()
            self._process.wait(_KILLED_S)
            raise RecordingError(f"ffmpeg did not finish {self.path}", remedy="it plays up to where it is") from error
        if code != 0:
            raise self._failure()
        self._complaints.close()

    def kill(self) -> None:
        """Ends the process here and now; what it has written stays playable. A write that waits for it fails."""
        self._process.kill()

    def _failure(self) -> RecordingError:
        """Why the process ended, once it has; `write` and then `close` tell the same."""
        if self._failed is None:
            self._failed = self._post_mortem()
        return self._failed

    def _post_mortem(self) -> RecordingError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILLED_S)  # it may be about to say why
        self.kill()
        self._process.wait(_KILLED_S)
        self._complaints.seek(0)
        said = self._complaints.read().decode("utf-8", "replace")
        self._complaints.close()
        reason = telling_line(said)
        what = f"ffmpeg stopped while writing {self.path}" + (f" ({reason})" if reason else "")
        if not re.search(r"Unrecognized option|Option \S* ?not found|Unknown encoder|Invalid encoder", said):
            return RecordingError(what, remedy="free some space or choose another --out; what was recorded is kept")
        try:
            version = ffmpeg_version()
        except RecordingError:
            version = "unknown"
        return RecordingError(what, got=f"version {version}", expected=_NEEDS, remedy=_INSTALL)


_EMPTY_WORDS = ("Conversion failed", "Error splitting the argument list", "Error opening output file")


def telling_line(said: str) -> str:
    """The line of ffmpeg's complaint that says why: the first that is no mere consequence, without its address."""
    lines = [re.sub(r"^(\[[^]]*\] *)+", "", line.strip()) for line in said.splitlines()]
    lines = [line for line in lines if line]
    return next((line for line in lines if not line.startswith(_EMPTY_WORDS)), lines[0] if lines else "")


def _nothing() -> None:
    pass


class EncoderThread:
    """An Encoder fed from a bounded queue, so that the caller never waits for a picture to be encoded.

    `put`, `run` and `finish` are called from one thread, the rest from any.
    """

    def __init__(self, encoder: Encoder, draw: Callable[[Any], np.ndarray], queue_items: int) -> None:
        """draw: turns a queued item into frames, on the writer's thread. queue_items: how many items may wait."""
        self._encoder = encoder
        self._draw = draw
        self._queue: queue.Queue[tuple[Callable[[Any], None], Any] | None] = queue.Queue(queue_items)
        self._problem: Exception | None = None
        self._finishing, self._then = False, _nothing
        self._taken = 0  # items; tells a slow encoder from one that stands still
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
        """Queues an item. wait: if the queue is full, wait for room as long as the encoder takes anything; otherwise
        give this video up and say so."""
        if self._problem is None:
            self._enqueue((self._encode, item), wait)

    def run(self, job: Callable[[], None]) -> None:
        """Has `job` called on the encoder's thread, in its turn."""
        self._enqueue((lambda _: job(), None), wait=True)

    def finish(self, then: Callable[[], None] | None = None) -> None:
        """Has the file finished once everything queued is written, and `then` called on the encoder's thread; a
        failure is left in `problem`. Does not wait for it; `join` does."""
        if not self._finishing:
            self._then = then or _nothing
            self._finishing = True
            with contextlib.suppress(queue.Full):  # else the thread sees it when it has emptied the queue
                self._queue.put_nowait(None)

    def join(self) -> None:
        """Waits until the file is finished. An encoder that stands still for STALL_S is killed; the file then plays up
        to where it is."""
        for _ in self._while_it_works():
            self._thread.join(0.05)
            if not self._thread.is_alive():
                return
        self._problem = self._problem or RecordingError(
            f"ffmpeg stands still and was ended; {self._encoder.path} plays up to where it is"
        )
        self._encoder.kill()
        self._thread.join(_KILLED_S)

    def kill(self) -> None:
        """Ends the encoder here and now; whoever waits in it, or for it, then ends soon. The file plays up to there."""
        self._encoder.kill()

    def close(self) -> None:
        """`finish` and `join`."""
        self.finish()
        self.join()

    def _enqueue(self, task: tuple[Callable[[Any], None], Any], wait: bool) -> None:
        for _ in self._while_it_works():
            try:
                return self._queue.put(task, block=wait, timeout=0.5)
            except queue.Full:
                # A writer that has failed still empties its queue, so waiting ends.
                if not wait:
                    break
        self._problem = RecordingError(
            f"the encoder cannot keep up; {self._encoder.path} ends here",
            remedy="close other programs, or choose a smaller record.icon_height",
        )

    def _while_it_works(self) -> Iterator[None]:
        """Goes round as long as the encoder has taken something within STALL_S."""
        taken, since = self._taken, time.monotonic()
        while time.monotonic() - since < STALL_S:
            yield
            if taken != self._taken:
                taken, since = self._taken, time.monotonic()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            call, item = task
            try:
                call(item)
            except Exception as error:
                # Kept for the caller to tell: an encoder's trouble must not end a session.
                self._problem = self._problem or error
            self._taken += 1
        try:
            self._encoder.close()
        except RecordingError as error:
            self._problem = self._problem or error
        self._then()

    def _next(self) -> tuple[Callable[[Any], None], Any] | None:
        while True:
            try:
                return self._queue.get(timeout=0.5)
            except queue.Empty:
                if self._finishing:
                    return None

    def _encode(self, item: object) -> None:
        if self._problem is None:
            self._encoder.write(self._draw(item))


class Video:
    """An mp4 read frame by frame. frames: how many; fps: a second."""

    def __init__(self, path: Path) -> None:
        """Raises RecordingError if it cannot be read or holds no frame."""
        import cv2

        from game.files import check_regular

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong with it is said here, once
        self.path = path
        self._file: IO[bytes] | None = None
        self._next = 0
        self._newest: tuple[int, np.ndarray] | None = None
        try:
            check_regular(path)
            self._capture = cv2.VideoCapture(self._name(path), cv2.CAP_FFMPEG)
        except OSError as error:
            self._let_go()
            reason = error.strerror or error
            raise RecordingError(f"the video cannot be read ({reason})", got=path) from error
        # A video that was cut off tells no length, or a wrong one.
        length, self.fps = (self._capture.get(what) for what in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
        self.frames = max(0, int(length)) if math.isfinite(length) else 0
        if not self._capture.isOpened() or not self.frames or not (math.isfinite(self.fps) and self.fps > 0):
            self.close()
            raise RecordingError("the video cannot be read", got=path, remedy="render the recording again")

    def _name(self, path: Path) -> str:
        """What OpenCV opens it by: it takes colons for protocols, and the process dies of a name that is not UTF-8."""
        name = str(path.absolute())
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            self._file = path.open("rb")
            name = f"/dev/fd/{self._file.fileno()}"  # such names exist only where this does
        return name

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
        assert self._newest is not None  # what was asked for is the newest, or lies ahead
        return self._newest[1]

    def close(self) -> None:
        """Lets the file go."""
        self._capture.release()
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()


class FrameReader:
    """A video of any kind read once from its beginning. expected: how many frames it says it has, 0 if it does not.

    fps: what it says. Rotation is undone, sound left away, and more than 8 bits a colour brought to 8.
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError if it cannot be opened."""
        import cv2

        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise InputError(f"{path} is no video that can be read", expected="an mp4 or another common kind")
        self.expected = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))

    def chunks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames (n, H, W, 3) uint8 RGB and their times (n,) in seconds, up to `size` at once, to the end."""
        import cv2

        frames: list[np.ndarray] = []
        times: list[float] = []
        try:
            while True:
                ok, picture = self._capture.read()
                if ok:
                    frames.append(picture[:, :, ::-1])
                    times.append(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
                if frames and (len(frames) == size or not ok):
                    yield np.stack(frames), np.array(times)
                    frames, times = [], []
                if not ok:
                    return
        finally:
            self._capture.release()


def write_clip(path: Path, frames: np.ndarray, fps: float, crf: int = 18) -> None:
    """Writes a short mp4 in one go and puts it in the place of `path` atomically.

    frames: (F, H, W, 3) uint8 RGB, F >= 1. Raises RecordingError; then the old file is still there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    encoder = Encoder(temporary, frames.shape[2], frames.shape[1], fps, crf)
    try:
        try:
            encoder.write(frames)
        finally:
            encoder.close()
        os.replace(temporary, path)
    except OSError as error:
        raise RecordingError(f"cannot replace {path} ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
