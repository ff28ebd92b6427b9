"""Finds where the shipped scenes were taken, so that they begin at once: `python -m engine.training.places`.

To be run when scenes, memory or recogniser have changed; a test says when that was forgotten.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.config.memory import EmbeddedConfig
from engine.frames import to_signed
from engine.nets.camera import Camera
from engine.nets.networks import EmbeddedNetworks
from engine.nets.places import Place, Places, key, unlike, write_places
from engine.nets.recogniser import localise
from engine.pictures import fit_picture
from engine.training.files import LARGE, MODEL, ROOT, read_model
from engine.world import load_world


def find_places(networks: EmbeddedNetworks, pictures: list[np.ndarray]) -> Places:
    """Where first frames (H, W, 3) uint8 of the model's own size were taken."""
    config, memory = networks.config, networks.spatial_memory
    camera, places = Camera(config.camera, config.width, config.height), {}
    for picture in pictures:
        signed = to_signed(picture)[:, 0]
        with torch.inference_mode():
            pose = localise(signed, networks.recogniser, memory, camera)
            numbers = tuple(float(part) for part in (pose.x, pose.y, pose.yaw, pose.pitch, pose.hour))
            places[key(picture)] = Place(numbers, unlike(pose, signed, memory, camera))
    return places


def shipped_pictures(config: EmbeddedConfig) -> list[np.ndarray]:
    """The scenes as first frames (H, W, 3) uint8 of a model."""
    scenes = [np.array(Image.open(path).convert("RGB")) for path in sorted((ROOT / "assets" / "scenes").glob("*.png"))]
    return [fit_picture(scene, config.height, config.width) for scene in scenes]


def main() -> int:
    """Runs the command; returns its exit code."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "assets" / "tiny"
    torch.set_num_threads(1)
    found: dict[str, Place] = {}
    for path in (MODEL, LARGE):
        networks = load_world(read_model(path), folder, device="cpu", dtype=torch.float32).networks
        assert isinstance(networks, EmbeddedNetworks)
        found |= find_places(networks, shipped_pictures(networks.config))
    write_places(found, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
