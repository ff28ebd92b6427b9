"""Recordings are listed whatever state they are in, and nothing is lost by deleting them."""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
from datetime import datetime

import numpy as np
import pytest

from game.errors import RecordingError
from game.media.video import Video
from game.recording.library import TRASH, Library, Rendering, Trash
from tests.game.fakes import wait_until
from tests.game.offline import block, header
from tests.game.recording.test_recorder import recorder


def record(folder, frames: int = 8, closed: bool = True):
    folder.mkdir(parents=True)
    made = recorder(folder)
    for i in range(frames):
        made.add(block(i, grey=20 * i))
    if closed:
        made.close()
    return made


@pytest.fixture
def library(tmp_path):
    """Two recordings, the older one first made."""
    record(tmp_path / "20260102T030405Z-demo", 8)
    record(tmp_path / "20260304T050607Z-demo-2", 4)
    return Library(tmp_path)


def test_recordings_are_listed_newest_first_with_what_a_person_wants_to_know(library):
    newest, oldest = library.entries()
    assert (newest.frames, oldest.frames) == (4, 8) and oldest.seconds == 0.4
    assert (oldest.name, oldest.model, oldest.mode, oldest.fps) == ("demo", "tiny", "universal", 20.0)
    assert oldest.problem is None and oldest.video.name == "demo.mp4" and oldest.icons.name == "demo_icon.mp4"
    utc = datetime.fromisoformat("2026-01-02T03:04:05+00:00")
    assert oldest.made == utc.astimezone().replace(tzinfo=None)


def test_an_empty_or_missing_folder_lists_nothing(tmp_path):
    assert Library(tmp_path / "none").entries() == []


def test_broken_recordings_are_listed_with_their_problem(library, tmp_path):
    broken = tmp_path / "broken"
    record(broken)
    log = broken / "actions.jsonl"
    good = log.read_text()
    log.write_text(good.replace('"frame": 3', '"frame": 30'))
    assert "frames out of order" in problem_of(library, broken)
    log.write_bytes(b"\x00\xff nonsense")
    assert "broken" in problem_of(library, broken)
    log.write_text("")
    assert "empty" in problem_of(library, broken)
    log.write_text(good)
    (broken / "first_frame.png").unlink()
    assert "first frame" in problem_of(library, broken)
    for video in broken.glob("*.mp4"):
        video.write_bytes(b"no video")
    entry = next(entry for entry in library.entries() if entry.folder == broken)
    assert library.thumbnail(entry) is None
    with pytest.raises(RecordingError, match="cannot be read"):
        library.open_video(entry)


def problem_of(library, folder) -> str:
    return next(entry for entry in library.entries() if entry.folder == folder).problem


def test_a_recording_that_is_still_being_written_is_listed(tmp_path):
    made = record(tmp_path / "live", 6, closed=False)
    (entry,) = Library(tmp_path).entries()
    assert entry.frames == 6 and entry.problem is None
    made.close()


def test_a_video_shows_the_frame_that_is_asked_for_in_any_order(library):
    with library.open_video(library.entries()[1]) as video:
        assert (video.frames, video.fps) == (8, 20.0)
        greys = {frame: video.at(frame).mean() for frame in (0, 1, 2, 7, 3, 3, 0, 99, -5)}
    for frame, grey in greys.items():
        assert grey == pytest.approx(20 * min(7, max(0, frame)), abs=4)


def test_a_jump_over_many_frames_lands_on_the_right_one(tmp_path):
    record(tmp_path / "long", 0, closed=False)
    made = recorder(tmp_path / "long")
    for i in range(200):
        made.add(block(i, grey=i))
    made.close()
    with Video(tmp_path / "long" / "demo.mp4") as video:
        assert video.frames == 200
        for frame in (150, 10, 199, 60):
            assert video.at(frame).mean() == pytest.approx(frame, abs=4)


def test_a_thumbnail_is_from_the_middle(library):
    assert library.thumbnail(library.entries()[1]).mean() == pytest.approx(80, abs=4)


def test_a_deleted_recording_can_be_brought_back_as_it_was(library, tmp_path):
    entry = library.entries()[1]
    before = {path.name: path.read_bytes() for path in entry.folder.iterdir()}
    thrown = library.delete(entry)
    assert len(library.entries()) == 1 and not entry.folder.exists() and (tmp_path / TRASH).is_dir()
    assert library.restore(thrown) == entry.folder
    assert {path.name: path.read_bytes() for path in entry.folder.iterdir()} == before
    assert len(library.entries()) == 2


