"""Live play: the one thread that runs the engine, the one clock, and what a client may ask."""

__all__ = ["clock", "mailbox", "player", "status"]
