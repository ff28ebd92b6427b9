"""The window's hold on the worlds behind it: commands, pictures and words. None of it ever waits for the engine.

Commands become orders that the inference thread (game/live/engine_thread.py) carries out between two blocks;
`look` says which picture to show, `status` and `figures` what to tell a person.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from engine.errors import EngineError
from game.input.controls import Controls
from game.live.advice import advise
from game.live.clock import Pacer
from game.live.engine_thread import ChangeQuality, Inference, OpenWorld
from game.live.mailbox import Desk
from game.live.rewind import Rewind
from game.live.source import Habits
from game.live.status import Figures, Picture, SceneLike, State, Status, Suggestion
from game.media.screenshot import save_screenshot
from game.models.footprint import resident_mb
from game.recording.keeping import Keeper, MakeRecorder

__all__ = ["ChangeQuality", "Habits", "MakeRecorder", "OpenWorld", "Picture", "SceneLike", "State", "Status", "Worker"]

_FAST = 2  # denoising steps of quality=fast, see configs/quality


class Worker:
    """Runs worlds in a thread of its own.

    open_world: loads the model, telling its progress. scenes: first frames to choose from; scene: number of the one to
    begin with. habits: how worlds are played. make_recorder: a recorder for a world, or None where nothing can be
    recorded. change_quality: the loaded world at another quality, or None. shots: folder of the screenshots. clock:
    seconds, monotonic. wake: called from the thread when the window should look again.
    """

    def __init__(
        self,
        open_world: OpenWorld,
        scenes: Sequence[SceneLike],
        controls: Controls,
        pacer: Pacer,
        *,
        scene: int = 0,
        habits: Habits | None = None,
        make_recorder: MakeRecorder | None = None,
        change_quality: ChangeQuality | None = None,
        shots: Path = Path("recordings"),
        clock: Callable[[], float] = time.perf_counter,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._scenes, self._scene = list(scenes), scene
        self._controls, self._pacer, self._shots = controls, pacer, shots
        self._habits = habits or Habits()
        self._can_change = change_quality is not None
        status = Status(scene=self._scenes[scene].name, quality=self._habits.quality)
        self._desk = Desk(pacer, clock, wake, status)
        self._keeper = Keeper(make_recorder, self._desk.notice)
        self._inference = Inference(
            self._desk, controls, open_world, self._scenes[scene], self._keeper, self._habits, change_quality
        )
        self._writers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._inference.run, name="inference", daemon=True)

    def start(self) -> None:
        """Begins loading."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Ends the thread after the block in flight and closes the recording. Returns whether it ended in time."""
        self._desk.halt()
        for thread in [*self._writers, self._thread]:
            if thread.ident is not None:
                thread.join(timeout)
        return not self._thread.is_alive()

    # -- what there is to show ---------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        return self._desk.status

    def look(self, now: float) -> Picture | None:
        """The picture that is due now; the one before if nothing newer is, None before there is any."""
        return self._desk.look(now)

    def next_change(self, now: float) -> float | None:
        """When the window must look again; None: not before it is woken."""
        return self._desk.next_change(now)

    def figures(self, now: float) -> Figures:
        """The numbers of this moment."""
        status, report = self.status, self._pacer.report(now)
        advice = None
        if status.state is State.PLAYING:
            fast = _FAST if self._can_change and status.quality != "fast" else None
            advice = advise(report, steps=self._desk.steps, fast_steps=fast)
        return Figures(report, status.rewind, resident_mb(), self._desk.vram_mb, advice)

    # -- worlds ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Starts the scene anew; finished frames are thrown away."""
        self._order(self._inference.again, fresh=True)

    def change_scene(self, step: int = 1) -> str:
        """Goes `step` scenes on (round and round) and returns the new scene's name."""
        self._scene = (self._scene + step) % len(self._scenes)
        scene = self._scenes[self._scene]
        self.enter(scene)
        return scene.name

    def enter(self, scene: SceneLike) -> None:
        """Goes to a world that begins with `scene`: one of the scenes, or a picture of a person's own.

        One that cannot be opened becomes a notice, and the world before goes on.
        """
        self._order(partial(self._inference.visit, scene), fresh=True)

    def other_world(self) -> bool:
        """Returns at once to the world before, where it was left; again, and it is this one. False if there is none."""
        there = bool(self.status.other_world)
        self._order(self._inference.other_world, cut=there)
        return there

    def change_model(self, open_world: OpenWorld, quality: str = "default") -> None:
        """Leaves all worlds for another model. open_world: loads it. quality: the name of the one it opens with."""
        self._order(partial(self._inference.change_model, open_world, quality), fresh=True)

    def restart(self) -> None:
        """Tries again after a failure, from the weights if they never loaded."""
        self.reset()

    # -- time --------------------------------------------------------------------------------------------------------

    def pause(self, now: float) -> None:
        """Stops the play clock at once; a block in flight is finished and waits, and is shown after `resume`."""
        self._pacer.pause(now)

    def resume(self, now: float) -> None:
        """Goes on exactly where the pause began; what was tapped or moved meanwhile is forgotten."""
        with self._desk.changed:
            self._controls.forget_past(now)
            self._pacer.resume(now)
            self._desk.changed.notify_all()

    def save(self) -> None:
        """Keeps the world as it is on the window, for `load`; what was kept before is forgotten.

        Where a command before it leads to another world, it is that one that is kept.
        """
        picture = self._desk.current
        self._order(partial(self._inference.save, None if picture is None else picture.moment))

    def load(self) -> bool:
        """Returns to what `save` kept; the same keys then give the same frames. False if nothing is kept."""
        saved = self.status.saved
        self._order(self._inference.load, cut=saved)
        return saved

    def rewind(self, now: float) -> None:
        """Begins to run the pictures backwards (the key went down); `look` hands them out."""
        desk = self._desk
        with desk.changed:
            if self.status.state is not State.PLAYING or desk.rewind is not None or not desk.past:
                return
            shown = None if desk.current is None else desk.current.moment
            past, skip = desk.past, 0
            if shown in past:
                past = past[: past.index(shown) + 1]
                skip = 0 if desk.current.place < 0 else len(shown.pictures) - 1 - desk.current.place
            desk.drop_frames()
            desk.rewind = Rewind(past, self._pacer.fps, now, skip)
        desk.tell(rewinding=True)

    def let_go(self, now: float) -> None:
        """Goes on from the block on the window (the key went up). Nothing happens if nothing is being rewound."""
        desk = self._desk
        with desk.changed:
            if desk.rewind is None:
                return
            target = desk.rewind.target(now)
            desk.rewind = None
            desk.current = Picture(target.picture, moment=target)
        self._order(partial(self._inference.go, target), cut=True)

    def anchor(self) -> None:
        """Begins the world anew from its present frame, encoded as a first frame: what has decayed is left behind."""
        self._order(self._inference.anchor)

    def set_anchor_every(self, seconds: float) -> None:
        """Has `anchor` done by itself after so many seconds of a world's play; 0: never."""
        self._habits.anchor_every = max(0.0, seconds)

    def set_idle_hold(self, seconds: float) -> None:
        """Has the picture held after so many seconds without a key or a motion; 0: never."""
        self._habits.idle_hold = max(0.0, seconds)

    # -- recordings --------------------------------------------------------------------------------------------------

    def toggle_recording(self) -> None:
        """Starts a recording that begins with the next block, or ends the one there is."""
        self._order(self._inference.toggle_recording)

    def screenshot(self) -> None:
        """Writes the picture on the window as a PNG beside the recordings; a notice says where."""
        picture = self._desk.current
        if picture is None:
            return

        def write() -> None:
            try:
                path = save_screenshot(self._shots, picture.pixels)
            except (EngineError, OSError) as error:
                self._desk.notice(f"No screenshot: {error}")
            else:
                self._desk.notice(f"Screenshot: {path}")

        writer = threading.Thread(target=write, name="screenshot", daemon=True)
        self._writers = [thread for thread in self._writers if thread.is_alive()] + [writer]
        writer.start()

    def replay(self, folder: Path, frame: int = 0) -> None:
        """Plays a recording live, its own controls given to the engine, shown from video frame `frame` on.

        Its frames are made, not read: they are the recorded ones bit for bit. A folder that cannot be replayed becomes
        a notice, and the world that was played goes on.
        """
        self._order(partial(self._inference.replay, folder, frame))

    def take_over(self) -> None:
        """Gives the controls of a replay to the person, from the next block on."""
        self._order(self._inference.take_over)

    def apply(self, suggestion: Suggestion) -> None:
        """Does what an Advice suggested, from the next block on."""
        if suggestion.kind == "clock":
            self._pacer.set_pace(suggestion.share, self._desk.clock())
            self._desk.tell(pace=suggestion.share)
        else:
            self._order(partial(self._inference.set_quality, suggestion.name), cut=True)

    def _order(self, call: Callable[[], None], *, cut: bool = False, fresh: bool = False) -> None:
        self._desk.order(call, cut=cut, fresh=fresh)
        if cut or fresh:
            self._desk.tell(rewinding=False)
