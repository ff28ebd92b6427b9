"""`--multirun`: one command for every combination of some settings, by hydra's own sweeper and launchers.

`python -m game --headless --script bench.yaml --multirun seed=0,1,2 model=universal,gta_drive hydra/launcher=joblib`

Hydra says which combinations there are and where they run (joblib: processes here; submitit_slurm, submitit_local, ray:
elsewhere, with whatever resources their settings ask for). A run is the same command by itself, in a process of its
own, with a folder of its own under --out. What is there already, made from the same inputs, is not made again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from game import VERSION
from game.errors import InputError, RunError
from game.files import check_folder, folder_error, write_json

SWEEP = "sweep.json"
_RUN, _COMMAND, _HYDRA = "run.json", "command.json", ".hydra"
_AS_FLAGS = ("seed", "scene", "script", "suite", "name", "blocks")  # swept like settings, told as flags
_PLUGINS = {"joblib": "hydra-joblib-launcher", "ray": "hydra-ray-launcher", "submitit_local": "hydra-submitit-launcher",
            "submitit_slurm": "hydra-submitit-launcher"}  # fmt: skip


def sweep(flags: argparse.Namespace, recordings: Sequence[Path], words: Sequence[str], out: Path) -> int:
    """Runs them all; returns 0, or 1 if one failed. words: settings with all their values, and hydra's own.

    Raises InputError for a word that hydra cannot read or a launcher that is not installed, RunError where the launcher
    itself fails.
    """
    own = [word for word in words if word.lstrip("+~").startswith(("hydra.", "hydra/"))]
    swept = [word for word in words if word not in own]
    _check_launcher(own)
    out = out.absolute()
    check_folder(out)
    hydras = out / _HYDRA
    try:
        (hydras / "rows").mkdir(parents=True, exist_ok=True)
        for old in (hydras / "rows").iterdir():
            old.unlink()
        write_json(hydras / _COMMAND, {"flags": _flags(flags, recordings), "out": str(out), "cwd": str(Path.cwd())})
    except OSError as error:
        raise folder_error(out, error) from error
    problem = _launch(hydras, swept, own)
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in (hydras / "rows").iterdir()]
    rows.sort(key=lambda row: row["number"])
    write_json(out / SWEEP, {"version": 1, "command": _flags(flags, recordings), "swept": swept, "runs": rows})
    for row in rows:
        made = f"{row['seconds']:.1f} s" if row["made"] else "there already"
        print(f"{row['folder']}: " + (made if row["code"] == 0 else f"failed: {row['error']}"))
    failed = [row for row in rows if row["code"]]
    print(f"{len(rows) - len(failed)} of {len(rows)} runs done: {out / SWEEP}", flush=True)
    if problem is not None:
        raise RunError(
            f"the launcher failed ({' '.join(str(problem).split())[:300]})", remedy="see --debug"
        ) from problem
    return 1 if failed else 0


def _check_launcher(own: Sequence[str]) -> None:
    name = next((word.partition("=")[2] for word in own if word.startswith("hydra/launcher=")), None)
    plugin = _PLUGINS.get(name or "")
    if plugin is None:
        return
    try:
        importlib.metadata.version(plugin)
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(f"hydra/launcher={name} needs {plugin}", remedy="pip install 'neural-world[sweep]'") from error


def _launch(hydras: Path, swept: Sequence[str], own: Sequence[str]) -> Exception | None:
    """Has hydra run `run_one` for every combination; returns what went wrong with that as a whole."""
    import hydra
    from hydra.errors import HydraException

    quiet = ["hydra/job_logging=disabled", "hydra/hydra_logging=disabled", "hydra.output_subdir=null"]
    argv = ["game", "--multirun", f"hydra.sweep.dir={hydras}", "hydra.sweep.subdir=jobs/${hydra.job.num}", *quiet, *own]
    argv += [f"+{word}" for word in swept]
    with _as_hydra_wants(argv):
        try:
            hydra.main(version_base="1.3", config_path=None)(run_one)()
        except HydraException as error:
            raise InputError(f"hydra cannot read this ({' '.join(str(error).split())[:300]})") from error
        except Exception as error:
            return error
    return None


@contextlib.contextmanager
def _as_hydra_wants(argv: list[str]) -> Iterator[None]:
    """hydra.main reads the command line; whatever it starts must find this package, and its errors are ours to tell."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    before, environment = sys.argv, dict(os.environ)
    sys.argv = argv
    os.environ |= {"HYDRA_FULL_ERROR": "1", "PYTHONPATH": path}
    try:
        yield
    finally:
        sys.argv = before
        os.environ.clear()
        os.environ |= environment


