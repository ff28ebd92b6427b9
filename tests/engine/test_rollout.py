"""A rollout is decided by its weights, first frame, seed and actions, and by nothing else; and it never ends."""

import dataclasses
import gc
from types import FunctionType

import numpy as np
import pytest
import torch

import engine.rollout.causal
import engine.rollout.memory_condition
import engine.rollout.rollout
from engine.config.model import CausalConfig, MatrixGame2Config, PatchCodecConfig
from engine.errors import ActionError, InputError, OverflowedError, PictureError
from engine.families import best_kernels, new_rollout
from engine.nets.spatial_memory import Pose
from engine.rollout.rollout import Rollout, storages
from tests.engine.tiny import big_config, networks, picture, play, random_actions, small_config, waypoint_config, world

CONFIGS = [
    pytest.param(big_config(window=4), id="big-like"),
    pytest.param(small_config(), id="embedded-like"),
    pytest.param(waypoint_config(), id="waypoint-like"),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_same_seed_and_actions_give_the_same_frames(config):
    made = world(config)
    first, second = (play(made.start(picture(config), 5), config, 3) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, play(made.start(picture(config), 6), config, 3))
    assert not np.array_equal(first, play(made.start(picture(config, seed=1), 5), config, 3))
    assert not np.array_equal(first, play(made.start(picture(config), 5), config, 3, seed=1))


@pytest.mark.parametrize("config", CONFIGS)
def test_settling_and_looking_away_change_nothing(config):
    made = world(config)
    plain = play(made.start(picture(config), 5), config, 4)
    rollout = made.start(picture(config), 5)
    other = made.start(picture(config), 9)
    frames = []
    for _ in range(4):
        frames.append(play(rollout, config, 1, settle=True))
        assert rollout.settle() == 0.0
        rollout.snapshot()
        play(other, config, 1)
    assert np.array_equal(np.concatenate(frames), plain)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("blocks", [0, 3])
def test_a_restored_rollout_never_left(config, blocks):
    made = world(config)
    rollout = made.start(picture(config), 5)
    play(rollout, config, blocks)
    snapshot = rollout.snapshot()
    onwards = play(rollout, config, 3)
    rollout.restore(snapshot)
    play(rollout, config, 1, seed=7)
    rollout.restore(snapshot)
    assert rollout.blocks_done == blocks
    assert np.array_equal(play(rollout, config, 3), onwards)
    fresh = made.start(picture(config), 5)
    fresh.restore(snapshot)
    assert np.array_equal(play(fresh, config, 3), onwards)


@pytest.mark.parametrize("config", CONFIGS)
def test_snapshots_that_share_tensors_are_as_good_as_copies(config, monkeypatch):
    monkeypatch.setattr(engine.rollout.causal, "REBASE_WINDOWS", 3)
    made, chance = world(config), np.random.default_rng(1)
    straight = play(made.start(picture(config), 5), config, 14)
    rollout = made.start(picture(config), 5)
    kept = [rollout.snapshot()]
    for _ in range(25):  # there and back, now on the path that counts and now on another
        if chance.random() < 0.4:
            back = int(chance.integers(len(kept)))
            play(rollout, config, 1, seed=9)
            rollout.restore(kept[back])
        if rollout.blocks_done == 14:
            continue
        before = kept[int(chance.integers(len(kept)))]
        frames, done = play(rollout, config, 1), rollout.frames_done
        assert np.array_equal(frames, straight[done - len(frames) : done])
        if rollout.blocks_done == len(kept):
            kept.append(rollout.snapshot(since=before if chance.random() < 0.5 else kept[-1]))
    for snapshot in kept[:-1]:
        rollout.restore(snapshot)
        frames = play(rollout, config, 1)
        assert np.array_equal(frames, straight[snapshot.frames_done : rollout.frames_done])


@pytest.mark.parametrize("config", [big_config(), small_config()], ids=["big-like", "embedded-like"])
def test_a_snapshot_since_another_takes_the_memory_of_what_changed(config):
    rollout = world(config).start(picture(config), 5)
    play(rollout, config, 4)
    first = rollout.snapshot()
    again = rollout.snapshot(since=first)
    caches = {
        address
        for slots in first.pipeline.caches.slots
        for pair in slots
        for each in pair
        for address in storages(each)
    }
    assert caches and caches <= set(again.storages())
    play(rollout, config, 1)
    later, whole = rollout.snapshot(since=first).storages(), rollout.snapshot().storages()
    assert sum(later.values()) == sum(whole.values())
    shared = sum(first.storages()[address] for address in caches & set(later))
    slots = config.window - config.block_latents
    assert shared == sum(first.storages()[address] for address in caches) * slots // config.window


@pytest.mark.parametrize("config", [big_config(window=4), small_config(sink=1)], ids=["big-like", "sink"])
def test_rebasing_can_not_be_seen(config, monkeypatch):
    made = world(config)
    monkeypatch.setattr(engine.rollout.causal, "REBASE_WINDOWS", 10**6)
    never = play(made.start(picture(config), 5), config, 8)
    monkeypatch.setattr(engine.rollout.causal, "REBASE_WINDOWS", 2)
    rollout = made.start(picture(config), 5)
    often = play(rollout, config, 8)
    # Turned keys round differently: a value that lay between two grey levels may fall to either side.
    assert np.abs(often.astype(int) - never).max() <= 1
    assert rollout.pipeline.caches.position <= 2 * config.window


def test_a_block_says_what_it_is():
    config = big_config()
    rollout = world(config).start(picture(config), 5)
    assert rollout.next_frames == 9
    actions = random_actions(config, 9)
    first = rollout.step(actions)
    second = rollout.step(random_actions(config, rollout.next_frames))
    assert (first.index, first.first_frame, first.frames.shape) == (0, 0, (9, 32, 64, 3))
    assert (second.index, second.first_frame, second.frames.shape) == (1, 9, (12, 32, 64, 3))
    assert first.frames.dtype == np.uint8
    assert first.actions is actions
    assert (rollout.blocks_done, rollout.frames_done, rollout.next_frames) == (2, 21, 12)
    assert first.timings.context_ms == 0 < second.timings.context_ms
    parts = second.timings.denoise_ms + second.timings.context_ms + second.timings.decode_ms
    assert second.timings.total_ms == pytest.approx(parts)


def test_the_context_pass_runs_once_and_after_the_frames():
    config = big_config()
    rollout = world(config).start(picture(config), 5)
    assert rollout.settle() == 0.0
    rollout.step(random_actions(config, 9))
    assert rollout.settle() > 0.0
    assert rollout.settle() == 0.0


def test_a_model_without_context_pass_has_nothing_to_settle():
    config = small_config()
    rollout = world(config).start(picture(config), 5)
    rollout.step(random_actions(config, 1))
    assert rollout.settle() == 0.0


def test_wrong_actions_leave_the_rollout_as_it_was():
    config = big_config()
    made = world(config)
    plain = play(made.start(picture(config), 5), config, 2)
    rollout = made.start(picture(config), 5)
    with pytest.raises(ActionError, match="got 8; expected 9"):
        rollout.step(random_actions(config, 8))
    with pytest.raises(ActionError, match="keyboard vector"):
        rollout.step(random_actions(big_config(mode="templerun"), 9))
    assert np.array_equal(play(rollout, config, 2), plain)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_told(seed):
    config = small_config()
    with pytest.raises(InputError, match="seed is out of range"):
        world(config).start(picture(config), seed)


def test_a_first_frame_of_any_size_is_fitted_and_anything_else_refused():
    config = small_config()
    made = world(config)
    assert made.start(picture(big_config()), 0).first_frame.shape == (32, 32, 3)
    with pytest.raises(PictureError):
        made.start(np.zeros((32, 32), np.uint8), 0)


def held_tensors(rollout: Rollout) -> int:
    """Bytes of all tensors a rollout can reach, its networks' left out."""
    modules = rollout.pipeline._networks.modules().values()
    shared = {id(weight) for module in modules for weight in module.state_dict().values()}
    skipped = (type, FunctionType, torch.nn.Module)  # functions lead to all that their module imports
    seen, bytes_held, queue = set(), 0, [vars(rollout)]
    while queue:
        for item in gc.get_referents(queue.pop()):
            if id(item) in seen or id(item) in shared or isinstance(item, skipped):
                continue
            seen.add(id(item))
            if isinstance(item, torch.Tensor):
                bytes_held += item.untyped_storage().nbytes()
            elif isinstance(item, np.ndarray):
                bytes_held += item.nbytes
            elif hasattr(item, "__dict__") or isinstance(item, dict | list | tuple):
                queue.append(item)
    return bytes_held


def long_config(base: CausalConfig) -> CausalConfig:
    """The model with one layer, one denoising step and a codec that costs next to nothing."""
    net = dataclasses.replace(base.transformer, layers=1)
    if isinstance(base, MatrixGame2Config):
        net = dataclasses.replace(net, in_channels=9)
    cheap = {"width": 32, "time_ratio": 1, "denoising_steps": (1000,), "codec": PatchCodecConfig(8, 4)}
    return dataclasses.replace(base, transformer=net, **cheap)


LONG = [
    pytest.param(long_config(big_config(window=4)), id="big-like"),
    pytest.param(long_config(small_config()), id="embedded-like", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("config", LONG)
def test_1200_latent_frames_run_without_growth(config):
    rollout = world(config).start(picture(config), 5)
    actions = random_actions(config, rollout.next_frames)
    blocks, held, position = 1200 // config.block_latents, [], 0
    for block in range(blocks):
        frames = rollout.step(actions).frames
        position = max(position, rollout.pipeline.caches.position)
        if block in (blocks // 10, blocks - 1):
            held.append(held_tensors(rollout))
    assert held[0] == held[1] > 0
    assert position <= engine.rollout.causal.REBASE_WINDOWS * config.window
    assert frames.std() > 0


def test_beyond_1024_latent_frames_moved_positions_make_the_frames_that_unmoved_ones_make(monkeypatch):
    """The original's table of positions ends there; only differences of positions matter, so moving is no change."""
    config, frames, positions = long_config(big_config(window=4)), [], []
    for windows in (engine.rollout.causal.REBASE_WINDOWS, 10**9):
        monkeypatch.setattr("engine.rollout.causal.REBASE_WINDOWS", windows)
        rollout = world(config).start(picture(config), 5)
        actions = random_actions(config, rollout.next_frames)
        frames.append(np.concatenate([rollout.step(actions).frames for _ in range(360)]).astype(int))
        positions.append(rollout.pipeline.caches.position)
    assert positions[0] < 1024 < positions[1]
    assert np.abs(frames[0] - frames[1]).max() <= 2
    assert frames[0][-3:].std() > 1


def test_a_float16_copy_plays_nearly_the_same(monkeypatch):
    # where a picture of nothing was taken in a memory of noise is anybody's guess
    somewhere = Pose(*(torch.tensor([value]) for value in (2.0, 1.5, 0.3, 0.0, 0.5)))
    monkeypatch.setattr(engine.rollout.memory_condition, "localise", lambda *_: somewhere)
    config = small_config()
    exact, half = networks(config), networks(config)
    for name, module in half.modules().items():
        if name not in half.exact:
            module.half()
    ours, theirs = (play(new_rollout(n, picture(config), 5), config, 2).astype(float) for n in (half, exact))
    assert np.abs(ours - theirs).mean() < 4


@pytest.mark.parametrize("config", CONFIGS)
def test_frames_are_handed_out_early_a_latent_frame_at_a_time_and_are_the_blocks(config):
    made, plain = world(config), play(world(config).start(picture(config), 5), config, 3)
    rollout, early = made.start(picture(config), 5), []
    for _ in range(3):
        parts: list[np.ndarray] = []
        actions = random_actions(config, rollout.next_frames, rollout.blocks_done)
        block = rollout.step(actions, parts.append)
        assert np.array_equal(np.concatenate(parts), block.frames)
        assert 0 < block.timings.first_picture_ms <= block.timings.total_ms
        early += parts
    assert np.array_equal(np.concatenate(early), plain)
    assert len(early) == 3 * getattr(config, "block_latents", 1)


def test_the_rest_is_not_decoded_when_the_first_pictures_are_handed_out():
    config = big_config()
    rollout, log = world(config).start(picture(config), 5), []
    decode = rollout.pipeline.decode
    rollout.pipeline.decode = lambda latents: log.append("decoded") or decode(latents)
    rollout.step(random_actions(config, rollout.next_frames), lambda frames: log.append("handed out"))
    assert log == ["decoded", "handed out"] * 3


def test_the_empty_tail_is_encoded_while_nobody_waits_and_is_the_same():
    config, encoded = big_config(), []
    made = world(config)
    plain = play(made.start(picture(config), 5), config, 5)
    rollout = made.start(picture(config), 5)
    condition = rollout.pipeline._condition
    encode = condition._encode
    condition._encode = lambda index: encoded.append(index) or encode(index)
    frames = []
    for block in range(5):
        rollout.settle()
        before, first = len(encoded), 3 * block
        frames.append(play(rollout, config, 1))
        assert len(encoded) == before, "nothing is left for the block itself"
        assert first + 2 in encoded or first == 0
    assert np.array_equal(np.concatenate(frames), plain)
    rollout.settle()
    state, onwards = rollout.snapshot(), play(rollout, config, 2)
    rollout.restore(state)
    assert np.array_equal(play(rollout, config, 2), onwards)
    fresh = made.start(picture(config), 5)
    fresh.restore(state)
    assert np.array_equal(play(fresh, config, 2), onwards)


@pytest.mark.parametrize("config", [big_config(), waypoint_config()], ids=lambda config: config.name)
def test_noise_is_on_its_way_before_a_block_starts_and_is_the_same(config):
    made = world(config)
    plain = play(made.start(picture(config), 5), config, 4)
    rollout, frames = made.start(picture(config), 5), []
    for block in range(4):
        rollout.settle()
        state = rollout._noise.get_state()
        frames.append(play(rollout, config, 1))
        assert torch.equal(rollout._noise.get_state(), state), "the block itself draws nothing"
        if block == 1:
            kept = rollout.snapshot()
    assert np.array_equal(np.concatenate(frames), plain)
    fresh = made.start(picture(config), 5)
    fresh.restore(kept)
    assert np.array_equal(play(fresh, config, 2), plain[-sum(map(len, frames[2:])) :])


@pytest.mark.parametrize("config", [big_config(window=4), waypoint_config()], ids=lambda config: config.name)
def test_what_is_made_ahead_is_what_would_be_made_in_time(config, monkeypatch):
    monkeypatch.setattr("engine.rollout.causal.REBASE_WINDOWS", 3)
    made = world(config)
    made.use(best_kernels(made.networks))
    plain = play(made.start(picture(config), 5), config, 9)
    ahead = made.start(picture(config), 5)
    assert np.array_equal(play(ahead, config, 6, settle=True), plain[: ahead.frames_done])
    kept, frames = ahead.snapshot(), ahead.frames_done
    for _ in range(2):  # also by a world whose place in time was another meanwhile
        assert np.array_equal(play(ahead, config, 3, settle=True), plain[frames:])
        ahead.restore(kept)


def test_numbers_that_float16_does_not_hold_are_an_error_and_not_a_grey_picture():
    config = big_config()
    made = networks(config)
    for name, module in made.modules().items():
        if name == "transformer":
            module.half()
    rollout = new_rollout(made, picture(config), 5)
    play(rollout, config, 1)
    rollout.settle()
    with torch.inference_mode():
        made.transformer.blocks[1].ffn[2].weight.mul_(1e5)
    with pytest.raises(OverflowedError, match=r"float16 overflowed in block 1.*dtype=float32"):
        play(rollout, config, 1)
