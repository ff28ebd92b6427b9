"""The engine's thread: owns worlds and makes blocks when the play clock says so; it never touches a window.

All engine work, all recording and everything slow happens here, order by order and block by block. What a client asks
for lies in the mailbox (game/live/mailbox.py), where game/live/player.py puts it; what comes back is pictures and plain
figures. A failure becomes a status with words, and waits for another world to be asked for.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from engine.actions import Actions
from engine.errors import EngineError, InputError
from game.input.controls import Controls, FrameControl
from game.live.mailbox import Halt, Mailbox, control_of
from game.live.status import Picture, ReplayFigures, RewindFigures, SceneLike, State
from game.models.compiling import release
from game.models.machine import device_mb, free_memory, rewind_budget
from game.models.switcher import Models
from game.recording.replay import Replay, begin_at, open_recording
from game.recording.writer import Keeper
from game.world.history import Moment, MomentId
from game.world.playthrough import Played, Playthrough

if TYPE_CHECKING:  # it brings torch along, which the window does not wait for
    from engine.world import WorldModel

_MB = 2**20
_MOST_WORDS = 400
_TELL_EVERY = 0.5  # s
_LEFT_BEHIND = 4  # the world before gets this part of the budget


# -- where the next block comes from ---------------------------------------------------------------------------------


Since: TypeAlias = "list[float | None]"
"""For each frame of a block, the moment of the oldest control that it is the first to show."""

Early: TypeAlias = "Callable[[Since, np.ndarray, Actions, MomentId], None]"
"""As game.world.playthrough.Early, and the whole block's controls."""


class Source:
    """Makes a playthrough's next frames: of the person's controls, of a recording, or of nobody."""

    def __init__(self, mailbox: Mailbox, controls: Controls) -> None:
        self._mailbox, self._controls = mailbox, controls
        self._replay: Replay | None = None
        self._name = ""
        self._idle_frames = 0

    @property
    def replaying(self) -> bool:
        """Whether a recording gives the controls."""
        return self._replay is not None

    def begin_replay(self, replay: Replay, name: str) -> None:
        """Takes the controls from a recording, until it ends. name: for people."""
        self._replay, self._name = replay, name

    def end_replay(self) -> None:
        """Gives the controls to the person."""
        if self._replay is not None:
            self._replay.leave()
        self._replay = None

    def arrived(self, now: float) -> None:
        """The person is somewhere else: what they did until now belongs to where they were."""
        self._idle_frames = 0
        self._controls.forget_past(now)

    def next(self, playthrough: Playthrough, now: float, early: Early) -> tuple[Played, Since]:
        """The next frames, and for each the moment of the oldest control that it is the first to show.

        early: is handed those of them that are finished before the others.
        """
        played = None if self._replay is None else self._replayed(self._replay, early)
        if played is not None:
            self._controls.sample(len(played.block.frames), now)  # nobody's, and not to pile up
            return played, [None] * len(played.block.frames)
        row = self._controls.sample(playthrough.next_frames, now)
        idle = not any(frame.keys or any(frame.mouse or ()) for frame in row)
        before, self._idle_frames = self._idle_frames, self._idle_frames + len(row) if idle else 0
        if idle and self._holds(playthrough, before):
            return playthrough.hold(len(row)), [None] * len(row)
        space = playthrough.world.action_space
        actions = Actions.stack([space.action(frame.keys, frame.mouse) for frame in row])
        since = [frame.since for frame in row]
        return playthrough.step(actions, partial(early, since)), since

    def anchors(self, playthrough: Playthrough) -> bool:
        """Whether the world is to begin anew from its present picture by now."""
        every, fps = self._mailbox.habits.anchor_every, playthrough.world.config.fps
        due = 0 < every * fps <= playthrough.present.frames
        return due and not self.replaying and not self._holds(playthrough, self._idle_frames)

    def figures(self, fps: float) -> ReplayFigures | None:
        """Where the replay is, None without one."""
        if self._replay is None:
            return None
        return ReplayFigures(self._name, self._replay.frame / fps, len(self._replay.actions) / fps)

    def _holds(self, playthrough: Playthrough, idle_frames: int) -> bool:
        """Whether the picture is held once nobody has been at the keys for so long."""
        hold = self._mailbox.habits.idle_hold
        return hold > 0 and idle_frames >= hold * playthrough.world.config.fps

    def _replayed(self, replay: Replay, early: Early) -> Played | None:
        """The replay's next frames; None at its end."""
        words = "The recording ends here: the controls are yours"
        try:
            if not replay.done:
                return replay.play(
                    lambda pictures, actions, moment: early([None] * len(actions), pictures, actions, moment)
                )
        except InputError as error:  # a file of it may be broken, too
            words = f"The recording cannot be replayed on: {error}"
        self.end_replay()
        self._mailbox.notice(words)
        return None


