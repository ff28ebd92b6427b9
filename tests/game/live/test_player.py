"""The player against a fake world, on a clock that the test moves; no window, and threads only where they matter."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from engine.errors import CheckpointError, EngineError
from game.live.player import State
from tests.game.fakes import FakeModels, FakeRecorder, FakeScene, FakeWorld, read_frame


def test_it_loads_shows_the_first_frame_and_then_every_frame_in_order(stages):
    stage = stages(FakeWorld())
    assert stage.look_until(lambda: len(stage.numbers()) >= 20)
    stills = [picture for picture in stage.seen if picture.number is None]
    assert stills and stage.numbers() == list(range(len(stage.numbers())))
    assert all(read_frame(p.pixels)[0] == p.number for p in stage.seen if p.number is not None)
    assert stage.worker.status.model == "fake" and stage.worker.status.device == "cpu"


def test_the_scene_stands_behind_the_words_while_the_model_loads(stages):
    world, seen = FakeWorld(), []

    def open_world(progress):
        progress("Reading weights", 0.4)
        stage.look()
        seen.append((stage.worker.status, stage.seen[-1]))
        return world

    stage = stages(world, models=FakeModels(fake=open_world))
    assert stage.look_until(lambda: stage.state() is State.PLAYING and not stage.seen[-1].backdrop)
    ((status, picture),) = seen
    assert (status.state, status.words, status.progress) == (State.LOADING, "Reading weights", 0.4)
    assert picture.backdrop and status.model == "fake"


def test_frames_are_handed_out_before_the_context_pass(stages):
    stage = stages(FakeWorld(settle_seconds=0.001))
    had: list[int | None] = []

    def sleep(seconds: float) -> None:
        stage.clock.pass_by(seconds)
        if seconds:  # a context pass
            stage.look()
            had.append(stage.seen[-1].number)

    stage.world.sleep = sleep
    assert stage.look_until(lambda: len(had) >= 3)
    assert had[0] == 0, "the first frame, before the pass that follows it"


def test_a_context_pass_follows_every_block(stages):
    stage = stages(FakeWorld(settle_seconds=0.0))
    assert stage.look_until(lambda: stage.world.steps >= 5)
    log = stage.world.log[1:10]
    assert log == (["step", "settle"] * 5)[:9]


def test_a_key_reaches_the_model_and_comes_back_with_its_frame(stages):
    stage = stages(FakeWorld())
    assert stage.look_until(lambda: len(stage.numbers()) >= 2)
    pressed = stage.clock()
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
    stage = stages(FakeWorld())
    stage.plays(5)
    stage.worker.pause(stage.clock())
    stage.look()
    held = stage.seen[-1]
    stage.pass_by(0.2)
    steps = stage.world.steps
    stage.pass_by(5.0)
    assert stage.worker.paused
    assert stage.seen[-1] is held and stage.world.steps == steps, "not even the engine goes on"
    stage.worker.resume(stage.clock())
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

    stage = stages(FakeWorld(), make_recorder=make_recorder)
    stage.in_flight(stage.worker.reset)
    assert stage.look_until(lambda: len(recorders) == 2 and len(recorders[1].blocks) >= 3)
    assert recorders[0].blocks == []
    assert [block.index for block in recorders[1].blocks[:3]] == [0, 1, 2]


def test_the_next_scene_begins_with_its_own_picture(stages):
    stage = stages(FakeWorld())
    assert stage.look_until(lambda: len(stage.numbers()) >= 2)
    first = stage.world.rollouts[0].first_frame
    assert stage.worker.change_scene() == "court"
    assert stage.look_until(lambda: len(stage.world.rollouts) == 2 and stage.seen[-1].number is not None)
    assert (stage.world.rollouts[1].first_frame != first).any() and stage.worker.status.scene == "court"
    assert stage.worker.change_scene() == "hall", "round and round"


def test_an_error_in_a_step_becomes_words_and_a_restart_plays_again(stages):
    stage = stages(FakeWorld(fail_at=frozenset({3}), error=EngineError("out of memory", remedy="use quality=fast")))
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
    stage = stages(FakeWorld(fail_at=frozenset({0}), error=ZeroDivisionError("division\nby zero")))
    assert stage.look_until(lambda: stage.state() is State.FAILED)
    assert stage.worker.status.words == "ZeroDivisionError: division by zero"


def test_weights_that_do_not_load_are_the_inputs_fault_and_can_be_tried_again(stages):
    world, tries = FakeWorld(), []

    def open_world(progress):
        tries.append(1)
        if len(tries) == 1:
            raise CheckpointError("no weights", got="nothing")
        return world

    stage = stages(world, models=FakeModels(fake=open_world))
    assert stage.look_until(lambda: stage.state() is State.FAILED)
    assert stage.worker.status.exit_code == 2
    stage.worker.reset()
    assert stage.look_until(lambda: stage.state() is State.PLAYING)


def test_a_scene_that_cannot_be_opened_is_left_by_the_next(stages):
    scenes = [FakeScene("broken", EngineError("not a picture")), FakeScene("court")]
    stage = stages(FakeWorld(), scenes=scenes)
    assert stage.look_until(lambda: stage.state() is State.FAILED)
    stage.worker.change_scene()
    assert stage.look_until(lambda: stage.state() is State.PLAYING and len(stage.numbers()) > 1)


def test_every_rollout_has_a_recording_written_off_the_windows_thread(stages):
    recorders: list[FakeRecorder] = []
    names: list[str] = []

    def make_recorder(rollout, world, scene, prelude) -> FakeRecorder:
        names.append(scene)
        recorders.append(FakeRecorder())
        return recorders[-1]

    stage = stages(FakeWorld(), make_recorder=make_recorder)
    assert stage.look_until(lambda: len(stage.numbers()) >= 5)
    assert stage.worker.status.recording
    stage.worker.change_scene()
    assert stage.look_until(lambda: len(recorders) == 2 and len(recorders[1].blocks) >= 3)
    assert stage.worker.shutdown(10.0)
    assert names == ["hall", "court"]
    for recorder in recorders:
        assert [block.index for block in recorder.blocks] == list(range(len(recorder.blocks)))
        assert set(recorder.stats.to_report()) == {"latency_ms", "late_frames", "lookahead_ms"}


def test_a_full_disk_ends_the_recording_and_not_the_game(stages):
    recorder = FakeRecorder(fail_after=2)
    stage = stages(FakeWorld(), make_recorder=lambda *args: recorder)
    assert stage.look_until(lambda: stage.worker.status.notices == 1)
    shown = stage.numbers()[-1]
    assert "No space left" in stage.worker.status.notice and not stage.worker.status.recording
    assert stage.look_until(lambda: stage.numbers()[-1] >= shown + 5)
    assert stage.state() is State.PLAYING


def test_a_video_that_gives_up_is_told_once(stages):
    recorder = FakeRecorder()
    stage = stages(FakeWorld(), make_recorder=lambda *args: recorder)
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


def test_stopping_while_loading_ends_the_loading(thread_stages):
    world = FakeWorld()

    def open_world(progress):
        while True:
            time.sleep(0.001)
            progress("Reading weights", 0.5)

    stage = thread_stages(world, models=FakeModels(fake=open_world))
    assert stage.look_until(lambda: stage.worker.status.words == "Reading weights")
    assert stage.worker.shutdown(60.0)


def test_worlds_are_made_and_recorded_by_a_thread_of_their_own(thread_stages):
    recorder = FakeRecorder()
    stage = thread_stages(FakeWorld(fps=200.0), make_recorder=lambda *args: recorder)
    assert stage.look_until(lambda: len(recorder.blocks) >= 3)
    assert stage.worker.shutdown(60.0)
    assert recorder.threads == {"engine"} and recorder.stats is not None
    assert threading.current_thread().name != "engine" and stage.state() is State.STOPPED


def test_stopping_after_a_failure_keeps_its_exit_code(stages):
    stage = stages(FakeWorld(fail_at=frozenset({0})))
    assert stage.look_until(lambda: stage.state() is State.FAILED)
    assert stage.worker.shutdown(5.0)
    assert stage.worker.status.exit_code == 1


def test_a_client_is_imported_without_torch():
    code = "import sys, game.live.player, game.live.status; print([m for m in ('torch', 'pygame') if m in sys.modules])"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
