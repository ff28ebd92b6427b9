"""A page of the menu: what it is called, what stands on it, and where a person is on it."""

from __future__ import annotations

from game.ui.toolkit.widgets import Widget


class Page:
    """One page. A subclass says what is on it; the menu draws it and moves the focus.

    focus: key of the widget that has the focus, None for the first. scroll: pixels it is scrolled down.
    """

    title = ""
    waits = False  # for an input, whatever it is

    def __init__(self) -> None:
        self.focus: str | None = None
        self.scroll = 0

    def widgets(self) -> list[Widget]:
        """What stands on it now."""
        raise NotImplementedError

    def opened(self) -> None:
        """It has come into view."""

    def closed(self) -> None:
        """It is out of view again."""

    def tick(self, now: float) -> bool:
        """Called all the while it is in view. Returns whether it looks different by itself."""
        return False

    def takes_input(self, name: str, down: bool, now: float) -> bool:
        """An input, before the menu makes anything of it. Returns whether the page wants it for itself."""
        return False

    def takes_motion(self, dx: int, dy: int, now: float) -> None:
        """The mouse moved over the page."""
