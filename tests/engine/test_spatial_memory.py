"""Claims about the learned map, on one made by hand: a room of 4 x 3 cells whose walls are the outermost half cell."""

import math
from dataclasses import replace

import pytest
import torch

from engine.config.memory import CameraConfig, RecogniserConfig, SpatialMemoryConfig
from engine.nets.camera import Camera, Motion
from engine.nets.networks import Networks
from engine.nets.recogniser import Recogniser, _BlurredView, _closer
from engine.nets.spatial_memory import Pose, SpatialMemory, depth_steps
from engine.rollout.memory_condition import Walk
from tests.engine.tiny import networks, small_config

CAMERA = Camera(CameraConfig(), 48, 28)
WEST, EAST, NORTH, SOUTH = 0.5, 3.5, 0.5, 2.5


def pose(x: float, y: float, yaw: float = 0.0, pitch: float = 0.0) -> Pose:
    return Pose(*(torch.tensor([value]) for value in (x, y, yaw, pitch)))


@pytest.fixture(scope="module")
def room() -> SpatialMemory:
    """Opaque walls, each of another colour that changes along it, brighter at the top; a red floor, a blue ceiling."""
    memory = SpatialMemory(SpatialMemoryConfig(rows=3, columns=4, texels=16, levels=4, sky=(4, 8), far=6.0))
    memory.requires_grad_(False)
    y, x = torch.meshgrid((torch.arange(48) + 0.5) / 16, (torch.arange(64) + 0.5) / 16, indexing="ij")
    inside = (x > WEST) & (x < EAST) & (y > NORTH) & (y < SOUTH)
    memory.density[0] = torch.where(inside, -30.0, 30.0)
    memory.ground[0] = torch.where(inside, 5.0, -5.0)
    paint = torch.stack((x / 4, y / 3, 0.5 + 0.4 * torch.sin(5 * x + 3 * y)))
    memory.wall.copy_(paint[:, None] * torch.linspace(1.0, 0.4, 4)[None, :, None, None])
    memory.floor.copy_(torch.tensor((0.8, 0.1, 0.1))[:, None, None].expand_as(memory.floor))
    memory.ceiling[:3] = torch.tensor((0.1, 0.1, 0.8))[:, None, None]
    memory.ceiling[3] = 1.0
    memory.haze.copy_(torch.tensor((0.5, 0.5, 0.5, 1e6)))
    return memory


@pytest.mark.parametrize(
    ("yaw", "distance"), [(0.0, EAST - 2), (math.pi, 2 - WEST), (math.pi / 2, SOUTH - 1.5), (-math.pi / 2, 1.5 - NORTH)]
)
def test_a_ray_meets_the_wall_where_it_stands(room, yaw, distance):
    rays = room.rays(pose(2.0, 1.5, yaw), torch.zeros(1))
    assert room.surface(rays).item() == pytest.approx(distance, abs=0.03)


def test_depth_is_that_of_the_picture_plane_and_not_along_the_ray(room):
    rays = room.rays(pose(2.0, 1.5), torch.linspace(-0.6, 0.6, 7))
    assert torch.allclose(room.surface(rays), torch.full((1, 7), EAST - 2), atol=0.04)


def test_steps_are_small_near_by_and_reach_as_far_as_they_should():
    config = SpatialMemoryConfig()
    steps = depth_steps(config)
    assert steps[0] == config.near and steps[-1] >= config.far
    assert (steps.diff() > 0).all() and steps.diff().max() <= config.stride + 1e-5
    assert steps.diff()[0] < steps.diff()[-1]


def test_a_picture_has_ceiling_wall_and_floor_where_they_belong(room):
    view = room.look(pose(2.0, 1.5), CAMERA)
    assert view.frames.shape == (1, 3, 28, 48) and view.nearness.shape == (1, 28, 48)
    column = (view.frames[0, :, :, 24] + 1) / 2
    half = CAMERA.config.eye_height * CAMERA.focal / 1.5  # rows that the wall takes above and below the horizon
    top, bottom = int(14 - half) - 1, int(14 + half) + 2
    assert torch.allclose(column[:, :top].T, torch.tensor((0.1, 0.1, 0.8)), atol=1e-3)
    assert torch.allclose(column[:, bottom:].T, torch.tensor((0.8, 0.1, 0.1)), atol=1e-3)
    upper, lower = column[:, top + 3].mean(), column[:, bottom - 4].mean()
    assert upper > lower, "walls are brighter at their top"
    assert view.nearness[0, 14, 24].item() == pytest.approx(1 / 1.5, rel=0.05)
    assert view.nearness[0, 27, 24] > view.nearness[0, 14, 24], "the floor at one's feet is nearest"


