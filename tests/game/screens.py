"""Every state of the window as a picture, without a worker: for people to look at, and for the reference pictures.

python -m tests.game.screens --out DIR [--size 1280x720] [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import numpy as np
import pygame

from engine.families import action_space
from game.config.preferences import SettingsFile
from game.input.controls import Controls, FrameControl
from game.input.devices import Gamepads
from game.live.clock import PaceReport
from game.live.status import (
    Advice,
    Figures,
    ModelChoice,
    Picture,
    ReplayFigures,
    RewindFigures,
    State,
    Status,
    Suggestion,
)
from game.recording.library import Entry, Thrown, Trash
from game.ui.commands import Commands, feel_of
from game.ui.pages import make_menu
from game.ui.pages.pictures import DropPage
from game.ui.pages.recordings import RecordingPage
from game.ui.toolkit.menu import Menu
from game.ui.toolkit.paint import Painter
from game.ui.view import Hud, KeyLine, Look, Scenery, View, numbers_of
from game.ui.window import Window
from game.world.scenes import Scene
from tests.game.fakes import FakeScene, landscape

SIZES = ((640, 400), (1280, 720), (2560, 1440))
SCENES = ("hall", "forge", "garden", "library", "pool", "terrace", "tower")
SPACE = action_space("universal")
FRAME = Picture(landscape(80, 144, 0.05, -0.02), 7, FrameControl(("W", "D"), (0.02, 0.06)))
BACKDROP = Picture(landscape(240, 320, 0.0, 0.0, hue=3), backdrop=True)
PLAYING = Status(
    quality="default",
    state=State.PLAYING,
    words="",
    model="tiny",
    device="cpu",
    scene="hall",
    space=SPACE,
    rewind=RewindFigures(24.0, 118.0, 256.0),
)
_TIMES = tuple(31 + 9 * np.sin(i / 3.0) + 6 * np.sin(i * 1.7) for i in range(64))
_PACE = PaceReport(
    fps=20.0,
    shown_fps=19.8,
    speed=1.0,
    block_ms={"p50": 31.2, "p95": 44.0},
    deadline_ms=50.0,
    spare_ms=6.1,
    latency_ms={"p50": 84.0, "p95": 97.0},
    lookahead_ms={"p50": 12.0, "p95": 48.0},
    late_frames=3,
    undrawn_frames=1,
    recent_ms=_TIMES,
    pace=1.0,
    slow_words="",
)
FIGURES = Figures(_PACE, PLAYING.rewind, 412.0, None, None)
ADVICE = Advice(
    "Playing at 62% speed: a frame takes 80 ms here, 50 ms would be in time",
    "Two denoising steps would be in time",
    Suggestion("quality", name="fast"),
)


class _Player:
    """What the commands ask of a player, noted."""

    qualities = ("default", "fast", "max")
    paused, fps = False, 20.0

    def __init__(self) -> None:
        self.status = PLAYING
        self.asked: list[tuple] = []

    def choices(self, weights: str) -> list[ModelChoice]:
        why = "the model comes without weights; download them and name their folder"
        return [
            ModelChoice("gta_drive", "gta_drive", 640, 352, 16.0, why, "needs its weights"),
            ModelChoice("templerun", "templerun", 640, 352, 16.0, why, "needs its weights"),
            ModelChoice("tiny", "universal", 144, 80, 20.0, "", ""),
            ModelChoice("universal", "universal", 640, 352, 16.0, why, "needs its weights"),
        ]

    def __getattr__(self, name: str) -> Callable:
        def note(*arguments):
            self.asked.append((name, *arguments))
            return True

        return note


class _Video:
    frames, fps = 1200, 20.0

    def __init__(self, looked_at: list[int]) -> None:
        self.looked_at = looked_at

    def at(self, frame: int) -> np.ndarray:
        self.looked_at.append(frame)
        return landscape(160, 288, frame / 200, 0.0)

    def close(self) -> None:
        pass


class _Library:
    """Made-up recordings."""

    def __init__(self) -> None:
        self.root, self.in_trash = Path("recordings"), Trash()
        self.busy_with, self.renderings, self.readers, self.fetches = {}, {}, {}, False
        self.looked_at: list[int] = []
        scenes = ("hall", "garden", "pool", "tower", "library")
        self.kept = [
            Entry(Path(f"recordings/{i}"), "session", "tiny", "universal", scene, datetime(2026, 5, 4 + i, 20, 15),
                  1200 - 170 * i, 20.0, (1200 - 170 * i) / 20, "its action log is cut off" if i == 3 else None, None)
            for i, scene in enumerate(scenes)
        ]  # fmt: skip

    def listed(self) -> list[Path]:
        return [entry.folder for entry in self.kept]

    def made(self, folder: Path) -> datetime:
        return self.glance(folder).made

    def glance(self, folder: Path) -> Entry:
        return next(entry for entry in self.kept if entry.folder == folder)

    read = glance

    def thumbnail(self, entry: Entry) -> np.ndarray:
        return landscape(160, 288, entry.frames / 300, 0.0, hue=entry.frames)

    def open_video(self, entry: Entry, icons: bool = False) -> _Video:
        return _Video(self.looked_at)

    def delete(self, entry: Entry) -> Thrown:
        return Thrown(entry.folder, Path("trash"))

    def restore(self, thrown: Thrown) -> Path:
        return thrown.folder

    def busy(self, folder: Path) -> str:
        return self.busy_with.get(folder, "")

    def trash(self) -> Trash:
        return self.in_trash

    def rendering(self, folder: Path):
        return self.renderings.get(folder)

    def without(self, rendering) -> None:
        self.renderings = {folder: one for folder, one in self.renderings.items() if one is not rendering}


@dataclass
class Stage:
    """A window with everything on it but a worker."""

    window: Window
    commands: Commands
    menu: Menu
    view: View
    paint: Painter
    pads: Gamepads
    remarks: list[str]
    now: float = 0.0

    def show(self, scenery: Scenery) -> np.ndarray:
        """Draws a scenery; gives the window's pixels, (H, W, 3) uint8."""
        self.view.draw(self.window.surface, scenery)
        pygame.display.flip()
        return pygame.surfarray.array3d(self.window.surface).swapaxes(0, 1).copy()

    def settle(self) -> None:
        """Lets what is made in the background come."""
        quiet = 0
        for _ in range(60):
            self.menu.draw(self.window.surface)
            busy = self.commands.background.begin(lambda: None)
            busy.result(20)
            stamp = self.menu.stamp
            self.menu.tick(self.now)
            quiet = 0 if self.menu.stamp != stamp else quiet + 1
            if quiet > 8:
                return


