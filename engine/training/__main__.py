"""`python -m engine.training`: makes the embedded model from nothing; run again, it goes on where it was stopped.

The world needs no data: the simulator renders what is learned from as it is needed. Progress goes to the terminal and
to `log.txt` in the run's folder, and weights are exported every time the run is saved, so a stopped run can be played.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import torch.multiprocessing as mp

from engine.errors import EngineError
from engine.training.files import MODEL, read_model
from engine.training.train import TrainConfig
from engine.training.workers import join, train


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _options(arguments)
    try:
        read_model(options.model)
        options.out.mkdir(parents=True, exist_ok=True)
        if options.workers == 1:
            train(0, options)
        else:
            with tempfile.TemporaryDirectory() as folder:
                mp.spawn(join, (options, Path(folder) / "meet"), nprocs=options.workers)
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from the last save\n")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.training", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/tiny"), help="folder of the run (default runs/tiny)")
    parser.add_argument("--model", type=Path, default=MODEL, help="the model's YAML")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--save-every", type=float, default=300.0, metavar="SECONDS")
    for field in fields(TrainConfig):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, metavar=str(field.default))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
