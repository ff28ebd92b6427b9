"""Playing in a terminal (`--script -`): one line of keys per block, the newest block in NAME_current.mp4."""

from __future__ import annotations

import codecs
import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from engine.actions import Action, Actions, ActionSpace
from game.config.settings import load_settings
from game.console import GentleStop, Progress, say, tell
from game.errors import InputError, RecordingError
from game.files import check_folder, printable
from game.models.catalog import find_weights
from game.models.loader import Opener, open_world
from game.recording.format import Job
from game.recording.writer import Recorder, header_of, start_recorder, summary
from game.world.scenes import find_scene, shipped_scenes

if TYPE_CHECKING:
    from engine.rollout.rollout import Rollout

_CAMERA = {"I": (1.0, 0.0), "K": (-1.0, 0.0), "J": (0.0, -1.0), "L": (0.0, 1.0)}
_CAMERA_WORDS = {"I": "look up", "K": "look down", "J": "look left", "L": "look right"}
_NOTHING = ("Q", "U")
_OPPOSITES = {"W": "S", "S": "W", "A": "D", "D": "A", "I": "K", "K": "I", "J": "L", "L": "J"}
_MOST_BLOCKS = 1000
_IDLE = "nothing"


@dataclass(frozen=True)
class Line:
    """One line understood. words: what it says, for people. blocks: for how many blocks it holds."""

    action: Action
    words: str
    blocks: int = 1


def read_line(text: str, space: ActionSpace) -> Line | None:
    """Keys such as "W L", "wl" or "W D x24" (for 24 blocks) -> what to do; None for "n", stop.

    Raises InputError, naming the keys there are, for anything else.
    """
    words = text.upper().split()
    if words == ["N"]:
        return None
    blocks = 1
    if words and (times := re.fullmatch(r"[X*](\d{1,6})", words[-1])):
        blocks = int(times[1])
        words.pop()
        if not 1 <= blocks <= _MOST_BLOCKS:
            raise InputError("too many blocks at once", got=blocks, expected=f"x1 to x{_MOST_BLOCKS}")
    held: list[str] = []
    shown = [key.name for key in space.controls]
    spelled = [[word] if len(word) > 1 and word in space.keys else list(word) for word in words]
    for key in (key for word in spelled for key in word):
        if key not in space.keys and not (space.has_mouse and key in _CAMERA) and key not in _NOTHING:
            raise InputError("no such key", got=key, expected=keys_help(space))
        opposite = _OPPOSITES.get(key)
        if opposite in held:
            raise InputError(f"{opposite} and {key} cancel each other", expected="one of them")
        held.append(key)
    # Letters that look, or stand for nothing, are that unless they are keys of the model's own table.
    other = {*(_CAMERA if space.has_mouse else ()), *_NOTHING}.difference(shown)
    keys = list(dict.fromkeys(key for key in held if key in space.keys and key not in other))
    camera = list(dict.fromkeys(key for key in held if key in _CAMERA and key in other))
    pitch, yaw = (space.look * sum(_CAMERA[key][axis] for key in camera) for axis in (0, 1))
    action = space.action(keys, (pitch, yaw) if space.has_mouse else None)
    return Line(action, " + ".join([*keys, *(_CAMERA_WORDS[key] for key in camera)]) or _IDLE, blocks)


def keys_help(space: ActionSpace) -> str:
    """The keys a line may hold, in a few words."""
    shown = [key.name for key in space.controls]
    camera = ", I K J L (look up, down, left, right)" if space.has_mouse else ""
    more = ", any other key by its name" if space.more else ""
    nothing = next(key for key in _NOTHING if key not in shown)
    return f"{' '.join(shown)}{camera}{more}, {nothing} (nothing), n (stop)"


