"""Keyboards and gamepads as named inputs: what each key is called and where it lies, and sticks as graded looks.

A key has two names: its *place*, the letter that a US keyboard has there, which controls are bound to (walking is the
same four keys on every layout), and its *letter*, which commands are bound to (P pauses, wherever P is). Gamepads come
and go as they like.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on import otherwise

import pygame

from game.input.sdl import sdl

# -- the keyboard ------------------------------------------------------------------------------------------------------

_US = "abcdefghijklmnopqrstuvwxyz1234567890"  # from SDL's scancode 4 on
US_PLACES = {4 + i: letter for i, letter in enumerate(_US)}
US_PLACES |= dict(zip((45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56), "-=[]\\;'`,./", strict=True))
_SCANCODES = {place: code for code, place in US_PLACES.items()}
_MODIFIERS = {
    pygame.KMOD_LCTRL: "left ctrl",
    pygame.KMOD_RCTRL: "right ctrl",
    pygame.KMOD_LALT: "left alt",
    pygame.KMOD_RALT: "right alt",
    pygame.KMOD_LMETA: "left meta",
    pygame.KMOD_RMETA: "right meta",
}


@dataclass(frozen=True)
class Key:
    """A key that went down or up. place: what a US keyboard has there. letter: what is printed on it, or `place` where
    that is not a letter that everybody can type. modifiers: names of the Ctrl, Alt and Meta keys that are held."""

    place: str
    letter: str
    down: bool
    modifiers: tuple[str, ...] = ()


class Keyboard:
    """Today's layout, and which keys are down: one that goes up is what it was when it went down, whatever the layout
    has become meanwhile."""

    def __init__(self) -> None:
        self._down: dict[int, tuple[str, str]] = {}

    def read(self, event: pygame.event.Event) -> Key:
        """What a KEYDOWN or KEYUP event means."""
        down, scancode = event.type == pygame.KEYDOWN, getattr(event, "scancode", 0)
        printed = pygame.key.name(event.key)
        place = US_PLACES.get(scancode, printed)
        names = place, printed if printed and printed.isascii() else place
        if scancode and down:
            self._down[scancode] = names
        elif scancode:
            names = self._down.pop(scancode, names)
        held = tuple(name for bit, name in _MODIFIERS.items() if getattr(event, "mod", 0) & bit and name != names[1])
        return Key(*names, down, held)

    def let_go(self) -> None:
        """Nothing is down any more: the person looks elsewhere."""
        self._down.clear()

    @staticmethod
    def printed(place: str) -> str:
        """What is printed on the key at a place, by today's layout; the name of the place where nobody knows."""
        code, lib = _SCANCODES.get(place), sdl()
        if code is None or lib is None or not pygame.display.get_init():
            return place
        return pygame.key.name(lib.SDL_GetKeyFromScancode(code)) or place

    def place_of(self, letter: str) -> str:
        """Where a letter lies, by today's layout; itself if it is nowhere, or no letter."""
        if letter not in _SCANCODES or self.printed(letter) == letter:
            return letter
        return next((place for place in _SCANCODES if self.printed(place) == letter), letter)


# -- gamepads ----------------------------------------------------------------------------------------------------------

_BUTTONS = (
    *("a", "b", "x", "y", "back", "guide", "start", "left stick", "right stick", "left shoulder", "right shoulder"),
    *("dpad up", "dpad down", "dpad left", "dpad right"),
)
STICKS = ("left", "right")
_STICKS = {0: ("left", 0), 1: ("left", 1), 2: ("right", 0), 3: ("right", 1)}  # SDL's axis -> stick, right or down
_TRIGGERS = {4: "pad left trigger", 5: "pad right trigger"}
_WAYS = (("left", "right"), ("up", "down"))
_FULL = 32767
_GAME_CONTROLLER = 0x2000  # SDL_INIT_GAMECONTROLLER
_PRESSED, _RELEASED = 0.5, 0.4  # of a stick's or trigger's way: where it counts as a key that goes down, and up


@dataclass(frozen=True)
class PadInput:
    """An input of a gamepad that went down or up."""

    name: str
    down: bool


