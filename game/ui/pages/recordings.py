"""The pages of recordings: the one that is running, all there are, and one of them looked at."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pygame

from engine.families import shipped_models
from game.errors import EngineError
from game.judge.process import Judging
from game.media.palette import INK, QUIET
from game.recording.library import Library
from game.ui.commands import Commands
from game.ui.toolkit.background import Later, Thumbnails
from game.ui.toolkit.menu import Menu, Page
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.widgets import Button, Canvas, Heading, Note, Slider, Tile, Widget
from game.ui.view import clock_words, fitted

if TYPE_CHECKING:
    from game.recording.library import Entry, Rendering, Thrown, Trash, Video


class RecordingsPage(Page):
    """Start and stop, and a browser. What is said of a recording is read when its tile is drawn, not before."""

    title = "Recordings"

    def __init__(self, commands: Commands, menu: Menu, pictures: Thumbnails) -> None:
        super().__init__()
        self._commands, self._menu, self._pictures = commands, menu, pictures
        self._entries: Later | None = None
        self._listed: list[tuple[Path, str]] = []  # folders, and when they were made
        self._tiles: list[Tile] = []
        self._glances: dict[Path, Later] = {}
        self._wanted: Path | None = None  # to be opened as soon as its glance is there
        self._thrown: list[Thrown] = []
        self._deleting: list[Later] = []
        self._undoing: Later | None = None
        self._trash: Trash | None = None
        self._looking: Later | None = None  # into the trash
        self._emptying: Later | None = None
        self._sure = False  # asked once whether to empty it

    def opened(self) -> None:
        """See Page."""
        if self._commands.library is not None:
            self._entries = Later(self._commands.background.begin(_listed, self._commands.library))
            self._glances, self._wanted = {}, None
            self._look_into_trash()

    def tick(self, now: float) -> bool:
        """See Page."""
        came = self._pictures.tick()
        came = any([later.look() for later in self._glances.values() if later.waiting]) or came
        if came and self._wanted is not None and not self._glances[self._wanted].waiting:
            self._open(self._wanted)
        if self._entries is not None and self._entries.look():
            self._list(self._entries.value or [])
            came = True
        came = self._tick_deleting() or came
        if self._undoing is not None and self._undoing.look():
            self._menu.remark = self._undoing.problem or "It is back"
            self._undoing, came = None, True
            self.opened()
        return self._tick_trash() or came

    def widgets(self) -> list[Widget]:
        """See Page."""
        commands, status = self._commands, self._commands.status
        words = f"Stop recording ({clock_words(status.recorded)})" if status.recording else "Record from now on"
        rows: list[Widget] = [
            Button(words, "The next block is its first", partial(commands.do, "record", 0.0),
                   note=commands.key_of("record"), bad=status.recording, name="record")
        ]  # fmt: skip
        if commands.library is None:
            return [*rows, Note("No folder of recordings is open here.")]
        if self._thrown:
            rows.append(Button("Bring back what was deleted", self._thrown[-1].folder.name, self._undo))
        if self._trash is not None and self._trash.recordings:
            rows.append(self._trash_button(self._trash))
        rows.append(Heading("All recordings"))
        if self._entries is not None and self._entries.problem:
            rows.append(Note(self._entries.problem, bad=True))
        if self._entries is not None and self._entries.waiting and not self._listed:
            return [*rows, Note("Looking…")]
        if not self._listed:
            rows.append(Note(f"There are none in {commands.library.root} yet."))
        return [*rows, *self._tiles]

    def delete(self, entry: Entry) -> None:
        """Throws a recording away, to be brought back as long as the program runs."""
        if self._commands.library is not None:
            self._deleting.append(Later(self._commands.background.begin(self._commands.library.delete, entry)))

    def _list(self, listed: list[tuple[Path, str]]) -> None:
        """Takes the recordings there are. Their tiles are kept, so that thousands of them are laid out but once."""
        self._listed = listed
        self._tiles = [self._tile(folder, made) for folder, made in listed]

    def _tick_deleting(self) -> bool:
        done = [later for later in self._deleting if later.look()]
        self._deleting = [later for later in self._deleting if later not in done]
        for later in done:
            if later.problem:
                self._menu.remark = later.problem
            else:
                self._thrown.append(later.value)
                self._list([one for one in self._listed if one[0] != later.value.folder])
        if done:
            self._look_into_trash()
        return bool(done)

    def _trash_button(self, trash: Trash) -> Button:
        many = f"{trash.recordings} recording{'' if trash.recordings == 1 else 's'}, {trash.mb:.0f} MB"
        words = "Really? Once more deletes them for good" if self._sure else "Empty the trash"
        return Button(words, "What was deleted cannot be brought back after that", self._empty_trash,
                      note=many, bad=self._sure, name="trash")  # fmt: skip

    def _empty_trash(self) -> None:
        if self._sure and self._commands.library is not None:
            self._emptying = Later(self._commands.background.begin(self._commands.library.empty_trash))
        self._sure = not self._sure

    def _look_into_trash(self) -> None:
        if self._commands.library is not None:
            self._looking = Later(self._commands.background.begin(self._commands.library.trash))

    def _tick_trash(self) -> bool:
        came = self._sure and self.focus != "Button:trash"
        self._sure = self._sure and not came
        if self._emptying is not None and self._emptying.look():
            gone = self._emptying.value or ()
            self._thrown = [thrown for thrown in self._thrown if thrown.trashed not in gone]
            self._menu.remark = self._emptying.problem or "The trash is empty"
            self._emptying, came = None, True
            self._look_into_trash()
        if self._looking is not None and self._looking.look():
            self._trash, came = self._looking.value, True
        return came

    def _undo(self) -> None:
        if self._commands.library is None:
            return
        thrown = self._thrown.pop()
        self._undoing = Later(self._commands.background.begin(self._commands.library.restore, thrown))

    def _tile(self, folder: Path, made: str) -> Tile:
        return Tile(made, str(folder.name), image=partial(self._thumbnail, folder),
                    note=partial(self._note, folder), name=str(folder), act=partial(self._open, folder))  # fmt: skip

    def _open(self, folder: Path) -> None:
        entry, library = self._glance(folder), self._commands.library
        self._wanted = folder if entry is None and self._glances[folder].waiting else None
        if entry is not None and library is not None:
            self._menu.push(RecordingPage(self._commands, self._menu, entry, library, self.delete))

    def _glance(self, folder: Path) -> Entry | None:
        """What the log's header and length say; None as long as that is being read."""
        later, library = self._glances.get(folder), self._commands.library
        if later is None and library is not None:
            later = self._glances[folder] = Later(self._commands.background.begin(library.glance, folder))
        return None if later is None else later.value

    def _note(self, folder: Path) -> str:
        entry = self._glance(folder)
        if entry is None:
            return "…"
        library = self._commands.library
        state = library.busy(folder).removeprefix("it is ") if library is not None else ""
        return f"{clock_words(entry.seconds)}   {entry.model}   " + (
            state or ("broken" if entry.problem else entry.scene)
        )

    def _thumbnail(self, folder: Path, size: tuple[int, int]) -> tuple[pygame.Surface | None, str]:
        entry, library = self._glance(folder), self._commands.library
        if entry is None or library is None:
            return None, ""
        return self._pictures.ask(("recording", str(folder)), partial(library.thumbnail, entry), size)


