"""What client and server say to each other: messages as checked dataclasses, blocks and pictures as binary messages.

PROTOCOL.md beside this file describes the same for people who write other clients; a test holds the two together.
Everything that comes from the other side passes `decode` or `unpack`: it has the fields, types, ranges
and lengths that are declared here, or it is a WireError. This module opens no connection.
"""

from __future__ import annotations

import dataclasses
import json
import math
import secrets
import struct
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, Union

from game.errors import InputError, RunError

VERSION = 1
KEY_BYTES = 16  # a key has at least 128 bits
MOST_TEXT = 64 * 1024  # bytes of a message of text
MOST_PICTURE = 16 * 2**20  # bytes of a picture sent up
MOST_PIXELS = 32 * 10**6  # of it, before it is decoded
MOST_FRAMES = 64  # video frames of one block
MOST_WAITING = 64  # blocks that may be asked for and not made
MOST_HELD = 16  # keys of one video frame
_MAGIC = b"NWB1"
_HEAD = struct.Struct("<4sI")
_MOST_HEADER = 256 * 1024
_DEPTH = 12

CLOSE_UNAUTHORISED, CLOSE_BROKEN, CLOSE_BUSY, CLOSE_VERSION, CLOSE_IDLE, CLOSE_REPLACED = (
    4401,
    4400,
    4409,
    4426,
    4408,
    4410,
)


class WireError(RunError):
    """The other side sent something that is not in the protocol."""


@dataclass(frozen=True)
class Within:
    """Range of a number, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Most:
    """The greatest length of a text or a list."""

    length: int


Key = Annotated[str, Most(16)]
Name = Annotated[str, Most(200)]
Words = Annotated[str, Most(2000)]
Milliseconds = Annotated[float, Within(-1e12, 1e12)]
Count = Annotated[int, Within(0, 2**53)]
Share = Annotated[float, Within(0.0, 1.0)]
Format = Literal["jpeg", "webp", "png"]


# -- up: from a client -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pictures:
    """How a client wants its pictures. format: png is lossless. quality: of jpeg and webp, the best it is to be; a slow
    line gets less. full_colour: jpeg without halved colour (4:4:4)."""

    format: Format = "jpeg"
    quality: Annotated[int, Within(10, 100)] = 90
    full_colour: bool = True


@dataclass(frozen=True)
class Hello:
    """A client's first message. token, have: of a session it comes back into, and the newest block it has of it."""

    key: Annotated[str, Most(200)]
    version: Annotated[int, Within(0, 1000)] = VERSION
    role: Literal["play", "watch"] = "play"
    token: Annotated[str, Most(64)] = ""
    have: Annotated[int, Within(-1, 2**53)] = -1
    pictures: Pictures = field(default_factory=Pictures)
    name: Annotated[str, Most(40)] = ""


@dataclass(frozen=True)
class Frame:
    """What one video frame is told. mouse: (pitch, yaw) within the model's limit. since: the client's clock when the
    oldest control that this frame is the first to show came, None if it shows nothing new."""

    keys: Annotated[tuple[Key, ...], Most(MOST_HELD)] = ()
    mouse: tuple[float, float] | None = None
    since: Milliseconds | None = None


@dataclass(frozen=True)
class Step:
    """Asks for the next block. number: one more than the last Step's. epoch: as raised by the client's last `cut`.

    frames: one for each video frame. due: milliseconds from now until the first of them is to be on the screen. have:
    number of the newest block that has arrived, -1 for none.
    """

    number: Count
    frames: Annotated[tuple[Frame, ...], Most(MOST_FRAMES)]
    epoch: Count = 0
    due: Annotated[float, Within(-1e7, 1e7)] = 0.0
    have: Annotated[int, Within(-1, 2**53)] = -1


@dataclass(frozen=True)
class Have:
    """All blocks up to this number have arrived (a Step says the same)."""

    have: Annotated[int, Within(-1, 2**53)]


