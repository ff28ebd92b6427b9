"""Compiled whole, for one shape each, once: in a whole rollout no graph breaks and nothing is compiled again."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend
from torch._dynamo.utils import counters

from engine.config.model import LightDecoderConfig
from engine.errors import CompileError
from engine.families import best_kernels
from engine.fast.compiling import Compilation
from engine.fast.kernels import Kernels
from engine.world import WorldModel
from tests.engine.tiny import big_config, picture, play, small_config, world

BLOCKS = 20


def fast_world(config) -> WorldModel:
    made = world(config)
    made.use(best_kernels(made.networks))
    return made


def compiled(made: WorldModel, backend) -> Compilation:
    torch._dynamo.reset()
    counters.clear()
    return Compilation(made.kernels, made.config, "default", backend)


def programs(config) -> int:
    """How many there are: layers of the same kind share one, of each number of frames that a pass sees."""
    kinds = len({layer in config.transformer.actions.layers for layer in range(config.transformer.layers)})
    return kinds * -(-config.window // config.block_latents) + 1


def plays_whole(config, backend, monkeypatch) -> CompileCounter:
    monkeypatch.setattr("engine.rollout.causal.REBASE_WINDOWS", 4)
    made = fast_world(config)
    plain = play(made.start(picture(config), 5), config, BLOCKS)
    compilation = compiled(made, backend)
    for name in compilation.names:
        compilation.compile(name)
    assert backend.frame_count == programs(config) == counters["stats"]["unique_graphs"]
    made.use(compilation.finished())
    with torch._dynamo.config.patch(error_on_recompile=True):
        ours = play(made.start(picture(config), 5), config, BLOCKS)
    assert np.abs(ours.astype(int) - plain).max() <= 1
    assert not counters["graph_break"]
    assert backend.frame_count == programs(config) == counters["stats"]["unique_graphs"]
    return backend


def deep_config():
    """Of many layers, some with action modules and some without, as the published ones."""
    net = big_config().transformer
    actions = dataclasses.replace(net.actions, layers=(0, 1, 2))
    return big_config(transformer=dataclasses.replace(net, layers=6, actions=actions))


def light_config():
    """With the light decoder, whose program is the one that is compiled."""
    return big_config(decoder=LightDecoderConfig(latent_channels=4, widths=(8, 8, 4, 4)))


@pytest.mark.parametrize(
    "config",
    [big_config(), pytest.param(big_config(window=4), marks=pytest.mark.slow), deep_config(), light_config()],
    ids=["window-6", "window-4", "six-layers", "light-decoder"],
)
def test_twenty_blocks_take_one_graph_a_kind_of_layer(config, monkeypatch):
    plays_whole(config, CompileCounter(), monkeypatch)


@pytest.mark.slow
def test_twenty_blocks_through_the_whole_of_autograds_compiler(monkeypatch):
    plays_whole(big_config(window=8, sink=1), CompileCounterWithBackend("aot_eager"), monkeypatch)


@pytest.mark.slow
def test_twenty_blocks_through_the_compiler_that_plays(monkeypatch):
    plays_whole(big_config(), CompileCounterWithBackend("inductor"), monkeypatch)


def test_a_rollout_changes_kernels_between_blocks(monkeypatch):
    config = big_config()
    made = fast_world(config)
    plain = play(made.start(picture(config), 5), config, 4)
    compilation = compiled(made, CompileCounter())
    for name in compilation.names:
        compilation.compile(name)
    rollout = made.start(picture(config), 5)
    begun = play(rollout, config, 2)
    rollout.use(compilation.finished())
    ours = np.concatenate([begun, play(rollout, config, 2)])
    assert np.abs(ours.astype(int) - plain).max() <= 1


def test_blocks_made_again_are_made_by_the_kernels_that_made_them():
    config = big_config()
    made, used = fast_world(config), []
    plain = made.kernels

    def noted(name: str) -> Kernels:
        def steady(*args):
            used.append(name)
            return plain.transformer.programs.steady(*args)

        programs = dataclasses.replace(plain.transformer.programs, steady=steady)
        known = None if name == "off" else plain
        return Kernels(plain.transformer.with_programs(programs), plain.decoder, True, name, known)

    made.use(noted("off"))
    rollout = made.start(picture(config), 5)
    play(rollout, config, 2, settle=True)
    snapshot = rollout.snapshot()
    play(rollout, config, 1, settle=True)
    assert rollout.compiled_from is None
    rollout.use(noted("default"))
    play(rollout, config, 1, settle=True)
    assert rollout.compiled_from == 3 and used == ["off"] * 8 + ["default"] * 4
    rollout.restore(snapshot)
    used.clear()
    play(rollout, config, 2, settle=True)
    assert used == ["off"] * 4 + ["default"] * 4
    replay, before = made.start(picture(config), 5), list(used)
    used.clear()
    replay.use(noted("default"), first_block=3)
    play(replay, config, 4, settle=True)
    assert used == ["off"] * 8 + ["default"] * 4 and before == used[4:]


def test_readable_and_fast_kernels_do_not_mix():
    made = fast_world(big_config())
    rollout = world(big_config()).start(picture(big_config()), 5)
    with pytest.raises(ValueError, match="readable and fast"):
        rollout.use(made.kernels)


def test_what_the_compiler_raises_is_told_in_one_line():
    def broken(graph: torch.fx.GraphModule, inputs):
        raise RuntimeError("no such\nluck")

    made = fast_world(big_config())
    compilation = compiled(made, broken)
    with pytest.raises(CompileError, match=r"the passes cannot be compiled; got .*compile=off") as caught:
        compilation.compile("passes")
    assert "\n" not in str(caught.value)
    assert len(play(made.start(picture(made.config), 5), made.config, 1)) == 9  # the plain programs are as they were


def test_a_program_whose_graph_breaks_is_an_error(monkeypatch):
    config = big_config()
    made = fast_world(config)
    network = made.kernels.transformer.network

    class Reads(nn.Module):
        def forward(self, x, t, held):
            return x if x.sum() > 0 else -x

    monkeypatch.setattr(network, "blocks", nn.ModuleList([Reads()]))
    with pytest.raises(CompileError):
        compiled(made, CompileCounter()).compile("passes")


def test_only_fast_kernels_are_compiled():
    made = world(small_config())
    with pytest.raises(ValueError, match="only fast kernels"):
        Compilation(made.kernels, made.config, "default")


def test_a_window_of_one_block_has_no_first_passes_to_compile():
    made = fast_world(big_config(window=3))
    assert Compilation(made.kernels, made.config, "default", CompileCounter()).names == ("passes", "decoder")
    assert dataclasses.replace(made.kernels, compiled="max", plain=made.kernels).compiled == "max"


def test_what_cannot_be_recorded_fails_while_compiling_and_not_in_a_block_of_play(monkeypatch):
    class Broken:
        def __init__(self, device) -> None:
            pass

        def __call__(self, work):
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Compilation, "_records", property(lambda self: True))
    monkeypatch.setattr("engine.fast.compiling.CudaGraphs", Broken)
    compilation = compiled(fast_world(big_config()), CompileCounter())
    for name in ("passes", "decoder"):
        with pytest.raises(CompileError, match="not permitted when stream is capturing"):
            compilation.compile(name)
