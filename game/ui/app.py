"""The window's loop: events in, pictures out. It loads and computes nothing of a world; see game/live/player.py.

States: loading, playing, failed (the worker's), paused (the play clock's), and the menu over any of them. One loop
sleeps until an event, a due frame or a changed word, and draws only when something looks different.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pygame

from engine.errors import InputError
from game.config.preferences import SettingsFile
from game.console import say
from game.input.controls import Controls
from game.input.devices import Gamepads
from game.live.player import Player
from game.live.status import Picture, State
from game.recording.library import Library
from game.ui.commands import Commands, feel_of
from game.ui.events import Router
from game.ui.pages import make_menu
from game.ui.toolkit.background import words_of
from game.ui.toolkit.paint import TEXT_SIZES, Painter
from game.ui.view import NOTICE_SECONDS, Hud, Presenter, Scenery, View
from game.ui.window import Window, on_display_lost

_LONGEST_SLEEP = 0.05  # s: bounds how late a signal (Ctrl-C) or a missed wake-up is noticed
_MENU_EVERY = 1 / 60  # s between two looks at a menu that may change by itself
MakePlayer = Callable[[Controls, Callable[[], None]], Player]
"""(where the window puts what is pressed, what wakes the window from any thread) -> who plays worlds for it."""


@dataclass(frozen=True)
class PlaySettings:
    """How the window is to be.

    seconds: close by itself after so many seconds of play, None for never. debug: on failure print the traceback too.
    settings_file: the person's preferences, None for those in their folder. library: the recordings that the menu
    offers, None for none.
    """

    seconds: float | None = None
    debug: bool = False
    settings_file: SettingsFile | None = None
    library: Library | None = None


def play(
    settings: PlaySettings,
    make_player: MakePlayer,
    watch: Callable[[App], None] = lambda app: None,
    window: Window | None = None,
) -> int:
    """Opens the window and plays until it is closed. watch: called after every turn of the loop. window:
    one that is open already.

    Returns the exit code: 0, or 1 or 2 when it ended on a failure, whose words go to standard error. Raises InputError
    when there is no display to open a window on.
    """
    try:
        app = App(settings, make_player, window)
    except pygame.error as error:
        pygame.quit()
        remedy = "without one, render a script: python -m game --headless --script FILE"
        raise InputError("no window can be opened here", got=error, expected="a display", remedy=remedy) from error
    return app.run(watch)


class App:
    """The window and its loop. Raises pygame.error when no window can be opened.

    is_open: whether it goes on. drawn: what is on the window now. shown: number of the newest frame that was shown
    since the play clock began, -1 before the first. failures: what went wrong in a turn of it, and was said.
    """

    def __init__(self, settings: PlaySettings, make_player: MakePlayer, window: Window | None = None) -> None:
        self._settings = settings
        settings_file = settings.settings_file or SettingsFile()
        self.window = window or Window(settings_file.now.window_size, settings_file.now.full_screen)
        if self.window.asked != settings_file.now.window_size:
            self.window.resize(settings_file.now.window_size)
        if settings_file.now.full_screen and not self.window.full_screen:
            self.window.toggle_full_screen()
        self.window.show_icon()
        self.controls = Controls(feel=feel_of(settings_file.now))
        self._wake_event = pygame.event.custom_type()
        self.player = make_player(self.controls, self._wake)
        self.commands = Commands(
            self.player, self.controls, settings_file, self.window, self._say, library=settings.library
        )
        self._pads = Gamepads()
        self._paint = Painter()
        self.menu = make_menu(self.commands, self._pads, self._paint, self.player.scenes, self._menu_closed, self.quit)
        self.router = Router(
            self.commands, self._pads, self.menu, leave=self.quit, redraw=self._redraw, save=self._save
        )
        self._view = View(self._paint, Hud(self._paint), self.menu, self.window.gpu)
        self._presenter = Presenter(self.commands, self.menu)
        self.commands.use_menu(self.router.open_menu, self.menu.close, self.menu.pop)
        on_display_lost(self._end_without_display)
        self.is_open = True
        self.drawn: Scenery | None = None
        self.shown = -1
        self.failures: list[str] = []
        self._ended_since: float | None = None  # loading ended, well or badly
        self._cold = ["Resume", "World", "Controls", "Picture"]  # sections whose words no one has rendered yet
        self._counted: Picture | None = None
        for words in [*settings_file.problems, self._pads.problem]:
            if words:
                say(f"game: {words}")

    def run(self, watch: Callable[[App], None] = lambda app: None) -> int:
        """Plays until the window is closed; returns the exit code. watch: called after every turn of the loop."""
        try:
            self._draw(time.perf_counter())
            self.player.start()
            while self.is_open:
                self.turn()
                watch(self)
        except KeyboardInterrupt:
            pass
        finally:
            status = self.player.status
            self.window.close()
            ended = self.player.shutdown()
            self.commands.background.stop()
            self._end_renderings()
            problem = self.commands.settings_file.save()
            pygame.quit()
        if problem:
            say(f"game: {problem}")
        if not ended:
            say("game: what was going on did not end in time and was cut off")
        if status.state is not State.FAILED:
            return 0
        say(status.details if self._settings.debug else f"game: {status.words}")
        return status.exit_code

    def quit(self) -> None:
        """Ends the loop after this turn."""
        self.is_open = False

    def _redraw(self) -> None:
        self.drawn = None
        self._view.forget()

    def _menu_closed(self) -> None:
        self.router.menu_closed()

    def _end_without_display(self) -> None:
        """Keeps what was recorded and ends the program, which Xlib would otherwise do here and now."""
        self.is_open = False
        # In another thread nothing can be waited for; then the recording is left as a kill would leave it.
        if threading.current_thread() is threading.main_thread():
            self.player.shutdown()
            self._end_renderings()
        say("game: the display is gone; what was recorded is kept")
        os._exit(1)

    def _end_renderings(self) -> None:
        """Nobody would be told of them."""
        for words in self._settings.library.close() if self._settings.library is not None else ():
            say(f"game: {words}")

    # -- one turn of the loop ----------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Waits for something to do, and does it. What fails in it is said, and the window and its worlds go on."""
        for event in self._sleep():
            self._guarded(self.router.handle, event, time.perf_counter())
        now = time.perf_counter()
        self._guarded(self.router.tick, now)
        self._guarded(self._note_state, now)
        if self.menu.is_open:
            self._guarded(self.menu.tick, now)
        self._guarded(self._draw, now)
        if self._cold and self.player.status.state is State.LOADING:  # there is time to
            self._guarded(self.menu.warm, self.window.surface.get_size(), self._cold.pop())

    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as error:
            self.failures.append(words_of(error))
            self._say(f"That failed: {self.failures[-1]}", NOTICE_SECONDS)

    def _sleep(self) -> list[pygame.event.Event]:
        """Waits for something to do, and returns the events that came."""
        now = time.perf_counter()
        due = self.player.next_change(now)
        longest = _MENU_EVERY if self.menu.is_open else _LONGEST_SLEEP
        wait = longest if due is None else max(0.0, min(longest, due - now))
        first = pygame.event.wait(max(1, math.ceil(wait * 1000)))
        return [first, *pygame.event.get()] if first.type != pygame.NOEVENT else []

    def _wake(self) -> None:
        """Called from the player's thread: look again."""
        if not self.is_open:
            return
        # An error means the queue is full (then the loop is awake), or the window has just been closed.
        with contextlib.suppress(pygame.error):
            pygame.event.post(pygame.event.Event(self._wake_event))

    def _note_state(self, now: float) -> None:
        state = self.player.status.state
        self._presenter.note(now)
        if state is State.FAILED and self.window.captured:
            self.router.let_go()
        if state is not State.LOADING and self._ended_since is None:
            self._ended_since = now
        if self._settings.seconds is not None and self._ended_since is not None:
            self.is_open = self.is_open and now - self._ended_since < self._settings.seconds

    def _draw(self, now: float) -> None:
        """Shows what is due, if it looks other than what is there."""
        picture, surface = self.player.look(now), self.window.surface
        self._paint.times = TEXT_SIZES[self.commands.preferences.text]
        scenery = self._presenter.scenery(picture, surface.get_size(), now)
        if scenery.same_as(self.drawn):
            return
        self.window.present(self._view.draw(surface, scenery))
        self.drawn = scenery
        if picture is not None and not picture.backdrop:
            height, width = picture.pixels.shape[:2]
            self.commands.frame_size = (width, height)
        if picture is not None and picture.number is not None and picture is not self._counted:
            self._counted, self.shown = picture, picture.number
            self.player.shown(picture, time.perf_counter())

    def _say(self, words: str, seconds: float) -> None:
        self._presenter.say(words, time.perf_counter() + seconds)

    def _save(self) -> None:
        if problem := self.commands.settings_file.save():
            self._say(problem, NOTICE_SECONDS)
