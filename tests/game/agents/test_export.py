"""Claims about recordings as training data."""

import json
from pathlib import Path

import numpy as np
import pytest

from engine.actions import Actions
from engine.block import Block, Timings
from engine.families import action_space
from game.agents.export import export
from game.cli import parse
from game.errors import InputError
from game.media.video import FrameReader
from game.recording.format import SessionHeader
from game.recording.writer import Recorder
from tests.game.fakes import landscape

pandas, parquet = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
SPACE = action_space("universal")
KEYS = [(), ("W",), ("W", "D"), ("D",), (), ("S",)]


def recording(folder: Path, frames: int = 6, events: list[dict] | None = None, fps: float = 20.0) -> Path:
    folder.mkdir(parents=True)
    header = SessionHeader("tiny", "universal", 0, 96, 64, fps, "a" * 64, "b" * 64, "1", scene="hall")
    recorder = Recorder(folder, header, name="clip", first_frame=landscape(64, 96, 0, 0), wait=True, icons=False)
    for n in range(frames):
        actions = Actions.stack([SPACE.action(KEYS[n % 6], (0.0, 0.1 if n % 2 else 0.0))])
        block = Block(n, n, landscape(64, 96, n / 10, 0)[None], actions, Timings(1, 0, 0, 1))
        recorder.add(block, events or [] if n == 3 else [])
    recorder.close()
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("recordings")
    return [recording(root / "a", 6), recording(root / "b", 4)]


def frames_of(path: Path) -> np.ndarray:
    return np.concatenate([frames for frames, _ in FrameReader(path).chunks(8)])


def test_parquet_holds_each_frames_own_action_and_time(two, tmp_path):
    assert export("parquet", two, tmp_path / "out") == 0
    rows = pandas.read_parquet(tmp_path / "out" / "episode-000000.parquet")
    assert [tuple(keys) for keys in rows["keys"]] == KEYS
    assert rows["time"].tolist() == pytest.approx([n / 20 for n in range(6)])
    assert rows["mouse_yaw"].tolist() == pytest.approx([0, 0.1, 0, 0.1, 0, 0.1])
    assert np.stack(rows["keyboard"])[1].tolist() == [1, 0, 0, 0]
    listed = json.loads((tmp_path / "out" / "episodes.json").read_text())["episodes"]
    assert [row["frames"] for row in listed] == [6, 4] and listed[0]["scene"] == "hall"
    assert np.array_equal(frames_of(tmp_path / "out" / listed[1]["video"]), frames_of(two[1] / "clip.mp4"))


def test_lerobots_rows_pair_a_picture_with_the_action_taken_on_seeing_it(two, tmp_path):
    out = tmp_path / "out"
    export("lerobot", two, out)
    info = json.loads((out / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_frames"], info["total_episodes"], info["fps"]) == ("v3.0", 8, 2, 20)
    assert info["features"]["action"]["names"] == ["key_W", "key_S", "key_A", "key_D", "mouse_pitch", "mouse_yaw"]
    first, second = (pandas.read_parquet(out / info["data_path"].format(chunk_index=0, file_index=n)) for n in (0, 1))
    assert np.stack(first["action"])[0].tolist() == pytest.approx([1, 0, 0, 0, 0, 0.1])  # frame 1's
    assert second["index"].tolist() == [5, 6, 7] and second["frame_index"].tolist() == [0, 1, 2]
    episodes = pandas.read_parquet(out / "meta/episodes/chunk-000/file-000.parquet")
    assert episodes["length"].tolist() == [5, 3] and episodes["dataset_to_index"].tolist() == [5, 8]
    tasks = pandas.read_parquet(out / "meta/tasks.parquet")
    assert tasks.index.tolist() == ["play hall (tiny)"] and tasks["task_index"].tolist() == [0]
    video = out / info["video_path"].format(video_key="observation.images.view", chunk_index=0, file_index=0)
    times = np.concatenate([seconds for _, seconds in FrameReader(video).chunks(8)])
    assert times == pytest.approx(np.arange(6) / 20, abs=1e-4)
    stats = json.loads((out / "meta/stats.json").read_text())
    actions = np.concatenate([np.stack(first["action"]), np.stack(second["action"])])
    assert stats["action"]["mean"] == pytest.approx(actions.mean(0).tolist(), abs=1e-6)
    assert stats["action"]["std"] == pytest.approx(actions.std(0).tolist(), abs=1e-6)
    assert np.shape(stats["observation.images.view"]["mean"]) == (3, 1, 1)


def test_lerobots_own_loader_reads_it(two, tmp_path):
    datasets = pytest.importorskip("lerobot.datasets.lerobot_dataset")
    export("lerobot", two, tmp_path / "out")
    data = datasets.LeRobotDataset("local/walks", root=tmp_path / "out")
    assert (data.num_frames, data.num_episodes, data.fps) == (8, 2, 20)
    item = data[6]
    assert item["observation.images.view"].shape == (3, 64, 96)
    assert item["task"] == "play hall (tiny)"
    shown = frames_of(two[1] / "clip.mp4")[1].transpose(2, 0, 1) / 255
    assert np.abs(item["observation.images.view"].numpy() - shown).mean() < 0.02


def test_what_is_no_one_run_of_play_is_refused(two, tmp_path):
    cut = recording(tmp_path / "cut", events=[{"event": "return", "frame": 1}])
    with pytest.raises(InputError, match="goes back in time"):
        export("parquet", [cut], tmp_path / "out")
    other = recording(tmp_path / "slow", fps=10.0)
    with pytest.raises(InputError, match="of another fps than"):
        export("lerobot", [two[0], other], tmp_path / "out")
    with pytest.raises(InputError, match="is not empty"):
        export("lerobot", two, two[0])
    with pytest.raises(InputError, match="no recording to export"):
        export("lerobot", [tmp_path / "none"], tmp_path / "out")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--export lerobot", "needs recordings"),
        ("--export lerobot a", "somewhere to write"),
        ("--export x a", "invalid choice"),
    ],
)
def test_flags_that_do_not_go_together_are_told(line, said):
    with pytest.raises(InputError, match=said):
        parse(line.split())
