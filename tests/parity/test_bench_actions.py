"""The random benchmark actions are drawn as the original draws them."""

import json

import numpy as np
import pytest

from engine.actions import Actions, benchmark_actions
from engine.families import action_space
from tests.parity.common import fixture_files

CASES = [
    (key, stored)
    for path in fixture_files("bench_actions", ".json")
    for key, stored in json.loads(path.read_text()).items()
]


@pytest.mark.parametrize(("key", "stored"), CASES, ids=[key for key, _ in CASES])
def test_every_stored_mix_is_drawn_again(key: str, stored: dict):
    mode, seed = key.split(":")
    actions: Actions = benchmark_actions(action_space(mode), int(seed), len(stored["keyboard_condition"]))
    assert np.array_equal(actions.keyboard, np.array(stored["keyboard_condition"], dtype=np.float32))
    if "mouse_condition" in stored:
        assert np.array_equal(actions.mouse, np.array(stored["mouse_condition"], dtype=np.float32))
    else:
        assert actions.mouse is None
