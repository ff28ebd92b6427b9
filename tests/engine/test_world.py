"""A world is loaded from its folder or refused in words."""

import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.config.model import LightDecoderConfig, MatrixGame2Config
from engine.errors import CheckpointError, ConfigError
from engine.nets.image_tower import ImageTower
from engine.weights.checkpoint import FittingWeights
from engine.world import load_world
from tests.engine.published import publish
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
    """A folder as published."""
    return publish(tmp_path)


@pytest.mark.parametrize("config", [big_config(), small_config()], ids=lambda config: config.name)
def test_a_loaded_world_plays_as_the_one_that_was_saved(config, request):
    weights = request.getfixturevalue("published" if isinstance(config, MatrixGame2Config) else "folder")
    told = []
    loaded = load_world(config, weights, device="cpu", dtype=torch.float32, progress=lambda *step: told.append(step))
    ours, theirs = (play(made.start(picture(config), 3), config, 2) for made in (loaded, world(config)))
    assert (ours == theirs).all()
    assert len(loaded.weights_sha256) == 64
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


@pytest.fixture
def light(published):
    """The same folder with a light decoder beside; returns the config that takes it."""
    config = big_config(decoder=LightDecoderConfig(latent_channels=4, widths=(8, 8, 4, 4)))
    state = networks(config).light_decoder.state_dict()
    table = {f"decoder.{key}": weight for key, weight in state.items()} | {"encoder.0.weight": torch.zeros(2)}
    save_file(table, published / "taew2_1.safetensors")
    return config


def test_a_light_decoder_is_read_and_wans_own_is_not(light, published):
    loaded = load_world(light, published, device="cpu", dtype=torch.float32)
    ours, theirs = (play(made.start(picture(light), 3), light, 2) for made in (loaded, world(light)))
    assert (ours == theirs).all()
    codec = loaded.networks.codec.state_dict()
    assert all(weight.is_meta == name.startswith(("decoder.", "conv2.")) for name, weight in codec.items())
    plain = load_world(big_config(), published, device="cpu", dtype=torch.float32)
    assert plain.weights_sha256 != loaded.weights_sha256


def test_a_light_decoder_may_lie_elsewhere_and_its_absence_is_said(light, published, tmp_path):
    elsewhere = published / "taew2_1.safetensors"
    elsewhere = elsewhere.rename(tmp_path / "mine.safetensors")
    with pytest.raises(CheckpointError, match=r"no light decoder in .*; expected taew2_1.safetensors or taew2_1.pth"):
        load_world(light, published, device="cpu", dtype=torch.float32)
    paths = {"light_decoder": elsewhere}
    assert load_world(light, published, device="cpu", dtype=torch.float32, elsewhere=paths).config == light


@pytest.mark.parametrize("part", ["base_distilled_model/base_distill.safetensors", "Wan2.1_VAE.pth",
                                  "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"])  # fmt: skip
def test_every_file_is_checked_before_any_is_read(published, part, monkeypatch):
    path = published / part
    save_file({"a": torch.zeros(1)}, path) if path.suffix == ".safetensors" else torch.save({"a": torch.zeros(1)}, path)
    monkeypatch.setattr(FittingWeights, "fill", lambda *_, **__: pytest.fail("a file was read"))
    with pytest.raises(CheckpointError, match=path.name):
        load_world(big_config(), published, device="cpu", dtype=torch.float32, checked=lambda: pytest.fail("too early"))


def test_what_is_asked_when_all_is_checked_may_still_stop_the_reading(published, monkeypatch):
    monkeypatch.setattr(FittingWeights, "fill", lambda *_, **__: pytest.fail("a file was read"))

    def refuse():
        raise ConfigError("does not fit into memory")

    with pytest.raises(ConfigError, match="memory"):
        load_world(big_config(), published, device="cpu", dtype=torch.float32, checked=refuse)


def test_the_image_tower_is_in_memory_only_while_a_new_picture_is_looked_at(published):
    config = big_config()
    loaded = load_world(config, published, device="cpu", dtype=torch.float32)
    towers = weakref.WeakSet()
    forward = ImageTower.forward

    def looking(self, frame):
        towers.add(self)
        return forward(self, frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageTower, "forward", looking)
        rollouts = [loaded.start(picture(config, seed), 0) for seed in (0, 1)]
        assert len(towers) == 0
        assert [name for name in loaded.networks.modules() if name == "image_tower"] == []
        patch.setattr(ImageTower, "forward", lambda *_: pytest.fail("a picture seen before is not looked at again"))
        again = loaded.start(picture(config, 0), 0)
    assert (play(again, config, 2) == play(rollouts[0], config, 2)).all()


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
from engine.families import build_networks
from game.config.settings import load_settings
for name in ("tiny", "universal-slice"):
    build_networks(load_settings([f"model={name}"]).model)
sys.exit("torch._dynamo" in sys.modules or "sympy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
