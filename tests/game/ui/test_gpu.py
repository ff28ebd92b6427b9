"""A GPU draws the window as the CPU does. Here a program stands in for the GPU, which no test can count on."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.game.display import MISSING, ROOT, virtual_display

pytestmark = [
    pytest.mark.xvfb,
    pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} missing"),
    pytest.mark.skipif(find_spec("moderngl") is None, reason="moderngl is not installed"),
]

_COMPARE = """
import os, sys, tempfile
from pathlib import Path
import numpy as np, pygame
from game.ui.view import Hud, View
from tests.game.screens import SCREENS, set_stage

def drawn(by, name):
    os.environ["NEURAL_WORLD_DRAW"] = by
    stage = set_stage((640, 400), Path(tempfile.mkdtemp()))
    if (stage.window.gpu is None) != (by == "cpu"):
        sys.exit(77)  # no OpenGL 3.3 here, not even by a program
    view, scenery = View(stage.paint, Hud(stage.paint), stage.menu, stage.window.gpu), SCREENS[name](stage)
    for scene in (SCREENS["playing"](stage), scenery, scenery):
        stage.window.present(view.draw(stage.window.surface, scene))
    width, height = stage.window.surface.get_size()
    if stage.window.gpu is None:
        pixels = pygame.surfarray.array3d(stage.window.surface).swapaxes(0, 1)
    else:
        view.draw(stage.window.surface, scenery)
        pixels = np.frombuffer(stage.window.gpu.read(), np.uint8).reshape(height, width, 3)
    pixels = pixels.astype(int)
    stage.commands.background.stop()
    pygame.display.quit()
    return pixels

for name in ("numbers", "paused", "scenes", "loading"):
    apart = np.abs(drawn("cpu", name) - drawn("gpu", name))
    print(name, apart.mean(), apart.max())
    assert apart.mean() < 2.0, name
"""


def test_every_kind_of_screen_looks_the_same_by_gpu_and_by_cpu():
    with virtual_display() as environment:
        done = subprocess.run(
            [sys.executable, "-c", _COMPARE],
            cwd=ROOT, env=environment | {"SDL_VIDEODRIVER": "x11"}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("no OpenGL 3.3 here")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_cpu_draws_where_it_is_told_to_and_where_a_program_would_stand_in_for_a_gpu():
    code = "from game.ui.window import Window; w = Window((320, 200), False); print(w.gpu, w.drawn_by)"
    with virtual_display() as environment:
        environment |= {"SDL_VIDEODRIVER": "x11", "LIBGL_ALWAYS_SOFTWARE": "1"}
        for more, words in (({"NEURAL_WORLD_DRAW": "cpu"}, "None the CPU"), ({}, "None the CPU (")):
            done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment | more, capture_output=True,
                                  text=True, timeout=120)  # fmt: skip
            assert words in done.stdout, done.stdout + done.stderr
