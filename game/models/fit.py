"""Whether a large model fits into this machine's memory, and if not, which settings make it fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.config.model import LightDecoderConfig
from engine.families import family_of
from game.config.settings import Settings, load_settings
from game.errors import InputError
from game.models.loader import choose_dtype, placement
from game.models.machine import EIGHT_BITS, MOST_AGAIN_S, Gpu, Machine, rewind_budget

if TYPE_CHECKING:
    from engine.config.model import ModelConfig
    from engine.cost.memory import MemoryCount, MemoryNeed


_MB = 2**20


@dataclass(frozen=True)
class Fit:
    """A model's need beside what there is, in bytes.

    Attributes:
        name: of the model.
        need: what it takes.
        gpu_free, host_free: what there is; None where the system does not say.
        gpu: what the GPU is called.
        way_back: what states to return to may take where the transformer is; None where they take a quarter of what is
            left on the GPU.
        pictures: bytes of those of a second of play.
        offers: settings that make it fit, each with the GPU and host memory it then takes; looked for only if it
            does not fit.
    """

    name: str
    need: MemoryNeed
    gpu_free: int | None
    host_free: int | None
    gpu: str
    way_back: int | None = 0
    pictures: int = 0
    offers: tuple[tuple[str, MemoryNeed], ...] = ()

    @property
    def fits(self) -> bool:
        """As far as is known."""
        return not self.lacking(self.need)

    def lacking(self, need: MemoryNeed) -> str | None:
        """In words, which memory is too small for a need; None if none is."""
        back = self.way_back or 0
        on_gpu, on_host = (back, 0) if need.gpu is not None else (0, back)
        if need.gpu is not None and self.gpu_free is not None and need.gpu.total + on_gpu > self.gpu_free:
            return f"{gigabytes(self.gpu_free)} of GPU memory free on {self.gpu}"
        if self.host_free is not None and need.host.total + on_host > self.host_free:
            return f"{gigabytes(self.host_free)} of memory available"
        return None

    def line(self) -> str:
        """The need in one line for people."""
        free = "" if self.host_free is None else f" (of {gigabytes(self.host_free)} available)"
        host = f"{gigabytes(self.need.host.total)} of memory{free}"
        if self.need.gpu is None:
            return f"{self.name} takes {host}"
        free = "" if self.gpu_free is None else f" (of {gigabytes(self.gpu_free)} free)"
        return f"{self.name} takes {gigabytes(self.need.gpu.total)} of GPU memory{free} and {host}"

    def back_in_time(self) -> str:
        """How far back in time a player could go at least, in one line for people; empty where that is switched off,
        or nobody has counted what a state takes.

        States in between are made again from the actions, which takes as long as playing did, or less.
        """
        share = self.need.gpu or self.need.host
        budget = self.way_back
        if budget is None:
            budget = max(0, (self.gpu_free or 0) - share.total) // 4
        if not budget or not share.kept:
            return ""
        seconds = max(0, budget - share.kept) / (share.kept / MOST_AGAIN_S + self.pictures)
        if seconds < 1:
            return f"{budget // _MB} MB to go back in time (play.rewind_mb): hardly at all"
        far = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
        return f"{budget // _MB} MB to go back in time (play.rewind_mb): by {far} or more"

    def remedy(self) -> str:
        """What to do where it does not fit."""
        if not self.offers:
            return "no setting makes it fit here; close other programs, or take a larger machine"
        told = "; ".join(f"{words} ({needed(need)})" for words, need in self.offers)
        return f"this would fit: {told}"


def examine(settings: Settings, device: str, machine: Machine) -> Fit:
    """Compares what `settings` need with what `machine` has. device: "cpu" or "cuda[:N]", already chosen."""
    gpu = gpu_of(device, machine)
    count = _Count(device, gpu.bfloat16 if gpu else None)
    need, free = count.need(settings), None if gpu is None else gpu.free
    back = way_back(device, settings.play.rewind_mb)
    config, name = settings.model, "the GPU" if gpu is None else gpu.name
    pictures = round(config.fps * config.height * config.width * 3)
    fit = Fit(config.name, need, free, machine.available, name, back, pictures)
    if fit.fits:
        return fit
    found = [(words, count.need(other)) for words, other in _alternatives(settings, device, gpu)]
    return replace(fit, offers=tuple((words, need) for words, need in found if fit.lacking(need) is None))


def check_fits(fit: Fit, insist: bool) -> str | None:
    """A warning for people where the model does not fit and `insist` is off, else None.

    Raises InputError where it does not fit and `insist` is on.
    """
    if fit.fits:
        return None
    what, remedy = f"{fit.name} does not fit into memory", fit.remedy()
    if not insist:
        return f"{what}, tried all the same: {fit.line()}; {remedy}"
    forced = f"{remedy}; check_memory=false tries all the same"
    raise InputError(what, got=fit.lacking(fit.need), expected=needed(fit.need), remedy=forced)


def way_back(device: str, rewind_mb: int | None) -> int | None:
    """Bytes that states to return to may take beside a model; None where they get part of what is free on a GPU."""
    if rewind_mb is not None:
        return rewind_mb * _MB
    return rewind_budget(device) if device == "cpu" else None


def check_bits(settings: Settings, device: str, machine: Machine) -> None:
    """Raises InputError where weights of eight bits are asked for and the GPU cannot multiply them.

    A CPU computes the same numbers, as slowly as any.
    """
    wanted, gpu = settings.weights_dtype, gpu_of(device, machine)
    if wanted == "same" or gpu is None or gpu.can(wanted):
        return
    others = [name for name in EIGHT_BITS if gpu.can(name)]
    remedy = f"use weights_dtype={others[0]}" if others else "leave weights_dtype away"
    capability = "none" if gpu.capability is None else ".".join(map(str, gpu.capability))
    got = f"compute capability {capability}, torch {machine.torch}, {machine.system}"
    raise InputError(
        f"weights_dtype={wanted} cannot be had on {gpu.name}", got=got, expected=gpu.takes(wanted), remedy=remedy
    )


def gpu_of(device: str, machine: Machine) -> Gpu | None:
    """The GPU that a device's name means; None for the CPU, or one that was not looked at."""
    index = int(device.partition(":")[2] or 0)
    return machine.gpus[index] if device != "cpu" and index < len(machine.gpus) else None


