"""Fixtures of the player's tests."""

from __future__ import annotations

import pytest

from tests.game.live.stage import Stage, ThreadStage


def _makes(kind: type[Stage]):
    made: list[Stage] = []

    def make(*args, **kwargs) -> Stage:
        made.append(kind(*args, **kwargs))
        return made[-1]

    yield make
    for stage in made:
        assert stage.worker.shutdown(60.0)


@pytest.fixture
def stages():
    """Makes stages, and ends their players afterwards."""
    yield from _makes(Stage)


@pytest.fixture
def thread_stages():
    """Makes stages whose players have threads, and ends them afterwards."""
    yield from _makes(ThreadStage)
