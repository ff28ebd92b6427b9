"""The page of models: which there are, what they need, how carefully they work."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from engine.families import action_space
from game.config.paths import home_folder
from game.live.status import ModelChoice
from game.ui.commands import Commands
from game.ui.toolkit.background import Later
from game.ui.toolkit.folders import FolderPage, short_path
from game.ui.toolkit.menu import Menu, Page
from game.ui.toolkit.widgets import Button, Choice, Heading, Note, Widget


class ModelsPage(Page):
    """Choose a model and its quality; the world begins anew with it."""

    title = "Modes and models"

    def __init__(self, commands: Commands, menu: Menu) -> None:
        super().__init__()
        self._commands, self._menu = commands, menu
        self._choices: Later | None = None

    def opened(self) -> None:
        """See Page."""
        work = self._commands.background.begin(self._commands.player.choices, self._commands.preferences.weights)
        self._choices = Later(work)

    def tick(self, now: float) -> bool:
        """See Page."""
        return self._choices is not None and self._choices.look()

    def widgets(self) -> list[Widget]:
        """See Page."""
        commands = self._commands
        if self._choices is None or self._choices.waiting:
            return [Note("Looking…")]
        if self._choices.problem:
            return [Note(self._choices.problem, bad=True)]
        if not self._choices.value:
            return [Note("No other model can be chosen here.")]
        folder = commands.preferences.weights
        return [
            *[self._button(choice) for choice in self._choices.value],
            Heading("Quality"),
            Choice("Denoising", "Fewer steps are faster and rougher; the world goes on from its picture",
                   value=commands.status.quality,
                   options=[(name, name) for name in commands.player.qualities], put=self._change_quality),
            Heading("Weights of the large models"),
            Note(
                "python -m game --fetch model=NAME downloads them; if you have them already, choose their folder here. "
                "They need a GPU to be played."
            ),
            Button(short_path(Path(folder)) if folder else "Choose their folder", "As it was downloaded",
                   self._browse),
        ]  # fmt: skip

    def _button(self, choice: ModelChoice) -> Button:
        status = self._commands.status
        what = f"{action_space(choice.mode).label}, {choice.width} × {choice.height}, {choice.fps:g}/s"
        return Button(choice.name, choice.problem or f"{choice.name}: {what}",
                      partial(self._choose, choice.name, status.quality), note=choice.short_problem or what,
                      mark=choice.name == status.model, enabled=not choice.problem)  # fmt: skip

    def _choose(self, model: str, quality: str) -> None:
        commands = self._commands
        commands.close_menu()
        commands.player.change_model(model, quality, commands.preferences.weights)
        commands.say(f"Model: {model}, {quality} quality")

    def _change_quality(self, quality: str) -> None:
        self._commands.player.set_quality(quality)

    def _browse(self) -> None:
        start = Path(self._commands.preferences.weights or home_folder())
        self._menu.push(FolderPage(self._commands.background, start, self._take, "Folder of the weights"))

    def _take(self, folder: Path) -> None:
        self._commands.change(weights=str(folder))
        self._menu.pop()
        self.opened()
