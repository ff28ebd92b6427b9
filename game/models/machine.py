"""What this machine has, looked up once and handed on as plain data, so that every verdict on it can be tested."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_NVIDIA, _DISPLAY_CLASS = "0x10de", "0x03"


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use. free, total: bytes. bfloat16: whether it computes in it, not only emulates it."""

    name: str
    free: int
    total: int
    bfloat16: bool = True


@dataclass(frozen=True)
class Machine:
    """The machine and the torch on it.

    Attributes:
        torch: version.
        built_for: what GPU arithmetic this torch is built with ("CUDA 12.6", "ROCm 6.2"), None for none.
        gpus: that torch can use.
        installed: NVIDIA GPUs by their own tool, "name, driver version, memory" each.
        driver: version of NVIDIA's kernel driver if it is loaded.
        nvidia_devices: NVIDIA GPUs on the bus, with a driver or without.
        system, cores: the machine itself.
        memory, available: bytes of host memory, and what could be had of it now; None where the system does not say.
    """

    torch: str
    built_for: str | None = None
    gpus: tuple[Gpu, ...] = ()
    installed: tuple[str, ...] = ()
    driver: str | None = None
    nvidia_devices: int = 0
    system: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    cores: int = 1
    memory: int | None = None
    available: int | None = None

    @property
    def unused_gpu(self) -> str | None:
        """In words, a GPU that is there and that torch cannot use; None if there is none."""
        if self.gpus:
            return None
        if self.installed:
            return "; ".join(self.installed)
        if self.driver is not None:
            return f"an NVIDIA GPU (driver {self.driver})"
        return "an NVIDIA GPU, but no driver for it" if self.nvidia_devices else None


def look(tools: bool = True) -> Machine:
    """Looks at this machine; imports torch. tools: also ask other programs, which takes a moment."""
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else None
    if getattr(torch.version, "hip", None):
        built = f"ROCm {torch.version.hip}"
    gpus = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            with torch.cuda.device(index):
                bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
            gpus.append(Gpu(torch.cuda.get_device_name(index), free, total, bfloat16))
    memory, available = host_memory()
    return Machine(
        torch=str(torch.__version__),
        built_for=built,
        gpus=tuple(gpus),
        installed=_nvidia_smi() if tools else (),
        driver=_nvidia_driver(),
        nvidia_devices=_nvidia_devices(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=memory,
        available=available,
    )


def host_memory(root: Path = Path("/")) -> tuple[int | None, int | None]:
    """Bytes of memory, and of these how many a program could still have; within a container, what that allows.

    root: where /proc and /sys are.
    """
    lines = _read(root / "proc/meminfo").splitlines()
    kilobytes = {
        name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest.split()
    }
    total, available = (kilobytes.get(name) for name in ("MemTotal", "MemAvailable"))
    if total is None or available is None:
        return None, None
    total, available = total * 1024, available * 1024
    limit, used = (_read(root / f"sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit() and int(limit) < total:
        total, available = int(limit), min(available, max(0, int(limit) - int(used)))
    return total, available


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""  # not this kind of system


def _nvidia_smi() -> tuple[str, ...]:
    """Name, driver and memory of each NVIDIA GPU, as its own tool says; empty without tool or GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def _nvidia_driver(root: Path = Path("/")) -> str | None:
    """Version of NVIDIA's kernel driver, if it is loaded."""
    words = _read(root / "proc/driver/nvidia/version").split()
    return next((word for word in words if word[0].isdigit() and "." in word), None)


def _nvidia_devices(root: Path = Path("/")) -> int:
    """NVIDIA GPUs on the PCI bus."""
    found = (root / "sys/bus/pci/devices").glob("*")
    of_nvidia = [device for device in found if _read(device / "vendor").strip() == _NVIDIA]
    return sum(_read(device / "class").startswith(_DISPLAY_CLASS) for device in of_nvidia)
