"""A recording rendered again by a second process, so that the game beside it plays on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from game.errors import RecordingError
from game.session import ACTIONS, new_folder

_PATIENCE = 20.0  # s for a process that was told to end


class Rendering:
    """A recording being rendered again. folder: where to. frames: how many there will be, at least."""

    def __init__(self, command: list[str], folder: Path, frames: int) -> None:
        """Starts the process. Raises RecordingError."""
        self.folder = folder
        self._frames = max(1, frames)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, cwd=_root()
            )
        except OSError as error:
            raise RecordingError(f"the rendering does not start ({error.strerror or error})") from error

    def poll(self) -> float:
        """The share that is done, 1.0 at the end. Raises RecordingError with the reason if it failed."""
        code = self._process.poll()
        if code is None:
            return min(0.99, self._lines() / self._frames)
        if code != 0:
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            raise RecordingError(lines[-1].removeprefix("game: ") if lines else f"the rendering ended with {code}")
        return 1.0

    def cancel(self) -> None:
        """Ends it; what was rendered stays."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _lines(self) -> int:
        with contextlib.suppress(OSError):
            return max(0, (self.folder / ACTIONS).read_bytes().count(b"\n") - 1)
        return 0


def start_rendering(recording: Path, name: str, frames: int, root: Path, words: tuple[str, ...]) -> Rendering:
    """Begins to render a recording into a new folder beside it. Raises RecordingError."""
    folder = new_folder(None, name, root=root)
    command = [sys.executable, "-m", "game", "--headless", "--script", str(recording.resolve())]
    return Rendering([*command, "--name", name, "--out", str(folder.resolve()), *words], folder, frames)


def _root() -> Path:
    """A folder from which `python -m game` finds the program, installed or not."""
    return Path(__file__).resolve().parents[1]