def _listed(library: Library) -> list[tuple[Path, str]]:
    """All recordings' folders, the newest first, and when they were made; called in the background."""
    return [(folder, f"{library.made(folder):%d %b %Y, %H:%M}") for folder in library.listed()]


class RecordingPage(Page):
    """One recording: watched, replayed and taken over, rendered again, deleted."""

    def __init__(
        self,
        commands: Commands,
        menu: Menu,
        entry: Entry,
        library: Library,
        delete: Callable[[Entry], None] | None = None,
    ) -> None:
        """entry: what is known of it. delete: throws it away, None where that is not offered. frame: the one that
        is looked at; watching: whether the video runs on from there."""
        super().__init__()
        self._commands, self._menu, self._delete_it = commands, menu, delete
        self._library, self._entry = library, entry
        self.title = f"{entry.scene or entry.name}, {entry.made:%d %b %Y, %H:%M}"
        self._video: Video | None = None
        self._reading: Later | None = None
        self._opening: Later | None = None
        self.frame = self._from = 0
        self.watching = False
        self._playing_since: float | None = None
        self._asked: tuple[int, Later] | None = None
        self._pixels: np.ndarray | None = None
        self._share = 0.0
        self._working: Later | None = None
        self._judged = 0.0

    def opened(self) -> None:
        """See Page."""
        self.focus = "Button:watch"
        begin = self._commands.background.begin
        self._reading = Later(begin(self._library.read, self._entry.folder))
        self._opening = Later(begin(self._library.open_video, self._entry))

    def closed(self) -> None:
        """See Page."""
        if self._video is not None:
            self._commands.background.begin(self._video.close)
            self._video = None

    # -- what happens by itself --------------------------------------------------------------------------------------

    def tick(self, now: float) -> bool:
        """See Page."""
        came = False
        if self._reading is not None and self._reading.look():
            self._entry, came = self._reading.value or self._entry, True
        if self._opening is not None and self._opening.look():
            self._video, came = self._opening.value, True
        if self.watching and self._playing_since is None:
            self._playing_since = now
        if self._playing_since is not None:
            self.frame = self._from + int((now - self._playing_since) * self._fps)
            if self.frame >= self._last:
                self.frame = self._last
                self._stop()
        if self._asked is not None and self._asked[1].look():
            self._pixels = self._asked[1].value if self._asked[1].value is not None else self._pixels
            came = True
        busy = self._asked is not None and (self._asked[1].waiting or self._asked[0] == self.frame)
        if self._video is not None and not busy:
            self._asked = (self.frame, Later(self._commands.background.begin(self._video.at, self.frame)))
        return self._tick_work() or came

    def _tick_work(self) -> bool:
        came = False
        if self._working is not None and self._working.look():
            done, self._working, came = self._working, None, True
            fetched = f"Fetched: {done.value}" if isinstance(done.value, Path) else self._menu.remark
            self._menu.remark = done.problem or fetched
        came = self._tick_judging() or came
        rendering = self._rendering
        return came if rendering is None else self._tick_rendering(rendering) or came

    def _tick_judging(self) -> bool:
        judging = self._judging
        if judging is None:
            return False
        try:
            share = judging.poll()
        except EngineError as error:
            self._menu.remark = str(error)
            self._library.readers.pop(self._entry.folder, None)
            return True
        if share >= 1.0:
            self._library.readers.pop(self._entry.folder, None)
            self._menu.remark = f"Judged: {judging.page}"
            self._commands.background.begin(webbrowser.open, judging.page.resolve().as_uri())
            return True
        changed, self._judged = round(share, 2) != round(self._judged, 2), share
        return changed

    def _tick_rendering(self, rendering: Rendering) -> bool:
        try:
            share = rendering.poll()
        except EngineError as error:
            self._menu.remark = str(error)
            self._forget(rendering)
            return True
        if share >= 1.0:
            self._menu.remark = f"Rendered: {rendering.folder}"
            self._forget(rendering)
            return True
        changed, self._share = round(share, 2) != round(self._share, 2), share
        return changed

    # -- what stands on it -------------------------------------------------------------------------------------------

    @property
    def _rendering(self) -> Rendering | None:
        """This recording's, which goes on whether or not the page is looked at."""
        return self._library.rendering(self._entry.folder)

    def _forget(self, rendering: Rendering) -> None:
        self._library.without(rendering)

    @property
    def _fps(self) -> float:
        """Also of a recording whose log does not say."""
        return self._entry.fps or 20.0

    @property
    def _last(self) -> int:
        return max(0, (self._video.frames if self._video is not None else self._entry.frames) - 1)

    def widgets(self) -> list[Widget]:
        """See Page."""
        entry, fps = self._entry, self._fps
        rows: list[Widget] = [Canvas("video", units=12.0, paint_it=self._draw)]
        if entry.problem:
            rows.append(Note(entry.problem, bad=True))
        if self._video is not None and self._last > 0:
            rows += [
                Button("Stop" if self.watching else "Watch", "The video, without the engine",
                       self._watch, name="watch"),
                Slider("Moment", "From here you watch, or replay", value=self.frame / fps, low=0.0,
                       high=self._last / fps, show=lambda v: f"{clock_words(v)} / {clock_words(self._last / fps)}",
                       put=self.seek, room=7.5, steps=40),
            ]  # fmt: skip
        elif self._opening is not None and self._opening.problem:
            rows.append(Note(self._opening.problem, bad=True))
        rows.append(Button("Replay live from here", "The world is made again, bit for bit; keys, sticks and clicks "
                           "take over", self._replay, enabled=entry.problem is None))  # fmt: skip
        if self._library.fetches:
            rows.append(self._fetch_button())
        else:
            rows += [self._render_button(), self._judge_button()]
        if self._delete_it is not None:
            busy = self._library.busy(entry.folder)
            rows.append(Button("Delete", "Not now" if busy else "It can be brought back", self._delete, note=busy,
                               bad=True, enabled=not busy))  # fmt: skip
        return rows

    def _fetch_button(self) -> Button:
        words = "Fetching…" if self._working is not None else "Fetch to here"
        return Button(words, f"All its files, to {self._library.root}", self._fetch, enabled=self._working is None,
                      name="fetch")  # fmt: skip

    def _fetch(self) -> None:
        self._working = Later(self._commands.background.begin(self._library.fetch, self._entry))

    def _render_button(self) -> Button:
        rendering = self._rendering
        if rendering is None:
            begins = self._working is not None
            return Button("Beginning to render…" if begins else "Render again, with icons",
                          "In a process of its own; you may play on", self._render,
                          enabled=not begins and self._entry.problem is None, name="render")  # fmt: skip
        ends = rendering.cancelled
        return Button("Cancelling…" if ends else f"Rendering, {self._share:.0%}: cancel",
                      "What is rendered so far is removed then", rendering.cancel, enabled=not ends,
                      name="render")  # fmt: skip

    @property
    def _judging(self) -> Judging | None:
        """This recording's, which goes on whether or not the page is looked at."""
        reader = self._library.readers.get(self._entry.folder)
        return reader if isinstance(reader, Judging) else None

    def _judge_button(self) -> Button:
        judging = self._judging
        if judging is None:
            return Button("Judge", "How well it answers and lasts: scores in the browser", self._judge,
                          enabled=self._video is not None, name="judge")  # fmt: skip
        return Button(f"Judging, {self._judged:.0%}: cancel", "In a process of its own; you may play on",
                      partial(self._stop_judging, judging), name="judge")  # fmt: skip

    def _judge(self) -> None:
        self._judged = 0.0
        try:
            self._library.readers[self._entry.folder] = Judging(self._entry.folder)
        except EngineError as error:
            self._menu.remark = str(error)

    def _stop_judging(self, judging: Judging) -> None:
        self._library.readers.pop(self._entry.folder, None)
        self._commands.background.begin(judging.cancel)

    def _watch(self) -> None:
        if self.watching:
            self._stop()
        else:
            self._from = 0 if self.frame >= self._last else self.frame
            self.watching = True  # from the next tick on

    def _stop(self) -> None:
        self.watching, self._playing_since = False, None

    def seek(self, seconds: float) -> None:
        """Goes to a moment."""
        self.frame = max(0, min(self._last, round(seconds * self._fps)))
        self._stop()

    def _replay(self) -> None:
        self._commands.replay(self._entry.folder, self.frame)

    def _render(self) -> None:
        weights = self._commands.preferences.weights
        words = (f"weights={weights}",) if weights and self._entry.model not in shipped_models() else ()
        self._working = Later(self._commands.background.begin(self._library.render, self._entry, words))

    def _delete(self) -> None:
        self._menu.pop()  # which closes the video first
        if self._delete_it is not None:
            self._delete_it(self._entry)

    def _draw(self, paint: Painter, surface: pygame.Surface, area: pygame.Rect, unit: int) -> None:
        room = area.inflate(-2 * unit, -unit)
        paint.panel(surface, room, INK, unit // 3)
        if self._pixels is None:
            paint.put(surface, "…", unit, QUIET, room.center, anchor="center")
            return
        height, width = self._pixels.shape[:2]
        image = pygame.image.frombuffer(self._pixels.tobytes(), (width, height), "RGB").convert(surface)
        fit = fitted((width, height), room.size).move(room.topleft)
        surface.blit(pygame.transform.smoothscale(image, fit.size), fit)
