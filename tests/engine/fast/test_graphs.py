"""A recorded program computes what the program computes, wherever its inputs lie; a stand-in records, without a GPU."""

import numpy as np
import pytest
import torch

from engine.families import best_kernels
from engine.fast.decoder import decode_later
from engine.fast.graphs import GraphProgram
from engine.fast.kernels import Kernels
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


def recording(made, passes: Recorder, decodes: Recorder) -> None:
    """Has a world's later rollouts recorded."""
    plain = best_kernels(made.networks)
    programs = PassPrograms(steady=GraphProgram(steady_pass, passes))
    decoder = plain.decoder.__class__(plain.decoder.network, GraphProgram(decode_later, decodes))
    made.use(Kernels(plain.transformer.with_programs(programs), decoder, True, "max", plain))


def test_blocks_are_those_of_the_programs_and_eight_worlds_are_recorded_once(made):
    config = made.config
    made.use(best_kernels(made.networks))
    expected = play(made.start(picture(config), 5), config, 4)
    passes, decodes, kept = Recorder(), Recorder(), []
    recording(made, passes, decodes)
    for _ in range(8):
        kept.append(made.start(picture(config), 5))  # as the way back does
        assert np.array_equal(play(kept[-1], config, 4, settle=True), expected)
    assert (passes.recorded, decodes.recorded) == (1, 1)
    assert passes.replayed == 8 * (4 * 4 - 4) and decodes.replayed == 8 * (4 * 3 - 1)
    places = {cache.keys.data_ptr() for rollout in kept for cache in rollout.pipeline.caches.attention}
    assert len(places) == config.transformer.layers  # one world's memory serves them all


def test_worlds_in_turns_are_what_each_is_alone_and_are_not_recorded_again(made):
    config = made.config
    alone = []
    for seed in (5, 6):
        own = world(big_config())
        own.use(best_kernels(own.networks))
        alone.append(play(own.start(picture(config), seed), config, 6, seed=seed))
    passes, decodes = Recorder(), Recorder()
    recording(made, passes, decodes)
    first, second = (made.start(picture(config), seed) for seed in (5, 6))
    parts: list[list[np.ndarray]] = [[], []]
    for blocks in (1, 2, 3):  # the context pass of a block may still be to come when the other takes over
        parts[0].append(play(first, config, blocks, seed=5))
        parts[1].append(play(second, config, blocks, seed=6))
    assert all(np.array_equal(np.concatenate(part), whole) for part, whole in zip(parts, alone, strict=True))
    assert (passes.recorded, decodes.recorded) == (1, 1)
    known = first.snapshot()
    later = play(second, config, 1, seed=6), play(first, config, 1, seed=5)
    play(second, config, 1, seed=6)
    first.restore(known)
    assert np.array_equal(play(first, config, 1, seed=5), later[1])


def test_a_result_outlives_the_next_call():
    program = GraphProgram(lambda network, x, memory: x + memory[0], Recorder())
    memory = (torch.ones(2),)
    first = program(None, torch.zeros(2), memory)
    memory[0].fill_(5.0)
    second = program(None, torch.zeros(2), memory)
    assert first.tolist() == [1.0, 1.0] and second.tolist() == [5.0, 5.0]
