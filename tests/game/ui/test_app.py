"""The window's loop against a fake world: SDL's dummy display, synthetic events, no engine in the window."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # before pygame: these tests want no window on anybody's screen

import numpy as np
import pygame
import pytest

from engine.errors import CheckpointError, InputError
from game.live.status import State
from game.ui.app import play
from game.ui.window import Window
from tests.game.fakes import FakeRecorder, FakeWorld, players
from tests.game.player import settings

ROOT = Path(__file__).resolve().parents[3]


def test_it_plays_and_closes_by_itself_after_the_seconds_asked_for():
    world = FakeWorld(fps=50.0)
    assert play(settings(seconds=0.3), players(lambda progress: world)) == 0
    assert world.steps >= 5


def test_a_key_pressed_in_the_window_reaches_the_model_and_its_latency_is_measured(player):
    def script(p):
        yield lambda: p.shown >= 2
        p.press(pygame.K_w)
        yield lambda: (("W",), (0.0, 0.0)) in p.world.taken
        p.release(pygame.K_w)
        before = p.world.steps
        yield lambda: p.shown > before + 1
        assert p.world.taken[-1][0] == ()
        assert p.app.player.figures(time.perf_counter()).pace.latency_ms is not None

    assert player(script).play() == 0


def test_pause_holds_the_picture_and_goes_on(player):
    def script(p):
        yield lambda: p.shown >= 2
        p.tap(pygame.K_p)
        yield lambda: p.app.player.paused
        for _ in range(5):  # what was due before it may still come
            yield
        held = p.shown
        for _ in range(5):
            yield
        assert p.shown == held
        p.tap(pygame.K_p)
        yield lambda: p.shown >= held + 2

    assert player(script).play() == 0


def test_r_starts_the_world_anew_and_n_the_next_scene(player):
    def script(p):
        yield lambda: p.shown >= 2
        p.tap(pygame.K_r)
        yield lambda: len(p.world.rollouts) == 2 and p.shown >= 2
        p.tap(pygame.K_n)
        yield lambda: p.app.player.status.scene == "court" and p.shown >= 1

    assert player(script).play() == 0


def test_the_mouse_turns_the_view_only_while_it_is_captured_and_escape_gives_it_back(player):
    def motion():
        pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, rel=(30, 0), pos=(0, 0), buttons=(0, 0, 0)))

    def script(p):
        yield lambda: p.shown >= 1
        motion()
        before = p.world.steps
        yield lambda: p.world.steps > before + 3
        assert all(mouse == (0.0, 0.0) for _, mouse in p.world.taken)
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(9, 9)))
        yield lambda: p.app.window.captured
        motion()
        yield lambda: any(mouse[1] == pytest.approx(0.05) for _, mouse in p.world.taken)
        p.press(pygame.K_w)
        yield lambda: p.world.taken[-1][0] == ("W",)
        p.tap(pygame.K_ESCAPE)
        yield lambda: not p.app.window.captured and p.app.menu.is_open
        p.release(pygame.K_w)
        p.tap(pygame.K_ESCAPE)
        yield lambda: p.app.window.captured and not p.app.menu.is_open
        yield lambda: p.world.taken[-1][0] == ()

    assert player(script).play() == 0


def test_a_pause_lends_the_mouse_to_the_person_and_takes_it_back(player):
    def click():
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(9, 9)))

    def script(p):
        yield lambda: p.shown >= 1
        click()
        yield lambda: p.app.window.captured and "Esc" in p.app.drawn.remark
        p.tap(pygame.K_p)
        yield lambda: p.app.player.paused
        assert not p.app.window.captured
        click()
        p.press(pygame.K_w)
        yield
        yield
        assert not p.app.window.captured, "a paused world has no use for it"
        p.tap(pygame.K_p)
        yield lambda: p.app.window.captured and not p.app.player.paused
        p.tap(pygame.K_p)
        yield lambda: p.app.player.paused
        p.tap(pygame.K_ESCAPE)  # as the pause's card says
        yield lambda: p.app.menu.is_open
        p.tap(pygame.K_ESCAPE)
        yield lambda: not p.app.menu.is_open
        assert p.app.player.paused, "it was paused before the menu came"

    assert player(script).play() == 0


def test_a_failure_gives_the_mouse_back(player):
    def script(p):
        yield lambda: p.shown >= 1
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(9, 9)))
        yield lambda: p.app.window.captured
        p.world.fail_at = frozenset(range(10_000))
        yield lambda: p.state is State.FAILED and not p.app.window.captured
        p.quit_by_menu()
        yield p.closes

    assert player(script).play() == 1


def test_losing_the_focus_releases_keys_and_mouse(player):
    def script(p):
        yield lambda: p.shown >= 1
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(9, 9)))
        p.press(pygame.K_w)
        yield lambda: p.world.taken[-1][0] == ("W",) and p.app.window.captured
        pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
        yield lambda: p.world.taken[-1][0] == () and not p.app.window.captured

    assert player(script).play() == 0


def test_every_key_is_answered_while_a_block_takes_seconds(player):
    gate = threading.Event()
    world = FakeWorld(fps=16.0, first=9, later=12, step_seconds=1.0, sleep=lambda seconds: gate.wait(60.0))

    def script(p):
        yield lambda: world.steps == 1
        for key, answered in (
            (pygame.K_p, lambda: p.app.player.paused),
            (pygame.K_F3, lambda: p.app.commands.show_numbers),
        ):
            p.tap(key)
            yield answered
        assert world.rollouts[0].blocks_done == 0, "all the while the first block was not finished"
        gate.set()

    assert player(script, world).play() == 0


def test_what_a_world_tells_of_while_it_plays_is_on_the_window(player):
    tell: list = []
    world = FakeWorld(fps=100.0, sleep=lambda seconds: tell[0]("Compiling the passes (1 of 3), 4 s", 0.0))

    def open_world(progress):
        tell.append(progress)
        return world

    def script(p):
        yield lambda: p.shown >= 5 and p.app.drawn.remark == "Compiling the passes (1 of 3), 4 s"
        assert p.state is State.PLAYING

    assert player(script, world, open_world=open_world).play() == 0


def test_nothing_of_the_engine_runs_in_the_windows_thread(player):
    where: set[str] = set()
    world = FakeWorld(fps=100.0, sleep=lambda seconds: where.add(threading.current_thread().name))

    def open_world(progress):
        where.add(threading.current_thread().name)
        return world

    def script(p):
        yield lambda: p.shown >= 5

    made = player(script, world, open_world=open_world)
    assert made.play() == 0
    assert where == {"engine"} and "engine" not in made.threads


def test_a_failing_engine_is_told_in_words_and_r_restarts_it(player):
    def script(p):
        yield lambda: p.state is State.FAILED
        assert "told to fail" in p.app.player.status.words
        yield lambda: p.app.drawn.status.state is State.FAILED
        p.tap(pygame.K_r)
        yield lambda: p.state is State.PLAYING and p.shown >= 3

    assert player(script, FakeWorld(fps=100.0, fail_at=frozenset({3}))).play() == 0


def test_leaving_on_a_failure_says_why_and_exits_with_its_code(player, capsys):
    def script(p):
        yield lambda: p.state is State.FAILED
        p.quit_by_menu()
        yield p.closes

    def open_world(progress):
        raise CheckpointError("no weights", got="nothing")

    assert player(script, open_world=open_world).play() == 2
    assert capsys.readouterr().err == "game: no weights; got nothing\n"
    assert player(script, FakeWorld(fail_at=frozenset({0}))).play() == 1


def test_closing_the_window_keeps_what_was_recorded(player):
    def script(p):
        yield lambda: p.shown >= 3
        pygame.event.post(pygame.event.Event(pygame.QUIT))
        yield p.closes

    recorder = FakeRecorder()
    assert player(script, recorder=recorder).play() == 0
    assert recorder.stats is not None and len(recorder.blocks) >= 4 and recorder.threads == {"engine"}


def test_control_c_ends_well(player):
    def script(p):
        yield lambda: p.shown >= 1
        raise KeyboardInterrupt

    recorder = FakeRecorder()
    assert player(script, recorder=recorder).play() == 0
    assert recorder.stats is not None


@pytest.mark.parametrize("size", [(640, 400), (1280, 720), (320, 200), (200, 600)])
@pytest.mark.parametrize("mode", ["universal", "templerun"])
def test_every_state_can_be_drawn_at_any_size(player, size, mode):
    drawn: set[tuple] = set()

    def script(p):
        p.press(pygame.K_F3)
        yield lambda: p.shown >= 3
        drawn.add(surface_of(p))
        p.tap(pygame.K_p)
        yield lambda: p.app.drawn.paused
        drawn.add(surface_of(p))
        p.tap(pygame.K_p)
        yield lambda: p.state is State.FAILED and p.app.drawn.status.state is State.FAILED
        drawn.add(surface_of(p))

    def surface_of(p) -> tuple:
        pixels = pygame.surfarray.array3d(p.app.window.surface)
        assert pixels.shape[:2] == size and pixels.std() > 5
        return (pixels.tobytes(),)

    world = FakeWorld(mode=mode, fps=100.0, fail_at=frozenset({30}), error=RuntimeError("no memory left " * 30))
    assert player(script, world, size=size).play() == 1
    assert len(drawn) == 3


def test_the_picture_keeps_its_aspect_and_its_colours(player):
    def script(p):
        yield lambda: p.shown >= 1
        pixels = pygame.surfarray.array3d(p.app.window.surface).swapaxes(0, 1)
        picture = p.app.drawn.picture.pixels
        top = (600 - round(400 * 80 / 144)) // 2
        assert (pixels[: top - 1] == pixels[0, 0]).all() and (pixels[-top + 1 :] == pixels[0, 0]).all()
        inside = pixels[top : top + round(400 * 80 / 144)]
        assert np.abs(inside[80:120, 150:250].mean((0, 1)) - picture[29:43, 54:90].mean((0, 1))).max() < 8

    assert player(script, size=(400, 600), icons="off", keys_shown=True).play() == 0


def test_full_screen_and_back_keeps_playing(player):
    def script(p):
        yield lambda: p.shown >= 1
        p.tap(pygame.K_F11)
        yield lambda: p.app.window.full_screen
        before = p.shown
        yield lambda: p.shown > before + 2
        p.tap(pygame.K_F11)
        yield lambda: not p.app.window.full_screen
        assert p.app.window.surface.get_size() == (640, 400)

    assert player(script).play() == 0


def test_without_a_display_one_line_points_to_headless(monkeypatch):
    def refuse(*args, **kwargs):
        raise pygame.error("No available video device")

    monkeypatch.setattr(pygame.display, "set_mode", refuse)
    with pytest.raises(InputError, match=r"No available video device.*--headless"):
        play(settings(), players(lambda progress: FakeWorld()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there always is a display")
@pytest.mark.parametrize("display", [None, "", ":12345"])
def test_sdl_does_not_play_to_nobody_where_there_is_no_display(display):
    play = "a.play(a.PlaySettings(seconds=0.1), 1)"
    code = f"import game.ui.app as a, tests.game.fakes as f; {play}"
    unset = ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {} if display is None else {"DISPLAY": display}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "InputError: no window can be opened here" in done.stderr and "--headless" in done.stderr


def test_the_window_is_imported_without_torch_or_cv2():
    code = (
        "import sys, game.ui.app; print([m for m in ('torch', 'cv2', 'hydra', 'imageio_ffmpeg') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_key_help_names_the_keys_of_each_mode_as_they_are_bound(player):
    def script(p):
        yield lambda: p.shown >= 1
        commands = p.app.commands
        commands.change(commands=commands.preferences.commands | {"pause": ("f1",), "rewind": ()})
        for mode in ("universal", "gta_drive", "templerun"):
            lines = {line.words: line.caps for line in commands.first_keys(mode)}
            assert lines["pause"] == ("F1",) and not any("rewind" in words for words in lines)

    assert player(script).play() == 0


def test_the_bar_moves_while_nobody_knows_how_long_loading_takes_and_then_shows_the_share(player):
    gates = threading.Event(), threading.Event()
    world = FakeWorld(fps=100.0)

    def open_world(progress):
        progress("starting torch", 0.0)
        gates[0].wait(60.0)
        progress("loading weights", 0.5)
        gates[1].wait(60.0)
        return world

    def script(p):
        beats: set[int] = set()
        yield lambda: beats.add(p.app.drawn.beat) or len(beats) >= 4
        gates[0].set()
        yield lambda: p.app.drawn.status.progress == 0.5 and p.app.drawn.beat == 0
        gates[1].set()
        yield lambda: p.shown >= 1 and p.app.drawn.beat == 0

    assert player(script, world, open_world=open_world).play() == 0


def wheel(steps: int) -> None:
    pygame.event.post(pygame.event.Event(pygame.MOUSEWHEEL, x=0, y=steps, which=0, flipped=False))


def test_a_notch_of_the_wheel_is_a_press_of_one_frame(player):
    def script(p):
        yield lambda: p.shown >= 1
        commands = p.app.commands
        table = commands.preferences.controls["universal"] | {"W": ("w", "wheel up")}
        commands.change(controls={**commands.preferences.controls, "universal": table})
        wheel(-1)
        wheel(1)
        yield lambda: any(keys == ("W",) for keys, _ in p.world.taken)
        yield lambda: p.world.taken[-1][0] == ()
        told = p.world.steps
        yield lambda: p.world.steps > told + 10
        pressed = [keys for keys, _ in p.world.taken].count(("W",))
        assert 1 <= pressed <= 12, "until the loop comes round again, 0.05 s at most; and once"

    assert player(script).play() == 0


def test_notches_of_the_wheel_rewind_and_each_gives_its_command_once(player):
    def script(p):
        yield lambda: p.shown >= 30
        commands = p.app.commands
        commands.change(
            commands=commands.preferences.commands | {"rewind": ("wheel down",), "next_scene": ("wheel up",)}
        )
        wheel(-3)
        yield lambda: "restore" in p.world.log and not p.app.drawn.status.rewinding
        wheel(3)
        yield lambda: len(p.world.rollouts) >= 2 and p.app.player.status.scene == "court" and p.shown >= 1
        assert not p.app.router.notches or p.state is State.PLAYING

    assert player(script, keys_shown=True).play() == 0


def test_opening_the_menu_lets_go_of_the_wheel(player):
    def script(p):
        yield lambda: p.shown >= 30
        commands = p.app.commands
        commands.change(commands=commands.preferences.commands | {"rewind": ("wheel down",)})
        wheel(-50)
        p.tap(pygame.K_ESCAPE)
        yield lambda: p.app.menu.is_open
        assert not p.app.router.notches and not p.app.player.status.rewinding

    assert player(script, keys_shown=True).play() == 0


def test_all_can_be_done_without_a_mouse(player, monkeypatch):
    def refused(self):
        raise pygame.error("the pointer cannot be taken here")

    monkeypatch.setattr(Window, "capture", refused)
    looks = {
        pygame.K_UP: (0.1, 0.0),
        pygame.K_DOWN: (-0.1, 0.0),
        pygame.K_LEFT: (0.0, -0.1),
        pygame.K_RIGHT: (0.0, 0.1),
    }

    def script(p):
        yield lambda: p.shown >= 1
        p.press(pygame.K_w)
        for key, look in looks.items():
            p.press(key)
            yield lambda look=look: p.world.taken[-1] == (("W",), pytest.approx(look))
            p.release(key)
        p.release(pygame.K_w)
        p.tap(pygame.K_p)
        yield lambda: p.app.player.paused
        p.tap(pygame.K_p)
        yield lambda: not p.app.player.paused
        for key in (pygame.K_ESCAPE, pygame.K_DOWN, pygame.K_RETURN):  # the menu, its second section, into it
            p.tap(key)
        yield lambda: p.app.menu.is_open and p.app.menu.page.title == "Scenes"
        p.tap(pygame.K_ESCAPE)
        yield lambda: not p.app.menu.is_open and p.state is State.PLAYING
        p.quit_by_menu()
        yield p.closes

    assert player(script).play() == 0


def test_no_audio_device_is_ever_opened(player):
    def script(p):
        yield lambda: p.shown >= 2
        p.tap(pygame.K_ESCAPE)
        yield lambda: p.app.menu.is_open
        assert pygame.mixer.get_init() is None and not pygame.get_init()

    assert player(script).play() == 0
    code = """
import sys
import game.ui.app, game.ui.pages, game.input.devices
import pygame
sys.exit(f"audio: {pygame.mixer.get_init()}" if pygame.mixer.get_init() else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
