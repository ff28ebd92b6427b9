"""`--serve`: the model here, windows and browsers elsewhere. Puts the server together, and runs it until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import ssl
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from game.config.settings import Settings, load_settings, settings_file_of
from game.console import say
from game.errors import InputError
from game.files import check_folder
from game.live.player import Habits
from game.models.catalog import find_weights, is_large
from game.models.loader import choose_device
from game.models.switcher import Switcher
from game.recording.format import Job
from game.recording.library import Library
from game.recording.writer import LiveRecordings
from game.remote import wire
from game.remote.pictures import Inbox
from game.remote.seat import Seat
from game.remote.server import House, Server, Serving, address
from game.remote.turns import SharedModels, Turns
from game.requirements import calm_threads
from game.world.scenes import Scene, scenes_from

_INBOX = ".inbox"
PORT = 8765


@dataclass(frozen=True)
class ServeFlags:
    """What the command line says, see game/cli.py."""

    host: str = "127.0.0.1"
    port: int = PORT
    key_file: Path | None = None
    players: int = 1
    watch: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None


def serve(words: list[str], flags: ServeFlags, job: Job, *, record: bool = False) -> int:
    """Serves until Ctrl-C or a polite kill; returns the exit code. Raises InputError for what can be known before."""
    settings = load_settings(words)
    find_weights(settings)
    scenes, index = scenes_from(job.scene)
    root = Path(settings.record.root)
    check_folder(root)
    how = settings.serve
    serving = Serving(
        key=read_key(flags.key_file),
        host=flags.host,
        port=flags.port,
        players=flags.players,
        watch=flags.watch,
        take_over=how.take_over,
        wait=how.wait_s,
        hosts=tuple(how.hosts),
        tls=tls_context(flags),
    )
    words, slots = share_cores(words, settings, flags.players)
    models = Switcher(words, compile_first=record)
    shared = SharedModels(models, Turns(slots), fixed=flags.players > 1)
    recordings = LiveRecordings(models, job)
    library = Library(root, being_written=recordings.being_written)
    inbox = Inbox(root / _INBOX)
    habits = Habits(
        seed=job.seed or 0, record=record, rewind_mb=_budget(settings_file_of(settings).now.rewind_mb, flags.players)
    )

    def open_seat(number: int, wake: Callable[[], None]) -> Seat:
        return Seat(
            shared.for_seat,
            scenes,
            scene=index,
            habits=habits,
            make_recorder=shared.recorder(recordings),
            recording=lambda name: server.recording(name),
            picture=lambda name: Scene("your picture", inbox.path(name)),
            wake=wake,
        )

    house = House(
        open_seat=open_seat,
        scenes={scene.name: scene.picture for scene in scenes},
        inbox=inbox,
        models=_models(models, flags.players),
        model=models.model,
        qualities=tuple(models.qualities()),
        recordings=library,
    )
    server = Server(serving, house)
    asyncio.run(_run(server, serving))
    return 1 if recordings.tell() else 0


async def _run(server: Server, serving: Serving) -> None:
    """Serves until a signal comes."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    port = await server.start()
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl-C arrives as KeyboardInterrupt
                loop.add_signal_handler(number, ended.set)
        tell_address(serving, port)
        await ended.wait()
    finally:
        await server.stop()


def tell_address(serving: Serving, port: int) -> None:
    """The one line with the address, and what a person should know of it."""
    print(address(serving, port), flush=True)
    local = serving.host == "localhost" or _is_loopback(serving.host)
    if not local and serving.tls is None:
        say("game: whoever is on the way can read the key and all that is played: there is no TLS. "
            "Give --tls-cert and --tls-key, or leave --host away and connect through "
            f"ssh -L {port}:127.0.0.1:{port} THIS-MACHINE")  # fmt: skip


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_key(file: Path | None) -> str:
    """A new key, or the one in a file, which only its owner should be able to read."""
    if file is None:
        return wire.new_key()
    try:
        text = file.read_text(encoding="utf-8").strip()
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"cannot read the key file ({reason})", got=file, remedy=_MAKE_KEY) from error
    if len(text) < 22 or not all(letter.isascii() and (letter.isalnum() or letter in "-_.~") for letter in text):
        raise InputError("the file holds no key", got=file, expected="22 letters and digits or more", remedy=_MAKE_KEY)
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        say(f"game: others on this machine can read the key: chmod 600 {file}")
    return text


_MAKE_KEY = 'python -c "import secrets; print(secrets.token_urlsafe(24))" > FILE makes one'


def tls_context(flags: ServeFlags) -> ssl.SSLContext | None:
    """Of the flags' certificate and key; None without them. Raises InputError."""
    if flags.tls_cert is None and flags.tls_key is None:
        return None
    if flags.tls_cert is None or flags.tls_key is None:
        raise InputError("--tls-cert and --tls-key belong together", remedy="give both")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(flags.tls_cert, flags.tls_key)
    except (OSError, ssl.SSLError) as error:
        got = f"{flags.tls_cert}, {flags.tls_key}"
        raise InputError(f"the certificate cannot be used ({error})", got=got, expected="PEM files") from error
    return context


def share_cores(words: list[str], settings: Settings, players: int) -> tuple[list[str], int]:
    """The settings with threads for so many players, and how many blocks are made at once.

    Small models on a CPU have a core each: two that share two cores' threads wait for each other at every kernel. All
    others have all that there is, one after another.
    """
    calm_threads()
    if players == 1 or is_large(settings) or choose_device(settings) != "cpu":
        return words, 1
    cores = len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1
    return (words if settings.threads else [*words, "threads=1"]), max(1, cores // max(1, settings.threads))


def _budget(mb: int | None, players: int) -> int | None:
    """Each player's part of the memory for going back in time."""
    return None if mb is None and players == 1 else (mb if mb is not None else 256) // players


def _models(models: Switcher, players: int) -> tuple[wire.Model, ...]:
    """The models as clients may choose them: with several players there is no choice."""
    found = models.choices("")
    if players > 1:
        found = [choice for choice in found if choice.name == models.model]
    return tuple(
        wire.Model(one.name, one.mode, one.width, one.height, one.fps, one.problem[:2000], one.short_problem[:200])
        for one in found
    )
