"""A session's folder: its name and files; the header, lines and events of its action log, written and read back; the
numbers of its report."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.actions import Actions
from engine.block import Block
from engine.families import action_spaces
from game import files
from game.errors import InputError, RecordingError, ScriptError
from game.models.compiling import NEVER

ACTIONS = "actions.jsonl"
FIRST_FRAME = "first_frame.png"
REPORT = "report.json"
PRELUDE = "prelude.jsonl"
ICONS, CURRENT = "_icon.mp4", "_current.mp4"  # behind the name, of the other videos


@dataclass(frozen=True)
class Job:
    """What a run was asked for on the command line; None where it wasn't said. name: of the videos."""

    name: str = "demo"
    out: Path | None = None
    seed: int | None = None
    scene: str | None = None


@dataclass(frozen=True)
class SessionHeader:
    """What a replay must know besides the actions: the first line of actions.jsonl.

    The second half (source and below) says how the frames were computed. A replay takes quality, dtype, threads and
    compiled over unless told otherwise, because other kernels, or another number of threads, may round differently.
    compiled: how the kernels were, of every block from compiled_from on (NEVER: of none, though the world was compiled
    by then); what is recorded never changes them again.
    prelude: video frames that the world had played when the recording began; their actions are in prelude.jsonl.
    """

    model: str
    mode: str
    seed: int
    width: int
    height: int
    fps: float
    first_frame_sha256: str
    weights_sha256: str
    version: str
    source: str = (
        "headless"  # or "live": such a session cannot be rendered again by its script, so it is never overwritten
    )
    scene: str = ""
    quality: str = "default"
    overrides: tuple[str, ...] = ()
    denoising_steps: tuple[int, ...] = ()
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 0
    torch: str = ""
    compiled: str = "off"
    compiled_from: int = 0
    prelude: int = 0

    def to_json(self) -> dict:
        """The header as the JSON object that is written."""
        return {"kind": "header", **asdict(self)}

    @staticmethod
    def from_json(data: dict) -> SessionHeader:
        """Reads what to_json wrote. Raises KeyError for a missing field, TypeError or ValueError for a wrong type."""
        values: dict[str, Any] = {}
        for item in fields(SessionHeader):
            if item.name not in data:
                continue
            value, kind = data[item.name], {"int": int, "float": float, "str": str}.get(str(item.type))
            if kind is not None and (
                isinstance(value, bool) or not isinstance(value, (kind, int) if kind is float else kind)
            ):
                raise TypeError(item.name)
            if kind is None and not isinstance(value, list):
                raise TypeError(item.name)
            values[item.name] = tuple(value) if kind is None else kind(value)
        missing = [name for name in REQUIRED_HEADER if name not in values]
        if missing:
            raise KeyError(missing[0])
        return SessionHeader(**values)


REQUIRED_HEADER = ("model", "mode", "seed", "width", "height", "fps", "first_frame_sha256", "weights_sha256", "version")


def picture_sha256(picture: np.ndarray) -> str:
    """SHA-256 over a picture's bytes. picture: (H, W, 3) uint8 RGB."""
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()


_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices, on Windows


def checked_name(name: str) -> str:
    """`name` if it can begin a file's name on every system, in any script. Raises InputError otherwise."""
    fits = 0 < len(name) <= 80 and len(name.encode("utf-8", "surrogatepass")) <= files.MOST_BYTES
    if (
        not fits
        or not all(map(_in_names, name))
        or not (name[0].isalnum() or name[0] == "_")
        or name.endswith((".", " "))
        or _RESERVED.fullmatch(name)
    ):
        expected = "1 to 80 letters and digits of any alphabet, _ - . or spaces, beginning with a letter, digit or _"
        raise InputError("--name cannot be a file's name", got=repr(name), expected=expected)
    return name


def usable_name(name: str) -> str:
    """A name as near to `name` as `checked_name` lets through; "recording" if nothing is left of it."""
    kept = "".join(char if _in_names(char) else "_" for char in name)
    kept = kept.lstrip("-. ")[:80].encode("utf-8")[: files.MOST_BYTES].decode("utf-8", "ignore").rstrip(". ")
    try:
        return checked_name(kept)
    except InputError:
        return "recording"


def _in_names(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char)[0] == "M" or char in "_-. "


