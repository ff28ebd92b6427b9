"""Whoever mistypes a word is told the right one, and nobody is told a word they never meant."""

from __future__ import annotations

import pytest

from engine.errors import EngineError, nearest

SCENES = ["forge", "garden", "hall", "library", "pool", "terrace", "tower"]
MODELS = ["tiny", "universal", "universal-slice", "gta_drive", "templerun"]
FLAGS = ["--headless", "--script", "--record", "--seed", "--scene", "--seconds", "--blocks", "--name", "--out"]
SETTINGS = ["device", "threads", "play.sensitivity", "play.scale", "record.crf", "record.root", "model.width"]


@pytest.mark.parametrize(
    ("name", "names", "meant"),
    [
        ("hal", SCENES, "hall"),
        ("pol", SCENES, "pool"),
        ("libary", SCENES, "library"),
        ("gardne", SCENES, "garden"),
        ("tniy", MODELS, "tiny"),
        ("univrsal", MODELS, "universal"),
        ("gta", MODELS, "gta_drive"),
        ("--recrod", FLAGS, "--record"),
        ("--head", FLAGS, "--headless"),
        ("sensitivty", SETTINGS, "play.sensitivity"),
        ("play.sensitivty", SETTINGS, "play.sensitivity"),
        ("record.cfr", SETTINGS, "record.crf"),
        ("thraeds", SETTINGS, "threads"),
    ],
)
def test_a_close_slip_is_understood(name, names, meant):
    assert nearest(name, names) == meant


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("garage", SCENES),
        ("water", SCENES),
        ("poodle", SCENES),
        ("ball game", SCENES),
        ("unreal", MODELS),
        ("trump", MODELS),
        ("--steps", FLAGS),
        ("--fps", FLAGS),
        ("--o", FLAGS),
        ("gpu", ["auto", "cpu", "cuda"]),
        ("record.fps", SETTINGS),
        ("model.depth", SETTINGS),
        ("play.volume", SETTINGS),
        ("deadline", SETTINGS),
        ("", SCENES),
    ],
)
def test_an_unrelated_word_is_not_taken_for_another(name, names):
    assert nearest(name, names) is None


def test_the_nearest_of_several_is_meant():
    assert nearest("tower1", ["towel12", "tower", "power1"]) == "tower"
    assert nearest("hall", []) is None


@pytest.mark.parametrize(
    "got", ["9" * 5000, 10**5000, "a\n" * 4000, [1] * 9999], ids=["text", "number", "lines", "list"]
)
def test_an_error_is_one_line_that_can_be_read(got):
    said = str(EngineError("that is wrong", got=got, expected="W S A D"))
    assert "\n" not in said and len(said) < 800 and said.endswith("; expected W S A D")
