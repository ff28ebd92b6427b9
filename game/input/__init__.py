"""Devices to controls; knows no window."""
