"""Claims about what can be judged: our recordings, and anyone's videos with anyone's logs."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from engine.actions import Actions
from engine.measures.clip import Clip
from engine.measures.clips import judge, measure
from game.errors import InputError
from game.judge.inputs import find_source, read_footage
from game.media.video import Encoder, ffmpeg_binary
from tests.engine.measures.panorama import Panorama, script

TURN = script((None, 8), ("turn_left", 12), (None, 10))


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Panorama(1).film(TURN)


def write_video(path: Path, frames: np.ndarray, fps: float = 20.0) -> Path:
    encoder = Encoder(path, frames.shape[2], frames.shape[1], fps, crf=8)
    encoder.write(frames)
    encoder.close()
    return path


def write_log(path: Path, actions: Actions = TURN) -> Path:
    rows = [
        {"keys": list(keys), "mouse": [float(v) for v in mouse]}
        for keys, mouse in zip(actions.keys, actions.mouse, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(path: Path, rows: list[dict]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def ffmpeg(*words: object) -> None:
    subprocess.run([ffmpeg_binary(), "-hide_banner", "-loglevel", "error", "-y", *map(str, words)], check=True)


def turns_left(path: Path, mapping: Path | None = None) -> bool:
    footage = read_footage(find_source(path, mapping))
    found = judge([measure(clip, ("following",)) for clip in footage.clips])
    return found["following.turn_left.accuracy"].value == 1 and found["following.turn_left.gain"].value > 2


@pytest.fixture
def folder(tmp_path, clip) -> Path:
    write_video(tmp_path / "clip.mp4", clip.frames)
    return tmp_path


def test_a_folder_of_a_video_and_lines_of_actions_is_enough(folder):
    write_log(folder / "actions.jsonl")
    assert turns_left(folder) and turns_left(folder / "clip.mp4") and turns_left(folder / "actions.jsonl")


def test_columns_are_what_the_mapping_says(folder):
    pairs = enumerate(zip(TURN.keys, TURN.mouse, strict=True))
    rows = [{"n": n, "dx": mouse[1] * 500, "fwd": "yes" if "W" in keys else "no"} for n, (keys, mouse) in pairs]
    write_csv(folder / "log.csv", rows)
    (folder / "mapping.yaml").write_text("frame: n\nkeys: {W: fwd}\nmouse: {yaw: dx, yaw_scale: 0.002}\n")
    assert turns_left(folder)


def test_rows_at_their_own_times_hold_until_the_next(folder):
    rows = [{"t": 0.0, "yaw": 0}, {"t": 0.4, "yaw": -0.1}, {"t": 1.0, "yaw": 0}]
    write_csv(folder / "log.csv", rows)
    (folder / "mapping.yaml").write_text("time: t\nmouse: {yaw: yaw}\n")
    assert turns_left(folder)


def test_other_names_of_keys_and_lists_of_them_are_read(folder):
    write_csv(folder / "log.csv", [{"held": "Key.up+a"}] * len(TURN))
    (folder / "mapping.yaml").write_text("pressed: held\nnames: {Key.up: W, a: A}\n")
    clip = read_footage(find_source(folder)).clips[0]
    assert clip.runs[0].asked == ("forward", "strafe_left")


@pytest.mark.parametrize(
    ("mapping", "log", "said"),
    [
        ("keys: {W: fwd}", "n,forward\n1,0\n", "no column 'fwd'.*forward"),
        ("key: {W: fwd}", "n\n1\n", "unknown field 'key'.*did you mean keys"),
        ("keys: {X: n}", "n\n1\n", "has no such key; got X"),
        ("mode: quake", "n\n1\n", "unknown mode"),
        ("mouse: {yaw: n, speed: 2}", "n\n1\n", "bad mouse"),
        ("mouse: {yaw: n}", "n\nfast\n", "line 2: bad n"),
        ("keys: {W: n}", "n\nmaybe\n", "line 2: bad n"),
        ("time: n\nmouse: {yaw: n}", "n\n1\n0\n", "line 3: times go back"),
        ("frame: n", "n\n5\n6\n", "not numbered"),
        ("keys: {W: n}", "n,m\n1\n", "line 2: not as many fields"),
        ("keys: {W: n}", "n\n1\n1\n1\n", "does not fit clip.mp4; got 3 actions, 30 frames"),
        ("- a list", "n\n1\n", "is no mapping"),
        ("keys: {W: n}", "n\n", "holds no actions"),
    ],
)
def test_what_is_wrong_with_a_log_or_mapping_is_one_line(folder, mapping, log, said):
    (folder / "mapping.yaml").write_text(mapping)
    (folder / "log.csv").write_text(log)
    with pytest.raises(InputError, match=said) as error:
        read_footage(find_source(folder))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["audio", "ten_bit", "rotated", "hevc", "webm"])
def test_videos_of_any_kind_give_the_same_answer(folder, kind):
    source = folder / "clip.mp4"
    out = folder / "out" / ("clip.webm" if kind == "webm" else "clip.mp4")
    out.parent.mkdir()
    words = {
        "audio": ["-i", source, "-f", "lavfi", "-i", "sine=440", "-shortest", "-c:v", "copy", "-c:a", "aac"],
        "ten_bit": ["-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-crf", "8"],
        "hevc": ["-i", source, "-c:v", "libx265", "-x265-params", "log-level=error:pools=1", "-crf", "12"],
        "webm": ["-i", source, "-c:v", "libvpx-vp9", "-crf", "15", "-b:v", "0", "-cpu-used", "8"],
    }
    if kind == "rotated":
        turned = folder / "out" / "turned.tmp.mp4"
        ffmpeg("-i", source, "-vf", "transpose=2", "-crf", "8", turned)
        ffmpeg("-display_rotation", "-90", "-i", turned, "-c", "copy", out)
        turned.unlink()
    else:
        ffmpeg(*words[kind], out)
    write_log(out.parent / "log.jsonl")
    footage = read_footage(find_source(out.parent))
    assert footage.frames == len(TURN)
    assert turns_left(out.parent)


def test_frames_that_come_unevenly_are_told_and_matched_by_time(tmp_path, clip):
    write_video(tmp_path / "even.tmp.mp4", clip.frames)
    ffmpeg("-i", tmp_path / "even.tmp.mp4", "-vf", "setpts='if(gt(N,15),2*N-15,N)/20/TB'", "-fps_mode", "vfr",
           "-crf", "8", tmp_path / "clip.mp4")  # fmt: skip
    (tmp_path / "even.tmp.mp4").unlink()
    write_csv(tmp_path / "log.csv", [{"t": 0.0, "yaw": 0}, {"t": 0.4, "yaw": -0.1}, {"t": 1.2, "yaw": 0}])
    (tmp_path / "mapping.yaml").write_text("time: t\nmouse: {yaw: yaw}\n")
    footage = read_footage(find_source(tmp_path))
    assert "frames come at" in footage.notes[0]
    assert footage.clips[0].runs[1].asked == ("turn_left",)
    assert turns_left(tmp_path)


def test_a_video_that_breaks_off_is_judged_as_far_as_it_goes(folder):
    ffmpeg("-i", folder / "clip.mp4", "-c", "copy", "-movflags", "+faststart", folder / "whole.mp4")
    whole = (folder / "whole.mp4").read_bytes()
    (folder / "whole.mp4").unlink()
    (folder / "clip.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    write_log(folder / "log.jsonl")
    footage = read_footage(find_source(folder))
    assert 5 < footage.frames < len(TURN)
    assert "breaks off" in footage.notes[0]


@pytest.mark.parametrize("content", [b"", b"no video at all", bytes(4096)])
def test_what_is_no_video_is_one_line(tmp_path, content):
    (tmp_path / "clip.mp4").write_bytes(content)
    write_log(tmp_path / "log.jsonl")
    with pytest.raises(InputError, match=r"clip\.mp4") as error:
        read_footage(find_source(tmp_path))
    assert "\n" not in str(error.value)


def test_a_video_of_one_frame_is_undecidable_and_says_why(tmp_path, clip):
    write_video(tmp_path / "clip.mp4", clip.frames[:1])
    write_log(tmp_path / "log.jsonl", TURN[:1])
    footage = read_footage(find_source(tmp_path))
    found = judge([measure(clip) for clip in footage.clips])
    assert all(m.value is not None or m.undecidable for m in found.values())


@pytest.mark.parametrize(
    ("files", "said"), [((), "must hold one video; got none"), (("a.mp4", "b.mp4"), "got a.mp4, b.mp4")]
)
def test_a_folder_without_one_video_says_what_it_holds(tmp_path, files, said):
    for name in files:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=said):
        find_source(tmp_path)


def test_a_recording_that_is_not_there_names_the_nearest(tmp_path):
    (tmp_path / "walk").mkdir()
    with pytest.raises(InputError, match="did you mean walk"):
        find_source(tmp_path / "wlak")
