"""The inference thread against a fake world, at a clock of its own; no window."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import CheckpointError, EngineError
from game.input.controls import Controls
from game.live.player import Habits, LocalPlayer, State
from tests.game.fakes import FakeModels, FakeRecorder, FakeScene, FakeWorld, read_frame, wait_until


class Stage:
    """A worker with its surroundings, and a window's loop in short: it looks until something has happened."""

    def __init__(
        self, world: FakeWorld, *, scenes=None, models=None, make_recorder=None, record=True, **others
    ) -> None:
        self.world, self.controls = world, Controls(world.mode, world.fps)
        self.worker = LocalPlayer(
            models or FakeModels(fake=lambda progress: world),
            scenes or [FakeScene("hall"), FakeScene("court")],
            self.controls,
            make_recorder=make_recorder,
            **{"habits": Habits(record=record and make_recorder is not None)} | others,
        )
        self.seen: list = []

    def look(self) -> None:
        picture = self.worker.look(time.perf_counter())
        if picture is not None and (not self.seen or self.seen[-1] is not picture):
            self.seen.append(picture)

    def look_until(self, condition: Callable[[], bool], seconds: float = 10.0) -> bool:
        def step() -> bool:
            self.look()
            return condition()

        return wait_until(step, seconds)

    def numbers(self) -> list[int]:
        return [picture.number for picture in self.seen if picture.number is not None]

    def state(self) -> State:
        return self.worker.status.state


@pytest.fixture
def stages():
    """Makes stages, and stops their threads afterwards."""
    made: list[Stage] = []

    def make(*args, **kwargs) -> Stage:
        made.append(Stage(*args, **kwargs))
        made[-1].worker.start()
        return made[-1]

    yield make
    for stage in made:
        assert stage.worker.shutdown(10.0)


def fast(**kwargs) -> FakeWorld:
    """A world at 200 frames a second, so that tests need not wait."""
    return FakeWorld(fps=200.0, **kwargs)


def test_it_loads_shows_the_first_frame_and_then_every_frame_in_order(stages):
    stage = stages(fast())
    assert stage.look_until(lambda: len(stage.numbers()) >= 20)
    stills = [picture for picture in stage.seen if picture.number is None]
    assert stills and stage.numbers() == list(range(len(stage.numbers())))
    assert all(read_frame(p.pixels)[0] == p.number for p in stage.seen if p.number is not None)
    assert stage.worker.status.model == "fake" and stage.worker.status.device == "cpu"


def test_the_scene_stands_behind_the_words_while_the_model_loads(stages):
    gate, told = threading.Event(), threading.Event()
    world = fast()

    def open_world(progress):
        progress("Reading weights", 0.4)
        told.set()
        gate.wait(10.0)
        return world

    stage = stages(world, models=FakeModels(fake=open_world))
    assert told.wait(10.0)
    stage.look()
    status = stage.worker.status
    assert (status.state, status.words, status.progress) == (State.LOADING, "Reading weights", 0.4)
    assert stage.seen[-1].backdrop
    gate.set()
    assert stage.look_until(lambda: stage.state() is State.PLAYING and not stage.seen[-1].backdrop)


def test_frames_are_handed_out_before_the_context_pass(stages):
    world = fast()
    stage = stages(world)
    had: list[int] = []
    settle_seconds = threading.Event()

    def sleep(seconds: float) -> None:
        if seconds == 0.001 and not settle_seconds.is_set():  # the first context pass
            wait_until(lambda: stage.worker.look(time.perf_counter()).number == 0)
            had.append(stage.worker.look(time.perf_counter()).number)
            settle_seconds.set()

    world.sleep, world.settle_seconds = sleep, 0.001
    assert wait_until(settle_seconds.is_set)
    assert had[0] is not None


def test_a_context_pass_follows_every_block(stages):
    stage = stages(fast(settle_seconds=0.0))
    assert stage.look_until(lambda: stage.world.steps >= 5)
    log = stage.world.log[1:10]
    assert log == (["step", "settle"] * 5)[:9]


