"""A fixed set of scripts and first frames that scores are made from, rendered by the model that is to be judged."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from engine.families import action_space, action_spaces
from engine.measures.clips import MEASURES
from game import VERSION
from game.config.paths import CONFIGS
from game.config.settings import Settings
from game.console import GentleStop
from game.errors import InputError, RecordingError, did_you_mean
from game.files import folder_error, write_json
from game.recording.camera_path import Degrees
from game.recording.format import REPORT, picture_sha256
from game.recording.replay import Replay
from game.recording.script import Script, parse
from game.recording.writer import Recorder, Scribe, header_of
from game.world.playthrough import Playthrough
from game.world.scenes import PICTURE_SUFFIXES, Scene, find_scene, shipped_scenes

if TYPE_CHECKING:
    from engine.world import WorldModel

SUITE = "suite.json"
CLIPS = "clips"
_KEY = "suite_key.json"
_FIELDS = ("version", "seed", "cases")
_CASE = ("script", "scenes", "modes", "measures")


@dataclass(frozen=True)
class Case:
    """One script, the scenes it is played from (none: all), the modes it is for, and what is measured by it."""

    script: Script
    scenes: tuple[str, ...]
    modes: tuple[str, ...]
    measures: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """name: of its folder. sha256: over all its files, so that scores say what they were made from."""

    name: str
    version: int
    seed: int
    cases: tuple[Case, ...]
    sha256: str


@dataclass(frozen=True)
class Take:
    """One case from one scene. name: of its folder."""

    name: str
    case: Case
    scene: Scene


def suites() -> list[str]:
    """The suites that come with the program."""
    return sorted(path.parent.name for path in (CONFIGS / "suites").glob("*/suite.yaml"))


def load_suite(wanted: str) -> Suite:
    """A shipped suite by its name, or one of your own by its folder. Raises InputError, ScriptError."""
    folder = CONFIGS / "suites" / wanted
    if wanted not in suites():
        folder = Path(wanted).expanduser()
        if not (folder / "suite.yaml").is_file():
            near = did_you_mean(wanted, suites())
            expected = f"{' or '.join(suites())}, or a folder with a suite.yaml"
            raise InputError(f"there is no suite {wanted!r}", expected=expected, remedy=near)
    path = folder / "suite.yaml"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())[:120]})") from error
    if not isinstance(data, dict) or set(data) != set(_FIELDS) or not isinstance(data["cases"], list):
        raise InputError(f"{path} is no suite", expected=f"fields {', '.join(_FIELDS)}")
    for name in ("version", "seed"):
        if not isinstance(data[name], int) or isinstance(data[name], bool) or data[name] < 0:
            raise InputError(f"{path}: bad {name}", got=repr(data[name]), expected="a whole number")
    cases = tuple(_case(path, number, row) for number, row in enumerate(data["cases"], start=1))
    return Suite(folder.name, data["version"], data["seed"], cases, _hash_of([path, *(c.script.path for c in cases)]))


def _case(path: Path, number: int, row: Any) -> Case:
    where = f"{path}, case {number}"
    if not isinstance(row, dict) or set(row) != set(_CASE):
        raise InputError(f"{where} is no case", expected=f"fields {', '.join(_CASE)}")
    scenes = () if row["scenes"] == "all" else row["scenes"]
    lists = {
        "scenes": (scenes, None),
        "modes": (row["modes"], tuple(action_spaces())),
        "measures": (row["measures"], tuple(MEASURES)),
    }
    for name, (values, known) in lists.items():
        if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
            raise InputError(f"{where}: {name} is not a list", got=repr(values))
        wrong = next((value for value in values if known is not None and value not in known), None)
        if wrong is not None:
            near = did_you_mean(wrong, known or ())
            raise InputError(f"{where}: unknown {name}", got=wrong, expected=", ".join(known or ()), remedy=near)
    return Case(parse(path.parent / str(row["script"])), tuple(scenes), tuple(row["modes"]), tuple(row["measures"]))


def _hash_of(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(set(paths)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def takes_of(suite: Suite, mode: str, scene: str | None) -> list[Take]:
    """Every case of a mode from every scene it asks for; from one's own pictures where `scene` names one or a folder.

    Raises InputError where the suite has nothing for the mode, or the folder holds no picture.
    """
    own = None if scene is None else _own_scenes(scene)
    found = []
    for case in suite.cases:
        if mode not in case.modes:
            continue
        chosen = own or [find_scene(name) for name in case.scenes] or sorted(shipped_scenes(), key=lambda s: s.name)
        found += [Take(f"{case.script.path.stem}-{scene.name}", case, scene) for scene in chosen]
    if not found:
        modes = sorted({mode for case in suite.cases for mode in case.modes})
        raise InputError(f"the suite {suite.name} has nothing for this mode", got=mode, expected=", ".join(modes))
    return found


def _own_scenes(scene: str) -> list[Scene]:
    folder = Path(scene).expanduser()
    if not folder.is_dir():
        return [find_scene(scene)]
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not pictures:
        raise InputError("no picture in there", got=folder, expected=", ".join(PICTURE_SUFFIXES[:4]))
    return [Scene(path.stem, path) for path in pictures]


Tell = Callable[[str, float], None]


def render_suite(
    suite: Suite, world: WorldModel, settings: Settings, out: Path, scene: str | None, seed: int | None, tell: Tell
) -> Path:
    """Renders every take into `out`/clips/ and writes `out`/suite.json, by which the folder is judged.

    A take that is there already, of the same script, first frame, seed, weights and settings, is kept. Ctrl-C ends
    between two blocks, as KeyboardInterrupt. Raises InputError, RecordingError.
    """
    takes = takes_of(suite, world.config.mode, scene)
    seed = suite.seed if seed is None else seed
    degrees = Degrees.of(settings.model)
    space = action_space(world.config.mode)
    lengths = [len(take.case.script.actions(space, degrees)) for take in takes]
    done, total = 0, sum(lengths)

    def told(take: Take, before: int, length: int) -> Callable[[float], None]:
        return lambda part: tell(f"rendering {take.name}", (before + part * length) / total)

    for take, length in zip(takes, lengths, strict=True):
        _render_take(take, world, settings, out / CLIPS / take.name, seed, told(take, done, length))
        done += length
    rows = [
        {"folder": f"{CLIPS}/{take.name}", "script": take.case.script.path.name, "scene": take.scene.name,
         "measures": list(take.case.measures)}
        for take in takes
    ]  # fmt: skip
    data = {"suite": suite.name, "version": suite.version, "sha256": suite.sha256, "seed": seed,
            "model": world.config.name, "weights_sha256": world.weights_sha256, "takes": rows}  # fmt: skip
    try:
        write_json(out / SUITE, data)
    except OSError as error:
        raise folder_error(out, error) from error
    return out


def _render_take(
    take: Take, world: WorldModel, settings: Settings, folder: Path, seed: int, tell: Callable[[float], None]
) -> None:
    picture = take.scene.picture()
    actions = take.case.script.actions(world.action_space, Degrees.of(settings.model))
    key = {
        "script": hashlib.sha256(take.case.script.path.read_bytes()).hexdigest(),
        "picture": picture_sha256(picture), "seed": seed, "weights": world.weights_sha256, "version": VERSION,
        "model": hashlib.sha256(repr(settings.model).encode()).hexdigest(), "dtype": str(world.dtype),
        "device": str(world.device), "compiled": world.kernels.compiled,
    }  # fmt: skip
    if _is_there(folder, key):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _KEY).unlink(missing_ok=True)
    except OSError as error:
        raise folder_error(folder, error) from error
    playthrough = Playthrough(world, picture, seed)
    header = header_of(world, playthrough.rollout, settings, source="headless", scene=take.scene.name)
    recorder = Recorder(
        folder, header, name="clip", first_frame=playthrough.rollout.first_frame, wait=True, icons=False,
        settings=settings.record,
    )  # fmt: skip
    replay, scribe = Replay(playthrough, actions), Scribe(recorder, playthrough)
    with GentleStop() as stop:
        try:
            while not replay.done and not stop.asked:
                scribe.add(replay.play())
                tell(replay.frame / len(actions))
        except Exception:
            with contextlib.suppress(RecordingError):  # the first failure is the one to tell
                recorder.close()
            raise
        recorder.close()
    if stop.asked:
        raise KeyboardInterrupt
    write_json(folder / _KEY, key)


def _is_there(folder: Path, key: dict[str, Any]) -> bool:
    try:
        return json.loads((folder / _KEY).read_text(encoding="utf-8")) == key and (folder / REPORT).is_file()
    except (OSError, ValueError):
        return False


def read_suite_folder(folder: Path) -> dict[str, Any]:
    """What `render_suite` wrote. Raises InputError."""
    path = folder / SUITE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        takes = data["takes"]
        ok = isinstance(takes, list) and all(
            isinstance(t["folder"], str) and set(t["measures"]) <= set(MEASURES) for t in takes
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read", remedy="render the suite again") from error
    if not ok:
        raise InputError(f"{path} is no suite's list of takes", remedy="render the suite again")
    return dict(data)
