"""Where configs/ and assets/ are (in the repository, or carried along inside the installed wheel), and a person's own
folders, as their system has them. Nothing here needs to exist, and nobody needs a home."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_APP = "neural-world"


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
    return _own("data") / name


def cache_folder() -> Path:
    """The user's own folder of what can be found out again (it need not exist)."""
    return _own("cache")


def config_folder() -> Path:
    """The user's own folder of settings (it need not exist)."""
    return _own("config")


def home_folder() -> Path:
    """The user's home; the working folder for a user who has none."""
    try:
        home = Path.home()
    except RuntimeError:
        return Path.cwd()
    return home if home.is_absolute() else Path.cwd()


def pictures_folder() -> Path:
    """Where the user's system keeps pictures, or their home if it keeps none."""
    from platformdirs import user_pictures_path

    try:
        pictures = user_pictures_path()
    except (OSError, ValueError, RuntimeError):
        return home_folder()
    return pictures if pictures.is_absolute() and pictures.is_dir() else home_folder()


def _own(kind: str) -> Path:
    # Here and not above: the program must be able to say that it is not installed.
    from platformdirs import PlatformDirs

    try:
        folder = Path(getattr(PlatformDirs(_APP, appauthor=False, roaming=kind == "config"), f"user_{kind}_dir"))
        if folder.is_absolute():
            return folder
    except RuntimeError:
        pass
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir()) / f"{_APP}-{user}" / kind  # a user without a home