def run_one(_config: Any) -> None:
    """One combination, wherever hydra's launcher has put us. Never raises for a run that fails: others go on."""
    from hydra.core.hydra_config import HydraConfig

    told = HydraConfig.get()
    hydras = Path(told.sweep.dir)
    command = json.loads((hydras / _COMMAND).read_text(encoding="utf-8"))
    words = [word.lstrip("+") for word in told.overrides.task]
    folder = Path(command["out"]) / _slug(words)
    row = {"number": int(told.job.num), "folder": folder.name, "words": words}
    row |= _run(folder, command["flags"], words, Path(command["cwd"]))
    write_json(hydras / "rows" / f"{told.job.num}.json", row)


def _run(folder: Path, flags: Sequence[str], words: Sequence[str], cwd: Path) -> dict[str, Any]:
    key = _key(flags, words, cwd)
    before = _read(folder / _RUN)
    if before is not None and before.get("key") == key and before.get("code") == 0:
        return {
            "key": key,
            "code": 0,
            "error": "",
            "made": False,
            "seconds": before["seconds"],
            "result": _result(folder),
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _RUN).unlink(missing_ok=True)
    began = time.monotonic()
    line = [sys.executable, "-m", "game", *flags, *_told(words), "--out", str(folder)]
    done = subprocess.run(line, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    said = done.stderr.strip().splitlines()
    error = said[-1].removeprefix("game: ") if done.returncode and said else ""
    seconds = round(time.monotonic() - began, 2)
    (folder / "log.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    write_json(folder / _RUN, {"key": key, "words": list(words), "code": done.returncode, "seconds": seconds})
    return {
        "key": key,
        "code": done.returncode,
        "error": error,
        "made": True,
        "seconds": seconds,
        "result": _result(folder),
    }


def _told(words: Sequence[str]) -> list[str]:
    told: list[str] = []
    for word in words:
        name, _, value = word.partition("=")
        told += [f"--{name}", value] if name in _AS_FLAGS else [word]
    return told


def _flags(flags: argparse.Namespace, recordings: Sequence[Path]) -> list[str]:
    """The command's flags but for those that say how it is swept, and its recordings."""
    line: list[str] = []
    for name, value in sorted(vars(flags).items()):
        if name in ("multirun", "out", "overrides") or value is None or value is False:
            continue
        line += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return [*line, *(str(path) for path in recordings)]


def _slug(words: Sequence[str]) -> str:
    name = re.sub(r"[^A-Za-z0-9_.=-]+", "-", ",".join(words).replace(",", "_")).strip("-") or "run"
    return name if len(name) <= 100 else f"{name[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _key(flags: Sequence[str], words: Sequence[str], cwd: Path) -> str:
    """A hash of all that a run is made from: flags, settings, program, scripts and recordings, and the weights."""
    digest = hashlib.sha256(json.dumps([VERSION, list(flags), list(words)]).encode())
    for text in (*flags, *_told(words)):
        value = text.partition("=")[2] or text
        for path in _files(cwd / Path(value).expanduser()) if value and not value.startswith("-") else []:
            digest.update(path.name.encode() + b"\0" + _stamp(path))
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    """The files of an input: itself, or what lies in its folder."""
    if path.is_file():
        return [path]
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else []


def _stamp(path: Path) -> bytes:
    """What tells a file from another: its bytes, or of a large one its size and time."""
    stat = path.stat()
    if stat.st_size > 1 << 20:
        return f"{stat.st_size} {stat.st_mtime_ns}".encode()
    return hashlib.sha256(path.read_bytes()).digest()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _result(folder: Path) -> dict[str, Any] | None:
    """What the run found: its judge.json, bench.json or report.json."""
    return next((data for name in ("judge.json", "bench.json", "report.json") if (data := _read(folder / name))), None)
