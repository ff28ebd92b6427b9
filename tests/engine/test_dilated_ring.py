"""Waypoint's history: which latent frames each layer sees, in a ring that keeps only some of them."""

import pytest
import torch

from engine.config.waypoint import WaypointTransformerConfig
from engine.fast.waypoint import FastWaypoint
from engine.nets.caches import Caches, FrameRing, RingCache
from engine.nets.waypoint import WaypointCaches, WaypointTransformer

SMALL = WaypointTransformerConfig(width=64, layers=4, heads=4, kv_heads=2, ffn=64, grid=(2, 2), local_window=3,
                                  global_window=6, global_dilation=2, buttons=8)  # fmt: skip


def seen(cache: RingCache, number: int, passes: int = 2) -> list[int]:
    """The numbers of the frames that a pass of frame `number` sees; a key says which frame it is of."""
    for _ in range(passes):
        keys, _ = cache.write(*[torch.full((1, 1, 1, 1, 1), float(number))] * 2)
    return sorted(int(value) for value in keys.flatten())


def test_a_global_layer_sees_the_multiples_of_its_dilation_and_the_frame_itself():
    ring = FrameRing(128 // 8 + 1, dilation=8)
    cache = RingCache(ring)
    for number in range(400):
        ring.begin(1)
        expected = {f for f in range(max(0, number - 127), number + 1) if f % 8 == 0} | {number}
        assert seen(cache, number) == sorted(expected)


def test_a_local_layer_sees_its_newest_frames_and_counts_the_one_being_made():
    ring = FrameRing(16)
    cache = RingCache(ring)
    for number in range(60):
        ring.begin(1)
        assert seen(cache, number) == list(range(max(0, number - 15), number + 1))


def test_a_ring_with_a_dilation_goes_back_to_a_snapshot():
    ring = FrameRing(4, dilation=2)
    cache = RingCache(ring)
    caches, story, moments = Caches(ring, (cache,)), [], []
    for number in range(20):
        moments.append(caches.snapshot(moments[-1] if moments else None))
        caches.begin_block(1)
        story.append(seen(cache, number))
    for number in (13, 4, 17, 0):
        caches.restore(moments[number])
        for later in range(number, 20):
            caches.begin_block(1)
            assert seen(cache, later) == story[later]


def test_snapshots_share_what_did_not_change_and_leave_the_spare_slot_out():
    ring = FrameRing(4, dilation=4)
    cache = RingCache(ring)
    caches = Caches(ring, (cache,))
    for number in range(5):
        caches.begin_block(1)
        seen(cache, number)
    first = caches.snapshot()
    assert [int(keys) for keys, _ in first.slots[0]] == [0, 4]
    caches.begin_block(1)
    seen(cache, 5)
    second = caches.snapshot(first)
    assert all(old is new for old, new in zip(first.slots[0], second.slots[0], strict=True))


def test_a_ring_with_a_dilation_takes_single_frames_and_has_no_sink():
    with pytest.raises(ValueError, match="sink"):
        FrameRing(4, sink=1, dilation=2)
    with pytest.raises(ValueError, match="one frame"):
        FrameRing(4, dilation=2).begin(2)


def test_the_full_history_takes_sixteen_and_seventeen_frames_of_memory():
    config = WaypointTransformerConfig()
    frame = 2 * config.kv_heads * config.grid[0] * config.grid[1] * config.head_dim * 2  # keys and values, bfloat16
    caches = WaypointCaches(config)
    caches.begin_block(1)
    for cache in caches.attention:
        cache.write(
            *[torch.empty(1, config.kv_heads, 1, 512, config.head_dim, device="meta", dtype=torch.bfloat16)] * 2
        )
    taken = sum(2 * cache._keys.nbytes for cache in caches.attention)
    assert taken == (18 * 16 + 6 * 17) * frame == 780 * 2**20
    with torch.device("meta"):
        fast = FastWaypoint(WaypointTransformer(config).to(torch.bfloat16)).new_caches()
    assert sum(cache.keys.nbytes + cache.values.nbytes for cache in fast.memory) == taken


@torch.inference_mode()
def test_a_rollouts_caches_go_back_to_a_snapshot_bit_for_bit():
    torch.manual_seed(0)
    net = WaypointTransformer(SMALL)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    prepared, caches = net.prepare_rollout((1.0, 0.0)), net.new_caches()
    noise, controls = torch.randn(12, 1, 1, 32, 4, 4), torch.randn(12, 1, 11)

    def frame(number: int) -> torch.Tensor:
        block = net.prepare_block(prepared, controls[number], caches)
        velocity = net(noise[number], block, 0, caches)
        net(noise[number] - velocity, block, 1, caches)
        return velocity

    moments, story = [], []
    for number in range(12):
        moments.append(caches.snapshot(moments[-1] if moments else None))
        story.append(frame(number))
    for number in (7, 2):
        caches.restore(moments[number])
        for later in range(number, 12):
            assert torch.equal(frame(later), story[later])
    other = net.new_caches()
    other.restore(moments[5])
    caches = other
    assert torch.equal(frame(5), story[5])
