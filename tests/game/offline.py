"""What the tests of the offline client share: small real worlds, blocks, and videos read back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from engine.actions import Actions
from engine.block import Block, Timings
from engine.families import action_space
from game.recording.format import SessionHeader
from tests.engine import tiny


def real_world(settings=None):
    """An engine of random weights with blocks of 9, then 12 video frames, whatever the settings ask for."""
    return tiny.world(tiny.big_config(name="tiny"))


def picture_file(folder: Path, name: str = "start.png", seed: int = 0) -> Path:
    """A picture on disk to start from."""
    path = folder / name
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (60, 100, 3), dtype=np.uint8))
    return path


def header(**changes) -> SessionHeader:
    """A header for worlds of 64x32 pixels."""
    values = {"model": "tiny", "mode": "universal", "seed": 0, "width": 64, "height": 32, "fps": 20.0}
    hashes = {"first_frame_sha256": "a", "weights_sha256": "b", "version": "0"}
    return SessionHeader(**(values | hashes | changes))


def block(index: int, frames: int = 1, grey: int | None = None, keys=("W",)) -> Block:
    """Block `index` of a world with `frames` frames a block, all of one grey."""
    level = (index * 7) % 250 if grey is None else grey
    space = action_space("universal")
    pixels = np.full((frames, 32, 64, 3), level, dtype=np.uint8)
    actions = Actions.stack([space.action(keys, (0.0, 0.1))] * frames)
    return Block(index, index * frames, pixels, actions, Timings(1.0, 0.0, 2.0, 3.0))


def read_video(path: Path) -> np.ndarray:
    """(F, H, W, 3) uint8 RGB, as many frames as can be decoded."""
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = video.read()
        if not ok:
            break
        frames.append(frame[:, :, ::-1])
    video.release()
    return np.stack(frames) if frames else np.zeros((0, 1, 1, 3), np.uint8)
