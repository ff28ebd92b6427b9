"""What a slow machine is told is true, and what is suggested helps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from game.live.clock import Pacer
from game.live.status import Suggestion, advise

KEEPS_UP = Pacer(20.0).report(0.0)
SLOW = replace(KEEPS_UP, speed=0.63, possible=0.63, slow_words="Playing at 63% speed")


def test_a_machine_that_keeps_up_is_told_nothing():
    assert advise(KEEPS_UP, steps=3, fast_steps=2) is None


def test_fewer_denoising_steps_are_suggested_first():
    advice = advise(SLOW, steps=3, fast_steps=2)
    assert advice.words == SLOW.slow_words and "quality=fast" in advice.remedy
    assert advice.suggestion == Suggestion("quality", name="fast")


@pytest.mark.parametrize("steps, fast", [(2, 2), (1, 2), (3, None)])
def test_a_clock_that_the_machine_can_keep_is_suggested_where_quality_cannot_help(steps, fast):
    advice = advise(SLOW, steps=steps, fast_steps=fast)
    assert advice.suggestion == Suggestion("clock", share=0.6) and "60%" in advice.remedy


def test_nothing_is_suggested_twice():
    advice = advise(replace(SLOW, pace=0.6, speed=0.6), steps=1, fast_steps=2)
    assert advice.suggestion is None and advice.remedy


@pytest.mark.parametrize("speed", [0.02, 0.3, 0.95])
def test_the_share_never_exceeds_what_is_possible_nor_vanishes(speed):
    share = advise(replace(SLOW, speed=speed), steps=1, fast_steps=None).suggestion.share
    assert 0.05 <= share <= max(0.05, speed)


@pytest.mark.parametrize("speed", [0.96, 0.9])
def test_a_small_shortfall_is_said_calmly_and_costs_no_quality(speed):
    advice = advise(replace(SLOW, speed=speed, possible=speed), steps=3, fast_steps=2)
    assert advice.mild and advice.words == f"A little slow: {speed:.0%} of full speed"
    assert advice.suggestion == Suggestion("clock", share={0.96: 0.95, 0.9: 0.9}[speed])


def test_a_large_shortfall_is_a_warning_with_its_figures():
    advice = advise(replace(SLOW, speed=0.97, possible=0.8), steps=1, fast_steps=None)
    assert not advice.mild and advice.words == SLOW.slow_words and advice.suggestion is not None


def test_a_shortfall_is_small_or_large_beside_the_pace_that_was_asked_for():
    assert advise(replace(SLOW, pace=0.6, speed=0.57, possible=0.57), steps=1, fast_steps=None).mild
    assert not advise(replace(SLOW, pace=0.6, speed=0.4, possible=0.4), steps=1, fast_steps=None).mild
