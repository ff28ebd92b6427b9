"""`python -m engine.training`: makes the embedded model from nothing; run again, it goes on where it was stopped.

The world needs no data: the simulator renders what is learned from as it is needed. Progress goes to the terminal and
to `log.txt` in the run's folder, and weights are exported every time the run is saved, so a stopped run can be played.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from engine.errors import EngineError
from engine.training.files import MODEL, export, read_model
from engine.training.initial import build, fit_codec
from engine.training.train import TrainConfig, Trainer


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _options(arguments)
    try:
        read_model(options.model)
        options.out.mkdir(parents=True, exist_ok=True)
        if options.workers == 1:
            _train(0, options)
        else:
            mp.spawn(_worker, (options,), nprocs=options.workers)
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from the last save\n")
    return 0


def _worker(number: int, options: argparse.Namespace) -> None:
    store = dist.FileStore(str(options.out / f"meet-{os.getppid()}"), options.workers)
    dist.init_process_group("gloo", store=store, rank=number, world_size=options.workers)
    _train(number, options)
    dist.destroy_process_group()


def _train(worker: int, options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    model = read_model(options.model)
    chosen = {f.name: getattr(options, f.name) for f in fields(TrainConfig) if getattr(options, f.name) is not None}
    config = replace(TrainConfig(), **chosen)
    checkpoint = options.out / "training.pt"
    say = _log(options.out / "log.txt") if worker == 0 else lambda text: None
    networks = build(model, config.seed)
    say(f"codec: {fit_codec(networks, config.seed):.2f} dB")
    networks.codec.requires_grad_(False)
    trainer = Trainer(networks, config, model.transformer.actions.mouse_limit, worker)
    if checkpoint.exists():
        trainer.load(checkpoint)
        say(f"going on from step {trainer.step}")
    for _ in trainer.run(say, options.save_every):
        if worker == 0:
            trainer.save(checkpoint)
            size = export(networks, trainer.average.state_dict(), options.out / "weights")
            say(f"saved step {trainer.step}, {size / 2**20:.1f} MiB of weights in {options.out / 'weights'}")


def _log(path: Path) -> Callable[[str], None]:
    def say(text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')}  {text}"
        print(line, flush=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    return say


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