@dataclass(frozen=True)
class Ping:
    """Answered at once. at: the client's clock. trip: the last round trip, and what else the client knows of its play,
    for the server's numbers and the recording's report; None before there is any."""

    at: Milliseconds
    trip: Annotated[float, Within(0, 1e7)] | None = None
    late_frames: Count = 0
    latency_p50: Annotated[float, Within(0, 1e9)] | None = None
    latency_p95: Annotated[float, Within(0, 1e9)] | None = None
    lookahead_p50: Annotated[float, Within(0, 1e9)] = 0.0
    lookahead_p95: Annotated[float, Within(0, 1e9)] = 0.0


CommandName = Literal[
    "reset", "restart", "change_scene", "enter", "other_world", "save", "load", "go", "anchor", "anchor_every",
    "idle_hold", "record", "replay", "take_over", "change_model", "quality", "pause", "resume",
]  # fmt: skip


@dataclass(frozen=True)
class Command:
    """Something to be done between two blocks. epoch: the client's, raised by one where finished frames are to be
    thrown away. name: of a scene, recording, model or quality; number: of a moment, a frame, or scenes to go on by;
    value: seconds. order: one more than the last command's, so that it may be said again where the line broke and is
    done once; 0: not counted."""

    do: CommandName
    epoch: Count = 0
    name: Name = ""
    quality: Annotated[str, Most(40)] = ""
    number: Annotated[int, Within(-(2**53), 2**53)] = 0
    value: Annotated[float, Within(0.0, 1e9)] = 0.0
    order: Count = 0


@dataclass(frozen=True)
class Seat:
    """About who plays. ask: somebody who was told `busy` wants to; allow, refuse: the player's answer. leave: the
    player goes for good, and the world may end."""

    do: Literal["ask", "allow", "refuse", "leave"]


# -- down: from the server -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Space:
    """What the model can be told, see engine.actions.ActionSpace. mouse_step: what a usual motion makes in a frame.
    look_step: what a look key or a full stick makes, 0 for as much as that."""

    mode: Name
    keys: Annotated[tuple[Key, ...], Most(512)]
    has_mouse: bool
    mouse_limit: Annotated[float, Within(0, 1000)]
    mouse_step: Annotated[float, Within(0, 1000)] = 0.1
    look_step: Annotated[float, Within(0, 1000)] = 0.0


@dataclass(frozen=True)
class Model:
    """A model of the server's. problem: why it cannot be chosen, "" if it can."""

    name: Name
    mode: Name
    width: Annotated[int, Within(1, 16384)]
    height: Annotated[int, Within(1, 16384)]
    fps: Annotated[float, Within(0, 1000)]
    problem: Words = ""
    short_problem: Name = ""


@dataclass(frozen=True)
class Welcome:
    """The server's first message. token: to come back with. resumed: this is the session that was asked for.

    asked: number of the newest Step that has come, -1 for none; ordered: of the newest Command, 0 for none; block: of
    the newest block that was made. wait: seconds that a world waits for its client. epoch: the client's own, as the
    server knows it.
    """

    token: Annotated[str, Most(64)]
    version: Annotated[int, Within(0, 1000)] = VERSION
    role: Literal["play", "watch"] = "play"
    resumed: bool = False
    asked: Annotated[int, Within(-1, 2**53)] = -1
    ordered: Count = 0
    block: Annotated[int, Within(-1, 2**53)] = -1
    epoch: Count = 0
    wait: Annotated[float, Within(0, 1e9)] = 0.0
    scenes: Annotated[tuple[Name, ...], Most(1000)] = ()
    models: Annotated[tuple[Model, ...], Most(100)] = ()
    model: Name = ""
    qualities: Annotated[tuple[Name, ...], Most(20)] = ()
    can_record: bool = False
    fps: Annotated[float, Within(0, 1000)] = 0.0


@dataclass(frozen=True)
class Busy:
    """Somebody plays already. watch: one may watch. ask: one may ask to play, and the player decides."""

    watch: bool
    ask: bool


@dataclass(frozen=True)
class Asked:
    """To the player: somebody else wants to play; answer with a Seat."""

    name: Annotated[str, Most(40)] = ""


