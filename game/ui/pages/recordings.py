"""The pages of recordings: the one that is running, all there are, and one of them looked at."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pygame

from engine.families import shipped_models
from game.media.palette import INK, QUIET
from game.ui.commands import Cockpit
from game.ui.toolkit.background import Later, Thumbnails
from game.ui.toolkit.menu import Menu, Page
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.widgets import Button, Canvas, Heading, Note, Slider, Tile, Widget
from game.ui.view import clock_words, fitted

if TYPE_CHECKING:
    from game.recording.library import Entry, Rendering, Thrown, Trash, Video


class RecordingsPage(Page):
    """Start and stop, and a browser."""

    title = "Recordings"

    def __init__(self, cockpit: Cockpit, menu: Menu, pictures: Thumbnails) -> None:
        super().__init__()
        self._cockpit, self._menu, self._pictures = cockpit, menu, pictures
        self._entries: Later | None = None
        self._listed: list[Entry] = []
        self._thrown: list[Thrown] = []
        self._deleting: list[Later] = []
        self._undoing: Later | None = None
        self._trash: Trash | None = None
        self._looking: Later | None = None  # into the trash
        self._emptying: Later | None = None
        self._sure = False  # asked once whether to empty it

    def opened(self) -> None:
        """See Page."""
        if self._cockpit.library is not None:
            self._entries = Later(self._cockpit.background.begin(self._cockpit.library.entries))
            self._look_into_trash()

    def tick(self, now: float) -> bool:
        """See Page."""
        came = self._pictures.tick()
        if self._entries is not None and self._entries.look():
            self._listed, came = self._entries.value or [], True
        came = self._tick_deleting() or came
        if self._undoing is not None and self._undoing.look():
            self._menu.remark = self._undoing.problem or "It is back"
            self._undoing, came = None, True
            self.opened()
        return self._tick_trash() or came

    def widgets(self) -> list[Widget]:
        """See Page."""
        cockpit, status = self._cockpit, self._cockpit.status
        words = f"Stop recording ({clock_words(status.recorded)})" if status.recording else "Record from now on"
        rows: list[Widget] = [
            Button(words, "The next block is its first", lambda: cockpit.worker.toggle_recording(),
                   note=cockpit.key_of("record"), bad=status.recording, name="record")
        ]  # fmt: skip
        if cockpit.library is None:
            return [*rows, Note("No folder of recordings is open here.")]
        if self._thrown:
            rows.append(Button("Bring back what was deleted", self._thrown[-1].folder.name, self._undo))
        if self._trash is not None and self._trash.recordings:
            rows.append(self._trash_button(self._trash))
        rows.append(Heading("All recordings"))
        if self._entries is not None and self._entries.waiting and not self._listed:
            return [*rows, Note("Looking…")]
        if not self._listed:
            rows.append(Note(f"There are none in {cockpit.library.root} yet."))
        return [*rows, *(self._tile(entry) for entry in self._listed)]

    def delete(self, entry: Entry) -> None:
        """Throws a recording away, to be brought back as long as the program runs."""
        self._deleting.append(Later(self._cockpit.background.begin(self._cockpit.library.delete, entry)))

    def _tick_deleting(self) -> bool:
        done = [later for later in self._deleting if later.look()]
        self._deleting = [later for later in self._deleting if later not in done]
        for later in done:
            if later.problem:
                self._menu.remark = later.problem
            else:
                self._thrown.append(later.value)
                self._listed = [entry for entry in self._listed if entry.folder != later.value.folder]
        if done:
            self._look_into_trash()
        return bool(done)

    def _trash_button(self, trash: Trash) -> Button:
        many = f"{trash.recordings} recording{'' if trash.recordings == 1 else 's'}, {trash.mb:.0f} MB"
        words = "Really? Once more deletes them for good" if self._sure else "Empty the trash"
        return Button(words, "What was deleted cannot be brought back after that", self._empty_trash,
                      note=many, bad=self._sure, name="trash")  # fmt: skip

    def _empty_trash(self) -> None:
        if self._sure:
            self._emptying = Later(self._cockpit.background.begin(self._cockpit.library.empty_trash))
        self._sure = not self._sure

    def _look_into_trash(self) -> None:
        self._looking = Later(self._cockpit.background.begin(self._cockpit.library.trash))

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
        thrown = self._thrown.pop()
        self._undoing = Later(self._cockpit.background.begin(self._cockpit.library.restore, thrown))

    def _tile(self, entry: Entry) -> Tile:
        image, problem = self._pictures.ask(("recording", str(entry.folder)), partial(self._thumbnail, entry))
        state = self._cockpit.library.busy(entry.folder).removeprefix("it is ")
        note = f"{clock_words(entry.seconds)}   {entry.model}   "
        note += state or ("broken" if entry.problem else entry.scene)
        return Tile(f"{entry.made:%d %b %Y, %H:%M}", entry.problem or str(entry.folder.name), image=image, note=note,
                    problem=problem, name=str(entry.folder),
                    act=lambda: self._menu.push(RecordingPage(self._cockpit, self._menu, self, entry)))  # fmt: skip

    def _thumbnail(self, entry: Entry) -> np.ndarray | None:
        return self._cockpit.library.thumbnail(entry)


class RecordingPage(Page):
    """One recording: watched, replayed and taken over, rendered again, deleted."""

    def __init__(self, cockpit: Cockpit, menu: Menu, above: RecordingsPage, entry: Entry) -> None:
        super().__init__()
        self.title = f"{entry.scene or entry.name}, {entry.made:%d %b %Y, %H:%M}"
        self._cockpit, self._menu, self._above, self._entry = cockpit, menu, above, entry
        self._video: Video | None = None
        self._opening: Later | None = None
        self._frame, self._playing_since, self._from = 0, None, 0
        self._asked: tuple[int, Later] | None = None
        self._pixels: np.ndarray | None = None
        self._share = 0.0
        self._working: Later | None = None

    def opened(self) -> None:
        """See Page."""
        self.focus = "Button:watch"
        self._opening = Later(self._cockpit.background.begin(self._cockpit.library.open_video, self._entry))

    def closed(self) -> None:
        """See Page."""
        if self._video is not None:
            self._cockpit.background.begin(self._video.close)
            self._video = None

    # -- what happens by itself --------------------------------------------------------------------------------------

    def tick(self, now: float) -> bool:
        """See Page."""
        came = False
        if self._opening is not None and self._opening.look():
            self._video, came = self._opening.value, True
        if self._playing_since is not None:
            self._frame = self._from + int((now - self._playing_since) * self._entry.fps)
            if self._frame >= self._last:
                self._frame, self._playing_since = self._last, None
        if self._asked is not None and self._asked[1].look():
            self._pixels = self._asked[1].value if self._asked[1].value is not None else self._pixels
            came = True
        busy = self._asked is not None and (self._asked[1].waiting or self._asked[0] == self._frame)
        if self._video is not None and not busy:
            self._asked = (self._frame, Later(self._cockpit.background.begin(self._video.at, self._frame)))
        return self._tick_work() or came

    def _tick_work(self) -> bool:
        came = False
        if self._working is not None and self._working.look():
            done, self._working, came = self._working, None, True
            self._menu.remark = done.problem or self._menu.remark
        rendering = self._rendering
        return came if rendering is None else self._tick_rendering(rendering) or came

    def _tick_rendering(self, rendering: Rendering) -> bool:
        from game.errors import EngineError

        try:
            share = rendering.poll()
        except EngineError as error:
            self._menu.remark = str(error)
            self._cockpit.library.without(rendering)
            return True
        if share >= 1.0:
            self._menu.remark = f"Rendered: {rendering.folder}"
            self._cockpit.library.without(rendering)
            return True
        changed, self._share = round(share, 2) != round(self._share, 2), share
        return changed

    # -- what stands on it -------------------------------------------------------------------------------------------

    @property
    def _rendering(self) -> Rendering | None:
        """This recording's, which goes on whether or not the page is looked at."""
        return self._cockpit.library.rendering(self._entry.folder)

    @property
    def _last(self) -> int:
        return max(0, (self._video.frames if self._video is not None else self._entry.frames) - 1)

    def widgets(self) -> list[Widget]:
        """See Page."""
        entry = self._entry
        rows: list[Widget] = [Canvas("video", units=12.0, paint_it=self._draw)]
        if entry.problem:
            rows.append(Note(entry.problem, bad=True))
        if self._video is not None and self._last > 0:
            rows += [
                Button("Watch" if self._playing_since is None else "Stop", "The video, without the engine",
                       self._watch, name="watch"),
                Slider("Moment", "From here you watch, or replay", value=self._frame / entry.fps, low=0.0,
                       high=self._last / entry.fps, show=lambda v: f"{clock_words(v)} / {clock_words(entry.seconds)}",
                       put=self._seek, room=7.5, steps=40),
            ]  # fmt: skip
        elif self._opening is not None and self._opening.problem:
            rows.append(Note(self._opening.problem, bad=True))
        busy = self._cockpit.library.busy(entry.folder)
        rows += [
            Button("Replay live from here", "The world is made again, bit for bit; keys, sticks and clicks take over",
                   self._replay, enabled=entry.problem is None),
            self._render_button(),
            Button("Delete", "Not now" if busy else "It can be brought back", self._delete, note=busy, bad=True,
                   enabled=not busy),
        ]  # fmt: skip
        return rows

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

    def _watch(self) -> None:
        if self._playing_since is not None:
            self._playing_since = None
            return
        self._from = 0 if self._frame >= self._last else self._frame
        self._playing_since = time.perf_counter()

    def _seek(self, seconds: float) -> None:
        self._frame = max(0, min(self._last, round(seconds * self._entry.fps)))
        self._playing_since = None

    def _replay(self) -> None:
        self._cockpit.replay(self._entry.folder, self._frame)

    def _render(self) -> None:
        weights = self._cockpit.preferences.weights
        words = (f"weights={weights}",) if weights and self._entry.model not in shipped_models() else ()
        self._working = Later(self._cockpit.background.begin(self._cockpit.library.render, self._entry, words))

    def _delete(self) -> None:
        self._menu.pop()  # which closes the video first
        self._above.delete(self._entry)

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
