"""A published folder, of a narrow model, is played as a person would: by the command line, from files to frames."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.families import seeded_networks
from game.cli import main
from game.config.settings import load_settings
from game.tools.doctor import _weights
from tests.engine.published import published_names
from tests.game.offline import picture_file
from tests.game.tools.test_bench import SMALL

LAYERS = ["model.transformer.layers=2", "model.transformer.actions.layers=[0]", "model.image_tower.layers=2"]
NARROW = [*LAYERS, *(f"model.{word}" for word in SMALL)]
MODES = ("universal", "gta_drive", "templerun")


def words(mode: str, folder: Path, *more: str) -> list[str]:
    narrow = [word for word in NARROW if not (mode == "templerun" and "mouse_width" in word)]
    window = [word if "window=" not in word else "model.window=4" for word in narrow]
    return [f"model={mode}", f"weights={folder}", *(["decoder=taehv"] if "light" in more else []), *window]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Makes a published folder for a mode, in float16, light decoder included; also a script beside it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    picture_file(tmp_path)
    (tmp_path / "script.yaml").write_text("first_frame: start.png\nactions: [{keys: [W], frames: 15}]\n")

    def make(mode: str) -> Path:
        target = tmp_path / "published"
        made = seeded_networks(load_settings(words(mode, target, "light")).model, dtype=torch.float16).modules()
        prefixes = {"transformer": "model.", "codec": "", "image_tower": "visual.", "light_decoder": "decoder."}
        files = dict(zip(("transformer", "codec", "image_tower"), published_names(mode), strict=True))
        for name, file in (files | {"light_decoder": "taew2_1.safetensors"}).items():
            table = {prefixes[name] + key: weight.contiguous() for key, weight in made[name].state_dict().items()}
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            save_file(table, target / file) if file.endswith("rs") else torch.save(table, target / file)
        return target

    return make


def render(folder: Path, out: str, *arguments: str) -> tuple[int, dict]:
    root = folder.parent
    code = main(["--headless", "--out", str(root / out), *arguments])
    report = root / out / "report.json"
    return code, json.loads(report.read_text()) if report.exists() else {}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_rendered_and_replayed_bit_for_bit(folder, mode, capsys):
    made = folder(mode)
    script = ["--script", str(made.parent / "script.yaml")]
    code, report = render(made, "a", *script, *words(mode, made))
    assert (code, report["frames"], report["mode"]) == (0, 21, mode)
    assert f"{mode} takes" in capsys.readouterr().err
    code, again = render(made, "b", "--script", str(made.parent / "a"), f"weights={made}")
    assert (code, again["frames_sha256"]) == (0, report["frames_sha256"])
    assert "identical" in capsys.readouterr().out


def test_another_decoder_makes_other_frames_and_is_taken_over_by_a_replay(folder, capsys):
    made = folder("universal")
    script = ["--script", str(made.parent / "script.yaml")]
    _, own = render(made, "own", *script, *words("universal", made))
    code, light = render(made, "light", *script, *words("universal", made, "light"))
    assert code == 0 and light["frames_sha256"] != own["frames_sha256"]
    assert light["weights_sha256"] != own["weights_sha256"]
    code, again = render(made, "again", "--script", str(made.parent / "light"), f"weights={made}")
    assert (code, again["frames_sha256"]) == (0, light["frames_sha256"])


def test_parts_may_be_placed_and_the_replay_says_so_when_they_differ(folder, capsys):
    made = folder("universal")
    script = ["--script", str(made.parent / "script.yaml")]
    placed = ["devices.vae=cpu", "devices.image_tower=cpu"]
    code, _ = render(made, "placed", *script, *placed, *words("universal", made))
    assert code == 0
    header = json.loads((made.parent / "placed" / "actions.jsonl").read_text().splitlines()[0])
    assert header["device"] == "cpu image_tower:cpu vae:cpu"


def test_the_doctor_says_whether_the_files_are_the_right_ones(folder):
    made = folder("gta_drive")
    settings = load_settings(words("gta_drive", made, "light"))
    assert _weights(settings) == f"weights in {made}, complete and of the right shapes"
    (made / "taew2_1.safetensors").rename(made / "taew2_1.pth")
    assert "its weights cannot be used" in _weights(settings) and "taew2_1.pth" in _weights(settings)
    (made / "taew2_1.pth").unlink()
    assert "no light decoder in" in _weights(settings)
    settings = load_settings(words("universal", made))
    assert "1 of 3 weight files for universal missing" in _weights(settings)


def test_a_wrong_file_is_the_only_line_there_is(folder, capsys):
    made = folder("universal")
    (made / "Wan2.1_VAE.pth").unlink()
    torch.save({"encoder.downsamples.0.downsamples.0.residual.0.gamma": torch.zeros(1)}, made / "Wan2.1_VAE.pth")
    code, _ = render(made, "x", "--script", str(made.parent / "script.yaml"), *words("universal", made))
    said = capsys.readouterr().err.splitlines()
    assert code == 2 and len(said) == 1
    assert "it looks like the VAE of Wan 2.2" in said[0] and "missing (first " in said[0]


def test_a_model_too_large_is_the_only_line_there_is(folder, capsys, monkeypatch):
    made = folder("universal")
    monkeypatch.setattr("game.models.machine.host_memory", lambda: (2**30, 2**28))
    script = ["--script", str(made.parent / "script.yaml")]
    code, _ = render(made, "x", *script, *words("universal", made))
    said = capsys.readouterr().err.splitlines()
    assert code == 2 and len(said) == 1 and "does not fit into memory; got 0.2 GB of memory available" in said[0]
    code, _ = render(made, "y", *script, "check_memory=false", *words("universal", made))
    assert code == 0 and "tried all the same" in capsys.readouterr().err