@dataclass(frozen=True)
class Answered:
    """To who asked: whether they may play (a Welcome comes next), or have to wait."""

    allowed: bool


@dataclass(frozen=True)
class Replayed:
    """A recording gives the controls. at_s, length_s: seconds."""

    name: Name
    at_s: Annotated[float, Within(0, 1e9)]
    length_s: Annotated[float, Within(0, 1e9)]


@dataclass(frozen=True)
class Told:
    """What the world is about; sent whenever it changes. See game.live.status.Status for the words' meaning.

    fps: the model's video frames a second, 0 before one is loaded. next_frames: video frames of the next block. steps:
    denoising steps of one. memory_mb, gpu_mb: of the server's program. watchers: how many watch.
    """

    state: Literal["loading", "playing", "failed", "stopped"]
    words: Words = ""
    progress: Share = 0.0
    notice: Words = ""
    notices: Count = 0
    model: Name = ""
    device: Name = ""
    scene: Name = ""
    recording: bool = False
    recorded: Count = 0
    saved: bool = False
    other_world: Name = ""
    held: bool = False
    replay: Replayed | None = None
    beside: Words = ""
    quality: Name = ""
    space: Space | None = None
    fps: Annotated[float, Within(0, 1000)] = 0.0
    next_frames: Annotated[int, Within(0, MOST_FRAMES)] = 1
    rewind_s: Annotated[float, Within(0, 1e9)] = 0.0
    rewind_mb: Annotated[float, Within(0, 1e9)] = 0.0
    rewind_budget_mb: Annotated[float, Within(0, 1e9)] = 0.0
    exit_code: Annotated[int, Within(0, 255)] = 0
    steps: Annotated[int, Within(0, 1000)] = 0
    memory_mb: Annotated[float, Within(0, 1e9)] = 0.0
    gpu_mb: Annotated[float, Within(0, 1e9)] | None = None
    watchers: Count = 0


@dataclass(frozen=True)
class Pong:
    """The answer to a Ping. at: as it was."""

    at: Milliseconds


@dataclass(frozen=True)
class Still:
    """The newest picture stays until the next block is there, however long that takes: a world begins anew from it."""


@dataclass(frozen=True)
class Bye:
    """The server ends the connection. words: why."""

    words: Words = ""


# -- binary, down ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """One video frame of a block. due: milliseconds after the block's first. keys, mouse: what the model got. since: as
    the Step's frame said. size: bytes of its picture."""

    due: Annotated[float, Within(0, 1e7)]
    keys: Annotated[tuple[Key, ...], Most(32)]
    mouse: tuple[float, float] | None
    size: Annotated[int, Within(0, 2**31)]
    since: Milliseconds | None = None


@dataclass(frozen=True)
class Block:
    """Header of a block.

    serial: of the message, one more than the one before. kind: "block" shows next; "place" is a still that shows at
    once, and from which play goes on (a new world, a return); "backdrop" is a still to put behind the words while
    something loads. number, epoch: of the Step it answers; -1 and the present one for the others.

    world: number of the world; moment: number of the place in its past that this leads to, to `go` to: later ones have
    greater numbers; oldest: number of the oldest that can still be returned to. first_frame: the rollout's own count.
    next_frames: video frames of the next block.

    block_ms: what the model took for it; wait_ms: how long the Step waited for its turn; encode_ms: what the pictures
    took; cycle_ms: from one block's start to the next possible one. held: no model made it, the picture is held.
    quality: of its pictures. skipped: blocks left out before this one (of those who watch over a slow line).
    """

    serial: Count
    kind: Literal["block", "place", "backdrop"]
    width: Annotated[int, Within(1, 16384)]
    height: Annotated[int, Within(1, 16384)]
    format: Format
    frames: Annotated[tuple[Shown, ...], Most(MOST_FRAMES)]
    number: Annotated[int, Within(-1, 2**53)] = -1
    epoch: Count = 0
    world: Annotated[int, Within(-1, 2**53)] = -1
    moment: Annotated[int, Within(-1, 2**53)] = -1
    oldest: Annotated[int, Within(-1, 2**53)] = -1
    first_frame: Count = 0
    next_frames: Annotated[int, Within(0, MOST_FRAMES)] = 1
    block_ms: Annotated[float, Within(0, 1e9)] = 0.0
    wait_ms: Annotated[float, Within(0, 1e9)] = 0.0
    encode_ms: Annotated[float, Within(0, 1e9)] = 0.0
    cycle_ms: Annotated[float, Within(0, 1e9)] = 0.0
    held: bool = False
    quality: Annotated[int, Within(0, 100)] = 100
    skipped: Count = 0


