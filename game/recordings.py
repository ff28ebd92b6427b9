"""Recordings read back: the header, the actions the model really got, and the report to compare a replay with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.actions import MODES, Actions
from game.errors import ScriptError
from game.session import FIRST_FRAME, REPORT, REQUIRED_HEADER, SessionHeader


@dataclass(frozen=True)
class Recording:
    """A session read back. report: its report.json, None if it has none (it was killed)."""

    path: Path
    header: SessionHeader
    actions: Actions
    report: dict | None

    @property
    def folder(self) -> Path:
        """The session's folder."""
        return self.path.parent

    @property
    def first_frame(self) -> Path:
        """The picture its world started from."""
        return self.folder / FIRST_FRAME


def read_text(path: Path, limit: int | None = None) -> str:
    """The text of a file of at most `limit` bytes. Raises ScriptError."""
    try:
        if limit is not None and path.stat().st_size > limit:
            raise ScriptError(f"{path} is too large to be a script", expected=f"at most {limit >> 20} MB")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ScriptError(f"cannot read {path} ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ScriptError(
            f"{path} is no text file (byte {error.start} is not UTF-8)", expected="a .yaml script"
        ) from error


def read_recording(path: Path) -> Recording:
    """Reads an actions.jsonl and what lies beside it. Raises ScriptError with file and line."""
    lines = read_text(path).split("\n")
    if not lines[0].strip():
        raise ScriptError(f"{path}, line 1: the recording is empty", expected="a header line")
    header = _header(path, lines[0])
    # The last line of a killed session may be cut off: whatever has no line end was not finished.
    body = [(number, line) for number, line in enumerate(lines[1:-1], start=2) if line.strip()]
    rows = [_row(path, number, line) for number, line in body]
    if not rows:
        raise ScriptError(f"{path}: the recording has no video frames", expected="one line per video frame")
    for (number, _), (frame, *_), expected in zip(body, rows, range(len(rows)), strict=True):
        if frame != expected:
            raise ScriptError(f"{path}, line {number}: frames out of order", got=frame, expected=expected)
    return Recording(path, header, _stack(path, body, rows), _report(path.parent / REPORT))


def read_header(path: Path) -> SessionHeader:
    """The header of an actions.jsonl. Raises ScriptError."""
    return _header(path, read_text(path).partition("\n")[0])


def _header(path: Path, line: str) -> SessionHeader:
    data = _object(path, 1, line)
    try:
        header = SessionHeader.from_json(data)
    except KeyError as error:
        expected = ", ".join(REQUIRED_HEADER)
        raise ScriptError(f"{path}, line 1: the header lacks {error}", expected=expected) from error
    except (TypeError, ValueError) as error:
        raise ScriptError(f"{path}, line 1: the header's {error} is of the wrong kind") from error
    if not 0 <= header.seed < 2**63:
        expected = f"0 to {2**63 - 1}"
        raise ScriptError(f"{path}, line 1: seed is out of range", got=header.seed, expected=expected)
    if not all(isinstance(word, str) for word in header.overrides):
        raise ScriptError(f"{path}, line 1: bad overrides", got=list(header.overrides), expected="a list of words")
    if header.mode not in MODES:
        raise ScriptError(f"{path}, line 1: unknown mode", got=header.mode, expected=" or ".join(MODES))
    return header


def _object(path: Path, number: int, line: str) -> dict:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ScriptError(f"{path}, line {number}: not JSON", got=repr(line[:60])) from error
    if not isinstance(data, dict):
        raise ScriptError(f"{path}, line {number}: not a JSON object", got=repr(line[:60]))
    return data


_Row = tuple[int, list[float], list[float] | None, list[str]]
_ROW_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "frame": (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    "keyboard": (lambda v: _numbers(v), "a list of numbers"),
    "mouse": (lambda v: v is None or (_numbers(v) and len(v) == 2), "[pitch, yaw] or null"),
    "keys": (lambda v: isinstance(v, list) and all(isinstance(key, str) for key in v), "a list of key names"),
}


def _numbers(value: object) -> bool:
    ok = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    return ok and all(math.isfinite(v) for v in value)


def _row(path: Path, number: int, line: str) -> _Row:
    data = _object(path, number, line)
    for name, (fits, expected) in _ROW_CHECKS.items():
        if name not in data or not fits(data[name]):
            got = repr(data[name]) if name in data else "nothing"
            raise ScriptError(f"{path}, line {number}: bad {name}", got=got, expected=expected)
    return data["frame"], data["keyboard"], data["mouse"], data["keys"]


def _stack(path: Path, body: list[tuple[int, str]], rows: list[_Row]) -> Actions:
    widths, mice = len(rows[0][1]), rows[0][2] is None
    for (number, _), (_, keyboard, mouse, _) in zip(body, rows, strict=True):
        if len(keyboard) != widths or (mouse is None) != mice:
            raise ScriptError(f"{path}, line {number}: keyboard or mouse differs in shape from the first frame's")
    keyboard = np.array([row[1] for row in rows], dtype=np.float32)
    mouse = None if mice else np.array([row[2] for row in rows], dtype=np.float32)
    return Actions(keyboard, mouse, tuple(tuple(row[3]) for row in rows))


def _report(path: Path) -> dict | None:
    """The report beside a recording; None if there is none. Raises ScriptError if it is not one."""
    if not path.is_file():
        return None
    report = _object(path, 1, read_text(path).replace("\n", " "))
    if not isinstance(report.get("frames_sha256"), str) or not isinstance(report.get("frames"), int):
        raise ScriptError(f"{path}: not a session's report", expected="frames and frames_sha256")
    return report
