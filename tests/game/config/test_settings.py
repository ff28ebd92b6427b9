"""Configs compose into frozen settings, and every mistake is answered with the nearest right word."""

import dataclasses

import pytest
import torch

from engine.actions import Actions
from engine.config.model import LightDecoderConfig, MatrixGame2Config
from engine.config.waypoint import WaypointConfig
from engine.families import action_space
from engine.nets.waypoint import noise_features
from engine.rollout.waypoint import controls_of
from game.config.settings import DeviceSettings, load_settings, options
from game.errors import ConfigError, InputError


@pytest.mark.parametrize("model", [*options("model")])
def test_every_shipped_model_is_a_valid_config_under_its_own_name(model):
    assert load_settings([f"model={model}"]).model.name == model
    assert {"tiny", "universal", "waypoint", "waypoint-360p", "waypoint-slice"} <= set(options("model"))


def test_the_universal_config_holds_the_published_numbers():
    assert load_settings(["model=universal"]).model == MatrixGame2Config()


def test_waypoints_configs_hold_the_published_numbers():
    assert load_settings(["model=waypoint"]).model == WaypointConfig()
    small = load_settings(["model=waypoint-360p"]).model
    assert (small.width, small.height, small.transformer.grid, small.coded_size) == (640, 360, (8, 16), (256, 512))


def test_what_nobody_has_pinned_down_of_waypoint_is_settings_that_a_recording_says():
    words = ["model.transformer.tables=bfloat16", "model.mouse_scale=0.01"]
    settings = load_settings(["model=waypoint", *words])
    assert (settings.model.transformer.tables, settings.model.mouse_scale) == ("bfloat16", 0.01)
    assert set(words) <= set(settings.overrides)
    space = action_space("keyboard_mouse")
    actions = Actions.stack([space.action((), (-3.0, 5.0))] * 4)
    assert controls_of(actions, settings.model.mouse_scale)[0, :2].tolist() == pytest.approx([0.2, 0.12])
    sigma = torch.ones(1)
    features = [noise_features(sigma, tables) for tables in ("exact", settings.model.transformer.tables)]
    assert torch.cosine_similarity(*features).item() == pytest.approx(0.95, abs=0.01)
    for wrong in ("model.transformer.tables=half", "model.mouse_scale=-1"):
        with pytest.raises(InputError):
            load_settings(["model=waypoint", wrong])


def test_the_other_published_models_differ_where_the_paper_says():
    drive, run = (load_settings([f"model={name}"]).model for name in ("gta_drive", "templerun"))
    assert (drive.window, drive.transformer.actions.keyboard_dim) == (4, 2)
    assert (run.denoising_steps, run.transformer.actions.mouse_dim) == ((1000, 750, 500, 250), 0)


def test_fast_quality_keeps_the_first_and_the_last_denoising_step():
    assert load_settings(["model=templerun", "quality=fast"]).model.denoising_steps == (1000, 250)
    assert load_settings(["model=templerun", "quality=max"]).model.denoising_steps == (1000, 750, 500, 250)


def test_an_override_wins_over_what_a_script_asks_for():
    assert load_settings(["model=universal"], ["model=templerun", "threads=3"]).model.name == "universal"
    assert load_settings([], ["model=templerun", "threads=3"]).threads == 3


def test_a_weights_path_is_taken_as_it_stands():
    assert load_settings(["weights=/a b/c=d,{e}"]).weights == "/a b/c=d,{e}"


def test_a_decoder_becomes_a_part_of_the_model_and_is_repeated_by_a_replay():
    settings = load_settings(["model=gta_drive", "decoder=taehv"])
    assert settings.model == dataclasses.replace(load_settings(["model=gta_drive"]).model, decoder=LightDecoderConfig())
    assert settings.overrides == ("decoder=taehv",)
    assert load_settings(["decoder=own"], ["model=gta_drive", *settings.overrides]).model.decoder is None
    assert load_settings([], ["model=gta_drive", *settings.overrides]).model == settings.model


