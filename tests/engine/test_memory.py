"""What a model takes is counted without taking it, and is what it takes."""

import dataclasses

import pytest
import torch

from engine.config.model import LightDecoderConfig, MatrixGame2Config
from engine.cost.memory import MemoryCount, MemoryNeed, footprint, memory_need
from engine.families import best_kernels, family_of, new_rollout
from engine.fast.kernels import Kernels
from engine.nets.networks import Networks
from engine.weights.placement import Place, Placement
from tests.engine.tiny import big_config, networks, picture, random_actions, waypoint_config, world

ON_CPU = Placement(Place("cpu", torch.float32))
ON_GPU = Placement(Place("cuda", torch.bfloat16))
IN_FULL = Place("cpu", torch.float32)


def reachable(value, seen: dict[int, int]) -> None:
    """Notes the bytes of every storage that an object of the engine leads to, networks aside."""
    if isinstance(value, torch.Tensor):
        seen[value.untyped_storage()._cdata] = value.untyped_storage().nbytes()
    elif isinstance(value, tuple | list):
        for item in value:
            reachable(item, seen)
    elif isinstance(value, dict):
        reachable(list(value.values()), seen)
    elif type(value).__module__.startswith("engine.") and not isinstance(value, torch.nn.Module | Networks | Kernels):
        reachable(list(vars(value).values()), seen)


def test_what_is_kept_is_what_a_rollout_holds():
    config = big_config()
    made = networks(config)
    kernels = best_kernels(made)
    rollout = new_rollout(made, picture(config), 0, kernels)
    rollout.step(random_actions(config, rollout.next_frames))
    held: dict[int, int] = {}
    reachable(rollout, held)
    reachable(kernels.decoder.network.worlds(*config.latent_size), held)  # the memory that all worlds share
    assert memory_need(config, ON_CPU).host.kept == pytest.approx(sum(held.values()), rel=0.1)


def test_weights_are_those_of_the_networks_that_stay():
    config = big_config()
    made = world(config).networks
    stay = [module for name, module in made.modules().items() if name != "image_tower"]
    assert memory_need(config, ON_CPU).host.weights == sum(w.nbytes for m in stay for w in m.state_dict().values())


def test_the_passing_peak_is_that_of_the_work_itself():
    """A layer's widest activation alone is a bound from below; all layers' together would be far above."""
    config = dataclasses.replace(MatrixGame2Config(), image_tower=None, transformer=dataclasses.replace(
        MatrixGame2Config().transformer, visual_context=None, layers=2,
        actions=dataclasses.replace(MatrixGame2Config().transformer.actions, layers=(0,))))  # fmt: skip
    apart = Placement(Place("cuda", torch.float32), vae=IN_FULL)
    passing = memory_need(config, apart).gpu.passing
    hidden = 3 * 880 * config.transformer.ffn * 4
    assert hidden < passing < 6 * hidden


def need(placement: Placement, **changes) -> MemoryNeed:
    transformer = dataclasses.replace(MatrixGame2Config().transformer, layers=15)
    return memory_need(dataclasses.replace(MatrixGame2Config(), transformer=transformer, **changes), placement)


def test_each_way_to_take_less_of_the_gpu_takes_less_of_it():
    plain, tower = need(ON_GPU), need(dataclasses.replace(ON_GPU, image_tower=IN_FULL))
    vae = need(dataclasses.replace(ON_GPU, vae=IN_FULL))
    both = need(dataclasses.replace(ON_GPU, vae=IN_FULL, image_tower=IN_FULL))
    light = need(ON_GPU, decoder=LightDecoderConfig())
    assert plain.gpu.total >= tower.gpu.total > vae.gpu.total > both.gpu.total
    assert plain.gpu.total > light.gpu.total
    assert plain.host.total < tower.host.total < both.host.total
    assert need(ON_CPU).gpu is None
    assert need(ON_CPU).host.weights == 2 * plain.gpu.weights


def test_weights_on_their_way_to_a_gpu_are_in_memory_one_at_a_time():
    host = need(ON_GPU).host
    assert host.weights == 0 and host.kept == 0
    assert host.passing == 1536 * 6 * 1536 * 4


def test_recorded_graphs_keep_the_memory_of_their_work_each_for_itself():
    config = big_config()
    count = MemoryCount(config)
    plain, recorded = (count.need(ON_GPU, recorded).gpu for recorded in (False, True))
    parts = [footprint(config, name, torch.bfloat16, None).passing for name in ("transformer", "codec")]
    assert recorded.passing == max(plain.passing, sum(parts)) and recorded.weights == plain.weights
    assert plain.libraries > 600 * 2**20  # what products work in, too


def test_what_loading_takes_is_no_work_and_no_graph_keeps_it():
    config = waypoint_config()
    for bits in (None, "int8"):
        count = MemoryCount(config)
        placement = dataclasses.replace(ON_GPU, bits=bits)
        plain, recorded = (count.need(placement, recorded).gpu for recorded in (False, True))
        parts = {
            name: footprint(config, name, torch.bfloat16, bits if name == "transformer" else None)
            for name in ("transformer", "codec")
        }
        loading, graphs = parts["transformer"].loading, family_of(config).graphs
        assert loading > parts["transformer"].weights / 4, "what only noise levels pass through is read, and given up"
        assert plain.passing == max(loading, *(part.passing for part in parts.values()))
        assert recorded.passing == max(plain.passing, sum(graphs[name] * part.passing for name, part in parts.items()))
