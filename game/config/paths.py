"""Where configs/ and assets/ are (in the repository, or carried along inside the installed wheel), and weights."""

import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def _data_folder(name: str) -> Path:
    packaged = _PACKAGE / f"_{name}"
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


CONFIGS = _data_folder("configs")
ASSETS = _data_folder("assets")
SCENES = ASSETS / "scenes"


def weights_folder(model: str) -> Path:
    """Folder of the weights shipped for `model` (it need not exist: only the embedded models have one)."""
    return ASSETS / model


def fetched_folder(name: str) -> Path:
    """The user's own folder of published weights, as --fetch fills it (it need not exist). name: of a checkpoint."""
    return _users_folder("XDG_DATA_HOME", Path(".local") / "share", Path("Application Support")) / name


def cache_folder() -> Path:
    """The user's own folder of what can be found out again (it need not exist)."""
    return _users_folder("XDG_CACHE_HOME", Path(".cache"), Path("Caches"))


def _users_folder(variable: str, usual: Path, on_a_mac: Path) -> Path:
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / on_a_mac
    else:
        home = Path(os.environ.get(variable) or Path.home() / usual)
    return home / "neural-world"
