"""What a person chose comes back the next time, and one broken line costs no more than itself."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest
from platformdirs.macos import MacOS

from game.config import paths
from game.config.bindings import COMMANDS, bound, preset
from game.config.preferences import FILE, Preferences, SettingsFile, config_folder, load, to_text
from game.errors import InputError


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


MINE = """\
# my mouse is slow
sensitivity: 30   # less than before
scael: sharp      # unknown, and kept
text: small
dead_zone: lots   # broken, and kept

controls:   # left-handed
    universal:
        # forward
        W: [up, w]
        later: [x]
commands: {pause: [n], record: k}  # in one line
recent:
  - /a.png   # my best
  - /b.png
# the end
"""


def test_what_a_person_wrote_into_the_file_stays_when_the_menu_changes_it(file):
    settings_file = SettingsFile(written(file, MINE))
    now = settings_file.now
    controls = now.controls | {"universal": now.controls["universal"] | {"W": ("i",), "A": ("j",)}}
    settings_file.change(sensitivity=45.0, scale="sharp", recent=("/c.png", "/a.png"), controls=controls)
    assert settings_file.save() is None
    text = MINE.replace("sensitivity: 30", "sensitivity: 45").replace("W: [up, w]", 'W: ["i"]')
    text = text.replace("        later: [x]\n", '        later: [x]\n        A: ["j"]\n')
    text = text.replace("  - /a.png   # my best\n  - /b.png\n", '  - "/c.png"\n  - "/a.png"\nscale: "sharp"\n')
    assert file.read_text() == text
    assert SettingsFile(file).now == settings_file.now
    assert [path.name for path in file.parent.iterdir()] == [FILE], "nothing was lost: no copy is needed"


def test_an_entry_that_is_as_usual_is_changed_where_it_stands_as_a_comment(file):
    settings_file = SettingsFile(file)
    settings_file.change(text="large")
    assert settings_file.save() is None
    before = file.read_text()
    settings_file.change(scale="sharp", recent=("/a.png",), rewind_mb=99, text="normal")
    assert settings_file.save() is None
    after = before.replace('# scale: "smooth"', 'scale: "sharp"').replace("# recent: []", 'recent:\n  - "/a.png"')
    after = after.replace("# rewind_mb: null", "rewind_mb: 99").replace('text: "large"', 'text: "normal"')
    assert file.read_text() == after != before


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("# only words", '# only words\ntext: "large"\n'),
        ("# text: why not?\n", '# text: why not?\ntext: "large"\n'),
        ("text:\nnumbers: true", 'text: "large"\nnumbers: true'),
        ("numbers: true\r\n# mine\r\n", 'numbers: true\r\ntext: "large"\r\n# mine\r\n'),
        ('"text" : >\n  small\n# снег 🏰\nnumbers: true\n', None),
        ("---\ntext: &a small\nfolder: *a\n", None),
        ("{numbers: true}  # mine", None),
        ("a: [  # mine", None),
    ],
)
def test_an_entry_is_changed_in_any_file_and_what_cannot_be_kept_in_it_is_copied(file, text, after):
    written(file, "").write_bytes(text.encode())
    settings_file = SettingsFile(file)
    settings_file.change(
        text="large", **({"commands": bound(settings_file.now.commands, "pause", "k")} if not after else {})
    )
    assert settings_file.save() is None and SettingsFile(file).now == settings_file.now
    if after is not None:
        assert file.read_bytes().decode() == after
    else:
        kept = [path.read_text() for path in file.parent.iterdir()]
        comments = [line for line in text.splitlines() if "#" in line]
        assert all(any(line in one for one in kept) for line in comments)


def test_what_is_changed_is_kept_and_what_is_damaged_stays_to_be_mended(file):
    written(file, "dead_zone: lots\n# my own words\n")
    settings_file = SettingsFile(file)
    assert len(settings_file.problems) == 1
    settings_file.change(text="large")
    assert settings_file.save() is None
    assert SettingsFile(file).now == replace(Preferences(), text="large")
    assert SettingsFile(file).problems == settings_file.problems
    assert file.read_text() == 'dead_zone: lots\ntext: "large"\n# my own words\n'


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
    asked: list[tuple] = []
    dirs = platformdirs.PlatformDirs
    monkeypatch.setattr(
        "platformdirs.PlatformDirs", lambda *args, **how: asked.append((args, how)) or dirs(*args, **how)
    )
    folder = config_folder()
    assert folder.is_absolute() and folder.name == "neural-world"
    assert asked == [(("neural-world",), {"appauthor": False, "roaming": True})]
    monkeypatch.setenv("HOME", "/Users/me")
    mac = MacOS("neural-world", appauthor=False, roaming=True)
    assert mac.user_config_dir == "/Users/me/Library/Application Support/neural-world", "as before platformdirs"


def test_a_user_without_a_home_has_folders_too(monkeypatch):
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "NEURAL_WORLD_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: (_ for _ in ()).throw(RuntimeError("no home"))))
    folders = [paths.config_folder(), paths.cache_folder(), paths.fetched_folder("X")]
    assert all(folder.is_absolute() and "~" not in str(folder) for folder in folders)
    assert paths.home_folder() == paths.pictures_folder() == Path.cwd()
    assert SettingsFile().now == Preferences()


def test_a_folder_under_a_home_that_is_not_there_is_told_in_one_line(monkeypatch):
    monkeypatch.setenv("NEURAL_WORLD_CONFIG", "~nobody-of-that-name/settings")
    with pytest.raises(InputError, match="NEURAL_WORLD_CONFIG is under a home folder that is not there"):
        config_folder()


NAMES = (
    "garden 🏰.png",
    "\U0001f3f0",
    "\u2028\x85\x07 ends",
    "снег.png",
    "caf\udce9.png",
    'quo"te\\',
    "12:30",
    "yes",
    "~",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_a_file_can_have_reads_back_as_it_was(file, name):
    settings_file = SettingsFile(file)
    settings_file.change(recent=(name,), folder=name if name != "~" else "x")
    assert settings_file.save() is None
    again = SettingsFile(file)
    assert again.problems == [] and again.now.recent == (name,) and again.now.folder in (name, "x")


def test_two_halves_of_a_character_that_were_written_before_are_put_together(file):
    written(file, r'recent: ["garden \ud83c\udff0.png"]')
    assert load(file)[0].recent == ("garden 🏰.png",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_that_an_editor_saved_in_its_own_way_is_read(file, encoding):
    file.parent.mkdir()
    file.write_text("text: large\nsensitivity: 1e+2\r\ninvert_look: yes\n", encoding=encoding)
    assert load(file) == (replace(Preferences(), text="large", sensitivity=100.0, invert_look=True), [])


def test_a_settings_file_that_never_answers_is_not_waited_for(file):
    file.parent.mkdir()
    os.mkfifo(file)
    prefer, problems = load(file)
    assert prefer == Preferences() and "a pipe" in problems[0]


def test_two_windows_do_not_overwrite_each_others_settings(file):
    first, second = SettingsFile(file), SettingsFile(file)
    first.change(text="large", commands=bound(first.now.commands, "pause", "k"))
    second.change(sensitivity=30.0, commands=bound(second.now.commands, "record", "l"))
    assert first.save() is None and second.save() is None
    now = SettingsFile(file).now
    assert (now.text, now.sensitivity) == ("large", 30.0)
    assert "k" in now.commands["pause"] and "l" in now.commands["record"]
    first.change(recent=("a.png",))
    second.change(recent=("b.png",))
    assert first.save() is None and second.save() is None
    assert set(SettingsFile(file).now.recent) == {"a.png", "b.png"}


def test_an_edit_by_hand_while_the_program_runs_is_kept(file):
    settings_file = SettingsFile(file)
    written(file, "numbers: true\ntext: small\n")
    settings_file.change(text="large")
    assert settings_file.save() is None
    assert SettingsFile(file).now == replace(Preferences(), numbers=True, text="large")
    settings_file.change(sensitivity=30.0)
    written(file, "numbers: false\ntext: small\ndead_zone: lots\n")
    assert settings_file.save() is None
    assert SettingsFile(file).now == replace(Preferences(), text="small", sensitivity=30.0)
    assert "dead_zone: lots\n" in file.read_text()


def test_many_windows_that_save_at_once_lose_nothing(file):
    commands = [command.name for command in COMMANDS]

    def change(number: int) -> str | None:
        settings_file = SettingsFile(file)
        settings_file.change(commands=bound(settings_file.now.commands, commands[number], f"f{number + 20}"))
        return settings_file.save()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(change, range(8))) == {None}
    now = SettingsFile(file).now
    assert all(f"f{number + 20}" in now.commands[commands[number]] for number in range(8))
    assert [path.name for path in file.parent.iterdir()] == [FILE]


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
        written(file, f"dead_zone: [lots\n# words {number}\n")
        settings_file = SettingsFile(file)
        settings_file.change(text="large")
        assert settings_file.save() is None
    kept = [file.with_name(f"{FILE}.bak{end}").read_text() for end in ("", "-2", "-3")]
    assert [text.splitlines()[-1] for text in kept] == ["# words 0", "# words 1", "# words 2"]
