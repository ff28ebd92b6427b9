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

from engine.actions import LOOK_DOWN, LOOK_LEFT, LOOK_RIGHT, LOOK_UP, LOOKS, Action, Actions, ActionSpace
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

_CAMERA = {"I": LOOK_UP, "K": LOOK_DOWN, "J": LOOK_LEFT, "L": LOOK_RIGHT}
_NOTHING = ("Q", "U")
_KEY = "KEY:"  # before a name: the key, also where its letter means something else here
_OPPOSITES = (("W", "S"), ("A", "D"), (LOOK_UP, LOOK_DOWN), (LOOK_LEFT, LOOK_RIGHT))
_MOST_BLOCKS = 1000
_IDLE = "nothing"


@dataclass(frozen=True)
class Line:
    """One line understood. words: what it says, for people. blocks: for how many blocks it holds."""

    action: Action
    words: str
    blocks: int = 1


def read_line(text: str, space: ActionSpace) -> Line | None:
    """Keys such as "W L", "wl", "W D x24" (for 24 blocks) or "W key:L" -> what to do; None for "n", stop.

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
    held = list(dict.fromkeys(control for word in words for control in _controls(word, space)))
    for pair in _OPPOSITES:
        if set(pair) <= set(held):
            first, second = sorted(pair, key=held.index)
            raise InputError(f"{_said(first)} and {_said(second)} cancel each other", expected="one of them")
    keys, looks = [one for one in held if one not in LOOKS], [one for one in held if one in LOOKS]
    pitch, yaw = (space.look * sum(LOOKS[look][axis] for look in looks) for axis in (0, 1))
    action = space.action(keys, (pitch, yaw) if space.has_mouse else None)
    return Line(action, " + ".join(_said(one) for one in (*keys, *looks)) or _IDLE, blocks)


def _controls(word: str, space: ActionSpace) -> list[str]:
    """Keys and looks that a word in capitals stands for: one key by its name, or a control a letter."""
    name = word.removeprefix(_KEY)
    key = space.key_named(name) if name != word or len(word) > 1 else None
    if key is not None:
        return [key]
    if name != word:
        raise InputError("no such key", got=name, expected=keys_help(space))
    shown, controls = [key.name for key in space.controls], []
    for letter in word:
        # Letters that look, or stand for nothing, are that unless they are keys of the model's own table.
        if letter not in shown and space.has_mouse and letter in _CAMERA:
            controls.append(_CAMERA[letter])
        elif letter in space.keys and (letter in shown or letter not in _NOTHING):
            controls.append(letter)
        elif letter not in _NOTHING:
            raise InputError("no such key", got=word if space.more else letter, expected=keys_help(space))
    return controls


def _said(control: str) -> str:
    return control.replace("_", " ") if control in LOOKS else control


def keys_help(space: ActionSpace) -> str:
    """The keys a line may hold, in a few words."""
    shown = [key.name for key in space.controls]
    camera = ", I K J L (look up, down, left, right)" if space.has_mouse else ""
    more = (
        ", any other key by its name or number (VK_75), as key:I where its letter is one of these" if space.more else ""
    )
    nothing = next(key for key in _NOTHING if key not in shown)
    return f"{' '.join(shown)}{camera}, {nothing} (nothing), n (stop){more}"


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
