"""A recording judged by a second process, for a window that plays on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from game.errors import RunError
from game.judge.command import PAGE, PROGRESS

_PATIENCE_S = 5.0


class Judging:
    """A recording being judged, into its own folder. page: where its scores will be, a file for a browser."""

    def __init__(self, folder: Path) -> None:
        """Starts the process. Raises RunError."""
        self.page = folder / PAGE
        self._progress = folder / PROGRESS
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        command = [sys.executable, "-m", "game", "--judge", str(folder.resolve()), f"--out={folder.resolve()}"]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said,
                cwd=Path(__file__).resolve().parents[2], start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise RunError(f"judging does not start ({error.strerror or error})") from error

    def poll(self) -> float:
        """The share that is done, 1.0 at the end; cheap. Raises RunError with the reason if it failed."""
        code = self._process.poll()
        if code is None:
            with contextlib.suppress(OSError, ValueError, IndexError):  # not written yet, or being written
                return min(0.99, float(self._progress.read_text(encoding="utf-8").split()[0]))
            return 0.0
        if code != 0:
            self._said.seek(0)
            lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
            raise RunError(lines[-1].removeprefix("game: ") if lines else f"judging ended with {code}")
        return 1.0

    def cancel(self) -> None:
        """Ends it, within five seconds; nothing is left of it."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            self._progress.unlink(missing_ok=True)
