"""Videos are written and read by any path and any ffmpeg from 4.2 on, and what fails says why."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from game.errors import RecordingError
from game.media import video
from game.media.video import Encoder, EncoderThread, Video, encode_command, telling_line, write_clip
from tests.game.fakes import within

GREY = np.stack([np.full((32, 64, 3), 20 * i, np.uint8) for i in range(6)])


def program(folder: Path, text: str) -> Path:
    """Something that stands for an ffmpeg."""
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """Makes the programs that play ffmpeg; $REAL in them is the one that is installed."""
    monkeypatch.setenv("REAL", video.ffmpeg_binary())
    monkeypatch.setattr(video, "_KILLED_S", 2.0)

    def make(text: str) -> None:
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program(tmp_path, text)))

    return make


NAMES = ["12:30", "take:2", "-x", "http:", "a%03d", "a,b[c]=d", "ü é", "\\'\"", "line\nbreak", "~", "caf\udce9"]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_text_whatever_is_in_it(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    try:
        Path(name).mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    path = Path(name) / f"{name}.mp4"
    write_clip(path, GREY, 20.0)
    with Video(path) as made:
        assert made.frames == 6 and abs(int(made.at(3).mean()) - 60) < 4
    assert [each.name for each in Path(name).iterdir()] == [path.name]


def test_no_option_is_used_that_came_after_ffmpeg_4_2(tmp_path):
    """-fps_mode came with 5.1; all that is left has been there since 4.2 at least."""
    command = encode_command(tmp_path / "x.mp4", 64, 32, 20.0, 18)
    old = """-hide_banner -loglevel -nostats -y -f -pix_fmt -s -r -i -vf -colorspace -color_primaries -color_trc
             -color_range -an -c:v -preset -tune -crf -g -threads -movflags -flush_packets"""
    assert {word for word in command if re.fullmatch(r"-[a-z_:]+", word)} <= set(old.split())


def test_an_ffmpeg_of_before_5_1_writes_videos(tmp_path, ffmpeg):
    ffmpeg('case "$*" in *-fps_mode*) echo "Unrecognized option \'fps_mode\'." >&2; exit 1;; esac; exec "$REAL" "$@"')
    write_clip(tmp_path / "x.mp4", GREY, 20.0)
    with Video(tmp_path / "x.mp4") as made:
        assert made.frames == 6


@pytest.mark.parametrize(
    ("first", "pictures"),
    [("cat >/dev/null", 1), ("", 400)],
    ids=["once it has the pictures", "while it is handed them"],
)
def test_an_ffmpeg_that_lacks_what_is_needed_is_told_with_its_version_and_not_as_a_full_disk(
    tmp_path, ffmpeg, first, pictures
):
    """Whether the end shows by the pipe that breaks (more pictures than a pipe holds) or by the exit code."""
    ffmpeg(
        'case "$*" in *-version*) echo "ffmpeg version 3.4-old Copyright"; exit 0;; esac\n'
        f"{first}\necho \"[abc @ 0x1] Unknown encoder 'libx264'\" >&2; echo 'Conversion failed!' >&2; exit 1"
    )
    with pytest.raises(RecordingError) as caught:
        write_clip(tmp_path / "x.mp4", np.zeros((pictures, 32, 64, 3), np.uint8), 20.0)
    said = str(caught.value)
    assert "(Unknown encoder 'libx264'); got version 3.4-old; expected ffmpeg 4.2 or newer" in said
    assert "space" not in said and "\n" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Unrecognized option 'x'.\nError splitting the argument list: Option not found\n", "Unrecognized option 'x'."),
        ("[mp4 @ 0x55] No space left on device\nConversion failed!", "No space left on device"),
        ("\n", ""),
        ("Conversion failed!", "Conversion failed!"),
    ],
)
def test_the_line_that_is_told_is_the_one_that_says_why(said, line):
    assert telling_line(said) == line


def test_an_ffmpeg_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    for call in (video.ffmpeg_version, lambda: Encoder(tmp_path / "x.mp4", 64, 32, 20.0)):
        with pytest.raises(RecordingError, match=r"ffmpeg does not start .*No such file"):
            call()


def test_an_encoder_that_stands_still_is_ended_and_the_rest_of_the_program_goes_on(tmp_path, ffmpeg, monkeypatch):
    """Nothing here waits for longer than it is told to, whatever the child does."""
    monkeypatch.setattr(video, "STALL_S", 0.2)
    ffmpeg("exec sleep 1000")
    thread = EncoderThread(Encoder(tmp_path / "x.mp4", 64, 32, 20.0), lambda item: item, 2)
    large = np.zeros((200, 32, 64, 3), np.uint8)  # more than a pipe holds
    for _ in range(4):
        thread.put(large, wait=True)
    within(60.0, thread.close)
    assert "cannot keep up" in str(thread.problem) and thread.pid


def test_what_was_written_before_an_encoder_was_killed_can_be_played(tmp_path):
    thread = EncoderThread(Encoder(tmp_path / "x.mp4", 64, 32, 20.0), lambda item: item, 4)
    for _ in range(3):
        thread.put(GREY, wait=True)
    written = tmp_path / "x.mp4"
    for _ in video_frames(written, 6):
        pass
    thread.kill()
    thread.close()
    assert thread.problem is not None
    with Video(written) as made:
        assert made.frames >= 6


def video_frames(path: Path, least: int):
    """Waits, generously, until so many fragments are on disk."""
    import time

    end = time.monotonic() + 30
    while time.monotonic() < end and (not path.exists() or path.read_bytes().count(b"moof") < least):
        time.sleep(0.02)
        yield


def test_a_job_runs_in_its_turn_and_finishing_tells_once(tmp_path):
    thread, told = EncoderThread(Encoder(tmp_path / "x.mp4", 64, 32, 20.0), lambda item: item, 4), []
    thread.put(GREY, wait=True)
    thread.run(lambda: told.append("job"))
    thread.finish(lambda: told.append("done"))
    thread.finish(lambda: told.append("again"))
    thread.join()
    assert told == ["job", "done"] and thread.problem is None


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"no video", None])
def test_a_file_that_is_no_video_is_told_in_one_line(tmp_path, content, capfd):
    path = tmp_path / "x.mp4"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(RecordingError, match="the video cannot be read"):
        Video(path)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_a_video_that_never_answers_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.mp4")
    with pytest.raises(RecordingError, match="a pipe"):
        Video(tmp_path / "x.mp4")
