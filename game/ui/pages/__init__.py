"""The menu's pages, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from game.input.devices import Gamepads
from game.live.status import SceneLike
from game.ui.commands import Commands
from game.ui.pages.controls import ControlsPage
from game.ui.pages.display import PicturePage
from game.ui.pages.help import AboutPage, KeysPage, QuitPage
from game.ui.pages.models import ModelsPage
from game.ui.pages.pictures import GalleryPage
from game.ui.pages.recordings import RecordingsPage
from game.ui.pages.world import WorldPage
from game.ui.toolkit.background import Thumbnails
from game.ui.toolkit.menu import Menu, Section
from game.ui.toolkit.paint import Painter
from game.ui.window import TITLE

__all__ = ["make_menu", "pictures", "recordings"]


def make_menu(
    commands: Commands,
    pads: Gamepads,
    paint: Painter,
    scenes: Sequence[SceneLike],
    done: Callable[[], None],
    leave: Callable[[], None],
) -> Menu:
    """The menu. done: called when it has closed. leave: ends the program."""
    pictures = Thumbnails(commands.background)
    menu = Menu(TITLE, [], paint, done)
    menu.sections = [
        Section("Resume", KeysPage(commands), menu.close),
        Section("Scenes", GalleryPage(commands, menu, pictures, scenes)),
        Section("World", WorldPage(commands)),
        Section("Models", ModelsPage(commands, menu)),
        Section("Controls", ControlsPage(commands, pads, menu)),
        Section("Picture", PicturePage(commands)),
        Section("Recordings", RecordingsPage(commands, menu, pictures)),
        Section("About", AboutPage(commands, pads)),
        Section("Quit", QuitPage(), leave),
    ]
    return menu
