"""The models that can be chosen while the window is open, and how each is opened. Knows no window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from engine.families import shipped_models
from game.config.settings import Settings, load_settings, options
from game.console import say
from game.errors import InputError
from game.models.catalog import find_weights, is_slice
from game.models.compiling import CompilingWorld
from game.models.loader import Progress, open_world

if TYPE_CHECKING:  # it brings torch along, which the window does not wait for
    from engine.world import WorldModel


OpenWorld = Callable[[Progress], "WorldModel"]


@dataclass(frozen=True)
class ModelChoice:
    """A model as a list shows it. problem: why it cannot be chosen, "" if it can; short_problem: the same in a word."""

    name: str
    mode: str
    width: int
    height: int
    fps: float
    problem: str
    short_problem: str


class Models(Protocol):
    """What a player opens models with. Used by the engine's thread, but for `choices` and `qualities`."""

    @property
    def model(self) -> str:
        """Name of the model to begin with, "" if it has none."""
        ...

    @property
    def quality(self) -> str:
        """Name of the quality that it opens with."""
        ...

    def opener(self) -> OpenWorld:
        """Opens the model to begin with."""
        ...

    def choose(self, model: str, quality: str, weights: str) -> OpenWorld:
        """What opens another model. Raises nothing before it is called."""
        ...

    def at_quality(self, world: WorldModel, quality: str) -> WorldModel:
        """The weights of `world` at another quality's denoising steps, ready at once. Raises InputError."""
        ...

    def qualities(self) -> Sequence[str]:
        """The qualities there are; empty where there is no choice."""
        ...

    def choices(self, weights: str) -> list[ModelChoice]:
        """The models there are, the usable ones first; empty where there is no choice. Takes a moment."""
        ...


class OneModel:
    """A model that is given, and no choice of others."""

    model, quality = "", "default"

    def __init__(self, open_world: OpenWorld) -> None:
        self._open = open_world

    def opener(self) -> OpenWorld:
        """See Models."""
        return self._open

    def choose(self, model: str, quality: str, weights: str) -> OpenWorld:
        """See Models."""
        raise InputError("no other model can be chosen here", got=model)

    def at_quality(self, world: WorldModel, quality: str) -> WorldModel:
        """See Models."""
        raise InputError("no other quality can be had here", got=quality)

    def qualities(self) -> Sequence[str]:
        """See Models."""
        return ()

    def choices(self, weights: str) -> list[ModelChoice]:
        """See Models."""
        return []


class Switcher:
    """All the models there are, see Models. It is the engine thread's, but for `choices` and `qualities`.

    words: the command line's settings; what they say of anything but model, quality and weights counts for every model.
    wrap: what is to be made of a world that was opened (a profile, for one). compile_first: before anything is played,
    since it will be recorded; otherwise beside play.
    """

    def __init__(self, words: list[str], wrap: Callable = lambda world: world, compile_first: bool = False) -> None:
        self._words, self._wrap, self._compile_first = list(words), wrap, compile_first
        self.settings: Settings = load_settings(words)
        self.model, self.quality = self.settings.model.name, self.settings.quality.name  # to begin with
        self._chosen = list(words)  # the words of the model in use
        self._of: WeakKeyDictionary[WorldModel, Settings] = WeakKeyDictionary()

    def choices(self, weights: str) -> list[ModelChoice]:
        """See Models. weights: folder of the large models', "" for none."""
        found = []
        for name in options("model"):
            settings = load_settings(self.words_for(name, self.quality, weights))
            if is_slice(settings):
                continue
            config, problem = settings.model, ""
            try:
                find_weights(settings)
            except InputError as error:
                problem = str(error)
            short = "needs its weights" if problem else ""
            found.append(ModelChoice(name, config.mode, config.width, config.height, config.fps, problem, short))
        return sorted(found, key=lambda choice: bool(choice.problem))

    @staticmethod
    def qualities() -> Sequence[str]:
        """See Models."""
        return options("quality")

    def choose(self, model: str, quality: str, weights: str) -> OpenWorld:
        """See Models."""

        def opener(progress: Progress) -> WorldModel:
            words = self.words_for(model, quality, weights)  # hydra takes its time: not in the window's thread
            self.settings, self._chosen = load_settings(words), words
            return self._open(progress)

        return opener

    def opener(self) -> OpenWorld:
        """See Models; it is the one that the command line chose."""
        return self._open

    def at_quality(self, world: WorldModel, quality: str) -> WorldModel:
        """See Models."""
        words = [word for word in self._chosen if word.partition("=")[0] != "quality"]
        settings = load_settings([f"quality={quality}", *words])
        made = self._wrap(world.with_steps(settings.model.denoising_steps))
        self._of[made] = settings
        return made

    def settings_of(self, world: WorldModel) -> Settings:
        """The settings that a world was opened with, or last changed to."""
        return self._of[world]

    def _open(self, progress: Progress) -> WorldModel:
        world = self._wrap(open_world(self.settings, progress, say, compiled=self._compile_first))
        how = self.settings.compile.name
        if how != "off" and not self._compile_first:
            world = CompilingWorld(world, how, progress, say)
        self._of[world] = self.settings
        return world

    def words_for(self, model: str, quality: str, weights: str) -> list[str]:
        """The words for another model: the command line's, without those that are about the one it named."""
        mine = ("model", "quality", "weights")
        kept = [word for word in self._words if word.partition("=")[0].split(".")[0] not in mine]
        if model == self.model:
            kept = [word for word in self._words if word.partition("=")[0] not in ("model", "quality")]
            weights = ""
        needs = [f"weights={weights}"] if weights and model not in shipped_models() else []
        return [f"model={model}", f"quality={quality}", *needs, *kept]
