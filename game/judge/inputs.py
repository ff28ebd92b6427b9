"""What is to be judged: recordings of ours, and any program's: a video with an action log.

A mapping file (`mapping.yaml` beside the video, or --mapping FILE) says which column of a CSV or JSONL is what:

    video: clip.mp4            # the folder's only video, if left away
    actions: log.csv           # the folder's only .csv or .jsonl, if left away
    mode: universal            # whose keys and mouse they are meant as
    frame: frame               # column with the number of the video frame, from 0 (without it: rows are frames), or
    time: seconds              # column with seconds since the first video frame: a row holds until the next one
    keys: {W: forward, S: back, A: left, D: right}    # a column for each key, true (1, yes, pressed) while it is held
    pressed: keys              # or one column that lists what is held: "W+A", "W A" or ["W", "A"]
    names: {w: W, Key.up: W}   # what the log calls a key
    mouse: {yaw: dx, pitch: dy, yaw_scale: 0.002, pitch_scale: -0.002}   # + looks up and turns right
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from engine.actions import Actions, ActionSpace
from engine.errors import ActionError
from engine.families import action_space, action_spaces, first_space
from engine.measures.clip import Clip, to_stated_size
from engine.measures.pictures import STATED_SIZE
from game.errors import InputError, ScriptError, did_you_mean
from game.media.video import FrameReader
from game.recording.format import ACTIONS, Recording, find_video, read_recording

MAPPING = "mapping.yaml"
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
MAX_FRAMES = 50_000  # as many as fit 3.5 GB at the size they are measured at
_LOGS = (".csv", ".jsonl")
_SIDE_VIDEOS = ("_icon.mp4", "_current.mp4")
_TRUE, _FALSE = ("1", "true", "yes", "pressed", "down", "on"), ("", "0", "false", "no", "released", "up", "off", "none")


@dataclass(frozen=True)
class Source:
    """One recording found: its video, and the actions that go with it, not yet read.

    path, mapping: by which it was found. actions: reads them, given the times of the video's frames in seconds. first:
    reads the picture before frame 0. cuts: frames at which something else than play happened; held: first and
    behind-last frame of standing pictures. foreign: another program's, whose actions must be as many as the frames.
    """

    name: str
    folder: Path
    video: Path
    log: Path
    mode: str
    actions: Callable[[np.ndarray], Actions]
    first: Callable[[], np.ndarray] | None = None
    fps: float | None = None
    block: int | None = None
    cuts: tuple[int, ...] = ()
    held: tuple[tuple[int, int], ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    scene: str = ""
    foreign: bool = False
    path: Path = Path()
    mapping: Path | None = None


@dataclass(frozen=True)
class Footage:
    """A recording read: its clips, and the video frame that each begins at. notes: what a reader should know of it."""

    clips: tuple[Clip, ...]
    begins: tuple[int, ...]
    frames: int
    fps: float
    notes: tuple[str, ...] = ()


def find_source(path: Path, mapping: Path | None = None) -> Source:
    """The recording at `path`: a folder, a video, an action log or a mapping file. Raises InputError, ScriptError."""
    return replace(_found(path.expanduser(), mapping), path=path, mapping=mapping)


def _found(path: Path, mapping: Path | None) -> Source:
    if not path.exists():
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else [])
        raise InputError("there is no such recording", got=path, remedy=near)
    folder = path if path.is_dir() else path.parent
    if mapping is None and path.suffix in (".yaml", ".yml"):
        mapping = path
    elif mapping is None and (folder / MAPPING).is_file():
        mapping = folder / MAPPING
    log = path if path.suffix in _LOGS else folder / ACTIONS
    if mapping is None and log.is_file() and _has_header(log):
        return _ours(log)
    video = path if path.suffix.lower() in VIDEOS else None
    return _theirs(folder, video, path if path.suffix in _LOGS else None, _read_mapping(mapping))


def read_footage(source: Source, tell: Callable[[float], None] | None = None) -> Footage:
    """Reads a recording's video and actions, brought to the size that measures are taken at.

    Raises InputError, in one line, for a video that cannot be read, or whose frames are not those the log tells of.
    """
    video = FrameReader(source.video)
    parts, times, count = [], [], 0
    for frames, seconds in video.chunks(64):
        parts.append(to_stated_size(frames))
        times.append(seconds)
        count += len(frames)
        if count > MAX_FRAMES:
            remedy = "cut it into pieces"
            raise InputError(f"{source.video} is too long to be judged", expected=f"{MAX_FRAMES} frames", remedy=remedy)
        if tell is not None:
            tell(min(1.0, count / max(1, video.expected)))
    if not parts:
        raise InputError(f"{source.video} holds no frame that can be read", remedy="record it again")
    pictures, moments = np.concatenate(parts), np.concatenate(times)
    fps, notes = _rate(moments, source.fps or video.fps)
    actions = source.actions(moments)
    broken = video.expected > count + 1
    if broken:
        notes.append(f"the video breaks off: {count} of {video.expected} frames can be read")
    if source.foreign and abs(len(actions) - count) > 1 and not (broken and len(actions) > count):
        raise InputError(
            f"{source.log} does not fit {source.video.name}", got=f"{len(actions)} actions, {count} frames",
            expected="one a frame", remedy="say in mapping.yaml which column holds the frame or the time",
        )  # fmt: skip
    if len(actions) != count:
        notes.append(f"{count} frames and {len(actions)} actions: what both have is judged")
    length = min(count, len(actions))
    clips, begins = [], []
    for begin, end in _stretches(length, source.cuts, source.held):
        first = None
        if begin:
            first = pictures[begin - 1] if begin not in source.cuts else None
        elif source.first is not None:
            first = to_stated_size(source.first()[None])[0]
        part = actions[begin:end]
        clips.append(Clip.of(pictures[begin:end], part, source.mode, fps, first, _block_from(source.block, begin)))
        begins.append(begin)
    return Footage(tuple(clips), tuple(begins), length, fps, tuple(notes))


def _block_from(block: int | None, begin: int) -> int | None:
    """Frames a block, where blocks begin with the clip; else not known."""
    return block if block is None or begin % block == 0 else None


def _stretches(length: int, cuts: Sequence[int], held: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs of frames without a cut in them, and without pictures that only stand."""
    bounds = sorted({0, length, *(c for c in cuts if c < length), *(f for span in held for f in span if f < length)})
    standing = {begin for begin, _ in held}
    return [(a, b) for a, b in pairwise(bounds) if a not in standing and b > a]


