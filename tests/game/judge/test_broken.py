"""The claim of game/judge/README.md: each fault of the embedded world is told by the measure meant for it alone.

What a broken world shows is made from what the whole one showed. A world that answers late, told B, shows what the
whole one shows when it is told B late; one with its mouse mirrored, told B, what the whole one shows for B mirrored. So
these two are the same frames with another log; the others are the same log with other frames.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.measures.clip import Clip
from engine.measures.clips import judge, measure
from engine.measures.statistics import Measure
from game.config.settings import load_settings
from game.judge.inputs import Footage, read_footage
from game.judge.suites import load_suite, processes_to_render, render_suite
from game.judge.verdict import groups_of, one_thread
from tests.game.judge.broken import FREEZE_S, LATE, SEAM_EVERY, SEAM_LEVELS, TINT, TINT_A_SECOND, levels

_TELLS = {
    "delayed": ("delay_frames",), "mirrored": ("following.turn_",), "seam": ("seams.",), "frozen": ("alive_s",),
    "tint": ("colour_distance",), "copy": ("dynamic_degree",),
}  # fmt: skip


def spoilt(clip: Clip, fault: str) -> Clip:
    """What the fault makes of a clip of a whole world."""
    if fault == "delayed":
        return Clip(clip.frames[:-LATE], clip.axes[LATE:], clip.fps, clip.first, clip.block)
    if fault == "mirrored":
        return Clip(clip.frames, clip.axes * np.array([1, 1, -1, 1], np.float32), clip.fps, clip.first, clip.block)
    return Clip(_shown(clip, fault), clip.axes, clip.fps, clip.first, clip.block)


def _shown(clip: Clip, fault: str) -> np.ndarray:
    frames = clip.frames
    number = np.arange(len(frames))[:, None, None, None]
    if fault == "copy" and clip.first is not None:
        return np.repeat(clip.first[None], len(frames), 0)
    if fault == "frozen":
        kept = min(len(frames), int(FREEZE_S * clip.fps))
        return np.concatenate([frames[:kept], np.repeat(frames[kept - 1 : kept], len(frames) - kept, 0)])
    if fault == "seam":
        return levels(frames + np.where(number // SEAM_EVERY % 2, SEAM_LEVELS, -SEAM_LEVELS))
    if fault == "tint":
        return levels(frames + TINT * TINT_A_SECOND * number / clip.fps)
    return frames


def as_long(clip: Clip, fault: str) -> Clip:
    """A clip of the whole world that has as many frames as what the fault makes of it."""
    if fault == "delayed":
        return Clip(clip.frames[:-LATE], clip.axes[:-LATE], clip.fps, clip.first, clip.block)
    return clip


def scores(takes: list[tuple[Footage, tuple[str, ...]]], fault: str, make: Callable) -> dict[str, Measure]:
    """Of what is made of a suite's takes."""
    return judge([measure(make(clip, fault), names) for footage, names in takes for clip in footage.clips])


def read(folder: Path) -> list[tuple[Footage, tuple[str, ...]]]:
    return [(read_footage(source), names) for source, names in groups_of([folder], None)[0].sources]


def told(whole: dict[str, Measure], broken: dict[str, Measure]) -> set[str]:
    """Names of the measures that tell one from the other."""
    return {name for name, found in broken.items() if whole[name].differs(found)}


@pytest.mark.slow
def test_each_fault_of_the_embedded_world_is_told_by_the_measure_meant_for_it_and_by_no_other(tmp_path):
    settings, suite = load_settings([]), load_suite("quick")
    render_suite(suite, None, settings, tmp_path, processes=processes_to_render(suite, settings, None))
    takes = read(tmp_path)
    with one_thread():
        for fault, meant in _TELLS.items():
            names = told(scores(takes, fault, as_long), scores(takes, fault, spoilt))
            assert names and all(any(part in name for part in meant) for name in names), (fault, names)
