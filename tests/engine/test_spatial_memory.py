"""Claims about the learned place, on one made by hand: a room of 3 x 2 cells in a map of 4 x 3."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine.config.memory import CameraConfig, RecogniserConfig, SpatialMemoryConfig
from engine.errors import ConfigError
from engine.nets.camera import Camera, Motion
from engine.nets.networks import EmbeddedNetworks
from engine.nets.recogniser import Recogniser, _BlurredView, _closer, _Search
from engine.nets.spatial_memory import Pose, SpatialMemory
from engine.nets.surfaces import cast, strip_table
from engine.rollout.first_picture import FirstPicture
from engine.rollout.memory_condition import Walk
from tests.engine.tiny import networks, small_config

CAMERA = Camera(CameraConfig(), 48, 28)
WEST, EAST, NORTH, SOUTH = 0.5, 3.5, 0.5, 2.5
HEIGHT = 1.25


def pose(x: float, y: float, yaw: float = 0.0, pitch: float = 0.0, hour: float = 0.5) -> Pose:
    return Pose(*(torch.tensor([value]) for value in (x, y, yaw, pitch, hour)))


def filled(memory: SpatialMemory, wall: torch.Tensor) -> SpatialMemory:
    """The room: four faces with texels `wall` (strips, levels, 7), a red floor and a blue ceiling, noon all day."""
    memory.edges[:4] = torch.tensor(
        ((WEST, NORTH, EAST, NORTH), (WEST, SOUTH, EAST, SOUTH), (WEST, NORTH, WEST, SOUTH), (EAST, NORTH, EAST, SOUTH))
    )
    memory.strips[: len(wall)] = (wall * 255).to(torch.uint8)
    memory.floor[:, :, :, :3] = torch.tensor((204, 26, 26), dtype=torch.uint8)
    memory.ceiling[:, :, :, :3] = torch.tensor((26, 26, 204), dtype=torch.uint8)
    memory.ceiling[..., 6] = 255
    memory.floor_cells.copy_(torch.arange(1, 13).view(3, 4))
    memory.ceiling_cells.copy_(torch.arange(1, 13).view(3, 4))
    memory.light[:, 0] = memory.light[:, 2] = 1.0
    memory.outline[:2] = torch.tensor(((WEST, NORTH, SOUTH), (EAST, NORTH, SOUTH)))
    return memory


CONFIG = SpatialMemoryConfig(
    rows=3,
    columns=4,
    texels=32,
    ceiling_texels=32,
    levels=20,
    edges=8,
    strips=400,
    floors=12,
    ceilings=12,
    sky=(16, 64),
)


@pytest.fixture(scope="module")
def room() -> SpatialMemory:
    """Opaque walls, each column of another colour, brighter at the top."""
    hue = torch.linspace(0, 16, 400)
    wall = torch.ones(400, 20, 7)
    wall[..., :3] = (0.5 + 0.4 * torch.stack((hue.sin(), (1.7 * hue).cos(), (2.3 * hue).sin()), 1))[:, None]
    wall[..., :3] *= torch.linspace(1.0, 0.4, 20)[None, :, None]
    return filled(SpatialMemory(CONFIG), wall)


def copy_of(room: SpatialMemory) -> SpatialMemory:
    memory = SpatialMemory(room.config)
    memory.load_state_dict(room.state_dict())
    return memory


def ahead(room: SpatialMemory, at: Pose, across: torch.Tensor) -> torch.Tensor:
    cos, sin = at.yaw.cos()[:, None], at.yaw.sin()[:, None]
    return cast(room.surfaces().edges, at.x, at.y, cos - across * sin, sin + across * cos, 1.0).depth


@pytest.mark.parametrize(
    ("yaw", "distance"), [(0.0, EAST - 2), (math.pi, 2 - WEST), (math.pi / 2, SOUTH - 1.5), (-math.pi / 2, 1.5 - NORTH)]
)
def test_a_ray_meets_the_wall_where_it_stands(room, yaw, distance):
    assert ahead(room, pose(2.0, 1.5, yaw), torch.zeros(1)).item() == pytest.approx(distance, abs=1e-4)


def test_depth_is_that_of_the_picture_plane_and_not_along_the_ray(room):
    assert torch.allclose(ahead(room, pose(2.0, 1.5), torch.linspace(-0.6, 0.6, 7)), torch.full((1, 7), EAST - 2))


def test_a_picture_has_ceiling_wall_and_floor_where_they_belong(room):
    view = room.look(pose(2.0, 1.5), CAMERA)
    assert view.frames.shape == (1, 3, 28, 48) and view.nearness.shape == (1, 28, 48)
    column = (view.frames[0, :, :, 24] + 1) / 2
    eye = CAMERA.config.eye_height
    top = int(14 - (HEIGHT - eye) * CAMERA.focal / 1.5) - 1
    bottom = int(14 + eye * CAMERA.focal / 1.5) + 2
    if top > 0:
        assert torch.allclose(column[:, :top].T, torch.tensor((0.1, 0.1, 0.8)), atol=5e-3)
    assert torch.allclose(column[:, bottom:].T, torch.tensor((0.8, 0.1, 0.1)), atol=5e-3)
    upper, lower = column[:, max(top, 0) + 3].mean(), column[:, bottom - 4].mean()
    assert upper > lower, "walls are brighter at their top"
    assert view.nearness[0, 14, 24].item() == pytest.approx(1 / 1.5, rel=0.05)
    assert view.nearness[0, 27, 24] > view.nearness[0, 14, 24], "the floor at one's feet is nearest"


def test_a_wall_is_crisp_from_close_by():
    """An edge between two texels takes one pixel, however near it is."""
    wall = torch.ones(400, 20, 7)
    wall[1::2, :, :3] = 0.0
    memory = filled(SpatialMemory(CONFIG), wall)
    across = memory.look(pose(EAST - 0.3, 1.5), Camera(CameraConfig(), 256, 144)).frames[0, 0, 72]
    assert across.diff().abs().max() > 0.9, "half of the way from black to white in one pixel, at least"
    between = ((across > -0.98) & (across < 0.98)).float().mean()
    assert between < 0.2, "most pixels are all of one texel"


def test_far_away_a_fine_pattern_becomes_its_mean():
    wall = torch.ones(400, 20, 7)
    wall[1::2, :, :3] = 0.0
    memory = filled(SpatialMemory(CONFIG), wall)
    small = Camera(CameraConfig(), 16, 10)  # a pixel is several texels wide
    middle = memory.look(pose(WEST + 0.1, 1.5), small).frames[0, 0, 4, 6:10]
    assert middle.abs().max() < 0.2


def test_where_nothing_covers_the_sky_it_goes_round(room):
    memory = copy_of(room)
    memory.ceiling[..., 6] = 0
    memory.ceiling[..., :6] = 0
    memory.sky[..., :3] = (torch.arange(64) * 4).to(torch.uint8)[None, :, None]
    top = [
        memory.look(pose(2.0, 1.5, yaw, 0.3), CAMERA).frames[0, 0, 0, 24].item()
        for yaw in (0.0, 1.5, 1.5 + 2 * math.pi)
    ]
    assert top[0] != pytest.approx(top[1], abs=0.05)
    assert top[1] == pytest.approx(top[2], abs=1e-3)


def test_light_changes_with_the_hour_and_lamps_flicker(room):
    memory = copy_of(room)
    noon = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(CONFIG.hours) / CONFIG.hours)
    memory.light[:, 0] = noon[:, None]
    memory.light[:, 1] = 0.5
    memory.strips[..., 3:6] = 100
    memory.flicker[0] = 0.2
    bright, dark = (memory.look(pose(2.0, 1.5, hour=hour), CAMERA).frames.mean() for hour in (0.5, 0.0))
    assert bright > dark + 0.2
    steady, flared = (memory.look(pose(2.0, 1.5), CAMERA, torch.tensor([f])).frames.mean() for f in (0.0, 1.0))
    assert flared > steady


def test_strips_of_edges_do_not_overlap():
    edges = torch.tensor(((0.5, 0.5, 3.5, 0.5), (1.0, 1.0, 1.0, 1.5), (0.25, 2.0, 1.0, 2.0)))
    first, _, count = strip_table(edges, 64)
    places = sorted(zip(first.flatten().tolist(), count.flatten().tolist(), strict=True))
    assert all(a + n == b for (a, n), (b, _) in itertools.pairwise(places))
    assert (count[0] >= torch.tensor((192, 32, 48))).all()


def test_moving_a_picture_over_remembered_surfaces_shows_what_is_seen_after_a_step(room):
    camera, step = Camera(CameraConfig(), 96, 56), 0.4
    before, after = (room.look(pose(x, 1.5), camera) for x in (1.5, 1.5 + step))
    level, still = camera.horizon(torch.zeros(1)), torch.zeros(1)
    moved = camera.moved(before.frames, Motion(still, torch.tensor([step]), still, level, level), after.nearness)
    inner = (slice(None), slice(None), slice(8, 48), slice(8, 88))

    def error(frames: torch.Tensor) -> torch.Tensor:
        return (frames - after.frames)[inner].square().mean()

    assert error(moved) < 0.25 * error(before.frames)


def walker(room: SpatialMemory, at: Pose) -> Walk:
    made = networks(replace(small_config(), width=48, height=32))
    parts = EmbeddedNetworks(made.config, made.transformer, made.codec, room, made.recogniser, made.slots)
    return Walk(parts, torch.zeros(1, 3, 32, 48), at)


def test_one_walks_until_the_wall_and_then_along_it(room):
    walk = walker(room, pose(2.0, 1.5, yaw=0.5))
    w = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    path = []
    for _ in range(60):
        walk.look(w, torch.zeros(1, 2))
        path.append((walk.pose.x.item(), walk.pose.y.item()))
    assert path[-1][0] == pytest.approx(EAST, abs=0.09) and path[-1][1] == pytest.approx(SOUTH, abs=0.09)
    assert all(WEST < x < EAST and NORTH < y < SOUTH for x, y in path)
    along = [y for x, y in path if x > EAST - 0.1]
    assert along == sorted(along) and len(set(along)) > 3, "it slid along the east wall"


def test_every_action_moves_the_pose_as_the_camera_says(room):
    walk, still = walker(room, pose(2.0, 1.5)), torch.zeros(1, 2)
    walk.look(torch.tensor([[0.0, 0.0, 0.0, 1.0]]), still)  # D, looking east, goes south
    assert walk.pose.y.item() == pytest.approx(1.5 + CAMERA.config.side_step)
    walk.look(torch.zeros(1, 4), torch.tensor([[0.05, 0.1]]))
    assert math.degrees(walk.pose.yaw.item()) == pytest.approx(0.1 * CAMERA.config.yaw_per_unit, rel=1e-4)
    assert math.degrees(walk.pose.pitch.item()) == pytest.approx(0.05 * CAMERA.config.pitch_per_unit, rel=1e-4)


def test_time_goes_on_and_lamps_flicker_by_seed(room):
    memory = copy_of(room)
    memory.pace[:], memory.flicker[:] = 0.01, torch.tensor((0.1, 0.5))
    keys, still = torch.zeros(1, 4), torch.zeros(1, 2)
    flickers = []
    for seed in (1, 1, 2):
        made = networks(replace(small_config(), width=48, height=32))
        parts = EmbeddedNetworks(made.config, made.transformer, made.codec, memory, made.recogniser, made.slots)
        walk = Walk(parts, torch.zeros(1, 3, 32, 48), pose(2.0, 1.5, hour=0.995), seed)
        for _ in range(3):
            walk.look(keys, still)
        assert walk.pose.hour.item() == pytest.approx(0.025, abs=1e-4), "midnight is passed"
        flickers.append(walk.flicker.item())
    assert flickers[0] == flickers[1] != flickers[2]


def test_a_closer_look_finds_the_place_from_one_near_by(room):
    memory = copy_of(room)
    noon = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(CONFIG.hours) / CONFIG.hours)
    memory.light[:, 0] = (0.3 + 0.7 * noon)[:, None] * torch.tensor((1.0, 0.9, 0.8))
    true = torch.tensor([[1.8, 1.4, 0.4, 0.0, 0.3], [2.2, 1.7, 2.5, 0.1, 0.7]])
    view = _BlurredView(memory, Camera(CameraConfig(), 96, 56), 4)
    target = view.of(true)
    start = true + torch.tensor([0.08, -0.06, 0.05, 0.02, 0.03])
    found, error = _closer(start, target, view, looks=8)
    assert ((found - true)[:, :2].norm(dim=1) < 0.03).all()
    assert ((found - true)[:, 2:].abs() < 0.03).all()
    assert (error < 0.3 * (view.of(start) - target).abs().mean(1)).all()


def test_by_day_the_hour_is_found_and_at_night_the_middle_of_all_that_look_alike(room):
    memory = copy_of(room)
    hours = (torch.arange(len(memory.light)) / len(memory.light) + 0.5) % 1 - 0.5
    memory.light[:, 0] = (0.2 + 0.8 * ((hours - 0.15) / 0.35).clamp(0, 1) + 0.2 * ((-hours - 0.15) / 0.35).clamp(0, 1))[
        :, None
    ]  # night until 0.15 and from 0.85; brighter before noon than after
    view = _BlurredView(memory, Camera(CameraConfig(), 96, 56), 2)
    for true, found in ((0.3, 0.3), (0.4, 0.4), (0.1, 0.0), (0.92, 0.0)):
        place = torch.tensor([[1.8, 1.4, 0.4, 0.0, true]])
        at = view.at_mean_hour(place + torch.tensor([0.0, 0.0, 0.0, 0.0, 0.2]), view.of(place))
        assert torch.equal(at[:, :4], place[:, :4])
        assert abs((float(at[0, 4]) - found + 0.5) % 1 - 0.5) < 0.01, true


def test_less_likely_guesses_follow_when_nothing_is_like_the_picture(room):
    camera = Camera(CameraConfig(), 96, 56)
    true = torch.tensor([1.8, 1.4, 0.4, 0.0, 0.5])
    frame = room.look(Pose(*true[:, None]), camera).frames[0]
    elsewhere = torch.tensor([2.5, 1.8, 3.4, 0.0, 0.5])
    guesses = torch.stack((elsewhere, elsewhere + 0.05, true + torch.tensor([0.05, -0.04, 0.04, 0.0, 0.0])))
    off = {}
    for tries in ((1,), (1, 2)):
        config = RecogniserConfig(
            guesses=tries,
            enough=0.04,
            shortlists=(2,) * len(tries),
            sizes=((56, 96),),
            blurs=(4,),
            looks=(5,),
            keep=(1,),
        )
        found = _Search(config, room, camera).find(frame, guesses)
        off[tries] = float((found - true)[:2].norm())
    assert off[1,] > 0.3 and off[1, 2] < 0.04


def test_the_right_one_of_bays_that_look_alike_is_found():
    """Pillars of three cells' width, all the same but for a mark: from the wrong one the look would not get away."""
    memory = SpatialMemory(replace(CONFIG, columns=14, strips=1200, floors=42, ceilings=42))
    west, east = 0.5, 13.5
    memory.edges[:2] = torch.tensor(((west, NORTH, east, NORTH), (west, SOUTH, east, SOUTH)))
    column = torch.arange(1200) % round((east - west) * 32)
    wall = torch.full((1200, 20, 7), 0.8)
    wall[..., 6] = 1.0
    wall[(column // 16) % 6 < 3, :, :3] = 0.2
    wall[210:226, 4:10, :3] = torch.tensor((0.9, 0.1, 0.1))
    memory.strips.copy_((wall * 255).to(torch.uint8))
    memory.light[:, 0] = memory.light[:, 2] = 1.0
    memory.outline[:2] = torch.tensor(((west, NORTH, SOUTH), (east, NORTH, SOUTH)))
    camera = Camera(CameraConfig(), 96, 56)
    true = torch.tensor([7.1, 1.6, -math.pi / 2, 0.0, 0.5])
    frame = memory.look(Pose(*true[:, None]), camera).frames[0]
    config = RecogniserConfig(guesses=(1,), shortlists=(1,), sizes=((28, 48), (56, 96)), blurs=(4, 2), looks=(3, 6),
                              keep=(1, 1))  # fmt: skip
    search = _Search(config, memory, camera)
    elsewhere = true + torch.tensor([-3.0, 0.0, 0.0, 0.0, 0.0])
    view, target = search._view((56, 96), 2, frame[None])
    error = (view.of(elsewhere[None]) - target).abs().mean()
    stuck, _ = _closer(elsewhere[None], target, view, looks=6)
    assert (stuck[0] - true)[:2].norm() > 2.5
    found, less = search._alike(frame[None], elsewhere[None], error)
    assert (found[0] - true)[:2].norm() < 0.01 and less < 0.05
    assert torch.equal(search._alike(frame[None], elsewhere[None], torch.tensor(0.0))[0], elsewhere[None])


def test_guesses_are_the_pairs_that_the_network_finds_likeliest():
    recogniser = Recogniser(RecogniserConfig(per_cell=2, headings=8), SpatialMemoryConfig(rows=3, columns=4))
    guess = recogniser(torch.zeros(1, 3, 54, 96))
    place = torch.zeros_like(guess.place)
    place[0, 8 * 3 + 5], place[0, 8 * 1 + 2] = 9.0, 8.0  # row 3, column 5; row 1, column 2
    heading = torch.zeros_like(guess.heading)
    heading[0, 2], heading[0, 6] = 2.0, 0.5
    beside = torch.tensor([[0.25, -0.25, 0.0, 0.1, 0.0, 0.5]])
    poses = recogniser.poses(replace(guess, place=place, heading=heading, beside=beside), 3)
    assert torch.allclose(poses.x, torch.tensor([[5.75, 2.75, 5.75]]) / 2)
    assert torch.allclose(poses.y, torch.tensor([[3.25, 1.25, 3.25]]) / 2)
    assert torch.allclose(poses.yaw, torch.tensor([[2.5, 2.5, 6.5]]) * math.pi / 4)
    assert torch.allclose(poses.pitch, torch.full((1, 3), 0.1))
    assert torch.allclose(poses.hour, torch.full((1, 3), 0.25))


def test_only_places_where_one_can_stand_are_told_apart():
    world = SpatialMemoryConfig(rows=3, columns=4)
    recogniser = Recogniser(RecogniserConfig(per_cell=2, headings=8, places=5), world)
    memory = SpatialMemory(world)
    memory.outline[:2] = torch.tensor(((0.5, 0.5, 1.0), (2.0, 0.5, 1.0)))  # the second row, second to fourth column
    recogniser.know(memory)
    assert recogniser.cells.tolist() == [9, 10, 11, -1, -1]
    poses = recogniser.poses(recogniser(torch.zeros(1, 3, 54, 96)), 3 * 8)
    assert ((poses.y > 0.25) & (poses.y < 1.25)).all() and ((poses.x > 0.25) & (poses.x < 2.25)).all()
    with pytest.raises(ConfigError, match="places"):
        memory.outline[:2] = torch.tensor(((0.0, 0.0, 3.0), (4.0, 0.0, 3.0)))
        recogniser.know(memory)


# -- what the first picture knows better -------------------------------------------------------------------------------
def painted_a_little_otherwise(room: SpatialMemory) -> SpatialMemory:
    """The room as it is in truth, of which memory is a little wrong everywhere."""
    true, rng = copy_of(room), torch.Generator().manual_seed(0)
    for part in (true.strips, true.floor, true.ceiling):
        shape = (*part.shape[:-1], 1)
        coarse = torch.randn(shape, generator=rng) * 14
        part[..., :3] = (part[..., :3].float() + coarse).clamp(0, 255).to(torch.uint8)
    true._surfaces = None
    return true


def taken_in(room: SpatialMemory, frames: torch.Tensor, at: Pose, somebody: torch.Tensor | None = None) -> FirstPicture:
    light = room.light_at(at.hour)
    return FirstPicture.of(frames, room.picture(at, CAMERA, light), somebody, at, light)


def seen_with(first: FirstPicture, room: SpatialMemory, at: Pose) -> torch.Tensor:
    light = room.light_at(at.hour)
    return first.on(room.picture(at, CAMERA, light), CAMERA, at, light).frames * 2 - 1


def test_what_the_first_picture_shows_stays_where_it_was_when_one_moves(room):
    true, here = painted_a_little_otherwise(room), pose(1.8, 1.5, 0.2)
    first = taken_in(room, true.look(here, CAMERA).frames, here)
    for there, share in ((here, 0.02), (pose(1.8, 1.5, 0.35), 0.55), (pose(1.9, 1.52, 0.3), 0.75)):
        wanted, alone = true.look(there, CAMERA).frames, room.look(there, CAMERA).frames
        inner = (slice(None), slice(None), slice(3, 25), slice(3, 37))  # what comes into view is not known
        off, before = ((one - wanted)[inner].square().mean() for one in (seen_with(first, room, there), alone))
        assert off < share * before, there


def test_what_was_hidden_or_out_of_the_first_picture_is_as_memory_has_it(room):
    here, behind = pose(1.8, 1.5, 0.2), pose(1.8, 1.5, 0.2 + math.pi)
    first = taken_in(room, painted_a_little_otherwise(room).look(here, CAMERA).frames, here)
    torch.testing.assert_close(seen_with(first, room, behind), room.look(behind, CAMERA).frames)
    # a wall that stood farther away then is another one
    nearer = replace(first, nearness=first.nearness * 2)
    torch.testing.assert_close(seen_with(nearer, room, here), room.look(here, CAMERA).frames)


def test_a_first_picture_of_quite_another_place_or_a_soft_one_is_let_go(room):
    here, rng = pose(1.8, 1.5, 0.2), torch.Generator().manual_seed(1)
    noise = torch.rand(1, 3, 28, 48, generator=rng) * 2 - 1
    assert not taken_in(room, noise, here).difference.any()
    crisp = painted_a_little_otherwise(room)
    true = crisp.look(here, CAMERA).frames
    soft = F.interpolate(F.avg_pool2d(true, 4), scale_factor=4.0, mode="bilinear")
    assert taken_in(crisp, soft, here).difference.abs().mean() < 0.3 * (soft - true).abs().mean() / 2


def test_somebody_in_the_first_picture_is_no_part_of_the_place(room):
    here, somebody = pose(1.8, 1.5, 0.2), torch.zeros(1, 1, 28, 48)
    true = painted_a_little_otherwise(room).look(here, CAMERA).frames
    somebody[..., 8:20, 20:26] = 1
    difference = taken_in(room, true, here, somebody).difference
    assert not difference[..., 8:20, 20:26].any() and difference[..., :10].any()


def test_the_difference_grows_dark_with_the_hour(room):
    memory = copy_of(room)
    memory.light[:, 0] *= 0.5 + torch.linspace(0, 0.5, CONFIG.hours)[:, None]
    bright, dark = pose(1.8, 1.5, hour=(CONFIG.hours - 1) / CONFIG.hours), pose(1.8, 1.5, hour=0.0)
    first = taken_in(memory, painted_a_little_otherwise(memory).look(bright, CAMERA).frames, bright)
    by_day, by_night = (
        (seen_with(first, memory, at) - memory.look(at, CAMERA).frames).abs().mean() for at in (bright, dark)
    )
    assert by_night / by_day == pytest.approx(0.5, abs=0.05)