def new_folder(out: Path | None, name: str, *, root: Path = Path("recordings"), keep_live: bool = True) -> Path:
    """Makes the folder a session is written to; two programs never get the same one.

    out: the folder asked for, or None for `root`/<UTC time>-<name>. keep_live: when `out` already holds a session, make
    `out`-2, `out`-3, ... instead; sessions under `root` always get a folder of their own. Raises RecordingError when
    the folder cannot be made.
    """
    folder = root / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{name}" if out is None else out
    try:
        if out is None:
            return files.new_folder(folder)
        for candidate in files.numbered(folder) if keep_live else (folder,):
            candidate.mkdir(parents=True, exist_ok=True)
            if not keep_live:
                return candidate
            with contextlib.suppress(FileExistsError):
                (candidate / ACTIONS).touch(exist_ok=False)  # claims it
                return candidate
    except (OSError, ValueError) as error:
        raise files.folder_error(folder, error) from error
    raise RecordingError("no free name for the session's folder", got=folder, remedy="choose another with --out")


def holds_session(folder: Path) -> bool:
    """Whether `folder` holds a recorded session already."""
    return (folder / ACTIONS).exists()


def find_video(folder: Path) -> Path | None:
    """The clean video among a session's files, whatever it is called by now; None if there is none."""
    found = [path for path in folder.glob("*.mp4") if not path.name.startswith(".")]
    clean = sorted(path for path in found if not path.name.endswith((ICONS, CURRENT)))
    return next((path for path in clean if path.stat().st_size), None)


def action_lines(
    actions: Actions,
    first: int,
    block: int | None = None,
    events: Sequence[dict] = (),
    held: bool = False,
    frames: np.ndarray | None = None,
) -> Iterable[str]:
    """The lines of actions.jsonl for the video frames of one block, the first of which is number `first`.

    block: its number, None where there are no blocks (a prelude). events: what happened to the world just before, as
    the first frame tells it. held: no rollout made these frames, they are the picture before once more. frames:
    (F, H, W, 3) uint8 RGB, the pictures, of which each line notes a checksum.
    """
    for i in range(len(actions)):
        mouse = None if actions.mouse is None else [short_float(v) for v in actions.mouse[i]]
        line: dict = {"frame": first + i}
        if block is not None:
            line["block"] = block
        line["keyboard"] = _keyboard(actions.keyboard[i])
        line |= {"mouse": mouse, "keys": list(actions.keys[i])}
        if held:
            line["held"] = True
        if events and i == 0:
            line["events"] = list(events)
        if frames is not None:
            line["crc32"] = frame_crc32(frames[i])
        yield json_line(line)


_WIDE = 32  # numbers of a keyboard; of one with more, only those that are not zero are written
_WIDEST = 65536


def _keyboard(values: np.ndarray) -> list[float] | dict[str, float]:
    """A frame's keyboard (K,) as its line tells it: all its numbers; of a wide one its width, and by their places those
    that are not zero."""
    if len(values) <= _WIDE:
        return [short_float(v) for v in values]
    return {"width": len(values), **{str(place): short_float(values[place]) for place in np.flatnonzero(values)}}


def frame_crc32(frame: np.ndarray) -> str:
    """CRC-32 over a frame's bytes, 8 hexadecimal digits: tells where two recordings part."""
    return f"{zlib.crc32(np.ascontiguousarray(frame).data):08x}"


def prelude_files(number: int) -> tuple[str, str]:
    """Names of the first frame and of the actions of prelude `number`: 0 is the recording's own beginning."""
    return (FIRST_FRAME, PRELUDE) if number == 0 else (f"first_frame-{number}.png", f"prelude-{number}.jsonl")


def json_line(data: dict) -> str:
    """`data` as one line of a .jsonl file, with its line end."""
    return json.dumps(data) + "\n"


@lru_cache(maxsize=4096)
def short_float(value: np.float32) -> float:
    """The shortest decimal number that reads back as the same float32 (0.1 rather than 0.10000000149)."""
    return float(str(np.float32(value)))


