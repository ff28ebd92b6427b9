"""Broken messages: made by changing good ones, and by whoever has never read the protocol."""

from __future__ import annotations

import json
import random
import string

from tests.game.remote.house import KEY

_GOOD = [
    {"type": "hello", "key": KEY, "version": 1, "role": "play", "have": -1},
    {"type": "step", "number": 0, "frames": [{"keys": ["W"], "mouse": [0.0, 0.1], "since": 1.0}], "due": 10.0},
    {"type": "have", "have": 3},
    {"type": "ping", "at": 12.5, "trip": 3.0},
    {"type": "command", "do": "enter", "name": "hall", "epoch": 1},
    {"type": "command", "do": "go", "number": 7},
    {"type": "command", "do": "replay", "name": "20260101T000000Z-walk"},
    {"type": "seat", "do": "ask"},
]
_VALUES: list[object] = [
    None, True, -1, 0, 1, 2**31, 2**63, -(2**70), 1e308, -1e308, 0.1, "", "W", "\0", "\ud800", "../../etc/passwd",
    "/etc/passwd", "x" * 300, "x" * 70_000, [], {}, [[]], [None] * 100, {"a": {"b": {}}}, ["W"] * 1000, "NaN",
    "picture:../../x", "picture:" + "0" * 32, "<script>", "%s%n", "'; --", "\u202e", [[0.1, 0.1]],
]  # fmt: skip


def broken(dice: random.Random) -> str | bytes:
    """One message that may well be wrong."""
    way = dice.randrange(8)
    if way == 0:
        return dice.randbytes(dice.randrange(200))
    if way == 1:
        return "".join(dice.choice(string.printable) for _ in range(dice.randrange(100)))
    message = json.loads(json.dumps(dice.choice(_GOOD)))
    if message["type"] == "hello" and dice.random() < 0.9:
        message["key"] = dice.choice(["", "wrong", KEY[:-1], KEY + "x", KEY.upper(), None, 7, [KEY]])
    if way == 2:
        text = json.dumps(message)
        return text[: dice.randrange(len(text) + 1)]
    if way == 3:
        text = bytearray(json.dumps(message).encode())
        for _ in range(dice.randrange(1, 4)):
            text[dice.randrange(len(text))] = dice.randrange(32, 127)
        return text.decode()
    if way == 4:
        return json.dumps(message).replace("1", dice.choice(["1e999", "NaN", "-Infinity", "9" * 400]))
    for _ in range(dice.randrange(1, 3)):
        name = dice.choice([*message, "extra", "__class__", "type"])
        if name in message and dice.random() < 0.3:
            del message[name]
        else:
            message[name] = dice.choice(_VALUES)
    if way == 5 and "frames" in message:
        message["frames"] = [dice.choice([{}, {"keys": dice.choice(_VALUES)}, {"mouse": dice.choice(_VALUES)}, 3])]
    return json.dumps(message)


def half_open(dice: random.Random) -> bytes:
    """The beginning of something on a plain connection."""
    begun = (
        b"GET /socket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    whole = begun + bytes([0x81, 0xFE, 0x10, 0x00]) + dice.randbytes(40)  # a frame that is longer than what comes
    kinds = [
        whole[: dice.randrange(len(whole))], dice.randbytes(dice.randrange(300)), b"", b"GET / HTTP/1.1\r\n" * 50,
        b"POST /pictures HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST /pictures HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"GET /" + b"a" * 20_000, b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000, begun + dice.randbytes(60),
        begun + bytes([0x81, 0xFF]) + b"\x7f" * 8, begun + bytes([0x88, 0x80, 1, 2, 3, 4]),
    ]  # fmt: skip
    return dice.choice(kinds)
