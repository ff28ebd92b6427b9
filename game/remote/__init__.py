"""Play from anywhere: the model on one machine (server), windows and browsers on others (page), one wire between."""

__all__ = ["bench", "client", "library", "serve", "wire"]
