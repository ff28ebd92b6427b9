"""What a model is made of, as typed settings, and how they are read."""

__all__ = ["fields", "memory", "model", "waypoint"]
