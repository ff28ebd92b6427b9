"""What is recorded is never worthless: lost reports, cut logs, edits by hand, and what a replay can say of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from game.config.settings import RecordSettings
from game.errors import InputError, RecordingError, RunError
from game.files import move_folder
from game.files import new_folder as free_folder
from game.media.pictures import save_png
from game.recording import library as library_module
from game.recording.format import ACTIONS, REPORT, Job, checked_name, new_folder, read_recording, usable_name
from game.recording.library import Library
from game.recording.script import load
from game.recording.writer import start_recorder
from game.tools.render import render
from tests.game.fakes import wait_until
from tests.game.offline import header
from tests.game.recording.whole_numbers import WholeNumberWorld, first_picture

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A recording of 12 frames."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "s.yaml").write_text("first_frame: start.png\nactions: [{keys: [W], frames: 12}]\n")
    save_png(folder / "start.png", first_picture())
    assert again(folder / "s.yaml", folder / "a") == 0
    return folder / "a"


@pytest.fixture
def recording(made, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "recording"))


def again(source: Path, out: Path) -> int:
    return render(load(source), [], Job("demo", out), lambda settings: WholeNumberWorld(1, 1))


def edit(recording: Path, frame: int, **changes) -> None:
    """Changes a line of the log by hand."""
    lines = (recording / ACTIONS).read_text().splitlines()
    lines[1 + frame] = json.dumps(json.loads(lines[1 + frame]) | changes)
    (recording / ACTIONS).write_text("\n".join(lines) + "\n")


REPORTS = [b"", b"\0" * 700, b"{", b"[]", b"null", b'{"frames": 1}', b"\xff\xfe", b"[" * 5000, None]


@pytest.mark.parametrize("content", REPORTS)
def test_a_report_that_is_lost_costs_the_recording_nothing(recording, tmp_path, content, capsys):
    report = recording / REPORT
    report.unlink()
    if content is None:
        report.mkdir()
    else:
        report.write_bytes(content)
    assert again(recording, tmp_path / "b") == 0
    out = capsys.readouterr().out
    assert "no report.json that can be read" in out and "identical" in out and "not identical" not in out


def test_without_a_report_the_frames_are_compared_all_the_same(recording, tmp_path, capsys):
    (recording / REPORT).unlink()
    edit(recording, 5, keys=["A"], keyboard=[0.0, 0.0, 1.0, 0.0])
    assert again(recording, tmp_path / "b") == 0
    assert "not identical: the first frame to differ is 5" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["", "\0" * 4096, "\r\n", "\n\n"])
def test_a_log_without_its_last_line_end_or_with_what_a_power_cut_leaves_has_all_its_frames(recording, tmp_path, end):
    log = recording / ACTIONS
    log.write_bytes((log.read_text().rstrip("\n") + end).encode())
    assert len(read_recording(log).actions) == 12
    assert again(recording, tmp_path / "b") == 0


@pytest.mark.parametrize("end", ["", "\0" * 100])
def test_a_line_that_was_cut_off_is_no_frame(recording, end):
    log = recording / ACTIONS
    log.write_bytes((log.read_text()[:-30] + end).encode())
    assert len(read_recording(log).actions) == 11


def test_a_log_saved_by_an_editor_of_windows_is_read(recording, tmp_path):
    log = recording / ACTIONS
    log.write_bytes(b"\xef\xbb\xbf" + log.read_bytes().replace(b"\n", b"\r\n"))
    assert again(recording, tmp_path / "b") == 0


def test_a_replay_of_an_edited_log_says_so_and_which_frame_differs_first(recording, tmp_path):
    edit(recording, 7, mouse=[0.0, 0.05])
    why = r"actions\.jsonl was changed since it was recorded; the first frame to differ is 7"
    with pytest.raises(RunError, match=why):
        again(recording, tmp_path / "b")


def test_an_older_recording_without_checksums_is_compared_by_its_video(recording, tmp_path):
    lines = [json.loads(line) for line in (recording / ACTIONS).read_text().splitlines()]
    for line in lines:
        line.pop("crc32", None)
    (recording / ACTIONS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = json.loads((recording / REPORT).read_text())
    report.pop("log_sha256")
    (recording / REPORT).write_text(json.dumps(report))
    edit(recording, 7, mouse=[0.1, -0.1], keys=["S", "A"], keyboard=[0.0, 1.0, 1.0, 0.0])
    with pytest.raises(RunError, match=r"\(the first frame to differ is [789]"):
        again(recording, tmp_path / "b")


def test_other_weights_are_told_from_an_edited_log(recording, tmp_path):
    other = WholeNumberWorld(1, 1)
    other.weights_sha256 = "2" * 64
    report = json.loads((recording / REPORT).read_text())
    (recording / REPORT).write_text(json.dumps(report | {"frames_sha256": "0" * 64}))
    with pytest.raises(RunError, match=r"\(weights: recorded 111111111111, now 222222222222\)"):
        render(load(recording), [], Job("demo", tmp_path / "b"), lambda settings: other)


def test_a_report_that_was_changed_is_not_blamed_on_the_frames(recording, tmp_path):
    report = json.loads((recording / REPORT).read_text())
    (recording / REPORT).write_text(json.dumps(report | {"frames_sha256": "0" * 64}))
    with pytest.raises(RunError, match="neither header, log nor videos say why"):
        again(recording, tmp_path / "b")


KILLED = """
import os, signal, sys
from pathlib import Path
from game import cli
from game.recording.format import Job
from game.recording.script import load
from game.tools.render import render
from tests.game.recording.whole_numbers import WholeNumberRollout, WholeNumberWorld
step, (script, out, name) = WholeNumberRollout.step, sys.argv[1:]
signal.signal(getattr(signal, name), signal.SIG_DFL)  # who ran the tests may ignore it, as nohup does
def killed(self, actions):
    if self.frames_done == 3:
        os.kill(os.getpid(), getattr(signal, name))
    return step(self, actions)
