"""`--doctor --report`: one text file for an issue, with no names of people and no places of files in it."""

from __future__ import annotations

import contextlib
import getpass
import io
import os
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from game import VERSION
from game.config.paths import ASSETS, CONFIGS, cache_folder, config_folder, fetched_folder, home_folder
from game.config.settings import GROUPS, PATHS, RecordSettings, Settings, load_settings, options
from game.console import tell
from game.files import folder_error, write_whole
from game.models.catalog import random_weights

_NAME = "neural-world-report.txt"
_PACKAGES = ("torch", "numpy", "pygame", "opencv-python", "safetensors", "hydra-core", "imageio-ffmpeg", "pillow")
_FAILURE = "last-failure.txt"

_KNOWN = "\0"  # stands for a path that was found word for word
_PART = r"[^\s\\/:*?\"'<>|,;()\[\]\0]+"
_FOLDER = rf"{_PART}(?: (?!~){_PART}){{0,3}}[\\/]+"
_BARE = r"(?<![^\W_])file:[\\/]+(?:[A-Za-z]:[\\/]+)?|(?<![^\W_])[A-Za-z]:[\\/]+|(?<![\w.])~\w*[\\/]+"
_ROOT = r"\\{2,}|(?<![\w.:/~\\])//|(?<![\w./~\\])/|(?<=-[IL])/"  # of which more than a name must follow
_PATH = re.compile(
    rf"{_KNOWN}(?:[\\/]+(?:{_FOLDER})*(?:{_PART})?)?|(?:(?:{_BARE})(?:{_FOLDER})*|(?:{_ROOT})(?:{_FOLDER})+)(?:{_PART})?"
)
_QUOTED = re.compile(r"""(['"])(?!(?:https?|wss?)://)((?:(?!\1)\S)*?[\\/](?:(?!\1).)*)\1""")
_FILE = re.compile(r"\.(?:py|so|dll|exe|c|cu|cpp|h|yaml|json|jsonl|txt|log|png|jpe?g|mp4|safetensors|pth?)\W*$")
# Names that are everybody's: without them a report could not be read, and nobody is known by them.
_ANYBODY = {"root", "user", "admin", "administrator", "home", "guest", "test", "default", "runner", "ubuntu", "debian",
            "docker", "localhost", "python", "game", "cpu", "gpu", "cuda", "linux", "windows"}  # fmt: skip
_LEAST = 3  # letters of a name that is looked for


def report(words: Sequence[str], out: Path | None, doctor: Callable[[], int]) -> int:
    """Writes the file into `out`, the working directory by default, and prints its name. Returns the exit code.

    doctor: prints what this machine can run.
    """
    settings = load_settings(words)
    told = _told(settings)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        doctor()
    python = f"Python {platform.python_version()} ({sys.implementation.name})"
    parts = [
        f"neural-world {VERSION}, {python}, {platform.platform()}",
        "## Doctor\n" + said.getvalue().strip(),
        "## Packages\n" + "\n".join(f"{name} {_version(name)}" for name in _PACKAGES),
        "## Settings\n" + "\n".join(f"{name}: {value}" for name, value in told.items()),
        "## Last failure\n" + (_last_failure() or "none"),
    ]
    path = (out or Path(".")) / _NAME
    text = scrubbed("\n\n".join(parts), [*words, str(path.parent)], set(_keys(told)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text + "\n")
    except OSError as error:
        raise folder_error(path.parent, error) from error
    tell(path)
    return 0


def scrubbed(text: str, given: Iterable[str] = (), kept: Collection[str] = ()) -> str:
    """A text without the user's name, the machine's name, and all folders of paths.

    given: words of the command line, whose paths are known whatever they look like; those of this process are as well.
    kept: words that stay, whoever is called so.
    """
    for pattern in _spellings([*_places(), *_given([*sys.argv[1:], *given])]):
        text = pattern.sub(_KNOWN, text)
    text = _QUOTED.sub(lambda found: f"{found[1]}{_last(found[2])}{found[1]}", text)
    text = _PATH.sub(lambda found: _last(found[0]), text)
    for name, instead in _names():
        if name.lower() not in kept:
            text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", instead, text, flags=re.IGNORECASE)
    return text


def note_failure(error: BaseException, line: str) -> None:
    """Keeps what went wrong, for a later report; says nothing if that cannot be done."""
    words = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FAILURE).write_text(scrubbed(f"{line}\n\n{words}"), encoding="utf-8")