def test_a_key_reaches_the_model_and_comes_back_with_its_frame(stages):
    stage = stages(fast())
    assert stage.look_until(lambda: len(stage.numbers()) >= 2)
    pressed = time.perf_counter()
    stage.controls.press("w", pressed)
    assert stage.look_until(lambda: stage.seen[-1].control.keys == ("W",))
    first = next(picture for picture in stage.seen if picture.control.keys)
    assert read_frame(first.pixels)[1] == ("W",) and first.control.since == pressed


def test_long_blocks_take_a_control_for_every_frame(stages):
    stage = stages(FakeWorld(fps=400.0, first=9, later=12))
    assert stage.look_until(lambda: len(stage.numbers()) >= 40)
    assert stage.numbers() == list(range(len(stage.numbers())))
    assert len(stage.world.taken) >= 9 + 12 + 12


def test_a_pause_holds_the_picture_and_loses_nothing(stages):
    stage = stages(fast())
    assert stage.look_until(lambda: len(stage.numbers()) >= 5)
    stage.worker.pause(time.perf_counter())
    stage.look()
    held = stage.seen[-1]
    wait_until(lambda: False, 0.05)
    steps = stage.world.steps
    wait_until(lambda: False, 0.05)
    stage.look()
    assert stage.seen[-1] is held and stage.world.steps == steps, "not even the engine goes on"
    stage.worker.resume(time.perf_counter())
    assert stage.look_until(lambda: stage.seen[-1].number >= held.number + 5)
    assert stage.numbers() == list(range(len(stage.numbers())))


def test_a_reset_throws_finished_frames_away_and_starts_from_the_first_frame(stages):
    stage = stages(FakeWorld(fps=20.0, first=9, later=12, step_seconds=0.001))
    assert stage.look_until(lambda: bool(stage.numbers()))
    stage.worker.reset()
    stage.seen.clear()
    assert stage.look_until(lambda: [p.number for p in stage.seen][-2:] == [0, 1])
    still = next(i for i, picture in enumerate(stage.seen) if picture.number is None)
    assert [p.number for p in stage.seen[still + 1 :]] == [0, 1]
    assert len(stage.world.rollouts) == 2


def test_a_block_in_flight_at_a_reset_is_never_shown_nor_recorded(stages):
    recorders: list[FakeRecorder] = []

    def make_recorder(rollout, world, scene, prelude) -> FakeRecorder:
        recorders.append(FakeRecorder())
        return recorders[-1]

    gate = threading.Event()
    world = fast()
    world.sleep = lambda seconds: gate.wait(10.0) if seconds else None
    world.step_seconds = 1.0
    stage = stages(world, make_recorder=make_recorder)
    assert stage.look_until(lambda: world.steps == 1)
    stage.worker.reset()
    gate.set()
    assert stage.look_until(lambda: len(recorders) == 2 and len(recorders[1].blocks) >= 3)
    assert recorders[0].blocks == []
    assert [block.index for block in recorders[1].blocks[:3]] == [0, 1, 2]


def test_the_next_scene_begins_with_its_own_picture(stages):
    stage = stages(fast())
    assert stage.look_until(lambda: len(stage.numbers()) >= 2)
    first = stage.world.rollouts[0].first_frame
    assert stage.worker.change_scene() == "court"
    assert stage.look_until(lambda: len(stage.world.rollouts) == 2 and stage.seen[-1].number is not None)
    assert (stage.world.rollouts[1].first_frame != first).any() and stage.worker.status.scene == "court"
    assert stage.worker.change_scene() == "hall", "round and round"


def test_an_error_in_a_step_becomes_words_and_a_restart_plays_again(stages):
    stage = stages(fast(fail_at=frozenset({3}), error=EngineError("out of memory", remedy="use quality=fast")))
    assert stage.look_until(lambda: stage.state() is State.FAILED)
    status = stage.worker.status
    assert status.words == "out of memory; use quality=fast" and status.exit_code == 1
    assert "Traceback" in status.details
    stage.worker.reset()
    stage.seen.clear()
    assert stage.look_until(lambda: len(stage.numbers()) >= 5)
    assert stage.state() is State.PLAYING and stage.worker.status.exit_code == 0
    assert stage.world.log.count("start") == 2


