"""Events reach what they are meant for: here, those that take the controls of a replay over."""

from __future__ import annotations

import os
from dataclasses import replace

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from game.live.status import ReplayFigures
from game.ui.events import Router
from tests.game.fakes import landscape
from tests.game.screens import PLAYING, set_stage


@pytest.fixture
def desk(tmp_path):
    """A window in which a recording is replayed; what the worker is asked for is noted."""
    made = set_stage((640, 400), tmp_path)
    made.commands.player.status = replace(PLAYING, replay=ReplayFigures("x", 1.0, 9.0))
    made.router = Router(made.commands, made.pads, made.menu, lambda: None, lambda: None, lambda: None)
    made.commands.use_menu(made.router.open_menu, made.menu.close, made.menu.pop)
    yield made
    made.commands.background.stop()
    pygame.display.quit()


def happens(desk, kind: int, **values) -> bool:
    """Whether an event takes the controls over."""
    before = taken(desk)
    desk.router.handle(pygame.event.Event(kind, **values), 1.0)
    return taken(desk) > before


def taken(desk) -> int:
    return sum(name == "take_over" for name, *_ in desk.commands.player.asked)


def stick(desk, axis: int, value: float) -> bool:
    return happens(desk, pygame.CONTROLLERAXISMOTION, axis=axis, value=round(32767 * value), instance_id=0)


def test_a_key_that_steers_takes_a_replay_over_and_no_other_does(desk):
    assert happens(desk, pygame.KEYDOWN, key=pygame.K_w)
    assert not happens(desk, pygame.KEYUP, key=pygame.K_w)
    assert not happens(desk, pygame.KEYDOWN, key=pygame.K_F3)
    assert not happens(desk, pygame.KEYDOWN, key=pygame.K_j)


@pytest.mark.parametrize("button", [1, 3])
def test_a_mouse_button_takes_a_replay_over(desk, button):
    assert happens(desk, pygame.MOUSEBUTTONDOWN, button=button, pos=(100, 100))
    assert desk.window.captured == (button == 1)
    assert not happens(desk, pygame.MOUSEBUTTONUP, button=button, pos=(100, 100))


def test_a_mouse_button_that_gives_a_command_takes_nothing_over(desk):
    desk.commands.change(commands=desk.commands.preferences.commands | {"numbers": ("mouse right",)})
    assert not happens(desk, pygame.MOUSEBUTTONDOWN, button=3, pos=(100, 100))


def test_the_mouse_takes_a_replay_over_by_motion_only_where_it_is_the_windows(desk):
    assert not happens(desk, pygame.MOUSEMOTION, pos=(100, 100), rel=(50, 0), buttons=(0, 0, 0))
    desk.window.capture()
    assert happens(desk, pygame.MOUSEMOTION, pos=(100, 100), rel=(1, 0), buttons=(0, 0, 0))
    desk.window.give_back()


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_a_stick_takes_a_replay_over_beyond_its_dead_zone(desk, axis):
    dead = desk.commands.preferences.dead_zone
    assert not stick(desk, axis, 0.8 * dead)
    assert stick(desk, axis, 1.2 * dead)
    assert not stick(desk, axis, 0.0)


def test_a_stick_that_chose_the_replay_in_the_menu_may_be_let_go_of(desk):
    desk.router.open_menu("Recordings")
    assert not stick(desk, 1, 1.0)
    desk.menu.close()
    assert not stick(desk, 1, 0.6) and not stick(desk, 1, 0.3) and not stick(desk, 1, 0.0)
    assert stick(desk, 1, 0.3)


def test_a_replay_leaves_the_mouse_to_the_person_until_they_click(desk):
    desk.window.capture()
    desk.router.open_menu("Recordings")
    desk.commands.replay(desk.commands.library.kept[0].folder, 0)
    assert not desk.menu.is_open and not desk.window.captured


def test_nothing_is_taken_over_where_a_person_steers_already(desk):
    desk.commands.player.status = PLAYING
    assert not happens(desk, pygame.KEYDOWN, key=pygame.K_w)
    assert not happens(desk, pygame.MOUSEBUTTONDOWN, button=1, pos=(100, 100))


# -- places and letters ------------------------------------------------------------------------------------------------

W, A, S, Q = 26, 4, 22, 20  # SDL's scancodes


def key(stage, letter: str, scancode: int, down: bool = True, mod: int = 0) -> None:
    kind = pygame.KEYDOWN if down else pygame.KEYUP
    event = pygame.event.Event(kind, key=pygame.key.key_code(letter), scancode=scancode, mod=mod)
    stage.router.handle(event, 1.0)


def held(stage) -> tuple[str, ...]:
    return stage.commands.controls.sample(1, 2.0)[0].keys


