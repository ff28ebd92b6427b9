"""What to say, and what to do, when a machine cannot keep up with a model. Pure."""

from __future__ import annotations

import math

from game.playstats import PaceReport
from game.status import Advice, Suggestion

_STEP = 0.05  # shares of the rate worth choosing between


def advise(report: PaceReport, *, steps: int, fast_steps: int | None) -> Advice | None:
    """None while the machine keeps up with the pace it was asked for.

    steps: denoising steps of a block as it is made now. fast_steps: as quality=fast would make it, None if that quality
    cannot be had here.
    """
    if not report.slow_words:
        return None
    if fast_steps is not None and fast_steps < steps:
        remedy = f"quality=fast makes it in {fast_steps} of the {steps} steps, a little rougher"
        return Advice(report.slow_words, remedy, Suggestion("quality", name="fast"))
    share = max(_STEP, math.floor(report.speed / _STEP + 1e-6) * _STEP)
    if share >= report.pace:
        return Advice(report.slow_words, "close other programs")
    remedy = f"a play clock at {share:.0%} runs evenly here"
    return Advice(report.slow_words, remedy, Suggestion("clock", share=round(share, 2)))
