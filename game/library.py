"""The recordings there are: listed, looked at, thrown away and brought back, rendered again. No window, no engine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Entry:
    """One recording as a list shows it.

    seconds: of play. made: local time of its beginning. problem: why it cannot be replayed, in words, or None.
    video: its clean mp4, None if it has none.
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


@dataclass(frozen=True)
class Thrown:
    """A recording in the trash, see `Library.restore`."""

    folder: Path
    trashed: Path


class Video(Protocol):
    """An open video."""

    frames: int
    fps: float

    def at(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB of a frame; quickest when asked for in order."""

    def close(self) -> None: ...


class Library:
    """The recordings under one folder. root: need not exist. A method may take a moment; none needs the engine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entries(self) -> list[Entry]:
        """All recordings, the newest first; broken ones with their problem. Never raises."""
        raise NotImplementedError

    def thumbnail(self, entry: Entry) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB from the middle of a recording, None if it has no picture to show."""
        raise NotImplementedError

    def open_video(self, entry: Entry, icons: bool = False) -> Video:
        """Its video, to play without the engine. Raises RecordingError if it has none that can be read."""
        raise NotImplementedError

    def delete(self, entry: Entry) -> Thrown:
        """Puts a recording into the trash. Raises RecordingError."""
        raise NotImplementedError

    def restore(self, thrown: Thrown) -> Path:
        """Brings a recording back from the trash; returns its folder. Raises RecordingError."""
        raise NotImplementedError

    def empty_trash(self) -> None:
        """Deletes for good what is in the trash. Raises RecordingError."""
        raise NotImplementedError

    def render(self, entry: Entry, words: tuple[str, ...] = ()) -> Rendering:
        """Begins to render a recording again, with icons, in a process of its own. words: settings, such as weights."""
        raise NotImplementedError


class Rendering(Protocol):
    """A recording being rendered again. folder: where to. poll() -> share done 0..1, 1.0 at the end; raises
    RecordingError with the reason if it failed. cancel() ends it."""

    folder: Path

    def poll(self) -> float: ...

    def cancel(self) -> None: ...
