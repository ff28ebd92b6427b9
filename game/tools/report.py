"""`--doctor --report`: one text file for an issue, with no names of people and no places of files in it."""

from __future__ import annotations

import contextlib
import getpass
import io
import platform
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from game import VERSION
from game.config.paths import cache_folder, home_folder
from game.config.settings import load_settings
from game.console import tell
from game.files import folder_error, write_whole

_NAME = "neural-world-report.txt"
_PACKAGES = ("torch", "numpy", "pygame", "opencv-python", "safetensors", "hydra-core", "imageio-ffmpeg", "pillow")
_FAILURE = "last-failure.txt"
# A drive or a slash, and folders down to a name: of these only the name is told.
_PART = r"[^\s\\/:*?\"'<>|,;()\[\]]"
_PATH = re.compile(rf"(?<![\w.:/~])(?:[A-Za-z]:\\|~[\\/]|\\\\|/)(?:{_PART}+[\\/])+({_PART}*)")


def report(words: Sequence[str], out: Path | None, doctor: Callable[[], int]) -> int:
    """Writes the file into `out`, the working directory by default, and prints its name. Returns the exit code.

    doctor: prints what this machine can run.
    """
    settings = load_settings(words)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        doctor()
    python = f"Python {platform.python_version()} ({sys.implementation.name})"
    parts = [
        f"neural-world {VERSION}, {python}, {platform.platform()}",
        "## Doctor\n" + said.getvalue().strip(),
        "## Packages\n" + "\n".join(f"{name} {_version(name)}" for name in _PACKAGES),
        "## Settings\n" + "\n".join(f"{name}: {value}" for name, value in asdict(settings).items()),
        "## Last failure\n" + (_last_failure() or "none"),
    ]
    path = (out or Path(".")) / _NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, scrubbed("\n\n".join(parts)) + "\n")
    except OSError as error:
        raise folder_error(path.parent, error) from error
    tell(path)
    return 0


def scrubbed(text: str) -> str:
    """A text without the user's name, the machine's name, and all folders of paths."""
    home = str(home_folder())
    if len(home) > 1:
        text = text.replace(home, "~")
    text = _PATH.sub(lambda found: found[1] or "...", text)
    for name, instead in ((_user(), "USER"), (platform.node(), "MACHINE")):
        if len(name) > 1:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, text)
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
