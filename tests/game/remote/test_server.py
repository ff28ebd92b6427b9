"""Nobody comes in without the key, only recordings are handed out, and who has the key plays, watches or waits."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from game.remote import wire
from game.remote.server import Limits
from tests.game.fakes import FakeRecorder, FakeWorld, landscape
from tests.game.remote.house import KEY, ServerThread, wait_until

BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def server(tmp_path):
    with ServerThread(tmp_path) as running:
        yield running


def ask(url: str, path: str, headers: dict | None = None, method: str = "GET", data: bytes | None = None):
    async def go():
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url + path, headers=headers, data=data) as answer,
        ):
            return answer.status, await answer.read(), answer.headers

    return asyncio.run(go())


class Talk:
    """A WebSocket, said and heard one by one."""

    def __init__(self, url: str, headers: dict | None = None) -> None:
        self.url, self.headers = url + "/socket", headers

    async def __aenter__(self) -> Talk:
        self.session = aiohttp.ClientSession()
        self.ws = await self.session.ws_connect(self.url, headers=self.headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ws.close()
        await self.session.close()

    async def say(self, message) -> None:
        await (self.ws.send_str(message) if isinstance(message, str) else self.ws.send_str(wire.encode(message)))

    async def hear(self, kind: type, seconds: float = 60.0, where=lambda message: True):
        """The next message of a kind; everything before is passed over."""
        while True:
            message = await asyncio.wait_for(self.ws.receive(), seconds)
            if message.type is aiohttp.WSMsgType.TEXT:
                decoded = wire.decode(message.data, wire.DOWN)
            elif message.type is aiohttp.WSMsgType.BINARY:
                decoded = wire.unpack(message.data)[0]
            else:
                raise ConnectionError(message.data if message.type is aiohttp.WSMsgType.CLOSE else self.ws.close_code)
            if isinstance(decoded, kind) and where(decoded):
                return decoded

    async def playing(self, **hello) -> wire.Welcome:
        await self.say(wire.Hello(KEY, **hello))
        welcome = await self.hear(wire.Welcome)
        await self.hear(wire.Told, where=lambda told: told.state == "playing")
        return welcome

    async def closed(self, seconds: float = 60.0) -> int:
        with pytest.raises(ConnectionError) as caught:
            await self.hear(int, seconds)
        return caught.value.args[0]


# -- the key ---------------------------------------------------------------------------------------------------------


def test_without_the_key_there_is_the_page_and_nothing_else(server):
    status, page, headers = ask(server.url, "/")
    assert status == 200
    assert b"<canvas" in page
    assert KEY.encode() not in page
    for path in ("/health", "/metrics", "/recordings", "/recordings/x/y.mp4", "/scenes/hall", "/anything", "/../etc"):
        for key in (None, "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}"):
            assert ask(server.url, path, {"Authorization": key} if key else None)[0] == 401, (path, key)
    assert ask(server.url, "/pictures", method="POST", data=b"x")[0] == 401
    assert ask(server.url, "/", method="POST", data=b"x")[0] == 401
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"


def test_with_the_key_there_are_health_and_metrics(server):
    status, body, _ = ask(server.url, "/health", BEARER)
    assert status == 200
    assert json.loads(body)["ok"] is True
    status, body, _ = ask(server.url, "/metrics", BEARER)
    assert status == 200
    for line in body.decode().splitlines():
        name, _, value = line.partition(" ") if not line.startswith("#") else ("", "", "0")
        float(value)
        assert name == "" or name.startswith("neural_world_")
    assert ask(server.url, "/nothing", BEARER)[0] == 404


@pytest.mark.parametrize(
    "text", ["", "{}", "x", '{"type":"hello","key":""}', '{"type":"step","number":0,"frames":[{}]}']
)
def test_a_socket_without_the_key_is_closed_and_told_nothing(server, text):
    async def go():
        async with Talk(server.url) as talk:
            await talk.say(text)
            return await talk.closed()

    assert asyncio.run(go()) == wire.CLOSE_UNAUTHORISED
    assert not server.seats


def test_a_binary_message_and_a_long_one_are_no_way_in(server):
    async def go(data):
        async with Talk(server.url) as talk:
            await (talk.ws.send_bytes(data) if isinstance(data, bytes) else talk.ws.send_str(data))
            return await talk.closed()

    assert asyncio.run(go(b"x" * 100)) == wire.CLOSE_BROKEN
    assert asyncio.run(go("x" * 200_000)) in (1009, wire.CLOSE_UNAUTHORISED, 1006, None)
    assert not server.seats


def test_a_wrong_key_on_the_upgrade_is_a_401(server):
    async def go():
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with Talk(server.url, {"Authorization": "Bearer nonsense"}):
                pass
        return caught.value.status

    assert asyncio.run(go()) == 401


@pytest.mark.parametrize(
    ("host", "right"),
    [
        ("127.0.0.1:1", True), ("localhost", True), ("[::1]:80", True), ("192.168.1.5", True),
        ("evil.example", False), ("127.0.0.1.evil.example", False), ("", False), ("localhost.evil.example:80", False),
    ],
)  # fmt: skip
def test_a_name_that_somebody_pointed_at_us_is_refused(server, host, right):
    for path in ("/", "/health"):
        status = ask(server.url, path, BEARER | {"Host": host})[0]
        assert (status == 200) == right
        assert right or status in (400, 403)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_another_sites_page_is_refused_even_with_the_key(server, origin):
    assert ask(server.url, "/health", BEARER | {"Origin": origin})[0] == 403

    async def go():
        async with Talk(server.url, {"Origin": origin}):
            pass

    with pytest.raises(aiohttp.WSServerHandshakeError):
        asyncio.run(go())
    own = server.url
    assert ask(server.url, "/health", BEARER | {"Origin": own})[0] == 200


def test_the_key_is_compared_in_constant_time_and_stands_in_no_log(server, monkeypatch, caplog, capfd):
    import hmac

    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(len(a)) or real(a, b))
    caplog.set_level(logging.DEBUG)
    ask(server.url, f"/recordings/{KEY}/x.mp4", BEARER)
    ask(server.url, "/health", {"Authorization": "Bearer nonsense"})

    async def go():
        async with Talk(server.url) as talk:
            await talk.playing()
            await talk.say('{"type": "nonsense"}')
            await talk.closed()

    asyncio.run(go())
    assert len(compared) >= 3
    out = capfd.readouterr()
    assert KEY not in caplog.text + out.out + out.err


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(server):
    folder = server.root / "20260101T000000Z-walk"
    folder.mkdir()
    header = {"format": 1}
    (folder / "actions.jsonl").write_text(json.dumps(header) + "\n")
    (folder / "first_frame.png").write_bytes(b"png")
    (folder / "walk.mp4").write_bytes(bytes(range(200)))
    (folder / ".hidden.json").write_text("{}")
    (folder / "notes.txt").write_text("private")
    outside = server.root.parent / "outside"
    outside.mkdir()
    (outside / "actions.jsonl").write_text("{}\n")
    (outside / "secret.json").write_text("{}")
    (folder / "link.json").symlink_to(outside / "secret.json")
    (server.root / "linked").symlink_to(outside)
    return folder


def test_recordings_are_listed_and_fetched_and_nothing_else_is(server, recorded):
    listed = json.loads(ask(server.url, "/recordings", BEARER)[1])
    assert [one["id"] for one in listed] == [recorded.name]
    assert set(listed[0]["files"]) == {"actions.jsonl", "first_frame.png", "walk.mp4"}
    status, body, _ = ask(server.url, f"/recordings/{recorded.name}/walk.mp4", BEARER)
    assert (status, body) == (200, bytes(range(200)))
    status, body, _ = ask(server.url, f"/recordings/{recorded.name}/walk.mp4", BEARER | {"Range": "bytes=10-19"})
    assert (status, body) == (206, bytes(range(10, 20)))
    for path in (
        f"{recorded.name}/.hidden.json", f"{recorded.name}/notes.txt", f"{recorded.name}/link.json",
        "linked/secret.json", "..%2Foutside/secret.json", f"{recorded.name}/..%2F..%2Foutside%2Fsecret.json",
        "%2e%2e/secret.json",
        f"{recorded.name}/%00walk.mp4", ".inbox/x.png", f"{recorded.name}/", "x/../../outside/secret.json",
    ):  # fmt: skip
        status, body, _ = ask(server.url, f"/recordings/{path}", BEARER)
        assert status in (400, 404), path
        assert b"private" not in body


def test_a_replay_is_of_a_recording_here_and_of_no_other_file(server, recorded):
    for name, there in ((recorded.name, True), ("linked", False), ("../outside", False), ("/etc", False), ("", False)):
        assert (server.server.recording(name) is not None) == there


def test_a_picture_goes_into_the_inbox_and_begins_a_world(server):
    import cv2

    data = cv2.imencode(".png", landscape(100, 150, 0.3, 0.0))[1].tobytes()
    status, body, _ = ask(server.url, "/pictures", BEARER, "POST", data)
    assert status == 200
    name = json.loads(body)["picture"]
    assert [path.stem for path in (server.root / ".inbox").iterdir()] == [name]
    for bad in (b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(100), data[:200]):
        assert ask(server.url, "/pictures", BEARER, "POST", bad)[0] == 400
    assert len(list((server.root / ".inbox").iterdir())) == 1

    async def go():
        async with Talk(server.url) as talk:
            await talk.playing()
            await talk.say(wire.Command("enter", 1, name=f"picture:{name}"))
            told = await talk.hear(wire.Told, where=lambda t: t.scene == "yours" and t.state == "playing")
            await talk.say(wire.Command("enter", 2, name="picture:../../x"))
            return told, await talk.hear(wire.Told, where=lambda t: bool(t.notice))

    told, after = asyncio.run(go())
    assert told.scene == "yours"
    assert "picture" in after.notice


def test_a_picture_that_is_too_large_is_refused_while_it_comes(server):
    with pytest.raises((aiohttp.ClientError, AssertionError)):
        status = ask(server.url, "/pictures", BEARER, "POST", b"\xff\xd8\xff" + bytes(wire.MOST_PICTURE + 2**20))[0]
        assert status == 200


# -- who plays -------------------------------------------------------------------------------------------------------


def step(number: int, epoch: int = 0, keys: tuple[str, ...] = ("W",), **more) -> wire.Step:
    return wire.Step(number, (wire.Frame(keys, (0.0, 0.05), 1.0),), epoch, **more)


def test_blocks_come_as_they_are_asked_for_and_no_others(server):
    async def go():
        async with Talk(server.url) as talk:
            await talk.playing()
            for number in range(5):
                await talk.say(step(number))
            blocks = [await talk.hear(wire.Block, where=lambda b: b.kind == "block") for _ in range(5)]
            with pytest.raises(asyncio.TimeoutError):
                await talk.hear(wire.Block, 0.3)
            return blocks

    blocks = asyncio.run(go())
    assert [block.number for block in blocks] == list(range(5))
    assert [block.first_frame for block in blocks] == list(range(5))
    assert all(block.frames[0].keys == ("W",) and block.frames[0].since == 1.0 for block in blocks)
    assert [keys for keys, _ in server.world.taken] == [("W",)] * 5


def test_keys_and_motion_that_the_model_cannot_have_never_reach_it(server):
    async def go():
        async with Talk(server.url) as talk:
            await talk.playing()
            await talk.say(wire.Step(0, (wire.Frame(("Q", "W", "rm -rf"), (99.0, -99.0)),) * 5))
            return await talk.hear(wire.Block, where=lambda b: b.kind == "block")

    block = asyncio.run(go())
    assert block.frames[0].keys == ("W",)
    assert [round(v, 3) for v in block.frames[0].mouse] == [0.1, -0.1]


def test_what_was_asked_before_a_cut_is_void(server):
    async def go():
        async with Talk(server.url) as talk:
            await talk.playing()
            await talk.say(wire.Command("reset", 1))
            await talk.say(step(0, epoch=0))
            await talk.say(step(1, epoch=1))
            return await talk.hear(wire.Block, where=lambda b: b.kind == "block")

    assert asyncio.run(go()).number == 1


def test_the_second_is_told_so_and_may_play_when_the_player_agrees(server):
    async def go():
        async with Talk(server.url) as first, Talk(server.url) as second:
            await first.playing()
            await second.say(wire.Hello(KEY, name="a friend"))
            busy = await second.hear(wire.Busy)
            await second.say(wire.Seat("ask"))
            asked = await first.hear(wire.Asked)
            await first.say(wire.Seat("refuse"))
            refused = await second.hear(wire.Answered)
            await second.say(wire.Seat("ask"))
            await first.hear(wire.Asked)
            await first.say(wire.Seat("allow"))
            allowed = await second.hear(wire.Answered)
            await second.hear(wire.Welcome)
            code = await first.closed()
            await second.say(step(0))
            await second.hear(wire.Block, where=lambda b: b.kind == "block")
            return busy, asked, refused, allowed, code

    busy, asked, refused, allowed, code = asyncio.run(go())
    assert busy == wire.Busy(watch=False, ask=True)
    assert asked.name == "a friend"
    assert (refused.allowed, allowed.allowed) == (False, True)
    assert code == wire.CLOSE_REPLACED
    assert len(server.seats) == 1


def test_others_watch_only_where_that_is_allowed(server, tmp_path):
    async def refused():
        async with Talk(server.url) as first, Talk(server.url) as second:
            await first.playing()
            await second.say(wire.Hello(KEY, role="watch"))
            return await second.closed()

    assert asyncio.run(refused()) == wire.CLOSE_BUSY

    async def watched(url):
        async with Talk(url) as first, Talk(url) as second:
            await first.playing()
            await second.say(wire.Hello(KEY, role="watch"))
            await second.hear(wire.Welcome)
            await first.say(step(0))
            seen = await second.hear(wire.Block, where=lambda b: b.kind == "block")
            told = await first.hear(wire.Told, where=lambda t: t.watchers == 1)
            await second.say(step(1))
            return seen, told, await second.closed()

    with ServerThread(tmp_path / "2", watch=True) as other:
        seen, told, code = asyncio.run(watched(other.url))
    assert seen.number == 0
    assert told.watchers == 1
    assert code == wire.CLOSE_BROKEN  # who watches asks for nothing


def test_each_of_several_players_has_a_world_of_its_own(tmp_path):
    async def go(url):
        async with Talk(url) as first, Talk(url) as second, Talk(url) as third:
            await first.playing()
            await second.playing()
            await third.say(wire.Hello(KEY))
            await third.hear(wire.Busy)
            for number in range(3):
                await first.say(step(number, keys=("W",)))
                await second.say(step(number, keys=("S",)))
            mine = [await first.hear(wire.Block, where=lambda b: b.kind == "block") for _ in range(3)]
            theirs = [await second.hear(wire.Block, where=lambda b: b.kind == "block") for _ in range(3)]
            await first.say(wire.Command("change_model", 1, name="other"))
            told = await first.hear(wire.Told, where=lambda t: t.state == "failed")
            return mine, theirs, told

    with ServerThread(tmp_path, players=2) as server:
        mine, theirs, told = asyncio.run(go(server.url))
        assert len(server.seats) == 2
    assert {block.frames[0].keys for block in mine} == {("W",)}
    assert {block.frames[0].keys for block in theirs} == {("S",)}
    assert {block.world for block in mine}.isdisjoint({block.world for block in theirs})
    assert "others play" in told.words


def test_a_client_comes_back_into_its_world_and_nothing_is_lost(tmp_path):
    recorders = []

    def recorder():
        recorders.append(FakeRecorder())
        return recorders[-1]

    async def go(url):
        async with Talk(url) as talk:
            welcome = await talk.playing()
            await talk.say(wire.Command("record"))
            await talk.hear(wire.Told, where=lambda t: t.recording)
            for number in range(4):
                await talk.say(step(number))
            first = await talk.hear(wire.Block, where=lambda b: b.kind == "block")
            talk.ws._response.close()  # the line breaks: three blocks were not seen
        await asyncio.sleep(0.2)
        async with Talk(url) as talk:
            await talk.say(wire.Hello(KEY, token=welcome.token, have=first.serial))
            back = await talk.hear(wire.Welcome)
            for number in range(back.asked + 1, 4):  # what was still on the way then
                await talk.say(step(number))
            again = [await talk.hear(wire.Block, where=lambda b: b.kind == "block") for _ in range(3)]
            await talk.say(step(3))  # sent again, though it had come
            await talk.say(step(4))
            after = await talk.hear(wire.Block, where=lambda b: b.kind == "block")
            return first, back, again, after

    with ServerThread(tmp_path, recorder=recorder) as server:
        first, back, again, after = asyncio.run(go(server.url))
    assert back.resumed
    assert [block.number for block in (first, *again, after)] == [0, 1, 2, 3, 4]
    assert [block.first_frame for block in recorders[0].blocks] == [0, 1, 2, 3, 4]
    assert recorders[0].stats is not None


def test_a_world_that_nobody_comes_back_to_ends(tmp_path):
    async def go(url):
        async with Talk(url) as talk:
            await talk.playing()

    with ServerThread(tmp_path, wait=0.2) as server:
        asyncio.run(go(server.url))
        assert wait_until(lambda: not server.server._seats)
        assert wait_until(lambda: server.seats[0].told().state == "stopped")


def test_who_leaves_for_good_leaves_the_place_to_others(server):
    async def go():
        async with Talk(server.url) as talk:
            await talk.playing()
            await talk.say(wire.Seat("leave"))
            await talk.closed()
        for _ in range(100):
            if not server.server._seats:
                break
            await asyncio.sleep(0.02)
        async with Talk(server.url) as talk:
            return await talk.playing()

    assert asyncio.run(go()).resumed is False
    assert len(server.seats) == 2


def test_another_release_is_told_so(server):
    async def go():
        async with Talk(server.url) as talk:
            await talk.say(json.dumps({"type": "hello", "key": KEY, "version": 2, "new_field": 1}))
            return await talk.closed()

    assert asyncio.run(go()) == wire.CLOSE_VERSION


# -- limits ----------------------------------------------------------------------------------------------------------


def test_who_says_nothing_or_too_much_is_shown_out(tmp_path):
    limits = Limits(hello_s=1.0, idle_s=1.0, messages=20.0)

    async def silent(url):
        async with Talk(url) as talk:
            return await talk.closed()

    async def idle(url):
        async with Talk(url) as talk:
            await talk.say(wire.Hello(KEY))
            await talk.hear(wire.Welcome)
            return await talk.closed()

    async def loud(url):
        async with Talk(url) as talk:
            await talk.say(wire.Hello(KEY))
            try:
                for _ in range(400):
                    await talk.say(wire.Ping(1.0))
            except ConnectionError:
                return wire.CLOSE_BROKEN
            return await talk.closed()

    with ServerThread(tmp_path, limits=limits) as server:
        assert asyncio.run(silent(server.url)) == wire.CLOSE_IDLE
        assert asyncio.run(idle(server.url)) == wire.CLOSE_IDLE
        assert asyncio.run(loud(server.url)) in (wire.CLOSE_BROKEN, 1006)


def test_strangers_cannot_take_all_connections(tmp_path):
    async def go(url):
        talks = [Talk(url) for _ in range(4)]
        refused = 0
        for talk in talks:
            try:
                await talk.__aenter__()
            except aiohttp.WSServerHandshakeError as error:
                refused += error.status == 503
                await talk.session.close()
        for talk in talks:
            if hasattr(talk, "ws"):
                await talk.__aexit__()
        return refused

    with ServerThread(tmp_path, limits=Limits(strangers=2)) as server:
        assert asyncio.run(go(server.url)) == 2


def test_more_blocks_than_may_wait_end_the_connection(tmp_path):
    async def go(url):
        async with Talk(url) as talk:
            await talk.playing()
            for number in range(wire.MOST_WAITING + 20):
                await talk.say(step(number))
            return await talk.closed()

    with ServerThread(tmp_path, FakeWorld(step_seconds=0.5)) as server:
        assert asyncio.run(go(server.url)) == wire.CLOSE_BROKEN


def test_half_open_connections_hold_nothing_up(server):
    sockets = []
    for data in (
        b"",
        b"GET / HT",
        b"GET /socket HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"\x16\x03\x01" + bytes(50),
        b"\r\n" * 10,
    ):
        one = socket.create_connection(("127.0.0.1", server.port))
        one.sendall(data)
        sockets.append(one)
    reset = socket.create_connection(("127.0.0.1", server.port))
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reset.sendall(b"GET /socket HTTP/1.1\r\n")
    reset.close()
    assert ask(server.url, "/health", BEARER)[0] == 200
    for one in sockets:
        one.close()


def test_a_failed_world_is_told_and_begins_anew(tmp_path):
    async def go(url):
        async with Talk(url) as talk:
            await talk.playing()
            await talk.say(step(0))
            failed = await talk.hear(wire.Told, where=lambda t: t.state == "failed")
            status = await asyncio.to_thread(ask, url, "/health", BEARER)
            await talk.say(wire.Command("restart", 1))
            await talk.hear(wire.Told, where=lambda t: t.state == "playing")
            await talk.say(step(1, epoch=1))
            await talk.hear(wire.Block, where=lambda b: b.kind == "block")
            return failed, status

    with ServerThread(tmp_path, FakeWorld(fail_at=frozenset({0}))) as server:
        failed, status = asyncio.run(go(server.url))
    assert "told to fail" in failed.words
    assert status[0] == 503


# -- another program -------------------------------------------------------------------------------------------------


def test_a_program_written_from_the_document_alone_plays(server):
    script = Path(__file__).with_name("other_client.py")
    assert len(script.read_text().splitlines()) <= 62
    done = subprocess.run(
        [sys.executable, str(script), server.address, "12"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    heard = json.loads(done.stdout)
    assert (heard["blocks"], heard["frames"]) == (12, 12)
    assert heard["keys"] == [["W"]] * 12
    assert [keys for keys, _ in server.world.taken][:12] == [("W",)] * 12
