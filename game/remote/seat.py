"""A world for a client that is elsewhere: it makes a block when one has been asked for, and not before.

Its mailbox is that of live play, with two differences: a block starts when a Step lies there (the client keeps the play
clock and knows when that is), and what comes out is kept, in order, for the server to send (game/remote/server.py).
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.actions import ActionSpace
from engine.block import Block
from engine.errors import EngineError, InputError
from game.input.controls import Controls, FrameControl
from game.live.clock import LiveStats, Pacer
from game.live.mailbox import Mailbox
from game.live.player import LocalPlayer
from game.live.status import Habits, MomentId, Picture, SceneLike, State, Status
from game.models.machine import resident_mb
from game.models.switcher import Models
from game.recording.writer import MakeRecorder
from game.remote import wire
from game.remote.wire import WireError
from game.world.history import Passage

_FAR = 3600.0  # s: the deadline of what nobody waits for
_PATIENCE = 10.0


@dataclass(frozen=True, eq=False)
class Made:
    """Something to send: frames of a block, or one still. kind, number, epoch, world, moment, oldest, first_frame,
    next_frames, held, and times in ms: as wire.Block. pictures: (F, H, W, 3) uint8 RGB. controls: what the model got.
    """

    kind: str
    pictures: np.ndarray
    controls: tuple[FrameControl, ...]
    number: int = -1
    epoch: int = 0
    world: int = -1
    moment: int = -1
    oldest: int = -1
    first_frame: int = 0
    next_frames: int = 1
    block_ms: float = 0.0
    wait_ms: float = 0.0
    cycle_ms: float = 0.0
    fps: float = 20.0
    held: bool = False

    def header(
        self, serial: int, encoded: Sequence[bytes], form: wire.Format, quality: int, encode_ms: float, skipped: int
    ) -> wire.Block:
        """As it is told to a client that gets `encoded`."""
        frames = tuple(
            wire.Shown(round(1000.0 * i / self.fps, 3), told.keys, told.mouse, len(data), told.since)
            for i, (told, data) in enumerate(zip(self.controls, encoded, strict=True))
        )
        height, width = self.pictures.shape[1:3]
        return wire.Block(
            serial, self.kind, width, height, form, frames, self.number, self.epoch, self.world, self.moment,  # type: ignore[arg-type]
            self.oldest, self.first_frame, self.next_frames, round(self.block_ms, 3), round(self.wait_ms, 3),
            round(encode_ms, 3), round(self.cycle_ms, 3), self.held, quality, skipped,
        )  # fmt: skip


@dataclass(frozen=True)
class _Request:
    step: wire.Step
    came: float
    deadline: float


class Requests(Controls):
    """The controls of a client elsewhere, block by block as they came. Written by the server, read by the engine."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[_Request] = deque()
        self.taken: _Request | None = None  # of the block that is being made
        self.waited = 0.0

    def sample(self, frames: int, now: float) -> list[FrameControl]:
        """The oldest Step's controls for a block of `frames`.

        One of another length (the client could not know better) is cut, or its last frame goes on; keys that the model
        does not have are left out, and motion is cut to its limit.
        """
        with self._lock:
            if not self.waiting:  # thrown away while a replay made its block
                self.taken = None
                return [FrameControl((), (0.0, 0.0) if self._space.has_mouse else None)] * frames
            self.taken = self.waiting.popleft()
            self.waited = now - self.taken.came
            rows = [self._control(frame) for frame in self.taken.step.frames]
            rows += [replace(rows[-1], mouse=self._mouse(None), since=None)] * (frames - len(rows))
            return rows[:frames]

    def forget_past(self, now: float) -> None:
        """The world is somewhere else: motion and taps that were under way were meant for where it was."""
        with self._lock:
            for i, one in enumerate(self.waiting):
                frames = tuple(replace(frame, mouse=None, since=None) for frame in one.step.frames)
                self.waiting[i] = replace(one, step=replace(one.step, frames=frames))

    def deadline(self) -> float:
        """When the block that is asked for next, or being made, must be there; seconds of time.perf_counter."""
        with self._lock:
            one = self.waiting[0] if self.waiting else self.taken
            return time.perf_counter() + _FAR if one is None else one.deadline

    def put(self, request: _Request) -> None:
        """One more Step."""
        with self._lock:
            if len(self.waiting) >= wire.MOST_WAITING:
                raise WireError("too many blocks are asked for at once", expected=f"at most {wire.MOST_WAITING}")
            self.waiting.append(request)

    def put_back(self) -> None:
        """The block that was made of the last Step is worthless, but its client waits for one."""
        with self._lock:
            if self.taken is not None:
                self.waiting.appendleft(self.taken)

    def clear(self) -> None:
        """The client asked for another place: what it asked for before is void."""
        with self._lock:
            self.waiting.clear()

    def _control(self, frame: wire.Frame) -> FrameControl:
        return FrameControl(
            tuple(k for k in dict.fromkeys(frame.keys) if k in self._space.keys), self._mouse(frame.mouse), frame.since
        )

    def _mouse(self, mouse: tuple[float, float] | None) -> tuple[float, float] | None:
        if not self._space.has_mouse:
            return None
        limit = self._space.mouse_limit
        pitch, yaw = mouse or (0.0, 0.0)
        return max(-limit, min(limit, pitch)), max(-limit, min(limit, yaw))


