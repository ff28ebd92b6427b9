"""Events reach what they are meant for: here, those that take the controls of a replay over."""

from __future__ import annotations

import os
from dataclasses import replace

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from game.live.status import ReplayFigures
from game.ui.events import Router
from tests.game.screens import PLAYING, set_stage


@pytest.fixture
def desk(tmp_path):
    """A window in which a recording is replayed; what the worker is asked for is noted."""
    made = set_stage((640, 400), tmp_path)
    made.commands.player.status = replace(PLAYING, replay=ReplayFigures("x", 1.0, 9.0))
    made.router = Router(made.commands, made.pads, made.menu, lambda: None, lambda: None, lambda: None)
    made.commands.use_menu(made.router.open_menu, made.menu.close, made.menu.pop)
    yield made
    made.commands.background.stop()
    pygame.display.quit()


def happens(desk, kind: int, **values) -> bool:
    """Whether an event takes the controls over."""
    before = taken(desk)
    desk.router.handle(pygame.event.Event(kind, **values), 1.0)
    return taken(desk) > before


def taken(desk) -> int:
    return sum(name == "take_over" for name, *_ in desk.commands.player.asked)


def stick(desk, axis: int, value: float) -> bool:
    return happens(desk, pygame.CONTROLLERAXISMOTION, axis=axis, value=round(32767 * value), instance_id=0)


def test_a_key_that_steers_takes_a_replay_over_and_no_other_does(desk):
    assert happens(desk, pygame.KEYDOWN, key=pygame.K_w)
    assert not happens(desk, pygame.KEYUP, key=pygame.K_w)
    assert not happens(desk, pygame.KEYDOWN, key=pygame.K_F3)
    assert not happens(desk, pygame.KEYDOWN, key=pygame.K_j)


@pytest.mark.parametrize("button", [1, 3])
def test_a_mouse_button_takes_a_replay_over(desk, button):
    assert happens(desk, pygame.MOUSEBUTTONDOWN, button=button, pos=(100, 100))
    assert desk.window.captured == (button == 1)
    assert not happens(desk, pygame.MOUSEBUTTONUP, button=button, pos=(100, 100))


def test_a_mouse_button_that_gives_a_command_takes_nothing_over(desk):
    desk.commands.change(commands=desk.commands.preferences.commands | {"numbers": ("mouse right",)})
    assert not happens(desk, pygame.MOUSEBUTTONDOWN, button=3, pos=(100, 100))


def test_the_mouse_takes_a_replay_over_by_motion_only_where_it_is_the_windows(desk):
    assert not happens(desk, pygame.MOUSEMOTION, pos=(100, 100), rel=(50, 0), buttons=(0, 0, 0))
    desk.window.capture()
    assert happens(desk, pygame.MOUSEMOTION, pos=(100, 100), rel=(1, 0), buttons=(0, 0, 0))
    desk.window.give_back()


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_a_stick_takes_a_replay_over_beyond_its_dead_zone(desk, axis):
    dead = desk.commands.preferences.dead_zone
    assert not stick(desk, axis, 0.8 * dead)
    assert stick(desk, axis, 1.2 * dead)
    assert not stick(desk, axis, 0.0)


def test_a_stick_that_chose_the_replay_in_the_menu_may_be_let_go_of(desk):
    desk.router.open_menu("Recordings")
    assert not stick(desk, 1, 1.0)
    desk.menu.close()
    assert not stick(desk, 1, 0.6) and not stick(desk, 1, 0.3) and not stick(desk, 1, 0.0)
    assert stick(desk, 1, 0.3)


def test_a_replay_leaves_the_mouse_to_the_person_until_they_click(desk):
    desk.window.capture()
    desk.router.open_menu("Recordings")
    desk.commands.replay(desk.commands.library.kept[0].folder, 0)
    assert not desk.menu.is_open and not desk.window.captured


def test_nothing_is_taken_over_where_a_person_steers_already(desk):
    desk.commands.player.status = PLAYING
    assert not happens(desk, pygame.KEYDOWN, key=pygame.K_w)
    assert not happens(desk, pygame.MOUSEBUTTONDOWN, button=1, pos=(100, 100))
