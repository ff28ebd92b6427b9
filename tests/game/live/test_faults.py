"""What the old order of things got wrong, once each."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import weakref

import numpy as np
import pytest

from engine.errors import EngineError
from game.live.clock import Pacer, PlayClock
from game.live.player import Habits, State
from game.media.video import Video
from game.recording.format import SessionHeader, new_folder
from game.recording.writer import Recorder
from tests.game.fakes import FakeModels, FakeRollout, FakeScene, FakeSnapshot, FakeWorld, wait_until, within
from tests.game.live.stage import Stage, ThreadStage

# -- one world's rollout in another ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", ["save", "load"])
def test_a_save_another_world_and_a_rewind_within_one_block_play_no_world_inside_another(stages, keep):
    stage = stages(FakeWorld(step_seconds=0.01))
    stage.plays(10)
    stage.worker.save()
    stage.plays(3)
    stage.worker.change_scene()
    assert stage.look_until(lambda: stage.worker.status.scene == "court")
    stage.plays(10)
    stage.worker.other_world()
    assert stage.look_until(lambda: stage.worker.status.scene == "hall")
    stage.plays(10)
    hall, court = stage.world.rollouts
    stage.in_flight(getattr(stage.worker, keep), stage.worker.other_world, lambda: stage.worker.rewind(stage.clock()))
    stage.worker.let_go(stage.clock())
    stage.plays(2)
    before = hall.frames_done, court.frames_done
    stage.plays(5)
    assert stage.worker.status.scene == "court"
    assert hall.frames_done == before[0] and court.frames_done > before[1], "the court's name, and the court"


# -- what is left is not kept ------------------------------------------------------------------------------------------


def test_nothing_of_a_left_model_is_alive_when_the_next_one_is_loaded(monkeypatch):
    emptied, alive, kept = [], [], []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: emptied.append(len(alive)))
    for kind in (FakeWorld, FakeRollout, FakeSnapshot):
        _note_living(monkeypatch, kind, alive)

    def second(progress) -> FakeWorld:
        kept.extend(type(ref()).__name__ for ref in alive if ref() is not None)
        made.append(FakeWorld(name="second", sleep=stage.clock.pass_by))
        return made[-1]

    made = [FakeWorld(name="first")]
    stage = Stage(made[0], models=FakeModels(first=lambda progress: made.pop(), second=second))
    made[0].sleep, stage.world = stage.clock.pass_by, None
    stage.plays(10)
    stage.worker.save()
    stage.worker.change_scene()
    stage.plays(10)
    stage.worker.rewind(stage.clock())
    stage.pass_by(0.2)
    before = len(emptied)
    stage.worker.change_model("second", "default", "")
    assert stage.look_until(lambda: stage.worker.status.model == "second" and stage.state() is State.PLAYING)
    assert not kept, f"there was still alive: {kept}"
    assert len(emptied) == before + 1, "and a GPU's memory was given back"
    assert not stage.worker.status.saved and not stage.worker.status.other_world
    assert stage.worker.shutdown(10.0)


def _note_living(monkeypatch, kind: type, alive: list) -> None:
    begin = kind.__init__

    def note(self, *args, **kwargs) -> None:
        begin(self, *args, **kwargs)
        alive.append(weakref.ref(self))

    monkeypatch.setattr(kind, "__init__", note)


def test_a_failure_lets_go_of_the_world_while_it_waits_to_be_tried_again(stages):
    made = [FakeWorld(fail_at=frozenset({5}))]
    stage = stages(made[0], models=FakeModels(fake=lambda progress: made[0]))
    refs = []
    assert stage.look_until(lambda: stage.world.rollouts)
    refs = [weakref.ref(rollout) for rollout in stage.world.rollouts]
    assert stage.look_until(lambda: stage.state() is State.FAILED)
    stage.world.rollouts.clear()
    stage.world.error.__traceback__ = None  # which is the fake's own, and not the player's
    gc.collect()
    assert [ref() for ref in refs] == [None]


# -- one budget for all of it ------------------------------------------------------------------------------------------


def test_the_way_backs_budget_counts_the_world_before_and_the_save_with_their_rollouts(stages):
    state = 100_000  # ten of them fit
    scenes = [FakeScene(name) for name in ("hall", "court", "pool")]
    stage = stages(FakeWorld(state_bytes=state, width=16, height=16), scenes=scenes, habits=Habits(rewind_mb=1))
    stage.plays(30)
    stage.worker.save()
    assert stage.look_until(lambda: stage.worker.status.saved)
    for name in ("court", "pool"):
        stage.worker.change_scene()
        assert stage.look_until(lambda name=name: stage.worker.status.scene == name)
        stage.plays(30)
        rewind = stage.worker.status.rewind
        states = len(stage.world.states)
        others = len(stage.world.rollouts) - 1
        assert (states + others) * state <= 2**20, f"{states} states and {others} rollouts of worlds not played"
        assert rewind.mb <= rewind.budget_mb == 1.0
        assert rewind.mb * 2**20 >= 0.8 * (states + others) * state, "and that is what is told"
        assert rewind.depth_s > 0.0


def test_what_is_saved_is_kept_even_where_there_is_no_room_for_a_way_back(stages):
    stage = stages(FakeWorld(state_bytes=2**20), habits=Habits(rewind_mb=1))
    stage.plays(10)
    stage.worker.save()
    stage.plays(10)
    assert stage.worker.status.saved and stage.worker.status.rewind.depth_s == 0.0
    stage.worker.load()
    stage.plays(3)
    assert stage.state() is State.PLAYING


# -- several orders at once --------------------------------------------------------------------------------------------


def out_of_memory(world, name):
    """A quality that cannot be had."""
    raise EngineError("out of memory")


@pytest.mark.parametrize("failing", ["quality", "anchor"])
def test_an_order_that_fails_does_not_swallow_the_others(stages, failing):
    world = FakeWorld()
    stage = stages(world, models=FakeModels(out_of_memory, fake=lambda progress: world))
    stage.plays(5)
    begin, tries = world.start, []

    def fail_once(*args):
        tries.append(1)
        if len(tries) == 1 and failing == "anchor":
            raise EngineError("out of memory")
        return begin(*args)

    world.start = fail_once
    first = {"quality": lambda: stage.worker.set_quality("fast"), "anchor": stage.worker.anchor}[failing]
    stage.in_flight(first, stage.worker.change_scene)
    assert stage.look_until(lambda: stage.worker.status.scene == "court" and stage.state() is State.PLAYING)
    stage.plays(5)


def test_a_quality_that_cannot_be_had_leaves_the_world_as_it_is(stages):
    world = FakeWorld()
    stage = stages(world, models=FakeModels(out_of_memory, fake=lambda progress: world))
    stage.plays(5)
    stage.worker.set_quality("fast")
    assert stage.look_until(lambda: "out of memory" in stage.worker.status.notice)
    stage.plays(5)
    assert stage.worker.status.quality == "default" and len(world.rollouts) == 1


# -- the play clock while it is swapped --------------------------------------------------------------------------------


def test_a_clock_that_is_swapped_is_never_seen_half_made(monkeypatch):
    """Whoever reads `paused` or `fps` while a new clock is put in gets what was, or what will be."""
    pacer, seen = Pacer(16.0), []
    pacer.pause(0.0)
    pause = PlayClock.pause

    def watched(self, now: float) -> None:
        seen.append((pacer.paused, pacer.fps))
        pause(self, now)

    monkeypatch.setattr(PlayClock, "pause", watched)
    pacer.cut()
    pacer.restart()
    pacer.begin_model(16.0)
    assert seen == [(True, 16.0)] * 3


def test_a_client_reads_the_play_clock_under_the_lock_that_it_is_swapped_under(stages, monkeypatch):
    stage, read = stages(FakeWorld(fps=16.0)), []
    stage.plays(3)
    stage.worker.pause(stage.clock())
    begin = PlayClock.__init__

    def watched(self, fps: float) -> None:
        reader = threading.Thread(target=lambda: read.append((stage.worker.paused, stage.worker.fps)), daemon=True)
        reader.start()
        reader.join(0.2)
        begin(self, fps)
        self.fps = fps

    monkeypatch.setattr(PlayClock, "__init__", watched)
    stage.worker.reset()
    assert wait_until(lambda: len(read) >= 2, 60.0)
    assert set(read) == {(True, 16.0)}


# -- closing -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing stalls a process here")
def test_closing_with_a_stalled_encoder_ends_and_what_was_written_plays(tmp_path, monkeypatch):
    monkeypatch.setattr("game.live.player._CLOSING", 0.5)
    made: list[Recorder] = []

    def make_recorder(rollout, world, scene, told) -> Recorder:
        config = world.config
        header = SessionHeader("fake", config.mode, 0, config.width, config.height, config.fps, "", "", "0")
        folder = new_folder(None, "session", root=tmp_path)
        made.append(Recorder(folder, header, name="session", first_frame=rollout.first_frame))
        return made[-1]

    stage = ThreadStage(FakeWorld(fps=100.0), make_recorder=make_recorder)
    assert stage.look_until(lambda: made and made[0].frames > 20)
    assert stage.look_until(lambda: made[0].path(".mp4").stat().st_size > 6_000)
    for pid in made[0].encoder_pids:
        os.kill(pid, signal.SIGSTOP)
    assert not within(60.0, lambda: stage.worker.shutdown(60.0)), "it ended, and said that something was cut off"
    assert wait_until(lambda: not any(_runs(pid) for pid in made[0].encoder_pids), 60.0)
    with Video(made[0].path(".mp4")) as video:
        assert video.frames > 0 and np.ptp(video.at(0)) > 0
    assert (made[0].folder / "actions.jsonl").read_text().count("\n") > 20


def _runs(pid: int) -> bool:
    try:
        return "Z" not in open(f"/proc/{pid}/stat").read().split(") ")[1][:1] if sys.platform == "linux" else False
    except OSError:
        return False


def test_closing_while_a_block_never_ends_keeps_the_recording(monkeypatch):
    from tests.game.fakes import FakeRecorder

    recorder, gate = FakeRecorder(), threading.Event()
    stage = ThreadStage(FakeWorld(fps=200.0), make_recorder=lambda *args: recorder)
    assert stage.look_until(lambda: len(recorder.blocks) > 3)
    stuck = threading.Event()
    stage.world.sleep = lambda seconds: stuck.set() or (gate.wait() and None)
    assert stage.look_until(stuck.is_set)
    assert not within(60.0, lambda: stage.worker.shutdown(0.2))
    assert recorder.closed and recorder.stats is not None
    gate.set()
    assert stage.worker.shutdown(60.0)


# -- full speed again --------------------------------------------------------------------------------------------------


def test_after_a_slower_clock_the_world_goes_back_to_full_speed_by_itself_and_says_so(stages):
    stage = stages(FakeWorld(step_seconds=0.1, width=16, height=16))
    assert stage.look_until(lambda: stage.worker.figures(stage.clock()).advice is not None)
    stage.plays(20)
    stage.worker.apply(stage.worker.figures(stage.clock()).advice.suggestion)
    stage.plays(20)
    assert stage.worker.status.pace < 1.0
    stage.world.step_seconds = 0.005
    assert stage.look_until(lambda: stage.worker.status.pace == 1.0, 30.0)
    assert "full speed" in stage.worker.status.notice
    assert stage.look_until(lambda: stage.worker.figures(stage.clock()).pace.speed == 1.0, 30.0)
