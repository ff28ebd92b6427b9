"""From settings to a loaded model: what there is, whether it fits, where its files are."""

__all__ = ["catalog", "compiling", "download", "fit", "loader", "machine", "switcher"]
