"""`--connect`: the window here, the model on a server. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from game.config.preferences import SettingsFile
from game.console import say
from game.input.controls import Controls
from game.remote import wire
from game.remote.client import RemotePlayer
from game.remote.library import RemoteLibrary


def connect(
    address: str,
    words: list[str],
    *,
    seconds: float | None,
    debug: bool,
    pictures: wire.Pictures | None = None,
    root: Path = Path("recordings"),
) -> int:
    """Connects, opens the window and plays until it is closed; returns the exit code.

    address: as --serve prints it. words: play.NAME=VALUE settings. root: where screenshots and fetched recordings go.
    Raises InputError for an address, key or setting that is wrong, RunError where nobody answers.
    """
    where, key = wire.split_address(address)
    settings_file = _settings(words)
    from game.ui.app import PlaySettings, play

    player = RemotePlayer(where, key, Controls(), shots=root, pictures=pictures, told=lambda line: say(f"game: {line}"))
    try:
        player.connect()
        library = RemoteLibrary(player.line, root)

        def make_player(controls: Controls, wake: Callable[[], None]) -> RemotePlayer:
            player.attach(controls, wake)
            return player

        how = PlaySettings(seconds, debug, settings_file, library)
        return play(how, make_player)
    finally:
        player.shutdown()


def _settings(words: list[str]) -> SettingsFile:
    """The person's preferences, and what the command line says of them, for which hydra is needed."""
    if not words:
        return SettingsFile()
    from game.config.settings import load_settings, settings_file_of

    return settings_file_of(load_settings(words))
