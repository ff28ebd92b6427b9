"""A session's folder: its name, its files, the header line of its action log, and the numbers of its report."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

import numpy as np

from engine.actions import Actions
from engine.block import Block
from game.errors import InputError, RecordingError

ACTIONS = "actions.jsonl"
FIRST_FRAME = "first_frame.png"
REPORT = "report.json"
PRELUDE = "prelude.jsonl"
NEVER = -1  # of a compiled_from: compiled kernels made no block


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
        values = {}
        for field in fields(SessionHeader):
            if field.name not in data:
                continue
            value, kind = data[field.name], {"int": int, "float": float, "str": str}.get(str(field.type))
            if kind is not None and (
                isinstance(value, bool) or not isinstance(value, (kind, int) if kind is float else kind)
            ):
                raise TypeError(field.name)
            values[field.name] = tuple(value) if kind is None else kind(value)
        missing = [name for name in REQUIRED_HEADER if name not in values]
        if missing:
            raise KeyError(missing[0])
        return SessionHeader(**values)


REQUIRED_HEADER = ("model", "mode", "seed", "width", "height", "fps", "first_frame_sha256", "weights_sha256", "version")


def picture_sha256(picture: np.ndarray) -> str:
    """SHA-256 over a picture's bytes. picture: (H, W, 3) uint8 RGB."""
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()


def checked_name(name: str) -> str:
    """`name` if it can begin a file's name on every system. Raises InputError otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,79}", name) or name.endswith((".", " ")):
        expected = "1 to 80 letters, digits, _ - . or spaces, beginning with a letter or digit"
        raise InputError("--name cannot be a file's name", got=repr(name), expected=expected)
    return name


def new_folder(out: Path | None, name: str, *, root: Path = Path("recordings"), keep_live: bool = True) -> Path:
    """Makes the folder a session is written to.

    out: the folder asked for, or None for `root`/<UTC time>-<name>. keep_live: when `out` already holds a live
    session, make `out`-2, `out`-3, ... instead; sessions under `root` always get a folder of their own.
    Raises RecordingError when the folder cannot be made.
    """
    if out is None:
        out = root / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{name}"
        return _first_free(out, taken=lambda folder: folder.exists())
    return _first_free(out, taken=holds_session if keep_live else lambda folder: False)


def check_folder(folder: Path) -> None:
    """Raises InputError if `folder` cannot be made or written to: it is tried, and what was made is removed again."""
    folder, made = folder.absolute(), []
    try:
        missing = [part for part in (folder, *folder.parents) if not part.exists()]
        there = missing[-1].parent if missing else folder
        if not there.is_dir():
            raise InputError("cannot write there", got=folder, expected="a folder", remedy=f"{there} is a file")
        for part in reversed(missing):
            part.mkdir()
            made.append(part)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = f"{error.strerror or error}; choose another folder with --out"
        raise InputError("cannot write there", got=folder, remedy=remedy) from error
    finally:
        with contextlib.suppress(OSError):  # another run may be using it by now
            for part in reversed(made):
                part.rmdir()


def holds_session(folder: Path) -> bool:
    """Whether `folder` holds a recorded session already."""
    return (folder / ACTIONS).exists()


def numbered(path: Path) -> Iterator[Path]:
    """`path`, `path`-2, `path`-3 and so on: where things go that are all to be at `path`."""
    yield path
    for number in range(2, 10_000):
        yield path.with_name(f"{path.name}-{number}")


def _first_free(folder: Path, taken) -> Path:
    for candidate in numbered(folder):
        if taken(candidate):
            continue
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            return candidate
        except OSError as error:
            raise folder_error(candidate, error) from error
    raise RecordingError("no free name for the session's folder", got=folder, remedy="choose another with --out")


def folder_error(folder: Path, error: OSError) -> RecordingError:
    """The one-line error for a folder or file that cannot be written."""
    return RecordingError(
        f"cannot write to {folder} ({error.strerror or error})",
        remedy="choose another folder with --out, or free some space",
    )


def write_json(path: Path, data: dict) -> None:
    """Writes `data` as readable JSON, all of it or nothing. Raises OSError."""
    write_whole(path, json.dumps(data, indent=2) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Writes a text file, all of it or nothing. Raises OSError."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def action_lines(
    actions: Actions, first: int, block: int | None = None, events: Sequence[dict] = (), held: bool = False
) -> Iterable[str]:
    """The lines of actions.jsonl for the video frames of one block, the first of which is number `first`.

    block: its number, None where there are no blocks (a prelude). events: what happened to the world just before, as
    the first frame tells it. held: no rollout made these frames, they are the picture before once more.
    """
    for i in range(len(actions)):
        mouse = None if actions.mouse is None else [short_float(v) for v in actions.mouse[i]]
        line: dict = {"frame": first + i}
        if block is not None:
            line["block"] = block
        line["keyboard"] = [short_float(v) for v in actions.keyboard[i]]
        line |= {"mouse": mouse, "keys": list(actions.keys[i])}
        if held:
            line["held"] = True
        if events and i == 0:
            line["events"] = list(events)
        yield json_line(line)


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
