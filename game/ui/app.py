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
from dataclasses import dataclass, replace

import game.ui.window  # noqa: F401  (sets what SDL must know before pygame is there)

import pygame  # isort: skip

from engine.errors import InputError
from game.config.preferences import SettingsFile
from game.console import say
from game.input.controls import Controls
from game.input.devices import Gamepads
from game.live.player import Player
from game.live.status import Figures, Picture, State
from game.recording.library import Library
from game.ui.commands import Cockpit, feel_of
from game.ui.events import Router
from game.ui.pages import make_menu
from game.ui.toolkit.paint import TEXT_SIZES, Painter
from game.ui.view import BEATS, Hud, Look, Numbers, Scenery, View, numbers_of
from game.ui.window import Window, on_display_lost

_KEYS_SECONDS, _FADE_SECONDS, _NOTICE_SECONDS = 10.0, 1.5, 5.0
_SLOW_START = 0.5  # s a new world may take before the window says what it waits for
_LONGEST_SLEEP = 0.05  # s: bounds how late a signal (Ctrl-C) or a missed wake-up is noticed
_FIGURES_EVERY = 0.25  # s
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


def play(settings: PlaySettings, make_player: MakePlayer) -> int:
    """Opens the window and plays until it is closed.

    Returns the exit code: 0, or 1 or 2 when it ended on a failure, whose words go to standard error. Raises InputError
    when there is no display to open a window on.
    """
    try:
        app = App(settings, make_player)
    except pygame.error as error:
        pygame.quit()
        remedy = "without one, render a script: python -m game --headless --script FILE"
        raise InputError("no window can be opened here", got=error, expected="a display", remedy=remedy) from error
    return app.run()


