"""Pictures run backwards while a key is held: which one is due, and where play goes on when the key is let go. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from game.input.controls import FrameControl
from game.live.status import Picture
from game.world.history import Moment

SPEED = 2.0  # times the model's rate


def control_of(moment: Moment, frame: int) -> FrameControl:
    """What the model was told for one of a moment's pictures; nothing at a start."""
    if moment.actions is None:
        return FrameControl((), None)
    action = moment.actions[frame]
    return FrameControl(action.keys, action.mouse)


class Rewind:
    """One holding of the key.

    Args:
        moments: of the past, oldest first, at least one; the last is where it begins.
        fps: the model's video frames a second.
        began: s, when the key went down.
        skip: newest pictures that were not on the window yet when it did.
    """

    def __init__(self, moments: Sequence[Moment], fps: float, began: float, skip: int = 0) -> None:
        self._moments, self._fps, self._began, self._skip = moments, fps, began, skip
        # Of the oldest moment only its last picture can be gone back to: what led there is forgotten.
        self._ends = list(accumulate(1 if i == 0 else len(m.pictures) for i, m in enumerate(moments)))
        self._shown: tuple[int, Picture] | None = None

    def picture(self, now: float) -> Picture:
        """What is due at `now`; the same object as long as it is the same picture."""
        back = self._back(now)
        if self._shown is None or self._shown[0] != back:
            moment, frame = self._place(back)
            told, pixels = control_of(moment, frame), moment.pictures[frame]
            self._shown = back, Picture(pixels, control=told, behind_s=(back - self._skip) / self._fps, moment=moment)
        return self._shown[1]

    def next_change(self, now: float) -> float | None:
        """When the next picture is due; None at the end of the past."""
        back = self._back(now)
        return None if back >= self._ends[-1] - 1 else self._began + (back + 1 - self._skip) / (SPEED * self._fps)

    def target(self, now: float) -> Moment:
        """The moment to go on from: the newest whose block has not been run back into."""
        moment, frame = self._place(self._back(now))
        if frame == len(moment.pictures) - 1:
            return moment
        return self._moments[max(0, self._moments.index(moment) - 1)]

    def _back(self, now: float) -> int:
        gone = max(0, int((now - self._began) * SPEED * self._fps + 1e-6))
        return min(self._ends[-1] - 1, self._skip + gone)

    def _place(self, back: int) -> tuple[Moment, int]:
        """The moment, and the number among its pictures, of the picture so many before the newest."""
        place = self._ends[-1] - 1 - back
        index = bisect_right(self._ends, place)
        moment = self._moments[index]
        return moment, len(moment.pictures) - (self._ends[index] - place)
