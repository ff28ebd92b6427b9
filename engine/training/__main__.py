"""`python -m engine.training`: makes the embedded model from nothing; run again, it goes on where it was stopped.

The world needs no data: the simulator renders what is learned from as it is needed. Progress goes to the terminal and
to `log.txt` in the run's folder, and weights are exported every time the run is saved, so a stopped run can be played.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import torch

from engine.errors import EngineError
from engine.training.files import MODEL, export, read_model
from engine.training.initial import build, fit_codec
from engine.training.train import TrainConfig, Trainer


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _options(arguments)
    try:
        _train(options)
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from the last save\n")
    return 0


def _train(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    model = read_model(options.model)
    chosen = {f.name: getattr(options, f.name) for f in fields(TrainConfig) if getattr(options, f.name) is not None}
    config = replace(TrainConfig(), **chosen)
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out / "training.pt"
    with (options.out / "log.txt").open("a", encoding="utf-8") as log:

        def say(text: str) -> None:
            line = f"{time.strftime('%H:%M:%S')}  {text}"
            print(line, flush=True)
            log.write(line + "\n")
            log.flush()

        networks = build(model, config.seed)
        say(f"codec: {fit_codec(networks, config.seed):.2f} dB")
        networks.codec.requires_grad_(False)
        trainer = Trainer(networks, config, model.transformer.actions.mouse_limit)
        if checkpoint.exists():
            trainer.load(checkpoint)
            say(f"going on from step {trainer.step}")
        for _ in trainer.run(say, options.save_every):
            trainer.save(checkpoint)
            size = export(networks, trainer.average.state_dict(), options.out / "weights")
            say(f"saved step {trainer.step}, {size / 2**20:.1f} MiB of weights in {options.out / 'weights'}")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.training", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/tiny"), help="folder of the run (default runs/tiny)")
    parser.add_argument("--model", type=Path, default=MODEL, help="the model's YAML")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--save-every", type=float, default=300.0, metavar="SECONDS")
    for field in fields(TrainConfig):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, metavar=str(field.default))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
