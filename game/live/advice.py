"""What to say, and what to do, when a machine cannot keep up with a model. Pure."""

from __future__ import annotations

import math

from game.live.playstats import PaceReport
from game.live.status import Advice, Suggestion

_STEP = 0.05  # shares of the rate worth choosing between
_LITTLE = 0.12  # of the rate: a shortfall that is hardly seen, and not worth a rougher picture


def advise(report: PaceReport, *, steps: int, fast_steps: int | None) -> Advice | None:
    """None while the machine keeps up with the pace it was asked for.

    steps: denoising steps of a block as it is made now. fast_steps: as quality=fast would make it, None if that quality
    cannot be had here.
    """
    if not report.slow_words:
        return None
    little = report.possible >= (1.0 - _LITTLE) * report.pace
    if not little and fast_steps is not None and fast_steps < steps:
        remedy = f"quality=fast makes it in {fast_steps} of the {steps} steps, a little rougher"
        return Advice(report.slow_words, remedy, Suggestion("quality", name="fast"))
    words = f"A little slow: {report.speed:.0%} of full speed" if little else report.slow_words
    share = max(_STEP, math.floor(report.speed / _STEP + 1e-6) * _STEP)
    if share >= report.pace:
        return Advice(words, "close other programs", mild=little)
    remedy = f"a play clock at {share:.0%} runs evenly here"
    return Advice(words, remedy, Suggestion("clock", share=round(share, 2)), mild=little)
