"""Compiling beside play is seen and never in the way; what is recorded is compiled before its first block."""

import gc
import json
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import game.models.loader
import game.recording.writer
from engine.actions import Actions
from engine.errors import CompileError
from engine.families import best_kernels
from engine.fast.compiling import Compilation
from engine.world import WorldModel
from game.config.settings import load_settings
from game.errors import ConfigError, RunError
from game.live.player import State
from game.models.compiling import NEVER, CompilingWorld, compile_first
from game.recording.format import Enter, Job, read_recording
from game.recording.script import load
from game.recording.writer import Recorder, Scribe
from game.tools.render import render
from game.world.playthrough import Playthrough
from tests.engine.tiny import picture, play
from tests.game.fakes import FakeModels, FakeScene, FakeWorld, wait_until
from tests.game.live.stage import ThreadStage
from tests.game.offline import picture_file, real_world


@pytest.fixture(autouse=True)
def nothing_compiled():
    """Compiled programs are the process's, and there may be only so many of one piece of code."""
    torch.compiler.reset()


def fast_world(settings=None) -> WorldModel:
    world = real_world()
    world.use(best_kernels(world.networks))
    return world


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def broken(graph, inputs):
    raise RuntimeError("no compiler here")


class Slow:
    """A backend that compiles when it is told to."""

    def __init__(self) -> None:
        self.may, self.began = threading.Event(), threading.Event()
        self.compiled = 0

    def __call__(self, graph, inputs):
        self.compiled += 1
        self.began.set()
        assert self.may.wait(300.0)
        return graph.forward


def compiling(backend):
    """Makes compilations with a backend of the test's own."""
    return lambda world, how: Compilation(world.kernels, world.config, how, backend)


class Doubling:
    """Compiles kernels that can be told from plain ones."""

    names = ("passes",)

    def __init__(self, world, how):
        self._kernels = world.kernels

    def compile(self, name):
        pass

    def finished(self):
        programs = self._kernels.transformer.programs
        steady = replace(programs, steady=lambda *args: 2 * programs.steady(*args))
        transformer = self._kernels.transformer.with_programs(steady)
        return replace(self._kernels, transformer=transformer, compiled="max", plain=self._kernels)


class Doubled:
    """A playthrough through a world whose `Doubling` kernels are there when the test says so, and its recording."""

    def __init__(self) -> None:
        self.world = CompilingWorld(fast_world(), "max", lambda *words: None, make=Doubling)
        assert wait_until(lambda: self.world.work.outcome is not None)
        self._outcome, self.world.work.outcome = self.world.work.outcome, None
        self.playthrough = Playthrough(self.world, picture(self.world.config), 0, 2**30)
        self._scribe: Scribe | None = None

    def compiled(self) -> None:
        self.world.work.outcome = self._outcome

    def play(self, blocks: int) -> None:
        for _ in range(blocks):
            idle = self.world.action_space.action()
            played = self.playthrough.step(Actions.stack([idle] * self.playthrough.next_frames))
            if self._scribe is not None:
                self._scribe.add(played)
            self.playthrough.settle()

    def record(self, folder: Path) -> None:
        playthrough, told = self.playthrough, self.playthrough.actions_of(self.playthrough.present)
        settings = load_settings(["weights=."])
        header = game.recording.writer.header_of(
            self.world, playthrough.rollout, settings, source="live", scene="", prelude=told
        )  # fmt: skip
        first = playthrough.rollout.first_frame
        recorder = Recorder(make_folder(folder), header, name="session", first_frame=first, prelude=told, wait=True)
        self._scribe = Scribe(recorder, playthrough)

    def stop(self) -> None:
        self._scribe.recorder.close()


def render_doubled(folder: Path, out: Path) -> None:
    """Renders a recording of a `Doubled` again; it raises if a single frame differs."""

    def open_compiled(settings) -> WorldModel:
        world = fast_world()
        compile_first(world, settings.compile.name, None, None, Doubling)
        return world

    assert render(load(folder), ["weights=."], Job(out=out), open_compiled) == 0


def events_of(folder: Path) -> list:
    recording = read_recording(folder / "actions.jsonl")
    return [event for row in recording.happenings.events.values() for event in row]


