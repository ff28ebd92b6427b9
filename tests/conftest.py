"""Fixtures every test may use."""

from __future__ import annotations

import gc
import os
import signal

# Both must be set before torch starts its threads: tests run in two processes, so one thread for each.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

# Who is begun in the background, or by nohup, ignores these, and so would every program that a test begins.
for _name, _usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), _usual)


def pytest_addoption(parser) -> None:
    """--update-references writes the reference pictures anew; look at them before you keep them."""
    parser.addoption("--update-references", action="store_true", help="write the window's reference pictures anew")


def pytest_collection_finish() -> None:
    """What was imported stays: a collection then looks at what tests make alone, which takes a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded CPU generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory, monkeypatch) -> None:
    """No test reads or writes the settings of whoever runs it."""
    monkeypatch.setenv("NEURAL_WORLD_CONFIG", str(tmp_path_factory.mktemp("settings")))
