"""Key and mouse icons on a picture: one drawing for the window and the mp4, numpy only.

Shapes are distance fields (how far is a pixel from the outline), so they are smooth at 144x80 and at 4K alike. Icons
are small RGBA patches, made once per size and state and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from engine.actions import ActionSpace
from game.media.palette import ACCENT, INK, PAPER

_ROWS = {
    "W": (0, 1),
    "A": (1, 0),
    "S": (1, 1),
    "D": (1, 2),
    "Z": (2, 0),
    "C": (2, 2),
}  # key -> row, column, as on a keyboard
# Of keys that have no place of their own; what is not here is called by its name.
_SHORT = {
    "MOUSE_LEFT": "LMB", "MOUSE_RIGHT": "RMB", "MOUSE_MIDDLE": "MMB", "WHEEL_UP": "WHEEL+", "WHEEL_DOWN": "WHEEL-",
    "BACKSPACE": "BACK", "CAPSLOCK": "CAPS", "PAGEUP": "PGUP", "PAGEDOWN": "PGDN", "INSERT": "INS", "DELETE": "DEL",
}  # fmt: skip
_DOT_STEPS = 8  # places of the look dot from the middle to the rim: bounds the number of patches kept


@dataclass(frozen=True)
class Icon:
    """A patch to lay over a picture with its upper left corner at (x, y). rgba: (h, w, 4) uint8, straight alpha."""

    x: int
    y: int
    rgba: np.ndarray


PLACES = ("corners", "swapped", "left", "right")


def control_icons(
    width: int,
    height: int,
    keys: Sequence[str],
    mouse: tuple[float, float] | None,
    space: ActionSpace,
    *,
    times: float = 1.0,
    place: str = "corners",
) -> list[Icon]:
    """The icons for one video frame on a picture of `width` x `height`.

    keys: names held. mouse: (pitch, yaw), or None for a look at rest. Key caps stand at the lower left, the look disc
    (only where the model has a mouse) at the lower right; both grow with the picture's height. Keys other than those
    under a hand at rest stand in a row above these, while they are held. times: how much larger than usual. place: one
    of PLACES; "swapped" changes the corners, the others put both into one.
    """
    cap = max(9, round(0.078 * height * times))
    gap, margin = max(1, round(cap * 0.12)), max(2, round(0.04 * height))
    at_rest = [key.name for key in space.controls if key.name in _ROWS]
    rows, columns = (1 + max((_ROWS[key][axis] for key in at_rest), default=0) for axis in (0, 1))
    top = height - margin - rows * cap - (rows - 1) * gap
    size = 2 * cap + gap  # of the disc
    disc = size + 2 * gap if space.has_mouse else 0
    wide = columns * cap + (columns - 1) * gap
    left = {"corners": margin, "left": margin, "swapped": width - margin - wide, "right": width - margin - disc - wide}
    icons = []
    for key in at_rest:
        row, column = _ROWS[key]
        x, y = left[place] + column * (cap + gap), top + row * (cap + gap)
        icons.append(Icon(x, y, key_cap(key, cap, key in keys)))
    x = left[place]
    for key in (key for key in keys if key not in at_rest):
        patch = key_cap(_SHORT.get(key, key.replace("_", " ")), cap, True)
        if x + patch.shape[1] <= width - margin:
            icons.append(Icon(x, top - cap - gap, patch))
            x += patch.shape[1] + gap
    if space.has_mouse:
        far = width - margin - size
        x = {"corners": far, "right": far, "swapped": margin, "left": margin + wide + 2 * gap}[place]
        y = height - margin - size
        pitch, yaw = mouse or (0.0, 0.0)
        far_out = min(space.mouse_limit, space.mouse_step)
        lean = _look_dot(size, _step(yaw, far_out), _step(-pitch, far_out))
        icons += [Icon(x, y, _look_disc(size)), Icon(x + lean.x, y + lean.y, lean.rgba)]
    return [icon for icon in icons if icon.x >= 0 and icon.y >= 0]


def draw_controls(
    frame: np.ndarray, keys: Sequence[str], mouse: tuple[float, float] | None, space: ActionSpace
) -> np.ndarray:
    """A copy of a picture with the icons on it.

    frame: (H, W, 3) uint8 RGB, left as it is. keys: names held. mouse: (pitch, yaw) within +-mouse_limit, or None.
    """
    drawn = frame.copy()
    height, width = frame.shape[:2]
    for icon in control_icons(width, height, keys, mouse, space):
        patch = icon.rgba[: height - icon.y, : width - icon.x].astype(np.uint16)
        area = drawn[icon.y : icon.y + patch.shape[0], icon.x : icon.x + patch.shape[1]]
        alpha = patch[..., 3:]
        area[:] = (area * (255 - alpha) + patch[..., :3] * alpha + 127) // 255
    return drawn


def _step(value: float, limit: float) -> int:
    """`value` within +-limit as a whole number of dot steps; any motion at all is at least one."""
    steps = round(value / limit * _DOT_STEPS) if limit else 0
    if value and not steps:
        steps = 1 if value > 0 else -1
    return max(-_DOT_STEPS, min(_DOT_STEPS, steps))


@lru_cache(maxsize=64)
def rounded_panel(
    width: int, height: int, radius: float, colour: tuple[int, int, int] = INK, opacity: float = 0.72
) -> np.ndarray:
    """A plain panel with round corners, (height, width, 4) uint8 RGBA, in the icons' manner. Sizes in pixels."""
    x, y = _grid(width, height)
    layers = _Layers(width, height)
    layers.add(colour, opacity, -_rounded_box(x, y, width / 2 - 0.5, height / 2 - 0.5, min(radius, height / 2 - 0.5)))
    return layers.rgba()


