"""Keys that do something with the world itself, rather than in it."""

from __future__ import annotations

from collections.abc import Callable

import pygame

from game.worker import Worker

REWIND_KEY = "backspace"


def world_commands(worker: Worker) -> dict[str, Callable[[float], object]]:
    """Name of a key -> what pressing it at a moment does. Letting go of `REWIND_KEY` is `Worker.let_go`."""
    return {
        "f5": lambda now: worker.save(),
        "f6": lambda now: worker.toggle_recording(),
        "f8": lambda now: worker.anchor(),
        "f9": lambda now: worker.load(),
        "f12": lambda now: worker.screenshot(icons=bool(pygame.key.get_mods() & pygame.KMOD_SHIFT)),
        "tab": lambda now: worker.other_world(),
        REWIND_KEY: worker.rewind,
    }
