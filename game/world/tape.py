"""The actions a rollout was given since its first frame, in a few bytes a frame: a whole evening can be kept."""

from __future__ import annotations

from array import array

import numpy as np

from engine.actions import Actions


class Tape:
    """A run of actions that grows at its end and can be cut there.

    What keys stand for is kept once per combination; a frame takes 2 bytes, and 8 more where the model has a mouse.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[tuple[str, ...], bytes], int] = {}
        self._indices = array("H")
        self._mouse: array | None = None

    def __len__(self) -> int:
        return len(self._indices)

    def add(self, actions: Actions) -> None:
        """Appends actions, all of one action space."""
        keyboard = actions.keyboard.astype(np.float32)
        for keys, row in zip(actions.keys, keyboard, strict=True):
            self._indices.append(self._held.setdefault((keys, row.tobytes()), len(self._held)))
        if actions.mouse is not None:
            self._mouse = array("f") if self._mouse is None else self._mouse
            self._mouse.frombytes(actions.mouse.astype(np.float32).tobytes())

    def cut(self, frames: int) -> None:
        """Forgets all but the first `frames`."""
        del self._indices[frames:]
        if self._mouse is not None:
            del self._mouse[2 * frames :]

    def copy(self, frames: int) -> Tape:
        """A tape of its own with the first `frames`."""
        twin = Tape()
        twin._held = dict(self._held)
        twin._indices = self._indices[:frames]
        twin._mouse = None if self._mouse is None else self._mouse[: 2 * frames]
        return twin

    def actions(self, start: int, stop: int) -> Actions | None:
        """The actions of frames start .. stop - 1, as they were added; None if that is none."""
        if stop <= start:
            return None
        known = list(self._held)
        held = [known[index] for index in self._indices[start:stop]]
        keyboard = np.stack([np.frombuffer(row, np.float32) for _, row in held])
        mouse = None
        if self._mouse is not None:
            mouse = np.array(self._mouse[2 * start : 2 * stop], np.float32).reshape(-1, 2)
        return Actions(keyboard, mouse, tuple(keys for keys, _ in held))