def test_recordings_of_one_name_have_room_in_the_trash(library):
    first = library.entries()[0]
    thrown = library.delete(first)
    record(first.folder, 3)
    again = library.delete(library.entries()[0])
    assert thrown.trashed != again.trashed
    library.restore(again)
    with pytest.raises(RecordingError, match="taken its place"):
        library.restore(thrown)
    library.empty_trash()
    with pytest.raises(RecordingError):
        library.restore(thrown)


def test_a_rendering_that_fails_says_why(library):
    entry = library.entries()[0]
    library.render(entry, ("model=nonsense",))
    rendering = library.rendering(entry.folder)
    end = time.monotonic() + 60
    with pytest.raises(RecordingError, match="there is no model 'nonsense'"):
        while rendering.poll() < 1.0 and time.monotonic() < end:
            time.sleep(0.05)


def test_a_rendering_tells_its_share_and_leaves_nothing_behind_when_it_is_cancelled(tmp_path):
    (folder := tmp_path / "again").mkdir()
    (folder / "actions.jsonl").write_text("header\n" + "frame\n" * 5)
    rendering = Rendering(["sleep", "60"], folder, 10)
    assert rendering.poll() == 0.5 and rendering.running
    rendering.cancel()
    rendering.join()
    assert not rendering.running and not folder.exists()
    with pytest.raises(RecordingError, match="cancelled; nothing of it is kept"):
        rendering.poll()


def test_a_rendering_that_is_done_cannot_be_cancelled(tmp_path):
    rendering = Rendering(["true"], tmp_path, 10)
    assert wait_until(lambda: rendering.poll() == 1.0)
    rendering.cancel()
    rendering.join()
    assert tmp_path.is_dir() and not rendering.cancelled and rendering.poll() == 1.0


def test_the_share_of_a_rendering_is_told_by_what_is_new_of_its_log_alone(tmp_path):
    log = tmp_path / "actions.jsonl"
    rendering = Rendering(["sleep", "60"], tmp_path, 10)
    assert rendering.poll() == 0.0
    log.write_bytes(b"header\n" + b"frame\n" * 4 + b"fra")
    assert rendering.poll() == 0.4
    log.write_bytes(b"?" * log.stat().st_size + b"me\n" + b"frame\n")  # what was read before is not read again
    assert rendering.poll() == 0.6
    rendering.cancel()
    rendering.join()


def sleeping(monkeypatch):
    """Has renderings do nothing for a minute."""
    popen = subprocess.Popen
    monkeypatch.setattr(
        "game.recording.library.subprocess.Popen", lambda command, **how: popen(["sleep", "60"], **how)
    )  # fmt: skip


def test_a_rendering_is_found_again_and_ends_with_the_library(library, monkeypatch):
    sleeping(monkeypatch)
    entry = library.entries()[0]
    library.render(entry)
    rendering = library.rendering(entry.folder)
    assert rendering.running and rendering.folder.is_dir()
    with pytest.raises(RecordingError, match="rendered already"):
        library.render(entry)
    (line,) = library.close()
    assert line == f"{entry.folder.name}: the rendering was cancelled; nothing of it is kept"
    assert not rendering.folder.exists() and len(library.entries()) == 2
    library.without(rendering)
    assert library.rendering(entry.folder) is None and library.close() == []


def test_neither_end_of_a_rendering_is_deleted_before_it_is_done(library, monkeypatch):
    sleeping(monkeypatch)
    source = library.entries()[0]
    library.render(source)
    rendering = library.rendering(source.folder)
    shutil.copy(source.folder / "actions.jsonl", rendering.folder)
    (made,) = [entry for entry in library.entries() if entry.folder == rendering.folder]
    for entry, words in ((source, "being rendered again"), (made, "being written")):
        assert words in library.busy(entry.folder)
        with pytest.raises(RecordingError, match=words):
            library.delete(entry)
        assert entry.folder.is_dir()
    library.close()
    assert library.busy(source.folder) == ""


