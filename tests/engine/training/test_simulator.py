"""Claims about the world that the embedded model learned, and the random players in it."""

import math

import pytest
import torch

from engine.config.memory import CameraConfig
from engine.measures.pictures import psnr
from engine.nets.camera import Camera, Motion
from engine.training.policy import Players, World
from engine.training.poses import random_views
from engine.training.scenes import VIEWPOINTS, render
from engine.training.simulator import MAP, PLACES, Simulator

W, S, A, D = (torch.eye(4)[i] for i in range(4))
IDLE = torch.zeros(4)
STILL = torch.zeros(2)


def camera(**changes) -> Camera:
    return Camera(CameraConfig(**changes), 72, 40)


def walk(simulator: Simulator, keys, mouse=STILL, frames: int = 1) -> None:
    for _ in range(frames):
        simulator.step(keys.expand(simulator.players, 4), mouse.expand(simulator.players, 2))


def test_pictures_are_of_the_camera_s_size_and_range():
    picture = Simulator(3, 0, camera()).render()
    assert picture.shape == (3, 3, 40, 72)
    assert picture.min() >= -1 and picture.max() <= 1


def test_the_same_seed_gives_the_same_world_and_play():
    first, second = World(4, 7, camera(), 0.1), World(4, 7, camera(), 0.1)
    assert torch.equal(first.restart(), second.restart())
    for _ in range(5):
        assert all(torch.equal(a, b) for a, b in zip(first.step(), second.step(), strict=True))


def test_another_seed_starts_elsewhere():
    assert not torch.equal(Simulator(4, 0, camera()).render(), Simulator(4, 1, camera()).render())


def test_nobody_walks_into_a_wall():
    world = World(64, 3, camera(), 0.1)
    for _ in range(100):
        world.simulator.step(*world.players.act())
    assert world.simulator.is_free(world.simulator.x, world.simulator.y).all()


def test_every_place_can_be_walked_to_from_every_other():
    simulator = Simulator(1, 0, camera())
    cells = {(r, c) for r, row in enumerate(MAP) for c, cell in enumerate(row) if cell != "#"}
    reached, todo = set(), [next(iter(cells))]
    while todo:
        row, column = todo.pop()
        if (row, column) not in cells or (row, column) in reached:
            continue
        reached.add((row, column))
        todo += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    assert reached == cells
    assert {place.letter for place in PLACES} == {cell for row in MAP for cell in row} - {"#"}
    assert simulator.open.sum() == len(cells)


@pytest.mark.parametrize(("keys", "ahead", "right"), [(W, 1, 0), (S, -1, 0), (A, 0, -1), (D, 0, 1)])
def test_keys_move_the_way_they_say(keys, ahead, right):
    simulator = Simulator(1, 0, camera())
    simulator.x, simulator.y, simulator.yaw = torch.tensor([3.0]), torch.tensor([12.5]), torch.tensor([0.3])
    x, y = simulator.x.clone(), simulator.y.clone()
    walk(simulator, keys)
    moved = torch.stack([simulator.x - x, simulator.y - y]).flatten()
    forward = torch.tensor([math.cos(0.3), math.sin(0.3)])
    sideways = torch.tensor([-math.sin(0.3), math.cos(0.3)])
    assert torch.sign(moved @ forward).item() == ahead or abs(moved @ forward) < 1e-6
    assert torch.sign(moved @ sideways).item() == right or abs(moved @ sideways) < 1e-6
    assert moved.norm() > 0.01


def test_looking_up_has_a_limit():
    simulator = Simulator(2, 0, camera())
    walk(simulator, IDLE, torch.tensor((0.1, 0.0)), 60)
    assert torch.allclose(simulator.pitch, torch.tensor(math.radians(CameraConfig().pitch_limit)))


