"""Headless rendering and replay: a script's or a recording's actions through a rollout into a session's folder."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.actions import Actions
from game.config.settings import Settings, load_settings, options
from game.console import GentleStop, Progress, say, tell
from game.errors import ConfigError, InputError, RecordingError, RunError, ScriptError
from game.files import check_folder
from game.media.pictures import read_picture
from game.models.catalog import find_weights
from game.models.loader import Opener, open_world
from game.recording.camera_path import Degrees
from game.recording.format import ACTIONS, Happenings, Job, Recording, SessionHeader, holds_session, read_header
from game.recording.replay import Replay, begin, check_first_frame, check_recorded, differences, first_difference
from game.recording.script import Script
from game.recording.writer import Recorder, Scribe, header_of, start_recorder, summary
from game.world.playthrough import Playthrough
from game.world.scenes import Scene, find_scene, shipped_scenes

if TYPE_CHECKING:
    from engine.world import WorldModel


def render(source: Script | Recording, words: list[str], job: Job, open_model: Opener | None = None) -> int:
    """Renders a script, or replays a recording and compares the frames. Returns the exit code.

    words: overrides from the command line; they win over what the source says. open_model: makes the world (tests).
    Ctrl-C ends well and keeps what was rendered. Raises InputError, RunError.
    """
    settings = _settings(source, words)
    find_weights(settings)
    actions, first = _actions(source, settings), _first_scene(source, job)
    picture = first.picture()
    if isinstance(source, Recording) and job.scene is None:
        check_first_frame(source, picture)
    check_folder(job.out or Path(settings.record.root))
    _check_out(source, job.out)
    progress = Progress()
    world = (open_model or (lambda s: open_world(s, progress, say)))(settings)
    progress.clear()
    playthrough = _begin(source, world, picture, _seed(source, job), progress)
    prelude = playthrough.actions_of(playthrough.present)
    header = header_of(world, playthrough.rollout, settings, source="headless", scene=first.name, prelude=prelude)
    if isinstance(source, Recording):
        _say_what_differs(source.header, header)
    recorder = start_recorder(
        job.out, header, name=job.name, first_frame=playthrough.rollout.first_frame, prelude=prelude, wait=True,
        current=settings.record.current, settings=settings.record, keep_live=False,
    )  # fmt: skip
    happenings = source.happenings if isinstance(source, Recording) else Happenings()
    replay = Replay(playthrough, actions, happenings, str(source.path))
    with GentleStop() as stop:  # around the closing, too: a file cut short there would be lost
        try:
            run(replay, Scribe(recorder, playthrough), progress, stop)
        except Exception:
            with contextlib.suppress(RecordingError):  # the first failure is the one to tell
                recorder.close()
            raise
        report = recorder.close()
    tell(summary(report, recorder.folder, job.name))
    if report["frames"] < len(actions):
        tell("stopped early; what was rendered is kept")
    elif isinstance(source, Recording):
        return _compare(source, header, report, recorder, varied=job.seed is not None or job.scene is not None)
    return 0


def run(replay: Replay, scribe: Scribe, progress: Progress, stop: GentleStop) -> None:
    """Plays all of `replay` into `scribe`, or until asked to stop. Raises RecordingError as soon as the recording
    fails, and ScriptError as Replay.play."""
    while not replay.done and not stop.asked:
        scribe.add(replay.play())
        frames = len(replay.actions)
        progress(f"frame {replay.frame} of {frames}", replay.frame / frames)
    progress.clear()


def _begin(
    source: Script | Recording, world: WorldModel, picture: np.ndarray, seed: int, progress: Progress
) -> Playthrough:
    """The playthrough at the moment where the source begins."""
    if not isinstance(source, Recording):
        return Playthrough(world, picture, seed)
    playthrough = begin(source, world, picture, seed, tell=lambda share: progress("playing up to the recording", share))
    progress.clear()
    return playthrough


def _settings(source: Script | Recording, words: list[str]) -> Settings:
    """The words' settings over the source's. Raises ConfigError; ScriptError where a recording's header is to blame."""
    defaults = defaults_of(source)
    try:
        return load_settings(words, defaults)
    except ConfigError as error:
        if isinstance(source, Recording):
            load_settings(words)  # raises if it was the command line
            raise ScriptError(f"{source.path}, line 1: {error}") from error
        raise


