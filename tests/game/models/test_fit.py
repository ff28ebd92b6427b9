"""Whether a model fits is said before it is read, with settings that do fit; on machines made up for it."""

import re

import pytest

from game.config.settings import load_settings
from game.errors import InputError
from game.models.fit import check_fits, examine
from game.models.loader import open_world, placement
from game.models.machine import Gpu, Machine

GB = 2**30


def machine(gpu: float | None, host: float = 64.0, bfloat16: bool = True) -> Machine:
    gpus = () if gpu is None else (Gpu("RTX", round(gpu * GB), 24 * GB, bfloat16),)
    return Machine("2.9", "CUDA 12.6", gpus, memory=64 * GB, available=round(host * GB))


@pytest.mark.parametrize("name", ["universal", "templerun"])
def test_every_published_model_fits_a_card_of_twelve(name):
    fit = examine(load_settings([f"model={name}"]), "cuda", machine(11))
    assert fit.fits and not fit.offers
    assert check_fits(fit, insist=True) is None
    assert re.fullmatch(
        rf"{name} takes \d\.\d GB of GPU memory \(of 11.0 GB free\) and .* \(of 64.0 GB available\)",
        fit.line(),
    )


def test_what_the_way_back_may_take_is_counted_beside_the_model():
    plain = examine(load_settings(["model=universal"]), "cuda", machine(9))
    assert plain.fits and plain.way_back is None, "by itself it takes a part of what is left"
    fit = examine(load_settings(["model=universal", "play.rewind_mb=4000"]), "cuda", machine(9))
    assert not fit.fits and "4000 MB to go back in time" in fit.back_in_time()
    assert examine(load_settings(["model=universal"]), "cpu", machine(None)).way_back == 256 * 2**20


@pytest.mark.parametrize(
    ("model", "free", "far"),
    [("waypoint", 7.5, "hardly at all"), ("waypoint", 22.5, "by [5-9] s"), ("waypoint-360p", 22.5, "by 3[0-9] s"),
     ("universal", 22.5, "hardly at all"), ("tiny", 7.5, "^$")],
)  # fmt: skip
def test_how_far_one_could_go_back_in_time_is_said(model, free, far):
    assert re.search(far, examine(load_settings([f"model={model}"]), "cuda", machine(free)).back_in_time())


def test_too_small_a_card_is_refused_with_settings_that_fit_it():
    settings = load_settings(["model=universal"])
    fit = examine(settings, "cuda", machine(7))
    with pytest.raises(InputError) as caught:
        check_fits(fit, insist=True)
    said = str(caught.value)
    assert "does not fit into memory; got 7.0 GB of GPU memory free on RTX; expected" in said
    assert "devices.vae=cpu (" in said and "check_memory=false" in said
    for words, need in fit.offers[-1:]:
        again = examine(load_settings(["model=universal", *words.split()]), "cuda", machine(7))
        assert again.fits and again.need == need
    warned = check_fits(fit, insist=False)
    assert "tried all the same" in warned and "devices.vae=cpu (" in warned


def test_nothing_is_offered_that_would_not_fit_either():
    fit = examine(load_settings(["model=universal"]), "cuda", machine(2))
    assert not fit.offers
    with pytest.raises(InputError, match="no setting makes it fit here"):
        check_fits(fit, insist=True)


def test_what_the_gpu_gives_up_must_fit_the_host():
    offers = dict(examine(load_settings(["model=universal"]), "cuda", machine(7.5, host=4)).offers)
    assert "decoder=taehv" in offers
    assert not [words for words in offers if "devices.vae=cpu" in words]


def test_full_precision_that_does_not_fit_is_answered_with_less():
    settings = load_settings(["model=universal", "quality=max"])
    offered = dict(examine(settings, "cuda", machine(10)).offers)
    assert "quality=fast" in offered and "dtype=bfloat16" in offered


def test_without_a_gpu_the_hosts_memory_counts():
    fit = examine(load_settings(["model=universal"]), "cpu", machine(None, host=8))
    assert fit.need.gpu is None and not fit.fits
    assert "8.0 GB of memory available" in fit.lacking(fit.need)


def test_memory_that_the_system_does_not_tell_of_is_not_held_against_a_model():
    assert examine(load_settings(["model=universal-slice"]), "cpu", Machine("2.9")).fits


def test_parts_beside_a_gpu_run_in_full_precision():
    import torch

    places = placement(load_settings(["model=universal", "devices.vae=cpu"]), "cuda", "bfloat16")
    assert (places.of("codec").device, places.of("codec").dtype) == ("cpu", torch.float32)
    assert places.of("light_decoder") == places.of("codec")
    assert places.of("image_tower") == places.of("transformer")
    with pytest.raises(InputError, match="models that have it apart"):
        placement(load_settings(["devices.vae=cpu"]), "cpu", "float32")


def test_a_model_that_does_not_fit_is_not_read(monkeypatch, tmp_path):
    settings = load_settings(["model=universal", f"weights={tmp_path}", "device=cpu"])

    def load_world(*_, checked, **__):
        checked()
        raise AssertionError("it was read")

    monkeypatch.setattr("engine.world.load_world", load_world)
    monkeypatch.setattr("game.models.machine.look", lambda tools: machine(None, host=1))
    with pytest.raises(InputError, match="does not fit into memory"):
        open_world(settings)
