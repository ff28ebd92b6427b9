"""--bench and --doctor, on a small real engine."""

import json

import pytest
import torch

import game.tools.doctor
from engine.cost.operations import BlockFlops
from engine.families import family_of
from engine.rollout.rollout import Rollout
from game.config.settings import load_settings
from game.errors import InputError
from game.models.catalog import find_weights
from game.tools.bench import _further, _more, bench, work_of
from game.tools.doctor import doctor
from tests.game.offline import real_world


def test_bench_json_holds_the_contracts_fields(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("game.models.machine._GEMM_SECONDS", 0.05)
    monkeypatch.setattr("engine.cost.operations.block_flops", lambda config: BlockFlops(10**9, 0, 0, 0))
    assert bench([f"weights={tmp_path}"], 3, tmp_path, real_world) == 0
    made = json.loads((tmp_path / "bench.json").read_text())
    assert {
        *("model", "device", "dtype", "threads", "block_ms", "stage_ms", "generated_fps", "realtime_factor"),
        *("flops_per_block", "gemm_gflops", "floor_ms", "floor_ratio", "peak_rss_mb", "first_block_ms", "warmup_ms"),
    } <= set(made)
    assert made["blocks"] == 3
    assert made["floor_ms"] == pytest.approx(made["flops_per_block"] / made["gemm_gflops"] / 1e6, rel=0.05, abs=1e-3)
    assert made["stage_ms"]["context"] > 0 and made["wall_fps"] > 0
    assert "x real time" in capsys.readouterr().out


def test_the_doctor_says_in_words_what_runs(monkeypatch, capsys):
    monkeypatch.setattr("game.models.machine._GEMM_SECONDS", 0.05)
    monkeypatch.setattr(game.tools.doctor, "_embedded", lambda settings: "Verdict       fine")
    monkeypatch.setattr("engine.cost.operations.block_flops", lambda config: BlockFlops(10**12, 0, 0, 0))
    assert doctor([]) == 0
    out = capsys.readouterr().out
    for word in ("CPU cores", "Torch", "GPU", "universal: needs its published weights", "real time", "Verdict"):
        assert word in out


@pytest.mark.parametrize(
    ("gflops", "says"),
    [(10.0, "1/75 of real time, so for short renders only"), (1e3, "1.3 x real time, so it may play live")],
)
def test_the_doctor_guesses_no_speed_it_has_not_measured(monkeypatch, gflops, says):
    monkeypatch.setattr("engine.cost.operations.block_flops", lambda config: BlockFlops(562_500_000_000, 0, 0, 0))
    line = game.tools.doctor._model(load_settings(["model=universal"]), gflops)
    assert f"at best {says}" in line
    assert "--bench model=universal weights=random" in line


@pytest.mark.parametrize(("gflops", "offered"), [(10.0, False), (700.0, True), (1e3, False)])
def test_the_doctor_names_lighter_settings_where_they_could_help(monkeypatch, gflops, offered):
    def flops(config):
        return BlockFlops(100_000_000_000 * len(config.denoising_steps), 0, 0 if config.decoder else 262_500_000_000, 0)

    monkeypatch.setattr("engine.cost.operations.block_flops", flops)
    lines = game.tools.doctor._model(load_settings(["model=universal"]), gflops)
    expected = (
        "lighter, at best: quality=fast 1.1 x real time; decoder=taehv 1.8 x real time; quality=fast decoder=taehv"
    )
    assert (expected in lines) == offered


WORK = {"fast": {"pass_launches": 1, "block_launches": 2, "bytes_made": 3, "host_waits": 1}}
SMALL = ["width=64", "height=32", "window=3", "transformer.width=48", "transformer.heads=2", "transformer.ffn=64",
         "transformer.visual_context.channels=24", "transformer.actions.keyboard_width=32", "codec.width=4",
         "transformer.actions.mouse_width=32", "transformer.actions.heads=2", "transformer.actions.rope_dims=[4,6,6]",
         "image_tower.width=24", "image_tower.heads=2"]  # fmt: skip


@pytest.mark.parametrize("words", [["model=universal-slice"], ["model=universal", "weights=random"]])
def test_a_model_without_files_is_timed_with_random_weights(tmp_path, monkeypatch, capsys, words):
    monkeypatch.setattr("game.models.machine._GEMM_SECONDS", 0.05)
    monkeypatch.setattr("game.tools.bench.work_of", lambda settings, dtype: WORK)
    monkeypatch.setattr("engine.cost.operations.block_flops", lambda config: BlockFlops(10**9, 0, 0, 0))
    layers = ["model.transformer.layers=2", "model.transformer.actions.layers=[0]", "model.image_tower.layers=2"]
    assert bench([*words, *layers, *(f"model.{word}" for word in SMALL)], 1, tmp_path) == 0
    made = json.loads((tmp_path / "bench.json").read_text())
    assert (made["random_weights"], made["blocks"]) == (True, 1)
    # Of a slice only the transformer's part is timed, and that ends with no picture.
    first = made["first_picture_ms"]
    assert first is None if "universal-slice" in words[0] else 0 < first < made["block_ms"]["p50"]
    assert "random weights" in capsys.readouterr().out


def test_a_slice_is_timed_with_full_windows_after_a_few_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("game.models.machine._GEMM_SECONDS", 0.05)
    monkeypatch.setattr("game.tools.bench.work_of", lambda settings, dtype: {})
    filled, step = [], Rollout.step

    def noted(rollout, *told):
        filled.append(rollout.pipeline.full)
        return step(rollout, *told)

    monkeypatch.setattr(Rollout, "step", noted)
    small = ["width=64", "height=32", "transformer.width=32", "transformer.heads=2", "transformer.kv_heads=1",
             "transformer.ffn=48", "transformer.grid=[1,2]", "codec.encoder_width=4",
             "codec.widths=[8,8,4,4]"]  # fmt: skip
    assert bench(["model=waypoint-slice", *(f"model.{word}" for word in small)], 2, tmp_path) == 0
    assert filled == [False, True, True, False, True, False], "to begin, two timed, two readable, one for its numbers"
    made = json.loads((tmp_path / "bench.json").read_text())
    assert made["blocks"] == 2 and made["readable_block_ms"] > 0 and made["floor_ms"] > 0


def test_random_weights_make_no_worlds_to_look_at():
    for words in (["model=universal-slice"], ["weights=random"]):
        with pytest.raises(InputError, match="--bench"):
            find_weights(load_settings(words))


def test_a_slow_model_is_not_waited_for_long():
    assert _more(0, None, 100.0) and not _more(1, None, 30.0)
    assert _more(2, None, 12.0) and not _more(3, None, 12.0)
    assert _more(1, 2, 1000.0) and not _more(2, 2, 0.0)


def small_slice(tmp_path, *more: str) -> dict:
    small = ["width=64", "height=32", "transformer.width=32", "transformer.heads=2", "transformer.kv_heads=1",
             "transformer.ffn=48", "transformer.grid=[1,2]", "codec.encoder_width=4",
             "codec.widths=[8,8,4,4]"]  # fmt: skip
    assert bench(["model=waypoint-slice", *(f"model.{word}" for word in small), *more], 1, tmp_path) == 0
    return json.loads((tmp_path / "bench.json").read_text())


def test_what_a_block_is_compared_with_comes_after_it_and_costs_no_figures_where_there_is_no_room(
    tmp_path, monkeypatch, capsys
):
    order = []

    def noted(name, answer):
        def work(*_):
            order.append(name)
            if answer is None:
                raise torch.OutOfMemoryError("no room")
            return answer

        return work

    monkeypatch.setattr("game.tools.bench.peak_rss_mb", noted("peak", 100.0))
    monkeypatch.setattr("game.tools.bench.work_of", noted("work", {}))
    monkeypatch.setattr("game.tools.bench._readable_ms", noted("readable", 1.0))
    monkeypatch.setattr("game.tools.bench._largest_values", noted("largest", None))
    monkeypatch.setattr("game.tools.bench.gemm_gflops", lambda *_: 100.0)
    made = small_slice(tmp_path)
    assert order == ["peak", "readable", "largest", "work"]
    assert made["peak_rss_mb"] == 100.0 and "largest_values" not in made
    monkeypatch.setattr("game.tools.bench._if_there_is_room", lambda work: None)
    monkeypatch.setattr("game.tools.bench._by_cpu_time", lambda *_: {})
    monkeypatch.setattr("game.tools.bench.is_large", lambda settings: False)
    monkeypatch.setattr("game.tools.bench.gemm_gflops", lambda *_: 0.0)
    capsys.readouterr()
    made = small_slice(tmp_path)
    assert made["gemm_gflops"] is made["floor_ms"] is made["floor_ratio"] is None
    assert "no room for it beside the model" in capsys.readouterr().out


def test_kernels_are_counted_with_the_bits_that_layers_have():
    def launches(*words: str) -> int:
        settings = load_settings(["model=waypoint", "model.transformer.layers=2", *words])
        return work_of(settings, torch.bfloat16)["fast"]["block_launches"]

    plain, int8, fp8 = launches(), launches("weights_dtype=int8"), launches("weights_dtype=fp8")
    assert 1.3 * plain < fp8 < int8


def test_only_of_a_program_that_was_counted_is_the_original_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("game.models.machine._GEMM_SECONDS", 0.05)
    monkeypatch.setattr("game.tools.bench.work_of", lambda settings, dtype: WORK)
    small_slice(tmp_path)
    out = capsys.readouterr().out
    assert "work, counted" in out and "the original" not in out
    assert "the original" in "\n".join(_further({"work": {}, "original_work": family_of(
        load_settings(["model=universal"]).model).original}))  # fmt: skip
