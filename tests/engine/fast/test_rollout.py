"""A rollout of fast kernels goes back bit for bit, and its snapshots share what has not changed."""

import numpy as np
import pytest

from engine.families import best_kernels
from tests.engine.tiny import big_config, picture, play, world


@pytest.mark.parametrize("window", [6, 4])
def test_it_goes_on_from_any_snapshot_bit_for_bit_and_snapshots_share_slots(window, monkeypatch):
    monkeypatch.setattr("engine.rollout.causal.REBASE_WINDOWS", 12 // window)  # behind the fourth block
    config = big_config(window=window, denoising_steps=(1000,))
    made = world(config)
    made.use(best_kernels(made.networks))
    rollout = made.start(picture(config), 5)
    snapshots, frames = [rollout.snapshot()], []
    for _ in range(5):
        frames.append(play(rollout, config, 1, settle=True))
        snapshots.append(rollout.snapshot(since=snapshots[-1]))
    for number in (3, 0, 4):
        rollout.restore(snapshots[number])
        again = [play(rollout, config, 1, settle=True) for _ in range(5 - number)]
        assert np.array_equal(np.concatenate(again), np.concatenate(frames[number:]))
    fresh = made.start(picture(config), 5)
    fresh.restore(snapshots[2])
    assert np.array_equal(play(fresh, config, 1), frames[2])
    first, second = (snapshot.pipeline.caches.slots for snapshot in snapshots[1:3])
    for old, new in zip(first, second, strict=True):
        shared = sum(before[0] is after[0] for before, after in zip(old, new, strict=False))
        assert shared == len(old) - max(0, 2 * config.block_latents - window)
