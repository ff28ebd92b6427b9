"""What comes over the wire has the fields, types, ranges and lengths that were declared, or is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from pathlib import Path

import numpy as np
import pytest

from engine.errors import PictureError
from engine.families import action_space, action_spaces
from game.errors import InputError
from game.remote import pictures, wire
from game.remote.seat import space_of
from game.remote.wire import WireError
from tests.game.fakes import landscape

DOCUMENT = Path(wire.__file__).with_name("PROTOCOL.md").read_text(encoding="utf-8")


def example(kind: type) -> object:
    """A message with every field set to something that is not its default."""

    def value(hint: object, name: str) -> object:
        limits: tuple = ()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *limits = typing.get_args(hint)  # type: ignore[assignment]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return example(hint)
        if typing.get_origin(hint) is typing.Literal:
            return typing.get_args(hint)[-1]
        if type(None) in typing.get_args(hint):
            return value(typing.get_args(hint)[0], name)
        if typing.get_origin(hint) is tuple:
            inner = typing.get_args(hint)
            return (value(inner[0], name),) if inner[-1] is Ellipsis else tuple(value(one, name) for one in inner)
        if hint is bool:
            return True
        if hint in (int, float):
            within = next((limit for limit in limits if isinstance(limit, wire.Within)), wire.Within(0, 3))
            return hint(max(within.low, min(within.high, 17)))  # type: ignore[operator]
        return name[:16]

    hints = typing.get_type_hints(kind, include_extras=True)
    return kind(**{f.name: value(hints[f.name], f.name) for f in dataclasses.fields(kind)})


ALL = [*wire.UP.values(), *wire.DOWN.values()]


@pytest.mark.parametrize("kind", ALL)
def test_every_message_arrives_as_it_was_sent(kind):
    table = wire.UP if kind in wire.UP.values() else wire.DOWN
    message = example(kind)
    assert wire.decode(wire.encode(message), table) == message


@pytest.mark.parametrize("mode", action_spaces())
def test_every_models_keys_can_be_told(mode):
    space = action_space(mode)
    told = wire.decode(wire.encode(wire.Told(state="playing", space=space_of(space))), wire.DOWN)
    assert told.space.keys == space.keys and told.space.look_step == space.look_step


def test_the_document_names_every_message_and_every_field():
    words = set(
        DOCUMENT.replace("`", " ").replace(",", " ").replace("(", " ").replace(")", " ").replace(":", " ").split()
    )
    words |= {word.strip(".;") for word in words}

    def names(kind: type) -> set[str]:
        found = set()
        for f, hint in zip(dataclasses.fields(kind), typing.get_type_hints(kind).values(), strict=True):
            found.add(f.name)
            parts = [hint, *typing.get_args(hint)]
            for part in parts:
                if isinstance(part, type) and dataclasses.is_dataclass(part):
                    found |= names(part)
        return found

    missing = {name for name in (*wire.UP, *wire.DOWN) if name not in words}
    for kind in (*ALL, wire.Block):
        missing |= {f"{kind.__name__}.{name}" for name in names(kind) if name not in words}
    missing |= {do for do in typing.get_args(wire.CommandName) if do not in words}
    assert not missing


def test_a_block_and_its_pictures_arrive_as_they_were_sent():
    frames = (wire.Shown(0.0, ("W",), (0.0, 0.1), 3, 12.5), wire.Shown(50.0, (), None, 2))
    header = wire.Block(7, "block", 192, 112, "jpeg", frames, number=3, epoch=1)
    assert wire.unpack(wire.pack(header, [b"abc", b"de"])) == (header, (b"abc", b"de"))


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{", '{"type": 3}', '{"type": "no"}', '{"type": "have"}', '{"type": "have", "have": "1"}',
        '{"type": "have", "have": true}', '{"type": "have", "have": 1.5}', '{"type": "have", "have": -2}',
        '{"type": "have", "have": 1e400}', '{"type": "have", "have": NaN}', '{"type": "have", "have": 1, "more": 1}',
        '{"type": "step", "number": 1, "frames": {}}', '{"type": "step", "number": 1, "frames": [3]}',
        '{"type": "step", "number": 1, "frames": [{"keys": "W"}]}',
        '{"type": "step", "number": 1, "frames": [{"mouse": [0.1]}]}',
        '{"type": "step", "number": 1, "frames": [{"mouse": [0, Infinity]}]}',
        '{"type": "step", "number": 1, "frames": [' + ",".join(["{}"] * 65) + "]}",
        '{"type": "command", "do": "rm"}', '{"type": "command", "do": "enter", "name": "' + "x" * 201 + '"}',
        '{"type": "command", "do": "enter", "name": "a\\nb"}', '{"type": "command", "do": "enter", "name": "\\ud800"}',
        '{"type": "hello"}', "[" * 50_000, '{"type": "have", "have": ' + "9" * 5000 + "}", "x" * 70_000,
    ],
)  # fmt: skip
def test_what_is_not_in_the_protocol_is_refused(text):
    with pytest.raises(WireError):
        wire.decode(text, wire.UP)


@pytest.mark.parametrize("cut", [0, 3, 7, 8, 40, -1])
def test_a_block_that_was_cut_or_grew_is_refused(cut):
    data = wire.pack(wire.Block(1, "block", 8, 8, "png", (wire.Shown(0.0, (), None, 3),)), [b"abc"])
    for broken in (data[:cut], data + b"x", b"XXXX" + data[4:], data[:4] + b"\xff\xff\xff\x7f" + data[8:]):
        with pytest.raises(WireError):
            wire.unpack(broken)


@pytest.mark.parametrize("form", ["jpeg", "webp", "png"])
def test_a_picture_comes_back_and_png_to_the_bit(form):
    picture = landscape(80, 144, 0.1, 0.0)
    data = pictures.encode(picture, wire.Pictures(form, 90), 90)
    back = pictures.decode(data, 144, 80)
    assert pictures.size_of(data) == (144, 80)
    difference = np.abs(back.astype(int) - picture).mean()
    assert difference == 0.0 if form == "png" else difference < 3.0


def test_a_picture_of_another_size_than_was_said_is_refused():
    data = pictures.encode(landscape(80, 144, 0.0, 0.0), wire.Pictures(), 90)
    for wrong in (data, data[:60], b"", b"\xff\xd8\xff" + bytes(40)):
        with pytest.raises(WireError):
            pictures.decode(wrong, 144, 81)


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    import cv2

    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("it was decoded"))
    bomb = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (60_000).to_bytes(4, "big") * 2 + bytes(64)
    inbox = pictures.Inbox(tmp_path / "inbox")
    for data in (bomb, b"GIF89a" + bytes(100), b"", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(PictureError):
            inbox.put(data)
    assert not (tmp_path / "inbox").exists() or not list((tmp_path / "inbox").iterdir())


def test_the_inbox_gives_out_nothing_but_what_was_put_there(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    inbox = pictures.Inbox(tmp_path / "inbox")
    name = inbox.put(pictures.encode(landscape(40, 60, 0.0, 0.0), wire.Pictures(), 90))
    assert inbox.path(name).parent == tmp_path / "inbox"
    for other in (
        "../secret",
        "../secret.png",
        "",
        "/etc/passwd",
        "0" * 32,
        name.upper() if name.upper() != name else "z" * 32,
    ):
        with pytest.raises(PictureError):
            inbox.path(other)


def test_a_slow_line_gets_lower_quality_and_gets_it_back():
    quality, now = pictures.Quality(90), 0.0
    for _ in range(40):
        quality.arrived(0.02, 0.05, now := now + 0.05)
    assert quality.now == 90
    for _ in range(100):
        quality.arrived(0.3, 0.05, now := now + 0.05)
    assert quality.now == pictures.LOWEST
    for _ in range(1200):
        quality.arrived(0.021, 0.05, now := now + 0.05)
    assert quality.now == 90


def test_keys_are_long_and_never_the_same():
    keys = {wire.new_key() for _ in range(100)}
    assert len(keys) == 100
    assert min(map(len, keys)) * math.log2(64) >= 128


@pytest.mark.parametrize(
    ("address", "where", "key"),
    [
        ("http://127.0.0.1:8765/#abc", "http://127.0.0.1:8765", "abc"),
        ("127.0.0.1:8765/#abc", "http://127.0.0.1:8765", "abc"),
        ("https://play.example.org/#a-b_c", "https://play.example.org", "a-b_c"),
        ("http://[::1]:9/#k", "http://[::1]:9", "k"),
    ],
)
def test_addresses_are_taken_apart(address, where, key):
    assert wire.split_address(address) == (where, key)


@pytest.mark.parametrize(
    "address", ["", "http://", "http://x/", "ftp://x/#k", "http://x:99999999/#k", "http://x/a/b#k"]
)
def test_a_wrong_address_is_told_without_its_key(address):
    with pytest.raises(InputError) as caught:
        wire.split_address(address)
    assert "#k" not in str(caught.value).replace("#KEY", "")


def test_json_never_holds_what_other_programs_cannot_read():
    with pytest.raises(ValueError):
        wire.encode(wire.Pong(math.nan))
    assert json.loads(wire.encode(wire.Pong(1.5))) == {"type": "pong", "at": 1.5}
