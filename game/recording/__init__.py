"""A session on disk: written, read, replayed, listed."""

__all__ = ["camera_path", "format", "library", "replay", "script", "writer"]
