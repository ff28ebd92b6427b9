"""The window: events in, pictures out. It loads nothing and computes nothing of a world; see game/worker.py for that.

States: loading, playing, failed (the worker's) and paused (the play clock's). One loop sleeps until an event, a due
frame or a changed word, and draws only when something looks different.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on import otherwise
os.environ.setdefault("SDL_WINDOWS_DPI_AWARENESS", "permonitorv2")  # real pixels, not enlarged ones
os.environ.setdefault("SDL_VIDEO_X11_WMCLASS", "neural-world")  # for the desktop's lists; else the interpreter's name
if sys.platform.startswith("linux"):
    # SDL would push each frame through OpenGL: 8 ms a frame where that is software, against 0.1 ms by shared memory.
    os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")

import pygame

from engine.errors import InputError
from game.controls import Controls
from game.hud import Hud, key_help, number_rows
from game.overlay import key_cap
from game.pacing import Pacer
from game.view import TITLE, Scenery, View
from game.worker import MakeRecorder, OpenWorld, Picture, SceneLike, State, Worker

_HELP_SECONDS, _FADE_SECONDS, _REMARK_SECONDS = 9.0, 1.5, 2.5
_SLOW_START = 0.5  # s a new world may take before the window says what it waits for
_LONGEST_SLEEP = 0.05  # s: bounds how late a signal (Ctrl-C) or a missed wake-up is noticed
_NUMBERS_EVERY = 0.25  # s
_PATIENCE = 20.0  # s the program waits for a block in flight when it is closed
_lost_handler = None  # X keeps no reference to it


@dataclass(frozen=True)
class PlaySettings:
    """How to play.

    scenes: first frames to choose from, at least one. scene: number of the one to begin with. seed: of every world.
    seconds: close by itself after so many seconds of play, None for never. sensitivity: pixels of mouse motion that
    are 0.1 of the camera unit. margin_ms: slack of the block scheduler. smooth: interpolate the enlarged picture.
    icons, numbers: key and mouse icons, F3 numbers from the start. size: of the window in pixels, None to fit the
    screen. debug: on failure print the traceback too.
    """

    scenes: Sequence[SceneLike]
    scene: int = 0
    seed: int = 0
    seconds: float | None = None
    sensitivity: float = 60.0
    margin_ms: float = 12.0
    smooth: bool = True
    icons: bool = True
    numbers: bool = False
    full_screen: bool = False
    size: tuple[int, int] | None = None
    debug: bool = False


def play(settings: PlaySettings, open_world: OpenWorld, make_recorder: MakeRecorder | None = None) -> int:
    """Opens the window and plays until it is closed.

    open_world: loads the model and tells its progress; called in the inference thread, and again when a person
    restarts after it failed. make_recorder: makes a recorder for each new rollout (rollout, world, scene name), None to
    record nothing. Returns the exit code: 0, or 1 or 2 when it ended on a failure, whose words go to standard error.
    Raises InputError when there is no display to open a window on.
    """
    try:
        app = App(settings, open_world, make_recorder)
    except pygame.error as error:
        pygame.quit()
        remedy = "without one, render a script: python -m game --headless --script FILE"
        raise InputError("no window can be opened here", got=error, expected="a display", remedy=remedy) from error
    return app.run()


class App:
    """The window and its loop. Raises pygame.error when no window can be opened."""

    def __init__(self, settings: PlaySettings, open_world: OpenWorld, make_recorder: MakeRecorder | None) -> None:
        self._settings = settings
        self._window = _Window(settings.size, settings.full_screen)
        self._view = View(Hud(), settings.smooth)
        self._controls = Controls(sensitivity=settings.sensitivity)
        self._pacer = Pacer(margin=settings.margin_ms / 1000.0)
        self._wake_event = pygame.event.custom_type()
        self._worker = Worker(
            open_world,
            settings.scenes,
            self._controls,
            self._pacer,
            scene=settings.scene,
            seed=settings.seed,
            make_recorder=make_recorder,
            wake=self._wake,
        )
        _on_display_lost(self._end_without_display)
        self._open = True
        self._retake_mouse = False  # a pause lent it to the person
        self._icons, self._show_numbers = settings.icons, settings.numbers
        self._numbers: tuple[float, tuple] = (-math.inf, ())
        self._remark = ("", -math.inf)
        self._notices = 0
        self._played_since: float | None = None
        self._ended_since: float | None = None  # loading ended, well or badly
        self._loading_since = math.inf
        self._drawn: Scenery | None = None
        self._counted: Picture | None = None
        self._commands: dict[str, Callable[[float], None]] = {
            "p": self._toggle_pause,
            "r": self._restart,
            "n": self._next_scene,
            "f3": self._toggle_numbers,
            "f11": lambda now: self._window.toggle_full_screen(),
            "escape": self._escape,
        }

    def run(self) -> int:
        """Plays until the window is closed; returns the exit code."""
        try:
            self._draw(time.perf_counter())
            self._worker.start()
            while self._open:
                self._turn()
        except KeyboardInterrupt:
            pass
        finally:
            status = self._worker.status
            self._window.close()
            ended = self._worker.stop(_PATIENCE)
            pygame.quit()
        if not ended:
            print("game: the block in flight did not end, the program ends without it", file=sys.stderr)
        if status.state is not State.FAILED:
            return 0
        print(status.details if self._settings.debug else f"game: {status.words}", file=sys.stderr)
        return status.exit_code

    def _end_without_display(self) -> None:
        """Keeps what was recorded and ends the program, which Xlib would otherwise do here and now."""
        self._open = False
        # In the inference thread nothing can be waited for; then the recording is left as a kill would leave it.
        if threading.current_thread() is threading.main_thread():
            self._worker.stop(_PATIENCE)
        print("game: the display is gone; what was recorded is kept", file=sys.stderr, flush=True)
        os._exit(1)

    # -- one turn of the loop ----------------------------------------------------------------------------------------

    def _turn(self) -> None:
        for event in self._sleep():
            self._handle(event, time.perf_counter())
        now = time.perf_counter()
        self._note_state(now)
        self._draw(now)

    def _sleep(self) -> list[pygame.event.Event]:
        """Waits for something to do, and returns the events that came."""
        now = time.perf_counter()
        due = self._pacer.next_change(now)
        wait = _LONGEST_SLEEP if due is None else max(0.0, min(_LONGEST_SLEEP, due - now))
        first = pygame.event.wait(max(1, math.ceil(wait * 1000)))
        return [first, *pygame.event.get()] if first.type != pygame.NOEVENT else []

    def _wake(self) -> None:
        """Called from the inference thread: look again."""
        if not self._open:
            return
        # An error means the queue is full (then the loop is awake), or the window has just been closed.
        with contextlib.suppress(pygame.error):
            pygame.event.post(pygame.event.Event(self._wake_event))

    def _note_state(self, now: float) -> None:
        status = self._worker.status
        if status.notices > self._notices:
            self._notices = status.notices
            self._say(status.notice, now + 5.0)
        if status.state is State.PLAYING and self._played_since is None:
            self._played_since = now
        if status.state is State.LOADING:
            self._loading_since = min(self._loading_since, now)
        else:
            self._loading_since = math.inf
            if status.state is State.FAILED and self._window.captured:
                self._let_go()
            if self._ended_since is None:
                self._ended_since = now
        if self._settings.seconds is not None and self._ended_since is not None:
            self._open = self._open and now - self._ended_since < self._settings.seconds

    def _draw(self, now: float) -> None:
        """Shows what is due, if it looks other than what is there."""
        picture = self._worker.look(now)
        scenery = self._scenery(picture, now)
        if scenery.same_as(self._drawn):
            return
        self._view.draw(self._window.surface, scenery)
        pygame.display.flip()
        self._drawn = scenery
        if picture is not None and picture.number is not None and picture is not self._counted:
            self._counted = picture
            self._pacer.displayed(picture.number, picture.control.since, time.perf_counter())

    def _scenery(self, picture: Picture | None, now: float) -> Scenery:
        status, paused = self._worker.status, self._pacer.paused
        playing = status.state is State.PLAYING
        strength, items = 0.0, ()
        if self._played_since is not None and status.space is not None and not paused:
            left = self._played_since + _HELP_SECONDS - now
            strength = round(max(0.0, min(1.0, left / _FADE_SECONDS)) * 12) / 12
            items = tuple(key_help(status.space.mode)) if strength else ()
        words, until = self._remark
        if now >= until:
            words = status.words if now - self._loading_since > _SLOW_START else status.beside
        return Scenery(
            picture=picture,
            status=status,
            paused=paused and status.state is not State.LOADING,
            size=self._window.surface.get_size(),
            icons=self._icons,
            help=items,
            help_strength=strength,
            remark=words,
            slow_words=self._pacer.slow_words() if playing and not paused else "",
            numbers=self._number_rows(now) if self._show_numbers and status.space is not None else None,
        )

    def _number_rows(self, now: float) -> tuple:
        taken, rows = self._numbers
        if now - taken >= _NUMBERS_EVERY:
            rows = tuple(number_rows(self._pacer.report(now), self._worker.status))
            self._numbers = (now, rows)
        return rows

    def _say(self, words: str, until: float) -> None:
        self._remark = (words, until)

    # -- events ------------------------------------------------------------------------------------------------------

    def _handle(self, event: pygame.event.Event, now: float) -> None:
        if event.type == pygame.MOUSEMOTION:
            if self._window.captured and not self._pacer.paused:
                self._controls.motion(*event.rel, now)
        elif event.type == pygame.KEYDOWN:
            name = key_name(event)
            command = self._commands.get(name)
            if command is not None:
                command(now)
            else:
                self._controls.press(name, now)
        elif event.type == pygame.KEYUP:
            self._controls.release(key_name(event), now)
        elif event.type == pygame.MOUSEBUTTONDOWN:
            if event.button == 1 and self._mouse_is_useful():
                self._window.capture()
                self._say("Esc gives the mouse back", now + _REMARK_SECONDS)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._let_go()
        elif event.type in (pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED, pygame.WINDOWRESTORED):
            self._drawn = None
        elif event.type == pygame.QUIT:
            self._open = False

    def _mouse_is_useful(self) -> bool:
        status = self._worker.status
        playing = status.state is State.PLAYING and not self._pacer.paused and not self._window.captured
        return playing and status.space is not None and status.space.has_mouse

    def _let_go(self) -> None:
        """The person looks elsewhere: nothing stays pressed, and the mouse is theirs again."""
        self._controls.release_all()
        self._window.give_back()

    def _escape(self, now: float) -> None:
        if self._window.captured:
            self._let_go()
            self._say("Esc again to quit, click to look round", now + _REMARK_SECONDS)
        else:
            self._open = False

    def _toggle_pause(self, now: float) -> None:
        if self._worker.status.state is State.FAILED:
            return
        if not self._pacer.paused:
            self._worker.pause(now)
            self._retake_mouse = self._window.captured
            self._window.give_back()
            return
        if self._retake_mouse:
            self._window.capture()
        self._worker.resume(now)

    def _restart(self, now: float) -> None:
        if self._worker.status.state is State.FAILED:
            self._worker.restart()
            return
        self._worker.reset()
        self._say("Restarting", now + 1.0)

    def _next_scene(self, now: float) -> None:
        self._say(f"Scene: {self._worker.change_scene()}", now + _REMARK_SECONDS)

    def _toggle_numbers(self, now: float) -> None:
        self._show_numbers = not self._show_numbers
        self._numbers = (-math.inf, ())


def _open_display() -> None:
    """Connects to the display, and not to the one nobody sees that SDL would make do with. Raises pygame.error."""
    chosen = os.environ.get("SDL_VIDEODRIVER")
    if sys.platform.startswith("linux") and not chosen and not os.environ.get("XDG_RUNTIME_DIR"):
        os.environ["SDL_VIDEODRIVER"] = "x11,KMSDRM"  # Wayland cannot work then, and says so on standard error
    pygame.display.init()
    if pygame.display.get_driver() == "offscreen" and chosen != "offscreen":
        raise pygame.error("no display")


def _on_display_lost(end: Callable[[], None]) -> None:
    """Has `end`, which must not return, called when the X server goes away (elsewhere SDL asks the program to quit)."""
    global _lost_handler
    if pygame.display.get_driver() == "x11" and sys.platform.startswith("linux"):  # SDL itself loads X by this name
        _lost_handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda display: end())
        ctypes.CDLL("libX11.so.6").XSetIOErrorHandler(_lost_handler)


def key_name(event: pygame.event.Event) -> str:
    """Name of the key of a KEYDOWN or KEYUP event: what is printed on it, or the Latin letter of its place."""
    name = pygame.key.name(event.key)
    place = getattr(event, "scancode", 0) - pygame.KSCAN_A
    if not (name and name.isascii()) and 0 <= place < 26:  # on a Cyrillic keyboard, W is where it always was
        return chr(ord("a") + place)
    return name


class _Window:
    """The display surface, full screen or not, and who has the mouse."""

    def __init__(self, size: tuple[int, int] | None, full_screen: bool) -> None:
        _open_display()
        self._size = size or self._fitting_size()
        pygame.display.set_caption(TITLE)
        icon = key_cap("W", 64, True)
        pygame.display.set_icon(pygame.image.frombuffer(icon.tobytes(), icon.shape[1::-1], "RGBA"))
        self._full_screen = False
        pygame.display.set_mode(self._size, pygame.RESIZABLE)
        pygame.key.stop_text_input()  # an input method would keep keys to itself
        self.captured = False
        if full_screen:
            self.toggle_full_screen()

    @property
    def surface(self) -> pygame.Surface:
        """Today's surface: another one after every change of size."""
        return pygame.display.get_surface()

    def toggle_full_screen(self) -> None:
        """Fills the screen with the window, or gives it its old size back."""
        self._full_screen = not self._full_screen
        if self._full_screen:
            self._size = self.surface.get_size()
            pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        else:
            for _ in range(2):  # the first call leaves full screen and keeps the screen's size
                pygame.display.set_mode(self._size, pygame.RESIZABLE)

    def capture(self) -> None:
        """Takes the mouse: hidden and held, so that only its motion counts."""
        self.captured = True
        pygame.mouse.set_visible(False)
        pygame.event.set_grab(True)
        pygame.event.clear(pygame.MOUSEMOTION)  # the jump to the middle is not the person's

    def give_back(self) -> None:
        """Lets the mouse go where it likes."""
        self.captured = False
        pygame.event.set_grab(False)
        pygame.mouse.set_visible(True)

    def close(self) -> None:
        """Takes the window off the screen at once, whatever is still to be finished."""
        self.captured = False
        pygame.display.quit()

    @staticmethod
    def _fitting_size() -> tuple[int, int]:
        """1152 x 640, the shape of every model's picture, or as much of it as the screen has room for."""
        screen = (pygame.display.get_desktop_sizes() or [(1280, 720)])[0]
        scale = min(1.0, 0.9 * screen[0] / 1152, 0.85 * screen[1] / 640)
        return round(1152 * scale), round(640 * scale)
