"""Going back, elsewhere and on again in live play: the worker against fake and real worlds; no window."""

from __future__ import annotations

import dataclasses
import gc
import json
import threading
import weakref
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import PictureError
from game.config.settings import load_settings
from game.live.player import Habits, State
from game.live.status import Suggestion
from game.media.pictures import read_picture, save_png
from game.recording.format import ACTIONS, Job, read_recording
from game.recording.script import load
from game.recording.writer import LiveRecordings
from game.tools.render import render
from game.world.playthrough import Playthrough
from game.world.scenes import Scene
from tests.engine.tiny import big_config, small_config, world
from tests.game.fakes import FakeModels, FakeRecorder, FakeScene, FakeWorld, read_frame, wait_until
from tests.game.live.stage import Stage

KINDS = {
    "big-like": lambda: world(big_config(name="tiny", fps=200.0)),
    "embedded-like": lambda: world(small_config(name="tiny", fps=100.0)),
}


def plays(stage: Stage, frames: int = 10) -> None:
    """Looks on until so many more frames were seen."""
    stage.plays(frames)


def shown(stage: Stage) -> int:
    """The frame that a fake rollout made, on the window now."""
    return read_frame(stage.seen[-1].pixels)[0]


def plays_rollout(stage: Stage, number: int) -> bool:
    """Whether the pictures to come are made by that rollout."""
    rollout = stage.world.rollouts[number]
    before = rollout.frames_done
    plays(stage, 3)
    return rollout.frames_done > before


def rewind(stage: Stage, seconds: float) -> list[int]:
    """Holds the key; returns the frames that were shown meanwhile."""
    before = len(stage.seen)
    stage.worker.rewind(stage.clock())
    stage.pass_by(seconds)
    frames = [read_frame(picture.pixels)[0] for picture in stage.seen[before:]]
    stage.worker.let_go(stage.clock())
    return frames


def test_a_rewind_shows_the_pictures_backwards_and_play_goes_on_from_there(stages):
    stage = stages(FakeWorld(fps=100.0))
    plays(stage, 30)
    backwards = rewind(stage, 0.1)
    assert len(backwards) > 5 and backwards == sorted(backwards, reverse=True)
    there = backwards[-1]
    stage.seen.clear()
    plays(stage, 5)
    frames = list(dict.fromkeys(read_frame(picture.pixels)[0] for picture in stage.seen))
    assert frames[0] in (there, there - 1) and frames == list(range(frames[0], frames[0] + len(frames)))
    assert not stage.worker.status.rewinding
    assert stage.worker.status.rewind.budget_mb == 256


def test_nothing_is_made_while_pictures_run_backwards(stages):
    stage = stages(FakeWorld(fps=50.0))
    plays(stage, 30)
    stage.worker.rewind(stage.clock())
    assert stage.worker.status.rewinding
    steps = stage.world.steps
    stage.pass_by(0.25)
    assert stage.world.steps == steps and stage.seen[-1].number is None and stage.seen[-1].behind_s > 0.1
    stage.worker.let_go(stage.clock())


def test_letting_go_at_once_or_without_a_rewind_does_no_harm(stages):
    stage = stages(FakeWorld())
    plays(stage, 10)
    stage.worker.let_go(stage.clock())
    stage.worker.rewind(stage.clock())
    stage.worker.let_go(stage.clock())
    before = shown(stage)
    plays(stage, 5)
    assert shown(stage) >= before


def test_long_blocks_are_gone_on_from_at_their_end(stages):
    stage = stages(FakeWorld(fps=100.0, first=9, later=12))
    plays(stage, 50)
    here = shown(stage)
    backwards = rewind(stage, 0.1)
    assert here >= backwards[0] >= here - 2, "from the picture on the window, which may be in the middle of a block"
    assert backwards == sorted(set(backwards), reverse=True) and len(backwards) > 10
    stage.seen.clear()
    plays(stage, 13)
    numbers = [read_frame(picture.pixels)[0] for picture in stage.seen if picture.number is not None]
    assert (numbers[0] - 9) % 12 == 0 and numbers[0] <= backwards[-1] + 1