def test_a_light_decoders_file_is_taken_as_it_stands():
    settings = load_settings(["model=universal", "decoder=taehv", "decoder.weights=/a b/c=d,{e}.pth"])
    assert (settings.decoder.weights, settings.overrides) == ("/a b/c=d,{e}.pth", ("decoder=taehv",))


def test_parts_have_devices_of_their_own_only_when_told():
    assert load_settings(["model=universal"]).devices == DeviceSettings(None, None)
    assert load_settings(["devices.vae=cpu", "devices.image_tower=cuda:1"]).devices == DeviceSettings("cuda:1", "cpu")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("decoder=taev", "did you mean decoder=taehv?"),
        ("decoder=taehv", "the light decoder does not fit the model's codec; got tiny"),
        ("devices.vae=gpu", "unknown devices.vae; got gpu; expected cpu, cuda or cuda:N"),
        ("devices.vea=cpu", "did you mean devices.vae=cpu?"),
        ("check_memory=maybe", "expected bool"),
        ("model=univrsal", "did you mean model=universal?"),
        ("modle=tiny", "did you mean model=tiny?"),
        ("tiny", "did you mean model=tiny?"),
        ("quality=", "expected default or fast or max"),
        ("play.sensitivty=2", "did you mean play.sensitivity=2?"),
        ("play.sensitivity=0", "expected 1.0 to 10000.0"),
        ("play.scale=smoth", "did you mean 'smooth'?"),
        ("model.windw=3", "did you mean model.window=3?"),
        ("model.width=wide", "expected int"),
        ("foo=1", "there is no setting 'foo'"),
        ("+foo=1", "expected name=value"),
        ("~model", "expected name=value"),
        ("hydra.run.dir=x", "expected name=value"),
        ("threads=[1", "cannot read"),
        ("threads=${oops}", "cannot read"),
        ("threads=-1", "expected 0 to 1024"),
        ("threads=true", "expected int"),
        ("dtype=floa32", "did you mean 'float32'?"),
        ("device=gpu", "expected auto, cpu, cuda"),
        ("record.crf=99", "expected 0 to 51"),
        ("model.denoising_steps=[1,2]", "denoising_steps"),
    ],
)
def test_a_wrong_override_is_one_line_that_helps(word, says):
    with pytest.raises(ConfigError) as caught:
        load_settings([word])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_threads_may_load_settings_at_once():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda model: load_settings([f"model={model}"]).model.name, ["tiny", "universal"] * 2))
    assert names == ["tiny", "universal"] * 2


PATHS = ["~/r", "ü é", "a,b", "a[b]", "a=b", "{x}", "'q'", '"', "12:30", "-x", "null", "$x", "a b"]
NUMBERS = ["model.window", "model.fps", "threads", "play.rewind_mb", "model.width", "record.crf"]


@pytest.mark.parametrize("text", PATHS)
def test_the_folder_of_recordings_is_text_as_it_stands(text, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = str(tmp_path / "r") if text == "~/r" else text
    assert load_settings([f"record.root={text}"]).record.root == expected


@pytest.mark.parametrize("name", ["weights", "decoder.weights", "record.root"])
def test_a_path_under_a_home_that_is_not_there_is_one_line(name):
    with pytest.raises(InputError, match=f"{name} is under a home folder that is not there"):
        load_settings([f"{name}=~nobody-of-that-name/x"])


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("number", ["99999999999999999999", "-99999999999999999999", "9" * 400, "1e400"])
def test_a_number_that_no_machine_counts_to_is_one_line(name, number):
    with pytest.raises(InputError) as caught:
        load_settings([f"{name}={number}"])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize("word", ["model.window=10000000", "model.width=1e9", "model.fps=1e-300", "model.fps=1e9"])
def test_a_number_that_nothing_could_be_built_with_is_one_line(word):
    with pytest.raises(InputError, match=r"range|expected int|NaN"):
        load_settings([word])
