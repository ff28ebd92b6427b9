"""What the worker tells the window: states, words, pictures, figures and advice. Plain frozen data, no threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np

from engine.actions import ActionSpace
from game.input.controls import FrameControl
from game.live.playstats import PaceReport
from game.world.history import Moment

_IDLE = FrameControl((), None)


class SceneLike(Protocol):
    """A first frame with a name, see game/world/scenes.py."""

    name: str

    def picture(self) -> np.ndarray: ...


class State(Enum):
    """What the worker is about; a pause is the play clock's affair and not among them."""

    LOADING = "loading"
    PLAYING = "playing"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Suggestion:
    """Something a person can have done about a machine that cannot keep up: `Worker.apply` takes it.

    kind: "clock" plays at `share` (0 to 1) of the model's own rate; "quality" goes on with another quality, `name`.
    """

    kind: str
    share: float = 1.0
    name: str = ""


@dataclass(frozen=True)
class Advice:
    """The machine cannot keep up. words: the verdict. remedy: what would help, in words. suggestion: the same to apply,
    None if nothing here would. mild: it falls short by so little that it is no warning."""

    words: str
    remedy: str = ""
    suggestion: Suggestion | None = None
    mild: bool = False


@dataclass(frozen=True)
class RewindFigures:
    """How far a rewind reaches. depth_s: seconds of play. mb: memory its states take. budget_mb: what they may take."""

    depth_s: float = 0.0
    mb: float = 0.0
    budget_mb: float = 0.0


@dataclass(frozen=True)
class ReplayFigures:
    """A recording being replayed live. name: of its folder. at_s, length_s: seconds of play."""

    name: str
    at_s: float
    length_s: float


@dataclass(frozen=True)
class Status:
    """What the window may tell a person.

    words: what is being done, or what went wrong. progress: share done while loading, 0 to 1; 0 as long as nobody
    knows how long it takes. notice: a passing remark (a recording that stopped), with its number so that each is shown
    once. exit_code: what a failure that is not mended ends the program with. model, device: for the HUD, "" while
    loading. What changes all the time (recorded, rewind, replay) is told about once a second.

    recording: a recording is being written; recorded: its length in whole seconds. saved: load() has something to
    return to. other_world: name of the world that other_world() returns to, "" if there is none. rewinding: pictures
    run backwards. held: nobody plays, and the picture is held. replay: a recording gives the controls, None if a
    person does. beside: what the world tells of while it plays (compiling). pace: share of the model's rate that the
    play clock was asked to keep to, see `Suggestion`.
    """

    state: State = State.LOADING
    words: str = "Starting"
    progress: float = 0.0
    notice: str = ""
    notices: int = 0
    exit_code: int = 0
    details: str = ""
    model: str = ""
    device: str = ""
    scene: str = ""
    recording: bool = False
    recorded: int = 0
    saved: bool = False
    other_world: str = ""
    rewinding: bool = False
    rewind: RewindFigures = field(default_factory=RewindFigures)
    held: bool = False
    replay: ReplayFigures | None = None
    beside: str = ""
    pace: float = 1.0
    quality: str = ""
    space: ActionSpace | None = None


@dataclass(frozen=True)
class Figures:
    """One moment's numbers for the HUD. rss_mb: memory of the process. vram_mb: of the GPU, None without one.
    advice: None while the machine keeps up."""

    pace: PaceReport
    rewind: RewindFigures
    rss_mb: float
    vram_mb: float | None
    advice: Advice | None


@dataclass(frozen=True)
class Picture:
    """A picture to show.

    pixels: (H, W, 3) uint8 RGB. number: of the video frame since the play clock began, None for a still. control: what
    the model was told for it. backdrop: a scene's picture as it is, any size, to put behind the loading words.
    behind_s: while rewinding, seconds of play between this picture and where the rewind began. moment: the one that its
    block leads to, None for a still; place: its index among the moment's pictures.
    """

    pixels: np.ndarray
    number: int | None = None
    control: FrameControl = _IDLE
    backdrop: bool = False
    behind_s: float = 0.0
    place: int = -1
    moment: Moment | None = field(default=None, repr=False)
