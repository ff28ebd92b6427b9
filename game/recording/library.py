"""The recordings there are: listed, looked at, thrown away and brought back, rendered again. No window, no engine."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from game import files
from game.errors import EngineError, RecordingError, ScriptError
from game.media.video import Video
from game.recording.format import (
    ACTIONS,
    CURRENT,
    FIRST_FRAME,
    ICONS,
    REPORT,
    SessionHeader,
    find_video,
    holds_session,
    new_folder,
    read_recording,
    usable_name,
)

TRASH = ".trash"
_MB = 2**20


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


@dataclass(frozen=True)
class Trash:
    """What lies in the trash. recordings: how many. mb: what they take."""

    recordings: int = 0
    mb: float = 0.0


Folders = Callable[[], Iterable[Path]]


class Reader(Protocol):
    """Another process that reads a recording; `cancel` ends it within some seconds."""

    def cancel(self) -> None: ...


class Library:
    """The recordings under one folder. Methods but `busy` and `rendering` may take a moment; none needs the engine.

    root: need not exist. elsewhere: folders of recordings outside it, which need not exist either. being_written: the
    folders that this program is recording into.
    """

    fetches = False  # whether they lie on another machine, from which `fetch` brings one here

    def __init__(self, root: Path, elsewhere: Folders = tuple, being_written: Folders = tuple) -> None:
        self.root = root
        self._elsewhere, self._being_written = elsewhere, being_written
        self._renderings: dict[Path, Rendering] = {}  # by the recording that is rendered
        self._starting = threading.Lock()  # one is being started, which takes a moment
        self._closed = False
        self.readers: dict[Path, Reader] = {}  # by the recording they read; whoever puts one here takes it away again

    def listed(self) -> list[Path]:
        """The folders of all recordings, the newest first. Nothing in them is read, so thousands are listed at once."""
        try:
            with os.scandir(self.root) as found:
                inside = [Path(one.path) for one in found if not one.name.startswith(".")]
        except (OSError, ValueError):
            inside = []
        root = Path(os.path.realpath(self.root))
        found_too = {Path(os.path.realpath(folder)): folder for folder in self._elsewhere()}
        folders = {root / folder.name: folder for folder in inside} | found_too
        return sorted(filter(holds_session, folders.values()), key=made_at, reverse=True)

    def made(self, folder: Path) -> datetime:
        """When a recording began, local time."""
        return made_at(folder)

    def glance(self, folder: Path) -> Entry:
        """What a list says of a recording, by its log's header and number of lines alone. Never raises."""
        header, frames = _remains(folder)
        return _entry(folder, header, frames, None if header is not None else "its log cannot be read")

    def read(self, folder: Path) -> Entry:
        """What can be said of a recording when its log is read whole. Never raises."""
        return read_entry(folder)

    def entries(self) -> list[Entry]:
        """All recordings, the newest first, their logs read whole; broken ones with their problem. Never raises."""
        return [read_entry(folder) for folder in self.listed()]

    def busy(self, folder: Path) -> str:
        """Why a recording cannot be deleted now, in words; "" if it can be."""
        renderings = {recording: one for recording, one in tuple(self._renderings.items()) if one.running}
        if _is_among(folder, [*self._being_written(), *(one.folder for one in renderings.values())]):
            return "it is being written"
        if _is_among(folder, tuple(self.readers)):
            return "it is being judged"
        return "it is being rendered again" if _is_among(folder, renderings) else ""

    def thumbnail(self, entry: Entry) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB from the middle of a recording, None if it has no picture to show."""
        from game.media.pictures import read_picture

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
        """Puts a recording into the trash. Raises RecordingError; also while it is `busy`, and where a folder that a
        person chose for it holds other things too."""
        if words := self.busy(entry.folder):
            raise RecordingError(f"not deleted: {words}", got=entry.folder, remedy="end that first")
        trash = self.root / TRASH
        try:
            if entry.folder.parent != self.root and (other := _stranger(entry)) is not None:
                what = "not deleted: its folder holds more than it"
                raise RecordingError(what, got=other, remedy="delete it by hand")
            target = files.new_folder(trash / entry.folder.name)
            try:
                files.move_folder(entry.folder, target)
            except OSError:
                with contextlib.suppress(OSError):
                    target.rmdir()
                raise
        except OSError as error:
            raise files.folder_error(entry.folder, error) from error
        return Thrown(entry.folder, target)

    def restore(self, thrown: Thrown) -> Path:
        """Brings a recording back from the trash; returns its folder. Raises RecordingError."""
        if thrown.folder.exists():
            raise RecordingError("another recording has taken its place", got=thrown.folder)
        try:
            files.move_folder(thrown.trashed, thrown.folder)
        except OSError as error:
            raise files.folder_error(thrown.folder, error) from error
        return thrown.folder

    def trash(self) -> Trash:
        """What there is in the trash. Never raises."""
        sizes = []
        for folder in self._trashed():
            with contextlib.suppress(OSError):  # part of it may be gone meanwhile
                sizes.append(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
        return Trash(len(sizes), sum(sizes) / _MB)

    def empty_trash(self) -> tuple[Path, ...]:
        """Deletes for good what is in the trash; returns the folders that were. Raises RecordingError."""
        folders = tuple(self._trashed())
        for folder in folders:
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise files.folder_error(folder, error) from error
        return folders

    def render(self, entry: Entry, words: tuple[str, ...] = ()) -> None:
        """Begins to render a recording again, with icons, in a process of its own: see `rendering`.

        words: settings, such as weights. Raises RecordingError if no folder for it can be made, the process does not
        start, or one is at it already.
        """
        with self._starting:
            if self._closed:
                raise RecordingError("the program is ending", got=entry.folder)
            if (one := self._renderings.get(entry.folder)) is not None and one.running:
                raise RecordingError("it is being rendered already", got=entry.folder)
            self._renderings[entry.folder] = start_rendering(entry.folder, entry.name, entry.frames, self.root, words)

    def fetch(self, entry: Entry) -> Path:
        """Brings a recording from another machine here; returns its folder. Raises RecordingError, RunError."""
        raise RecordingError("it is here already", got=entry.folder)

    def rendering(self, folder: Path) -> Rendering | None:
        """The rendering of a recording that was begun, until it is done `without`."""
        return self._renderings.get(folder)

    def without(self, rendering: Rendering) -> None:
        """Forgets a rendering that is over."""
        for folder, one in tuple(self._renderings.items()):
            if one is rendering:
                del self._renderings[folder]

    def close(self) -> list[str]:
        """Cancels the renderings that are not done, since nobody will see how they end, and lets none begin any more;
        returns a line for each."""
        with self._starting:
            self._closed = True
        running = {folder: one for folder, one in self._renderings.items() if one.running}
        for one in running.values():
            one.cancel()
        for reader in self.readers.values():
            reader.cancel()
        lines = []
        for folder, one in running.items():
            one.join()
            try:
                one.poll()
            except RecordingError as error:
                lines.append(f"{folder.name}: {error}")
        return lines

    def _trashed(self) -> list[Path]:
        try:
            return [path for path in (self.root / TRASH).iterdir() if path.is_dir()]
        except OSError:
            return []


def read_entry(folder: Path) -> Entry:
    """What can be said of the recording in `folder`, whatever state it is in; its log is read whole. Never raises."""
    header, problem, frames = None, None, 0
    try:
        recording = read_recording(folder / ACTIONS)
        header, frames = recording.header, len(recording.actions)
        if not recording.first_frame.is_file():
            problem = f"its first frame is missing: {FIRST_FRAME}"
    except (ScriptError, OSError) as error:
        problem = str(error)
        header, frames = _remains(folder)
    return _entry(folder, header, frames, problem)


def _entry(folder: Path, header: SessionHeader | None, frames: int, problem: str | None) -> Entry:
    fps = header.fps if header is not None and header.fps > 0 else 0.0
    video = find_video(folder)
    icons = None if video is None else video.with_name(video.stem + ICONS)
    return Entry(
        folder=folder,
        name=folder.name if video is None else video.stem,
        model="" if header is None else header.model,
        mode="" if header is None else header.mode,
        scene="" if header is None else header.scene,
        made=made_at(folder),
        frames=frames,
        fps=fps,
        seconds=frames / fps if fps else 0.0,
        problem=problem,
        video=video,
        icons=icons if icons is not None and icons.is_file() else None,
        live=header is None or header.source == "live",
    )


def _is_among(folder: Path, folders: Iterable[Path]) -> bool:
    """Whether one of `folders` is `folder`, by whatever name."""
    others = [other.resolve() for other in folders]
    return bool(others) and folder.resolve() in others


def _stranger(entry: Entry) -> Path | None:
    """Something in a recording's folder that is none of its files, if there is any."""
    numbered = r"first_frame(-\d+)?\.png|prelude(-\d+)?\.jsonl"
    videos = rf"{re.escape(entry.name)}({ICONS}|{CURRENT}|\.mp4)"
    its_own = re.compile(rf"actions\.jsonl|report\.json|trace\.json|profile\.json|{numbered}|{videos}|\..*\.tmp")
    return next((path for path in sorted(entry.folder.iterdir()) if not its_own.fullmatch(path.name)), None)


