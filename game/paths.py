"""Where configs/ and assets/ are: in the repository, or carried along inside the installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _data_folder(name: str) -> Path:
    packaged = _PACKAGE / f"_{name}"
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


CONFIGS = _data_folder("configs")
ASSETS = _data_folder("assets")
SCENES = ASSETS / "scenes"


def weights_folder(model: str) -> Path:
    """Folder of the weights shipped for `model` (it need not exist: only the embedded models have one)."""
    return ASSETS / model
