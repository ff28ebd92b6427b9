"""A player whose engine is elsewhere: what game/live/player.py asks for, answered over the wire.

The mailbox and the play clock are those of live play, and stand here: a thread asks for each block as late as it may be
asked for (the measured way there and back, and the model's time, before its first frame is due), with the controls of
that moment, and several are under way where the way is long. Another thread holds the connection. Where the line
breaks, the picture stands, the world waits, and this comes back into it. Imports no torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import numpy as np

from engine.actions import ActionSpace
from engine.block import Block, Timings
from engine.errors import EngineError, PictureError
from engine.families import action_space
from game.errors import InputError, RunError
from game.input.controls import Controls, FrameControl
from game.live.clock import BlockTimes, Pacer, PaceReport, Parts
from game.live.mailbox import Halt, Mailbox
from game.live.status import (
    Advice,
    Figures,
    Habits,
    LineFigures,
    ModelChoice,
    MomentId,
    Picture,
    ReplayFigures,
    RewindFigures,
    SceneLike,
    State,
    Status,
    Suggestion,
    advise,
)
from game.media.pictures import save_screenshot
from game.recording.format import percentiles
from game.remote import wire
from game.remote.pictures import decode, size_of
from game.remote.wire import (
    CLOSE_BUSY,
    CLOSE_REPLACED,
    CLOSE_UNAUTHORISED,
    CLOSE_VERSION,
    MOST_PICTURE,
    WireError,
)
from game.world.scenes import Scene

_MARGIN = 0.008  # s
_MOST_BUFFER = 1.5  # s that blocks may be asked for ahead, however bad the line is
_MOST_CAUTION = 0.1  # s of it that a late block adds; how long it took counts for itself
_MOST_UNEVEN = 0.3  # s that a block may take longer than the fastest before it is taken for a queue on the line
_RECENT = 200  # blocks
_GETTING_USED = 16  # of them, the first that say little
_PAST_BYTES = 128 * 2**20  # of encoded pictures, to run backwards
_FIRST_S, _SILENT_S, _PING_S = 10.0, 6.0, 1.0
_RETRY_S, _MOST_RETRY_S = 0.3, 5.0
_ASK_S = 65.0  # s that one who asks to play waits for an answer
HAND_OVER = "hand over"  # kind of the Suggestion that lets somebody else play
_T = TypeVar("_T")


class _WayTimes(BlockTimes):
    """How long blocks took from being asked for to being here: network, turn and model together.

    The head start is what nearly all of the last seconds' blocks needed, not what is usual: a retransmission here and
    there must not make a frame late. On an uneven line there is room for two bad moments in one block, as what is asked
    may be lost as well as what is answered. It sinks again within ten seconds of a steady line.
    """

    def __init__(self, margin: float) -> None:
        super().__init__(margin)
        self.steps = deque(maxlen=_RECENT)
        self._network: deque[float] = deque(maxlen=_RECENT)
        self._again = 0.0  # s that the line's bad moments take longer than its usual ones

    def add_network(self, seconds: float) -> None:
        """Counts what of a block's time the line took."""
        if seconds >= _MOST_BUFFER + 1.0:  # as for `steps`
            return
        self._network.append(seconds)
        times = sorted(self._network)
        self._again = _nearly_all(times) - times[len(times) // 2]

    def add(self, step: float, period: float, spare: float, parts: Parts = (), frames: int = 1) -> None:
        """See BlockTimes."""
        if spare < -0.001:
            self._caution = min(_MOST_CAUTION, max(self._caution, -1.25 * spare))
        else:
            self._caution *= 0.98
        self._blocks += 1
        if self._blocks == _GETTING_USED:  # both ends were still warming up: the next seconds need not pay for it
            self.steps.clear()
            self._network.clear()
        if step < _MOST_BUFFER + 1.0:  # a line that was broken says nothing of it
            self.steps.append(step)

    @property
    def shortest(self) -> float:
        """Seconds of the fastest of the recent blocks."""
        return min(self.steps, default=0.0)

    def head_start(self) -> float:
        """See BlockTimes."""
        if not self.steps:
            return math.inf
        high = _nearly_all(sorted(self.steps))
        return min(_MOST_BUFFER, high + min(_MOST_UNEVEN, self._again) + self.margin + self._caution)


def _nearly_all(times: list[float]) -> float:
    """What all but 1.5 % of sorted times stay below."""
    return times[min(len(times) - 1, int(0.985 * len(times)))]


@dataclass
class _Asked:
    """A Step under way."""

    step: wire.Step
    at: float


class LinePacer(Pacer):
    """A pacer that asks for blocks ahead of time. Guarded by the mailbox's lock, as every Pacer."""

    def __init__(self, margin: float = _MARGIN) -> None:
        super().__init__(margin=margin)
        self._times: _WayTimes = _WayTimes(margin)
        self.waiting: dict[int, _Asked] = {}
        self.next_frames = 1
        self.ready = False  # somebody is there who makes blocks
        self._arrivals: deque[tuple[float, bool, float]] = deque(maxlen=24)
        self.models: deque[float] = deque(maxlen=64)
        self.networks: deque[float] = deque(maxlen=64)
        self.trips: deque[float] = deque(maxlen=64)
        self.quality = 0
        self.limited = False
        self._line_cycle = 0.0
        self._wanted: float | None = None  # when the next block would have been asked for, were not enough under way

    @property
    def pending(self) -> int:
        """Frames that are asked for and not here."""
        return sum(len(asked.step.frames) for asked in self.waiting.values())

    @property
    def head_s(self) -> float:
        """Seconds before it is due that a block is asked for."""
        head = self._times.head_start()
        return 0.0 if math.isinf(head) else head

    def begin_model(self, fps: float) -> None:
        """See Pacer."""
        super().begin_model(fps)
        self._times = _WayTimes(self._margin)
        self._arrivals.clear()

    def start_at(self) -> float | None:
        """See Pacer: when to ask for the next block."""
        clock, frames = self._clock, max(1, self.next_frames)
        if clock.paused or not self.ready:
            return None
        if clock.end == 0:  # its first block tells how many frames the others have
            return None if self.waiting else -math.inf
        period = frames / (clock.fps * clock.speed)
        head = self._times.head_start()
        at = clock.due(clock.end + self.pending) - head
        # As many as the way is long and uneven; more would only queue up on a line that carries no more.
        way = min(head, self._times.shortest + _MOST_UNEVEN)
        most = max(1, min(wire.MOST_WAITING // 2, math.ceil(way / period) + 1))
        if len(self.waiting) >= most:
            self._wanted = at
            return None
        self._wanted = None
        return at

    def due_in(self, now: float) -> float:
        """Seconds until the first frame of a block asked for now is due."""
        return 0.0 if self._clock.end == 0 else self._clock.due(self._clock.end + self.pending) - now

    def arrived(self, header: wire.Block, asked: _Asked | None, now: float) -> float | None:
        """A block is here: seconds since it was asked for, without those it waited behind others of ours."""
        self.models.append(header.block_ms)
        self.quality = header.quality
        period_ms = 1000.0 * len(header.frames) / self._clock.fps
        limited = self._wanted is not None and self._wanted < now  # more would have been asked for by now
        self._wanted = None
        self._arrivals.append((now, limited, header.cycle_ms / 1000.0))
        if asked is None:
            return None
        taken = 1000.0 * (now - asked.at)
        network = max(0.0, taken - header.wait_ms - header.block_ms - header.encode_ms)
        self.networks.append(network)
        self._times.add_network(network / 1000.0)
        return (taken - max(0.0, header.wait_ms - period_ms)) / 1000.0

    def cycle(self) -> float:
        """Seconds that a block needs: of the model, or of the line where that carries less."""
        arrivals = list(self._arrivals)
        times = sorted(cycle for _, _, cycle in arrivals)
        model = times[int(0.85 * (len(times) - 1))] if times else 0.0
        last = arrivals[-8:]
        full = len(last) == 8 and sum(limited for _, limited, _ in last) > 4
        if full:
            self._line_cycle = (last[-1][0] - last[0][0]) / (len(last) - 1)
        else:
            self._line_cycle *= 0.985  # whether it carries more by now is found out by trying, little by little
        self.limited = self._line_cycle > max(model, 0.9 * self._block_frames / self._clock.fps)
        return max(model, self._line_cycle)

    def deliver(self, frames: int, now: float, step: float | None) -> int:
        """See Pacer. The first block stays until the second is here: the way there is just being learned."""
        first = super().deliver(frames, now, step)
        if first == 0:
            self._clock.stand_still()
        return first

    def slow_words(self) -> str:
        """See Pacer."""
        words = super().slow_words()
        if words and self.limited:
            return f"Playing at {self._clock.speed:.0%} speed: the line to the server carries no more"
        return words

    def report(self, now: float) -> PaceReport:
        """See Pacer; the blocks' times are the model's own."""
        models = list(self.models)
        return replace(super().report(now), block_ms=percentiles(models), recent_ms=tuple(models))

    def line(self) -> LineFigures:
        """What the line adds."""
        return LineFigures(
            round_trip_ms=percentiles(list(self.trips)),
            network_ms=percentiles(list(self.networks)),
            model_ms=percentiles(list(self.models)),
            ahead_ms=1000.0 * self.head_s,
            quality=self.quality,
            limited=self.limited,
        )


class LineMailbox(Mailbox):
    """A mailbox whose blocks come from elsewhere. epoch_there: what the server calls the present stretch of play."""

    def __init__(self, pacer: LinePacer, wake: Callable[[], None], status: Status) -> None:
        self.pacer = pacer
        self.epoch_there = 0
        self._arriving = False
        super().__init__(pacer, time.perf_counter, wake, status, Habits())

    def ask(self, controls: Controls, number: int, have: int, zero: float) -> wire.Step:
        """Takes what is pressed and moved as the next Step."""
        now = self.clock()
        with self._changed:
            frames, due = max(1, self.pacer.next_frames), self.pacer.due_in(now)
            row = controls.sample(frames, now)
            told = tuple(
                wire.Frame(one.keys[-wire.MOST_HELD :], one.mouse, None if one.since is None else _ms(one.since, zero))
                for one in row
            )
            due_ms = max(-1e6, min(1e6, round(1000.0 * due, 2)))
            step = wire.Step(number, told, self.epoch_there, due_ms, have)
            self.pacer.waiting[number] = _Asked(step, now)
            return step

    def come(self, header: wire.Block, pictures: np.ndarray, controls: Sequence[FrameControl], actions: Any) -> bool:
        """A block is here; False if it belongs to a place that was left."""
        moment = MomentId(max(0, header.world), max(0, header.moment))
        timings = Timings(header.block_ms, 0.0, 0.0, header.block_ms)
        now = self.clock()
        with self._changed:
            asked = self.pacer.waiting.pop(header.number, None)
            if header.epoch != self.epoch_there:
                return False
            taken = self.pacer.arrived(header, asked, now)
            self.pacer.next_frames = max(1, header.next_frames)
            block = Block(max(0, header.number), header.first_frame, pictures, actions, timings)
            self.deliver(block, controls, moment, None if header.held else (taken or 0.0), self._epoch)
            if not header.held:
                self.pacer.settled(self.pacer.cycle(), now)
            self._changed.notify_all()
        return True

    def arrive(self, picture: Picture, past: Any, epoch: int) -> None:
        """See Mailbox; what is asked for already is made there, and comes."""
        with self._changed:
            self._arriving = True
            try:
                super().arrive(picture, past, epoch)
            finally:
                self._arriving = False
            self._changed.notify_all()

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Another one is to be woken."""
        self._wake = wake

    def set_ready(self, ready: bool) -> None:
        """Whether blocks can be asked for."""
        with self._changed:
            self.pacer.ready = ready
            self._changed.notify_all()

    def anew(self) -> None:
        """Another world than before is there, which knows nothing of what was asked for."""
        with self._changed:
            self.pacer.waiting.clear()
            self._drop_frames()
            self._past = ()
            self._changed.notify_all()

    def waiting(self) -> list[_Asked]:
        """What is asked for, oldest first."""
        with self._changed:
            return list(self.pacer.waiting.values())

    def note_trip(self, ms: float) -> None:
        """A round trip took so long."""
        with self._changed:
            self.pacer.trips.append(ms)

    def line(self) -> LineFigures:
        """See LinePacer."""
        with self._changed:
            return self.pacer.line()

    def _drop_frames(self) -> None:
        super()._drop_frames()
        if not self._arriving:
            self.epoch_there += 1
            self.pacer.waiting.clear()


class _Pictures(Sequence):
    """A block's pictures, encoded; each decoded when it is looked at."""

    def __init__(self, encoded: tuple[bytes, ...], size: tuple[int, int]) -> None:
        self._encoded, self._size = encoded, size

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        return decode(self._encoded[index], *self._size)

    @property
    def bytes(self) -> int:
        """What they take."""
        return sum(map(len, self._encoded))


@dataclass(frozen=True, eq=False)
class _Passage:
    """As game.world.history.Passage."""

    id: MomentId
    pictures: Any
    actions: Any


class _Past:
    """The blocks that came, to be run backwards: of all worlds, the oldest forgotten first. bytes: what they take."""

    def __init__(self) -> None:
        self._worlds: dict[int, list[_Passage]] = {}
        self.bytes = 0

    def add(self, passage: _Passage) -> None:
        """One more block, the newest of its world."""
        way = self._worlds.setdefault(passage.id.world, [])
        if way and way[-1].id.moment >= passage.id.moment:
            self.cut(passage.id, keep=False)
        way.append(passage)
        self.bytes += passage.pictures.bytes
        while self.bytes > _PAST_BYTES:
            world, oldest = next(iter(self._worlds.items()))
            if oldest:
                self.bytes -= oldest.pop(0).pictures.bytes
            if not oldest:
                del self._worlds[world]

    def cut(self, moment: MomentId, keep: bool = True) -> None:
        """What came after a moment of its world is not its past any more. keep: the moment itself is."""
        way = self._worlds.get(moment.world, [])
        while way and (way[-1].id.moment > moment.moment or (not keep and way[-1].id.moment == moment.moment)):
            self.bytes -= way.pop().pictures.bytes

    def of(self, world: int, oldest: int) -> tuple[Any, ...]:
        """The past of a world, as far as the server can return to it; what is older is forgotten."""
        way = self._worlds.get(world, [])
        known = bisect_left(way, oldest, key=lambda passage: passage.id.moment)
        self.bytes -= sum(passage.pictures.bytes for passage in way[:known])
        del way[:known]
        return tuple(way)

    def clear(self) -> None:
        """Forgets everything."""
        self._worlds, self.bytes = {}, 0


@dataclass(frozen=True)
class RemoteScene:
    """A scene of the server's."""

    name: str
    fetch: Callable[[str], np.ndarray]

    def picture(self) -> np.ndarray:
        """See SceneLike."""
        return self.fetch(self.name)


class _Orders:
    """Commands under way, kept until the server is known to have them: a broken line loses none, and does none twice.

    Shared by the thread that gives them and the line's; they are sent in the order of their numbers. send: a message,
    without waiting.
    """

    def __init__(self, send: Callable[[wire.Command], None]) -> None:
        self._lock, self._send = threading.Lock(), send
        self._open = False  # there is a line, and whoever is at its end has been told all that came before
        self._last = 0
        self._waiting: deque[tuple[wire.Command, float]] = deque(maxlen=256)  # with the moment when it was sent

    def give(self, command: wire.Command, now: float) -> None:
        """Sends a command, now or as soon as the line is back."""
        with self._lock:
            self._last += 1
            counted = replace(command, order=self._last)
            self._waiting.append((counted, now))
            if self._open:
                self._send(counted)

    def hold(self) -> None:
        """The line broke."""
        with self._lock:
            self._open = False

    def arrived(self, sent: float) -> None:
        """A message of this moment has arrived, so what was said a second before has."""
        with self._lock:
            while self._open and self._waiting and self._waiting[0][1] + 1000.0 < sent:
                self._waiting.popleft()

    def again(self, done: int, now: float) -> None:
        """The line is back, and the server has commands up to number `done`: sends the others."""
        with self._lock:
            self._open = True
            left = [command for command, _ in self._waiting if command.order > done]
            self._waiting.clear()
            self._waiting.extend((command, now) for command in left)
            for command in left:
                self._send(command)

    def begin(self, done: int) -> None:
        """Another world is there, in which nothing of what waits means anything."""
        with self._lock:
            self._open = True
            self._waiting.clear()
            self._last = max(self._last, done)


class _Ended(Exception):
    """The connection is over for good. words: why, for a person. wrong: the input was."""

    def __init__(self, words: str, wrong: bool = False) -> None:
        super().__init__(words)
        self.words, self.wrong = words, wrong


class Line:
    """The connection: one WebSocket, and plain requests beside it, on a thread and loop of its own.

    address, key: of the server. came: called on the loop with every message, text ones decoded. lost: with words, when
    the line breaks. hello: what to say when it is there.
    """

    def __init__(self, address: str, key: str, player: RemotePlayer) -> None:
        self.address, self._key, self._player = address, key, player
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse[Any] | None = None
        self._outgoing: deque[str] = deque()
        self._more = asyncio.Event()
        self._main: asyncio.Task | None = None
        self._stopping = False
        self.heard = 0.0

    def start(self) -> None:
        """Begins to connect."""
        self._thread.start()

    def stop(self, limit: float) -> bool:
        """Says goodbye and ends the thread; whether it did in time."""
        if not self._thread.is_alive() or (self._main is not None and self._main.done()):
            self._thread.join(limit)
            return not self._thread.is_alive()
        with contextlib.suppress(Exception):
            self.call(self._goodbye(), min(limit, 2.0))
        self._stopping = True
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(lambda: self._main.cancel() if self._main else None)
        self._thread.join(limit)
        return not self._thread.is_alive()

    def send(self, message: Any) -> None:
        """Queues a message; from any thread. Without a line it is dropped: what matters is said again."""
        text = wire.encode(message)

        def put() -> None:
            if self._socket is not None:
                self._outgoing.append(text)
                self._more.set()

        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(put)

    def call(self, work: Coroutine[Any, Any, _T], limit: float = 30.0) -> _T:
        """Runs something on the loop and waits for it; from any thread but the loop's. Raises RunError."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self.loop).result(limit)
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.TimeoutError) as error:
            raise RunError(f"the server does not answer ({str(error) or type(error).__name__})") from error
        except RuntimeError as error:
            work.close()
            raise RunError("the connection has ended") from error

    async def get(self, path: str, into: Path | None = None, most: int = 64 * 2**20) -> bytes:
        """A plain request. into: write the answer there and return nothing."""
        async with self._http().get(self.address + path, headers=self._headers()) as answer:
            await self._check(answer)
            if into is None:
                data = b""
                async for part in answer.content.iter_chunked(2**16):
                    data += part
                    if len(data) > most:
                        raise RunError("the server's answer is too long", got=f"more than {most} bytes")
                return data
            with into.open("wb") as file:
                async for part in answer.content.iter_chunked(2**18):
                    file.write(part)
            return b""

    async def post(self, path: str, data: bytes) -> Any:
        """Sends something, returns the answer's JSON."""
        async with self._http().post(self.address + path, data=data, headers=self._headers()) as answer:
            await self._check(answer)
            return await answer.json()

    async def _check(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status == 401:
            raise InputError("the server does not know this key", remedy="connect with the address that it prints")
        if answer.status >= 400:
            words = " ".join((await answer.text())[:300].split())
            raise (PictureError if answer.status == 400 else RunError)(words or f"the server answers {answer.status}")

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RunError("the connection has ended")
        return self._session

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._main = self.loop.create_task(self._live())
        try:
            self.loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        except Exception as error:  # a mistake of ours must not leave a window waiting for ever
            self._player.ended(f"{type(error).__name__}: {error}", False)
            raise
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    async def _live(self) -> None:
        """Connects, and again whenever the line breaks, until it is over."""
        timeout = aiohttp.ClientTimeout(total=None, connect=10.0, sock_connect=10.0, sock_read=60.0)
        retry = _RETRY_S
        async with aiohttp.ClientSession(timeout=timeout) as self._session:
            while not self._stopping:
                words = ""
                try:
                    await self._connection()
                    retry = _RETRY_S
                except _Ended as ended:
                    self._player.ended(ended.words, ended.wrong)
                    return
                except WireError as error:
                    words = f"the server is not understood: {error}"
                except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
                    words = str(error) or type(error).__name__
                self._socket = None
                self._outgoing.clear()
                self._player.lost(words)
                await asyncio.sleep(retry)
                retry = min(_MOST_RETRY_S, retry * 1.6)

    async def _connection(self) -> None:
        assert self._session is not None
        timeout = aiohttp.ClientWSTimeout(ws_close=2.0)
        async with self._session.ws_connect(
            self.address + "/socket", max_msg_size=256 * 2**20, compress=0, timeout=timeout
        ) as ws:
            await ws.send_str(wire.encode(self._player.hello(self._key)))
            self._socket, self.heard = ws, time.monotonic()
            tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._ping())]
            try:
                await self._listen(ws)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._socket = None

    async def _listen(self, ws: aiohttp.ClientWebSocketResponse[Any]) -> None:
        while True:
            message = await ws.receive()
            self.heard = time.monotonic()
            if message.type is aiohttp.WSMsgType.TEXT:
                self._player.came(wire.decode(message.data, wire.DOWN))
            elif message.type is aiohttp.WSMsgType.BINARY:
                self._player.came_block(*wire.unpack(message.data))
            else:
                break
        # The socket's own code says how closing went, which a server that is gone by then spoils.
        code = message.data if message.type is aiohttp.WSMsgType.CLOSE else ws.close_code
        if code == CLOSE_UNAUTHORISED:
            raise _Ended("the server does not know this key: connect with the address that it prints", wrong=True)
        if code == CLOSE_VERSION:
            raise _Ended("the server is of another release; both must be the same", wrong=True)
        if code == CLOSE_REPLACED:
            raise _Ended("somebody else plays on in this world")
        if code == CLOSE_BUSY:
            raise _Ended(str(message.extra or "somebody else plays there"))

    async def _send(self) -> None:
        while True:
            while self._outgoing and self._socket is not None:
                await self._socket.send_str(self._outgoing.popleft())
            self._more.clear()
            await self._more.wait()

    async def _ping(self) -> None:
        """Says that we are there, and notices when nobody else is."""
        while True:
            await asyncio.sleep(_PING_S)
            if time.monotonic() - self.heard > _SILENT_S:
                socket = self._socket
                if socket is not None and not socket.closed:
                    response = socket._response  # closing politely would wait for an answer that cannot come
                    response.close()
                return
            self.send(self._player.ping())

    async def _goodbye(self) -> None:
        if self._socket is not None:
            await self._socket.send_str(wire.encode(wire.Seat("leave")))
            await asyncio.wait_for(self._socket.close(), 1.0)


class RemotePlayer:
    """A `Player` (game/live/player.py) whose engine is on a server.

    address, key: as wire.split_address gives them. controls: as LocalPlayer's. wake: called from any thread when the
    client should look again. shots: folder of the screenshots, here. pictures: how they are to come.
    """

    def __init__(
        self,
        address: str,
        key: str,
        controls: Controls,
        *,
        wake: Callable[[], None] = lambda: None,
        shots: Path = Path("recordings"),
        pictures: wire.Pictures | None = None,
        told: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.controls: Controls = controls
        self._shots, self._pictures, self._say = shots, pictures or wire.Pictures(), told
        self._pacer = LinePacer()
        self._wake = wake
        self._mailbox = LineMailbox(self._pacer, lambda: None, Status(words="Connecting"))
        self._line = Line(address, key, self)
        self._orders = _Orders(self._line.send)
        self._asker = threading.Thread(target=self._ask, name="asker", daemon=True)
        self._zero = time.perf_counter()
        self._token, self._have, self._number = "", -1, -1
        self._welcome: wire.Welcome | None = None
        self._welcomed = threading.Event()
        self._end: _Ended | None = None
        self._told: wire.Told | None = None
        self._notices = 0
        self._past = _Past()
        self._scene = 0
        self._asked_by: str | None = None
        self._asked_at = 0.0
        self._broken_at: float | None = None
        self._lost = 0
        self._writers: list[threading.Thread] = []
        self.on_block: Callable[[wire.Block, np.ndarray], None] | None = None  # for tests and measures

    # -- its life ----------------------------------------------------------------------------------------------------

    def connect(self, limit: float = _FIRST_S) -> None:
        """Connects for the first time and waits for the server's welcome. Raises InputError, RunError."""
        self._line.start()
        if not self._welcomed.wait(limit) and self._asked_at:
            self._welcomed.wait(_ASK_S)
        if self._welcome is None:
            self._line.stop(2.0)
            if self._end is not None and self._end.wrong:
                raise InputError(self._end.words, got=self._line.address)
            words = self._end.words if self._end is not None else "nobody answers"
            raise RunError(f"cannot play on {self._line.address}: {words}", remedy="is the server running?")

    def attach(self, controls: Controls, wake: Callable[[], None]) -> None:
        """A window is there, with controls of its own; before `start`, from which on it can be woken."""
        self.controls, self._wake = controls, wake
        if (space := self.status.space) is not None:
            controls.configure(space, self.fps)

    def start(self) -> None:
        """See Player."""
        if not self._welcomed.is_set():
            self.connect()
        self._mailbox.wake_by(self._wake)
        self._asker.start()
        self._wake()

    def shutdown(self, limit: float = 5.0) -> bool:
        """See Player."""
        self._mailbox.halt()
        ended = self._line.stop(limit)
        if self._asker.ident is not None:
            self._asker.join(limit)
        for writer in self._writers:
            writer.join(limit)
        return ended and not self._asker.is_alive()

    # -- what there is to choose from --------------------------------------------------------------------------------

    @property
    def scenes(self) -> Sequence[SceneLike]:
        """See Player."""
        names = self._welcome.scenes if self._welcome is not None else ()
        return tuple(RemoteScene(name, self._fetch_scene) for name in names)

    @property
    def qualities(self) -> Sequence[str]:
        """See Player."""
        return self._welcome.qualities if self._welcome is not None else ()

    def choices(self, weights: str) -> list[ModelChoice]:
        """See Player. weights: of no interest, they are the server's."""
        models = self._welcome.models if self._welcome is not None else ()
        return [
            ModelChoice(one.name, one.mode, one.width, one.height, one.fps, one.problem, one.short_problem)
            for one in models
        ]

    @property
    def line(self) -> Line:
        """The connection, for plain requests beside play."""
        return self._line

    # -- what there is to show ---------------------------------------------------------------------------------------

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
        report, told = self._mailbox.report(now), self._told
        line = self._mailbox.line()
        advice = None
        if self._asked_by is not None and now - self._asked_at < _ASK_S:
            who = f" ({self._asked_by})" if self._asked_by else ""
            advice = Advice(f"Somebody else{who} wants to play on here", "let them", Suggestion(HAND_OVER), mild=True)
        elif self.status.state is State.PLAYING and told is not None:
            fast = 2 if "fast" in self.qualities and told.quality != "fast" and not line.limited else None
            advice = advise(report, steps=told.steps, fast_steps=fast)
        memory = 0.0 if told is None else told.memory_mb
        return Figures(report, self.status.rewind, memory, None if told is None else told.gpu_mb, advice, line)

    # -- worlds ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """See Player."""
        self._order("reset", fresh=True)

    def change_scene(self, step: int = 1) -> str:
        """See Player."""
        scenes = self.scenes
        self._scene = (self._scene + step) % len(scenes)
        self.enter(scenes[self._scene])
        return scenes[self._scene].name

    def enter(self, scene: SceneLike) -> None:
        """See Player."""
        if isinstance(scene, Scene):
            self._mailbox.order(partial(self._enter_picture, scene), fresh=True)
        else:
            self._order("enter", fresh=True, name=scene.name)

    def other_world(self) -> bool:
        """See Player."""
        there = bool(self.status.other_world)
        self._order("other_world", cut=there)
        return there

    def change_model(self, model: str, quality: str, weights: str) -> None:
        """See Player."""
        self._order("change_model", fresh=True, name=model, quality=quality)

    def set_quality(self, name: str) -> None:
        """See Player."""
        self._order("quality", cut=True, name=name)

    def set_pace(self, share: float) -> None:
        """See Player."""
        self._mailbox.set_pace(share)

    def apply(self, suggestion: Suggestion) -> None:
        """See Player."""
        if suggestion.kind == HAND_OVER:
            self._asked_by = None
            self._line.send(wire.Seat("allow"))
        elif suggestion.kind == "clock":
            self.set_pace(suggestion.share)
        else:
            self.set_quality(suggestion.name)

    # -- time --------------------------------------------------------------------------------------------------------

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
        moment = None if picture is None else picture.moment
        self._order("save", number=-1 if moment is None else moment.moment)

    def load(self) -> bool:
        """See Player."""
        saved = self.status.saved
        self._order("load", cut=saved)
        return saved

    def rewind(self, now: float) -> None:
        """See Player."""
        self._mailbox.begin_rewind(now)

    def let_go(self, now: float) -> None:
        """See Player."""
        target = self._mailbox.end_rewind(now)
        if target is not None:
            self._order("go", cut=True, elsewhere=False, number=target.moment)

    def anchor(self) -> None:
        """See Player."""
        self._order("anchor")

    def set_anchor_every(self, seconds: float) -> None:
        """See Player."""
        self._mailbox.set_habits(anchor_every=max(0.0, seconds))
        self._line.send(wire.Command("anchor_every", self._mailbox.epoch_there, value=max(0.0, seconds)))

    def set_idle_hold(self, seconds: float) -> None:
        """See Player."""
        self._mailbox.set_habits(idle_hold=max(0.0, seconds))
        self._line.send(wire.Command("idle_hold", self._mailbox.epoch_there, value=max(0.0, seconds)))

    # -- recordings --------------------------------------------------------------------------------------------------

    def toggle_recording(self) -> None:
        """See Player; the recording is the server's."""
        self._order("record")

    def screenshot(self) -> None:
        """See Player; it is written here."""
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
        """See Player. folder: as RemoteLibrary names it."""
        self._order("replay", cut=True, name=folder.name, number=frame)

    def take_over(self) -> None:
        """See Player."""
        self._order("take_over")

    # -- orders: carried out by the asking thread --------------------------------------------------------------------

    def _order(
        self, do: wire.CommandName, *, cut: bool = False, fresh: bool = False, elsewhere: bool = True, **what: Any
    ) -> None:
        def send() -> None:
            self._command(wire.Command(do, self._mailbox.epoch_there, **what))

        self._mailbox.order(send, cut=cut, fresh=fresh, elsewhere=elsewhere)

    def _command(self, command: wire.Command) -> None:
        """Sends a command, now or as soon as the line is back."""
        self._orders.give(command, self._ms_now())

    def _ms_now(self) -> float:
        return _ms(time.perf_counter(), self._zero)

    def _enter_picture(self, scene: Scene) -> None:
        """Sends a person's own picture, and has a world begin from it."""
        try:
            data = _sendable(scene)
            sent = self._line.call(self._line.post("/pictures", data), 120.0)
            name = f"picture:{sent['picture']}"
        except (EngineError, OSError, KeyError, TypeError) as error:
            self._mailbox.notice(f"The picture was not taken: {error}")
            name = ""
        if name:
            self._command(wire.Command("enter", self._mailbox.epoch_there, name=name[:200]))

    def _ask(self) -> None:
        """Asks for blocks, and carries out orders, until the end."""
        try:
            while True:
                self._mailbox.sleep()
                while (order := self._mailbox.take()) is not None:
                    order.call()
                if self._mailbox.due() is not None:
                    self._number += 1
                    self._line.send(self._mailbox.ask(self.controls, self._number, self._have, self._zero))
        except Halt:
            self._mailbox.tell(state=State.STOPPED, recording=False)

    # -- what comes, on the line's thread ----------------------------------------------------------------------------

    def hello(self, key: str) -> wire.Hello:
        """What to say first."""
        return wire.Hello(key, role="play", token=self._token, have=self._have, pictures=self._pictures, name="window")

    def ping(self) -> wire.Ping:
        """What to say now and then."""
        report = self._mailbox.report(time.perf_counter())
        latency, ahead = report.latency_ms or {}, report.lookahead_ms
        trips = self._mailbox.line().round_trip_ms
        return wire.Ping(
            self._ms_now(), trips["p50"] or None, report.late_frames,
            latency.get("p50"), latency.get("p95"), max(0.0, ahead["p50"]), max(0.0, ahead["p95"]),
        )  # fmt: skip

    def lost(self, words: str) -> None:
        """The line broke, or never was."""
        self._orders.hold()
        self._mailbox.set_ready(False)
        if self._welcome is None:
            self._end = _Ended(words or "the connection ended")
            return
        if self._broken_at is None:
            self._broken_at = time.monotonic()
            self._lost += 1
            self._mailbox.tell(beside="The line is broken: the world waits for it")

    def ended(self, words: str, wrong: bool) -> None:
        """It is over for good."""
        self._end = _Ended(words, wrong)
        self._mailbox.set_ready(False)
        self._welcomed.set()
        self._mailbox.tell(state=State.FAILED, words=words, exit_code=2 if wrong else 1, details=words, beside="")

    def came(self, message: Any) -> None:
        """A message of text."""
        if isinstance(message, wire.Pong):
            self._mailbox.note_trip(self._ms_now() - message.at)
            self._orders.arrived(message.at)
        elif isinstance(message, wire.Told):
            self._tell(message)
        elif isinstance(message, wire.Welcome):
            self._be_welcome(message)
        elif isinstance(message, wire.Still):
            self._mailbox.stand_still()
        elif isinstance(message, wire.Busy):
            if not message.ask:
                raise _Ended("somebody else plays there")
            self._asked_at = time.perf_counter()
            self._say("Somebody else plays there, and is asked whether you may; Ctrl-C gives up")
            self._line.send(wire.Seat("ask"))
        elif isinstance(message, wire.Answered):
            if not message.allowed:
                raise _Ended("somebody else plays there, and plays on")
            self._asked_at = 0.0
        elif isinstance(message, wire.Asked):
            self._asked_by, self._asked_at = message.name, time.perf_counter()
            self._mailbox.notice("Somebody else wants to play on here")
        elif isinstance(message, wire.Bye):
            self._mailbox.notice(message.words)

    def came_block(self, header: wire.Block, encoded: tuple[bytes, ...]) -> None:
        """Pictures."""
        pictures = np.stack([decode(data, header.width, header.height) for data in encoded])
        self._have = max(self._have, header.serial)
        told = [
            FrameControl(f.keys, f.mouse, None if f.since is None else self._zero + f.since / 1000.0)
            for f in header.frames
        ]
        moment = MomentId(header.world, header.moment)
        known = header.world >= 0 and header.moment >= 0
        if header.kind == "backdrop":
            self._mailbox.show(Picture(pictures[0], backdrop=True))
        elif header.kind == "place":
            if header.epoch == self._mailbox.epoch_there:
                self._arrive(header, pictures, encoded, told, moment if known else None)
        else:
            self._come(header, pictures, encoded, told, moment)
        if self.on_block is not None:
            self.on_block(header, pictures)
        self._line.send(wire.Have(self._have))  # at once: the server measures the way by it

    def _come(
        self, header: wire.Block, pictures: np.ndarray, encoded: tuple[bytes, ...], told: list[FrameControl],
        moment: MomentId,
    ) -> None:  # fmt: skip
        actions = _Told(tuple((frame.keys, frame.mouse) for frame in told))
        if header.moment >= 0 and not header.held:
            self._past.add(_Passage(moment, _Pictures(encoded, (header.width, header.height)), actions))
        if self._mailbox.come(header, pictures, told, actions):
            self._mailbox.tell_past(self._past.of(header.world, header.oldest), self._mailbox.epoch)

    def _arrive(
        self, header: wire.Block, pictures: np.ndarray, encoded: tuple[bytes, ...], told: list[FrameControl],
        moment: MomentId | None,
    ) -> None:  # fmt: skip
        past: tuple[Any, ...] = ()
        if moment is not None:
            self._past.cut(moment)
            past = self._past.of(moment.world, header.oldest)
            if not past or past[-1].id != moment:
                actions = _Told(tuple((frame.keys, frame.mouse) for frame in told))
                self._past.add(_Passage(moment, _Pictures(encoded, (header.width, header.height)), actions))
                past = self._past.of(moment.world, header.oldest)
        self._pacer.next_frames = max(1, header.next_frames)
        self.controls.forget_past(time.perf_counter())
        self._mailbox.arrive(Picture(pictures[-1], control=told[-1], moment=moment), past, self._mailbox.epoch)

    def _be_welcome(self, welcome: wire.Welcome) -> None:
        first, self._welcome = self._welcome is None, welcome
        self._token = welcome.token
        if not welcome.resumed:
            self._have, self._told = -1, None
            self._past.clear()
            self._number = max(self._number, welcome.asked)
            if not first:
                self._mailbox.anew()
                self._mailbox.notice("The server could not keep your world: this is another one")
            self._mailbox.epoch_there = max(self._mailbox.epoch_there, welcome.epoch)
            self._notices = -1
            self._orders.begin(welcome.ordered)
        else:
            self._orders.again(welcome.ordered, self._ms_now())
            for asked in self._mailbox.waiting():  # what was on the way when the line broke
                if asked.step.number > welcome.asked:
                    self._line.send(asked.step)
            self._mailbox.notice("The line is back")
        habits, epoch = self._mailbox.habits, self._mailbox.epoch_there
        # Said at every welcome, also where they are off: whoever played there before may have had them on.
        self._line.send(wire.Command("anchor_every", epoch, value=habits.anchor_every))
        self._line.send(wire.Command("idle_hold", epoch, value=habits.idle_hold))
        self._broken_at = None
        self._mailbox.tell(beside="")
        if self._told is not None:
            self._mailbox.set_ready(self._told.state == "playing")
        self._welcomed.set()

    def _tell(self, told: wire.Told) -> None:
        before, self._told = self._told, told
        space = None if told.space is None else action_space(told.space.mode)
        if space is not None and told.fps and (space != self.status.space or told.fps != self._mailbox.fps):
            self._learn_model(space, told.fps)
        replay = told.replay
        self._mailbox.tell(
            state=State(told.state),
            words=told.words,
            progress=told.progress,
            model=told.model,
            device=told.device,
            scene=told.scene,
            recording=told.recording,
            recorded=told.recorded,
            saved=told.saved,
            other_world=told.other_world,
            held=told.held,
            replay=None if replay is None else ReplayFigures(replay.name, replay.at_s, replay.length_s),
            beside=told.beside,
            quality=told.quality,
            space=space,
            rewind=RewindFigures(told.rewind_s, told.rewind_mb, told.rewind_budget_mb),
            exit_code=told.exit_code,
        )
        if self._notices < 0:
            self._notices = told.notices
        elif told.notices > self._notices:
            self._notices = told.notices
            self._mailbox.notice(told.notice)
        if before is None or before.state != told.state or not self._pacer.ready:
            self._mailbox.set_ready(told.state == "playing")

    def _learn_model(self, space: ActionSpace, fps: float) -> None:
        self.controls.configure(space, fps)
        self._mailbox.begin_model(fps)

    def _fetch_scene(self, name: str) -> np.ndarray:
        from urllib.parse import quote

        data = self._line.call(self._line.get(f"/scenes/{quote(name, safe='')}", most=MOST_PICTURE))
        size = size_of(data)
        if size is None:
            raise WireError("a scene's picture is none")
        return decode(data, *size)


class _Told(Sequence):
    """What the model was told for each frame of a block, as the mailbox reads it from engine.actions.Actions."""

    def __init__(self, frames: tuple[tuple[tuple[str, ...], tuple[float, float] | None], ...]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> FrameControl:  # type: ignore[override]
        keys, mouse = self._frames[index]
        return FrameControl(keys, mouse)


def _sendable(scene: Scene) -> bytes:
    """A picture's file as the server takes it. Raises PictureError, OSError."""
    data = scene.path.read_bytes() if scene.path.stat().st_size <= MOST_PICTURE else b""
    if data and size_of(data) is not None:
        return data
    import cv2

    pixels = scene.picture()  # another kind of file, or a very large one
    most = 4096 / max(pixels.shape[:2])
    if most < 1.0:
        pixels = cv2.resize(pixels, None, fx=most, fy=most, interpolation=cv2.INTER_AREA)
    ok, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not ok or len(encoded) > MOST_PICTURE:
        raise PictureError("the picture is too large to be sent", got=scene.path)
    return encoded.tobytes()


def _ms(moment: float, zero: float) -> float:
    return round(1000.0 * (moment - zero), 3)