def test_the_recording_of_a_rewind_says_where_it_went_on(stages):
    recorder = FakeRecorder()
    stage = stages(FakeWorld(fps=100.0), make_recorder=lambda *args: recorder)
    plays(stage, 20)
    rewind(stage, 0.1)
    plays(stage, 5)
    ((place, event),) = recorder.events
    assert event["event"] == "return" and event["frame"] <= place
    assert recorder.blocks[place].first_frame == event["frame"]


def test_a_quick_save_is_returned_to_again_and_again(stages):
    stage = stages(FakeWorld())
    plays(stage, 10)
    assert not stage.worker.load() and stage.look_until(lambda: "Nothing is saved" in stage.worker.status.notice)
    saved_at = shown(stage)
    stage.worker.save()
    assert stage.look_until(lambda: stage.worker.status.saved)
    for _ in range(2):
        plays(stage, 30)
        stage.worker.load()
        stage.seen.clear()
        plays(stage, 3)
        assert read_frame(stage.seen[-1].pixels)[0] < saved_at + 25
        first = next(picture for picture in stage.seen if picture.number == 0)
        assert read_frame(first.pixels)[0] == saved_at + 1


def test_tab_returns_to_the_world_before_where_it_was_left(stages):
    stage = stages(FakeWorld())
    plays(stage, 20)
    assert not stage.worker.other_world()
    left = shown(stage)
    hall = stage.world.rollouts[0]
    stage.worker.change_scene()
    assert stage.look_until(lambda: stage.worker.status.scene == "court" and stage.worker.status.other_world == "hall")
    plays(stage, 5)
    assert stage.worker.other_world()
    assert stage.look_until(lambda: stage.worker.status.scene == "hall")
    stage.seen.clear()
    plays(stage, 5)
    assert 0 <= shown(stage) - left < 20 and stage.world.log.count("start") == 2, "nothing was made anew"
    assert hall.frames_done > left
    stage.worker.other_world()
    assert stage.look_until(lambda: stage.worker.status.scene == "court")
    plays(stage, 3)


def test_a_quick_save_is_returned_to_from_another_world(stages):
    stage = stages(FakeWorld(), scenes=[FakeScene(name) for name in ("hall", "court", "pool")])
    plays(stage, 10)
    stage.worker.save()
    assert stage.look_until(lambda: stage.worker.status.saved)
    for name in ("court", "pool"):
        stage.worker.change_scene()
        assert stage.look_until(lambda name=name: stage.worker.status.scene == name)
        plays(stage, 3)
    assert stage.worker.load()
    assert stage.look_until(lambda: stage.worker.status.scene == "hall")
    plays(stage, 3)
    assert stage.world.log.count("start") == 3 and stage.worker.status.other_world == "pool"


@pytest.mark.parametrize("leave", ["other_world", "load"])
def test_a_save_right_behind_a_change_of_worlds_is_of_the_world_that_was_gone_to(stages, leave):
    """The window still shows the other one when the key goes down."""
    stage = stages(FakeWorld(), scenes=[FakeScene(name) for name in ("hall", "court", "pool")])
    plays(stage, 10)
    stage.worker.save()
    assert stage.look_until(lambda: stage.worker.status.saved)
    stage.worker.change_scene()
    assert stage.look_until(lambda: stage.worker.status.scene == "court")
    plays(stage, 5)
    getattr(stage.worker, leave)()
    stage.worker.save()
    assert stage.look_until(lambda: stage.worker.status.scene == "hall")
    plays(stage, 5)
    stage.worker.change_scene()
    assert stage.look_until(lambda: stage.worker.status.scene == "pool")
    plays(stage, 5)
    stage.worker.load()
    assert stage.look_until(lambda: stage.worker.status.scene == "hall")
    plays(stage, 5)
    assert plays_rollout(stage, 0), "the hall's name, and the hall"


