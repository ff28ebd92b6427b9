"""Somebody at the keys of a window that nobody sees: for tests of the window's loop."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Iterator

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # before pygame: these tests want no window on anybody's screen

import pygame

from game.config.preferences import SettingsFile
from game.live.player import State
from game.ui.app import App, PlaySettings, play
from tests.game.fakes import FakeWorld, players


def settings(size: tuple[int, int] = (640, 400), seconds: float = 60.0, **prefer) -> PlaySettings:
    prefer = {"window": f"{size[0]}x{size[1]}"} | prefer
    return PlaySettings(seconds=seconds, settings_file=SettingsFile(session=prefer))


class Player:
    """Somebody at the keys: does what a script says whenever the loop comes round, and leaves when it has ended.

    A script yields what it waits for; `closes` where the window must close by itself. One that still waits for
    anything else when the window closes has failed.
    """

    def __init__(self, script: Callable[[Player], object], world: FakeWorld | None = None, **kwargs) -> None:
        self.world = world or FakeWorld(fps=100.0)
        self.recorder = kwargs.pop("recorder", None)
        self.make_recorder = kwargs.pop("make_recorder", None)  # where real recordings are wanted
        self.open_world = kwargs.pop("open_world", lambda progress: self.world)
        self.fails = kwargs.pop("fails", False)  # whether something of the window's own is to fail
        self.app: App | None = None
        self.threads: set[str] = set()
        self.settings = settings(**kwargs)
        self._script = script
        self._steps: Iterator | None = None
        self._ready: Callable[[], bool] = lambda: True

    @staticmethod
    def closes() -> bool:
        """Waits for the window to close."""
        return False

    def press(self, key: int) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))

    def release(self, key: int) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key))

    def tap(self, key: int) -> None:
        self.press(key)
        self.release(key)

    def quit_by_menu(self) -> None:
        """The menu's last line."""
        for key in (pygame.K_ESCAPE, pygame.K_UP, pygame.K_RETURN):
            self.tap(key)

    @property
    def shown(self) -> int:
        """Number of the frame on the window, -1 before the first."""
        return self.app.shown

    @property
    def state(self) -> State:
        return self.app.player.status.state

    def watch(self, app: App) -> None:
        """After a turn of the loop: goes on with the script if what it waits for has come."""
        self.app = app
        self._steps = self._steps or iter(self._script(self))
        self.threads.add(threading.current_thread().name)
        if not self._ready():
            return
        try:
            self._ready = next(self._steps) or (lambda: True)
        except StopIteration:
            self._ready = self.closes
            app.quit()
        except KeyboardInterrupt:
            self._ready = self.closes
            raise

    def play(self) -> int:
        make_recorder = self.make_recorder if self.recorder is None else (lambda *args: self.recorder)
        shots = self.settings.settings_file.path.parent / "shots"
        code = play(self.settings, players(self.open_world, make_recorder, shots), self.watch)
        waits = "" if self._ready is self.closes else inspect.getsourcelines(self._ready)[1]
        assert self._ready is self.closes, f"the window closed, and line {waits} waits"
        assert self.fails == bool(self.app.failures), self.app.failures
        return code
