"""A world whose answers are known: a wide soft picture, a camera that shifts over it and nears it, faults to order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from engine.actions import Actions
from engine.families import action_space
from engine.measures.clip import Clip
from engine.measures.pictures import STATED_SIZE

SPACE = action_space("universal")
LIMIT = SPACE.mouse_limit
PAN, STEP, GROWTH = 3.0, 2.0, 0.015  # pixels for the mouse at its limit, pixels for a key, share for a key
DIRECTIONS = {
    "turn_left": ((), (0.0, -LIMIT)), "turn_right": ((), (0.0, LIMIT)),
    "look_up": ((), (LIMIT, 0.0)), "look_down": ((), (-LIMIT, 0.0)),
    "forward": (("W",), (0.0, 0.0)), "back": (("S",), (0.0, 0.0)),
    "strafe_left": (("A",), (0.0, 0.0)), "strafe_right": (("D",), (0.0, 0.0)),
}  # fmt: skip


def press(direction: str | None, frames: int) -> Actions:
    """Some frames of one direction, or of nothing."""
    keys, mouse = DIRECTIONS[direction] if direction else ((), (0.0, 0.0))
    return Actions.stack([SPACE.action(keys, mouse)] * frames)


def script(*parts: tuple[str | None, int]) -> Actions:
    return Actions.join([press(name, frames) for name, frames in parts])


def directions() -> Actions:
    """Each of the eight, with the way back after the way."""
    parts: list[tuple[str | None, int]] = [(None, 8)]
    for name in DIRECTIONS:
        parts += [(name, 12), (None, 12)]
    return script(*parts)


@dataclass
class Panorama:
    """seed: of the picture and of its grain. grain: its deviation, grey levels, new in each frame."""

    seed: int = 0
    grain: float = 0.0

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        coarse = torch.randn(1, 3, 24, 60, generator=generator)
        fine = torch.randn(1, 3, 80, 200, generator=generator) * 0.4
        size = (400, 1000)
        soft = sum(F.interpolate(x, size=size, mode="bicubic", align_corners=False) for x in (coarse, fine))
        self._picture = (128 + 45 * soft).clamp(8, 247)

    def look(self, x: float, y: float, grown: float) -> np.ndarray:
        """(112, 192, 3) float: the view at x, y pixels from the middle, grown so many times."""
        height, width = STATED_SIZE
        across = (torch.arange(width) + 0.5 - width / 2) / grown + x
        down = (torch.arange(height) + 0.5 - height / 2) / grown + y
        grid = torch.stack(torch.meshgrid(down / 200, across / 500, indexing="ij")[::-1], -1)[None]
        return (
            F.grid_sample(self._picture, grid, align_corners=False, padding_mode="reflection")[0]
            .permute(1, 2, 0)
            .numpy()
        )

    def film(self, actions: Actions, fault: str = "", fps: float = 20.0) -> Clip:
        """The clip of some actions.

        fault: "delayed" by three frames, "mirrored" mouse, "seam" every four frames, "frozen" after ten seconds, "tint"
        that grows, "copy" of the first frame; others: "flickers", "fades", "blurs", "jerks", "runs", "melts".
        What is no fault: "day" (light that grows and reddens), "lamps" (light that flickers), "cat" (a thing that walks
        through a quarter of the picture).
        """
        told = list(actions)
        if fault == "delayed":
            told = [SPACE.action()] * 3 + told[:-3]
        x = y = 0.0
        grown, frames = 1.0, []
        grain = np.random.default_rng(self.seed)
        first = self.look(x, y, grown)
        for t, action in enumerate(told):
            (pitch, yaw), (w, s, a, d) = action.mouse or (0.0, 0.0), action.keyboard
            if fault == "mirrored":
                yaw = -yaw
            x += PAN * yaw / LIMIT + STEP * (d - a) + 0.8 * (fault == "runs")
            y -= PAN * pitch / LIMIT
            grown *= (1 + GROWTH) ** (w - s)
            shake = (1 if t % 2 else -1) * (fault == "jerks") * any((pitch, yaw, w, s, a, d))
            view = _spoilt(self.look(x + shake, y + shake, grown), fault, t, fps)
            view = view + grain.normal(0, self.grain, view.shape)
            view = frames[-1] if fault == "frozen" and t >= 10 * fps else view
            frames.append(first if fault == "copy" else view)
        uint8 = np.stack(frames).round().clip(0, 255).astype(np.uint8)
        return Clip.of(uint8, actions, "universal", fps, first.round().astype(np.uint8), block=1)


def _flicker(frames: int) -> list[float]:
    """Of a lamp, as the embedded world's flicker: each frame keeps 0.85 of the one before, and has a deviation of 1."""
    fresh, values = np.random.default_rng(4), [0.0]
    for _ in range(frames):
        values.append(0.85 * values[-1] + 0.53 * fresh.normal())
    return values


_FLICKER = _flicker(500)


def _spoilt(view: np.ndarray, fault: str, t: int, fps: float) -> np.ndarray:
    if fault == "seam":
        return view + (4 if t // 4 % 2 else -4)
    if fault == "tint":
        return view + np.array([1.0, -0.42, -0.46]) * 0.5 * t / fps  # as bright as before
    if fault == "flickers":
        return view + (3 if t % 2 else -3)
    if fault == "fades":
        return 128 + (view - 128) * 0.5 ** (t / fps / 5)
    if fault == "day":
        return view * (1 + 0.03 * t / fps) * (1 + np.array([0.01, 0.0, -0.01]) * t / fps)
    if fault == "lamps":
        lit = np.linspace(1.0, 0.2, view.shape[1])[None, :, None]
        return view * (1 + 0.05 * _FLICKER[t % len(_FLICKER)] * lit)
    if fault == "cat":
        view, at = view.copy(), 3 * t % (view.shape[1] + 40) - 40
        view[60:100, max(0, at) : max(0, at + 40)] = (40, 36, 30)
        return view
    if fault == "melts":
        down = np.arange(view.shape[0]) + (1.5 * np.sin(np.arange(view.shape[0]) / 7) * t / fps).round().astype(int)
        return view[down.clip(0, view.shape[0] - 1)]
    if fault == "blurs" and t >= 5 * fps:
        planes = torch.from_numpy(view).permute(2, 0, 1)[None]
        return F.avg_pool2d(F.pad(planes, (2, 2, 2, 2), mode="replicate"), 5, 1)[0].permute(1, 2, 0).numpy()
    return view
