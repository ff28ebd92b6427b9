"""The client's own errors; like the engine's, their text is one line and says what, got, expected and what to do."""

from engine.errors import ConfigError, EngineError, InputError, nearest

__all__ = [
    "ConfigError",
    "EngineError",
    "InputError",
    "RecordingError",
    "RunError",
    "ScriptError",
    "did_you_mean",
    "nearest",
]


class ScriptError(InputError):
    """A script or a recording that cannot be played back as it stands."""


class RunError(EngineError):
    """Something failed while running, through no fault of the input: exit 1."""


class RecordingError(RunError):
    """A recording could not be written any further; what is on disk stays."""


def did_you_mean(name: str, names) -> str | None:
    """Remedy naming the nearest of `names`, or None if none is near."""
    close = nearest(name, names)
    return f"did you mean {close}?" if close else None
