"""Recordings to scores: every recording is read and measured, and what belongs together is made one set of numbers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from engine.measures.clip import Clip
from engine.measures.clips import DRIFT_SECONDS, MEASURES, Found, judge, measure, seam_spectrum
from engine.measures.statistics import Measure
from game.errors import InputError
from game.judge.crew import processes_for, run_all
from game.judge.inputs import Footage, Source, find_source, read_footage
from game.judge.suites import SUITE, read_suite_folder
from game.recording.format import ACTIONS, holds_session

VERSION = 1
_SHEET = 8
_WORST_OF_ALL = 12
_AROUND = (-4, 0, 4)
_SPEED = ("generated_fps", "realtime_factor", "block_ms", "latency_ms", "late_frames", "lookahead_ms")  # of a report


@dataclass(frozen=True)
class Moment:
    """Where a measure was at its worst: frame and second of a recording, what was seen, and pictures around it."""

    measure: str
    says: str
    recording: str
    video: Path
    frame: int
    seconds: float
    pictures: tuple[np.ndarray, ...]
    badness: float


@dataclass(frozen=True)
class Recording:
    """One recording measured. sheet: (n, H, W, 3), pictures from its beginning to its end."""

    name: str
    folder: Path
    video: Path
    frames: int
    fps: float
    hashes: Mapping[str, str]
    notes: tuple[str, ...]
    found: tuple[Found, ...]
    sheet: np.ndarray
    moments: tuple[Moment, ...]
    spectrum: Mapping[int, float]
    report: Mapping[str, Any]
    model: str = ""
    scene: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Judged:
    """What is judged as one: a recording, or all of a suite's. measures: by the names of `engine.measures.clips`."""

    name: str
    recordings: tuple[Recording, ...]
    measures: Mapping[str, Measure]
    suite: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """That measuring took, of one core."""
        return sum(recording.seconds for recording in self.recordings)

    @property
    def frames(self) -> int:
        """Of all its recordings."""
        return sum(recording.frames for recording in self.recordings)

    @property
    def times(self) -> dict[str, Any]:
        """How fast it was made, from the reports, and how long it took to judge."""
        reports = [{name: r.report[name] for name in _SPEED if name in r.report} for r in self.recordings]
        speeds = [report["generated_fps"] for report in reports if report.get("generated_fps")]
        times: dict[str, Any] = {"judging_s": round(self.seconds, 2)}
        if speeds:
            times["generated_fps"] = round(float(np.median(speeds)), 2)
        blocks = [report["block_ms"] for report in reports if isinstance(report.get("block_ms"), dict)]
        if blocks:
            times["block_ms"] = {p: round(float(np.median([b[p] for b in blocks])), 2) for p in ("p50", "p95")}
        if len(reports) == 1:
            times |= {name: value for name, value in reports[0].items() if name not in times}
        return times

    @property
    def moments(self) -> list[Moment]:
        """The worst of all its recordings, one or two for each measure."""
        best: dict[str, list[Moment]] = {}
        for moment in sorted((m for r in self.recordings for m in r.moments), key=lambda m: -m.badness):
            kept = best.setdefault(moment.measure, [])
            if len(kept) < 2:
                kept.append(moment)
        return [moment for kept in best.values() for moment in kept][:_WORST_OF_ALL]

    def samples(self, name: str) -> list[float]:
        """All samples of a measure."""
        return [v for r in self.recordings for found in r.found if name in found for v in found[name].values]


@dataclass(frozen=True)
class Group:
    """Sources that are judged as one, and what is measured by each."""

    name: str
    sources: tuple[tuple[Source, tuple[str, ...]], ...]
    suite: Mapping[str, Any] = field(default_factory=dict)


def groups_of(paths: Sequence[Path], mapping: Path | None) -> list[Group]:
    """What the paths name: a rendered suite is one group, a folder of recordings a group for each, else one each."""
    groups: list[Group] = []
    for path in paths:
        path = path.expanduser()
        if (path / SUITE).is_file():
            groups.append(_suite_group(path))
            continue
        inside = [p for p in sorted(path.iterdir()) if p.is_dir() and holds_session(p)] if path.is_dir() else []
        for one in inside if inside and not holds_session(path) else [path]:
            source = find_source(one, mapping)
            groups.append(Group(source.name, ((source, tuple(MEASURES)),)))
    return _told_apart(groups)


def _suite_group(folder: Path) -> Group:
    data = read_suite_folder(folder)
    sources = []
    for take in data["takes"]:
        if not (folder / take["folder"] / ACTIONS).is_file():
            raise InputError("a take of the suite is missing", got=folder / take["folder"], remedy="render it again")
        sources.append((find_source(folder / take["folder"]), tuple(take["measures"])))
    return Group(f"{data['suite']}: {data['model']}", tuple(sources), data)


