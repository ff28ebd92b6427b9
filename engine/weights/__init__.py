"""Weights on a disk and where they go: names, shapes, files, places."""

__all__ = ["checkpoint", "placement", "seeded"]
