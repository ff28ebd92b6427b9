"""The page beside "Resume": where one is, and the keys as they are bound."""

from __future__ import annotations

from game.bindings import COMMANDS, controls_of, short_name
from game.cockpit import Cockpit
from game.ui.page import Page
from game.ui.plates import Caps, Heading, Note
from game.ui.widgets import Widget


class KeysPage(Page):
    """Only to be read."""

    title = "Paused"

    def __init__(self, cockpit: Cockpit) -> None:
        super().__init__()
        self._cockpit = cockpit

    def widgets(self) -> list[Widget]:
        """See Page."""
        status, prefer = self._cockpit.status, self._cockpit.preferences
        mode = status.space.mode if status.space is not None else "universal"
        where = f"You are in {status.scene}" + (
            f", made by {status.model} on {status.device}." if status.model else "."
        )
        rows: list[Widget] = [Note(where)]
        table = prefer.controls[mode]
        rows += [self._row(label, table[name]) for name, label in controls_of(mode).items()]
        rows.append(Heading("Commands"))
        return [*rows, *(self._row(one.label, prefer.commands[one.name]) for one in COMMANDS)]

    @staticmethod
    def _row(label: str, inputs: tuple[str, ...]) -> Caps:
        return Caps(label[:1].upper() + label[1:], caps=[short_name(one) for one in inputs])
