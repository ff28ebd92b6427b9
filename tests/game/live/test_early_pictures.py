"""Pictures of a block that are handed out while the rest of it is decoded: when, in what order, what may happen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from game.live.clock import Pacer
from game.live.player import State
from game.live.status import Picture
from tests.game.fakes import FakeRecorder, FakeWorld, read_frame
from tests.game.live.stage import TICK, Stage
from tests.game.live.test_clock import Machine

LATENT = 4  # video frames of a latent frame
LONG = {"first": 9, "later": 12, "part": LATENT, "fps": 25.0, "width": 32, "height": 16}


class Decoding(Machine):
    """Makes a block's frames latent frame by latent frame. denoise, decode: seconds of a block, and of each part."""

    def __init__(
        self, *, denoise: float, decode: Callable[[int], float], early: bool = True, fps: float = 25.0
    ) -> None:
        super().__init__(fps=fps, first=9, later=12)
        self.denoise, self.decode, self.early = denoise, decode, early
        self.head_starts: list[float] = []  # before the frames there were would have run out, blocks began
        self._parts: list[tuple[float, int]] = []  # still to come: when, how many frames
        self._whole, self._began = 0, 0.0

    def _engine(self) -> None:
        while self._parts and self.now >= self._parts[0][0]:
            _, frames = self._parts.pop(0)
            seconds = self.now - self._began
            if self._parts and self.early:
                self.pacer.hand_over(frames, self._whole, self.now, seconds)
            elif not self._parts:
                self.pacer.deliver(self._whole, self.now, seconds)
                self.pacer.settled(seconds, self.now)
        start = self.pacer.start_at()
        if not self._parts and start is not None and start <= self.now:
            clock = self.pacer._clock
            if clock.end:
                self.head_starts.append(clock.due(clock.end) - self.now)
            self._whole, self._began = (12 if self.blocks else 9), self.now
            at = self.now + self.denoise
            for i in range(3):
                at += self.decode(self.blocks)
                self._parts.append((at, 1 if i == 0 and not self.blocks else LATENT))
            self.blocks += 1


def machine(kind: str, early: bool) -> Decoding:
    decode = {
        "quick": lambda block: 0.06,
        "noisy": lambda block: 0.03 + 0.09 * (block * 7919 % 5 == 0),
        "decoder as slow as the clock": lambda block: 0.15,
        "too slow": lambda block: 0.5,
        "hiccup": lambda block: 0.9 if block == 9 else 0.05,
    }[kind]
    return Decoding(denoise=0.02 if kind.startswith("decoder") else 0.12, decode=decode, early=early)


KINDS = ["quick", "noisy", "decoder as slow as the clock", "too slow", "hiccup"]


def test_a_block_starts_as_late_as_its_first_pictures_allow():
    whole, early = machine("quick", False), machine("quick", True)
    for made in (whole, early):
        made.run(10.0, 0.001)
        assert made.pacer.live_stats().late_frames == 0
    assert whole.head_starts[-1] == pytest.approx(0.12 + 3 * 0.06 + 0.012, abs=0.002)
    assert early.head_starts[-1] == pytest.approx(0.12 + 0.06 + 0.012, abs=0.002)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_shown_once_in_order_never_early_and_none_is_late_for_it(kind):
    whole, early = machine(kind, False), machine(kind, True)
    for made in (whole, early):
        while len(made.shown) < (60 if kind == "too slow" else 130):
            made.run(0.05, 0.002)
        assert made.numbers() == list(range(len(made.shown)))
        assert min(made.gaps()) >= 1 / 25.0 - 1 / made.hz - 1e-6
    if kind == "too slow":  # late in any case: no picture of it is shown later than it would be
        pairs = zip(early.shown, whole.shown, strict=False)
        assert max(ours - theirs for (ours, _), (theirs, _) in pairs) <= 1 / early.hz
    else:
        assert early.pacer.live_stats().late_frames <= whole.pacer.live_stats().late_frames
    assert early.now <= whole.now + 0.15


def test_pictures_wait_for_the_rest_while_nothing_is_known_of_how_long_it_takes():
    pacer = Pacer(25.0)
    assert pacer.hand_over(1, 9, 0.2, 0.2) is None and pacer.hand_over(4, 9, 0.4, 0.4) is None
    assert pacer.advance(0.5) is None
    assert pacer.deliver(9, 0.6, 0.6) == 0
    assert pacer.advance(0.6) == 0
    for block in range(1, 4):
        at, first = 1.0 * block, 9 + 12 * (block - 1)
        given = pacer.hand_over(4, 12, at, 0.2), pacer.hand_over(4, 12, at + 0.05, 0.25)
        assert given == ((None, None) if block == 1 else (first, first + 4))
        assert pacer.deliver(12, at + 0.1, 0.3) == first


