"""What game.recording.library was called before; checks from outside the repository use this name."""

from game.recording.library import Library

__all__ = ["Library"]
