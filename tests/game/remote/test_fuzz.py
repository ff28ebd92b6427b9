"""Broken messages and half-open connections neither crash, hang, leak nor get in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import struct

import aiohttp
import psutil
import pytest

from game.remote import wire
from game.remote.server import Limits
from game.remote.wire import WireError
from tests.game.fakes import FakeWorld
from tests.game.remote.fuzz import broken, half_open
from tests.game.remote.house import KEY, ServerThread, wait_until

BEARER = {"Authorization": f"Bearer {KEY}"}
LIMITS = Limits(hello_s=2.0, idle_s=5.0, connections=200, strangers=100, messages=1e6)


def test_whatever_text_comes_is_a_message_or_a_wire_error():
    dice, refused = random.Random(1), 0
    for _ in range(20_000):
        message = broken(dice)
        try:
            wire.decode(message if isinstance(message, str) else message.decode("latin-1"), wire.UP)
        except WireError:
            refused += 1
    assert refused > 15_000


async def attack(url: str, port: int, messages: int, seed: int, inside: bool) -> dict[str, int]:
    """Sends broken messages on many connections, and leaves many others half open. inside: after a good hello."""
    dice, told = random.Random(seed), {"sent": 0, "welcome": 0, "opened": 0}
    half: list[socket.socket] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        while told["sent"] < messages:
            try:
                ws = await session.ws_connect(url + "/socket")
            except aiohttp.ClientError:
                continue
            told["opened"] += 1
            try:
                if inside:
                    await ws.send_str(wire.encode(wire.Hello(KEY)))
                for _ in range(dice.randrange(1, 40)):
                    message = broken(dice)
                    await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
                    told["sent"] += 1
                    if ws.closed or ws._writer.transport is None or ws._writer.transport.is_closing():
                        break
                    if dice.random() < 0.3:
                        await asyncio.sleep(0)
                while not inside:
                    answer = await ws.receive(0.5)
                    if answer.type is not aiohttp.WSMsgType.TEXT:
                        break
                    told["welcome"] += '"welcome"' in answer.data
            except (aiohttp.ClientError, ConnectionError, asyncio.TimeoutError, UnicodeEncodeError):
                pass
            if dice.random() < 0.5:
                await ws.close()
            else:
                ws._response.close()
            if told["opened"] % 4 == 0:
                one = socket.create_connection(("127.0.0.1", port))
                one.setblocking(False)
                with_reset = dice.random() < 0.3
                with contextlib.suppress(OSError):
                    one.send(half_open(dice))
                if with_reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.close()
                else:
                    half.append(one)
                if len(half) > 30:
                    half.pop(0).close()
    for one in half:
        one.close()
    return told


def survive(tmp_path, messages: int, inside: bool, seed: int = 7) -> None:
    with ServerThread(tmp_path, FakeWorld(fps=50.0), limits=LIMITS, wait=1.0, take_over="always") as server:
        (server.root.parent / "outside.json").write_text("{}")
        told = asyncio.run(attack(server.url, server.port, messages // 4, seed, inside))  # warms everything up
        memory, files = psutil.Process().memory_info().rss, len(os.listdir("/proc/self/fd"))
        told = asyncio.run(attack(server.url, server.port, messages, seed + 1, inside))
        assert told["sent"] >= messages
        assert told["welcome"] == 0

        async def fine() -> dict:
            health = server.url + "/health"
            async with aiohttp.ClientSession() as session, session.get(health, headers=BEARER) as answer:
                return await answer.json()

        assert asyncio.run(fine())["ok"] in (True, False)
        assert wait_until(lambda: server.server._strangers == 0 and server.server._clients == 0, 60.0)
        assert psutil.Process().memory_info().rss - memory < 60 * 2**20
        assert wait_until(lambda: len(os.listdir("/proc/self/fd")) < files + 40, 60.0)
        if not inside:
            assert not server.seats
        names = {path.name for path in tmp_path.rglob("*")}
        assert names <= {"recordings", ".inbox", "outside.json"}, names
    assert json.loads((tmp_path / "outside.json").read_text()) == {}


def test_strangers_with_broken_messages_do_not_get_in(tmp_path):
    survive(tmp_path, 600, inside=False)


def test_clients_with_broken_messages_do_no_harm(tmp_path):
    survive(tmp_path, 600, inside=True)


@pytest.mark.slow
@pytest.mark.parametrize("inside", [False, True])
def test_twenty_thousand_broken_messages_do_no_harm(tmp_path, inside):
    survive(tmp_path, 20_000, inside)
