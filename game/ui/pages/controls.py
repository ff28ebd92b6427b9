"""The page of what inputs do and how they feel, with a preview of what the model is told."""

from __future__ import annotations

from functools import partial

import pygame

from engine.families import action_space, action_spaces, first_space
from game.config.bindings import (
    COMMANDS,
    PINNED,
    PRESETS,
    bound,
    by_input,
    controls_of,
    default_commands,
    preset,
    preset_of,
    short_name,
    without,
)
from game.input.controls import Controls, FrameControl
from game.input.devices import Gamepads
from game.media.icons import control_icons
from game.media.palette import INK, PAPER, QUIET
from game.ui.commands import Commands, feel_of
from game.ui.toolkit.menu import Menu, Page
from game.ui.toolkit.paint import Painter
from game.ui.toolkit.widgets import Button, Canvas, Choice, Heading, KeyField, Note, Slider, Toggle, Widget

_PREVIEW_FPS = 20.0
_STILL = 0.4  # s the preview shows the last motion, so that it can be seen at all
_LABELS = {name: label for mode in action_spaces() for name, label in controls_of(mode).items()}
_LABELS |= {command.name: command.label for command in COMMANDS}


class ControlsPage(Page):
    """Bindings of each mode and of the commands; mouse and gamepad."""

    title = "Controls"

    def __init__(self, commands: Commands, pads: Gamepads, menu: Menu) -> None:
        super().__init__()
        self._commands, self._pads, self._menu = commands, pads, menu
        self._mode = first_space().mode
        self._waiting_for: tuple[str, str] | None = None  # (table, name) that takes the next input
        self._preview = Controls(fps=_PREVIEW_FPS)
        self.shown = FrameControl((), (0.0, 0.0))  # what the preview says that the model is told
        self._shown_since = 0.0
        self._sampled_at = 0.0

    @property
    def waits(self) -> bool:
        """See Page."""
        return self._waiting_for is not None

    def opened(self) -> None:
        """See Page."""
        space = self._commands.status.space
        self.set_mode((space or first_space()).mode)

    def closed(self) -> None:
        """See Page."""
        self._waiting_for = None
        self._preview.release_all()

    # -- the preview -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> bool:
        """Samples the preview once a video frame."""
        if now - self._sampled_at < 1.0 / _PREVIEW_FPS:
            return False
        self._sampled_at = now
        prefer = self._commands.preferences
        self._preview.lean(*self._pads.stick(prefer.look_stick, prefer.dead_zone), now)
        told = self._preview.sample(1, now)[0]
        since, shown = self._shown_since, self.shown
        if told.keys or any(told.mouse or ()) or now - since > _STILL:
            self._shown_since, self.shown = now, told
        return self.shown != shown

    def takes_motion(self, dx: int, dy: int, now: float) -> None:
        """See Page."""
        self._preview.motion(dx, dy, now)

    def takes_input(self, name: str, down: bool, now: float) -> bool:
        """The next input is bound where a field waits for one; any input is shown in the preview."""
        if self._waiting_for is None:
            place = self._commands.keyboard.place_of(name)
            self._preview.press(place, now) if down else self._preview.release(place, now)
            return False
        if down:
            table, what = self._waiting_for
            self._waiting_for = None
            if name != "escape":
                self._bind(table, what, name)
        return True

    # -- what stands on it -------------------------------------------------------------------------------------------

    def widgets(self) -> list[Widget]:
        """See Page."""
        commands, mode, table = self._commands, self._mode, self._commands.preferences.controls[self._mode]
        modes = [(mode, space.label) for mode, space in action_spaces().items()]
        rows: list[Widget] = [
            Canvas("preview", units=5.2, paint_it=self._draw_preview),
            Choice("Mode", "Each mode has keys of its own", value=mode, options=modes,
                   put=self.set_mode),
            Choice("Preset", "Replaces the keys of this mode", value=preset_of(table, mode),
                   options=[(name, name) for name in PRESETS], put=self._take_preset),
        ]  # fmt: skip
        rows += [self._field(mode, name, label, table[name]) for name, label in controls_of(mode).items()]
        rows += [Heading("Mouse"), *self._mouse_rows(), Heading("Gamepad"), *self._pad_rows(), Heading("Commands")]
        bound_to = commands.preferences.commands
        rows += [self._field("", one.name, one.label, bound_to[one.name]) for one in COMMANDS]
        rows.append(Button("All commands as they were", "", lambda: self._change_table("", default_commands())))
        return rows

    def _mouse_rows(self) -> list[Widget]:
        commands, now = self._commands, self._commands.preferences
        return [
            # Fewer pixels turn faster, so the slider runs the other way.
            Slider("Sensitivity", "Move the mouse here to see what the model gets", value=60 / now.sensitivity,
                   low=0.1, high=10.0, even=False, show=lambda v: f"{v:.2f} ×",
                   put=lambda v: self._feel(sensitivity=float(f"{60 / v:.4g}"))),
            Toggle("Invert up and down", value=now.invert_look, put=lambda v: self._feel(invert_look=v)),
            Toggle("Invert left and right", value=now.invert_turn, put=lambda v: self._feel(invert_turn=v)),
        ] if commands else []  # fmt: skip

    def _pad_rows(self) -> list[Widget]:
        now, plugged = self._commands.preferences, ", ".join(self._pads.names)
        return [
            Note(plugged or "None is plugged in; one that comes is taken at once."),
            Choice("Stick that looks", value=now.look_stick, options=[(s, s) for s in ("right", "left", "none")],
                   put=lambda v: self._feel(look_stick=v)),
            Slider("Speed of a full stick", value=now.stick_speed, low=0.05, high=1.0, show=lambda v: f"{v:.0%}",
                   put=lambda v: self._feel(stick_speed=v)),
            Slider("Dead zone", "Share of the stick's way that counts as rest", value=now.dead_zone, low=0.0, high=0.9,
                   show=lambda v: f"{v:.0%}", put=lambda v: self._feel(dead_zone=v)),
        ]  # fmt: skip

    def _field(self, table: str, name: str, label: str, inputs: tuple[str, ...]) -> KeyField:
        return KeyField(
            label[:1].upper() + label[1:],
            "Enter adds a key, Delete takes the last one away",
            caps=[self._commands.cap_of(one) if table else short_name(one) for one in inputs],
            waiting=self._waiting_for == (table, name),
            capture=partial(self._wait_for, table, name),
            remove=partial(self._remove, table, name),
        )

    # -- what it changes ---------------------------------------------------------------------------------------------

    def set_mode(self, mode: str) -> None:
        self._mode = mode
        self._preview.tune(feel_of(self._commands.preferences))
        self._preview.configure(action_space(mode), _PREVIEW_FPS)

    def _feel(self, **changes) -> None:
        self._commands.change(**changes)
        self._preview.tune(feel_of(self._commands.preferences))

    def _take_preset(self, name: str) -> None:
        self._change_table(self._mode, preset(name, self._mode))

    def _wait_for(self, table: str, name: str) -> None:
        self._preview.release_all()
        self._waiting_for = (table, name)

    def _table(self, table: str) -> dict[str, tuple[str, ...]]:
        prefer = self._commands.preferences
        return dict(prefer.controls[table] if table else prefer.commands)

    def _change_table(self, table: str, to: dict[str, tuple[str, ...]]) -> None:
        if table:
            self._feel(controls={**self._commands.preferences.controls, table: to})
        else:
            self._feel(commands=to)

    def _bind(self, table: str, name: str, one: str) -> None:
        """Gives an input to a control or command, and takes it from whatever had it in this mode.

        one: a key by what is printed on it, which is what commands go by; controls go by its place.
        """
        if one in PINNED.values():
            self._menu.remark = f"{short_name(one)} opens the menu and stays there"
            return
        place = self._commands.keyboard.place_of(one)
        taken: list[str] = []
        for other in ("", table) if table else ("", *action_spaces()):  # where it cannot mean two things at once
            now, key = self._table(other), place if other else one
            owner = by_input(now).get(key)
            if owner is not None and (other, owner) != (table, name):
                taken.append(_LABELS[owner])
                self._change_table(other, without(now, key))
        self._change_table(table, bound(self._table(table), name, place if table else one))
        if taken:
            self._menu.remark = f"{short_name(one)} was taken from: {', '.join(dict.fromkeys(taken))}"

    def _remove(self, table: str, name: str) -> None:
        inputs = self._table(table)[name]
        if inputs:
            self._change_table(table, without(self._table(table), inputs[-1]))

    # -- how the preview looks ---------------------------------------------------------------------------------------

    def _draw_preview(self, paint: Painter, surface: pygame.Surface, area: pygame.Rect, unit: int) -> None:
        space, told = action_space(self._mode), self.shown
        room = pygame.Rect(area.left + unit, area.top, area.width - 2 * unit, area.height - unit // 2)
        paint.panel(surface, room, INK, unit // 2)
        high = round(room.height / 0.34)  # of a picture whose icons fill the room
        part = surface.subsurface(room.clip(surface.get_rect()))
        top = room.height - high + round(0.5 * unit)
        for icon in control_icons(min(room.width, 30 * unit), high, told.keys, told.mouse, space, place="left"):
            paint.patch(part, icon.rgba, icon.x, icon.y + top)
        words = "The model is told"
        keys = " ".join(told.keys) or "no key"
        lines = [(words, QUIET), (keys, PAPER)]
        if told.mouse is not None:
            lines.append((f"pitch {told.mouse[0]:+.3f}   yaw {told.mouse[1]:+.3f}", PAPER))
        left = room.left + round(13.5 * unit)
        for number, (line, colour) in enumerate(lines):
            at = (left, room.top + round((0.55 + 1.35 * number) * unit))
            paint.put(
                surface, line, round(0.9 * unit), colour, at, anchor="topleft", room=room.right - left - unit // 2
            )