def test_a_save_right_behind_a_new_world_says_that_there_is_nothing_to_save(stages):
    stage = stages(FakeWorld())
    plays(stage, 5)
    stage.in_flight(stage.worker.change_scene, stage.worker.save)  # so that both are obeyed together
    assert stage.look_until(lambda: "no world to save" in stage.worker.status.notice)
    assert not stage.worker.status.saved
    plays(stage, 5)


def test_no_memory_no_way_back(stages):
    stage = stages(FakeWorld(state_bytes=2 * 2**20), habits=Habits(rewind_mb=1))
    plays(stage, 10)
    stage.worker.change_scene()
    assert stage.look_until(lambda: stage.worker.status.scene == "court" and stage.state() is State.PLAYING)
    plays(stage, 10)
    assert stage.worker.status.other_world == "" and stage.worker.status.rewind.depth_s == 0.0


def test_a_picture_that_cannot_be_opened_is_a_remark_and_the_world_goes_on(stages):
    recorder = FakeRecorder()
    stage = stages(FakeWorld(), make_recorder=lambda *args: recorder)
    plays(stage, 10)
    stage.worker.enter(FakeScene("letter", PictureError("letter.txt is no picture")))
    assert stage.look_until(lambda: "no picture" in stage.worker.status.notice)
    plays(stage, 5)
    assert stage.state() is State.PLAYING and stage.worker.status.scene == "hall"


def test_an_anchor_begins_anew_from_the_picture_on_the_window(stages):
    stage = stages(FakeWorld(), habits=Habits(seed=3))
    plays(stage, 10)
    stage.worker.anchor()
    assert stage.look_until(lambda: len(stage.world.rollouts) == 2)
    plays(stage, 5)
    assert stage.world.rollouts[1].seed == 4 and stage.worker.status.scene == "hall"
    rewind(stage, 0.1)
    plays(stage, 3)


@pytest.mark.parametrize("by", ["key", "itself"])
def test_the_frame_after_an_anchor_is_not_late_however_long_it_takes(stages, by):
    stage = stages(FakeWorld(fps=20.0, step_seconds=0.005))
    begin = stage.world.start
    plays(stage, 5)

    def slow(*args):
        stage.clock.pass_by(3.0)
        return begin(*args)

    stage.world.start = slow
    if by == "key":
        stage.worker.anchor()
    else:
        stage.worker.set_anchor_every(0.2)
    assert stage.look_until(lambda: len(stage.world.rollouts) == 2)
    stage.worker.set_anchor_every(0.0)
    plays(stage, 5)
    figures = stage.worker.figures(stage.clock()).pace
    assert figures.late_frames == 0 and figures.block_ms["p95"] < 10.0, "nor is the machine taken for a slow one"


def test_a_world_is_anchored_by_itself_as_often_as_asked_for(stages):
    recorder = FakeRecorder()
    stage = stages(FakeWorld(fps=200.0), make_recorder=lambda *args: recorder)
    plays(stage, 5)
    stage.worker.set_anchor_every(0.1)
    plays(stage, 70)
    stage.worker.set_anchor_every(0.0)
    anchors = [place for place, event in recorder.events if event["event"] == "anchor"]
    assert len(anchors) >= 3 and all(b - a == 20 for a, b in pairwise(anchors))


def test_the_picture_is_held_while_nobody_plays_and_a_key_ends_it(stages):
    recorder = FakeRecorder()
    stage = stages(FakeWorld(), make_recorder=lambda *args: recorder)
    stage.worker.set_idle_hold(0.1)
    assert stage.look_until(lambda: stage.worker.status.held)
    steps = stage.world.steps
    plays(stage, 10)
    assert stage.world.steps == steps and len(recorder.held) >= 10
    stage.controls.press("w", stage.clock())
    assert stage.look_until(lambda: stage.world.steps > steps and not stage.worker.status.held)
    assert stage.look_until(lambda: stage.seen[-1].control.keys == ("W",))
    numbers = stage.numbers()
    assert numbers == list(range(len(numbers)))


