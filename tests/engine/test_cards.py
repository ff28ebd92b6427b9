"""Claims about cards in a picture, on answers that can be worked out by hand."""

import math

import pytest
import torch

from engine.config.memory import CameraConfig
from engine.nets import cards as module
from engine.nets.camera import Camera
from engine.nets.cards import Atlas, Cards, draw_alone, draw_cards, facing, reaching, side_seen
from engine.nets.surfaces import Light, Picture

CAMERA = Camera(CameraConfig(fov_x=90.0), 128, 72)  # the focal length is 64 pixels
EYE = CAMERA.config.eye_height
WALL = 8.0
HIDES = 0.9


def eyes(x: float = 0.0, y: float = 0.0, yaw: float = 0.0, pitch: float = 0.0, batch: int = 1):
    return tuple(torch.tensor([value] * batch) for value in (x, y, yaw, pitch))


def empty(batch: int = 1, wall: float = WALL) -> Picture:
    """Half grey everywhere, as far away as `wall`; as the ground comes nearer, below."""
    down = (CAMERA.rows - CAMERA.height / 2).abs() / (EYE * CAMERA.focal)
    near = torch.maximum(torch.tensor(1 / wall), down)[None, :, None].expand(batch, -1, CAMERA.width)
    return Picture(torch.full((batch, 3, CAMERA.height, CAMERA.width), 0.5), near.clone())


def light(day: float = 1.0, lamp: float = 0.0, batch: int = 1) -> Light:
    one = torch.ones(batch, 3)
    return Light(day * one, lamp * one, one, one)


def plain(*colours: tuple[float, float, float], cover: float = 1.0) -> torch.Tensor:
    """Textures (N, 16, 12, 8) of one colour each, by day."""
    texels = torch.zeros(len(colours), 16, 12, 8)
    texels[..., :3] = torch.tensor(colours)[:, None, None] * cover
    texels[..., 6] = cover
    return texels


RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def cards(*ends: tuple[float, float, float, float], texture=None, base: float = 0.0, top: float = 1.0) -> Cards:
    many = len(ends)
    return Cards(
        torch.tensor([ends]),
        torch.full((1, many), base),
        torch.full((1, many), top),
        torch.tensor([texture or [0] * many]),
        torch.ones(1, many, dtype=torch.bool),
    )


def drawn(some: Cards, texels: torch.Tensor, at=None, onto: Picture | None = None, by: Light | None = None) -> Picture:
    return draw_cards(onto or empty(), some, Atlas(texels), at or eyes(), CAMERA, by or light())


def test_a_card_covers_the_pixels_that_its_size_and_distance_say():
    """Two cells away, 1 wide and from 0.25 to 0.75 high: 32 columns about the middle, 16 rows about the horizon."""
    made = drawn(cards((2.0, -0.5, 2.0, 0.5), base=0.25, top=0.75), plain(RED))
    hit = torch.zeros(72, 128, dtype=torch.bool)
    hit[28:44, 48:80] = True
    assert torch.allclose(made.frames[0, 0][hit], torch.tensor(1.0), atol=1e-4)
    assert torch.allclose(made.frames[0, 1][hit], torch.tensor(0.0), atol=1e-4)
    assert torch.equal(made.frames[0, 0][~hit], torch.full((int((~hit).sum()),), 0.5))
    assert torch.allclose(made.nearness[0][hit], torch.tensor(0.5))
    assert torch.equal(made.nearness[0][~hit], empty().nearness[0][~hit])


def test_pixels_that_a_card_covers_in_part_are_mixed_by_that_part():
    """Its right end is a quarter of a pixel into column 80, its upper one half a pixel into row 27."""
    made = drawn(cards((2.0, -0.5, 2.0, 0.5 + 0.25 / 32), base=0.25, top=0.75 + 0.5 / 32), plain(RED))
    assert made.frames[0, 0, 36, 80].item() == pytest.approx(0.25 + 0.75 * 0.5, abs=1e-3)
    assert made.frames[0, 0, 27, 60].item() == pytest.approx(0.5 + 0.5 * 0.5, abs=1e-3)


