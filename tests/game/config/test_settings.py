"""Configs compose into frozen settings, and every mistake is answered with the nearest right word."""

import dataclasses

import pytest

from engine.config.model import LightDecoderConfig, MatrixGame2Config
from game.config.settings import DeviceSettings, load_settings, options
from game.errors import ConfigError


@pytest.mark.parametrize("model", ["tiny", "universal", "gta_drive", "templerun", "universal-slice"])
def test_every_shipped_model_is_a_valid_config_under_its_own_name(model):
    assert load_settings([f"model={model}"]).model.name == model
    assert model in options("model")


def test_the_universal_config_holds_the_published_numbers():
    assert load_settings(["model=universal"]).model == MatrixGame2Config()


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
