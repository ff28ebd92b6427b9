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


@pytest.fixture
def pictures():
    """Thumbnails, with a window."""
    pygame.display.init()
    pygame.display.set_mode((64, 64))
    background = Background()
    made = Thumbnails(background)
    made.wait = lambda: background.begin(lambda: None).result(10)
    yield made
    background.stop()
    pygame.quit()


def test_a_picture_is_made_once_in_another_thread_and_given_in_any_size(pictures):
    made = []

    def load():
        made.append(threading.current_thread().name)
        return np.full((900, 500, 3), (10, 200, 30), np.uint8)

    image, problem = pictures.ask("a", load)
    assert image((64, 36)) is None and not problem
    pictures.wait()
    assert pictures.tick() and not pictures.tick()
    image, problem = pictures.ask("a", load)
    for size in ((64, 36), (WIDE, HIGH), (64, 36)):
        assert image(size).get_size() == size and image(size).get_at((5, 5))[:3] == pytest.approx((10, 200, 30), abs=3)
    assert len(made) == 1 and made[0] != threading.current_thread().name
    assert image((64, 36)) is image((64, 36))


def test_a_picture_that_cannot_be_read_or_is_not_there_says_so(pictures):
    def fail():
        raise PictureError("no picture at all")

    pictures.ask("broken", fail)
    pictures.ask("none", lambda: None)
    pictures.wait()
    pictures.tick()
    assert "no picture at all" in pictures.ask("broken", fail)[1]
    assert pictures.ask("none", lambda: None)[1] == "no picture"


def test_only_so_many_are_kept(pictures):
    for number in range(400):
        pictures.ask(number, lambda: np.zeros((9, 16, 3), np.uint8))
    assert len(pictures._known) <= 160
