"""Lines and progress for a person at a terminal; knows nothing of what they are about."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TextIO

_BAR = 24


def say(line: str) -> None:
    """A warning or remark on standard error."""
    print(line, file=sys.stderr, flush=True)


class Progress:
    """A bar on one line of standard error, redrawn in place; silent where no person watches (no terminal)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """stream: where to draw; standard error by default."""
        self._stream = stream or sys.stderr
        self._watched = self._stream.isatty()
        self._drawn = 0.0
        self._width = 0

    def __call__(self, what: str, share: float) -> None:
        """Shows how far `what` has come: share is 0..1."""
        now = time.monotonic()
        if not self._watched or (now - self._drawn < 0.1 and share < 1.0):
            return
        self._drawn = now
        full = round(_BAR * min(1.0, max(0.0, share)))
        line = f"[{'#' * full}{'.' * (_BAR - full)}] {share:4.0%}  {what}"
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def clear(self) -> None:
        """Takes the bar away, so that a line can be printed in its place."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


@contextlib.contextmanager
def kill_as_ctrl_c() -> Iterator[None]:
    """While entered, a polite kill (SIGTERM) ends the program as Ctrl-C does. Only on the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class GentleStop:
    """While entered, Ctrl-C (or a polite kill) is only noted in `asked`, so that no work is cut in the middle.

    A second one interrupts at once. On other threads than the main one it does nothing, since signals never come there.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> GentleStop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
