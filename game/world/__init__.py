"""A world being played: no thread, no clock, no file."""
