"""The server: who may come in, what they may ask, and what goes out to them. Blocks are made in game/remote/seat.py.

aiohttp carries it: one package, long kept, that brings server, client, WebSockets, ranges of files and TLS, and no
framework; the connecting side uses the same one. Everything runs on one asyncio loop; pictures are encoded, files are
read and worlds are ended in threads beside it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import hmac
import ipaddress
import itertools
import math
import re
import secrets
import socket
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMsgType, web

from engine.errors import EngineError, PictureError
from game import VERSION
from game.errors import InputError, RunError
from game.remote import wire
from game.remote.pictures import Inbox, Quality, encode
from game.remote.seat import Made, Seat
from game.remote.wire import (
    CLOSE_BROKEN,
    CLOSE_BUSY,
    CLOSE_IDLE,
    CLOSE_REPLACED,
    CLOSE_UNAUTHORISED,
    CLOSE_VERSION,
    WireError,
)

PAGE = Path(__file__).with_name("page") / "index.html"
_FILES = re.compile(r"[\w-][\w.-]*\.(mp4|jsonl|json|png)")
_WATCHER_BEHIND = 3  # blocks a slow watcher may be behind before some are left out
_GRACE = 5.0  # s that a world is kept for the client that left it, before another may go on in it
_BACKED_UP = 256 * 1024  # bytes of one connection that the system may hold before sending waits
_SECURITY = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Limits:
    """What a client may do. hello_s: seconds until its key must be there; idle_s: until the next message must.

    connections: of all clients; strangers: of them, those whose key is not known yet. messages: a second, for some
    seconds twice as many.
    """

    hello_s: float = 10.0
    idle_s: float = 30.0
    connections: int = 64
    strangers: int = 16
    messages: float = 300.0


@dataclass(frozen=True)
class Serving:
    """How to serve. key: what lets in. port: 0 for any. hosts: names that this machine is reached by, besides its
    addresses. players: how many worlds; watch: others may look on; take_over: who comes second may ask the player
    ("ask"), just take the seat ("always") or must wait ("never"). wait: seconds that a world waits for its client."""

    key: str
    host: str = "127.0.0.1"
    port: int = 8765
    players: int = 1
    watch: bool = False
    take_over: str = "ask"
    wait: float = 600.0
    hosts: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    limits: Limits = field(default_factory=Limits)


class Recordings(Protocol):
    """The recordings of this server, see game.recording.library.Library."""

    root: Path

    def entries(self) -> list[Any]: ...
    def thumbnail(self, entry: Any) -> Any: ...


@dataclass(frozen=True)
class House:
    """What is served. open_seat: makes the world of one more client. scenes: first pictures by name. models, model,
    qualities: as Welcome tells them. recordings: None where nothing is kept. inbox: of clients' own pictures."""

    open_seat: Callable[[int, Callable[[], None]], Seat]
    scenes: dict[str, Callable[[], Any]]
    inbox: Inbox
    models: tuple[wire.Model, ...] = ()
    model: str = ""
    qualities: tuple[str, ...] = ()
    recordings: Recordings | None = None


