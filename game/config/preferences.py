"""What a person has chosen, kept in a file of theirs: YAML with a comment at every entry, made to be edited by hand.

A broken entry is reported and skipped by itself; the rest counts. Before a file in which something was broken or
unknown is written anew, a copy of it is kept. No pygame here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from game.config.bindings import COMMANDS, MOST_INPUTS, PINNED, controls_of, default_commands, default_controls
from game.errors import did_you_mean
from game.files import numbered
from game.media.icons import PLACES

VERSION = 1
FILE = "settings.yaml"
FOLDER_VARIABLE = "NEURAL_WORLD_CONFIG"
_MOST_RECENT = 12


def _entry(default: Any, comment: str, *, low: float = 0, high: float = 0, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"comment": comment, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True)
class Preferences:
    """Everything kept for a person. The comments are what the file says beside each entry."""

    sensitivity: float = _entry(
        60.0, "pixels of mouse motion for 0.1 of the model's camera unit; less turns faster", low=1, high=10000
    )
    invert_look: bool = _entry(False, "mouse and stick: up looks down")
    invert_turn: bool = _entry(False, "mouse and stick: left turns right")
    look_stick: str = _entry("right", "the gamepad's stick that looks", choices=("right", "left", "none"))
    stick_speed: float = _entry(1.0, "how fast a full stick looks, a share of the model's limit", low=0.05, high=1)
    dead_zone: float = _entry(0.15, "share of a stick's way that counts as rest", low=0, high=0.9)
    scale: str = _entry(
        "smooth", "how the picture is enlarged; whole: sharp, by whole factors", choices=("smooth", "sharp", "whole")
    )
    icons: str = _entry("normal", "keys and mouse over the picture", choices=("off", "small", "normal", "large"))
    icons_place: str = _entry("corners", "where they stand", choices=PLACES)
    text: str = _entry("normal", "size of words in the window", choices=("small", "normal", "large"))
    window: str = _entry("auto", "size of the window in pixels, as 1280x720; auto fits the screen")
    full_screen: bool = _entry(False, "from the start")
    numbers: bool = _entry(False, "speed and latency over the picture, from the start")
    anchor_every: float = _entry(
        0.0, "seconds of play after which a world is anchored anew by itself; 0: never", low=0, high=3600
    )
    idle_hold: float = _entry(0.0, "seconds without a key after which the picture is held; 0: never", low=0, high=3600)
    folder: str = _entry("", "folder of your own first pictures; empty: your pictures folder")
    weights: str = _entry("", "folder of the large models' weights")
    keys_shown: bool = _entry(False, "the keys are shown for ten seconds at the first start only")
    recent: tuple[str, ...] = _entry((), "pictures you last started from")
    controls: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=default_controls)
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=default_commands)

    @property
    def window_size(self) -> tuple[int, int] | None:
        """The window's size asked for, None to fit the screen."""
        width, _, height = self.window.partition("x")
        return (int(width), int(height)) if height else None

    def with_recent(self, path: str) -> Preferences:
        """With a picture at the head of the recent ones."""
        return replace(self, recent=(path, *(p for p in self.recent if p != path))[:_MOST_RECENT])


_SIMPLE = tuple(item for item in fields(Preferences) if item.name not in ("controls", "commands"))


def config_folder() -> Path:
    """The person's folder for this program's settings; it need not exist. NEURAL_WORLD_CONFIG names another one."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "neural-world"


class SettingsFile:
    """The preferences of one run: read once, changed by the window, written when asked to.

    path: of the file; None for the person's own. session: what counts for this run only, as the command line said it;
    it is not written. problems: lines a person should read about the file, one per broken entry.
    """

    def __init__(self, path: Path | None = None, session: Mapping[str, Any] | None = None) -> None:
        self.path = path or config_folder() / FILE
        self._kept, self.problems = load(self.path)
        self._session = dict(session or {})
        self._damaged = bool(self.problems)
        self._written = self._kept

    @property
    def now(self) -> Preferences:
        """What counts at present."""
        return replace(self._kept, **self._session)

    def change(self, **changes: Any) -> None:
        """Changes what counts; `save` puts it on disk."""
        self._kept = replace(self._kept, **changes)
        self._session = {name: value for name, value in self._session.items() if name not in changes}

    def save(self) -> str | None:
        """Writes what has changed since the file was read or written. Returns what went wrong, None if nothing.

        Where the path is a link, the file that it leads to is written, and a copy is kept beside that one.
        """
        if self._kept == self._written:
            return None
        file = Path(os.path.realpath(self.path))
        temporary = file.with_name(f".{file.name}.tmp")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(to_text(self._kept), encoding="utf-8")
            if self._damaged and file.is_file():
                aside = (path for path in numbered(file.with_name(f"{file.name}.bak")) if not path.exists())
                os.replace(file, next(aside))
            os.replace(temporary, file)
            self._damaged = False
        except OSError as error:
            return f"Your settings cannot be kept in {self.path} ({error.strerror or error})"
        self._written = self._kept
        return None


# -- reading -----------------------------------------------------------------------------------------------------------


def load(path: Path) -> tuple[Preferences, list[str]]:
    """The preferences in a file, and a line for each entry that could not be used. A missing file is no problem."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return Preferences(), []
    except (OSError, UnicodeDecodeError) as error:
        return Preferences(), [f"{path} cannot be read ({error}); the usual settings count"]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        return Preferences(), [f"{path}{where}: not YAML; the usual settings count"]
    except (ValueError, RecursionError) as error:  # a date that is none, for one
        return Preferences(), [f"{path}: not YAML ({error}); the usual settings count"]
    if data is None:
        return Preferences(), []
    if not isinstance(data, dict):
        return Preferences(), [f"{path}: not a list of entries; the usual settings count"]
    return _from_data(data, path.name)


