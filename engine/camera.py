"""The embedded model's condition: the picture before, as the camera would see it after the action.

Turning a camera maps its picture onto the new one exactly, whatever the depths; walking does not. The previous frame is
therefore shown to the network in several *views*: the first only turned (right where something is in the way, or far),
each of the others right where a wall stands at one known distance, with the ground before and the ceiling above it.
The network is left to choose between them place by place, to mend, and to paint what comes into view.

Geometry: the picture plane stays upright and looking up or down shifts the horizon, as engine.training.simulator does.
Lengths are in cells of the map, the eye stands `eye_height` above the ground and as much below the ceiling.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from engine.actions import Actions
from engine.codec import Codec
from engine.config import CameraConfig

_FAR = 1.0e4  # cells: for a picture, infinitely far
_NEAREST = 0.02  # cells before the eye: points nearer, or behind, have no place in the picture
_HORIZON = 0.4  # pixels: rows nearer to the horizon than this are as far as this


class Camera:
    """Moves a batch of pictures as an action moves the camera.

    Args:
        config: lens, motion per video frame, and the walls to make views of.
        width, height: of the picture, pixels.
        device: of the pictures.
    """

    def __init__(self, config: CameraConfig, width: int, height: int, device: torch.device | str = "cpu") -> None:
        self.config, self.width, self.height = config, width, height
        self.focal = 0.5 * width / math.tan(math.radians(config.fov_x) / 2)
        """Focal length in pixels."""
        self._across = ((torch.arange(width, device=device) + 0.5 - width / 2) / self.focal)[None, None]
        self._row = (torch.arange(height, device=device) + 0.5)[None, :, None]

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

    def views(self, frames: Tensor, keyboard: Tensor, mouse: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
        """Every view of `frames` after one video frame of the given actions.

        Args:
            frames: (B, 3, H, W).
            keyboard: (B, 4), W S A D.
            mouse: (B, 2), pitch and yaw in the model's unit.
            pitch: (B,) radians, before the action.

        Returns:
            views (B, K, 3, H, W), and the pitch (B,) after the action.
        """
        after = self.pitched(pitch, mouse)
        grids = self._grids(keyboard, mouse, pitch, after)
        made = [F.grid_sample(frames, g, mode="bicubic", padding_mode="border", align_corners=False) for g in grids]
        return torch.stack(made, 1), after

    def _grids(self, keyboard: Tensor, mouse: Tensor, pitch: Tensor, after: Tensor) -> list[Tensor]:
        """Where each view's pixels lie in the picture before: (B, H, W, 2) in -1..1, one per view."""
        turn = self.turn(mouse)[:, None, None]
        ahead, side = (part[:, None, None] for part in self.walk(keyboard))
        before, now = self.horizon(pitch)[:, None, None], self.horizon(after)[:, None, None]
        down = self._row - now
        ground = self.config.eye_height * self.focal / down.abs().clamp(min=_HORIZON)
        grids = []
        for wall in (None, *self.config.walls):
            depth = torch.full_like(ground, _FAR) if wall is None else ground.clamp(max=wall)
            forward, right = depth + ahead, depth * self._across + side
            depth_before = (forward * turn.cos() - right * turn.sin()).clamp(min=_NEAREST)
            right_before = forward * turn.sin() + right * turn.cos()
            x = self.focal * right_before / depth_before / self.width * 2
            y = (before + down * depth / depth_before) / self.height * 2 - 1
            grids.append(torch.stack(torch.broadcast_tensors(x, y), -1))
        return grids


class PreviousFrameCondition:
    """Views of the previous frame, encoded; see engine.condition.Condition. One video frame a block.

    The pitch is followed from the actions alone, from a level first frame on, as a player's neck would.

    Args:
        codec: encodes the views.
        config: the camera.
        picture: the first frame (1, 1, 3, H, W) in -1..1.
    """

    def __init__(self, codec: Codec, config: CameraConfig, picture: Tensor) -> None:
        height, width = picture.shape[-2:]
        self._camera = Camera(config, width, height, picture.device)
        self._stream = codec.encoder_stream()
        self._previous = picture
        self._pitch = torch.zeros(1, device=picture.device)

    def for_block(self, first: int, latents: int, actions: Actions) -> Tensor:
        keyboard, mouse = (
            torch.from_numpy(part).to(self._previous.device) for part in (actions.keyboard, actions.mouse)
        )
        views, self._pitch = self._camera.views(self._previous[:, 0].float(), keyboard, mouse, self._pitch)
        encoded = self._stream.encode(views.to(self._previous.dtype)).float()
        return rearrange(encoded, "b k c h w -> b 1 (k c) h w")

    def observe(self, frames: Tensor, latents: Tensor) -> None:
        self._previous = frames[:, -1:]

    def snapshot(self) -> tuple[Tensor, Tensor]:
        return self._previous, self._pitch  # both are replaced, never written to

    def restore(self, snapshot: tuple[Tensor, Tensor]) -> None:
        self._previous, self._pitch = snapshot
