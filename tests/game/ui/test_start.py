"""The window is there before the program is, and answers meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # before pygame: these tests want no window on anybody's screen

import pygame
import pytest

from game.config.glance import window_wish
from game.config.preferences import FILE, Preferences, config_folder, to_text
from game.ui import start
from tests.game.display import ROOT

# The command as it is given, up to the first picture on the window.
_UP_TO_THE_WINDOW = """
import os, sys
import game.cli

def stop(frame, event, argument):
    if event == "return" and frame.f_code.co_name == "greet":
        print(*{name.partition(".")[0] for name in sys.modules}, *(n for n in sys.modules if n[:7] == "engine."))
        sys.stdout.flush()
        os._exit(0)

sys.setprofile(stop)
sys.exit(game.cli.main([]))
"""


def test_nothing_but_pygame_is_imported_before_the_window_is_up():
    done = subprocess.run([sys.executable, "-c", _UP_TO_THE_WINDOW], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert {"pygame", "game"} <= imported
    allowed = {"pygame", "game", "engine", "engine.errors", "platformdirs", *sys.stdlib_module_names}
    ours = {name for name in imported if not name.startswith(("__editable__", "_distutils", "__main__", "_virtualenv"))}
    assert not ours - allowed
    assert not {"dataclasses", "inspect", "tempfile", "json", "datetime"} & imported, "none of these is quick"


def test_numpy_is_there_once_the_window_is():
    code = "import game.ui.start, numpy, pygame.surfarray; pygame.surfarray.array3d(pygame.Surface((2, 2)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def window():
    with start.early_window() as opened:
        yield opened


def test_the_close_button_is_answered_while_everything_is_imported(window):
    begun, go_on = threading.Event(), threading.Event()

    def prepare() -> str:
        begun.set()
        assert go_on.wait(60)
        return "ready"

    def press() -> None:
        assert begun.wait(60)
        pygame.event.post(pygame.event.Event(pygame.QUIT))

    threading.Thread(target=press).start()
    gone: list[bool] = []

    def closed() -> None:
        gone.append(not go_on.is_set())
        go_on.set()

    window.close = closed
    assert start.meanwhile(window, prepare) is None
    assert gone[0], "the window goes before what was begun has ended"


def test_the_window_is_drawn_anew_and_keys_wait_while_everything_is_imported(window):
    greeted, go_on = [], threading.Event()
    window.greet = lambda words: (greeted.append(words), go_on.set())
    pygame.event.clear()
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_w))
    pygame.event.post(pygame.event.Event(pygame.WINDOWEXPOSED))
    assert start.meanwhile(window, lambda: go_on.wait(60) and "ready") == "ready"
    assert greeted
    assert [event.key for event in pygame.event.get(pygame.KEYDOWN)] == [pygame.K_w]


def test_what_fails_while_the_window_waits_is_raised_and_closes_it(window):
    def fails() -> None:
        raise ValueError("no such scene")

    with pytest.raises(ValueError, match="no such scene"):
        start.meanwhile(window, fails)


def test_without_a_display_what_is_prepared_is_prepared_all_the_same(monkeypatch):
    def no_window(*asked):
        raise pygame.error("no display")

    monkeypatch.setattr(start, "Window", no_window)
    with start.early_window() as none:
        assert none is None and start.meanwhile(none, lambda: 3) == 3


def _written(text: str | bytes) -> None:
    config_folder().mkdir(parents=True, exist_ok=True)
    (config_folder() / FILE).write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("window", ["auto", "1280x720", "3840x2160"])
@pytest.mark.parametrize("full_screen", [True, False])
def test_a_glance_sees_what_the_program_writes(window, full_screen):
    wanted = Preferences(window=window, full_screen=full_screen)
    _written(to_text(wanted))
    assert window_wish() == (wanted.window_size, full_screen)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "window: 12x9",
        "window: [1280x720]",
        "  window: 1280x720",
        "window 1280x720",
        "window: 1280x",
        b"\xff\xfe",
        "{",
    ],
)
def test_a_glance_at_anything_else_fits_the_screen(text):
    _written(text)
    assert window_wish() == (None, False)


def test_a_glance_without_a_file_or_a_home_fits_the_screen(monkeypatch):
    assert window_wish() == (None, False)
    monkeypatch.setenv("NEURAL_WORLD_CONFIG", "~nobody-of-that-name/x")
    assert window_wish() == (None, False)


def test_a_window_that_a_glance_got_wrong_becomes_what_the_file_says(window):
    from game.config.preferences import SettingsFile
    from game.ui.app import App, PlaySettings
    from tests.game.fakes import FakeWorld, players

    assert window.asked is None
    _written('"window": "800x600"\n')
    app = App(PlaySettings(settings_file=SettingsFile()), players(lambda progress: FakeWorld()), window)
    try:
        assert window.surface.get_size() == (800, 600)
    finally:
        app.player.shutdown()
