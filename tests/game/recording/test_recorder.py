"""A session's folder is complete, honest, and survives whatever ends the program."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from game.config.settings import RecordSettings
from game.errors import RecordingError, ScriptError
from game.media.pictures import read_picture
from game.recording.format import new_folder, read_recording
from game.recording.writer import Recorder
from tests.game.fakes import wait_until
from tests.game.offline import block, header, read_video

FIRST = np.full((32, 64, 3), 90, np.uint8)
ROOT = Path(__file__).parents[3]


def recorder(folder, **options):
    return Recorder(folder, header(), name="demo", first_frame=FIRST, **options)


def test_a_session_holds_every_file_of_the_contract(tmp_path):
    made = recorder(tmp_path, current=True)
    for i in range(5):
        made.add(block(i, frames=3))
    report = made.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        *("demo.mp4", "demo_icon.mp4", "demo_current.mp4", "actions.jsonl", "first_frame.png", "report.json"),
    }
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert {
        *("model", "mode", "seed", "width", "height", "fps", "frames", "blocks", "frames_sha256", "weights_sha256"),
        *("generated_fps", "realtime_factor", "block_ms", "stage_ms", "device", "dtype", "torch"),
    } <= set(report)
    assert set(report["block_ms"]) == {"p50", "p95"}
    assert report["stage_ms"] == {"denoise": 1.0, "context": 0.0, "decode": 2.0}
    assert report["generated_fps"] == pytest.approx(1000.0)


def test_the_hash_is_over_the_clean_frames_in_order(tmp_path):
    made, blocks = recorder(tmp_path), [block(i, frames=2) for i in range(3)]
    for each in blocks:
        made.add(each)
    pixels = b"".join(each.frames.tobytes() for each in blocks)
    assert made.close()["frames_sha256"] == hashlib.sha256(pixels).hexdigest()


def test_the_video_shows_the_frames_and_its_twin_the_icons_too(tmp_path):
    made = recorder(tmp_path, settings=RecordSettings(icon_height=64, crf=1))
    for i in range(6):
        made.add(block(i, grey=40 * i))
    made.close()
    clean, icons = read_video(tmp_path / "demo.mp4"), read_video(tmp_path / "demo_icon.mp4")
    assert clean.shape == (6, 32, 64, 3)
    assert icons.shape == (6, 64, 128, 3)
    np.testing.assert_allclose(clean.mean(axis=(1, 2, 3)), [0, 40, 80, 120, 160, 200], atol=3)
    assert np.ptp(icons[3].astype(int)) > 60


def test_the_log_reads_back_as_the_actions_that_were_given(tmp_path):
    made = recorder(tmp_path)
    given = [block(0, 3, keys=("W", "A")), block(1, 3, keys=())]
    for each in given:
        made.add(each)
    made.close()
    recording = read_recording(tmp_path / "actions.jsonl")
    assert recording.header == header()
    assert recording.actions[:3] == given[0].actions
    assert recording.actions[3:] == given[1].actions
    line = json.loads((tmp_path / "actions.jsonl").read_text().splitlines()[5])
    checksum = f"{zlib.crc32(given[1].frames[1].tobytes()):08x}"
    assert line == {
        "frame": 4, "block": 1, "keyboard": [0.0] * 4, "mouse": [0.0, 0.1], "keys": [], "crc32": checksum,
    }  # fmt: skip
    np.testing.assert_array_equal(read_picture(recording.first_frame), FIRST)


def test_every_block_is_in_the_log_as_soon_as_it_is_added(tmp_path):
    made = recorder(tmp_path)
    for i in range(3):
        made.add(block(i, frames=2))
        assert len((tmp_path / "actions.jsonl").read_text().splitlines()) == 1 + 2 * (i + 1)
    made.close()


def test_adding_does_not_wait_for_the_encoder(tmp_path):
    made = recorder(tmp_path)
    for pid in made.encoder_pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for i in range(200):
            made.add(block(i))  # would not return, since nobody reads
    finally:
        for pid in made.encoder_pids:
            os.kill(pid, signal.SIGCONT)
    made.close()
    assert len(read_video(tmp_path / "demo.mp4")) == 200


def test_an_encoder_that_dies_is_told_in_one_line_and_the_rest_is_kept(tmp_path):
    made = recorder(tmp_path)
    made.add(block(0))
    os.kill(made.encoder_pids[0], signal.SIGKILL)
    with pytest.raises(RecordingError, match=r"ffmpeg stopped while writing .*demo\.mp4") as caught:
        for i in range(1, 20_000):
            made.add(block(i))
            time.sleep(0.002)
    assert "\n" not in str(caught.value)
    report = made.close()
    assert report["frames"] == len(read_recording(tmp_path / "actions.jsonl").actions)
    assert len(read_video(tmp_path / "demo_icon.mp4")) == report["frames"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_in_one_line(tmp_path):
    made = recorder(tmp_path)
    made._log.close()
    made._log = open("/dev/full", "wb")  # noqa: SIM115
    with pytest.raises(RecordingError, match="No space left on device"):
        made.add(block(0))
    assert made.close()["frames"] == 1


def test_actions_of_before_the_recording_are_there_whole_or_not_at_all(tmp_path, monkeypatch):
    before = block(0, 3).actions
    recorder(tmp_path, prelude=before).close()
    assert len((tmp_path / "prelude.jsonl").read_text().splitlines()) == 3
    replace = os.replace

    def half_way(path, target):
        if "prelude" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(path, target)

    monkeypatch.setattr("game.files.os.replace", half_way)  # first: the prelude is written beside the program
    made = recorder(tmp_path, prelude=block(0, 2).actions)
    with pytest.raises(RecordingError, match="No space left on device"):
        made.close()
    assert not [path.name for path in tmp_path.iterdir() if "prelude" in path.name]


def test_a_state_from_outside_without_its_actions_is_not_taken_for_another(tmp_path):
    made = recorder(tmp_path)
    events = [made.enter(FIRST, 1, block(0, 3).actions), made.enter(FIRST, 1, None)]
    made.add(block(0), events)
    made.close()
    recording = read_recording(tmp_path / "actions.jsonl")
    assert [event.actions is None for event in recording.happenings.events[0]] == [False, True]
    (tmp_path / "prelude-1.jsonl").unlink()
    with pytest.raises(ScriptError, match=r"cannot read .*prelude-1\.jsonl"):
        read_recording(tmp_path / "actions.jsonl")


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot write to"):
        new_folder(tmp_path / "file" / "x", "demo")


def test_sessions_never_share_a_folder(tmp_path):
    made = {new_folder(None, "demo", root=tmp_path) for _ in range(3)}
    assert len(made) == 3
    out = new_folder(tmp_path / "out", "demo")
    (out / "actions.jsonl").write_text("{}")
    assert new_folder(tmp_path / "out", "demo") == tmp_path / "out-2"


def test_a_program_killed_in_the_middle_leaves_videos_that_play_up_to_the_last_block(tmp_path):
    code = f"""
        import sys, time
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from tests.game.recording.test_recorder import recorder, block
        made = recorder(Path(sys.argv[1]))
        print(*made.encoder_pids, flush=True)
        videos = made.path(".mp4"), made.path("_icon.mp4")
        for i in range(100000):
            made.add(block(i, frames=3))
            print(i, flush=True)
            # A live session is no faster than its encoders, which write every frame out as they get it.
            while min(path.exists() and path.read_bytes().count(b"moof") for path in videos) < 3 * i:
                time.sleep(0.002)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    pids = [int(word) for word in child.stdout.readline().split()]
    for _ in range(20):
        child.stdout.readline()
    for pid in (child.pid, *pids):  # the encoders too, as when the machine goes down
        os.kill(pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    logged = len(read_recording(tmp_path / "actions.jsonl").actions)
    assert logged >= 60
    for name in ("demo.mp4", "demo_icon.mp4"):
        assert len(read_video(tmp_path / name)) >= logged - 6, name


@pytest.mark.skipif(sys.platform != "linux", reason="only here can be seen what a pipe holds")
def test_blocks_of_a_kill_are_not_lost_when_the_encoders_live_on(tmp_path):
    """Eight frames are what a pipe holds, and the encoder has not even begun when the program dies."""
    code = f"""
        import array, fcntl, os, signal, sys, termios, time
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from tests.game.recording.test_recorder import recorder, block
        made = recorder(Path(sys.argv[1]), icons=False)
        (pid,) = made.encoder_pids
        print(pid, flush=True)
        os.kill(pid, signal.SIGSTOP)
        threads = Path(f"/proc/{{pid}}/task")
        while any(") T " not in path.read_text() for path in threads.glob("*/stat")):
            time.sleep(0.002)  # one that has not stopped yet would read what comes
        pipe, holds = os.open(f"/proc/{{pid}}/fd/0", os.O_RDONLY | os.O_NONBLOCK), array.array("i", [0])
        for i in range(8):
            made.add(block(i))
        while holds[0] < 8 * block(0).frames.nbytes:
            time.sleep(0.002)
            fcntl.ioctl(pipe, termios.FIONREAD, holds)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    child = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(child, check=False, stdout=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL and not (tmp_path / "demo.mp4").exists()
    os.kill(int(done.stdout), signal.SIGCONT)
    assert wait_until(lambda: len(read_video(tmp_path / "demo.mp4")) == 8)
