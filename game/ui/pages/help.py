"""The pages that are only read: the keys as they are bound, and what this program is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.families import first_space
from game import VERSION
from game.config.bindings import COMMANDS, short_name
from game.input.devices import Gamepads
from game.ui.commands import Commands
from game.ui.toolkit.folders import short_path
from game.ui.toolkit.menu import Page
from game.ui.toolkit.widgets import Caps, Heading, Note, Widget


class KeysPage(Page):
    """Only to be read."""

    title = "Paused"

    def __init__(self, commands: Commands) -> None:
        super().__init__()
        self._commands = commands

    def widgets(self) -> list[Widget]:
        """See Page."""
        status, prefer = self._commands.status, self._commands.preferences
        space = status.space or first_space()
        rows: list[Widget] = [Note(self._commands.where())]
        table = prefer.controls[space.mode]
        for name, label in space.labels.items():
            rows.append(self._row(label, self._keys(table[name]), self._motions(space.by_mouse.get(name))))
        rows.append(Heading("Commands"))
        return [*rows, *(self._row(one.label, map(short_name, prefer.commands[one.name])) for one in COMMANDS)]

    def _motions(self, way: str | None) -> list[str]:
        """Caps for the stick's and the mouse's motion that way."""
        stick = self._commands.preferences.look_stick
        if way is None:
            return []
        return [*([] if stick == "none" else [short_name(f"pad {stick} stick {way}")]), f"Mouse {short_name(way)}"]

    def _keys(self, inputs: Sequence[str]) -> list[str]:
        stick = f"pad {self._commands.preferences.look_stick} stick "  # it looks, and does nothing else
        return [self._commands.cap_of(one) for one in inputs if not one.startswith(stick)]

    @staticmethod
    def _row(label: str, caps: Iterable[str], motions: Sequence[str] = ()) -> Caps:
        return Caps(label[:1].upper() + label[1:], caps=[*caps, *motions])


class QuitPage(Page):
    """What leaving means."""

    title = "Quit"

    def widgets(self) -> list[Widget]:
        """See Page."""
        return [Note("Ends the game. What is being recorded is finished and kept; worlds are not saved.")]


class AboutPage(Page):
    """Words only."""

    title = "About"

    def __init__(self, commands: Commands, pads: Gamepads) -> None:
        super().__init__()
        self._commands, self._pads = commands, pads

    def widgets(self) -> list[Widget]:
        """See Page."""
        commands, status = self._commands, self._commands.status
        running = f"{status.model} on {status.device}" if status.model else "no model yet"
        problems = [Note(words, bad=True) for words in commands.settings_file.problems]
        return [
            Note(
                f"Neural world {VERSION}. A neural network makes every picture from the ones before it and your keys."
            ),
            Note(f"Running {running}. Gamepads: {', '.join(self._pads.names) or 'none plugged in'}."),
            Heading("Yours"),
            Note(f"Settings: {short_path(commands.settings_file.path)}"),
            *(
                [Note(f"Recordings: {short_path(commands.library.root.resolve())}")]
                if commands.library is not None
                else []
            ),
            *problems,
            Heading("From others"),
            Note("After Matrix-Game 2.0 (MIT), Waypoint-1.5 (Apache 2.0), Wan 2.1 (Apache 2.0),"),
            Note("Self-Forcing (Apache 2.0), TAEHV (MIT), OpenCLIP (MIT)."),
            Note("Font: Inter, SIL Open Font License 1.1. This program: MIT licence."),
        ]
