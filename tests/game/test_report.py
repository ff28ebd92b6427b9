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
        (r"[Errno 2] gone: 'C:\\\\Users\\\\Ann\\\\x.py'", "[Errno 2] gone: 'x.py'"),
        (r"'\\\\\\\\box\\\\share\\\\Ann\\\\x.py', \\box\share\Ann\x.py", "'x.py', x.py"),
        ("D:/Games/bob/x and D:\\bob", "... and ..."),
        ("open:/home/bob/secret/x", "open:..."),
        ("file:///home/bob/secret/x.py, file:///C:/bob/x.py", "x.py, x.py"),
        ("'/mnt/Ann Smith/old, new (1)/x.py'", "'x.py'"),
        ("read /mnt/Ann Smith/my models/x.py now", "read x.py now"),
        ("of /mnt/a/bob and ~/ann/x.txt: 12 frames/s, I/O, and/or", "of ... and x.txt: 12 frames/s, I/O, and/or"),
        ("No such file: 'bob/models/x.pth'", "No such file: 'x.pth'"),
        ("{'root': 'recordings', 'crf': 16}", "{'root': 'recordings', 'crf': 16}"),
    ],
)  # fmt: skip
def test_of_paths_only_names_are_left(text, left):
    assert scrubbed(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("in /tmp/x1/Ann Smith/models, complete", "in ..., complete"),
        ("at /TMP/x1/ann smith/models/x.pth; /tmp/x1/Ann Smith is", "at x.pth; ... is"),
        ("/tmp/x1/Ann%20Smith/models/x.pth", "x.pth"),
        ("bob/models/wp, bob/models/wp/x.pth", "..., x.pth"),
        (r"BOB\models\wp and bob\\models\\wp\\x.pth", "... and x.pth"),
        ("carl/x.pth; carl", "x.pth; carl"),  # alone it may be any word
        ("rob/models/wp, bobs/models", "rob/models/wp, bobs/models"),
    ],
)  # fmt: skip
def test_paths_that_were_given_are_known_however_they_look(text, left):
    assert scrubbed(text, ["weights=/tmp/x1/Ann Smith/models", "record.root=bob/models/wp", "weights=carl"]) == left


def test_names_of_people_and_machines_are_gone(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "annabel")
    monkeypatch.setattr(platform, "node", lambda: "Annas-Box.local")
    told = "annabel on annas-box; annabella; ANNABEL@annas-box.local, annabel_models.pth"
    assert scrubbed(told) == "USER on MACHINE; annabella; USER@MACHINE, USER_models.pth"


@pytest.mark.parametrize("name", ["root", "max", "torch", "li", "crf", "model", "localhost"])
def test_names_that_are_usual_words_spoil_no_report(monkeypatch, tmp_path, name):
    monkeypatch.setattr(getpass, "getuser", lambda: name)
    monkeypatch.setattr(platform, "node", lambda: name)
    report(["model=waypoint", "compile=max"], tmp_path, examine)
    text = (tmp_path / "neural-world-report.txt").read_text()
    assert "USER" not in text and "MACHINE" not in text and "record: {'root': 'recordings'" in text


def test_of_paths_among_the_settings_only_what_they_are_is_told(tmp_path):
    own = [
        "weights=annik/own",
        "record.root=annik",
        "decoder.weights=annik/x.pth",
        "serve.hosts=[anniks]",
        "model=waypoint",
    ]
    report(own, tmp_path, examine)
    text = (tmp_path / "neural-world-report.txt").read_text()
    assert "annik" not in text.split("## Settings")[1]
    for told in ("weights: a folder of your own", "'root': 'a folder of your own'", "'weights': 'a file of your own'",
                 "'hosts': '1 of your own'"):  # fmt: skip
        assert told in text
    report(["weights=random", "model=waypoint"], tmp_path, examine)
    assert "weights: random" in (tmp_path / "neural-world-report.txt").read_text()


def test_the_file_has_machine_versions_settings_and_the_last_failure(tmp_path, capsys):
    weights = tmp_path / "secret" / "Ann Smith" / "weights"
    try:
        raise RuntimeError(f"broken at {weights}")
    except RuntimeError as error:
        note_failure(error, "RuntimeError: broken")
    assert report([f"weights={weights}"], tmp_path / "out", examine) == 0
    text = (tmp_path / "out" / "neural-world-report.txt").read_text()
    for part in ("two cores", "torch 2", "weights_dtype: same", "RuntimeError: broken", "Traceback"):
        assert part in text
    assert str(tmp_path) not in text and "secret" not in text and "Smith" not in text and "/opt" not in text


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
