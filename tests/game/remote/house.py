"""A server in this process, with worlds that cost nothing, for tests; and a line that may be made as bad as wanted."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from game.input.controls import Controls
from game.live.player import Habits
from game.models.switcher import OneModel
from game.recording.library import Library
from game.remote import wire
from game.remote.client import RemotePlayer
from game.remote.pictures import Inbox
from game.remote.seat import Seat
from game.remote.server import House, Limits, Server, Serving
from game.remote.turns import SharedModels, Turns
from game.world.scenes import Scene
from tests.game.fakes import FakeScene, FakeWorld, wait_until

KEY = "a-key-of-this-test-0123456789"


class ServerThread:
    """A running server. world: what it plays; its port is in `port`, its address with the key in `address`."""

    def __init__(
        self, tmp: Path, world: FakeWorld | None = None, recorder: Any = None, port: int = 0, **how: Any
    ) -> None:
        self.world = world or FakeWorld(fps=50.0)
        self.root = tmp / "recordings"
        self.root.mkdir(parents=True, exist_ok=True)
        habits = how.pop("habits", Habits())
        scenes = [FakeScene("hall"), FakeScene("court")]
        serving = replace(Serving(KEY, port=port), **how)
        shared = SharedModels(OneModel(lambda progress: self.world), Turns(), fixed=serving.players > 1)
        inbox = Inbox(self.root / ".inbox")
        self.seats: list[Seat] = []

        def open_seat(number: int, wake: Callable[[], None]) -> Seat:
            seat = Seat(
                shared.for_seat, scenes, habits=habits,
                make_recorder=None if recorder is None else shared.recorder(lambda *args: recorder()),
                recording=lambda name: self.server.recording(name),
                picture=lambda name: Scene("yours", inbox.path(name)), wake=wake,
            )  # fmt: skip
            self.seats.append(seat)
            return seat

        house = House(
            open_seat, {s.name: s.picture for s in scenes}, inbox, model="fake", recordings=Library(self.root)
        )
        self.server = Server(serving, house)
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)
        self.url = f"http://127.0.0.1:{self.port}"
        self.address = f"{self.url}/#{KEY}"

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._ended = asyncio.Event()
        self.loop.run_until_complete(self._main())
        self.loop.close()

    async def _main(self) -> None:
        self.port = await self.server.start()
        self._ready.set()
        await self._ended.wait()
        await self.server.stop()

    def stop(self) -> None:
        """Ends it; raises if it hangs."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(60)
        assert not self._thread.is_alive()

    def __enter__(self) -> ServerThread:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def connected(server: ServerThread | str, **how: Any) -> RemotePlayer:
    """A player on a server, playing; `look` must be called for it to go on."""
    url = server if isinstance(server, str) else server.url
    player = RemotePlayer(url, KEY, Controls(), **how)
    player.connect()
    player.start()
    return player


@dataclass
class Seen:
    """What `play` saw."""

    numbers: list[int]
    stills: int = 0
    pictures: int = 0


def play(player: RemotePlayer, until: Callable[[], bool], seconds: float = 60.0) -> Seen:
    """Looks at pictures as a window does until something is so; fails if it never is."""
    seen, last, end = Seen([]), None, time.monotonic() + seconds
    while not until():
        now = time.perf_counter()
        picture = player.look(now)
        if picture is not None and picture is not last:
            last = picture
            seen.pictures += 1
            if picture.number is None:
                seen.stills += 1
            else:
                seen.numbers.append(picture.number)
                player.shown(picture, now)
        assert time.monotonic() < end, f"waited in vain: {player.status}"
        time.sleep(0.001)
    return seen


class Line:
    """A relay on loopback between clients and a server, as bad as it is told to be, at any time.

    delay: s each way; jitter: up to so much more; rate: bytes a second each way, 0 for any; loss: share of pieces of
    1,400 bytes that are lost, and come some time later, with all that follows behind them. gap: nothing goes through.
    It stands in for netem where a machine has none: TCP's own retransmissions are imitated, not made.
    """

    def __init__(
        self, port: int, delay: float = 0.0, jitter: float = 0.0, rate: float = 0.0, loss: float = 0.0
    ) -> None:
        self.delay, self.jitter, self.rate, self.loss, self.gap = delay, jitter, rate, loss, False
        self.lost = 0
        self.target = port
        self._random = random.Random(7)
        self._loop = asyncio.new_event_loop()
        self._ready, self._stack = threading.Event(), ExitStack()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)
        self.url = f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Breaks every connection there is, as a changed address does."""

        def abort() -> None:
            for writer in list(self._writers):
                writer.transport.abort()

        self._loop.call_soon_threadsafe(abort)

    def stop(self) -> None:
        """Ends it."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**16))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        await asyncio.gather(self._carry(reader, back), self._carry(there, writer), return_exceptions=True)
        self._writers -= {writer, back}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(4096)

        async def send() -> None:
            while True:
                at, data = await queue.get()
                while self.gap:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(max(0.0, at - self._loop.time()))
                if not data:
                    writer.transport.abort()
                    return
                writer.write(data)
                await writer.drain()

        task = self._loop.create_task(send())
        free, last = 0.0, 0.0
        try:
            while data := await reader.read(1400 if self.rate or self.loss else 65536):
                now = self._loop.time()
                free = max(free, now) + (len(data) / self.rate if self.rate else 0.0)
                at = free + self.delay + self.jitter * self._random.random()
                if self.loss and self._random.random() < self.loss:
                    self.lost += 1
                    at += 2 * self.delay + max(0.03, 2 * self.delay)
                last = max(last, at)
                await queue.put((last, data))
        finally:
            await queue.put((self._loop.time(), b""))
            await asyncio.wait([task], timeout=30)
            task.cancel()


__all__ = ["KEY", "FakeWorld", "Limits", "Line", "ServerThread", "connected", "play", "wait_until", "wire"]
