"""Everything that can be asked of a player, in any order, while blocks are in flight and while things fail.

A machine of hypothesis's draws the commands. The world is one whose pictures say who made them: each carries the scene
and the model it comes from and a digest of its rollout's whole past, so that a picture of the wrong world, a frame made
from other actions than were noted, or a replay that is not the same can be seen from outside.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from engine.actions import Actions
from engine.block import Block, TakePictures, Timings
from engine.errors import EngineError, PictureError
from engine.families import action_space
from game.files import write_whole
from game.input.controls import Controls
from game.live.player import Habits, LocalPlayer, State
from game.media.pictures import read_picture, save_png
from game.recording.format import ACTIONS, SessionHeader, action_lines, json_line, prelude_files, read_recording
from game.recording.replay import Replay, begin
from tests.game.live.stage import FakeClock

SCENES, MODELS, QUALITIES = ("hall", "court", "pool"), ("first", "second"), ("default", "fast")
BUDGET_MB, STATE = 1, 60_000  # room for some seventeen states
TICK = 0.01


class World:
    """Makes rollouts whose pictures say where they come from. alive: everything of this model, by weak references."""

    def __init__(self, model: str, quality: str, table: Table, alive: list[weakref.ref] | None = None) -> None:
        self.model, self.quality, self._table = model, quality, table
        self.alive = [] if alive is None else alive
        self.alive.append(weakref.ref(self))
        mode = "universal" if model == "first" else "templerun"
        self.config = SimpleNamespace(
            name=model, mode=mode, width=8, height=8, fps=20.0, denoising_steps=(1000, 500)[: 1 + (quality != "fast")]
        )
        self.device, self.dtype, self.weights_sha256 = "cpu", "float32", "0" * 64
        self.kernels, self.action_space = SimpleNamespace(compiled="off"), action_space(mode)

    def start(self, first_frame: np.ndarray, seed: int) -> Rollout:
        """A rollout; a picture of the model's own size stays as it is."""
        self._table.fails("start")
        picture = first_frame
        if picture.shape != (8, 8, 3):
            picture = np.zeros((8, 8, 3), np.uint8)
            picture[0, 2] = first_frame[0, 2]
        picture = picture.copy()
        picture[0, 2, 1:] = MODELS.index(self.model), QUALITIES.index(self.quality)
        rollout = Rollout(self, picture, seed, self._table)
        self.alive.append(weakref.ref(rollout))
        return rollout


class Snapshot:
    """A rollout's state; it takes as much as all."""

    def __init__(self, state: tuple[int, int, int]) -> None:
        self.state = state

    def storages(self) -> dict[int, int]:
        """One made-up tensor."""
        return {id(self): STATE}


