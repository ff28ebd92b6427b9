"""What a person can have done, whichever way they ask for it: by a key, a gamepad, or the menu."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.families import action_space
from game.config.bindings import COMMANDS, by_input, short_name
from game.config.preferences import Preferences, SettingsFile
from game.input.controls import Controls, Feel
from game.live.player import Player
from game.live.status import Advice, SceneLike, State, Status, Suggestion
from game.ui.toolkit.background import Background
from game.ui.view import KeyLine
from game.ui.window import Window
from game.world.scenes import Scene

if TYPE_CHECKING:
    from game.recording.library import Library

_SAY = 2.5  # s a remark stays
_FIRST_KEYS = ("pause", "restart", "next_scene", "rewind", "save", "load", "record", "numbers", "menu")


class Cockpit:
    """Everything the commands and the menu's pages work with.

    say: shows a passing line for some seconds. library: the recordings, None where nothing is kept.
    """

    def __init__(
        self,
        worker: Player,
        controls: Controls,
        settings_file: SettingsFile,
        window: Window,
        say: Callable[[str, float], None],
        *,
        library: Library | None = None,
        background: Background | None = None,
    ) -> None:
        self.worker, self.controls, self.settings_file, self.window = worker, controls, settings_file, window
        self.library = library
        self.background = background or Background()
        self.advice: Advice | None = None
        self.show_numbers = settings_file.now.numbers
        self.frame_size = (144, 80)  # width and height of the model's pictures, once one was seen
        self._say = say
        self._open_menu: Callable[[], None] = lambda: None
        self._close_menu: Callable[[], None] = lambda: None
        self.back: Callable[[], None] = lambda: None
        self._retake_mouse = False  # a pause lent it to the person
        self._commands: dict[str, Callable[[float], Any]] = {
            "menu": lambda now: self._open_menu(),
            "pause": self.toggle_pause,
            "restart": lambda now: self.restart(),
            "next_scene": lambda now: self.say(f"Scene: {self.worker.change_scene()}"),
            "previous_world": lambda now: self.previous_world(),
            "rewind": self.worker.rewind,
            "save": lambda now: self.worker.save(),
            "load": lambda now: self.load(),
            "anchor": lambda now: self.worker.anchor(),
            "record": lambda now: self.worker.toggle_recording(),
            "screenshot": lambda now: self.worker.screenshot(),
            "numbers": lambda now: self.toggle_numbers(),
            "ease": lambda now: self.ease(),
            "full_screen": lambda now: self.toggle_full_screen(),
        }
        self.rebind()
        worker.set_anchor_every(settings_file.now.anchor_every)
        worker.set_idle_hold(settings_file.now.idle_hold)

    # -- who is asked ------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """The worker's."""
        return self.worker.status

    @property
    def preferences(self) -> Preferences:
        """What counts at present."""
        return self.settings_file.now

    def where(self) -> str:
        """Where the person is, in a sentence."""
        status = self.status
        if status.state is State.LOADING:
            return f"Loading {status.scene} …"
        if status.state is State.FAILED:
            return f"{status.scene} has stopped: {status.words}"
        return f"You are in {status.scene}" + (f", made by {status.model} on {status.device}." if status.model else ".")

    def use_menu(self, open_it: Callable[[], None], close_it: Callable[[], None], back: Callable[[], None]) -> None:
        """Says how the menu is opened and closed, and how its present page is left."""
        self._open_menu, self._close_menu, self.back = open_it, close_it, back

    def say(self, words: str, seconds: float = _SAY) -> None:
        """Shows a passing line."""
        self._say(words, seconds)

    # -- inputs ------------------------------------------------------------------------------------------------------

    def rebind(self) -> None:
        """Takes the preferences over: what inputs do, and how they feel."""
        now = self.preferences
        self._by_input = by_input(now.commands)
        self.controls.tune(feel_of(now))

    def change(self, **changes: Any) -> None:
        """Changes preferences, and what depends on them."""
        self.settings_file.change(**changes)
        if changes.keys() & {"controls", "commands", "sensitivity", "invert_look", "invert_turn", "stick_speed"}:
            self.rebind()
        if "window" in changes:
            self.window.resize(self.preferences.window_size)
        if "anchor_every" in changes:
            self.worker.set_anchor_every(self.preferences.anchor_every)
        if "idle_hold" in changes:
            self.worker.set_idle_hold(self.preferences.idle_hold)

    def command_of(self, name: str) -> str | None:
        """The command that an input gives."""
        return self._by_input.get(name)

    def key_of(self, command: str) -> str:
        """Short name of the input that gives a command; "" if none does."""
        inputs = self.preferences.commands[command]
        return short_name(inputs[0]) if inputs else ""

    def do(self, command: str, now: float) -> None:
        """Does a command."""
        self._commands[command](now)

    def undo_hold(self, command: str, now: float) -> None:
        """The input of a command went up: only a rewind lasts as long as it is held."""
        if command == "rewind":
            self.worker.let_go(now)

    def first_keys(self, mode: str) -> tuple[KeyLine, ...]:
        """The keys worth knowing, as they are bound now."""
        table = self.preferences.controls[mode]

        def caps(*names: str) -> tuple[str, ...]:
            return tuple(short_name(table[name][0]) for name in names if table.get(name))

        lines = [KeyLine(caps(*hint.controls), hint.words) for hint in action_space(mode).hints]
        labels = {command.name: command.label for command in COMMANDS}
        lines += [KeyLine((self.key_of(name),), labels[name]) for name in _FIRST_KEYS if self.key_of(name)]
        return tuple(lines)

    # -- commands ----------------------------------------------------------------------------------------------------

    def toggle_pause(self, now: float) -> None:
        """Pauses, or goes on."""
        if self.status.state is State.FAILED:
            return
        if not self.worker.paused:
            self.hold(now)
        else:
            self.go_on(now)

    def hold(self, now: float, *, captured: bool | None = None) -> None:
        """Stops the play clock, and lends the mouse to the person. captured: whether it is the window's, if known."""
        self.worker.pause(now)
        self._retake_mouse = self.window.captured if captured is None else captured
        self.window.give_back()

    def go_on(self, now: float) -> None:
        """Goes on after `hold`."""
        if self._retake_mouse:
            self.window.capture()
        self._retake_mouse = False
        self.worker.resume(now)

    def restart(self) -> None:
        """Begins the world anew; after a failure, tries again."""
        if self.status.state is State.FAILED:
            self.worker.reset()
        else:
            self.worker.reset()
            self.say("Restarting", 1.0)

    def previous_world(self) -> None:
        """Back to the world before."""
        if not self.worker.other_world():
            self.say("There is no world before this one")

    def load(self) -> None:
        """Back to the world that was saved."""
        if not self.worker.load():
            self.say(f"Nothing is saved yet: {self.key_of('save')} saves the world")

    def ease(self) -> None:
        """Does what the advice offers."""
        if self.advice is not None and self.advice.suggestion is not None:
            self.worker.apply(self.advice.suggestion)
        elif self.status.pace < 1.0:
            self.worker.apply(Suggestion("clock", share=1.0))
            self.say("The play clock runs at full speed again")
        else:
            self.say("This machine keeps up")

    def toggle_numbers(self) -> None:
        """Shows the figures over the picture, or hides them; for this run."""
        self.show_numbers = not self.show_numbers

    def toggle_full_screen(self) -> None:
        """Fills the screen, or gives the window back."""
        self.window.toggle_full_screen()

    def enter(self, scene: SceneLike) -> None:
        """Goes to a world that begins with a picture; one of the person's own is remembered."""
        if isinstance(scene, Scene) and not scene.shipped:
            self.settings_file.change(recent=self.preferences.with_recent(str(scene.path)).recent)
        self._close_menu()
        self.worker.enter(scene)
        self.say(f"Scene: {scene.name}")

    def replay(self, folder: Path, frame: int) -> None:
        """Plays a recording live from a video frame on; the mouse stays the person's, and a click takes over."""
        self._retake_mouse = False
        self._close_menu()
        self.worker.replay(folder, frame)

    def close_menu(self) -> None:
        """Back to the world."""
        self._close_menu()


def feel_of(preferences: Preferences) -> Feel:
    """How inputs turn into actions, as a person likes it."""
    return Feel(
        preferences.sensitivity,
        preferences.invert_look,
        preferences.invert_turn,
        preferences.stick_speed,
        preferences.controls,
    )
