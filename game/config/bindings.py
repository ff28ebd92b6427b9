"""Which input does what: names of inputs, controls and commands, and the presets a person may begin with.

An input is a name: a key's as pygame.key.name gives it ("w", "left shift"), "mouse right" or "mouse 4" for a button,
"wheel up" for a notch of the mouse's wheel, "pad a" or "pad left stick up" on a gamepad. A control is what the model is
told (a key of its action space, or a look); a command is what the program is told. Controls name keys by their place
(what a US keyboard has there: WASD is Z Q S D on a French one), commands by what is printed on them. No pygame here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.actions import LOOK_DOWN, LOOK_LEFT, LOOK_RIGHT, LOOK_UP, ActionSpace
from engine.families import action_space, action_spaces

Table = Mapping[str, tuple[str, ...]]  # what is done -> the inputs that do it

MOST_INPUTS = 4  # of one control: more could not be shown, and nobody has the fingers


@dataclass(frozen=True)
class Command:
    """Something the program can be told: a key, a gamepad's button, a line of the menu and of the page of controls.

    name: in the settings file, and of the method of game/ui/commands.py's Commands that does it. label: for people,
    beside a key. inputs: that do it at first; keys by what is printed on them. title: as a button of the menu says it.
    """

    name: str
    label: str
    inputs: tuple[str, ...]
    title: str = ""


COMMANDS = (
    Command("menu", "menu", ("escape", "pad start")),
    Command("pause", "pause", ("p", "pad back")),
    Command("restart", "restart", ("r", "pad y"), "Begin it anew"),
    Command("next_scene", "next scene", ("n", "pad x"), "Next scene"),
    Command("previous_world", "world before", ("tab", "pad b"), "Back to the world before"),
    Command("rewind", "rewind (hold)", ("backspace", "pad left shoulder")),
    Command("save", "save the world", ("f5", "pad right stick"), "Save the world"),
    Command("load", "back to the save", ("f9", "pad left stick"), "Return to the save"),
    Command("anchor", "anchor anew", ("g", "pad right shoulder"), "Anchor it now"),
    Command("record", "record", ("f6",)),
    Command("screenshot", "screenshot", ("f12",)),
    Command("numbers", "numbers", ("f3",)),
    Command("ease", "ease the load", ("f4",)),
    Command("full_screen", "full screen", ("f11",)),
)
COMMAND_NAMED = {command.name: command for command in COMMANDS}
PINNED = {"menu": "escape"}  # an input that cannot be taken from its command, or nobody could ever mend anything

_PRESETS = {
    "WASD and arrows": {"W": "w", "S": "s", "A": "a", "D": "d", "Z": "z", "C": "c"},
    "arrows and IJKL": {"W": "up", "S": "down", "A": "left", "D": "right", "Z": ",", "C": "."},
    "left-handed": {"W": "i", "S": "k", "A": "j", "D": "l", "Z": "u", "C": "o"},
}
_LOOK_KEYS = {
    "WASD and arrows": ("up", "down", "left", "right"),
    "arrows and IJKL": ("i", "k", "j", "l"),
    "left-handed": ("w", "s", "a", "d"),
}
PRESETS = tuple(_PRESETS)
_ARROWS = {"up": "↑", "down": "↓", "left": "←", "right": "→"}
_LOOKS = (LOOK_UP, LOOK_DOWN, LOOK_LEFT, LOOK_RIGHT)
_PAD = {
    "W": ("pad left stick up", "pad dpad up"),
    "S": ("pad left stick down", "pad dpad down"),
    "A": ("pad left stick left", "pad dpad left"),
    "D": ("pad left stick right", "pad dpad right"),
    "Z": ("pad left trigger",),
    "C": ("pad right trigger",),
}


# Inputs of keys whose names are not those of the inputs, in capitals.
_INPUTS = {
    "SHIFT": "left shift", "CTRL": "left ctrl", "ALT": "left alt", "L_SHIFT": "left shift", "R_SHIFT": "right shift",
    "L_CTRL": "left ctrl", "R_CTRL": "right ctrl", "L_ALT": "left alt", "R_ALT": "right alt", "ENTER": "return",
    "ESC": "escape", "CAPSLOCK": "caps lock", "PAGEUP": "page up", "PAGEDOWN": "page down", "MINUS": "-",
    "EQUALS": "=", "COMMA": ",", "PERIOD": ".", "SLASH": "/", "SEMICOLON": ";", "QUOTE": "'", "BACKQUOTE": "`",
    "LEFT_BRACKET": "[", "RIGHT_BRACKET": "]", "BACKSLASH": "\\", "NUM_PLUS": "[+]", "NUM_MINUS": "[-]",
    "NUM_MULTIPLY": "[*]", "NUM_DIVIDE": "[/]", "NUM_POINT": "[.]", **{f"NUM_{i}": f"[{i}]" for i in range(10)},
}  # fmt: skip


def input_of(key: str) -> str:
    """The input that a key of an action space is named after."""
    return _INPUTS.get(key, key.lower().replace("_", " "))


def passed_through(space: ActionSpace, table: Table) -> dict[str, str]:
    """Input -> key, of those keys that stand for their own inputs wherever these do nothing else."""
    used = by_input(table)
    named = {input_of(key.name): key.name for key in reversed(space.more)}
    return {one: name for one, name in named.items() if one not in used}


def controls_of(mode: str) -> dict[str, str]:
    """Control -> label of a mode, in the order people are shown them."""
    return action_space(mode).labels


def preset(name: str, mode: str) -> dict[str, tuple[str, ...]]:
    """The inputs of every control of a mode under a preset.

    Where the model has no camera of its own to turn, the look keys stand in for the walking ones.
    """
    keys, looks = _PRESETS[name], _LOOK_KEYS[name]
    space = action_space(mode)
    table = {control: (keys.get(control, input_of(control)),) for control in (key.name for key in space.controls)}
    if space.has_looks:
        table |= {control: (key,) for control, key in zip(_LOOKS, looks, strict=True)}
    else:
        table = {
            control: (*inputs, *((looks["WSAD".index(control)],) if control in tuple("WSAD") else ()))
            for control, inputs in table.items()
        }
    return {control: (*inputs, *_PAD.get(control, ())) for control, inputs in table.items()}


def default_controls() -> dict[str, dict[str, tuple[str, ...]]]:
    """The bindings of every mode that a person begins with."""
    return {mode: preset(PRESETS[0], mode) for mode in action_spaces()}


def default_commands() -> dict[str, tuple[str, ...]]:
    """The bindings of the commands that a person begins with."""
    return {command.name: command.inputs for command in COMMANDS}


def preset_of(table: Table, mode: str) -> str | None:
    """The preset that a mode's bindings are, None if they are somebody's own."""
    return next((name for name in PRESETS if preset(name, mode) == dict(table)), None)


def by_input(table: Table) -> dict[str, str]:
    """Input -> what it does; the first that claims an input has it."""
    found: dict[str, str] = {}
    for name, inputs in table.items():
        for one in inputs:
            found.setdefault(one, name)
    return found


def bound(table: Table, name: str, one: str) -> dict[str, tuple[str, ...]]:
    """`table` with the input `one` doing `name`, and nothing else any more."""
    freed = {other: tuple(i for i in inputs if i != one) for other, inputs in table.items()}
    freed[name] = (*freed[name], one)[-MOST_INPUTS:]
    return freed


def without(table: Table, one: str) -> dict[str, tuple[str, ...]]:
    """`table` with the input `one` doing nothing. A pinned one stays."""
    return {name: tuple(i for i in inputs if i != one or PINNED.get(name) == one) for name, inputs in table.items()}


def short_name(one: str) -> str:
    """An input's name as a key cap shows it; a gamepad's says so where it could be anything else."""
    names = {
        "escape": "Esc",
        "return": "Enter",
        "left shift": "L Shift",
        "right shift": "R Shift",
        "left ctrl": "L Ctrl",
        "right ctrl": "R Ctrl",
        "left alt": "L Alt",
        "right alt": "R Alt",
        "pad left stick": "L stick click",
        "pad right stick": "R stick click",
    }
    if one in names:
        return names[one]
    before, _, last = one.rpartition(" ")
    if last in _ARROWS and (not before or before.startswith(("pad", "wheel"))):  # "mouse left" is a button
        one = f"{before} {_ARROWS[last]}".strip()
    words = one.removeprefix("pad ")
    if words == one:
        return one.capitalize() if len(one) > 1 else one.upper()
    if " " not in words:
        return "Pad " + (words.upper() if len(words) == 1 else words)
    return words.replace("left ", "L ").replace("right ", "R ").replace("dpad", "D-pad")
