"""The menu does the same things by mouse, keyboard and gamepad, and a person always finds the way out."""

from __future__ import annotations

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from game.ui.toolkit.menu import Menu, Page, Section
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.widgets import Button, Canvas, Slider, Tile, Toggle

BIG, SMALL = (1280, 720), (240, 180)


class Plain(Page):
    """A page whose doings are noted."""

    title = "Plain"

    def __init__(self, done: list) -> None:
        super().__init__()
        self.done, self.value, self.on = done, 0.5, False

    def widgets(self):
        return [
            Button("first", act=lambda: self.done.append("first")),
            Toggle("toggle", value=self.on, put=lambda on: setattr(self, "on", on)),
            Slider("slider", value=self.value, put=lambda value: setattr(self, "value", value)),
            *[Button(f"button {i}", act=lambda i=i: self.done.append(i)) for i in range(30)],
        ]

    def opened(self):
        self.done.append("opened")

    def closed(self):
        self.done.append("closed")


@pytest.fixture
def done() -> list:
    """What happened."""
    return []


@pytest.fixture
def menu(done):
    """A menu, drawn once."""
    pygame.display.init()
    made = Menu("Menu", [], Painter(), lambda: done.append("gone"))
    made.sections = [
        Section("Resume", act=made.close),
        Section("Plain", Plain(done)),
        Section("Leave", act=lambda: done.append("leave")),
    ]
    made.draw(pygame.display.set_mode(BIG))
    yield made
    pygame.quit()


def tap(menu: Menu, *names: str) -> None:
    for name in names:
        menu.input(name, True, 0.0)
        menu.input(name, False, 0.0)


@pytest.mark.parametrize("keys", [("down", "return"), ("pad dpad down", "pad a"), ("pad left stick down", "pad a")])
def test_keyboard_and_gamepad_open_a_page_and_do_what_stands_first(menu, done, keys):
    menu.open()
    tap(menu, *keys, keys[-1])
    assert done == ["opened", "first"]


