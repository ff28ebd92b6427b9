"""Upright textured cards in a picture of surfaces: what stands or moves about in a place.

A card is a segment in plan with a texture on it, between two heights: a door, or a figure whose card always faces the
eye. It is drawn into a finished picture of `engine.nets.surfaces.draw`: column by column of the picture where a ray
meets the segment before it meets a wall, so it passes behind pillars and comes out again. Every pixel is the mean of
the texels that it shows, exact at any distance: an edge of the texture or of the card is never wider than two pixels.
Cards among each other hide by depth, column by column. Texels have the layout of `surfaces`: day RGB and lamp RGB, both
times the cover, the cover, unused; row 0 is the top, column 0 lies at the card's first end.

Work is done for cards in view alone; on a device that the host would have to wait for, for all, in fixed shapes.
Gradients reach the texels, and the places of cards as well. Knows no learning and no simulator; both draw with it.
Lengths are in cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.surfaces import CHANNELS, Eyes, Light, Picture

_NEAR = 0.05
_CHANNELS_SEEN = 4  # RGB and cover


@dataclass(frozen=True)
class Cards:
    """K cards for each of B eyes.

    Attributes:
        ends: (B, K, 4) x, y of the first end (texture's left) and of the second.
        base, top: (B, K) heights above the ground.
        texture: (B, K) int64, number in the atlas. present: (B, K) bool, which of them there are.
    """

    ends: Tensor
    base: Tensor
    top: Tensor
    texture: Tensor
    present: Tensor

    @staticmethod
    def joined(parts: list[Cards]) -> Cards:
        """The cards of all parts, side by side."""
        names = ("ends", "base", "top", "texture", "present")
        return Cards(*(torch.cat([getattr(part, name) for part in parts], 1) for name in names))


class Atlas:
    """Textures of one size, with what drawing needs of them.

    Args:
        texels: (N, h, w, 8) float 0..1; gradients go back to it where it requires any.
    """

    def __init__(self, texels: Tensor) -> None:
        if texels.ndim != 4 or texels.shape[-1] != CHANNELS:
            raise ValueError(f"an atlas is (N, h, w, {CHANNELS}), not {tuple(texels.shape)}")
        self.rows, self.columns = texels.shape[1], texels.shape[2]
        # of every row of texels, the sum of the first n: (N, w + 1, h, 8)
        self.sums = F.pad(texels.float().transpose(1, 2).cumsum(1), (0, 0, 0, 0, 1, 0))

    def __len__(self) -> int:
        return len(self.sums)


def facing(x: Tensor, y: Tensor, width: Tensor, eyes: Eyes) -> Tensor:
    """Ends (B, K, 4) of cards so wide that stand at x, y (B, K) and face the eyes, their left to the viewer's left."""
    return reaching(x, y, -width / 2, width / 2, eyes)


def reaching(x: Tensor, y: Tensor, left: Tensor, right: Tensor, eyes: Eyes) -> Tensor:
    """As `facing`, of cards that reach from `left` to `right` of where they stand, cells to the viewer's right."""
    away_x, away_y = x - eyes[0][:, None], y - eyes[1][:, None]
    distance = torch.hypot(away_x, away_y).clamp(min=1e-3)
    right_x, right_y = -away_y / distance, away_x / distance
    return torch.stack((x + left * right_x, y + left * right_y, x + right * right_x, y + right * right_y), -1)


def side_seen(x: Tensor, y: Tensor, heading: Tensor, eyes: Eyes, views: int = 8) -> Tensor:
    """Which of `views` sides of figures (B, K) the eyes see: 0 its front (it looks at the eye), then, turning it to its
    right (headings grow), on round; views / 2 is its back. (B, K) int64."""
    towards = torch.atan2(eyes[1][:, None] - y, eyes[0][:, None] - x)
    return ((heading - towards) * (views / (2 * math.pi))).round().long() % views


def draw_cards(picture: Picture, cards: Cards, atlas: Atlas, eyes: Eyes, camera: Camera, light: Light) -> Picture:
    """The picture with cards in it, by that light; its `nearness` tells of them where they cover more than half."""
    fixed = _in_fixed_shapes(picture.frames.device)
    width, many = camera.width, cards.present.shape[1]
    rim = width / 2 / camera.focal
    cos, sin = eyes[2].cos(), eyes[2].sin()
    turn = torch.stack((cos, -sin, sin, cos), -1).view(-1, 2, 2)
    eye = torch.stack((eyes[0], eyes[1]), -1)[:, None]
    ends = ((cards.ends.view(len(eye), -1, 2) - eye) @ turn).view(-1, 2, 2)  # (B K, ends, depth and right of it)
    deep, aside = ends.unbind(-1)
    outside = ((aside - rim * deep).amin(1) > 0) | ((aside + rim * deep).amax(1) < 0) | (deep.amax(1) < _NEAR)
    there = cards.present.flatten() & ~outside
    chosen = torch.arange(len(there), device=there.device) if fixed else there.nonzero()[:, 0]
    if not len(chosen):
        return picture

    def take(values: Tensor) -> Tensor:
        return values.flatten().index_select(0, chosen)[:, None]

    # -- where the borders of the picture's columns meet the cards, (M, W + 1)
    who = chosen // many
    borders = (torch.arange(width + 1, device=chosen.device) - width / 2) / camera.focal
    z0, z1, x0, x1 = (take(part) for part in (*deep.unbind(1), *aside.unbind(1)))
    along, depth, share = _met(z0, z1, x0, x1, borders)
    share = share * camera.focal  # of a column's width, (M, W)
    wall = picture.nearness.amin(1)  # at the horizon there is neither floor nor ceiling
    shown = (share > 1e-4) & (depth * wall.index_select(0, who) < 1) & take(there)
    # -- the columns of the picture that show a card: numbers in (M, W)
    column = torch.arange(shown.numel(), device=chosen.device) if fixed else shown.flatten().nonzero()[:, 0]
    if not len(column):
        return picture
    card, at = column // width, column % width
    depth, share = ((part.flatten().index_select(0, column)) for part in (depth, share * shown))
    who_, base, top = (part.flatten().index_select(0, card) for part in (who, take(cards.base), take(cards.top)))
    scale = camera.focal / depth
    foot = camera.horizon(eyes[3]).index_select(0, who_) + (camera.config.eye_height - base) * scale
    high = ((top - base) * scale).clamp(min=1e-3)
    window = _Window(0, camera.height, 0, width)
    if not fixed:
        first_row = min(max(0, int((foot - high).min())), camera.height - 1)  # a card may be above or below the picture
        last_row = max(first_row, min(camera.height - 1, int(foot.max())))
        window = _Window(first_row, last_row + 1, int(at.min()), int(at.max()) + 1)
    strips, wide = _strips(atlas, take(cards.texture)[:, 0], _gains(light, who), card, along, at)
    layer = _rows(strips, foot, high, window) * (share / wide * high / atlas.rows)[:, None, None]
    return _laid_over(picture, layer, 1 / depth, who_, at, many if fixed else 0, window)


def _met(z0: Tensor, z1: Tensor, x0: Tensor, x1: Tensor, borders: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the borders (W + 1) of columns, tangents of their angles, meet cards (M, 1) whose ends are so deep and so
    far to the right: where along the card, (M, W + 1); between two, how deep, and how much of it is covered, (M, W)."""
    dz, dx = z1 - z0, x1 - x0
    cut = (_NEAR - z0) / torch.where(dz.abs() < 1e-6, 1e-6, dz)  # where along the card it gets too near
    begin, end = torch.where(z0 < _NEAR, cut, 0.0), torch.where(z1 < _NEAR, cut, 1.0)
    first = (x0 + begin * dx) / (z0 + begin * dz).clamp(min=_NEAR)
    last = (x0 + end * dx) / (z0 + end * dz).clamp(min=_NEAR)
    seen = torch.minimum(torch.maximum(borders, torch.minimum(first, last)), torch.maximum(first, last))
    across = dx - seen * dz
    along = ((seen * z0 - x0) / torch.where(across.abs() < 1e-6, 1e-6, across)).clamp(0, 1)
    return along, (z0 + (along[:, 1:] + along[:, :-1]) / 2 * dz).clamp(min=_NEAR), seen.diff(dim=1)


def draw_alone(
    cards: Cards, atlas: Atlas, eyes: Eyes, camera: Camera, light: Light, corner: Tensor, size: tuple[int, int]
) -> Tensor:
    """One card for each of B eyes, with nothing behind it: colours times the cover, and the cover, (B, 4, *size), in
    the part of its picture that begins at `corner` (B, 2), row and column. Gradients reach texels and places."""
    rows, columns = size
    cos, sin = eyes[2].cos(), eyes[2].sin()
    turn = torch.stack((cos, -sin, sin, cos), -1).view(-1, 2, 2)
    ends = (cards.ends.view(-1, 2, 2) - torch.stack((eyes[0], eyes[1]), -1)[:, None]) @ turn
    deep, aside = ends.unbind(-1)
    who = torch.arange(len(deep), device=deep.device)
    borders = (corner[:, 1:] + torch.arange(columns + 1, device=deep.device) - camera.width / 2) / camera.focal
    along, depth, share = _met(deep[:, :1], deep[:, 1:], aside[:, :1], aside[:, 1:], borders)
    card, at = who.repeat_interleave(columns), torch.arange(columns, device=deep.device).repeat(len(who))
    depth, share = depth.flatten(), share.flatten() * camera.focal
    base, top = (part.flatten().index_select(0, card) for part in (cards.base, cards.top))
    scale = camera.focal / depth
    horizon = (camera.horizon(eyes[3]) - corner[:, 0]).index_select(0, card)
    foot, high = horizon + (camera.config.eye_height - base) * scale, ((top - base) * scale).clamp(min=1e-3)
    strips, wide = _strips(atlas, cards.texture.flatten(), _gains(light, who), card, along, at)
    layer = _rows(strips, foot, high, _Window(0, rows, 0, columns)) * (share / wide * high / atlas.rows)[:, None, None]
    return layer.view(len(who), columns, rows, _CHANNELS_SEEN).permute(0, 3, 2, 1)


@dataclass(frozen=True)
class _Window:
    """Rows and columns of the picture that are drawn into."""

    top: int
    bottom: int
    left: int
    right: int


def _in_fixed_shapes(device: torch.device) -> bool:
    """Whether to draw all cards, because the host would have to wait to hear which are in view."""
    return device.type != "cpu"


def _gains(light: Light, who: Tensor) -> Tensor:
    """What turns a texel's eight numbers into RGB and cover: (M, 8, 4), or (8, 4) for a single eye."""
    count = len(light.day)
    gains = light.day.new_zeros(count, CHANNELS, _CHANNELS_SEEN)
    three = torch.arange(3, device=who.device)
    gains[:, three, three] = light.day
    gains[:, 3 + three, three] = light.lamp
    gains[:, 6, 3] = 1
    return gains[0] if count == 1 else gains.index_select(0, who)


def _strips(
    atlas: Atlas, texture: Tensor, gains: Tensor, card: Tensor, along: Tensor, at: Tensor
) -> tuple[Tensor, Tensor]:
    """What columns `at` (Q,) of the picture show of cards (Q,), row by row of the texture, summed up along it:
    (Q, h, 4), and over how many texels, (Q,)."""
    rows, columns = atlas.rows, atlas.columns
    lit = (atlas.sums.index_select(0, texture).flatten(1, 2) @ gains).view(-1, rows, _CHANNELS_SEEN)
    number = card * along.shape[1] + at
    place = along.flatten().index_select(0, torch.cat((number, number + 1))) * columns
    whole = place.detach().floor().clamp(max=columns - 1)
    index = card.repeat(2) * (columns + 1) + whole.long()
    share = (place - whole)[:, None, None]
    low, high = torch.lerp(lit.index_select(0, index), lit.index_select(0, index + 1), share).chunk(2)
    wide = place[len(number) :] - place[: len(number)]
    return high - low, torch.where(wide.abs() < 1e-4, 1e-4, wide)


def _rows(strips: Tensor, foot: Tensor, high: Tensor, window: _Window) -> Tensor:
    """Strips (Q, h, 4) summed up over the rows of the picture, (Q, rows, 4); foot: the row that their last texel
    stands on, high: rows that they take up, (Q,)."""
    count, rows, _ = strips.shape
    rim = torch.arange(window.top, window.bottom + 1, device=strips.device, dtype=strips.dtype)
    level = ((rim - (foot - high)[:, None]) / high[:, None]).clamp(0, 1) * rows
    below = level.detach().floor().clamp(max=rows - 1)
    sums = F.pad(strips.cumsum(1), (0, 0, 1, 0)).view(-1, _CHANNELS_SEEN)
    index = (torch.arange(count, device=level.device)[:, None] * (rows + 1) + below.long()).flatten()
    reached = torch.lerp(sums.index_select(0, index), sums.index_select(0, index + 1), (level - below).view(-1, 1))
    return reached.view(count, -1, _CHANNELS_SEEN).diff(dim=1)


def _laid_over(
    picture: Picture, layer: Tensor, near: Tensor, who: Tensor, at: Tensor, many: int, window: _Window
) -> Picture:
    """Columns (Q, rows, 4) of cards over a picture, the farthest first; many: cards of each eye if `layer` has them all
    in order, 0 if it has some."""
    batch, wide = len(picture.frames), window.right - window.left
    canvas = layer.new_zeros(batch * wide, *layer.shape[1:])
    close = near.new_zeros(batch * wide, layer.shape[1])
    place = who * wide + at - window.left
    for chosen in _far_to_near(near, place, wide, many):
        column, here = layer.index_select(0, chosen), place.index_select(0, chosen)
        cover = column[..., 3:]
        canvas = canvas.index_copy(0, here, torch.addcmul(column, canvas.index_select(0, here), 1 - cover))
        nearer = torch.where(cover[..., 0] > 0.5, near.index_select(0, chosen)[:, None], close.index_select(0, here))
        close = close.index_copy(0, here, nearer)
    rows, columns = slice(window.top, window.bottom), slice(window.left, window.right)
    canvas = canvas.view(batch, wide, -1, _CHANNELS_SEEN).permute(0, 3, 2, 1)  # (B, 4, rows, columns)
    close = close.view(batch, wide, -1).transpose(1, 2)
    frames, nearness = picture.frames.clone(), picture.nearness.clone()
    behind = picture.frames[:, :, rows, columns]
    frames[:, :, rows, columns] = torch.addcmul(canvas[:, :3], behind, 1 - canvas[:, 3:])
    nearness[:, rows, columns] = torch.maximum(picture.nearness[:, rows, columns], close)
    return Picture(frames, nearness)


def _far_to_near(near: Tensor, place: Tensor, width: int, many: int) -> list[Tensor]:
    """Numbers of columns in rounds, such that a round has no place twice and what is farther comes first."""
    near = near.detach()
    if many:
        order = near.view(-1, many, width).argsort(1)  # (B, K, W)
        eye = torch.arange(len(order), device=order.device)[:, None] * (many * width)
        rounds = (eye + order[:, n] * width + torch.arange(width, device=order.device) for n in range(many))
        return [part.flatten() for part in rounds]
    order = near.argsort(stable=True)
    order = order[place[order].argsort(stable=True)]  # by place, and there by nearness
    starts = torch.cat((order.new_ones(1), place[order].diff())) != 0
    number = torch.arange(len(order))
    rank = number - torch.where(starts, number, 0).cummax(0).values
    return [order[rank == n] for n in range(int(rank.max()) + 1)]
