"""Work beside the window is asked for, never waited for, and its failures are words."""

from __future__ import annotations

import threading

import pytest

from game.ui.toolkit.background import Background, Later


@pytest.fixture
def background():
    """A thread for the work."""
    made = Background()
    yield made
    made.stop()


def test_a_result_comes_once_and_is_made_in_another_thread(background):
    gate = threading.Event()
    later = Later(background.begin(lambda: gate.wait(10) and threading.current_thread().name))
    assert not later.look() and later.waiting
    gate.set()
    background.begin(lambda: None).result(10)
    assert later.look() and not later.waiting and later.value.startswith("background")
    assert not later.look()


def test_a_failure_is_one_line_of_words(background):
    def fail():
        raise ValueError("two\nlines")

    later = Later(background.begin(fail))
    background.begin(lambda: None).result(10)
    assert later.look() and later.problem == "two lines" and later.value is None


def test_what_nobody_wants_any_more_is_not_begun(background):
    gate, begun = threading.Event(), []
    background.begin(gate.wait, 10)
    later = Later(background.begin(begun.append, 1))
    later.drop()
    gate.set()
    background.begin(lambda: None).result(10)
    assert not begun and not later.look()
