"""The command line: flags and bare-word overrides -> one of play, render, terminal, bench, doctor.

Imports next to nothing, and the rest where it is needed: the window must be there at once.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from game import VERSION
from game.console import kill_as_ctrl_c, prepare_streams, say, silence_streams, tell
from game.errors import EngineError, InputError, did_you_mean
from game.requirements import CLIENT, REQUIRED, SERVER, calm_threads, check_installed

if TYPE_CHECKING:
    from game.recording.format import Job
EXIT_DONE, EXIT_FAILED, EXIT_INPUT = 0, 1, 2
_LONGEST = 2000  # characters of the one line

_ABOUT = "Walk through a neural world: every picture you see is made by a network, from the one before and your keys."
_EXAMPLES = """\
examples
  python -m game                                   play, in a window: WASD to walk, mouse or arrows to look
  python -m game --record --scene garden           play from a scene of your choice, and keep the session
  python -m game --headless --script bench.yaml    render a script to recordings/<time>-demo/demo.mp4
  python -m game --headless --script recordings/X  replay a recording: the same frames, bit for bit
  python -m game --headless --script -             play in a terminal, one line of keys per block
  python -m game --bench                           how fast is it here?
  python -m game --judge recordings/X ...          how good is it? several are put side by side
  python -m game --judge --suite quick             render a set of scripts, and judge that
  python -m game --doctor                          what can this machine run?
  python -m game --fetch model=NAME                download a large model's weights
  python -m game --serve                           let windows and browsers elsewhere play on this machine
  python -m game --connect ADDRESS                 play in a window on such a machine

settings, as bare words
"""


class _Parser(argparse.ArgumentParser):
    """argparse, but mistakes are raised instead of printed with a page of usage."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(message, remedy="python -m game --help lists the flags")

    def format_help(self) -> str:
        self.epilog = _EXAMPLES + _settings_help()  # only now: it looks into folders
        return super().format_help()


def _whole(low: int, high: int):
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number, {low} to {high}")
        return value

    return convert


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a number of seconds, more than 0")
    return value


def build_parser() -> argparse.ArgumentParser:
    """The flags. Overrides are collected as they stand: game/config/settings.py understands them."""
    parser = _Parser(
        prog="python -m game", description=_ABOUT, allow_abbrev=False, add_help=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=110),
        usage="python -m game [flags] [setting=value ...]",
    )  # fmt: skip
    what = parser.add_argument_group("what to do (default: play in a window)")
    what.add_argument("--headless", action="store_true", help="no window: render --script to a video, and end")
    what.add_argument("--script", metavar="FILE", help="a .yaml script, a recording, or - for keys from standard input")
    what.add_argument("--bench", action="store_true", help="measure speed; a table, and bench.json")
    what.add_argument("--judge", action="store_true", help="measure recordings: judge.json, and judge.html to look at")
    what.add_argument(
        "--suite", metavar="NAME", help="with --judge: render quick, standard or your own suite, and judge it"
    )
    what.add_argument("--mapping", metavar="FILE", help="with --judge: what the columns of another program's log mean")
    what.add_argument("--export", metavar="FORMAT", choices=("lerobot", "parquet"),
                      help="write recordings as training data, lerobot or parquet, to --out")  # fmt: skip
    what.add_argument("--matrix", action="store_true", help="with --bench: measure every setting that fits, a row each")
    what.add_argument("--doctor", action="store_true", help="say what this machine can run, and how fast")
    what.add_argument("--report", action="store_true", help="with --doctor: write it into a file, to go with an issue")
    what.add_argument("--fetch", action="store_true", help="download the weights of a large model")
    what.add_argument("--serve", action="store_true", help="run the model here, for windows and browsers elsewhere")
    what.add_argument("--connect", metavar="ADDRESS", help="play in a window on a server that prints this address")
    how = parser.add_argument_group("how")
    how.add_argument("--scene", metavar="NAME", help="where to begin: a shipped scene's name, or a picture of your own")
    how.add_argument("--seed", type=_whole(0, 2**63 - 1), metavar="N", help="seed of all randomness; default 0")
    how.add_argument("--record", action="store_true", help="keep the session you play")
    how.add_argument("--out", metavar="DIR", help="folder to write to; default recordings/<UTC time>-<name>/")
    how.add_argument("--name", metavar="NAME", help="name of the videos; default demo, or session when played")
    how.add_argument("--seconds", type=_seconds, metavar="N", help="close the window by itself after so long")
    how.add_argument("--blocks", type=_whole(1, 1_000_000), metavar="N", help="how many blocks --bench times")
    how.add_argument("--profile", action="store_true", help="also write a Chrome trace and the time of every block")
    how.add_argument("--host", metavar="H", help="where --serve listens; default 127.0.0.1, this machine alone")
    how.add_argument(
        "--port", type=_whole(0, 65535), metavar="N", help="port of --serve; default 8765, 0 for any that is free"
    )
    how.add_argument("--key-file", metavar="F", help="file with the key of --serve; default: a new key at every start")
    how.add_argument(
        "--players", type=_whole(1, 64), metavar="N", help="how many play at once, a world each (--serve, --bench)"
    )
    how.add_argument("--watch", action="store_true", help="with --serve: whoever comes second may look on")
    how.add_argument("--tls-cert", metavar="F", help="certificate of --serve, PEM; with --tls-key")
    how.add_argument("--tls-key", metavar="F", help="key of that certificate, PEM")
    how.add_argument("--lossless", action="store_true", help="with --connect: pictures without loss")
    how.add_argument("--debug", action="store_true", help="show the traceback when something fails")
    how.add_argument("--version", action="version", version=VERSION, help="print the version")
    how.add_argument("-h", "--help", action="help", help="print this")
    how.add_argument(
        "--multirun", action="store_true", help="run every combination of settings, as in seed=0,1 model=a,b"
    )
    parser.add_argument("overrides", nargs="*", help=argparse.SUPPRESS)
    return parser


