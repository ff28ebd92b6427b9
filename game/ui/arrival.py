"""What is dropped on the window: a picture, a folder of them, or a recording. Its page gives way to the one for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import PictureError
from game.live.status import SceneLike
from game.ui.commands import Commands
from game.ui.pages.pictures import DropPage
from game.ui.pages.recordings import RecordingPage
from game.ui.toolkit.background import Later
from game.ui.toolkit.menu import Menu, Page
from game.ui.toolkit.widgets import Button, Note, Widget
from game.world.scenes import Scene

if TYPE_CHECKING:
    from game.recording.library import Entry

_VIDEOS = (".mp4", ".jsonl")


def arrived(path: Path) -> Path | SceneLike | Entry:
    """What lies at a path that was dropped on the window: a folder (itself), a recording, or else a picture; called in
    the background. Raises PictureError for a video that is no recording's."""
    from game.recording.format import holds_session
    from game.recording.library import read_entry

    folder = path if path.is_dir() else path.parent
    if folder == path or path.suffix.lower() in _VIDEOS:
        if holds_session(folder):
            return read_entry(folder)
        if folder != path:
            what = f"{path.name} belongs to no recording: no log of actions lies beside it"
            raise PictureError(what, expected="a picture, a folder of pictures, or a recording")
    return path if folder == path else Scene(path.stem, path)


class ArrivalPage(Page):
    """Looks at what was dropped on the window, and gives way to the page for it."""

    title = "What is this?"

    def __init__(self, commands: Commands, menu: Menu, path: Path) -> None:
        super().__init__()
        self._commands, self._menu, self._name = commands, menu, path.name
        self._found = Later(commands.background.begin(arrived, path))

    def tick(self, now: float) -> bool:
        """See Page."""
        came = self._found.look()
        if came and self._found.value is not None:
            self._give_way(self._found.value)
        return came

    def widgets(self) -> list[Widget]:
        """See Page."""
        if self._found.problem:
            return [Note(self._found.problem, bad=True), Button("Back", "", self._commands.back)]
        return [Note(f"Looking at {self._name}…")]

    def _give_way(self, found: Path | SceneLike | Entry) -> None:
        from game.recording.library import Entry, Library

        menu, commands = self._menu, self._commands
        if isinstance(found, Path):
            commands.change(folder=str(found))
            menu.open("Scenes")
        elif isinstance(found, Entry):
            library = commands.library or Library(found.folder.parent)
            menu.open("Recordings", RecordingPage(commands, menu, found, library))
        else:
            menu.open("Scenes", DropPage(commands, found))
