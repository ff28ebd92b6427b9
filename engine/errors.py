"""Every error a person can cause, as typed exceptions whose text is one line: what; got; expected; remedy."""

from collections.abc import Iterable

_LONGEST = 600  # characters of a part of the line: it is read by people


def _shown(part: object) -> str:
    try:
        text = str(part)
    except ValueError:  # a whole number of thousands of digits
        text = "a number too long to be shown"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 100]}...{text[-97:]}"


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
        parts = [_shown(what)]
        if got is not None:
            parts.append(f"got {_shown(got)}")
        if expected is not None:
            parts.append(f"expected {_shown(expected)}")
        if remedy is not None:
            parts.append(_shown(remedy))
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


class OverflowedError(EngineError):
    """Numbers grew beyond what their kind holds: what follows would be no pictures."""


class CompileError(EngineError):
    """A program that torch's compiler cannot make."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` a person most likely meant by `name`: mistyped, broken off, or without the group before it.

    None if none is near: an edit for every four letters, three at most.
    """
    best = None
    for whole in names:
        for other in {whole, whole if "." in name else whole.rpartition(".")[2]}:
            edits = _edits(name, other)
            if len(name.lstrip("-")) > 2 and other.startswith(name):
                edits = min(edits, 1)
            if edits <= min(3, max(len(name), len(other)) // 4) and (best is None or edits < best[0]):
                best = (edits, whole)
    return best[1] if best else None


def _edits(first: str, second: str) -> int:
    """How many letters are to be put in, left out, changed or swapped with the next one to make one word the other."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(second, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                row[-1] = min(row[-1], older[j - 2] + 1)
    return row[-1]
