"""A window whose engine is elsewhere shows and cuts pictures without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
_CODE = """
import sys
sys.modules["torch"] = None
from game.config.paths import SCENES
from game.ui.pages.pictures import preview, tile_picture
from game.ui.toolkit.background import HIGH, WIDE
from game.media.pictures import cut_to
from game.world.scenes import Scene
path = next(iter(SCENES.glob("*.png")))
assert cut_to(tile_picture(path), HIGH, WIDE).shape == (HIGH, WIDE, 3)
assert preview(Scene("one", path), 144, 80).seen.shape == (80, 144, 3)
"""


def test_pictures_are_shown_and_cut_where_there_is_no_torch():
    done = subprocess.run([sys.executable, "-c", _CODE], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
