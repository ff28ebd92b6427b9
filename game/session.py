"""What game.recording.format was called before; checks from outside the repository use this name."""

from game.recording.format import new_folder

__all__ = ["new_folder"]
