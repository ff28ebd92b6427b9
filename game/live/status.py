"""What a player tells a client: states, words, pictures, figures, advice. Plain frozen data that could go over a wire.

Nothing here holds anything of an engine: a picture is an array, and the moment it belongs to is named by numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np

from engine.actions import ActionSpace
from game.input.controls import FrameControl
from game.live.clock import PaceReport
from game.models.switcher import ModelChoice
from game.world.history import MomentId

__all__ = [
    "Advice",
    "Figures",
    "Habits",
    "LineFigures",
    "ModelChoice",
    "MomentId",
    "PaceReport",
    "Picture",
    "ReplayFigures",
    "RewindFigures",
    "SceneLike",
    "State",
    "Status",
    "Suggestion",
    "advise",
]

_IDLE = FrameControl((), None)
_STEP = 0.05  # shares of the rate worth choosing between
_LITTLE = 0.12  # of the rate: a shortfall that is hardly seen, and not worth a rougher picture


class SceneLike(Protocol):
    """A first frame with a name, see game/world/scenes.py."""

    @property
    def name(self) -> str:
        """As people call it."""
        ...

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB of any size; may take a moment. Raises PictureError."""
        ...


class State(Enum):
    """What a player is about; a pause is the play clock's affair and not among them."""

    LOADING = "loading"
    PLAYING = "playing"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Habits:
    """How worlds are played.

    seed: of every new world. record: keep every world that is played. rewind_mb: memory for states to return to, None:
    as the device has room. idle_hold: seconds without a key or a motion after which the picture is held; anchor_every:
    seconds of play after which a world begins anew from its picture; 0: never.
    """

    seed: int = 0
    record: bool = False
    rewind_mb: int | None = None
    idle_hold: float = 0.0
    anchor_every: float = 0.0


@dataclass(frozen=True)
class Suggestion:
    """Something a person can have done about a machine that cannot keep up: `Player.apply` takes it.

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
    """How far a rewind reaches. depth_s: seconds of play. mb: memory that all worlds kept to return to take. budget_mb:
    what they may take."""

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
    """What a client may tell a person.

    words: what is being done, or what went wrong. progress: share done while loading, 0 to 1; 0 as long as nobody
    knows how long it takes. notice: a passing remark (a recording that stopped), with its number so that each is shown
    once. exit_code: what a failure that is not mended ends the program with. model, quality: names of what is in use,
    or being loaded. device: "" while loading. What changes all the time (recorded, rewind, replay) is told about once
    a second.

    recording: a recording is being written; recorded: its length in whole seconds. saved: load() has something to
    return to. other_world: name of the world that other_world() returns to, "" if there is none. rewinding: pictures
    run backwards. held: nobody plays, and the picture is held. replay: a recording gives the controls, None if a
    person does. beside: what the world tells of while it plays (compiling). pace: share of the model's rate that the
    play clock was asked to keep to, see `Suggestion`. space: what the model can be told, None before one is loaded.
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
class LineFigures:
    """What a network between player and engine adds; p50 and p95 in ms of the last blocks.

    round_trip_ms: of a message there and back. network_ms: of a block from being asked for to being here, less what
    model_ms, waiting and encoding took there. ahead_ms: how long before it is due a block is asked for. quality: of the
    newest pictures, 100 is the best. limited: the line carries no more.
    """

    round_trip_ms: dict[str, float]
    network_ms: dict[str, float]
    model_ms: dict[str, float]
    ahead_ms: float
    quality: int
    limited: bool


@dataclass(frozen=True)
class Figures:
    """One moment's numbers for the HUD. rss_mb: memory of the process that makes the world. vram_mb: of its GPU, None
    without one. advice: None while the machine keeps up. line: None where the engine is in this process."""

    pace: PaceReport
    rewind: RewindFigures
    rss_mb: float
    vram_mb: float | None
    advice: Advice | None
    line: LineFigures | None = None


@dataclass(frozen=True)
class Picture:
    """A picture to show.

    pixels: (H, W, 3) uint8 RGB. number: of the video frame since the play clock began, None for a still. control: what
    the model was told for it. backdrop: a scene's picture as it is, any size, to put behind the loading words.
    behind_s: while rewinding, seconds of play between this picture and where the rewind began. moment: names the one
    that its block leads to, None for a still; place: its index among that block's pictures, -1 for the last.
    """

    pixels: np.ndarray
    number: int | None = None
    control: FrameControl = _IDLE
    backdrop: bool = False
    behind_s: float = 0.0
    place: int = -1
    moment: MomentId | None = None


def advise(report: PaceReport, *, steps: int, fast_steps: int | None) -> Advice | None:
    """What to say, and what to do, when a machine cannot keep up; None while it keeps the pace it was asked for.

    steps: denoising steps of a block as it is made now. fast_steps: as quality=fast would make it, None if that quality
    cannot be had here.
    """
    if not report.slow_words:
        return None
    little = report.possible >= (1.0 - _LITTLE) * report.pace
    if not little and fast_steps is not None and fast_steps < steps:
        remedy = f"quality=fast makes it in {fast_steps} of the {steps} steps, a little rougher"
        return Advice(report.slow_words, remedy, Suggestion("quality", name="fast"))
    words = f"A little slow: {report.speed:.0%} of full speed" if little else report.slow_words
    share = max(_STEP, math.floor(report.speed / _STEP + 1e-6) * _STEP)
    if share >= report.pace:
        return Advice(words, "close other programs", mild=little)
    remedy = f"a play clock at {share:.0%} runs evenly here"
    return Advice(words, remedy, Suggestion("clock", share=round(share, 2)), mild=little)
