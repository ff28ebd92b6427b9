"""A session on disk: written, read, replayed, listed."""