def test_turning_all_the_way_round_shows_the_same_picture():
    config = CameraConfig()
    simulator = Simulator(4, 5, camera())
    first = simulator.render()
    unit = 360 / 100 / config.yaw_per_unit
    walk(simulator, IDLE, torch.tensor((0.0, unit)), 100)
    assert psnr(simulator.render(), first) > 45


def test_a_turned_picture_is_what_the_simulator_shows_after_a_turn():
    simulator = Simulator(16, 2, camera())
    lens, before, level = simulator.camera, simulator.render(), simulator.pitch
    mouse = torch.tensor((0.05, 0.1)).expand(16, 2)
    walk(simulator, IDLE, mouse[0])
    motion = Motion(
        lens.turn(mouse), torch.zeros(16), torch.zeros(16), lens.horizon(level), lens.horizon(simulator.pitch)
    )
    turned, after = lens.moved(before, motion, torch.ones(16, 40, 72)), simulator.render()
    inner = (slice(None), slice(None), slice(4, 36), slice(4, 60))  # what was not yet in the picture cannot be shown
    assert psnr(turned[inner], after[inner]) > 32
    assert psnr(turned[inner], after[inner]) > psnr(before[inner], after[inner]) + 6


def test_a_wall_ahead_comes_nearer_as_it_should():
    simulator = Simulator(1, 0, camera())
    lens = simulator.camera
    # in the hall, looking at its west wall, whose face is at x = 1
    simulator.x, simulator.y, simulator.yaw = torch.tensor([2.0]), torch.tensor([4.5]), torch.tensor([math.pi])
    before, horizon = simulator.render(), lens.horizon(simulator.pitch)
    walk(simulator, W)
    ahead = 2.0 - simulator.x
    ground = (lens.rows - horizon).abs() / (lens.config.eye_height * lens.focal)
    nearness = torch.maximum(1 / (simulator.x - 1), ground)[None, :, None].expand(1, 40, 72)
    still = torch.zeros(1)
    moved, after = lens.moved(before, Motion(still, ahead, still, horizon, horizon), nearness), simulator.render()
    middle = (slice(None), slice(None), slice(None), slice(20, 52))  # only there it is that wall
    assert psnr(moved[middle], after[middle]) > psnr(before[middle], after[middle]) + 6


def test_players_press_every_key_and_look_every_way():
    players = Players(64, 0, 0.1)
    drawn = [players.act() for _ in range(100)]
    keyboard, mouse = (torch.stack(part).flatten(0, 1) for part in zip(*drawn, strict=True))
    assert (keyboard.sum(0) > 0).all()
    assert (mouse.amax(0) == 0.1).all() and (mouse.amin(0) == -0.1).all()
    assert ((keyboard == 0).all(1) & (mouse == 0).all(1)).any()


def test_shipped_scenes_are_what_the_simulator_renders():
    cv2 = pytest.importorskip("cv2")
    from engine.training.files import MODEL, ROOT, read_model

    model = read_model(MODEL)
    made = render(Camera(model.camera, model.width, model.height))
    assert set(made) == set(VIEWPOINTS)
    for name, picture in made.items():
        shipped = cv2.imread(str(ROOT / "assets" / "scenes" / f"{name}.png"))[..., ::-1]
        # Rounding may differ by a level between processors.
        assert abs(shipped.astype(int) - picture.numpy()).max() <= 1


def test_people_who_walked_on_stand_where_one_can_and_nearer_to_walls():
    simulator, rng = Simulator(256, 4, camera()), torch.Generator().manual_seed(0)

    def share_at_walls(walked: float) -> float:
        pose, _ = random_views(simulator, rng, walked=walked)
        assert simulator.is_free(pose.x, pose.y).all()
        step = 0.1
        around = [(step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step)]
        free = torch.stack([simulator.is_free(pose.x + dx, pose.y + dy) for dx, dy in around])
        return float((~free).any(0).float().mean())

    assert share_at_walls(1.0) > share_at_walls(0.0) + 0.1