WholeNumberRollout.step = killed
cli._run = lambda command: render(load(Path(script)), [], Job("demo", Path(out)), lambda settings: WholeNumberWorld())
sys.exit(cli.main(["--headless", "--script", "x"]))
"""


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no such signals")
def test_a_terminal_that_closes_while_recording_leaves_a_report(tmp_path, name):
    (tmp_path / "s.yaml").write_text("scene: hall\nactions: [{keys: [W], frames: 200}]\n")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "s.yaml"), str(tmp_path / "a"), name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "stopped early" in done.stdout
    assert json.loads((tmp_path / "a" / REPORT).read_text())["frames"] == 4


# -- folders and names -------------------------------------------------------------------------------------------------


def test_two_runs_in_one_second_never_share_a_folder(tmp_path, monkeypatch):
    mkdir, rivals = os.mkdir, []

    def late(path, *rest, **more):
        if not rivals and "demo" in str(path):
            rivals.append(Path(path))
            mkdir(path)  # the other run is a moment faster
        return mkdir(path, *rest, **more)

    monkeypatch.setattr(os, "mkdir", late)
    mine = new_folder(None, "demo", root=tmp_path / "r")
    assert rivals and mine.is_dir() and mine not in rivals


def test_two_live_sessions_with_one_out_never_share_a_folder(tmp_path):
    folders = [new_folder(tmp_path / "out", "session") for _ in range(3)]
    assert [folder.name for folder in folders] == ["out", "out-2", "out-3"]


def test_many_at_once_get_folders_of_their_own(tmp_path):
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(free_folder(tmp_path / "x"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16


def test_two_deletions_of_one_name_never_share_a_place_in_the_trash(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "x").touch()
        move_folder(tmp_path / f"{number}", free_folder(tmp_path / "trash" / "name"))
    assert sorted(path.name for path in (tmp_path / "trash").iterdir()) == ["name", "name-2"]


@pytest.mark.parametrize("name", ["garden walk", "снег", "庭", "é", "naïve-2", "_x", "حديقة", "a" * 80])
def test_letters_of_every_alphabet_may_be_a_name(name):
    assert checked_name(name) == name == usable_name(name)


NONE = ["", "a/b", "..", ".x", "-x", "a.", "a ", "con", "NUL.txt", "a\nb", "a:b", "庭" * 80, "a" * 81, "\udce9"]


@pytest.mark.parametrize("name", NONE)
def test_what_no_file_may_be_called_is_refused_and_something_near_it_is_not(name):
    with pytest.raises(InputError, match="--name cannot be a file's name"):
        checked_name(name)
    assert checked_name(usable_name(name))


def test_a_recorder_that_cannot_start_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    settings = RecordSettings(root=str(tmp_path / "deep" / "root"))
    for out in (None, tmp_path / "out"):
        with pytest.raises(RecordingError, match="ffmpeg does not start"):
            start_recorder(out, header(), name="x", first_frame=first_picture(), settings=settings)
    assert list(tmp_path.iterdir()) == []


def test_a_recorder_that_cannot_start_leaves_what_was_there(recording, tmp_path, monkeypatch):
    before = {path.name: path.read_bytes() for path in recording.iterdir()}
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    settings, first = RecordSettings(), first_picture()
    with pytest.raises(RecordingError):
        start_recorder(recording, header(), name="demo", first_frame=first, settings=settings, keep_live=False)
    assert {path.name: path.read_bytes() for path in recording.iterdir()} == before


# -- rendered again ----------------------------------------------------------------------------------------------------


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Stands for the python that renders: notes its arguments and does what it is told."""

    def make(text: str) -> Path:
        path = tmp_path / "python"
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/argv\n{text}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(library_module.sys, "executable", str(path))
        return tmp_path / "argv"

    return make


def folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_a_recording_whose_video_was_renamed_is_rendered_again(recording, tmp_path, program):
    argv = program("exit 0")
    (recording / "demo.mp4").rename(recording / "garden walk (final), é.mp4")
    library = Library(tmp_path)
    (entry,) = library.entries()
    assert entry.name == "garden walk (final), é"
    library.render(entry)
    assert wait_until(lambda: library.rendering(entry.folder).poll() == 1.0)
    told = argv.read_text().splitlines()
    name = next(word for word in told if word.startswith("--name=")).removeprefix("--name=")
    assert checked_name(name) == "garden walk _final__ é"


def test_a_rendering_that_fails_leaves_nothing(recording, tmp_path, program):
    program("echo 'game: no such thing' >&2; exit 1")
    library = Library(tmp_path)
    library.render(library.entries()[0])
    rendering = library.rendering(recording)
    assert wait_until(lambda: not rendering.running)
    with pytest.raises(RecordingError, match=r"^no such thing$"):
        rendering.poll()
    assert folders(tmp_path) == ["recording"]


def test_a_rendering_that_does_not_start_leaves_nothing(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(library_module.sys, "executable", str(tmp_path / "none"))
    library = Library(tmp_path)
    with pytest.raises(RecordingError, match="does not start"):
        library.render(library.entries()[0])
    assert folders(tmp_path) == ["recording"]


def test_a_rendering_that_is_being_started_does_not_outlive_the_game(recording, tmp_path, program, monkeypatch):
    program("exec sleep 1000")
    library, popen = Library(tmp_path), subprocess.Popen
    starting, go_on = threading.Event(), threading.Event()

    def slow(*args, **how):
        starting.set()
        assert go_on.wait(60)
        return popen(*args, **how)

    monkeypatch.setattr(library_module.subprocess, "Popen", slow)
    worker = threading.Thread(target=library.render, args=(library.entries()[0],))
    worker.start()
    assert starting.wait(60)
    closed: list[list[str]] = []
    closer = threading.Thread(target=lambda: closed.append(library.close()))
    closer.start()
    closer.join(0.2)
    assert closer.is_alive(), "what is being started is waited for"
    go_on.set()
    worker.join(60)
    closer.join(60)
    assert closed and len(closed[0]) == 1 and "cancelled" in closed[0][0]
    assert not library.rendering(recording).running and folders(tmp_path) == ["recording"]
    with pytest.raises(RecordingError, match="the program is ending"):
        library.render(library.entries()[0])
