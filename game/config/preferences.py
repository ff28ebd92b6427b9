"""What a person has chosen, kept in a file of theirs: YAML with a comment at every entry, made to be edited by hand.

A broken entry is reported and skipped by itself; the rest counts. What the menu changes is changed where it stands:
all else in the file stays as a person wrote it. Where that cannot be done the file is written anew, and a copy kept.
What counts where nothing is said is in configs/play. No pygame here.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from game.config import paths
from game.config.bindings import COMMANDS, MOST_INPUTS, PINNED, controls_of, default_commands, default_controls
from game.config.glance import FILE, FOLDER_VARIABLE
from game.errors import did_you_mean
from game.files import check_regular, given_path, numbered, printable, whole_characters, write_whole
from game.media.icons import PLACES

VERSION = 1
_MOST_RECENT = 12


@lru_cache(maxsize=1)
def usual_of_play() -> dict[str, Any]:
    """The play options as configs/play/default.yaml has them: the one place of their usual values."""
    import yaml

    return yaml.safe_load((paths.CONFIGS / "play" / "default.yaml").read_text(encoding="utf-8"))


def _entry(default: Any, comment: str, *, low: float = 0, high: float = 0, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"comment": comment, "low": low, "high": high, "choices": choices})


def _option(name: str, comment: str, **limits: Any) -> Any:
    """An entry that is a play option too."""
    return _entry(of_play(name, usual_of_play()[name]), comment, **limits)


def of_play(name: str, value: Any) -> Any:
    """A play option's value as preferences have it: icons are a size there, or off."""
    return {True: "normal", False: "off"}[value] if name == "icons" and isinstance(value, bool) else value


@dataclass(frozen=True)
class Preferences:
    """Everything kept for a person. The comments are what the file says beside each entry."""

    sensitivity: float = _option(
        "sensitivity", "pixels of mouse motion for 0.1 of the model's camera unit; less turns faster", low=1, high=10000
    )
    invert_look: bool = _entry(False, "mouse and stick: up looks down")
    invert_turn: bool = _entry(False, "mouse and stick: left turns right")
    look_stick: str = _entry("right", "the gamepad's stick that looks", choices=("right", "left", "none"))
    stick_speed: float = _entry(1.0, "how fast a full stick looks, a share of the model's limit", low=0.05, high=1)
    dead_zone: float = _entry(0.15, "share of a stick's way that counts as rest", low=0, high=0.9)
    scale: str = _option(
        "scale", "how the picture is enlarged; whole: sharp, by whole factors", choices=("smooth", "sharp", "whole")
    )
    icons: str = _option("icons", "keys and mouse over the picture", choices=("off", "small", "normal", "large"))
    icons_place: str = _entry("corners", "where they stand", choices=PLACES)
    text: str = _entry("normal", "size of words in the window", choices=("small", "normal", "large"))
    window: str = _entry("auto", "size of the window in pixels, as 1280x720; auto fits the screen")
    full_screen: bool = _option("full_screen", "from the start")
    numbers: bool = _option("numbers", "speed and latency over the picture, from the start")
    anchor_every: float = _entry(
        0.0, "seconds of play after which a world is anchored anew by itself; 0: never", low=0, high=3600
    )
    idle_hold: float = _entry(0.0, "seconds without a key after which the picture is held; 0: never", low=0, high=3600)
    margin_ms: float = _option(
        "margin_ms", "slack in deciding how late a block may start, milliseconds", low=0, high=1000
    )
    rewind_mb: int | None = _option(
        "rewind_mb", "memory for moments to go back to, MB; null: 256, or more on a GPU", low=0, high=1_000_000
    )
    folder: str = _entry("", "folder of your own first pictures; empty: your pictures folder")
    weights: str = _entry("", "folder of the large models' weights")
    keys_shown: bool = _entry(False, "the keys are shown at the first start only, until one of them is used")
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


OPTIONS = ("sensitivity", "margin_ms", "scale", "icons", "numbers", "full_screen", "rewind_mb")  # of play
_ITEMS = {item.name: item for item in _SIMPLE}


def limits(name: str) -> tuple[float, float]:
    """The least and the most that an entry may be."""
    about = _ITEMS[name].metadata
    return about["low"], about["high"]