def _last_failure() -> str:
    try:
        return (cache_folder() / _FAILURE).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _told(settings: Settings) -> dict[str, Any]:
    """All settings by name; in the place of what is a person's own, what it is."""
    told = asdict(settings)
    told["serve"]["hosts"] = f"{len(settings.serve.hosts)} of your own" if settings.serve.hosts else ()
    for name in _paths_of(settings):
        group, _, leaf = name.rpartition(".")
        (told[group] if group else told)[leaf] = "a file of your own" if group == "decoder" else "a folder of your own"
    return told


def _paths_of(settings: Settings) -> dict[str, str]:
    """The settings that are a path somebody gave, by name."""
    values = dict(zip(PATHS, (settings.weights, settings.decoder.weights, settings.record.root), strict=True))
    usual = {"record.root": RecordSettings().root, "weights": settings.weights if random_weights(settings) else None}
    return {name: value for name, value in values.items() if value is not None and value != usual.get(name)}


def _places() -> list[str]:
    """Paths of this process: the user's own folders, the program's, Python's."""
    own = [home_folder(), cache_folder(), config_folder(), fetched_folder("x").parent, ASSETS, CONFIGS.parent]
    with contextlib.suppress(OSError):  # a working folder that is gone
        own += [Path.cwd()]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.executable, tempfile.gettempdir()]
    return [*map(str, own), *python, *sys.path]


def _given(words: Iterable[str]) -> Iterator[str]:
    """The paths among words of the command line."""
    for word in words:
        name, equals, value = word.partition("=")
        path = value if equals and re.fullmatch(r"[\w.-]+", name) else word
        if name in PATHS or re.search(r"[\\/]", path):
            yield path


def _spellings(paths: Iterable[str]) -> list[re.Pattern[str]]:
    """Patterns of some paths and of the folders that they lie in, longest first, however they are written: either
    slash, doubled backslashes, any case, %20, in full, with links followed."""
    known = set(paths)
    for path in tuple(known):
        with contextlib.suppress(OSError, ValueError):
            full = os.path.expanduser(path)
            known |= {full, os.path.normpath(path), os.path.abspath(full), os.path.realpath(full)}
    whole = {tuple(re.split(r"[\\/]+", path.rstrip("\\/"))) for path in known}
    found = {parts[:end] for parts in whole for end in range(1, len(parts) + 1)}
    return [_spelling(parts) for parts in sorted(found, key=lambda parts: (-len("/".join(parts)), parts))
            if parts[-1] not in ("", ".", "..", "~") and not re.fullmatch(r"\w+:", parts[-1])]  # fmt: skip


def _spelling(parts: tuple[str, ...]) -> re.Pattern[str]:
    """The pattern of one path; of a single name only where more follows: alone it may be any word."""
    either = [rf"(?:{re.escape(part)}|{re.escape(quote(part))})" if quote(part) != part else re.escape(part)
              for part in parts]  # fmt: skip
    before = r"(?<![\w.\\/-])" if parts[0] else ""  # else it begins with a slash
    after = r"(?!\w|-|\.\w)" if len(parts) > 2 or (parts[0] and len(parts) > 1) else r"(?=[\\/]+\w)"
    return re.compile(before + r"[\\/]+".join(either) + after, re.IGNORECASE)


def _last(path: str) -> str:
    """The name of the file at the end of a path; dots for a folder's, which may be somebody's."""
    name = re.split(r"[\\/]+", path)[-1].strip(_KNOWN)
    return name if _FILE.search(name) else "..."


def _names() -> list[tuple[str, str]]:
    """Names of the user and the machine, each with the word to put in its place."""
    node, home = platform.node(), home_folder()
    names = [(_user(), "USER"), (node, "MACHINE"), (node.partition(".")[0], "MACHINE")]
    if home.parent.name in ("home", "Users"):
        names.append((home.name, "USER"))
    anybody = {*_ANYBODY, *_PACKAGES, *(choice for group in GROUPS for choice in options(group))}
    return [(name, instead) for name, instead in names if len(name) >= _LEAST and name.lower() not in anybody]


def _keys(table: dict[str, Any]) -> Iterator[str]:
    """All names in nested tables."""
    for name, value in table.items():
        yield name
        if isinstance(value, dict):
            yield from _keys(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "is not installed"