UP: Mapping[str, type] = {
    "hello": Hello, "step": Step, "have": Have, "ping": Ping, "command": Command, "seat": Seat,
}  # fmt: skip
DOWN: Mapping[str, type] = {
    "welcome": Welcome, "busy": Busy, "asked": Asked, "answered": Answered, "told": Told, "pong": Pong, "still": Still,
    "bye": Bye,
}  # fmt: skip
_TYPES = {kind: name for table in (UP, DOWN) for name, kind in table.items()}
_M = TypeVar("_M")


# -- texts -----------------------------------------------------------------------------------------------------------


def encode(message: Any) -> str:
    """One message of UP or DOWN as JSON."""
    return json.dumps({"type": _TYPES[type(message)], **plain(message)}, separators=(",", ":"), allow_nan=False)


def decode(text: str, kinds: Mapping[str, type]) -> Any:
    """One message out of `kinds`. Raises WireError unless it is just what its dataclass declares."""
    if len(text) > MOST_TEXT:
        raise WireError("a message is too long", got=len(text), expected=f"at most {MOST_TEXT} bytes")
    data = _json(text)
    if not isinstance(data, dict) or not isinstance(data.get("type"), str) or data["type"] not in kinds:
        raise WireError("an unknown message came", expected=", ".join(kinds))
    kind = data.pop("type")
    return checked(data, kinds[kind], kind)


def peek(text: str) -> tuple[str, int | None]:
    """Key and version that a hello of any version bears, ("", None) where it bears none."""
    try:
        data = _json(text) if len(text) <= MOST_TEXT else None
    except WireError:
        data = None
    if not isinstance(data, dict):
        return "", None
    key, version = data.get("key"), data.get("version", VERSION)
    return key if isinstance(key, str) else "", version if isinstance(version, int) else None


