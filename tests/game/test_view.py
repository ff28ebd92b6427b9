"""The window's words at sizes people choose: readable, whole, and never one over the other."""

from __future__ import annotations

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # before pygame: these tests want no window on anybody's screen

import numpy as np
import pygame
import pytest

from engine.actions import action_space
from game.controls import FrameControl
from game.hud import Hud, key_help, number_rows, text_unit
from game.pacing import Pacer
from game.view import Scenery, View
from game.worker import Picture, State, Status

SIZES = [(200, 150), (320, 240), (300, 900), (640, 400), (900, 300), (1280, 720)]
SPACE = action_space("universal")
PLAYING = Status(state=State.PLAYING, space=SPACE, model="tiny", device="cpu", recording=True)
BLACK = Picture(np.zeros((80, 144, 3), np.uint8), 0, FrameControl((), (0.0, 0.0)))
WORDS = "Playing at 15% speed: a frame takes 310 ms here, 50 ms would be in time"


@pytest.fixture(autouse=True)
def display():
    pygame.display.init()
    yield
    pygame.display.quit()


class Marked(Hud):
    """Notes where each patch and panel was laid."""

    def __init__(self) -> None:
        super().__init__()
        self.laid: list[pygame.Rect] = []

    def patch(self, surface, rgba, x, y):
        super().patch(surface, rgba, x, y)
        left, top = surface.get_abs_offset()
        if surface.get_abs_parent() is pygame.display.get_surface():
            self.laid.append(pygame.Rect(left + x, top + y, rgba.shape[1], rgba.shape[0]))


def laid(size, **changes) -> list[pygame.Rect]:
    """Where the parts of a scenery lie."""
    surface, hud = pygame.display.set_mode(size), Marked()
    scenery = {"picture": BLACK, "status": PLAYING, "paused": False, "size": size, "slow_words": WORDS}
    View(hud).draw(surface, Scenery(**(scenery | changes)))
    return hud.laid


def rows() -> tuple:
    return tuple(number_rows(Pacer(20.0).report(0.0), PLAYING))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("remark", ["", "Scene: garden"])
def test_panels_icons_and_dot_stay_inside_and_apart(size, remark):
    parts = laid(size, remark=remark, numbers=rows())
    assert len(parts) >= 8, "six icons, the warning and the recording's dot at least"
    assert parts[4].contains(parts.pop(5)), "the look's dot lies on its disc"
    inside = pygame.Rect((0, 0), size)
    for i, part in enumerate(parts):
        assert inside.contains(part)
        assert part.collidelist(parts[i + 1 :]) == -1, f"{part} of {parts}"


@pytest.mark.parametrize("size", SIZES)
def test_the_numbers_keep_out_of_the_pauses_card(size):
    *others, card = laid(size, paused=True, numbers=rows(), slow_words="", icons=False)
    assert card.center == pytest.approx((size[0] / 2, size[1] / 2), abs=1)
    assert card.collidelist(others) == -1


@pytest.mark.parametrize("size", SIZES)
def test_cards_are_no_wider_than_the_window(size):
    failed = Status(state=State.FAILED, words="no memory left " * 30, space=SPACE)
    assert pygame.Rect((0, 0), size).contains(laid(size, status=failed)[-1])


@pytest.mark.parametrize("size", SIZES)
def test_the_recordings_dot_stays_where_it_is_when_the_help_goes(size):
    with_help = laid(size, help=tuple(key_help("universal")), help_strength=1.0)[-1]
    assert with_help == laid(size)[-1]
    unit = text_unit(pygame.display.get_surface())
    assert with_help.size == (unit, unit)


def test_a_new_picture_under_the_same_words_renders_and_measures_no_text():
    class Counting(Hud):
        asked = 0

        def _render(self, *arguments):
            Counting.asked += 1
            return super()._render(*arguments)

        def _measure(self, *arguments):
            Counting.asked += 1
            return super()._measure(*arguments)

    surface, view = pygame.display.set_mode((640, 400)), View(Counting())
    same = {"status": PLAYING, "paused": False, "size": (640, 400), "remark": "Scene: hall", "slow_words": WORDS}
    same |= {"numbers": rows(), "help": tuple(key_help("universal")), "help_strength": 0.5}
    view.draw(surface, Scenery(picture=BLACK, **same))
    asked = Counting.asked
    assert asked > 10
    view.draw(surface, Scenery(picture=Picture(BLACK.pixels, 1, BLACK.control), **same))
    assert Counting.asked == asked


def test_words_of_a_failure_may_hold_anything():
    failed = Status(state=State.FAILED, words="bad \0 byte \ud800 and \U0001f600 " + "x" * 500, space=SPACE)
    assert laid((640, 400), status=failed)


def test_the_deadline_of_the_numbers_is_the_slowed_clocks():
    pacer = Pacer(20.0)
    pacer.deliver(1, 0.0, 0.2)
    values = {name: value for name, value, _ in number_rows(pacer.report(0.0), PLAYING)}
    assert values["deadline"].startswith("50 ms")
    pacer._clock.set_speed(0.25, 0.0)
    values = {name: value for name, value, _ in number_rows(pacer.report(0.0), PLAYING)}
    assert values["deadline"].startswith("200 ms")
