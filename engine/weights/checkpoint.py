"""Weight files into networks: found, checked against the network from their headers, then read tensor by tensor.

Nothing large is read before every name and shape is known to fit. A file is trusted with numbers only: safetensors, or
a .pth read with `weights_only`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.errors import CheckpointError
from engine.weights.placement import DtypeOf
from engine.weights.weight_kinds import Shapes, guess_content, guess_kind

Progress = Callable[[str, float], None]
"""Called with what is being loaded and the share of it that is done, 0..1."""

_BYTES = {torch.uint8: "U8", torch.int16: "I16"}  # what a network keeps in whole numbers stays as it is
_DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_LONGEST_HEADER = 100_000_000  # bytes; what the safetensors format allows


@dataclass(frozen=True)
class Sought:
    """A file that a model needs.

    Attributes:
        network: which of its networks it fills, for messages.
        names: below the model's folder; the first that is there is taken.
        source: in words, where to get it by hand, if it does not come with the others.
    """

    network: str
    names: tuple[str, ...]
    source: str | None = None


def find_files(folder: Path, model: str, sought: Sequence[Sought], repository: str) -> list[Path]:
    """Finds a model's files in a folder laid out as its repository is.

    Raises CheckpointError naming every file that is missing, where it should be, and where a file of that name was
    found instead.
    """
    main = [one for one in sought if one.source is None]
    if not folder.is_dir():
        got = f"{folder}, which is {'a file' if folder.exists() else 'not there'}"
        remedy = f"give the folder that holds {main[0].names[0]}"
        if folder.is_file():
            remedy = f"name its folder: weights={_root_of(folder, main)}"
        raise CheckpointError("weights is no folder", got=got, expected=repository, remedy=remedy)
    found = [_first_there(folder, one) for one in sought]
    missing = [one.names[0] for one, path in zip(sought, found, strict=True) if path is None and one.source is None]
    if missing:
        told = ", ".join(name + _seen_elsewhere(folder, name) for name in missing)
        remedy = f"download them from huggingface.co/{repository}, keeping its folders"
        raise CheckpointError(f"{len(missing)} of {len(main)} weight files for {model} missing in {folder}: {told}",
                              remedy=remedy)  # fmt: skip
    for one, path in zip(sought, found, strict=True):
        if path is None:
            what, expected = f"no {one.network.replace('_', ' ')} in {folder}", " or ".join(one.names)
            raise CheckpointError(what, expected=expected, remedy=f"take it from {one.source}")
    return [path for path in found if path is not None]


def _root_of(file: Path, sought: Sequence[Sought]) -> Path:
    """The folder to name instead of one of its files."""
    for name in (name for one in sought for name in one.names):
        parts = Path(name).parts
        if file.parts[-len(parts) :] == parts:
            return file.parents[len(parts) - 1]
    return file.parent


def _first_there(folder: Path, one: Sought) -> Path | None:
    return next((folder / name for name in one.names if (folder / name).is_file()), None)


def _seen_elsewhere(folder: Path, name: str) -> str:
    """Where a misplaced file is, one folder up, here or one folder down."""
    leaf = Path(name).name
    found = [path for pattern in (leaf, f"*/{leaf}") for path in (*folder.glob(pattern), *folder.parent.glob(pattern))]
    return f" (there is {found[0]})" if found else ""


def load_weights(
    module: nn.Module,
    path: Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    prefix: str = "",
    only_prefixed: bool = False,
    progress: Progress | None = None,
) -> None:
    """Fills a network, best built on the meta device, from a file: `open_weights`, then `FittingWeights.fill`."""
    opened = open_weights(module, path, prefix=prefix, only_prefixed=only_prefixed)
    opened.fill(module, device=device, dtype=dtype, progress=progress)


def open_weights(module: nn.Module, path: Path, *, prefix: str = "", only_prefixed: bool = False) -> FittingWeights:
    """Checks a file against a network; every weight must be there, in its shape, and no other.

    path: .safetensors, or anything else as a .pth of a flat table of tensors. prefix: what the file's names have in
    front of the network's own; a file without it does not fit. A further prefix on all of a file's names, as wrappers
    such as DataParallel leave it, is taken off if the rest fits. only_prefixed: leave out what lacks the prefix (the
    text half of CLIP), instead of refusing it. Only the header is read, or a .pth's index. Raises CheckpointError if
    the file is missing, damaged, or holds something else: the message names the first weight that is missing, extra or
    misshapen.
    """
    wanted = {prefix + name: tuple(weight.shape) for name, weight in module.state_dict().items()}
    file = _without_wrapper(_open(path), wanted)
    _check_names(path, type(module).__name__, wanted, file.shapes, prefix if only_prefixed else "")
    whole = {
        prefix + name: _BYTES[weight.dtype] for name, weight in module.state_dict().items() if weight.dtype in _BYTES
    }
    _check_dtypes(path, wanted, file.dtypes, whole)
    return FittingWeights(path, prefix, file)


@dataclass(frozen=True)
class FittingWeights:
    """A file that was found to fit a network, not yet read."""

    path: Path
    prefix: str
    file: _WeightsFile

    def fill(
        self,
        module: nn.Module,
        *,
        device: torch.device | str,
        dtype: torch.dtype | DtypeOf,
        unread: tuple[str, ...] = (),
        progress: Progress | None = None,
    ) -> None:
        """Reads the weights into the network, and leaves it without gradients.

        device, dtype: what they become; the dtype of all, or by name. unread: beginnings of names that nobody will use:
        they stay as they are. One tensor is read at a time, so host memory holds one copy of the network on the CPU and
        about one tensor otherwise.
        """
        state = module.state_dict()
        names = [self.prefix + name for name in state if not name.startswith(unread)]
        total, done = sum(_size(self.file.shapes[name]) for name in names), 0
        for name, weight in self.file.tensors(names):
            own = name[len(self.prefix) :]
            plain = dtype if isinstance(dtype, torch.dtype) else dtype(own)
            state[own] = _placed(weight, device, state[own].dtype if state[own].dtype in _BYTES else plain)
            done += weight.numel()
            if progress:
                progress(self.path.name, done / max(total, 1))
        module.load_state_dict(state, strict=True, assign=True)
        module.requires_grad_(False)


def _size(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _placed(weight: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """A copy that does not depend on the mapped file: somebody may replace that while the program runs."""
    if torch.device(device).type == "cpu":
        return weight.to(dtype=dtype, copy=True)
    return weight.to(device).to(dtype)  # converted there: quicker, and no converted copy on the host


@dataclass(frozen=True)
class _WeightsFile:
    """What a file holds, and a way to read it name by name; its tensors may be views of the mapped file."""

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    tensors: Callable[[Iterable[str]], Iterator[tuple[str, Tensor]]]


def _open(path: Path) -> _WeightsFile:
    if path.is_dir():
        raise CheckpointError("weights file is a folder", got=path, expected="a .safetensors or .pth file in it")
    if not path.is_file():
        raise CheckpointError("weights file is missing", got=path, expected="a .safetensors or .pth file")
    return (_open_safetensors if path.suffix == ".safetensors" else _open_pth)(path)


def _open_safetensors(path: Path) -> _WeightsFile:
    # The header is read by hand, because safe_open maps the whole file first: that fails where memory is short.
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LONGEST_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        dtypes = {name: entry["dtype"] for name, entry in header.items()}
        end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != path.stat().st_size:
            raise ValueError(f"{path.stat().st_size} bytes where its header says {end}")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RecursionError) as error:
        raise _unreadable(path, error) from error

    def tensors(names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        try:
            with _nameable(path) as nameable, safe_open(nameable, "pt") as file:
                yield from ((name, file.get_tensor(name)) for name in names)
        except (SafetensorError, OSError) as error:
            raise _unreadable(path, error) from error
        except RuntimeError as error:  # mapping it takes address space that this machine does not give
            reason = _first_line(error)
            raise CheckpointError(f"{path} does not fit into memory", got=reason, remedy="close programs") from error

    return _WeightsFile(shapes, dtypes, tensors)


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def _nameable(path: Path) -> Iterator[str]:
    """A name of the file that is UTF-8, as safetensors needs one; names that are not exist only where this does."""
    if _is_utf8(path):
        yield str(path)
        return
    with path.open("rb") as file:
        yield f"/dev/fd/{file.fileno()}"


def _common_prefix(names: Iterable[str]) -> str:
    """What all names begin with, up to a dot."""
    ordered = sorted(names)
    if not ordered:
        return ""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ordered[0], ordered[-1], strict=False))
    common = "".join(one for one, _ in pairs)
    return common[: common.rfind(".") + 1]


def _wrapper_of(held: Iterable[str], wanted: Iterable[str]) -> str:
    """What a wrapper put in front of all names of a file; "" if there is nothing but what is wanted."""
    there, own = _common_prefix(held), _common_prefix(wanted)
    return there.removesuffix(own) if own else there


def _without_wrapper(file: _WeightsFile, wanted: Mapping[str, tuple[int, ...]]) -> _WeightsFile:
    """The file with a wrapper's prefix taken off its names, if then all that is wanted is there; else as it is."""
    prefix = _wrapper_of(file.shapes, wanted)
    if not prefix or any(name in file.shapes for name in wanted):
        return file
    if any(file.shapes.get(prefix + name) != shape for name, shape in wanted.items()):
        return file

    def tensors(names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        return ((name[len(prefix) :], weight) for name, weight in file.tensors(prefix + name for name in names))

    shapes = {name[len(prefix) :]: shape for name, shape in file.shapes.items()}
    return _WeightsFile(shapes, {name[len(prefix) :]: kind for name, kind in file.dtypes.items()}, tensors)


def _open_pth(path: Path) -> _WeightsFile:
    # Old files are no zip archives and can't be mapped: they are read whole.
    try:
        mapped = zipfile.is_zipfile(path) and _is_utf8(path)
        table = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file makes the unpickler raise anything at all
        raise _unreadable(path, error) from error
    if not isinstance(table, Mapping) or not all(isinstance(value, Tensor) for value in table.values()):
        inner = ", ".join(map(str, list(table)[:4])) if isinstance(table, Mapping) else type(table).__name__
        remedy = "it looks like a training checkpoint"
        raise CheckpointError(f"{path} is no flat table of weights", got=inner, expected="tensors", remedy=remedy)
    shapes = {name: tuple(weight.shape) for name, weight in table.items()}
    dtypes = {name: (_DTYPES | _BYTES).get(weight.dtype, str(weight.dtype)) for name, weight in table.items()}
    return _WeightsFile(shapes, dtypes, lambda names: ((name, table[name]) for name in names))


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    with path.open("rb") as file:
        guess = guess_content(file.read(256))
    remedy = f"it looks like {guess}" if guess else "it may be an interrupted download: fetch it again"
    return CheckpointError(f"{path} can not be read as weights", got=_first_line(error), remedy=remedy)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:120]