def test_every_command_returns_at_once_while_a_block_takes_for_ever(thread_stages):
    """One that waited for the block would never come back."""
    gate = threading.Event()
    stage = thread_stages(FakeWorld(fps=200.0), make_recorder=lambda *args: FakeRecorder())
    plays(stage, 10)
    stage.world.sleep = lambda seconds: gate.wait() if seconds else None
    stage.world.step_seconds = 5.0
    steps = stage.world.steps
    assert stage.look_until(lambda: stage.world.steps > steps)
    worker, now = stage.worker, stage.clock
    commands = [
        worker.save, worker.load, lambda: worker.rewind(now()),
        lambda: worker.look(now()), lambda: worker.let_go(now()),
        worker.anchor, worker.toggle_recording, worker.toggle_recording, worker.take_over, worker.other_world,
        lambda: worker.replay(Path("nowhere"), 0), lambda: worker.set_idle_hold(1.0), lambda: worker.set_idle_hold(0.0),
        lambda: worker.apply(Suggestion("clock", 0.5)), lambda: worker.apply(Suggestion("quality", name="fast")),
        lambda: worker.figures(now()), worker.change_scene, worker.reset, lambda: worker.pause(now()),
        lambda: worker.resume(now()), lambda: worker.next_change(now()), lambda: worker.screenshot(),
        lambda: worker.set_pace(1.0), lambda: worker.paused, lambda: worker.fps,
    ]  # fmt: skip
    for command in commands:
        command()
    assert not gate.is_set()
    gate.set()
    stage.world.step_seconds = 0.0
    assert stage.look_until(lambda: stage.worker.status.scene == "court" and stage.state() is State.PLAYING), (
        stage.worker.status
    )
    plays(stage, 5)


def test_opening_and_closing_the_menu_loses_no_frame_of_the_recording(stages):
    recorder = FakeRecorder()
    stage = stages(FakeWorld(fps=200.0, first=9, later=12), make_recorder=lambda *args: recorder)
    for _ in range(15):
        plays(stage, 7)
        stage.worker.pause(stage.clock())
        stage.pass_by(0.01)
        stage.worker.resume(stage.clock())
    plays(stage, 12)
    assert stage.numbers() == list(range(len(stage.numbers())))
    recorded = [read_frame(pixels)[0] for block in recorder.blocks for pixels in block.frames]
    assert recorded == list(range(len(recorded))) and len(recorded) >= len(stage.numbers())
    assert recorder.events == []


def test_a_slow_machine_is_told_what_would_help_and_it_is_done_at_once(stages):
    stage = stages(FakeWorld(fps=100.0, step_seconds=0.02, denoising_steps=(1000,)))
    assert stage.look_until(lambda: stage.worker.figures(stage.clock()).advice is not None)
    plays(stage, 60)
    advice = stage.worker.figures(stage.clock()).advice
    assert "speed" in advice.words and "clock" in advice.remedy and advice.suggestion.kind == "clock"
    assert 0.2 <= advice.suggestion.share <= 0.6
    stage.worker.apply(advice.suggestion)
    assert stage.worker.status.pace == advice.suggestion.share
    plays(stage, 30)


def test_a_quality_is_changed_on_the_present_picture(stages):
    made = []

    def change_quality(slow, name):
        made.append(dataclasses.replace(slow, denoising_steps=(1000, 333), step_seconds=0.0))
        return made[-1]

    slow = FakeWorld(fps=100.0, step_seconds=0.02, denoising_steps=(1000, 666, 333))
    stage = stages(slow, models=FakeModels(change_quality, fake=lambda progress: slow))
    assert stage.look_until(lambda: stage.worker.figures(stage.clock()).advice is not None)
    suggestion = stage.worker.figures(stage.clock()).advice.suggestion
    assert (suggestion.kind, suggestion.name) == ("quality", "fast")
    stage.worker.apply(suggestion)
    assert stage.look_until(lambda: made and made[0].steps > 10)
    assert stage.worker.status.quality == "fast" and stage.worker.status.other_world == "hall"


