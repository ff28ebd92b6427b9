"""`--doctor --report`: all that an issue needs, and nothing of who or where."""

import getpass
import platform

import pytest

from game.cli import main
from game.tools import report as module
from game.tools.report import note_failure, report, scrubbed


def examine() -> int:
    print("Machine       two cores, /opt/ffmpeg/bin/ffmpeg")
    return 0


@pytest.fixture(autouse=True)
def somewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(module, "home_folder", lambda: tmp_path)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("at /home/ann/weights/model.safetensors, line 3", "at model.safetensors, line 3"),
        (r"at C:\Users\Ann\AppData\x.py: no", "at x.py: no"),
        ("see https://pytorch.org/get-started/locally, 3/4", "see https://pytorch.org/get-started/locally, 3/4"),
        ('File "/usr/lib/python3/a.py"', 'File "a.py"'),
        ("weights_dtype=int8, compile=max", "weights_dtype=int8, compile=max"),
    ],
)  # fmt: skip
def test_of_paths_only_names_are_left(text, left):
    assert scrubbed(text) == left


def test_names_of_people_and_machines_are_gone(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "annabel")
    monkeypatch.setattr(platform, "node", lambda: "annas-box")
    assert scrubbed("annabel on annas-box; annabella") == "USER on MACHINE; annabella"


def test_the_file_has_machine_versions_settings_and_the_last_failure(tmp_path, capsys):
    weights = tmp_path / "secret" / "weights"
    try:
        raise RuntimeError(f"broken at {weights}")
    except RuntimeError as error:
        note_failure(error, "RuntimeError: broken")
    assert report([f"weights={weights}"], tmp_path / "out", examine) == 0
    text = (tmp_path / "out" / "neural-world-report.txt").read_text()
    for part in ("two cores", "torch 2", "weights_dtype: same", "RuntimeError: broken", "Traceback"):
        assert part in text
    assert str(tmp_path) not in text and "secret" not in text and "/opt" not in text


def test_a_program_that_never_failed_says_so(tmp_path):
    report([], tmp_path, examine)
    assert text_after(tmp_path, "## Last failure") == "none"


def text_after(folder, title: str) -> str:
    return (folder / "neural-world-report.txt").read_text().split(title)[1].strip()


def test_a_failure_while_running_is_kept_and_wrong_input_is_not(monkeypatch, tmp_path, capsys):
    import game.cli

    def broken(command):
        raise ValueError("so much for that")

    assert main(["--nonsense"]) == 2
    assert not (tmp_path / "cache" / "last-failure.txt").exists()
    monkeypatch.setattr(game.cli, "_run", broken)
    assert main([]) == 1
    assert "so much for that" in (tmp_path / "cache" / "last-failure.txt").read_text()