def test_play_begins_at_once_tells_how_far_compiling_is_and_changes_kernels_between_blocks():
    slow, told = Slow(), []
    plain = fast_world()
    expected = play(plain.start(picture(plain.config), 5), plain.config, 6)
    world = CompilingWorld(fast_world(), "default", lambda words, share: told.append(words), make=compiling(slow))
    rollout = world.start(picture(world.config), 5)
    frames = [play(rollout, world.config, 2)]
    assert slow.began.wait(300.0)
    frames.append(play(rollout, world.config, 1))
    assert world.kernels.compiled == "off" and told[-1].startswith("Compiling the passes (1 of 3), ")
    slow.may.set()
    assert wait_until(lambda: world.work.outcome is not None, 300.0)
    compiled = slow.compiled
    frames.append(play(rollout, world.config, 3))
    assert world.kernels.compiled == "default" and told[-1].startswith("Compiled in ")
    assert slow.compiled == compiled >= 3, "what one thread compiled is good for the other"
    assert np.abs(np.concatenate(frames).astype(int) - expected).max() <= 1
    assert play(world.start(picture(world.config), 5), world.config, 1).shape == frames[0][:9].shape


def test_what_was_told_goes_away_after_a_while():
    clock, told = [0.0], []
    world = CompilingWorld(
        fast_world(), "default", lambda words, share: told.append(words), make=compiling(broken), clock=lambda: clock[0]
    )
    assert wait_until(lambda: world.work.outcome is not None, 300.0)
    rollout = world.start(picture(world.config), 5)
    for clock[0] in (1.0, 2.0, 20.0, 21.0):
        play(rollout, world.config, 1)
    assert [words.partition(",")[0] for words in told] == ["Not compiled", ""]


def test_a_compile_that_fails_is_reported_and_play_goes_on_bit_for_bit():
    warned, told = [], []
    plain = fast_world()
    expected = play(plain.start(picture(plain.config), 5), plain.config, 4)
    world = CompilingWorld(fast_world(), "max", lambda *words: told.append(words[0]), warned.append, compiling(broken))
    assert wait_until(lambda: world.work.outcome is not None, 300.0)
    assert np.array_equal(play(world.start(picture(world.config), 5), world.config, 4), expected)
    assert len(warned) == 1 and "the passes cannot be compiled" in warned[0] and "no compiler here" in warned[0]
    assert world.kernels.compiled == "off"


def test_a_compiler_that_does_not_even_start_is_a_failure_like_any_other():
    def nothing(world, how):
        raise ImportError("no triton")

    world = CompilingWorld(fast_world(), "default", lambda *words: None, make=nothing)
    assert wait_until(lambda: world.work.outcome is not None)
    assert "no triton" in str(world.work.outcome)


def test_the_window_is_told_through_the_workers_status():
    slow, world = Slow(), fast_world()
    stage = ThreadStage(
        FakeWorld(),
        scenes=[FakeScene()],
        models=FakeModels(fake=lambda progress: CompilingWorld(world, "default", progress, make=compiling(slow))),
    )
    try:
        assert stage.look_until(lambda: stage.worker.status.beside.startswith("Compiling the passes"), 30.0)
        slow.may.set()
        assert stage.look_until(lambda: stage.worker.status.beside.startswith("Compiled in"), 60.0)
        assert stage.worker.status.words == ""
    finally:
        slow.may.set()
        assert stage.worker.shutdown(30.0)


def test_compiled_first_a_recording_says_so_and_its_replay_does_the_same(tmp_path, monkeypatch):
    opened = []

    def open_compiled(settings) -> WorldModel:
        world = fast_world()
        opened.append(settings.compile.name)
        compile_first(world, settings.compile.name, None, None, compiling("eager"))
        return world

    monkeypatch.setattr(
        "game.config.settings.Settings.__post_init__", lambda self: None
    )  # the small world stands for a large
    picture_file(tmp_path)
    script = tmp_path / "bench.yaml"
    script.write_text("first_frame: start.png\nactions: [{keys: [W], frames: 33}]\n")
    words = [f"weights={tmp_path}"]
    assert render(load(script), [*words, "compile=default"], Job(out=tmp_path / "a"), open_compiled) == 0
    header = json.loads((tmp_path / "a" / "actions.jsonl").read_text().splitlines()[0])
    assert header["compiled"] == "default"
    assert render(load(tmp_path / "a"), words, Job(out=tmp_path / "b"), open_compiled) == 0
    assert opened == ["default", "default"]


