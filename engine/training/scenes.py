"""Renders the shipped first frames, one per place of the world: `python -m engine.training.scenes [FOLDER]`."""

from __future__ import annotations

import argparse
import math
import struct
import sys
import zlib
from pathlib import Path

import torch
from torch import Tensor

from engine.nets.camera import Camera
from engine.training.files import MODEL, ROOT, read_model
from engine.training.simulator import Simulator

# name -> x, y in cells, degrees to the right of east, hour: each with a way of 14 cells and more ahead
VIEWPOINTS = {
    "hall": (1.7, 4.0, 0, 0.40),
    "library": (17.0, 1.7, 90, 0.46),
    "tower": (27.0, 1.7, 90, 0.58),
    "garden": (1.7, 11.0, 0, 0.36),
    "pool": (12.6, 11.0, 0, 0.50),
    "forge": (30.3, 11.0, 180, 0.64),
    "terrace": (1.7, 16.3, 0, 0.68),
}

# name -> walkers who are in view: which, where on its lane, and to the east, south, west or north (0 to 3)
MET = {
    "hall": ((0, 4.6, 4.0, 2), (1, 8.6, 4.0, 0)),
    "library": ((1, 17.0, 4.4, 3),),
    "tower": ((5, 25.6, 4.0, 0),),
    "garden": (),
    "pool": ((3, 15.6, 11.0, 2), (5, 15.2, 11.0, 0)),
    "forge": ((0, 27.6, 11.0, 0),),
    "terrace": ((5, 3.9, 16.1, 0), (4, 7.0, 16.1, 2)),
}
# name -> where its first ball lies
BALLS = {"library": (17.7, 3.5), "hall": (4.0, 4.7)}


def at_viewpoints(camera: Camera, folk: bool = True) -> Simulator:
    """A player where each scene begins; with `folk`, somebody is in view of most."""
    simulator = Simulator(len(VIEWPOINTS), 0, camera, folk)
    x, y, degrees, hour = (
        torch.tensor(column, dtype=torch.float32) for column in zip(*VIEWPOINTS.values(), strict=True)
    )
    simulator.x, simulator.y, simulator.yaw, simulator.hour = x, y, degrees * math.pi / 180, hour
    if simulator.folk:
        simulator.repeople()
        for number, name in enumerate(VIEWPOINTS):
            for walker, at_x, at_y, direction in MET[name]:
                simulator.folk.put(number, walker, at_x, at_y, direction)
            if name in BALLS:
                simulator.folk.ball_x[number, 0], simulator.folk.ball_y[number, 0] = BALLS[name]
    return simulator


def render(camera: Camera, folk: bool = True) -> dict[str, Tensor]:
    """Every scene by name, (H, W, 3) uint8 RGB."""
    pictures = ((at_viewpoints(camera, folk).render() + 1) * 127.5).round().to(torch.uint8)
    return dict(zip(VIEWPOINTS, pictures.permute(0, 2, 3, 1), strict=True))


def write_png(picture: Tensor, path: Path) -> None:
    """Writes (H, W, 3) uint8 RGB; the engine has no picture library, and this is all of PNG that it needs."""
    height, width, _ = picture.shape
    rows = b"".join(b"\0" + row.contiguous().numpy().tobytes() for row in picture)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def main() -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.training.scenes", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "assets" / "scenes")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    model = read_model(MODEL)
    for name, picture in render(Camera(model.camera, model.width, model.height)).items():
        write_png(picture, folder / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
