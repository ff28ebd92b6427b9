"""What this machine has, looked up once and handed on as plain data, so that every verdict on it can be tested.

What of it the program takes is read here, too.
"""

from __future__ import annotations

import contextlib
import gc
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_MB = 2**20
EIGHT_BITS = {"int8": (7, 5), "fp8": (8, 9)}
"""Compute capability from which a GPU multiplies such numbers."""
_FP8_TORCH = {8: "2.12", 9: "2.6", 10: "2.8", 11: "2.8", 12: "2.11"}
"""Version from which torch multiplies fp8 scaled by rows, by the first number of the compute capability.

For 8.9 there is such a kernel since 2.7, but before 2.12 it clears its working memory on the default stream, whichever
stream it runs on, so that recorded graphs may hang.
"""
MOST_AGAIN_S = 2.0
"""Seconds that returning to a moment of which no state is kept may take, in which it is made again."""
_NVIDIA, _DISPLAY_CLASS = "0x10de", "0x03"


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use.

    free, total: bytes. bfloat16: whether it computes in it, not only emulates it. capability: NVIDIA's compute
    capability, of which that depends and much else; None where there is no such thing. fp8_takes: what fp8 takes beside
    that capability and is not here, in words; None if nothing.
    """

    name: str
    free: int
    total: int
    bfloat16: bool = True
    capability: tuple[int, int] | None = (8, 0)
    fp8_takes: str | None = None

    def can(self, weights_dtype: str) -> bool:
        """Whether it multiplies numbers of eight bits: "int8" or "fp8"."""
        return self.takes(weights_dtype) is None

    def takes(self, weights_dtype: str) -> str | None:
        """In words, what numbers of eight bits take that is not here: "int8" or "fp8"; None if nothing."""
        least = EIGHT_BITS[weights_dtype]
        if self.capability is None or self.capability < least:
            return f"compute capability {least[0]}.{least[1]}"
        return self.fp8_takes if weights_dtype == "fp8" else None


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
            capability = torch.cuda.get_device_capability(index) if torch.version.cuda else None
            takes = None if capability is None else fp8_takes(capability, str(torch.__version__), platform.system())
            gpus.append(Gpu(torch.cuda.get_device_name(index), free, total, bfloat16, capability, takes))
    memory, available = host_memory()
    return Machine(
        torch=str(torch.__version__),
        built_for=built,
        gpus=tuple(gpus),
        installed=_nvidia_smi() if tools else (),
        driver=_nvidia_driver(),
        nvidia_devices=_nvidia_devices(),
        cores=usable_cores(),
        memory=memory,
        available=available,
    )


def fp8_takes(capability: tuple[int, int], version: str, system: str) -> str | None:
    """What torch lacks to multiply fp8 scaled by rows on a GPU of that capability, in words; None if nothing.

    version: of torch. system: as `platform.system` says.
    """
    from torch.torch_version import TorchVersion

    if system == "Windows":
        return "Linux: torch has no such product on Windows"
    least = _FP8_TORCH.get(capability[0], max(_FP8_TORCH.values(), key=TorchVersion))
    return None if TorchVersion(version) >= least else f"torch {least} on this GPU"


def host_memory(root: Path = Path("/")) -> tuple[int | None, int | None]:
    """Bytes of memory, and of these how many a program could still have; within a container, what that allows.

    None where the system does not say. root: where /sys is.
    """
    import psutil

    try:
        seen = psutil.virtual_memory()
    except (psutil.Error, OSError, RuntimeError):
        return None, None
    total, available = int(seen.total), int(seen.available)
    limit, used = (_read(root / f"sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit() and int(limit) < total:
        total, available = int(limit), min(available, max(0, int(limit) - int(used)))
    return total, available


def usable_cores() -> int:
    """Processor cores that this process may use."""
    import psutil

    process = psutil.Process()
    try:
        return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1
    except (psutil.Error, OSError):
        return psutil.cpu_count() or 1


def resident_mb(pid: int | None = None) -> float:
    """Memory of a process in MB, of this one if None; 0.0 where the system does not say, or it is gone."""
    import psutil

    try:
        return psutil.Process(pid).memory_info().rss / _MB
    except (psutil.Error, OSError):
        return 0.0


def device_mb(device: object) -> float | None:
    """Memory that torch holds on a GPU, in MB; None for any other device."""
    if not str(device).startswith("cuda"):
        return None
    import torch

    return torch.cuda.memory_reserved(str(device)) / _MB


def free_memory() -> None:
    """Has what nobody holds any more given back: cycles, compiled programs, and what torch keeps of a GPU for later."""
    torch = sys.modules.get("torch")
    if torch is not None and "torch._dynamo" in sys.modules:
        torch.compiler.reset()  # a program knows the weights that it was compiled with
    gc.collect()
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def rewind_budget(device: object) -> int:
    """Bytes for states to return to, where nobody said how many: 256 MB, or on a GPU a quarter of what is free."""
    if not str(device).startswith("cuda"):
        return 256 * _MB
    import torch

    return torch.cuda.mem_get_info(str(device))[0] // 4


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""  # not this kind of system


class PowerMeter:
    """Measures the power that an NVIDIA GPU draws while a `with` block runs, five times a second.

    Args: gpu: its number or "GPU-UUID"; None: there is none.
    """

    def __init__(self, gpu: int | str | None) -> None:
        self._gpu = gpu
        self._process: subprocess.Popen[str] | None = None
        self.watts: float | None = None
        """In the mean; None where the driver does not say."""

    def __enter__(self) -> PowerMeter:
        tool = shutil.which("nvidia-smi")
        if tool is not None and self._gpu is not None:
            query = [tool, f"--id={self._gpu}", "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(
                    [*query, "--loop-ms=200"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            said, _error = self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _error = self._process.communicate()
        drawn = []
        for line in said.splitlines():
            with contextlib.suppress(ValueError):
                drawn.append(float(line))
        self.watts = round(sum(drawn) / len(drawn), 1) if drawn else None


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


_GEMM_SECONDS = 1.0


def gemm_gflops(device: str, dtype, clock: Callable[[], float] = time.perf_counter) -> float:
    """Billions of operations a second of a large matrix product, the best of about a second's worth.

    device: "cpu" or "cuda[:N]". dtype: a torch.dtype. clock: whose seconds. Threads: as torch is set to.
    """
    import torch

    on_gpu = device.startswith("cuda")
    size = 8192 if on_gpu else 2048
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = torch.empty(size, size, device=device, dtype=dtype)

    def once() -> float:
        start = clock()
        torch.mm(left, right, out=product)
        if on_gpu:
            torch.cuda.synchronize(device)
        return clock() - start

    once()
    deadline, best = time.perf_counter() + _GEMM_SECONDS, once()
    while time.perf_counter() < deadline:
        best = min(best, once())
    return 2 * size**3 / best / 1e9
