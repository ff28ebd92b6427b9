"""`--doctor`: what this machine can run, and how fast, in plain words. Loads no weights but the embedded model's."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.families import families, family_of
from game import VERSION
from game.config.settings import Settings, load_settings
from game.console import tell
from game.errors import EngineError, InputError
from game.models.catalog import find_weights, is_large, random_weights, shipped_folder
from game.models.fit import examine, gigabytes
from game.models.loader import choose_device, choose_dtype
from game.models.machine import EIGHT_BITS, Gpu, Machine, look

if TYPE_CHECKING:
    from engine.config.model import ModelConfig
    from engine.cost.memory import Share

_HOPELESS = 0.05  # times real time; below it nothing lighter helps


def doctor(words: Sequence[str], machine: Machine | None = None, who_draws: Callable[[], str] | None = None) -> int:
    """Prints the diagnosis and returns the exit code.

    words: overrides (device=, dtype=, threads=, weights= count). machine: looked at by default. Raises InputError for
    overrides that cannot be used. who_draws: says what would draw the window; asked where there is a display.
    """
    settings = load_settings(words)
    machine = machine or look()
    for line in (*_program(who_draws), *_machine(machine), *_gpu(machine)):
        tell(line)
    import torch

    from game.models.machine import gemm_gflops

    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = choose_device(settings)
    dtype = choose_dtype(settings, device)
    speed = gemm_gflops(device, getattr(torch, dtype))
    threads = "" if device != "cpu" else f", {torch.get_num_threads()} threads"
    tell(f"Arithmetic    {speed:.0f} GFLOP/s in large products ({device}, {dtype}{threads})")
    chosen = settings.model.name
    for family in (family for family in families() if family.large):
        named = family_of(settings.model) is family
        closer = settings if named else _settings_of(family.models[0], words, chosen)
        tell(_model(closer, speed))
        if others := [name for name in family.models if name != closer.model.name]:
            tell(f"              {', '.join(others)}: of the same kind; --doctor model=NAME looks closer")
        for line in _memory(closer, device, machine):
            tell(line)
    own = ["device=cpu", f"threads={settings.threads}"]
    default = load_settings().model.name
    tell(_embedded(settings if not is_large(settings) else _settings_of(default, own, chosen)))
    return 0


def _settings_of(name: str, words: Sequence[str], chosen: str) -> Settings:
    """Settings of another model than the chosen one: words about that one's weights and numbers don't count."""
    if name == chosen:
        return load_settings(words)
    kept = [word for word in words if not word.startswith(("model=", "model.", "weights="))]
    return load_settings([*kept, f"model={name}"])


def _program(who_draws: Callable[[], str] | None) -> list[str]:
    system = platform.system()
    shown = system != "Linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    drawn = f"; {who_draws()}" if shown and who_draws is not None else ""
    window = (
        f"a display is there{drawn}"
        if shown
        else "no display here: render with --headless --script FILE, or play with --script -"
    )
    return [
        f"Program       {VERSION}, Python {platform.python_version()}",
        f"Window        {window}",
        f"Videos        {_videos()}",
    ]


def _videos() -> str:
    """Which ffmpeg there is, and whether it writes what recordings need: it is tried."""
    import numpy as np

    from game.media.video import Video, ffmpeg_binary, ffmpeg_version, write_clip

    try:
        told = f"ffmpeg {ffmpeg_version()} at {ffmpeg_binary()}"
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            write_clip(clip, np.zeros((2, 32, 64, 3), np.uint8), 20.0)
            with Video(clip) as video:
                return f"{told} writes them" if video.frames == 2 else f"{told} loses frames"
    except (EngineError, OSError) as error:
        return f"none can be written: {error}"


def _eight_bits(gpu: Gpu) -> str:
    """In words, which weights of eight bits the GPU can multiply, and what the others take."""
    can = [f"weights_dtype={name}" for name in EIGHT_BITS if gpu.can(name)]
    others = [f"{name} takes {takes}" for name in EIGHT_BITS if (takes := gpu.takes(name)) is not None]
    told = f"weights of eight bits: {' or '.join(can)} (a third less memory for the weights)" if can else None
    return "; ".join([told or "no weights of eight bits", *others])


def _machine(machine: Machine) -> list[str]:
    memory = ""
    if machine.memory is not None and machine.available is not None:
        memory = f", {gigabytes(machine.memory)} of memory ({gigabytes(machine.available)} available)"
    return [f"Machine       {machine.system}, {machine.cores} CPU cores{memory}"]


def _gpu(machine: Machine) -> list[str]:
    lines = [
        f"Torch         {machine.torch}, built {f'with {machine.built_for}' if machine.built_for else 'without CUDA'}"
    ]
    unused = machine.unused_gpu
    if machine.gpus:
        for gpu in machine.gpus:
            own = "" if gpu.bfloat16 else ", no bfloat16: float16 is used"
            lines.append(f"GPU           {gpu.name}, {gigabytes(gpu.free)} of {gigabytes(gpu.total)} free{own}")
            lines.append(f"              {_eight_bits(gpu)}")
        driver = machine.driver or next((line.split(", ")[1] for line in machine.installed if ", " in line), None)
        return [*lines, f"              driver {driver}"] if driver else lines
    if unused is None:
        return [*lines, "GPU           none found"]
    lines.append(f"GPU           {unused}: but torch cannot use it")
    if not machine.built_for:
        why = (
            "this torch is built without CUDA: install torch for your CUDA from https://pytorch.org/get-started/locally"
        )
    elif machine.installed or machine.driver:
        why = f"its driver may be too old for {machine.built_for}: update it, or install torch for an older CUDA"
    else:
        why = "install NVIDIA's driver for it"
    return [*lines, f"              {why}"]


def _memory(settings: Settings, device: str, machine: Machine) -> list[str]:
    """What a large model takes of the machine's memory, and what to do where that is too much."""
    fit = examine(settings, device, machine)
    parts = [("GPU", fit.need.gpu), ("host", fit.need.host)] if fit.need.gpu else [("host", fit.need.host)]
    told = "; ".join(f"{where}: {_shares(share)}" for where, share in parts)
    verdict = "fits" if fit.fits else f"does not fit ({fit.lacking(fit.need)}); {fit.remedy()}"
    back = fit.back_in_time() if fit.fits else ""
    return [
        f"Memory        {fit.line()}: {verdict}",
        f"              {told}",
        *([f"              {back}"] if back else []),
    ]


