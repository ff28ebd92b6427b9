"""The page of how the window looks."""

from __future__ import annotations

import time

from game.media.icons import PLACES
from game.ui.commands import Commands
from game.ui.toolkit.menu import Page
from game.ui.toolkit.paint import TEXT_SIZES
from game.ui.toolkit.widgets import Choice, Heading, Toggle, Widget

_SCALES = (("smooth", "smooth"), ("sharp", "sharp"), ("whole", "sharp, whole pixels"))
_WINDOWS = ("auto", "640x400", "960x540", "1280x720", "1600x900", "1920x1080", "2560x1440")
_PLACE_WORDS = {"corners": "both corners", "swapped": "corners, swapped", "left": "left", "right": "right"}


class PicturePage(Page):
    """Scale, size, icons and words."""

    title = "Picture"

    def __init__(self, commands: Commands) -> None:
        super().__init__()
        self._commands = commands

    def widgets(self) -> list[Widget]:
        """See Page."""
        commands, now = self._commands, self._commands.preferences

        def choice(label: str, name: str, options, hint: str = "") -> Choice:
            return Choice(label, hint, value=getattr(now, name), options=options,
                          put=lambda value: commands.change(**{name: value}))  # fmt: skip

        def do(command: str) -> None:
            commands.do(command, time.perf_counter())

        sizes = [(size, "fits the screen" if size == "auto" else size.replace("x", " × ")) for size in _WINDOWS]
        return [
            choice("Enlarged", "scale", _SCALES, "How the model's small picture fills the window"),
            choice("Window", "window", sizes, "Or drag the window's edge"),
            Toggle("Full screen now", f"{commands.key_of('full_screen')} while you play",
                   value=commands.window.full_screen, put=lambda value: do("full_screen")),
            Toggle("Full screen from the start", value=now.full_screen,
                   put=lambda value: commands.change(full_screen=value)),
            Heading("Over the picture"),
            choice("Keys and mouse", "icons", [(s, s) for s in ("off", "small", "normal", "large")]),
            choice("Where they stand", "icons_place", [(place, _PLACE_WORDS[place]) for place in PLACES]),
            Toggle("Numbers now", f"{commands.key_of('numbers')} while you play", value=commands.show_numbers,
                   put=lambda value: do("numbers")),
            Toggle("Numbers from the start", value=now.numbers, put=lambda value: commands.change(numbers=value)),
            Heading("Words"),
            choice("Size of words", "text", [(size, size) for size in TEXT_SIZES]),
            Toggle("Show the keys at the next start", value=not now.keys_shown,
                   put=lambda value: commands.change(keys_shown=not value)),
        ]  # fmt: skip