class AskedPacer(Pacer):
    """A pacer whose blocks start when they are asked for; what the client measures is its statistics."""

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests
        self.cycle = 0.0
        self.note = wire.Ping(0.0)
        self._late_before = 0

    def start_at(self) -> float | None:
        """At once if a block is asked for, else not yet."""
        return -math.inf if self._requests.waiting else None

    def settled(self, cycle: float, now: float) -> None:
        """See Pacer."""
        super().settled(cycle, now)
        self.cycle = self._times.usual_cycle()

    def new_figures(self) -> None:
        """See Pacer."""
        super().new_figures()
        self._late_before = self.note.late_frames

    def live_stats(self) -> LiveStats:
        """What the client told of its play."""
        note, latency = self.note, None
        if note.latency_p50 is not None and note.latency_p95 is not None:
            latency = {"p50": round(note.latency_p50, 3), "p95": round(note.latency_p95, 3)}
        ahead = {"p50": round(note.lookahead_p50, 3), "p95": round(note.lookahead_p95, 3)}
        return LiveStats(latency, max(0, note.late_frames - self._late_before), ahead)


class AskedMailbox(Mailbox):
    """A mailbox that keeps all that is made, in order, until it is taken. requests: what clients asked for."""

    def __init__(
        self,
        requests: Requests,
        clock: Callable[[], float],
        wake: Callable[[], None],
        status: Status,
        habits: Habits,
    ) -> None:
        self.pulled = AskedPacer(requests)
        super().__init__(self.pulled, clock, wake, status, habits)
        self._requests = requests
        self._made: deque[Made | wire.Still] = deque()
        self.client_epoch = 0
        self.next_frames = 1
        self._place: Made | None = None

    def asked(self, request: _Request) -> None:
        """A block is asked for."""
        with self._changed:
            self._requests.put(request)
            self._changed.notify_all()

    def cut_to(self, epoch: int) -> None:
        """The client threw its frames away: nothing of before is to reach it."""
        with self._changed:
            if epoch > self.client_epoch:
                self.client_epoch = epoch
                self._requests.clear()

    def made(self) -> list[Made | wire.Still]:
        """All that was made since the last call."""
        with self._changed:
            made, self._made = list(self._made), deque()
            return made

    @property
    def place(self) -> Made | None:
        """The newest picture, as one sees it who comes now."""
        with self._changed:
            return self._place

    def deliver(
        self, block: Block, controls: Sequence[FrameControl], moment: MomentId, seconds: float | None, epoch: int
    ) -> bool:
        """See Mailbox."""
        with self._changed:
            taken = self._requests.taken
            if epoch != self._epoch:
                if taken is not None and taken.step.epoch == self.client_epoch:
                    self._requests.put_back()
                return False
            self._pacer.deliver(len(block.frames), self.clock(), seconds)
            made = Made(
                "block", block.frames, tuple(controls),
                number=-1 if taken is None else taken.step.number, epoch=self.client_epoch,
                world=moment.world, moment=moment.moment, oldest=self._oldest(moment.moment),
                first_frame=block.first_frame, next_frames=self.next_frames,
                block_ms=0.0 if seconds is None else block.timings.total_ms,
                wait_ms=1000.0 * self._requests.waited, cycle_ms=1000.0 * self.pulled.cycle,
                fps=self._pacer.fps, held=seconds is None,
            )  # fmt: skip
            self._made.append(made)
            self._place = replace(made, kind="place", pictures=block.frames[-1:], controls=made.controls[-1:])
        self._wake()
        return True

    def hand_over(self, *part: Any) -> None:
        """See Mailbox; the line carries whole blocks."""

    def show(self, picture: Picture) -> None:
        """See Mailbox."""
        self._still("backdrop" if picture.backdrop else "place", picture)
        super().show(picture)

    def arrive(self, picture: Picture, past: tuple[Passage, ...], epoch: int) -> None:
        """See Mailbox."""
        with self._changed:
            if epoch == self._epoch:
                super().arrive(picture, past, epoch)
                self._still("place", picture)
        self._wake()

    def stand_still(self) -> None:
        """See Mailbox."""
        with self._changed:
            self._made.append(wire.Still())
        super().stand_still()
        self._wake()

    def _still(self, kind: str, picture: Picture) -> None:
        name = picture.moment
        with self._changed:
            made = Made(
                kind, picture.pixels[None], (replace(picture.control, since=None),), epoch=self.client_epoch,
                world=-1 if name is None else name.world, moment=-1 if name is None else name.moment,
                oldest=-1 if name is None else self._oldest(name.moment), next_frames=self.next_frames,
                fps=self._pacer.fps,
            )  # fmt: skip
            self._made.append(made)
            self._place = made

    def _oldest(self, newest: int) -> int:
        return self._past[0].id.moment if self._past else newest