def test_the_recording_that_is_being_written_is_not_deleted(tmp_path):
    made = record(tmp_path / "live", 6, closed=False)
    alias = tmp_path / "x" / ".." / "live"
    (tmp_path / "x").mkdir()
    library = Library(tmp_path, being_written=lambda: [] if made.closed else [alias])
    (entry,) = library.entries()
    assert "being written" in library.busy(entry.folder)
    with pytest.raises(RecordingError, match="not deleted: it is being written"):
        library.delete(entry)
    assert entry.folder.is_dir()
    made.close()
    assert library.busy(entry.folder) == ""
    library.delete(entry)
    assert not entry.folder.exists()


def another_disk(*paths):
    raise OSError(errno.EXDEV, "Invalid cross-device link")


def test_recordings_elsewhere_are_listed_once_and_can_be_deleted_and_brought_back(tmp_path, monkeypatch):
    record(tmp_path / "root" / "a", 3)
    record(tmp_path / "elsewhere", 4)
    there = [tmp_path / "elsewhere", tmp_path / "root" / "a", tmp_path / "none"]
    library = Library(tmp_path / "root", elsewhere=lambda: there)
    assert sorted(entry.frames for entry in library.entries()) == [3, 4]
    (entry,) = [entry for entry in library.entries() if entry.frames == 4]
    before = {path.name: path.read_bytes() for path in entry.folder.iterdir()}

    monkeypatch.setattr("game.files.os.rename", another_disk)
    thrown = library.delete(entry)
    assert thrown.trashed.parent == tmp_path / "root" / TRASH and not entry.folder.exists()
    assert library.restore(thrown) == entry.folder
    assert {path.name: path.read_bytes() for path in entry.folder.iterdir()} == before


def test_a_folder_elsewhere_is_not_deleted_with_what_else_lies_in_it(tmp_path):
    record(tmp_path / "mine", 3)
    (tmp_path / "mine" / "holiday.mp4").write_bytes(b"not a recording's")
    library = Library(tmp_path / "root", elsewhere=lambda: [tmp_path / "mine"])
    (entry,) = library.entries()
    with pytest.raises(RecordingError, match=r"holds more than it; got .*holiday\.mp4"):
        library.delete(entry)
    (tmp_path / "mine" / "holiday.mp4").unlink()
    library.delete(entry)
    assert library.entries() == []


def test_a_recording_that_cannot_be_moved_to_another_disk_stays_whole(library, monkeypatch):
    entry = library.entries()[0]

    def half_a_copy(source, target, **how):
        (target / "half").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("game.files.os.rename", another_disk)
    monkeypatch.setattr("game.files.shutil.copytree", half_a_copy)
    with pytest.raises(RecordingError, match="No space left"):
        library.delete(entry)
    assert library.entries()[0] == entry and library.trash().recordings == 0


def test_the_trash_says_what_it_holds_and_is_emptied_for_good(library):
    assert library.trash() == Trash() and library.empty_trash() == ()
    size = sum(path.stat().st_size for path in library.entries()[0].folder.iterdir())
    thrown = library.delete(library.entries()[0])
    assert library.trash() == Trash(1, size / 2**20)
    assert library.empty_trash() == (thrown.trashed,)
    assert library.trash() == Trash() and len(library.entries()) == 1


def test_the_header_of_a_stranger_does_not_matter(library, tmp_path):
    assert header().source == "headless" and not library.entries()[0].live
    assert np.asarray(library.thumbnail(library.entries()[0])).dtype == np.uint8


def test_a_glance_at_a_recording_needs_its_header_and_the_number_of_its_lines_alone(library, tmp_path):
    newest, oldest = (library.glance(folder) for folder in library.listed())
    assert (newest.frames, oldest.frames) == (4, 8) and oldest.model == "tiny" and oldest.problem is None
    log = tmp_path / "20260102T030405Z-demo" / "actions.jsonl"
    log.write_text(log.read_text().replace('"frame": 3', '"frame": 30').rstrip("\n"))
    assert library.glance(log.parent) == oldest, "what is wrong in it is found when it is read"
    assert library.read(log.parent).problem
    log.write_text("no header\n")
    assert library.glance(log.parent).problem


def test_listing_recordings_opens_none_of_them(library, monkeypatch):
    from pathlib import Path

    def refused(*arguments, **options):
        raise AssertionError("opened")

    monkeypatch.setattr(Path, "open", refused)
    assert len(library.listed()) == 2