def test_what_stands_behind_a_wall_is_not_seen_and_comes_out_beside_it():
    behind = drawn(cards((9.0, -1.0, 9.0, 1.0)), plain(RED))
    assert torch.equal(behind.frames, empty().frames)
    pillar = empty()
    pillar.nearness[:, :, 40:60] = torch.maximum(pillar.nearness[:, :, 40:60], torch.tensor(1.0))
    made = drawn(cards((2.0, -1.0, 2.0, 1.0)), plain(RED), onto=pillar)
    row = made.frames[0, 0, 36]
    assert (row[32:40] > HIDES).all() and (row[60:96] > HIDES).all()
    assert torch.equal(row[40:60], torch.full((20,), 0.5))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_card_hides_the_farther_in_whatever_order_they_come(order):
    ends = [(2.0, -0.5, 2.0, 0.5), (3.0, -1.5, 3.0, 1.5)]
    made = drawn(cards(*(ends[n] for n in order), texture=[*order]), plain(RED, GREEN))
    row = made.frames[0, :, 36]
    assert torch.allclose(row[:, 48:80], torch.tensor(RED)[:, None], atol=1e-4)
    assert torch.allclose(row[:, 34:46], torch.tensor(GREEN)[:, None], atol=1e-4)
    assert torch.allclose(row[:, 82:94], torch.tensor(GREEN)[:, None], atol=1e-4)


def test_cards_that_cross_hide_each_other_column_by_column():
    made = drawn(cards((2.0, -1.0, 4.0, 1.0), (4.0, -1.0, 2.0, 1.0), texture=[0, 1]), plain(RED, GREEN))
    row = made.frames[0, :, 36]
    assert torch.allclose(row[:, 50], torch.tensor(RED), atol=1e-4)
    assert torch.allclose(row[:, 77], torch.tensor(GREEN), atol=1e-4)


def test_what_covers_half_shows_half_of_what_is_behind():
    texels = torch.cat((plain(RED, cover=0.5), plain(GREEN)))
    made = drawn(cards((2.0, -0.5, 2.0, 0.5), (3.0, -1.5, 3.0, 1.5), texture=[0, 1]), texels)
    assert torch.allclose(made.frames[0, :, 36, 64], torch.tensor((0.5, 0.5, 0.0)), atol=1e-4)


def test_texels_stand_upright_and_from_left_to_right_and_are_mirrored_from_behind():
    texels = plain((0.0, 0.0, 0.0))
    texels[0, :8, :, 0], texels[0, :, :6, 1] = 1.0, 1.0  # red above, green at the first end
    ends = (2.0, -0.5, 2.0, 0.5)
    front = drawn(cards(ends), texels).frames[0]
    behind = drawn(cards(ends), texels, at=eyes(4.0, yaw=math.pi)).frames[0]
    assert front[0, 30, 64] > HIDES and front[0, 42, 64] < 0.1
    assert front[1, 36, 54] > HIDES and front[1, 36, 74] < 0.1
    assert behind[1, 36, 54] < 0.1 and behind[1, 36, 74] > HIDES


@pytest.mark.parametrize("turned", [0.0, 0.9])
@pytest.mark.parametrize("upright", [True, False])
def test_an_edge_takes_two_pixels_at_most_however_near_or_slanted(turned, upright):
    texels = plain((0.0, 0.0, 0.0))
    stripes = texels[0].transpose(0, 1) if upright else texels[0]
    stripes[::2, :, :3] = 1.0
    half_x, half_y = 0.2 * math.sin(turned), 0.2 * math.cos(turned)
    made = drawn(cards((0.4 - half_x, -half_y, 0.4 + half_x, half_y), base=0.4, top=0.8), texels).frames[0, 0]
    line = made[34, 40:68] if upright else made[4:44, 64]  # where a stripe is wider than two pixels
    between = ((line > 0.02) & (line < 0.98)).int()
    assert max(map(len, "".join(map(str, between.tolist())).split("0"))) <= 2
    assert line.max() > 0.98 and line.min() < 0.02


def test_far_away_a_fine_pattern_becomes_its_mean():
    texels = plain((0.0, 0.0, 0.0))
    texels[0, ::2, ::2, :3] = texels[0, 1::2, 1::2, :3] = 1.0
    made = drawn(cards((7.0, -0.3, 7.0, 0.3)), texels).frames[0, 0]
    assert (made[34:38, 62:66] - 0.5).abs().max() < 0.12