def _rate(moments: np.ndarray, stated: float) -> tuple[float, list[str]]:
    """Frames a second, and a note where they do not come evenly."""
    steps = np.diff(moments)
    steps = steps[steps > 0]
    if len(steps) < 2:
        return (stated if stated > 0 else 20.0), []
    mean = 1 / float(steps.mean())
    if float(np.percentile(steps, 95)) > 1.5 * float(np.percentile(steps, 5)):
        fastest, slowest = 1 / float(steps.min()), 1 / float(steps.max())
        return mean, [
            f"frames come at {slowest:.1f} to {fastest:.1f} a second: times are those of the mean, {mean:.2f}"
        ]
    return (stated if abs(stated - mean) < 0.02 * mean else mean), []


def sha256_of(path: Path) -> str:
    """SHA-256 of a file. Raises InputError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror or error})") from error
    return digest.hexdigest()


# -- ours ----------------------------------------------------------------------------------------------------------
def _has_header(log: Path) -> bool:
    try:
        with log.open(encoding="utf-8-sig") as file:
            first = json.loads(file.readline() or "null")
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and first.get("kind") == "header"


def _ours(log: Path) -> Source:
    recording = read_recording(log)
    header, happenings = recording.header, recording.happenings
    video = _video_of(recording)
    report = recording.report or {}
    hashes = {"recording": sha256_of(log), "weights": header.weights_sha256}
    if report:
        hashes["frames"] = report["frames_sha256"]
    return Source(
        name=log.parent.name, folder=log.parent, video=video, log=log, mode=header.mode,
        actions=lambda _times: recording.actions, first=_first_of(recording), fps=header.fps, block=_block_of(log),
        cuts=tuple(sorted(happenings.events)), held=happenings.held, hashes=hashes, report=report,
        model=header.model, scene=header.scene,
    )  # fmt: skip


def _video_of(recording: Recording) -> Path:
    found = find_video(recording.folder)
    if found is None:
        raise InputError("the recording has no video", got=recording.folder, remedy="render it again")
    return found


def _first_of(recording: Recording) -> Callable[[], np.ndarray] | None:
    """The picture before frame 0, if the recording begins with the world."""
    if recording.prelude is not None or not recording.first_frame.is_file():
        return None
    from game.media.pictures import read_picture

    return lambda: read_picture(recording.first_frame)


def _block_of(log: Path) -> int | None:
    """Frames a block, from the block numbers of the log; None where blocks are not all of one length."""
    counts: dict[int, int] = {}
    for line in log.read_text(encoding="utf-8-sig").splitlines()[1:]:
        try:
            number = json.loads(line).get("block")
        except ValueError:
            continue
        if isinstance(number, int):
            counts[number] = counts.get(number, 0) + 1
    sizes = [counts[number] for number in sorted(counts)]
    inner = set(sizes[:-1]) or set(sizes)
    return inner.pop() if len(inner) == 1 else None


# -- theirs --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ColumnMapping:
    """A mapping file, see the module's docstring."""

    path: Path | None = None
    video: str | None = None
    actions: str | None = None
    mode: str = field(default_factory=lambda: first_space().mode)
    frame: str | None = None
    time: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    pressed: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    mouse: Mapping[str, Any] = field(default_factory=dict)


