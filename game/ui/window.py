"""The window itself: the display, the surface, full screen, who has the mouse, and what keys are called."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pygame

from game.errors import RunError
from game.input.sdl import fill_screen, move_window, size_window, window_position
from game.media.palette import INK, PAPER, QUIET
from game.ui.toolkit.paint import Painter

if TYPE_CHECKING:
    from game.ui.gpu import Gpu

TITLE = "Neural world"
DRAW_VARIABLE = "NEURAL_WORLD_DRAW"
_MOUSE = {1: "mouse left", 2: "mouse middle", 3: "mouse right"}
_WHEEL = (4, 5)
_lost_handler = None  # X keeps no reference to it


class Window:
    """The display, full screen or not, what draws on it, and who has the mouse. Raises pygame.error when none can be
    opened.

    gpu: draws the window where there is a GPU to; None where the CPU does. drawn_by: which, and why, in words. asked:
    the size that was asked for, None to fit the screen.
    """

    def __init__(self, size: tuple[int, int] | None, full_screen: bool) -> None:
        _open_display()
        self.asked = size
        self._size = size or self.fitting_size()
        pygame.display.set_caption(TITLE)
        self.full_screen = False
        self._place: tuple[int, int] | None = None  # to come back to from full screen
        self.gpu, self.drawn_by = open_gpu(self._size)
        if self.gpu is None:
            pygame.display.set_mode(self._size, pygame.RESIZABLE)
        pygame.key.stop_text_input()  # an input method would keep keys to itself
        self.captured = False
        if full_screen:
            self.toggle_full_screen()

    @property
    def surface(self) -> pygame.Surface:
        """What is drawn on today: another one after every change of size."""
        if self.gpu is None:
            return pygame.display.get_surface()
        size = pygame.display.get_window_size()
        if self.gpu.words.get_size() != size:
            self.gpu.resize(size)
        return self.gpu.words

    def present(self, areas: list[pygame.Rect] | None) -> None:
        """Shows what was drawn. areas: where; None for everywhere."""
        if self.gpu is not None:
            self.gpu.present(areas)
        elif areas is None:
            pygame.display.flip()
        else:
            pygame.display.update(areas)

    def toggle_full_screen(self) -> None:
        """Fills the screen with the window, or gives it its old size and place back."""
        self.full_screen = not self.full_screen
        if self.gpu is not None:
            fill_screen(self.full_screen)
        elif self.full_screen:
            self._size, self._place = self.surface.get_size(), window_position()
            pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        else:
            for _ in range(2):  # the first call leaves full screen and keeps the screen's size
                self._set_size(self._place)

    def resize(self, size: tuple[int, int] | None) -> None:
        """Another size, None to fit the screen; also that to come back to from full screen."""
        self.asked = size
        self._size = size or self.fitting_size()
        if not self.full_screen and self.surface.get_size() != self._size:
            self._set_size(window_position())

    def _set_size(self, place: tuple[int, int] | None) -> None:
        if self.gpu is not None:
            size_window(self._size)
            return
        pygame.display.set_mode(self._size, pygame.RESIZABLE)
        if place is not None:  # pygame moves the window by the width of its frame otherwise
            move_window(place)

    def capture(self) -> None:
        """Takes the mouse: hidden and held, so that only its motion counts."""
        self.captured = True
        pygame.mouse.set_visible(False)
        pygame.event.set_grab(True)
        pygame.event.clear(pygame.MOUSEMOTION)  # the jump to the middle is not the person's

    def give_back(self) -> None:
        """Lets the mouse go where it likes."""
        self.captured = False
        pygame.event.set_grab(False)
        pygame.mouse.set_visible(True)

    def greet(self, words: str) -> None:
        """Shows the program's name and what it is doing, where they will stand while a world is loaded."""
        surface, paint = self.surface, Painter()
        unit, middle, y = paint.unit(surface), surface.get_width() // 2, surface.get_height() // 2
        room = surface.get_width() - 2 * unit
        surface.fill(INK)
        paint.put(surface, TITLE, 2 * unit, PAPER, (middle, y - 2 * unit), anchor="center", bold=True, room=room)
        paint.put(surface, words, unit, QUIET, (middle, y + 2 * unit), anchor="center", room=room)
        self.present(None)

    def show_icon(self) -> None:
        """Gives the window its picture in the desktop's lists."""
        from game.media.icons import key_cap  # numpy: not before the window is up

        icon = key_cap("W", 64, True)
        pygame.display.set_icon(pygame.image.frombuffer(icon.tobytes(), icon.shape[1::-1], "RGBA"))

    def close(self) -> None:
        """Takes the window off the screen at once, whatever is still to be finished."""
        self.captured = False
        pygame.display.quit()

    @staticmethod
    def fitting_size() -> tuple[int, int]:
        """1152 x 672, the shape of the embedded model's picture, or as much of it as the screen has room for.

        A screen of more and finer pixels gets a window of as many more.
        """
        screen = (pygame.display.get_desktop_sizes() or [(1280, 720)])[0]
        wanted = max(1.0, screen[1] / 1080)
        scale = min(wanted, 0.9 * screen[0] / 1152, 0.85 * screen[1] / 672)
        return round(1152 * scale), round(672 * scale)


