"""A step never waits for a number from the device: the finished frames are all that comes back."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.engine.tiny import big_config, picture, random_actions, small_config, world

aten = torch.ops.aten
# What reads values back, or makes shapes depend on them.
READS = {
    aten._local_scalar_dense,
    aten.item,
    aten.is_nonzero,
    aten.nonzero,
    aten.equal,
    aten.masked_select,
    aten._unique2,
}


class NoReads(TorchDispatchMode):
    """Raises where an operation reads a tensor's values on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        assert func.overloadpacket not in READS, f"{func} reads a value back"
        return func(*args, **(kwargs or {}))


def test_the_guard_sees_a_read():
    with NoReads(), pytest.raises(AssertionError, match="reads a value back"):
        torch.ones(1).item()


@pytest.mark.parametrize("config", [big_config(window=4), small_config()], ids=lambda config: config.name)
def test_a_step_reads_no_value_back(config, monkeypatch):
    monkeypatch.setattr("engine.rollout.REBASE_WINDOWS", 2)
    rollout = world(config).start(picture(config), 5)
    with NoReads() as guard:
        for _ in range(4):
            rollout.step(random_actions(config, rollout.next_frames))
            rollout.settle()
    assert guard.operations > 0
