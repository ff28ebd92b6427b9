"""Each latent frame sees the actions it should, however a rollout is cut into blocks."""

import numpy as np
import pytest

from engine.actions import Actions
from engine.config.model import AttentionActionsConfig, ModulationActionsConfig
from engine.nets.action_windows import ActionHistory


def numbered(first: int, frames: int) -> Actions:
    """Actions whose keyboard is the video frame's number in every channel, and whose mouse is its negative."""
    numbers = np.arange(first, first + frames, dtype=np.float32)[:, None]
    return Actions(np.repeat(numbers, 4, 1), np.repeat(-numbers, 2, 1), tuple(() for _ in range(frames)))


def windows(config, ratio: int, block: int, blocks: int) -> list[list[int]]:
    """Per latent frame the video frames it sees."""
    history, seen, rows = ActionHistory(config, ratio), 0, []
    for index in range(blocks):
        frames = block * ratio - (ratio - 1 if index == 0 else 0)
        gathered = history.extend(numbered(seen, frames))
        seen += frames
        rows += gathered.keyboard[0, :, :, 0].int().tolist()
        assert gathered.mouse.eq(-gathered.keyboard[..., :2]).all()
    return rows


@pytest.mark.parametrize(("ratio", "block"), [(4, 3), (4, 1), (2, 5), (1, 1), (1, 3)])
def test_by_attention_a_latent_frame_sees_the_windows_before_its_own_last_video_frame(ratio, block):
    rows = windows(AttentionActionsConfig(windows=3), ratio, block, 5)
    for latent, row in enumerate(rows):
        end = ratio * latent
        assert row == [max(0, frame) for frame in range(end - 3 * ratio, end)]


@pytest.mark.parametrize(("ratio", "block"), [(4, 3), (4, 1), (2, 5), (1, 1), (1, 3)])
def test_by_modulation_a_latent_frame_sees_the_video_frames_it_shows(ratio, block):
    rows = windows(ModulationActionsConfig(), ratio, block, 5)
    for latent, row in enumerate(rows):
        assert row == [max(0, frame) for frame in range(ratio * (latent - 1) + 1, ratio * latent + 1)]


def test_the_memory_of_actions_does_not_grow():
    history = ActionHistory(AttentionActionsConfig(), 4)
    sizes = {history.extend(numbered(0, 12)) and len(history.snapshot()[0]) for _ in range(50)}
    assert sizes == {12}
