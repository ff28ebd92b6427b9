"""How much memory states take, when several of them share tensors."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor


def storages(state: Any) -> dict[int, int]:
    """The memory behind every tensor in `state`, wherever it lies in it: address -> bytes.

    Two states that share a tensor name the same address, so a union of such dicts counts it once.
    """
    if isinstance(state, Tensor):
        storage = state.untyped_storage()
        return {storage.data_ptr(): storage.nbytes()} if storage.nbytes() else {}
    if isinstance(state, Mapping):
        parts: Iterable[Any] = state.values()
    elif isinstance(state, list | tuple):
        parts = state
    else:
        parts = vars(state).values() if hasattr(state, "__dict__") else ()
    found: dict[int, int] = {}
    for part in parts:
        found |= storages(part)
    return found
