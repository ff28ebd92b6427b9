"""`--bench --matrix`: every setting of a model that fits this machine, a row each, in a process of its own.

A row that fails costs itself alone. What comes out is `bench-matrix.json` and the same as a Markdown table, ready to be
put beside other people's.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from engine.families import family_of
from game import VERSION
from game.config.settings import Settings, load_settings, options
from game.console import Progress, tell
from game.errors import InputError
from game.files import check_folder, folder_error, write_json
from game.models.catalog import find_weights, random_weights
from game.models.fit import examine
from game.models.loader import choose_device
from game.models.machine import EIGHT_BITS, Machine, look

_LIMIT_S = 1800.0  # of a row; compiling takes minutes
_COLUMNS = (
    ("compile", "compile"), ("decoder", "decoder"), ("weights", "weights_dtype"), ("block ms p50", "block_p50"),
    ("p95", "block_p95"), ("first picture ms", "first_picture"), ("frames/s", "fps"), ("x real time", "realtime"),
    ("{memory} GB", "peak_gb"), ("counted GB", "counted_gb"), ("kernels a block", "kernels"), ("W", "watts"),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One setting.

    words: what it adds to the command line; counted: bytes that it takes, without those of a GPU's context, which torch
    does not see, 0 where it does not fit.
    """

    compile: str
    decoder: str
    weights_dtype: str
    words: tuple[str, ...]
    counted: int


Run = Callable[[list[str], Path], "tuple[int, str]"]
"""Runs `python -m game` with words, writing to a folder: its exit code and the last line it said."""


def matrix(
    words: Sequence[str], blocks: int | None, out: Path | None, run: Run | None = None, machine: Machine | None = None
) -> int:
    """Times every row, prints the table and writes bench-matrix.json. Returns the exit code: 1 if no row could be had.

    words: overrides, which hold for every row. out: the file's folder, the working directory by default. run, machine:
    stand-ins, for tests. Raises InputError for a model that there is nothing to vary of, or whose weights are missing.
    """
    settings, machine, folder = load_settings(words), machine or look(), out or Path(".")
    if not random_weights(settings):
        find_weights(settings)
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise folder_error(folder, error) from error
    device = choose_device(settings)
    every = list(rows(settings, words, device, machine))
    fitting, left_out = ([row for row in every if bool(row.counted) is counted] for counted in (True, False))
    made: list[dict[str, Any]] = []
    results = {
        "model": settings.model.name,
        "machine": _machine(machine, device),
        "version": VERSION,
        "rows": made,
        "does_not_fit": [" ".join(row.words) for row in left_out],
    }
    progress, run = Progress(), run or _run
    for number, row in enumerate(fitting):
        progress(f"row {number + 1} of {len(fitting)}: {' '.join(row.words) or 'as it is'}", number / len(fitting))
        made.append(_time(row, words, blocks, run))
        write_json(folder / "bench-matrix.json", results)  # what there is, whatever becomes of the next row
    progress.clear()
    write_json(folder / "bench-matrix.json", results)
    text = markdown(results)
    (folder / "bench-matrix.md").write_text(text, encoding="utf-8")
    tell(text)
    tell(folder / "bench-matrix.json")
    return 0 if any("error" not in row for row in made) else 1


def rows(settings: Settings, words: Sequence[str], device: str, machine: Machine) -> Iterator[Row]:
    """Every combination of what may be varied; counted 0 where it does not fit.

    What the words already say is not varied.
    """
    family = family_of(settings.model)
    if not family.large:
        raise InputError(f"{settings.model.name} has no settings to compare", remedy="name a large model: model=NAME")
    index = int(device.partition(":")[2] or 0)
    gpu = machine.gpus[index] if device != "cpu" and index < len(machine.gpus) else None
    choices = {
        "compile": ["off", "default", "max"] if gpu is not None and family.compiles else ["off"],
        "decoder": options("decoder") if family.takes_decoder else ["own"],
        "weights_dtype": ["same", *(name for name in EIGHT_BITS if gpu is not None and gpu.can(name))],
    }
    said = dict(word.split("=", 1) for word in words if "=" in word)
    for name in choices:
        if name in said:
            choices[name] = [said[name]]
    for chosen in product(*choices.values()):
        named = dict(zip(choices, chosen, strict=True))
        usual = {"compile": "off", "decoder": "own", "weights_dtype": "same"}
        more = tuple(f"{name}={value}" for name, value in named.items() if name not in said and value != usual[name])
        fit = examine(load_settings([*words, *more]), device, machine)
        on_gpu = fit.need.gpu is not None
        need = fit.need.gpu or fit.need.host
        counted = need.total - need.libraries if on_gpu else need.total
        yield Row(**named, words=more, counted=counted if fit.fits else 0)