# -- the worlds there are --------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Visit:
    """A world being played. scene: what it began with. quality: how it is made, see configs/quality. delivered: its
    newest moment that a person could see."""

    playthrough: Playthrough
    scene: SceneLike
    quality: str
    delivered: Moment

    def back_to_delivered(self) -> None:
        """Undoes a block that was thrown away before anybody saw it, if its world can go back."""
        self.playthrough.settle()
        if self.playthrough.present is not self.delivered:
            try:
                self.playthrough.go(self.delivered)
            except LookupError:
                self.delivered = self.playthrough.present


@dataclass(frozen=True)
class Saved:
    """What a quick-save kept."""

    visit: Visit
    moment: Moment


class Visits:
    """The worlds a person is in, was in before, and has saved: one memory budget, in bytes, for all of them.

    It counts everything but the rollout that plays: states and pictures to go back to, and the rollouts of the other
    worlds. What a person saved is kept whatever it takes; the world before is kept where it takes no more than half of
    the rest; the way back in the present world gets what is left.
    """

    def __init__(self) -> None:
        self.budget = 0
        self.current: Visit | None = None
        self.before: Visit | None = None
        self.saved: Saved | None = None

    def leave(self) -> None:
        """Leaves the current world, to be returned to if there is memory for it."""
        visit, self.current = self.current, None
        if visit is None:
            return
        visit.back_to_delivered()
        self._drop_before()
        visit.playthrough.put_by()
        if visit.playthrough.present.snapshot is not None:
            self.before = visit
        else:
            self._keep_saved(visit)
        self._share()

    def enter(self, visit: Visit) -> None:
        """Makes `visit` the current one."""
        if visit is self.before:
            self.before = None
        self.current = visit
        visit.playthrough.take_up()
        self._share()

    def save(self, wanted: MomentId | None) -> None:
        """Keeps a moment of the current world's way, or its present where that one is gone, or of another world."""
        assert self.current is not None
        playthrough, old = self.current.playthrough, self.saved
        moment = (None if wanted is None else playthrough.find(wanted)) or playthrough.present
        try:
            kept = playthrough.pin(moment)
        except LookupError:
            kept = playthrough.keep()
        self.saved = Saved(self.current, kept)
        if old is not None:
            old.visit.playthrough.let_go(old.moment)
        self._share()

    def forget(self) -> None:
        """Everything goes: the engine failed, or another model comes."""
        self.current = self.before = self.saved = None

    def figures(self) -> RewindFigures:
        """How far back the current world can go, and what all of them take."""
        saved = None if self.saved is None else self.saved.visit
        taken = sum(visit.playthrough.past.bytes for visit in {self.current, self.before, saved} if visit is not None)
        depth = 0.0
        if self.current is not None:
            depth = self.current.playthrough.past.frames / self.current.playthrough.world.config.fps
        return RewindFigures(depth, taken / _MB, self.budget / _MB)

    def _drop_before(self) -> None:
        if self.before is not None:
            self._keep_saved(self.before)
        self.before = None

    def _keep_saved(self, visit: Visit) -> None:
        """Of a world that is given up, what is saved stays, pinned, and nothing else."""
        if self.saved is not None and self.saved.visit is visit:
            visit.playthrough.forget_all_but(self.saved.moment)
            visit.delivered = self.saved.moment

    def _share(self) -> None:
        """Divides the budget between the worlds."""
        left = self.budget
        if self.saved is not None and self.saved.visit not in (self.current, self.before):
            left -= self.saved.visit.playthrough.past.bytes
        if self.before is not None:
            past = self.before.playthrough.past
            past.set_budget(max(0, left // _LEFT_BEHIND))
            if past.bytes > left // 2 and not (self.saved is not None and self.saved.visit is self.before):
                self._drop_before()
            else:
                left -= past.bytes
        if self.current is not None:
            self.current.playthrough.past.set_budget(max(0, left))


# -- the thread ------------------------------------------------------------------------------------------------------


class EngineThread:
    """What the thread does. Every public method but `run`, `turn` and `end` is an order, called between two blocks.

    mailbox: shared with the client. models: opens them. scene: to begin with. keeper: of recordings.
    """

    def __init__(self, mailbox: Mailbox, controls: Controls, models: Models, scene: SceneLike, keeper: Keeper) -> None:
        self._mailbox, self._controls, self._models = mailbox, controls, models
        self._scene, self._keeper = scene, keeper
        self._open_world, self._quality = models.opener(), models.quality
        self._recording_wanted = mailbox.habits.record and keeper.can_record
        self._world: WorldModel | None = None
        self._visits = Visits()
        self._source = Source(mailbox, controls)
        self._made = False  # the newest turn did something
        self._failed = False  # and nothing has been asked for since that could be played
        self._told_at = -1.0
        self.vram_mb: float | None = None  # written here, read by whoever asks
        self.steps = 0  # denoising steps of a block, as it is made now

    def run(self) -> None:
        """Loads, plays and obeys until the mailbox says halt."""
        try:
            while True:
                if not self.turn():
                    self._mailbox.sleep(blocks=not self._failed)
        except Halt:
            pass
        finally:
            self.end()

    def turn(self) -> bool:
        """Does what there is to do now: obeys, loads and enters what is missing, and makes a block when it is time to.

        Returns whether there may be more: False when nothing is to be done before the mailbox says so. Raises Halt.
        """
        self._obey()
        if self._failed:
            return False
        return self._guard(self._play) and self._made

    def end(self) -> None:
        """Nothing more will be played: ends the recording, and what is being compiled."""
        release(self._world)
        self._keeper.close(self._mailbox.stats())
        self._mailbox.tell(state=State.STOPPED, recording=False)

    # -- orders ------------------------------------------------------------------------------------------------------

    def visit(self, scene: SceneLike) -> None:
        """Leaves for a new world that begins with `scene`."""
        self._leave()
        self._scene = scene

    def again(self) -> None:
        """Leaves for a new world that begins as this one did."""
        self.visit(self._scene)

    def change_model(self, model: str, quality: str, weights: str) -> None:
        """Leaves all worlds, and loads another model."""
        self._leave()
        self._visits.forget()
        self._mailbox.forget()
        release(self._world)
        self._world, self._quality = None, quality
        self._open_world = self._models.choose(model, quality, weights)
        self._mailbox.tell(model=model, quality=quality, device="", saved=False, other_world="")

    def other_world(self) -> None:
        """Changes places with the world before."""
        if (visit := self._visits.before) is None:
            self._stay("There is no world before this one")
            return
        self._change_to(visit)

    def save(self, moment: MomentId | None) -> None:
        """Keeps `moment`, which was on the window when the key went down, if it is of the world that is played now."""
        if self._visits.current is None:
            self._mailbox.notice("There is no world to save yet")
        else:
            self._visits.save(moment)
            self._mailbox.notice("Saved", saved=True)

    def load(self) -> None:
        """Returns to what was saved, in whichever world that was."""
        if (saved := self._visits.saved) is None:
            self._stay("Nothing is saved yet")
        elif saved.visit is self._visits.current:
            self._go(saved.moment)
        else:
            saved.visit.playthrough.go(saved.moment)
            self._change_to(saved.visit)

    def go(self, wanted: MomentId) -> None:
        """Goes on from a moment of the world that is played; as near as there is where that one is not kept."""
        visit = self._visits.current
        moment = None if visit is None else visit.playthrough.nearest(wanted)
        if moment is None:
            self._stay()  # it was of a world that has been left since
        else:
            self._go(moment)

    def anchor(self) -> None:
        """Begins anew from the present picture, unseen by anybody at the keys."""
        if (visit := self._visits.current) is not None:
            self._source.end_replay()
            self._begin_anew(visit)
            self._mailbox.notice("The world begins anew from this picture")

    def toggle_recording(self) -> None:
        """Begins a recording with the next block, or ends the one there is."""
        if self._keeper.recording:
            self._recording_wanted = False
            self._keeper.close(self._mailbox.stats())
        elif not self._keeper.can_record:
            self._mailbox.notice("Nothing can be recorded here")
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
            self._mailbox.notice(f"Cannot replay {folder.name}: {error}")
            return
        self._leave()
        self._mailbox.forget()
        epoch = self._mailbox.epoch
        self._mailbox.tell(state=State.LOADING, words="Playing up to there", progress=0.0, scene=opened.scene.name)
        try:
            replay = begin_at(opened, self._world, frame, self._visits.budget, self._on_replay_progress)
        except (InputError, _Elsewhere) as error:
            if isinstance(error, InputError):
                self._mailbox.notice(f"Cannot replay {folder.name}: {error}")
            self._return()
            return
        self._source.begin_replay(replay, folder.name)
        self._enter(Visit(replay.playthrough, opened.scene, self._quality, replay.playthrough.present), epoch)
        if opened.differences:
            self._mailbox.notice(f"Not quite the recording's frames: {opened.differences}")

    def take_over(self) -> None:
        """Gives the controls of a replay to the person."""
        if self._source.replaying:
            self._source.end_replay()
            self._source.arrived(self._mailbox.clock())
            self._mailbox.notice("The controls are yours")
            self._tell_figures()

    def set_quality(self, name: str) -> None:
        """Goes on from the present picture with another quality."""
        visit = self._visits.current
        if self._world is None or visit is None or name not in self._models.qualities():
            self._stay("Another quality cannot be had here")
            return
        try:
            world = self._models.at_quality(self._world, name)
            playthrough = Playthrough(world, visit.delivered.picture, self._mailbox.habits.seed, self._visits.budget)
        except Exception as error:  # out of memory, for one: nothing has happened to the world that is played
            self._stay(f"The quality stays as it is: {_words(error)}")
            return
        self._leave()
        self._enter(Visit(playthrough, self._scene, name, playthrough.present))

    # -- playing -----------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        """Loads or enters what is missing, else makes one block if it is time to."""
        self._made = True
        if self._world is None:
            self._load()
        elif self._visits.current is None:
            self._enter_scene()
        elif (epoch := self._mailbox.due()) is not None:
            self._make_block(epoch)
        else:
            self._made = self._mailbox.ordered

    def _obey(self) -> None:
        """Carries out all that is asked for, one by one: one that fails leaves the others to be obeyed.

        After a failure there is no world; the next order for a new one brings one.
        """
        while (order := self._mailbox.take()) is not None:
            if self._guard(order.call) and order.fresh:
                self._failed = False

    def _guard(self, work: Callable[[], None]) -> bool:
        """Does something; whatever the engine raises becomes words, since the thread must outlive it."""
        try:
            work()
        except Halt:
            raise
        except Exception as error:
            self._fail(error)
            return False
        return True

    def _load(self) -> None:
        self._mailbox.tell(state=State.LOADING, words="Opening the scene", progress=0.0, scene=self._scene.name)
        self._mailbox.show(Picture(self._scene.picture(), backdrop=True))
        self._mailbox.tell(words="Loading the engine")
        free_memory()
        try:
            world = self._open_world(self._on_load_progress)
        except _Elsewhere:
            return  # there is an order for another model
        config = world.config
        self._controls.configure(world.action_space, config.fps)
        self._world = world
        self._mailbox.begin_model(config.fps)
        mb = self._mailbox.habits.rewind_mb
        self._visits.budget = rewind_budget(world.device) if mb is None else mb * _MB
        self._mailbox.tell(model=config.name, device=str(world.device), space=world.action_space, pace=1.0)

    def _enter_scene(self) -> None:
        """Makes a new world and shows its first frame; one that cannot be made is left for the world before."""
        scene, epoch = self._scene, self._mailbox.epoch
        words = f"Entering {scene.name}"
        self._mailbox.tell(state=State.LOADING, words=words, progress=0.0, scene=scene.name, replay=None)
        assert self._world is not None
        try:
            playthrough = Playthrough(self._world, scene.picture(), self._mailbox.habits.seed, self._visits.budget)
        except EngineError as error:
            if self._visits.before is None:
                raise
            self._mailbox.notice(str(error))
            self._return()
            return
        self._enter(Visit(playthrough, scene, self._quality, playthrough.present), epoch)

    def _leave(self) -> None:
        """Ends what belongs to the current world, and puts it where it can be returned to."""
        self._keeper.close(self._mailbox.stats())
        self._mailbox.left()
        self._source.end_replay()
        self._visits.leave()

    def _change_to(self, visit: Visit) -> None:
        """Leaves for a world that was left before."""
        if visit is self._visits.before:
            self._visits.before = None  # it is not to be given up for the one that is left now
        self._leave()
        self._enter(visit)

    def _go(self, moment: Moment) -> None:
        """Goes on from a moment of the world that is played."""
        visit, epoch = self._visits.current, self._mailbox.epoch
        assert visit is not None
        self._source.end_replay()
        try:
            visit.playthrough.go(moment)
        except LookupError:  # nothing is kept from which it could be made again: as near as there is
            visit.playthrough.go(visit.playthrough.past.moments()[0])
        self._arrive(epoch)

    def _stay(self, words: str = "") -> None:
        """Goes on as if nothing had been asked for; a block that was thrown away for it is made again."""
        if words:
            self._mailbox.notice(words)
        visit, epoch = self._visits.current, self._mailbox.epoch
        if visit is None:
            return
        if visit.playthrough.present is not visit.delivered:
            visit.back_to_delivered()
            self._arrive(epoch)
        else:
            self._mailbox.tell_past(visit.playthrough.past.passages(), epoch)

    def _return(self) -> None:
        """Goes on in the world before; where there was no memory to keep it, it begins anew."""
        if self._visits.before is not None:
            self._enter(self._visits.before)

    def _enter(self, visit: Visit, epoch: int | None = None) -> None:
        self._visits.enter(visit)
        # A world that is begun from here on is of this one's quality.
        self._scene, self._world, self._quality = visit.scene, visit.playthrough.world, visit.quality
        if self._recording_wanted:
            self._record()
        self._arrive(self._mailbox.epoch if epoch is None else epoch)

    def _arrive(self, epoch: int) -> None:
        """Shows where play goes on from, whatever it came from."""
        visit = self._visits.current
        assert visit is not None
        present = visit.delivered = visit.playthrough.present
        self._source.arrived(self._mailbox.clock())
        told = control_of(present.actions, len(present.pictures) - 1)
        picture = Picture(present.picture, control=told, moment=present.id)
        self._mailbox.arrive(picture, visit.playthrough.past.passages(), epoch)
        self._tell_figures(state=State.PLAYING, words="", exit_code=0, scene=visit.scene.name)

    def _begin_anew(self, visit: Visit) -> None:
        """Anchors a world: its picture stands still while it is looked at as a first frame."""
        self._mailbox.stand_still()
        visit.playthrough.anchor()
        visit.delivered = visit.playthrough.present

    def _make_block(self, epoch: int) -> None:
        visit = self._visits.current
        assert visit is not None
        if self._source.anchors(visit.playthrough):
            self._begin_anew(visit)
        began = self._mailbox.clock()

        def early(since: Since, pictures: np.ndarray, actions: Actions, moment: MomentId) -> None:
            seconds = self._mailbox.clock() - began
            self._mailbox.hand_over(pictures, actions, _told(actions, since), moment, seconds, epoch)

        played, since = self._source.next(visit.playthrough, began, early)
        seconds = None if played.held else self._mailbox.clock() - began
        told = _told(played.block.actions, since)
        if self._mailbox.deliver(played.block, told, played.moment.id, seconds, epoch):
            visit.delivered = played.moment
            self._keeper.add(played, self._mailbox.stats)
        # else: something else was asked for meanwhile; nobody will see this block, and it is in no recording
        visit.playthrough.settle()
        self._mailbox.tell_past(visit.playthrough.past.passages(), epoch)
        now = self._mailbox.clock()
        if not played.held:
            self._mailbox.settled(now - began)
            self._tell_pace()
        if now - self._told_at >= _TELL_EVERY:
            self._tell_figures()
        self._mailbox.tell(held=played.held, recording=self._keeper.recording)
        if not self._source.replaying:
            self._mailbox.tell(replay=None)

    # -- recording, and what is told ---------------------------------------------------------------------------------

    def _record(self) -> None:
        visit = self._visits.current
        assert visit is not None
        visit.playthrough.settle()
        try:
            self._keeper.start(visit.playthrough, visit.scene.name)
        except (EngineError, OSError) as error:  # a full disk must not end the game
            self._recording_wanted = False
            self._mailbox.notice(f"Cannot record: {error}")
        self._mailbox.new_figures()

    def _tell_pace(self) -> None:
        """Says that a lowered pace was taken back, if it was."""
        if self._mailbox.status.pace < 1.0 <= self._mailbox.pace:
            self._mailbox.notice("This machine keeps up again: full speed", pace=1.0)

    def _tell_figures(self, **changes) -> None:
        """Tells what changes all the time, and `changes`."""
        self._told_at = self._mailbox.clock()
        visit, visits = self._visits.current, self._visits
        if visit is None:
            return
        world = visit.playthrough.world
        self.vram_mb, self.steps = device_mb(world.device), len(world.config.denoising_steps)
        self._mailbox.tell(
            recording=self._keeper.recording,
            recorded=int(self._keeper.frames / world.config.fps),
            saved=visits.saved is not None,
            other_world="" if visits.before is None else visits.before.scene.name,
            rewind=visits.figures(),
            replay=self._source.figures(world.config.fps),
            quality=visit.quality,
            **changes,
        )

    def _on_progress(self, words: str, share: float) -> None:
        self._mailbox.check()
        self._mailbox.progress(words, share)

    def _on_load_progress(self, words: str, share: float) -> None:
        self._on_progress(words, share)
        if self._mailbox.model_ordered and self._world is None:
            raise _Elsewhere

    def _on_replay_progress(self, words: str, share: float) -> None:
        self._on_progress(words, share)
        if self._mailbox.fresh_ordered:
            raise _Elsewhere

    # -- failing -----------------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        self._failed = True
        self._visits.forget()
        self._source.end_replay()
        self._mailbox.forget()
        self._keeper.close(self._mailbox.stats())
        self._mailbox.tell(
            state=State.FAILED,
            words=_words(error),
            exit_code=2 if isinstance(error, InputError) else 1,
            details="".join(traceback.format_exception(error)),
            recording=False,
            saved=False,
            other_world="",
            rewinding=False,
            replay=None,
        )


def _told(actions: Actions, since: Since) -> list[FrameControl]:
    """What the model got for each frame, not what was held."""
    return [FrameControl(action.keys, action.mouse, moment) for action, moment in zip(actions, since, strict=True)]


def _words(error: Exception) -> str:
    """What went wrong, in a line."""
    words = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
    return " ".join(words.split())[:_MOST_WORDS]


class _Elsewhere(Exception):
    """Another world was asked for while a replay was being brought to its place, or another model was loading."""
