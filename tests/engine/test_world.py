"""A world is loaded from its folder or refused in words."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import CheckpointError, ConfigError
from engine.world import load_world
from tests.engine.tiny import big_config, networks, picture, play, small_config, world


@pytest.fixture
def folder(tmp_path):
    """The embedded-like model's weights as files."""
    for name, module in networks(small_config()).modules().items():
        save_file(
            {key: weight.contiguous() for key, weight in module.state_dict().items()}, tmp_path / f"{name}.safetensors"
        )
    return tmp_path


@pytest.fixture
def published(tmp_path):
    """The big-like model's weights, laid out and named as the published folder is."""
    made = networks(big_config())
    target = tmp_path / "base_distilled_model" / "base_distill.safetensors"
    target.parent.mkdir()
    save_file({f"model.{key}": weight for key, weight in made.transformer.state_dict().items()}, target)
    torch.save(dict(made.codec.state_dict()), tmp_path / "Wan2.1_VAE.pth")
    tower = {f"visual.{key}": weight for key, weight in made.image_tower.state_dict().items()}
    torch.save(
        tower | {"textual.head": torch.zeros(2)}, tmp_path / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
    )
    return tmp_path


@pytest.mark.parametrize("config", [big_config(), small_config()], ids=lambda config: config.name)
def test_a_loaded_world_plays_as_the_one_that_was_saved(config, request):
    weights = request.getfixturevalue("published" if config.image_tower else "folder")
    told = []
    loaded = load_world(config, weights, device="cpu", dtype=torch.float32, progress=lambda *step: told.append(step))
    ours, theirs = (play(made.start(picture(config), 3), config, 2) for made in (loaded, world(config)))
    assert (ours == theirs).all()
    assert len(loaded.weights_sha256) == 64
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_the_hash_tells_weights_apart(folder):
    def digest():
        return load_world(small_config(), folder, device="cpu", dtype=torch.float32).weights_sha256

    before = digest()
    assert digest() == before
    state = networks(small_config(), seed=1).codec.state_dict()
    save_file(dict(state), folder / "codec.safetensors")
    assert digest() != before


def test_weights_of_another_size_are_refused(folder):
    with pytest.raises(CheckpointError, match="does not fit PatchCodec"):
        save_file({"encoder.weight": torch.zeros(1)}, folder / "codec.safetensors")
        load_world(small_config(), folder, device="cpu", dtype=torch.float32)


def test_an_empty_folder_is_refused(tmp_path):
    for config in (small_config(), big_config()):
        with pytest.raises(CheckpointError):
            load_world(config, tmp_path, device="cpu", dtype=torch.float32)


def test_a_config_whose_actions_are_not_its_modes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="do not fit mode templerun"):
        load_world(big_config(mode="templerun"), tmp_path, device="cpu", dtype=torch.float32)


def test_building_a_network_imports_no_compiler():
    """It would take as long as everything else of a start together."""
    code = """
import sys
from engine.networks import build_networks
from game.settings import load_settings
for name in ("tiny", "universal-slice"):
    build_networks(load_settings([f"model={name}"]).model)
sys.exit("torch._dynamo" in sys.modules or "sympy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
