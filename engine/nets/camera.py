"""The camera of the embedded world: its lens, what an action does to it, and how that moves a picture.

Turning a camera maps its picture onto the new one exactly, whatever the depths; walking does not, so moving a picture
needs the depth of everything in it, which the spatial memory has. The picture plane stays upright, and looking up or
down shifts the horizon, as engine.training.simulator does. Lengths are in cells of the map; the eye stands `eye_height`
above the ground and as much below the ceiling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.config.memory import CameraConfig

_NEAREST = 0.02  # share of its depth at which a point may lie before the eye; nearer, or behind, it has no place


@dataclass(frozen=True)
class Motion:
    """What happened to the cameras of a batch: radians turned right, cells then walked ahead and to the right, and the
    rows of the horizon before and after, each (B,)."""

    turn: Tensor
    ahead: Tensor
    right: Tensor
    before: Tensor
    after: Tensor


class Camera:
    """Moves a batch of pictures as an action moves the camera.

    Args:
        config: lens, and motion per video frame.
        width, height: of the picture, pixels.
        device: of the pictures.
    """

    def __init__(self, config: CameraConfig, width: int, height: int, device: torch.device | str = "cpu") -> None:
        self.config, self.width, self.height = config, width, height
        self.focal = 0.5 * width / math.tan(math.radians(config.fov_x) / 2)
        """Focal length in pixels."""
        self._across = ((torch.arange(width, device=device) + 0.5 - width / 2) / self.focal)[None, None]
        self._row = (torch.arange(height, device=device) + 0.5)[None, :, None]

    @property
    def rows(self) -> Tensor:
        """The middle of every row of the picture, (H,), pixels from its top."""
        return self._row[0, :, 0]

    def columns(self, parts: int) -> Tensor:
        """How far the middles of all columns' first parts, then of their second ones, and so on, lie to the right of
        the picture's middle, at depth 1: (parts x W,)."""
        offset = (torch.arange(parts, device=self._row.device)[:, None] + 0.5) / parts
        column = torch.arange(self.width, device=self._row.device)
        return ((column + offset - self.width / 2) / self.focal).flatten()

    def horizon(self, pitch: Tensor) -> Tensor:
        """Row of the horizon for pitches in radians, any shape; positive pitch looks up and moves it down."""
        return self.height / 2 + pitch.tan() * self.focal

    def pitched(self, pitch: Tensor, mouse: Tensor) -> Tensor:
        """Pitch (B,) in radians after the mouse action (B, 2) of one video frame, within the limit."""
        limit = math.radians(self.config.pitch_limit)
        return (pitch + mouse[:, 0] * math.radians(self.config.pitch_per_unit)).clamp(-limit, limit)

    def turn(self, mouse: Tensor) -> Tensor:
        """Radians (B,) turned right by the mouse action (B, 2) of one video frame."""
        return mouse[:, 1] * math.radians(self.config.yaw_per_unit)

    def walk(self, keyboard: Tensor) -> tuple[Tensor, Tensor]:
        """Cells (B,) ahead and to the right that the keys W S A D (B, 4) walk in one video frame, if nothing blocks."""
        config = self.config
        ahead = keyboard[:, 0] * config.forward_step - keyboard[:, 1] * config.back_step
        side = (keyboard[:, 3] - keyboard[:, 2]) * config.side_step
        both = (ahead != 0) & (side != 0)
        scale = torch.where(both, math.sqrt(0.5), 1.0)
        return ahead * scale, side * scale

    def moved(self, frames: Tensor, motion: Motion, nearness: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) after the camera's motion; `nearness` (B, H, W): 1 / depth of what is seen after it."""
        grid, _ = self.before(motion, nearness)
        return F.grid_sample(frames, grid, mode="bicubic", padding_mode="border", align_corners=False)

    def before(self, motion: Motion, nearness: Tensor) -> tuple[Tensor, Tensor]:
        """Where everything in a picture was in the one before the camera's motion: places (B, H, W, 2) as grid_sample
        has them, and how deep, in shares of how deep it is now, (B, H, W)."""
        turn, ahead, aside, before, after = (
            part[:, None, None] for part in (motion.turn, motion.ahead, motion.right, motion.before, motion.after)
        )
        forward, right = 1 + ahead * nearness, self._across + aside * nearness
        depth = (forward * turn.cos() - right * turn.sin()).clamp(min=_NEAREST)
        side = forward * turn.sin() + right * turn.cos()
        x = self.focal * side / depth / self.width * 2
        y = (before + (self._row - after) / depth) / self.height * 2 - 1
        # as a stack of both, and several times as fast
        return torch.view_as_real(torch.complex(x, y).contiguous()), depth
