"""Claims about learning who lives in the world from what was watched, on sightings made by hand."""

import math

import numpy as np
import torch

from engine.config.memory import CameraConfig, SlotsConfig
from engine.nets.camera import Camera
from engine.nets.slots import SlotDynamics
from engine.training.enliven import _alone, _of_side, _often, learn_opening, rolling, ways
from engine.training.watch import EVERY, Door, Sightings, blobs, stand_and_watch


def walk(clip: int, x: torch.Tensor, y: torch.Tensor, top: float = 0.8) -> Sightings:
    """Somebody of that height who is seen at these places, picture by picture."""
    count = len(x)
    full = torch.ones(count)
    return Sightings(
        clip=torch.full((count,), clip), frame=torch.arange(count), x=x, y=y, left=-0.2 * full, right=0.2 * full,
        top=top * full, bearing=0.0 * full, far=3 * full, hour=0.5 * full, whole=full,
        patch=torch.zeros(count, 4, 4, 4),
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
    path = ways(Sightings.joined([one, other], (56, 36)))
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
    dynamics = SlotDynamics(SlotsConfig())
    assert learn_opening(dynamics, [door], 3000) < 0.02
    for place, goal in ((1.1, 1.0), (2.2, 0.0)):
        for opening in (0.0, 1.0):
            now = torch.tensor([opening])
            for _ in range(30):
                now = dynamics.opened(torch.tensor([math.hypot(place, 0.5)]), now)
            assert abs(float(now.detach()) - goal) < 0.02, (place, opening)
    assert learn_opening(dynamics, [], 10) == 0.0


def test_watchers_look_at_somebody():
    seen = stand_and_watch(8, 3, 5, Camera(CameraConfig(), 192, 108), (14, 9))
    assert len(seen.clip.unique()) >= 7, "once half of them turned away from whom they saw"
    assert len(Sightings.joined([], (14, 9))) == 0


def test_a_look_is_made_of_sightings_of_one_alone_and_of_many_watchers():
    long, short = walk(0, torch.zeros(30), torch.zeros(30)), walk(1, torch.zeros(5), torch.zeros(5))
    seen = Sightings.joined([long, short], (4, 4))
    assert torch.bincount(seen.clip[_often(seen, torch.arange(35))].long()).tolist() == [8, 5]
    seen.right[3] = 0.6  # a ball lay beside
    assert sorted(_alone(seen, torch.arange(35)).tolist()) == [n for n in range(35) if n != 3]
