"""The SDL that pygame is built on, for what pygame has no public door to: layouts, gamepads, where the window stands.

These are functions of SDL 2's own, documented and stable interface.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on import otherwise

import pygame

_DESKTOP = 0x1001  # SDL_WINDOW_FULLSCREEN_DESKTOP


@cache
def sdl() -> ctypes.CDLL | None:
    """The SDL that pygame uses, for what pygame has no door to; None where it cannot be reached.

    A symbol is looked up in an extension module of pygame and in what that is linked to; on Windows, in one file.
    """
    try:
        lib = ctypes.CDLL(str(Path(pygame.__file__).parent / "SDL2.dll") if sys.platform == "win32" else _extension())
        lib.SDL_GetKeyFromScancode.argtypes, lib.SDL_GetKeyFromScancode.restype = [ctypes.c_int], ctypes.c_int32
        lib.SDL_GetWindowFromID.argtypes, lib.SDL_GetWindowFromID.restype = [ctypes.c_uint32], ctypes.c_void_p
        where = ctypes.POINTER(ctypes.c_int)
        lib.SDL_GetWindowPosition.argtypes, lib.SDL_GetWindowPosition.restype = [ctypes.c_void_p, where, where], None
        lib.SDL_SetWindowPosition.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        lib.SDL_SetWindowPosition.restype = None
        lib.SDL_SetWindowFullscreen.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        lib.SDL_SetWindowSize.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        lib.SDL_SetWindowSize.restype = None
        lib.SDL_InitSubSystem.argtypes = [ctypes.c_uint32]
        lib.SDL_QuitSubSystem.argtypes, lib.SDL_QuitSubSystem.restype = [ctypes.c_uint32], None
        lib.SDL_IsGameController.argtypes = [ctypes.c_int]
        lib.SDL_GameControllerOpen.argtypes, lib.SDL_GameControllerOpen.restype = [ctypes.c_int], ctypes.c_void_p
        lib.SDL_GameControllerClose.argtypes, lib.SDL_GameControllerClose.restype = [ctypes.c_void_p], None
        lib.SDL_GameControllerName.argtypes, lib.SDL_GameControllerName.restype = [ctypes.c_void_p], ctypes.c_char_p
        lib.SDL_JoystickGetDeviceInstanceID.argtypes = [ctypes.c_int]
        lib.SDL_JoystickGetDeviceInstanceID.restype = ctypes.c_int32
    except (OSError, AttributeError):
        return None
    return lib


def _extension() -> str:
    return str(pygame.display.__file__)


def window_position() -> tuple[int, int] | None:
    """Where the window stands on the desktop, None where nobody knows."""
    lib, window = sdl(), _window()
    if lib is None or window is None:
        return None
    x, y = ctypes.c_int(), ctypes.c_int()
    lib.SDL_GetWindowPosition(window, x, y)
    return x.value, y.value


def move_window(position: tuple[int, int]) -> None:
    """Puts the window there."""
    lib, window = sdl(), _window()
    if lib is not None and window is not None:
        lib.SDL_SetWindowPosition(window, *position)


def fill_screen(full: bool) -> bool:
    """Has the window fill the screen, or not any more, and keep its drawing context. Returns whether that worked."""
    lib, window = sdl(), _window()
    return lib is not None and window is not None and lib.SDL_SetWindowFullscreen(window, _DESKTOP if full else 0) == 0


def size_window(size: tuple[int, int]) -> None:
    """Gives the window a size, and leaves its drawing context."""
    lib, window = sdl(), _window()
    if lib is not None and window is not None:
        lib.SDL_SetWindowSize(window, *size)


def _window() -> int | None:
    """SDL's handle of the one window there is; each that a process opens has a number of its own."""
    lib = sdl()
    return None if lib is None else next(filter(None, map(lib.SDL_GetWindowFromID, range(1, 1000))), None)
