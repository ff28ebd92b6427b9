"""What a client may ask of whoever plays worlds for it: the one interface between windows and engines.

`Player` is that interface: a window, a terminal or a test knows worlds through it alone. `LocalPlayer` plays them in
this process, on a thread of its own (game/live/engine_thread.py); a player whose engine is elsewhere has the same
methods. Nothing of an engine crosses: pictures are uint8 arrays, actions and figures plain frozen data
(game/live/status.py), and a moment is named by two numbers. So all of it can be sent over a wire, and importing this
module imports no torch.

No method waits for the engine, but for `choices` (which looks at files) and `shutdown`: a command is noted and returns.
All but `choices` are called from one thread, the client's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from engine.errors import EngineError
from game.input.controls import Controls
from game.live.clock import Pacer
from game.live.engine_thread import EngineThread
from game.live.mailbox import Mailbox
from game.live.status import (
    Figures,
    Habits,
    ModelChoice,
    Picture,
    SceneLike,
    State,
    Status,
    Suggestion,
    advise,
)
from game.media.pictures import save_screenshot
from game.models.machine import resident_mb
from game.models.switcher import Models
from game.recording.writer import Keeper, MakeRecorder

__all__ = [
    "Figures",
    "Habits",
    "LocalPlayer",
    "MakeRecorder",
    "ModelChoice",
    "Picture",
    "Player",
    "SceneLike",
    "State",
    "Status",
    "Suggestion",
]

PATIENCE = 20.0  # s that a block in flight, and the recording behind it, may take to end when the program does
_CLOSING = 10.0  # s that recordings get to be finished, once worlds have ended
_FAST, _FAST_STEPS = "fast", 2  # the quality that advice offers, and its denoising steps, see configs/quality


MakeMailbox = Callable[[Callable[[], float], Callable[[], None], Status, Habits], Mailbox]
"""(clock, wake, status, habits) -> a mailbox, all of them as Mailbox has them."""


class Player(Protocol):
    """Plays worlds for a client.

    Times are seconds of the client's monotonic clock (`time.perf_counter`), handed in as `now`.
    """

    @property
    def controls(self) -> Controls:
        """Where the client puts what is pressed and moved; the player takes it from there, block by block."""
        ...

    @property
    def scenes(self) -> Sequence[SceneLike]:
        """First frames to choose from, at least one; the client may show their pictures."""
        ...

    @property
    def qualities(self) -> Sequence[str]:
        """Names for `change_model` and `set_quality`; empty where there is no choice."""
        ...

    def choices(self, weights: str) -> list[ModelChoice]:
        """The models that `change_model` takes, the usable ones first; empty where there is no choice.

        Takes a moment, and may be called from any thread. weights: folder of the large models', "" for none.
        """
        ...

    # -- its life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins loading the model and the first scene; once."""
        ...

    def shutdown(self, limit: float = PATIENCE) -> bool:
        """Ends it: calls off what is loading or compiling, lets the block in flight end, finishes the recording.

        Waits at most `limit` seconds for the block and some more for the recording; what has not ended by then is cut
        off, and what was written stays playable. Returns whether all ended by itself. May be called again.
        """
        ...

    # -- what there is to show ---------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """What may be told to a person; the same object as long as nothing has changed."""
        ...

    def look(self, now: float) -> Picture | None:
        """The picture that is due now; the one before (the same object) if nothing newer is, None before any."""
        ...

    def next_change(self, now: float) -> float | None:
        """When the client must look again; None: not before it is woken."""
        ...

    def shown(self, picture: Picture, now: float) -> None:
        """Notes that a numbered picture is before a person's eyes, for the first time, since `now`: it is measured."""
        ...

    def figures(self, now: float) -> Figures:
        """The numbers of this moment."""
        ...

    # -- worlds ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Starts the scene anew; after a failure, tries again, from the weights if they never loaded."""
        ...

    def change_scene(self, step: int = 1) -> str:
        """Goes `step` scenes on (round and round) and returns the new scene's name."""
        ...

    def enter(self, scene: SceneLike) -> None:
        """Goes to a world that begins with `scene`: one of the scenes, or a picture of a person's own.

        One that cannot be opened becomes a notice, and the world before goes on.
        """
        ...

    def other_world(self) -> bool:
        """Returns at once to the world before, where it was left; again, and it is this one. False if there is none."""
        ...

    def change_model(self, model: str, quality: str, weights: str) -> None:
        """Leaves all worlds for another model, named as in `choices`. quality: that it opens with. weights: as there.

        Nothing of the old one is in memory when the new one is loaded.
        """
        ...

    def set_quality(self, name: str) -> None:
        """Goes on from the present picture with another quality, from the next block on."""
        ...

    def set_pace(self, share: float) -> None:
        """Has the play clock keep to a share of the model's rate, until the machine can do more by itself."""
        ...

    def apply(self, suggestion: Suggestion) -> None:
        """Does what an Advice suggested: `set_quality` or `set_pace`."""
        ...

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether the play clock stands."""
        ...

    @property
    def fps(self) -> float:
        """The model's video frames a second."""
        ...

    def pause(self, now: float) -> None:
        """Stops the play clock at once; a block in flight is finished and waits, and is shown after `resume`."""
        ...

    def resume(self, now: float) -> None:
        """Goes on exactly where the pause began; what was tapped or moved meanwhile is forgotten."""
        ...

    def save(self) -> None:
        """Keeps the world as the last picture of `look` shows it, for `load`; what was kept before is forgotten.

        Where a command before it leads to another world, it is that one that is kept.
        """
        ...

    def load(self) -> bool:
        """Returns to what `save` kept; the same keys then give the same frames. False if nothing is kept."""
        ...

    def rewind(self, now: float) -> None:
        """Begins to run the pictures backwards (the key went down); `look` hands them out."""
        ...

    def let_go(self, now: float) -> None:
        """Goes on from the block on the window (the key went up). Nothing happens if nothing is being rewound."""
        ...

    def anchor(self) -> None:
        """Begins the world anew from its present frame, encoded as a first frame: what has decayed is left behind."""
        ...

    def set_anchor_every(self, seconds: float) -> None:
        """Has `anchor` done by itself after so many seconds of a world's play; 0: never."""
        ...

    def set_idle_hold(self, seconds: float) -> None:
        """Has the picture held after so many seconds without a key or a motion; 0: never."""
        ...

    # -- recordings --------------------------------------------------------------------------------------------------

    def toggle_recording(self) -> None:
        """Starts a recording that begins with the next block, or ends the one there is."""
        ...

    def screenshot(self) -> None:
        """Writes the last picture of `look` as a PNG; a notice says where."""
        ...

    def replay(self, folder: Path, frame: int = 0) -> None:
        """Plays a recording live, its own controls given to the engine, shown from video frame `frame` on.

        Its frames are made, not read: they are the recorded ones bit for bit. A folder that cannot be replayed becomes
        a notice, and the world that was played goes on. folder: where the player finds it.
        """
        ...

    def take_over(self) -> None:
        """Gives the controls of a replay to the person, from the next block on."""
        ...