# -- read back --------------------------------------------------------------------------------------------------------


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
    """A session read back.

    report: its report.json, None if it has none that can be read (it was killed, the power failed). prelude: actions
    that the world had been given since its first frame when the recording began. crc32: of every frame, None where it
    was not noted. log_sha256: over actions.jsonl as it is now.
    """

    path: Path
    header: SessionHeader
    actions: Actions
    report: dict | None
    happenings: Happenings = field(default_factory=Happenings)
    prelude: Actions | None = None
    crc32: tuple[str | None, ...] = ()
    log_sha256: str = ""

    @property
    def folder(self) -> Path:
        """The session's folder."""
        return self.path.parent

    @property
    def first_frame(self) -> Path:
        """The picture its world started from."""
        return self.folder / FIRST_FRAME


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """What is in a file of at most `limit` bytes. Raises ScriptError."""
    try:
        with path.open("rb") as file:
            data = file.read(-1 if limit is None else limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise ScriptError(f"cannot read {path} ({reason})") from error
    if limit is not None and len(data) > limit:
        raise ScriptError(f"{path} is too large to be a script", expected=f"at most {limit >> 20} MB")
    return data


_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def decoded(path: Path, data: bytes) -> str:
    """A text file's text: UTF-8, or UTF-16 as some editors write it. path: named in errors. Raises ScriptError."""
    bom = next((bom for bom in _BOMS if data.startswith(bom)), b"")
    try:
        text = data[len(bom) :].decode(_BOMS.get(bom, "utf-8"))
    except UnicodeDecodeError as error:
        what = f"{path} is no text file (byte {error.start + len(bom)} is not {error.encoding.upper()})"
        raise ScriptError(what, expected="a .yaml script") from error
    return text.replace("\r\n", "\n")


def read_text(path: Path, limit: int | None = None) -> str:
    """The text of a file of at most `limit` bytes. Raises ScriptError."""
    return decoded(path, read_bytes(path, limit))


def read_recording(path: Path) -> Recording:
    """Reads an actions.jsonl and what lies beside it. Raises ScriptError with file and line."""
    data = _read_log(path)
    lines = _lines(decoded(path, data))
    if not lines[0].strip():
        raise ScriptError(f"{path}, line 1: the recording is empty", expected="a header line")
    header = _header(path, lines[0])
    rows = _rows(path, lines, 1)
    prelude = _prelude(path.parent, 0, header.prelude) if header.prelude else None
    return Recording(
        path,
        header,
        _stack(path, rows),
        _report(path.parent / REPORT),
        _happenings(path, rows),
        prelude,
        tuple(row.data.get("crc32") for row in rows),
        hashlib.sha256(data).hexdigest(),
    )


def _read_log(path: Path) -> bytes:
    """A log's bytes, without the NULs that a power failure leaves at its end. Raises ScriptError."""
    try:
        files.check_regular(path)
    except OSError as error:
        raise ScriptError(f"cannot read {path} ({error.strerror or error})") from error
    return read_bytes(path).rstrip(b"\0")


def _lines(text: str) -> list[str]:
    """The finished lines of a log, and "" behind them: the last one of a killed session may be cut off."""
    *whole, last = text.split("\n")
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(json.loads(last), dict):  # an editor has left its line's end away: what is cut off is not JSON
            whole.append(last)
            last = ""
    return [*whole, ""] if whole else [last, ""]


def read_header(path: Path) -> SessionHeader:
    """The header of an actions.jsonl. Raises ScriptError."""
    return _header(path, _lines(decoded(path, _read_log(path)))[0])


_CHANGE_PICTURES = ("model.", "quality.", "decoder=")  # what the overrides of a recording may set


def _header(path: Path, line: str) -> SessionHeader:
    data = _object(path, 1, line)
    try:
        header = SessionHeader.from_json(data)
    except KeyError as error:
        expected = ", ".join(REQUIRED_HEADER)
        raise ScriptError(f"{path}, line 1: the header lacks {error}", expected=expected) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise ScriptError(f"{path}, line 1: the header's {error} is of the wrong kind") from error
    limits = {"seed": 2**63 - 1, "width": 65536, "height": 65536, "fps": 1000, "prelude": 10**8, "threads": 1024}
    for name, most in limits.items():
        value, least = getattr(header, name), 1 if name in ("width", "height") else 0
        if not least <= value <= most or (name == "fps" and not value):
            got = value if len(str(value)) < 60 else "..."
            raise ScriptError(f"{path}, line 1: {name} is out of range", got=got, expected=f"{least} to {most}")
    if not all(isinstance(word, str) and word.startswith(_CHANGE_PICTURES) for word in header.overrides):
        got, expected = list(header.overrides), f"words that begin with {' or '.join(_CHANGE_PICTURES)}"
        raise ScriptError(f"{path}, line 1: bad overrides", got=got, expected=expected)
    if header.mode not in action_spaces():
        raise ScriptError(f"{path}, line 1: unknown mode", got=header.mode, expected=" or ".join(action_spaces()))
    return header


def _object(path: Path, number: int, line: str) -> dict:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ScriptError(f"{path}, line {number}: not JSON", got=repr(line[:60])) from error
    if not isinstance(data, dict):
        raise ScriptError(f"{path}, line {number}: not a JSON object", got=repr(line[:60]))
    return data


_ROW_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "frame": (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    "keyboard": (lambda v: _numbers(v) or _places(v), 'a list of numbers, or {"width": K, "PLACE": number}'),
    "mouse": (lambda v: v is None or (_numbers(v) and len(v) == 2), "[pitch, yaw] or null"),
    "keys": (lambda v: isinstance(v, list) and all(isinstance(key, str) for key in v), "a list of key names"),
}
_EXTRA_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "block": (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    "held": (lambda v: isinstance(v, bool), "true or false"),
    "events": (lambda v: isinstance(v, list) and all(isinstance(event, dict) for event in v), "a list of events"),
    "crc32": (lambda v: isinstance(v, str), "8 hexadecimal digits"),
}
_EVENTS = {"return": ("frame",), "anchor": ("seed",), "enter": ("prelude", "seed")}
_EXTRA_OF_ENTER = {"frames": 0, "compiled_from": NEVER}  # which older recordings lack, and the least they may be


_LARGEST = 3e38  # of a float32


@dataclass(frozen=True)
class _Row:
    """One line: its number in the file, and its fields, checked."""

    number: int
    data: dict


def _rows(path: Path, lines: list[str], skip: int) -> list[_Row]:
    """The video frames of a file's lines, but for the first `skip`."""
    body = [(number, line) for number, line in enumerate(lines[skip:-1], start=skip + 1) if line.strip()]
    rows = [_row(path, number, line) for number, line in body]
    if not rows:
        raise ScriptError(f"{path}: the recording has no video frames", expected="one line per video frame")
    for expected, row in enumerate(rows):
        if row.data["frame"] != expected:
            got = row.data["frame"]
            raise ScriptError(f"{path}, line {row.number}: frames out of order", got=got, expected=expected)
    return rows


def _numbers(value: Any) -> bool:
    ok = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    return ok and all(-_LARGEST <= v <= _LARGEST for v in value)


def _places(value: Any) -> bool:
    """Whether it is a wide keyboard as `_keyboard` tells it."""
    if not isinstance(value, dict):
        return False
    width, told = value.get("width"), {place: number for place, number in value.items() if place != "width"}
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= _WIDEST:
        return False
    fit = all(len(place) <= 5 and place.isdecimal() and str(int(place)) == place for place in told)
    return fit and all(int(place) < width for place in told) and _numbers([*told.values()])


def _short(value: object) -> str:
    """A value as errors show it."""
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:57]}..."