def test_pictures_that_are_late_wait_as_long_as_those_after_them_need():
    pacer = Pacer(25.0)
    pacer.deliver(9, 0.0, 0.5)
    for block in range(2):  # a latent frame every half second, which plays for 0.16 s
        at = 10.0 * (block + 1)
        pacer.hand_over(4, 12, at, 1.0)
        pacer.hand_over(4, 12, at + 0.5, 1.5)
        pacer.deliver(12, at + 1.0, 2.0)
        for tick in range(2000):
            pacer.advance(at + 1.0 + tick / 250)
    late = pacer.live_stats().late_frames
    assert pacer.hand_over(4, 12, 40.0, 1.0) is not None
    shown = pacer.advance(40.0)
    assert pacer.advance(40.0 + 1.0 - 0.32 - 0.001) == shown, "it would run out of pictures"
    assert pacer.next_change(40.0) == pytest.approx(40.0 + 1.0 - 0.32)
    pacer.hand_over(4, 12, 40.5, 1.5)
    pacer.deliver(12, 41.0, 2.0)
    for tick in range(500):
        pacer.advance(40.0 + tick / 250)
    assert pacer.live_stats().late_frames == late + 1, "the block was, and no picture in its middle"


class Watching(Stage):
    """A stage whose window looks while the world works, as another thread would."""

    def __init__(self, *args, **others) -> None:
        super().__init__(*args, **others)
        self.seen_at: list[float] = []
        self._later: tuple[int, list[Callable[[], object]]] = (0, [])

    def look(self) -> None:
        before = len(self.seen)
        super().look()
        self.seen_at += [self.clock()] * (len(self.seen) - before)

    def while_decoding(self, *doings: Callable[[], object]) -> None:
        """Has things done when the first pictures of a block are on the window and others are being decoded."""
        self._in_flight = list(doings)
        assert self.look_until(lambda: not self._in_flight)

    def _work(self, seconds: float) -> None:
        end = self.clock() + seconds
        while self.clock() < end:
            self.look()
            if self._in_flight and self._half_shown():
                doings, self._in_flight = self._in_flight, []
                for doing in doings:
                    doing()
            self.clock.pass_by(TICK)

    def _half_shown(self) -> bool:
        newest = self.worker._mailbox._newest
        return newest is not None and not newest.whole and self.seen[-1].moment == newest.id


def watching(stages, *, early: bool = True, recorder: FakeRecorder | None = None, **changes) -> Watching:
    world = FakeWorld(**{**LONG, "step_seconds": 0.04, "decode_seconds": 0.1, **changes})
    make = None if recorder is None else (lambda *args: recorder)
    stage = Watching(world, make_recorder=make)
    stages.append(stage)
    if not early:
        stage.worker._mailbox.hand_over = lambda *part: None
    stage.plays(60)
    return stage


@pytest.fixture
def stages():
    made: list[Watching] = []
    yield made
    for stage in made:
        assert stage.worker.shutdown(60.0)


def pictures(seen: list[Picture]) -> list[int]:
    return [read_frame(one.pixels)[0] for one in seen if one.number is not None]


def test_a_key_is_answered_sooner_and_the_pictures_are_the_same(stages):
    latencies, seen = {}, {}
    for early in (False, True):
        stage = watching(stages, early=early)
        for _ in range(6):
            stage.controls.press("w", stage.clock())
            stage.pass_by(0.31)
            stage.controls.release("w", stage.clock())
            stage.pass_by(0.2)
        latencies[early] = stage.worker.figures(stage.clock()).pace.latency_ms["p50"]
        assert stage.worker.figures(stage.clock()).pace.late_frames == 0
        seen[early] = pictures(stage.seen)
    assert latencies[True] < latencies[False] - 150, "two latent frames of 100 ms each are decoded later"
    assert all(numbers == list(range(len(numbers))) for numbers in seen.values())


def test_no_picture_is_shown_before_its_time_and_all_of_them_in_the_recording_are_the_same(stages):
    recorder = FakeRecorder()
    stage = watching(stages, recorder=recorder)
    stage.plays(100)
    times = [at for picture, at in zip(stage.seen, stage.seen_at, strict=True) if picture.number is not None]
    assert min(np.diff(times)) >= 1 / 25.0 - 2 * TICK
    recorded = np.concatenate([played.frames for played in recorder.blocks])
    shown = [picture for picture in stage.seen if picture.number is not None]
    assert [len(played.frames) for played in recorder.blocks][:3] == [9, 12, 12]
    for picture in shown[: len(recorded)]:
        np.testing.assert_array_equal(picture.pixels, recorded[picture.number])
    told = [action.keys for played in recorder.blocks for action in played.actions]
    assert [picture.control.keys for picture in shown][: len(told)] == told[: len(shown)]


def test_a_failure_while_a_block_is_decoded_keeps_what_is_whole(stages):
    recorder = FakeRecorder()
    stage = watching(stages, recorder=recorder)
    stage.world.fail_in = frozenset({stage.world.steps})
    assert stage.look_until(lambda: stage.state() is State.FAILED)
    assert "told to fail" in stage.worker.status.words
    assert recorder.closed and [len(played.frames) for played in recorder.blocks][1:] == [12] * (
        len(recorder.blocks) - 1
    )
    last, recorded = stage.seen[-1], sum(len(played.frames) for played in recorder.blocks)
    assert last.number is None, "a still of nothing that goes on"
    assert max(pictures(stage.seen)) >= recorded - 12
    stage.worker.reset()
    stage.seen.clear()
    stage.plays(40)
    assert pictures(stage.seen)[:3] == [0, 1, 2]


