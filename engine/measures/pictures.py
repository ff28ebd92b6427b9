"""What single pictures are worth in numbers: likeness, sharpness, contrast, colour. All are (B, 3, H, W) in -1..1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STATED_SIZE = (112, 192)
"""Height and width that sharpness is stated at, so that models of different sizes can be compared."""

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (ITU-R BT.601)."""

_EDGE_SHARE, _PLAIN_SHARE = 0.04, 0.5
_STEEPEST_SHARE = 0.1
_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WORST_ERROR = 1e-6  # 60 dB: pictures this alike are the same


def psnrs(made: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture, dB, (B,), 0..60; 60 stands for equal pictures."""
    error = (made - true).square().mean((1, 2, 3)) / 4
    return -10 * error.clamp(min=_WORST_ERROR).log10()


def psnr(made: Tensor, true: Tensor) -> float:
    """Mean over pictures of the peak signal-to-noise ratio, dB (at most 60)."""
    return float(psnrs(made, true).mean())


def ssim(made: Tensor, true: Tensor) -> Tensor:
    """Structural similarity of each picture's brightness, (B,), -1..1; 1 for equal pictures.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004: Gaussian window of 11 pixels, sigma 1.5, the places where it fits.
    """
    a, b = grey(made)[:, None], grey(true)[:, None]
    x = torch.arange(_SSIM_WINDOW, dtype=a.dtype, device=a.device) - _SSIM_WINDOW // 2
    line = torch.exp(-x.square() / (2 * _SSIM_SIGMA**2))
    line = line / line.sum()

    def mean(values: Tensor) -> Tensor:
        across = F.conv2d(values, line[None, None, None])
        return F.conv2d(across, line[None, None, :, None])

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a.square(), mean(b * b) - mean_b.square()
    both = mean(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _SSIM_C1) * (2 * both + _SSIM_C2)
    return (likeness / ((mean_a.square() + mean_b.square() + _SSIM_C1) * (var_a + var_b + _SSIM_C2))).mean((1, 2, 3))


def grey(frames: Tensor) -> Tensor:
    """(B, 3, H, W) -> brightness (B, H, W) in grey levels, 0..255."""
    weights = torch.tensor(LUMA, device=frames.device)[:, None, None]
    return ((frames + 1) * 127.5 * weights).sum(1)


def sharpness(frames: Tensor) -> Tensor:
    """Strength of each picture's edges, in grey levels a pixel, (B,), 0..about 360.

    The mean slope of the steepest 4 % of its pixels less that of its plainer half: seams and noise, which are
    everywhere, do not count as sharp, while a world whose edges stand elsewhere is still compared fairly. Pictures are
    brought to 192x112 by area first, because a slope a pixel depends on the size of the picture.
    """
    level = grey(frames)
    if level.shape[-2:] != STATED_SIZE:
        level = F.interpolate(level[:, None], size=STATED_SIZE, mode="area")[:, 0]
    across, down = level[:, :-1].diff(dim=2), level[:, :, :-1].diff(dim=1)
    slope = torch.hypot(across, down).flatten(1).sort(dim=1, descending=True).values
    n = slope.shape[1]
    return slope[:, : int(n * _EDGE_SHARE)].mean(1) - slope[:, -int(n * _PLAIN_SHARE) :].mean(1)


def psnrs_within(made: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """As psnrs, of the pixels in a mask (B, H, W) alone, (B,); nan where there is none."""
    error = ((made - true).square().mean(1) * mask).sum((1, 2)) / mask.sum((1, 2)) / 4
    return -10 * error.clamp(min=_WORST_ERROR).log10()


def presence(made: Tensor, shown: Tensor, gone: Tensor) -> Tensor:
    """How much of something each picture shows, (B,): 1 if it is as `shown`, with it, and 0 as `gone`, without; nan
    where these are the same.

    The share of the way from the one to the other, measured along the difference of the two (a projection): what else
    is wrong with the picture does not count, and nothing counts where both are alike.
    """
    way = (shown - gone).flatten(1)
    return ((made - gone).flatten(1) * way).sum(1) / way.square().sum(1)


def sharpness_within(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean slope of the steepest tenth of the pixels in a mask (B, H, W), grey levels a pixel, (B,); nan where there is
    none. In the picture's own size: compare pictures of one size."""
    level = grey(frames)
    slope = torch.hypot(level[:, :-1].diff(dim=2), level[:, :, :-1].diff(dim=1))
    inside = mask[:, :-1, :-1].bool()
    count = (inside.sum((1, 2)) * _STEEPEST_SHARE).ceil().long()
    ranked = torch.where(inside, slope, -1.0).flatten(1).sort(dim=1, descending=True).values
    sums = ranked.cumsum(1).gather(1, (count - 1).clamp(min=0)[:, None])[:, 0]
    return torch.where(count > 0, sums / count, torch.nan)


def contrast(frames: Tensor) -> Tensor:
    """Standard deviation of each picture's brightness, grey levels, (B,), 0..127.5."""
    return grey(frames).flatten(1).std(dim=1)


def saturation(frames: Tensor) -> Tensor:
    """How much colours differ within each picture, levels, (B,), 0..about 180.

    Deviation of the two opponent colours red-green and yellow-blue about the picture's own mean, so a tint of the whole
    picture does not count: that is what `mean_colour` shows. Source: Hasler and Suesstrunk 2003, the part of their
    colourfulness that is about deviations.
    """
    red, green, blue = ((frames + 1) * 127.5).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue])
    return opponents.flatten(2).std(dim=2).square().sum(0).sqrt()


def mean_colour(frames: Tensor) -> Tensor:
    """Mean colour of each picture, levels 0..255, (B, 3)."""
    return ((frames + 1) * 127.5).mean((2, 3))
