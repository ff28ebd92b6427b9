"""An image tower that takes memory only while it looks at a first frame."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from torch import Tensor

from engine.nets.image_tower import ImageTower

_REMEMBERED = 8  # contexts, of 0.7 MB each in bfloat16


class BorrowedTower:
    """Loads the tower, looks, and lets go of it; of pictures seen lately it remembers what it saw.

    What it remembers depends on the picture alone, so a world is the same either way. Not thread-safe.

    Args:
        load: makes the tower, with its weights, on the device where it is to run.
    """

    def __init__(self, load: Callable[[], ImageTower]) -> None:
        self._load = load
        self._seen: dict[str, Tensor] = {}

    def __call__(self, frame: Tensor) -> Tensor:
        """frame (1, 3, H, W) in [-1, 1] on any device -> visual context (1, tokens, width), where the tower ran."""
        key = hashlib.sha256(frame.float().to("cpu").numpy().tobytes()).hexdigest()
        if key not in self._seen:
            while len(self._seen) >= _REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = self._load()(frame)
        return self._seen[key]