_MAPPING_KINDS: dict[str, type] = {
    "video": str, "actions": str, "mode": str, "frame": str, "time": str, "keys": dict, "pressed": str, "names": dict,
    "mouse": dict,
}  # fmt: skip
_MOUSE_FIELDS = ("yaw", "pitch", "yaw_scale", "pitch_scale")


def _read_mapping(path: Path | None) -> ColumnMapping:
    if path is None:
        return ColumnMapping()
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror or error})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML ({' '.join(str(error).split())[:120]})") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} is no mapping", expected=", ".join(_MAPPING_KINDS))
    for name, value in data.items():
        if name not in _MAPPING_KINDS:
            near = did_you_mean(str(name), _MAPPING_KINDS)
            raise InputError(f"{path}: unknown field {name!r}", expected=", ".join(_MAPPING_KINDS), remedy=near)
        if not isinstance(value, _MAPPING_KINDS[name]):
            kind = "text" if _MAPPING_KINDS[name] is str else "a group of fields"
            raise InputError(f"{path}: {name} is of the wrong kind", got=repr(value), expected=kind)
    mapping = ColumnMapping(path, **data)
    if mapping.mode not in action_spaces():
        raise InputError(f"{path}: unknown mode", got=mapping.mode, expected=" or ".join(action_spaces()))
    space = action_space(mapping.mode)
    for key in (*mapping.keys, *mapping.names.values()):
        if key not in space.keys:
            raise InputError(f"{path}: mode {mapping.mode} has no such key", got=key, expected=" ".join(space.keys))
    for name, value in mapping.mouse.items():
        kinds = (int, float) if str(name).endswith("_scale") else (str,)
        if name not in _MOUSE_FIELDS or not isinstance(value, kinds) or isinstance(value, bool):
            raise InputError(f"{path}: bad mouse", got=f"{name}: {value!r}", expected=", ".join(_MOUSE_FIELDS))
    return mapping


def _theirs(folder: Path, video: Path | None, log: Path | None, mapping: ColumnMapping) -> Source:
    base = folder if mapping.path is None else mapping.path.parent
    if video is None:
        video = base / mapping.video if mapping.video else _only(folder, VIDEOS, "video", mapping.path)
    if log is None:
        log = base / mapping.actions if mapping.actions else _beside(folder, video, mapping.path)
    for path in (video, log):
        if not path.is_file():
            raise InputError("a file of the recording is missing", got=path, remedy="mapping.yaml may name another")
    space = action_space(mapping.mode)
    return Source(
        name=video.stem if video.parent != folder or len(_all(folder, VIDEOS)) > 1 else folder.name, folder=folder,
        video=video, log=log, mode=mapping.mode, actions=lambda times: _read_log(log, mapping, space, times),
        hashes={"recording": sha256_of(video), "actions": sha256_of(log)}, foreign=True,
    )  # fmt: skip


def _all(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes)
    return [p for p in files if not p.name.endswith(_SIDE_VIDEOS)]


def _only(folder: Path, suffixes: Sequence[str], what: str, mapping: Path | None) -> Path:
    found = _all(folder, suffixes)
    if len(found) == 1:
        return found[0]
    got = ", ".join(p.name for p in found[:4]) or "none"
    remedy = f"name it, or say {'video' if what == 'video' else 'actions'}: in {mapping or MAPPING}"
    raise InputError(f"{folder} must hold one {what}", got=got, expected=" or ".join(suffixes), remedy=remedy)


def _beside(folder: Path, video: Path, mapping: Path | None) -> Path:
    same = [video.with_suffix(suffix) for suffix in _LOGS if video.with_suffix(suffix).is_file()]
    return same[0] if len(same) == 1 else _only(folder, _LOGS, "action log", mapping)