def config_folder() -> Path:
    """The person's folder for this program's settings; it need not exist. NEURAL_WORLD_CONFIG names another one.

    Raises InputError for one that is under a home folder that is not there.
    """
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return given_path(chosen, FOLDER_VARIABLE)
    return paths.config_folder()


class SettingsFile:
    """The preferences of one run: read once, changed by the window, written when asked to.

    path: of the file; None for the person's own. usual: what counts where the file says nothing. session: what counts
    for this run only, as the command line said it; it is not written. problems: lines a person should read about the
    file, one per broken entry. Only what this run changed is ever written: another window's changes, and an edit by
    hand, made meanwhile, stay.
    """

    def __init__(
        self, path: Path | None = None, session: Mapping[str, Any] | None = None, usual: Preferences | None = None
    ) -> None:
        self.path = path or config_folder() / FILE
        self._usual = usual or Preferences()
        self._kept, self.problems = load(self.path, self._usual)
        self._session = dict(session or {})
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
        try:
            file = Path(os.path.realpath(self.path))
            file.parent.mkdir(parents=True, exist_ok=True)
            with _alone(file):
                on_disk, _ = load(file, self._usual)
                wanted = _merged(on_disk, self._written, self._kept)
                text = _changed_text(file, on_disk, wanted, self._usual)
                if text is None:
                    if file.is_file():
                        _copy_aside(file)
                    text = to_text(wanted, self._usual)
                write_whole(file, text)
        except (OSError, ValueError) as error:
            reason = error.strerror or error if isinstance(error, OSError) else error
            return f"Your settings cannot be kept in {printable(self.path)} ({reason})"
        self._written = self._kept
        return None


def _merged(on_disk: Preferences, before: Preferences, after: Preferences) -> Preferences:
    """What is on disk, with what was changed from `before` to `after`, entry by entry and control by control."""
    changed: dict[str, Any] = {}
    for item in _SIMPLE:
        was, now = getattr(before, item.name), getattr(after, item.name)
        if item.name == "recent" and was != now:
            added = [path for path in now if path not in was]
            theirs = [path for path in on_disk.recent if path not in was]
            kept = [path for path in now if path in was]
            changed["recent"] = tuple(dict.fromkeys([*added, *theirs, *kept]))[:_MOST_RECENT]
        elif was != now:
            changed[item.name] = now
    changed["controls"] = {
        mode: _merged_table(table, before.controls.get(mode, {}), after.controls.get(mode, table))
        for mode, table in on_disk.controls.items()
    }
    changed["commands"] = _merged_table(on_disk.commands, before.commands, after.commands)
    return replace(on_disk, **changed)


def _merged_table(on_disk: Mapping, before: Mapping, after: Mapping) -> dict[str, tuple[str, ...]]:
    return {name: on_disk[name] if after.get(name) == before.get(name) else after[name] for name in on_disk}


def _changed_text(file: Path, on_disk: Preferences, wanted: Preferences, usual: Preferences) -> str | None:
    """The file's text with what differs changed where it stands; None where there is none, or that cannot be done."""
    import yaml

    from game.config.yaml_lines import with_value

    try:
        text = file.read_bytes().decode("utf-8")
        if not text.strip():
            return None
        known = dict(_entries(on_disk))
        for keys, value in _entries(wanted):
            if known[keys] != value:
                text = with_value(text, keys, value)
        return text if _parsed(text, file, usual)[0] == wanted else None
    except (OSError, ValueError, RecursionError, TypeError, yaml.YAMLError):
        return None


_LOCK_S, _STALE_S = 1.0, 5.0


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """While entered, no other window reads and writes the file; one that died in the middle is not waited for."""
    lock, until = file.with_name(f".{file.name}.lock"), time.monotonic() + _LOCK_S
    while True:
        try:
            lock.touch(exist_ok=False)
            break
        except FileExistsError:
            with contextlib.suppress(OSError):
                if time.time() - lock.stat().st_mtime > _STALE_S or time.monotonic() > until:
                    lock.unlink()
                    continue
            time.sleep(0.01)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()


def _copy_aside(file: Path) -> None:
    """Copies a file to the next free name behind .bak. Raises OSError."""
    for copy in numbered(file.with_name(f"{file.name}.bak")):
        try:
            with copy.open("xb") as target, file.open("rb") as source:
                shutil.copyfileobj(source, target)
            return
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, "no name is free for a copy")


