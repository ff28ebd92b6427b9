"""Pixels and files: video, icons, pictures."""
