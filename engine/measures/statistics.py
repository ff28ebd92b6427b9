"""From what was seen in single moments to one number with its count and its interval, or to why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

CONFIDENCE = 0.95
_RESAMPLES = 1000
_Z = 1.959964  # of a normal distribution, for CONFIDENCE
_ENOUGH_CLIPS = 5
ENOUGH_TO_DIFFER = 3
"""Moments from which on an interval says something."""


@dataclass(frozen=True)
class Samples:
    """What one measure saw in one clip.

    values: one for each moment. frames: the video frame at which each was seen, or none. unit: of the values.
    kind: how they make one number. lower, upper: the range a value can have. good: which end is the better one,
    "low", "high", or "" where neither is. why: the reason, where there are no values.
    """

    unit: str
    values: tuple[float, ...] = ()
    frames: tuple[int, ...] = ()
    kind: Literal["mean", "median", "share"] = "mean"
    lower: float | None = 0.0
    upper: float | None = None
    good: Literal["low", "high", ""] = ""
    why: str = ""


@dataclass(frozen=True)
class Measure:
    """One number: its unit, how many moments it is from, and the interval that holds it in 95 of 100 such clips; or
    value None, and why."""

    value: float | None
    unit: str
    count: int = 0
    interval: tuple[float, float] = (0.0, 0.0)
    undecidable: str = ""
    range: tuple[float | None, float | None] = field(default=(0.0, None))
    good: str = ""

    def differs(self, other: Measure) -> bool:
        """Whether the two intervals lie apart; never where one is undecidable, or is from fewer than three moments."""
        if self.value is None or other.value is None or min(self.count, other.count) < ENOUGH_TO_DIFFER:
            return False
        return self.interval[0] > other.interval[1] or other.interval[0] > self.interval[1]

    def to_json(self) -> dict[str, object]:
        """As judge.json holds it."""
        if self.value is None:
            return {"undecidable": self.undecidable}
        low, high = self.interval
        return {
            "value": round(self.value, 4), "unit": self.unit, "count": self.count,
            "interval": [round(low, 4), round(high, 4)],
        }  # fmt: skip


def summarise(parts: Sequence[Samples]) -> Measure:
    """One number from the samples of one clip or of several.

    The interval is a percentile bootstrap (Efron 1979) of 1,000 draws: of clips where there are five or more with
    samples, because moments of one clip resemble one another, else of the samples. It is the same every time. A share
    has Wilson's interval (1927) besides, and the wider bounds of both: all of eight right does not mean always right.
    parts: at least one.
    """
    first = parts[0]
    rows = [np.asarray(part.values, dtype=np.float64) for part in parts if part.values]
    if not rows:
        why = next((part.why for part in parts if part.why), "nothing to measure it by")
        return Measure(None, first.unit, undecidable=why, range=(first.lower, first.upper), good=first.good)
    together = np.concatenate(rows)
    centre = np.median if first.kind == "median" else np.mean
    value = float(centre(together))
    draws = np.random.default_rng(0)
    if len(rows) >= _ENOUGH_CLIPS:
        picks = draws.integers(len(rows), size=(_RESAMPLES, len(rows)))
        drawn = [float(centre(np.concatenate([rows[i] for i in pick]))) for pick in picks]
    else:
        picks = draws.integers(len(together), size=(_RESAMPLES, len(together)))
        drawn = [float(v) for v in centre(together[picks], axis=1)]
    low, high = (float(v) for v in np.percentile(drawn, [50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE]))
    if first.kind == "share":
        least, most = _wilson(value, len(together))
        low, high = min(low, least), max(high, most)
    return Measure(value, first.unit, len(together), (low, high), range=(first.lower, first.upper), good=first.good)


def _wilson(share: float, count: int) -> tuple[float, float]:
    squared = _Z**2 / count
    middle = (share + squared / 2) / (1 + squared)
    half = _Z * np.sqrt(share * (1 - share) / count + squared / (4 * count)) / (1 + squared)
    return float(middle - half), float(middle + half)
