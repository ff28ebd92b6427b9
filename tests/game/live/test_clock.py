"""The play clock and the block scheduler, on a clock that the test turns."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from game.live.clock import BlockTimes, Pacer, PlayClock


def shown_over(clock: PlayClock, begin: float, end: float, hz: float = 60.0) -> list[int]:
    """The frame shown at each of a display's refreshes."""
    count = round((end - begin) * hz)
    return [clock.advance(begin + i / hz) for i in range(count)]


def test_frames_are_due_at_the_models_rate():
    clock = PlayClock(20.0)
    clock.deliver(20, now=5.0)
    assert clock.due(0) == 5.0 and clock.due(20) == pytest.approx(6.0)
    assert shown_over(clock, 5.0, 6.0) == [i // 3 for i in range(60)]


def test_nothing_is_shown_before_the_first_block():
    clock = PlayClock(20.0)
    assert clock.advance(1.0) is None and clock.next_change(1.0) is None


def test_next_change_is_the_moment_the_next_finished_frame_is_due():
    clock = PlayClock(20.0)
    clock.deliver(2, now=1.0)
    assert clock.advance(1.0) == 0
    assert clock.next_change(1.0) == pytest.approx(1.05)
    assert clock.advance(1.05) == 1
    assert clock.next_change(1.05) is None


def test_a_pause_stops_at_once_and_resumes_between_two_frames_exactly():
    clock = PlayClock(20.0)
    clock.deliver(10, now=0.0)
    assert [clock.advance(0.0), clock.advance(0.05)] == [0, 1]
    clock.pause(0.07)
    assert clock.position(0.07) == clock.position(100.0) == pytest.approx(1.4)
    assert clock.advance(100.0) == 1 and clock.next_change(100.0) is None
    clock.resume(100.0)
    assert clock.due(2) == pytest.approx(100.03)
    assert clock.late_frames == 0


def test_a_picture_that_stands_still_until_the_world_has_begun_anew_is_not_late():
    clock = PlayClock(20.0)
    clock.deliver(2, now=0.0)
    clock.stand_still()
    assert [clock.advance(t) for t in (0.0, 0.05, 0.5)] == [0, 1, 1], "what is there is still shown in time"
    assert clock.deliver(1, now=0.6) == 0.0, "and the machine is not taken for a slow one"
    assert clock.late_frames == 0 and clock.due(2) == 0.6
    clock.deliver(1, now=0.9)
    assert clock.late_frames == 1, "once only"


def test_a_late_frame_holds_the_last_one_is_counted_once_and_moves_the_clock():
    clock = PlayClock(20.0)
    clock.deliver(1, now=0.0)
    clock.advance(0.0)
    assert [clock.advance(t) for t in (0.04, 0.06, 0.3)] == [0, 0, 0]
    assert clock.deliver(1, now=0.32) == pytest.approx(-0.27)
    assert clock.late_frames == 1
    clock.deliver(3, now=0.33)
    assert [clock.advance(0.32 + k * 0.05 + 0.001) for k in range(4)] == [1, 2, 3, 4], "neither skipped nor in a burst"
    assert clock.late_frames == 1


def test_a_frame_in_time_moves_nothing():
    clock = PlayClock(20.0)
    clock.deliver(1, now=0.0)
    assert clock.deliver(1, now=0.03) == pytest.approx(0.02)
    assert clock.due(1) == pytest.approx(0.05) and clock.late_frames == 0


def test_a_window_that_was_away_gets_every_frame_for_its_full_time():
    clock = PlayClock(16.0)
    clock.deliver(12, now=0.0)
    clock.advance(0.0)
    seen = shown_over(clock, 0.5, 2.0)
    assert seen == sorted(seen) and set(seen) == set(range(1, 12))
    assert all(seen.count(frame) >= 3 for frame in range(1, 11))
    assert clock.late_frames == 1


def test_a_change_of_speed_does_not_jump():
    clock = PlayClock(20.0)
    clock.deliver(100, now=0.0)
    before = clock.position(1.0)
    clock.set_speed(0.5, 1.0)
    assert clock.position(1.0) == pytest.approx(before)
    assert clock.position(2.0) == pytest.approx(before + 10.0)


def test_a_pause_while_nothing_is_there_counts_no_late_frame_later():
    pacer = Pacer(20.0)
    pacer.pause(0.0)
    pacer.deliver(1, 1.0, 0.01)
    assert pacer.advance(5.0) == 0
    assert pacer.start_at() is None
    pacer.resume(10.0)
    pacer.deliver(1, 10.01, 0.01)
    assert pacer.live_stats().late_frames == 0


def test_late_blocks_raise_the_slack_and_blocks_in_time_lower_it():
    times = BlockTimes(0.01)
    times.add(0.012, 0.05, spare=0.01)
    quiet = times.head_start()
    times.add(0.012, 0.05, spare=-0.008)
    cautious = times.head_start()
    assert quiet + 0.008 <= cautious <= quiet + 0.015
    for _ in range(1000):
        times.add(0.012, 0.05, spare=0.01)
    assert quiet <= times.head_start() < quiet + 0.001


class Machine:
    """Plays against a pacer in simulated time: an engine with given block times, and a display."""

    def __init__(self, *, fps=20.0, first=1, later=1, step=lambda i: 0.012, settle=0.0, margin=0.012, hz=60.0):
        self.pacer, self.first, self.later, self.step, self.settle = Pacer(fps, margin), first, later, step, settle
        self.hz, self.blocks, self.now = hz, 0, 0.0
        self.starts: list[float] = []
        self.ends: list[int] = []
        self.shown: list[tuple[float, int]] = []
        self._ready: tuple[float, int, float] | None = None  # block in flight: done at, frames, began
        self._free_at = 0.0

    def run(self, seconds: float, tick: float = 0.0005) -> None:
        end, refresh = self.now + seconds, self.now
        while self.now < end:
            self._engine()
            if self.now >= refresh:
                refresh += 1 / self.hz
                frame = self.pacer.advance(self.now)
                if frame is not None and (not self.shown or self.shown[-1][1] != frame):
                    self.shown.append((self.now, frame))
                    self.pacer.displayed(frame, None, self.now)
            self.now += tick

    def _engine(self) -> None:
        if self._ready is not None and self.now >= self._ready[0]:
            _, frames, began = self._ready
            self.pacer.deliver(frames, self.now, self.now - began)
            self._ready, self._free_at = None, self.now + self.settle
            self.pacer.settled(self.now + self.settle - began, self.now)
        start = self.pacer.start_at()
        if self._ready is None and self.now >= self._free_at and start is not None and start <= self.now:
            frames = self.later if self.blocks else self.first
            self._ready = (self.now + self.step(self.blocks), frames, self.now)
            self.starts.append(self.now)
            self.blocks += 1

    def gaps(self, since: float = 0.0) -> list[float]:
        times = [moment for moment, _ in self.shown if moment >= since]
        return [b - a for a, b in pairwise(times)]

    def numbers(self) -> list[int]:
        return [number for _, number in self.shown]


@pytest.mark.parametrize(
    "machine",
    [
        Machine(),
        Machine(fps=16.0, first=9, later=12, step=lambda i: 0.3, settle=0.1),
        Machine(step=lambda i: 0.120),
        Machine(fps=16.0, first=9, later=12, step=lambda i: 1.3, settle=0.3),
        Machine(step=lambda i: 0.4 if i % 37 == 20 else 0.012),
    ],
    ids=["one-frame blocks", "long blocks", "too slow, one frame", "too slow, long blocks", "hiccups"],
)
def test_every_frame_is_shown_once_in_order_and_never_in_a_burst(machine):
    machine.run(12.0)
    assert machine.numbers() == list(range(len(machine.shown)))
    least = 1 / machine.pacer.report(machine.now).fps - 1 / machine.hz
    assert min(machine.gaps()) >= least - 1e-6


def test_a_fast_machine_is_never_late_and_starts_each_block_as_late_as_it_may():
    machine = Machine()
    machine.run(10.0)
    report = machine.pacer.report(machine.now)
    assert report.late_frames == 0 and report.speed == 1.0 and report.slow_words == ""
    assert report.shown_fps == pytest.approx(20.0, rel=0.05)
    assert 8.0 <= report.spare_ms <= 14.0, "the margin, and no more"


def test_a_long_block_starts_its_time_and_the_margin_before_the_frames_run_out():
    machine = Machine(fps=16.0, first=9, later=12, step=lambda i: 0.3, settle=0.05)
    machine.run(10.0)
    assert machine.pacer.live_stats().late_frames == 0
    gaps = [b - a for a, b in pairwise(machine.starts[2:])]
    assert gaps == pytest.approx([0.75] * len(gaps), abs=0.002)
    assert machine.pacer.report(machine.now).spare_ms == pytest.approx(12.0, abs=2.0)


def test_a_noisy_machine_is_late_seldom():
    machine = Machine(step=lambda i: 0.012 + 0.02 * ((i * 7919) % 13 == 0))
    machine.run(20.0)
    assert machine.pacer.live_stats().late_frames <= 4


def test_a_machine_too_slow_plays_evenly_at_what_it_can_and_says_so():
    machine = Machine(step=lambda i: 0.100)
    machine.run(15.0)
    report = machine.pacer.report(machine.now)
    assert 0.40 <= report.speed <= 0.52
    assert "speed" in report.slow_words and "100 ms" in report.slow_words
    late = machine.gaps(since=10.0)
    assert max(late) - min(late) <= 1.5 / machine.hz, "evenly, as far as a display can"
    before = machine.pacer.live_stats().late_frames
    machine.run(10.0)
    assert machine.pacer.live_stats().late_frames - before <= 2


def test_a_machine_that_recovers_plays_at_full_speed_again():
    machine = Machine(step=lambda i: 0.100 if i < 60 else 0.012)
    machine.run(25.0)
    report = machine.pacer.report(machine.now)
    assert report.speed == 1.0 and report.slow_words == ""
    assert report.shown_fps == pytest.approx(20.0, rel=0.05)


def test_never_more_than_one_block_ahead():
    for machine in (Machine(step=lambda i: 0.001), Machine(fps=16.0, first=9, later=12, step=lambda i: 0.001)):
        machine.run(5.0)
        assert machine.pacer.live_stats().lookahead_ms["p95"] <= 1000 * machine.later / machine.pacer.report(5.0).fps


def test_a_window_that_hangs_stops_the_engine():
    pacer = Pacer(20.0)
    for i in range(3):
        pacer.deliver(1, 0.01 * i, 0.01)
    assert pacer.start_at() is None, "nothing was ever shown"
    pacer.advance(0.2)
    pacer.advance(0.3)
    assert pacer.start_at() is not None


def test_the_first_block_starts_at_once():
    assert Pacer(20.0).start_at() == -math.inf


def test_a_restart_forgets_frames_and_keeps_what_blocks_cost():
    machine = Machine()
    machine.run(3.0)
    machine.pacer.restart()
    assert machine.pacer.advance(machine.now) is None and machine.pacer.start_at() == -math.inf
    assert machine.pacer.report(machine.now).block_ms["p50"] == pytest.approx(12.0, abs=1.0)
    assert machine.pacer.live_stats().late_frames == 0


def test_latency_runs_from_the_control_to_its_frame_and_leaves_pauses_out():
    pacer = Pacer(20.0)
    pacer.deliver(3, 0.0, 0.01)
    pacer.displayed(0, 0.96, 1.0)
    pacer.pause(1.0)
    pacer.resume(60.0)
    pacer.displayed(1, 0.99, 60.01)
    pacer.displayed(2, 60.02, 60.08)
    latency = pacer.live_stats().latency_ms
    assert latency["p50"] == pytest.approx(50.0, abs=0.01) and latency["p95"] < 61.0


def test_a_session_without_controls_has_no_latency():
    assert Pacer().live_stats().to_report()["latency_ms"] == {"p50": None, "p95": None}


@pytest.mark.parametrize("hz", [30.0, 60.0, 144.0])
def test_any_display_shows_every_frame_at_its_first_refresh(hz):
    machine = Machine(hz=hz)
    machine.run(10.0)
    assert machine.pacer.report(machine.now).late_frames == 0
    assert machine.numbers() == list(range(len(machine.shown))) and len(machine.shown) >= 195
    period, refresh = 0.05, 1 / hz + 0.0011  # the simulation's own ticks
    assert all(period - refresh <= gap <= period + refresh for gap in machine.gaps(since=1.0))


@pytest.mark.parametrize("steps", [{"step": lambda i: 0.012}, {"first": 9, "later": 12, "step": lambda i: 0.3}])
@pytest.mark.parametrize("wait", [0.0, 0.03, 0.31])
def test_a_laptop_that_slept_goes_on_as_if_nothing_had_been(steps, wait):
    machine = Machine(**steps)
    machine.run(6.0 + wait)
    before, late = machine.pacer.head_start, machine.pacer.report(machine.now).late_frames
    machine.now += 3600.0
    slept = machine.now
    machine.run(8.0)
    assert machine.numbers() == list(range(len(machine.shown)))
    assert min(machine.gaps(since=slept)) >= 0.05 - 1 / machine.hz - 0.001, "no burst"
    assert machine.pacer.report(machine.now).late_frames - late <= 2
    assert len([moment for moment, _ in machine.shown if moment > slept]) >= 8.0 * 20 - 15
    assert machine.pacer.report(machine.now).speed == 1.0
    assert machine.pacer.head_start < before + 0.5


def test_a_clock_that_was_asked_to_be_slower_keeps_to_it():
    machine = Machine(fps=20.0, step=lambda i: 0.060)
    machine.run(3.0)
    machine.pacer.set_pace(0.5, machine.now)
    machine.run(20.0)
    report = machine.pacer.report(machine.now)
    assert (report.speed, report.pace, report.slow_words) == (0.5, 0.5, "")
    assert machine.gaps(since=6.0) == pytest.approx([0.1] * len(machine.gaps(since=6.0)), abs=0.02)
    machine.step = lambda i: 0.012
    machine.pacer.set_pace(1.0, machine.now)
    machine.run(8.0)
    assert machine.pacer.report(machine.now).speed == 1.0


def test_a_lowered_pace_is_taken_back_once_the_machine_has_kept_up_for_a_while():
    machine = Machine(fps=20.0, step=lambda i: 0.080)
    machine.run(3.0)
    machine.pacer.set_pace(0.5, machine.now)
    machine.run(15.0)
    assert machine.pacer.pace == 0.5, "it could not have"
    machine.step = lambda i: 0.020
    machine.run(4.0)
    assert machine.pacer.pace == 0.5, "not at once: it may not last"
    machine.run(8.0)
    assert machine.pacer.pace == 1.0 and machine.pacer.report(machine.now).slow_words == ""
    machine.run(8.0)
    assert machine.pacer.report(machine.now).speed == 1.0


def test_a_pace_that_had_to_be_lowered_again_is_trusted_more_slowly():
    machine = Machine(fps=20.0, step=lambda i: 0.020)
    waited = []
    for _ in range(3):
        machine.run(2.0)
        machine.pacer.set_pace(0.5, machine.now)
        began = machine.now
        while machine.pacer.pace < 1.0:
            machine.run(0.5)
        waited.append(machine.now - began)
    assert waited[0] >= 6.0 and waited[1] > 1.5 * waited[0] and waited[2] > 1.5 * waited[1]


def test_another_model_begins_at_full_speed_with_nothing_learned_from_the_one_before():
    machine = Machine(fps=20.0, step=lambda i: 0.200)
    machine.run(5.0)
    machine.pacer.set_pace(0.2, machine.now)
    machine.pacer.begin_model(16.0)
    report = machine.pacer.report(machine.now)
    assert (report.fps, report.speed, report.pace, report.slow_words) == (16.0, 1.0, 1.0, "")
    assert report.recent_ms == () and report.late_frames == 0


def test_a_cut_keeps_the_figures_and_a_new_recording_begins_them_anew():
    machine = Machine(step=lambda i: 0.4 if i == 40 else 0.012)
    machine.run(5.0)
    late = machine.pacer.report(machine.now).late_frames
    machine.pacer.cut()
    assert machine.pacer.report(machine.now).late_frames == late > 0
    assert machine.pacer.start_at() == -math.inf
    machine.pacer.new_figures()
    assert machine.pacer.report(machine.now).late_frames == 0


def test_frames_that_only_the_window_was_late_for_are_told_apart():
    clock = PlayClock(20.0)
    clock.deliver(10, now=0.0)
    clock.advance(0.0)
    clock.advance(0.2)
    assert (clock.late_frames, clock.undrawn_frames) == (1, 1)
    clock.pause(0.3)
    clock.resume(0.4)
    slow = PlayClock(20.0)
    slow.deliver(1, now=0.0)
    slow.deliver(1, now=0.2)
    assert (slow.late_frames, slow.undrawn_frames) == (1, 0)
