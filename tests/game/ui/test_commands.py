"""What a person asks for is done, and what cannot be done is said."""

from __future__ import annotations

import os
from dataclasses import replace

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from game.live.status import State
from tests.game.screens import ADVICE, PLAYING, set_stage


@pytest.fixture
def stage(tmp_path):
    """A window without a worker; what the worker is asked for is noted."""
    made = set_stage((640, 400), tmp_path)
    yield made
    made.commands.background.stop()
    pygame.display.quit()


def asked(stage) -> list[str]:
    return [name for name, *_ in stage.commands.player.asked]


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ("restart", "reset"),
        ("next_scene", "change_scene"),
        ("previous_world", "other_world"),
        ("rewind", "rewind"),
        ("save", "save"),
        ("load", "load"),
        ("anchor", "anchor"),
        ("record", "toggle_recording"),
        ("screenshot", "screenshot"),
        ("pause", "pause"),
    ],
)
def test_a_command_asks_the_worker(stage, command, call):
    stage.commands.do(command, 1.0)
    assert asked(stage)[-1] == call


def test_every_command_that_can_be_bound_can_be_done(stage):
    for command in stage.commands.preferences.commands:
        stage.commands.do(command, 1.0)


def test_a_rewind_ends_when_its_key_goes_up_and_nothing_else_does(stage):
    stage.commands.undo_hold("save", 1.0)
    stage.commands.undo_hold("rewind", 2.0)
    assert [call for call in stage.commands.player.asked if call[0] == "let_go"] == [("let_go", 2.0)]


def test_the_advice_is_followed_by_one_key_and_only_where_there_is_one(stage):
    stage.commands.do("ease", 1.0)
    assert "apply" not in asked(stage) and stage.remarks[-1] == "This machine keeps up"
    stage.commands.advice = ADVICE
    stage.commands.do("ease", 1.0)
    assert stage.commands.player.asked[-1] == ("apply", ADVICE.suggestion)


def test_a_failed_world_is_tried_again_by_the_same_key(stage):
    stage.commands.player.status = replace(PLAYING, state=State.FAILED)
    stage.commands.do("restart", 1.0)
    stage.commands.do("pause", 1.0)
    assert asked(stage)[-1] == "reset"


def test_what_a_person_prefers_reaches_worker_and_window(stage):
    stage.commands.change(anchor_every=30.0, idle_hold=5.0, window="800x600")
    assert ("set_anchor_every", 30.0) in stage.commands.player.asked
    assert ("set_idle_hold", 5.0) in stage.commands.player.asked
    assert stage.window.surface.get_size() == (800, 600)
