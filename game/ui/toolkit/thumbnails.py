"""Small pictures for the menu, made beside the window and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial

import numpy as np
import pygame

from game.ui.toolkit.background import Background, Later

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
