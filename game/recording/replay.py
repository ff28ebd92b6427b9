"""A recording, or a script, played again on a playthrough: the same actions and the same events, so the same frames.

`begin` and `Replay` do it; `open_recording` and `begin_at` bring a recording into a world that is played live, at any
of its moments. The checks say beforehand whether a recording can be followed, and afterwards why it was not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.actions import Actions, ActionSpace
from engine.errors import ActionError
from game.errors import RecordingError, ScriptError
from game.media.pictures import read_picture
from game.media.video import Video
from game.models.compiling import change_kernels_at
from game.recording.format import (
    ACTIONS,
    PRELUDE,
    Anchor,
    Enter,
    Event,
    Happenings,
    Recording,
    Return,
    SessionHeader,
    find_video,
    picture_sha256,
    read_recording,
)
from game.world.history import Moment
from game.world.playthrough import Early, Played, Playthrough
from game.world.scenes import Scene

if TYPE_CHECKING:  # it brings torch along, which the window does not wait for
    from engine.world import WorldModel

Tell = Callable[[float], None]
_NOTHING = Happenings()


def begin(
    recording: Recording, world: WorldModel, picture: np.ndarray, seed: int, budget: int = 0, tell: Tell | None = None
) -> Playthrough:
    """A playthrough where the recording begins: its prelude played, if it has one.

    picture, seed: the recording's own, or others for another world with its actions. budget: see Playthrough. tell: the
    share of the prelude that is done.
    """
    playthrough = Playthrough(world, picture, seed, budget)
    change_kernels_at(recording.header.compiled_from, playthrough.rollout, world)
    playthrough.run(recording.prelude, tell)
    playthrough.forget_events()
    return playthrough


class Replay:
    """Drives a playthrough by actions that are known beforehand.

    Args:
        playthrough: where the actions begin.
        actions: one per video frame; what is missing of the last block is filled up with no keys.
        happenings: what else there is to do, and when.
        where: names the source in errors.
    """

    def __init__(
        self, playthrough: Playthrough, actions: Actions, happenings: Happenings = _NOTHING, where: str = ""
    ) -> None:
        self.playthrough, self.actions, self.frame = playthrough, actions, 0
        self._happenings, self._where = happenings, where
        self._seams = happenings.seams
        self._held = dict(happenings.held)
        events = [event for row in happenings.events.values() for event in row]
        self._returns = Counter(event.frame for event in events if isinstance(event, Return))
        self._kept: dict[int, Moment] = {}

    @property
    def done(self) -> bool:
        """Whether all actions are played."""
        return self.frame >= len(self.actions)

    @property
    def next_frames(self) -> int:
        """How many frames the next `play` makes."""
        until = self._held.get(self.frame)
        return self.playthrough.next_frames if until is None else until - self.frame

    def play(self, early: Early | None = None) -> Played:
        """The next frames. Raises ScriptError where the recording's blocks are not this model's.

        early: as Playthrough.step's.
        """
        if self._returns[self.frame] and self.frame not in self._kept:
            self._kept[self.frame] = self.playthrough.keep()
        for event in self._happenings.events.get(self.frame, ()):
            self._happen(event)
        until = self._held.get(self.frame)
        played = self.playthrough.hold(until - self.frame) if until is not None else self._step(early)
        self.frame += len(played.block.frames)
        return played

    def leave(self) -> None:
        """Lets go of all moments that were kept to return to."""
        for moment in self._kept.values():
            self.playthrough.let_go(moment)
        self._kept = {}

    def _step(self, early: Early | None) -> Played:
        frames = self.playthrough.next_frames
        place = bisect_right(self._seams, self.frame)
        if place < len(self._seams) and self._seams[place] < self.frame + frames:
            what = f"video frame {self.frame}: the recording's blocks are not this model's"
            got, expected = f"{self._seams[place] - self.frame} frames", f"{frames}"
            raise ScriptError(f"{self._where}, {what}", got=got, expected=expected)
        taken = self.actions[self.frame : self.frame + frames]
        missing = frames - len(taken)
        if missing:
            taken = Actions.join([taken, Actions.stack([self.playthrough.world.action_space.action()] * missing)])
        return self.playthrough.step(taken, early)

    def _happen(self, event: Event) -> None:
        if isinstance(event, Anchor):
            self.playthrough.anchor(event.seed)
        elif isinstance(event, Return):
            self._return(event.frame)
        else:
            picture = read_picture(event.first_frame)
            self.playthrough.enter(picture, event.seed, event.actions, compiled_from=event.compiled_from)

    def _return(self, frame: int) -> None:
        moment = self._kept.get(frame)
        if moment is None:
            what = f"video frame {self.frame}: the recording returns into the middle of a block"
            raise ScriptError(f"{self._where}, {what}", got=frame)
        self.playthrough.go(moment)
        self._returns[frame] -= 1
        if not self._returns[frame]:
            self.playthrough.let_go(self._kept.pop(frame))


# -- live, from any moment ---------------------------------------------------------------------------------------------


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

    progress: told what is being done and the share of it; what it raises ends the work. budget: as Playthrough. Raises
    ScriptError where the recording cannot be followed.
    """
    recording = opened.recording
    frame = max(0, min(frame, len(recording.actions) - 1))
    before = 0 if recording.prelude is None else len(recording.prelude)
    whole = max(1, before + frame)

    def tell(share: float) -> None:
        progress("Playing up to there", share * before / whole)

    playthrough = begin(recording, world, opened.picture, recording.header.seed, budget, tell)
    replay = Replay(playthrough, recording.actions, recording.happenings, recording.folder.name)
    while (ahead := frame - replay.frame) > 0:
        if replay.frame and ahead < replay.next_frames:
            break
        replay.play()
        playthrough.settle()
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


