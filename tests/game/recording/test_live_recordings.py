"""What a live session leaves behind."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from engine.actions import Actions
from game.config.settings import load_settings
from game.recording.format import Job
from game.recording.writer import LiveRecordings
from tests.game.offline import real_world

SHELF = SimpleNamespace(settings_of=lambda world: load_settings())


def test_a_world_left_before_its_first_frame_leaves_nothing_behind(tmp_path, capsys):
    recordings = LiveRecordings(SHELF, Job("session", tmp_path / "kept"))
    world, left = real_world(), tmp_path / "kept-2"
    picture = np.zeros((world.config.height, world.config.width, 3), np.uint8)
    played = world.start(picture, 0)
    recorder = recordings(played, world, "hall")
    idle = world.action_space.action((), (0.0, 0.0))
    recorder.add(played.step(Actions.stack([idle] * played.next_frames)))
    recorder.close()
    recordings(world.start(picture, 0), world, "court").close()
    assert left.is_dir()
    assert not recordings.tell()
    assert not left.exists() and (tmp_path / "kept" / "session.mp4").exists()
    assert capsys.readouterr().out == f"{recorder.frames} frames in {tmp_path / 'kept'}\n"


def test_recordings_of_this_run_and_those_left_in_the_same_folder_before_are_named(tmp_path):
    out, world = tmp_path / "kept", real_world()
    picture = np.zeros((world.config.height, world.config.width, 3), np.uint8)
    recordings = LiveRecordings(SHELF, Job("session", out))
    assert recordings.folders() == []
    first = recordings(world.start(picture, 0), world, "hall")
    assert recordings.being_written() == [out] and set(recordings.folders()) == {out}
    first.close()
    assert recordings.being_written() == []
    later = LiveRecordings(SHELF, Job("session", out))
    second = later(world.start(picture, 0), world, "hall")
    assert set(later.folders()) == {out, tmp_path / "kept-2"} and later.being_written() == [second.folder]
    second.close()


def test_a_recording_in_the_place_of_a_deleted_one_is_kept(tmp_path):
    out, world = tmp_path / "kept", real_world()
    picture = np.zeros((world.config.height, world.config.width, 3), np.uint8)
    recordings = LiveRecordings(SHELF, Job("session", out))
    recordings(world.start(picture, 0), world, "hall").close()  # left before its first frame
    out.rename(tmp_path / "trash")
    played = world.start(picture, 0)
    recorder = recordings(played, world, "hall")
    recorder.add(played.step(Actions.stack([world.action_space.action()] * played.next_frames)))
    recorder.close()
    assert not recordings.tell()
    assert recorder.folder == out and (out / "session.mp4").exists()


def test_what_else_lay_in_the_folder_stays(tmp_path):
    recordings = LiveRecordings(SHELF, Job("session", tmp_path))
    (tmp_path / "diary.txt").write_text("mine")
    world = real_world()
    picture = np.zeros((world.config.height, world.config.width, 3), np.uint8)
    recordings(world.start(picture, 0), world, "hall").close()
    assert not recordings.tell()
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]