def _row(path: Path, number: int, line: str) -> _Row:
    data = _object(path, number, line)
    for name, (fits, expected) in _ROW_CHECKS.items():
        if name not in data or not fits(data[name]):
            got = _short(data[name]) if name in data else "nothing"
            raise ScriptError(f"{path}, line {number}: bad {name}", got=got, expected=expected)
    for name, (fits, expected) in _EXTRA_CHECKS.items():
        if name in data and not fits(data[name]):
            raise ScriptError(f"{path}, line {number}: bad {name}", got=_short(data[name]), expected=expected)
    return _Row(number, data)


def _stack(path: Path, rows: list[_Row]) -> Actions:
    fields = [row.data for row in rows]
    width, mice = _width(fields[0]["keyboard"]), fields[0]["mouse"] is None
    for row in rows:
        if _width(row.data["keyboard"]) != width or (row.data["mouse"] is None) != mice:
            raise ScriptError(f"{path}, line {row.number}: keyboard or mouse differs in shape from the first frame's")
    keyboard = np.zeros((len(fields), width), dtype=np.float32)
    for values, data in zip(keyboard, fields, strict=True):
        _fill(values, data["keyboard"])
    mouse = None if mice else np.array([data["mouse"] for data in fields], dtype=np.float32)
    return Actions(keyboard, mouse, tuple(tuple(data["keys"]) for data in fields))


def _width(keyboard: list[float] | dict[str, float]) -> int:
    return int(keyboard["width"]) if isinstance(keyboard, dict) else len(keyboard)


