"""Gamepads: buttons, triggers and sticks as named inputs, and one stick as a graded look. Come and go as they like."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on import otherwise

import pygame
from pygame._sdl2 import controller, sdl2

_BUTTONS = (
    *("a", "b", "x", "y", "back", "guide", "start", "left stick", "right stick", "left shoulder", "right shoulder"),
    *("dpad up", "dpad down", "dpad left", "dpad right"),
)
STICKS = ("left", "right")
_STICKS = {0: ("left", 0), 1: ("left", 1), 2: ("right", 0), 3: ("right", 1)}  # SDL's axis -> stick, right or down
_TRIGGERS = {4: "pad left trigger", 5: "pad right trigger"}
_WAYS = (("left", "right"), ("up", "down"))
_FULL = 32767
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
        self._open: dict[int, controller.Controller] = {}
        self._sticks = {name: [0.0, 0.0] for name in STICKS}
        self._down: set[str] = set()
        try:
            pygame.joystick.init()  # which a controller's instance is asked through
            controller.init()
            self.problem = ""
        except (pygame.error, sdl2.error) as error:
            self.problem = f"Gamepads cannot be used here ({error})"

    @property
    def names(self) -> list[str]:
        """What is plugged in."""
        return [pad.name or "a gamepad" for pad in self._open.values()]

    def stick(self, which: str, dead_zone: float) -> tuple[float, float]:
        """Where a stick ("left", "right") is held: right and down, each within +-1."""
        return graded(*self._sticks[which], dead_zone) if which in self._sticks else (0.0, 0.0)

    def handle(self, event: pygame.event.Event) -> list[PadInput]:
        """What an event means; nothing if it is not a gamepad's."""
        if event.type == pygame.CONTROLLERDEVICEADDED:
            return self._add(event.device_index)
        if event.type == pygame.CONTROLLERDEVICEREMOVED:
            self._open.pop(event.instance_id, None)
            return self.let_go()
        if event.type in (pygame.CONTROLLERBUTTONDOWN, pygame.CONTROLLERBUTTONUP):
            if event.button >= len(_BUTTONS):
                return []
            return self._change(f"pad {_BUTTONS[event.button]}", event.type == pygame.CONTROLLERBUTTONDOWN)
        if event.type == pygame.CONTROLLERAXISMOTION:
            return list(self._axis(event.axis, max(-1.0, event.value / _FULL)))
        return []

    def let_go(self) -> list[PadInput]:
        """Everything goes up: a pad was pulled out, or the person looks elsewhere."""
        self._sticks = {name: [0.0, 0.0] for name in STICKS}
        released, self._down = self._down, set()
        return [PadInput(name, False) for name in sorted(released)]

    def _add(self, index: int) -> list[PadInput]:
        try:
            pad = controller.Controller(index)
            self._open[pad.as_joystick().get_instance_id()] = pad
        except (pygame.error, sdl2.error):
            pass  # pulled out again already
        return []

    def _axis(self, axis: int, value: float) -> Iterator[PadInput]:
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
