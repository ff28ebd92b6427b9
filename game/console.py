"""Lines and progress for a person at a terminal; knows nothing of what they are about."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

_BAR = 24


def prepare_streams() -> None:
    """Makes standard input, output and error fit to be used, whatever the program was started with.

    One that is closed leads nowhere: otherwise the next file to be opened would be taken for it. What an output cannot
    encode is written as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_RDWR)
                if nowhere != number:
                    os.dup2(nowhere, number)
                    os.close(nowhere)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (lives as long as the program)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def tell(line: object) -> None:
    """A result on standard output. Raises BrokenPipeError if nobody reads it any more."""
    _write(line, sys.stdout)


def say(line: str) -> None:
    """A warning or remark on standard error."""
    with contextlib.suppress(BrokenPipeError):
        _write(line, sys.stderr)


def _write(line: object, stream: TextIO | None) -> None:
    """Where words cannot be written (a full disk, a lost terminal), that is no failure of what they are about."""
    if stream is None:
        return
    try:
        try:
            print(line, file=stream, flush=True)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            print(str(line).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except BrokenPipeError:
        raise
    except (OSError, ValueError):
        pass


def silence_streams() -> None:
    """Nobody reads our output any more: keeps the interpreter from complaining about it at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Progress:
    """A bar on one line of standard error, redrawn in place; silent where no person watches (no terminal)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """stream: where to draw; standard error by default."""
        self._stream = stream or sys.stderr
        self._watched = self._stream is not None and self._stream.isatty()
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
        self._draw("\r" + line.ljust(self._width))
        self._width = len(line)

    def clear(self) -> None:
        """Takes the bar away, so that a line can be printed in its place."""
        if self._width:
            self._draw("\r" + " " * self._width + "\r")
            self._width = 0

    def _draw(self, words: str) -> None:
        try:
            self._stream.write(words)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone
            self._watched = False


def _polite() -> list[int]:
    """The signals that ask the program to end, but for those that whoever started it had it ignore (nohup)."""
    names = ("SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


@contextlib.contextmanager
def kill_as_ctrl_c() -> Iterator[None]:
    """While entered, a polite kill, or the end of the terminal, ends the program as Ctrl-C does. Only on the main
    thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in _polite()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class GentleStop:
    """While entered, Ctrl-C (or a polite kill) is only noted in `asked`, so that no work is cut in the middle.

    A second one interrupts at once. On other threads than the main one it does nothing, since signals never come there.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> GentleStop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, *_polite())}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.asked and number != getattr(signal, "SIGHUP", None):  # a terminal that closes sends one after the other
            raise KeyboardInterrupt
        self.asked = True