def _check_names(path: Path, what: str, wanted: Shapes, held: Shapes, ignore_without: str) -> None:
    """Raises CheckpointError unless the file holds what is wanted, in the right shapes, and nothing else."""
    missing = [name for name in wanted if name not in held]
    extra = [name for name in held if name not in wanted and name.startswith(ignore_without)]
    misshapen = [name for name in wanted if name in held and held[name] != wanted[name]]
    if not (missing or extra or misshapen):
        return
    faults = []
    if missing:
        faults.append(f"{len(missing)} missing (first {missing[0]} {wanted[missing[0]]})")
    if extra:
        faults.append(f"{len(extra)} extra (first {extra[0]} {held[extra[0]]})")
    if misshapen:
        name = misshapen[0]
        faults.append(f"{len(misshapen)} misshapen (first {name} {held[name]} instead of {wanted[name]})")
    if missing and (prefix := _wrapper_of(held, wanted)):
        faults.append(f"all its names begin with {prefix}, and without that it does not fit either")
    guess = guess_kind(held)
    raise CheckpointError(f"{path} does not fit {what}", got=", ".join(faults), expected=f"{len(wanted)} weights",
                          remedy=f"it looks like {guess}" if guess else None)  # fmt: skip


def _check_dtypes(path: Path, wanted: Shapes, dtypes: Mapping[str, str], whole: Mapping[str, str]) -> None:
    """whole: kinds of the weights that are whole numbers; all others are plain ones."""
    odd = [name for name in wanted if dtypes[name] not in ((whole[name],) if name in whole else _DTYPES.values())]
    if odd:
        got = f"{len(odd)} weights of another kind (first {odd[0]}: {dtypes[odd[0]]})"
        raise CheckpointError(f"{path} holds no plain weights", got=got, expected="float32, float16 or bfloat16")


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 of a file's bytes, in hex. Raises CheckpointError if it can not be read."""
    digest, done = hashlib.sha256(), 0
    try:
        total = max(path.stat().st_size, 1)
        with path.open("rb") as file:
            while piece := file.read(1 << 22):
                digest.update(piece)
                done += len(piece)
                if progress:
                    progress(path.name, done / total)
    except OSError as error:
        raise CheckpointError("weights file can not be read", got=f"{path}: {error.strerror}") from error
    return digest.hexdigest()


HashOf = Callable[[Path, Progress | None], str]
"""Finds out a file's SHA-256, in hex: `sha256_of`, or something that remembers."""


def sha256_of_all(paths: Sequence[Path], progress: Progress | None = None, hash_of: HashOf = sha256_of) -> str:
    """One SHA-256 for a model: of its only file, or of the digests of its files one after the other, in this order."""
    digests = [hash_of(path, progress) for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