def stream(words: list[str], job: Job, open_model: Opener | None = None, stdin: TextIO | None = None) -> int:
    """Asks for keys block by block until `n`, the end of input or Ctrl-C. Returns the exit code.

    words: overrides. open_model: makes the world (tests). stdin: where lines come from, standard input by default.
    Raises InputError, RunError.
    """
    settings = load_settings(words)
    find_weights(settings)
    scene = find_scene(job.scene) if job.scene is not None else shipped_scenes()[0]
    picture = scene.picture()
    check_folder(job.out or Path(settings.record.root))
    progress = Progress()
    world = (open_model or (lambda s: open_world(s, progress, say)))(settings)
    progress.clear()
    rollout = world.start(picture, job.seed or 0)
    header = header_of(world, rollout, settings, source="live", scene=scene.name)
    recorder = start_recorder(
        job.out, header, name=job.name, first_frame=rollout.first_frame, wait=True, settings=settings.record
    )
    current = recorder.path("_current.mp4")
    tell(
        f"{current} holds the newest block; a line of keys makes the next one, x5 at its end five of them (it then "
        "holds all five)"
    )
    tell(f"keys: {keys_help(world.action_space)}")
    try:
        before = _IDLE
        for line in lines_of(stdin or sys.stdin, world.action_space):
            with GentleStop() as stop:
                _play_line(line, before, rollout, recorder, progress, stop)
            if stop.asked:
                break
            before = line.words
    except KeyboardInterrupt:
        tell("")
    except Exception:
        with contextlib.suppress(RecordingError):  # the first failure is the one to tell
            recorder.close()
        raise
    finally:
        progress.clear()
    report = recorder.close()
    tell(summary(report, recorder.folder, job.name))
    return 0


def lines_of(stdin: TextIO, space: ActionSpace) -> Iterator[Line]:
    """Lines understood; what isn't is asked for again. Raises InputError if there was none among those of a file."""
    asks, understood = stdin.isatty(), 0
    problem: InputError | None = None
    for text in _texts(stdin, asks):
        try:
            line = read_line(text, space)
        except InputError as error:
            tell(f"{printable(error)}; say it again")
            problem = problem or error
            continue
        understood += 1
        if line is None:
            return
        yield line
    if problem is not None and not understood and not asks:
        raise InputError(f"no line of standard input could be understood: {problem}")


def _texts(stdin: TextIO, asks: bool) -> Iterator[str]:
    """Lines as they come: UTF-8, or UTF-16 as Windows writes it, with or without its mark. asks: prints a prompt."""
    raw = getattr(stdin, "buffer", None)
    decoder, rest = None, ""
    while True:
        if asks:
            with contextlib.suppress(OSError):
                print("keys> ", end="", flush=True)
        if raw is None:  # text already
            text = stdin.readline()
            if not text:
                return
            yield text.lstrip("\ufeff")
            continue
        data = raw.readline() if decoder is None else raw.read1(4096)
        if decoder is None:
            decoder = codecs.getincrementaldecoder(_encoding(data))("replace")
        *lines, rest = (rest + decoder.decode(data, final=not data)).lstrip("\ufeff").split("\n")
        yield from lines
        if not data:
            if rest:
                yield rest
            return


def _encoding(line: bytes) -> str:
    """How the first line is encoded."""
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in line:
        return "utf-16-be" if line.startswith(b"\0") else "utf-16-le"
    return "utf-8-sig"


def _play_line(
    line: Line, before: str, rollout: Rollout, recorder: Recorder, progress: Progress, stop: GentleStop
) -> None:
    """Makes a line's blocks. before: what was held until now, in words, which the line replaces."""
    frames = []
    for done in range(line.blocks):
        if stop.asked:
            break
        progress(f"block {rollout.blocks_done}: {line.words}", done / line.blocks)
        block = rollout.step(Actions.stack([line.action] * rollout.next_frames))
        recorder.add(block)
        rollout.settle()
        frames.append(block.frames)
        progress.clear()
        last = block.first_frame + len(block.frames) - 1
        where = f"frame {last}" if len(block.frames) == 1 else f"frames {block.first_frame}-{last}"
        tell(f"block {block.index}  {where}: {before} -> {line.words}  ({block.timings.total_ms:.0f} ms)")
        before = line.words
    if frames:
        recorder.write_current(np.concatenate(frames))
