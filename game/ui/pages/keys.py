"""The page beside "Resume": where one is, and the keys as they are bound."""

from __future__ import annotations

from collections.abc import Sequence

from game.config.bindings import COMMANDS, LOOK_DOWN, LOOK_LEFT, LOOK_RIGHT, LOOK_UP, controls_of, short_name
from game.ui.commands import Cockpit
from game.ui.toolkit.page import Page
from game.ui.toolkit.plates import Caps, Heading, Note
from game.ui.toolkit.widgets import Widget

_BY_MOTION = {  # what mouse and stick do beside the keys, in each mode
    "universal": {LOOK_UP: "up", LOOK_DOWN: "down", LOOK_LEFT: "left", LOOK_RIGHT: "right"},
    "gta_drive": {"A": "left", "D": "right"},
    "templerun": {},
}


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
        rows: list[Widget] = [Note(self._cockpit.where())]
        table = prefer.controls[mode]
        for name, label in controls_of(mode).items():
            rows.append(self._row(label, table[name], self._motions(_BY_MOTION[mode].get(name))))
        rows.append(Heading("Commands"))
        return [*rows, *(self._row(one.label, prefer.commands[one.name]) for one in COMMANDS)]

    def _motions(self, way: str | None) -> list[str]:
        """Caps for the stick's and the mouse's motion that way."""
        stick = self._cockpit.preferences.look_stick
        if way is None:
            return []
        return [*([] if stick == "none" else [short_name(f"pad {stick} stick {way}")]), f"Mouse {short_name(way)}"]

    def _row(self, label: str, inputs: Sequence[str], motions: Sequence[str] = ()) -> Caps:
        stick = f"pad {self._cockpit.preferences.look_stick} stick "  # it looks, and does nothing else
        caps = [short_name(one) for one in inputs if not one.startswith(stick)]
        return Caps(label[:1].upper() + label[1:], caps=[*caps, *motions])
