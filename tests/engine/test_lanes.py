"""The context pass is queued while the frames are decoded, and only the frames are waited for."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

import engine.rollout.rollout
from engine.device import PinnedMemory, SideLane, fetch, send, side_lane
from engine.families import best_kernels
from tests.engine.tiny import big_config, picture, random_actions, world


class Parallel(SideLane):
    """A lane that says it runs beside the main one, and notes when it is used."""

    log: list[str]

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.parallel = True

    @contextmanager
    def behind(self):
        self.log.append("side lane")
        with super().behind():
            yield
        self.log.append("main lane")


@pytest.fixture
def log(monkeypatch) -> list[str]:
    """What a rollout does, in order, on a device with two lanes."""
    notes: list[str] = []
    Parallel.log = notes
    monkeypatch.setattr(engine.rollout.rollout, "side_lane", Parallel)

    def noted_fetch(frames):
        notes.append("copy begins")
        wait = fetch(frames)

        def noted_wait():
            notes.append("host waits")
            return wait()

        return noted_wait

    monkeypatch.setattr(engine.rollout.rollout, "fetch", noted_fetch)
    return notes


def steps(made, blocks: int, log: list[str]) -> list[np.ndarray]:
    config = made.config
    rollout = made.start(picture(config), 5)
    clean = rollout.pipeline.sampler.clean
    steps_of_block = len(config.denoising_steps)

    def noted(noisy, condition, block, step, *rest):
        log.append("context pass" if step == steps_of_block else "denoising step")
        return clean(noisy, condition, block, step, *rest)

    object.__setattr__(rollout.pipeline.sampler, "clean", noted)
    frames = []
    for i in range(blocks):
        frames.append(rollout.step(random_actions(config, rollout.next_frames, i)).frames)
        log.append("frames")
    return frames


def test_the_context_pass_is_queued_before_the_frames_are_waited_for(log):
    made = world(big_config())
    made.use(best_kernels(made.networks))
    steps(made, 2, log)
    one = ["denoising step"] * 3 + ["side lane", *["copy begins"] * 3, "main lane", "context pass"]
    one += [*["host waits"] * 3, "frames"]
    assert log == one * 2


def test_on_one_lane_frames_come_before_the_context_pass():
    notes: list[str] = []
    steps(world(big_config()), 2, notes)
    one = ["denoising step"] * 3 + ["frames"]
    assert notes == [*one, "context pass", *one]


def test_two_lanes_make_the_same_frames(log):
    two = steps(world(big_config()), 3, log)
    engine.rollout.rollout.side_lane = side_lane
    assert all(np.array_equal(a, b) for a, b in zip(two, steps(world(big_config()), 3, []), strict=True))


def test_without_a_gpu_nothing_is_copied_twice():
    frames = torch.arange(6, dtype=torch.uint8).reshape(1, 2, 3)
    assert fetch(frames)().__array_interface__["data"][0] == frames.data_ptr()
    assert send(frames, torch.device("cpu")) is frames
    assert not SideLane(torch.device("cpu")).parallel


def test_all_worlds_of_a_device_share_one_second_queue(monkeypatch):
    made = []

    class Stream:
        def __init__(self, device: torch.device, priority: int) -> None:
            made.append(device)

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    side_lane.cache_clear()
    lanes = {side_lane(torch.device("cuda", 0)) for _ in range(8)}
    assert len(lanes) == 1 and made == [torch.device("cuda", 0)]
    side_lane(torch.device("cuda", 1))
    assert len(made) == 2
    side_lane.cache_clear()


def test_a_rollout_takes_its_devices_queue(monkeypatch):
    asked = []
    monkeypatch.setattr(engine.rollout.rollout, "side_lane", lambda device: asked.append(device) or SideLane(device))
    made = world(big_config())
    for _ in range(2):
        made.start(picture(made.config), 0)
    assert asked == [torch.device("cpu")] * 2


class Host:
    """Stands in for pinned memory: counts what is allocated and which copies were waited for."""

    def __init__(self) -> None:
        self.allocated: list[int] = []
        self.waited = 0

    def memory(self) -> PinnedMemory:
        def allocate(size: int) -> torch.Tensor:
            self.allocated.append(size)
            return torch.zeros(size, dtype=torch.uint8)

        return PinnedMemory(allocate, lambda device: self.wait)

    def wait(self) -> None:
        self.waited += 1


def test_frames_that_live_on_take_no_new_pinned_memory():
    host = Host()
    memory, kept = host.memory(), []
    for block in range(20):
        frames = torch.full((12, 4, 6, 3), block, dtype=torch.uint8)
        kept.append(memory.fetch(frames)())
    assert len(host.allocated) == 1 and host.waited == 20
    assert all((frames == block).all() for block, frames in enumerate(kept))


def test_copies_on_their_way_do_not_share_pinned_memory():
    host = Host()
    memory = host.memory()
    for _ in range(3):
        waits = [memory.fetch(torch.full((2, 2), number, dtype=torch.uint8)) for number in range(3)]
        assert [int(wait()[0, 0]) for wait in waits] == [0, 1, 2]
    assert len(host.allocated) == 3
    assert memory.fetch(torch.ones(2))().dtype == np.float32  # whatever is fetched: bytes are bytes
