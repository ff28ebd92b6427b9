"""Claims about the yardsticks: each tells what it should from what it should not."""

import math

import pytest
import torch
import torch.nn.functional as F

from engine.training.measure import contrast, flow, grey, mean_colour, psnr, sharpness


@pytest.fixture
def pictures() -> torch.Tensor:
    """Soft random pictures with a few hard edges, (4, 3, 40, 72) in -1..1."""
    generator = torch.Generator().manual_seed(0)
    soft = F.interpolate(torch.randn(4, 3, 6, 10, generator=generator), size=(40, 72), mode="bicubic")
    soft[:, :, 8:30, 20:50] += 0.8
    return (soft / 3).clamp(-1, 1)


def blurred(frames: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(F.pad(frames, (2, 2, 2, 2), mode="replicate"), 5, 1)


def test_psnr_is_that_of_the_textbook():
    a = torch.zeros(2, 3, 4, 4)
    assert psnr(a + 0.2, a) == pytest.approx(10 * math.log10(4 / 0.04), abs=1e-3)
    assert psnr(a, a) == pytest.approx(60)


def test_a_blurred_picture_is_less_sharp(pictures):
    assert (sharpness(blurred(pictures)) < 0.7 * sharpness(pictures)).all()


def test_noise_does_not_pass_for_sharpness(pictures):
    noisy = blurred(pictures) + 0.04 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    assert (sharpness(noisy) < 0.9 * sharpness(pictures)).all()


def test_contrast_of_half_the_range_is_half(pictures):
    assert torch.allclose(contrast(pictures / 2), contrast(pictures) / 2)


def test_grey_and_colour_are_in_levels():
    white = torch.ones(1, 3, 2, 2)
    assert torch.allclose(grey(white), torch.full((1, 2, 2), 255.0))
    assert torch.allclose(mean_colour(-white), torch.zeros(1, 3))


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-2, 0), (0, 2), (-1, -2)])
def test_flow_finds_a_shift(pictures, right, down):
    moved = torch.roll(pictures, (down, right), (2, 3))
    found, weight = flow(pictures, moved)
    mean = (found * weight[:, None]).sum((2, 3)) / weight.sum((1, 2))[:, None]
    assert torch.allclose(mean.mean(0), torch.tensor([float(right), float(down)]), atol=0.6)
