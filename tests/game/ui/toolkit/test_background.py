"""Work beside the window is asked for, never waited for, and its failures are words."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from game.ui.toolkit.background import Background, Later

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def background():
    """One piece after the other, however long they take."""
    made = Background(patience=1000.0)
    yield made
    made.stop()


def test_a_result_comes_once_and_is_made_in_another_thread(background):
    gate = threading.Event()
    later = Later(background.begin(lambda: gate.wait(30) and threading.current_thread().name))
    assert not later.look() and later.waiting
    gate.set()
    background.begin(lambda: None).result(30)
    assert later.look() and not later.waiting and later.value.startswith("background")
    assert not later.look()


def test_a_failure_is_one_line_of_words(background):
    def fail():
        raise ValueError("two\nlines")

    later = Later(background.begin(fail))
    background.begin(lambda: None).result(30)
    assert later.look() and later.problem == "two lines" and later.value is None


def test_what_nobody_wants_any_more_is_not_begun(background):
    gate, begun = threading.Event(), []
    background.begin(gate.wait, 30)
    later = Later(background.begin(begun.append, 1))
    later.drop()
    gate.set()
    background.begin(lambda: None).result(30)
    assert not begun and not later.look()


def test_pieces_are_worked_through_in_their_order(background):
    done: list[int] = []
    for number in range(50):
        background.begin(done.append, number)
    background.begin(lambda: None).result(30)
    assert done == list(range(50))


def test_what_never_answers_holds_nothing_else_up():
    now, gate = [0.0], threading.Event()
    background = Background(patience=5.0, clock=lambda: now[0])
    try:
        begun = threading.Event()
        background.begin(lambda: (begun.set(), gate.wait(60)))
        assert begun.wait(30)
        now[0] = 6.0
        assert [background.begin(lambda i=i: i).result(30) for i in range(3)] == [0, 1, 2]
    finally:
        gate.set()
        background.stop()


def test_what_never_answers_does_not_keep_the_program_from_ending(tmp_path):
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(tmp_path / "a.png")
    code = f"""
from game.ui.toolkit.background import Background
background = Background()
background.begin(open, {str(tmp_path / "a.png")!r})
background.stop()
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