def test_what_is_saved_while_a_block_is_decoded_is_returned_to(stages):
    stage = watching(stages)
    on_window = []

    def save() -> None:
        on_window.append(read_frame(stage.seen[-1].pixels)[0])
        stage.worker.save()

    stage.while_decoding(save)
    stage.plays(40)
    stage.worker.load()
    stage.seen.clear()
    stage.plays(20)
    end = 9 + (on_window[0] - 9) // 12 * 12 + 12
    assert pictures(stage.seen)[:5] == list(range(end, end + 5)), "from the end of the block that was on the window"


def test_a_rewind_in_the_middle_of_a_block_begins_with_the_picture_on_the_window(stages):
    recorder = FakeRecorder()
    stage = watching(stages, recorder=recorder)
    here: list[int] = []
    before = 0

    def rewind() -> None:
        nonlocal before
        here.append(read_frame(stage.seen[-1].pixels)[0])
        before = len(stage.seen)
        stage.worker.rewind(stage.clock())

    stage.while_decoding(rewind)
    stage.pass_by(0.3)
    back = [read_frame(picture.pixels)[0] for picture in stage.seen[before:]]
    assert here[0] >= back[0] >= here[0] - 1 and back == list(range(back[0], back[-1] - 1, -1)) and len(back) > 8
    stage.worker.let_go(stage.clock())
    stage.seen.clear()
    stage.plays(14)
    first = pictures(stage.seen)[0]
    assert (first - 9) % 12 == 0 and first <= back[-1] + 1
    whole = [played.first_frame + len(played.frames) for played in recorder.blocks]
    assert here[0] < max(whole), "what was seen of the block is in the recording, with the rest of it"


def test_letting_go_at_once_goes_on_from_before_the_block_that_was_half_there(stages):
    stage = watching(stages)
    here = []

    def tap() -> None:
        here.append(read_frame(stage.seen[-1].pixels)[0])
        stage.worker.rewind(stage.clock())
        stage.worker.let_go(stage.clock())
        stage.seen.clear()

    stage.while_decoding(tap)
    stage.plays(5)
    assert pictures(stage.seen)[0] == 9 + (here[0] - 9) // 12 * 12


@pytest.mark.parametrize("order", ["change_scene", "reset", "other_world", "load"])
def test_a_block_that_was_half_seen_when_its_world_was_left_is_in_the_recording(stages, order):
    made: list[FakeRecorder] = []

    def recorder(*args) -> FakeRecorder:
        made.append(FakeRecorder())
        return made[-1]

    stage = Watching(FakeWorld(**LONG, step_seconds=0.05, decode_seconds=0.12), make_recorder=recorder)
    stages.append(stage)
    stage.plays(30)
    stage.worker.change_scene()
    stage.plays(30)
    stage.worker.save()
    stage.plays(30)
    number, here = len(made) - 1, []
    stage.while_decoding(
        lambda: here.append(read_frame(stage.seen[-1].pixels)[0]), lambda: getattr(stage.worker, order)()
    )
    stage.plays(20)
    assert here[0] in range(*_range(made[number].blocks[: _until(made[number], here[0])]))
    assert stage.state() is State.PLAYING


def _until(recorder: FakeRecorder, frame: int) -> int:
    """Number of blocks up to the first that holds a frame, with it."""
    holds = [played.first_frame <= frame < played.first_frame + len(played.frames)
             for played in recorder.blocks]  # fmt: skip
    return holds.index(True) + 1


def _range(blocks: list) -> tuple[int, int]:
    return blocks[0].first_frame, blocks[-1].first_frame + len(blocks[-1].frames)


def test_a_pause_in_the_middle_of_a_block_stops_and_goes_on_without_a_gap(stages):
    stage = watching(stages)
    stage.while_decoding(lambda: stage.worker.pause(stage.clock()))
    stood = stage.seen[-1]
    stage.pass_by(2.0)
    assert stage.seen[-1] is stood
    late = stage.worker.figures(stage.clock()).pace.late_frames
    stage.worker.resume(stage.clock())
    stage.plays(40)
    numbers = pictures(stage.seen)
    assert numbers == list(range(len(numbers)))
    assert stage.worker.figures(stage.clock()).pace.late_frames == late


def test_a_world_that_is_played_for_somebody_elsewhere_hands_whole_blocks_over():
    from game.live.status import Habits, MomentId, Status
    from game.remote.seat import AskedMailbox, Requests

    woken: list[int] = []
    box = AskedMailbox(Requests(), lambda: 1.0, lambda: woken.append(1), Status(), Habits())
    box.hand_over(np.zeros((4, 8, 8, 3), np.uint8), None, [], MomentId(1, 2), 0.1, box.epoch)
    assert not box.made() and not woken
