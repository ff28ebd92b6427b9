"""A model that takes any key, played in the window by all that a person can do, and what was recorded of it.

Waypoint's own networks on random weights; its pictures are of nothing, so what is looked at is what it was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import pygame
import pytest

from engine.world import WorldModel
from game.config.settings import load_settings
from game.judge.command import judge
from game.models.loader import make_world
from game.recording.format import Anchor, Job, Recording, Return, read_recording
from game.recording.script import load
from game.recording.writer import LiveRecordings
from game.tools.render import render
from tests.engine.tiny import waypoint_config, world
from tests.game.fakes import landscape


def event(kind: int, **values) -> None:
    pygame.event.post(pygame.event.Event(kind, **values))


def frames(p, count: int):
    """Waits for so many frames more to be shown."""
    before = p.shown
    return lambda: p.shown >= before + count


def bind_jump_to_v(p) -> Iterator:
    """In the menu: V for the key that the model calls SPACE; then back to the world."""
    p.app.router.open_menu("Controls")
    yield lambda: p.app.menu.is_open
    labels = [widget.label for widget in p.app.menu.page.widgets()]
    assert {"Jump", "Shoot or hit", "Wheel up", "Look left"} <= set(labels) and "Turn left" not in labels
    for key in (*[pygame.K_DOWN] * (labels.index("Jump") - labels.index("Mode")), pygame.K_RETURN, pygame.K_v):
        p.tap(key)
    yield lambda: "v" in p.app.commands.preferences.controls["keyboard_mouse"]["SPACE"]
    p.tap(pygame.K_ESCAPE)
    yield lambda: not p.app.menu.is_open


def press_everything(p) -> Iterator:
    """A key that was bound, one that nobody bound, and the mouse with its buttons and its wheel."""
    for key in (pygame.K_v, pygame.K_k):
        p.press(key)
        yield frames(p, 8)
        p.release(key)
    event(pygame.MOUSEBUTTONDOWN, button=1, pos=(9, 9))
    event(pygame.MOUSEBUTTONUP, button=1, pos=(9, 9))
    yield lambda: p.app.window.captured
    event(pygame.MOUSEBUTTONDOWN, button=3, pos=(9, 9))
    event(pygame.MOUSEMOTION, pos=(9, 9), rel=(12, 0), buttons=(0, 0, 1))
    event(pygame.MOUSEWHEEL, x=0, y=1, which=0, flipped=False)
    yield frames(p, 8)
    event(pygame.MOUSEBUTTONUP, button=3, pos=(9, 9))


def go_back_and_on(p) -> Iterator:
    """Saves, rewinds, returns to what was saved, and anchors."""
    p.tap(pygame.K_F5)
    yield lambda: p.app.drawn.status.saved
    yield frames(p, 12)
    p.press(pygame.K_BACKSPACE)
    yield lambda: p.app.drawn.status.rewinding and p.app.drawn.picture.behind_s > 0.1
    p.release(pygame.K_BACKSPACE)
    yield lambda: not p.app.drawn.status.rewinding
    yield frames(p, 6)
    late = p.shown
    p.tap(pygame.K_F9)
    yield lambda: p.shown < late
    yield frames(p, 6)
    p.tap(pygame.K_g)
    yield frames(p, 12)


def begin_with(p, path: Path) -> Iterator:
    """A picture of one's own, dropped on the window."""
    event(pygame.DROPFILE, file=str(path))
    yield lambda: p.app.menu.is_open and getattr(p.app.menu.page, "ready", False)
    late = p.shown
    p.tap(pygame.K_RETURN)
    yield lambda: p.app.player.status.scene == "own" and p.shown < late
    yield frames(p, 12)


def play(player, made: WorldModel, folder: Path, *deeds: Callable[..., Iterator]) -> list[Path]:
    """Has a person do things with a world; where its recordings are: of the first world, and of each begun anew."""
    shelf = SimpleNamespace(settings_of=lambda world: load_settings())
    recordings = LiveRecordings(shelf, Job("session", folder / "kept"))

    def script(p):
        yield lambda: p.shown >= 4
        for deed in deeds:
            yield from deed(p)

    world = {"open_world": lambda progress: made, "make_recorder": recordings}
    one = player(script, seconds=3600.0, keys_shown=True, **world)
    assert one.play() == 0
    assert not recordings.tell()
    return sorted(set(recordings.folders()))


def check_told(told: Recording) -> None:
    """What `press_everything` did is what the model was told."""
    keys = {key for held in told.actions.keys for key in held}
    assert {"SPACE", "K", "MOUSE_RIGHT", "WHEEL_UP"} <= keys and "V" not in keys
    assert told.actions.mouse[:, 1].max() > 0


def check_replay(told: Recording, made: WorldModel, out: Path) -> None:
    """What was recorded is made again bit for bit."""
    words = [f"weights={told.folder}"]
    assert render(load(told.folder), words, Job("session", out), lambda settings: made) == 0
    assert read_recording(out / "actions.jsonl").crc32 == told.crc32 and len(set(told.crc32)) > 10


def test_it_is_played_recorded_replayed_and_judged(player, tmp_path):
    made, path = world(waypoint_config(name="waypoint")), tmp_path / "own.png"
    cv2.imwrite(str(path), landscape(300, 200, 0.2, 0.1))
    deeds = bind_jump_to_v, press_everything, go_back_and_on, partial(begin_with, path=path)
    first, own = (read_recording(folder / "actions.jsonl") for folder in play(player, made, tmp_path, *deeds))
    check_told(first)
    events = [one for events in first.happenings.events.values() for one in events]
    assert [type(one) for one in events] == [Return, Return, Anchor]
    assert own.header.scene == "own"
    for told in (first, own):
        check_replay(told, made, tmp_path / f"again-{told.header.scene}")
    assert judge([first.folder, own.folder], [], out=tmp_path / "judged") == 0


@pytest.mark.slow
def test_so_is_its_slice_at_the_size_of_its_own_pictures(player, tmp_path):
    narrow = ("width=512", "heads=8", "kv_heads=4", "ffn=1024")
    made = make_world(load_settings(["model=waypoint-slice", *(f"model.transformer.{word}" for word in narrow)]))
    (folder,) = play(player, made, tmp_path, bind_jump_to_v, press_everything)
    told = read_recording(folder / "actions.jsonl")
    assert (told.header.model, told.header.width, told.header.height) == ("waypoint-slice", 640, 360)
    check_told(told)
    check_replay(told, made, tmp_path / "again")
