"""The window before the program: it is up, and answers, while everything else is still being imported."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import pygame

from game.config.glance import window_wish
from game.ui.window import Window

_LOOK_EVERY = 0.01  # s between two looks at what the window is told
_AFTER = 10.0  # s that what was begun may take to end once nobody waits for it
_CHANGED = (pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED, pygame.WINDOWRESTORED, pygame.WINDOWDISPLAYCHANGED)
T = TypeVar("T")


@contextlib.contextmanager
def early_window() -> Iterator[Window | None]:
    """The window, as a person most likely wants it, with the program's name on it; gone again if what follows fails.

    None where none can be opened: whoever needs it says so, after what else is wrong.
    """
    try:
        window = Window(*window_wish())
    except pygame.error:
        yield None
        return
    try:
        window.greet(_WORDS)
        yield window
    finally:
        window.close()


_WORDS = "Starting …"


def meanwhile(window: Window | None, prepare: Callable[[], T]) -> T | None:
    """What `prepare` gives, called on a thread of its own while the window answers; None if it was closed before.

    Keys wait for whoever reads events next. Raises what `prepare` does. Without a window it is called right here.
    """
    if window is None:
        return prepare()
    task = _Task(prepare)
    try:
        while not task.over.wait(_LOOK_EVERY):
            events = {event.type for event in pygame.event.get((pygame.QUIT, *_CHANGED))}
            if pygame.QUIT in events:
                return None
            if events:
                window.greet(_WORDS)
    finally:
        if not task.over.is_set():
            window.close()
            task.over.wait(_AFTER)
    return task.result()


class _Task(Generic[T]):
    """A call on a thread. over: set when it has returned or failed."""

    def __init__(self, call: Callable[[], T]) -> None:
        self.over = threading.Event()
        self._call = call
        self._given: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="start", daemon=True).start()

    def _run(self) -> None:
        try:
            self._given.append(self._call())
        except BaseException as error:  # whoever waits for it raises it
            self._error = error
        finally:
            self.over.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._given[0]
