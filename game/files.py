"""Files and folders: paths as people give them, names that are taken, and files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from game.errors import InputError, RecordingError

MOST_BYTES = 200  # of a file's name that others are made from: systems allow 255


# -- paths and names as people give them -------------------------------------------------------------------------------


def given_path(text: str, what: str) -> Path:
    """A path as a person wrote it, ~ read as a home folder. what: names it in the error. Raises InputError."""
    if "\0" in text:
        raise InputError(f"{what} holds a NUL character", got=repr(text), expected="a path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~nobody, or ~ where there is no home
        if Path(text).exists():
            return Path(text)
        raise InputError(
            f"{what} is under a home folder that is not there", got=printable(text), remedy="write the path in full"
        ) from error


def printable(text: object) -> str:
    """Text on one line: what cannot be printed (a line's end, a byte that is not UTF-8) as an escape, as \\n, \\xe9."""

    def escape(char: str) -> str:
        if "\udc80" <= char <= "\udcff":  # a byte of a name that is not UTF-8
            return f"\\x{ord(char) - 0xDC00:02x}"
        return char.encode("unicode_escape").decode("ascii")

    return "".join(char if char.isprintable() else escape(char) for char in str(text))


def whole_characters(text: str) -> str:
    """Text in which a character beyond U+FFFF was written as two halves, as JSON does, with the halves together."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


# -- reading -----------------------------------------------------------------------------------------------------------


def check_regular(path: Path) -> None:
    """Raises OSError unless `path` is a file that can be read to its end: no folder, and no pipe or device, which may
    never answer."""
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a NUL character
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")


def is_regular(path: Path) -> bool:
    """Whether `path` is a file that can be read to its end."""
    try:
        check_regular(path)
    except OSError:
        return False
    return True


# -- writing -----------------------------------------------------------------------------------------------------------


def write_json(path: Path, data: dict) -> None:
    """Writes `data` as readable JSON, all of it or nothing. Raises OSError."""
    write_whole(path, json.dumps(data, indent=2) + "\n")


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8, all of it or nothing, also when the power fails meanwhile. Raises OSError."""
    temporary = beside(path)
    try:
        with temporary.open("wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            with contextlib.suppress(OSError):  # some file systems cannot
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def beside(path: Path) -> Path:
    """A name beside `path` that nobody else writes to, for what will take its place."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")


def write_new(path: Path, content: bytes) -> Path:
    """Writes a file under a name that was free, `path` or one of `numbered`, and returns it. Raises OSError."""
    for candidate in numbered(path):
        try:
            with candidate.open("xb") as file:
                file.write(content)
            return candidate
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, "no name is free")


def numbered(path: Path) -> Iterator[Path]:
    """`path`, then with -2, -3 and so on behind its name: where things go that are all to be at `path`."""
    yield path
    stem, suffix = (path.stem, path.suffix) if path.suffix in (".png",) else (path.name, "")
    for number in range(2, 10_000):
        yield path.with_name(f"{stem}-{number}{suffix}")


# -- folders -----------------------------------------------------------------------------------------------------------


def new_folder(path: Path) -> Path:
    """Makes a folder that was not there: `path`, or `path`-2 ... . Two programs never get the same. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for candidate in numbered(path):
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, "no name is free")


def move_folder(folder: Path, target: Path) -> None:
    """Moves a folder to a name that is free, or that an empty folder made by `new_folder` holds, also to another disk;
    whatever fails, it is whole in one place. Raises OSError."""
    try:
        if os.name == "nt" and target.is_dir():
            target.rmdir()  # there a folder does not replace another, not even an empty one
        os.rename(folder, target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    try:
        shutil.copytree(folder, target, dirs_exist_ok=True)
    except OSError:
        shutil.rmtree(target, ignore_errors=True)
        raise
    shutil.rmtree(folder)


def check_folder(folder: Path) -> None:
    """Raises InputError if `folder` cannot be made or written to: it is tried, and what was made is removed again."""
    made: list[Path] = []
    try:
        folder = folder.absolute()
        missing = [part for part in (folder, *folder.parents) if not part.exists()]
        there = missing[-1].parent if missing else folder
        if not there.is_dir():
            raise InputError("cannot write there", got=folder, expected="a folder", remedy=f"{there} is a file")
        for part in reversed(missing):
            part.mkdir()
            made.append(part)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise InputError(
            "cannot write there", got=folder, remedy=f"{reason}; choose another folder with --out"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # another run may be using it by now
            for part in reversed(made):
                part.rmdir()


def folder_error(folder: Path, error: OSError | ValueError) -> RecordingError:
    """The one-line error for a folder or file that cannot be written."""
    reason = error.strerror or error if isinstance(error, OSError) else error
    return RecordingError(
        f"cannot write to {folder} ({reason})",
        remedy="choose another folder with --out, or free some space",
    )
