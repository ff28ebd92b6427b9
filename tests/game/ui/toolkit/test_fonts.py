"""Names in any script are shown in fonts of the system where the program's own has no letters for them."""

from __future__ import annotations

import os
import shutil

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from game.config.paths import ASSETS
from game.ui.toolkit.fonts import Fallbacks, find_font, runs
from game.ui.toolkit.paint import Painter

OWN = (str(ASSETS / "font" / "Inter-Regular.otf"), 0)  # stands for one of the system's: it is there everywhere


@pytest.fixture(autouse=True)
def display():
    pygame.display.init()
    pygame.display.set_mode((64, 64))
    yield
    pygame.display.quit()


def has_ascii(letter: str) -> bool:
    return letter.isascii()


def test_words_are_split_by_font_and_spaces_go_with_what_they_stand_between():
    fallbacks = Fallbacks(find=lambda letter: ("one", 0), begin=lambda work: work())
    runs("אב", has_ascii, fallbacks)
    assert runs("אב אב (2).png", has_ascii, fallbacks) == [("אב אב", ("one", 0)), (" (2).png", None)]


def test_a_letter_is_looked_for_once_and_beside_the_window():
    asked, waiting = [], []
    fallbacks = Fallbacks(find=lambda letter: asked.append(letter) or OWN, begin=waiting.append)
    for _ in range(3):
        assert fallbacks.of("あ") is None and fallbacks.of("い") is None
    assert len(waiting) == 1 and not asked and not fallbacks.fresh()
    waiting[0]()
    assert asked == ["あ", "い"] and fallbacks.of("あ") == OWN and fallbacks.fresh() and not fallbacks.fresh()


def test_text_changes_when_a_font_comes_and_where_none_comes_nothing_fails():
    waiting: list = []
    paint = Painter(Fallbacks(find=lambda letter: OWN, begin=waiting.append))
    before = paint.text("あ", 20)
    assert paint.wide("あ", 20) == before.get_width()
    waiting[0]()
    assert paint.fresh()
    after = paint.text("あ", 20)
    assert paint.wide("あ", 20) == after.get_width() and after.get_height() == before.get_height()
    alone = Painter(Fallbacks(find=lambda letter: None, begin=lambda work: work()))
    assert alone.text("あ", 20).get_width() == alone.wide("あ", 20)


@pytest.mark.skipif(shutil.which("fc-match") is None, reason="no fontconfig here")
def test_what_the_system_finds_has_the_letter_and_what_it_does_not_have_is_not_found():
    found = find_font("a")
    assert found is not None and os.path.isfile(found[0])
    assert find_font("\U0010fffe") is None
