"""The page of the world that is played: begin anew, save and return, the world before, anchors against decay."""

from __future__ import annotations

import time
from functools import partial

from game.config.bindings import COMMAND_NAMED
from game.ui.commands import Commands
from game.ui.toolkit.menu import Page
from game.ui.toolkit.widgets import Button, Choice, Heading, Note, Widget

_ANCHORS = (0.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_HOLDS = (0.0, 5.0, 15.0, 60.0)


class WorldPage(Page):
    """What can be done to the world in play."""

    title = "World"

    def __init__(self, commands: Commands) -> None:
        super().__init__()
        self._commands = commands

    def widgets(self) -> list[Widget]:
        """See Page."""
        commands, status, now = self._commands, self._commands.status, self._commands.preferences
        rewind = status.rewind
        depth = f"reaches {rewind.depth_s:.0f} s back, {rewind.mb:.0f} of {rewind.budget_mb:.0f} MB"
        return [
            Note(commands.where()),
            self._button("restart"),
            self._button("next_scene"),
            self._button("previous_world", enabled=bool(status.other_world),
                         hint=status.other_world or "There is none yet"),
            Heading("Time"),
            self._button("save", hint="Keeps it as it is now, to come back to"),
            self._button("load", enabled=status.saved, hint="The same keys then give the same "
                         "pictures" if status.saved else "Nothing is saved yet"),
            Note(f"Hold {commands.key_of('rewind') or 'no key yet'} while you play to run time backwards ({depth})."),
            Heading("Drift"),
            Note("Worlds decay as they go on. An anchor begins the world anew from the picture that is there now."),
            self._button("anchor"),
            Choice("Anchor by itself", "Recordings keep it, and replay it", value=now.anchor_every,
                   options=[(s, f"every {s:g} s" if s else "never") for s in _ANCHORS],
                   put=lambda value: commands.change(anchor_every=value)),
            Choice("Hold the picture when idle", "The world stands still while you touch nothing",
                   value=now.idle_hold, options=[(s, f"after {s:g} s" if s else "never") for s in _HOLDS],
                   put=lambda value: commands.change(idle_hold=value)),
        ]  # fmt: skip

    def _button(self, command: str, *, enabled: bool = True, hint: str = "") -> Button:
        return Button(
            COMMAND_NAMED[command].title,
            hint,
            partial(self._do, command),
            note=self._commands.key_of(command),
            enabled=enabled,
        )

    def _do(self, command: str) -> None:
        self._commands.close_menu()
        self._commands.do(command, time.perf_counter())
