"""A walk of the model beside the simulator's, a picture a second: `python -m engine.training.sheet [--seconds N]`.

Rows of pictures by the model, each above the same moments by the simulator, for a person to judge.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import cast

import torch
from einops import rearrange
from torch import Tensor

from engine.errors import EngineError
from engine.nets.networks import EmbeddedNetworks
from engine.training.files import MODEL, WEIGHTS, read_model
from engine.training.policy import World
from engine.training.poses import UNSEEN
from engine.training.scenes import write_png
from engine.training.unroll import Unroll, camera_of
from engine.world import load_world

_ACROSS = 10


@torch.no_grad()
def contact_sheet(networks: EmbeddedNetworks, limit: float, seed: int, seconds: int) -> Tensor:
    """(rows, columns, 3) uint8: pairs of rows, the model's pictures and, below them, the simulator's.

    Args:
        limit: largest mouse value of a video frame. seed: of the start and of what is pressed, never trained on.
    """
    world = World(1, UNSEEN + seed, camera_of(networks), limit, folk=not networks.slots.empty)
    unroll = Unroll(networks, world.restart(), torch.Generator().manual_seed(seed), gradients=False)
    pairs = []
    fps = round(networks.config.fps)
    for frame in range(1, seconds * fps + 1):
        keyboard, mouse, true = world.step()
        unroll.step(keyboard, mouse)
        if frame % fps == 0:
            pairs.append(torch.stack((unroll.frames[0], true[0])))
    missing = -len(pairs) % _ACROSS
    pairs += [torch.full_like(pairs[0], -1.0)] * missing
    sheet = rearrange(torch.stack(pairs), "(r n) two c h w -> (r two h) (n w) c", n=_ACROSS)
    return ((sheet + 1) * 127.5).round().to(torch.uint8)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.sheet", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="their folder (default: the shipped ones)")
    parser.add_argument("--model", type=Path, default=MODEL, help="the model's YAML")
    parser.add_argument("--seed", type=int, default=0, help="of the start and of what is pressed")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    options = parser.parse_args(arguments)
    try:
        model = read_model(options.model)
        world = load_world(model, options.weights, device="cpu", dtype=torch.float32)
    except EngineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    limit = model.mouse_limit
    write_png(contact_sheet(cast(EmbeddedNetworks, world.networks), limit, options.seed, options.seconds), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
