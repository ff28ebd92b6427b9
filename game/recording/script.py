"""What to press when: a bench.yaml as a stream of actions.

A script is checked twice: parse() checks its form, with line numbers, before any model is known; Script.actions()
checks it against the model's action space.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from engine.actions import Actions, ActionSpace, benchmark_actions
from engine.errors import ActionError
from engine.families import action_spaces
from game.config.paths import CONFIGS
from game.errors import InputError, ScriptError, did_you_mean
from game.files import given_path, is_regular, whole_characters
from game.recording.camera_path import CameraPath, Degrees, parse_path
from game.recording.format import ACTIONS, Recording, read_recording, read_text

MAX_FRAMES = 1_000_000
_MAX_BYTES = 4 * 2**20
_LOADER = yaml.SafeLoader
_PLAIN = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "bool", "int", "float", "timestamp"))
_EXPONENT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)[eE][+-]?\d+")


@dataclass(frozen=True)
class Press:
    """Keys held and mouse moved for some video frames. line: in the script's file."""

    line: int
    frames: int
    keys: tuple[str, ...] = ()
    mouse: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Mix:
    """Frames of the original's random benchmark actions."""

    line: int
    frames: int
    bench: str
    seed: int = 0


@dataclass(frozen=True)
class Script:
    """A bench.yaml whose form is right.

    model, seed, scene, first_frame: None where it doesn't say. lines: where each of its fields stands.
    """

    path: Path
    entries: tuple[Press | Mix | CameraPath, ...]
    repeat: int = 1
    model: str | None = None
    seed: int | None = None
    scene: str | None = None
    first_frame: Path | None = None
    lines: Mapping[str, int] = field(default_factory=dict)

    def where(self, name: str) -> str:
        """File and line of a field, for errors."""
        return f"{self.path}, line {self.lines[name]}"

    def actions(self, space: ActionSpace, degrees: Degrees | None = None) -> Actions:
        """All its video frames' actions. Raises ScriptError (file, line, allowed values) for what the mode lacks.

        degrees: what the model's camera turns by, for camera paths; None for what is usual in the space.
        """
        degrees = degrees or Degrees.of_space(space)
        return Actions.join([self._run(entry, space, degrees) for entry in self.entries] * self.repeat)

    def _run(self, entry: Press | Mix | CameraPath, space: ActionSpace, degrees: Degrees) -> Actions:
        try:
            if isinstance(entry, CameraPath):
                return entry.actions(space, degrees)
            if isinstance(entry, Press):
                return Actions.stack([space.action(entry.keys, entry.mouse)] * entry.frames)
            if entry.bench != space.mode:
                raise ActionError(
                    "the benchmark actions are another mode's",
                    got=entry.bench,
                    expected=f"{space.mode}, the model's mode",
                )
            return benchmark_actions(space, entry.seed, entry.frames)
        except ActionError as error:
            raise ScriptError(f"{self.path}, line {entry.line}: {error}") from error


