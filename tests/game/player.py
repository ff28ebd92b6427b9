"""Somebody at the keys of a window that nobody sees: for tests of the window's loop."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # before pygame: these tests want no window on anybody's screen

import pygame

from game.config.preferences import SettingsFile
from game.live.player import State
from game.ui.app import App, PlaySettings, play
from tests.game.fakes import FakeWorld, players


def settings(size: tuple[int, int] = (640, 400), seconds: float = 20.0, **prefer) -> PlaySettings:
    prefer = {"window": f"{size[0]}x{size[1]}"} | prefer
    return PlaySettings(seconds=seconds, settings_file=SettingsFile(session=prefer))


class Player:
    """Somebody at the keys: does what a script says whenever the loop comes round, and leaves when it has ended.

    A script yields what it waits for; `closes` where the window must close by itself. One that still waits for
    anything else when the window closes has failed.
    """

    def __init__(
        self, monkeypatch, script: Callable[[Player], object], world: FakeWorld | None = None, **kwargs
    ) -> None:
        self.world = world or FakeWorld(fps=100.0)
        self.recorder = kwargs.pop("recorder", None)
        self.open_world = kwargs.pop("open_world", lambda progress: self.world)
        self.app: App | None = None
        self.threads: set[str] = set()
        self._script, self._settings, self._monkeypatch = script, settings(**kwargs), monkeypatch

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
        picture = self.app._counted
        return -1 if picture is None else picture.number

    @property
    def state(self) -> State:
        return self.app._worker.status.state

    def play(self) -> int:
        steps = None
        original = App._turn

        def turn(running: App) -> None:
            nonlocal steps
            self.app = running
            steps = steps or iter(self._script(self))
            original(running)
            self.threads.add(threading.current_thread().name)
            try:
                waits_for = next(steps) if turn.ready() else turn.ready
                turn.ready = waits_for or (lambda: True)
            except StopIteration:
                running._open, turn.ready = False, self.closes
            except KeyboardInterrupt:
                turn.ready = self.closes
                raise

        turn.ready = lambda: True
        self._monkeypatch.setattr(App, "_turn", turn)
        make_recorder = None if self.recorder is None else (lambda *args: self.recorder)

        shots = self._settings.settings_file.path.parent / "shots"
        code = play(self._settings, players(self.open_world, make_recorder, shots))
        assert turn.ready is self.closes, f"the window closed, and line {inspect.getsourcelines(turn.ready)[1]} waits"
        return code
