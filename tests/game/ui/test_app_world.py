"""What a person does to the world by its keys, seen in the window."""

from __future__ import annotations

import pygame

from game.live.status import State
from tests.game.fakes import FakeRecorder, FakeWorld, read_frame


def number(p) -> int:
    """Number of the frame on the window."""
    return read_frame(p.app.drawn.picture.pixels)[0]


def test_holding_the_rewind_key_runs_time_backwards_and_letting_go_goes_on_from_there(player):
    def script(p):
        yield lambda: p.shown >= 80
        late = number(p)
        p.press(pygame.K_BACKSPACE)
        yield lambda: p.app.drawn.status.rewinding and p.app.drawn.picture.behind_s > 1.0
        here = number(p)
        p.release(pygame.K_BACKSPACE)
        yield lambda: not p.app.drawn.status.rewinding
        assert number(p) < late
        yield lambda: number(p) > here

    assert player(script, FakeWorld(fps=40.0), keys_shown=True).play() == 0


def test_looking_elsewhere_ends_a_rewind(player):
    def script(p):
        yield lambda: p.shown >= 30
        p.press(pygame.K_BACKSPACE)
        yield lambda: p.app.drawn.status.rewinding
        pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
        yield lambda: not p.app.drawn.status.rewinding

    assert player(script, keys_shown=True).play() == 0


def test_a_saved_world_is_returned_to_by_its_key(player):
    def script(p):
        yield lambda: p.shown >= 5
        p.tap(pygame.K_F5)
        yield lambda: p.app.drawn.status.saved
        saved = p.shown
        yield lambda: p.shown > saved + 20
        late = number(p)
        p.tap(pygame.K_F9)
        yield lambda: number(p) < late - 5

    assert player(script, keys_shown=True).play() == 0


def test_tab_goes_to_the_world_before_and_back(player):
    def script(p):
        yield lambda: p.shown >= 5
        p.tap(pygame.K_TAB)
        yield lambda: "no world before" in p.app.drawn.remark
        p.tap(pygame.K_n)
        yield lambda: p.app.drawn.status.scene == "court" and p.app.drawn.status.other_world == "hall"
        for scene in ("hall", "court"):
            p.tap(pygame.K_TAB)
            yield lambda scene=scene: p.app.drawn.status.scene == scene
        assert len(p.world.rollouts) == 2, "no world was begun anew"

    assert player(script, keys_shown=True).play() == 0


def test_recording_is_switched_by_its_key_and_seen(player):
    recorder = FakeRecorder()

    def script(p):
        yield lambda: p.shown >= 3 and p.app.drawn.status.recording
        p.tap(pygame.K_F6)
        yield lambda: not p.app.drawn.status.recording
        kept = len(recorder.blocks)
        before = p.shown
        yield lambda: p.shown > before + 5
        assert len(recorder.blocks) == kept

    assert player(script, recorder=recorder, keys_shown=True).play() == 0


def test_a_machine_too_slow_is_told_in_words_with_a_key_that_helps(player):
    world = FakeWorld(fps=50.0, step_seconds=0.05)

    def script(p):
        yield lambda: p.app.drawn.advice is not None and p.app.drawn.advice.suggestion is not None
        assert "would be in time" in p.app.drawn.advice.words and p.app.drawn.ease == "F4"
        p.tap(pygame.K_F4)
        yield lambda: p.app.player.status.pace < 1.0

    assert player(script, world, keys_shown=True).play() == 0


def test_commands_while_the_engine_loads_or_has_failed_break_nothing(player):
    keys = (pygame.K_BACKSPACE, pygame.K_F5, pygame.K_F9, pygame.K_TAB, pygame.K_g, pygame.K_F6, pygame.K_F12,
            pygame.K_F3, pygame.K_F4, pygame.K_p, pygame.K_p, pygame.K_ESCAPE, pygame.K_ESCAPE)  # fmt: skip

    def script(p):
        for key in keys:
            p.tap(key)
        yield lambda: p.state is State.FAILED
        for key in keys:
            p.tap(key)
            yield
        p.tap(pygame.K_r)
        yield lambda: p.state is State.PLAYING and p.shown >= 2

    assert player(script, FakeWorld(fps=100.0, fail_at=frozenset({0}))).play() == 0


def test_a_screenshot_is_kept_and_said(player):
    from game.config.preferences import config_folder

    def script(p):
        yield lambda: p.shown >= 2
        p.tap(pygame.K_F12)
        yield lambda: "Screenshot" in p.app.drawn.remark
        assert len(list((config_folder() / "shots").glob("*.png"))) == 1

    assert player(script, keys_shown=True).play() == 0
