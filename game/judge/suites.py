"""A fixed set of scripts and first frames that scores are made from, rendered by the model that is to be judged."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from engine.actions import Actions
from engine.families import action_space, action_spaces
from engine.measures.clips import MEASURES
from game import VERSION
from game.config.paths import CONFIGS
from game.config.settings import Settings
from game.console import GentleStop
from game.errors import InputError, RecordingError, did_you_mean
from game.files import folder_error, write_json
from game.judge.crew import Tell, processes_for, run_all
from game.models.catalog import is_large
from game.recording.camera_path import Degrees
from game.recording.format import ACTIONS, REPORT, picture_sha256, read_recording
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


def render_suite(
    suite: Suite,
    world: WorldModel | None,
    settings: Settings,
    out: Path,
    scene: str | None = None,
    seed: int | None = None,
    tell: Tell = lambda what, share: None,
    processes: int = 1,
) -> Path:
    """Renders every take into `out`/clips/ and writes `out`/suite.json, by which the folder is judged.

    A take that is there already, of the same script, first frame, seed, weights and settings, is kept. world: None for
    each of the `processes` to load its own by the settings. Ctrl-C ends between two blocks, as KeyboardInterrupt.
    Raises InputError, RecordingError.
    """
    takes = takes_of(suite, settings.model.mode if world is None else world.config.mode, scene)
    seed = suite.seed if seed is None else seed
    jobs = [_Rendering(take, settings, out / CLIPS / take.name, seed, world) for take in takes]
    run_all(jobs, tell, processes if world is None else 1)
    header = read_recording(jobs[0].folder / ACTIONS).header
    rows = [
        {"folder": f"{CLIPS}/{take.name}", "script": take.case.script.path.name, "scene": take.scene.name,
         "measures": list(take.case.measures)}
        for take in takes
    ]  # fmt: skip
    data = {"suite": suite.name, "version": suite.version, "sha256": suite.sha256, "seed": seed,
            "model": header.model, "weights_sha256": header.weights_sha256, "takes": rows}  # fmt: skip
    try:
        write_json(out / SUITE, data)
    except OSError as error:
        raise folder_error(out, error) from error
    return out


def processes_to_render(suite: Suite, settings: Settings, scene: str | None) -> int:
    """How many to render it in: one for a large model, which has all cores or a GPU to itself. Raises InputError."""
    from game.models.loader import choose_device

    if is_large(settings) or choose_device(settings) != "cpu":
        return 1
    jobs = [_Rendering(take, settings, Path(), 0, None) for take in takes_of(suite, settings.model.mode, scene)]
    return processes_for(jobs, settings.threads)


_worlds: dict[str, WorldModel] = {}  # of this process, which loads a model once for all of its takes


@dataclass(frozen=True)
class _Rendering:
    """The job of rendering one take."""

    take: Take
    settings: Settings
    folder: Path
    seed: int
    world: WorldModel | None

    @property
    def name(self) -> str:
        return f"rendering {self.take.name}"

    @cached_property
    def actions(self) -> Actions:
        space = action_space(self.settings.model.mode if self.world is None else self.world.config.mode)
        return self.take.case.script.actions(space, Degrees.of(self.settings.model))

    @property
    def frames(self) -> int:
        return len(self.actions)

    def run(self, tell: Callable[[float], None]) -> None:
        """Raises RecordingError; KeyboardInterrupt at Ctrl-C, or if `tell` does."""
        world, take = self.world or self._load(), self.take
        picture = take.scene.picture()
        key = {
            "script": hashlib.sha256(take.case.script.path.read_bytes()).hexdigest(),
            "picture": picture_sha256(picture), "seed": self.seed, "weights": world.weights_sha256, "version": VERSION,
            "model": hashlib.sha256(repr(self.settings.model).encode()).hexdigest(), "dtype": str(world.dtype),
            "device": str(world.device), "compiled": world.kernels.compiled,
        }  # fmt: skip
        if not _is_there(self.folder, key):
            self._render(world, picture, tell)
            write_json(self.folder / _KEY, key)

    def _load(self) -> WorldModel:
        from game.models.loader import open_world

        key = repr(self.settings)
        if key not in _worlds:
            _worlds[key] = open_world(self.settings)
        return _worlds[key]

    def _render(self, world: WorldModel, picture: np.ndarray, tell: Callable[[float], None]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _KEY).unlink(missing_ok=True)
        except OSError as error:
            raise folder_error(self.folder, error) from error
        playthrough = Playthrough(world, picture, self.seed)
        header = header_of(world, playthrough.rollout, self.settings, source="headless", scene=self.take.scene.name)
        recorder = Recorder(
            self.folder, header, name="clip", first_frame=playthrough.rollout.first_frame, wait=True, icons=False,
            settings=self.settings.record,
        )  # fmt: skip
        replay, scribe = Replay(playthrough, self.actions), Scribe(recorder, playthrough)
        with GentleStop() as stop:
            try:
                while not replay.done and not stop.asked:
                    scribe.add(replay.play())
                    tell(replay.frame / len(self.actions))
            except BaseException:
                with contextlib.suppress(RecordingError):  # the first failure is the one to tell
                    recorder.close()
                raise
            recorder.close()
        if stop.asked:
            raise KeyboardInterrupt


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
