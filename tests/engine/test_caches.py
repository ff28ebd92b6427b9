"""The one cache holds exactly the frames of its window, whatever the block's length."""

import pytest
import torch

from engine.nets.caches import FrameRing, GrowingCache, RingCache
from engine.nets.rope import axis_rotation, time_rotation

WINDOWS = [(6, 0, 3), (4, 0, 3), (5, 0, 2), (7, 2, 3), (8, 1, 1), (4, 1, 3), (3, 0, 3)]


def expected_frames(made: int, window: int, sink: int) -> list[int]:
    """Which of `made` frames a window of that size still holds, by definition."""
    if made <= window:
        return list(range(made))
    return [*range(sink), *range(made - (window - sink), made)]


def numbered(first: int, frames: int) -> torch.Tensor:
    """Keys whose every value is their frame's number: (1, 1, frames, 1, 2)."""
    return torch.arange(first, first + frames, dtype=torch.float32).view(1, 1, frames, 1, 1).repeat(1, 1, 1, 1, 2)


@pytest.mark.parametrize(("window", "sink", "block"), WINDOWS)
@pytest.mark.parametrize("kind", [RingCache, GrowingCache])
def test_a_cache_holds_the_window_and_the_sink_and_nothing_else(kind, window, sink, block):
    ring = FrameRing(window, sink)
    cache = kind(ring)
    for index in range(9):
        ring.begin(block)
        cache.begin()
        for _pass in range(3):
            keys, values = cache.write(numbered(index * block, block), -numbered(index * block, block))
            held = keys[0, 0, :, 0, 0]
            assert sorted(held.tolist()) == expected_frames((index + 1) * block, window, sink)
            assert torch.equal(keys, -values)


@pytest.mark.parametrize("kind", [RingCache, GrowingCache])
def test_every_pass_of_a_block_takes_the_place_of_the_one_before(kind):
    ring = FrameRing(4)
    cache = kind(ring)
    ring.begin(2)
    cache.begin()
    cache.write(numbered(100, 2), numbered(100, 2))
    cache.write(numbered(0, 2), numbered(0, 2))
    ring.begin(2)
    cache.begin()
    cache.write(numbered(200, 2), numbered(200, 2))
    keys, _ = cache.write(numbered(2, 2), numbered(2, 2))
    assert sorted(keys[0, 0, :, 0, 0].tolist()) == [0, 1, 2, 3]


def test_a_ring_keeps_its_memory():
    ring = FrameRing(4)
    cache = RingCache(ring)
    places = set()
    for index in range(20):
        ring.begin(3)
        keys, _ = cache.write(numbered(3 * index, 3), numbered(3 * index, 3))
        places.add(keys.data_ptr())
    assert len(places) == 1


def test_gradients_reach_earlier_blocks_until_they_are_cut_off():
    ring = FrameRing(4)
    cache = GrowingCache(ring)
    first, second = (torch.ones(2, 1, 1, 1, 2, requires_grad=True) for _ in range(2))
    for tensor in (first, second):
        ring.begin(1)
        cache.begin()
        keys, _ = cache.write(tensor * 2, tensor)
    keys.sum().backward()
    assert first.grad.eq(2).all()
    assert second.grad.eq(2).all()
    cache.detach()
    ring.begin(1)
    cache.begin()
    keys, _ = cache.write(torch.ones(2, 1, 1, 1, 2), torch.ones(2, 1, 1, 1, 2))
    assert not keys.requires_grad


def test_turning_cached_keys_is_the_same_as_having_been_elsewhere(generator):
    keys = torch.randn(1, 2, 3, 5, 8, generator=generator)
    ring = FrameRing(3)
    cache = RingCache(ring)
    ring.begin(3)

    def at(start: int):
        turn = time_rotation(start, 3, 6, 100.0, torch.device("cpu"))
        return type(turn)(turn.cos[:, None], turn.sin[:, None]).apply(keys)

    cache.write(at(1000), keys)
    cache.rotate(time_rotation(-995, 1, 6, 100.0, torch.device("cpu")))
    turned = torch.cat([slot_keys for slot_keys, _ in cache.snapshot()], dim=2)
    torch.testing.assert_close(turned, at(5), atol=2e-6, rtol=1e-5)


def test_rotation_turns_interleaved_pairs_and_leaves_the_rest():
    turn = axis_rotation(torch.tensor([2]), 2, 10000.0)
    x = torch.tensor([[1.0, 0.0, 7.0, 8.0]])
    angle = torch.tensor(2.0)
    torch.testing.assert_close(turn.apply(x), torch.tensor([[angle.cos(), angle.sin(), 7.0, 8.0]]))
