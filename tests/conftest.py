"""Fixtures every test may use."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # must be set before torch starts its threads

import pytest
import torch


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded CPU generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory, monkeypatch) -> None:
    """No test reads or writes the settings of whoever runs it."""
    monkeypatch.setenv("NEURAL_WORLD_CONFIG", str(tmp_path_factory.mktemp("settings")))
