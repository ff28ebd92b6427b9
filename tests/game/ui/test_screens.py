"""The window looks as it did: small reference pictures of its states, which --update-references writes anew."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import cv2
import numpy as np
import pytest

from tests.game.screens import SCREENS, screen

REFERENCES = Path(__file__).parents[1] / "references"
SIZE = (640, 400)
KEPT = ("loading", "loading_unknown", "menu", "numbers", "first_keys", "paused", "warning", "failure", "world",
        "scenes", "controls_waiting", "recordings", "drop")  # fmt: skip
TINY = ((200, 150), (320, 240), (300, 900), (1200, 300))


def small(pixels: np.ndarray) -> np.ndarray:
    """Half the size, so that another version of the font's rasteriser makes little difference."""
    return cv2.resize(pixels, (SIZE[0] // 2, SIZE[1] // 2), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("name", KEPT)
def test_a_state_looks_like_its_reference(name, request):
    path = REFERENCES / f"{name}.png"
    now = small(screen(name, SIZE))
    if request.config.getoption("--update-references"):
        REFERENCES.mkdir(exist_ok=True)
        cv2.imwrite(str(path), now[..., ::-1])
    reference = cv2.imread(str(path))[..., ::-1].astype(int)
    apart = np.abs(now.astype(int) - reference).mean(axis=2)
    places = cv2.resize(apart, (SIZE[0] // 20, SIZE[1] // 20), interpolation=cv2.INTER_AREA)
    assert apart.mean() < 2.0 and places.max() < 30.0, "if that is meant, write the reference anew and look at it"


@pytest.mark.parametrize("size", TINY)
@pytest.mark.parametrize("name", sorted(SCREENS))
def test_every_state_can_be_drawn_on_a_stamp_and_on_a_strip(name, size):
    pixels = screen(name, size)
    assert pixels.shape == (size[1], size[0], 3) and pixels.std() > 3


def test_states_look_different():
    seen = {screen(name, (320, 240)).tobytes() for name in KEPT}
    assert len(seen) == len(KEPT)
