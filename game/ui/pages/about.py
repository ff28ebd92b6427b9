"""The page of what this program is, where its things come from, and where a person's are kept."""

from __future__ import annotations

from game import VERSION
from game.input.devices import Gamepads
from game.ui.commands import Cockpit
from game.ui.pages.folder import short_path
from game.ui.toolkit.page import Page
from game.ui.toolkit.plates import Heading, Note
from game.ui.toolkit.widgets import Widget


class AboutPage(Page):
    """Words only."""

    title = "About"

    def __init__(self, cockpit: Cockpit, pads: Gamepads) -> None:
        super().__init__()
        self._cockpit, self._pads = cockpit, pads

    def widgets(self) -> list[Widget]:
        """See Page."""
        cockpit, status = self._cockpit, self._cockpit.status
        running = f"{status.model} on {status.device}" if status.model else "no model yet"
        problems = [Note(words, bad=True) for words in cockpit.settings_file.problems]
        return [
            Note(
                f"Neural world {VERSION}. A neural network makes every picture from the ones before it and your keys."
            ),
            Note(f"Running {running}. Gamepads: {', '.join(self._pads.names) or 'none plugged in'}."),
            Heading("Yours"),
            Note(f"Settings: {short_path(cockpit.settings_file.path)}"),
            *(
                [Note(f"Recordings: {short_path(cockpit.library.root.resolve())}")]
                if cockpit.library is not None
                else []
            ),
            *problems,
            Heading("From others"),
            Note("After Matrix-Game 2.0 (MIT), Wan 2.1 (Apache 2.0), Self-Forcing (Apache 2.0), OpenCLIP (MIT)."),
            Note("Font: Inter, SIL Open Font License 1.1. This program: MIT licence."),
        ]
