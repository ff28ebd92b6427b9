"""What the first picture shows of the place and memory does not know: the error of memory there, kept on the surfaces.

Memory is right about a surface but for what its texels are off by, and that stays on the surface when the eye moves. So
the difference between the first picture and what memory sees from its pose is moved to where the surfaces are seen now,
and added. It counts for less the more nearer or farther away a surface has come to be, where other texels are seen; and
for nothing where the surface was hidden, or out of the picture. It gets brighter and darker with the hour.

Only what is little wrong is believed. Large errors are somebody who was not found, or a picture of quite another place;
and where the picture is softer than memory, memory knows better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose
from engine.nets.surfaces import Light, Picture

_AROUND = 15  # pixels that are judged together
_RIGHT, _WRONG = 0.08, 0.16  # mean error around a pixel, of 0..1, that is believed, and that is not
_ALIKE, _UNLIKE = 0.07, 0.11  # and of the whole picture
_SOFT, _CRISP = 0.5, 0.8  # slopes around it, in shares of memory's: likewise
_RIM = 5  # pixels round somebody that say nothing of the place
_FARTHER = 1.5  # how fast the difference counts for less, in shares of the distance that it was seen from
_SAME, _SAME_NEARNESS = 0.06, 0.01  # of nearness, in shares and 1 / cells, that one and the same surface may be off by
_BRIGHTEST = 3.0


@dataclass(frozen=True)
class FirstPicture:
    """The difference of one batch of first pictures.

    Attributes:
        difference: (B, 3, H, W), of 0..1, and 0 where it is not believed.
        nearness: (B, 1, H, W), 1 / depth of what is seen there.
        pose: where and when that was. brightness: (B, 3) of the light then.
    """

    difference: Tensor
    nearness: Tensor
    pose: Pose
    brightness: Tensor

    @staticmethod
    def of(frames: Tensor, seen: Picture, somebody: Tensor | None, pose: Pose, light: Light) -> FirstPicture:
        """From frames (B, 3, H, W) in -1..1 and what memory sees of the place from there; somebody: (B, 1, H, W) 0 or
        1, where anybody stands before it."""
        true, known = frames.float() / 2 + 0.5, seen.frames.clamp(0, 1)
        off = true - known
        free = torch.ones_like(off[:, :1])
        if somebody is not None:
            free = 1 - F.max_pool2d(somebody, 2 * _RIM + 1, 1, _RIM)
        error = off.abs().mean(1, keepdim=True)
        all_of_it = (error * free).sum((1, 2, 3), keepdim=True) / free.sum((1, 2, 3), keepdim=True).clamp(min=1)
        crisp = _around(_slopes(true)) / _around(_slopes(known)).clamp(min=1e-3)
        believed = _falling(_around(error), _RIGHT, _WRONG) * _falling(all_of_it, _ALIKE, _UNLIKE)
        believed = believed * (1 - _falling(crisp, _SOFT, _CRISP)) * free
        return FirstPicture(off * believed, seen.nearness[:, None], pose, _brightness(light))

    def on(self, picture: Picture, camera: Camera, pose: Pose, light: Light) -> Picture:
        """What is seen of the place from another pose, with the difference in it."""
        moved, depth = camera.before(self.pose.motion_to(pose, camera), picture.nearness)
        found = F.grid_sample(self.difference, moved, mode="bilinear", padding_mode="zeros", align_corners=False)
        near = F.grid_sample(self.nearness, moved, mode="nearest", padding_mode="zeros", align_corners=False)[:, 0]
        expected = picture.nearness / depth
        same = (near - expected).abs() < _SAME * expected + _SAME_NEARNESS
        weight = torch.exp(-_FARTHER * (depth - 1).abs()) * same
        brighter = (_brightness(light) / self.brightness.clamp(min=0.02)).clamp(max=_BRIGHTEST)
        return replace(picture, frames=picture.frames + found * weight[:, None] * brighter[..., None, None])


def _brightness(light: Light) -> Tensor:
    return light.day + light.lamp / 2


def _falling(value: Tensor, one: float, zero: float) -> Tensor:
    """1 up to `one`, and 0 from `zero` on."""
    return ((zero - value) / (zero - one)).clamp(0, 1)


def _slopes(picture: Tensor) -> Tensor:
    """How steep pixels are, (B, 1, H, W)."""
    across = F.pad(picture.diff(dim=3), (0, 1)).abs()
    return (across + F.pad(picture.diff(dim=2), (0, 0, 0, 1)).abs()).mean(1, keepdim=True)


def _around(values: Tensor) -> Tensor:
    """Means over what is around each pixel (B, 1, H, W)."""
    return F.avg_pool2d(values, _AROUND, 1, _AROUND // 2, count_include_pad=False)
