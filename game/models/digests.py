"""Hashes of large files, remembered from run to run, so that a start need not read them whole to name its weights.

A file is taken for the same while its path, size and time of change are. What is remembered may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from game.config.paths import cache_folder

_LEAST = 64 * 2**20  # smaller files are hashed in no time

Tell = Callable[[str, float], None]


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
