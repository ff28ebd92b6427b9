"""Widgets lie under and beside each other without overlap, and the focus reaches every one of them."""

from __future__ import annotations

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from game.ui.toolkit.menu import arrange, focusable, neighbour, page_height
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.widgets import Button, Heading, Note, Slider, Tile, Toggle


@pytest.fixture(scope="module")
def paint():
    """A painter."""
    pygame.display.init()
    pygame.display.set_mode((640, 400))
    yield Painter()
    pygame.quit()


def page():
    return [
        Note("words " * 30),
        Button("one"),
        *[Tile(f"tile {i}", note="note" if i % 2 else "") for i in range(7)],
        Heading("more"),
        Toggle("two"),
        *[Tile(f"other {i}") for i in range(2)],
        Slider("three"),
    ]


@pytest.mark.parametrize("unit", [9, 12, 20, 40])
@pytest.mark.parametrize("width", [120, 380, 900])
def test_nothing_overlaps_and_nothing_is_wider_than_the_page(paint, unit, width):
    placed = arrange(page(), paint, unit, width)
    assert len(placed) == len(page())
    for number, one in enumerate(placed):
        assert one.area.left >= 0 and one.area.right <= width and one.area.height > 0
        assert one.area.collidelist([other.area for other in placed[number + 1 :]]) == -1
    assert page_height(placed) == max(one.area.bottom for one in placed)


@pytest.mark.parametrize("width", [120, 380, 900])
def test_the_focus_can_go_everywhere_by_the_arrow_keys(paint, width):
    placed = arrange(page(), paint, 12, width)
    known = focusable(placed)
    reached, edge = {id(known[0])}, [known[0]]
    while edge:
        at = edge.pop()
        for dx, dy in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            other = neighbour(placed, at, dx, dy)
            if other is not None and id(other) not in reached:
                reached.add(id(other))
                edge.append(other)
    assert len(reached) == len(known)


def test_down_from_a_tile_goes_to_the_one_below(paint):
    placed = arrange([Tile(str(i)) for i in range(6)], paint, 12, 3 * 140)
    assert [one.widget.label for one in placed if one.area.top == 0] == ["0", "1", "2"]
    assert neighbour(placed, placed[1], 0, 1).widget.label == "4"
    assert neighbour(placed, placed[4], 0, -1).widget.label == "1"
    assert neighbour(placed, placed[1], 1, 0).widget.label == "2"
    assert neighbour(placed, placed[2], 1, 0) is None
