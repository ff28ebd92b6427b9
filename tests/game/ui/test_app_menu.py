"""The menu over a running world: it pauses and goes on without loss, and what is chosen there counts at once."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import pygame
import pytest

from game.config.preferences import FILE, SettingsFile, config_folder, load
from game.live.status import State
from game.recording.library import Library
from tests.game.fakes import FakeRecorder, FakeWorld, landscape, read_frame


def event(kind: int, **values) -> None:
    pygame.event.post(pygame.event.Event(kind, **values))


def pad(button: int, down: bool) -> None:
    kind = pygame.CONTROLLERBUTTONDOWN if down else pygame.CONTROLLERBUTTONUP
    event(kind, button=button, instance_id=0)


def test_opening_and_closing_the_menu_loses_no_frame_of_the_recording(player):
    recorder = FakeRecorder()

    def script(p):
        yield lambda: p.shown >= 2
        for _ in range(4):
            p.press(pygame.K_w)
            p.tap(pygame.K_ESCAPE)
            yield lambda: p.app.menu.is_open and p.app.player.paused
            p.tap(pygame.K_DOWN)
            for _ in range(10):  # what was due before may still come
                yield
            held = p.shown
            for _ in range(5):
                yield
            assert p.shown == held
            p.tap(pygame.K_ESCAPE)
            yield lambda held=held: not p.app.menu.is_open and p.shown > held + 1

    assert player(script, recorder=recorder).play() == 0
    numbers = [read_frame(frame)[0] for block in recorder.blocks for frame in block.frames]
    assert numbers == list(range(len(numbers))) and len(numbers) > 10


def test_keys_in_the_menu_are_not_the_worlds(player):
    def script(p):
        yield lambda: p.shown >= 1
        p.tap(pygame.K_ESCAPE)
        yield lambda: p.app.menu.is_open
        p.press(pygame.K_w)
        p.tap(pygame.K_r)
        yield
        p.release(pygame.K_w)
        p.tap(pygame.K_ESCAPE)
        before = p.shown
        yield lambda: p.shown > before + 3
        assert all(keys == () for keys, _ in p.world.taken) and len(p.world.rollouts) == 1

    assert player(script).play() == 0


@pytest.mark.parametrize("enter", [lambda p: p.tap(pygame.K_ESCAPE), lambda p: (pad(6, True), pad(6, False))])
def test_the_menu_opens_by_key_and_by_gamepad_also_on_a_failed_world(player, enter):
    def script(p):
        yield lambda: p.state is State.FAILED
        enter(p)
        yield lambda: p.app.menu.is_open and p.app.drawn.menu is not None
        p.tap(pygame.K_ESCAPE)
        yield lambda: not p.app.menu.is_open
        p.tap(pygame.K_r)
        yield lambda: p.state is State.PLAYING and p.shown >= 2

    assert player(script, FakeWorld(fps=100.0, fail_at=frozenset({0}))).play() == 0


def test_whatever_opens_the_menu_closes_it(player):
    def script(p):
        yield lambda: p.shown >= 1
        commands = p.app.commands
        commands.change(commands=commands.preferences.commands | {"menu": ("escape", "m")})
        for is_open in (True, False, True, False):
            p.tap(pygame.K_m)
            yield lambda is_open=is_open: p.app.menu.is_open == is_open

    assert player(script).play() == 0


def test_a_key_bound_in_the_window_counts_at_once_and_the_next_time(player):
    def script(p):
        yield lambda: p.shown >= 1
        p.app.router.open_menu("Controls")
        yield lambda: p.app.menu.is_open
        for key in (pygame.K_DOWN, pygame.K_DOWN, pygame.K_RETURN, pygame.K_i):  # to "forward", and I for it
            p.tap(key)
        yield lambda: "i" in p.app.commands.preferences.controls["universal"]["W"]
        p.tap(pygame.K_ESCAPE)
        yield lambda: not p.app.menu.is_open
        p.press(pygame.K_i)
        yield lambda: p.world.taken[-1][0] == ("W",)

    assert player(script).play() == 0
    kept, problems = load(config_folder() / FILE)
    assert not problems and kept.controls["universal"]["W"][-1] == "i"


def test_a_notch_of_the_wheel_is_bound_where_a_field_waits_and_scrolls_where_none_does(player):
    def script(p):
        yield lambda: p.shown >= 1
        p.app.router.open_menu("Controls")
        yield lambda: p.app.menu.is_open
        for key in (pygame.K_DOWN, pygame.K_DOWN, pygame.K_RETURN):  # to "forward"
            p.tap(key)
        yield lambda: p.app.menu.takes_all
        event(pygame.MOUSEWHEEL, x=0, y=-2, which=0, flipped=False)
        yield lambda: "wheel down" in p.app.commands.preferences.controls["universal"]["W"]
        assert not p.app.menu.takes_all and p.app.menu.page.scroll == 0
        event(pygame.MOUSEWHEEL, x=0, y=-2, which=0, flipped=False)
        yield lambda: p.app.menu.page.scroll > 0
        p.tap(pygame.K_ESCAPE)
        yield lambda: not p.app.menu.is_open

    assert player(script).play() == 0
    kept, problems = load(config_folder() / FILE)
    assert not problems and kept.controls["universal"]["W"][-1] == "wheel down"


def test_a_key_that_was_a_commands_is_taken_from_it_and_that_is_said(player):
    def script(p):
        yield lambda: p.shown >= 1
        p.app.router.open_menu("Controls")
        for key in (pygame.K_DOWN, pygame.K_DOWN, pygame.K_RETURN, pygame.K_r):
            p.tap(key)
        yield lambda: "restart" in p.app.menu.remark
        prefer = p.app.commands.preferences
        assert "r" in prefer.controls["universal"]["W"] and "r" not in prefer.commands["restart"]
        for key in (pygame.K_RETURN, pygame.K_ESCAPE):  # Esc cancels, and can be bound to nothing
            p.tap(key)
        yield lambda: not p.app.menu.takes_all
        assert p.app.menu.is_open
        p.tap(pygame.K_DELETE)
        yield lambda: "r" not in p.app.commands.preferences.controls["universal"]["W"]

    assert player(script).play() == 0


def test_the_mouse_in_the_controls_page_shows_what_the_model_would_get(player):
    def script(p):
        yield lambda: p.shown >= 1
        p.app.router.open_menu("Controls")
        yield lambda: p.app.drawn.menu is not None
        page, stamp = p.app.menu.page, p.app.menu.stamp
        for _ in range(8):
            event(pygame.MOUSEMOTION, pos=(400, 200), rel=(9, -6), buttons=(0, 0, 0))
        yield lambda: page.shown.mouse[1] > 0.02 and page.shown.mouse[0] > 0.02
        assert p.app.menu.stamp > stamp
        yield lambda: page.shown.mouse == (0.0, 0.0)
        assert all(mouse == (0.0, 0.0) for _, mouse in p.world.taken)

    assert player(script, keys_shown=True).play() == 0


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tiff"])
def test_a_picture_dropped_on_the_window_is_shown_first_and_begun_from_then(player, tmp_path, suffix):
    path = tmp_path / f"own.{suffix}"
    cv2.imwrite(str(path), landscape(300, 200, 0.2, 0.1))

    def script(p):
        yield lambda: p.shown >= 1
        event(pygame.DROPFILE, file=str(path))
        yield lambda: p.app.menu.is_open and getattr(p.app.menu.page, "ready", False)
        assert p.app.player.paused and len(p.world.rollouts) == 1
        p.tap(pygame.K_RETURN)
        yield lambda: p.app.player.status.scene == "own" and p.shown >= 1
        assert not p.app.menu.is_open and p.app.commands.preferences.recent == (str(path),)

    assert player(script).play() == 0
    assert SettingsFile().now.recent == (str(path),)


def test_a_file_that_is_no_picture_is_one_clear_line_and_the_world_goes_on(player, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("nothing to see")

    def script(p):
        yield lambda: p.shown >= 1
        event(pygame.DROPFILE, file=str(path))
        yield lambda: p.app.menu.is_open and getattr(p.app.menu.page, "ready", False)
        assert any("is no picture" in widget.label for widget in p.app.menu.page.widgets())
        p.tap(pygame.K_ESCAPE)
        p.tap(pygame.K_ESCAPE)
        before = p.shown
        yield lambda: not p.app.menu.is_open and p.shown > before + 1
        assert len(p.world.rollouts) == 1

    assert player(script).play() == 0


def test_a_folder_dropped_on_the_window_is_where_ones_pictures_are(player, tmp_path):
    cv2.imwrite(str(tmp_path / "mine.png"), landscape(90, 160, 0.2, 0.1))

    def script(p):
        yield lambda: p.shown >= 1
        event(pygame.DROPFILE, file=str(tmp_path))
        yield lambda: any(widget.label == "mine" for widget in p.app.menu.page.widgets())
        assert p.app.commands.preferences.folder == str(tmp_path)

    assert player(script).play() == 0


def test_a_scene_of_the_gallery_is_entered(player):
    def script(p):
        yield lambda: p.shown >= 1
        p.app.router.open_menu("Scenes")
        p.tap(pygame.K_RIGHT)
        p.tap(pygame.K_RETURN)
        yield lambda: p.app.player.status.scene == "court" and p.shown >= 1 and not p.app.menu.is_open

    assert player(script).play() == 0


def test_a_gamepad_walks_looks_and_goes_while_it_is_held(player):
    def axis(number: int, value: float) -> None:
        event(pygame.CONTROLLERAXISMOTION, axis=number, value=round(32767 * value), instance_id=0)

    def script(p):
        yield lambda: p.shown >= 1
        axis(1, -1.0)
        axis(2, 0.575)
        yield lambda: p.world.taken[-1][0] == ("W",) and p.world.taken[-1][1][1] == pytest.approx(0.05, abs=1e-3)
        event(pygame.CONTROLLERDEVICEREMOVED, instance_id=0)
        yield lambda: p.world.taken[-1] == ((), (0.0, 0.0))
        event(pygame.CONTROLLERDEVICEADDED, device_index=0)
        before = p.shown
        yield lambda: p.shown > before + 1

    assert player(script).play() == 0


def test_the_keys_are_shown_at_the_first_start_until_one_is_used_and_never_again(player):
    def first(p):
        yield lambda: p.app.drawn.keys_strength == 1.0
        p.tap(pygame.K_F3)
        yield lambda: p.app.drawn.numbers is not None
        assert p.app.drawn.keys_strength == 1.0, "no walking key"
        p.tap(pygame.K_w)
        yield lambda: 0.0 < p.app.drawn.keys_strength < 1.0
        yield lambda: p.app.commands.preferences.keys_shown and p.app.drawn.keys_strength == 0.0

    def second(p):
        yield lambda: p.shown >= 1
        assert p.app.drawn.keys_strength == 0.0

    assert player(first).play() == 0
    assert load(config_folder() / FILE)[0].keys_shown
    assert player(second).play() == 0


def test_how_to_look_round_is_said_over_the_picture_until_somebody_does(player):
    def by_key(p):
        yield lambda: p.shown >= 1 and p.app.drawn.first_look is not None
        assert p.app.drawn.first_look.caps == ("←", "→")
        p.tap(pygame.K_w)
        yield lambda: p.app.commands.steered
        yield
        assert p.app.drawn.first_look is not None, "who walks has not found how to look"
        p.tap(pygame.K_LEFT)
        yield lambda: p.app.drawn.first_look is None

    def by_click(p):
        yield lambda: p.shown >= 1 and p.app.drawn.first_look is not None
        event(pygame.MOUSEBUTTONDOWN, button=1, pos=(9, 9))
        yield lambda: p.app.drawn.first_look is None

    def without_mouse(p):
        yield lambda: p.shown >= 1
        assert p.app.drawn.first_look is None

    assert player(by_key).play() == 0
    assert player(by_click).play() == 0
    assert player(without_mouse, FakeWorld(mode="templerun", fps=100.0)).play() == 0


def test_a_window_resized_again_and_again_during_a_block_is_drawn_at_every_size(player):
    import threading

    gate = threading.Event()
    world = FakeWorld(fps=16.0, first=1, later=4, step_seconds=1.0, sleep=lambda s: world.steps > 1 and gate.wait(60))

    def script(p):
        yield lambda: world.steps == 2
        for size in ((300, 700), (1500, 200), (640, 480)):
            pygame.display.set_mode(size, pygame.RESIZABLE)
            event(pygame.WINDOWSIZECHANGED, x=size[0], y=size[1], window=None)
            yield lambda size=size: p.app.drawn is not None and p.app.drawn.size == size
        event(pygame.WINDOWDISPLAYCHANGED, display_index=1, window=None)
        yield lambda: p.app.drawn is not None
        gate.set()
        yield lambda: p.shown >= 3

    assert player(script, world).play() == 0


def test_a_broken_settings_file_is_told_and_played_on_with(player, capsys):
    path = config_folder() / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("dead_zone: lots\nicons: off\n")

    def script(p):
        yield lambda: p.shown >= 1
        assert p.app.drawn.look.icons == "off"

    assert player(script).play() == 0
    assert "game: settings.yaml: dead_zone is 'lots'" in capsys.readouterr().err


def test_every_page_of_the_menu_can_be_gone_through_blindly(player):
    def script(p):
        yield lambda: p.shown >= 1
        sections = [section.name for section in p.app.menu.sections if section.page is not None]
        for name in sections:
            p.app.router.open_menu(name)
            for key in (pygame.K_DOWN, pygame.K_RIGHT, pygame.K_LEFT, pygame.K_PAGEDOWN, pygame.K_END, pygame.K_UP):
                p.tap(key)
                yield
            yield lambda: p.app.drawn.menu == p.app.menu.stamp
            p.app.menu.close()

    assert player(script).play() == 0


@pytest.mark.parametrize("rate", [30, 60, 144])
def test_on_a_display_of_any_rate_every_frame_is_shown_once_and_in_order(player, monkeypatch, rate):
    flip, shown = pygame.display.flip, []

    def waits_for_the_display():
        time.sleep(1 / rate)
        flip()

    monkeypatch.setattr(pygame.display, "flip", waits_for_the_display)

    def script(p):
        while p.shown < 12:
            if p.shown >= 0 and (not shown or shown[-1] != p.shown):
                shown.append(p.shown)
            yield
        assert shown == list(range(shown[0], shown[0] + len(shown))) and len(shown) >= 11

    assert player(script, FakeWorld(fps=20.0), keys_shown=True).play() == 0


def test_renderings_end_with_the_game_and_that_is_said(player, tmp_path, capsys):
    class Rendered(Library):
        def close(self):
            return ["hall: the rendering was cancelled; nothing of it is kept"]

    def script(p):
        yield lambda: p.shown >= 1

    person = player(script)
    person.settings = replace(person.settings, library=Rendered(tmp_path))
    assert person.play() == 0
    assert "game: hall: the rendering was cancelled" in capsys.readouterr().err


def test_no_sound_device_is_asked_for(player):
    def script(p):
        yield lambda: p.shown >= 1
        assert pygame.mixer.get_init() is None

    assert player(script).play() == 0
