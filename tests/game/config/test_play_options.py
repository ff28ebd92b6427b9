"""Every play option counts: from configs/play, over it the person's settings file, over that the command line."""

from __future__ import annotations

import contextlib
import shutil

import pytest
import yaml

from game.config import paths
from game.config.preferences import FILE, OPTIONS, config_folder
from game.config.settings import LiveSettings, load_settings, settings_file_of
from game.errors import ConfigError
from game.recording.format import Job
from game.ui import local

OTHER = {  # option: in configs/play, in the settings file, on the command line; and as preferences have each
    "sensitivity": (("70", 70.0), ("80", 80.0), ("90", 90.0)),
    "margin_ms": (("13", 13.0), ("14", 14.0), ("15", 15.0)),
    "scale": (("sharp", "sharp"), ("whole", "whole"), ("smooth", "smooth")),
    "icons": (("false", "off"), ("large", "large"), ("true", "normal")),
    "numbers": (("true", True), ("false", False), ("true", True)),
    "full_screen": (("true", True), ("false", False), ("true", True)),
    "rewind_mb": (("33", 33), ("44", 44), ("55", 55)),
}


@pytest.fixture
def configs(tmp_path, monkeypatch):
    """A copy of configs/ of one's own."""
    copy = shutil.copytree(paths.CONFIGS, tmp_path / "configs")
    for module in ("paths", "settings"):
        monkeypatch.setattr(f"game.config.{module}.CONFIGS", copy)
    return copy


def test_there_is_one_schema_of_play_options():
    usual = yaml.safe_load((paths.CONFIGS / "play" / "default.yaml").read_text())
    assert set(usual) == set(OTHER) == set(OPTIONS) == set(LiveSettings.__dataclass_fields__)


@pytest.mark.parametrize("name", OTHER)
def test_the_yaml_counts_then_the_settings_file_then_the_command_line(name, configs):
    (in_yaml, first), (in_file, second), (in_words, third) = OTHER[name]
    usual = yaml.safe_load((configs / "play" / "default.yaml").read_text()) | {name: yaml.safe_load(in_yaml)}
    (configs / "play" / "default.yaml").write_text(yaml.safe_dump(usual))
    assert getattr(settings_file_of(load_settings()).now, name) == first
    config_folder().mkdir(exist_ok=True)
    (config_folder() / FILE).write_text(f"{name}: {in_file}\n")
    assert getattr(settings_file_of(load_settings()).now, name) == second
    assert getattr(settings_file_of(load_settings([f"play.{name}={in_words}"])).now, name) == third


def test_a_play_file_of_ones_own_is_chosen_by_a_word(configs):
    usual = yaml.safe_load((configs / "play" / "default.yaml").read_text())
    (configs / "play" / "calm.yaml").write_text(yaml.safe_dump(usual | {"sensitivity": 200.0}))
    assert settings_file_of(load_settings(["play=calm"])).now.sensitivity == 200.0
    with pytest.raises(ConfigError, match="did you mean play=calm"):
        load_settings(["play=clam"])


def test_what_counts_for_one_run_is_not_written(configs):
    settings_file = settings_file_of(load_settings(["play.scale=sharp"]))
    settings_file.change(text="large")
    assert settings_file.save() is None
    assert settings_file_of(load_settings()).now.scale == "smooth"


def test_each_option_reaches_what_it_is_for(configs, monkeypatch):
    """The window gets all of them as preferences; how late blocks begin and how much is kept go to the player."""
    seen: dict = {}

    def play(how, make_player, window=None):
        seen["now"] = how.settings_file.now
        make_player(None, None)
        return 0

    def local_player(*args, habits, margin, **others):
        seen.update(habits=habits, margin=margin)

    monkeypatch.setattr(local, "early_window", contextlib.nullcontext)
    monkeypatch.setattr("game.ui.app.play", play)
    monkeypatch.setattr("game.live.player.LocalPlayer", local_player)
    usual = {name: yaml.safe_load(values[0][0]) for name, values in OTHER.items()}
    (configs / "play" / "default.yaml").write_text(yaml.safe_dump(usual))
    local.play_here([], lambda: Job("session"), seconds=None, record=False, profile=False, debug=False)
    from game.ui.commands import feel_of

    assert seen["margin"] == 0.013 and seen["habits"].rewind_mb == 33
    now = seen["now"]
    assert feel_of(now).sensitivity == 70.0
    assert (now.scale, now.icons, now.numbers, now.full_screen) == ("sharp", "off", True, True)