def load(path: Path) -> Script | Recording:
    """A script (.yaml) or a recording (its folder or its actions.jsonl). Raises ScriptError."""
    if path.is_dir():
        if not is_regular(path / ACTIONS):
            raise ScriptError(f"{path} holds no recording", expected=f"a folder with {ACTIONS}, or a .yaml script")
        return read_recording(path / ACTIONS)
    if not _exists(path):
        shipped = CONFIGS / "scripts" / path.name
        if path.parent != Path(".") or not shipped.is_file():
            near = did_you_mean(path.name, [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else [])
            raise ScriptError(
                f"there is no script {path}", expected="a .yaml script or a recording's folder", remedy=near
            )
        path = shipped
    if path.suffix.lower() == ".mp4":
        raise ScriptError(
            f"{path} is a video", expected="a .yaml script or a recording's folder", remedy=_of_video(path)
        )
    return read_recording(path) if path.suffix == ".jsonl" else parse(path)


def _of_video(path: Path) -> str:
    there = is_regular(path.with_name(ACTIONS))
    return f"name its folder, {path.parent}" if there else f"name the folder that holds its {ACTIONS}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def parse(path: Path) -> Script:
    """Reads a script. Raises ScriptError with file, line and the allowed values for anything not in its form."""
    text = read_text(path, _MAX_BYTES)
    if "\t" in text and _is_json(text):
        text = text.replace("\t", " ")  # which JSON allows wherever it allows a tab, and YAML does not
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ScriptError(f"{path}{where}: not YAML ({problem})") from error
    except RecursionError as error:
        raise ScriptError(f"{path}: nested too deeply to be a script") from error
    if node is None:
        raise ScriptError(f"{path}, line 1: the script is empty", expected=f"fields {', '.join(_FIELDS)}")
    return _Reader(path).script(node)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


_FIELDS = ("model", "seed", "scene", "first_frame", "actions", "repeat")
_PRESS = ("keys", "mouse", "frames")
_MIX = ("bench", "seed", "frames")


class _Reader:
    """YAML nodes, which know their lines, -> a Script."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def script(self, node: yaml.Node) -> Script:
        fields = self._mapping(node, _FIELDS, "the script")
        for one, other in (("scene", "first_frame"),):
            if one in fields and other in fields:
                raise self._error(fields[other], f"{one} and {other} exclude each other", expected="one of them")
        if "actions" not in fields:
            raise self._error(node, "the script has no actions", expected="actions: a list of what to press")
        entries = [self._entry(item) for item in self._list(fields["actions"], "actions")]
        if not entries:
            raise self._error(fields["actions"], "actions is empty", expected="at least one entry")
        repeat = self._integer(fields["repeat"], "repeat", 1, MAX_FRAMES) if "repeat" in fields else 1
        frames = repeat * sum(entry.frames for entry in entries)
        if frames > MAX_FRAMES:
            raise self._error(node, "the script is too long", got=f"{frames} frames", expected=f"at most {MAX_FRAMES}")
        first = self._text(fields["first_frame"], "first_frame") if "first_frame" in fields else None
        return Script(
            path=self._path,
            entries=tuple(entries),
            repeat=repeat,
            model=self._text(fields["model"], "model") if "model" in fields else None,
            seed=self._integer(fields["seed"], "seed", 0, 2**63 - 1) if "seed" in fields else None,
            scene=self._text(fields["scene"], "scene") if "scene" in fields else None,
            first_frame=None if first is None else self._file(fields["first_frame"], first),
            lines={name: value.start_mark.line + 1 for name, value in fields.items()},
        )

    def _entry(self, node: yaml.Node) -> Press | Mix | CameraPath:
        if isinstance(node, yaml.ScalarNode) and {":", "@"} & set(node.value):
            try:
                return parse_path(self._text(node, "an entry of actions"), node.start_mark.line + 1)
            except ActionError as error:
                raise ScriptError(f"{self._path}, line {node.start_mark.line + 1}: {error}") from error
        names = (
            _MIX if isinstance(node, yaml.MappingNode) and any(k.value == "bench" for k, _ in node.value) else _PRESS
        )
        fields = self._mapping(node, names, "an entry of actions")
        line = node.start_mark.line + 1
        if "frames" not in fields:
            raise self._error(node, "an entry has no frames", expected=f"frames: 1 to {MAX_FRAMES}")
        frames = self._integer(fields["frames"], "frames", 1, MAX_FRAMES)
        if names is _MIX:
            bench = self._text(fields["bench"], "bench")
            modes = [mode for mode, space in action_spaces().items() if space.mix]
            if bench not in modes:
                near = did_you_mean(bench, modes)
                raise self._error(fields["bench"], "unknown bench", got=bench, expected=" or ".join(modes), remedy=near)
            seed = self._integer(fields["seed"], "seed", 0, 2**63 - 1) if "seed" in fields else 0
            return Mix(line, frames, bench, seed)
        keys = [self._text(item, "a key") for item in self._list(fields["keys"], "keys")] if "keys" in fields else []
        return Press(line, frames, tuple(key.upper() for key in keys), self._mouse(fields.get("mouse")))

    def _mouse(self, node: yaml.Node | None) -> tuple[float, float]:
        if node is None:
            return (0.0, 0.0)
        numbers = [self._number(item, "mouse") for item in self._list(node, "mouse")]
        if len(numbers) != 2:
            raise self._error(
                node, "mouse has the wrong length", got=len(numbers), expected="[pitch, yaw] per video frame"
            )
        return (numbers[0], numbers[1])

    def _mapping(self, node: yaml.Node, names: Sequence[str], what: str) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(
                node, f"{what} is not a group of fields", got=_show(node), expected=f"fields {', '.join(names)}"
            )
        fields: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else _show(key)
            if name not in names:
                near = did_you_mean(name, names)
                raise self._error(key, f"unknown field {name!r} in {what}", expected=", ".join(names), remedy=near)
            if name in fields:
                raise self._error(key, f"the field {name!r} is given twice")
            fields[name] = value
        return fields

    def _list(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(
                node, f"{what} is not a list", got=_show(node), expected="a list: [ ... ] or lines with -"
            )
        return node.value

    def _value(self, node: yaml.Node, what: str, expected: str) -> Any:
        if not isinstance(node, yaml.ScalarNode) or not node.tag.startswith("tag:yaml.org,2002:"):
            raise self._error(node, f"{what} is of the wrong kind", got=_show(node), expected=expected)
        try:
            if node.style is None and _EXPONENT.fullmatch(node.value):  # YAML 1.1 takes 1e-1 for text
                return float(node.value)
            return _LOADER("").construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise self._error(node, f"{what} is of the wrong kind", got=_show(node), expected=expected) from error

    def _text(self, node: yaml.Node, what: str) -> str:
        # As it stands: YAML would take a plain N, 12:30 or 2024 for other things than text.
        plain = isinstance(node, yaml.ScalarNode) and node.style is None and node.value not in ("", "~", "null")
        value = node.value if plain and node.tag in _PLAIN else self._value(node, what, "text")
        if not isinstance(value, str) or not value or "\0" in value:
            raise self._error(node, f"{what} is of the wrong kind", got=_show(node), expected="text")
        return whole_characters(value)

    def _file(self, node: yaml.Node, text: str) -> Path:
        try:
            return self._path.parent / given_path(text, "first_frame")
        except InputError as error:
            raise ScriptError(f"{self._path}, line {node.start_mark.line + 1}: {error}") from error

    def _integer(self, node: yaml.Node, what: str, low: int, high: int) -> int:
        expected = f"a whole number, {low} to {high}"
        value = self._value(node, what, expected)
        if isinstance(value, float) and math.isfinite(value) and value == math.floor(value):  # 1e2
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._error(node, f"{what} is out of range", got=_show(node), expected=expected)
        return value

    def _number(self, node: yaml.Node, what: str) -> float:
        value = self._value(node, what, "a number")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._error(node, f"{what} is not a number", got=_show(node), expected="a number")
        return float(value)

    def _error(self, node: yaml.Node, what: str, **parts: Any) -> ScriptError:
        return ScriptError(f"{self._path}, line {node.start_mark.line + 1}: {what}", **parts)


def _show(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        text = node.value if len(node.value) <= 60 else node.value[:57] + "..."
        return repr(text) if node.tag.startswith("tag:yaml.org,2002:") else f"{node.tag} {text!r}"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a group of fields"
