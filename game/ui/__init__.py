"""The window: the only package that imports pygame. It knows worlds through `game.live` alone."""

import os
import sys

__all__ = ["connect", "local", "window"]

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on import otherwise
os.environ.setdefault("SDL_WINDOWS_DPI_AWARENESS", "permonitorv2")  # real pixels, not enlarged ones
os.environ.setdefault("SDL_VIDEO_X11_WMCLASS", "neural-world")  # for the desktop's lists; else the interpreter's name
if sys.platform.startswith("linux"):
    # SDL would push each frame through OpenGL: 8 ms a frame where that is software, against 0.1 ms by shared memory.
    os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")

if "numpy" in sys.modules:
    import pygame
else:
    # pygame tries to import numpy for its arrays, which nothing here uses: half of the time that a window takes.
    sys.modules["numpy"] = None  # type: ignore[assignment]
    try:
        import pygame  # noqa: F401
    finally:
        del sys.modules["numpy"]