def _time(row: Row, words: Sequence[str], blocks: int | None, run: Run) -> dict[str, Any]:
    """A row's figures; or `error`, what was said last."""
    told: dict[str, Any] = {"compile": row.compile, "decoder": row.decoder, "weights_dtype": row.weights_dtype}
    told["counted_gb"] = round(row.counted / 2**30, 2)
    with tempfile.TemporaryDirectory() as folder:
        command = ["--bench", "--out", folder, *words, *row.words]
        code, said = run(command if blocks is None else ["--blocks", str(blocks), *command], Path(folder))
        path = Path(folder) / "bench.json"
        if code or not path.is_file():
            return told | {"error": said or f"exit code {code}"}
        results = json.loads(path.read_text(encoding="utf-8"))
    # how many kernels a compiled program is of, nobody counted
    work = results.get("work", {}).get("fast", {}) if row.compile == "off" else {}
    fps = results.get("wall_fps") or results["generated_fps"]
    peak = results.get("peak_gpu_mb")
    return told | {
        "block_p50": results["block_ms"]["p50"],
        "block_p95": results["block_ms"]["p95"],
        "first_picture": results.get("first_picture_ms"),
        "fps": fps,
        "realtime": round(results["realtime_factor"] * fps / results["generated_fps"], 4),
        "peak_gb": round((peak if peak is not None else results["peak_rss_mb"]) / 1024, 2),
        "kernels": work.get("block_launches"),
        "watts": results.get("watts"),
        "dtype": results["dtype"],
        "torch": results["torch"],
        "random_weights": results["random_weights"],
    }


def markdown(results: dict[str, Any]) -> str:
    """The rows as a Markdown table, with what they were measured on in front."""
    machine, made = results["machine"], results["rows"]
    named = [(title.format(memory=machine["memory"]), key) for title, key in _COLUMNS]
    shown = [(title, key) for title, key in named if any(row.get(key) is not None for row in made)]
    lines = [
        f"{results['model']} on {machine['device']}, torch {machine['torch']}"
        + (f", driver {machine['driver']}" if machine["driver"] else "")
        + (", random weights" if any(row.get("random_weights") for row in made) else ""),
        "",
        "| " + " | ".join(title for title, _ in shown) + " |",
        "|" + " --- |" * len(shown),
    ]
    for row in made:
        cells = ["failed" if "error" in row and key == "block_p50" else _cell(row.get(key)) for _, key in shown]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"failed: {_name(row)}: {row['error']}" for row in made if "error" in row]
    lines += [f"does not fit: {words or 'as it is'}" for words in results["does_not_fit"]]
    return "\n".join(lines) + "\n"


def _name(row: dict[str, Any]) -> str:
    return f"compile={row['compile']} decoder={row['decoder']} weights_dtype={row['weights_dtype']}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) and abs(value) >= 10 else f"{value}"


def _machine(machine: Machine, device: str) -> dict[str, Any]:
    index = int(device.partition(":")[2] or 0)
    on_gpu = device != "cpu" and index < len(machine.gpus)
    name = machine.gpus[index].name if on_gpu else f"CPU, {machine.cores} cores"
    return {
        "device": name,
        "memory": "GPU" if on_gpu else "host",  # which the figures of memory are of
        "driver": machine.driver if on_gpu else None,
        "torch": machine.torch,
        "system": machine.system,
    }


def _run(words: list[str], folder: Path) -> tuple[int, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "game", *words], capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, f"not done after {_LIMIT_S / 60:.0f} minutes"
    if done.returncode < 0:  # it said nothing of that
        return done.returncode, f"ended by {_signal(-done.returncode)}"
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return done.returncode, said[-1].removeprefix("game: ") if said else ""


def _signal(number: int) -> str:
    """What a process was ended by, in words."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name}, as systems do when memory runs out" if name == "SIGKILL" else name