def test_of_a_card_beside_the_eye_the_part_ahead_is_seen():
    """It runs along the way one looks, 0.5 to the right, up to depth 2: 16 pixels right of the middle, and outwards."""
    made = drawn(cards((-3.0, 0.5, 2.0, 0.5), base=0.3, top=0.7), plain(RED))
    row = made.frames[0, 0, 36]
    assert (row[80:128] > HIDES).all()
    assert torch.equal(row[:80], torch.full((80,), 0.5))
    assert torch.isfinite(made.frames).all() and torch.isfinite(made.nearness).all()


def test_both_layers_of_light_are_there():
    texels = plain((0.5, 0.0, 0.0))
    texels[..., 4] = 0.25
    pixel = drawn(cards((2.0, -0.5, 2.0, 0.5)), texels, by=light(0.8, 1.6)).frames[0, :, 36, 64]
    assert torch.allclose(pixel, torch.tensor((0.4, 0.4, 0.0)), atol=1e-4)


def test_looking_up_moves_a_card_down():
    middle = [
        drawn(cards((2.0, -0.5, 2.0, 0.5)), plain(RED), at=eyes(pitch=pitch)).frames[0, 0, :, 64].gt(HIDES).nonzero()
        for pitch in (0.0, 0.2)
    ]
    assert (middle[1].float().mean() - middle[0].float().mean()).item() == pytest.approx(64 * math.tan(0.2), abs=1)


def test_a_figure_s_card_faces_the_eye_wherever_that_is():
    for angle in (0.3, 2.0, -2.5):
        x, y = 3 * math.cos(angle), 3 * math.sin(angle)
        ends = facing(torch.tensor([[x]]), torch.tensor([[y]]), torch.tensor([[0.5]]), eyes())[0, 0]
        left, right = ends[:2], ends[2:]
        assert torch.allclose((left + right) / 2, torch.tensor((x, y)), atol=1e-5)
        assert (right - left).norm().item() == pytest.approx(0.5, abs=1e-5)
        assert left.norm().item() == pytest.approx(right.norm().item(), abs=1e-5)
        across = torch.atan2(right[1], right[0]) - torch.atan2(left[1], left[0])
        assert across > 0, "headings grow to the right"


@pytest.mark.parametrize(("heading", "side"), [(math.pi, 0), (-math.pi / 2, 2), (0.0, 4), (math.pi / 2, 6)])
def test_the_side_that_is_seen_goes_round_from_the_front(heading, side):
    """The figure stands to the east: looking west, it looks at the eye."""
    seen = side_seen(torch.tensor([[2.0]]), torch.tensor([[0.0]]), torch.tensor([[heading]]), eyes())
    assert seen.item() == side