def _remains(folder: Path) -> tuple[SessionHeader | None, int]:
    """Header and frames of a recording, as far as they can be made out without reading its log."""
    try:
        with (folder / ACTIONS).open("rb") as log:
            first, last, frames = log.readline(), b"", 0
            while chunk := log.read(_MB):
                frames, last = frames + chunk.count(b"\n"), chunk[-1:]
        header = SessionHeader.from_json(json.loads(first.decode("utf-8", "replace")))
        return header, frames + (last not in (b"", b"\n"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, 0


def made_at(folder: Path) -> datetime:
    """When it began: as its folder's name says, else as old as its action log."""
    try:
        return datetime.strptime(folder.name[:16] + "+0000", "%Y%m%dT%H%M%SZ%z").astimezone().replace(tzinfo=None)
    except ValueError:
        pass
    try:
        return datetime.fromtimestamp((folder / FIRST_FRAME).stat().st_mtime)
    except OSError:
        return datetime.fromtimestamp(0)


# -- rendered again ----------------------------------------------------------------------------------------------------


_PATIENCE = 20.0  # s for a process that was told to end


class Rendering:
    """A recording being rendered again by a second process, so that the game beside it plays on.

    folder: where to, a new one. frames: how many there will be, at least. cancelled: whether it was told to end before
    it was done. Its methods are called from one thread; `running` from any.
    """

    def __init__(self, command: list[str], folder: Path, frames: int) -> None:
        """Starts the process. Raises RecordingError."""
        self.folder, self.cancelled = folder, False
        self._frames = max(1, frames)
        self._lines = _Lines(folder / ACTIONS)
        self._until = math.inf  # when one that was cancelled is killed
        self._left_over: RecordingError | None = None
        self._cleared = False
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            # In a session of its own, as the encoders are: Ctrl-C is for the game, which then ends this, too.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, cwd=_root(),
                start_new_session=True, env=os.environ | {"PYTHONIOENCODING": "utf-8:backslashreplace"},
            )  # fmt: skip
        except (OSError, ValueError) as error:
            self._said.close()
            reason = error.strerror or error if isinstance(error, OSError) else error
            raise RecordingError(f"the rendering does not start ({reason})") from error

    @property
    def running(self) -> bool:
        """Whether its folder still changes."""
        return self._process.poll() is None

    def poll(self) -> float:
        """The share that is done, 1.0 at the end; cheap. Raises RecordingError with the reason if it failed, or was
        cancelled and has ended; then nothing of it is left."""
        if self.running:
            if time.monotonic() > self._until:
                self._process.kill()
            return min(0.99, max(0, self._lines.count() - 1) / self._frames)
        code = self._process.returncode
        if self.cancelled:
            self._clear()
            raise self._left_over or RecordingError("the rendering was cancelled; nothing of it is kept")
        if code != 0:
            if not files.is_regular(self.folder / REPORT):  # one that is done, and only not identical, is of use
                self._clear()
            raise RecordingError(self._reason(code))
        return 1.0

    def cancel(self) -> None:
        """Has it end, unless it is done; `poll` says when it has, and `join` waits for it."""
        if self.running and not self.cancelled:
            self.cancelled, self._until = True, time.monotonic() + _PATIENCE
            self._process.terminate()

    def join(self) -> None:
        """Waits until one that was cancelled has ended, and is removed; kills it if that takes too long."""
        if not self.cancelled:
            return
        try:
            self._process.wait(max(0.0, self._until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5.0)
        self._clear()

    def _clear(self) -> None:
        if self._cleared:
            return
        self._cleared = True
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            self._left_over = files.folder_error(self.folder, error)

    def _reason(self, code: int) -> str:
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].removeprefix("game: ") if lines else f"the rendering ended with {code}"


class _Lines:
    """Counts the lines of a file that grows, reading only what is new."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._count = path, 0, 0

    def count(self) -> int:
        with contextlib.suppress(OSError), self._path.open("rb") as file:  # it may not be there yet
            file.seek(self._read)
            new = file.read()
            self._read += len(new)
            self._count += new.count(b"\n")
        return self._count


def start_rendering(recording: Path, name: str, frames: int, root: Path, words: tuple[str, ...]) -> Rendering:
    """Begins to render a recording into a new folder beside it; if it does not start, none is left.

    name: of the videos, as near to it as a name can be. Raises RecordingError.
    """
    name = usable_name(name)
    folder = new_folder(None, name, root=root)
    command = [sys.executable, "-m", "game", "--headless", f"--script={recording.resolve()}"]
    try:
        return Rendering([*command, f"--name={name}", f"--out={folder.resolve()}", *words], folder, frames)
    except RecordingError:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


def _root() -> Path:
    """A folder from which `python -m game` finds the program, installed or not."""
    return Path(__file__).resolve().parents[2]
