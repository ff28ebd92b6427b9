"""Every error a person can cause, as typed exceptions whose text is one line: what; got; expected; remedy."""

import difflib
from collections.abc import Iterable


class EngineError(Exception):
    """Something the engine cannot do, said in one line.

    Args:
        what: what went wrong, and where.
        got: the offending value, if there is one.
        expected: the allowed values or the range.
        remedy: what a person can do about it.
    """

    def __init__(self, what: str, *, got: object = None, expected: object = None, remedy: str | None = None) -> None:
        self.what, self.got, self.expected, self.remedy = what, got, expected, remedy
        parts = [what]
        if got is not None:
            parts.append(f"got {got}")
        if expected is not None:
            parts.append(f"expected {expected}")
        if remedy is not None:
            parts.append(remedy)
        super().__init__(" ".join("; ".join(parts).split()))


class InputError(EngineError):
    """What came from outside was wrong."""


class ConfigError(InputError):
    """A model's config names an unknown field, or a value of the wrong type or range."""


class CheckpointError(InputError):
    """A weights file is missing, unreadable, or does not hold the model it should."""


class ActionError(InputError):
    """An action that the model's action space does not have."""


class PictureError(InputError):
    """A first frame that cannot be used."""


class CompileError(EngineError):
    """A program that torch's compiler cannot make."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` a person most likely meant by `name`, or None if none is near."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return close[0] if close else None
