"""Work beside the window: folders read, pictures decoded and kept small, in threads of their own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pygame


class Background:
    """One thread that works through what it is given; results are asked for, never waited for."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")

    def begin(self, work: Callable[..., Any], *arguments: Any) -> Future:
        """Queues a piece of work."""
        return self._pool.submit(work, *arguments)

    def stop(self) -> None:
        """Drops what has not begun; does not wait for what has."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Later:
    """A result that may not be there yet.

    value: what the work returned, None until then. problem: in words, if it raised.
    """

    def __init__(self, future: Future) -> None:
        self._future: Future | None = future
        self.value: Any = None
        self.problem = ""

    @property
    def waiting(self) -> bool:
        """Whether the work still goes on."""
        return self._future is not None

    def look(self) -> bool:
        """Takes the result if it is there. Returns whether it came just now."""
        if self._future is None or not self._future.done():
            return False
        future, self._future = self._future, None
        if future.cancelled():
            return False
        error = future.exception()
        if error is not None:
            self.problem = " ".join(str(error).split()) or type(error).__name__
        else:
            self.value = future.result()
        return True

    def drop(self) -> None:
        """Nobody wants it any more."""
        if self._future is not None:
            self._future.cancel()


WIDE, HIGH = 384, 216  # of what is kept; tiles show it smaller
_MOST = 160


class Thumbnails:
    """Pictures by key. `ask` never waits: it says what there is, and begins what there isn't."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._known: OrderedDict[Hashable, Later] = OrderedDict()
        self._scaled: OrderedDict[tuple, pygame.Surface] = OrderedDict()

    def ask(
        self, key: Hashable, load: Callable[[], np.ndarray | None]
    ) -> tuple[Callable[[tuple[int, int]], pygame.Surface | None], str]:
        """What gives the picture in a size, or None while it is being made; and why there is none, "" if all is well.

        load: gives (h, w, 3) uint8 RGB of any size, or None; called in the background.
        """
        later = self._known.get(key)
        if later is None:
            later = self._known[key] = Later(self._background.begin(_small, load))
            while len(self._known) > _MOST:
                self._known.popitem(last=False)[1].drop()
        self._known.move_to_end(key)
        missing = not later.waiting and later.value is None
        return partial(self._fitted, key, later), later.problem or ("no picture" if missing else "")

    def tick(self) -> bool:
        """Takes what is ready. Returns whether anything came."""
        return any([later.look() for later in self._known.values() if later.waiting])

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
            while len(self._scaled) > _MOST:
                self._scaled.popitem(last=False)
        return surface


def _small(load: Callable[[], np.ndarray | None]) -> np.ndarray | None:
    """What is kept of a picture: its middle in the tiles' aspect, small."""
    from game.media.pictures import cut_to

    picture = load()
    return None if picture is None else cut_to(picture, HIGH, WIDE)
