"""The work of a block is counted as a GPU would see it."""

import pytest
import torch
import torch.nn.functional as F

from engine.cost.operations import Work, WorkCounter, block_work
from tests.engine.tiny import big_config


def count(work) -> Work:
    x = torch.empty(4, 6, device="meta")
    with torch.inference_mode(), WorkCounter() as counter:
        work(x)
    return counter.work


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda x: x.t().unsqueeze(0).view(1, 6, 4)[0, :2], Work()),
        (lambda x: x * 2, Work(1, 96)),
        (lambda x: x.mul_(2), Work(1, 0)),
        (lambda x: x.t().reshape(24), Work(1, 96)),
        (lambda x: F.linear(x, x.new_empty(5, 6), x.new_empty(5)), Work(1, 80 + 120 + 20)),
        (lambda x: F.rms_norm(x, (6,)), Work(1, 96)),
        (lambda x: x.to(torch.float32), Work()),
        (lambda x: x.to(torch.bfloat16), Work(1, 48)),
        (lambda x: torch.empty(9) * 2, Work()),
        (lambda x: torch.empty(4, 6).to("meta"), Work(1, 96)),
    ],
    ids=["views", "a product", "in place", "a copy by reshape", "linear", "a norm", "nothing to convert", "conversion",
         "the host's own", "to the device"],
)  # fmt: skip
def test_launches_and_bytes_are_those_of_the_device(work, expected):
    assert count(work) == expected


def test_a_block_is_its_parts():
    config = big_config()
    work = block_work(config, fast=True)
    assert work.total == work.prepare + work.denoise + work.context + work.decode
    assert work.one_pass.times(3).launched > work.denoise.launched > work.one_pass.times(2).launched
    assert work.total.host_waits == 1


def test_the_fast_kernels_launch_less_and_make_less():
    config = big_config()
    readable, fast = (block_work(config, fast=fast).total for fast in (False, True))
    assert fast.launched < 0.8 * readable.launched
    assert fast.bytes_made < readable.bytes_made
