"""The menu's pages, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from game.input.devices import Gamepads
from game.live.status import SceneLike
from game.ui.commands import Cockpit
from game.ui.pages.controls import ControlsPage
from game.ui.pages.display import PicturePage
from game.ui.pages.help import AboutPage, KeysPage
from game.ui.pages.models import ModelsPage
from game.ui.pages.pictures import GalleryPage
from game.ui.pages.recordings import RecordingsPage
from game.ui.pages.world import WorldPage
from game.ui.toolkit.background import Thumbnails
from game.ui.toolkit.menu import Menu, Section
from game.ui.toolkit.paint import Painter
from game.ui.window import TITLE


def make_menu(
    cockpit: Cockpit,
    pads: Gamepads,
    paint: Painter,
    scenes: Sequence[SceneLike],
    done: Callable[[], None],
    leave: Callable[[], None],
) -> Menu:
    """The menu. done: called when it has closed. leave: ends the program."""
    pictures = Thumbnails(cockpit.background)
    menu = Menu(TITLE, [], paint, done)
    menu.sections = [
        Section("Resume", KeysPage(cockpit), menu.close),
        Section("Scenes", GalleryPage(cockpit, menu, pictures, scenes)),
        Section("World", WorldPage(cockpit)),
        Section("Models", ModelsPage(cockpit, menu)),
        Section("Controls", ControlsPage(cockpit, pads, menu)),
        Section("Picture", PicturePage(cockpit)),
        Section("Recordings", RecordingsPage(cockpit, menu, pictures)),
        Section("About", AboutPage(cockpit, pads)),
        Section("Quit", act=leave),
    ]
    return menu
