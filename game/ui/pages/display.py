"""The page of how the window looks."""

from __future__ import annotations

from game.media.icons import PLACES
from game.ui.commands import Cockpit
from game.ui.toolkit.menu import Page
from game.ui.toolkit.paint import TEXT_SIZES
from game.ui.toolkit.widgets import Choice, Heading, Toggle, Widget

_SCALES = (("smooth", "smooth"), ("sharp", "sharp"), ("whole", "sharp, whole pixels"))
_WINDOWS = ("auto", "640x400", "960x540", "1280x720", "1600x900", "1920x1080", "2560x1440")
_PLACE_WORDS = {"corners": "both corners", "swapped": "corners, swapped", "left": "left", "right": "right"}


class PicturePage(Page):
    """Scale, size, icons and words."""

    title = "Picture"

    def __init__(self, cockpit: Cockpit) -> None:
        super().__init__()
        self._cockpit = cockpit

    def widgets(self) -> list[Widget]:
        """See Page."""
        cockpit, now = self._cockpit, self._cockpit.preferences

        def choice(label: str, name: str, options, hint: str = "") -> Choice:
            return Choice(label, hint, value=getattr(now, name), options=options,
                          put=lambda value: cockpit.change(**{name: value}))  # fmt: skip

        sizes = [(size, "fits the screen" if size == "auto" else size.replace("x", " × ")) for size in _WINDOWS]
        return [
            choice("Enlarged", "scale", _SCALES, "How the model's small picture fills the window"),
            choice("Window", "window", sizes, "Or drag the window's edge"),
            Toggle("Full screen now", f"{cockpit.key_of('full_screen')} while you play",
                   value=cockpit.window.full_screen, put=lambda value: cockpit.toggle_full_screen()),
            Toggle("Full screen from the start", value=now.full_screen,
                   put=lambda value: cockpit.change(full_screen=value)),
            Heading("Over the picture"),
            choice("Keys and mouse", "icons", [(s, s) for s in ("off", "small", "normal", "large")]),
            choice("Where they stand", "icons_place", [(place, _PLACE_WORDS[place]) for place in PLACES]),
            Toggle("Numbers now", f"{cockpit.key_of('numbers')} while you play", value=cockpit.show_numbers,
                   put=lambda value: cockpit.toggle_numbers()),
            Toggle("Numbers from the start", value=now.numbers, put=lambda value: cockpit.change(numbers=value)),
            Heading("Words"),
            choice("Size of words", "text", [(size, size) for size in TEXT_SIZES]),
            Toggle("Show the keys at the next start", value=not now.keys_shown,
                   put=lambda value: cockpit.change(keys_shown=not value)),
        ]  # fmt: skip