def needed(need: MemoryNeed) -> str:
    """A need in a few words."""
    host = f"{gigabytes(need.host.total)} of memory"
    return host if need.gpu is None else f"{gigabytes(need.gpu.total)} on the GPU and {host}"


def gigabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**30:.1f} GB"


class _Count:
    """Counts what settings need; of settings of the same model the parts they share only once."""

    def __init__(self, device: str, bfloat16: bool | None) -> None:
        self._device, self._bfloat16 = device, bfloat16
        self._counts: dict[ModelConfig, MemoryCount] = {}

    def need(self, settings: Settings) -> MemoryNeed:
        from engine.cost.memory import MemoryCount

        if settings.model not in self._counts:
            self._counts[settings.model] = MemoryCount(settings.model)
        dtype = choose_dtype(settings, self._device, self._bfloat16)
        recorded = settings.compile.name == "max" and self._device != "cpu"
        return self._counts[settings.model].need(placement(settings, self._device, dtype), recorded)


def _alternatives(settings: Settings, device: str, gpu: Gpu | None) -> list[tuple[str, Settings]]:
    """Settings that may need less, those that cost a player least first."""
    devices, on_gpu, family = settings.devices, device != "cpu", family_of(settings.model)
    tower = replace(settings, devices=replace(devices, image_tower="cpu"))
    light = settings
    if family.takes_decoder:
        light = replace(settings, model=replace(settings.model, decoder=LightDecoderConfig()))
    light_and_tower = replace(light, devices=tower.devices)
    vae = replace(settings, devices=replace(devices, vae="cpu"))
    both = replace(vae, devices=replace(vae.devices, image_tower="cpu"))
    fast = replace(settings, quality=load_settings(["quality=fast"]).quality)
    eight = replace(settings, weights_dtype="int8")
    light_and_eight = replace(light, weights_dtype="int8")
    can_eight = gpu is not None and gpu.can("int8")
    has_tower, has_vae = "image_tower" in family.parts, "vae" in family.parts
    tried = [
        (on_gpu and has_tower, "devices.image_tower=cpu", tower),
        (True, "decoder=taehv", light),
        (on_gpu and has_tower, "decoder=taehv devices.image_tower=cpu", light_and_tower),
        (can_eight, "weights_dtype=int8", eight),
        (can_eight and light is not settings, "decoder=taehv weights_dtype=int8", light_and_eight),
        (True, "quality=fast", fast),
        (True, "dtype=bfloat16", replace(settings, dtype="bfloat16")),
        (on_gpu and has_vae, "devices.vae=cpu", vae),
        (on_gpu and has_vae and has_tower, "devices.vae=cpu devices.image_tower=cpu", both),
    ]  # fmt: skip
    return [(words, other) for sensible, words, other in tried if sensible and other != settings]
