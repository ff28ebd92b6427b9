"""What must be so before anything is imported: packages that are there, threads that keep calm. Imports nothing."""

from __future__ import annotations

import os
from importlib.util import find_spec

from game.errors import InputError

# Name to import -> name to install, as in pyproject.toml.
REQUIRED = {
    "torch": "torch",
    "einops": "einops",
    "numpy": "numpy",
    "pygame": "pygame",
    "cv2": "opencv-python",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "hydra": "hydra-core",
    "safetensors": "safetensors",
    "PIL": "pillow",
    "psutil": "psutil",
    "platformdirs": "platformdirs",
}

# What a window needs whose model is on a server.
CLIENT = {
    "numpy": "numpy",
    "pygame": "pygame",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "aiohttp": "aiohttp",
    "psutil": "psutil",
    "platformdirs": "platformdirs",
    "yaml": "pyyaml",
}
# What the server of one needs besides REQUIRED.
SERVER = {"aiohttp": "aiohttp"}
_REMEDIES = {
    id(CLIENT): f"run pip install {' '.join(CLIENT.values())}",
    id(SERVER): "run pip install -e '.[serve]' in the program's folder",
}


def check_installed(required: dict[str, str] = REQUIRED) -> None:
    """Raises InputError, naming all that are missing, if there are any. Takes a millisecond: nothing is imported."""
    if missing := [package for name, package in required.items() if not _is_there(name)]:
        *others, last = missing
        what = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        remedy = _REMEDIES.get(id(required), "run pip install -e . in the program's folder")
        raise InputError(f"{what} not installed", remedy=remedy)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # whatever hides it may say so in its own way
        return False


def calm_threads() -> None:
    """Keeps idle OpenMP threads from spinning: they made a layer 20 times slower beside a second process.

    GNU's may spin for some 10 to 20 us, the pause between two kernels of a small model: two threads that go to sleep
    each time take 35 ms for a block that takes 17 so, and 15 if they never slept. A third as long was too short on one
    of two machines (30 ms there); beside a busy process the block takes 40 ms, and 65 at three times that.
    Must run before torch is imported. What a person has set already stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # which the other would win over
        os.environ.setdefault("GOMP_SPINCOUNT", "1500")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