def _settings_help() -> str:
    from game.config.paths import CONFIGS, SCENES

    def names(folder: Path, pattern: str) -> str:
        return " | ".join(sorted(path.stem for path in folder.glob(pattern)))

    lines = [f"  {group}={names(CONFIGS / group, '*.yaml')}" for group in ("model", "quality", "compile", "decoder")]
    lines.append("  weights=DIR device=auto|cpu|cuda dtype=auto|float32|float16|bfloat16 threads=N")
    lines.append("  devices.vae=cpu devices.image_tower=cpu decoder.weights=FILE check_memory=false (large models)")
    lines.append("  play.sensitivity=PIXELS play.scale=smooth|sharp record.current=true ... (all of them: configs/)")
    scenes = names(SCENES, "*.png")
    return "\n".join([*lines, "", f"scenes\n  {scenes}"] if scenes else lines)


class _Command(NamedTuple):
    """A command line understood."""

    flags: argparse.Namespace
    words: list[str]
    recordings: list[Path]

    @property
    def out(self) -> Path | None:
        return None if self.flags.out is None else _given_path(self.flags.out, "--out")


def parse(argv: Sequence[str]) -> _Command:
    """Reads a command line. Raises InputError for flags that don't exist, have wrong values or don't go together."""
    parser = build_parser()
    flags, rest = parser.parse_known_intermixed_args(argv)
    if rest:
        known = [name for action in parser._actions for name in action.option_strings]
        name = rest[0].partition("=")[0]
        near = did_you_mean(name, known)
        raise InputError("there is no such flag", got=name, remedy=near or "python -m game --help lists the flags")
    words = [word for word in flags.overrides if not ((flags.judge or flags.export) and _is_recording(word))]
    recordings = [word for word in flags.overrides if word not in words]
    _check_together(flags)
    _check_judge(flags, recordings)
    for word in words:
        name = word.partition("=")[0]
        if name in _FLAG_NAMES and "=" in word and not flags.multirun:
            raise InputError(
                f"{name} is a flag, not a setting", got=word, remedy=f"did you mean --{name} {word.partition('=')[2]}?"
            )
    return _Command(flags, words, [Path(word).expanduser() for word in recordings])


def _is_recording(word: str) -> bool:
    """Whether a bare word is a path rather than a setting."""
    return "=" not in word or Path(word).expanduser().exists()


def _check_judge(flags: argparse.Namespace, recordings: list[str]) -> None:
    judge, suite = flags.judge, flags.suite is not None
    needs = [
        (
            flags.multirun and not (flags.headless or judge or flags.bench),
            "--multirun needs something to run",
            "add --headless, --judge or --bench",
        ),
        (flags.multirun and flags.script == "-", "--multirun reads no keys", "give --script a file"),
        (bool(flags.export) and not recordings, "--export needs recordings", "name their folders"),
        (bool(flags.export) and flags.out is None, "--export needs somewhere to write to", "add --out DIR"),
        (suite and not judge, "--suite belongs to --judge", "add --judge"),
        (flags.mapping is not None and not judge, "--mapping belongs to --judge", "add --judge"),
        (
            judge and not suite and not recordings,
            "--judge needs something to judge",
            "name recordings, or --suite quick",
        ),
        (judge and suite and bool(recordings), "--judge takes recordings or a suite", "leave one of them away"),
        (judge and not suite and flags.scene is not None, "--scene belongs to a suite", "add --suite NAME"),
        (judge and not suite and flags.seed is not None, "--seed belongs to a suite", "add --suite NAME"),
    ]
    for wrong, what, remedy in needs:
        if wrong:
            raise InputError(what, remedy=remedy)


