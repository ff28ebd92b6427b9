"""What is chosen on the menu's pages is done."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import pygame
import pytest

from engine.families import action_space, action_spaces
from game.config.bindings import bound, short_name
from game.errors import RecordingError
from game.live.status import State
from game.recording.library import Trash
from game.ui.toolkit.paint import Painter
from tests.game.fakes import wait_until
from tests.game.screens import PLAYING, set_stage


@pytest.fixture
def stage(tmp_path):
    """A window without a worker; what the worker is asked for is noted."""
    made = set_stage((1280, 720), tmp_path)
    made.menu.draw(made.window.surface)
    yield made
    made.commands.background.stop()
    pygame.display.quit()


def choose(stage, label: str):
    """Activates what stands on the page under a label, and waits for what it began."""
    found = [widget for widget in stage.menu.page.widgets() if widget.label.startswith(label)]
    assert found, [widget.label for widget in stage.menu.page.widgets()]
    found[0].activate()
    stage.settle()
    return found[0]


def labels(stage) -> list[str]:
    return [widget.label for widget in stage.menu.page.widgets()]


def open_recording(stage, number: int = 0):
    stage.menu.open("Recordings")
    stage.settle()
    tiles = [widget for widget in stage.menu.page.widgets() if widget.tile]
    tiles[number].activate()
    stage.settle()
    return stage.commands.library.kept[number]


def test_a_recording_chosen_before_its_log_was_looked_at_opens_when_it_has_been(stage, monkeypatch):
    library, told = stage.commands.library, threading.Event()
    glance = library.glance
    monkeypatch.setattr(library, "made", lambda folder: glance(folder).made)
    monkeypatch.setattr(library, "glance", lambda folder: glance(folder) if told.wait(20) else None)
    stage.menu.open("Recordings")
    page = stage.menu.page

    def tiles() -> list:
        page.tick(0.0)
        return [widget for widget in page.widgets() if widget.tile]

    assert wait_until(tiles)
    tiles()[0].activate()
    page.tick(0.0)
    assert stage.menu.page is page
    told.set()
    assert wait_until(lambda: tiles() and stage.menu.page is not page)
    assert stage.menu.page.title != "Recordings"


def test_a_recording_is_watched_from_any_moment_and_stops_at_its_end(stage):
    open_recording(stage)
    page = stage.menu.page
    page.seek(59.0)
    stage.settle()
    assert page.frame == 1180 and stage.commands.library.looked_at[-1] == 1180
    choose(stage, "Watch")
    assert page.watching and page.frame == 1180
    stage.now += 0.5
    stage.settle()
    assert page.frame == 1190 == stage.commands.library.looked_at[-1]
    stage.now += 100.0
    stage.settle()
    assert page.frame == 1199 and not page.watching


def test_a_replay_begins_at_the_moment_chosen_and_leaves_the_menu(stage):
    entry = open_recording(stage)
    stage.menu.page.seek(10.0)
    choose(stage, "Replay live")
    assert ("replay", entry.folder, 200) in stage.commands.player.asked and not stage.menu.is_open


def test_a_recording_that_cannot_be_replayed_says_why_and_cannot_be(stage):
    entry = open_recording(stage, 3)
    assert entry.problem in labels(stage)
    choose(stage, "Replay live")
    assert stage.menu.is_open and not [call for call in stage.commands.player.asked if call[0] == "replay"]


def test_deleting_can_be_undone(stage, monkeypatch):
    entry, restored = open_recording(stage), []
    monkeypatch.setattr(stage.commands.library, "restore", lambda thrown: restored.append(thrown.folder))
    choose(stage, "Delete")
    assert stage.menu.page.title == "Recordings"
    assert sum(widget.tile > 0 for widget in stage.menu.page.widgets()) == 4
    choose(stage, "Bring back")
    assert restored == [entry.folder] and stage.menu.remark == "It is back"
    assert "Bring back what was deleted" not in labels(stage)
    assert sum(widget.tile > 0 for widget in stage.menu.page.widgets()) == 5


def test_the_trash_says_what_it_holds_and_is_emptied_when_asked_twice(stage, monkeypatch):
    library, emptied = stage.commands.library, []
    library.in_trash = Trash(3, 118.4)

    def empty() -> tuple[Path, ...]:
        emptied.append(True)
        library.in_trash = Trash()
        return (Path("trash"),)

    monkeypatch.setattr(library, "empty_trash", empty, raising=False)
    open_recording(stage)
    choose(stage, "Delete")
    page = stage.menu.page
    page.focus = "Button:trash"
    assert choose(stage, "Empty the trash").note == "3 recordings, 118 MB" and not emptied
    page.focus = "Button:record"
    stage.settle()
    assert "Empty the trash" in labels(stage), "whoever looks elsewhere is asked again"
    page.focus = "Button:trash"
    choose(stage, "Empty the trash")
    choose(stage, "Really?")
    assert emptied == [True] and stage.menu.remark == "The trash is empty"
    assert not [label for label in labels(stage) if label.startswith(("Empty", "Really", "Bring back"))]


def test_a_recording_that_is_being_written_says_so_and_cannot_be_deleted(stage):
    library = stage.commands.library
    library.busy_with[library.kept[0].folder] = "it is being written"
    stage.menu.open("Recordings")
    stage.settle()
    notes = [widget.note() for widget in stage.menu.page.widgets() if widget.tile]
    assert notes[0].endswith("being written") and notes[1].endswith("garden")
    open_recording(stage)
    assert choose(stage, "Delete").note == "it is being written"
    assert stage.menu.page.title != "Recordings"
    library.busy_with.clear()
    choose(stage, "Delete")
    assert stage.menu.page.title == "Recordings"


class _Rendering:
    folder = Path("recordings/again")

    def __init__(self, stage, monkeypatch) -> None:
        """Has the library render so."""
        self.share, self.cancelled, self.error = 0.4, False, None
        library = stage.commands.library
        monkeypatch.setattr(
            library, "render", lambda entry, words: library.renderings.update({entry.folder: self}), raising=False
        )

    def poll(self) -> float:
        if self.error:
            raise self.error
        return self.share

    def cancel(self) -> None:
        self.cancelled = True


def test_rendering_again_says_how_far_it_is_and_where_it_went(stage, monkeypatch):
    rendering = _Rendering(stage, monkeypatch)
    open_recording(stage)
    choose(stage, "Render again")
    assert "Rendering, 40%: cancel" in labels(stage)
    rendering.share = 1.0
    stage.settle()
    assert "recordings/again" in stage.menu.remark and "Render again, with icons" in labels(stage)


def test_a_rendering_goes_on_while_its_page_is_left_and_is_found_there_again(stage, monkeypatch):
    rendering = _Rendering(stage, monkeypatch)
    open_recording(stage)
    choose(stage, "Render again")
    stage.menu.close()
    rendering.share = 0.7
    open_recording(stage, 1)
    assert "Render again, with icons" in labels(stage)
    stage.menu.pop()
    open_recording(stage)
    assert "Rendering, 70%: cancel" in labels(stage)
    stage.menu.close()
    rendering.share = 1.0
    open_recording(stage)
    assert "recordings/again" in stage.menu.remark and "Render again, with icons" in labels(stage)


@pytest.mark.parametrize("way", ["cancel", "fail"])
def test_rendering_may_be_cancelled_and_may_fail(stage, monkeypatch, way):
    rendering = _Rendering(stage, monkeypatch)
    open_recording(stage)
    choose(stage, "Render again")
    if way == "cancel":
        choose(stage, "Rendering")
        assert rendering.cancelled and "Cancelling…" in labels(stage)
    rendering.error = RecordingError("it ended so")
    stage.settle()
    assert stage.menu.remark == "it ended so"
    assert "Render again, with icons" in labels(stage)


def test_a_model_without_weights_cannot_be_chosen_and_one_with_them_is_loaded(stage):
    stage.menu.open("Models")
    stage.settle()
    choose(stage, "universal")
    assert stage.menu.is_open and not [call for call in stage.commands.player.asked if call[0] == "change_model"]
    choose(stage, "tiny")
    assert stage.commands.player.asked[-1] == ("change_model", "tiny", "default", "") and not stage.menu.is_open


def test_another_quality_is_asked_of_the_world_that_is_played(stage):
    stage.menu.open("Models")
    stage.settle()
    next(widget for widget in stage.menu.page.widgets() if widget.label == "Denoising").adjust(1)
    assert ("set_quality", "fast") in stage.commands.player.asked


def test_a_recent_picture_can_be_forgotten(stage):
    stage.commands.change(recent=("/gone/a.png", "/gone/b.png"))
    stage.menu.open("Scenes")
    stage.settle()
    tile = next(widget for widget in stage.menu.page.widgets() if widget.label == "a")
    tile.draw(stage.paint, stage.window.surface, pygame.Rect(0, 0, 200, 200), 20, True)
    assert "cannot read the picture" in tile.tell()
    tile.clear()
    assert stage.commands.preferences.recent == ("/gone/b.png",)


def test_a_folder_is_gone_into_and_taken(stage, tmp_path):
    (tmp_path / "inner").mkdir()
    stage.commands.change(folder=str(tmp_path))
    stage.menu.open("Scenes")
    stage.settle()
    choose(stage, str(tmp_path))
    choose(stage, "inner/")
    choose(stage, "Use this folder")
    assert stage.commands.preferences.folder == str(tmp_path / "inner") and stage.menu.page.title == "Scenes"


def test_a_preset_and_a_mode_are_chosen_for_that_mode_only(stage):
    stage.menu.open("Controls")
    page = stage.menu.page
    page.set_mode("templerun")
    choose(stage, "Preset")
    prefer = stage.commands.preferences
    assert prefer.controls["templerun"]["W"][0] == "up" and prefer.controls["universal"]["W"][0] == "w"


def test_the_worlds_page_does_what_it_says(stage):
    for label, call in (("Save the world", "save"), ("Anchor it now", "anchor"), ("Begin it anew", "reset")):
        stage.menu.open("World")
        choose(stage, label)
        assert stage.commands.player.asked[-1][0] == call and not stage.menu.is_open


@pytest.fixture
def caps(monkeypatch) -> list[tuple[str, pygame.Rect, pygame.Rect]]:
    """Every key cap drawn: its words, where it stands, and what of the window may be drawn on."""
    drawn, cap = [], Painter.cap

    def noted(paint, surface, words, unit, at):
        area = pygame.Rect(0, 0, cap(paint, surface, words, unit, at), round(1.5 * unit))
        area.midleft = at
        drawn.append((words, area, surface.get_clip()))
        return area.width

    monkeypatch.setattr(Painter, "cap", noted)
    return drawn


@pytest.mark.parametrize("size", [(640, 400), (1280, 720), (2560, 1440)])
@pytest.mark.parametrize("mode", list(action_spaces()))
def test_the_page_of_keys_shows_every_input_whole_and_none_over_another(tmp_path, caps, size, mode):
    stage = set_stage(size, tmp_path)
    stage.commands.player.status = replace(PLAYING, space=action_space(mode))
    prefer = stage.commands.preferences
    bindings = [*prefer.controls[mode].values(), *prefer.commands.values()]
    stage.menu.open()
    stage.menu.draw(stage.window.surface)
    first = list(caps)
    for _ in range(4):  # a mode of many keys has more than one screen of them
        stage.menu.wheel(-9)
        stage.menu.draw(stage.window.surface)
    wanted = {short_name(one) for inputs in bindings for one in inputs}
    shown = {words for words, _, _ in caps}
    assert wanted <= shown, wanted - shown
    assert sum(words[:-1] == "Mouse " for words in shown) == len(action_space(mode).by_mouse)
    for i, (words, area, view) in enumerate(first):
        assert view.contains(area) or mode != "universal", f"{words} is cut off: a person need not turn the page"
        assert area.collidelist([other for _, other, _ in first[i + 1 :]]) < 0, words
    stage.commands.background.stop()
    pygame.display.quit()


def test_a_field_of_keys_shows_every_input_it_has_room_for_or_not(tmp_path, caps):
    stage = set_stage((640, 400), tmp_path)
    table = stage.commands.preferences.controls["universal"]
    for one in ("left shift", "pad right shoulder"):
        table = bound(table, "W", one)
    stage.commands.change(controls={**stage.commands.preferences.controls, "universal": table})
    stage.menu.open("Controls")
    stage.menu.draw(stage.window.surface)
    assert [words for words, _, _ in caps[:4]] == [short_name(one) for one in table["W"]] and len(table["W"]) == 4
    assert len({area.top for _, area, _ in caps[:4]}) == 2, "in two lines"
    stage.commands.background.stop()
    pygame.display.quit()


def test_a_page_that_is_only_read_is_scrolled_by_the_keys(tmp_path):
    stage = set_stage((320, 240), tmp_path)
    menu = stage.menu
    menu.draw(stage.window.surface)
    menu.open()
    for name in ("right", "down", "down"):
        menu.input(name, True, 0.0)
        menu.input(name, False, 0.0)
    assert menu.page.title == "Paused" and menu.page.scroll > 0 and menu.is_open
    menu.input("left", True, 0.0)
    assert not menu.inside
    stage.commands.background.stop()
    pygame.display.quit()


@pytest.mark.parametrize("section", ["Resume", "World"])
def test_a_page_says_that_a_world_is_loading_until_its_picture_has_come(stage, section):
    stage.commands.player.status = replace(PLAYING, state=State.LOADING)
    stage.menu.open(section)
    assert labels(stage)[0] == "Loading hall …"
    stage.commands.player.status = replace(PLAYING, state=State.FAILED, words="out of memory")
    assert labels(stage)[0] == "hall has stopped: out of memory"
    stage.commands.player.status = PLAYING
    assert labels(stage)[0] == "You are in hall, made by tiny on cpu."


def test_a_page_of_two_thousand_recordings_reads_those_in_view_and_no_other(stage, monkeypatch):
    library = stage.commands.library
    entry, glanced = library.kept[0], []
    folders = [Path(f"recordings/{number}") for number in range(2000)]
    monkeypatch.setattr(library, "listed", lambda: folders)
    monkeypatch.setattr(library, "made", lambda folder: entry.made)
    monkeypatch.setattr(library, "glance", lambda folder: glanced.append(folder) or replace(entry, folder=folder))
    stage.menu.open("Recordings")
    stage.settle()
    assert 3 <= len(glanced) <= 30 and glanced == folders[: len(glanced)]
    stage.menu.input("end", True, 0.0)
    stage.settle()
    assert len(glanced) <= 60 and folders[-1] in glanced


def test_a_recordings_log_is_read_whole_when_it_is_opened(stage, monkeypatch):
    library = stage.commands.library
    broken = replace(library.kept[0], problem="frame 7 is no frame")
    monkeypatch.setattr(library, "read", lambda folder: broken)
    open_recording(stage)
    assert "frame 7 is no frame" in labels(stage)
