"""Whatever a person did while they recorded, the recording replays bit for bit, with nothing but its folder."""

from __future__ import annotations

import gc
import json
import shutil
import weakref

import numpy as np
import pytest

from game.config.settings import load_settings
from game.errors import ScriptError
from game.recording.format import Anchor, Enter, Job, Return, read_recording
from game.recording.replay import Replay, begin
from game.recording.script import load
from game.recording.writer import Recorder, Scribe, header_of
from game.tools.render import render
from game.world.playthrough import Playthrough
from tests.engine.tiny import big_config, picture, random_actions, small_config, waypoint_config, world
from tests.game.offline import read_video

KINDS = {
    "big-like": lambda: world(big_config(name="tiny")),
    "embedded-like": lambda: world(small_config(name="tiny")),
    "waypoint-like": lambda: world(waypoint_config(name="waypoint")),
}


@pytest.fixture(params=KINDS)
def made(request):
    """A world of random weights, of either kind."""
    return KINDS[request.param]()


class Person:
    """Plays a playthrough, and records it while they like."""

    def __init__(self, made, seed: int = 5) -> None:
        self.world, self.draws = made, np.random.default_rng(seed)
        self.playthrough = Playthrough(made, picture(made.config), seed, 2**30)
        self.scribe: Scribe | None = None
        self.recorder: Recorder | None = None

    def record(self, folder) -> None:
        folder.mkdir()
        playthrough = self.playthrough
        prelude = playthrough.actions_of(playthrough.present)
        header = header_of(self.world, playthrough.rollout, load_settings(), source="live", scene="x", prelude=prelude)
        first = playthrough.rollout.first_frame
        self.recorder = Recorder(folder, header, name="session", first_frame=first, prelude=prelude, wait=True)
        self.scribe = Scribe(self.recorder, playthrough)

    def play(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            seed = int(self.draws.integers(10**9))
            self._keep(self.playthrough.step(random_actions(self.world.config, self.playthrough.next_frames, seed)))

    def hold(self, frames: int) -> None:
        self._keep(self.playthrough.hold(frames))

    def stop(self) -> dict:
        return self.recorder.close()

    def _keep(self, played) -> None:
        if self.scribe is not None:
            self.scribe.add(played)
        self.playthrough.settle()


def replayed(folder, out, made) -> None:
    """Renders a recording again; it raises if a single frame differs."""
    assert render(load(folder), [f"weights={folder}"], Job("session", out), lambda settings: made) == 0


def test_a_rewind_is_a_cut_in_the_recording_and_replays(tmp_path, made, capsys):
    person = Person(made)
    person.record(tmp_path / "a")
    person.play(4)
    person.playthrough.go(person.playthrough.past.moments()[2])
    person.play(2)
    person.playthrough.go(person.playthrough.past.moments()[2])
    person.playthrough.go(person.playthrough.past.moments()[0])
    person.play(2)
    report = person.stop()
    replayed(tmp_path / "a", tmp_path / "b", made)
    assert "identical" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "a" / "actions.jsonl").read_text().splitlines()[1:]]
    assert [line["frame"] for line in lines] == list(range(report["frames"]))
    assert [line["block"] for line in lines] == sorted(line["block"] for line in lines)
    first, block = (made.config.frames_of_block(index) for index in (0, 1))
    assert [line["events"] for line in lines if "events" in line] == [
        [{"event": "return", "frame": first + block}],
        [{"event": "return", "frame": 0}],
    ]
    assert len(read_video(tmp_path / "a" / "session.mp4")) == report["frames"]
    replayed(tmp_path / "b", tmp_path / "c", made)
    copies = [(tmp_path / name / "actions.jsonl").read_text().splitlines()[1:] for name in "abc"]
    assert copies[0] == copies[1] == copies[2], "a replay of a recording is as good a recording"


def test_a_world_that_was_recorded_is_gone_as_soon_as_nobody_holds_it(tmp_path, made):
    """Not when the garbage collector next comes by: by then ten others may have been left behind."""
    person = Person(made)
    person.record(tmp_path / "a")
    person.play(3)
    person.stop()
    held = [weakref.ref(x) for x in (person.playthrough, person.playthrough.rollout, person.playthrough.present)]
    gc.collect()
    gc.disable()
    try:
        person.playthrough = person.scribe = None
        assert [ref() for ref in held] == [None, None, None]
    finally:
        gc.enable()


def test_a_recording_may_begin_in_the_middle(tmp_path, made, capsys):
    person = Person(made)
    person.play(3)
    person.record(tmp_path / "a")
    person.play(2)
    person.playthrough.go(person.playthrough.past.moments()[3])  # where it began
    person.play(2)
    person.playthrough.go(person.playthrough.past.moments()[1])  # before it began
    person.play(2)
    person.stop()
    recording = read_recording(tmp_path / "a" / "actions.jsonl")
    assert len(recording.prelude) == recording.header.prelude > 0
    events = [event for row in recording.happenings.events.values() for event in row]
    assert isinstance(events[0], Return) and events[0].frame == 0 and isinstance(events[1], Enter)
    shutil.move(tmp_path / "a", tmp_path / "moved")
    replayed(tmp_path / "moved", tmp_path / "b", made)
    replayed(tmp_path / "b", tmp_path / "c", made)
    assert capsys.readouterr().out.count("identical") == 2