_FLAG_NAMES = ("scene", "seed", "out", "name", "seconds", "blocks", "script", "suite", "mapping")


def _check_together(flags: argparse.Namespace) -> None:
    every = ("headless", "bench", "judge", "export", "doctor", "fetch", "serve", "connect")
    ways = [name for name in every if getattr(flags, name)]
    if len(ways) > 1:
        raise InputError(f"--{ways[0]} and --{ways[1]} exclude each other", expected="one of them")
    live = not ways
    if flags.connect is not None and not flags.connect:
        raise InputError("--connect needs an address", expected="http://HOST:PORT/#KEY, as --serve prints it")
    _check_serving(flags)
    told = {"--scene": flags.scene, "--seed": flags.seed, "--name": flags.name}
    if flags.doctor or flags.fetch:
        told |= {"--out": None if flags.report else flags.out, "--profile": flags.profile or None}
    if flags.judge:
        told = {"--name": flags.name, "--profile": flags.profile or None}
    if flags.serve:
        told = {"--out": flags.out, "--profile": flags.profile or None}
    if flags.connect:
        told |= {"--out": flags.out, "--profile": flags.profile or None}
    unused = next((name for name, value in told.items() if value is not None), None)
    needs = [
        (flags.script is not None and not flags.headless, "--script renders without a window", "add --headless"),
        (
            flags.headless and flags.script is None,
            "--headless needs something to render",
            "add --script FILE, or --script -",
        ),
        *((bool(way != "headless" and unused), f"{unused} does nothing with --{way}", "leave it away") for way in ways),
        (flags.matrix and not flags.bench, "--matrix belongs to --bench", "add --bench"),
        (flags.report and not flags.doctor, "--report belongs to --doctor", "add --doctor"),
        (flags.matrix and flags.players is not None, "--players and --matrix exclude each other", "one of them"),
        (flags.blocks is not None and not flags.bench, "--blocks belongs to --bench", "add --bench"),
        (
            flags.seconds is not None and not live and not flags.connect,
            "--seconds belongs to the window",
            f"leave it away with --{''.join(ways)}",
        ),
        (
            flags.record and not live and not flags.serve,
            "--record belongs to the window",
            "leave it away: --headless always records",
        ),
        (
            live and not flags.record and (flags.out or flags.name),
            "--out and --name are for a recording",
            "add --record",
        ),
        (flags.out == "", "--out is empty", "give a folder"),
    ]
    for wrong, what, remedy in needs:
        if wrong:
            raise InputError(what, remedy=remedy)


