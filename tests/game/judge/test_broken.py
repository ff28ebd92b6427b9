"""The claim of game/judge/README.md: each fault of the embedded world is told by the measure meant for it alone."""

from pathlib import Path

import numpy as np
import pytest

from engine.measures.clip import Clip
from engine.measures.clips import judge, measure
from engine.measures.statistics import Measure
from game.config.settings import load_settings
from game.judge.inputs import read_footage
from game.judge.suites import load_suite, render_suite
from game.judge.verdict import groups_of
from game.models.loader import open_world
from tests.game.judge.broken import FREEZE_S, SEAM_EVERY, SEAM_LEVELS, TINT, TINT_A_SECOND, BrokenWorld, levels

_TELLS = {
    "delayed": ("delay_frames",), "mirrored": ("following.turn_",), "seam": ("seams.",), "frozen": ("alive_s",),
    "tint": ("colour_distance",), "copy": ("dynamic_degree",),
}  # fmt: skip


def spoilt(clip: Clip, fault: str) -> np.ndarray:
    """A clip's frames with a fault that needs no other actions; as BrokenRollout makes them."""
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


def scores(folder: Path, fault: str = "") -> dict[str, Measure]:
    """Of a rendered suite, its frames spoilt."""
    found = []
    for source, names in groups_of([folder], None)[0].sources:
        for clip in read_footage(source).clips:
            found.append(measure(Clip(spoilt(clip, fault), clip.axes, clip.fps, clip.first, clip.block), names))
    return judge(found)


def check(fault: str, whole: dict[str, Measure], broken: dict[str, Measure]) -> None:
    told = {name for name, found in broken.items() if whole[name].differs(found)}
    assert told
    assert all(any(part in name for part in _TELLS[fault]) for name in told), told


@pytest.mark.slow
def test_each_fault_of_the_embedded_world_is_told_by_the_measure_meant_for_it(tmp_path):
    settings, suite = load_settings([]), load_suite("quick")
    world = open_world(settings)
    for fault in ("whole", "delayed", "mirrored"):
        made = world if fault == "whole" else BrokenWorld(world, fault)
        render_suite(suite, made, settings, tmp_path / fault, None, None, lambda what, share: None)
    whole = scores(tmp_path / "whole")
    for fault in _TELLS:
        rendered = fault in ("delayed", "mirrored")
        check(fault, whole, scores(tmp_path / fault) if rendered else scores(tmp_path / "whole", fault))
