"""What a person can have done, whichever way they ask for it: by a key, a gamepad, or the menu.

The table is COMMANDS in game/config/bindings.py, where the settings file finds its names: each command is the method of
`Commands` of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.families import action_space
from game.config.bindings import COMMAND_NAMED, COMMANDS, LOOK_LEFT, LOOK_RIGHT, by_input, short_name
from game.config.preferences import Preferences, SettingsFile
from game.input.controls import Controls, Feel
from game.input.devices import Keyboard
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


class Commands:
    """Everything the commands and the menu's pages work with.

    say: shows a passing line for some seconds. library: the recordings, None where nothing is kept.
    """

    def __init__(
        self,
        player: Player,
        controls: Controls,
        settings_file: SettingsFile,
        window: Window,
        say: Callable[[str, float], None],
        *,
        library: Library | None = None,
        background: Background | None = None,
    ) -> None:
        self.player, self.controls, self.settings_file, self.window = player, controls, settings_file, window
        self.library = library
        self.background = background or Background()
        self.keyboard = Keyboard()
        self.advice: Advice | None = None
        self.show_numbers = settings_file.now.numbers
        self.frame_size = (144, 80)  # width and height of the model's pictures, once one was seen
        self.steered = self.looked = False  # the person has moved, and looked round, in this run
        self._say = say
        self._open_menu: Callable[[], None] = lambda: None
        self._close_menu: Callable[[], None] = lambda: None
        self.back: Callable[[], None] = lambda: None
        self._retake_mouse = False  # a pause lent it to the person
        self._actions: dict[str, Callable[[float], None]] = {one.name: getattr(self, one.name) for one in COMMANDS}
        self.rebind()
        player.set_anchor_every(settings_file.now.anchor_every)
        player.set_idle_hold(settings_file.now.idle_hold)

    # -- who is asked ------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """The player's."""
        return self.player.status

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
            self.player.set_anchor_every(self.preferences.anchor_every)
        if "idle_hold" in changes:
            self.player.set_idle_hold(self.preferences.idle_hold)

    def command_of(self, name: str) -> str | None:
        """The command that an input gives; a key by what is printed on it."""
        return self._by_input.get(name)

    def key_of(self, command: str) -> str:
        """Short name of the input that gives a command; "" if none does."""
        inputs = self.preferences.commands[command]
        return short_name(inputs[0]) if inputs else ""

    def cap_of(self, place: str) -> str:
        """Short name of a control's input: of a key, what is printed at its place on this keyboard."""
        return short_name(self.keyboard.printed(place))

    def do(self, command: str, now: float) -> None:
        """Does a command."""
        self._actions[command](now)

    def undo_hold(self, command: str, now: float) -> None:
        """The input of a command went up: only a rewind lasts as long as it is held."""
        if command == "rewind":
            self.player.let_go(now)

    def _caps(self, mode: str, *controls: str) -> tuple[str, ...]:
        table = self.preferences.controls[mode]
        return tuple(self.cap_of(table[name][0]) for name in controls if table.get(name))

    def look_keys(self, mode: str) -> tuple[str, ...]:
        """Caps of the keys that look left and right, in modes that have them."""
        return self._caps(mode, LOOK_LEFT, LOOK_RIGHT)

    def first_keys(self, mode: str) -> tuple[KeyLine, ...]:
        """The keys worth knowing, as they are bound now."""
        lines = [KeyLine(self._caps(mode, *hint.controls), hint.words) for hint in action_space(mode).hints]
        lines += [KeyLine((self.key_of(name),), COMMAND_NAMED[name].label) for name in _FIRST_KEYS if self.key_of(name)]
        return tuple(lines)

    # -- commands ----------------------------------------------------------------------------------------------------

    def menu(self, now: float) -> None:
        """Opens the menu."""
        self._open_menu()

    def pause(self, now: float) -> None:
        """Pauses, or goes on."""
        if self.status.state is State.FAILED:
            return
        if not self.player.paused:
            self.hold(now)
        else:
            self.go_on(now)

    def restart(self, now: float) -> None:
        """Begins the world anew; after a failure, tries again."""
        failed = self.status.state is State.FAILED
        self.player.reset()
        if not failed:
            self.say("Restarting", 1.0)

    def next_scene(self, now: float) -> None:
        """Goes to the next scene."""
        self.say(f"Scene: {self.player.change_scene()}")

    def previous_world(self, now: float) -> None:
        """Back to the world before."""
        if not self.player.other_world():
            self.say("There is no world before this one")

    def rewind(self, now: float) -> None:
        """Runs time backwards, until `undo_hold`."""
        self.player.rewind(now)

    def save(self, now: float) -> None:
        """Keeps the world as it is."""
        self.player.save()

    def load(self, now: float) -> None:
        """Back to the world that was saved."""
        if not self.player.load():
            self.say(f"Nothing is saved yet: {self.key_of('save')} saves the world")

    def anchor(self, now: float) -> None:
        """Begins the world anew from its present picture."""
        self.player.anchor()

    def record(self, now: float) -> None:
        """Begins a recording, or ends it."""
        self.player.toggle_recording()

    def screenshot(self, now: float) -> None:
        """Keeps the picture on the window."""
        self.player.screenshot()

    def numbers(self, now: float) -> None:
        """Shows the figures over the picture, or hides them; for this run."""
        self.show_numbers = not self.show_numbers

    def ease(self, now: float) -> None:
        """Does what the advice offers."""
        if self.advice is not None and self.advice.suggestion is not None:
            self.player.apply(self.advice.suggestion)
        elif self.status.pace < 1.0:
            self.player.apply(Suggestion("clock", share=1.0))
            self.say("The play clock runs at full speed again")
        else:
            self.say("This machine keeps up")

    def full_screen(self, now: float) -> None:
        """Fills the screen, or gives the window back."""
        self.window.toggle_full_screen()

    # -- what commands and pages have in common ----------------------------------------------------------------------

    def hold(self, now: float, *, captured: bool | None = None) -> None:
        """Stops the play clock, and lends the mouse to the person. captured: whether it is the window's, if known."""
        self.player.pause(now)
        self._retake_mouse = self.window.captured if captured is None else captured
        self.window.give_back()

    def go_on(self, now: float) -> None:
        """Goes on after `hold`."""
        if self._retake_mouse:
            self.window.capture()
        self._retake_mouse = False
        self.player.resume(now)

    def enter(self, scene: SceneLike) -> None:
        """Goes to a world that begins with a picture; one of the person's own is remembered."""
        if isinstance(scene, Scene) and not scene.shipped:
            self.settings_file.change(recent=self.preferences.with_recent(str(scene.path)).recent)
        self._close_menu()
        self.player.enter(scene)
        self.say(f"Scene: {scene.name}")

    def replay(self, folder: Path, frame: int) -> None:
        """Plays a recording live from a video frame on; the mouse stays the person's, and a click takes over."""
        self._retake_mouse = False
        self._close_menu()
        self.player.replay(folder, frame)

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
