"""What pages are made of: widgets, painting, background jobs. Knows no world."""

__all__ = ["background", "folders", "menu", "paint", "widgets"]
