"""The recordings of a server, as a window elsewhere has them."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from game.errors import RecordingError, RunError
from game.files import folder_error
from game.media.video import Video
from game.recording.library import Entry, Library, Thrown, Trash
from game.remote.client import Line
from game.remote.pictures import decode, size_of

_ONLY_THERE = "that is done on the server"


@dataclass(frozen=True)
class _There:
    """A recording of the server's as its list has it. files: its files, and their bytes."""

    id: str
    files: dict[str, int] = field(default_factory=dict)


class RemoteLibrary(Library):
    """The recordings of a server, for the window's menu: listed, watched, replayed, fetched to here.

    line: to the server. root: where `fetch` puts them. What is done to a recording is done on the server.
    """

    fetches = True

    def __init__(self, line: Line, root: Path) -> None:
        super().__init__(root)
        self._line = line
        self._there: dict[Path, _There] = {}
        self._known: dict[Path, Entry] = {}
        self._watched: list[Path] = []

    def listed(self) -> list[Path]:
        """See Library. Raises RunError if the server does not answer."""
        return [entry.folder for entry in self.entries()]

    def made(self, folder: Path) -> datetime:
        """See Library."""
        return self.glance(folder).made

    def glance(self, folder: Path) -> Entry:
        """See Library."""
        if folder not in self._known:
            raise RecordingError("the server has no such recording", got=folder)
        return self._known[folder]

    def read(self, folder: Path) -> Entry:
        """See Library."""
        return self.glance(folder)

    def entries(self) -> list[Entry]:
        """See Library. Raises RunError if the server does not answer."""
        import json

        found = []
        for item in json.loads(self._line.call(self._line.get("/recordings", most=16 * 2**20))):
            try:
                entry, there = _entry(item)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise RunError("the server's list of recordings is not understood") from error
            self._there[entry.folder], self._known[entry.folder] = there, entry
            found.append(entry)
        return found

    def busy(self, folder: Path) -> str:
        """See Library."""
        return _ONLY_THERE

    def thumbnail(self, entry: Entry) -> np.ndarray | None:
        """See Library."""
        try:
            data = self._line.call(self._line.get(self._path(entry, "thumbnail.jpg"), most=2**22))
        except RunError:
            return None
        size = size_of(data)
        return None if size is None else decode(data, *size)

    def open_video(self, entry: Entry, icons: bool = False) -> Video:
        """See Library; the file is fetched to a place of its own first."""
        name = entry.icons if icons and entry.icons is not None else entry.video
        if name is None:
            raise RecordingError("the recording has no video", got=entry.folder.name)
        folder = Path(tempfile.mkdtemp(prefix="neural-world-"))
        self._watched.append(folder)
        file = folder / "video.mp4"
        self._line.call(self._line.get(self._path(entry, name.name), file), 600.0)
        return Video(file)

    def fetch(self, entry: Entry) -> Path:
        """Brings a recording here, whole or not at all; returns its folder. Raises RecordingError, RunError."""
        target = self.root / entry.folder.name
        if target.exists():
            raise RecordingError("it is here already", got=target)
        files = self._there[entry.folder].files
        temporary = self.root / f".{entry.folder.name}.part"
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for name, size in files.items():
                self._line.call(self._line.get(self._path(entry, name), temporary / name), 3600.0)
                if (temporary / name).stat().st_size < size:
                    raise RunError("the file did not come whole", got=name)
            temporary.rename(target)
        except OSError as error:
            raise folder_error(target, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target

    def delete(self, entry: Entry) -> Thrown:
        """Cannot be done from here. Raises RecordingError."""
        raise RecordingError("not deleted", got=entry.folder.name, remedy=_ONLY_THERE)

    def restore(self, thrown: Thrown) -> Path:
        """Cannot be done from here. Raises RecordingError."""
        raise RecordingError("not brought back", got=thrown.folder.name, remedy=_ONLY_THERE)

    def trash(self) -> Trash:
        """The server's is not seen from here."""
        return Trash()

    def empty_trash(self) -> tuple[Path, ...]:
        """See trash."""
        return ()

    def render(self, entry: Entry, words: tuple[str, ...] = ()) -> None:
        """Cannot be done from here. Raises RecordingError."""
        raise RecordingError("not rendered", got=entry.folder.name, remedy="fetch it and render it here, or there")

    def close(self) -> list[str]:
        """Removes what was fetched to be watched."""
        for folder in self._watched:
            shutil.rmtree(folder, ignore_errors=True)
        return []

    def _path(self, entry: Entry, file: str) -> str:
        return f"/recordings/{quote(entry.folder.name, safe='')}/{quote(file, safe='')}"


def _entry(item: dict[str, Any]) -> tuple[Entry, _There]:
    """One line of the server's list. Names become paths that lead nowhere: a folder's own name, and nothing above."""
    name = str(item["id"])
    files = {str(file): int(size) for file, size in item["files"].items()}
    if name != Path(name).name or any(file != Path(file).name or file.startswith(".") for file in files):
        raise ValueError(name)
    folder = Path(name)

    def file(key: str) -> Path | None:
        return None if item[key] is None else folder / Path(str(item[key])).name

    entry = Entry(
        folder=folder, name=str(item["name"]), model=str(item["model"]), mode=str(item["mode"]),
        scene=str(item["scene"]), made=datetime.fromisoformat(item["made"]), frames=int(item["frames"]),
        fps=float(item["fps"]), seconds=float(item["seconds"]),
        problem=None if item["problem"] is None else str(item["problem"]), video=file("video"), icons=file("icons"),
        live=bool(item["live"]),
    )  # fmt: skip
    return entry, _There(name, files)
