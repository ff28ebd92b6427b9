"""Fixtures of the client's tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def player():
    """Makes players."""
    from tests.game.player import Player

    return lambda script, world=None, **kwargs: Player(script, world, **kwargs)