class Rollout:
    """A digest of the first frame, the seed and every action since; each frame shows it."""

    def __init__(self, world: World, first_frame: np.ndarray, seed: int, table: Table) -> None:
        self.first_frame, self.seed, self._table = first_frame, seed, table
        self._alive = world.alive
        self.frames_done = self.blocks_done = 0
        self._digest = zlib.crc32(first_frame.tobytes() + seed.to_bytes(8, "big"))

    @property
    def next_frames(self) -> int:
        """One at first, then three."""
        return 3 if self.blocks_done else 1

    def step(self, actions: Actions, early: TakePictures | None = None) -> Block:
        """One block, in whose middle others may do what they like: before there are pictures, and between two."""
        assert len(actions) == self.next_frames
        self._table.in_the_middle(0)
        self._table.fails("step")
        frames = np.repeat(self.first_frame[None], len(actions), axis=0)
        for i, action in enumerate(actions):
            told = repr((action.keys, action.keyboard, action.mouse)).encode()
            self._digest = zlib.crc32(told, self._digest)
            frames[i, 0, 0] = np.frombuffer((self.frames_done + i).to_bytes(3, "big"), np.uint8)
            frames[i, 0, 1] = np.frombuffer(self._digest.to_bytes(4, "big")[1:], np.uint8)
        for frame in range(len(frames)):
            if early is not None:
                early(frames[frame : frame + 1])
            if frame < len(frames) - 1:
                self._table.in_the_middle(frame + 1)
                self._table.fails("decode")
        block = Block(self.blocks_done, self.frames_done, frames, actions, Timings(10.0, 0.0, 0.0, 10.0))
        self.frames_done, self.blocks_done = self.frames_done + len(actions), self.blocks_done + 1
        return block

    def settle(self) -> float:
        """There is nothing to do."""
        return 0.0

    def snapshot(self, since: Snapshot | None = None) -> Snapshot:
        """Everything that makes the next frames."""
        made = Snapshot((self.frames_done, self.blocks_done, self._digest))
        self._alive.append(weakref.ref(made))
        return made

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to it."""
        self.frames_done, self.blocks_done, self._digest = snapshot.state


class FirstFrame:
    """A scene, or a picture that cannot be opened."""

    def __init__(self, name: str) -> None:
        self.name = name

    def picture(self) -> np.ndarray:
        """Larger than the model's, with the scene's number in it."""
        if self.name not in SCENES:
            raise PictureError("no picture", got=self.name)
        made = np.full((16, 16, 3), 7, np.uint8)
        made[0, 2, 0] = SCENES.index(self.name)
        return made


class Recorder:
    """Keeps a recording's frames, and writes its files but for the videos."""

    problem = None

    def __init__(self, folder: Path, header: SessionHeader, first_frame: np.ndarray, prelude: Actions | None) -> None:
        self.folder, self.frames, self.closed = folder, [], False
        self._lines, self._preludes, self._blocks = [json_line(header.to_json())], -1, 0
        self._state(first_frame, prelude)

    def add(self, block: Block, events=(), held: bool = False) -> None:
        """See game.recording.writer."""
        self._lines += action_lines(block.actions, len(self.frames), self._blocks, events, held)
        self.frames += list(block.frames)
        self._blocks += 1

    def enter(self, first_frame, seed, actions, compiled_from) -> dict:
        """See game.recording.writer."""
        self._state(first_frame, actions)
        frames = 0 if actions is None else len(actions)
        return {"event": "enter", "prelude": self._preludes, "seed": seed, "frames": frames, "compiled_from": 0}

    def finish(self, stats=None, then=None) -> None:
        """See game.recording.writer."""
        if self.frames:
            write_whole(self.folder / ACTIONS, "".join(self._lines))
        self.closed = True

    def wait(self, limit: float) -> bool:
        """There is nothing to wait for."""
        return True

    def kill(self) -> None:
        """There is nothing to kill."""

    def _state(self, first_frame: np.ndarray, actions: Actions | None) -> None:
        self._preludes += 1
        picture, log = (self.folder / name for name in prelude_files(self._preludes))
        save_png(picture, first_frame)
        if actions is not None:
            write_whole(log, "".join(action_lines(actions, 0)))