class LocalPlayer:
    """A `Player` whose engine runs in this process, on a thread of its own.

    models: opens the model to begin with, and others. scenes: first frames to choose from; scene: number of the one to
    begin with. habits: how worlds are played. make_recorder: a recorder for a world, None where nothing can be
    recorded. margin: seconds of slack of the block scheduler. shots: folder of the screenshots. clock: seconds,
    monotonic. wake: called from any thread when the client should look again. make_mailbox: another kind of mailbox.
    """

    def __init__(
        self,
        models: Models,
        scenes: Sequence[SceneLike],
        controls: Controls,
        *,
        scene: int = 0,
        habits: Habits | None = None,
        make_recorder: MakeRecorder | None = None,
        margin: float = 0.012,
        shots: Path = Path("recordings"),
        clock: Callable[[], float] = time.perf_counter,
        wake: Callable[[], None] = lambda: None,
        make_mailbox: MakeMailbox | None = None,
    ) -> None:
        self.controls: Controls = controls
        self.scenes: Sequence[SceneLike] = tuple(scenes)
        self._models, self._scene, self._shots = models, scene, shots
        status = Status(scene=self.scenes[scene].name, model=models.model, quality=models.quality)
        make_mailbox = make_mailbox or partial(Mailbox, Pacer(margin=margin))
        self._mailbox = make_mailbox(clock, wake, status, habits or Habits())
        self._keeper = Keeper(make_recorder, self._mailbox.notice)
        self._engine = EngineThread(self._mailbox, controls, models, self.scenes[scene], self._keeper)
        self._writers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._engine.run, name="engine", daemon=True)

    @property
    def qualities(self) -> Sequence[str]:
        """See Player."""
        return self._models.qualities()

    def choices(self, weights: str) -> list[ModelChoice]:
        """See Player."""
        return self._models.choices(weights)

    def start(self) -> None:
        """See Player."""
        self._thread.start()

    def turn(self) -> bool:
        """In place of `start`: does in the caller's thread what the engine's would do now.

        For whoever has a clock of his own. Returns whether there may be more to do before the clock goes on.
        """
        return self._engine.turn()

    def shutdown(self, limit: float = PATIENCE) -> bool:
        """See Player."""
        until = time.monotonic() + limit
        self._mailbox.halt()
        if self._thread.ident is not None:
            self._thread.join(limit)
        else:
            self._engine.end()
        ended = not self._thread.is_alive()
        if not ended:
            self._keeper.close(self._mailbox.stats())  # in its place: what was recorded so far is kept
        whole = self._keeper.shutdown(_CLOSING)
        for writer in self._writers:
            writer.join(max(0.0, until - time.monotonic()))
        return ended and whole and not any(writer.is_alive() for writer in self._writers)

    @property
    def status(self) -> Status:
        """See Player."""
        return self._mailbox.status

    def look(self, now: float) -> Picture | None:
        """See Player."""
        return self._mailbox.look(now)

    def next_change(self, now: float) -> float | None:
        """See Player."""
        return self._mailbox.next_change(now)

    def shown(self, picture: Picture, now: float) -> None:
        """See Player."""
        self._mailbox.shown(picture, now)

    def figures(self, now: float) -> Figures:
        """See Player."""
        status, report = self.status, self._mailbox.report(now)
        advice = None
        if status.state is State.PLAYING:
            other = _FAST in self.qualities and status.quality != _FAST
            advice = advise(report, steps=self._engine.steps, fast_steps=_FAST_STEPS if other else None)
        return Figures(report, status.rewind, resident_mb(), self._engine.vram_mb, advice)

    def reset(self) -> None:
        """See Player."""
        self._mailbox.order(self._engine.again, fresh=True)

    def change_scene(self, step: int = 1) -> str:
        """See Player."""
        self._scene = (self._scene + step) % len(self.scenes)
        scene = self.scenes[self._scene]
        self.enter(scene)
        return scene.name

    def enter(self, scene: SceneLike) -> None:
        """See Player."""
        self._mailbox.order(partial(self._engine.visit, scene), fresh=True)

    def other_world(self) -> bool:
        """See Player."""
        there = bool(self.status.other_world)
        self._mailbox.order(self._engine.other_world, cut=there)
        return there

    def change_model(self, model: str, quality: str, weights: str) -> None:
        """See Player."""
        order = partial(self._engine.change_model, model, quality, weights)
        self._mailbox.order(order, fresh=True, model=True)

    def set_quality(self, name: str) -> None:
        """See Player."""
        self._mailbox.order(partial(self._engine.set_quality, name), cut=True)

    def set_pace(self, share: float) -> None:
        """See Player."""
        self._mailbox.set_pace(share)

    def apply(self, suggestion: Suggestion) -> None:
        """See Player."""
        if suggestion.kind == "clock":
            self.set_pace(suggestion.share)
        else:
            self.set_quality(suggestion.name)

    @property
    def paused(self) -> bool:
        """See Player."""
        return self._mailbox.paused

    @property
    def fps(self) -> float:
        """See Player."""
        return self._mailbox.fps

    def pause(self, now: float) -> None:
        """See Player."""
        self._mailbox.pause(now)

    def resume(self, now: float) -> None:
        """See Player."""
        self.controls.forget_past(now)
        self._mailbox.resume(now)

    def save(self) -> None:
        """See Player."""
        picture = self._mailbox.current
        self._mailbox.order(partial(self._engine.save, None if picture is None else picture.moment))

    def load(self) -> bool:
        """See Player."""
        saved = self.status.saved
        self._mailbox.order(self._engine.load, cut=saved)
        return saved

    def rewind(self, now: float) -> None:
        """See Player."""
        self._mailbox.begin_rewind(now)

    def let_go(self, now: float) -> None:
        """See Player."""
        target = self._mailbox.end_rewind(now)
        if target is not None:
            self._mailbox.order(partial(self._engine.go, target), cut=True, elsewhere=False)

    def anchor(self) -> None:
        """See Player."""
        self._mailbox.order(self._engine.anchor)

    def set_anchor_every(self, seconds: float) -> None:
        """See Player."""
        self._mailbox.set_habits(anchor_every=max(0.0, seconds))

    def set_idle_hold(self, seconds: float) -> None:
        """See Player."""
        self._mailbox.set_habits(idle_hold=max(0.0, seconds))

    def toggle_recording(self) -> None:
        """See Player."""
        self._mailbox.order(self._engine.toggle_recording)

    def screenshot(self) -> None:
        """See Player."""
        picture = self._mailbox.current
        if picture is None:
            return

        def write() -> None:
            try:
                path = save_screenshot(self._shots, picture.pixels)
            except (EngineError, OSError) as error:
                self._mailbox.notice(f"No screenshot: {error}")
            else:
                self._mailbox.notice(f"Screenshot: {path}")

        writer = threading.Thread(target=write, name="screenshot", daemon=True)
        self._writers = [thread for thread in self._writers if thread.is_alive()] + [writer]
        writer.start()

    def replay(self, folder: Path, frame: int = 0) -> None:
        """See Player."""
        self._mailbox.order(partial(self._engine.replay, folder, frame))

    def take_over(self) -> None:
        """See Player."""
        self._mailbox.order(self._engine.take_over)
