"""`--bench --matrix`: a row for every setting that fits, each in a process of its own; and a table of them."""

import json
from pathlib import Path

import pytest

from game.cli import main
from game.config.settings import load_settings
from game.errors import InputError
from game.models.machine import Gpu, Machine
from game.tools import matrix as module
from game.tools.matrix import Row, _machine, markdown, matrix, rows

GB = 2**30
CPU = Machine("2.13", cores=2, memory=64 * GB, available=60 * GB)


def gpu(gigabytes: int, capability: tuple[int, int] = (8, 9)) -> Machine:
    one = Gpu("a card", gigabytes * GB, gigabytes * GB, True, capability)
    return Machine("2.13", "CUDA 13.0", (one,), driver="580.1", memory=64 * GB, available=60 * GB)


@pytest.fixture
def fits(monkeypatch):
    """Counts nothing: what a row takes is said by its words."""

    def examine(settings, device, machine):
        taken = 10 * GB - 4 * GB * (settings.model.decoder is not None) - GB * (settings.weights_dtype != "same")
        room = machine.gpus[0].free if machine.gpus else machine.available

        class Need:
            total, libraries = taken, GB // 2

        class Fit:
            fits = taken <= room
            need = type("N", (), {"gpu": Need if machine.gpus else None, "host": Need})

        return Fit

    monkeypatch.setattr(module, "examine", examine)


def test_every_combination_is_a_row_and_what_does_not_fit_is_none(fits):
    words = ["model=universal", "weights=random"]
    every = list(rows(load_settings(words), words, "cuda", gpu(24)))
    assert len(every) == 3 * 2 * 3 and all(row.counted for row in every)
    assert every[0] == Row("off", "own", "same", (), 10 * GB - GB // 2), "without what torch does not see"
    small = [row for row in rows(load_settings(words), words, "cuda", gpu(8)) if row.counted]
    assert {row.decoder for row in small} == {"taehv"}
    assert len(list(rows(load_settings(words), words, "cuda", gpu(24, (7, 5))))) == 3 * 2 * 2


def test_what_is_said_is_not_varied_and_a_cpu_has_less_to_vary(fits):
    words = ["model=universal", "weights=random", "compile=max", "decoder=taehv"]
    assert [row.weights_dtype for row in rows(load_settings(words), words, "cuda", gpu(24))] == ["same", "int8", "fp8"]
    words = ["model=universal", "weights=random"]
    assert [(row.compile, row.decoder) for row in rows(load_settings(words), words, "cpu", CPU)] == [
        ("off", "own"), ("off", "taehv"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="no settings to compare"):
        list(rows(load_settings(), [], "cpu", CPU))


RESULTS = {
    "block_ms": {"p50": 120.5, "p95": 130.0}, "first_picture_ms": 90.0, "generated_fps": 99.6, "realtime_factor": 6.2,
    "wall_fps": 49.8, "peak_rss_mb": 2048, "peak_gpu_mb": None, "watts": None, "dtype": "float32", "torch": "2.13",
    "random_weights": True,
    "work": {"fast": {"block_launches": 4321}},
}  # fmt: skip


def test_a_row_that_fails_costs_itself_alone(fits, tmp_path, capsys):
    asked = []

    def run(words: list[str], folder: Path) -> tuple[int, str]:
        asked.append(words)
        if "decoder=taehv" in words:
            return 1, "the light decoder is missing"
        (folder / "bench.json").write_text(json.dumps(RESULTS))
        return 0, ""

    assert matrix(["model=universal", "weights=random", "device=cpu"], 3, tmp_path, run, CPU) == 0
    assert len(asked) == 2 and all(words[:3] == ["--blocks", "3", "--bench"] for words in asked)
    written = json.loads((tmp_path / "bench-matrix.json").read_text())
    first, second = written["rows"]
    assert first["block_p50"] == 120.5 and first["peak_gb"] == 2.0 and first["counted_gb"] == 10.0
    assert second["error"] == "the light decoder is missing"
    table = (tmp_path / "bench-matrix.md").read_text()
    assert table in capsys.readouterr().out
    assert "| off | own | same | 120.5 | 130.0 | 90.0 | 49.8 | 3.1 |" in table and "failed: compile=off" in table
    assert "CPU, 2 cores" in table and "random weights" in table
    assert "| host GB | counted GB |" in table and "GPU" not in table


def test_rows_are_written_one_by_one_into_a_folder_that_is_made(fits, tmp_path):
    out = tmp_path / "not" / "there"

    def run(words: list[str], folder: Path) -> tuple[int, str]:
        if "decoder=taehv" in words:
            assert len(json.loads((out / "bench-matrix.json").read_text())["rows"]) == 1
            raise KeyboardInterrupt
        (folder / "bench.json").write_text(json.dumps(RESULTS))
        return 0, ""

    with pytest.raises(KeyboardInterrupt):
        matrix(["model=universal", "weights=random", "device=cpu"], 3, out, run, CPU)
    assert json.loads((out / "bench-matrix.json").read_text())["rows"][0]["block_p50"] == 120.5


def test_no_row_at_all_is_a_failure(fits, tmp_path):
    run = lambda words, folder: (1, "no")  # noqa: E731
    assert matrix(["model=universal", "weights=random", "device=cpu"], 1, tmp_path, run, CPU) == 1


def test_columns_that_nothing_is_known_of_are_left_out():
    made = {"compile": "off", "decoder": "own", "weights_dtype": "same", "block_p50": 1.0}
    machine = _machine(gpu(24), "cuda")
    made["peak_gb"] = 7.5
    text = markdown({"model": "m", "machine": machine, "rows": [made], "does_not_fit": ["compile=max"]})
    assert text.startswith("m on a card, torch 2.13, driver 580.1\n") and "| GPU GB |" in text
    assert "watts" not in text and "| W |" not in text and "does not fit: compile=max" in text


@pytest.mark.parametrize("line", [["--matrix"], ["--report"], ["--bench", "--matrix", "--players", "2"]])
def test_flags_that_need_another_say_so(line, capsys):
    assert main(line) == 2 and "\n" not in capsys.readouterr().err.strip()


@pytest.mark.slow
def test_rows_on_a_cpu_with_a_slice(tmp_path):
    assert main(["--bench", "--matrix", "--blocks", "1", "--out", str(tmp_path), "model=universal-slice"]) == 0
    made = json.loads((tmp_path / "bench-matrix.json").read_text())["rows"]
    assert made and all(row["block_p50"] > 0 for row in made)


def test_kernels_of_a_compiled_program_are_not_said_to_be_those_of_one_that_is_not(fits, tmp_path):
    def run(words: list[str], folder: Path) -> tuple[int, str]:
        (folder / "bench.json").write_text(json.dumps(RESULTS))
        return 0, ""

    words = ["model=universal", "weights=random", "decoder=own", "weights_dtype=same"]
    made = [module._time(row, words, 1, run) for row in rows(load_settings(words), words, "cuda", gpu(24))]
    assert {row["compile"]: row["kernels"] for row in made} == {"off": 4321, "default": None, "max": None}


def test_a_row_whose_process_is_killed_says_so(tmp_path, monkeypatch):
    kill = "import os, signal, sys; print('a harmless line', file=sys.stderr); os.kill(os.getpid(), signal.SIGKILL)"
    (tmp_path / "game.py").write_text(kill)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, said = module._run([], tmp_path)
    assert code == -9 and said == "ended by SIGKILL, as systems do when memory runs out"
