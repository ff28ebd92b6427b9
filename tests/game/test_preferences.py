"""What a person chose comes back the next time, and one broken line costs no more than itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from game.config.bindings import bound, preset
from game.config.preferences import FILE, Preferences, SettingsFile, config_folder, load, to_text


@pytest.fixture
def file(tmp_path) -> Path:
    """Where the settings are."""
    return tmp_path / "inside" / FILE


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_what_is_written_reads_back_the_same(file):
    own = replace(
        Preferences(),
        sensitivity=33.5,
        invert_look=True,
        icons="off",
        window="1280x720",
        recent=("/a/b: c.png", 'quo"te.png', "снег.png"),
        controls=Preferences().controls | {"templerun": preset("left-handed", "templerun")},
        commands=bound(Preferences().commands, "rewind", "y"),
    )
    assert load(written(file, to_text(own))) == (own, [])
    assert load(written(file, to_text(Preferences()))) == (Preferences(), [])


def test_a_missing_or_empty_file_is_no_problem(file):
    assert load(file) == (Preferences(), [])
    assert load(written(file, "")) == (Preferences(), [])


def test_every_entry_of_the_file_has_a_comment(file):
    lines = to_text(Preferences()).splitlines()
    for number, line in enumerate(lines):
        if ": " in line and not line.startswith(("#", " ", "version")):
            assert lines[number - 1].startswith("#"), line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dead_zone: 7", "dead_zone is 7, not 0 to 0.9"),
        ("sensitivity: fast", "sensitivity is 'fast', not 1 to 10000"),
        ("sensitivity: .nan", "sensitivity is nan"),
        ("invert_look: 1", "not true or false"),
        ("icons: huge", "not off or small or normal or large"),
        ("window: 3x3", "not auto or a size"),
        ("recent: hall.png", "no list of paths"),
        ("scael: sharp", "did you mean scale?"),
        ("controls: 3", "controls is no group"),
        ("controls: {walking: {}}", "controls.walking is no mode"),
        ("controls: {universal: {X: [x]}}", "controls.universal.X is unknown; known are W"),
        ("commands: {pause: {a: b}}", "commands.pause is no list of inputs"),
        ("commands: {pause: [a, b, c, d, e]}", "commands.pause has more than 4 inputs"),
    ],
)
def test_a_broken_entry_is_reported_and_skipped_and_the_others_count(file, line, said):
    prefer, problems = load(written(file, f"{line}\ntext: large\n"))
    assert len(problems) == 1 and said in problems[0] and problems[0].startswith(FILE) and "\n" not in problems[0]
    assert prefer == replace(Preferences(), text="large")


@pytest.mark.parametrize("text", ["a: [", "just words", "- 1\n- 2", "\t: x"])
def test_a_file_that_is_no_settings_at_all_is_one_line(file, text):
    prefer, problems = load(written(file, text))
    assert prefer == Preferences() and len(problems) == 1 and str(file) in problems[0]


def test_bare_words_that_yaml_takes_for_something_else_are_still_keys(file):
    prefer, problems = load(written(file, "icons: off\ncommands: {pause: [n, y, 1], record: k}\n"))
    assert not problems and prefer.icons == "off"
    assert prefer.commands["pause"] == ("n", "y", "1") and prefer.commands["record"] == ("k",)


def test_the_menus_own_key_cannot_be_lost(file):
    prefer, _ = load(written(file, "commands: {menu: [m]}\n"))
    assert prefer.commands["menu"] == ("escape", "m")


def test_a_newer_file_is_read_as_far_as_it_is_known(file):
    prefer, problems = load(written(file, "version: 9\ntext: small\n"))
    assert prefer.text == "small" and "newer" in problems[0]


def test_what_is_changed_is_kept_and_a_damaged_file_is_copied_first(file):
    written(file, "dead_zone: lots\n# my own words\n")
    settings_file = SettingsFile(file)
    assert len(settings_file.problems) == 1
    settings_file.change(text="large")
    assert settings_file.save() is None
    assert SettingsFile(file).now == replace(Preferences(), text="large")
    assert "my own words" in file.with_suffix(".yaml.bak").read_text()


def test_nothing_is_written_where_nothing_was_changed(file):
    settings_file = SettingsFile(file)
    assert settings_file.save() is None and not file.exists()


def test_what_the_command_line_says_counts_for_one_run_only(file):
    settings_file = SettingsFile(file, session={"sensitivity": 20.0, "icons": "off"})
    assert settings_file.now.sensitivity == 20.0
    settings_file.change(sensitivity=90.0, text="small")
    assert settings_file.now.sensitivity == 90.0 and settings_file.now.icons == "off"
    settings_file.save()
    assert SettingsFile(file).now == replace(Preferences(), sensitivity=90.0, text="small")


def test_a_place_that_cannot_be_written_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    settings_file = SettingsFile(tmp_path / "file" / FILE)
    settings_file.change(text="large")
    assert "cannot be kept" in settings_file.save()


def test_recent_pictures_are_few_and_each_is_there_once():
    prefer = Preferences()
    for number in [*range(30), 25]:
        prefer = prefer.with_recent(f"{number}.png")
    assert prefer.recent[:3] == ("25.png", "29.png", "28.png") and len(prefer.recent) == 12


def test_the_folder_follows_the_system_and_a_variable_names_another(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURAL_WORLD_CONFIG", str(tmp_path))
    assert config_folder() == tmp_path
    monkeypatch.delenv("NEURAL_WORLD_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    monkeypatch.setattr("sys.platform", "linux")
    assert config_folder() == Path("/x/neural-world")
    monkeypatch.setattr("sys.platform", "darwin")
    assert config_folder().parts[-3:] == ("Library", "Application Support", "neural-world")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("APPDATA", "/roaming")
    assert config_folder() == Path("/roaming/neural-world")


def test_a_linked_file_is_written_through_its_link_and_stays_one(file, tmp_path):
    real = written(tmp_path / "dotfiles" / "mine.yaml", "text: small\n")
    file.parent.mkdir()
    file.symlink_to(real)
    settings_file = SettingsFile(file)
    settings_file.change(numbers=True)
    assert settings_file.save() is None
    assert file.is_symlink() and load(real)[0] == replace(Preferences(), text="small", numbers=True)
    assert [path.name for path in real.parent.iterdir()] == ["mine.yaml"] and list(file.parent.iterdir()) == [file]


def test_a_link_that_leads_nowhere_yet_is_written_through_too(file, tmp_path):
    file.parent.mkdir()
    file.symlink_to(tmp_path / "dotfiles" / "mine.yaml")
    settings_file = SettingsFile(file)
    settings_file.change(text="large")
    assert settings_file.save() is None and file.is_symlink() and SettingsFile(file).now.text == "large"


def test_every_damaged_file_is_kept_and_none_written_over_another(file):
    for number in range(3):
        written(file, f"dead_zone: lots\n# words {number}\n")
        settings_file = SettingsFile(file)
        settings_file.change(text="large")
        assert settings_file.save() is None
    kept = [file.with_name(f"{FILE}.bak{end}").read_text() for end in ("", "-2", "-3")]
    assert [text.splitlines()[-1] for text in kept] == ["# words 0", "# words 1", "# words 2"]
