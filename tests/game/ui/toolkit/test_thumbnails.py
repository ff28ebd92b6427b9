"""Thumbnails are made beside the window, once, and a broken picture costs nothing but itself."""

from __future__ import annotations

import os
import threading

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import numpy as np
import pygame
import pytest

from engine.errors import PictureError
from game.ui.toolkit.background import HIGH, WIDE, Background, Thumbnails

SIZE = (64, 36)


class Made:
    """Thumbnails with a window, whose background is waited for."""

    def __init__(self) -> None:
        self.background = Background(patience=1000.0)
        self.pictures = Thumbnails(self.background)

    def turn(self) -> bool:
        """Has one picture made."""
        self.pictures.tick()
        self.background.begin(lambda: None).result(30)
        return self.pictures.tick()


@pytest.fixture
def made():
    """Thumbnails."""
    pygame.display.init()
    pygame.display.set_mode(SIZE)
    there = Made()
    yield there
    there.background.stop()
    pygame.quit()


def grey(*_) -> np.ndarray:
    return np.full((9, 16, 3), 90, np.uint8)


def test_a_picture_is_made_once_in_another_thread_and_given_in_any_size(made):
    threads = []

    def load():
        threads.append(threading.current_thread().name)
        return np.full((900, 500, 3), (10, 200, 30), np.uint8)

    assert made.pictures.ask("a", load, SIZE) == (None, "")
    assert made.turn() and not made.turn()
    for size in (SIZE, (WIDE, HIGH), SIZE):
        image, problem = made.pictures.ask("a", load, size)
        assert image.get_size() == size and image.get_at((5, 5))[:3] == pytest.approx((10, 200, 30), abs=3)
        assert not problem
    assert len(threads) == 1 and threads[0] != threading.current_thread().name
    assert made.pictures.ask("a", load, SIZE)[0] is made.pictures.ask("a", load, SIZE)[0]


@pytest.mark.parametrize("error", [PictureError("no picture at all"), ZeroDivisionError("no picture at all")])
def test_a_picture_that_cannot_be_read_or_is_not_there_says_so(made, error):
    def fail():
        raise error

    for name, load in (("broken", fail), ("none", lambda: None)):
        made.pictures.ask(name, load, SIZE)
        made.turn()
    assert "no picture at all" in made.pictures.ask("broken", fail, SIZE)[1]
    assert made.pictures.ask("none", lambda: None, SIZE)[1] == "no picture"


def test_what_was_drawn_last_is_made_first_from_the_top_down(made):
    order = []

    def load(key):
        order.append(key)
        return grey()

    for page in (range(300), range(1000, 1005)):
        for key in page:
            made.pictures.ask(key, lambda key=key: load(key), SIZE)
        made.turn()
    for _ in range(5):
        made.turn()
    assert [key for key in order if key >= 1000] == [1000, 1001, 1002, 1003, 1004]
    assert len(order) <= 8


def test_a_page_of_a_thousand_pictures_shows_those_in_view_and_makes_no_other(made):
    for first in (0, 400, 990):
        view = range(first, first + 10)
        for _ in range(12):
            for key in view:
                made.pictures.ask(key, grey, SIZE)
            made.turn()
        assert all(made.pictures.ask(key, grey, SIZE)[0] is not None for key in view)
    before = made.pictures.made
    made.turn()
    assert made.pictures.made == before == 30