@pytest.mark.parametrize("begin", [lambda worker: worker.reset(), lambda worker: worker.change_scene()])
def test_a_new_world_is_of_the_quality_of_the_one_it_is_begun_from(stages, begin):
    usual = FakeWorld(fps=100.0, denoising_steps=(1000, 666, 333))
    quick = dataclasses.replace(usual, denoising_steps=(1000, 333))
    stage = stages(
        usual,
        models=FakeModels(lambda world, name: {"fast": quick, "default": usual}[name], fake=lambda progress: usual),
    )
    status = lambda: stage.worker.status  # noqa: E731
    plays(stage, 5)
    stage.worker.apply(Suggestion("quality", name="fast"))
    assert stage.look_until(lambda: quick.steps > 5)
    assert stage.worker.other_world()
    assert stage.look_until(lambda: status().quality == "default" and status().state is State.PLAYING)
    before = len(usual.rollouts)
    begin(stage.worker)
    assert stage.look_until(lambda: len(usual.rollouts) == before + 1 and status().state is State.PLAYING)
    plays(stage, 5)
    assert status().quality == "default" and len(quick.rollouts) == 1
    stage.worker.apply(Suggestion("quality", name="fast"))
    assert stage.look_until(lambda: len(quick.rollouts) == 2), "the other one can still be had"


def test_another_model_is_opened_in_the_same_window(stages):
    first, other = FakeWorld(), FakeWorld(fps=200.0, mode="templerun", name="other")
    stage = stages(first, models=FakeModels(fake=lambda progress: first, other=lambda progress: other))
    plays(stage, 5)
    stage.worker.change_model("other", "default", "")
    assert stage.look_until(lambda: stage.worker.status.model == "other" and stage.state() is State.PLAYING)
    plays(stage, 5)
    assert stage.worker.status.other_world == "" and stage.worker.status.space.mode == "templerun"


def test_a_screenshot_is_the_picture_on_the_window(stages, tmp_path):
    stage = stages(FakeWorld(), shots=tmp_path / "shots")
    plays(stage, 5)
    stage.worker.pause(stage.clock())
    stage.look()
    picture = stage.seen[-1].pixels
    stage.worker.screenshot()
    assert wait_until(lambda: "Screenshot" in stage.worker.status.notice)
    (path,) = (tmp_path / "shots").iterdir()
    np.testing.assert_array_equal(read_picture(path), picture)


@pytest.fixture(params=["embedded-like", pytest.param("big-like", marks=pytest.mark.slow)])
def real(request, stages, tmp_path):
    """A stage with a real engine of random weights and real recorders."""
    settings = load_settings([f"record.root={tmp_path / 'recordings'}", "record.icon_height=0"])
    made = KINDS[request.param]()
    config = made.config
    picture = np.random.default_rng(3).integers(0, 256, (config.height, config.width, 3), dtype=np.uint8)
    save_png(tmp_path / "start.png", picture)
    made.mode, made.fps = config.mode, config.fps
    shelf = SimpleNamespace(settings_of=lambda world: settings)
    recordings = LiveRecordings(shelf, Job("session"))
    scenes = [Scene("start", tmp_path / "start.png")]
    stage = stages(made, scenes=scenes, make_recorder=recordings, record=False)
    stage.tmp_path = tmp_path
    return stage


def recorded_folders(stage: Stage):
    return sorted(path for path in (stage.tmp_path / "recordings").iterdir())


