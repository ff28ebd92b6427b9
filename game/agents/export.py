"""Recordings as what training code reads: `--export parquet` and `--export lerobot`. Needs the extra `export`.

Both hold a row for each video frame and the videos beside them. They differ in which action stands beside a frame:
`parquet` keeps ours, the action that the frame was made with; LeRobot's rows pair a picture with the action that was
taken on seeing it, so there row t holds frame t and the action of frame t + 1, and the last frame has no row.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.actions import Actions, ActionSpace
from engine.families import action_space
from game.errors import InputError, RunError
from game.files import check_folder, folder_error, write_json
from game.media.video import FrameReader, ffmpeg_binary
from game.recording.format import ACTIONS, Recording, find_video, read_recording

FORMATS = ("lerobot", "parquet")
_VIEW = "observation.images.view"
_DATA = "data/chunk-000/file-{:03d}.parquet"
_VIDEO = "videos/{}/chunk-000/file-{:03d}.mp4"
_SEEN = 64  # pictures of an episode that its statistics are from


@dataclass(frozen=True)
class _Episode:
    """A recording and its video, with the number of frames that both have."""

    recording: Recording
    video: Path
    frames: int

    @property
    def actions(self) -> Actions:
        return self.recording.actions[: self.frames]

    @property
    def task(self) -> str:
        return f"play {self.recording.header.scene or 'a world'} ({self.recording.header.model})"


def export(kind: str, folders: Sequence[Path], out: Path) -> int:
    """Writes recordings to `out`, which must be empty or not there; returns the exit code.

    kind: one of FORMATS. Raises InputError, RunError.
    """
    missing = [name for name in ("pyarrow", "pandas") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"--export needs {' and '.join(missing)}", remedy="pip install 'neural-world[export]'")
    episodes = [_episode(folder) for folder in folders]
    first = episodes[0].recording.header
    for episode in episodes:
        header = episode.recording.header
        for name in ("mode", "fps", "width", "height"):
            if getattr(header, name) != getattr(first, name):
                what = f"{episode.recording.folder} is of another {name} than {episodes[0].recording.folder}"
                raise InputError(
                    what, got=getattr(header, name), expected=getattr(first, name), remedy="export it apart"
                )
    if out.is_dir() and any(out.iterdir()):
        raise InputError("--out is not empty", got=out, remedy="choose a new folder")
    check_folder(out)
    try:
        (_write_lerobot if kind == "lerobot" else _write_parquet)(episodes, out)
    except OSError as error:
        raise folder_error(out, error) from error
    frames = sum(episode.frames for episode in episodes)
    print(f"{len(episodes)} recordings, {frames} frames: {out}", flush=True)
    return 0


def _episode(folder: Path) -> _Episode:
    log = folder if folder.suffix == ".jsonl" else folder / ACTIONS
    if not log.is_file():
        raise InputError("there is no recording to export", got=folder, expected=f"a folder with {ACTIONS}")
    recording = read_recording(log)
    video = find_video(recording.folder)
    if video is None:
        raise InputError("the recording has no video", got=recording.folder, remedy="render it again")
    if recording.happenings.events or recording.happenings.held:
        remedy = "play it again without rewinding, or render a script"
        raise InputError(f"{recording.folder} goes back in time, so its frames are no one run of play", remedy=remedy)
    frames = sum(len(part) for part, _ in FrameReader(video).chunks(64))
    return _Episode(recording, video, min(frames, len(recording.actions)))


def _copy_video(source: Path, target: Path) -> None:
    """The same pictures in a file that can be jumped about in."""
    target.parent.mkdir(parents=True, exist_ok=True)
    words = ["-hide_banner", "-loglevel", "error", "-y", "-i", str(source), "-c", "copy", "-movflags", "+faststart"]
    done = subprocess.run([ffmpeg_binary(), *words, str(target)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RunError(f"ffmpeg cannot copy {source} ({done.stderr.strip().splitlines()[-1:]})")


def _table(path: Path, columns: dict[str, Any]) -> None:
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)


# -- plain parquet -------------------------------------------------------------------------------------------------
def _write_parquet(episodes: Sequence[_Episode], out: Path) -> None:
    import pyarrow

    rows = []
    for number, episode in enumerate(episodes):
        name = f"videos/episode-{number:06d}.mp4"
        _copy_video(episode.video, out / name)
        actions, header = episode.actions, episode.recording.header
        frame = np.arange(episode.frames)
        mouse = np.zeros((episode.frames, 2), np.float32) if actions.mouse is None else actions.mouse
        _table(
            out / f"episode-{number:06d}.parquet",
            {
                "episode": np.full(episode.frames, number), "frame": frame, "time": frame / header.fps,
                "keys": pyarrow.array([list(keys) for keys in actions.keys], pyarrow.list_(pyarrow.string())),
                "keyboard": pyarrow.array([row.astype(float).tolist() for row in actions.keyboard]),
                "mouse_pitch": mouse[:, 0], "mouse_yaw": mouse[:, 1],
            },
        )  # fmt: skip
        rows.append(
            {"episode": number, "video": name, "frames": episode.frames, "fps": header.fps, "model": header.model,
             "mode": header.mode, "seed": header.seed, "scene": header.scene, "weights_sha256": header.weights_sha256,
             "frames_sha256": (episode.recording.report or {}).get("frames_sha256")}
        )  # fmt: skip
    write_json(out / "episodes.json", {"version": 1, "episodes": rows})


# -- LeRobot -------------------------------------------------------------------------------------------------------
def _write_lerobot(episodes: Sequence[_Episode], out: Path) -> None:
    """Source: the dataset format v3.0 of LeRobot 0.4 (huggingface/lerobot), an episode a file."""
    import pandas

    space = action_space(episodes[0].recording.header.mode)
    tasks = list(dict.fromkeys(episode.task for episode in episodes))
    rows: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []
    begin = 0
    for number, episode in enumerate(episodes):
        length, fps = episode.frames - 1, episode.recording.header.fps
        if length < 1:
            raise InputError("the recording is too short to export", got=episode.recording.folder, expected="2 frames")
        _copy_video(episode.video, out / _VIDEO.format(_VIEW, number))
        action = _vectors(episode.actions, space)[1:]
        frame = np.arange(length)
        columns = {
            "action": action, "timestamp": (frame / fps).astype(np.float32), "frame_index": frame,
            "episode_index": np.full(length, number), "index": begin + frame,
            "task_index": np.full(length, tasks.index(episode.task)),
        }  # fmt: skip
        _table(out / _DATA.format(number), {name: _column(values) for name, values in columns.items()})
        stats = {name: _stats(values) for name, values in columns.items()} | {_VIEW: _picture_stats(episode)}
        seen.append(stats)
        rows.append(
            {"episode_index": number, "tasks": [episode.task], "length": length,
             "data/chunk_index": 0, "data/file_index": number, "dataset_from_index": begin,
             "dataset_to_index": begin + length, f"videos/{_VIEW}/chunk_index": 0, f"videos/{_VIEW}/file_index": number,
             f"videos/{_VIEW}/from_timestamp": 0.0, f"videos/{_VIEW}/to_timestamp": episode.frames / fps,
             "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
            | {f"stats/{name}/{kind}": values for name, kinds in stats.items() for kind, values in kinds.items()}
        )  # fmt: skip
        begin += length
    meta = out / "meta"
    _table(meta / "episodes/chunk-000/file-000.parquet", {name: [row[name] for row in rows] for name in rows[0]})
    pandas.DataFrame({"task_index": range(len(tasks))}, index=tasks).to_parquet(meta / "tasks.parquet")
    write_json(meta / "stats.json", {name: _joined([stats[name] for stats in seen]) for name in seen[0]})
    write_json(meta / "info.json", _info(episodes, space, begin, len(tasks)))


def _column(values: np.ndarray) -> Any:
    import pyarrow

    if values.ndim == 1:
        return pyarrow.array(values)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.reshape(-1)), values.shape[1])


def _vectors(actions: Actions, space: ActionSpace) -> np.ndarray:
    """(T, K) float32: the keyboard vector, and pitch and yaw behind it where there is a mouse."""
    parts = [actions.keyboard] if actions.mouse is None else [actions.keyboard, actions.mouse]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _names(space: ActionSpace) -> list[str]:
    keys = {key.column: f"key_{key.name}" for key in space.controls if key.column is not None}
    keys |= {} if space.rest_column is None else {space.rest_column: "rest"}
    names = [keys.get(column, f"column_{column}") for column in range(space.keyboard_dim)]
    return names + (["mouse_pitch", "mouse_yaw"] if space.has_mouse else [])


def _info(episodes: Sequence[_Episode], space: ActionSpace, frames: int, tasks: int) -> dict[str, Any]:
    header = episodes[0].recording.header
    fps = int(header.fps) if header.fps == int(header.fps) else header.fps
    names = _names(space)
    scalar = {"shape": [1], "names": None}
    view = {
        "dtype": "video", "shape": [header.height, header.width, 3], "names": ["height", "width", "channels"],
        "info": {
            "video.height": header.height, "video.width": header.width, "video.codec": "h264",
            "video.pix_fmt": "yuv420p", "video.is_depth_map": False, "video.fps": fps, "video.channels": 3,
            "has_audio": False,
        },
    }  # fmt: skip
    return {
        "codebase_version": "v3.0", "robot_type": "neural-world", "total_episodes": len(episodes),
        "total_frames": frames, "total_tasks": tasks, "chunks_size": 1000, "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200, "fps": fps, "splits": {"train": f"0:{len(episodes)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            _VIEW: view, "action": {"dtype": "float32", "shape": [len(names)], "names": names},
            "timestamp": {"dtype": "float32", **scalar}, "frame_index": {"dtype": "int64", **scalar},
            "episode_index": {"dtype": "int64", **scalar}, "index": {"dtype": "int64", **scalar},
            "task_index": {"dtype": "int64", **scalar},
        },
    }  # fmt: skip


def _stats(values: np.ndarray) -> dict[str, list[float]]:
    flat = values.reshape(len(values), -1).astype(np.float64)
    found = {"min": flat.min(0), "max": flat.max(0), "mean": flat.mean(0), "std": flat.std(0)}
    return {kind: value.tolist() for kind, value in found.items()} | {"count": [len(values)]}


def _picture_stats(episode: _Episode) -> dict[str, Any]:
    """Of the pictures' channels, 0..1, as LeRobot shapes them: (3, 1, 1)."""
    step = max(1, episode.frames // _SEEN)
    kept, number = [], 0
    for frames, _ in FrameReader(episode.video).chunks(64):
        kept += [frame for at, frame in enumerate(frames, start=number) if at % step == 0]
        number += len(frames)
    values = np.stack(kept).astype(np.float64) / 255
    kinds = {kind: getattr(values, kind)((0, 1, 2)) for kind in ("min", "max", "mean", "std")}
    return {kind: value.reshape(3, 1, 1).tolist() for kind, value in kinds.items()} | {"count": [len(kept)]}


def _joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The statistics of all episodes together."""
    count = np.array([part["count"][0] for part in parts], dtype=np.float64)
    weight = (count / count.sum()).reshape(-1, *[1] * np.ndim(parts[0]["mean"]))
    means, deviations = (np.array([part[kind] for part in parts]) for kind in ("mean", "std"))
    mean = (means * weight).sum(0)
    square = ((deviations**2 + means**2) * weight).sum(0)
    return {
        "min": np.min([part["min"] for part in parts], axis=0).tolist(),
        "max": np.max([part["max"] for part in parts], axis=0).tolist(),
        "mean": mean.tolist(), "std": np.sqrt(np.maximum(0, square - mean**2)).tolist(), "count": [int(count.sum())],
    }  # fmt: skip