def _told_apart(groups: list[Group]) -> list[Group]:
    """With the folder's name, and a number if need be, where two have one name."""
    result: list[Group] = []
    names = [group.name for group in groups]
    for group in groups:
        name = group.name
        if names.count(name) > 1:
            source = group.sources[0][0]
            home = source.folder.parents[1] if group.suite else source.folder.parent
            name = f"{name}, {home.name}"
        again = sum(one.name.startswith(name) for one in result)
        result.append(Group(f"{name} ({again + 1})" if again else name, group.sources, group.suite))
    return result


def judge_groups(
    groups: Sequence[Group], tell: Callable[[str, float], None], processes: int | None = None
) -> list[Judged]:
    """Reads and measures all of them. processes: to do it in; as many as are worth it if None. Raises InputError."""
    jobs = [_Measuring(source.path, source.mapping, source.name, names) for g in groups for source, names in g.sources]
    done = iter(run_all(jobs, tell, processes_for(jobs) if processes is None else processes))
    result = []
    for group in groups:
        recordings = tuple(next(done) for _ in group.sources)
        measures = judge([found for recording in recordings for found in recording.found])
        result.append(Judged(group.name, recordings, measures, group.suite))
    return result


@dataclass(frozen=True)
class _Measuring:
    """The job of measuring one recording, which any process can find by its path."""

    path: Path
    mapping: Path | None
    source: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"measuring {self.source}"

    @cached_property
    def frames(self) -> int:
        """About how many there are: the lines of the action log."""
        return find_source(self.path, self.mapping).log.read_bytes().count(b"\n")

    def run(self, tell: Callable[[float], None]) -> Recording:
        began = time.perf_counter()
        with one_thread():
            found = _measured(find_source(self.path, self.mapping), self.names, tell)
        return replace(found, seconds=time.perf_counter() - began)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Measures are small sums over small pictures: more threads only wait for each other, and may round differently."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_READING, _SEEING = 0.3, 0.5  # shares of the work on one recording: decoding it, and its optical flow


def _measured(source: Source, names: Sequence[str], tell: Callable[[float], None]) -> Recording:
    footage = read_footage(source, lambda share: tell(_READING * share))
    found, done = [], 0
    for clip in footage.clips:
        for frames in clip.look():
            tell(_READING + _SEEING * (done + frames) / footage.frames)
        done += len(clip)
        found.append(measure(clip, names))
    clip = max(footage.clips, key=len)
    return Recording(
        name=source.name, folder=source.folder, video=source.video, frames=footage.frames, fps=footage.fps,
        hashes=source.hashes, notes=footage.notes, found=tuple(found), sheet=_sheet(footage),
        moments=tuple(_worst(source, footage, found)), spectrum=seam_spectrum(clip) if "seams" in names else {},
        report=source.report, model=source.model, scene=source.scene,
    )  # fmt: skip


def _sheet(footage: Footage) -> np.ndarray:
    frames = np.concatenate([clip.frames for clip in footage.clips])
    picks = np.linspace(0, len(frames) - 1, min(_SHEET, len(frames))).round().astype(int)
    return frames[picks]


_UNDER = {  # measure -> what makes a sample bad, how bad it is, and what to say of it; for moments to look at
    "accuracy": (lambda v: v < 0.5, lambda v: 1.0 - v, lambda v: "did not move the way that was asked for"),
    "interaction": (lambda v: v < 0.5, lambda v: 1.0 - v, lambda v: "one of two keys was not answered"),
    "seams.ratio": (lambda v: v > 1.5, lambda v: v, lambda v: f"{v:.1f} times the change at borders of blocks"),
    "flicker": (lambda v: v > 3, lambda v: v, lambda v: f"flickers by {v:.1f} grey levels"),
    "mirror.psnr": (lambda v: v < 30, lambda v: 60 - v, lambda v: f"the way back is another: {v:.1f} dB"),
    "return.psnr": (lambda v: v < 30, lambda v: 60 - v, lambda v: f"another place at the end: {v:.1f} dB"),
    "loop.psnr": (lambda v: v < 25, lambda v: 60 - v, lambda v: f"another place after a full turn: {v:.1f} dB"),
    "stillness.rest": (lambda v: v > 1, lambda v: v, lambda v: f"changes by {v:.1f} grey levels a second by itself"),
    "smoothness": (lambda v: v < 0.7, lambda v: 1 - v, lambda v: f"jerks: smoothness {v:.2f}"),
    "sharpness": (lambda v: v < 3, lambda v: 3 - v, lambda v: f"soft: {v:.1f} grey levels a pixel"),
    "colour_distance": (
        lambda v: v > 25, lambda v: v,
        lambda v: f"colours are {v:.0f} levels off the first second's: drift, or another light",
    ),
}  # fmt: skip


_BY_ENDING = (".accuracy", ".colour_distance")


