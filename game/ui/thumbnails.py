"""Small pictures for the menu, made beside the window and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np
import pygame

from game.background import Background, Later

WIDE, HIGH = 384, 216  # of what is kept; tiles show it smaller
_MOST = 160


class Thumbnails:
    """Pictures by key. `get` never waits: it says what there is, and begins what there isn't."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._known: OrderedDict[Hashable, Later] = OrderedDict()
        self._scaled: OrderedDict[tuple, pygame.Surface] = OrderedDict()

    def get(
        self, key: Hashable, load: Callable[[], np.ndarray | None], size: tuple[int, int] = (WIDE, HIGH)
    ) -> tuple[pygame.Surface | None, str]:
        """The picture in a size, None while it is being made; and in words why there is none, "" if nothing is wrong.

        load: gives (h, w, 3) uint8 RGB of any size, or None; called in the background.
        """
        later = self._known.get(key)
        if later is None:
            later = self._known[key] = Later(self._background.begin(_small, load))
            while len(self._known) > _MOST:
                self._known.popitem(last=False)[1].drop()
        self._known.move_to_end(key)
        if later.problem or later.waiting:
            return None, later.problem
        return (self._fitted(key, later.value, size), "") if later.value is not None else (None, "no picture")

    def tick(self) -> bool:
        """Takes what is ready. Returns whether anything came."""
        return any([later.look() for later in self._known.values() if later.waiting])

    def forget(self, key: Hashable) -> None:
        """Makes it anew when it is next asked for."""
        later = self._known.pop(key, None)
        if later is not None:
            later.drop()

    def _fitted(self, key: Hashable, pixels: np.ndarray, size: tuple[int, int]) -> pygame.Surface:
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
    from game.pictures import cut_to

    picture = load()
    return None if picture is None else cut_to(picture, HIGH, WIDE)
