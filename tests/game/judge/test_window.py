"""Claims about judging from the window: progress, then the page in the browser; it ends with the program."""

import os

import pytest

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

from game.errors import RunError
from game.judge.process import Judging
from game.recording.library import Library
from game.ui.pages import recordings
from game.ui.pages.recordings import RecordingPage
from tests.game.agents.test_export import recording
from tests.game.fakes import wait_until
from tests.game.screens import set_stage


class Slow(Judging):
    """Judging by hand."""

    def __init__(self, folder):
        self.page, self.share, self.cancelled = folder / "judge.html", 0.0, False

    def poll(self):
        if isinstance(self.share, str):
            raise RunError(self.share)
        return self.share

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def page(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(recordings, "Judging", Slow)
    monkeypatch.setattr(recordings.webbrowser, "open", opened.append)
    stage = set_stage((1280, 720), tmp_path)
    library = stage.commands.library
    page = RecordingPage(stage.commands, stage.menu, library.kept[0], library)
    stage.menu.open("Recordings")
    stage.menu.push(page)
    stage.settle()
    return stage, library, page, opened


def button(page):
    return next(widget for widget in page.widgets() if getattr(widget, "name", "") == "judge")


def test_judge_shows_how_far_it_is_and_then_opens_the_page(page):
    stage, library, page, opened = page
    button(page).act()
    judging = library.readers[library.kept[0].folder]
    judging.share = 0.42
    assert page.tick(0.0)
    assert "42%" in button(page).label
    judging.share = 1.0
    page.tick(0.0)
    stage.settle()
    assert opened == [judging.page.resolve().as_uri()]
    assert not library.readers and button(page).label == "Judge"


def test_a_failure_is_told_and_a_press_cancels(page):
    stage, library, page, opened = page
    button(page).act()
    library.readers[library.kept[0].folder].share = "the video cannot be read"
    page.tick(0.0)
    assert stage.menu.remark == "the video cannot be read"
    button(page).act()
    judging = library.readers[library.kept[0].folder]
    button(page).act()
    stage.settle()
    assert judging.cancelled and not library.readers and not opened


def test_judging_ends_with_the_program_and_keeps_its_recording(tmp_path):
    library = Library(tmp_path)
    folder = recording(tmp_path / "walk")
    judging = Judging(folder)
    library.readers[folder] = judging
    assert library.busy(folder) == "it is being judged"
    library.close()
    with pytest.raises(RunError):  # it has ended, and not by itself
        judging.poll()
    assert not (folder / ".progress").exists()


def test_a_process_of_its_own_judges_a_recording(tmp_path):
    folder = recording(tmp_path / "walk")
    judging = Judging(folder)
    assert wait_until(lambda: judging.poll() == 1.0, 240.0)
    assert judging.page.is_file() and (folder / "judge.json").is_file()


@pytest.mark.slow
def test_what_cannot_be_judged_is_told_in_its_own_words(tmp_path):
    folder = recording(tmp_path / "walk")
    (folder / "clip.mp4").unlink()
    judging = Judging(folder)
    with pytest.raises(RunError, match="the recording has no video"):
        wait_until(lambda: judging.poll() == 1.0, 240.0)