def open_gpu(size: tuple[int, int], flags: int = pygame.RESIZABLE) -> tuple[Gpu | None, str]:
    """Opens a window that a GPU draws, if there is one and it is reachable. Returns what draws it, and that in words;
    (None, why) where the CPU has to.

    NEURAL_WORLD_DRAW=cpu has the CPU draw all the same; =gpu takes OpenGL even where a program computes it.
    """
    wish = os.environ.get(DRAW_VARIABLE, "")
    if wish == "cpu" or find_spec("moderngl") is None or pygame.display.get_driver() == "dummy":
        return None, "the CPU" + (" (moderngl is not installed)" if find_spec("moderngl") is None else "")
    from game.ui.gpu import Gpu, set_attributes

    try:
        set_attributes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the display cannot be waited for
            pygame.display.set_mode(size, flags | pygame.OPENGL | pygame.DOUBLEBUF, vsync=1)
        gpu = Gpu(pygame.display.get_window_size(), even_by_program=wish == "gpu")
    except (pygame.error, RunError) as error:
        return None, f"the CPU ({error})"  # which opens a window of its own in place of that one
    return gpu, f"the GPU ({gpu.name})"


def who_draws() -> str:
    """What would draw the window here, and why, in words; a window is opened for it that nobody sees."""
    try:
        _open_display()
        return f"drawn by {open_gpu((64, 64), pygame.HIDDEN)[1]}"
    except pygame.error as error:
        return f"none can be opened ({error})"
    finally:
        pygame.display.quit()


def _open_display() -> None:
    """Connects to the display, and not to the one nobody sees that SDL would make do with. Raises pygame.error."""
    chosen = os.environ.get("SDL_VIDEODRIVER")
    if sys.platform.startswith("linux") and not chosen and not os.environ.get("XDG_RUNTIME_DIR"):
        os.environ["SDL_VIDEODRIVER"] = "x11,KMSDRM"  # Wayland cannot work then, and says so on standard error
    pygame.display.init()
    if pygame.display.get_driver() == "offscreen" and chosen != "offscreen":
        raise pygame.error("no display")


def on_display_lost(end: Callable[[], None]) -> None:
    """Has `end`, which must not return, called when the X server goes away (elsewhere SDL asks the program to quit)."""
    global _lost_handler
    if pygame.display.get_driver() == "x11" and sys.platform.startswith("linux"):  # SDL itself loads X by this name
        _lost_handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda display: end())
        ctypes.CDLL("libX11.so.6").XSetIOErrorHandler(_lost_handler)


def wheel_notches(event: pygame.event.Event) -> list[str]:
    """Names of what a MOUSEWHEEL event's notches are, as game/config/bindings.py has them."""
    return ["wheel up" if event.y > 0 else "wheel down"] * abs(event.y)


def button_name(button: int) -> str | None:
    """Name of a mouse button, as game/config/bindings.py has it; None for the wheel."""
    return None if button in _WHEEL else _MOUSE.get(button, f"mouse {button - 2}")