# -- patches -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def key_cap(key: str, size: int, lit: bool) -> np.ndarray:
    """One key as (size, width, 4) uint8 RGBA, as wide as high if its name is a letter. lit: pressed."""
    step = 0.56 * size  # from a letter to the next
    width = size if len(key) == 1 else round(0.5 * size + step * len(key))
    x, y = _grid(width, size)
    edge = _rounded_box(x, y, width / 2 - 0.5, size / 2 - 0.5, max(1.5, 0.24 * size))
    layers = _Layers(width, size)
    layers.add(ACCENT if lit else INK, 0.94 if lit else 0.52, -edge)
    if not lit or size >= 16:  # a rim, to be seen on walls of the cap's own colour; a smaller cap would be all rim
        layers.add(INK if lit else PAPER, 0.34, max(0.5, 0.022 * size) - np.abs(edge + 0.5))
    weight = max(0.52, 0.052 * size)
    high, wide = round(0.27 * size) if size < 16 else 0.27 * size, 0.26 * size if len(key) == 1 else 0.19 * size
    places = (x - step * (i - (len(key) - 1) / 2) for i in range(len(key)))
    letters = [_letter_distance(one, place, y, wide, high) for one, place in zip(key, places, strict=True)]
    letter = np.minimum.reduce(letters)
    layers.add(INK if lit else PAPER, 0.95 if lit else 0.9, weight - letter)
    return layers.rgba()


@lru_cache(maxsize=16)
def _look_disc(size: int) -> np.ndarray:
    """The disc that the dot leans on, (size, size, 4) uint8 RGBA."""
    x, y = _grid(size, size)
    edge = np.hypot(x, y) - (size / 2 - 0.5)
    layers = _Layers(size, size)
    layers.add(INK, 0.5, -edge)
    layers.add(PAPER, 0.34, max(0.5, 0.012 * size) - np.abs(edge + 0.5))
    return layers.rgba()


@lru_cache(maxsize=512)
def _look_dot(size: int, across: int, down: int) -> Icon:
    """The dot that leans the way the view turns, and a trail from the middle to it: a patch no larger than they are.

    One is drawn for every new direction, while somebody plays: its place is that on the disc.
    """
    dot = max(1.6, 0.115 * size)
    reach = size / 2 - 0.5 - dot - max(1.0, 0.06 * size)
    far = max(1.0, np.hypot(across, down) / _DOT_STEPS)  # a diagonal at full speed stays inside the disc
    at_x, at_y = (reach * v / _DOT_STEPS / far for v in (across, down))
    left, top = (int(size / 2 + min(0.0, at) - dot - 1) for at in (at_x, at_y))
    width, height = (int(size / 2 + max(0.0, at) + dot + 2) - low for at, low in ((at_x, left), (at_y, top)))
    x, y = _grid(width, height)
    x, y = x + left + (width - size) / 2, y + top + (height - size) / 2  # from the disc's middle
    layers = _Layers(width, height)
    if across or down:
        layers.add(ACCENT, 0.5, 0.45 * dot - _segment(x, y, (0.0, 0.0), (at_x, at_y)))
        layers.add(ACCENT, 1.0, dot - np.hypot(x - at_x, y - at_y))
    else:
        layers.add(PAPER, 0.75, 0.8 * dot - np.hypot(x, y))
    return Icon(left, top, layers.rgba())