def plain(value: Any) -> Any:
    """A dataclass as JSON has it: its fields by name, without those that have their default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(v) for f in dataclasses.fields(value) if (v := getattr(value, f.name)) != _default(f)}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value.value if isinstance(value, Enum) else value


def checked(value: Any, hint: Any, where: str, depth: int = 0) -> Any:
    """`value`, as json reads it, as the type that `hint` says. where: for people. Raises WireError."""
    if depth > _DEPTH:
        raise WireError("a message is nested too deep", got=where)
    limits: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *rest = typing.get_args(hint)
        limits = tuple(rest)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass(value, hint, where, depth)
    origin = typing.get_origin(hint)
    if origin is Literal:
        if not isinstance(value, str) or value not in typing.get_args(hint):
            raise _wrong(where, value, ", ".join(typing.get_args(hint)))
        return value
    if origin in (Union, types.UnionType):
        inner = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return None if value is None else checked(value, inner[0], where, depth + 1)
    if origin is tuple:
        return _sequence(value, typing.get_args(hint), limits, where, depth)
    return _scalar(value, hint, limits, where)


def _scalar(value: Any, hint: Any, limits: Sequence[Any], where: str) -> Any:
    if hint is bool:
        good = isinstance(value, bool)
    elif hint is int:
        good = isinstance(value, int) and not isinstance(value, bool)
    elif hint is float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
        value = float(value) if good else value
        good = good and math.isfinite(value)
    else:
        good = isinstance(value, str) and value.isprintable()
    if not good:
        raise _wrong(where, value, getattr(hint, "__name__", "a value"))
    for limit in limits:
        if isinstance(limit, Within) and not limit.low <= value <= limit.high:
            raise _wrong(where, value, f"{limit.low:g} to {limit.high:g}")
        if isinstance(limit, Most) and len(value) > limit.length:
            raise _wrong(where, f"{len(value)} characters", f"at most {limit.length}")
    return value


def _sequence(value: Any, kinds: tuple[Any, ...], limits: Sequence[Any], where: str, depth: int) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(where, type(value).__name__, "a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        most = next((limit.length for limit in limits if isinstance(limit, Most)), 64)
        if len(value) > most:
            raise _wrong(where, f"{len(value)} items", f"at most {most}")
        return tuple(checked(item, kinds[0], where, depth + 1) for item in value)
    if len(value) != len(kinds):
        raise _wrong(where, f"{len(value)} items", len(kinds))
    return tuple(checked(item, kind, where, depth + 1) for item, kind in zip(value, kinds, strict=True))


def _dataclass(value: Any, kind: type[_M], where: str, depth: int) -> _M:
    if not isinstance(value, dict):
        raise _wrong(where, type(value).__name__, "an object")
    hints = _hints(kind)  # type: ignore[arg-type]
    for name in value:
        if name not in hints:
            raise WireError(f"{where} has no such field", got=str(name)[:40], expected=", ".join(hints))
    missing = [f.name for f in dataclasses.fields(kind) if f.name not in value and _default(f) is _NONE]  # type: ignore[arg-type]
    if missing:
        raise WireError(f"{where} lacks a field", expected=missing[0])
    return kind(**{name: checked(item, hints[name], f"{where}.{name}", depth + 1) for name, item in value.items()})


@lru_cache(maxsize=64)
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


_NONE = object()


def _default(f: dataclasses.Field) -> Any:
    if f.default is not dataclasses.MISSING:
        return f.default
    return f.default_factory() if f.default_factory is not dataclasses.MISSING else _NONE


def _wrong(where: str, got: Any, expected: Any) -> WireError:
    return WireError(f"{where} is wrong", got=repr(got)[:60], expected=expected)


def _json(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise WireError("a message is no JSON") from error


# -- binary ----------------------------------------------------------------------------------------------------------


def pack(header: Block, pictures: Sequence[bytes]) -> bytes:
    """A block as one binary message. pictures: encoded, one for each of the header's frames."""
    text = json.dumps(plain(header), separators=(",", ":"), allow_nan=False).encode()
    return b"".join((_HEAD.pack(_MAGIC, len(text)), text, *pictures))


def unpack(data: bytes) -> tuple[Block, tuple[bytes, ...]]:
    """Header and pictures of a binary message. Raises WireError."""
    header, offset = _head(data)
    pictures = []
    for frame in header.frames:
        pictures.append(data[offset : offset + frame.size])
        offset += frame.size
    if offset != len(data) or not header.frames:
        raise WireError("a block's pictures have other sizes than its header says", got=len(data), expected=offset)
    return header, tuple(pictures)


def _head(data: bytes) -> tuple[Block, int]:
    if len(data) < _HEAD.size:
        raise WireError("a binary message is too short", got=len(data))
    found, length = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    if found != _MAGIC or length > _MOST_HEADER or end > len(data):
        raise WireError("a binary message has no proper header")
    try:
        text = data[_HEAD.size : end].decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a binary message's header is no text") from error
    return checked(_json(text), Block, "block"), end


# -- keys and addresses ----------------------------------------------------------------------------------------------


def new_key() -> str:
    """A key nobody can guess: 192 bits, in letters that an address may hold."""
    return secrets.token_urlsafe(24)


def split_address(address: str) -> tuple[str, str]:
    """An address as `--serve` prints it -> ("http://host:port", key). Raises InputError."""
    from urllib.parse import urlsplit

    expected = "http://HOST:PORT/#KEY, as --serve prints it"
    text = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InputError("that is no address", got=_without_key(address), expected=expected) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise InputError("that is no address", got=_without_key(address), expected=expected)
    if not parts.fragment:
        raise InputError("the address has no key", got=_without_key(address), expected=expected)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port is None else f":{port}"), parts.fragment


def _without_key(address: str) -> str:
    return address.partition("#")[0]
