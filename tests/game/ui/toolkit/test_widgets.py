"""What widgets change when they are activated, adjusted, clicked and dragged."""

from __future__ import annotations

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from game.ui.toolkit.widgets import Button, Choice, Slider, Toggle

AREA = pygame.Rect(0, 0, 400, 30)


@pytest.fixture
def put() -> list:
    """What was put."""
    return []


def test_a_toggle_turns_and_left_and_right_set_it(put):
    toggle = Toggle("t", value=False, put=put.append)
    toggle.activate()
    assert toggle.adjust(1) and toggle.adjust(-1)
    assert put == [True, True]


def test_a_choice_goes_round_both_ways_and_from_a_value_of_ones_own(put):
    options = [("a", "A"), ("b", "B"), ("c", "C")]
    Choice("c", value="a", options=options, put=put.append).adjust(-1)
    Choice("c", value="c", options=options, put=put.append).activate()
    Choice("c", value=None, options=options, put=put.append).adjust(1)
    Choice("c", value=None, options=options, put=put.append).adjust(-1)
    Choice("c", value="a", options=options, put=put.append).click(AREA, 12, 390)
    Choice("c", value="a", options=options, put=put.append).click(AREA, 12, 200)
    assert put == ["c", "a", "a", "c", "b", "c"]


def test_a_slider_stays_within_its_bounds_and_follows_the_mouse(put):
    def slider(value: float, **kwargs) -> Slider:
        return Slider("s", value=value, low=0.0, high=0.9, put=put.append, **kwargs)

    slider(0.9).adjust(1)
    slider(0.0).adjust(-1)
    slider(0.45).adjust(1)
    rail = slider(0.0).rail(AREA, 12)
    slider(0.2).drag(AREA, 12, rail.centerx)
    slider(0.2).drag(AREA, 12, -500)
    slider(0.2).click(AREA, 12, 5000)
    assert put == pytest.approx([0.9, 0.0, 0.495, 0.45, 0.0, 0.9])


def test_an_uneven_slider_makes_equal_factors_of_equal_ways(put):
    made = Slider("s", value=1.0, low=0.1, high=10.0, even=False, put=put.append)
    made.adjust(1)
    made.adjust(-1)
    assert put[0] * put[1] == pytest.approx(1.0, rel=0.01) and put[0] > 1.2


def test_a_button_that_is_not_enabled_does_nothing(put):
    Button("b", act=lambda: put.append(1), enabled=False).activate()
    Button("b", act=lambda: put.append(2)).activate()
    assert put == [2]
