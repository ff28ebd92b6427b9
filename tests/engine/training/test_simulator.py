"""Claims about the world that the embedded model learned, and the random players in it."""

import math

import pytest
import torch

from engine.config.memory import CameraConfig
from engine.measures.pictures import psnr, sharpness
from engine.nets.camera import Camera, Motion
from engine.training.place import BOXES, NAMES, PLAN
from engine.training.policy import Players, World
from engine.training.poses import random_views
from engine.training.scenes import VIEWPOINTS, render
from engine.training.simulator import MARGIN, Simulator

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
    """On a grid of quarter cells, by what the simulator says is free."""
    simulator = Simulator(1, 0, camera())
    y, x = torch.meshgrid(torch.arange(0.125, len(PLAN), 0.25), torch.arange(0.125, len(PLAN[0]), 0.25), indexing="ij")
    free = simulator.is_free(x.flatten(), y.flatten()).view(x.shape)
    cells = {(int(r), int(c)) for r, c in free.nonzero()}
    reached, todo = set(), [next(iter(cells))]
    while todo:
        row, column = todo.pop()
        if (row, column) not in cells or (row, column) in reached:
            continue
        reached.add((row, column))
        todo += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    assert reached == cells
    assert {PLAN[int(y[r, c])][int(x[r, c])] for r, c in reached} == set(NAMES)


def test_nobody_stands_within_half_a_cell_of_anything_upright():
    simulator = Simulator(256, 1, camera())
    x, y = simulator.x[:, None], simulator.y[:, None]
    left, top, wide, deep = torch.tensor([box[:4] for box in BOXES]).unbind(1)
    apart = torch.maximum(torch.maximum(left - x, x - left - wide), torch.maximum(top - y, y - top - deep))
    assert MARGIN >= 0.5 and (apart >= MARGIN - 1e-5).all()


def test_the_world_itself_is_crisp():
    """Half of its pictures have 45 grey levels a pixel and more, and hardly any is bare."""
    simulator = Simulator(48, 11, Camera(CameraConfig(), 256, 144))
    _, pictures = random_views(simulator, torch.Generator().manual_seed(0), level=1.0, walked=0.5)
    sharp = sharpness(pictures)
    assert sharp.median() >= 45
    assert sharp.quantile(0.1) >= 20


@pytest.mark.parametrize("name", VIEWPOINTS)
def test_twelve_seconds_ahead_from_every_scene_never_end_at_a_bare_wall(name):
    config = CameraConfig(forward_step=0.06)
    simulator = starting(name, Camera(config, 192, 112))
    shown = []
    for second in range(12):
        before = simulator.x.clone(), simulator.y.clone()
        walk(simulator, W, frames=20)
        went = torch.hypot(simulator.x - before[0], simulator.y - before[1])
        assert went > 0.5 * 20 * config.forward_step, f"second {second} ends against something"
        shown.append(simulator.render())
    assert sharpness(torch.cat(shown)).min() > 30


def starting(name: str, lens: Camera) -> Simulator:
    """One player where the scene begins."""
    x, y, degrees, hour = VIEWPOINTS[name]
    simulator = Simulator(1, 0, lens)
    simulator.x, simulator.y, simulator.yaw, simulator.hour = (
        torch.tensor([float(value)]) for value in (x, y, math.radians(degrees), hour)
    )
    return simulator


def test_a_day_goes_by_in_two_minutes_and_changes_the_light():
    simulator = starting("terrace", camera())
    brightness = []
    for _ in range(8):
        brightness.append(float(simulator.render().mean()))
        walk(simulator, IDLE, frames=300)
    assert max(brightness) > min(brightness) + 0.3
    assert abs(float(simulator.render().mean()) - brightness[0]) < 0.05, "it is the same hour again"


def test_lamps_flicker_and_nothing_else_changes_while_one_stands():
    simulator = starting("library", camera())
    simulator.hour[:] = 0.0
    pictures = []
    for _ in range(12):
        walk(simulator, IDLE)
        pictures.append(simulator.render())
    changes = torch.cat(pictures).diff(dim=0).abs().mean((1, 2, 3)) * 127.5
    assert 0.05 < changes.mean() < 6


@pytest.mark.parametrize(("keys", "ahead", "right"), [(W, 1, 0), (S, -1, 0), (A, 0, -1), (D, 0, 1)])
def test_keys_move_the_way_they_say(keys, ahead, right):
    simulator = Simulator(1, 0, camera())
    simulator.x, simulator.y, simulator.yaw = torch.tensor([6.0]), torch.tensor([11.0]), torch.tensor([0.3])
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
    simulator.hour[:] = 0.5
    first = simulator.render()
    unit = 360 / 100 / config.yaw_per_unit
    walk(simulator, IDLE, torch.tensor((0.0, unit)), 100)
    simulator.hour[:], simulator.flicker[:] = 0.5, 0.0
    assert psnr(simulator.render(), first) > 40


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
    assert psnr(turned[inner], after[inner]) > psnr(before[inner], after[inner]) + 3


def test_a_wall_ahead_comes_nearer_as_it_should():
    simulator = Simulator(1, 0, camera())
    lens = simulator.camera
    # in the hall, looking at its west wall, whose face is at x = 1
    simulator.x, simulator.y, simulator.yaw = torch.tensor([2.0]), torch.tensor([4.0]), torch.tensor([math.pi])
    simulator.hour = torch.tensor([0.5])
    before, horizon = simulator.render(), lens.horizon(simulator.pitch)
    walk(simulator, W)
    ahead = 2.0 - simulator.x
    ground = (lens.rows - horizon).abs() / (lens.config.eye_height * lens.focal)
    nearness = torch.maximum(1 / (simulator.x - 1), ground)[None, :, None].expand(1, 40, 72)
    still = torch.zeros(1)
    moved, after = lens.moved(before, Motion(still, ahead, still, horizon, horizon), nearness), simulator.render()
    middle = (slice(None), slice(None), slice(None), slice(20, 52))  # only there it is that wall
    assert psnr(moved[middle], after[middle]) > psnr(before[middle], after[middle]) + 2


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
