"""Scores for recordings, ours and anyone's: read, measured, and put side by side on a page."""

__all__ = ["command", "process"]
