"""The inference thread: owns worlds and makes blocks when the play clock says so; it never touches the window.

All engine work, all recording and everything slow happens here, order by order and block by block. What the window's
thread asks for lies on the desk (game/live/mailbox.py); game/live/player.py puts it there. A failure becomes a status
with words, and waits for another world to be asked for.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError, InputError
from game.input.controls import Controls, FrameControl
from game.live.mailbox import Desk, Halt, Order
from game.live.playstats import LiveStats
from game.live.rewind import control_of
from game.live.source import Habits, Source
from game.live.status import Picture, SceneLike, State
from game.live.visits import Visit, Visits
from game.models.footprint import device_mb, rewind_budget
from game.recording.keeping import Keeper
from game.recording.replaying import begin_at, open_recording
from game.world.history import Moment
from game.world.playthrough import Journey

if TYPE_CHECKING:  # it brings torch along, which the window does not wait for
    from engine.world import WorldModel

_MOST_WORDS = 400
_TELL_EVERY = 0.5  # s
Progress = Callable[[str, float], None]
OpenWorld = Callable[[Progress], "WorldModel"]
ChangeQuality = Callable[["WorldModel", str], "WorldModel"]


class Inference:
    """What the thread does. Every public method but `run` is an order, called between two blocks.

    desk: shared with the window. scene: to begin with. keeper: of recordings. change_quality: the same weights at
    another quality, None where there is none.
    """

    def __init__(
        self,
        desk: Desk,
        controls: Controls,
        open_world: OpenWorld,
        scene: SceneLike,
        keeper: Keeper,
        habits: Habits,
        change_quality: ChangeQuality | None = None,
    ) -> None:
        self._desk, self._controls, self._open_world = desk, controls, open_world
        self._scene, self._keeper, self._habits = scene, keeper, habits
        self._change_quality, self._quality = change_quality, habits.quality
        self._recording_wanted = habits.record and keeper.can_record
        self._world: WorldModel | None = None
        self._visits = Visits()
        self._source = Source(controls, habits, desk.notice)
        self._told_at = -1.0

    def run(self) -> None:
        """Loads, plays and obeys until the desk says halt."""
        orders: Iterable[Order] = ()
        try:
            while True:
                try:
                    self._obey(orders)
                    self._play()
                except Halt:
                    raise
                except Exception as error:  # whatever the engine raises becomes words; the thread must outlive it
                    self._fail(error)
                    orders = self._wait_for_another()
        except Halt:
            pass
        finally:
            self._keeper.close(self._stats())
            self._keeper.join()
            self._desk.tell(state=State.STOPPED, recording=False)

    # -- orders ------------------------------------------------------------------------------------------------------

    def visit(self, scene: SceneLike) -> None:
        """Leaves for a new world that begins with `scene`."""
        self._leave()
        self._scene = scene

    def again(self) -> None:
        """Leaves for a new world that begins as this one did."""
        self.visit(self._scene)

    def change_model(self, open_world: OpenWorld, quality: str) -> None:
        """Leaves all worlds, and loads another model."""
        self._leave()
        self._visits.forget()
        self._world, self._open_world, self._quality = None, open_world, quality

    def other_world(self) -> None:
        """Changes places with the world before."""
        if (visit := self._visits.before) is None:
            self._stay("There is no world before this one")
            return
        self._change_to(visit)

    def save(self, moment: Moment | None) -> None:
        """Keeps `moment`, which was on the window when the key went down, if it is of the world that is played now."""
        if self._visits.current is None:
            self._desk.notice("There is no world to save yet")
        else:
            self._visits.save(moment)
            self._desk.notice("Saved", saved=True)

    def load(self) -> None:
        """Returns to what was saved, in whichever world that was."""
        if (saved := self._visits.saved) is None:
            self._stay("Nothing is saved yet")
        elif saved.visit is self._visits.current:
            self.go(saved.moment)
        else:
            saved.visit.journey.go(saved.moment)
            self._change_to(saved.visit)

    def go(self, moment: Moment) -> None:
        """Goes on from a moment of this world."""
        visit = self._visits.current
        if visit is None or not (moment.pins or visit.journey.knows(moment)):
            self._stay()  # it was of a world that has been left since
            return
        epoch = self._desk.epoch
        self._source.end_replay()
        try:
            visit.journey.go(moment)
        except LookupError:  # forgotten, or left for another place, since it was chosen: as near as there is
            visit.journey.go(visit.journey.past.moments()[-1 if moment.left else 0])
        self._arrive(epoch)

    def anchor(self) -> None:
        """Begins anew from the present picture, unseen by anybody at the keys."""
        if (visit := self._visits.current) is not None:
            self._source.end_replay()
            visit.begin_anew(self._desk.pacer)
            self._desk.notice("The world begins anew from this picture")

    def toggle_recording(self) -> None:
        """Begins a recording with the next block, or ends the one there is."""
        if self._keeper.recording:
            self._recording_wanted = False
            self._keeper.close(self._stats())
        elif not self._keeper.can_record:
            self._desk.notice("Nothing can be recorded here")
        elif self._visits.current is not None:
            self._recording_wanted = True
            self._record()
        self._tell_figures()

    def replay(self, folder: Path, frame: int) -> None:
        """Plays a recording from video frame `frame` on; the world that is played stays if it cannot be."""
        if self._world is None or self._visits.current is None:
            return
        try:
            opened = open_recording(folder, self._world)
        except InputError as error:
            self._desk.notice(f"Cannot replay {folder.name}: {error}")
            return
        with self._desk.changed:
            self._desk.drop_frames()
        self._leave()
        epoch = self._desk.epoch
        self._desk.tell(state=State.LOADING, words="Playing up to there", progress=0.0, scene=opened.scene.name)
        try:
            replay = begin_at(opened, self._world, frame, self._visits.budget, self._on_replay_progress)
        except (InputError, _Elsewhere) as error:
            if isinstance(error, InputError):
                self._desk.notice(f"Cannot replay {folder.name}: {error}")
            self._return()
            return
        self._source.begin_replay(replay, folder.name)
        self._enter(Visit(replay.journey, opened.scene, self._quality, replay.journey.present), epoch)
        if opened.differences:
            self._desk.notice(f"Not quite the recording's frames: {opened.differences}")

    def take_over(self) -> None:
        """Gives the controls of a replay to the person."""
        if self._source.replaying:
            self._source.end_replay()
            self._source.arrived(self._desk.clock())
            self._desk.notice("The controls are yours")
            self._tell_figures()

    def set_quality(self, name: str) -> None:
        """Goes on from the present picture with another quality."""
        visit = self._visits.current
        if self._change_quality is None or visit is None:
            self._stay("Another quality cannot be had here")
            return
        world, picture = self._change_quality(self._world, name), visit.delivered.picture
        self._leave()
        journey = Journey(world, picture, self._habits.seed, self._visits.budget)
        self._enter(Visit(journey, self._scene, name, journey.present))

    # -- playing -----------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        """Loads and enters what is missing, then makes block after block until something is raised."""
        while True:
            if self._world is None:
                self._load()
            if self._visits.current is None:
                self._enter_scene()
            ready = self._desk.wait()
            if isinstance(ready, int):
                self._make_block(ready)
            else:
                self._obey(ready)

    def _obey(self, orders: Iterable[Order]) -> None:
        for order in orders:
            order.call()

    def _load(self) -> None:
        self._desk.tell(state=State.LOADING, words="Opening the scene", progress=0.0, scene=self._scene.name)
        self._desk.show(Picture(self._scene.picture(), backdrop=True))
        self._desk.tell(words="Loading the engine")
        world = self._open_world(self._on_progress)
        config = world.config
        self._controls.configure(world.action_space, config.fps)
        self._world = world
        self._desk.pacer.restart(config.fps)
        mb = self._habits.rewind_mb
        self._visits.budget = rewind_budget(world.device) if mb is None else mb * 2**20
        self._desk.tell(model=config.name, device=str(world.device), space=world.action_space)

    def _enter_scene(self) -> None:
        """Makes a new world and shows its first frame; one that cannot be made is left for the world before."""
        scene, epoch = self._scene, self._desk.epoch
        words = f"Entering {scene.name}"
        self._desk.tell(state=State.LOADING, words=words, progress=0.0, scene=scene.name, replay=None)
        try:
            journey = Journey(self._world, scene.picture(), self._habits.seed, self._visits.budget)
        except EngineError as error:
            if self._visits.before is None:
                raise
            self._desk.notice(str(error))
            self._return()
            return
        self._enter(Visit(journey, scene, self._quality, journey.present), epoch)

    def _leave(self) -> None:
        """Ends what belongs to the current world, and puts it where it can be returned to."""
        self._keeper.close(self._stats())
        self._desk.left_stats = None
        self._source.end_replay()
        self._visits.leave()

    def _change_to(self, visit: Visit) -> None:
        """Leaves for a world that was left before."""
        if visit is self._visits.before:
            self._visits.before = None  # it is not to be given up for the one that is left now
        self._leave()
        self._enter(visit)

    def _stay(self, words: str = "") -> None:
        """Goes on as if nothing had been asked for; a block that was thrown away for it is made again."""
        if words:
            self._desk.notice(words)
        visit, epoch = self._visits.current, self._desk.epoch
        if visit is not None and visit.journey.present is not visit.delivered:
            visit.back_to_delivered()
            self._arrive(epoch)

    def _return(self) -> None:
        """Goes on in the world before; where there was no memory to keep it, it begins anew."""
        if self._visits.before is not None:
            self._enter(self._visits.before)

    def _enter(self, visit: Visit, epoch: int | None = None) -> None:
        self._visits.enter(visit)
        # A world that is begun from here on is of this one's quality.
        self._scene, self._world, self._quality = visit.scene, visit.journey.world, visit.quality
        if self._recording_wanted:
            self._record()
        self._arrive(self._desk.epoch if epoch is None else epoch)

    def _arrive(self, epoch: int) -> None:
        """Shows where play goes on from, whatever it came from."""
        visit = self._visits.current
        assert visit is not None
        present = visit.delivered = visit.journey.present
        self._source.arrived(self._desk.clock())
        told = control_of(present, len(present.pictures) - 1)
        self._desk.arrive(Picture(present.picture, control=told, moment=present), epoch)
        self._tell_figures(state=State.PLAYING, words="", exit_code=0, scene=visit.scene.name)

    def _make_block(self, epoch: int) -> None:
        visit = self._visits.current
        assert visit is not None
        if self._source.anchors(visit.journey):
            visit.begin_anew(self._desk.pacer)
        began = self._desk.clock()
        played, since = self._source.next(visit.journey, began)
        seconds = None if played.held else self._desk.clock() - began
        given = zip(played.block.actions, since, strict=True)  # what the model got, not what was held
        told = [FrameControl(action.keys, action.mouse, moment) for action, moment in given]
        if self._desk.deliver(played.block, told, played.moment, seconds, epoch):
            visit.delivered = played.moment
            self._keeper.add(played, self._stats)
        # else: something else was asked for meanwhile; nobody will see this block, and it is in no recording
        visit.journey.settle()
        self._desk.past = visit.journey.past.moments()
        now = self._desk.clock()
        if not played.held:
            self._desk.pacer.settled(now - began, now)
        if now - self._told_at >= _TELL_EVERY:
            self._tell_figures()
        self._desk.tell(held=played.held, recording=self._keeper.recording)
        if not self._source.replaying:
            self._desk.tell(replay=None)

    # -- recording, and what is told ---------------------------------------------------------------------------------

    def _record(self) -> None:
        visit = self._visits.current
        assert visit is not None
        visit.journey.settle()
        try:
            self._keeper.start(visit.journey, visit.scene.name)
        except (EngineError, OSError) as error:  # a full disk must not end the game
            self._recording_wanted = False
            self._desk.notice(f"Cannot record: {error}")
        self._desk.pacer.new_figures()

    def _stats(self) -> LiveStats:
        return self._desk.left_stats or self._desk.pacer.live_stats()

    def _tell_figures(self, **changes) -> None:
        """Tells what changes all the time, and `changes`."""
        self._told_at = self._desk.clock()
        visit, visits = self._visits.current, self._visits
        if visit is None:
            return
        self._desk.past = visit.journey.past.moments()
        fps = visit.journey.world.config.fps
        self._desk.vram_mb = device_mb(visit.journey.world.device)
        self._desk.steps = len(visit.journey.world.config.denoising_steps)
        self._desk.tell(
            recording=self._keeper.recording,
            recorded=int(self._keeper.frames / fps),
            saved=visits.saved is not None,
            other_world="" if visits.before is None else visits.before.scene.name,
            rewind=visits.figures(),
            replay=self._source.figures(fps),
            quality=visit.quality,
            **changes,
        )

    def _on_progress(self, words: str, share: float) -> None:
        self._desk.check()
        self._desk.progress(words, share)

    def _on_replay_progress(self, words: str, share: float) -> None:
        self._on_progress(words, share)
        if self._desk.fresh_ordered:
            raise _Elsewhere

    # -- failing -----------------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        words = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
        self._visits.forget()
        self._source.end_replay()
        with self._desk.changed:
            self._desk.drop_frames()
            self._desk.past, self._desk.rewind = (), None
        self._keeper.close(self._stats())
        self._desk.tell(
            state=State.FAILED,
            words=" ".join(words.split())[:_MOST_WORDS],
            exit_code=2 if isinstance(error, InputError) else 1,
            details="".join(traceback.format_exception(error)),
            recording=False,
            saved=False,
            other_world="",
            rewinding=False,
            replay=None,
        )

    def _wait_for_another(self) -> list[Order]:
        while True:
            orders = [order for order in self._desk.wait_for_orders() if order.fresh]
            if orders:
                return orders


class _Elsewhere(Exception):
    """Another world was asked for while a replay was being brought to its place."""
