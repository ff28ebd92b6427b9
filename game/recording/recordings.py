"""Recordings read back: the header, the actions the model really got, and the report to compare a replay with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.actions import MODES, Actions
from game.errors import ScriptError
from game.recording.format import FIRST_FRAME, NEVER, REPORT, REQUIRED_HEADER, SessionHeader, prelude_files


@dataclass(frozen=True)
class Return:
    """The world became again what it was after the first `frame` video frames of the recording."""

    frame: int


@dataclass(frozen=True)
class Anchor:
    """The world began anew from its present picture, with this seed."""

    seed: int


@dataclass(frozen=True)
class Enter:
    """The world became what a rollout from `first_frame` is after `actions`. compiled_from: as SessionHeader's."""

    first_frame: Path
    seed: int
    actions: Actions | None
    compiled_from: int = 0


Event = Return | Anchor | Enter


@dataclass(frozen=True)
class Happenings:
    """What a recording holds beside one action a video frame.

    events: by the frame they came before. held: first and behind-last frame of every block that is the picture before
    once more.
    """

    events: Mapping[int, tuple[Event, ...]] = field(default_factory=dict)
    held: tuple[tuple[int, int], ...] = ()

    @property
    def seams(self) -> list[int]:
        """The frames at which a block must begin, in order."""
        return sorted({*self.events, *(frame for span in self.held for frame in span)})


@dataclass(frozen=True)
class Recording:
    """A session read back. report: its report.json, None if it has none (it was killed). prelude: actions that the
    world had been given since its first frame when the recording began."""

    path: Path
    header: SessionHeader
    actions: Actions
    report: dict | None
    happenings: Happenings = field(default_factory=Happenings)
    prelude: Actions | None = None

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
    rows = _rows(path, lines, 1)
    prelude = _prelude(path.parent, 0, header.prelude) if header.prelude else None
    return Recording(
        path, header, _stack(path, rows), _report(path.parent / REPORT), _happenings(path, rows), prelude
    )  # fmt: skip


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


_ROW_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "frame": (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    "keyboard": (lambda v: _numbers(v), "a list of numbers"),
    "mouse": (lambda v: v is None or (_numbers(v) and len(v) == 2), "[pitch, yaw] or null"),
    "keys": (lambda v: isinstance(v, list) and all(isinstance(key, str) for key in v), "a list of key names"),
}
_EXTRA_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "block": (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    "held": (lambda v: isinstance(v, bool), "true or false"),
    "events": (lambda v: isinstance(v, list) and all(isinstance(event, dict) for event in v), "a list of events"),
}
_EVENTS = {"return": ("frame",), "anchor": ("seed",), "enter": ("prelude", "seed")}
_EXTRA_OF_ENTER = {"frames": 0, "compiled_from": NEVER}  # which older recordings lack, and the least they may be


@dataclass(frozen=True)
class _Row:
    """One line: its number in the file, and its fields, checked."""

    number: int
    data: dict


def _rows(path: Path, lines: list[str], skip: int) -> list[_Row]:
    """The video frames of a file's lines, but for the first `skip`."""
    # The last line of a killed session may be cut off: whatever has no line end was not finished.
    body = [(number, line) for number, line in enumerate(lines[skip:-1], start=skip + 1) if line.strip()]
    rows = [_row(path, number, line) for number, line in body]
    if not rows:
        raise ScriptError(f"{path}: the recording has no video frames", expected="one line per video frame")
    for expected, row in enumerate(rows):
        if row.data["frame"] != expected:
            got = row.data["frame"]
            raise ScriptError(f"{path}, line {row.number}: frames out of order", got=got, expected=expected)
    return rows


def _numbers(value: object) -> bool:
    ok = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    return ok and all(math.isfinite(v) for v in value)