@pytest.mark.parametrize("size", [BIG, SMALL])
def test_the_mouse_opens_a_page_and_presses_what_it_points_at(menu, done, size):
    menu.draw(pygame.display.set_mode(size))
    menu.open()
    menu.press(menu.section_rows(menu.plan())[1].center)
    assert done == ["opened"]
    plan = menu.plan()
    areas = {one.widget.label: menu.on_window(one.area, plan) for one in menu.placed()}
    menu.move(areas["toggle"].center, (1, 1), 0.0)
    assert menu.page.focus == "Toggle:toggle"
    menu.press(areas["toggle"].center)
    menu.release()
    assert menu.page.on
    rail = areas["slider"]
    menu.press((rail.left + rail.width * 3 // 4, rail.centery))
    before = menu.page.value
    menu.move((rail.left, rail.top - 50), (0, 0), 0.0)
    assert menu.page.value == 0.0 != before, "it is dragged wherever the mouse goes"
    menu.release()


def test_escape_closes_from_anywhere_and_says_so_once(menu, done):
    for steps in ((), ("down",), ("down", "right"), ("down", "right", "down")):
        menu.open()
        tap(menu, *steps, "escape")
        assert not menu.is_open
    assert done.count("gone") == 4 and done.count("opened") == done.count("closed")


def test_escape_leaves_a_page_over_a_page_first(menu, done):
    menu.open("Plain")
    menu.push(Plain(done))
    tap(menu, "escape")
    assert menu.is_open
    tap(menu, "escape")
    assert not menu.is_open


def test_back_goes_step_by_step(menu, done):
    menu.open("Plain", Plain(done))
    for _ in range(2):
        tap(menu, "pad b")
        assert menu.is_open
    tap(menu, "backspace")
    assert not menu.is_open
    assert done.count("opened") == done.count("closed") == 2


def test_what_is_at_once_is_done_at_once(menu, done):
    menu.open()
    tap(menu, "up", "return")
    assert done == ["leave"]
    tap(menu, "down", "return")
    assert not menu.is_open and done == ["leave", "gone"]


def test_left_and_right_change_a_slider_and_a_held_key_repeats(menu):
    menu.open("Plain")
    tap(menu, "down", "down")
    menu.input("right", True, 10.0)
    once = menu.page.value
    assert once > 0.5
    menu.tick(10.2)
    assert menu.page.value == once
    for moment in (10.4, 10.5, 10.6):
        menu.tick(moment)
    assert menu.page.value > once + 0.1
    held = menu.page.value
    menu.input("right", False, 10.7)
    menu.tick(11.7)
    assert menu.page.value == held


@pytest.mark.parametrize("size", [BIG, SMALL, (640, 400)])
def test_what_has_the_focus_is_always_in_view(menu, size):
    menu.draw(pygame.display.set_mode(size))
    menu.open("Plain")
    for name in (*["down"] * 32, "up", "home", "end", "page up", "page up", "page down"):
        tap(menu, name)
        plan = menu.plan()
        assert plan.view.contains(menu.on_window(menu.focused(menu.placed()).area, plan))
    menu.wheel(-1000)
    assert menu.on_window(menu.placed()[-1].area, plan).bottom <= plan.view.bottom
    menu.wheel(1000)
    assert menu.page.scroll == 0


def test_it_is_drawn_anew_only_when_something_changed(menu):
    menu.open("Plain")
    stamp = menu.stamp
    menu.tick(1.0)
    menu.input("f9", True, 1.0)
    assert menu.stamp == stamp
    tap(menu, "down")
    assert menu.stamp > stamp


@pytest.mark.parametrize("size", [BIG, SMALL])
def test_a_click_on_the_title_goes_back_from_a_page_over_a_page(menu, done, size):
    menu.draw(pygame.display.set_mode(size))
    menu.open("Plain", Plain(done))
    menu.press(menu.plan().head.center)
    assert menu.is_open and menu.inside and done == ["opened", "opened", "closed"]
    menu.press(menu.plan().head.center)
    assert menu.is_open and menu.inside == (size == BIG), "where both columns are seen there is nowhere to go back to"


def test_warming_it_up_changes_nothing_a_person_would_see(menu, done):
    stamp, section, focus = menu.stamp, menu.section, menu.sections[1].page.focus
    menu.warm((640, 400), "Plain")
    assert (menu.stamp, menu.section, menu.sections[1].page.focus, menu.inside) == (stamp, section, focus, False)
    assert not done and not menu.is_open


class Failing(Page):
    """A page that fails where it is told to."""

    title = "Failing"

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def _do(self, what: str):
        if what == self.where:
            raise ZeroDivisionError(f"{what} failed")

    def widgets(self):
        self._do("widgets")
        return [Button("press", act=lambda: self._do("act")), Canvas("own", paint_it=lambda *_: self._do("paint"))]

    def opened(self):
        self._do("opened")

    def closed(self):
        self._do("closed")

    def tick(self, now):
        self._do("tick")
        return False

    def takes_input(self, name, down, now):
        self._do("takes_input")
        return False

    def takes_motion(self, dx, dy, now):
        self._do("takes_motion")


@pytest.mark.parametrize(
    "where", ["widgets", "opened", "closed", "tick", "takes_input", "takes_motion", "act", "paint"]
)
def test_a_page_that_fails_says_so_and_costs_nothing_else(menu, done, where):
    surface = pygame.display.get_surface()
    menu.sections.insert(1, Section("Failing", Failing(where)))
    menu.open("Failing")
    menu.draw(surface)
    menu.tick(1.0)
    menu.move((900, 300), (1, 1), 1.0)
    tap(menu, "down", "up")
    said = [widget.label for widget in menu.page_widgets()]
    tap(menu, "return")
    menu.draw(surface)
    said += [*(widget.label for widget in menu.page_widgets()), menu.remark]
    assert where in ("closed", "paint") or any(f"{where} failed" in words for words in said)
    tap(menu, "escape")
    assert not menu.is_open
    menu.open("Plain")
    tap(menu, "return")
    assert done[-2:] == ["opened", "first"]


def test_a_page_that_failed_may_be_tried_again(menu):
    page = Failing("widgets")
    menu.sections.insert(1, Section("Failing", page))
    menu.open("Failing")
    menu.draw(pygame.display.get_surface())
    assert "Try again" in [widget.label for widget in menu.page_widgets()]
    page.where = ""
    tap(menu, "return")
    assert [widget.label for widget in menu.page_widgets()] == ["press", "own"]


def test_a_page_of_thousands_of_tiles_is_laid_out_once(menu):
    counted = []

    class Counted(Tile):
        def height(self, paint, unit, width):
            counted.append(1)
            return super().height(paint, unit, width)

    class Many(Page):
        title = "Many"
        tiles = [Counted(str(number)) for number in range(3000)]  # noqa: RUF012

        def widgets(self):
            return self.tiles

    menu.sections.insert(1, Section("Many", Many()))
    menu.open("Many")
    menu.draw(pygame.display.get_surface())
    laid_out = len(counted)
    tap(menu, "down", "right", "end", "page up", "home")
    menu.draw(pygame.display.get_surface())
    menu.move((700, 300), (1, 1), 1.0)
    assert laid_out == 3000 and len(counted) == laid_out
