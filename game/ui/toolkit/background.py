"""Work beside the window: folders read, pictures decoded and kept small, in threads of their own."""

from __future__ import annotations

import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
import pygame

from game.console import say
from game.errors import EngineError

_PATIENCE = 1.0  # s a piece of work may take before the next one no longer waits for it
_MOST_THREADS = 16
_LONGEST_WAIT = 60.0  # s


class Background:
    """Works through what it is given, one piece after another; results are asked for, never waited for.

    A piece that takes longer than `patience` seconds (a pipe that nobody writes to, a network drive that is gone) goes
    on by itself, and the next one begins. Neither such a piece nor `stop` ever keeps the program from ending.
    """

    def __init__(self, patience: float = _PATIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Future, Callable[[], Any]]] = deque()
        self._begun: dict[int, float] = {}  # thread -> when what it works at began
        self._threads = 0
        self._stopped = False

    def begin(self, work: Callable[..., Any], *arguments: Any) -> Future:
        """Queues a piece of work."""
        future: Future = Future()
        with self._changed:
            if self._stopped:
                future.cancel()
                return future
            self._waiting.append((future, partial(work, *arguments)))
            self._have_an_idle_thread()
            self._changed.notify()
        return future

    def stop(self) -> None:
        """Drops what has not begun; does not wait for what has."""
        with self._changed:
            self._stopped = True
            while self._waiting:
                self._waiting.popleft()[0].cancel()
            self._changed.notify_all()

    def _have_an_idle_thread(self) -> None:
        if self._threads == len(self._begun) and self._threads < _MOST_THREADS:
            self._threads += 1
            # A daemon: the interpreter does not wait for it when the program ends.
            threading.Thread(target=self._run, name="background", daemon=True).start()

    def _run(self) -> None:
        me = threading.get_ident()
        while (job := self._next(me)) is not None:
            future, work = job
            try:
                if future.set_running_or_notify_cancel():
                    future.set_result(work())
            except Exception as error:
                future.set_exception(error)
            finally:
                with self._changed:
                    del self._begun[me]
                    self._changed.notify()
            del future, work, job  # or an idle thread keeps what it made

    def _next(self, me: int) -> tuple[Future, Callable[[], Any]] | None:
        """The next piece of work, as soon as nothing is under way that has a claim to be waited for."""
        with self._changed:
            while not self._stopped:
                now = self._clock()
                wait = max((began + self._patience - now for began in self._begun.values()), default=0.0)
                if self._waiting and wait <= 0:
                    self._begun[me] = now
                    job = self._waiting.popleft()
                    if self._waiting:
                        self._have_an_idle_thread()
                    return job
                self._changed.wait(min(wait, _LONGEST_WAIT) if self._waiting else None)
            self._threads -= 1
            return None


class Later:
    """A result that may not be there yet.

    value: what the work returned; None until then, and where it failed. problem: in words, if it failed.
    """

    def __init__(self, future: Future) -> None:
        self._future: Future | None = future
        self.value: Any = None
        self.problem = ""

    @property
    def waiting(self) -> bool:
        """Whether the work still goes on."""
        return self._future is not None

    @property
    def begun(self) -> bool:
        """Whether the work is no longer queued."""
        return self._future is None or self._future.running() or self._future.done()

    def look(self) -> bool:
        """Takes the result if it is there. Returns whether it came just now."""
        if self._future is None or not self._future.done():
            return False
        future, self._future = self._future, None
        if future.cancelled():
            return False
        if (error := future.exception()) is not None:
            self.problem = words_of(error)
        else:
            self.value = future.result()
        return True

    def drop(self) -> None:
        """Nobody wants it any more."""
        if self._future is not None:
            self._future.cancel()


_told: set[str] = set()


def words_of(error: BaseException) -> str:
    """An exception as a line for people. A fault of this program is told in full on standard error, once."""
    words = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, EngineError | OSError) and words not in _told:
        _told.add(words)
        say("".join(traceback.format_exception(error)).rstrip())
    return words


WIDE, HIGH = 384, 216  # of what is kept of a picture; tiles show it smaller
_MOST_KEPT, _MOST_WANTED = 160, 64


class Thumbnails:
    """Small pictures by key, made in the background and kept. `ask` never waits: it says what there is, and notes what
    is wanted. Only what is asked for while it is drawn is made, and what was asked for last comes first.
    """

    def __init__(self, background: Background) -> None:
        self._background = background
        self._known: OrderedDict[Hashable, Later] = OrderedDict()
        self._wanted: OrderedDict[Hashable, tuple[int, Callable[[], np.ndarray | None]]] = OrderedDict()
        self._scaled: OrderedDict[tuple, pygame.Surface] = OrderedDict()
        self._turn = 0  # what is asked for in one turn was drawn together
        self.made = 0  # how many were begun

    def ask(
        self, key: Hashable, load: Callable[[], np.ndarray | None], size: tuple[int, int]
    ) -> tuple[pygame.Surface | None, str]:
        """The picture in a size, None while it is being made; and why there is none, "" if all is well.

        load: gives (h, w, 3) uint8 RGB of any size, or None; called in the background.
        """
        later = self._known.get(key)
        if later is None:
            self._wanted[key] = (self._turn, load)
            self._wanted.move_to_end(key)
            while len(self._wanted) > _MOST_WANTED:
                self._wanted.popitem(last=False)
            return None, ""
        self._known.move_to_end(key)
        missing = not later.waiting and later.value is None
        return self._fitted(key, later, size), later.problem or ("no picture" if missing else "")

    def tick(self) -> bool:
        """Takes what is ready, and has the next one made. Returns whether anything came."""
        came = any([later.look() for later in self._known.values() if later.waiting])
        self._turn += 1
        if self._wanted and all(later.begun for later in self._known.values()):
            last = max(turn for turn, _ in self._wanted.values())
            key = next(key for key, (turn, _) in self._wanted.items() if turn == last)
            _, load = self._wanted.pop(key)
            self.made += 1
            self._known[key] = Later(self._background.begin(_small, load))
            while len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)[1].drop()
        return came

    def _fitted(self, key: Hashable, later: Later, size: tuple[int, int]) -> pygame.Surface | None:
        pixels = later.value
        if pixels is None:
            return None
        surface = self._scaled.get((key, size, id(pixels)))
        if surface is None:
            height, width = pixels.shape[:2]
            image = pygame.image.frombuffer(pixels.tobytes(), (width, height), "RGB")
            surface = pygame.transform.smoothscale(image, size).convert()
            self._scaled[key, size, id(pixels)] = surface
            while len(self._scaled) > _MOST_KEPT:
                self._scaled.popitem(last=False)
        return surface


def _small(load: Callable[[], np.ndarray | None]) -> np.ndarray | None:
    """What is kept of a picture: its middle in the tiles' aspect, small."""
    from game.media.pictures import cut_to

    picture = load()
    return None if picture is None else cut_to(picture, HIGH, WIDE)
