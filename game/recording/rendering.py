"""A recording rendered again by a second process, so that the game beside it plays on."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from game.errors import RecordingError
from game.recording.format import ACTIONS, folder_error, new_folder

_PATIENCE = 20.0  # s for a process that was told to end


class Rendering:
    """A recording being rendered again. folder: where to. frames: how many there will be, at least.

    cancelled: whether it was told to end before it was done.
    """

    def __init__(self, command: list[str], folder: Path, frames: int) -> None:
        """Starts the process. Raises RecordingError."""
        self.folder, self.cancelled = folder, False
        self._frames = max(1, frames)
        self._lines = _Lines(folder / ACTIONS)
        self._ending: threading.Thread | None = None
        self._left_over: RecordingError | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            # In a session of its own, as the encoders are: Ctrl-C is for the game, which then ends this, too.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, cwd=_root(),
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise RecordingError(f"the rendering does not start ({error.strerror or error})") from error

    @property
    def running(self) -> bool:
        """Whether its folder still changes."""
        return self._process.poll() is None or (self._ending is not None and self._ending.is_alive())

    def poll(self) -> float:
        """The share that is done, 1.0 at the end; cheap. Raises RecordingError with the reason if it failed, or was
        cancelled and has ended."""
        if self.running:
            return min(0.99, max(0, self._lines.count() - 1) / self._frames)
        if self.cancelled:
            raise self._left_over or RecordingError("the rendering was cancelled; nothing of it is kept")
        code = self._process.returncode
        if code != 0:
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            raise RecordingError(lines[-1].removeprefix("game: ") if lines else f"the rendering ended with {code}")
        return 1.0

    def cancel(self) -> None:
        """Has it end, unless it is done, and what it rendered removed; `poll` and `join` say when that has happened."""
        if not self.running or self.cancelled:
            return
        self.cancelled = True
        self._ending = threading.Thread(target=self._end, name="rendering-cancel")
        self._ending.start()

    def join(self) -> None:
        """Waits until a cancelled one has ended."""
        if self._ending is not None:
            self._ending.join()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            self._left_over = folder_error(self.folder, error)


class _Lines:
    """Counts the lines of a file that grows, reading only what is new."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._count = path, 0, 0

    def count(self) -> int:
        with contextlib.suppress(OSError), self._path.open("rb") as file:  # it may not be there yet
            file.seek(self._read)
            new = file.read()
            self._read += len(new)
            self._count += new.count(b"\n")
        return self._count


def start_rendering(recording: Path, name: str, frames: int, root: Path, words: tuple[str, ...]) -> Rendering:
    """Begins to render a recording into a new folder beside it. Raises RecordingError."""
    folder = new_folder(None, name, root=root)
    command = [sys.executable, "-m", "game", "--headless", "--script", str(recording.resolve())]
    return Rendering([*command, "--name", name, "--out", str(folder.resolve()), *words], folder, frames)


def _root() -> Path:
    """A folder from which `python -m game` finds the program, installed or not."""
    return Path(__file__).resolve().parents[2]