def defaults_of(source: Script | Recording) -> list[str]:
    """The overrides a source asks for. Raises ScriptError if it asks for a model there isn't."""
    model = source.model if isinstance(source, Script) else source.header.model
    if model is None:
        return []
    where = source.where("model") if isinstance(source, Script) else f"{source.path}, line 1"
    if model not in options("model"):
        raise ScriptError(f"{where}: unknown model", got=model, expected=" or ".join(options("model")))
    if isinstance(source, Script):
        return [f"model={model}"]
    header = source.header
    words = [f"model={model}", f"threads={header.threads}", f"dtype={header.dtype}", *header.overrides]
    if header.compiled in options("compile"):
        words.append(f"compile={header.compiled}")
    return [*words, f"quality={header.quality}"] if header.quality in options("quality") else words


def _seed(source: Script | Recording, job: Job) -> int:
    if job.seed is not None:
        return job.seed
    return source.header.seed if isinstance(source, Recording) else source.seed or 0


def _actions(source: Script | Recording, settings: Settings) -> Actions:
    from engine.families import action_space

    space = action_space(settings.model.mode)
    if isinstance(source, Script):
        return source.actions(space, Degrees.of(settings.model))
    if source.header.mode != space.mode:
        remedy = f"leave model= away, or use model={source.header.model}"
        raise ScriptError(
            f"{source.path} was recorded in another mode", got=source.header.mode, expected=space.mode, remedy=remedy
        )
    check_recorded(source, space)
    return source.actions


def _first_scene(source: Script | Recording, job: Job) -> Scene:
    if job.scene is not None:
        return find_scene(job.scene)
    if isinstance(source, Recording):
        if not source.first_frame.is_file():
            remedy = "put it back, or name a picture with --scene PATH"
            raise ScriptError(f"the recording's first frame is missing: {source.first_frame}", remedy=remedy)
        return Scene(source.header.scene or "first_frame", source.first_frame)
    name = "scene" if source.scene is not None else "first_frame"
    try:
        if source.scene is not None:
            return find_scene(source.scene)
        if source.first_frame is not None:
            read_picture(source.first_frame)
            return Scene(source.first_frame.stem, source.first_frame)
    except InputError as error:
        raise ScriptError(f"{source.where(name)}: {error}") from error
    return shipped_scenes()[0]


def _check_out(source: Script | Recording, out: Path | None) -> None:
    if out is None or not holds_session(out):
        return
    if isinstance(source, Recording) and out.resolve() == source.folder.resolve():
        raise InputError("--out is the recording being replayed", got=out, remedy="choose another folder")
    if _is_live(out / ACTIONS):
        raise InputError(
            "--out holds a live session, which no script could make again", got=out, remedy="choose another folder"
        )


def _is_live(log: Path) -> bool:
    try:
        return read_header(log).source == "live"
    except ScriptError:
        return True  # unreadable: better kept


def _say_what_differs(recorded: SessionHeader, now: SessionHeader) -> None:
    if recorded.weights_sha256 != now.weights_sha256:
        say("the weights differ from the recording's, so the frames will too")


_NO_REPORT = "no report.json that can be read beside the recording"


def _compare(source: Recording, header: SessionHeader, report: dict, made: Recorder, varied: bool) -> int:
    """Says whether the replay's frames are the recording's. Raises RunError if not; varied: they need not be."""
    recorded = source.report
    if recorded is None:
        why = _without_report(source, made)
        tell(why or f"{_NO_REPORT}, and nothing to compare the frames with")
        return 0
    if recorded["frames_sha256"] == report["frames_sha256"]:
        tell("identical: every frame is the recording's, bit for bit")
        return 0
    reasons = differences(source.header, header)
    if recorded["frames"] != report["frames"]:
        reasons.insert(0, f"frames: recorded {recorded['frames']}, now {report['frames']}")
    log = recorded.get("log_sha256")
    if log is not None and log != source.log_sha256:
        reasons.insert(0, f"{source.path.name} was changed since it was recorded")
    frame = first_difference(source, made.folder, made.name)
    if frame is not None:
        reasons.append(f"the first frame to differ is {frame}")
    elif not reasons:
        reasons = ["neither header, log nor videos say why: the report, or the program, may have changed"]
    why = "; ".join(reasons)
    if varied:
        tell(f"not the recording's frames, as asked for: {why}")
        return 0
    raise RunError(f"not identical to the recording in {source.folder} ({why})")


def _without_report(source: Recording, made: Recorder) -> str:
    """What the frames' checksums say of a replay; "" if the recording has none."""
    if None in source.crc32:
        return ""
    frame = first_difference(source, made.folder, made.name)
    if frame is None:
        return f"{_NO_REPORT}, but every frame's checksum in the log is the replay's: identical"
    return f"{_NO_REPORT}, but by the checksums in the log not identical: the first frame to differ is {frame}"
