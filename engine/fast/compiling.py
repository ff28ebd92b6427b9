"""Compiles the programs of fast kernels, one after the other, on tensors of the shapes they will be called with.

Each is compiled whole and for its one shape (`fullgraph=True, dynamic=False`): what cannot be is an error here and
never a slow block later. Nothing here is aware of threads; a client compiles wherever it likes and then has its
rollouts `use` what came out.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from engine.actions import Actions
from engine.config.model import CausalConfig
from engine.config.waypoint import WaypointConfig
from engine.errors import CompileError
from engine.fast.graphs import CudaGraphs, GraphProgram
from engine.fast.kernels import Kernels
from engine.fast.layers import filling_pass, layer_pass, steady_pass
from engine.fast.transformer import FastBlockInputs, FastTransformer, PassPrograms
from engine.fast.waypoint import FastWaypoint, far_layer, kept_pass, near_layer, passing_pass
from engine.fast.waypoint import PassPrograms as WaypointPrograms
from engine.nets.action_windows import ActionHistory

# What torch's compiler is told. Graphs are recorded by engine.fast.graphs, on the thread that replays them: the
# compiler's own belong to the thread that compiled.
MODES = {"default": "default", "max": "max-autotune-no-cudagraphs"}
_FILLS = 3  # most programs of first passes


class Compiler:
    """Some kernels' programs being compiled; families say which in `_steps`.

    Args:
        kernels: fast ones, not yet compiled.
        device: theirs.
        how: "default" or "max" (searches longer for fast kernels, and records CUDA graphs on a GPU).
        backend: torch.compile's; others than its own are for tests.
    """

    def __init__(
        self, kernels: Kernels, device: torch.device, how: str, backend: str | Callable[..., Any] = "inductor"
    ) -> None:
        if not kernels.fast:
            raise ValueError("only fast kernels are compiled")
        self._kernels, self._device, self._how = kernels, device, how
        self._options: dict[str, Any] = {"backend": backend} | ({"mode": MODES[how]} if backend == "inductor" else {})
        self._steps: dict[str, Callable[[], None]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What there is to compile, in order."""
        return tuple(self._steps)

    @torch.inference_mode()
    def compile(self, name: str) -> None:
        """Compiles one of `names`; takes seconds to minutes. Raises CompileError."""
        try:
            self._steps[name]()
        except Exception as error:  # a compiler may raise anything; whatever it is, the uncompiled programs remain
            said = [
                line for line in str(error).splitlines() if line.strip()
            ]  # what, and why; then advice in many lines
            got = ": ".join([type(error).__name__, *said[:2]])
            raise CompileError(f"the {name} cannot be compiled", got=got, remedy="play without: compile=off") from error

    def finished(self) -> Kernels:
        """The kernels with compiled programs, once all of `names` are."""
        raise NotImplementedError

    @property
    def _records(self) -> bool:
        return self._how == "max" and self._device.type == "cuda"

    def _recorded(self, program: Callable[..., Any]) -> Callable[..., Any]:
        """The program as it is played: recorded, where that is done."""
        return GraphProgram(program, CudaGraphs(self._device)) if self._records else program

    def _warm(self, program: Callable[..., Any], *args: object) -> None:
        """Once as it is; and once recorded, so that what cannot be recorded fails here and not in a block of play."""
        program(*args)
        if self._records:
            GraphProgram(program, CudaGraphs(self._device))(*args)

    def _compiled(self, program: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = torch.compile(program, fullgraph=True, dynamic=False, **self._options)
        return compiled

    def _warm_decoder(self, program: Callable[..., Any], latent_size: tuple[int, ...]) -> None:
        """latent_size: (channels, height, width)."""
        network = self._kernels.decoder.network
        memory = network.new_memory(*latent_size[1:])
        self._warm(program, network, memory[0].new_zeros(latent_size), memory)


class Compilation(Compiler):
    """Those of Matrix-Game 2.0."""

    def __init__(
        self,
        kernels: Kernels,
        config: CausalConfig,
        how: str,
        backend: str | Callable[..., Any] = "inductor",
    ) -> None:
        if not isinstance(kernels.transformer, FastTransformer):
            raise ValueError("only fast kernels are compiled")
        super().__init__(kernels, kernels.transformer.net.patch_embedding.weight.device, how, backend)
        self._config = config
        self._transformer = kernels.transformer.apart()  # play may go on meanwhile
        layer = self._compiled(layer_pass)
        self._steady, self._filling = partial(steady_pass, run=layer), filling_pass
        self._decode = self._compiled(kernels.decoder.program)
        self._steps = {"passes": self._compile_steady, "decoder": self._compile_decoder}
        # Each number of frames held takes a program of its own, so a long way to a full window is not worth it.
        fills = range(config.block_latents, config.window, config.block_latents)
        if 0 < len(fills) <= _FILLS:
            self._filling = partial(filling_pass, run=layer)
            self._steps["first passes"] = self._compile_filling

    def finished(self) -> Kernels:
        steady, decode = self._recorded(self._steady), self._recorded(self._decode)
        transformer = self._kernels.transformer.with_programs(PassPrograms(steady, self._filling))
        decoder = replace(self._kernels.decoder, program=decode)
        return Kernels(transformer, decoder, True, self._how, self._kernels)

    def _compile_steady(self) -> None:
        *_, (block, x) = self._blocks()
        self._warm(self._steady, self._transformer.network, x, block.passes[0])

    def _compile_filling(self) -> None:
        for block, x in self._blocks():
            if block.held is not None:
                self._filling(self._transformer.network, x, block.passes[0], block.held)

    def _compile_decoder(self) -> None:
        self._warm_decoder(self._decode, (self._config.codec.latent_channels, *self._config.latent_size))

    def _blocks(self) -> Iterator[tuple[FastBlockInputs, torch.Tensor]]:
        """Blocks' inputs like those of play, from a rollout's first to the first with a full window."""
        config, net = self._config, self._transformer
        weight, visual = net.net.patch_embedding.weight, config.transformer.visual_context
        assert visual is not None  # what has none has no fast kernels
        context = weight.new_zeros(1, visual.tokens, visual.channels)
        prepared = net.prepare_rollout(torch.zeros(1), config.latent_size, context)
        caches = net.new_caches(config.window, config.sink)
        history = ActionHistory(config.transformer.actions, config.time_ratio)
        windows = history.extend(_blank(config)).to(weight.device, weight.dtype)
        channels, full = config.transformer.in_channels, False
        while not full:
            block = net.prepare_block(prepared, windows, config.block_latents, caches)
            full = block.held is None
            yield block, torch.zeros(1, config.block_latents, channels, *config.latent_size, device=weight.device)


def _blank(config: CausalConfig) -> Actions:
    """Actions of a block's video frames; only their shape matters."""
    frames, actions = config.frames_of_block(0), config.transformer.actions
    mouse = np.zeros((frames, actions.mouse_dim), np.float32) if actions.mouse_dim else None
    return Actions(np.zeros((frames, actions.keyboard_dim), np.float32), mouse, ((),) * frames)


class WaypointCompilation(Compiler):
    """Those of Waypoint."""

    def __init__(
        self, kernels: Kernels, config: WaypointConfig, how: str, backend: str | Callable[..., Any] = "inductor"
    ) -> None:
        if not isinstance(kernels.transformer, FastWaypoint):
            raise ValueError("only fast kernels are compiled")
        super().__init__(kernels, kernels.transformer.net.patchify.weight.device, how, backend)
        self._config = config
        self._transformer = kernels.transformer.apart()  # play may go on meanwhile
        self._near, far = self._compiled(near_layer), self._compiled(far_layer)
        self._kept = partial(kept_pass, near=self._near, far=far)
        self._passing = partial(passing_pass, near=self._near, far=far)
        self._decode = self._compiled(kernels.decoder.program)
        self._steps = {"passes": self._compile_passes, "decoder": self._compile_decoder}

    def finished(self) -> Kernels:
        programs = WaypointPrograms(self._recorded(self._kept), self._recorded(self._passing), self._near)
        transformer = self._kernels.transformer.with_programs(programs)
        decoder = replace(self._kernels.decoder, program=self._recorded(self._decode))
        return Kernels(transformer, decoder, True, self._how, self._kernels)

    def _compile_passes(self) -> None:
        config, net, device = self._config, self._transformer, self._device
        caches, prepared = net.new_caches(), net.prepare_rollout((0.0,))
        controls = torch.zeros(1, config.transformer.controls, device=device)
        noisy = torch.zeros(1, 1, config.codec.latent_channels, *config.latent_size, device=device)
        waiting = {True: self._kept, False: self._passing}
        while waiting:  # frames up to the first of either sort that sees full histories
            block = net.prepare_block(prepared, controls, caches)
            if block.full and bool(block.seen.first) in waiting:
                self._warm(waiting.pop(bool(block.seen.first)), net.network, noisy, block.passes[0])

    def _compile_decoder(self) -> None:
        self._warm_decoder(self._decode, (self._config.codec.latent_channels, *self._config.latent_size))
