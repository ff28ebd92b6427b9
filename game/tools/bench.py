"""`--bench`: how fast the chosen model is on this machine, beside how fast its products alone could be."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine.actions import Actions, ActionSpace, benchmark_actions
from engine.block import Block, Timings
from engine.errors import OverflowedError
from engine.families import family_of
from game.config.settings import Settings, load_settings
from game.console import GentleStop, Progress, say, tell
from game.errors import RunError
from game.files import check_folder, folder_error, write_json
from game.models.catalog import find_weights, is_large, is_slice, random_weights
from game.models.loader import Opener, make_world, open_world
from game.models.machine import PowerMeter, free_memory, gemm_gflops
from game.recording.format import RunStats
from game.world.scenes import usual_picture

if TYPE_CHECKING:
    import torch

    from engine.rollout.rollout import Rollout
    from engine.world import WorldModel

_WARM_BLOCKS = 8
_PATIENCE_S = 20.0  # after so long a slow model is as warm as it gets, and one timed block has to do

T = TypeVar("T")


def bench(words: list[str], blocks: int | None, out: Path | None, open_model: Opener | None = None) -> int:
    """Times `blocks` blocks (by default about ten seconds' worth), prints a table and writes bench.json.

    words: overrides; weights=random times any model without its files. out: bench.json's folder, the working directory
    by default. Returns the exit code. Raises InputError, RunError.
    """
    settings = load_settings(words)
    made_up = random_weights(settings)
    if not made_up:
        find_weights(settings)
    check_folder(out or Path("."))
    progress = Progress()
    began = time.perf_counter()
    open_model = open_model or (lambda s: (make_world if made_up else open_world)(s, progress, say))
    world = open_model(settings)
    results = measure(world, settings, blocks, progress, began)
    tell(table(results))
    path = (out or Path(".")) / "bench.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, results)
    except OSError as error:
        raise folder_error(path.parent, error) from error
    tell(path)
    return 0


def measure(world: WorldModel, settings: Settings, blocks: int | None, progress: Progress, began: float) -> dict:
    """bench.json's fields. began: the perf_counter() at which loading began.

    first_block_ms is the very first step, cold; warmup_ms all from the beginning of loading to the first timed block. A
    block's time is that of its step and of its context pass; of a slice only the transformer's part counts, in the
    floor too, and the same is timed with the readable kernels. What a block is compared with is measured after it, when
    its world is gone: a card that carries the model has to carry no more for being timed.
    """
    import torch

    config, part, on_cpu = world.config, is_slice(settings), world.device.type == "cpu"
    actions = _Actions(world.action_space)
    rollout = world.start(usual_picture(config.height, config.width), 0)
    first_ms = _warm(rollout, actions, 0 if part else blocks, progress)
    if part:
        _fill(rollout, actions)
    warmup_ms = (time.perf_counter() - began) * 1000
    before = gemm_gflops("cpu", world.dtype) if on_cpu else None  # the more the better: others work beside us
    timed = _time(world.device, rollout, actions, part, blocks, progress)
    del rollout
    if not timed.stats.blocks:
        raise RunError("stopped before a block was timed")
    speed, flops = timed.stats.to_report(config.fps), _flops(world, part)
    gemm = _gemm(world, before)
    floor_ms = flops / (gemm * 1e6) if gemm else None
    return (
        _by_cpu_time(world, timed.cpu_seconds, flops)
        | _compared(world, settings, progress)
        | {
            "model": config.name,
            "device": str(world.device),
            "dtype": str(world.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "block_ms": speed["block_ms"],
            "stage_ms": speed["stage_ms"],
            "first_picture_ms": timed.first_picture_ms,
            "generated_fps": speed["generated_fps"],
            "realtime_factor": speed["realtime_factor"],
            "wall_fps": None if part else round(timed.stats.frames / timed.seconds, 3),
            "flops_per_block": flops,
            "gemm_gflops": gemm and round(gemm, 1),
            "floor_ms": floor_ms and round(floor_ms, 3),
            "floor_ratio": floor_ms and round(speed["block_ms"]["p50"] / floor_ms, 3),
            "peak_rss_mb": timed.peak_rss_mb,
            "peak_gpu_mb": timed.peak_gpu_mb,
            "watts": timed.watts,
            "weights_dtype": settings.weights_dtype,
            "first_block_ms": round(first_ms, 3),
            "warmup_ms": round(warmup_ms, 3),
            "blocks": timed.stats.blocks,
            "quality": settings.quality.name,
            "compile": world.kernels.compiled,
            "timed": "the transformer's part of a block" if part else "whole blocks",
            "random_weights": random_weights(settings),
            "torch": str(torch.__version__),
        }
    )


@dataclass(frozen=True)
class _Timed:
    """Blocks that were timed. seconds: by the clock, all of them; cpu_seconds: of one, all threads together; peaks: of
    memory up to then, in MB, and watts in the mean, None where there is no GPU or it does not say."""

    stats: RunStats
    first_picture_ms: float | None
    seconds: float
    cpu_seconds: float
    watts: float | None
    peak_rss_mb: float | None
    peak_gpu_mb: float | None


def _time(
    device: torch.device, rollout: Rollout, actions: _Actions, part: bool, blocks: int | None, progress: Progress
) -> _Timed:
    stats, firsts = RunStats(), list[float]()
    start, cpu = time.perf_counter(), time.process_time()
    with GentleStop() as stop, PowerMeter(_card(device)) as power:
        while not stop.asked and _more(stats.blocks, blocks, time.perf_counter() - start):
            block = _settled(rollout, actions, part)
            firsts.append(block.timings.first_picture_ms)
            stats.add(block)
            progress("timing", stats.blocks / blocks if blocks else (time.perf_counter() - start) / 10.0)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    progress.clear()
    first = round(sorted(firsts)[len(firsts) // 2], 3) if any(firsts) else None
    each = cpu / max(1, stats.blocks)
    return _Timed(stats, first, seconds, each, power.watts, peak_rss_mb(), _peak_gpu_mb(device))


def _gemm(world: WorldModel, before: float | None) -> float | None:
    """Products of matrices, GFLOP/s, at best; None where a GPU has no room for them beside the model."""
    found = _if_there_is_room(lambda: gemm_gflops(str(world.device), world.dtype))
    return max(filter(None, (before, found)), default=None)


def _if_there_is_room(work: Callable[[], T]) -> T | None:
    """What some work beside the model gives; None if a GPU's memory does not suffice for it."""
    import torch

    free_memory()
    try:
        return work()
    except torch.OutOfMemoryError:
        free_memory()
        return None


def _peak_gpu_mb(device: torch.device) -> float | None:
    """The most that torch ever held of a GPU's memory, in MB; None elsewhere."""
    if device.type != "cuda":
        return None
    import torch

    return round(torch.cuda.max_memory_reserved(device) / 2**20, 1)


def _warm(rollout: Rollout, actions: _Actions, blocks: int | None, progress: Progress) -> float:
    """Makes a few blocks that are not timed; returns the milliseconds of the very first step."""
    start, first_ms = time.perf_counter(), 0.0
    for i in range(_WARM_BLOCKS if blocks is None else min(_WARM_BLOCKS, 1 + blocks)):
        if i and time.perf_counter() - start > _PATIENCE_S:
            break
        progress("warming up", i / _WARM_BLOCKS)
        rollout.step(actions.take(rollout.next_frames))
        first_ms = first_ms or (time.perf_counter() - start) * 1000
        rollout.settle()
    return first_ms


def _fill(rollout: Rollout, actions: _Actions) -> None:
    """Takes the windows for full: of a slice that nobody looks at, a block in them takes as long whatever they hold."""
    while not rollout.pipeline.full:
        rollout.skip(actions.take(rollout.next_frames))


def _card(device: torch.device) -> int | str | None:
    """The GPU of a torch device as its driver knows it: torch numbers only those it may use, in an order of its own."""
    if device.type != "cuda":
        return None
    import torch

    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return device.index or 0 if uuid is None else f"GPU-{uuid}"


def _by_cpu_time(world: WorldModel, seconds: float, flops: int) -> dict:
    """The floor ratio in seconds of CPU time, all threads together, that other programs' work does not distort."""
    if world.device.type != "cpu":
        return {}
    rate = gemm_gflops("cpu", world.dtype, time.process_time)
    return {"cpu_seconds": round(seconds, 3), "cpu_floor_ratio": round(seconds * rate * 1e9 / flops, 3)}


def _compared(world: WorldModel, settings: Settings, progress: Progress) -> dict:
    """What the fast kernels are compared with: the readable ones' time, of a slice, and both kinds' counted work."""
    made: dict[str, Any] = {}
    if is_slice(settings):
        made["readable_block_ms"] = _readable_ms(world, progress)
    if is_large(settings) and (is_slice(settings) or world.device.type != "cpu"):
        values = _if_there_is_room(lambda: _largest_values(world, progress))
        made |= {} if values is None else {"largest_values": values}
    if world.kernels.fast and is_large(settings):
        made["work"] = work_of(settings, world.dtype)
        made["original_work"] = family_of(settings.model).original
    progress.clear()
    return made


def _settled(rollout: Rollout, actions: _Actions, part: bool) -> Block:
    """The next block and its context pass. part: with the times of the transformer's part alone."""
    block = rollout.step(actions.take(rollout.next_frames))
    context_ms = rollout.settle() if part else 0.0
    if not part:
        rollout.settle()
        return block
    denoise_ms = block.timings.denoise_ms
    return replace(block, timings=Timings(denoise_ms, context_ms, 0.0, denoise_ms + context_ms))


def _flops(world: WorldModel, part: bool) -> int:
    if not part:
        return world.flops_per_block()
    from engine.cost.operations import block_flops

    flops = block_flops(world.config)
    return flops.passes


def _readable_ms(world: WorldModel, progress: Progress) -> float:
    """The transformer's part of one block, window full, computed as it is written down to be read."""
    from engine.families import new_rollout
    from engine.pictures import fit_picture

    config, networks, actions = world.config, world.networks, _Actions(world.action_space)
    picture = fit_picture(usual_picture(config.height, config.width), config.height, config.width)
    rollout = new_rollout(networks, picture, 0)
    progress("timing the readable model", 0.0)
    _settled(rollout, actions, part=True)
    _fill(rollout, actions)
    return round(_settled(rollout, actions, part=True).timings.total_ms, 3)


def _largest_values(world: WorldModel, progress: Progress) -> list[float]:
    """The largest number that comes out of each layer during a block, see engine/cost/ranges.py."""
    from engine.cost.ranges import largest_values
    from engine.families import new_rollout
    from engine.pictures import fit_picture

    config, networks, actions = world.config, world.networks, _Actions(world.action_space)
    picture = fit_picture(usual_picture(config.height, config.width), config.height, config.width)
    progress("looking for large numbers", 0.0)
    rollout = new_rollout(networks, picture, 0)

    def one_block() -> None:
        with contextlib.suppress(OverflowedError):  # that is what is looked for
            _settled(rollout, actions, part=True)

    return [round(value, 3) for value in largest_values(networks.modules()["transformer"], one_block)]


def work_of(settings: Settings, dtype: torch.dtype) -> dict[str, dict]:
    """What a block of the model asks of its device, by kernels: launches of a pass and a block, bytes made, host waits.

    A slice's is that of the whole model it is of: counting needs no weights. Of the readable ones, in whole numbers;
    compiled kernels are fewer.
    """
    from engine.cost.operations import block_work

    parent = settings.model.slice_of
    config = settings.model if parent is None else load_settings([f"model={parent}"]).model
    made = {}
    for name, fast in (("readable", False), ("fast", True)):
        bits = None if settings.weights_dtype == "same" or not fast else settings.weights_dtype
        work = block_work(config, fast=fast, dtype=dtype, bits=bits)
        made[name] = {"pass_launches": work.one_pass.launched, "block_launches": work.total.launched,
                      "bytes_made": work.total.bytes_made, "host_waits": work.total.host_waits}  # fmt: skip
    return made


def _more(done: int, wanted: int | None, seconds: float) -> bool:
    """Whether another block is to be timed: `wanted` of them, or ten seconds' worth and three if they are not slow."""
    if wanted is not None:
        return done < wanted
    return seconds < 10.0 or done < (3 if seconds < _PATIENCE_S else 1)


class _Actions:
    """The original's benchmark mix without end."""

    def __init__(self, space: ActionSpace) -> None:
        idle = Actions.stack([space.idle()] * 1201)
        self._mix, self._at = benchmark_actions(space, 42, 1201) if space.mix else idle, 0

    def take(self, frames: int) -> Actions:
        self._at = self._at + frames if self._at + 2 * frames <= len(self._mix) else 0
        return self._mix[self._at : self._at + frames]


def peak_rss_mb() -> float | None:
    """Largest resident memory of this process so far, MB; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def table(results: dict) -> str:
    """bench.json for people."""
    block, stage = results["block_ms"], results["stage_ms"]
    weights = ", random weights" if results["random_weights"] else ""
    where = f"{results['device']}, {results['dtype']}, {results['threads']} threads{weights}"
    by_clock = f"; {results['wall_fps']:.1f} by the clock, with all that goes on between" if results["wall_fps"] else ""
    rows = [
        ("model", f"{results['model']} on {where}"),
        ("block", f"{block['p50']:.1f} ms (p95 {block['p95']:.1f}), median of {results['blocks']}"),
        ("  first picture", f"{results['first_picture_ms']:.1f} ms" if results["first_picture_ms"] else "as the block"),
        ("  denoise", f"{stage['denoise']:.1f} ms"),
        ("  context pass", f"{stage['context']:.1f} ms"),
        ("  decode", f"{stage['decode']:.1f} ms"),
        ("speed", f"{results['generated_fps']:.1f} frames/s = {results['realtime_factor']:.2f} x real time{by_clock}"),
        ("operations", f"{results['flops_per_block'] / 1e9:.2f} GFLOP a block"),
        *_floor(results),
        ("memory", f"{results['peak_rss_mb']} MB at most"),
        ("first block", f"{results['first_block_ms']:.0f} ms; {results['warmup_ms']:.0f} ms from start to warm"),
    ]
    return "\n".join([*(f"{name:<15} {value}" for name, value in rows), *_further(results)])


def _floor(results: dict) -> list[tuple[str, str]]:
    if not results["gemm_gflops"]:
        return [("matrix product", "not measured: no room for it beside the model")]
    floor, times = results["floor_ms"], results["floor_ratio"]
    ratio = [("floor", f"{floor:.1f} ms a block at that rate; the block takes {times} x that")] if floor else []
    return [("matrix product", f"{results['gemm_gflops']:.0f} GFLOP/s in the same run"), *ratio]


def _further(results: dict) -> list[str]:
    """The lines that not every run has: CPU time, the readable kernels' time, and the work of a block by kernels."""
    lines = []
    if "cpu_floor_ratio" in results:
        lines.append(
            f"{'CPU time':<15} {results['cpu_seconds']:.3g} s a block, {results['cpu_floor_ratio']} x its floor"
        )
    if "readable_block_ms" in results:
        obvious, ours = results["readable_block_ms"], results["block_ms"]["p50"]
        lines.append(f"{'timed':<15} {results['timed']} alone, and its operations; the codec is a stand-in")
        lines.append(
            f"{'readable':<15} {obvious:.1f} ms for the same by the readable model, {obvious / ours:.2f} x ours"
        )
    if values := results.get("largest_values"):
        layer = max(range(len(values)), key=lambda i: abs(values[i]) if values[i] == values[i] else math.inf)
        lines.append(f"{'largest number':<15} {values[layer]:.4g}, out of layer {layer}; float16 holds {65504}")
    if "work" in results:
        lines.append(f"{'work, counted':<15} {'kernels a pass':>15}{'a block':>10}{'GB made':>10}{'host waits':>12}")
        if results.get("original_work"):
            launches, waits = results["original_work"]
            lines.append(f"{'  the original':<15} {launches:>15}{'-':>10}{'-':>10}{waits:>12}")
        for name, work in results["work"].items():
            made = f"{work['bytes_made'] / 1e9:.0f}"
            launches = f"{work['pass_launches']:>15}{work['block_launches']:>10}"
            lines.append(f"{'  ' + name:<15} {launches}{made:>10}{work['host_waits']:>12}")
    return lines