@pytest.fixture
def doubled(monkeypatch):
    monkeypatch.setattr("game.config.settings.Settings.__post_init__", lambda self: None)
    return Doubled()


def test_a_recording_that_begins_later_notes_the_block_and_its_replay_changes_kernels_there(tmp_path, doubled):
    doubled.play(2)
    doubled.compiled()
    doubled.play(1)
    doubled.record(tmp_path / "a")
    doubled.play(2)
    doubled.stop()
    header = read_recording(tmp_path / "a" / "actions.jsonl").header
    assert (header.compiled, header.compiled_from) == ("max", 2)
    render_doubled(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("back_to", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_return_to_before_the_recording_notes_the_block_too_and_its_replay_changes_kernels_there(
    tmp_path, doubled, back_to
):
    doubled.play(2)
    doubled.compiled()
    doubled.play(2)
    doubled.record(tmp_path / "a")
    doubled.play(1)
    doubled.playthrough.go(doubled.playthrough.past.moments()[back_to])
    doubled.play(4)
    doubled.stop()
    (event,) = events_of(tmp_path / "a")
    assert isinstance(event, Enter) and event.compiled_from == 2
    render_doubled(tmp_path / "a", tmp_path / "b")
    render_doubled(tmp_path / "b", tmp_path / "c")


def test_a_return_to_a_rollout_that_no_compiled_kernels_make_replays_without_them(tmp_path, doubled):
    doubled.play(2)
    plain = doubled.playthrough.keep()
    doubled.playthrough.anchor()
    doubled.compiled()
    doubled.play(2)
    doubled.record(tmp_path / "a")
    doubled.play(1)
    doubled.playthrough.go(plain)
    doubled.play(3)
    doubled.stop()
    (event,) = events_of(tmp_path / "a")
    assert event.compiled_from == NEVER
    render_doubled(tmp_path / "a", tmp_path / "b")


def test_a_recording_of_a_rollout_that_no_compiled_kernels_make_says_so_and_replays(tmp_path, doubled):
    doubled.play(2)
    plain = doubled.playthrough.keep()
    doubled.playthrough.anchor()
    doubled.compiled()
    doubled.play(1)
    doubled.playthrough.go(plain)
    doubled.record(tmp_path / "a")
    doubled.play(3)
    doubled.stop()
    header = read_recording(tmp_path / "a" / "actions.jsonl").header
    assert (header.compiled, header.compiled_from) == ("max", NEVER)
    render_doubled(tmp_path / "a", tmp_path / "b")


def test_after_a_rewind_kernels_change_where_no_block_was_made_before(tmp_path, doubled):
    doubled.play(4)
    saved = doubled.playthrough.keep()
    doubled.playthrough.go(doubled.playthrough.past.moments()[1])
    doubled.compiled()
    doubled.play(1)
    doubled.playthrough.go(saved)
    doubled.record(tmp_path / "a")
    doubled.play(2)
    doubled.stop()
    assert read_recording(tmp_path / "a" / "actions.jsonl").header.compiled_from == 4
    render_doubled(tmp_path / "a", tmp_path / "b")


def test_once_a_recording_has_begun_kernels_stay():
    slow, told = Slow(), []
    world = CompilingWorld(fast_world(), "default", lambda *words: told.append(words[0]), make=compiling(slow))
    rollout = world.start(picture(world.config), 5)
    header = game.recording.writer.header_of(world, rollout, load_settings(), source="live", scene="")
    slow.may.set()
    assert wait_until(lambda: world.work.outcome is not None, 300.0)
    play(rollout, world.config, 2)
    assert (header.compiled, header.compiled_from) == ("off", 0)
    assert world.kernels.compiled == "off" and rollout.compiled_from is None and "not used" in told[-1]


def test_a_replay_without_the_recordings_kernels_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("game.config.settings.Settings.__post_init__", lambda self: None)
    picture_file(tmp_path)
    script = tmp_path / "bench.yaml"
    script.write_text("first_frame: start.png\nactions: [{keys: [W], frames: 9}]\n")
    assert render(load(script), [f"weights={tmp_path}"], Job(out=tmp_path / "a"), fast_world) == 0
    log = tmp_path / "a" / "actions.jsonl"
    log.write_text(log.read_text().replace('"compiled": "off"', '"compiled": "max"'))
    report = tmp_path / "a" / "report.json"
    report.write_text(report.read_text().replace('"frames_sha256": "', '"frames_sha256": "0'))
    with pytest.raises(RunError, match="compiled: recorded max, now off"):
        render(load(tmp_path / "a"), [f"weights={tmp_path}"], Job(out=tmp_path / "b"), fast_world)


def test_a_failed_compile_before_a_render_is_told_and_the_header_says_off():
    world, warned = fast_world(), []
    compile_first(world, "default", None, warned.append, compiling(broken))
    assert world.kernels.compiled == "off" and "not compiled: the passes" in warned[0]


def test_recorded_play_is_compiled_first_and_other_play_beside(monkeypatch):
    asked = []
    monkeypatch.setattr("game.models.loader.compile_first", lambda world, how, progress, warn: asked.append(how))
    monkeypatch.setattr("engine.world.load_world", lambda *args, **kwargs: real_world())
    settings = load_settings(["model=universal", "compile=max", "weights=.", "device=cpu", "threads=1"])
    assert game.models.loader.open_world(settings, compiled=True).kernels.fast and asked == ["max"]
    assert game.models.loader.open_world(settings, compiled=False).kernels.fast and asked == ["max"]


def test_compiling_a_model_that_has_nothing_to_compile_is_refused():
    with pytest.raises(ConfigError, match="compile does nothing for tiny"):
        load_settings(["compile=default"])
    assert load_settings(["model=universal", "compile=default"]).compile.name == "default"


class Endless:
    """A compiler that never ends by itself. began: set once it works."""

    def __init__(self) -> None:
        self.began = threading.Event()

    def __call__(self, world, how):
        self.world = weakref.ref(world)
        return self

    names = ("passes", "decoder")

    def compile(self, name):
        self.thread = threading.current_thread()
        self.began.set()
        while True:
            try:
                time.sleep(0.001)
            except Exception as error:  # as torch's compiler and ours take whatever is raised for a failed program
                raise CompileError("failed") from error


def test_compiling_can_be_called_off_and_does_not_keep_the_model():
    endless, world = Endless(), fast_world()
    compiling_world = CompilingWorld(world, "max", lambda *words: None, make=endless)
    assert endless.began.wait(300.0)
    assert compiling_world.call_off(60.0)
    rollout = compiling_world.start(picture(world.config), 5)
    assert play(rollout, world.config, 1).shape[0] and world.kernels.compiled == "off", "and play may go on"
    del world, compiling_world, rollout
    gc.collect()
    assert endless.world() is None


@pytest.mark.parametrize("leave", ["model", "quit"])
def test_who_changes_models_or_quits_calls_compiling_off(leave):
    endless, others = Endless(), []

    def other(progress) -> FakeWorld:
        others.append(endless.thread.is_alive())
        return FakeWorld(name="other")

    small = fast_world()
    first = [CompilingWorld(small, "max", lambda *words: None, make=endless)]
    del small
    stage = ThreadStage(
        FakeWorld(), scenes=[FakeScene()], models=FakeModels(fake=lambda progress: first.pop(), other=other)
    )
    assert endless.began.wait(300.0)
    assert stage.look_until(lambda: stage.state() is State.PLAYING)
    if leave == "model":
        stage.worker.change_model("other", "default", "")
        assert stage.look_until(lambda: others and stage.state() is State.PLAYING)
        assert others == [False], "it had ended when the other one was loaded"
        assert endless.world() is None
    assert stage.worker.shutdown(60.0)
    assert not endless.thread.is_alive()