def _row(path: Path, number: int, line: str) -> _Row:
    data = _object(path, number, line)
    for name, (fits, expected) in _ROW_CHECKS.items():
        if name not in data or not fits(data[name]):
            got = repr(data[name]) if name in data else "nothing"
            raise ScriptError(f"{path}, line {number}: bad {name}", got=got, expected=expected)
    for name, (fits, expected) in _EXTRA_CHECKS.items():
        if name in data and not fits(data[name]):
            raise ScriptError(f"{path}, line {number}: bad {name}", got=repr(data[name]), expected=expected)
    return _Row(number, data)


def _stack(path: Path, rows: list[_Row]) -> Actions:
    fields = [row.data for row in rows]
    widths, mice = len(fields[0]["keyboard"]), fields[0]["mouse"] is None
    for row in rows:
        if len(row.data["keyboard"]) != widths or (row.data["mouse"] is None) != mice:
            raise ScriptError(f"{path}, line {row.number}: keyboard or mouse differs in shape from the first frame's")
    keyboard = np.array([data["keyboard"] for data in fields], dtype=np.float32)
    mouse = None if mice else np.array([data["mouse"] for data in fields], dtype=np.float32)
    return Actions(keyboard, mouse, tuple(tuple(data["keys"]) for data in fields))


def _happenings(path: Path, rows: list[_Row]) -> Happenings:
    events = {
        frame: tuple(_event(path, row.number, frame, event) for event in row.data["events"])
        for frame, row in enumerate(rows)
        if row.data.get("events")
    }
    held: list[tuple[int, int]] = []
    for frame, row in enumerate(rows):
        if not row.data.get("held"):
            continue
        goes_on = held and held[-1][1] == frame and frame not in events
        if goes_on and rows[frame - 1].data.get("block") == row.data.get("block"):
            held[-1] = (held[-1][0], frame + 1)
        else:
            held.append((frame, frame + 1))
    return Happenings(events, tuple(held))


def _event(path: Path, number: int, frame: int, data: dict) -> Event:
    kind, where = data.get("event"), f"{path}, line {number}"
    if kind not in _EVENTS:
        raise ScriptError(f"{where}: unknown event", got=repr(kind), expected=" or ".join(_EVENTS))
    extra = [name for name in _EXTRA_OF_ENTER if kind == "enter" and name in data]
    for name in (*_EVENTS[kind], *extra):
        value, least = data.get(name), _EXTRA_OF_ENTER.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
            raise ScriptError(f"{where}: bad {name} of the event {kind}", got=repr(value), expected="a whole number")
    if kind == "anchor":
        return Anchor(data["seed"])
    if kind == "return":
        if data["frame"] > frame:
            raise ScriptError(f"{where}: an event returns to the future", got=data["frame"], expected=f"0..{frame}")
        return Return(data["frame"])
    return _enter(path, where, data)


def _enter(path: Path, where: str, data: dict) -> Enter:
    picture, log = (path.parent / name for name in prelude_files(data["prelude"]))
    if not picture.is_file():
        raise ScriptError(f"{where}: a picture of the recording is missing", got=picture, remedy="put it back")
    frames = data.get("frames")
    has_actions = log.is_file() if frames is None else frames > 0
    told = _prelude(path.parent, data["prelude"], frames) if has_actions else None
    return Enter(picture, data["seed"], told, data.get("compiled_from", 0))


def _prelude(folder: Path, number: int, frames: int | None = None) -> Actions:
    """The actions of prelude `number`, which must be `frames`. Raises ScriptError."""
    path = folder / prelude_files(number)[1]
    actions = _stack(path, _rows(path, read_text(path).split("\n"), 0))
    if frames is not None and len(actions) != frames:
        raise ScriptError(f"{path} is incomplete", got=f"{len(actions)} frames", expected=f"{frames}")
    return actions


def _report(path: Path) -> dict | None:
    """The report beside a recording; None if there is none. Raises ScriptError if it is not one."""
    if not path.is_file():
        return None
    report = _object(path, 1, read_text(path).replace("\n", " "))
    if not isinstance(report.get("frames_sha256"), str) or not isinstance(report.get("frames"), int):
        raise ScriptError(f"{path}: not a session's report", expected="frames and frames_sha256")
    return report