def _fill(values: np.ndarray, keyboard: list[float] | dict[str, float]) -> None:
    """Writes a line's keyboard into values (K,), which are zeros."""
    if isinstance(keyboard, dict):
        for place, number in keyboard.items():
            if place != "width":
                values[int(place)] = number
    else:
        values[:] = keyboard


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
    if not isinstance(kind, str) or kind not in _EVENTS:
        raise ScriptError(f"{where}: unknown event", got=_short(kind), expected=" or ".join(_EVENTS))
    extra = [name for name in _EXTRA_OF_ENTER if kind == "enter" and name in data]
    for name in (*_EVENTS[kind], *extra):
        value, least = data.get(name), _EXTRA_OF_ENTER.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
            raise ScriptError(f"{where}: bad {name} of the event {kind}", got=_short(value), expected="a whole number")
    if kind == "anchor":
        return Anchor(data["seed"])
    if kind == "return":
        if data["frame"] > frame:
            raise ScriptError(f"{where}: an event returns to the future", got=data["frame"], expected=f"0..{frame}")
        return Return(data["frame"])
    return _enter(path, where, data)


def _enter(path: Path, where: str, data: dict) -> Enter:
    picture, log = (path.parent / name for name in prelude_files(data["prelude"]))
    if not files.is_regular(picture):
        raise ScriptError(f"{where}: a picture of the recording is missing", got=picture, remedy="put it back")
    frames = data.get("frames")
    has_actions = files.is_regular(log) if frames is None else frames > 0
    told = _prelude(path.parent, data["prelude"], frames) if has_actions else None
    return Enter(picture, data["seed"], told, data.get("compiled_from", 0))


def _prelude(folder: Path, number: int, frames: int | None = None) -> Actions:
    """The actions of prelude `number`, which must be `frames`. Raises ScriptError."""
    path = folder / prelude_files(number)[1]
    actions = _stack(path, _rows(path, _lines(decoded(path, _read_log(path))), 0))
    if frames is not None and len(actions) != frames:
        raise ScriptError(f"{path} is incomplete", got=f"{len(actions)} frames", expected=f"{frames}")
    return actions


def _report(path: Path) -> dict | None:
    """The report beside a recording; None if there is none, or none that can be read."""
    try:
        files.check_regular(path)
        report = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):  # never written, or lost with the power: the recording is not
        return None
    if not isinstance(report, dict) or not isinstance(report.get("frames_sha256"), str):
        return None
    return report if isinstance(report.get("frames"), int) else None


# -- speed ------------------------------------------------------------------------------------------------------------


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """{"p50", "p95"} of some milliseconds, rounded to the microsecond; zeros if there are none."""
    if not len(values):
        return {"p50": 0.0, "p95": 0.0}
    p50, p95 = np.percentile(np.asarray(values, dtype=np.float64), [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


class RunStats:
    """Speed of a run, gathered block by block."""

    def __init__(self) -> None:
        self.frames = 0
        self.blocks = 0
        self._made = 0  # frames that the engine made; the others are held
        self._total: list[float] = []
        self._stages: dict[str, list[float]] = {"denoise": [], "context": [], "decode": []}

    def add(self, block: Block, held: bool = False) -> None:
        """Counts a block in. held: it cost the engine nothing."""
        timings = block.timings
        self.frames += len(block.frames)
        self.blocks += 1
        if held:
            return
        self._made += len(block.frames)
        self._total.append(timings.total_ms)
        for stage, values in self._stages.items():
            values.append(getattr(timings, f"{stage}_ms"))

    def to_report(self, fps: float) -> dict:
        """generated_fps, realtime_factor, block_ms and stage_ms (medians) as report.json and bench.json name them.

        fps: the model's own video frames a second. A context pass that ran between two steps counts as work of its
        block, whether or not it was inside the step's own total.
        """
        seconds = sum(self.work_ms()) / 1000.0
        generated = self._made / seconds if seconds > 0 else 0.0
        return {
            "generated_fps": round(generated, 3),
            "realtime_factor": round(generated / fps, 4),
            "block_ms": percentiles(self.work_ms()),
            "stage_ms": {stage: percentiles(values)["p50"] for stage, values in self._stages.items()},
        }

    def work_ms(self) -> list[float]:
        """Milliseconds of work per block: its stages, or its total where that is more."""
        stages = zip(*self._stages.values(), strict=True)
        return [max(total, sum(parts)) for total, parts in zip(self._total, stages, strict=True)]
