"""Claims about learning who lives in the world from what was watched, on sightings made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.config.memory import CameraConfig, SlotsConfig, SpatialMemoryConfig
from engine.nets.camera import Camera
from engine.nets.cards import Atlas, Cards, draw_alone, reaching
from engine.nets.slots import SlotDynamics, Slots
from engine.nets.spatial_memory import SpatialMemory
from engine.training.enliven import flow_of, learn_opening, rolling
from engine.training.inhabitants import KEPT
from engine.training.looks import _alone, _of_side, _often, portraits
from engine.training.watch import CUT, EVERY, GLANCE, Door, Sightings, blobs, stand_and_watch, visit_walkers
from engine.training.who import ways


def walk(clip: int, x: torch.Tensor, y: torch.Tensor, top: float = 0.8) -> Sightings:
    """Somebody of that height who is seen at these places, picture by picture."""
    count = len(x)
    full = torch.ones(count)
    return Sightings(
        clip=torch.full((count,), clip), frame=torch.arange(count), x=x, y=y, left=-0.2 * full, right=0.2 * full,
        top=top * full, bearing=0.0 * full, far=3 * full, hour=0.5 * full, whole=full, eye=torch.zeros(count, 4),
        corner=torch.zeros(count, 2), cut=torch.full((count,), -1), patch=torch.zeros(count, 4, 4, 4),
        cuts=torch.zeros(0, 7, 4, 4, dtype=torch.uint8),
    )  # fmt: skip


def test_parts_of_a_mask_that_touch_are_one_blob():
    mask = np.zeros((8, 10), bool)
    mask[1:4, 1:3] = mask[3:6, 2:5] = True  # joined
    mask[2:7, 7:9] = True
    boxes = sorted(part[:4] for part in blobs(mask))
    assert boxes == [(1, 6, 1, 5), (2, 7, 7, 9)]


def test_who_walks_is_followed_and_the_way_and_pace_are_found_through_noise():
    rng = torch.Generator().manual_seed(0)
    time = torch.arange(30) * float(EVERY)
    noise = 0.01 * torch.randn(2, 30, generator=rng)
    one = walk(0, 2 + 0.03 * time + noise[0], 5 + noise[1])
    other = walk(0, torch.full((30,), 4.0) + noise[1], 7.0 + noise[0], top=0.3)
    path = ways(Sightings.joined([one, other]))
    assert len(set(path.track[:30].tolist())) == 1 and path.track[0] != path.track[30]
    assert (path.speed[:30].median() - 0.03).abs() < 0.004
    off = (path.heading[:30] + math.pi) % (2 * math.pi) - math.pi
    assert off.abs().median() < 0.1
    assert (path.speed[30:] == 0).float().mean() > 0.9, "the other stands"


def test_how_a_ball_rolls_is_found_from_where_it_was_seen():
    """Pushed within half a cell to a tenth of a cell a frame, it keeps 0.96 of that; near by it is out of sight."""
    told = []
    for start in (1.5, 1.9):
        x, ball, speed, way = 0.0, start, 0.0, []
        for frame in range(50):
            near = ball - x
            way.append((x, 0.0, ball if near > 0.7 else math.nan, 0.0 if near > 0.7 else math.nan))
            x += 0.06 if 12 <= frame < 40 else 0.0
            speed = 0.1 if ball - x < 0.5 else speed * 0.96
            ball += speed
        told.append(torch.tensor(way))
    reach, push, keep, _ = rolling(told).tolist()
    assert abs(reach - 0.5) < 0.08 and abs(push - 0.1) < 0.02 and abs(keep - 0.96) < 0.01


def test_a_side_that_was_never_seen_near_by_is_the_other_hand_s_mirrored():
    side, far = torch.tensor([2] * 5 + [1] * 5), torch.tensor([2.0] * 5 + [20.0] * 5)
    goes = torch.ones(10, dtype=torch.bool)
    index, mirrored = _of_side(goes, goes, side, 6, far, 8)
    assert mirrored and index.tolist() == [0, 1, 2, 3, 4]
    index, mirrored = _of_side(goes, goes, side, 2, far, 8)
    assert not mirrored and index.tolist() == [0, 1, 2, 3, 4]


def test_how_doors_open_is_learned_from_walking_up_to_them():
    """Within 1.6 cells they open by a twelfth a frame, and shut again beyond; their frame always looks the same."""
    told, opening = [], 0.0
    for place in [*torch.arange(2.4, 0.8, -0.06).tolist(), *torch.arange(0.8, 3.5, 0.045).tolist()]:
        after = min(1.0, max(0.0, opening + (1 / 12 if place < 1.6 else -1 / 12)))
        told.append((place, 0.15 + 0.85 * opening, 0.15 + 0.85 * after))
        opening = after
    nothing = torch.zeros(6), (torch.zeros(1), torch.zeros(1))
    door = Door(torch.zeros(4), 1.2, *nothing, torch.tensor(told))
    torch.manual_seed(0)
    dynamics = SlotDynamics(SlotsConfig(), SpatialMemoryConfig())
    assert learn_opening(dynamics, [door], 3000) < 0.02
    for place, goal in ((1.1, 1.0), (2.2, 0.0)):
        for opening in (0.0, 1.0):
            now = torch.tensor([opening])
            for _ in range(30):
                now = dynamics.opened(torch.tensor([place]), now)
            assert abs(float(now.detach()) - goal) < 0.02, (place, opening)
    assert learn_opening(dynamics, [], 10) == 0.0


def test_watchers_look_at_somebody():
    seen = stand_and_watch(8, 3, 5, Camera(CameraConfig(), 192, 108))
    assert len(seen.clip.unique()) >= 7, "once half of them turned away from whom they saw"
    assert len(Sightings.joined([])) == 0
    whole = (seen.cut >= 0).nonzero()[:, 0]
    assert len(whole) and torch.equal(seen.cut[whole], torch.arange(len(seen.cuts))), "each has its own cut"
    shown, bare, alone = (seen.cuts[0, part] for part in (slice(0, 3), slice(3, 6), 6))
    own = ((shown.int() - bare.int()).abs().amax(0) > 8) & (alone == 255)
    assert own.any(1).nonzero()[0] >= 4 and own.any(0).nonzero()[0] >= 4, "it begins four pixels beside"


@pytest.mark.slow
def test_how_far_those_who_walk_keep_from_the_player_is_found_by_walking_into_them():
    apart = visit_walkers(48, 1, Camera(CameraConfig(), 256, 144))
    assert len(apart) > 15
    assert float(apart.median()) == pytest.approx(KEPT + 0.03, abs=0.05)


def test_a_look_is_made_of_sightings_of_one_alone_and_of_many_watchers():
    long, short = walk(0, torch.zeros(30), torch.zeros(30)), walk(1, torch.zeros(5), torch.zeros(5))
    seen = Sightings.joined([long, short])
    assert torch.bincount(seen.clip[_often(seen, torch.arange(35))].long()).tolist() == [8, 5]
    seen.right[3] = 0.6  # a ball lay beside
    assert sorted(_alone(seen, torch.arange(35)).tolist()) == [n for n in range(35) if n != 3]


def test_portraits_are_as_crisp_as_what_was_seen_and_tell_parts_of_a_stride_apart():
    """Checkered, and striped, from where nobody knows to a pixel; some pictures are of something else."""
    rows, columns, count = 32, 16, 40
    camera, rng = Camera(CameraConfig(), 384, 216), torch.Generator().manual_seed(1)
    memory = SpatialMemory(SpatialMemoryConfig())
    memory.light[:, 0] = 1.0
    down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    looks = torch.zeros(3, rows, columns, 8)
    looks[0, ..., :3] = (((down // 2 + across // 2) % 2) * torch.tensor(0.8))[..., None]
    looks[1, ..., :3] = (((across // 2) % 2) * torch.tensor(0.8))[..., None]
    looks[2, ..., 0] = 1.0
    looks[..., 6] = 1.0
    looks[:, :8, :4] = 0  # a corner is missing
    which = torch.where(torch.arange(count) < 2, 2, torch.arange(count) % 2)
    x, y = 2.2 + 0.6 * torch.rand(count, generator=rng), 0.8 * torch.rand(count, generator=rng) - 0.4
    eyes = (torch.zeros(count),) * 4
    ends = reaching(x[:, None], y[:, None], torch.tensor(-0.2), torch.tensor(0.2), eyes)
    cards = Cards(ends, torch.zeros(count, 1), torch.full((count, 1), 0.8), which[:, None], torch.ones(count, 1) > 0)
    depth = x
    foot, middle = camera.height / 2 + 0.5 * camera.focal / depth, camera.width / 2 + y / depth * camera.focal
    corner = torch.stack((foot - 0.8 * camera.focal / depth, middle - 0.2 * camera.focal / depth), 1).floor() - 4
    light = memory.light_at(torch.full((count,), 0.5))
    layer = draw_alone(cards, Atlas(looks), eyes, camera, light, corner, CUT)
    behind = torch.full_like(layer[:, :3], 0.4)
    shown = layer[:, :3] + behind * (1 - layer[:, 3:])
    cuts = (torch.cat((shown, behind, torch.ones_like(layer[:, :1])), 1) * 255).round().to(torch.uint8)
    off = 0.02 * torch.randn(4, count, generator=rng)  # it is not known to a pixel where it stands
    full = torch.ones(count)
    patch = F.interpolate(
        torch.cat((looks[which][..., :3], looks[which][..., 6:7]), -1).permute(0, 3, 1, 2), size=GLANCE
    )
    seen = Sightings(
        clip=torch.arange(count), frame=torch.arange(count), x=x, y=y, left=-0.2 + off[0], right=0.2 + off[0],
        top=0.8 * full, bearing=torch.atan2(y, x) + off[1] / 4, far=torch.hypot(x, y) + off[2], hour=0.5 * full,
        whole=full, eye=torch.zeros(count, 4), corner=corner, cut=torch.arange(count), patch=patch, cuts=cuts,
    )  # fmt: skip
    group = (which == 1).long()
    group[:8] = torch.arange(8) // 2 % 2  # and some are taken for the other part of the stride
    made = portraits(seen, torch.arange(count), group, memory, camera, (rows * 5 // 4, columns * 5 // 4))
    assert [one is not None for one in made] == [True, True]
    for number, one in enumerate(made):
        assert not set(one.seen.tolist()) & {0, 1}, "what is something else counts for nothing"
        assert (which[one.seen] == number).all()
        # what is drawn with it in the end is what was seen, the hard edges too
        texels = one.texels
        tile = torch.cat((texels.day * texels.cover, torch.zeros_like(texels.day), texels.cover,
                          torch.zeros_like(texels.cover)), -1)[None]  # fmt: skip
        left, right, _, top = one.frame
        at = reaching(x[:, None], y[:, None], left, right, eyes)
        again = draw_alone(replace(cards, ends=at, top=top.expand(count, 1), texture=torch.zeros_like(which)[:, None]),
                           Atlas(tile), eyes, camera, light, corner, CUT)  # fmt: skip
        again = again[:, :3] + behind * (1 - again[:, 3:])
        mine = which == number
        slope = [part[mine].mean(1).diff(dim=2).abs().flatten(1).topk(200).values.mean() for part in (again, shown)]
        assert slope[0] / slope[1] > 0.8, "a mean of them all is half as crisp"


def test_which_way_others_went_is_known_where_they_went():
    """Ten walked east along y = 5, and two turned south at x = 6."""
    parts = []
    for clip in range(10):
        x, y = torch.linspace(2, 10, 60), torch.full((60,), 5.0)
        if clip < 2:
            x, y = torch.cat((x[:30], torch.full((30,), 6.0))), torch.cat((y[:30], torch.linspace(5, 9, 30)))
        parts.append(walk(clip, x, y))
    path = ways(Sightings.joined(parts))
    slots = SlotsConfig()
    dynamics = SlotDynamics(slots, SpatialMemoryConfig())
    flow = flow_of(path, path.speed > 0, dynamics).float() / 255
    east, south = flow[0], flow[2]
    assert east[10, 8] > 0.9 and east[10, 18] > 0.9 and south[16, 12] > 0.7
    assert flow[:, 30, 30].sum() == 0, "nobody ever came there"
    # one who faces east is shown that others went ahead, one who faces south that they went to his left
    dynamics.flow.copy_(flow * 255)
    one = torch.ones(1, 1)
    for heading, way in ((0.0, 0), (math.pi / 2, 6), (-math.pi / 2, 2)):
        slot = Slots(one.long(), one > 0, 4.25 * one, 5.25 * one, heading * one, one, one, one, one)
        ahead = dynamics._onward(slot).view(3, 8)
        assert ahead[0].argmax() == way and ahead[0, way] > 0.9


def test_who_stands_faces_the_way_it_came():
    """It stands, nobody knows how; walks east; stands; and goes on to the south."""
    still = torch.full((20,), 4.0)
    x = torch.cat((still, torch.linspace(4, 6, 30), still + 2, still + 2))
    y = torch.cat((still, torch.full((30,), 4.0), still, torch.linspace(4, 5.4, 20)))
    path = ways(walk(0, x, y))
    assert not path.known[:15].any(), "the way that it will go is not the way that it faces"
    facing = (path.heading + math.pi) % (2 * math.pi) - math.pi
    assert path.known[25:].all() and facing[25:66].abs().max() < 0.1
    assert (path.speed[55:66] == 0).all() and (facing[75:] - math.pi / 2).abs().max() < 0.1