class _Player(LocalPlayer):
    """A LocalPlayer whose moments are named by the client."""

    def save_moment(self, moment: MomentId | None) -> None:
        """Keeps a moment for `load`, None for the present one."""
        self._mailbox.order(partial(self._engine.save, moment))

    def go(self, moment: MomentId) -> None:
        """Goes on from a moment."""
        self._mailbox.order(partial(self._engine.go, moment), cut=True, elsewhere=False)

    @property
    def gpu_mb(self) -> float | None:
        """Memory of the GPU, None without one."""
        return self._engine.vram_mb

    @property
    def steps(self) -> int:
        """Denoising steps of a block as it is made now."""
        return self._engine.steps


class Seat:
    """One client's world. What comes from the client has been checked by then; methods are called on the server's loop.

    models: opens them, see SharedModels.for_seat. scenes, scene, habits, make_recorder: as LocalPlayer's.
    recording: the folder of a recording by name, None if there is none. picture: the scene of a picture that was sent.
    wake: called from any thread when there is something to take.
    """

    def __init__(
        self,
        models: Callable[[Callable[[], float], Callable[[int], None]], Models],
        scenes: Sequence[SceneLike],
        *,
        scene: int = 0,
        habits: Habits | None = None,
        make_recorder: MakeRecorder | None = None,
        recording: Callable[[str], Path | None] = lambda name: None,
        picture: Callable[[str], SceneLike],
        wake: Callable[[], None],
    ) -> None:
        self._requests = Requests()
        self._recording, self._picture = recording, picture
        self._scenes = {one.name: one for one in scenes}
        self.asked = -1
        self.ordered = 0
        self._mailbox: AskedMailbox
        requests = self._requests

        def mailbox(clock: Callable[[], float], wake: Callable[[], None], status: Status, habits: Habits) -> Mailbox:
            self._mailbox = AskedMailbox(requests, clock, wake, status, habits)
            return self._mailbox

        self._player = _Player(
            models(requests.deadline, self._expects),
            scenes,
            requests,
            scene=scene,
            habits=habits,
            make_recorder=make_recorder,
            wake=wake,
            make_mailbox=mailbox,
        )
        self._player.start()

    def _expects(self, frames: int) -> None:
        self._mailbox.next_frames = frames

    @property
    def epoch(self) -> int:
        """The client's, as last told."""
        return self._mailbox.client_epoch

    @property
    def period(self) -> float:
        """Seconds that a block plays."""
        return max(1, self._mailbox.next_frames) / self._mailbox.fps

    def stop(self) -> None:
        """Ends the world; its recording is whole then. Waits for a block in flight."""
        self._player.shutdown(_PATIENCE)

    def take(self) -> list[Made | wire.Still]:
        """What was made since the last call."""
        return self._mailbox.made()

    def newest(self) -> Made | None:
        """The newest picture, None before there is any."""
        return self._mailbox.place

    def note(self, ping: wire.Ping) -> None:
        """What the client measured."""
        self._mailbox.pulled.note = ping

    def step(self, step: wire.Step, trip_ms: float) -> None:
        """A block is asked for. trip_ms: a round trip to the client. Raises WireError."""
        if not step.frames:
            raise WireError("step.frames is empty", expected="one for each video frame of the block")
        if step.number <= self.asked:
            return  # sent again after the line broke, and had come before
        self.asked = step.number
        self._mailbox.cut_to(step.epoch)
        if step.epoch == self._mailbox.client_epoch:
            now = time.perf_counter()
            due = max(0.0, step.due - trip_ms) / 1000.0
            self._mailbox.asked(_Request(step, now, now + due))

    def command(self, command: wire.Command) -> None:
        """Something is to be done between two blocks, once however often it is said.

        What cannot be done becomes a notice.
        """
        if 0 < command.order <= self.ordered:
            return
        self.ordered = max(self.ordered, command.order)
        player = self._player
        self._mailbox.cut_to(command.epoch)
        simple: dict[str, Callable[[], Any]] = {
            "reset": player.reset,
            "restart": player.reset,
            "other_world": player.other_world,
            "load": player.load,
            "anchor": player.anchor,
            "record": player.toggle_recording,
            "take_over": player.take_over,
            "change_scene": lambda: player.change_scene(max(-1000, min(1000, command.number or 1))),
            "anchor_every": lambda: player.set_anchor_every(command.value),
            "idle_hold": lambda: player.set_idle_hold(command.value),
            "quality": lambda: player.set_quality(command.name),
            "change_model": lambda: player.change_model(command.name, command.quality or "default", ""),
            "pause": lambda: None,
            "resume": lambda: self._requests.forget_past(time.perf_counter()),
            "enter": lambda: self._enter(command.name),
            "save": lambda: player.save_moment(self._moment(command.number)),
            "go": lambda: self._go(command.number),
            "replay": lambda: self._replay(command.name, max(0, command.number)),
        }
        try:
            simple[command.do]()
        except EngineError as error:  # a scene or a picture that is not here: the world stays
            self._mailbox.notice(str(error))

    def _enter(self, name: str) -> None:
        kind, _, digest = name.partition(":")
        if kind == "picture" and digest:
            self._player.enter(self._picture(digest))
        elif (scene := self._scenes.get(name)) is not None:
            self._player.enter(scene)
        else:
            raise InputError("there is no such scene", got=name[:40], expected=", ".join(self._scenes))

    def _moment(self, number: int) -> MomentId | None:
        """A moment by the number that the client knows it by."""
        place = self._mailbox.place
        return None if number < 0 or place is None else MomentId(place.world, number)

    def _go(self, number: int) -> None:
        moment = self._moment(number)
        if moment is not None:
            self._player.go(moment)

    def _replay(self, name: str, frame: int) -> None:
        folder = self._recording(name)
        if folder is None:
            self._mailbox.notice("There is no such recording here")
        else:
            self._player.replay(folder, frame)

    def changed(self) -> tuple[Any, ...]:
        """What `told` is made of: while all of it is the same, so is that."""
        return self._player.status, self._mailbox.next_frames, self._mailbox.client_epoch

    def told(self) -> wire.Told:
        """What the world is about, as a client is told."""
        status, space = self._player.status, self._player.status.space
        replay = status.replay
        known = status.space is not None
        return wire.Told(
            state=status.state.value,
            words=_fit(status.words, 2000),
            progress=min(1.0, max(0.0, status.progress)),
            notice=_fit(status.notice, 2000),
            notices=status.notices,
            model=_fit(status.model),
            device=_fit(status.device),
            scene=_fit(status.scene),
            recording=status.recording,
            recorded=status.recorded,
            saved=status.saved,
            other_world=_fit(status.other_world),
            held=status.held,
            replay=None if replay is None else wire.Replayed(_fit(replay.name), replay.at_s, replay.length_s),
            beside=_fit(status.beside, 2000),
            quality=_fit(status.quality),
            space=None if space is None else space_of(space),
            fps=self._mailbox.fps if known else 0.0,
            next_frames=self._mailbox.next_frames,
            rewind_s=round(status.rewind.depth_s, 2),
            rewind_mb=round(status.rewind.mb, 1),
            rewind_budget_mb=round(status.rewind.budget_mb, 1),
            exit_code=status.exit_code,
            steps=self._player.steps,
            memory_mb=round(resident_mb()),
            gpu_mb=self._player.gpu_mb,
        )

    def numbers(self) -> dict[str, float]:
        """For operators."""
        note = self._mailbox.pulled.note
        return {
            "playing": float(self._player.status.state is State.PLAYING),
            "asked_total": self.asked + 1.0,
            "waiting": float(len(self._requests.waiting)),
            "block_cycle_seconds": self._mailbox.pulled.cycle,
            "round_trip_seconds": (note.trip or 0.0) / 1000.0,
            "late_frames_total": float(note.late_frames),
        }


def space_of(space: ActionSpace) -> wire.Space:
    """An action space as clients are told."""
    return wire.Space(space.mode, space.keys, space.has_mouse, space.mouse_limit, space.mouse_step, space.look_step)


def _fit(words: str, most: int = 200) -> str:
    """Words as the wire takes them: on one line, and not too long."""
    line = " ".join(words.split())
    return "".join(letter for letter in line if letter.isprintable())[:most]