class Table:
    """What is to fail next, what is to be done in the middle of the next block, and what went wrong meanwhile."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.failing = clock, ""
        self.doings: list[Callable[[], object]] = []
        self.after = 0  # so many pictures of the block

    def fails(self, where: str) -> None:
        """Raises what the engine would."""
        if self.failing == where:
            self.failing = ""
            raise EngineError("out of memory") if where == "start" else RuntimeError("the device is gone")

    def in_the_middle(self, pictures: int) -> None:
        """Of a step. pictures: of its block, as many as were handed out by now."""
        self.clock.pass_by(0.01)
        if pictures < self.after:
            return
        doings, self.doings = self.doings, []
        for doing in doings:
            doing()


class Models:
    """Two models. left: of each that was open before, what is alive when the next is opened."""

    model, quality = MODELS[0], QUALITIES[0]

    def __init__(self, table: Table) -> None:
        self._table, self.alive, self.left = table, [], []

    def opener(self):
        """See game.models.switcher."""
        return self.choose(self.model, self.quality, "")

    def choose(self, model: str, quality: str, weights: str):
        """See game.models.switcher."""

        def open_it(progress) -> World:
            self.left += [kind for kind in map(self._of, self.alive) if kind]
            self.alive.clear()
            self._table.fails("open")
            return World(model, quality, self._table, self.alive)

        return open_it

    def at_quality(self, world: World, quality: str) -> World:
        """See game.models.switcher."""
        return World(world.model, quality, self._table, self.alive)

    def qualities(self):
        """See game.models.switcher."""
        return QUALITIES

    def choices(self, weights: str) -> list:
        """None to be listed."""
        return []

    def living(self, kind: type) -> int:
        """How many of a kind there are."""
        self.alive[:] = [ref for ref in self.alive if ref() is not None]
        return sum(type(ref()) is kind for ref in self.alive)

    @staticmethod
    def _of(ref: weakref.ref) -> str:
        thing = ref()
        return "" if thing is None else type(thing).__name__


COMMANDS: dict[str, Callable[[AnyOrder], object]] = {
    "save": lambda m: m.player.save(),
    "load": lambda m: m.player.load(),
    "other_world": lambda m: m.player.other_world(),
    "rewind": lambda m: m.player.rewind(m.clock()),
    "let_go": lambda m: m.player.let_go(m.clock()),
    "next_scene": lambda m: m.player.change_scene(),
    "reset": lambda m: m.player.reset(),
    "broken": lambda m: m.player.enter(FirstFrame("letter")),
    "pool": lambda m: m.player.enter(FirstFrame("pool")),
    "anchor": lambda m: m.player.anchor(),
    "fast": lambda m: m.player.set_quality("fast"),
    "slow": lambda m: m.player.set_quality("default"),
    "second": lambda m: m.player.change_model("second", "default", ""),
    "first": lambda m: m.player.change_model("first", "fast", ""),
    "record": lambda m: m.player.toggle_recording(),
    "replay": lambda m: m.player.replay(m.replayable(), 3),
    "nowhere": lambda m: m.player.replay(Path("nowhere"), 0),
    "take_over": lambda m: m.player.take_over(),
    "pause": lambda m: m.player.pause(m.clock()),
    "resume": lambda m: m.player.resume(m.clock()),
    "anchor_often": lambda m: m.player.set_anchor_every(0.5),
    "anchor_never": lambda m: m.player.set_anchor_every(0.0),
    "hold_soon": lambda m: m.player.set_idle_hold(0.3),
    "hold_never": lambda m: m.player.set_idle_hold(0.0),
    "half": lambda m: m.player.set_pace(0.5),
    "w": lambda m: m.controls.press("w", m.clock()),
    "d": lambda m: m.controls.press("d", m.clock()),
    "hands_off": lambda m: m.controls.release_all(),
}
KEEP, LEAVE = ("", "save", "load"), ("", "other_world", "load", "next_scene", "second")
BACK = ("", "rewind", "save", "load", "record")
PICTURES = st.sampled_from([0, 1, 2])  # of a block, that were handed out when something is asked


class AnyOrder(RuleBasedStateMachine):
    """Asks, and after everything it asked looks whether all is well."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.table, self.folder = Table(self.clock), Path(tempfile.mkdtemp())
        self.models, self.controls = Models(self.table), Controls()
        self.recorders: list[Recorder] = []
        self.done: list[Path] = []
        self.player = LocalPlayer(
            self.models,
            [FirstFrame(name) for name in SCENES],
            self.controls,
            habits=Habits(rewind_mb=BUDGET_MB),
            make_recorder=self._make_recorder,
            clock=self.clock,
        )
        self._go_on(0.3)
        self.player.change_scene()
        self._go_on(0.3)

    @rule(keep=st.just("save"), leave=st.sampled_from(LEAVE), at_once=st.booleans(), after=PICTURES)
    def tap_save_and_back_in_flight(self, keep: str, leave: str, at_once: bool, after: int) -> None:
        """The same where the world that is left was kept, and its past is what the window still has."""
        self.tap_in_flight(keep, leave, "rewind", at_once, after)

    @rule(names=st.lists(st.sampled_from(sorted(COMMANDS)), min_size=1, max_size=4))
    def ask(self, names: list[str]) -> None:
        """Several things at once, between two blocks."""
        for name in names:
            COMMANDS[name](self)
        self._go_on(0.1)

    @rule(
        keep=st.sampled_from(KEEP),
        leave=st.sampled_from(LEAVE),
        back=st.sampled_from(BACK),
        at_once=st.booleans(),
        after=PICTURES,
    )
    def tap_in_flight(self, keep: str, leave: str, back: str, at_once: bool, after: int) -> None:
        """A key to keep a world, one to leave it, one to go back: all while one block of some world is being made."""
        if self.player.status.state is State.FAILED:
            self.player.reset()
        self.player.resume(self.clock())
        self._go_on(0.1)
        self._in_flight([name for name in (keep, leave, back, "let_go" if at_once else "") if name], after)

    @rule(names=st.lists(st.sampled_from(sorted(COMMANDS)), min_size=1, max_size=4), after=PICTURES)
    def ask_anything_in_flight(self, names: list[str], after: int) -> None:
        """Several things while one block is being made."""
        self._in_flight(names, after)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.5]))
    def play(self, seconds: float) -> None:
        """Nothing is asked for."""
        self._go_on(seconds)

    @rule(where=st.sampled_from(["step", "decode", "start", "open"]))
    def fail(self, where: str) -> None:
        """Something fails the next time it is tried."""
        self.table.failing = where

    @precondition(lambda self: self.player.status.state is State.FAILED)
    @rule()
    def try_again(self) -> None:
        """What a person does with a failed world."""
        self.player.reset()
        self._go_on(0.3)

    def teardown(self) -> None:
        """Ends it; every recording is whole."""
        assert self.player.shutdown(10.0)
        self._replay_all()
        shutil.rmtree(self.folder)

    def replayable(self) -> Path:
        """A recording that there is, or a folder without one."""
        return self.done[-1] if self.done else self.folder

    def _in_flight(self, names: list[str], after: int) -> None:
        self.table.after = after
        self.table.doings = [lambda: self.player.look(self.clock())]  # its first pictures are on the window
        self.table.doings += [lambda name=name: COMMANDS[name](self) for name in names]
        for _ in range(40):
            if not self.table.doings:
                break
            self._step()
        self.table.doings = []
        self._go_on(0.1)

    def _go_on(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self._step()
        self._check()

    def _step(self) -> None:
        for _ in range(50):
            if not self.player.turn():
                break
            self.player.look(self.clock())
        self.player.look(self.clock())
        self.clock.pass_by(TICK)

    def _check(self) -> None:
        status, picture = self.player.status, self.player.look(self.clock())
        if status.state is State.PLAYING:
            assert picture is not None and picture.pixels.shape == (8, 8, 3)
            scene, model, quality = (int(v) for v in picture.pixels[0, 2])
            shown = SCENES[scene], MODELS[model], QUALITIES[quality]
            assert shown == (status.scene, status.model, status.quality), "the rollout played is of the world named"
        assert status.rewind.mb <= BUDGET_MB, status.rewind
        assert not self.models.left, f"of a left model there was alive: {self.models.left}"
        rollouts, states = self.models.living(Rollout), self.models.living(Snapshot)
        if (rollouts - 1 + states) * STATE > BUDGET_MB * 2**20:
            gc.collect()
            rollouts, states = self.models.living(Rollout), self.models.living(Snapshot)
        assert (rollouts - 1 + states) * STATE <= BUDGET_MB * 2**20, f"{states} states, {rollouts} rollouts"
        self._replay_all()

    def _replay_all(self) -> None:
        """Every recording that has ended gives the same frames again; so its tape and its frames agree."""
        for recorder in [one for one in self.recorders if one.closed]:
            self.recorders.remove(recorder)
            if not recorder.frames:
                continue
            recording = read_recording(recorder.folder / ACTIONS)
            header = recording.header
            world = World(header.model, header.quality, Table(FakeClock()))
            playthrough = begin(recording, world, read_picture(recording.first_frame), header.seed, 2**30)
            replay, frames = Replay(playthrough, recording.actions, recording.happenings), []
            while not replay.done:
                frames += list(replay.play().block.frames)
                playthrough.settle()
            assert np.array_equal(frames[: len(recorder.frames)], recorder.frames), "a recording replays identical"
            self.done.append(recorder.folder)

    def _make_recorder(self, rollout: Rollout, world: World, scene: str, told: Actions | None) -> Recorder:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        config = world.config
        header = SessionHeader(
            config.name, config.mode, rollout.seed, 8, 8, config.fps, "", "0" * 64, "0", scene=scene,
            quality=world.quality, prelude=0 if told is None else len(told),
        )  # fmt: skip
        self.recorders.append(Recorder(folder, header, rollout.first_frame, told))
        return self.recorders[-1]


def try_everything(monkeypatch, examples: int, steps: int) -> None:
    """The same draws every time."""
    monkeypatch.setattr(os, "fsync", lambda file: None)  # nobody pulls the plug here
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )


def test_whatever_is_asked_in_whatever_order_while_blocks_are_in_flight_and_things_fail(monkeypatch):
    try_everything(monkeypatch, examples=30, steps=20)


@pytest.mark.slow
def test_whatever_is_asked_for_longer(monkeypatch):
    try_everything(monkeypatch, examples=300, steps=50)
