"""A step never waits for the device: the finished frames are all that comes back, and no shape depends on a value.

Networks without data stand for a GPU here: reading a value of theirs, or copying one to the host, is not possible.
"""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._pytree import tree_leaves

from engine.config.memory import EmbeddedConfig
from engine.config.model import CausalConfig, MatrixGame2Config
from engine.config.waypoint import WaypointConfig
from engine.cost.operations import WorkCounter
from engine.families import best_kernels, build_networks, family_of, new_rollout, readable_kernels
from engine.fast.kernels import Kernels
from engine.nets.cards import _in_fixed_shapes
from engine.nets.surfaces import _numbers
from engine.rollout.rollout import Rollout
from tests.engine.tiny import big_config, networks, picture, random_actions, small_config, waypoint_config, world


class NoWaits(WorkCounter):
    """Raises where an operation brings something of the device to the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = super().__torch_dispatch__(func, types, args, kwargs)
        assert not self.work.host_waits, f"{func} makes the host wait"
        return made


def roll_out(rollout: Rollout, config: CausalConfig, blocks: int) -> NoWaits:
    with NoWaits(host="cpu" if rollout.pipeline._networks.device.type == "meta" else "none") as guard:
        for _ in range(blocks):
            made = rollout.step(random_actions(config, rollout.next_frames))
            assert made.frames.shape[1:] == (config.height, config.width, 3)
            rollout.settle()
    return guard


def without_data(config: CausalConfig, fast: bool) -> Rollout:
    empty = build_networks(config, "meta")
    kernels = best_kernels(empty) if fast else readable_kernels(empty)
    return new_rollout(empty, picture(config), 5, kernels)


@pytest.mark.parametrize(
    "read",
    [lambda x: x.sum().item(), lambda x: x.nonzero(), lambda x: x[x > 0], bool, lambda x: x.to("cpu")],
    ids=["item", "nonzero", "a mask as an index", "bool", "a copy to the host"],
)
def test_neither_a_device_without_data_nor_fake_tensors_let_a_value_out(read):
    with pytest.raises((NotImplementedError, RuntimeError, AssertionError)), NoWaits():
        read(torch.ones(1, device="meta"))


def test_the_guard_sees_a_read():
    with NoWaits(host="none"), pytest.raises(AssertionError, match="makes the host wait"):
        torch.ones(1).item()
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        torch.ones(1).item()


@pytest.mark.parametrize(("window", "fast", "blocks"), [(6, True, 10), (4, True, 10), (4, False, 4)])
def test_a_rollout_runs_on_a_device_that_gives_nothing_back(window, fast, blocks, monkeypatch):
    monkeypatch.setattr("engine.rollout.causal.REBASE_WINDOWS", 2)
    config = big_config(window=window)
    assert roll_out(without_data(config, fast), config, blocks).work.launched > 0


@pytest.mark.slow
def test_the_full_size_model_does_too():
    config = MatrixGame2Config(denoising_steps=(1000,))
    assert roll_out(without_data(config, fast=True), config, 2).work.launched > 0


def test_waypoint_runs_on_a_device_that_gives_nothing_back_and_every_frame_launches_the_same_work():
    config, counts = waypoint_config(denoising_steps=(1000, 300)), []
    empty = build_networks(config, "meta")
    family_of(config).loaded(empty, None)
    rollout = new_rollout(empty, picture(config), 5, best_kernels(empty))
    for _ in range(12):
        counts.append(roll_out(rollout, config, 1).work)
    assert counts[-1].launched > 0 and len(set(counts[-6:])) == 1


def as_on_a_device(monkeypatch) -> None:
    """What counts pixels and cards on a CPU, and only there, does here what it does on a device."""
    monkeypatch.setattr("engine.nets.surfaces._numbers", lambda mask: torch.arange(mask.numel()))
    monkeypatch.setattr("engine.nets.cards._in_fixed_shapes", lambda device: True)


@pytest.mark.parametrize(
    "config", [big_config(window=4), waypoint_config(), small_config()], ids=lambda config: config.name
)
def test_a_step_reads_no_value_back(config, monkeypatch):
    monkeypatch.setattr("engine.rollout.causal.REBASE_WINDOWS", 2)
    as_on_a_device(monkeypatch)
    made = networks(config)
    for kernels in (readable_kernels(made), best_kernels(made)):
        rollout = new_rollout(made, picture(config), 5, kernels)
        if isinstance(config, EmbeddedConfig):  # its place is laid out for looking once
            rollout.step(random_actions(config, rollout.next_frames))
        assert roll_out(rollout, config, 4).work.launched > 0


@pytest.mark.parametrize("mask", [torch.ones(2, 3, dtype=torch.bool, device="meta")])
def test_on_a_device_all_pixels_and_cards_are_looked_at_and_none_counted(mask):
    with NoWaits():
        assert _numbers(mask).shape == (6,) and _numbers(mask).device == mask.device
    assert _in_fixed_shapes(mask.device) and not _in_fixed_shapes(torch.device("cpu"))
    assert _numbers(torch.tensor([[True, False, True]])).tolist() == [0, 2]


def test_the_embedded_model_runs_on_a_device_that_gives_nothing_back():
    config = small_config()
    assert roll_out(without_data(config, fast=False), config, 4).work.launched > 0


def test_every_block_after_the_first_launches_the_same_work():
    config = big_config(denoising_steps=(1000,))
    rollout, counts = without_data(config, fast=True), []
    codec = rollout.pipeline._networks.codec
    settled = codec.memory_latents // config.block_latents + 1  # then the condition is encoded
    for _ in range(settled + 4):
        with WorkCounter() as counter:
            rollout.step(random_actions(config, rollout.next_frames))
            rollout.settle()
        counts.append(counter.work)
    assert len(set(counts[-4:])) == 1


class OfThePlayer(NoWaits):
    """Raises where the device works on nothing that came from the host meanwhile: that could have been done before."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[int] = set()  # storages that what a player does has a part in

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = self.work.launched
        made = super().__torch_dispatch__(func, types, args, kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if self.work.launched > before:
            of_player = any(not t.is_meta or t.untyped_storage()._cdata in self.told for t in given)
            assert of_player, f"{func} could have been done before the block started"
            self.told.update(t.untyped_storage()._cdata for t in tree_leaves(made))
        return made


@pytest.mark.parametrize(
    ("config", "dtype", "kernels"),
    [
        pytest.param(big_config(), torch.float32, 14, id="universal"),
        pytest.param(big_config(window=4), torch.float32, 14, id="window 4"),
        pytest.param(waypoint_config(), torch.float32, 6, id="waypoint"),
        pytest.param(MatrixGame2Config(), torch.bfloat16, 16, id="universal, full size", marks=pytest.mark.slow),
        pytest.param(WaypointConfig(), torch.bfloat16, 7, id="waypoint, full size", marks=pytest.mark.slow),
    ],
)
def test_between_a_blocks_start_and_its_first_pass_nothing_is_made_that_no_player_can_change(
    config, dtype, kernels, monkeypatch
):
    monkeypatch.setattr("engine.rollout.causal.REBASE_WINDOWS", 2)
    empty = build_networks(config, "meta")
    for module in empty.modules().values():
        module.to(dtype)
    empty = family_of(config).loaded(empty, None)
    rollout = new_rollout(empty, picture(config), 5, best_kernels(empty))
    prepare, launched = rollout.pipeline.prepare, []

    def watched(index, actions):
        with OfThePlayer() as guard:
            inputs = prepare(index, actions)
        launched.append(guard.work.launched)
        return inputs

    rollout.pipeline.prepare = watched
    for _ in range(14):  # windows fill, the empty tail ends, positions are moved back
        rollout.settle()
        rollout.skip(random_actions(config, rollout.next_frames))
    assert set(launched) == {kernels}
    with pytest.raises(AssertionError, match="could have been done before"):
        rollout.skip(random_actions(config, rollout.next_frames))


@pytest.mark.parametrize("config", [big_config(), big_config(window=4), big_config(window=8, sink=1)], ids=str)
def test_a_whole_rollout_is_the_readable_ones(config, monkeypatch):
    monkeypatch.setattr("engine.rollout.causal.REBASE_WINDOWS", 3)
    made = world(config)
    frames: dict[str, list[np.ndarray]] = {}
    for name, kernels in {"readable": made.kernels, "fast": best_kernels(made.networks)}.items():
        made.use(kernels)
        rollout = made.start(picture(config), 5)
        frames[name] = [rollout.step(random_actions(config, rollout.next_frames, i)).frames for i in range(7)]
    for readable, fast in zip(frames["readable"], frames["fast"], strict=True):
        # A value that lay between two grey levels may fall to either side.
        assert np.abs(readable.astype(int) - fast).max() <= 1


def test_models_that_have_fast_kernels_are_known():
    small, big = networks(small_config()), networks(big_config())
    assert best_kernels(small) == readable_kernels(small) and not best_kernels(small).fast
    assert isinstance(best_kernels(big), Kernels) and best_kernels(big).fast
