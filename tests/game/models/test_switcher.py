"""The models that the menu offers."""

from __future__ import annotations

import pytest

from game.errors import InputError
from game.models.switcher import Switcher


def test_every_model_is_listed_and_those_without_weights_say_what_to_do():
    found = {choice.name: choice for choice in Switcher([]).choices("")}
    assert {"tiny", "universal", "gta_drive", "templerun"} <= set(found)
    assert not any(name.endswith("-slice") for name in found)
    assert found["tiny"].problem == "" and found["tiny"].mode == "universal"
    assert "weights=DIR" in found["gta_drive"].problem and found["gta_drive"].short_problem


def test_a_folder_of_weights_makes_the_large_models_choosable(tmp_path):
    found = {choice.name: choice for choice in Switcher([]).choices(str(tmp_path))}
    assert not found["templerun"].problem and not found["tiny"].problem


def test_what_is_chosen_keeps_the_command_lines_other_words(tmp_path):
    switcher = Switcher(["threads=1", "quality=max", "record.crf=20"])
    assert (switcher.model, switcher.quality) == ("tiny", "max")
    opener = switcher.choose("universal", "fast", str(tmp_path))
    assert (switcher.model, switcher.quality) == ("tiny", "max"), "what there was to begin with"
    with pytest.raises(InputError):
        opener(lambda words, share: None)
    settings = switcher.settings
    assert settings.model.name == "universal" and settings.quality.name == "fast" and settings.threads == 1
    assert settings.weights == str(tmp_path) and settings.record.crf == 20


def test_coming_back_to_the_command_lines_model_brings_its_numbers_back():
    switcher = Switcher(["model=tiny", "model.window=3"])
    switcher.choose("universal", "default", "")
    assert "model.window=3" not in switcher.words_for("universal", "default", "")
    assert "model.window=3" in switcher.words_for("tiny", "default", "")
