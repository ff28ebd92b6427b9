"""Pixels and files: video, icons, pictures."""

__all__ = ["icons", "palette", "pictures", "video"]
