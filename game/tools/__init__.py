"""One-shot commands: render, terminal, bench, doctor, profile."""

__all__ = ["bench", "doctor", "matrix", "profile", "render", "report", "sweep", "terminal"]