class _Layers:
    """Paints layer over layer and keeps straight alpha."""

    def __init__(self, width: int, height: int) -> None:
        self._rgb = np.zeros((height, width, 3))  # premultiplied
        self._alpha = np.zeros((height, width, 1))

    def add(self, colour: tuple[int, int, int], opacity: float, inside: np.ndarray) -> None:
        """inside: pixels from the outline, > 0 inside; half a pixel on either side is blended."""
        alpha = opacity * np.clip(inside + 0.5, 0.0, 1.0)[..., None]
        self._rgb = np.array(colour) * alpha + self._rgb * (1 - alpha)
        self._alpha = alpha + self._alpha * (1 - alpha)

    def rgba(self) -> np.ndarray:
        rgb = self._rgb / np.maximum(self._alpha, 1e-6)
        patch = np.concatenate([np.minimum(rgb, 255.0), 255.0 * self._alpha], axis=-1).round().astype(np.uint8)
        patch.flags.writeable = False  # it is shared by everyone who asks for it
        return patch


# -- shapes ------------------------------------------------------------------------------------------------------------


def _grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixels' middles, from the patch's middle."""
    return (np.arange(width) + 0.5 - width / 2)[None, :], (np.arange(height) + 0.5 - height / 2)[:, None]


def _rounded_box(x: np.ndarray, y: np.ndarray, half_x: float, half_y: float, radius: float) -> np.ndarray:
    """Distance to a box with round corners, < 0 inside."""
    dx, dy = np.abs(x) - (half_x - radius), np.abs(y) - (half_y - radius)
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0) - radius


def _segment(x: np.ndarray, y: np.ndarray, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """Distance to a line from start to end."""
    (ax, ay), (bx, by) = start, end
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / length, 0.0, 1.0) if length else 0.0
    return np.hypot(x - ax - along * dx, y - ay - along * dy)


def _arc(middle: tuple[float, float], radii: tuple[float, float], begin: float, end: float, parts: int = 10):
    """Points of an arc; degrees clockwise from the right, as y points down."""
    angles = np.radians(np.linspace(begin, end, parts))
    return [(middle[0] + radii[0] * np.cos(a), middle[1] + radii[1] * np.sin(a)) for a in angles]


# Letters as strokes in a box from (-1, -1), upper left, to (1, 1).
_STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "W": [[(-1.25, -1), (-0.62, 1), (0, -0.7), (0.62, 1), (1.25, -1)]],
    "A": [[(-0.95, 1), (0, -1), (0.95, 1)], [(-0.58, 0.32), (0.58, 0.32)]],
    "S": [_arc((0, -0.5), (0.75, 0.5), -35, -270) + _arc((0, 0.5), (0.8, 0.5), -90, 145)],
    "D": [[(-0.8, -1), (-0.8, 1), (-0.1, 1), *_arc((-0.1, 0), (0.95, 1), 90, -90), (-0.8, -1)]],
    "Z": [[(-0.8, -1), (0.8, -1), (-0.8, 1), (0.8, 1)]],
    "C": [_arc((0.08, 0), (0.9, 1), -48, -312, 16)],
    "B": [[(-0.8, 0), (-0.8, -1), (0, -1), *_arc((0, -0.5), (0.7, 0.5), -90, 90), (-0.8, 0), (-0.8, 1), (0, 1),
           *_arc((0, 0.5), (0.8, 0.5), 90, -90)]],
    "E": [[(0.8, -1), (-0.8, -1), (-0.8, 1), (0.8, 1)], [(-0.8, 0), (0.5, 0)]],
    "F": [[(0.8, -1), (-0.8, -1), (-0.8, 1)], [(-0.8, 0), (0.5, 0)]],
    "G": [[*_arc((0.05, 0), (0.9, 1), -48, -355, 16), (0.3, 0.1)]],
    "H": [[(-0.8, -1), (-0.8, 1)], [(0.8, -1), (0.8, 1)], [(-0.8, 0), (0.8, 0)]],
    "I": [[(0, -1), (0, 1)]],
    "J": [[(0.5, -1), (0.5, 0.4), *_arc((-0.05, 0.4), (0.55, 0.6), 0, 150)]],
    "K": [[(-0.8, -1), (-0.8, 1)], [(0.8, -1), (-0.8, 0.1)], [(-0.3, -0.25), (0.8, 1)]],
    "L": [[(-0.7, -1), (-0.7, 1), (0.8, 1)]],
    "M": [[(-1, 1), (-1, -1), (0, 0.5), (1, -1), (1, 1)]],
    "N": [[(-0.8, 1), (-0.8, -1), (0.8, 1), (0.8, -1)]],
    "O": [_arc((0, 0), (0.9, 1), 0, 360, 20)],
    "P": [[(-0.8, 1), (-0.8, -1), (0, -1), *_arc((0, -0.45), (0.8, 0.55), -90, 90), (-0.8, 0.1)]],
    "Q": [_arc((0, 0), (0.9, 1), 0, 360, 20), [(0.3, 0.4), (1, 1.1)]],
    "R": [[(-0.8, 1), (-0.8, -1), (0, -1), *_arc((0, -0.45), (0.8, 0.55), -90, 90), (-0.8, 0.1)],
          [(0, 0.1), (0.85, 1)]],
    "T": [[(-0.9, -1), (0.9, -1)], [(0, -1), (0, 1)]],
    "U": [[(-0.8, -1), (-0.8, 0.2), *_arc((0, 0.2), (0.8, 0.8), 180, 0), (0.8, -1)]],
    "V": [[(-0.9, -1), (0, 1), (0.9, -1)]],
    "X": [[(-0.85, -1), (0.85, 1)], [(0.85, -1), (-0.85, 1)]],
    "Y": [[(-0.85, -1), (0, 0), (0.85, -1)], [(0, 0), (0, 1)]],
    "0": [_arc((0, 0), (0.75, 1), 0, 360, 20)],
    "1": [[(-0.4, -0.6), (0.1, -1), (0.1, 1)]],
    "2": [[*_arc((0, -0.45), (0.75, 0.55), 190, 380), (-0.8, 1), (0.8, 1)]],
    "3": [_arc((0, -0.5), (0.7, 0.5), 200, 450), _arc((0, 0.5), (0.75, 0.5), -90, 160)],
    "4": [[(0.3, 1), (0.3, -1), (-0.85, 0.4), (0.85, 0.4)]],
    "5": [[(0.7, -1), (-0.6, -1), (-0.7, -0.1), *_arc((-0.05, 0.35), (0.75, 0.65), 220, 500)]],
    "6": [_arc((0, 0.35), (0.75, 0.65), 0, 360, 20), [(0.4, -1), (-0.72, 0.2)]],
    "7": [[(-0.8, -1), (0.8, -1), (-0.2, 1)]],
    "8": [_arc((0, -0.5), (0.65, 0.5), 0, 360, 16), _arc((0, 0.5), (0.75, 0.5), 0, 360, 16)],
    "9": [_arc((0, -0.35), (0.75, 0.65), 0, 360, 20), [(0.72, -0.2), (-0.3, 1)]],
    "+": [[(-0.7, 0), (0.7, 0)], [(0, -0.7), (0, 0.7)]],
    "-": [[(-0.7, 0), (0.7, 0)]],
    " ": [],
}  # fmt: skip


def _letter_distance(key: str, x: np.ndarray, y: np.ndarray, half_x: float, half_y: float) -> np.ndarray:
    """Distance to a letter's strokes. half_x, half_y: half the letter's size in pixels."""
    distance = np.full((y.shape[0], x.shape[1]), np.inf)
    for stroke in _STROKES.get(key, []):
        points = [(px * half_x * 0.92, py * half_y) for px, py in stroke]
        for start, end in pairwise(points):
            distance = np.minimum(distance, _segment(x, y, start, end))
    return distance
