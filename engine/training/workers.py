"""One worker of a training run; apart from the command, because new processes import it by name."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import torch
import torch.distributed as dist

from engine.training.files import export, read_model
from engine.training.initial import build, fit_codec
from engine.training.train import TrainConfig, Trainer


def join(number: int, options: argparse.Namespace, meeting: Path) -> None:
    """Meets the other workers of the run and trains with them; `number` is this one's, `meeting` a file's path."""
    store = dist.FileStore(str(meeting), options.workers)
    dist.init_process_group("gloo", store=store, rank=number, world_size=options.workers)
    train(number, options)
    dist.destroy_process_group()


def train(worker: int, options: argparse.Namespace) -> None:
    """Trains to the end; worker 0 tells, saves and exports."""
    torch.set_num_threads(options.threads)
    model = read_model(options.model)
    chosen = {f.name: getattr(options, f.name) for f in fields(TrainConfig) if getattr(options, f.name) is not None}
    config = replace(TrainConfig(), **chosen)
    checkpoint = options.out / "training.pt"
    say = _log(options.out / "log.txt") if worker == 0 else lambda text: None
    networks = build(model, config.seed)
    networks.codec.requires_grad_(False)
    trainer = Trainer(networks, config, model.transformer.actions.mouse_limit, worker)
    if checkpoint.exists():
        trainer.load(checkpoint)
        say(f"going on from step {trainer.step}")
    else:
        say(f"codec: {fit_codec(networks, config.seed):.2f} dB")
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
