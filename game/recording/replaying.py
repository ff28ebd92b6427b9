"""A recording opened to be played live in a world that is loaded already, from any of its moments on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from game.errors import ScriptError
from game.recording.format import ACTIONS, SessionHeader
from game.recording.recordings import Recording, read_recording
from game.recording.replay import Replay, begin
from game.tools.render import check_first_frame, check_recorded, differences
from game.world.scenes import Scene

if TYPE_CHECKING:  # it brings torch along, which the window does not wait for
    from engine.world import WorldModel


@dataclass(frozen=True)
class Opened:
    """A recording that this world can play. differences: why its frames may not be the recorded ones, "" if they
    must be."""

    recording: Recording
    scene: Scene
    picture: np.ndarray
    differences: str


def open_recording(folder: Path, world: WorldModel) -> Opened:
    """Reads a recording and checks it against a world. Raises ScriptError, PictureError."""
    recording = read_recording(folder / ACTIONS)
    header, config = recording.header, world.config
    if (header.model, header.mode) != (config.name, config.mode):
        remedy = f"start with model={header.model}"
        raise ScriptError("it was made by another model", got=header.model, expected=config.name, remedy=remedy)
    check_recorded(recording, world.action_space)
    scene = Scene(header.scene or folder.name, recording.first_frame)
    picture = scene.picture()
    check_first_frame(recording, picture)
    return Opened(recording, scene, picture, "; ".join(differences(header, _now(header, world))))


def begin_at(
    opened: Opened, world: WorldModel, frame: int, budget: int, progress: Callable[[str, float], None]
) -> Replay:
    """A replay brought to video frame `frame`, or to the block that holds it.

    progress: told what is being done and the share of it; what it raises ends the work. budget: as Journey. Raises
    ScriptError where the recording cannot be followed.
    """
    recording = opened.recording
    frame = max(0, min(frame, len(recording.actions) - 1))
    before = 0 if recording.prelude is None else len(recording.prelude)
    whole = max(1, before + frame)

    def tell(share: float) -> None:
        progress("Playing up to there", share * before / whole)

    journey = begin(recording, world, opened.picture, recording.header.seed, budget, tell)
    replay = Replay(journey, recording.actions, recording.happenings, recording.folder.name)
    while (ahead := frame - replay.frame) > 0:
        if replay.frame and ahead < replay.next_frames:
            break
        replay.play()
        journey.settle()
        progress("Playing up to there", (before + replay.frame) / whole)
    return replay


def _now(header: SessionHeader, world: WorldModel) -> SessionHeader:
    """`header` as this world would write it today."""
    import torch

    return replace(
        header,
        weights_sha256=world.weights_sha256,
        denoising_steps=tuple(world.config.denoising_steps),
        device=str(world.device),
        dtype=str(world.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        torch=str(torch.__version__),
        compiled=world.kernels.compiled,
    )
