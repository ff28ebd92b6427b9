"""What the simulated world's surfaces are made of: pictures of stone, brick, planks, books, tiles, leaves and windows.

Everything is painted texel by texel with whole-texel edges, so that a wall is crisp at any distance. A wall's picture
is (levels, n, 3) with row 0 at its top; what glows is painted into `Wall.glow`, and where a window or the air above a
balustrade lets one see the sky, `Wall.cover` is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
Array = np.ndarray


@dataclass
class Wall:
    """A wall while it is being painted: colour (levels, n, 3), glow (levels, n, 3) and cover (levels, n)."""

    colour: Array
    glow: Array
    cover: Array
    rng: np.random.Generator

    @classmethod
    def blank(cls, levels: int, n: int, seed: int) -> Wall:
        return cls(
            np.full((levels, n, 3), 0.5), np.zeros((levels, n, 3)), np.ones((levels, n)), np.random.default_rng(seed)
        )

    @property
    def width(self) -> int:
        return self.colour.shape[1]

    @property
    def levels(self) -> int:
        return self.colour.shape[0]

    def fill(self, top: int, bottom: int, left: int, right: int, colour: Colour | Array) -> None:
        """A rectangle of whole texels; parts outside the wall are left out."""
        left, right = max(0, left), min(self.width, right)
        if left < right and top < bottom:
            self.colour[max(0, top) : bottom, left:right] = colour

    def frame(self, top: int, bottom: int, left: int, right: int, colour: Colour, shade: float = 0.6) -> None:
        """A raised frame one texel wide: light above and left, dark below and right."""
        light, dark = np.minimum(np.array(colour) * 1.25, 1), np.array(colour) * shade
        self.fill(top, top + 1, left, right, light)
        self.fill(top, bottom, left, left + 1, light)
        self.fill(bottom - 1, bottom, left, right, dark)
        self.fill(top, bottom, right - 1, right, dark)


def blocks(
    wall: Wall,
    top: int,
    bottom: int,
    size: tuple[int, int],
    tone: Colour,
    joint: Colour,
    vary: float,
    start: int = 0,
    joint_width: int = 1,
    speckle: float = 0.03,
) -> None:
    """Courses of stone or brick from level `top` to `bottom`; size: (levels, columns) of one. start: of the pattern."""
    rng, tone_ = wall.rng, np.array(tone)
    high, wide = size
    for course, row in enumerate(range(top, bottom, high)):
        left = -((start + course * wide // 2 + 7 * (course % 3)) % wide) - wide
        low = min(row + high, bottom)
        while left < wall.width:
            length = wide
            shade = 1 + vary * rng.normal()
            tint = tone_ * shade + rng.normal(size=3) * vary * 0.18
            wall.fill(row, low, left, left + length, np.clip(tint, 0, 1))
            wall.fill(row, row + joint_width, left, left + length, np.clip(tint * 1.22, 0, 1))
            wall.fill(row + joint_width, low, left, left + 1, np.clip(tint * 1.12, 0, 1))
            wall.fill(low - 1 - joint_width, low - joint_width, left, left + length, np.clip(tint * 0.8, 0, 1))
            wall.fill(low - joint_width, low, left, left + length, joint)
            wall.fill(row, low, left + length - joint_width, left + length, joint)
            left += length
    part = wall.colour[top:bottom]
    part *= 1 + speckle * rng.normal(size=(*part.shape[:2], 1))


def planks(wall: Wall, top: int, bottom: int, wide: int, tone: Colour, vary: float = 0.1) -> None:
    """Upright boards with grain."""
    rng = wall.rng
    for left in range(0, wall.width, wide):
        tint = np.array(tone) * (1 + vary * rng.normal())
        wall.fill(top, bottom, left, left + wide, np.clip(tint, 0, 1))
        for _ in range(wide // 3):
            x = left + int(rng.integers(wide))
            begin = int(rng.integers(top, bottom))
            wall.fill(begin, min(bottom, begin + int(rng.integers(6, 30))), x, x + 1, np.clip(tint * 0.82, 0, 1))
        wall.fill(top, bottom, left, left + 1, np.clip(tint * 1.2, 0, 1))
        wall.fill(top, bottom, left + wide - 1, left + wide, np.clip(tint * 0.35, 0, 1))


def panels(wall: Wall, top: int, bottom: int, wide: int, tone: Colour) -> None:
    """A wainscot of framed panels."""
    wall.fill(top, bottom, 0, wall.width, tone)
    dark, light = tuple(np.array(tone) * 0.5), tuple(np.minimum(np.array(tone) * 1.35, 1))
    wall.fill(top, top + 1, 0, wall.width, light)
    wall.fill(top + 1, top + 3, 0, wall.width, tuple(np.array(tone) * 1.12))
    wall.fill(top + 3, top + 4, 0, wall.width, dark)
    for left in range(0, wall.width, wide):
        for inset, colour in ((3, dark), (4, light)):
            wall.fill(top + 4 + inset, bottom - inset - 2, left + inset, left + wide - inset, colour)
        wall.fill(top + 9, bottom - 7, left + 5, left + wide - 5, tuple(np.array(tone) * 0.92))
        wall.fill(top + 9, top + 10, left + 5, left + wide - 5, dark)
    wall.fill(bottom - 3, bottom, 0, wall.width, dark)


_BOOKS = (
    (0.62, 0.16, 0.14),
    (0.16, 0.30, 0.52),
    (0.18, 0.42, 0.26),
    (0.78, 0.62, 0.24),
    (0.42, 0.20, 0.40),
    (0.86, 0.80, 0.66),
    (0.34, 0.22, 0.14),
    (0.12, 0.14, 0.20),
    (0.80, 0.42, 0.18),
    (0.24, 0.50, 0.54),
)


def shelves(wall: Wall, top: int, bottom: int, left: int, right: int, wood: Colour, high: int = 15) -> None:
    """A bookcase."""
    rng, wood_ = wall.rng, np.array(wood)
    wall.fill(top, bottom, left, right, wood_ * 0.28)
    for shelf in range(top + 2, bottom - high // 2, high):
        floor = min(shelf + high - 2, bottom - 2)
        x = left + 2
        while x < right - 2:
            wide = int(rng.integers(2, 6))
            tall = int(rng.integers(high - 7, high - 2))
            if rng.random() < 0.06:
                x += int(rng.integers(2, 6))
                continue
            colour = np.array(_BOOKS[int(rng.integers(len(_BOOKS)))]) * rng.uniform(0.75, 1.2)
            end = min(x + wide, right - 2)
            wall.fill(max(floor - tall, shelf), floor, x, end, np.clip(colour, 0, 1))
            wall.fill(max(floor - tall, shelf), floor, end - 1, end, np.clip(colour * 0.55, 0, 1))
            if wide > 2:
                wall.fill(floor - tall + 2, floor - tall + 3, x, end - 1, (0.92, 0.80, 0.45))
                wall.fill(floor - 3, floor - 2, x, end - 1, np.clip(colour * 1.5, 0, 1))
            x += wide
        wall.fill(floor, floor + 1, left, right, np.clip(wood_ * 1.3, 0, 1))
        wall.fill(floor + 1, floor + 2, left, right, wood_ * 0.55)
    for edge in (left, right - 2):
        wall.fill(top, bottom, edge, edge + 2, wood_)
        wall.fill(top, bottom, edge, edge + 1, np.clip(wood_ * 1.3, 0, 1))
    wall.fill(top, top + 2, left, right, np.clip(wood_ * 1.2, 0, 1))
    wall.fill(bottom - 3, bottom, left, right, wood_ * 0.7)


def painting(wall: Wall, top: int, bottom: int, left: int, right: int) -> None:
    """A framed picture: a landscape, a portrait, a still life of shapes, or the sea."""
    gold: Colour = (0.80, 0.62, 0.26)
    wall.fill(top + 1, bottom + 2, left + 1, right + 2, (0.14, 0.10, 0.09))
    wall.fill(top, bottom, left, right, gold)
    wall.frame(top, bottom, left, right, gold)
    wall.frame(top + 2, bottom - 2, left + 2, right - 2, (0.5, 0.36, 0.14))
    begin, end = left + 3, right - 3
    high, wide = bottom - top - 6, end - begin
    if high < 4 or wide < 4 or begin < 0 or end > wall.width:
        return
    paint = (_sunset, _portrait, _shapes, _ship)[int(wall.rng.integers(4))]
    y, x = np.mgrid[0:high, 0:wide]
    wall.colour[top + 3 : bottom - 3, begin:end] = np.clip(paint(y, x, wall.rng), 0, 1)


def _sunset(y: Array, x: Array, rng: np.random.Generator) -> Array:
    """Hills under a sunset, (high, wide, 3)."""
    high, wide = y.shape
    share = (y / high)[..., None]
    picture = np.array([0.96, 0.72, 0.42]) * share + np.array([0.34, 0.46, 0.74]) * (1 - y / high)[..., None]
    sun = (x - wide * 0.68) ** 2 + (y - high * 0.42) ** 2 < (high * 0.13) ** 2
    picture[sun] = (1.0, 0.94, 0.70)
    for depth, colour in ((0.5, (0.42, 0.40, 0.54)), (0.64, (0.28, 0.38, 0.34)), (0.8, (0.16, 0.26, 0.16))):
        waves = 0.09 * np.sin(x[0] * (0.25 + depth * 0.2) + rng.uniform(0, 6)) + 0.04 * np.sin(x[0] * 0.9)
        picture[y > (high * (depth + waves))[None]] = colour
    return picture


def _portrait(y: Array, x: Array, rng: np.random.Generator) -> Array:
    high, wide = y.shape
    picture = np.ones((high, wide, 3)) * np.array((0.24, 0.18, 0.16)) * rng.uniform(0.8, 1.6)
    cx, cy = wide / 2, high * 0.38
    robe = np.array(_BOOKS[int(rng.integers(5))])
    picture[(y > high * 0.58) & (abs(x - cx) < wide * 0.2 + (y - high * 0.58) * 0.6)] = robe
    picture[(y > high * 0.60) & (abs(x - cx) < 2)] = np.minimum(robe * 1.7, 1)
    picture[((x - cx) / (wide * 0.19)) ** 2 + ((y - cy + 2) / (high * 0.24)) ** 2 < 1] = (0.20, 0.12, 0.08)
    picture[((x - cx) / (wide * 0.14)) ** 2 + ((y - cy) / (high * 0.2)) ** 2 < 1] = (0.90, 0.70, 0.56)
    for side in (-1, 1):
        picture[int(cy) - 1 : int(cy) + 1, int(cx + side * wide * 0.06)] = (0.10, 0.08, 0.12)
    return picture


def _shapes(y: Array, x: Array, rng: np.random.Generator) -> Array:
    high, wide = y.shape
    picture = np.ones((high, wide, 3)) * np.array((0.92, 0.88, 0.78))
    for _ in range(7):
        tint = np.clip(np.array(_BOOKS[int(rng.integers(len(_BOOKS)))]) * 1.2, 0, 1)
        a, c = int(rng.integers(high)), int(rng.integers(wide))
        picture[a : a + int(rng.integers(3, high // 2 + 3)), c : c + int(rng.integers(3, wide // 2 + 3))] = tint
    picture[abs(y - high * 0.5 - (x - wide / 2) * rng.uniform(-0.8, 0.8)) < 1] = (0.08, 0.08, 0.10)
    return picture


def _ship(y: Array, x: Array, rng: np.random.Generator) -> Array:
    """At sea, under two sails."""
    high, wide = y.shape
    picture = np.where((y < high * 0.58)[..., None], np.array((0.66, 0.82, 0.92)), np.array((0.14, 0.36, 0.52)))
    picture[(np.sin(x * 0.9 + y * 2.1) > 0.6) & (y > high * 0.6)] = (0.46, 0.68, 0.78)
    mast = int(wide * rng.uniform(0.3, 0.7))
    hull = (y > high * 0.52) & (y < high * 0.64) & (abs(x - mast) < wide * 0.16 - (y - high * 0.52) * 0.5)
    white = (y > high * 0.16) & (y < high * 0.5) & (x > mast) & (x - mast < (y - high * 0.16) * 0.7)
    red = (y > high * 0.24) & (y < high * 0.5) & (x < mast - 1) & (mast - x < (y - high * 0.24) * 0.6)
    for part, colour in ((hull, (0.32, 0.16, 0.10)), (white, (0.98, 0.96, 0.90)), (red, (0.88, 0.30, 0.22))):
        picture[part] = colour
    return picture


def window(
    wall: Wall,
    top: int,
    bottom: int,
    left: int,
    right: int,
    frame: Colour,
    panes: tuple[int, int],
    arch: bool = False,
    glass: Colour | None = None,
) -> None:
    """An opening to the sky in a frame, with bars; panes: (down, across). glass: coloured, and glowing at night."""
    wall.fill(top - 2, bottom + 3, left - 2, right + 2, tuple(np.array(frame) * 0.55))
    wall.fill(top - 2, bottom, left - 2, right + 2, frame)
    wall.frame(top - 2, bottom, left - 2, right + 2, frame)
    wall.fill(bottom, bottom + 2, left - 4, right + 4, tuple(np.minimum(np.array(frame) * 1.25, 1)))
    left_, right_ = max(0, left), min(wall.width, right)
    high, wide = bottom - top, right - left
    for y in range(top, bottom):
        for x in range(left_, right_):
            if arch:
                dy, dx = (wide / 2 - (y - top)), (x + 0.5 - left - wide / 2)
                if dy > 0 and dx * dx + dy * dy > (wide / 2) ** 2:
                    continue
            bar = ((y - top) * panes[0]) % high < panes[0] and y > top
            bar |= ((x - left) * panes[1]) % wide < panes[1] and x > left
            if bar:
                wall.colour[y, x] = np.array(frame) * 0.7
            elif glass is not None:
                cell = ((y - top) * panes[0] // high) * 7 + ((x - left) * panes[1] // wide) * 3
                hue = np.array(_GLASS[(cell + left) % len(_GLASS)])
                wall.colour[y, x] = hue
                wall.glow[y, x] = hue * 0.55
            else:
                wall.cover[y, x] = 0.0


_GLASS = (
    (0.86, 0.24, 0.30),
    (0.26, 0.46, 0.90),
    (0.96, 0.78, 0.26),
    (0.30, 0.72, 0.44),
    (0.72, 0.36, 0.80),
    (0.94, 0.54, 0.22),
)


def leaves(
    wall: Wall, top: int, bottom: int, tone: Colour, flowers: tuple[Colour, ...], density: float = 0.035
) -> None:
    """A hedge of small leaves, with flowers."""
    rng = wall.rng
    high = bottom - top
    wall.fill(top, bottom, 0, wall.width, np.array(tone) * 0.34)
    for _ in range(int(high * wall.width * 0.16)):
        y, x = int(rng.integers(top, bottom)), int(rng.integers(-2, wall.width))
        depth = rng.random()
        colour = np.array(tone) * (0.45 + 0.95 * depth) + np.array((0.10, 0.08, 0.0)) * rng.random() * depth
        wall.fill(y, min(bottom, y + 2), x, x + 3, np.clip(colour * 0.8, 0, 1))
        wall.fill(y, min(bottom, y + 1), x, x + 2, np.clip(colour * 1.25, 0, 1))
    for _ in range(int(high * wall.width * density * 0.2)):
        y, x = int(rng.integers(top + 2, bottom - 2)), int(rng.integers(wall.width))
        colour = np.array(flowers[int(rng.integers(len(flowers)))])
        wall.fill(y, y + 3, x + 1, x + 2, colour)
        wall.fill(y + 1, y + 2, x, x + 3, colour)
        wall.fill(y + 1, y + 2, x + 1, x + 2, (1.0, 0.92, 0.5))


def sconce(wall: Wall, x: int, y: int, flame: Colour = (1.0, 0.80, 0.42)) -> None:
    """A wall lamp: an iron bracket, a glass that glows by night."""
    wall.fill(y + 4, y + 12, x - 1, x + 1, (0.10, 0.09, 0.10))
    wall.fill(y + 10, y + 12, x - 4, x + 4, (0.16, 0.14, 0.14))
    wall.fill(y - 3, y + 5, x - 3, x + 3, flame)
    wall.fill(y - 1, y + 4, x - 1, x + 1, (1.0, 0.97, 0.85))
    wall.fill(y - 4, y - 3, x - 3, x + 3, (0.12, 0.10, 0.10))
    wall.fill(y + 4, y + 5, x - 4, x + 4, (0.12, 0.10, 0.10))
    left, right = max(0, x - 3), min(wall.width, x + 3)
    if left < right:
        wall.glow[y - 3 : y + 4, left:right] = np.array(flame)


_FONT = {
    "A": ("01110", "10001", "10001", "11111", "10001", "10001", "10001"),
    "B": ("11110", "10001", "11110", "10001", "10001", "10001", "11110"),
    "C": ("01111", "10000", "10000", "10000", "10000", "10000", "01111"),
    "D": ("11110", "10001", "10001", "10001", "10001", "10001", "11110"),
    "E": ("11111", "10000", "11110", "10000", "10000", "10000", "11111"),
    "F": ("11111", "10000", "11110", "10000", "10000", "10000", "10000"),
    "G": ("01111", "10000", "10000", "10011", "10001", "10001", "01111"),
    "H": ("10001", "10001", "11111", "10001", "10001", "10001", "10001"),
    "I": ("01110", "00100", "00100", "00100", "00100", "00100", "01110"),
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "N": ("10001", "11001", "10101", "10101", "10011", "10001", "10001"),
    "O": ("01110", "10001", "10001", "10001", "10001", "10001", "01110"),
    "P": ("11110", "10001", "10001", "11110", "10000", "10000", "10000"),
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
    "T": ("11111", "00100", "00100", "00100", "00100", "00100", "00100"),
    "W": ("10001", "10001", "10001", "10101", "10101", "11011", "10001"),
    "Y": ("10001", "01010", "00100", "00100", "00100", "00100", "00100"),
    "S": ("01111", "10000", "01110", "00001", "00001", "10001", "01110"),
}


def sign(
    wall: Wall, top: int, middle: int, text: str, board: Colour = (0.30, 0.18, 0.10), ink: Colour = (0.96, 0.86, 0.56)
) -> None:
    """A board with a word on it."""
    wide = len(text) * 6 + 7
    left = middle - wide // 2
    wall.fill(top + 1, top + 16, left + 1, left + wide + 1, (0.08, 0.06, 0.05))
    wall.fill(top, top + 15, left, left + wide, board)
    wall.frame(top, top + 15, left, left + wide, board, 0.4)
    for n, letter in enumerate(text):
        for row, bits in enumerate(_FONT[letter]):
            for column, bit in enumerate(bits):
                if bit == "1":
                    x = left + 4 + n * 6 + column
                    wall.fill(top + 4 + row, top + 5 + row, x, x + 1, ink)


def banner(wall: Wall, top: int, bottom: int, left: int, wide: int, cloth: Colour, mark: Colour) -> None:
    """A pointed cloth with a device on it."""
    for x in range(wide):
        point = bottom - abs(x - wide // 2)
        shade = 1 + 0.12 * np.sin(x * 0.9)
        wall.fill(top, point, left + x, left + x + 1, np.clip(np.array(cloth) * shade, 0, 1))
        wall.fill(point - 2, point, left + x, left + x + 1, mark)
    wall.fill(top - 1, top + 1, left - 2, left + wide + 2, (0.20, 0.14, 0.10))
    middle, centre = left + wide // 2, (top + bottom) // 2 - 3
    for r in range(5):
        wall.fill(centre - 5 + r, centre + 6 - r, middle - r, middle + r + 1, mark)
    wall.fill(centre - 1, centre + 2, middle - 1, middle + 2, cloth)


def pot(wall: Wall, middle: int, bottom: int, tone: Colour = (0.72, 0.36, 0.22)) -> None:
    """A plant in a pot, standing before the wall."""
    rng = wall.rng
    for row in range(14):
        half = 6 - row // 5
        wall.fill(
            bottom - 14 + row,
            bottom - 13 + row,
            middle - half,
            middle + half,
            np.array(tone) * (1.1 if row < 3 else 0.9),
        )
        wall.fill(bottom - 14 + row, bottom - 13 + row, middle + half - 2, middle + half, np.array(tone) * 0.6)
    for _ in range(26):
        angle, length = rng.uniform(-1.3, 1.3), rng.uniform(8, 26)
        green = np.array((0.22, 0.52, 0.20)) * rng.uniform(0.6, 1.4)
        for step in np.linspace(0, 1, 24):
            x = middle + np.sin(angle) * length * step
            y = bottom - 14 - np.cos(angle) * length * step + 9 * step * step * abs(angle)
            wall.fill(int(y), int(y) + 1, int(x), int(x) + 2, green)
