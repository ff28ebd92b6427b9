"""Which settings fit the cards that people own, by count; and what is said where a card cannot do what is asked."""

import contextlib
import platform
import re
from dataclasses import replace

import pytest
import torch

from engine.cost.memory import MemoryCount
from engine.families import build_networks, family_of, lighten
from engine.weights.placement import Place, Placement
from game.config.settings import Settings, load_settings
from game.errors import ConfigError, InputError
from game.models.fit import check_bits, examine
from game.models.machine import Gpu, Machine, fp8_takes, look
from game.tools.doctor import _eight_bits
from tests.game.display import ROOT

GB = 2**30
LESS = "(a third less memory for the weights)"
FREE = 0.94  # of a card's memory, beside a desktop


def card(gigabytes: float, capability: tuple[int, int] | None = (8, 6)) -> Machine:
    total = round(gigabytes * GB)
    return Machine("2.13", "CUDA 13.0", (Gpu("a card", round(total * FREE), total, True, capability),),
                   memory=32 * GB, available=28 * GB)  # fmt: skip


@pytest.fixture(scope="module")
def counts() -> dict[str, MemoryCount]:
    return {}


def need(counts: dict[str, MemoryCount], *words: str) -> float:
    """GPU memory in GB that settings take in bfloat16."""
    settings = load_settings(words)
    key = str(settings.model)
    counts.setdefault(key, MemoryCount(settings.model))
    bits = None if settings.weights_dtype == "same" else settings.weights_dtype
    tower = Place("cpu", torch.float32) if settings.devices.image_tower else None
    got = counts[key].need(Placement(Place("cuda", torch.bfloat16), image_tower=tower, bits=bits))
    return got.gpu.total / GB


# The README's table; each row is the least that is given up for a card of that size.
@pytest.mark.parametrize(
    ("gigabytes", "words"),
    [
        (8, ("model=waypoint",)),
        (8, ("model=waypoint-360p",)),
        (8, ("model=universal", "decoder=taehv")),
        (8, ("model=universal", "weights_dtype=int8")),
        (12, ("model=universal",)),
        (16, ("model=universal",)),
        (24, ("model=universal",)),
    ],
)
def test_a_card_holds_what_the_table_says(counts, gigabytes, words):
    assert need(counts, *words) < gigabytes * FREE