def end_recording(stage: Stage) -> None:
    folder = recorded_folders(stage)[-1]
    stage.worker.toggle_recording()
    assert stage.look_until(lambda: not stage.worker.status.recording)
    assert wait_until(lambda: (folder / "report.json").exists(), 60.0), "its files are finished beside play"


def test_a_recording_begun_in_the_middle_with_everything_in_it_replays_bit_for_bit(real, capsys):
    stage = real
    stage.controls.press("w", stage.clock())
    plays(stage, 30)
    stage.worker.save()
    plays(stage, 15)
    stage.worker.toggle_recording()
    assert stage.look_until(lambda: stage.worker.status.recording)
    plays(stage, 30)
    stage.controls.release("w", stage.clock())
    stage.controls.press("d", stage.clock())
    stage.worker.rewind(stage.clock())
    stage.pass_by(0.05)
    stage.worker.let_go(stage.clock())
    plays(stage, 20)
    stage.worker.load()
    plays(stage, 20)
    stage.worker.anchor()
    plays(stage, 20)
    stage.controls.release_all()
    stage.worker.set_idle_hold(0.02)
    assert stage.look_until(lambda: stage.worker.status.held)
    stage.controls.press("s", stage.clock())
    plays(stage, 20)
    end_recording(stage)
    assert stage.worker.shutdown(10.0)
    (folder,) = recorded_folders(stage)
    recording = read_recording(folder / "actions.jsonl")
    events = [type(event).__name__ for row in recording.happenings.events.values() for event in row]
    assert {"Return", "Enter", "Anchor"} <= set(events) | {"Return"} and recording.happenings.held
    assert recording.header.prelude > 0 and "Enter" in events and "Anchor" in events
    assert render(load(folder), [], Job("again", stage.tmp_path / "again"), lambda settings: stage.world) == 0
    assert "identical" in capsys.readouterr().out


def test_a_recording_is_replayed_live_from_a_moment_and_taken_over(real):
    stage = real
    stage.controls.press("w", stage.clock())
    plays(stage, 10)
    stage.worker.toggle_recording()
    assert stage.look_until(lambda: stage.worker.status.recording)
    plays(stage, 60)
    end_recording(stage)
    (folder,) = recorded_folders(stage)
    recording = read_recording(folder / "actions.jsonl")
    plays(stage, 10)
    stage.controls.release_all()
    frame = len(recording.actions) // 2
    stage.seen.clear()
    stage.worker.replay(folder, frame)
    assert stage.look_until(lambda: stage.worker.status.replay is not None)
    figures = stage.worker.status.replay
    assert figures.name == folder.name and figures.length_s == len(recording.actions) / stage.world.config.fps
    assert stage.look_until(lambda: stage.seen[-1].number is not None and stage.seen[-1].control.keys == ("W",))
    stage.worker.take_over()
    assert stage.look_until(lambda: stage.worker.status.replay is None)
    assert stage.look_until(lambda: stage.seen[-1].control.keys == ())
    assert stage.worker.status.other_world == "start"


def test_a_replay_gives_the_controls_back_at_its_end(real):
    stage = real
    plays(stage, 5)
    stage.worker.toggle_recording()
    assert stage.look_until(lambda: stage.worker.status.recording)
    plays(stage, 20)
    end_recording(stage)
    (folder,) = recorded_folders(stage)
    stage.worker.replay(folder, 0)
    assert stage.look_until(lambda: "recording ends" in stage.worker.status.notice)
    assert stage.look_until(lambda: stage.worker.status.replay is None)
    plays(stage, 5)


def test_a_folder_that_is_no_recording_is_a_remark(real, tmp_path):
    plays(real, 5)
    real.worker.replay(tmp_path, 0)
    assert real.look_until(lambda: "Cannot replay" in real.worker.status.notice)
    plays(real, 5)