def test_a_surprise_is_told_with_its_kind(stages):
    stage = stages(fast(fail_at=frozenset({0}), error=ZeroDivisionError("division\nby zero")))
    assert stage.look_until(lambda: stage.state() is State.FAILED)
    assert stage.worker.status.words == "ZeroDivisionError: division by zero"


def test_weights_that_do_not_load_are_the_inputs_fault_and_can_be_tried_again(stages):
    world, tries = fast(), []

    def open_world(progress):
        tries.append(1)
        if len(tries) == 1:
            raise CheckpointError("no weights", got="nothing")
        return world

    stage = stages(world, models=FakeModels(fake=open_world))
    assert wait_until(lambda: stage.state() is State.FAILED)
    assert stage.worker.status.exit_code == 2
    stage.worker.reset()
    assert stage.look_until(lambda: stage.state() is State.PLAYING)


def test_a_scene_that_cannot_be_opened_is_left_by_the_next(stages):
    scenes = [FakeScene("broken", EngineError("not a picture")), FakeScene("court")]
    stage = stages(fast(), scenes=scenes)
    assert wait_until(lambda: stage.state() is State.FAILED)
    stage.worker.change_scene()
    assert stage.look_until(lambda: stage.state() is State.PLAYING and len(stage.numbers()) > 1)


def test_every_rollout_has_a_recording_written_off_the_windows_thread(stages):
    recorders: list[FakeRecorder] = []
    names: list[str] = []

    def make_recorder(rollout, world, scene, prelude) -> FakeRecorder:
        names.append(scene)
        recorders.append(FakeRecorder())
        return recorders[-1]

    stage = stages(fast(), make_recorder=make_recorder)
    assert stage.look_until(lambda: len(stage.numbers()) >= 5)
    assert stage.worker.status.recording
    stage.worker.change_scene()
    assert stage.look_until(lambda: len(recorders) == 2 and len(recorders[1].blocks) >= 3)
    assert stage.worker.shutdown(10.0)
    assert names == ["hall", "court"]
    for recorder in recorders:
        assert recorder.threads == {"engine"}
        assert [block.index for block in recorder.blocks] == list(range(len(recorder.blocks)))
        assert set(recorder.stats.to_report()) == {"latency_ms", "late_frames", "lookahead_ms"}


def test_a_full_disk_ends_the_recording_and_not_the_game(stages):
    recorder = FakeRecorder(fail_after=2)
    stage = stages(fast(), make_recorder=lambda *args: recorder)
    assert stage.look_until(lambda: stage.worker.status.notices == 1)
    shown = stage.numbers()[-1]
    assert "No space left" in stage.worker.status.notice and not stage.worker.status.recording
    assert stage.look_until(lambda: stage.numbers()[-1] >= shown + 5)
    assert stage.state() is State.PLAYING


def test_a_video_that_gives_up_is_told_once(stages):
    recorder = FakeRecorder()
    stage = stages(fast(), make_recorder=lambda *args: recorder)
    assert stage.look_until(lambda: len(recorder.blocks) >= 2)
    add = recorder.add

    def failing_add(*args) -> None:
        add(*args)
        recorder.problem = "the encoder ended"

    recorder.add = failing_add
    count = len(recorder.blocks)
    assert stage.look_until(lambda: len(recorder.blocks) >= count + 5)
    assert stage.worker.status.notices == 1 and "encoder" in stage.worker.status.notice
    assert stage.worker.status.recording


def test_stopping_while_loading_ends_the_loading(stages):
    world = fast()

    def open_world(progress):
        for i in range(100_000):
            time.sleep(0.001)
            progress("Reading weights", i / 100_000)
        return world

    stage = stages(world, models=FakeModels(fake=open_world))
    assert wait_until(lambda: stage.worker.status.words == "Reading weights")
    assert stage.worker.shutdown(5.0)


def test_stopping_after_a_failure_keeps_its_exit_code(stages):
    stage = stages(fast(fail_at=frozenset({0})))
    assert wait_until(lambda: stage.state() is State.FAILED)
    assert stage.worker.shutdown(5.0)
    assert stage.worker.status.exit_code == 1


def test_a_client_is_imported_without_torch():
    code = "import sys, game.live.player, game.live.status; print([m for m in ('torch', 'pygame') if m in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