@pytest.fixture
def played(desk):
    """A window in which a person plays."""
    desk.commands.player.status = PLAYING
    return desk


@pytest.mark.parametrize(
    "letters",
    [{W: "w", A: "a", S: "s"}, {W: "z", A: "q", S: "s"}, {W: ",", A: "a", S: "o"}],
    ids=["QWERTY", "AZERTY", "Dvorak"],
)
def test_a_person_walks_by_the_same_places_on_every_layout(played, letters):
    for scancode, control in ((W, "W"), (A, "A"), (S, "S")):
        key(played, letters[scancode], scancode)
        assert held(played) == (control,)
        key(played, letters[scancode], scancode, down=False)
        held(played)
        assert held(played) == ()


def test_commands_go_by_what_is_printed_on_the_key_wherever_it_is(played):
    key(played, "p", 19)
    key(played, "p", 21)  # where a Dvorak keyboard has it
    key(played, "r", 18)
    asked = [name for name, *_ in played.commands.player.asked]
    assert asked.count("pause") == 2 and asked.count("reset") == 1


def test_a_layout_switched_while_a_key_is_down_leaves_nothing_stuck(played):
    key(played, "q", A)
    assert held(played) == ("A",)
    key(played, "a", A, down=False)
    held(played)
    assert held(played) == ()


@pytest.mark.parametrize("mod", [pygame.KMOD_LCTRL, pygame.KMOD_RCTRL, pygame.KMOD_LALT, pygame.KMOD_LMETA])
@pytest.mark.parametrize("letter", ["r", "n", "p", "g", "tab", "f4", "backspace"])
def test_with_ctrl_alt_or_meta_a_key_gives_no_command(played, letter, mod):
    before = list(played.commands.player.asked)
    key(played, letter, 0, mod=mod)
    assert played.commands.player.asked == before and not played.menu.is_open


def test_whoever_walks_with_ctrl_held_goes_on_walking(played):
    key(played, "w", W, mod=pygame.KMOD_LCTRL)
    assert held(played) == ("W",)


def test_a_modifier_that_has_a_meaning_itself_is_no_modifier(played):
    commands = played.commands
    table = commands.preferences.controls["universal"] | {"W": ("left ctrl",)}
    commands.change(controls={**commands.preferences.controls, "universal": table})
    key(played, "r", 21, mod=pygame.KMOD_LCTRL)
    assert [name for name, *_ in played.commands.player.asked][-1] == "reset"


def test_a_key_that_walks_by_its_place_gives_no_command_by_its_letter(played):
    key(played, "r", S)  # a Colemak keyboard has R where S is
    assert held(played) == ("S",)
    assert "reset" not in [name for name, *_ in played.commands.player.asked]


# -- what comes from outside -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mod", [pygame.KMOD_LCTRL, pygame.KMOD_RMETA])
def test_a_picture_is_pasted_and_shown_before_a_world_begins_from_it(played, monkeypatch, mod):
    picture = landscape(90, 160, 0.1, 0.0)
    monkeypatch.setattr("game.ui.pages.pictures.clipboard_picture", lambda: picture)
    key(played, "v", 25, mod=mod)
    played.settle()
    assert played.menu.page.title == "Begin here?"
    played.menu.input("return", True, 1.0)
    name, scene = played.commands.player.asked[-1]
    assert name == "enter" and (scene.picture() == picture).all()
    assert played.commands.preferences.recent == ()


def test_a_recording_dropped_on_the_window_is_offered_to_be_replayed(played, tmp_path):
    from tests.game.recording.test_library import record

    folder = tmp_path / "20260102T030405Z-demo"
    record(folder)
    for path in (folder, folder / "demo.mp4", folder / "actions.jsonl"):
        played.router.handle(pygame.event.Event(pygame.DROPFILE, file=str(path)), 1.0)
        played.settle()
        assert "Replay live from here" in [widget.label for widget in played.menu.page_widgets()]
        played.menu.close()
    assert played.commands.preferences.folder == "."


def test_a_video_that_is_no_recordings_is_said_to_be_none(played, tmp_path):
    (tmp_path / "holiday.mp4").write_bytes(b"video")
    played.router.handle(pygame.event.Event(pygame.DROPFILE, file=str(tmp_path / "holiday.mp4")), 1.0)
    played.settle()
    assert "belongs to no recording" in played.menu.page_widgets()[0].label


def test_what_is_dropped_from_a_place_that_never_answers_holds_nothing_up(played, tmp_path):
    played.router.handle(pygame.event.Event(pygame.DROPFILE, file=str(tmp_path / "not there.png")), 1.0)
    played.settle()
    assert "cannot read the picture" in played.menu.page_widgets()[0].label
