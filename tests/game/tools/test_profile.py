"""--profile: a trace with named ranges and the time of every block, whichever way the world is run."""

import gc
import io
import json
import weakref
from pathlib import Path

import pytest

from game.recording.format import Job
from game.recording.script import load
from game.tools.bench import bench
from game.tools.profile import Profiles, run_profiled
from game.tools.render import render
from game.tools.terminal import stream
from tests.engine import tiny
from tests.game.fakes import FakeModels, FakeScene, FakeWorld
from tests.game.live.stage import ThreadStage
from tests.game.offline import picture_file, real_world
from tests.game.tools.test_bench import SMALL

RANGES = {"encode", "block 0", "data", "denoise", "denoising step 0", "denoising step 1", "context pass", "decode",
          "post-processing", "export"}  # fmt: skip


def named(folder: Path) -> set[str]:
    """Names of the ranges of a trace."""
    return {event.get("name") for event in json.loads((folder / "trace.json").read_text())["traceEvents"]}


@pytest.fixture
def worlds(monkeypatch):
    """The profiled worlds that are opened; every one of them is small."""
    monkeypatch.setattr("game.tools.profile.open_world", lambda *args: real_world())


def script_in(folder: Path, frames: int) -> Path:
    picture_file(folder)
    script = folder / "bench.yaml"
    script.write_text(f"first_frame: start.png\nactions: [{{keys: [W], frames: {frames}}}]\n")
    return script


def headless(folder: Path, opened) -> int:
    return render(load(script_in(folder, 21)), [f"weights={folder}"], Job(out=folder / "s"), opened)


def terminal(folder: Path, opened) -> int:
    return stream([f"weights={folder}"], Job(out=folder / "s"), opened, io.StringIO("W\nA\n"))


def benchmark(folder: Path, opened) -> int:
    return bench([f"weights={folder}"], 2, folder, opened)


@pytest.mark.parametrize("way", [headless, terminal, benchmark])
def test_every_way_of_running_is_traced_by_name_and_timed_block_by_block(way, tmp_path, worlds, monkeypatch, capsys):
    monkeypatch.setattr("game.models.machine._GEMM_SECONDS", 0.05)
    assert run_profiled(lambda opened: way(tmp_path, opened), tmp_path) == 0
    assert named(tmp_path) >= RANGES
    profile = json.loads((tmp_path / "profile.json").read_text())
    assert [block["block"] for block in profile["blocks"]][:2] == [0, 1]
    assert profile["generated_fps"] > 0 and profile["encode_ms"][0] > 0
    out = capsys.readouterr().out
    assert "first frame encoded in" in out and "frames/s" in out and "block  frames  denoise" in out


def test_live_play_is_traced_on_the_thread_that_makes_the_blocks(tmp_path):
    profiles = Profiles()
    world = profiles.wrap(real_world())
    stage = ThreadStage(FakeWorld(), scenes=[FakeScene()], models=FakeModels(fake=lambda progress: world))
    assert stage.look_until(lambda: len(world._profile.blocks) >= 2, 30.0)
    assert stage.worker.shutdown(60.0)
    profiles.write(tmp_path)
    assert named(tmp_path) >= RANGES


@pytest.mark.slow
def test_a_model_of_random_weights_is_profiled_too(tmp_path, monkeypatch):
    monkeypatch.setattr("game.models.machine._GEMM_SECONDS", 0.05)
    monkeypatch.setattr("game.tools.bench.work_of", lambda settings, dtype: {})
    words = ["model=universal-slice", *(f"model.{word}" for word in SMALL)]
    assert run_profiled(lambda opened: bench(words, 1, tmp_path, opened), tmp_path) == 0
    assert named(tmp_path) >= RANGES


def test_profiling_changes_no_frame(tmp_path):
    hashes = []
    for name, opened in (("a", lambda settings: real_world()), ("b", lambda settings: Profiles().wrap(real_world()))):
        script = script_in(tmp_path, 21)
        render(load(script), [f"weights={tmp_path}"], Job(out=tmp_path / name), opened)
        hashes.append(json.loads((tmp_path / name / "report.json").read_text())["frames_sha256"])
    assert hashes[0] == hashes[1]


def test_a_long_session_is_traced_at_its_beginning_and_timed_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("game.tools.profile._TRACED_BLOCKS", 1)
    profiles = Profiles()
    world = profiles.wrap(real_world())
    render(load(script_in(tmp_path, 21)), [f"weights={tmp_path}"], Job(out=tmp_path / "s"), lambda settings: world)
    profiles.write(tmp_path)
    assert "block 0" in named(tmp_path) and "block 1" not in named(tmp_path)
    assert len(json.loads((tmp_path / "profile.json").read_text())["blocks"]) == 2


def test_a_change_of_quality_writes_both_profiles_and_holds_neither_world(tmp_path):
    profiles = Profiles()
    gone = []
    for steps in ((1000,), (1000, 500)):
        world = profiles.wrap(tiny.world(tiny.big_config(name="tiny", denoising_steps=steps)))
        gone.append(weakref.ref(world._world))
        rollout = world.start(tiny.picture(world.config), 0)
        rollout.step(tiny.random_actions(world.config, rollout.next_frames))
    del world, rollout
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
    lines = profiles.write(tmp_path / "caf\udce9")
    written = {path.name: json.loads(path.read_text()) for path in (tmp_path / "caf\udce9").iterdir()}
    assert set(written) == {"trace.json", "profile.json", "trace-2.json", "profile-2.json"}
    counts = [sum(event.get("name") == "denoising step 1" for event in written[name]["traceEvents"])
              for name in ("trace.json", "trace-2.json")]  # fmt: skip
    assert counts[0] == 0 < counts[1] and len(lines) > 4