def test_a_quick_save_from_before_the_recording_replays(tmp_path, made, capsys):
    person = Person(made)
    person.play(2)
    saved = person.playthrough.keep()
    person.play(1)
    person.playthrough.go(person.playthrough.past.moments()[1])
    person.play(2)
    person.record(tmp_path / "a")
    person.play(1)
    for _ in range(2):
        person.playthrough.go(saved)
        person.play(2)
    person.stop()
    replayed(tmp_path / "a", tmp_path / "b", made)
    assert "identical" in capsys.readouterr().out


def test_anchors_and_holds_replay(tmp_path, made, capsys):
    person = Person(made)
    person.record(tmp_path / "a")
    person.play(2)
    person.hold(3)
    person.hold(2)
    person.play(1)
    person.playthrough.anchor()
    person.play(2)
    person.hold(4)
    person.playthrough.anchor()
    person.playthrough.go(person.playthrough.past.moments()[1])
    person.playthrough.anchor()
    person.play(1)
    report = person.stop()
    recording = read_recording(tmp_path / "a" / "actions.jsonl")
    spans = [stop - start for start, stop in recording.happenings.held]
    events = [event for row in recording.happenings.events.values() for event in row]
    assert spans == [3, 2, 4] and [type(event) for event in events] == [Anchor, Return, Anchor]
    video = read_video(tmp_path / "a" / "session.mp4")
    assert len(video) == report["frames"]
    replayed(tmp_path / "a", tmp_path / "b", made)
    assert "identical" in capsys.readouterr().out


def test_a_recording_of_an_anchored_world_begins_with_the_picture_it_was_anchored_on(tmp_path, made, capsys):
    person = Person(made)
    person.play(2)
    person.playthrough.anchor()
    first = person.playthrough.present.picture
    person.play(1)
    person.record(tmp_path / "a")
    person.play(2)
    person.stop()
    recording = read_recording(tmp_path / "a" / "actions.jsonl")
    assert recording.header.seed == 6 and recording.header.prelude in (1, 4, 9)
    replayed(tmp_path / "a", tmp_path / "b", made)
    assert "identical" in capsys.readouterr().out
    np.testing.assert_array_equal(first, begin(recording, made, first, 6).rollout.first_frame)


def test_a_person_can_take_over_a_replay_at_any_moment(tmp_path, made):
    person = Person(made)
    person.play(1)
    person.record(tmp_path / "a")
    person.play(2)
    person.playthrough.go(person.playthrough.past.moments()[2])
    person.play(2)
    there = person.playthrough.present
    person.play(2)
    person.stop()
    recording = read_recording(tmp_path / "a" / "actions.jsonl")
    playthrough = begin(recording, made, picture(made.config), recording.header.seed, 2**30)
    replay = Replay(playthrough, recording.actions, recording.happenings)
    while replay.frame < there.mark[1]:
        replay.play()
    replay.leave()
    np.testing.assert_array_equal(playthrough.present.picture, there.picture)
    person.playthrough.go(there)
    told = random_actions(made.config, playthrough.next_frames, 99)
    np.testing.assert_array_equal(playthrough.step(told).block.frames, person.playthrough.step(told).block.frames)


def test_a_recording_changed_by_hand_is_told_with_its_line(tmp_path):
    made = KINDS["big-like"]()
    person = Person(made)
    person.record(tmp_path / "a")
    person.play(2)
    person.playthrough.go(person.playthrough.past.moments()[1])
    person.play(1)
    person.stop()
    log = tmp_path / "a" / "actions.jsonl"
    good = log.read_text()

    def with_event(text: str) -> None:
        log.write_text(good.replace('{"event": "return", "frame": 9}', text))

    for text, words in [
        ('{"event": "fly"}', r"line 23: unknown event; got 'fly'"),
        ('{"event": "return", "frame": -1}', "line 23: bad frame of the event return"),
        ('{"event": "return", "frame": 99}', "returns to the future"),
        ('{"event": "enter", "prelude": 3, "seed": 1}', "picture of the recording is missing"),
    ]:
        with_event(text)
        with pytest.raises(ScriptError, match=words):
            load(tmp_path / "a")
    with_event('{"event": "return", "frame": 4}')
    with pytest.raises(ScriptError, match="video frame 21: the recording returns into the middle of a block"):
        render(load(tmp_path / "a"), [], Job("session", tmp_path / "b"), lambda settings: made)
