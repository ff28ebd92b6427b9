"""Events to what they mean: the menu's, a command, a control, or the window's own affair.

Keys, mouse buttons and gamepads become named inputs (game/config/bindings.py) and from there on are all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pygame

from game.input.devices import STICKS, Gamepads
from game.live.status import State
from game.ui.commands import Cockpit
from game.ui.pages.pictures import DropPage
from game.ui.toolkit.menu import Menu, Page
from game.ui.window import button_name, key_name, wheel_notches

_LOOKS_ANEW = (pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED, pygame.WINDOWRESTORED, pygame.WINDOWDISPLAYCHANGED)
_MOUSE = (pygame.MOUSEMOTION, pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP, pygame.MOUSEWHEEL)
_IN_MENU = ("full_screen", "screenshot")  # commands that also count while the menu is open


class Router:
    """Hands events on. leave: ends the program. redraw: the window must be drawn, though nothing on it changed. save:
    keeps the preferences.
    """

    def __init__(
        self,
        cockpit: Cockpit,
        pads: Gamepads,
        menu: Menu,
        leave: Callable[[], None],
        redraw: Callable[[], None],
        save: Callable[[], None],
    ) -> None:
        self._cockpit, self._pads, self._menu = cockpit, pads, menu
        self._leave, self._redraw, self._save = leave, redraw, save
        self._window, self._controls, self._worker = cockpit.window, cockpit.controls, cockpit.worker
        self._paused_before = False  # the menu was opened on a paused world
        self._leaning = False  # a stick is out of its dead zone
        self._notches: dict[str, float] = {}  # ways the wheel was turned -> until when that counts as held

    def handle(self, event: pygame.event.Event, now: float) -> None:
        """Does what an event asks for."""
        if event.type in (pygame.KEYDOWN, pygame.KEYUP):
            self._input(key_name(event), event.type == pygame.KEYDOWN, now)
        elif event.type in _MOUSE:
            self._handle_mouse(event, now)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.let_go()
        elif event.type in _LOOKS_ANEW:
            self._redraw()
        elif event.type == pygame.DROPFILE:
            self._take_dropped(Path(event.file))
        elif event.type == pygame.QUIT:
            self._leave()
        else:
            for one in self._pads.handle(event):
                self._input(one.name, one.down, now)
            self._lean(now)

    def _input(self, name: str, down: bool, now: float) -> None:
        """A named input went down or up: the menu's, a command, or a control."""
        command = self._cockpit.command_of(name)
        if self._menu.is_open:
            if self._menu.takes_all:
                self._menu.input(name, down, now)
            elif down and command in _IN_MENU:
                self._cockpit.do(command, now)
            elif command == "menu":
                self._menu.input("escape", down, now)  # whatever opens it closes it
            else:
                self._menu.input(name, down, now)
            return
        if command is None:
            if down and name.startswith(f"pad {self._cockpit.preferences.look_stick} stick "):
                return  # it looks, by how far it is held
            if not down:
                self._controls.release(name, now)
            elif self._controls.press(name, now) or name.startswith("mouse "):
                self._take_over()
        elif down:
            self._cockpit.do(command, now)
        else:
            self._cockpit.undo_hold(command, now)

    def _handle_mouse(self, event: pygame.event.Event, now: float) -> None:
        if self._menu.is_open:
            if event.type == pygame.MOUSEMOTION:
                self._menu.move(event.pos, event.rel, now)
            elif event.type == pygame.MOUSEWHEEL and self._menu.takes_all:
                for name in wheel_notches(event)[:1]:
                    self._menu.input(name, True, now)
            elif event.type == pygame.MOUSEWHEEL:
                self._menu.wheel(event.y)
            elif event.button == 1 and not self._menu.takes_all:
                self._menu.press(event.pos) if event.type == pygame.MOUSEBUTTONDOWN else self._menu.release()
            elif name := button_name(event.button):
                self._menu.input(name, event.type == pygame.MOUSEBUTTONDOWN, now)
        elif event.type == pygame.MOUSEMOTION:
            if self._window.captured and not self._worker.paused:
                self._controls.motion(*event.rel, now)
                self._take_over()
        elif event.type == pygame.MOUSEWHEEL:
            for name in wheel_notches(event):
                self._notches[name] = max(now, self._notches.get(name, now)) + 1.0 / self._worker.fps
                self._input(name, True, now)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1 and self._mouse_is_useful():
            self._window.capture()
            self._take_over()
            self._cockpit.say(f"{self._cockpit.key_of('menu')} opens the menu and gives the mouse back")
        elif name := button_name(event.button):
            self._input(name, event.type == pygame.MOUSEBUTTONDOWN, now)

    def tick(self, now: float) -> None:
        """Lets time pass: a notch of the wheel is a press that lasts for a video frame."""
        for name in [name for name, until in self._notches.items() if now >= until]:
            del self._notches[name]
            self._input(name, False, now)

    def _lean(self, now: float) -> None:
        """A stick may have been moved: the one that looks counts by how far."""
        prefer = self._cockpit.preferences
        right, down = self._pads.stick(prefer.look_stick, prefer.dead_zone)
        before, self._leaning = self._leaning, any(any(self._pads.stick(one, prefer.dead_zone)) for one in STICKS)
        if self._menu.is_open or self._worker.paused:
            right = down = 0.0
        elif self._leaning and not before:  # and not one that was still held when a replay began
            self._take_over()
        self._controls.lean(right, down, now)

    def _take_over(self) -> None:
        """Whoever steers has the controls, also where a recording had them."""
        if self._worker.status.replay is not None:
            self._worker.take_over()

    def _mouse_is_useful(self) -> bool:
        status = self._worker.status
        playing = status.state is State.PLAYING and not self._worker.paused and not self._window.captured
        return playing and status.space is not None and status.space.has_mouse

    def let_go(self) -> None:
        """The person looks elsewhere: nothing stays pressed, and the mouse is theirs again."""
        now = time.perf_counter()
        released, self._notches = [*self._notches, *(one.name for one in self._pads.let_go())], {}
        for name in released:
            self._input(name, False, now)
        self._worker.let_go(now)
        self._controls.release_all()
        self._window.give_back()

    def _take_dropped(self, path: Path) -> None:
        """Shows a picture before a world begins from it; a folder becomes that of the person's pictures."""
        if path.is_dir():
            self._cockpit.change(folder=str(path))
            self.open_menu("Scenes")
        else:
            self.open_menu("Scenes", DropPage(self._cockpit, path))

    # -- the menu ----------------------------------------------------------------------------------------------------

    def open_menu(self, section: str | None = None, page: Page | None = None) -> None:
        """Pauses the world and opens the menu over it."""
        now = time.perf_counter()
        if not self._menu.is_open:
            self._paused_before = self._worker.paused
            captured = self._window.captured
            self.let_go()
            if not self._paused_before:
                self._cockpit.hold(now, captured=captured)
        self._menu.open(section, page)

    def menu_closed(self) -> None:
        """The menu is gone: the world goes on, unless it was paused before."""
        self._save()
        if not self._paused_before:
            self._cockpit.go_on(time.perf_counter())
