"""Key and mouse icons on pictures of any size."""

from __future__ import annotations

import numpy as np
import pytest

from engine.families import action_space
from game.media.icons import ACCENT, INK, PAPER, control_icons, draw_controls

SIZES = [(144, 80), (640, 352), (1280, 704)]
MODES = ["universal", "gta_drive", "templerun"]


def grey(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def accent_pixels(picture: np.ndarray) -> np.ndarray:
    """Where a picture has the accent's colour, roughly."""
    return (np.abs(picture.astype(int) - ACCENT).max(axis=-1) < 40).nonzero()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_icons_lie_inside_the_picture_beside_each_other_and_leave_its_middle_free(mode, width, height):
    space = action_space(mode)
    covered = np.zeros((height, width), int)
    icons = control_icons(width, height, space.keys, (0.1, -0.1), space)
    if space.has_mouse:
        disc, dot = icons[-2], icons.pop()
        assert disc.x <= dot.x and dot.x + dot.rgba.shape[1] <= disc.x + disc.rgba.shape[1]
        assert disc.y <= dot.y and dot.y + dot.rgba.shape[0] <= disc.y + disc.rgba.shape[0]
    for icon in icons:
        h, w = icon.rgba.shape[:2]
        assert icon.x >= 0 and icon.y >= 0 and icon.x + w <= width and icon.y + h <= height
        covered[icon.y : icon.y + h, icon.x : icon.x + w] += 1
    assert covered.max() == 1
    assert not covered[: height // 2].any() and not covered[:, width // 3 : width * 2 // 3].any()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_pressed_key_lights_up_and_no_other_does(width, height):
    space, frame = action_space("universal"), grey(width, height)
    idle = draw_controls(frame, (), None, space)
    assert not len(accent_pixels(idle)[0])
    seen = {}
    for key in space.keys:
        ys, xs = accent_pixels(draw_controls(frame, (key,), None, space))
        assert len(ys) >= 20
        seen[key] = (ys.mean(), xs.mean())
    assert seen["W"][0] < seen["S"][0] and seen["A"][1] < seen["S"][1] < seen["D"][1]


@pytest.mark.parametrize("colour", [ACCENT, INK, PAPER])
def test_keys_are_seen_on_walls_of_their_own_colours(colour):
    space, wall = action_space("universal"), np.full((320, 576, 3), colour, np.uint8)
    for keys in ((), ("W",)):
        drawn = draw_controls(wall, keys, None, space)
        x, y, cap = (lambda icon: (icon.x, icon.y, icon.rgba.shape[0]))(control_icons(576, 320, keys, None, space)[0])
        rim = drawn[y + cap // 2, [x, x + 1]].astype(int)
        assert np.abs(rim - colour).max() >= 20


def test_the_look_dot_goes_where_the_view_turns():
    space, frame = action_space("universal"), grey(640, 352)

    def dot(pitch: float, yaw: float) -> tuple[float, float]:
        ys, xs = accent_pixels(draw_controls(frame, (), (pitch, yaw), space))
        return ys.mean(), xs.mean()

    assert dot(0.1, 0.0)[0] < dot(-0.1, 0.0)[0], "+pitch looks up"
    assert dot(0.0, -0.1)[1] < dot(0.0, 0.1)[1], "+yaw turns right"
    assert dot(0.0, 0.05)[1] < dot(0.0, 0.1)[1], "further for a faster turn"
    assert len(accent_pixels(draw_controls(frame, (), (0.0, 0.001), space))[0]), "the least motion is seen"


def test_a_mode_without_mouse_has_no_look_disc():
    assert len(control_icons(640, 352, (), None, action_space("templerun"))) == 6
    assert len(control_icons(640, 352, (), None, action_space("universal"))) == 6, "four keys, disc and dot"


def test_looking_round_draws_small_patches_only():
    """Every new direction is drawn while somebody plays, and kept: a whole disc each took 15 ms and 70 MB at 1440."""
    space, most = action_space("universal"), 0
    for pitch in np.linspace(-0.1, 0.1, 17):
        for yaw in np.linspace(-0.1, 0.1, 17):
            *_, disc, dot = control_icons(2560, 1440, (), (float(pitch), float(yaw)), space)
            most = max(most, dot.rgba.nbytes)
    assert disc.rgba is control_icons(2560, 1440, (), None, space)[-2].rgba, "one disc for all"
    assert most < 0.4 * disc.rgba.nbytes


def test_the_frame_itself_is_left_as_it_is():
    frame = grey(144, 80)
    drawn = draw_controls(frame, ("W",), (0.0, 0.1), action_space("universal"))
    assert (frame == 128).all() and drawn.dtype == np.uint8 and drawn.shape == frame.shape
    assert (drawn[:40] == 128).all()


def test_a_read_only_frame_can_be_drawn_on_and_a_tiny_one_does_no_harm():
    frame = grey(144, 80)
    frame.flags.writeable = False
    draw_controls(frame, ("W",), None, action_space("universal"))
    assert draw_controls(grey(16, 9), ("W",), None, action_space("templerun")).shape == (9, 16, 3)