def test_where_there_is_no_ceiling_the_sky_goes_round(room):
    memory = SpatialMemory(room.config)
    memory.load_state_dict(room.state_dict())
    memory.requires_grad_(False)
    memory.ceiling[3] = 0.0
    memory.sky.copy_(torch.arange(8.0)[None, None].expand_as(memory.sky) / 8)
    top = [
        memory.look(pose(2.0, 1.5, yaw, 0.3), CAMERA).frames[0, 0, 0, 24].item()
        for yaw in (0.0, 1.5, 1.5 + 2 * math.pi)
    ]
    assert top[0] != pytest.approx(top[1], abs=0.05)
    assert top[1] == pytest.approx(top[2], abs=1e-3)


def test_haze_hides_what_is_far(room):
    memory = SpatialMemory(room.config)
    memory.load_state_dict(room.state_dict())
    memory.requires_grad_(False)
    memory.haze[3] = 1e-3
    assert memory.look(pose(2.0, 1.5), CAMERA).frames.abs().max() < 1e-3, "all of it is the haze's own grey"


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
    parts = Networks(made.config, made.transformer, made.codec, None, spatial_memory=room, recogniser=made.recogniser)
    return Walk(parts, torch.zeros(1, 3, 32, 48), at)


def test_one_walks_until_the_wall_and_then_along_it(room):
    walk = walker(room, pose(2.0, 1.5, yaw=0.5))
    w = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    path = []
    for _ in range(60):
        walk.look(w, torch.zeros(1, 2))
        path.append((walk.pose.x.item(), walk.pose.y.item()))
    assert path[-1][0] == pytest.approx(EAST, abs=0.08) and path[-1][1] == pytest.approx(SOUTH, abs=0.08)
    assert all(WEST < x < EAST and NORTH < y < SOUTH for x, y in path)
    along = [y for x, y in path if x > EAST - 0.09]
    assert along == sorted(along) and len(set(along)) > 3, "it slid along the east wall"


def test_every_action_moves_the_pose_as_the_camera_says(room):
    walk, still = walker(room, pose(2.0, 1.5)), torch.zeros(1, 2)
    walk.look(torch.tensor([[0.0, 0.0, 0.0, 1.0]]), still)  # D, looking east, goes south
    assert walk.pose.y.item() == pytest.approx(1.5 + CAMERA.config.side_step)
    walk.look(torch.zeros(1, 4), torch.tensor([[0.05, 0.1]]))
    assert math.degrees(walk.pose.yaw.item()) == pytest.approx(0.1 * CAMERA.config.yaw_per_unit, rel=1e-4)
    assert math.degrees(walk.pose.pitch.item()) == pytest.approx(0.05 * CAMERA.config.pitch_per_unit, rel=1e-4)


def test_a_closer_look_finds_the_place_from_one_near_by(room):
    true = torch.tensor([[1.8, 1.4, 0.4, 0.0], [2.2, 1.7, 2.5, 0.1]])
    view = _BlurredView(room, CAMERA, 2)
    target = view.of(true)
    start = true + torch.tensor([0.08, -0.06, 0.05, 0.02])
    found, error = _closer(start, target, view, looks=8)
    assert ((found - true)[:, :2].norm(dim=1) < 0.02).all()
    assert ((found - true)[:, 2:].abs() < 0.02).all()
    assert (error < 0.3 * (view.of(start) - target).abs().mean(1)).all()


def test_guesses_are_the_places_that_the_network_finds_likeliest():
    recogniser = Recogniser(RecogniserConfig(per_cell=2, headings=8), SpatialMemoryConfig(rows=3, columns=4))
    guess = recogniser(torch.zeros(1, 3, 56, 96))
    place = torch.zeros_like(guess.place)
    place[0, 8 * 3 + 5], place[0, 8 * 1 + 2] = 9.0, 8.0  # row 3, column 5; row 1, column 2
    heading = torch.zeros_like(guess.heading)
    heading[0, 2] = 1.0
    beside = torch.tensor([[0.25, -0.25, 0.0, 0.1]])
    poses = recogniser.poses(replace(guess, place=place, heading=heading, beside=beside), 2)
    assert torch.allclose(poses.x, torch.tensor([[(5.75) / 2, (2.75) / 2]]))
    assert torch.allclose(poses.y, torch.tensor([[(3.25) / 2, (1.25) / 2]]))
    assert torch.allclose(poses.yaw, torch.full((1, 2), 2.5 * math.pi / 4))
    assert torch.allclose(poses.pitch, torch.full((1, 2), 0.1))
