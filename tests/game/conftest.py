"""Fixtures of the client's tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def player(monkeypatch):
    """Makes players."""
    from tests.game.player import Player

    return lambda script, world=None, **kwargs: Player(monkeypatch, script, world, **kwargs)
