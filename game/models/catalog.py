"""Which models there are, where their files are, and which hashes those have. Loads nothing, imports no torch.

Hashes of large files are remembered from run to run, so that a start need not read them whole to name its weights. A
file is taken for the same while its path, size and time of change are. What is remembered may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from engine.families import Checkpoint, family_of
from game.config.paths import cache_folder, fetched_folder, weights_folder
from game.config.settings import Settings
from game.errors import InputError

RANDOM = "random"
_LEAST = 64 * 2**20  # smaller files are hashed in no time

Tell = Callable[[str, float], None]


def find_weights(settings: Settings) -> Path:
    """The folder (or file) of the model's weights. Raises InputError, with what to do, if there is none."""
    name = settings.model.name
    if random_weights(settings):
        remedy = f"time it with --bench model={name}, or choose another model or weights"
        raise InputError("a model of random weights has no world to show", got=name, remedy=remedy)
    if settings.weights is not None:
        path = Path(settings.weights)
        if not path.exists():
            remedy = f"give the folder that holds {published(settings)}, or leave weights= away"
            raise InputError(
                "the weights are not there", got=path, expected="a folder or file that exists", remedy=remedy
            )
        return path
    files = checkpoint(settings)
    folder = None if files is None else files.folder
    path = shipped_folder(settings) if folder is None else fetched_folder(folder)
    if path.is_dir():
        return path
    if folder is None:
        remedy = "make them with python -m engine.training, or name their folder with weights=DIR"
    else:
        where = published(settings)
        remedy = f"python -m game --fetch model={name} downloads them; or name the folder of {where}: weights=DIR"
    raise InputError(f"the model {name} comes without weights", remedy=remedy)


def checkpoint(settings: Settings) -> Checkpoint | None:
    """The files of the model; None for one that has none, such as a slice."""
    found: Checkpoint | None = family_of(settings.model).checkpoint(settings.model)
    return found


def shipped_folder(settings: Settings) -> Path:
    """Where the model's weights are if they come with the program; it need not be there."""
    files = checkpoint(settings)
    return weights_folder((files and files.shipped) or settings.model.name)


def published(settings: Settings) -> str:
    """Where the model's weights are published, for people."""
    files = checkpoint(settings)
    return "its weights" if files is None or files.repository is None else f"{files.repository} on Hugging Face"


def random_weights(settings: Settings) -> bool:
    """Whether the weights are to be made up: by weights=random, or because the model is a slice, that has no files."""
    return settings.weights == RANDOM or (settings.weights is None and is_slice(settings))


def is_slice(settings: Settings) -> bool:
    """Whether the model is a few layers of a larger one, that only --bench can use."""
    return settings.model.slice_of is not None


def is_large(settings: Settings) -> bool:
    """Whether the model is one of those made for a GPU."""
    return family_of(settings.model).large


def remembered_sha256(path: Path, tell: Tell | None = None) -> str:
    """SHA-256 of a file in hex: from memory if it has not changed, else found out and remembered.

    tell: told the progress. Raises CheckpointError if the file can not be read.
    """
    from engine.weights.checkpoint import sha256_of

    known = _known().get(str(path.resolve()))
    if known is not None and known[:2] == _mark(path):
        if tell is not None:
            tell(path.name, 1.0)
        return known[2]
    digest = sha256_of(path, tell)
    remember(path, digest)
    return digest


def remember(path: Path, digest: str) -> None:
    """Notes a file's SHA-256 as of now; where nothing can be written, nothing is remembered."""
    if path.stat().st_size < _LEAST:
        return
    noted = _known() | {str(path.resolve()): [*_mark(path), digest]}
    store = _store()
    part = store.with_name(f"{store.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        store.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(noted, indent=1), encoding="utf-8")
        part.replace(store)


def _store() -> Path:
    return cache_folder() / "digests.json"


def _mark(path: Path) -> list[int]:
    """What changes with a file's content, but for malice."""
    try:
        seen = path.stat()
    except OSError:
        return []
    return [seen.st_size, seen.st_mtime_ns]


def _known() -> dict[str, list]:
    """What is remembered; a damaged store remembers nothing."""
    try:
        data = json.loads(_store().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = data.items() if isinstance(data, dict) else ()
    return {path: entry for path, entry in entries if isinstance(entry, list) and len(entry) == 3}
