"""The page of models: which there are, what they need, how carefully they work."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from game.background import Later
from game.bindings import MODE_LABELS
from game.desk import Desk
from game.shelf import ModelChoice
from game.ui.menu import Menu
from game.ui.page import Page
from game.ui.pages.folder import FolderPage
from game.ui.widgets import Button, Choice, Heading, Note, Widget


class ModelsPage(Page):
    """Choose a model and its quality; the world begins anew with it."""

    title = "Modes and models"

    def __init__(self, desk: Desk, menu: Menu) -> None:
        super().__init__()
        self._desk, self._menu = desk, menu
        self._choices: Later | None = None

    def opened(self) -> None:
        """See Page."""
        if self._desk.shelf is not None:
            work = self._desk.background.begin(self._desk.shelf.choices, self._desk.preferences.weights)
            self._choices = Later(work)

    def tick(self, now: float) -> bool:
        """See Page."""
        return self._choices is not None and self._choices.look()

    def widgets(self) -> list[Widget]:
        """See Page."""
        desk = self._desk
        if desk.shelf is None or self._choices is None:
            return [Note("No other model can be chosen here.")]
        if self._choices.waiting:
            return [Note("Looking…")]
        if self._choices.problem:
            return [Note(self._choices.problem, bad=True)]
        folder = desk.preferences.weights
        return [
            *[self._button(choice) for choice in self._choices.value],
            Heading("Quality"),
            Choice("Denoising", "Fewer steps are faster and rougher; the world begins anew",
                   value=desk.shelf.quality, options=[(name, name) for name in desk.shelf.qualities()],
                   put=lambda value: self._choose(desk.shelf.model, value)),
            Heading("Weights of the large models"),
            Button(folder or "Choose their folder", "Skywork/Matrix-Game-2.0 from Hugging Face, as it was downloaded",
                   self._browse),
        ]  # fmt: skip

    def _button(self, choice: ModelChoice) -> Button:
        shelf = self._desk.shelf
        what = f"{MODE_LABELS[choice.mode]}, {choice.width} × {choice.height}, {choice.fps:g}/s"
        return Button(choice.name, choice.problem or f"{choice.name}: {what}",
                      partial(self._choose, choice.name, shelf.quality), note=choice.short_problem or what,
                      mark=choice.name == shelf.model, enabled=not choice.problem)  # fmt: skip

    def _choose(self, model: str, quality: str) -> None:
        desk = self._desk
        opener = desk.shelf.choose(model, quality, desk.preferences.weights)
        desk.close_menu()
        desk.worker.change_model(opener)
        desk.say(f"Model: {model}, {quality} quality")

    def _browse(self) -> None:
        start = Path(self._desk.preferences.weights or Path.home())
        self._menu.push(FolderPage(self._desk, self._menu, start, self._take, "Folder of the weights"))

    def _take(self, folder: Path) -> None:
        self._desk.change(weights=str(folder))
        self._menu.pop()
        self.opened()
