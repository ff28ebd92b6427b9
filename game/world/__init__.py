"""A world being played: no thread, no clock, no file."""

__all__ = ["history", "playthrough", "scenes"]
