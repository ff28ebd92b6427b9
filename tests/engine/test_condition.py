"""The first-frame condition is what encoding the whole video at once would give, encoded as it is needed."""

import numpy as np
import torch

from engine.frames import to_signed
from engine.rollout.condition import FirstFrameCondition
from engine.rollout.memory_condition import MemoryCondition
from tests.engine.tiny import big_config, networks, picture, random_actions, small_config


def test_it_equals_the_whole_clip_encoded_at_once():
    config = big_config()
    made = networks(config)
    first, latents = to_signed(picture(config)), 12
    nothing = torch.zeros(1, config.time_ratio * (latents - 1), *first.shape[2:])
    with torch.inference_mode():
        whole = made.codec.encoder_stream().encode(torch.cat((first, nothing), dim=1))
        condition = FirstFrameCondition(made.codec, first, config.time_ratio)
        parts = [condition.for_block(i, 3, random_actions(config, 12)) for i in range(0, latents, 3)]
    ours = torch.cat(parts, dim=1)
    torch.testing.assert_close(ours[:, :, config.time_ratio :], whole)
    mask = ours[:, :, : config.time_ratio]
    assert mask[:, 0].eq(1).all()
    assert mask[:, 1:].eq(0).all()


def test_encoding_ends_when_the_encoder_has_forgotten_and_nothing_changes():
    config = big_config()
    made = networks(config)
    settled = made.codec.memory_latents
    lazy, eager = (FirstFrameCondition(made.codec, to_signed(picture(config)), config.time_ratio) for _ in range(2))
    eager._settled = 10**9
    calls = []
    encode = lazy._stream.encode
    lazy._stream.encode = lambda frames: calls.append(1) or encode(frames)
    with torch.inference_mode():
        for index in range(settled + 10):
            ours, theirs = (c.for_block(index, 1, random_actions(config, 4)) for c in (lazy, eager))
            assert torch.equal(ours, theirs)
    assert len(calls) == settled


def test_the_memory_condition_shows_the_frame_before():
    config = small_config()
    made = networks(config)
    first, second = (to_signed(picture(config, seed)) for seed in range(2))
    with torch.inference_mode():
        condition = MemoryCondition(made, first)
        actions = random_actions(config, 1)
        before = condition.snapshot()
        of_first = condition.for_block(0, 1, actions)
        condition.observe(second, torch.zeros(1, 1, 4, 4, 4))
        of_second = condition.for_block(1, 1, actions)
        condition.restore(before)
        again = condition.for_block(0, 1, actions)
    assert of_first.shape == (1, 1, config.transformer.in_channels - config.codec.latent_channels, 4, 4)
    assert torch.equal(of_first, again)
    assert not np.allclose(of_first, of_second)