def set_stage(size: tuple[int, int], folder: Path) -> Stage:
    """A stage of a size. folder: for preferences."""
    settings_file = SettingsFile(folder / "settings.yaml", session={"window": f"{size[0]}x{size[1]}", "folder": "."})
    window, remarks = Window(size, False), []
    controls = Controls(feel=feel_of(settings_file.now))
    commands = Commands(
        _Player(), controls, settings_file, window, lambda words, seconds: remarks.append(words), library=_Library()
    )
    paint, pads = Painter(), Gamepads()
    menu = make_menu(commands, pads, paint, [FakeScene(name) for name in SCENES], lambda: None, lambda: None)
    commands.use_menu(menu.open, menu.close, menu.pop)
    return Stage(window, commands, menu, View(paint, Hud(paint), menu), paint, pads, remarks)


def scenery(stage: Stage, **changes) -> Scenery:
    """A world in play."""
    usual = Scenery(FRAME, PLAYING, False, stage.window.surface.get_size(), hints=("P goes on, Esc opens the menu",
                    "R tries again, Esc opens the menu"), ease="F4")  # fmt: skip
    return replace(usual, **changes)


def _menu(section: str, *steps: str, inside: bool = True) -> Callable[[Stage], Scenery]:
    """The menu at a section, after some inputs. inside: whether the focus is on the page."""

    def make(stage: Stage) -> Scenery:
        stage.menu.open(section)
        if not inside:
            stage.menu.pop()
        stage.settle()
        for name in steps:
            stage.menu.input(name, True, 0.0)
            stage.menu.input(name, False, 0.0)
            stage.settle()
        return scenery(stage, menu=stage.menu.stamp)

    return make


def _drop(stage: Stage) -> Scenery:
    from game.media.pictures import save_png

    path = Path(tempfile.mkdtemp()) / "harbour.png"
    save_png(path, landscape(700, 500, 0.3, 0.1, hue=40))
    stage.menu.open("Scenes", DropPage(stage.commands, Scene("harbour", path)))
    stage.settle()
    return scenery(stage, menu=stage.menu.stamp)