class _Refused(Exception):
    """A connection that has to end. code: of the WebSocket's closing."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words


class _Bucket:
    """Lets so many through in a second, and twice as many for a moment."""

    def __init__(self, rate: float) -> None:
        self._rate, self._left, self._at = rate, 2.0 * rate, time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(2.0 * self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        self._left -= 1.0
        return self._left >= 0.0


class _Client:
    """One WebSocket that has shown the key."""

    def __init__(self, server: Server, socket: web.WebSocketResponse, hello: wire.Hello, seat: _Held) -> None:
        self.server, self.socket, self.hello, self.seat = server, socket, hello, seat
        self.plays = hello.role == "play"
        self.quality = Quality(hello.pictures.quality)
        self.queue: deque[tuple[int, Made | str]] = deque()
        self.changed = asyncio.Event()
        self.sent: dict[int, float] = {}  # serial -> when
        self.skipped = 0
        self.trip_ms: float | None = None

    def offer(self, serial: int, item: Made | str) -> None:
        """Puts something into the queue; one who watches over a slow line misses blocks, and is told how many."""
        if not self.plays and not isinstance(item, str) and item.kind == "block":
            waiting = [one for one in self.queue if not isinstance(one[1], str) and one[1].kind == "block"]
            if len(waiting) >= _WATCHER_BEHIND:
                self.queue.remove(waiting[0])
                self.skipped += 1
        self.queue.append((serial, item))
        self.changed.set()

    def say(self, message: Any) -> None:
        """Queues a message of text."""
        self.offer(-1, wire.encode(message))

    def have(self, serial: int) -> None:
        """Blocks up to `serial` have arrived."""
        now = time.perf_counter()
        for one in [one for one in self.sent if one <= serial]:
            self.quality.arrived(now - self.sent.pop(one), self.seat.period, now)

    async def send_all(self) -> None:
        """Sends what is queued, in order, until the connection ends."""
        while True:
            while self.queue:
                serial, item = self.queue.popleft()
                if isinstance(item, str):
                    await self.socket.send_str(item)
                else:
                    data = await self.server.encoded(item, serial, self)
                    self.sent[serial] = time.perf_counter()
                    while len(self.sent) > 256:  # a watcher need not acknowledge
                        self.sent.pop(next(iter(self.sent)))
                    self.server.counted.bytes_sent += len(data)
                    await self.socket.send_bytes(data)
            self.changed.clear()
            await self.changed.wait()


class _Held:
    """A seat and who sits in it: the world, its client, those who watch, and the blocks not known to have arrived."""

    def __init__(self, number: int, token: str) -> None:
        self.number, self.token = number, token
        self.seat: Seat | None = None
        self.client: _Client | None = None
        self.watchers: list[_Client] = []
        self.kept: deque[tuple[int, Made]] = deque()
        self.serial = -1
        self.left_at: float | None = time.monotonic()
        self.told = ""
        self.known: tuple[Any, ...] = ()
        self.woken = False
        self.place: tuple[int, Made] | None = None
        self.asker: asyncio.Future[bool] | None = None

    @property
    def period(self) -> float:
        """Seconds that a block plays."""
        assert self.seat is not None
        return self.seat.period

    def everybody(self) -> list[_Client]:
        return [*([self.client] if self.client is not None else []), *self.watchers]

    def have(self, serial: int) -> None:
        """The client has all blocks up to `serial`."""
        while self.kept and self.kept[0][0] <= serial:
            self.kept.popleft()

    def pump(self) -> None:
        """Takes what the seat has made, and queues it for everybody."""
        assert self.seat is not None
        for made in self.seat.take():
            if isinstance(made, wire.Still):
                for client in self.everybody():
                    client.say(made)
                continue
            self.serial += 1
            self.kept.append((self.serial, made))
            if made.kind != "block" or self.place is None:
                self.place = (self.serial, made)
            for client in self.everybody():
                client.offer(self.serial, made)
            if self.client is None:  # nobody will acknowledge what nobody asked for
                while len(self.kept) > wire.MOST_WAITING:
                    self.kept.popleft()
        changed = (*self.seat.changed(), len(self.watchers))
        if len(changed) == len(self.known) and all(a is b for a, b in zip(changed, self.known, strict=True)):
            return
        self.known = changed
        told = wire.encode(replace(self.seat.told(), watchers=len(self.watchers)))
        if told != self.told:
            self.told = told
            for client in self.everybody():
                client.offer(-1, told)


@dataclass
class _Counted:
    """What /metrics tells."""

    connections: int = 0
    unauthorised: int = 0
    broken: int = 0
    blocks: int = 0
    frames: int = 0
    bytes_sent: int = 0
    encode_seconds: float = 0.0
    resumed: int = 0
    late_frames: int = 0


class Server:
    """Serves a house until it is stopped."""

    def __init__(self, serving: Serving, house: House) -> None:
        if len(serving.key) < 22:  # 128 bits in base64
            raise InputError("the key is too short", got=f"{len(serving.key)} letters", expected="at least 22")
        self.serving, self.house = serving, house
        self.counted = _Counted()
        self._key = serving.key.encode()
        self._began = time.monotonic()
        self._seats: list[_Held] = []
        self._strangers = 0
        self._clients = 0
        self._encoders = ThreadPoolExecutor(2, thread_name_prefix="encode")
        self._files = ThreadPoolExecutor(2, thread_name_prefix="files")
        self._encoding: dict[tuple, asyncio.Task] = {}
        self._page, self._policy = _page()
        self._runner: web.AppRunner | None = None
        self._sweeper: asyncio.Task | None = None
        self._numbers = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hosts = {"localhost", socket.gethostname().lower(), *(name.lower() for name in serving.hosts)}

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> int:
        """Begins to listen; returns the port. Raises InputError where it cannot."""
        self._loop = asyncio.get_running_loop()
        app = web.Application(middlewares=[self._guard], client_max_size=wire.MOST_PICTURE)
        app.router.add_get("/", self._get_page)
        app.router.add_get("/socket", self._get_socket)
        app.router.add_get("/health", self._get_health)
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_post("/pictures", self._post_picture)
        app.router.add_get("/scenes/{name}", self._get_scene)
        app.router.add_get("/recordings", self._get_recordings)
        app.router.add_get("/recordings/{id}/{file}", self._get_recording)
        app.on_response_prepare.append(self._add_headers)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=15.0,
                                     shutdown_timeout=2.0, max_line_size=8190, max_field_size=8190)  # fmt: skip
        await self._runner.setup()
        host, port = self.serving.host, self.serving.port
        try:
            site = web.TCPSite(self._runner, host, port, ssl_context=self.serving.tls, backlog=64, reuse_address=True)
            await site.start()
        except OSError as error:
            remedy = "another program uses the port; choose one with --port, or stop it"
            raise InputError(f"cannot listen on {host}:{port} ({error.strerror or error})", remedy=remedy) from error
        self._sweeper = asyncio.create_task(self._sweep())
        return self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Says goodbye, ends the worlds with their recordings whole, and stops listening."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for held in self._seats:
            for client in held.everybody():
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(client.socket.send_str(wire.encode(wire.Bye("The server ends"))), 1.0)
                    await asyncio.wait_for(client.socket.close(code=WSCloseCode.GOING_AWAY), 1.0)
        await asyncio.gather(*(self._end(held) for held in list(self._seats)))
        if self._runner is not None:
            await self._runner.cleanup()
        self._encoders.shutdown(cancel_futures=True)
        self._files.shutdown(cancel_futures=True)

    async def _sweep(self) -> None:
        """Ends the worlds that nobody came back to."""
        while True:
            await asyncio.sleep(min(1.0, self.serving.wait / 2 + 0.05))
            now = time.monotonic()
            for held in list(self._seats):
                if held.client is None and held.left_at is not None and now - held.left_at > self.serving.wait:
                    await self._end(held)

    async def _end(self, held: _Held) -> None:
        if held in self._seats:
            self._seats.remove(held)
        for watcher in held.watchers:
            watcher.say(wire.Bye("The world that you watched has ended"))
        if held.seat is not None:
            await asyncio.get_running_loop().run_in_executor(None, held.seat.stop)

    # -- who comes in --------------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]) -> Any:
        if not self._host_is_right(request):
            return web.Response(status=403, text="403: this server is not called that\n")
        if not _origin_is_right(request):
            return web.Response(status=403, text="403: not from another site's page\n")
        if request.path == "/" and request.method in ("GET", "HEAD"):
            return await handler(request)
        opens_socket = request.path == "/socket" and "Authorization" not in request.headers
        if not (opens_socket or self._authorised(request)):
            self.counted.unauthorised += 1
            return web.Response(status=401, text="401: the key is missing or wrong\n",
                                headers={"WWW-Authenticate": "Bearer"})  # fmt: skip
        try:
            return await handler(request)
        except web.HTTPException as error:
            return web.Response(status=error.status, text=f"{error.status}: {error.reason}\n", headers=_allow(error))
        except EngineError as error:
            return web.Response(status=400, text=f"{error}\n")

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        for name, value in _SECURITY.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", self._policy)
        response.headers["Server"] = "neural-world"

    def _host_is_right(self, request: web.Request) -> bool:
        """Addresses and this machine's names; a name of somebody else's may have been pointed at us by them."""
        try:
            name = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
        except ValueError:
            return False
        if name in self._hosts or name == self.serving.host.lower():
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _authorised(self, request: web.Request) -> bool:
        kind, _, key = request.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._is_key(key.strip())

    def _is_key(self, key: str) -> bool:
        return hmac.compare_digest(key.encode("utf-8", "replace"), self._key)

    # -- the socket ----------------------------------------------------------------------------------------------------

    async def _get_socket(self, request: web.Request) -> web.StreamResponse:
        limits = self.serving.limits
        if self._strangers >= limits.strangers or self._clients >= limits.connections:
            raise web.HTTPServiceUnavailable(reason="too many connections")
        ws = web.WebSocketResponse(max_msg_size=wire.MOST_TEXT, compress=False, timeout=2.0, heartbeat=None,
                                   writer_limit=_BACKED_UP)  # fmt: skip
        if not ws.can_prepare(request).ok:
            raise web.HTTPBadRequest(reason="a WebSocket is expected here")
        await ws.prepare(request)
        self.counted.connections += 1
        self._clients += 1
        code, words = int(WSCloseCode.OK), ""
        try:
            await self._serve(ws)
        except _Refused as refused:
            code, words = refused.code, refused.words
        except WireError as error:
            self.counted.broken += 1
            code, words = CLOSE_BROKEN, str(error)
        except (ConnectionError, asyncio.TimeoutError, RuntimeError) as error:
            code, words = CLOSE_BROKEN, type(error).__name__
        finally:
            self._clients -= 1
            with contextlib.suppress(Exception):
                await asyncio.wait_for(ws.close(code=code, message=words.encode()[:120]), 3.0)
            if code != WSCloseCode.OK and request.transport is not None:
                request.transport.abort()  # it may never answer, and holds what was not sent
        return ws

    async def _serve(self, ws: web.WebSocketResponse) -> None:
        self._strangers += 1
        try:
            hello = await self._hello(ws)
        finally:
            self._strangers -= 1
        client = await self._seated(ws, hello)
        held = client.seat
        tasks = [asyncio.create_task(client.send_all()), asyncio.create_task(self._listen(client))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if client in held.watchers:
                held.watchers.remove(client)
                held.pump()
            if held.client is client:
                gone_for_good = held.left_at == -math.inf
                held.client, held.left_at = None, time.monotonic()
                if gone_for_good:
                    await self._end(held)

    async def _hello(self, ws: web.WebSocketResponse) -> wire.Hello:
        text = await self._receive(ws, self.serving.limits.hello_s)
        if text is None:
            raise _Refused(CLOSE_BROKEN, "gone")
        key, version = wire.peek(text)
        if not self._is_key(key):
            self.counted.unauthorised += 1
            raise _Refused(CLOSE_UNAUTHORISED, "401: the key is missing or wrong")
        if version != wire.VERSION:
            words = f"this server speaks version {wire.VERSION}, the client {version}: use the same release"
            raise _Refused(CLOSE_VERSION, words)
        return wire.decode(text, {"hello": wire.Hello})

    async def _receive(self, ws: web.WebSocketResponse, seconds: float, bucket: _Bucket | None = None) -> str | None:
        """The next message of text, None at the end of the connection. bucket: how many more may come."""
        try:
            message = await asyncio.wait_for(ws.receive(), seconds)
        except asyncio.TimeoutError:
            raise _Refused(CLOSE_IDLE, "nothing came for too long") from None
        if message.type is WSMsgType.TEXT:
            if bucket is not None and not bucket.take():
                raise _Refused(CLOSE_BROKEN, "too many messages")
            return message.data
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
            return None
        self.counted.broken += 1
        raise _Refused(CLOSE_BROKEN, "only messages of text are expected")

    async def _seated(self, ws: web.WebSocketResponse, hello: wire.Hello) -> _Client:
        """Gives a client its seat, in which it finds what it left there."""
        held, resumed = self._find(hello)
        if held is None:
            held = await self._wait_for_seat(ws, hello)
        client = _Client(self, ws, hello, held)
        if held.seat is None:
            assert self._loop is not None
            loop, place = self._loop, held

            def wake() -> None:
                if place.woken:  # and has not looked since
                    return
                place.woken = True
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._pump, place)

            held.seat = self.house.open_seat(held.number, wake)
        if client.plays:
            if held.client is not None:
                held.client.say(wire.Bye("You came back from elsewhere"))
                await _close(held.client.socket, CLOSE_REPLACED)
            held.client, held.left_at = client, None
            if resumed:
                self.counted.resumed += 1
            else:
                held.kept.clear()
        held.pump()
        seat = held.seat
        told, fps = held.told, seat.told().fps
        client.queue.clear()
        client.say(wire.Welcome(
            token=held.token if client.plays else "",
            role=hello.role, resumed=resumed, asked=seat.asked, ordered=seat.ordered, block=held.serial,
            epoch=seat.epoch, wait=min(self.serving.wait, 1e9), scenes=tuple(self.house.scenes),
            models=self.house.models, model=self.house.model, qualities=self.house.qualities,
            can_record=self.house.recordings is not None,
            fps=fps,
        ))  # fmt: skip
        if told:
            client.offer(-1, told)
        if resumed and client.plays:
            held.have(hello.have)
            for serial, made in held.kept:
                client.offer(serial, made)
        else:
            self._show_place(client, held)
        if not client.plays:
            held.watchers.append(client)
            held.pump()
        return client

    @staticmethod
    def _show_place(client: _Client, held: _Held) -> None:
        """The newest picture, for one who sees this world for the first time."""
        assert held.seat is not None
        newest = held.seat.newest()
        if newest is not None:
            client.offer(max(0, held.serial), newest)

    def _find(self, hello: wire.Hello) -> tuple[_Held | None, bool]:
        """A seat for a hello, and whether it is the one it left. None: somebody else plays."""
        if hello.role == "watch":
            if not self.serving.watch:
                raise _Refused(CLOSE_BUSY, "nobody may watch here: the server was started without --watch")
            playing = [held for held in self._seats if held.seat is not None]
            if not playing:
                raise _Refused(CLOSE_BUSY, "nobody plays yet")
            return playing[0], False
        for held in self._seats:
            if hello.token and hmac.compare_digest(hello.token.encode(), held.token.encode()):
                return held, True
        if len(self._seats) < self.serving.players:
            numbers = {held.number for held in self._seats}
            number = next(number for number in itertools.count() if number not in numbers)
            self._seats.append(_Held(number, secrets.token_urlsafe(24)))
            return self._seats[-1], False
        # A world that its client has left, killed or asleep, is anybody's who has the key.
        now = time.monotonic()
        free = [one for one in self._seats if one.client is None and now - (one.left_at or now) > _GRACE]
        if not free or self.serving.take_over == "never":
            return None, False
        held = min(free, key=lambda one: one.left_at or 0.0)
        held.token = secrets.token_urlsafe(24)
        return held, False

    async def _wait_for_seat(self, ws: web.WebSocketResponse, hello: wire.Hello) -> _Held:
        """Tells one who came second so; returns the seat when they may play."""
        may_ask = self.serving.take_over != "never"
        await ws.send_str(wire.encode(wire.Busy(watch=self.serving.watch, ask=may_ask)))
        bucket = _Bucket(self.serving.limits.messages)
        while True:
            text = await self._receive(ws, 10 * self.serving.limits.idle_s, bucket)
            if text is None:
                raise _Refused(CLOSE_BUSY, "somebody else plays")
            message = wire.decode(text, {"seat": wire.Seat, "ping": wire.Ping, "hello": wire.Hello})
            if isinstance(message, wire.Hello):
                found, _ = self._find(message)
                if found is not None:
                    return found
                await ws.send_str(wire.encode(wire.Busy(watch=self.serving.watch, ask=may_ask)))
            elif isinstance(message, wire.Ping):
                await ws.send_str(wire.encode(wire.Pong(message.at)))
            elif message.do == "ask":
                held = await self._ask(hello) if may_ask else None
                await ws.send_str(wire.encode(wire.Answered(held is not None)))
                if held is not None:
                    return held

    async def _ask(self, hello: wire.Hello) -> _Held | None:
        """Asks a player whether somebody else may play on in their world; the seat, None if they refuse."""
        held = next((one for one in self._seats if one.asker is None), None)
        if held is None:
            return None
        allowed = True
        if self.serving.take_over == "ask":
            held.asker = asyncio.get_running_loop().create_future()
            try:
                if held.client is None:
                    return None
                held.client.say(wire.Asked(hello.name))
                allowed = await asyncio.wait_for(held.asker, 60.0)
            except asyncio.TimeoutError:
                allowed = False
            finally:
                held.asker = None
        if not allowed:
            return None
        if (before := held.client) is not None:
            held.client = None
            with contextlib.suppress(Exception):
                await before.socket.send_str(wire.encode(wire.Bye("Somebody else plays on in this world")))
            await _close(before.socket, CLOSE_REPLACED)
        held.token, held.left_at = secrets.token_urlsafe(24), time.monotonic()  # who was here cannot just come back
        return held

    async def _listen(self, client: _Client) -> None:
        """Does what a client asks for, until it goes."""
        limits, bucket = self.serving.limits, _Bucket(self.serving.limits.messages)
        while True:
            text = await self._receive(client.socket, limits.idle_s, bucket)
            if text is None:
                return
            self._obey(client, wire.decode(text, wire.UP))

    def _obey(self, client: _Client, message: Any) -> None:
        held, seat = client.seat, client.seat.seat
        assert seat is not None
        if isinstance(message, wire.Ping):
            client.say(wire.Pong(message.at))
            client.trip_ms = message.trip
            if client.plays:
                seat.note(message)
        elif isinstance(message, wire.Have):
            client.have(message.have)
            if client.plays:
                held.have(message.have)
        elif isinstance(message, wire.Hello):
            raise WireError("hello was said already")
        elif not client.plays:
            raise WireError("who watches asks for nothing")
        elif held.client is not client:
            raise _Refused(CLOSE_REPLACED, "somebody else plays on in this world")
        elif isinstance(message, wire.Step):
            client.have(message.have)
            held.have(message.have)
            seat.step(message, client.trip_ms or 0.0)
        elif isinstance(message, wire.Command):
            seat.command(message)
            held.pump()
        elif isinstance(message, wire.Seat) and message.do == "leave":
            held.left_at = -math.inf
            raise _Refused(WSCloseCode.OK, "goodbye")
        elif isinstance(message, wire.Seat) and held.asker is not None and not held.asker.done():
            held.asker.set_result(message.do == "allow")

    def _pump(self, held: _Held) -> None:
        held.woken = False
        if held.seat is not None:
            held.pump()

    async def encoded(self, made: Made, serial: int, client: _Client) -> bytes:
        """A block as it goes to a client; done once for all who want it alike."""
        wanted, quality = client.hello.pictures, client.quality.now
        if wanted.format == "png":
            quality = 100
        key = (id(made), wanted, quality)
        if (task := self._encoding.get(key)) is None:
            task = asyncio.create_task(self._encode(made, wanted, quality))
            self._encoding[key] = task
            while len(self._encoding) > 64:
                self._encoding.pop(next(iter(self._encoding)))
        pictures, encode_ms, _ = await asyncio.shield(task)  # others wait for it, too
        skipped, client.skipped = client.skipped, 0
        return wire.pack(made.header(serial, pictures, wanted.format, quality, encode_ms, skipped), pictures)

    async def _encode(self, made: Made, wanted: wire.Pictures, quality: int) -> tuple[list[bytes], float, Made]:
        def work() -> list[bytes]:
            return [encode(pixels, wanted, quality) for pixels in made.pictures]

        began = time.perf_counter()
        pictures = await asyncio.get_running_loop().run_in_executor(self._encoders, work)
        seconds = time.perf_counter() - began
        self.counted.blocks += 1
        self.counted.frames += len(pictures)
        self.counted.encode_seconds += seconds
        return pictures, 1000.0 * seconds, made  # made: an id is only its own while it lives

    # -- plain requests ------------------------------------------------------------------------------------------------

    async def _get_page(self, request: web.Request) -> web.Response:
        return web.Response(body=self._page, content_type="text/html", charset="utf-8")

    async def _get_health(self, request: web.Request) -> web.Response:
        states = [held.seat.told().state for held in self._seats if held.seat is not None]
        body = {
            "ok": "failed" not in states,
            "version": VERSION,
            "protocol": wire.VERSION,
            "model": self.house.model,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "players": {"most": self.serving.players, "worlds": len(self._seats),
                        "connected": sum(held.client is not None for held in self._seats)},
            "watchers": sum(len(held.watchers) for held in self._seats),
            "states": states,
        }  # fmt: skip
        return web.json_response(body, status=200 if body["ok"] else 503)

    async def _get_metrics(self, request: web.Request) -> web.Response:
        from game.models.machine import resident_mb

        c = self.counted
        lines: list[str] = []

        def add(name: str, kind: str, words: str, value: float) -> None:
            name = f"neural_world_{name}"
            lines.extend((f"# HELP {name} {words}", f"# TYPE {name} {kind}", f"{name} {value:g}"))

        add("uptime_seconds", "gauge", "Since the server began.", time.monotonic() - self._began)
        add("resident_memory_bytes", "gauge", "Memory of the process.", resident_mb() * 2**20)
        add("worlds", "gauge", "Worlds that are open.", len(self._seats))
        add("players", "gauge", "Clients that play.", sum(held.client is not None for held in self._seats))
        add("watchers", "gauge", "Clients that watch.", sum(len(held.watchers) for held in self._seats))
        add("connections_total", "counter", "WebSockets opened.", c.connections)
        add("unauthorised_total", "counter", "Requests without the right key.", c.unauthorised)
        add("broken_messages_total", "counter", "Messages that are not in the protocol.", c.broken)
        add("resumed_total", "counter", "Clients that came back into their world.", c.resumed)
        add("blocks_total", "counter", "Blocks encoded.", c.blocks)
        add("frames_total", "counter", "Video frames encoded.", c.frames)
        add("sent_bytes_total", "counter", "Bytes of pictures sent.", c.bytes_sent)
        add("encode_seconds_total", "counter", "Time spent encoding pictures.", c.encode_seconds)
        for held in self._seats:
            if held.seat is not None:
                for name, value in held.seat.numbers().items():
                    lines.append(f'neural_world_seat_{name}{{seat="{held.number}"}} {value:g}')
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")

    async def _post_picture(self, request: web.Request) -> web.Response:
        data = await asyncio.wait_for(request.read(), 120.0)
        try:
            name = await self._in_thread(self.house.inbox.put, data)
        except PictureError as error:
            return web.Response(status=400, text=f"{error}\n")
        except OSError as error:
            raise RunError(f"the picture cannot be kept ({error.strerror or error})") from error
        return web.json_response({"picture": name})

    async def _get_scene(self, request: web.Request) -> web.Response:
        scene = self.house.scenes.get(request.match_info["name"])
        if scene is None:
            raise web.HTTPNotFound
        pixels = await self._in_thread(scene)
        data = await self._in_thread(encode, pixels, wire.Pictures(), 90)
        return web.Response(body=data, content_type="image/jpeg")

    async def _get_recordings(self, request: web.Request) -> web.Response:
        return web.json_response(await self._in_thread(self._list))

    def _list(self) -> list[dict]:
        found = []
        for entry in self._entries():
            found.append({
                "id": entry.folder.name, "name": entry.name, "model": entry.model, "mode": entry.mode,
                "scene": entry.scene, "made": entry.made.isoformat(), "frames": entry.frames, "fps": entry.fps,
                "seconds": entry.seconds, "problem": entry.problem, "live": entry.live,
                "video": None if entry.video is None else entry.video.name,
                "icons": None if entry.icons is None else entry.icons.name,
                "files": {path.name: path.stat().st_size for path in _files_of(entry.folder)},
            })  # fmt: skip
        return found

    def _entries(self) -> list[Any]:
        """The recordings that lie in their folder themselves; a link to another place is none of them."""
        if self.house.recordings is None:
            return []
        root = self.house.recordings.root.resolve()
        return [one for one in self.house.recordings.entries() if one.folder.resolve().parent == root]

    def recording(self, name: str) -> Path | None:
        """The folder of a recording by its id, None if there is none."""
        return next((entry.folder for entry in self._entries() if entry.folder.name == name), None)

    async def _get_recording(self, request: web.Request) -> web.StreamResponse:
        name, file = request.match_info["id"], request.match_info["file"]
        entry = await self._in_thread(lambda: next((one for one in self._entries() if one.folder.name == name), None))
        if entry is None or self.house.recordings is None:
            raise web.HTTPNotFound
        if file == "thumbnail.jpg":
            pixels = await self._in_thread(self.house.recordings.thumbnail, entry)
            if pixels is None:
                raise web.HTTPNotFound
            return web.Response(body=await self._in_thread(encode, pixels, wire.Pictures(), 85),
                                content_type="image/jpeg")  # fmt: skip
        path = next((path for path in _files_of(entry.folder) if path.name == file), None)
        if path is None:
            raise web.HTTPNotFound
        headers = {"Content-Disposition": f'attachment; filename="{file}"'}
        return web.FileResponse(path, headers=headers)

    async def _in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._files, functools.partial(work, *args))


def _files_of(folder: Path) -> list[Path]:
    """A recording's own files: no links, nothing hidden, nothing from below it."""
    return [path for path in sorted(folder.iterdir()) if _FILES.fullmatch(path.name) and path.is_file()
            and not path.is_symlink()]  # fmt: skip


def _origin_is_right(request: web.Request) -> bool:
    """No other site's page may talk to us in a browser's name; other programs send no Origin."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower() != ""
    except ValueError:
        return False


def _allow(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


async def _close(ws: web.WebSocketResponse, code: int) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(ws.close(code=code), 1.0)


def _page() -> tuple[bytes, str]:
    """The page, and the policy under which a browser runs it: its script and style, and nothing from elsewhere."""
    text = PAGE.read_text(encoding="utf-8")

    def hashes(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(p.encode()).digest()).decode()}'" for p in parts)

    policy = (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy


def address(serving: Serving, port: int) -> str:
    """What to open, or to `--connect` to; it holds the key."""
    scheme = "http" if serving.tls is None else "https"
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    if host in ("0.0.0.0", "[::]"):
        host = socket.gethostname()
    return f"{scheme}://{host}:{port}/#{serving.key}"
