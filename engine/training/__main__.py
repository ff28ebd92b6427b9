"""`python -m engine.training`: makes the embedded model from nothing; run again, it goes on where it was stopped.

The world needs no data: the simulator renders what is learned from as it is needed. Progress goes to the terminal and
to `log.txt` in the run's folder; the weights are written when everything is learned.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from engine.errors import EngineError
from engine.training.enliven import Enlivening, EnliveningTraining
from engine.training.files import MODEL, export, read_model
from engine.training.initial import build, fit_codec
from engine.training.paint import PainterTraining, Painting
from engine.training.recognise import RecogniserTraining, Recognising
from engine.training.remember import MemoryTraining, Remembering
from engine.training.stage import Say
from engine.training.unroll import camera_of

_SHORTEST_PLAN = 150  # steps: with walls elsewhere, a trial's texels would not fit into the model


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    try:
        make(options)
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on from the last save\n")
    return 0


def make(options: argparse.Namespace) -> None:
    """Learns everything, part by part, and writes the weights."""
    model = read_model(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    say, began = _log(options.out / "log.txt"), time.monotonic()
    networks = build(model, options.seed)
    networks.codec.requires_grad_(False)
    camera, seed = camera_of(networks), options.seed

    def steps(all_of_them: int) -> int:
        return max(1, round(all_of_them * options.short))

    say(f"codec: {fit_codec(networks, seed):.2f} dB")

    memory = MemoryTraining(seed=seed)
    plan = max(steps(memory.plan_steps), _SHORTEST_PLAN)
    views, look = steps(memory.survey_views), steps(memory.look_steps)
    memory = replace(memory, plan_steps=plan, survey_views=views, look_steps=look,
                     mend_views=steps(memory.mend_views), mended_steps=steps(memory.mended_steps))  # fmt: skip
    remembering = Remembering(networks.spatial_memory, camera, memory)
    remembering.run(options.out, say, options.save_every)
    say(f"memory: {remembering.quality():.2f} dB from poses never fitted")

    enlivening = EnliveningTraining(seed=seed)
    parts, ways, walkers = (steps(number) for number in (enlivening.parts, enlivening.steps, enlivening.walkers))
    enlivening = replace(enlivening, parts=parts, steps=ways, walkers=walkers)
    Enlivening(networks.slots, networks.spatial_memory, camera, enlivening).run(options.out, say, options.save_every)
    networks.slots.requires_grad_(False)

    networks.recogniser.know(networks.spatial_memory)
    recogniser = RecogniserTraining(seed=seed)
    recogniser = replace(recogniser, steps=steps(recogniser.steps))
    Recognising(networks.recogniser, camera, recogniser).run(options.out, say, options.save_every)
    networks.recogniser.requires_grad_(False)

    painter = PainterTraining(seed=seed)
    painter = replace(painter, steps=steps(painter.steps))
    painting = Painting(networks, painter, model.mouse_limit)
    painting.run(options.out, say, options.save_every)
    networks.transformer.load_state_dict(painting.average.state_dict())

    size = export(networks, options.out / "weights")
    minutes = (time.monotonic() - began) / 60
    say(f"{size / 2**20:.1f} MiB of weights in {options.out / 'weights'}, {minutes:.0f} min since this start")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.training", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/tiny"), help="folder of the run (default runs/tiny)")
    parser.add_argument("--model", type=Path, default=MODEL, help="the model's YAML")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads (default: one a core)")
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn")
    parser.add_argument("--save-every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument(
        "--short", type=float, default=1.0, metavar="SHARE", help="only this share of all steps: a trial"
    )
    return parser.parse_args(arguments)


def _log(path: Path) -> Say:
    def say(text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')}  {text}"
        print(line, flush=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    return say


if __name__ == "__main__":
    sys.exit(main())
