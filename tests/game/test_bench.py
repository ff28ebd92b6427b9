"""--bench, --doctor and --profile, on a small real engine."""

import json

import pytest

import game.doctor
from engine.flops import BlockFlops
from game.bench import bench
from game.doctor import doctor
from game.render import render
from game.script import load
from game.session import Job
from game.trace import ProfiledWorld
from tests.game.offline import picture_file, real_world


def test_bench_json_holds_the_contracts_fields(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("game.bench._GEMM_SECONDS", 0.05)
    monkeypatch.setattr("engine.world.block_flops", lambda config: BlockFlops(10**9, 0, 0, 0))
    assert bench([f"weights={tmp_path}"], 3, tmp_path, real_world) == 0
    made = json.loads((tmp_path / "bench.json").read_text())
    assert {
        *("model", "device", "dtype", "threads", "block_ms", "stage_ms", "generated_fps", "realtime_factor"),
        *("flops_per_block", "gemm_gflops", "floor_ms", "floor_ratio", "peak_rss_mb", "first_block_ms", "warmup_ms"),
    } <= set(made)
    assert made["blocks"] == 3
    assert made["floor_ms"] == pytest.approx(made["flops_per_block"] / made["gemm_gflops"] / 1e6, rel=0.05, abs=1e-3)
    assert made["stage_ms"]["context"] > 0
    assert "x real time" in capsys.readouterr().out


def test_the_doctor_says_in_words_what_runs(monkeypatch, capsys):
    monkeypatch.setattr("game.bench._GEMM_SECONDS", 0.05)
    monkeypatch.setattr(game.doctor, "_embedded", lambda settings: "Verdict       fine")
    monkeypatch.setattr("engine.flops.block_flops", lambda config: BlockFlops(10**12, 0, 0, 0))
    assert doctor([]) == 0
    out = capsys.readouterr().out
    for word in ("CPU cores", "Torch", "GPU", "universal: needs its published weights", "real time", "Verdict"):
        assert word in out


def test_the_doctor_says_plainly_when_a_gpu_is_there_and_torch_cannot_use_it(monkeypatch):
    monkeypatch.setattr(game.doctor, "_nvidia_smi", lambda: ["RTX 4090, 550.1, 24564 MiB"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", None)
    lines = "\n".join(game.doctor._gpu())
    assert "RTX 4090" in lines
    assert "built without CUDA: install torch" in lines


def test_a_profile_names_blocks_and_stages_and_changes_no_frame(tmp_path):
    picture_file(tmp_path)
    script = tmp_path / "bench.yaml"
    script.write_text("first_frame: start.png\nactions: [{keys: [W], frames: 21}]\n")
    worlds = []

    def profiled(settings):
        worlds.append(ProfiledWorld(real_world()))
        return worlds[0]

    hashes = []
    for name, opened in (("a", real_world), ("b", profiled)):
        render(load(script), [f"weights={tmp_path}"], Job(out=tmp_path / name), opened)
        hashes.append(json.loads((tmp_path / name / "report.json").read_text())["frames_sha256"])
    assert hashes[0] == hashes[1]
    lines = worlds[0].write(tmp_path)
    names = {event.get("name") for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]}
    assert {"block 0", "block 1", "denoise", "decode"} <= names
    assert len(json.loads((tmp_path / "profile.json").read_text())["blocks"]) == 2
    assert any("denoise" in line for line in lines)