def _check_serving(flags: argparse.Namespace) -> None:
    """Flags that belong to --serve (--players to --bench too), or to --connect."""
    of_serve = {
        "--host": flags.host, "--port": flags.port, "--key-file": flags.key_file, "--watch": flags.watch or None,
        "--tls-cert": flags.tls_cert, "--tls-key": flags.tls_key, "--players": None if flags.bench else flags.players,
    }  # fmt: skip
    for name, value in of_serve.items():
        if value is not None and not flags.serve:
            raise InputError(f"{name} belongs to --serve", remedy="add --serve")
    if flags.lossless and not flags.connect:
        raise InputError("--lossless belongs to --connect", remedy="add --connect ADDRESS")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code: 0 done, 1 failed while running, 2 the input was wrong."""
    argv = list(sys.argv[1:] if argv is None else argv)
    prepare_streams()
    try:
        command = parse(argv)
        check_installed(CLIENT if command.flags.connect else REQUIRED)
        if not command.flags.connect:
            calm_threads()
        with kill_as_ctrl_c():
            return _run(command)
    except KeyboardInterrupt:
        with contextlib.suppress(BrokenPipeError):
            tell("stopped")
        return EXIT_DONE
    except BrokenPipeError:  # whoever read our output has had enough
        return EXIT_DONE
    except Exception as error:
        return _tell(error, debug="--debug" in argv)
    finally:
        silence_streams()


def _tell(error: Exception, debug: bool) -> int:
    """Prints the one line (with --debug, the traceback) and chooses the exit code."""
    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, EngineError):
        line = str(error)
    elif isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        line = "there is not enough memory for this; close other programs, or choose a smaller model"
    else:
        words = " ".join(str(error).split()) or "it says nothing more"
        line = f"{type(error).__name__}: {words}" + ("" if debug else "; --debug shows where")
    from game.files import printable

    line = printable(line)
    say(f"game: {line if len(line) <= _LONGEST else f'{line[:_LONGEST]}...'}")
    if not isinstance(error, InputError):
        from game.tools.report import note_failure

        note_failure(error, line)
    return EXIT_INPUT if isinstance(error, InputError) else EXIT_FAILED


def _run(command: _Command) -> int:
    flags = command.flags
    if flags.multirun:
        from datetime import datetime, timezone

        from game.tools.sweep import sweep

        out = command.out or Path("sweeps") / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
        return sweep(flags, command.recordings, command.words, out)
    if flags.doctor:
        from game.tools.doctor import doctor
        from game.tools.report import report
        from game.ui.window import who_draws

        examine = partial(doctor, command.words, who_draws=who_draws)
        return report(command.words, command.out, examine) if flags.report else examine()
    if flags.fetch:
        from game.models.download import fetch

        return fetch(command.words)
    if flags.matrix:
        from game.tools.matrix import matrix

        return matrix(command.words, flags.blocks, command.out)
    if flags.bench and flags.players is not None:
        from game.remote.bench import bench_players

        return bench_players(command.words, flags.players, flags.blocks, command.out)
    if flags.bench:
        from game.tools.bench import bench

        return _profiled(command, lambda opened: bench(command.words, flags.blocks, command.out, opened))
    if flags.judge:
        from game.judge.command import judge

        mapping = None if flags.mapping is None else Path(flags.mapping).expanduser()
        return judge(command.recordings, command.words, suite=flags.suite, out=command.out, mapping=mapping,
                     scene=flags.scene, seed=flags.seed)  # fmt: skip
    if flags.export:
        from game.agents.export import export

        return export(flags.export, command.recordings, command.out or Path("."))
    if flags.headless:
        return _headless(command)
    if flags.serve:
        return _serve(command)
    if flags.connect:
        return _connect(command)
    from game.ui.local import play_here

    return play_here(command.words, lambda: _job(command, "session"), seconds=flags.seconds, record=flags.record,
                     profile=flags.profile, debug=flags.debug)  # fmt: skip


def _serve(command: _Command) -> int:
    check_installed(SERVER)
    from game.remote.serve import PORT, ServeFlags, serve

    flags = command.flags

    def path(flag: str, text: str | None) -> Path | None:
        return None if text is None else _given_path(text, flag)

    how = ServeFlags(
        flags.host or "127.0.0.1", PORT if flags.port is None else flags.port, path("--key-file", flags.key_file),
        flags.players or 1, flags.watch, path("--tls-cert", flags.tls_cert), path("--tls-key", flags.tls_key),
    )  # fmt: skip
    return serve(command.words, how, _job(command, "session"), record=flags.record)


def _connect(command: _Command) -> int:
    from game.remote.wire import Pictures
    from game.ui.connect import connect

    flags = command.flags
    pictures = Pictures(format="png") if flags.lossless else None
    return connect(flags.connect, command.words, seconds=flags.seconds, debug=flags.debug, pictures=pictures)


def _given_path(text: str, what: str) -> Path:
    from game.files import given_path

    return given_path(text, what)


def _job(command: _Command, name: str) -> Job:
    from game.recording.format import Job, checked_name

    flags = command.flags
    return Job(checked_name(name if flags.name is None else flags.name), command.out, flags.seed, flags.scene)


def _headless(command: _Command) -> int:
    job = _job(command, "demo")
    if command.flags.script == "-":
        from game.tools.terminal import stream

        return _profiled(command, lambda opened: stream(command.words, job, opened))
    from game.recording.script import load
    from game.tools.render import render

    source = load(_given_path(command.flags.script, "--script"))
    return _profiled(command, lambda opened: render(source, command.words, job, opened))


def _profiled(command: _Command, run) -> int:
    """Runs `run(open_model)`; with --profile the world is wrapped and the trace written afterwards."""
    if not command.flags.profile:
        return run(None)
    from game.tools.profile import run_profiled

    return run_profiled(run, command.out or Path("."))
