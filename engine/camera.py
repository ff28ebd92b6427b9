"""The embedded model's condition: the picture before, as the camera would see it after the action.

Turning a camera maps its picture onto the new one exactly, whatever the depths; walking does not. The previous frame is
therefore shown to the network in several *views*: the first only turned (right where something is in the way, or far),
each of the others right where a wall stands at one known distance, with the ground before and the ceiling above it.
The network answers with weights of these views, place by place; they say how far away each place is, and the frame is
then moved once, by that. What comes into view, and what resampling took away, the network has to paint.

Geometry: the picture plane stays upright and looking up or down shifts the horizon, as engine.training.simulator does.
Lengths are in cells of the map, the eye stands `eye_height` above the ground and as much below the ceiling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from engine.actions import Actions
from engine.codec import Codec
from engine.config import CameraConfig

_NEAREST = 0.02  # share of its depth at which a point may lie before the eye; nearer, or behind, it has no place


@dataclass(frozen=True)
class Motion:
    """What an action does to the cameras of a batch: radians turned right, cells walked ahead and to the right, and the
    rows of the horizon before and after, each (B, 1, 1)."""

    turn: Tensor
    ahead: Tensor
    right: Tensor
    before: Tensor
    after: Tensor


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

    def motion(self, keyboard: Tensor, mouse: Tensor, pitch: Tensor) -> tuple[Motion, Tensor]:
        """What one video frame of the actions keyboard (B, 4) and mouse (B, 2) does from the pitch (B,), radians; and
        the pitch after it."""
        after = self.pitched(pitch, mouse)
        ahead, right = self.walk(keyboard)
        parts = (self.turn(mouse), ahead, right, self.horizon(pitch), self.horizon(after))
        return Motion(*(part[:, None, None] for part in parts)), after

    def surfaces(self, motion: Motion) -> Tensor:
        """The surface each view takes everything to lie on: 1 / depth (B, K, H, 1), the first at no depth at all."""
        ground = (self._row - motion.after).abs() / (self.config.eye_height * self.focal)
        return torch.stack([ground * 0, *(ground.clamp(min=1 / wall) for wall in self.config.walls)], 1)

    def moved(self, frames: Tensor, motion: Motion, nearness: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) after the camera's motion, if `nearness` (B, H, 1 or W) is 1 / depth everywhere."""
        forward, right = 1 + motion.ahead * nearness, self._across + motion.right * nearness
        depth = (forward * motion.turn.cos() - right * motion.turn.sin()).clamp(min=_NEAREST)
        side = forward * motion.turn.sin() + right * motion.turn.cos()
        x = self.focal * side / depth / self.width * 2
        y = (motion.before + (self._row - motion.after) / depth) / self.height * 2 - 1
        grid = torch.stack(torch.broadcast_tensors(x, y), -1)
        return F.grid_sample(frames, grid, mode="bicubic", padding_mode="border", align_corners=False)

    def views(self, frames: Tensor, motion: Motion) -> Tensor:
        """Every view of `frames` (B, 3, H, W) after the motion, (B, K, 3, H, W)."""
        return torch.stack([self.moved(frames, motion, near) for near in self.surfaces(motion).unbind(1)], 1)

    def blended(self, frames: Tensor, motion: Motion, weights: Tensor) -> Tensor:
        """`frames` (B, 3, H, W) moved over the mixture of the views' surfaces that `weights` (B, K, h, w) says."""
        smooth = F.interpolate(weights, size=(self.height, self.width), mode="bilinear", align_corners=False)
        return self.moved(frames, motion, (smooth * self.surfaces(motion)).sum(1))


class PreviousFrames:
    """The newest frames of a batch of worlds, one video frame a block, and how the next action moves them.

    The pitch is followed from the actions alone, from a level first frame on, as a player's neck would.

    Args:
        codec: encodes what is shown to the network.
        camera: of all of them.
        frames: (B, 3, H, W) in -1..1, the pictures they start from; set anew with every finished frame.
    """

    def __init__(self, codec: Codec, camera: Camera, frames: Tensor) -> None:
        self._codec, self._camera = codec.encoder_stream(), camera
        self.frames = frames
        self.pitch = torch.zeros(len(frames), device=frames.device)
        self._motion: Motion | None = None

    def look(self, keyboard: Tensor, mouse: Tensor) -> Tensor:
        """The condition (B, 1, K C, h, w) after one video frame of the actions (B, 4) and (B, 2)."""
        self._motion, self.pitch = self._camera.motion(keyboard, mouse, self.pitch)
        encoded = self._encode(self._camera.views(self.frames.float(), self._motion))
        return rearrange(encoded, "b k c h w -> b 1 (k c) h w")

    def move(self, weights: Tensor) -> Tensor:
        """The latents (B, 1, C, h, w) of the frames moved by the action last looked at, see `Camera.blended`."""
        assert self._motion is not None
        return self._encode(self._camera.blended(self.frames.float(), self._motion, weights[:, 0])[:, None])

    def _encode(self, pictures: Tensor) -> Tensor:
        return self._codec.encode(pictures.to(self.frames.dtype)).float()


class PreviousFrameCondition:
    """The condition of one rollout, see engine.condition.Condition.

    Args:
        codec: encodes the views.
        config: the camera.
        picture: the first frame (1, 1, 3, H, W) in -1..1.
    """

    def __init__(self, codec: Codec, config: CameraConfig, picture: Tensor) -> None:
        height, width = picture.shape[-2:]
        self._previous = PreviousFrames(codec, Camera(config, width, height, picture.device), picture[:, 0])

    def for_block(self, first: int, latents: int, actions: Actions) -> Tensor:
        device = self._previous.frames.device
        return self._previous.look(
            torch.from_numpy(actions.keyboard).to(device), torch.from_numpy(actions.mouse).to(device)
        )

    def move(self, weights: Tensor) -> Tensor:
        return self._previous.move(weights)

    def observe(self, frames: Tensor, latents: Tensor) -> None:
        self._previous.frames = frames[:, -1]

    def snapshot(self) -> tuple[Tensor, Tensor]:
        return self._previous.frames, self._previous.pitch  # both are replaced, never written to

    def restore(self, snapshot: tuple[Tensor, Tensor]) -> None:
        self._previous.frames, self._previous.pitch = snapshot
