"""Claims about the yardsticks: each tells what it should from what it should not."""

import math

import pytest
import torch
import torch.nn.functional as F

from engine.measures.motion import camera_motion, flow
from engine.measures.pictures import (
    contrast,
    grey,
    mean_colour,
    presence,
    psnr,
    psnrs,
    psnrs_within,
    saturation,
    sharpness,
    sharpness_within,
    ssim,
)


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


def test_a_larger_picture_of_the_same_is_as_sharp():
    generator = torch.Generator().manual_seed(0)
    soft = F.interpolate(torch.randn(2, 3, 9, 16, generator=generator) / 3, size=(112, 192), mode="bicubic").clamp(
        -1, 1
    )
    large = F.interpolate(soft, scale_factor=3, mode="nearest")
    assert torch.allclose(sharpness(large), sharpness(soft), rtol=1e-4)


def test_ssim_is_one_for_equals_and_falls_with_noise_but_hardly_with_light(pictures):
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(ssim(pictures, pictures), torch.ones(4))
    assert (ssim(pictures + 0.3 * noise, pictures) < ssim(pictures + 0.1 * noise, pictures)).all()
    assert (ssim(pictures + 0.02, pictures) > 0.98).all()


def test_a_tint_is_no_saturation_and_fading_is(pictures):
    tint = torch.tensor([0.1, 0.0, -0.1])[:, None, None]
    assert torch.allclose(saturation(pictures + tint), saturation(pictures), rtol=1e-4)
    assert torch.allclose(saturation(pictures / 2), saturation(pictures) / 2, rtol=1e-4)
    assert float(saturation(pictures[:, :1].expand(-1, 3, -1, -1)).max()) < 1e-3


def test_a_change_of_light_is_no_motion(pictures):
    seen = flow(pictures, pictures + 0.05)
    assert float((seen.moved * seen.weight[:, None]).abs().sum() / seen.weight.sum()) < 0.02
    assert float(seen.left.mean()) == pytest.approx(0.05 * 127.5, rel=0.1)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-2, 0), (0, 2), (-1, -2)])
def test_flow_finds_a_shift(pictures, right, down):
    moved = torch.roll(pictures, (down, right), (2, 3))
    seen = camera_motion(flow(pictures, moved))
    assert torch.allclose(seen.right.mean(), torch.tensor(float(right)), atol=0.6)
    assert torch.allclose(seen.down.mean(), torch.tensor(float(down)), atol=0.6)


def test_within_a_mask_nothing_else_counts(pictures):
    mask = torch.zeros(4, 40, 72, dtype=torch.bool)
    mask[:3, 10:20, 30:40] = True
    other = torch.where(mask[:, None], pictures, -pictures)
    assert psnrs_within(other, pictures, mask)[:3].tolist() == pytest.approx([60.0] * 3)
    assert psnrs_within(other, pictures, mask)[3].isnan()
    everywhere = torch.ones_like(mask)
    assert torch.allclose(psnrs_within(-pictures, pictures, everywhere), psnrs(-pictures, pictures))


def test_presence_is_the_share_that_is_shown_whatever_else_is_wrong(pictures):
    shown = pictures.clone()
    shown[:, :, 10:20, 30:40] += 0.5
    for share in (0.0, 0.4, 1.0):
        made = pictures + share * (shown - pictures)
        made[:, :, :5] = 1.0
        assert presence(made, shown, pictures).tolist() == pytest.approx([share] * 4, abs=1e-4)
    assert presence(pictures, pictures, pictures).isnan().all()


def test_sharpness_within_a_mask_is_that_of_its_steepest_tenth():
    frames = -torch.ones(2, 3, 20, 20)
    frames[0, :, :, 10:] = 1.0
    frames[1, :, :, 10:] = 0.0
    mask = torch.zeros(2, 20, 20, dtype=torch.bool)
    mask[:, 5:15, 5:15] = True
    assert sharpness_within(frames, mask).tolist() == pytest.approx([255.0, 127.5])
    mask[:, :, 8:12] = False
    assert sharpness_within(frames, mask).tolist() == [0.0, 0.0]
    assert sharpness_within(frames, torch.zeros_like(mask)).isnan().all()
