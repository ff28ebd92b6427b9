"""Settings -> a loaded WorldModel: which weights, which device, which numbers. Imports torch only when it loads."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.families import family_of
from game.config.settings import Settings
from game.errors import InputError
from game.models.catalog import RANDOM, find_weights, is_large, remembered_sha256
from game.models.compiling import compile_first
from game.requirements import calm_threads

if TYPE_CHECKING:
    from engine.weights.placement import Placement
    from engine.world import WorldModel

Progress = Callable[[str, float], None]
Opener = Callable[[Settings], "WorldModel"]


def choose_device(settings: Settings) -> str:
    """ "cpu" or "cuda[:N]". Raises InputError if a GPU is asked for that torch does not see."""
    import torch

    seen = torch.cuda.is_available()
    if settings.device == "auto":
        return "cuda" if seen else "cpu"
    if settings.device.startswith("cuda"):
        if not seen:
            built = torch.version.cuda is not None
            why = "torch sees no GPU: see python -m game --doctor" if built else "this torch is built without CUDA"
            raise InputError(
                "there is no GPU to use", got=f"device={settings.device}", remedy=f"{why}; or use device=cpu"
            )
        index = int(settings.device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            expected = f"cuda:0 to cuda:{torch.cuda.device_count() - 1}"
            raise InputError("there is no such GPU", got=settings.device, expected=expected)
    return settings.device


def choose_dtype(settings: Settings, device: str, bfloat16: bool | None = None) -> str:
    """Name of the dtype: the one asked for, else the quality's, else what the device is fast at.

    bfloat16: whether the GPU computes in it; None to ask torch.
    """
    if settings.dtype != "auto":
        return settings.dtype
    if settings.quality.dtype is not None:
        return settings.quality.dtype
    if device == "cpu":
        return "float32"
    if bfloat16 is None:
        import torch

        bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if bfloat16 else "float16"


def placement(settings: Settings, device: str, dtype: str) -> Placement:
    """Where each network goes. device, dtype: of the transformer. What runs on a CPU beside a GPU does so in float32.

    Raises InputError for a device that there is not, or for a model that has no such parts.
    """
    import torch

    from engine.weights.placement import Place, Placement

    def place(name: str) -> Place | None:
        wanted = getattr(settings.devices, name)
        if wanted is None:
            return None
        if name not in family_of(settings.model).parts:
            what = f"devices.{name} is for models that have it apart"
            raise InputError(what, got=settings.model.name, remedy="leave it away")
        return Place(wanted, torch.float32 if wanted == "cpu" and device != "cpu" else getattr(torch, dtype))

    bits = None if settings.weights_dtype == "same" else settings.weights_dtype
    return Placement(
        Place(device, getattr(torch, dtype)), vae=place("vae"), image_tower=place("image_tower"), bits=bits
    )


def open_world(
    settings: Settings,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
    *,
    compiled: bool = True,
) -> WorldModel:
    """Loads the model that `settings` describe; takes seconds, so call it on a thread that may wait.

    progress: told (what is being done, share 0..1). warn: told lines a person should read: what a large model takes, a
    missing GPU, what its files turned out to hold. compiled: compile it too, if the settings say so; else that is left
    to the caller. Raises InputError for weights or devices that cannot be used, or where the model does not fit.
    """
    weights = find_weights(settings)
    places = _ready(settings, progress)
    from engine.world import load_world

    light = settings.decoder.weights
    world = load_world(
        settings.model,
        weights,
        device=places.transformer.device,
        dtype=places.transformer.dtype,
        vae=places.vae,
        image_tower=places.image_tower,
        bits=places.bits,
        elsewhere={} if light is None else {"light_decoder": Path(light)},
        hash_of=remembered_sha256,
        checked=lambda: _before_reading(settings, places, warn),
        progress=progress,
    )
    for remark in world.remarks:
        if warn is not None:
            warn(f"{settings.model.name}: {remark}")
    return _sped_up(world, settings, progress, warn, compiled)


def make_world(
    settings: Settings, progress: Progress | None = None, warn: Callable[[str], None] | None = None
) -> WorldModel:
    """As open_world, with random weights made in memory: a world just as fast as the real one, and good for no more."""
    places = _ready(settings, progress)
    from engine.families import seeded_networks
    from engine.world import WorldModel

    if progress is not None:
        progress("making random weights", 0.0)
    _before_reading(settings, places, warn)
    main = places.transformer
    networks = seeded_networks(
        settings.model,
        device=main.device,
        dtype=main.dtype,
        vae=places.vae,
        image_tower=places.image_tower,
        bits=places.bits,
    )
    world = WorldModel(networks, RANDOM)
    return _sped_up(world, settings, progress, warn, True)


def _sped_up(
    world: WorldModel, settings: Settings, progress: Progress | None, warn: Callable[[str], None] | None, compiled: bool
) -> WorldModel:
    """The world with the fastest kernels that its settings allow."""
    from engine.families import best_kernels

    world.use(best_kernels(world.networks))
    if compiled:
        compile_first(world, settings.compile.name, progress, warn)
    return world


def _before_reading(settings: Settings, places: Placement, warn: Callable[[str], None] | None) -> None:
    """Says what a large model takes, and that it will be slow. Raises InputError if it does not fit.

    Not before the files are known to be right: a wrong one is the only line there is.
    """
    if not is_large(settings):
        return
    from game.models.fit import check_bits, check_fits, examine
    from game.models.machine import look

    device = str(places.transformer.device)
    machine = look(tools=False)
    check_bits(settings, device, machine)
    fit = examine(settings, device, machine)
    told = check_fits(fit, settings.check_memory) or fit.line()
    if warn is not None:
        warn(told)
        if device == "cpu":
            name = settings.model.name
            warn(f"no GPU: {name} runs on the CPU, far below real time (python -m game --doctor says how far)")


@contextmanager
def _no_collecting() -> Iterator[None]:
    """For an import of a quarter of a million objects that all stay: looking for garbage among them is a seventh of its
    time, and would go on in every later search, while a person plays."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if wanted:
            gc.enable()


def _ready(settings: Settings, progress: Progress | None) -> Placement:
    """Imports and sets up torch; where to load to."""
    if progress is not None:
        progress("starting torch", 0.0)
    calm_threads()
    with _no_collecting():
        import torch

    # A small model's products are large enough for two threads to share, and not for more.
    threads = settings.threads or (0 if is_large(settings) else min(2, torch.get_num_threads()))
    if threads:
        torch.set_num_threads(threads)
    # Else a GPU's convolutions in float32 are none: the VAE of quality=max, and the recogniser wherever it runs.
    torch.backends.cudnn.allow_tf32 = False
    device = choose_device(settings)
    for name in ("image_tower", "vae"):
        wanted = getattr(settings.devices, name)
        if wanted is not None:
            choose_device(replace(settings, device=wanted))
    return placement(settings, device, choose_dtype(settings, device))