class App:
    """The window and its loop. Raises pygame.error when no window can be opened."""

    def __init__(self, settings: PlaySettings, make_player: MakePlayer) -> None:
        self._settings = settings
        settings_file = settings.settings_file or SettingsFile()
        self._window = Window(settings_file.now.window_size, settings_file.now.full_screen)
        self._controls = Controls(feel=feel_of(settings_file.now))
        self._wake_event = pygame.event.custom_type()
        self._worker = make_player(self._controls, self._wake)
        self._cockpit = Cockpit(
            self._worker, self._controls, settings_file, self._window, self._say, library=settings.library
        )
        self._pads = Gamepads()
        self._paint = Painter()
        self._menu = make_menu(
            self._cockpit, self._pads, self._paint, self._worker.scenes, self._menu_closed, self._quit
        )
        self._router = Router(
            self._cockpit, self._pads, self._menu, leave=self._quit, redraw=self._redraw, save=self._save
        )
        self._view = View(self._paint, Hud(self._paint), self._menu)
        self._cockpit.use_menu(self._router.open_menu, self._menu.close, self._menu.pop)
        on_display_lost(self._end_without_display)
        self._open = True
        self._remark = ("", -math.inf)
        self._notices = 0
        self._played_since: float | None = None
        self._ended_since: float | None = None  # loading ended, well or badly
        self._loading_since = math.inf
        self._figures: tuple[float, Figures | None, Numbers] = (-math.inf, None, Numbers())
        self._drawn: Scenery | None = None
        self._cold = ["Resume", "World", "Controls", "Picture"]  # sections whose words no one has rendered yet
        self._counted: Picture | None = None
        for words in [*settings_file.problems, self._pads.problem]:
            if words:
                say(f"game: {words}")

    def run(self) -> int:
        """Plays until the window is closed; returns the exit code."""
        try:
            self._draw(time.perf_counter())
            self._worker.start()
            while self._open:
                self._turn()
        except KeyboardInterrupt:
            pass
        finally:
            status = self._worker.status
            self._window.close()
            ended = self._worker.shutdown()
            self._cockpit.background.stop()
            self._end_renderings()
            problem = self._cockpit.settings_file.save()
            pygame.quit()
        if problem:
            say(f"game: {problem}")
        if not ended:
            say("game: what was going on did not end in time and was cut off")
        if status.state is not State.FAILED:
            return 0
        say(status.details if self._settings.debug else f"game: {status.words}")
        return status.exit_code

    def _quit(self) -> None:
        self._open = False

    def _redraw(self) -> None:
        self._drawn = None

    def _menu_closed(self) -> None:
        self._router.menu_closed()

    def _end_without_display(self) -> None:
        """Keeps what was recorded and ends the program, which Xlib would otherwise do here and now."""
        self._open = False
        # In another thread nothing can be waited for; then the recording is left as a kill would leave it.
        if threading.current_thread() is threading.main_thread():
            self._worker.shutdown()
            self._end_renderings()
        say("game: the display is gone; what was recorded is kept")
        os._exit(1)

    def _end_renderings(self) -> None:
        """Nobody would be told of them."""
        for words in self._settings.library.close() if self._settings.library is not None else ():
            say(f"game: {words}")

    # -- one turn of the loop ----------------------------------------------------------------------------------------

    def _turn(self) -> None:
        for event in self._sleep():
            self._router.handle(event, time.perf_counter())
        now = time.perf_counter()
        self._router.tick(now)
        self._note_state(now)
        self._note_figures(now)
        if self._menu.is_open:
            self._menu.tick(now)
        self._draw(now)
        if self._cold and self._worker.status.state is State.LOADING:  # there is time to
            self._menu.warm(self._window.surface.get_size(), self._cold.pop())

    def _sleep(self) -> list[pygame.event.Event]:
        """Waits for something to do, and returns the events that came."""
        now = time.perf_counter()
        due = self._worker.next_change(now)
        longest = _MENU_EVERY if self._menu.is_open else _LONGEST_SLEEP
        wait = longest if due is None else max(0.0, min(longest, due - now))
        first = pygame.event.wait(max(1, math.ceil(wait * 1000)))
        return [first, *pygame.event.get()] if first.type != pygame.NOEVENT else []

    def _wake(self) -> None:
        """Called from the inference thread: look again."""
        if not self._open:
            return
        # An error means the queue is full (then the loop is awake), or the window has just been closed.
        with contextlib.suppress(pygame.error):
            pygame.event.post(pygame.event.Event(self._wake_event))

    def _note_state(self, now: float) -> None:
        status = self._worker.status
        if status.notices > self._notices:
            self._notices = status.notices
            self._say(status.notice, _NOTICE_SECONDS)
        if status.state is State.PLAYING and self._played_since is None:
            self._played_since = now
        if status.state is State.LOADING:
            self._loading_since = min(self._loading_since, now)
        else:
            self._loading_since = math.inf
            if status.state is State.FAILED and self._window.captured:
                self._router.let_go()
            if self._ended_since is None:
                self._ended_since = now
        if self._settings.seconds is not None and self._ended_since is not None:
            self._open = self._open and now - self._ended_since < self._settings.seconds

    def _note_figures(self, now: float) -> None:
        taken, _, _ = self._figures
        if self._worker.status.state is State.PLAYING and now - taken >= _FIGURES_EVERY:
            figures = self._worker.figures(now)
            self._figures = (now, figures, numbers_of(figures, self._worker.status))
            self._cockpit.advice = figures.advice

    def _draw(self, now: float) -> None:
        """Shows what is due, if it looks other than what is there."""
        picture = self._worker.look(now)
        scenery = self._scenery(picture, now)
        if scenery.same_as(self._drawn):
            return
        self._view.draw(self._window.surface, scenery)
        pygame.display.flip()
        self._drawn = scenery
        if picture is not None and not picture.backdrop:
            self._cockpit.frame_size = picture.pixels.shape[1::-1]
        if picture is not None and picture.number is not None and picture is not self._counted:
            self._counted = picture
            self._worker.shown(picture, time.perf_counter())

    def _scenery(self, picture: Picture | None, now: float) -> Scenery:
        status, cockpit = self._worker.status, self._cockpit
        self._paint.times = TEXT_SIZES[cockpit.preferences.text]
        words, until = self._remark
        if now >= until:
            words = self._waiting_words() if now - self._loading_since > _SLOW_START else status.beside
        scenery = Scenery(
            picture=picture,
            status=status,
            paused=self._worker.paused and status.state is not State.LOADING,
            size=self._window.surface.get_size(),
            look=self._look(),
            remark=words,
        )
        if self._menu.is_open:
            return replace(scenery, menu=self._menu.stamp)
        if scenery.waiting and not status.progress:
            return replace(scenery, beat=int(now / _LONGEST_SLEEP) % BEATS)
        strength = self._keys_strength(now)
        known = status.space is not None
        return replace(
            scenery,
            keys=cockpit.first_keys(status.space.mode) if strength and known else (),
            keys_strength=strength if known else 0.0,
            advice=cockpit.advice if status.state is State.PLAYING else None,
            ease=cockpit.key_of("ease"),
            numbers=self._figures[2] if cockpit.show_numbers and known and self._figures[1] else None,
            take_over="a walking key, a stick or a click takes over" if status.replay is not None else "",
            hints=(
                f"{cockpit.key_of('pause')} goes on, {cockpit.key_of('menu')} opens the menu",
                f"{cockpit.key_of('restart')} tries again, {cockpit.key_of('menu')} opens the menu",
            ),
        )

    def _waiting_words(self) -> str:
        status = self._worker.status
        return status.words + (f", {status.progress:.0%}" if status.words and 0.0 < status.progress < 1.0 else "")

    def _look(self) -> Look:
        now = self._cockpit.preferences
        return Look(now.scale, now.icons, now.icons_place, now.text)

    def _keys_strength(self, now: float) -> float:
        """How strongly the first start's keys are shown; once they were, they never are again."""
        if self._played_since is None or self._cockpit.preferences.keys_shown or self._worker.paused:
            return 0.0
        left = self._played_since + _KEYS_SECONDS - now
        if left <= 0:
            self._cockpit.change(keys_shown=True)
            self._save()
        return round(max(0.0, min(1.0, left / _FADE_SECONDS)) * 12) / 12

    def _say(self, words: str, seconds: float) -> None:
        self._remark = (words, time.perf_counter() + seconds)

    def _save(self) -> None:
        if problem := self._cockpit.settings_file.save():
            self._say(problem, _NOTICE_SECONDS)
