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
from engine.errors import CompileError
from engine.fast.decoder import FastWanDecoder, decode_later
from engine.fast.graphs import CudaGraphs, GraphProgram
from engine.fast.kernels import Kernels
from engine.fast.layers import filling_pass, layer_pass, steady_pass
from engine.fast.transformer import FastBlockInputs, FastTransformer, PassPrograms
from engine.nets.action_windows import ActionHistory

# What torch's compiler is told. Graphs are recorded by engine.fast.graphs, on the thread that replays them: the
# compiler's own belong to the thread that compiled.
MODES = {"default": "default", "max": "max-autotune-no-cudagraphs"}
_FILLS = 3  # most programs of first passes


class Compilation:
    """The programs of some kernels being compiled.

    Args:
        kernels: fast ones, not yet compiled.
        config: their model.
        how: "default" or "max" (searches longer for fast kernels, and records CUDA graphs on a GPU).
        backend: torch.compile's; others than its own are for tests.
    """

    def __init__(
        self,
        kernels: Kernels,
        config: CausalConfig,
        how: str,
        backend: str | Callable[..., Any] = "inductor",
    ) -> None:
        if not isinstance(kernels.transformer, FastTransformer):
            raise ValueError("only fast kernels are compiled")
        mode = MODES[how]
        self._kernels, self._config, self._how = kernels, config, how
        self._options = {"backend": backend} | ({"mode": mode} if backend == "inductor" else {})
        self._transformer = kernels.transformer.apart()  # play may go on meanwhile
        self._device = kernels.transformer.net.patch_embedding.weight.device
        layer = self._compiled(layer_pass)
        self._steady, self._filling = partial(steady_pass, run=layer), filling_pass
        self._decode = self._compiled(decode_later)
        steps = {"passes": self._compile_steady}
        if isinstance(kernels.decoder, FastWanDecoder):
            steps["decoder"] = self._compile_decoder
        # Each number of frames held takes a program of its own, so a long way to a full window is not worth it.
        fills = range(config.block_latents, config.window, config.block_latents)
        if 0 < len(fills) <= _FILLS:
            self._filling = partial(filling_pass, run=layer)
            steps["first passes"] = self._compile_filling
        self._steps = steps

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
        steady, decode = self._steady, self._decode
        if self._records:
            steady, decode = (GraphProgram(program, CudaGraphs(self._device)) for program in (steady, decode))
        transformer = self._kernels.transformer.with_programs(PassPrograms(steady, self._filling))
        decoder = self._kernels.decoder
        if isinstance(decoder, FastWanDecoder):
            decoder = replace(decoder, program=decode)
        return Kernels(transformer, decoder, True, self._how, self._kernels)

    @property
    def _records(self) -> bool:
        return self._how == "max" and self._device.type == "cuda"

    def _warm(self, program: Callable, *args: object) -> None:
        """Once as it is; and once recorded, so that what cannot be recorded fails here and not in a block of play."""
        program(*args)
        if self._records:
            GraphProgram(program, CudaGraphs(self._device))(*args)

    def _compiled(self, program: Callable) -> Callable:
        return torch.compile(program, fullgraph=True, dynamic=False, **self._options)

    def _compile_steady(self) -> None:
        *_, (block, x) = self._blocks()
        self._warm(self._steady, self._transformer.network, x, block.passes[0])

    def _compile_filling(self) -> None:
        for block, x in self._blocks():
            if block.held is not None:
                self._filling(self._transformer.network, x, block.passes[0], block.held)

    def _compile_decoder(self) -> None:
        network, (height, width) = self._kernels.decoder.network, self._config.latent_size
        latent = network.mean.new_zeros(self._config.codec.latent_channels, height, width)
        self._warm(self._decode, network, latent, network.new_memory(height, width))

    def _blocks(self) -> Iterator[tuple[FastBlockInputs, torch.Tensor]]:
        """Blocks' inputs like those of play, from a rollout's first to the first with a full window."""
        config, net = self._config, self._transformer
        weight, visual = net.net.patch_embedding.weight, config.transformer.visual_context
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