def readmes_rows() -> list[tuple[str, float, float]]:
    """Settings, GPU and host memory of each row of engine/README.md's table."""
    text = (ROOT / "engine" / "README.md").read_text(encoding="utf-8").split("### Memory")[1].split("\n\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text[1].splitlines()[2:]]
    return [(words, float(gpu.partition(" ")[0] or 0), float(host.partition(" ")[0])) for words, gpu, host in rows]


@pytest.mark.slow
def test_the_readmes_table_is_what_is_counted():
    rows = readmes_rows()
    assert len(rows) == 10
    for told, on_gpu, on_host in rows:
        words = re.findall(r"[\w.]+=[\w-]+", told)
        words = words if "model=" in told else ["model=universal", *words]
        device, dtype = ("cpu", "float32") if told.startswith("no GPU") else ("cuda", "bfloat16")
        for used in (words[:1], words) if "with or without" in told else (words,):
            need = examine(load_settings([*used, f"dtype={dtype}"]), device, card(80, (9, 0))).need
            gpu = 0 if need.gpu is None else need.gpu.total
            assert gpu / GB == pytest.approx(on_gpu, abs=0.06), (told, used)
            assert need.host.total / GB == pytest.approx(on_host, abs=0.06), (told, used)


@pytest.mark.slow
def test_eight_gigabytes_are_too_few_for_the_largest_and_what_fits_is_offered():
    fit = examine(load_settings(["model=universal", "dtype=bfloat16"]), "cuda", card(8))
    assert not fit.fits
    words = [offer for offer, _ in fit.offers]
    assert "decoder=taehv" in words and "weights_dtype=int8" in words
    old = examine(load_settings(["model=universal", "dtype=bfloat16"]), "cuda", card(8, (7, 0)))
    assert not [offer for offer, _ in old.offers if "int8" in offer]


@pytest.mark.parametrize(
    ("model", "bits", "share"),
    [("universal", "int8", 0.658), ("universal", "fp8", 0.658), ("waypoint", "int8", 0.522),
     ("waypoint", "fp8", 0.645)],
)  # fmt: skip
def test_layers_of_eight_bits_are_most_of_the_weights_and_take_half(model, bits, share):
    networks = build_networks(load_settings([f"model={model}"]).model, "meta")
    networks.modules()["transformer"].to(torch.bfloat16)
    networks = family_of(networks.config).loaded(networks, None)
    before = sum(weight.nbytes for weight in networks.modules()["transformer"].state_dict().values())
    lighten(networks, bits)
    state = networks.modules()["transformer"].state_dict().values()
    assert sum(weight.nbytes for weight in state) / before == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(
    ("wanted", "capability", "can"),
    [("int8", (7, 5), True), ("int8", (7, 0), False), ("fp8", (8, 9), True), ("fp8", (8, 6), False),
     ("fp8", None, False)],
)  # fmt: skip
def test_eight_bits_are_had_only_where_the_card_can(wanted, capability, can):
    settings = load_settings(["model=universal", f"weights_dtype={wanted}"])
    machine = card(24, capability)
    if can:
        check_bits(settings, "cuda", machine)
    else:
        with pytest.raises(
            InputError, match=r"cannot be had on a card.*(use weights_dtype=int8|leave weights_dtype away)"
        ):
            check_bits(settings, "cuda", machine)
    check_bits(settings, "cpu", machine)
    assert (f"weights_dtype={wanted}" in _eight_bits(machine.gpus[0])) == can


@pytest.mark.parametrize(
    ("capability", "said"),
    [
        ((7, 0), "no weights of eight bits; int8 takes compute capability 7.5; fp8 takes compute capability 8.9"),
        ((8, 6), f"weights of eight bits: weights_dtype=int8 {LESS}; fp8 takes compute capability 8.9"),
        ((8, 9), f"weights of eight bits: weights_dtype=int8 or weights_dtype=fp8 {LESS}"),
    ],
)  # fmt: skip
def test_the_doctor_says_what_each_kind_of_eight_bits_takes(capability, said):
    assert _eight_bits(card(24, capability).gpus[0]) == said


@pytest.mark.parametrize(
    ("capability", "version", "system", "takes"),
    [
        ((8, 9), "2.6.0+cu124", "Linux", "torch 2.12 on this GPU"),
        ((8, 9), "2.11.0+cu130", "Linux", "torch 2.12 on this GPU"),
        ((8, 9), "2.12.0+cu130", "Linux", None),
        ((9, 0), "2.6.0+cu124", "Linux", None),
        ((10, 0), "2.7.1+cu128", "Linux", "torch 2.8 on this GPU"),
        ((12, 0), "2.10.0+cu130", "Linux", "torch 2.11 on this GPU"),
        ((12, 0), "2.13.0+cu130", "Linux", None),
        ((8, 9), "2.13.0+cu130", "Windows", "Linux: torch has no such product on Windows"),
    ],
)
def test_fp8_is_offered_only_where_torch_multiplies_rows_with_scales(capability, version, system, takes):
    assert fp8_takes(capability, version, system) == takes
    gpu = replace(card(24, capability).gpus[0], fp8_takes=takes)
    assert gpu.can("fp8") == (takes is None) and gpu.can("int8")
    machine = replace(card(24), torch=version, gpus=(gpu,))
    settings = load_settings(["model=waypoint", "weights_dtype=fp8"])
    if takes is None:
        check_bits(settings, "cuda", machine)
        return
    assert f"weights_dtype=int8 {LESS}; fp8 takes {takes}" in _eight_bits(gpu)
    with pytest.raises(InputError, match=f"torch {re.escape(version)}.*expected {takes}; use weights_dtype=int8"):
        check_bits(settings, "cuda", machine)


def test_a_gpu_is_looked_at_with_the_torch_that_is_here(monkeypatch):
    fakes = {"is_available": lambda: True, "device_count": lambda: 1, "mem_get_info": lambda _: (GB, GB),
             "device": lambda _: contextlib.nullcontext(), "is_bf16_supported": lambda **_: True,
             "get_device_capability": lambda _: (8, 9), "get_device_name": lambda _: "a card"}  # fmt: skip
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch, "__version__", "2.7.1+cu126")
    assert look(tools=False).gpus[0].fp8_takes == fp8_takes((8, 9), "2.7.1+cu126", platform.system())


def test_small_models_have_no_layers_for_it():
    with pytest.raises(ConfigError, match="does nothing for tiny"):
        load_settings(["weights_dtype=int8"])


def test_a_recording_says_it():
    settings: Settings = load_settings(["model=waypoint", "weights_dtype=int8", "threads=1"])
    assert settings.overrides == ("weights_dtype=int8",)
    assert replace(settings, weights_dtype="same").weights_dtype == "same"