def _shares(share: Share) -> str:
    parts = {"weights": share.weights, "caches": share.kept, "work": share.passing, "libraries": share.libraries}
    return ", ".join(f"{name} {gigabytes(size)}" for name, size in parts.items())


def _model(settings: Settings, gflops: float) -> str:
    """A large model's lines: needs what, and how fast it is at best, which is as fast as its products alone."""
    flops, seconds, times = _at_best(settings.model, gflops)
    name = settings.model.name
    lines = [
        f"Model         {name}: {_weights(settings)}",
        f"              {flops / 1e12:.3g} TFLOP a block; expected block time: at least {_duration(seconds)}, for "
        f"arithmetic alone: at best {_times(times)} real time, {_bound(times)}",
    ]
    if _HOPELESS <= times < 1.0:
        faster = [(words, _at_best(model, gflops)[2]) for words, model in _lighter(settings)]
        told = "; ".join(f"{words} {_times(other)} real time" for words, other in faster if other > 1.05 * times)
        lines += [f"              lighter, at best: {told}"] if told else []
    return "\n".join([*lines, f"              measure it without its weights: --bench model={name} weights=random"])


def _at_best(config: ModelConfig, gflops: float) -> tuple[int, float, float]:
    """Operations of a block, the seconds they take at that rate, and how many times real time that is."""
    from engine.cost.operations import block_flops

    flops = block_flops(config).total
    seconds = flops / (gflops * 1e9)
    return flops, seconds, config.frames_of_block(1) / seconds / config.fps


def _lighter(settings: Settings) -> list[tuple[str, ModelConfig]]:
    """Settings under which a block takes fewer operations, and the model that each makes."""
    words = (f"model={settings.model.name}",)
    tried = ["quality=fast"]
    if family_of(settings.model).takes_decoder:
        tried += ["decoder=taehv", "quality=fast decoder=taehv"]
    return [(more, load_settings([*words, *more.split()]).model) for more in tried]


def _bound(times: float) -> str:
    """What a model may be good for that runs at most `times` as fast as time."""
    if times >= 1.0:
        return "so it may play live"
    return "so not for live play, but for renders" if times >= _HOPELESS else "so for short renders only"


def _weights(settings: Settings) -> str:
    if random_weights(settings):
        return "random weights, for --bench"
    try:
        where = find_weights(settings)
    except InputError:
        name = settings.model.name
        fetch = f"python -m game --fetch model={name}, or weights=DIR"
        return f"needs its published weights ({fetch})" if is_large(settings) else "no weights here"
    if where == shipped_folder(settings):
        return "its weights come with the program"
    from engine.world import check_weights

    light = settings.decoder.weights
    try:
        check_weights(settings.model, where, {} if light is None else {"light_decoder": Path(light)})
    except InputError as error:
        return f"its weights cannot be used: {error}"
    return f"weights in {where.absolute()}, complete and of the right shapes"


def _duration(seconds: float) -> str:
    return (
        f"{seconds * 1000:.0f} ms"
        if seconds < 1
        else f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
    )


def _pace(fps: float, wanted: float) -> str:
    times = fps / wanted
    words = (
        "plays smoothly"
        if times >= 1.2
        else "just about playable; try quality=fast"
        if times >= 0.8
        else "slow motion; good for rendering"
        if times >= 0.1
        else "for short renders only"
    )
    return f"{_times(times)} real time: {words}"


def _times(times: float) -> str:
    return f"1/{1 / times:.0f} of" if times < 0.1 else f"{times:.2g} x"


def _embedded(settings: Settings) -> str:
    """Runs the embedded model for a moment: an estimate is no measurement."""
    from engine.actions import Actions
    from game.models.loader import open_world
    from game.world.scenes import usual_picture

    config = settings.model
    try:
        start = time.perf_counter()
        world = open_world(settings)
        loaded = time.perf_counter() - start
        rollout = world.start(usual_picture(config.height, config.width), 0)
    except EngineError as error:
        return f"Verdict       the embedded model does not load: {error}"
    idle = world.action_space.action()
    frames, start = 0, time.perf_counter()
    for i in range(30):
        if i == 5:
            frames, start = 0, time.perf_counter()  # warm from here on
        frames += len(rollout.step(Actions.stack([idle] * rollout.next_frames)).frames)
        rollout.settle()
    fps = frames / (time.perf_counter() - start)
    words = f"loads in {loaded:.1f} s, {fps:.0f} frames/s on {world.device}, {_pace(fps, config.fps)}"
    return f"Verdict       the embedded model, tried just now: {words}"
