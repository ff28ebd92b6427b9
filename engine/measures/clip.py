"""A clip to be measured: frames, what was pressed for each, and what can be seen of both, found out once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from engine.actions import AXES, Actions, key_axes
from engine.families import action_space
from engine.measures.motion import DIRECTIONS, camera_motion, flow_of_brightness
from engine.measures.pictures import LUMA, STATED_SIZE

CHANNELS = ("right", "down", "growth")
"""How the picture's motion can answer: it shifts right, shifts down, grows; pixels at 192x112."""

_AXIS_OF = {"forward": (0, 1), "back": (0, -1), "strafe_right": (1, 1), "strafe_left": (1, -1),
            "turn_right": (2, 1), "turn_left": (2, -1), "look_up": (3, 1), "look_down": (3, -1)}  # fmt: skip
_CHANNEL_OF_AXIS = (2, 0, 0, 1)
_SIGN_OF_AXIS = (1, -1, -1, 1)  # turning right, the picture shifts left
_CHUNK = 32
_CELLS = (14, 24)
_SAME = 1e-3
_CLEAR_SHARE = 0.1  # of the mean trust in a flow; places from which on count as ones where there is something
_STILL = 0.05  # grey levels of mean change a frame, below which a picture stands still
_STILL_FRAMES = 10
_FLAT_LEVELS, _FLAT_SHARE, _FLAT_SECONDS = 6.0, 0.15, 2.0
_WALK_ONLY_SECONDS = 3.0


@dataclass(frozen=True)
class Run:
    """Frames begin..end (exclusive) through which the same was asked of the world: axes, a value of each of AXES."""

    begin: int
    end: int
    axes: tuple[float, float, float, float]

    def __len__(self) -> int:
        return self.end - self.begin

    @property
    def asked(self) -> tuple[str, ...]:
        """The DIRECTIONS that are asked for; none for a run in which nothing is pressed."""
        return tuple(name for name in DIRECTIONS if self.axes[_AXIS_OF[name][0]] * _AXIS_OF[name][1] > 0)

    @property
    def channels(self) -> tuple[int, ...]:
        """Numbers of the CHANNELS that answer, one for each direction asked for."""
        return tuple(channel_of(name) for name in self.asked)


def channel_of(direction: str) -> int:
    """Number of the channel in which the picture answers a direction."""
    return _CHANNEL_OF_AXIS[_AXIS_OF[direction][0]]


def sign_of(direction: str) -> int:
    """Which way of its channel the picture moves for a direction."""
    axis, sign = _AXIS_OF[direction]
    return sign * _SIGN_OF_AXIS[axis]


def commands(actions: Actions, mode: str) -> np.ndarray:
    """(T, 4) float32 of AXES: what a mode's actions ask of the world; 1 is a key, or the mouse as a look key moves it.

    Raises ActionError for a mode there isn't.
    """
    space = action_space(mode)
    axes = np.zeros((len(actions), 4), dtype=np.float32)
    table = {key: (AXES.index(axis), sign) for key, (axis, sign) in key_axes(space).items()}
    for frame, keys in enumerate(actions.keys):
        for axis, sign in (table[key] for key in keys if key in table):
            axes[frame, axis] += sign
    if actions.mouse is not None and space.look > 0:
        axes[:, 2] += actions.mouse[:, 1] / space.look
        axes[:, 3] += actions.mouse[:, 0] / space.look
    return axes


def _tensor(frames: np.ndarray) -> Tensor:
    """The same memory, where that can be shared with torch."""
    return torch.from_numpy(np.require(frames, requirements=["C", "W"]))


def to_stated_size(frames: np.ndarray) -> np.ndarray:
    """Frames (T, H, W, 3) uint8 at 192x112, by area; those of that size as they are."""
    if frames.shape[1:3] == STATED_SIZE:
        return frames
    planes = rearrange(_tensor(frames), "t h w c -> t c h w").float()
    small = F.interpolate(planes, size=STATED_SIZE, mode="area").round().to(torch.uint8)
    return rearrange(small, "t c h w -> t h w c").contiguous().numpy()


