"""Gamepads come and go, and nothing they held stays held."""

from __future__ import annotations

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from game.input.devices import Gamepads, PadInput, graded
from game.input.sdl import sdl


@pytest.fixture
def pads():
    """Gamepads, of which none is plugged in."""
    pygame.display.init()
    yield Gamepads()
    pygame.quit()


def axis(number: int, value: float) -> pygame.event.Event:
    return pygame.event.Event(pygame.CONTROLLERAXISMOTION, axis=number, value=round(value * 32767), instance_id=0)


def button(number: int, down: bool) -> pygame.event.Event:
    kind = pygame.CONTROLLERBUTTONDOWN if down else pygame.CONTROLLERBUTTONUP
    return pygame.event.Event(kind, button=number, instance_id=0)


def test_a_stick_has_a_dead_zone_and_grows_evenly_to_the_rim():
    assert graded(0.1, 0.05, 0.15) == (0.0, 0.0)
    assert graded(1.0, 0.0, 0.15) == (1.0, 0.0)
    assert graded(0.575, 0.0, 0.15)[0] == pytest.approx(0.5)
    x, y = graded(0.9, 0.9, 0.15)  # a square stick's corner is no faster than its rim
    assert x == y == pytest.approx(2**-0.5)
    assert graded(0.0, 0.0, 0.0) == (0.0, 0.0)


def test_buttons_go_down_and_up_once(pads):
    assert pads.handle(button(0, True)) == [PadInput("pad a", True)]
    assert pads.handle(button(0, True)) == []
    assert pads.handle(button(0, False)) == [PadInput("pad a", False)]
    assert pads.handle(button(11, True)) == [PadInput("pad dpad up", True)]
    assert pads.handle(button(99, True)) == []


def test_sticks_and_triggers_count_as_keys_with_some_play(pads):
    assert pads.handle(axis(1, -0.45)) == []
    assert pads.handle(axis(1, -0.6)) == [PadInput("pad left stick up", True)]
    assert pads.handle(axis(1, -0.45)) == [], "it trembles about the threshold"
    assert pads.handle(axis(1, 0.7)) == [
        PadInput("pad left stick up", False),
        PadInput("pad left stick down", True),
    ]
    assert pads.handle(axis(5, 1.0)) == [PadInput("pad right trigger", True)]
    assert pads.stick("left", 0.15)[1] == pytest.approx((0.7 - 0.15) / 0.85, abs=1e-3)
    assert pads.stick("none", 0.15) == (0.0, 0.0)


def test_a_pad_that_is_pulled_out_lets_go_of_everything(pads):
    pads.handle(button(2, True))
    pads.handle(axis(2, 1.0))
    gone = pads.handle(pygame.event.Event(pygame.CONTROLLERDEVICEREMOVED, instance_id=0))
    assert gone == [PadInput("pad right stick right", False), PadInput("pad x", False)]
    assert pads.stick("right", 0.1) == (0.0, 0.0)


def test_a_pad_that_is_gone_before_it_could_be_opened_is_no_failure(pads):
    assert pads.handle(pygame.event.Event(pygame.CONTROLLERDEVICEADDED, device_index=7)) == []
    assert pads.names == []


def test_a_gamepad_that_is_plugged_in_is_opened_and_named_and_one_that_goes_is_let_go_of(pads):
    lib = sdl()
    if lib is None or not hasattr(lib, "SDL_JoystickAttachVirtual"):
        pytest.skip("this SDL makes no virtual gamepads")
    place = lib.SDL_JoystickAttachVirtual(1, 6, 15, 0)
    assert place >= 0
    try:
        added = [e for e in pygame.event.get() if e.type == pygame.CONTROLLERDEVICEADDED]
        for one in added:
            pads.handle(one)
        assert pads.names == ["Virtual Controller"]
        instance = lib.SDL_JoystickGetDeviceInstanceID(place)
    finally:
        lib.SDL_JoystickDetachVirtual(place)
    pads.handle(pygame.event.Event(pygame.CONTROLLERDEVICEREMOVED, instance_id=instance))
    assert pads.names == []
