"""Devices to controls; knows no window."""

__all__ = ["controls", "devices", "sdl"]