def signed(frames: np.ndarray) -> Tensor:
    """(T, H, W, 3) uint8 -> (T, 3, H, W) in -1..1, as measures of pictures take them."""
    return rearrange(_tensor(frames), "t h w c -> t c h w").float() / 127.5 - 1


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames and what was asked for each.

    frames: (T, 112, 192, 3) uint8 RGB (see `to_stated_size`). axes: (T, 4), see `commands`; frame t is the first that
    the world made after it was told axes[t]. fps: frames a second. first: the picture before frame 0, (112, 192, 3),
    None if it is not known. block: frames that the model makes at once, 1 if one by one, None if not known.
    degrees: that an axes' yaw of 1 asks the camera to turn by, 0 if nobody knows.
    """

    frames: np.ndarray
    axes: np.ndarray
    fps: float
    first: np.ndarray | None = None
    block: int | None = None
    degrees: float = 0.0

    @staticmethod
    def of(
        frames: np.ndarray,
        actions: Actions,
        mode: str,
        fps: float,
        first: np.ndarray | None = None,
        block: int | None = None,
    ) -> Clip:
        """The clip of frames (T, H, W, 3) uint8 of any size and the T actions that a model of `mode` got for them."""
        small = None if first is None else to_stated_size(first[None])[0]
        space = action_space(mode)
        degrees = space.degrees[1] * space.look if space.has_mouse else 0.0
        return Clip(to_stated_size(frames), commands(actions, mode), fps, small, block, degrees)

    def __len__(self) -> int:
        return len(self.frames)

    def pictures(self, frames: slice | list[int] | np.ndarray) -> Tensor:
        """Some of the frames as (n, 3, H, W) in -1..1."""
        return signed(self.frames[frames])

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The clip cut where something else is asked for."""
        if not len(self):
            return ()
        cuts = np.flatnonzero(np.abs(np.diff(self.axes, axis=0)).max(1) > _SAME) + 1
        bounds = [0, *(int(cut) for cut in cuts), len(self)]
        return tuple(
            Run(a, b, (float(v[0]), float(v[1]), float(v[2]), float(v[3])))
            for a, b in pairwise(bounds)
            for v in [np.where(np.abs(self.axes[a]) > _SAME, self.axes[a], 0.0)]
        )

    @cached_property
    def seen(self) -> Seen:
        """What the eye sees of every frame, in one pass over the frames."""
        for _ in self.look():
            pass
        return self.seen

    def look(self) -> Iterator[int]:
        """Finds out what `seen` holds, some frames at a time; gives how many are done, for whoever waits."""
        rows = []
        for levels in self._brightness():
            rows.append(_see(levels))
            yield min(len(rows) * _CHUNK, len(self))
        columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
        motion, middle, trust, speed, left, change, cells = columns
        if self.first is None:  # nothing can be said of the first frame's motion
            unknown = [np.concatenate([np.full((1, *c.shape[1:]), np.nan), c]) for c in columns[:-1]]
            motion, middle, trust, speed, left, change = unknown
            cells = np.concatenate([_cells(_grey(self.frames[:1])), cells])
        self.__dict__["seen"] = Seen(motion, middle, trust, speed, left, change, cells)

    def _brightness(self) -> Iterator[Tensor]:
        """All frames' (n, H, W) in grey levels, some at a time, each beginning with the last of those before."""
        before = None if self.first is None else _grey(self.first[None])
        for begin in range(0, len(self), _CHUNK):
            now = _grey(self.frames[begin : begin + _CHUNK])
            yield now if before is None else torch.cat([before, now])
            before = now[-1:]

    @cached_property
    def asks(self) -> bool:
        """Whether anything is ever asked for."""
        return bool((np.abs(self.axes) > _SAME).any())

    @cached_property
    def never_moves(self) -> bool:
        """Whether something is asked for and the picture never changes then."""
        change = self.seen.change[np.abs(self.axes).max(1, initial=0.0) > _SAME]
        change = change[np.isfinite(change)]
        return bool(len(change)) and bool(np.percentile(change, 95) < _STILL)

    @cached_property
    def alive_until(self) -> int:
        """The frame from which on the picture is frozen or flat, to the end; the number of frames if it never is."""
        return min(self._frozen_from(), self._flat_from())

    def _frozen_from(self) -> int:
        change = np.nan_to_num(self.seen.change, nan=1.0)
        count = min(_STILL_FRAMES, len(change))
        padded = np.concatenate([change[:1].repeat(count // 2), change, change[-1:].repeat(count - 1 - count // 2)])
        calm = np.median(np.lib.stride_tricks.sliding_window_view(padded, count), axis=1) < _STILL
        moving = np.flatnonzero(~calm)
        begin = int(moving[-1]) + 1 if len(moving) else 0
        tail = np.abs(self.axes[begin:])
        turned = int((tail[:, 2:].max(1, initial=0.0) > _SAME).sum())
        walked = int((tail.max(1, initial=0.0) > _SAME).sum())
        # Whoever walks against a wall stands still too; whoever turns does not.
        told = turned >= _STILL_FRAMES or walked >= _WALK_ONLY_SECONDS * self.fps
        return begin if told else len(self)

    def _flat_from(self) -> int:
        level = self.seen.cells.std(axis=(1, 2))
        usual = float(level[: max(1, round(self.fps))].mean())
        rich = np.flatnonzero(level >= min(_FLAT_LEVELS, _FLAT_SHARE * usual))
        begin = int(rich[-1]) + 1 if len(rich) else 0
        return begin if len(self) - begin >= _FLAT_SECONDS * self.fps else len(self)


@dataclass(frozen=True, eq=False)
class Seen:
    """Of every frame, against the one before it; NaN for the first where nothing was before it.

    motion: (T, 3) pixels of CHANNELS. middle: (T,) pixels by which the picture moves in the middle of all places where
    something is to be seen, so that a thing that moves by itself does not count. trust: (T,) of the motion. speed: (T,)
    pixels by which the fastest twentieth of the picture moves, on average. left: (T,) grey levels of change that motion
    does not explain. change: (T,) grey levels of all change, of 48x28 areas. cells: (T, 14, 24) brightness of areas,
    grey levels.
    """

    motion: np.ndarray
    middle: np.ndarray
    trust: np.ndarray
    speed: np.ndarray
    left: np.ndarray
    change: np.ndarray
    cells: np.ndarray


def _see(levels: Tensor) -> tuple[np.ndarray, ...]:
    """Columns of Seen for all but the first of some pictures (n, H, W) of brightness."""
    found = flow_of_brightness(levels[:-1], levels[1:], levels=(3, 2), rounds=3)
    camera = camera_motion(found)
    lengths = torch.hypot(found.moved[:, 0], found.moved[:, 1]).flatten(1)
    fastest = lengths.topk(max(1, lengths.shape[1] // 20), dim=1).values.mean(1)
    clear = found.weight >= _CLEAR_SHARE * found.weight.mean((1, 2), keepdim=True)
    middle = torch.where(clear[:, None], found.moved, torch.nan).flatten(2).nanmedian(2).values.norm(dim=1)
    small = F.interpolate(levels[:, None], size=found.weight.shape[-2:], mode="area")
    change = small.diff(dim=0).abs().mean((1, 2, 3))
    moved = torch.stack([camera.right, camera.down, camera.growth], 1)
    columns = (moved, middle, camera.trust, fastest, found.left.abs().mean((1, 2)), change)
    return (*(column.numpy().astype(np.float64) for column in columns), _cells(levels[1:]))


def _cells(levels: Tensor) -> np.ndarray:
    """(n, H, W) -> (n, 14, 24), the mean brightness of areas."""
    return F.adaptive_avg_pool2d(levels[:, None], _CELLS)[:, 0].numpy().astype(np.float64)


def _grey(frames: np.ndarray) -> Tensor:
    """(n, H, W, 3) uint8 -> (n, H, W) brightness in grey levels."""
    return _tensor(frames).float() @ torch.tensor(LUMA)
