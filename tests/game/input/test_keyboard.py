"""Keys are known by their place and by their letter, and one that goes up is the one that went down."""

from __future__ import annotations

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from game.input import devices
from game.input.devices import Keyboard

W, A, Q = 26, 4, 20  # SDL's scancodes of places, named as a US keyboard has them
AZERTY = {W: "z", A: "q", Q: "a", 29: "w"}
DVORAK = {W: ",", 22: "o", 7: "e", 19: "l", 15: "n"}


class Sdl:
    """A layout: what SDL says is printed on the key at a scancode, the US letter where nothing else is said."""

    def __init__(self, layout: dict[int, str]) -> None:
        self.layout = layout

    def SDL_GetKeyFromScancode(self, code: int) -> int:
        letter = self.layout.get(code) or devices.US_PLACES.get(code, "")
        return ord(letter) if letter else 0


@pytest.fixture
def layout(monkeypatch):
    """Sets a layout."""
    pygame.display.init()
    yield lambda table: monkeypatch.setattr(devices, "sdl", lambda: Sdl(table))
    pygame.display.quit()


def event(down: bool, letter: str, scancode: int, mod: int = 0) -> pygame.event.Event:
    kind = pygame.KEYDOWN if down else pygame.KEYUP
    return pygame.event.Event(kind, key=ord(letter), scancode=scancode, mod=mod)


def test_a_key_has_its_place_whatever_is_printed_on_it():
    key = Keyboard().read(event(True, "z", W))
    assert (key.place, key.letter, key.down) == ("w", "z", True)
    assert Keyboard().read(event(True, "ц", W)).letter == "w", "on a Cyrillic keyboard, W is where it always was"
    arrow = Keyboard().read(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_UP, scancode=82, mod=0))
    assert (arrow.place, arrow.letter) == ("up", "up")


def test_a_layout_switched_while_a_key_is_down_leaves_nothing_held():
    keyboard = Keyboard()
    down = keyboard.read(event(True, "q", A))
    up = keyboard.read(event(False, "a", A))
    assert (up.place, up.letter) == (down.place, down.letter) == ("a", "q")
    assert keyboard.read(event(False, "a", A)).letter == "a", "and the next time it is what it is"


def test_whoever_looks_elsewhere_holds_nothing():
    keyboard = Keyboard()
    keyboard.read(event(True, "q", A))
    keyboard.let_go()
    assert keyboard.read(event(False, "a", A)).letter == "a"


def test_the_modifiers_that_are_held_are_named_but_for_the_key_itself():
    keyboard = Keyboard()
    assert keyboard.read(event(True, "r", 21, pygame.KMOD_LCTRL | pygame.KMOD_LSHIFT)).modifiers == ("left ctrl",)
    control = pygame.event.Event(pygame.KEYDOWN, key=pygame.K_LCTRL, scancode=224, mod=pygame.KMOD_LCTRL)
    assert keyboard.read(control).modifiers == ()


def test_places_are_shown_by_the_letters_of_the_layout_and_found_by_them(layout):
    layout(AZERTY)
    assert [Keyboard.printed(place) for place in ("w", "a", "s", "d", "up")] == ["z", "q", "s", "d", "up"]
    assert Keyboard().place_of("z") == "w" and Keyboard().place_of("q") == "a" and Keyboard().place_of("p") == "p"
    layout(DVORAK)
    assert [Keyboard.printed(place) for place in "wsd"] == [",", "o", "e"]


def test_without_sdls_door_places_have_their_own_names(layout, monkeypatch):
    monkeypatch.setattr(devices, "sdl", lambda: None)
    assert Keyboard.printed("w") == "w" and Keyboard().place_of("w") == "w"
