"""A recorded program computes what the program computes, wherever its inputs lie; a stand-in records, without a GPU."""

import numpy as np
import pytest
import torch

from engine.cost.kernels import Kernels, best_kernels
from engine.fast.decoder import decode_later
from engine.fast.graphs import GraphProgram
from engine.fast.layers import steady_pass
from engine.fast.transformer import PassPrograms
from tests.engine.tiny import big_config, picture, play, world


class Recorder:
    """Records as a CUDA graph does: nothing is done then, and a replay reads and writes the tensors seen then."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, work):
        self.recorded += 1
        place: list[torch.Tensor] = []

        def replay() -> None:
            self.replayed += 1
            made = work()
            if not place[0].numel():
                place[0].resize_(made.shape)
            place[0].copy_(made)

        place.append(torch.empty(0))
        return replay, place[0]


@pytest.fixture
def made():
    return world(big_config())


def test_blocks_are_those_of_the_programs_and_each_rollout_is_recorded_once(made):
    config, plain = made.config, best_kernels(made.networks)
    made.use(plain)
    expected = play(made.start(picture(config), 5), config, 4)
    passes, decodes = Recorder(), Recorder()
    programs = PassPrograms(steady=GraphProgram(steady_pass, passes))
    decoder = plain.decoder.__class__(plain.decoder.network, GraphProgram(decode_later, decodes))
    made.use(Kernels(plain.transformer.with_programs(programs), decoder, "max"))
    for rollouts in (1, 2):
        assert np.array_equal(play(made.start(picture(config), 5), config, 4, settle=True), expected)
        assert (passes.recorded, decodes.recorded) == (rollouts, rollouts)
    assert passes.replayed == 2 * (4 * 4 - 4) and decodes.replayed == 2 * (4 * 3 - 1)


def test_a_result_outlives_the_next_call():
    program = GraphProgram(lambda network, x, memory: x + memory[0], Recorder())
    memory = (torch.ones(2),)
    first = program(None, torch.zeros(2), memory)
    memory[0].fill_(5.0)
    second = program(None, torch.zeros(2), memory)
    assert first.tolist() == [1.0, 1.0] and second.tolist() == [5.0, 5.0]