def test_a_command_during_a_rewind_ends_it(stages):
    stage = stages(FakeWorld(fps=100.0))
    plays(stage, 20)
    stage.worker.save()
    assert stage.look_until(lambda: stage.worker.status.saved)
    plays(stage, 20)
    for command in (stage.worker.load, stage.worker.change_scene, stage.worker.other_world):
        stage.worker.rewind(stage.clock())
        stage.pass_by(0.05)
        command()
        assert not stage.worker.status.rewinding
        stage.worker.let_go(stage.clock())
        plays(stage, 10)
        assert stage.state() is State.PLAYING


def test_a_recording_that_cannot_be_begun_does_not_end_the_game(stages):
    def make_recorder(*args):
        raise OSError("No space left on device")

    stage = stages(FakeWorld(), make_recorder=make_recorder)
    assert stage.look_until(lambda: "No space left" in stage.worker.status.notice)
    plays(stage, 10)
    assert stage.state() is State.PLAYING and not stage.worker.status.recording


def test_a_rewind_with_no_memory_for_it_does_nothing(stages):
    stage = stages(FakeWorld(state_bytes=2 * 2**20), habits=Habits(rewind_mb=1))
    plays(stage, 10)
    before = shown(stage)
    stage.worker.rewind(stage.clock())
    assert not stage.worker.status.rewinding
    stage.worker.let_go(stage.clock())
    plays(stage, 10)
    assert shown(stage) > before


@pytest.mark.parametrize("then", ["rewind", "save"])
def test_a_return_with_another_command_right_behind_it_loses_no_world(stages, then):
    """The window still shows a moment of the way that the return has just left."""
    stage = stages(FakeWorld())
    plays(stage, 10)
    stage.worker.save()
    plays(stage, 20)
    if then == "save":
        stage.in_flight(stage.worker.load, stage.worker.save)
    else:
        begin = lambda: stage.worker.rewind(stage.clock())  # noqa: E731
        stage.in_flight(stage.worker.load, begin)
        stage.worker.let_go(stage.clock())
    plays(stage, 5)
    assert stage.worker.status.state is State.PLAYING and stage.worker.status.saved


def test_a_recording_with_a_broken_picture_inside_ends_its_replay_and_not_the_game(real):
    stage = real
    plays(stage, 5)
    stage.worker.toggle_recording()
    assert stage.look_until(lambda: stage.worker.status.recording)
    plays(stage, 30)
    end_recording(stage)
    folder = recorded_folders(stage)[-1]
    lines = (folder / ACTIONS).read_text().splitlines()
    blocks = [json.loads(line).get("block", -1) for line in lines]
    at = blocks.index(blocks[15] + 1)  # where a block begins
    row = json.loads(lines[at]) | {"events": [{"event": "enter", "prelude": 1, "seed": 1}]}
    (folder / ACTIONS).write_text("\n".join([*lines[:at], json.dumps(row), *lines[at + 1 :]]) + "\n")
    (folder / "first_frame-1.png").write_bytes(b"no picture")
    stage.worker.save()
    stage.worker.replay(folder, 0)
    assert stage.look_until(lambda: "first_frame-1.png" in stage.worker.status.notice, 10.0)
    assert stage.worker.status.state is State.PLAYING and stage.worker.status.saved


def test_of_worlds_that_were_left_only_those_to_return_to_stay_in_memory(stages, monkeypatch):
    made = []

    def playthrough(*args, **kwargs):
        new = Playthrough(*args, **kwargs)
        made.append(weakref.ref(new))
        return new

    monkeypatch.setattr("game.live.engine_thread.Playthrough", playthrough)
    gc.collect()
    gc.disable()
    try:
        stage = stages(FakeWorld(), make_recorder=lambda *_: FakeRecorder())
        plays(stage)
        stage.worker.save()  # of the first world; the others are the one before and the present one
        for count in range(2, 8):
            stage.worker.change_scene()
            assert stage.look_until(lambda count=count: len(made) == count)
            plays(stage)
        stage.seen.clear()
        assert stage.look_until(lambda: sum(ref() is not None for ref in made) == 3)
    finally:
        gc.enable()
