"""How a session goes, in numbers: for the HUD of this moment, and of all of it for the report."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from game.recording.format import percentiles


@dataclass(frozen=True)
class LiveStats:
    """How a live session went.

    latency_ms: p50 and p95 of control sampled -> first frame that shows it displayed, None if nothing was controlled.
    lookahead_ms: p50 and p95 of finished video not yet shown, taken each time a frame is put on the window.
    late_frames: frames that were not there (or not drawn) when they were due.
    """

    latency_ms: dict[str, float] | None
    late_frames: int
    lookahead_ms: dict[str, float]

    def to_report(self) -> dict:
        """The fields as report.json names them."""
        return {
            "latency_ms": self.latency_ms or {"p50": None, "p95": None},
            "late_frames": self.late_frames,
            "lookahead_ms": self.lookahead_ms,
        }


class PlayStats:
    """What a person may want to know of a session: recent numbers for the HUD, all of it for the report."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=20_000)
        self._lookaheads: deque[float] = deque(maxlen=20_000)
        self._shown_at: deque[float] = deque(maxlen=240)

    def displayed(self, now: float, lookahead_ms: float, latency_ms: float | None) -> None:
        """Counts one frame put on the window for the first time. latency_ms: None if it shows no new control."""
        self._shown_at.append(now)
        self._lookaheads.append(lookahead_ms)
        if latency_ms is not None:
            self._latencies.append(latency_ms)

    def shown_fps(self, now: float, window: float = 2.0) -> float:
        """New frames per second shown over the last `window` seconds."""
        recent = [moment for moment in self._shown_at if now - moment <= window]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 2 else 0.0

    def latency(self, last: int | None = None) -> dict[str, float] | None:
        """p50 and p95 in ms of the `last` samples (None: all); None if there are none."""
        values = list(self._latencies)[-last:] if last else list(self._latencies)
        return percentiles(values) if values else None

    def lookahead(self, last: int | None = None) -> dict[str, float]:
        """p50 and p95 in ms, as `latency`; zeros if there are none."""
        return percentiles(list(self._lookaheads)[-last:] if last else list(self._lookaheads))


@dataclass(frozen=True)
class PaceReport:
    """One moment's numbers for the HUD; times in ms.

    pace: share of the model's rate that the clock was asked to keep to; speed: the share it runs at now; possible: the
    share that this machine keeps up with, which the speed sinks to slowly. recent_ms:
    what the newest blocks took, oldest first, each against `deadline_ms` (at the speed of now: `deadline_ms / speed`).
    late_frames: not there, or not drawn, when they were due; of these undrawn_frames were there, and the window was
    late.
    """

    fps: float
    shown_fps: float
    speed: float
    block_ms: dict[str, float]
    deadline_ms: float
    spare_ms: float
    latency_ms: dict[str, float] | None
    lookahead_ms: dict[str, float]
    late_frames: int
    slow_words: str
    recent_ms: tuple[float, ...] = ()
    undrawn_frames: int = 0
    pace: float = 1.0
    possible: float = 1.0