# -- reading -----------------------------------------------------------------------------------------------------------


def load(path: Path, usual: Preferences | None = None) -> tuple[Preferences, list[str]]:
    """The preferences in a file, and a line for each entry that could not be used. A missing file is no problem.

    usual: what counts where the file says nothing.
    """
    usual = usual or Preferences()
    try:
        check_regular(path)
        return _parsed(path.read_bytes(), path, usual)
    except FileNotFoundError:
        return usual, []
    except OSError as error:
        return usual, [f"{printable(path)} cannot be read ({error.strerror or error}); the usual settings count"]


def _parsed(text: bytes | str, path: Path, usual: Preferences) -> tuple[Preferences, list[str]]:
    import yaml

    from game.config.yaml_lines import by_words

    shown = printable(path)
    try:
        # Every word as text: YAML would take y, off, 1e-1 and 12:30 for other things than people do.
        data = by_words(yaml.load, text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        return usual, [f"{shown}{where}: not YAML; the usual settings count"]
    except (ValueError, RecursionError, TypeError) as error:
        return usual, [f"{shown}: not YAML ({printable(error)}); the usual settings count"]
    if data is None or data == "":
        return usual, []
    if not isinstance(data, dict):
        return usual, [f"{shown}: not a list of entries; the usual settings count"]
    return _from_data(data, printable(path.name), usual)


def _from_data(data: dict, name: str, usual: Preferences) -> tuple[Preferences, list[str]]:
    problems: list[str] = []

    def skip(entry: str, why: str) -> None:
        problems.append(f"{name}: {printable(entry)} {why}; skipped")

    values: dict[str, Any] = {}
    version = _number(data.pop("version", str(VERSION)))
    if version is None or version > VERSION:
        problems.append(f"{name}: the version is newer than this program's {VERSION}; what it knows counts")
    for item in _SIMPLE:
        if item.name in data:
            value, why = _checked(item, data.pop(item.name))
            if why is None:
                values[item.name] = value
            else:
                skip(item.name, why)
    tables = data.pop("controls", {})
    if isinstance(tables, dict):
        values["controls"] = dict(usual.controls)
        for mode, table in tables.items():
            if mode in values["controls"]:
                values["controls"][mode] = _table(table, values["controls"][mode], f"controls.{mode}", skip)
            else:
                skip(f"controls.{mode}", "is no mode")
    elif tables != "":
        skip("controls", "is no group")
    if (commands := data.pop("commands", {})) != "":
        values["commands"] = _table(commands, usual.commands, "commands", skip)
    for entry in data:
        near = did_you_mean(str(entry), [item.name for item in fields(Preferences)])
        skip(_short(entry), "is unknown" + (f" ({near})" if near else ""))
    return replace(usual, **values), problems


_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING = ("", "null", "~")


def _number(text: Any) -> float | None:
    """The number that a word is, as YAML and people write one; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        return float(text.lower().replace(".nan", "nan").replace(".inf", "inf"))
    except ValueError:
        return None


def _short(value: Any) -> str:
    """A value as a problem shows it."""
    if not isinstance(value, str):
        return "a list" if isinstance(value, list) else "a group"
    number = _number(value)
    words = repr(value) if number is None else f"{number:g}"
    return printable(words if len(words) <= 60 else f"{words[:57]}...")


def _checked(item: Any, value: Any) -> tuple[Any, str | None]:
    """A simple entry's value and None, or why it cannot be used. value: text, a list or a table, as the file has it."""
    default, about, kind = item.default, item.metadata, str(item.type)
    if kind.startswith("tuple"):
        fits = isinstance(value, list) and all(isinstance(v, str) for v in value)
        return (tuple(map(whole_characters, value))[:_MOST_RECENT], None) if fits else (None, "is no list of paths")
    if not isinstance(value, str):
        return None, f"is {_short(value)}, not {'a number' if about['high'] else 'text'}"
    if isinstance(default, bool):
        found = _BOOLEANS.get(value.lower())
        return found, None if found is not None else f"is {_short(value)}, not true or false"
    if about["high"]:
        number = None if value in _NOTHING else _number(value)
        if value in _NOTHING and "None" in kind:
            return None, None
        fits = number is not None and math.isfinite(number) and about["low"] <= number <= about["high"]
        if not fits or (kind.startswith("int") and number != int(number or 0)):
            return None, f"is {_short(value)}, not {about['low']:g} to {about['high']:g}"
        return int(number or 0) if kind.startswith("int") else number, None
    if about["choices"]:
        value = {"true": "on", "false": "off"}.get(value.lower(), value)
        value = "normal" if item.name == "icons" and value == "on" else value
        return value, None if value in about["choices"] else f"is {_short(value)}, not {' or '.join(about['choices'])}"
    value = "" if value in ("null", "~") else whole_characters(value)
    if item.name == "window" and value != "auto" and not re.fullmatch(r"[1-9]\d{2,3}x[1-9]\d{2,3}", value):
        return None, f"is {_short(value)}, not auto or a size as 1280x720"
    if "\0" in value:
        return None, f"is {_short(value)}, which no file is called"
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
        inputs = [inputs] if isinstance(inputs, str) and inputs else [] if inputs == "" else inputs
        if name not in usual:
            skip(f"{where}.{name}" if isinstance(name, str) else where, f"is unknown; known are {', '.join(usual)}")
        elif not isinstance(inputs, list) or not all(isinstance(one, str) for one in inputs):
            skip(f"{where}.{name}", "is no list of inputs")
        elif len(inputs) > MOST_INPUTS:
            skip(f"{where}.{name}", f"has more than {MOST_INPUTS} inputs")
        else:
            words = tuple(whole_characters(one).lower() for one in inputs)
            pinned = PINNED.get(name)
            table[name] = words if pinned is None or pinned in words else (pinned, *words)
    return table


# -- writing -----------------------------------------------------------------------------------------------------------


def to_text(preferences: Preferences, usual: Preferences | None = None) -> str:
    """The file's text, with comments. An entry that is as usual is one of them, so that what is usual may change."""
    usual = usual or Preferences()
    lines = [
        "# Settings of Neural world. The menu writes this file; you may edit it too: only what the menu changes is",
        "# written over. An entry that cannot be read is reported and skipped; one with a # before it is as usual.",
        f"version: {VERSION}",
        "",
    ]
    for item in _SIMPLE:
        about = item.metadata
        span = f" ({' | '.join(about['choices'])})" if about["choices"] else ""
        span = f" ({about['low']:g} to {about['high']:g})" if about["high"] else span
        lines.append(f"# {about['comment']}{span}")
        value = getattr(preferences, item.name)
        entry = f"{item.name}:{_value(value)}"
        lines.append(entry if value != getattr(usual, item.name) else "# " + entry.replace("\n", "\n# "))
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


def _entries(preferences: Preferences) -> Iterator[tuple[tuple[str, ...], str]]:
    """Everything that a file can say, entry by entry: the keys that lead there, and what follows the colon."""
    for item in _SIMPLE:
        yield (item.name,), _value(getattr(preferences, item.name))
    for mode, table in preferences.controls.items():
        yield from ((("controls", mode, name), f" {_inputs(inputs)}") for name, inputs in table.items())
    yield from ((("commands", name), f" {_inputs(inputs)}") for name, inputs in preferences.commands.items())


def _value(value: Any) -> str:
    """What follows an entry's colon."""
    if isinstance(value, tuple):
        return "".join(f"\n  - {_quoted(path)}" for path in value) or " []"
    return f" {_scalar(value)}"


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value).removesuffix(".0") if isinstance(value, int | float) else _quoted(value)


def _quoted(words: str) -> str:
    """Text as YAML's double-quoted kind. Unlike JSON's, a character beyond U+FFFF is one, not two halves."""
    escapes = {'"': '\\"', "\\": "\\\\"}

    def shown(char: str) -> str:
        if char in escapes:
            return escapes[char]
        number = ord(char)
        if char.isprintable() and not 0xD800 <= number <= 0xDFFF:
            return char
        return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"

    return '"' + "".join(map(shown, words)) + '"'


def _inputs(inputs: tuple[str, ...]) -> str:
    return "[" + ", ".join(_quoted(one) for one in inputs) + "]"