def _worst(source: Source, footage: Footage, founds: Sequence[Found]) -> list[Moment]:
    """The worst sample of each measure in a recording, where it is bad at all."""
    worst: dict[str, Moment] = {}
    for clip, begin, found in zip(footage.clips, footage.begins, founds, strict=True):
        for name, samples in found.items():
            rule = _UNDER.get(name.rpartition(".")[2] if name.endswith(_BY_ENDING) else name)
            if rule is None or not samples.frames:
                continue
            bad, badness, says = rule
            value, frame = max(zip(samples.values, samples.frames, strict=True), key=lambda pair: badness(pair[0]))
            if bad(value) and (name not in worst or worst[name].badness < badness(value)):
                worst[name] = Moment(
                    name, says(value), source.name, source.video, begin + frame, (begin + frame) / clip.fps,
                    _around(clip, frame), badness(value),
                )  # fmt: skip
        if clip.alive_until < len(clip) and "alive_s" in found and not clip.never_moves:
            frame = clip.alive_until
            worst["alive_s"] = Moment(
                "alive_s", "frozen or flat from here on", source.name, source.video, begin + frame,
                (begin + frame) / clip.fps, _around(clip, frame), float("inf"),
            )  # fmt: skip
    return list(worst.values())


def _around(clip: Clip, frame: int) -> tuple[np.ndarray, ...]:
    return tuple(clip.frames[min(max(0, frame + step), len(clip) - 1)].copy() for step in _AROUND)


# -- judge.json ----------------------------------------------------------------------------------------------------
def to_json(judged: Sequence[Judged]) -> dict[str, Any]:
    """judge.json: everything but what is under `times` is the same in every run."""
    return {"version": VERSION, "inputs": [_input_json(one) for one in judged]}


def _input_json(one: Judged) -> dict[str, Any]:
    rows = one.recordings
    together = hashlib.sha256("".join(r.hashes.get("recording", "") for r in rows).encode()).hexdigest()
    hashes: dict[str, Any] = {"recording": rows[0].hashes.get("recording") if len(rows) == 1 else together}
    weights = {r.hashes["weights"] for r in rows if "weights" in r.hashes}
    hashes["weights"] = weights.pop() if len(weights) == 1 else None
    hashes["suite"] = one.suite.get("sha256")
    result: dict[str, Any] = {
        "name": one.name, "model": rows[0].model or None, "frames": one.frames, "fps": round(rows[0].fps, 3),
        "hashes": hashes,
    }  # fmt: skip
    if one.suite:
        result["suite"] = {name: one.suite[name] for name in ("suite", "version", "seed")}
    result["measures"] = nested(one.measures)
    result["recordings"] = [
        {"name": r.name, "scene": r.scene or None, "frames": r.frames, "fps": round(r.fps, 3), "hashes": dict(r.hashes),
         "notes": list(r.notes)}
        for r in rows
    ]  # fmt: skip
    result["times"] = one.times
    return result


def nested(measures: Mapping[str, Measure]) -> dict[str, Any]:
    """Dotted names as groups; drift as a list, five seconds a row."""
    result: dict[str, Any] = {}
    drift: dict[int, dict[str, Any]] = {}
    for name, found in measures.items():
        parts = name.split(".")
        if parts[0] == "drift":
            end = int(parts[1])
            drift.setdefault(end, {"seconds": [end - DRIFT_SECONDS, end]})[parts[2]] = found.to_json()
            continue
        at = result
        for part in parts[:-1]:
            at = at.setdefault(part, {})
        at[parts[-1]] = found.to_json()
    if drift:
        result["drift"] = [drift[end] for end in sorted(drift)]
    return result


_IN_A_LINE = {
    "return.psnr": "return {:.1f} dB", "stillness.rest": "stillness {:.2f}", "alive_s": "alive {:.1f} s",
    "seams.ratio": "seams {:.2f}", "sharpness": "sharpness {:.1f}", "dynamic_degree": "moves {:.0f} pixels/s",
}  # fmt: skip


def line_of(one: Judged) -> str:
    """A recording's scores in one line for a terminal."""
    values = one.measures
    right = [
        m for n, m in values.items() if n.startswith("following.") and n.endswith(".accuracy") and ".still" not in n
    ]
    known = [m.value for m in right if m.value is not None]
    late = [m.value for n, m in values.items() if n.endswith("delay_frames") and m.value is not None]
    parts = [f"{one.frames} frames"]
    if known:
        parts.append(f"follows {np.mean(known):.0%}")
    if late:
        parts.append(f"delay {np.median(late):g} frames")
    for name, form in _IN_A_LINE.items():
        found = values.get(name)
        if found is not None and found.value is not None:
            parts.append(form.format(found.value))
    return f"{one.name}: " + ", ".join(parts)


def dump(data: Mapping[str, Any]) -> str:
    """judge.json's text."""
    return json.dumps(data, indent=2) + "\n"
