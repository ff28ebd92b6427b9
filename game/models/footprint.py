"""How much memory the program takes, as the system counts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def resident_mb() -> float:
    """Memory of this process in MB: now where the system says so (Linux), else its highest, 0.0 where none is told."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError, IndexError, AttributeError):
        pass  # not Linux
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


def device_mb(device: object) -> float | None:
    """Memory that torch holds on a GPU, in MB; None for any other device."""
    if not str(device).startswith("cuda"):
        return None
    import torch

    return torch.cuda.memory_reserved(device) / 2**20


def rewind_budget(device: object) -> int:
    """Bytes for states to return to, where nobody said how many: 256 MB, or on a GPU a quarter of what is free."""
    if not str(device).startswith("cuda"):
        return 256 * 2**20
    import torch

    return torch.cuda.mem_get_info(device)[0] // 4
