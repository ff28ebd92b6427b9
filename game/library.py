"""The recordings there are: listed, looked at, thrown away and brought back, rendered again. No window, no engine."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from game.errors import EngineError, RecordingError, ScriptError
from game.recordings import read_recording
from game.rendering import Rendering, start_rendering
from game.session import ACTIONS, FIRST_FRAME, SessionHeader, folder_error, holds_session
from game.video import Video

TRASH = ".trash"
_ICONS, _CURRENT = "_icon.mp4", "_current.mp4"


@dataclass(frozen=True)
class Entry:
    """One recording as a list shows it.

    name: of its videos. seconds: of play. made: local time of its beginning. live: a person played it. problem: why it
    cannot be replayed, in words, or None. video, icons: its mp4 without and with icons, None if it has none.
    """

    folder: Path
    name: str
    model: str
    mode: str
    scene: str
    made: datetime
    frames: int
    fps: float
    seconds: float
    problem: str | None
    video: Path | None
    icons: Path | None = None
    live: bool = True


@dataclass(frozen=True)
class Thrown:
    """A recording in the trash, see `Library.restore`."""

    folder: Path
    trashed: Path


class Library:
    """The recordings under one folder. root: need not exist. A method may take a moment; none needs the engine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entries(self) -> list[Entry]:
        """All recordings, the newest first; broken ones with their problem. Never raises."""
        try:
            folders = [path for path in self.root.iterdir() if not path.name.startswith(".") and holds_session(path)]
        except OSError:
            return []
        return sorted((read_entry(folder) for folder in folders), key=lambda entry: entry.made, reverse=True)

    def thumbnail(self, entry: Entry) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB from the middle of a recording, None if it has no picture to show."""
        from game.pictures import read_picture

        try:
            if entry.video is not None:
                with Video(entry.video) as video:
                    return video.at(video.frames // 2)
        except RecordingError:
            pass  # then its first frame has to do
        try:
            return read_picture(entry.folder / FIRST_FRAME)
        except EngineError:
            return None

    def open_video(self, entry: Entry, icons: bool = False) -> Video:
        """Its video, to play without the engine. Raises RecordingError if it has none that can be read."""
        path = entry.icons if icons and entry.icons is not None else entry.video
        if path is None:
            raise RecordingError("the recording has no video", got=entry.folder, remedy="render it again")
        return Video(path)

    def delete(self, entry: Entry) -> Thrown:
        """Puts a recording into the trash. Raises RecordingError."""
        trash = self.root / TRASH
        target, number = trash / entry.folder.name, 1
        try:
            trash.mkdir(exist_ok=True)
            while target.exists():
                number += 1
                target = trash / f"{entry.folder.name}-{number}"
            os.replace(entry.folder, target)
        except OSError as error:
            raise folder_error(entry.folder, error) from error
        return Thrown(entry.folder, target)

    def restore(self, thrown: Thrown) -> Path:
        """Brings a recording back from the trash; returns its folder. Raises RecordingError."""
        if thrown.folder.exists():
            raise RecordingError("another recording has taken its place", got=thrown.folder)
        try:
            os.replace(thrown.trashed, thrown.folder)
        except OSError as error:
            raise folder_error(thrown.folder, error) from error
        return thrown.folder

    def empty_trash(self) -> None:
        """Deletes for good what is in the trash. Raises RecordingError."""
        trash = self.root / TRASH
        try:
            if trash.is_dir():
                shutil.rmtree(trash)
        except OSError as error:
            raise folder_error(trash, error) from error

    def render(self, entry: Entry, words: tuple[str, ...] = ()) -> Rendering:
        """Begins to render a recording again, with icons, in a process of its own. words: settings, such as weights.

        Raises RecordingError if no folder for it can be made or the process does not start.
        """
        return start_rendering(entry.folder, entry.name, entry.frames, self.root, words)


def read_entry(folder: Path) -> Entry:
    """What can be said of the recording in `folder`, whatever state it is in. Never raises."""
    header, problem, frames = None, None, 0
    try:
        recording = read_recording(folder / ACTIONS)
        header, frames = recording.header, len(recording.actions)
        if not recording.first_frame.is_file():
            problem = f"its first frame is missing: {FIRST_FRAME}"
    except (ScriptError, OSError) as error:
        problem = str(error)
        header, frames = _remains(folder)
    fps = header.fps if header is not None and header.fps > 0 else 0.0
    video = _video(folder)
    icons = None if video is None else video.with_name(video.stem + _ICONS)
    return Entry(
        folder=folder,
        name=folder.name if video is None else video.stem,
        model="" if header is None else header.model,
        mode="" if header is None else header.mode,
        scene="" if header is None else header.scene,
        made=_made(folder),
        frames=frames,
        fps=fps,
        seconds=frames / fps if fps else 0.0,
        problem=problem,
        video=video,
        icons=icons if icons is not None and icons.is_file() else None,
        live=header is None or header.source == "live",
    )


def _remains(folder: Path) -> tuple[SessionHeader | None, int]:
    """Header and frames of a recording that cannot be read whole, as far as they can be made out."""
    try:
        with (folder / ACTIONS).open(encoding="utf-8", errors="replace") as log:
            first = log.readline()
            frames = sum(1 for line in log if line.strip())
        return SessionHeader.from_json(json.loads(first)), frames
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, 0


def _made(folder: Path) -> datetime:
    """When it began: as its folder's name says, else as old as its action log."""
    try:
        return datetime.strptime(folder.name[:16] + "+0000", "%Y%m%dT%H%M%SZ%z").astimezone().replace(tzinfo=None)
    except ValueError:
        pass
    try:
        return datetime.fromtimestamp((folder / FIRST_FRAME).stat().st_mtime)
    except OSError:
        return datetime.fromtimestamp(0)


def _video(folder: Path) -> Path | None:
    """The clean video among its files."""
    found = [path for path in folder.glob("*.mp4") if not path.name.startswith(".")]
    clean = sorted(path for path in found if not path.name.endswith((_ICONS, _CURRENT)))
    return next((path for path in clean if path.stat().st_size), None)
