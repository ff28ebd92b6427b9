"""Claims about first frames and the way between pictures and tensors."""

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import PictureError
from engine.frames import to_signed, to_uint8
from engine.pictures import fit_picture


def ramp(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downwards, blue stays."""
    y, x = np.mgrid[0:height, 0:width]
    planes = (255 * x / (width - 1), 255 * y / (height - 1), np.full((height, width), 77.0))
    return np.stack(planes, axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("size", [(500, 500), (200, 900), (900, 200), (352, 640), (9, 16), (1, 1), (720, 1280)])
def test_any_picture_becomes_the_models_size(size):
    picture = np.full((*size, 3), 9, dtype=np.uint8)
    fitted = fit_picture(picture, 352, 640)
    assert fitted.shape == (352, 640, 3) and fitted.dtype == np.uint8 and (fitted == 9).all()


def test_a_picture_of_the_right_size_is_not_touched():
    picture = ramp(80, 144)
    fitted = fit_picture(picture, 80, 144)
    assert np.array_equal(fitted, picture) and not np.shares_memory(fitted, picture)


@pytest.mark.parametrize(
    "size", [(1080, 1920), (333, 500), (352, 641), (353, 640), (1001, 777), (120, 90), (512, 512), (7, 1000)]
)
@pytest.mark.parametrize("target", [(352, 640), (720, 1280)])
def test_a_picture_is_cropped_and_resized_to_the_bit_as_the_original_does(size, target):
    picture, (high, wide) = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8), target
    image = Image.fromarray(picture)  # and from here on what the original does to its Pillow image
    w, h = image.size
    new_w, new_h = (w, int(w * high / wide)) if h / w > high / wide else (int(h * wide / high), h)
    image = image.crop(((w - new_w) / 2, (h - new_h) / 2, (w + new_w) / 2, (h + new_h) / 2))
    expected = np.asarray(image.resize((wide, high), Image.Resampling.BILINEAR))
    assert np.array_equal(fit_picture(picture, high, wide), expected)


def test_fitting_twice_is_fitting_once():
    once = fit_picture(ramp(300, 333), 80, 144)
    assert np.array_equal(fit_picture(once, 80, 144), once)


def test_the_middle_is_kept_and_the_sides_are_cut():
    picture = np.zeros((100, 300, 3), dtype=np.uint8)
    picture[:, 100:200] = 255
    assert fit_picture(picture, 50, 50).min() == 255
    assert fit_picture(picture.transpose(1, 0, 2), 50, 50).min() == 255


def test_shrinking_keeps_the_ramp_and_its_direction():
    small = fit_picture(ramp(704, 1280), 352, 640)
    assert np.abs(small.astype(int) - ramp(352, 640)).max() <= 2


def test_shrinking_fine_stripes_gives_their_mean_not_a_pattern():
    stripes = np.zeros((400, 400, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    middle = fit_picture(stripes, 57, 57)[8:-8, 8:-8]
    assert np.abs(middle.astype(int) - 127).max() <= 4


def test_a_view_with_negative_strides_is_a_picture_too():
    flipped = ramp(60, 90)[::-1, ::-1]
    assert np.array_equal(fit_picture(flipped, 30, 45), fit_picture(flipped.copy(), 30, 45))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((10, 10), np.uint8), "shape"),
        (np.zeros((10, 10, 4), np.uint8), "shape"),
        (np.zeros((0, 10, 3), np.uint8), "shape"),
        (np.zeros((1, 10, 10, 3), np.uint8), "shape"),
        (np.zeros((10, 10, 3), np.float32), "type"),
        (np.zeros((10, 10, 3), np.int64), "type"),
        ([[1, 2, 3]], "no picture"),
        (None, "no picture"),
    ],
)
def test_anything_else_is_refused_in_one_line(bad, said):
    with pytest.raises(PictureError, match=said) as caught:
        fit_picture(bad, 80, 144)
    assert "\n" not in str(caught.value) and "uint8" in str(caught.value)


def test_all_256_levels_survive_the_way_to_tensors_and_back():
    frames = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    signed = to_signed(frames)
    assert signed.shape == (1, 1, 3, 16, 16) and signed.min() == -1 and signed.max() == 1
    assert np.array_equal(to_uint8(signed).numpy(), frames)
    assert torch.equal(to_signed(frames[0]), signed)


def test_values_beyond_the_range_are_clamped():
    assert to_uint8(torch.tensor([-3.0, 0.0, 3.0]).view(1, 1, 3, 1, 1)).flatten().tolist() == [0, 128, 255]