def _from_data(data: dict, name: str) -> tuple[Preferences, list[str]]:
    problems: list[str] = []

    def skip(entry: str, why: str) -> None:
        problems.append(f"{name}: {entry} {why}; skipped")

    values: dict[str, Any] = {}
    version = data.pop("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        problems.append(f"{name}: version {version} is newer than this program's {VERSION}; what it knows counts")
    for item in _SIMPLE:
        if item.name in data:
            value, why = _checked(item, data.pop(item.name))
            if why is None:
                values[item.name] = value
            else:
                skip(item.name, why)
    tables = data.pop("controls", {})
    if isinstance(tables, dict):
        values["controls"] = default_controls()
        for mode, table in tables.items():
            if mode in values["controls"]:
                values["controls"][mode] = _table(table, values["controls"][mode], f"controls.{mode}", skip)
            else:
                skip(f"controls.{mode}", "is no mode")
    else:
        skip("controls", "is no group")
    values["commands"] = _table(data.pop("commands", {}), default_commands(), "commands", skip)
    for entry in data:
        near = did_you_mean(str(entry), [item.name for item in fields(Preferences)])
        skip(str(entry), "is unknown" + (f" ({near})" if near else ""))
    return Preferences(**values), problems


def _checked(item: Any, value: Any) -> tuple[Any, str | None]:
    """A simple entry's value and None, or why it cannot be used."""
    default, about = item.default, item.metadata
    if isinstance(default, bool):
        return value, None if isinstance(value, bool) else f"is {value!r}, not true or false"
    if isinstance(default, float):
        fits = isinstance(value, int | float) and not isinstance(value, bool) and about["low"] <= value <= about["high"]
        return (float(value), None) if fits else (None, f"is {value!r}, not {about['low']:g} to {about['high']:g}")
    if isinstance(default, tuple):
        fits = isinstance(value, list) and all(isinstance(v, str) for v in value)
        return (tuple(value)[:_MOST_RECENT], None) if fits else (None, "is no list of paths")
    if about["choices"]:
        value = {False: "off", True: "on"}.get(value, value) if isinstance(value, bool) else value  # YAML's bare off
        return value, None if value in about["choices"] else f"is {value!r}, not {' or '.join(about['choices'])}"
    value = "" if value is None else value
    if not isinstance(value, str):
        return None, f"is {value!r}, not text"
    if item.name == "window" and value != "auto" and not re.fullmatch(r"[1-9]\d{2,3}x[1-9]\d{2,3}", value):
        return None, f"is {value!r}, not auto or a size as 1280x720"
    return value, None


def _table(
    data: Any, usual: Mapping[str, tuple[str, ...]], where: str, skip: Callable[[str, str], None]
) -> dict[str, tuple[str, ...]]:
    """Bindings read over the usual ones."""
    table = dict(usual)
    if not isinstance(data, dict):
        skip(where, "is no group")
        return table
    for name, inputs in data.items():
        name = {False: "n", True: "y"}.get(name, name) if isinstance(name, bool) else name
        inputs = [inputs] if isinstance(inputs, str) else inputs
        if name not in usual:
            skip(f"{where}.{name}", f"is unknown; known are {', '.join(usual)}")
        elif not isinstance(inputs, list) or not all(isinstance(one, str | int) for one in inputs):
            skip(f"{where}.{name}", "is no list of inputs")
        elif len(inputs) > MOST_INPUTS:
            skip(f"{where}.{name}", f"has more than {MOST_INPUTS} inputs")
        else:
            # YAML reads a bare y, n, on or 1 as no text.
            words = tuple({True: "y", False: "n"}[one] if isinstance(one, bool) else str(one).lower() for one in inputs)
            pinned = PINNED.get(name)
            table[name] = words if pinned is None or pinned in words else (pinned, *words)
    return table


# -- writing -----------------------------------------------------------------------------------------------------------


def to_text(preferences: Preferences) -> str:
    """The file's text, with comments."""
    lines = [
        "# Settings of Neural world. The menu writes this file; you may edit it too, while the program is closed.",
        "# An entry that cannot be read is reported and skipped. Leave one away for the usual value.",
        f"version: {VERSION}",
        "",
    ]
    for item in _SIMPLE:
        about = item.metadata
        span = f" ({' | '.join(about['choices'])})" if about["choices"] else ""
        span = f" ({about['low']:g} to {about['high']:g})" if about["high"] else span
        lines.append(f"# {about['comment']}{span}")
        value = getattr(preferences, item.name)
        if isinstance(value, tuple):
            lines.append(f"{item.name}:" + ("" if value else " []"))
            lines += [f"  - {_quoted(path)}" for path in value]
        else:
            lines.append(f"{item.name}: {_scalar(value)}")
    lines += [
        "",
        "# What each input does, for every mode: names of keys, mouse 4, wheel up, pad a, pad left stick up ...",
    ]
    lines.append("controls:")
    for mode, table in preferences.controls.items():
        lines.append(f"  {mode}:")
        labels = controls_of(mode)
        lines += [f"    {name}: {_inputs(inputs)}  # {labels[name]}" for name, inputs in table.items()]
    lines.append("commands:")
    labels = {command.name: command.label for command in COMMANDS}
    lines += [f"  {name}: {_inputs(inputs)}  # {labels[name]}" for name, inputs in preferences.commands.items()]
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else _quoted(value)


def _quoted(words: str) -> str:
    """Text as YAML's double-quoted kind, which is JSON's."""
    import json

    return json.dumps(words)


def _inputs(inputs: tuple[str, ...]) -> str:
    return "[" + ", ".join(_quoted(one) for one in inputs) + "]"
