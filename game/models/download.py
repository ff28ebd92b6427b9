"""`--fetch`: downloads exactly the files that the chosen model needs, checks them, and goes on where it stopped.

huggingface_hub, an optional extra, says where the files are and which hash each must have; the bytes are read here,
because its newer versions throw away what an interrupted download had. Nothing else in the program uses a network.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from engine.families import Checkpoint, WeightFile, families
from game import VERSION
from game.config.paths import fetched_folder
from game.config.settings import load_settings
from game.console import Progress, tell
from game.errors import InputError, RunError
from game.models.catalog import checkpoint, random_weights, remember

_PIECE = 1 << 20
_TRIES, _PAUSE_S, _PATIENCE_S = 5, 2.0, 30.0

Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Remote:
    """A file to be had: its name below the folder, where it is, its size in bytes and its SHA-256 in hex."""

    name: str
    url: str
    size: int
    sha256: str


Ask = Callable[[str, str, "str | None"], Remote]
"""Where a file is, by repository, name and revision."""


def fetch(words: Sequence[str], ask: Ask | None = None) -> int:
    """Downloads what the model that `words` choose needs, and prints how to play it. Returns the exit code.

    words: overrides; weights=DIR is the folder to fill, by default one of the user's own where the program looks by
    itself. ask: says where a published file is (tests). Raises InputError if there is nothing to fetch or no tool to
    fetch it with; RunError if it cannot be had now: what was downloaded stays, and a second run goes on from there.
    """
    settings = load_settings(words)
    name = settings.model.name
    files = checkpoint(settings)
    if files is None or files.repository is None or files.folder is None or random_weights(settings):
        remedy = f"name a large model: {', '.join(f'--fetch model={model}' for model in large_models())}"
        raise InputError(f"the model {name} needs nothing fetched", remedy=remedy)
    folder = fetched_folder(files.folder) if settings.weights is None else Path(settings.weights)
    given = {"light_decoder"} if settings.decoder.weights is not None else set()
    remotes = [_remote(file, files, ask or ask_hub) for file in files.files if file.network not in given]
    told = Progress()
    missing = [remote for remote in remotes if not _is_there(folder / remote.name, remote, told)]
    _check_room(folder, missing)
    for remote in missing:
        download(remote, folder, told)
    told.clear()
    for remote in remotes:
        state = "fetched" if remote in missing else "was there"
        tell(f"{folder / remote.name}  {remote.size / 1e6:.0f} MB, {state}, SHA-256 as published")
    where = "" if settings.weights is None else f" weights={folder}"
    tell(f"play it: python -m game model={name}{where}")
    return 0


def large_models() -> list[str]:
    """The first model of every family whose weights can be fetched."""
    return [family.models[0] for family in families() if family.large]


def _remote(file: WeightFile, files: Checkpoint, ask: Ask) -> Remote:
    if file.url is not None and file.size is not None and file.sha256 is not None:
        return Remote(file.name, file.url, file.size, file.sha256)
    assert files.repository is not None
    return ask(files.repository, file.name, files.revision)


def ask_hub(repository: str, name: str, revision: str | None = None) -> Remote:
    """Where a file of a repository is, as Hugging Face says. Raises InputError, RunError."""
    try:
        from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
    except ImportError as error:
        remedy = f"pip install huggingface_hub (or -e '.[fetch]' in the repository), or download {repository} yourself"
        raise InputError("--fetch needs huggingface_hub", remedy=remedy) from error
    try:
        if revision is not None:
            commits = [commit.commit_id for commit in HfApi().list_repo_commits(repository)]
            revision = _commit(commits, repository, revision)
        found = get_hf_file_metadata(hf_hub_url(repository, name, revision=revision))
    except RunError:
        raise
    except Exception as error:  # its errors have other bases in every major version; all of them end the fetch
        remedy = f"is there a network? else download {repository} elsewhere and name its folder: weights=DIR"
        raise RunError(
            f"Hugging Face does not tell of {repository}/{name}", got=_words(error), remedy=remedy
        ) from error
    digest = (found.etag or "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest) or found.size is None:
        raise RunError(f"Hugging Face gives no SHA-256 for {name}, so it could not be checked", got=found.etag)
    return Remote(name, hf_hub_url(repository, name, revision=found.commit_hash), found.size, digest)


def _commit(commits: Sequence[str], repository: str, revision: str) -> str:
    """The full name of the commit that begins as `revision`; files are asked for by no shorter one. Raises RunError."""
    found = [commit for commit in commits if commit.startswith(revision)]
    if len(found) != 1:
        remedy = f"download {repository} yourself, as it was then, and name its folder: weights=DIR"
        raise RunError(f"{repository} on Hugging Face has no commit {revision} any more", remedy=remedy)
    return found[0]


def download(remote: Remote, folder: Path, tell: Tell) -> None:
    """Fetches one file into `folder`, going on where an earlier download of the same content stopped.

    It bears its name only once its hash was found right. Raises RunError.
    """
    path = folder / remote.name
    part = path.with_name(f"{path.name}.{remote.sha256[:12]}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        digest = hashlib.sha256()
        for piece in _pieces(part):
            digest.update(piece)
        done = part.stat().st_size
        if done > remote.size:
            part.write_bytes(b"")
            digest, done = hashlib.sha256(), 0
        with part.open("r+b") as file:
            file.seek(done)
            for start, piece in _stream(remote, done):
                if start < done:  # the server began anew
                    file.seek(start)
                    file.truncate()
                    digest = hashlib.sha256()
                file.write(piece)
                digest.update(piece)
                done = start + len(piece)
                tell(f"fetching {remote.name}, {done / 1e6:.0f} of {remote.size / 1e6:.0f} MB", done / remote.size)
        if digest.hexdigest() != remote.sha256:
            part.unlink()
            remedy = "it was deleted: run --fetch again"
            raise RunError(
                f"{remote.name} arrived damaged", got=digest.hexdigest(), expected=remote.sha256, remedy=remedy
            )
        part.replace(path)
        remember(path, remote.sha256)
    except OSError as error:
        raise RunError(f"{path} cannot be written", got=error.strerror or _words(error)) from error


def _stream(remote: Remote, start: int) -> Iterator[tuple[int, bytes]]:
    """Pieces of a remote file from byte `start` on, each with its place, until it is whole; broken lines are taken up.

    A server that cannot begin in the middle begins anew, at 0. Raises RunError when no more comes after several tries.
    """
    failed = 0
    while start < remote.size:
        before = start
        try:
            with _open(remote.url, start) as answer:
                if answer.status != 206:
                    start = 0
                while piece := answer.read(_PIECE):
                    yield start, piece
                    start += len(piece)
            reason = "the line broke off"
        except (OSError, HTTPException) as error:
            reason = _words(error)
        if start >= remote.size:
            return
        failed = 0 if start > before else failed + 1
        if failed == _TRIES:
            remedy = "run --fetch again: it goes on from there"
            raise RunError(f"{remote.name} stopped at {start / 1e6:.0f} MB", got=reason, remedy=remedy)
        time.sleep(_PAUSE_S)


def _open(url: str, start: int) -> HTTPResponse:
    begin = {"Range": f"bytes={start}-"} if start else {}
    asked = urllib.request.Request(url, headers={"User-Agent": f"neural-world/{VERSION}", **begin})
    return urllib.request.urlopen(asked, timeout=_PATIENCE_S)


def _is_there(path: Path, remote: Remote, tell: Tell) -> bool:
    """Whether the very file is there already, by size and hash."""
    if not path.is_file() or path.stat().st_size != remote.size:
        return False
    digest, done = hashlib.sha256(), 0
    for piece in _pieces(path):
        digest.update(piece)
        done += len(piece)
        tell(f"checking {remote.name}", done / remote.size)
    return digest.hexdigest() == remote.sha256


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _check_room(folder: Path, missing: Sequence[Remote]) -> None:
    """Raises RunError unless the disk has room for all that is still to come."""
    held = sum(part.stat().st_size for remote in missing for part in folder.glob(f"{remote.name}.*.part"))
    needed = sum(remote.size for remote in missing) - held
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        expected = f"{needed / 1e9:.1f} GB"
        remedy = "make room, or name another folder: weights=DIR"
        raise RunError(
            f"too little room in {folder}", got=f"{free / 1e9:.1f} GB free", expected=expected, remedy=remedy
        )


def _words(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160]
