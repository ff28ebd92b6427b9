"""Events to what they mean: the menu's, a command, a control, or the window's own affair.

Keys, mouse buttons and gamepads become named inputs (game/config/bindings.py) and from there on are all the same, but
that a key has two names: controls go by its place, commands by what is printed on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pygame

from game.config.bindings import LOOK_DOWN, LOOK_LEFT, LOOK_RIGHT, LOOK_UP, PINNED
from game.input.devices import STICKS, Gamepads, Key
from game.live.status import State
from game.ui.arrival import ArrivalPage
from game.ui.commands import Commands
from game.ui.pages.pictures import PastePage
from game.ui.toolkit.menu import Menu, Page
from game.ui.window import button_name, wheel_notches

_LOOKS_ANEW = (pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED, pygame.WINDOWRESTORED, pygame.WINDOWDISPLAYCHANGED)
_MOUSE = (pygame.MOUSEMOTION, pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP, pygame.MOUSEWHEEL)
_IN_MENU = ("full_screen", "screenshot")  # commands that also count while the menu is open
_LOOKS = (LOOK_UP, LOOK_DOWN, LOOK_LEFT, LOOK_RIGHT)


class Router:
    """Hands events on. leave: ends the program. redraw: the window must be drawn, though nothing on it changed. save:
    keeps the preferences.
    """

    def __init__(
        self,
        commands: Commands,
        pads: Gamepads,
        menu: Menu,
        leave: Callable[[], None],
        redraw: Callable[[], None],
        save: Callable[[], None],
    ) -> None:
        self._commands, self._pads, self._menu = commands, pads, menu
        self._leave, self._redraw, self._save = leave, redraw, save
        self._window, self._controls, self._player = commands.window, commands.controls, commands.player
        self._paused_before = False  # the menu was opened on a paused world
        self._leaning = False  # a stick is out of its dead zone
        self.notches: dict[str, float] = {}  # ways the wheel was turned -> until when that counts as held

    def handle(self, event: pygame.event.Event, now: float) -> None:
        """Does what an event asks for."""
        if event.type in (pygame.KEYDOWN, pygame.KEYUP):
            self._key(self._commands.keyboard.read(event), now)
        elif event.type in _MOUSE:
            self._handle_mouse(event, now)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.let_go()
        elif event.type in _LOOKS_ANEW:
            self._redraw()
        elif event.type == pygame.DROPFILE:
            self.open_menu("Scenes", ArrivalPage(self._commands, self._menu, Path(event.file)))
        elif event.type == pygame.QUIT:
            self._leave()
        else:
            for one in self._pads.handle(event):
                self._input(one.name, one.down, now)
            self._lean(now)

    def _key(self, key: Key, now: float) -> None:
        """A key went down or up. With Ctrl, Alt or Meta it gives no command, unless that one has a meaning itself."""
        held = {name for name in key.modifiers if not self._means_something(name)}
        if not key.down or not held:
            self._input(key.letter, key.down, now, place=key.place)
        elif key.letter == "v" and any(name.endswith(("ctrl", "meta")) for name in held):
            self.open_menu("Scenes", PastePage(self._commands))
        elif not self._menu.is_open:
            self._control(key.place, True, now)  # who walks with Ctrl held goes on walking

    def _means_something(self, name: str) -> bool:
        return self._controls.control_of(name) is not None or self._commands.command_of(name) is not None

    def _input(self, name: str, down: bool, now: float, *, place: str | None = None) -> None:
        """A named input went down or up: the menu's, a control, or a command. place: of a key, as Key has it."""
        command = self._commands.command_of(name)
        if self._menu.is_open:
            if self._menu.takes_all:
                self._menu.input(name, down, now)
            elif down and command in _IN_MENU:
                self._commands.do(command, now)
            elif command == "menu":
                self._menu.input("escape", down, now)  # whatever opens it closes it
            else:
                self._menu.input(name, down, now)
        elif name not in PINNED.values() and self._controls.control_of(place or name) is not None:
            self._control(place or name, down, now)
        elif command is not None:
            self._commands.do(command, now) if down else self._commands.undo_hold(command, now)
        else:
            self._control(place or name, down, now)  # which a model may read as it is

    def _control(self, name: str, down: bool, now: float) -> None:
        """Gives an input to the controls."""
        if not down:
            self._controls.release(name, now)
        elif name.startswith(f"pad {self._commands.preferences.look_stick} stick "):
            pass  # it looks, by how far it is held
        elif self._controls.press(name, now):
            self._steers(looks=self._controls.control_of(name) in _LOOKS)
        elif name.startswith("mouse "):
            self._take_over()

    def _steers(self, *, looks: bool) -> None:
        """The person steers: they have the controls, and have found what steers."""
        if self._player.status.state is State.PLAYING and not self._player.paused:  # otherwise nothing was seen of it
            self._commands.steered = True
            self._commands.looked = self._commands.looked or looks
        self._take_over()

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
            elif button := button_name(event.button):
                self._menu.input(button, event.type == pygame.MOUSEBUTTONDOWN, now)
        elif event.type == pygame.MOUSEMOTION:
            if self._window.captured and not self._player.paused:
                self._controls.motion(event.rel[0], event.rel[1], now)
                self._steers(looks=True)
        elif event.type == pygame.MOUSEWHEEL:
            for name in wheel_notches(event):
                self.notches[name] = max(now, self.notches.get(name, now)) + 1.0 / self._player.fps
                self._input(name, True, now)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1 and self._mouse_is_useful():
            self._window.capture()
            self._commands.looked = True
            self._take_over()
            self._commands.say(f"{self._commands.key_of('menu')} opens the menu and gives the mouse back")
        elif button := button_name(event.button):
            self._input(button, event.type == pygame.MOUSEBUTTONDOWN, now)

    def tick(self, now: float) -> None:
        """Lets time pass: a notch of the wheel is a press that lasts for a video frame."""
        for name in [name for name, until in self.notches.items() if now >= until]:
            del self.notches[name]
            self._input(name, False, now)

    def _lean(self, now: float) -> None:
        """A stick may have been moved: the one that looks counts by how far."""
        prefer = self._commands.preferences
        right, down = self._pads.stick(prefer.look_stick, prefer.dead_zone)
        before, self._leaning = self._leaning, any(any(self._pads.stick(one, prefer.dead_zone)) for one in STICKS)
        if self._menu.is_open or self._player.paused:
            right = down = 0.0
        elif self._leaning and not before:  # and not one that was still held when a replay began
            self._steers(looks=bool(right or down))
        self._controls.lean(right, down, now)

    def _take_over(self) -> None:
        """Whoever steers has the controls, also where a recording had them."""
        if self._player.status.replay is not None:
            self._player.take_over()

    def _mouse_is_useful(self) -> bool:
        status = self._player.status
        playing = status.state is State.PLAYING and not self._player.paused and not self._window.captured
        return playing and status.space is not None and status.space.has_mouse

    def let_go(self) -> None:
        """The person looks elsewhere: nothing stays pressed, and the mouse is theirs again."""
        now = time.perf_counter()
        released, self.notches = [*self.notches, *(one.name for one in self._pads.let_go())], {}
        for name in released:
            self._input(name, False, now)
        self._player.let_go(now)
        self._commands.keyboard.let_go()
        self._controls.release_all()
        self._window.give_back()

    # -- the menu ----------------------------------------------------------------------------------------------------

    def open_menu(self, section: str | None = None, page: Page | None = None) -> None:
        """Pauses the world and opens the menu over it."""
        now = time.perf_counter()
        if not self._menu.is_open:
            self._paused_before = self._player.paused
            captured = self._window.captured
            self.let_go()
            if not self._paused_before:
                self._commands.hold(now, captured=captured)
        self._menu.open(section, page)

    def menu_closed(self) -> None:
        """The menu is gone: the world goes on, unless it was paused before."""
        self._save()
        if not self._paused_before:
            self._commands.go_on(time.perf_counter())