# -- checks ------------------------------------------------------------------------------------------------------------


def check_first_frame(source: Recording, picture: np.ndarray) -> None:
    """Raises ScriptError unless `picture` is the one that the recording started from."""
    if picture_sha256(picture) != source.header.first_frame_sha256:
        remedy = "put the original back, or name a picture with --scene PATH"
        raise ScriptError(f"{source.first_frame} is not the picture this recording started from", remedy=remedy)


def check_recorded(recording: Recording, space: ActionSpace) -> None:
    """Raises ScriptError for actions that this mode's keys and mouse do not make: a file was changed by hand."""
    _check_actions(recording.path, recording.actions, space)
    if recording.prelude is not None:
        _check_actions(recording.path.with_name(PRELUDE), recording.prelude, space)
    for events in recording.happenings.events.values():
        for event in events:
            if isinstance(event, Enter) and event.actions is not None:
                _check_actions(recording.path, event.actions, space)


def _check_actions(path: Path, actions: Actions, space: ActionSpace) -> None:
    known: dict[tuple[str, ...], tuple[float, ...]] = {}
    for frame, action in enumerate(actions):
        try:
            space.check(actions[frame : frame + 1])
            if action.keys not in known:
                known[action.keys] = space.action(action.keys).keyboard
            if action.keyboard != known[action.keys]:
                expected = f"{list(known[action.keys])} for {list(action.keys)}"
                raise ActionError("keyboard and keys do not say the same", got=list(action.keyboard), expected=expected)
        except ActionError as error:
            raise ScriptError(f"{path}, video frame {frame}: {error}") from error


_REASONS = (
    "weights_sha256",
    "seed",
    "first_frame_sha256",
    "denoising_steps",
    "overrides",
    "dtype",
    "device",
    "threads",
    "compiled",
    "compiled_from",
    "torch",
)


def differences(recorded: SessionHeader, now: SessionHeader) -> list[str]:
    """Why frames may differ, likeliest first, as "what: recorded X, now Y"."""
    found = []
    for name in _REASONS:
        was, is_now = getattr(recorded, name), getattr(now, name)
        if was != is_now:
            short = (str(was)[:12], str(is_now)[:12]) if name.endswith("sha256") else (was, is_now)
            found.append(f"{name.removesuffix('_sha256').replace('_', ' ')}: recorded {short[0]}, now {short[1]}")
    return found


_VISIBLY = 4.0  # grey levels, the mean over a frame: more than encoding the same frame twice can differ by


def first_difference(recording: Recording, folder: Path, name: str) -> int | None:
    """Number of the first frame in which a replay differs from its recording, None if none does that can be told.

    folder, name: of the replay. By the frames' checksums; of a recording without them, by what the videos show, and
    then only a difference that can be seen counts.
    """
    replayed = read_recording(folder / ACTIONS)
    if None not in recording.crc32:
        pairs = zip(recording.crc32, replayed.crc32, strict=False)
        return next((frame for frame, (was, now) in enumerate(pairs) if was != now), None)
    was = find_video(recording.folder)
    if was is None:
        return None
    try:
        with Video(was) as old, Video(folder / f"{name}.mp4") as new:
            for frame in range(min(old.frames, new.frames)):
                one, other = (video.at(frame).astype(np.int16) for video in (old, new))
                if one.shape != other.shape or np.abs(one - other).mean() > _VISIBLY:
                    return frame
    except RecordingError:
        pass
    return None
