"""Renders the shipped first frames, one per place of the world: `python -m engine.training.scenes [FOLDER]`."""

from __future__ import annotations

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

# name -> x, y in cells, degrees to the right of east
VIEWPOINTS = {
    "hall": (4.47, 1.68, 147),
    "library": (6.93, 3.98, 36),
    "tower": (12.04, 2.78, 139),
    "garden": (2.11, 8.82, 11),
    "pool": (9.06, 6.84, 182),
    "forge": (12.68, 9.07, 252),
    "terrace": (7.50, 11.89, 182),
}


def render(camera: Camera) -> dict[str, Tensor]:
    """Every scene by name, (H, W, 3) uint8 RGB."""
    simulator = Simulator(len(VIEWPOINTS), 0, camera)
    x, y, degrees = (torch.tensor(column, dtype=torch.float32) for column in zip(*VIEWPOINTS.values(), strict=True))
    simulator.x, simulator.y, simulator.yaw = x, y, degrees * math.pi / 180
    pictures = ((simulator.render() + 1) * 127.5).round().to(torch.uint8)
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
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "assets" / "scenes"
    folder.mkdir(parents=True, exist_ok=True)
    model = read_model(MODEL)
    for name, picture in render(Camera(model.camera, model.width, model.height)).items():
        write_png(picture, folder / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