def _broken_drop(stage: Stage) -> Scenery:
    path = Path(tempfile.mkdtemp()) / "notes.png"
    path.write_text("no picture")
    stage.menu.open("Scenes", DropPage(stage.commands, Scene("harbour", path)))
    stage.settle()
    return scenery(stage, menu=stage.menu.stamp)


def _recording(stage: Stage) -> Scenery:
    stage.menu.open("Recordings")
    stage.settle()
    library = stage.commands.library
    stage.menu.push(RecordingPage(stage.commands, stage.menu, library.kept[0], library, lambda entry: None))
    stage.settle()
    stage.menu.page.seek(21.0)
    stage.settle()
    return scenery(stage, menu=stage.menu.stamp)


def _waiting(stage: Stage) -> Scenery:
    made = _menu("Controls")(stage)
    stage.menu.page.focus = "KeyField:Forward"
    stage.menu.page._wait_for("universal", "W")
    return made


def _words(**changes) -> Callable[[Stage], Scenery]:
    return lambda stage: scenery(stage, **changes)


_LONG = (
    "CUDA ran out of memory while the block was denoised; got 23.1 GB in use; close other programs or use quality=fast"
)

FIRST_LOOK = KeyLine(("←", "→"), "Click to look round with the mouse, or press")
SCREENS: dict[str, Callable[[Stage], Scenery]] = {
    "loading": _words(picture=BACKDROP, status=Status(words="Loading the engine", progress=0.4)),
    "loading_unknown": _words(picture=BACKDROP, status=Status(words="Starting torch"), beat=12),
    "playing": _words(),
    "numbers": _words(numbers=numbers_of(FIGURES, PLAYING)),
    "first_keys": lambda stage: scenery(stage, keys=stage.commands.first_keys("universal"), keys_strength=1.0,
                                        first_look=FIRST_LOOK),
    "first_look": _words(first_look=FIRST_LOOK),
    "paused": _words(paused=True, numbers=numbers_of(FIGURES, PLAYING)),
    "recording": _words(status=replace(PLAYING, recording=True, recorded=83), remark="Recording"),
    "warning": _words(advice=ADVICE, numbers=numbers_of(FIGURES, PLAYING),
                      status=replace(PLAYING, recording=True, recorded=7)),
    "replay": _words(status=replace(PLAYING, replay=ReplayFigures("x", 21.0, 60.0)),
                     take_over="a walking key, a stick or a click takes over"),
    "rewinding": _words(status=replace(PLAYING, rewinding=True), picture=replace(FRAME, behind_s=4.2)),
    "failure": _words(status=replace(PLAYING, state=State.FAILED, words=_LONG)),
    "icons_left": _words(look=Look(icons="large", icons_place="left", scale="whole")),
    "menu": _menu("Resume", inside=False),
    "world": _menu("World"),
    "scenes": _menu("Scenes", "right"),
    "models": _menu("Models"),
    "controls": _menu("Controls", "w"),
    "controls_below": _menu("Controls", *["down"] * 14),
    "controls_waiting": _waiting,
    "controls_end": _menu("Controls", "end"),
    "picture": _menu("Picture"),
    "recordings": _menu("Recordings", "down"),
    "recording_page": _recording,
    "about": _menu("About"),
    "folder": _menu("Scenes", "end", "return"),
    "drop": _drop,
    "drop_broken": _broken_drop,
}  # fmt: skip


def screen(name: str, size: tuple[int, int]) -> np.ndarray:
    """A state's picture, (H, W, 3) uint8."""
    folder = Path(tempfile.gettempdir()) / "neural-world-screens"
    folder.mkdir(exist_ok=True)
    stage = set_stage(size, folder)
    try:
        return stage.show(SCREENS[name](stage))
    finally:
        stage.commands.background.stop()
        pygame.display.quit()


def main() -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SCREENS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", action="append", default=[])
    flags = parser.parse_args()
    from game.media.pictures import save_png

    flags.out.mkdir(parents=True, exist_ok=True)
    for size in [tuple(map(int, text.split("x"))) for text in flags.size] or SIZES:
        for name in flags.names or SCREENS:
            save_png(flags.out / f"{name}-{size[0]}x{size[1]}.png", screen(name, size))


if __name__ == "__main__":
    main()