def several() -> tuple[Picture, Cards, tuple, Light, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    batch, many = 3, 5
    x, y = 1 + 6 * torch.rand(batch, many, generator=rng), 4 * torch.rand(batch, many, generator=rng) - 2
    at = (torch.zeros(3), torch.tensor((0.0, 0.5, 1.0)), torch.tensor((0.0, 0.2, -0.3)), torch.tensor((0.0, 0.1, 0.0)))
    some = Cards(
        facing(x, y, torch.full_like(x, 0.8), at),
        torch.zeros(batch, many),
        torch.rand(batch, many, generator=rng) + 0.2,
        torch.randint(2, (batch, many), generator=rng),
        torch.rand(batch, many, generator=rng) < 0.8,
    )
    one = torch.rand(batch, 3, generator=rng)
    texels = torch.rand(2, 16, 12, 8, generator=rng)
    return empty(3), some, at, Light(one, one / 2, one, one), texels


def test_a_batch_is_drawn_as_its_eyes_are_alone():
    picture, some, at, by, texels = several()
    together = draw_cards(picture, some, Atlas(texels), at, CAMERA, by)
    for n in range(3):
        here = slice(n, n + 1)
        alone = draw_cards(
            Picture(picture.frames[here], picture.nearness[here]),
            Cards(some.ends[here], some.base[here], some.top[here], some.texture[here], some.present[here]),
            Atlas(texels),
            tuple(part[here] for part in at),
            CAMERA,
            Light(by.day[here], by.lamp[here], by.sky[here], by.night[here]),
        )
        assert torch.allclose(together.frames[here], alone.frames, atol=1e-5)
        assert torch.equal(together.nearness[here], alone.nearness)


def test_in_fixed_shapes_the_same_is_drawn(monkeypatch):
    picture, some, at, by, texels = several()
    usual = draw_cards(picture, some, Atlas(texels), at, CAMERA, by)
    monkeypatch.setattr(module, "_in_fixed_shapes", lambda device: True)
    fixed = draw_cards(picture, some, Atlas(texels), at, CAMERA, by)
    assert torch.allclose(usual.frames, fixed.frames, atol=1e-5)
    assert torch.allclose(usual.nearness, fixed.nearness)


def test_where_nothing_is_in_view_the_picture_is_the_very_same():
    picture = empty()
    assert drawn(cards((-2.0, -0.5, -2.0, 0.5)), plain(RED), onto=picture) is picture
    absent = cards((2.0, -0.5, 2.0, 0.5))
    absent.present[:] = False
    assert drawn(absent, plain(RED), onto=picture) is picture


def test_gradients_find_the_texels_and_the_place():
    """A darker target darkens texels that are seen; a figure moves towards where its target stands."""
    texels = plain(RED).requires_grad_()
    target = drawn(cards((2.0, -0.3, 2.0, 0.7)), plain(RED)).frames.detach()
    ends = torch.tensor([[(2.0, -0.5, 2.0, 0.5)]], requires_grad=True)
    some = cards((2.0, -0.5, 2.0, 0.5))
    made = drawn(Cards(ends, some.base, some.top, some.texture, some.present), texels).frames
    (made - target).square().sum().backward()
    assert ends.grad[0, 0, 1] < 0 and ends.grad[0, 0, 3] < 0, "both ends should have a greater y"
    made = drawn(some, texels).frames[:, 0, 30:42, 50:78]
    texels.grad = None
    made.sum().backward()
    assert (texels.grad[0, 6:10, 2:10, 0] > 0).all()
    assert texels.grad[..., 3:6].abs().max() == 0, "there is no lamplight"


def test_a_card_alone_is_what_the_picture_shows_of_it():
    """Beside the middle, seen from elsewhere at a slant, in a window that begins outside of the picture."""
    rng = torch.Generator().manual_seed(0)
    texels = plain(RED, GREEN)
    texels[..., :6] = torch.rand(2, 16, 12, 6, generator=rng)
    texels[..., 6] = (torch.rand(2, 16, 12, generator=rng) > 0.3).float()
    texels[..., :6] *= texels[..., 6:7]
    at = (torch.tensor([0.0, 0.5]), torch.tensor([0.0, -0.2]), torch.tensor([0.1, -0.3]), torch.tensor([0.1, -0.05]))
    x, y = torch.tensor([[2.0], [2.5]]), torch.tensor([[1.2], [-1.0]])
    ends = reaching(x, y, torch.tensor(-0.3), torch.tensor(0.4), at)
    number = torch.tensor([[1], [0]])
    some = Cards(ends, torch.zeros(2, 1), torch.full((2, 1), 0.8), number, torch.ones(2, 1, dtype=torch.bool))
    corner, size = torch.tensor([[20, 70], [10, -8]]), (60, 70)
    by = light(0.8, 0.5, batch=2)
    alone = draw_alone(some, Atlas(texels), at, CAMERA, by, corner, size)
    whole = [draw_cards(Picture(torch.full((2, 3, 72, 128), shade), torch.zeros(2, 72, 128)), some, Atlas(texels), at,
                        CAMERA, by) for shade in (0.0, 1.0)]  # fmt: skip
    for n, (row, column) in enumerate(corner.tolist()):
        rows, columns = slice(max(row, 0), min(row + 60, 72)), slice(max(column, 0), min(column + 70, 128))
        part = alone[n, :, rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
        black, white = (made.frames[n, :, rows, columns] for made in whole)
        assert black.max() > 0.3, "it is in the window"
        assert torch.allclose(part[:3], black, atol=1e-4)
        assert torch.allclose(1 - part[3].expand(3, -1, -1), white - black, atol=1e-4)
