"""Settings: from YAML, the settings file and the command line."""

__all__ = ["bindings", "glance", "paths", "preferences", "settings"]
