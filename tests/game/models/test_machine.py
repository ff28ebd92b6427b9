"""The doctor's verdicts on machines of every kind, and how a machine is looked at."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import game.tools.doctor
from game.models.machine import (
    Gpu,
    Machine,
    PowerMeter,
    _nvidia_devices,
    _nvidia_driver,
    host_memory,
    look,
    resident_mb,
    usable_cores,
)

GB = 2**30


def told(machine: Machine) -> str:
    return "\n".join(game.tools.doctor._gpu(machine))


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


MACHINES = {
    "a GPU in use": (
        Machine("2.9", "CUDA 12.6", (Gpu("RTX 4090", 22 * GB, 24 * GB),), ("RTX 4090, 550.1, 24564 MiB",)),
        ["built with CUDA 12.6", "RTX 4090, 22.0 GB of 24.0 GB free", "driver 550.1"],
    ),
    "an old GPU": (
        Machine("2.9", "CUDA 12.6", (Gpu("RTX 2080", 7 * GB, 8 * GB, bfloat16=False),), driver="535.54.03"),
        ["no bfloat16: float16 is used", "driver 535.54.03"],
    ),
    "torch without CUDA beside a GPU": (
        Machine("2.9+cpu", installed=("RTX 4090, 550.1, 24564 MiB",)),
        ["RTX 4090, 550.1", "torch cannot use it", "this torch is built without CUDA: install torch for your CUDA"],
    ),
    "the same where only the driver tells": (
        Machine("2.9+cpu", driver="550.1"),
        ["an NVIDIA GPU (driver 550.1): but torch cannot use it", "built without CUDA"],
    ),
    "a driver too old": (
        Machine("2.9", "CUDA 12.6", installed=("RTX 2080, 450.1, 8192 MiB",)),
        ["torch cannot use it", "too old for CUDA 12.6"],
    ),
    "no driver": (
        Machine("2.9", "CUDA 12.6", nvidia_devices=1),
        ["an NVIDIA GPU, but no driver for it", "install NVIDIA's driver"],
    ),
    "no GPU": (Machine("2.9+cpu"), ["built without CUDA", "none found"]),
}


@pytest.mark.parametrize("kind", MACHINES)
def test_the_doctor_says_plainly_what_torch_and_the_gpu_are_to_each_other(kind):
    machine, words = MACHINES[kind]
    for word in words:
        assert word in told(machine)


def test_this_machine_can_be_looked_at():
    machine = look()
    assert machine.cores >= 1 and machine.torch
    assert machine.memory is None or 0 < machine.available <= machine.memory


def test_memory_within_a_container_is_what_the_container_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=16 * GB, available=12 * GB))
    assert host_memory(tmp_path) == (16 * GB, 12 * GB)
    put(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    put(tmp_path, "sys/fs/cgroup/memory.current", f"{3 * GB}\n")
    assert host_memory(tmp_path) == (16 * GB, 12 * GB)
    put(tmp_path, "sys/fs/cgroup/memory.max", f"{4 * GB}\n")
    assert host_memory(tmp_path) == (4 * GB, GB)
    assert host_memory(tmp_path / "no container") == (16 * GB, 12 * GB)


def test_a_system_that_does_not_tell_its_memory_is_not_one_without_any(monkeypatch):
    def silent():
        raise RuntimeError("no such reading here")

    monkeypatch.setattr(psutil, "virtual_memory", silent)
    assert host_memory() == (None, None)


def test_the_memory_of_a_process_is_read_whichever_system_it_is():
    assert 10.0 < resident_mb() < 100_000.0 and resident_mb() == pytest.approx(resident_mb(os.getpid()), rel=0.5)
    assert resident_mb(2**22 + 12345) == 0.0, "nobody's"
    assert usable_cores() >= 1


def test_a_gpu_is_found_by_its_driver_and_on_the_bus(tmp_path):
    assert (_nvidia_driver(tmp_path), _nvidia_devices(tmp_path)) == (None, 0)
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\nGCC version:  gcc 12.3.0\n"
    put(tmp_path, "proc/driver/nvidia/version", version)
    for device, vendor, kind in (("a", "0x10de", "0x030000"), ("b", "0x10de", "0x040300"), ("c", "0x1002", "0x030000")):
        put(tmp_path, f"sys/bus/pci/devices/{device}/vendor", f"{vendor}\n")
        put(tmp_path, f"sys/bus/pci/devices/{device}/class", f"{kind}\n")
    assert (_nvidia_driver(tmp_path), _nvidia_devices(tmp_path)) == ("550.54.14", 1)


@pytest.mark.parametrize(("said", "drawn"), [("61.42", 61.4), ("[N/A]", None), ("", None)])
def test_watts_are_those_of_the_card_that_was_asked_for(said, drawn, tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$1" = --id=1 ] && echo "{said}" && echo "{said}" && exec /bin/sleep 60\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    def measured(gpu: int | None) -> float | None:
        with PowerMeter(gpu) as power:
            time.sleep(0.3)
        return power.watts

    assert measured(1) == drawn
    assert measured(0) is None, "what its driver does not tell of"
    assert measured(None) is None
    tool.unlink()
    assert measured(1) is None