def graded(x: float, y: float, dead_zone: float) -> tuple[float, float]:
    """A stick's place, each axis within +-1, without its dead zone: 0 at rest, growing evenly to 1 at the rim."""
    way = math.hypot(x, y)
    if way <= dead_zone:
        return 0.0, 0.0
    share = min(1.0, (way - dead_zone) / (1.0 - dead_zone)) / way
    return x * share, y * share


class Gamepads:
    """All gamepads as one. A stick that the system does not know to be a gamepad's is left alone."""

    def __init__(self) -> None:
        self._open: dict[int, int] = {}  # instance -> SDL's handle
        self._sticks = {name: [0.0, 0.0] for name in STICKS}
        self._down: set[str] = set()
        self.problem = ""
        lib = sdl()
        if lib is None or lib.SDL_InitSubSystem(_GAME_CONTROLLER) != 0:
            self.problem = "Gamepads cannot be used here"
        else:
            pygame.register_quit(lambda: lib.SDL_QuitSubSystem(_GAME_CONTROLLER))

    @property
    def names(self) -> list[str]:
        """What is plugged in."""
        lib = sdl()
        known = [lib.SDL_GameControllerName(pad) if lib is not None else None for pad in self._open.values()]
        return [name.decode("utf-8", "replace") if name else "a gamepad" for name in known]

    def stick(self, which: str, dead_zone: float) -> tuple[float, float]:
        """Where a stick ("left", "right") is held: right and down, each within +-1."""
        x, y = self._sticks.get(which, (0.0, 0.0))
        return graded(x, y, dead_zone)

    def handle(self, event: pygame.event.Event) -> list[PadInput]:
        """What an event means; nothing if it is not a gamepad's."""
        if event.type == pygame.CONTROLLERDEVICEADDED:
            self._add(event.device_index)
        elif event.type == pygame.CONTROLLERDEVICEREMOVED:
            self._remove(event.instance_id)
            return self.let_go()
        elif event.type in (pygame.CONTROLLERBUTTONDOWN, pygame.CONTROLLERBUTTONUP):
            if event.button < len(_BUTTONS):
                return self._change(f"pad {_BUTTONS[event.button]}", event.type == pygame.CONTROLLERBUTTONDOWN)
        elif event.type == pygame.CONTROLLERAXISMOTION:
            return list(self._axis(event.axis, max(-1.0, event.value / _FULL)))
        return []

    def let_go(self) -> list[PadInput]:
        """Everything goes up: a pad was pulled out, or the person looks elsewhere."""
        self._sticks = {name: [0.0, 0.0] for name in STICKS}
        released, self._down = self._down, set()
        return [PadInput(name, False) for name in sorted(released)]

    def _add(self, index: int) -> None:
        lib = sdl()
        if lib is None or not lib.SDL_IsGameController(index):
            return
        instance, pad = lib.SDL_JoystickGetDeviceInstanceID(index), lib.SDL_GameControllerOpen(index)
        if pad:  # and not pulled out again already
            self._open[instance] = pad

    def _remove(self, instance: int) -> None:
        pad, lib = self._open.pop(instance, None), sdl()
        if pad is not None and lib is not None:
            lib.SDL_GameControllerClose(pad)

    def _axis(self, axis: int, value: float) -> Iterable[PadInput]:
        if axis in _TRIGGERS:
            yield from self._as_key(_TRIGGERS[axis], value)
        elif axis in _STICKS:
            stick, along = _STICKS[axis]
            self._sticks[stick][along] = value
            for way, signed in zip(_WAYS[along], (-value, value), strict=True):
                yield from self._as_key(f"pad {stick} stick {way}", signed)

    def _as_key(self, name: str, value: float) -> list[PadInput]:
        return self._change(name, value > (_RELEASED if name in self._down else _PRESSED))

    def _change(self, name: str, down: bool) -> list[PadInput]:
        if down == (name in self._down):
            return []
        (self._down.add if down else self._down.discard)(name)
        return [PadInput(name, down)]