def _read_log(log: Path, mapping: ColumnMapping, space: ActionSpace, times: np.ndarray) -> Actions:
    rows = _rows(log)
    if not rows:
        raise InputError(f"{log} holds no actions", expected="a row for each video frame")
    columns = list(rows[0][1])
    wanted = [mapping.frame, mapping.time, mapping.pressed, *mapping.keys.values()]
    wanted += [mapping.mouse.get(name) for name in ("yaw", "pitch")]
    for name in wanted:
        if name is not None and name not in columns:
            near = did_you_mean(name, columns)
            raise InputError(f"{log} has no column {name!r}", expected=", ".join(map(str, columns[:20])), remedy=near)
    told = [(number, _action(log, number, row, mapping, space)) for number, row in rows]
    if mapping.time is not None:
        moments = np.array([_number(log, n, row[mapping.time], mapping.time) for n, row in rows])
        if (np.diff(moments) < 0).any():
            line = rows[int(np.flatnonzero(np.diff(moments) < 0)[0]) + 1][0]
            raise InputError(f"{log}, line {line}: times go back", expected=f"{mapping.time} that rises")
        index = np.searchsorted(moments, times - times[0] + 1e-6, side="right") - 1
        return _stack([told[i] if i >= 0 else (0, (space.idle().keyboard, (0.0, 0.0), ())) for i in index], space)
    if mapping.frame is not None:
        numbers = [int(_number(log, n, row[mapping.frame], mapping.frame)) for n, row in rows]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] not in (0, 1):
            raise InputError(f"{log}: frames are not numbered one after the other from 0", got=f"{numbers[:4]} ...")
    return _stack(told, space)


_Told = tuple[tuple[float, ...], tuple[float, float], tuple[str, ...]]


def _stack(told: Sequence[tuple[int, _Told]], space: ActionSpace) -> Actions:
    keyboard = np.array([keyboard for _, (keyboard, _, _) in told], dtype=np.float32)
    mouse = np.array([mouse for _, (_, mouse, _) in told], dtype=np.float32) if space.has_mouse else None
    return Actions(keyboard, mouse, tuple(keys for _, (_, _, keys) in told))


def _action(log: Path, line: int, row: Mapping[str, Any], mapping: ColumnMapping, space: ActionSpace) -> _Told:
    keys = [key for key, column in mapping.keys.items() if _held(log, line, row[column], column)]
    listed = mapping.pressed or ("keys" if not mapping.keys and "keys" in row else None)
    if listed is not None:
        value = row[listed]
        names = value if isinstance(value, list) else re.split(r"[\s+,;|]+", str(value or "").strip())
        keys += [mapping.names.get(str(name), str(name).upper()) for name in names if str(name).strip()]
    pitch = yaw = 0.0
    if mapping.mouse:
        pitch, yaw = (
            _number(log, line, row[column], column) * float(mapping.mouse.get(f"{name}_scale", 1.0)) if column else 0.0
            for name in ("pitch", "yaw")
            for column in [mapping.mouse.get(name)]
        )
    elif isinstance(row.get("mouse"), list) and len(row["mouse"]) == 2:
        pitch, yaw = (_number(log, line, value, "mouse") for value in row["mouse"])
    try:
        action = space.action(keys)
    except ActionError as error:
        remedy = "say in mapping.yaml's names: what the log calls a key"
        raise InputError(f"{log}, line {line}: {error}", remedy=remedy) from error
    mouse = (pitch, yaw) if not (action.mouse and any(action.mouse)) else action.mouse
    return action.keyboard, mouse, action.keys


def _held(log: Path, line: int, value: Any, column: str) -> bool:
    text = str(value if value is not None else "").strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    try:
        return float(text) > 0.5
    except ValueError:
        raise InputError(f"{log}, line {line}: bad {column}", got=repr(value), expected="true or false") from None


def _number(log: Path, line: int, value: Any, column: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{log}, line {line}: bad {column}", got=repr(value), expected="a number")
    return number


def _rows(log: Path) -> list[tuple[int, dict[str, Any]]]:
    """Line number and fields of every row."""
    try:
        text = log.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {log} ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{log} is no text file (byte {error.start} is not UTF-8)") from error
    return list(_csv_rows(log, text) if log.suffix.lower() == ".csv" else _jsonl_rows(log, text))


def _csv_rows(log: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    for row in reader:
        if None in row or None in row.values():
            raise InputError(f"{log}, line {reader.line_num}: not as many fields as the first line names")
        yield reader.line_num, dict(row)


def _jsonl_rows(log: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise ScriptError(f"{log}, line {number}: not JSON", got=repr(line[:60])) from None
        if not isinstance(row, dict):
            raise ScriptError(f"{log}, line {number}: not a JSON object", got=repr(line[:60]))
        if row.get("kind") != "header":
            yield number, row


def stated_size() -> str:
    """The size that measures are taken at, in words."""
    return f"{STATED_SIZE[1]}x{STATED_SIZE[0]}"
