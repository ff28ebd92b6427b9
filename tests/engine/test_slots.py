"""Claims about what lives in the remembered place, on a room made by hand with one who walks, a ball and a door."""

import copy
import math
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F

from engine.config.memory import SlotsConfig, SpatialMemoryConfig
from engine.nets.networks import EmbeddedNetworks
from engine.nets.slots import OPENS, ROLLS, WALKS, SlotMemory, Slots, beside
from engine.nets.spatial_memory import Pose, SpatialMemory
from engine.nets.spotting import find, nobody
from engine.rollout.memory_condition import MemoryCondition, Walk
from engine.training.unroll import camera_of
from tests.engine.tiny import networks, random_actions, small_config

WIDTH, HEIGHT = 128, 80
WORLD = SpatialMemoryConfig(rows=6, columns=8, texels=32, ceiling_texels=32, levels=20, edges=8, strips=1200, floors=48,
                            ceilings=48, sky=(16, 64))  # fmt: skip
CONFIG = SlotsConfig(count=4, looks=3, views=4, phases=2, tiles=16, size=(16, 8), width=8)
WALKER, BALL, DOOR = 0, 1, 2
KEYS, STILL = torch.zeros(1, 4), torch.zeros(1, 2)
W = torch.tensor([[1.0, 0.0, 0.0, 0.0]])


def pose(x: float, y: float, yaw: float = 0.0) -> Pose:
    return Pose(*(torch.tensor([value]) for value in (x, y, yaw, 0.0, 0.5)))


@pytest.fixture(scope="module")
def room() -> SpatialMemory:
    """A grey room of 7 x 5 cells with a pillar at 4, 3; noon all day."""
    memory = SpatialMemory(WORLD)
    low, right, deep = 0.5, 7.5, 5.5
    pillar = (3.8, 2.8, 4.2, 3.2)
    lines = [(low, low, right, low), (low, deep, right, deep), (low, low, low, deep), (right, low, right, deep)]
    west, north, east, south = pillar
    lines += [(west, north, east, north), (west, south, east, south), (west, north, west, south),
              (east, north, east, south)]  # fmt: skip
    memory.edges[:] = torch.tensor(lines)
    memory.strips[..., :3], memory.strips[..., 6] = 120, 255
    memory.floor[..., :3], memory.ceiling[..., :3], memory.ceiling[..., 6] = 70, 170, 255
    memory.floor_cells.copy_(torch.arange(1, 49).view(6, 8))
    memory.ceiling_cells.copy_(torch.arange(1, 49).view(6, 8))
    memory.light[:, 0] = memory.light[:, 2] = 1.0
    memory.outline[:4] = torch.tensor(((0.8, 0.8, 5.2), (7.2, 0.8, 5.2), (3.6, 2.6, 3.4), (4.4, 2.6, 3.4)))
    return memory


@pytest.fixture(scope="module")
def living() -> SlotMemory:
    """One who walks, of another colour from every side; a ball; a door at x = 6; and room for one more."""
    torch.manual_seed(0)
    slots = SlotMemory(CONFIG, WORLD).requires_grad_(False)
    slots.tiles[..., 3] = 128
    colours = torch.tensor(((255, 40, 40), (40, 255, 40), (40, 40, 255), (255, 255, 40)), dtype=torch.uint8)
    for side in range(4):
        for phase in range(3):
            number = 1 + side * 3 + phase
            slots.tiles[number, :, :, :3] = colours[side]
            slots.tiles[number, phase * 4 : phase * 4 + 4, :, :3] = 255  # where in its stride it is
            slots.tile[WALKER, side, phase] = number
            slots.frame[number] = torch.tensor((-0.12, 0.12, 0.0, 0.6))
    slots.tile[BALL], slots.tile[DOOR] = 13, 14
    slots.tiles[13, ..., :3], slots.tiles[14, ..., :3] = 255, torch.tensor((20, 20, 90), dtype=torch.uint8)
    slots.frame[13], slots.frame[14] = torch.tensor((-0.1, 0.1, 0.0, 0.2)), torch.tensor((0.0, 0.0, 0.0, 1.0))
    slots.census[:3] = torch.tensor((1 + WALKER, 1 + BALL, 1 + DOOR))
    slots.shut[2], slots.ajar[2] = torch.tensor((6.0, 2.0, 6.0, 3.0)), torch.tensor((6.0, 1.0, 6.0, 2.0))
    slots.met += 255
    moves = slots.dynamics
    moves.role[:] = torch.tensor((WALKS, ROLLS, OPENS))
    moves.pace[:], moves.stride[:] = 0.03, 0.3
    moves.rolling[:] = torch.tensor((0.5, 0.08, 0.95, 0.5))
    for layer in (moves.decide[-1], moves.opening[0], moves.opening[2]):
        layer.weight.zero_()
        layer.bias.zero_()
    moves.decide[-1].bias[0] = 2.0  # it mostly walks
    moves.opening[0].weight[0, 0], moves.opening[0].bias[0] = -8.0, 9.6  # large within 1.2 cells
    moves.opening[2].weight[0, 0], moves.opening[2].bias[0] = 0.1, -0.1
    return slots


def state(x: float, y: float, heading: float = 0.0, look: int = WALKER, walks: bool = True) -> Slots:
    """The one who walks (or the ball) at a place, and nobody else but the door."""
    slots = nobody(torch.zeros(1, 3, 4, 4), CONFIG.count)
    first = torch.tensor([[True, False, False, False]])

    def only(value: float) -> torch.Tensor:
        return torch.where(first, value, 0.0)

    look_of = torch.tensor([[look, BALL, DOOR, 0]])
    there = torch.tensor([[True, False, True, False]])
    door = torch.tensor([[False, False, True, False]])
    return replace(
        slots, look=look_of, there=there, x=only(x) + 6.0 * door, y=only(y) + 2.5 * door, heading=only(heading),
        speed=only(0.03 if walks else 0.0), stride=only(0.1),
    )  # fmt: skip


@lru_cache
def made() -> EmbeddedNetworks:
    return networks(replace(small_config(), width=WIDTH, height=HEIGHT))


def parts(room: SpatialMemory, living: SlotMemory) -> EmbeddedNetworks:
    return replace(made(), spatial_memory=room, slots=living)


def walk(room, living, at: Pose, slots: Slots | None = None, frames=None, seed: int = 0) -> Walk:
    frames = torch.zeros(len(at.x), 3, HEIGHT, WIDTH) if frames is None else frames
    return Walk(parts(room, living), frames, at, seed, slots)


def seen(room, living, at: Pose, slots: Slots) -> torch.Tensor:
    """What the memory with slots in it shows, (B, 3, H, W)."""
    return walk(room, living, at, slots)._seen()[0].frames


def test_somebody_is_found_in_the_first_picture_where_they_stand(room, living):
    at = pose(1.5, 2.0)
    for x, y, heading in ((3.5, 2.0, 0.0), (4.5, 1.5, math.pi / 2), (3.0, 2.6, math.pi), (2.37, 1.83, 0.0)):
        true = state(x, y, heading)
        frames = seen(room, living, at, true)
        found = find(frames, at, room, living, camera_of(parts(room, living)), 0)
        assert found.there[0, 0]
        pixel = (x - 1.5) / camera_of(parts(room, living)).focal
        assert abs((found.y[0, 0] - 2.0) / (found.x[0, 0] - 1.5) * (x - 1.5) - (y - 2.0)) < 0.4 * pixel
        assert abs(found.x[0, 0] - x) < 0.02 * (x - 1.5)
        off = (found.heading[0, 0].item() - heading + math.pi) % (2 * math.pi) - math.pi
        assert abs(off) <= math.pi / 4 + 0.05, "the side that is seen"
        assert found.speed[0, 0] > 0, "in the middle of a stride"


def test_nobody_is_found_where_nobody_is_and_the_rest_are_out_of_sight(room, living):
    at = pose(1.5, 2.0)
    empty = replace(state(3, 2), there=torch.tensor([[False, False, True, False]]))
    frames = seen(room, living, at, empty)
    for seed in range(4):
        found = find(frames, at, room, living, camera_of(parts(room, living)), seed)
        made = seen(room, living, at, found)
        assert (made - frames).abs().max() < 0.02


@pytest.mark.parametrize(("x", "y"), [(2.8, 2.1), (3.0, 1.8), (2.6, 2.3)])
def test_two_in_one_another_s_way_are_both_found(room, living, x, y):
    """A ball at the feet of one who walks."""
    at, true = pose(1.5, 2.0), state(3.4, 2.0, math.pi / 2)
    ball = torch.tensor([[False, True, False, False]])
    true = replace(true, there=true.there | ball, x=torch.where(ball, x, true.x), y=torch.where(ball, y, true.y))
    found = find(seen(room, living, at, true), at, room, living, camera_of(parts(room, living)), 0)
    for slot in (0, 1):
        assert found.there[0, slot]
        assert torch.hypot(found.x - true.x, found.y - true.y)[0, slot] < 0.15


def test_a_foreign_picture_says_nothing_of_who_is_where(room, living):
    at, camera = pose(1.5, 2.0), camera_of(parts(room, living))
    pictures = [torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(n)) * 2 - 1 for n in range(2)]
    one, other = (find(picture, at, room, living, camera, 3) for picture in pictures)
    assert torch.equal(one.x, other.x) and torch.equal(one.heading, other.heading)


def test_who_is_out_of_sight_is_another_s_by_another_seed(room, living):
    at, camera = pose(1.5, 2.0, math.pi), camera_of(parts(room, living))
    frames = room.look(at, camera).frames
    places = [find(frames, at, room, living, camera, seed).x[0, 0].item() for seed in (1, 1, 2)]
    assert places[0] == places[1] != places[2]


def test_one_who_walks_goes_on_while_nobody_looks(room, living):
    here = walk(room, living, pose(1.5, 2.0, math.pi), state(3.0, 2.0))
    before = (here.slots.x[0, 0], here.slots.y[0, 0])
    for _ in range(60):
        here.look(KEYS, STILL)
    assert here.slots.there[0, 0]
    assert math.hypot(here.slots.x[0, 0] - before[0], here.slots.y[0, 0] - before[1]) > 0.2
    assert room.standing(here.slots.x[0, :1], here.slots.y[0, :1])


def test_a_pillar_hides_who_is_behind_it(room, living):
    at = pose(1.5, 3.0)
    camera = camera_of(parts(room, living))
    empty = seen(room, living, at, replace(state(5, 3), there=torch.tensor([[False, False, True, False]])))
    behind, before = (seen(room, living, at, state(x, 3.0, math.pi / 2)) for x in (5.0, 3.0))
    middle = slice(camera.width // 2 - 3, camera.width // 2 + 3)
    assert torch.equal(behind[..., middle], empty[..., middle])
    assert (before[..., middle] - empty[..., middle]).abs().max() > 0.5


def test_seeds_decide_where_they_go_and_the_same_seed_goes_the_same_way(room, living):
    ways = []
    for seed in (1, 1, 2):
        here = walk(room, living, pose(1.5, 2.0), state(3.0, 2.0), seed=seed)
        for _ in range(40):
            here.look(KEYS, STILL)
        ways.append((here.slots.x[0, 0].item(), here.slots.y[0, 0].item()))
    assert ways[0] == ways[1] != ways[2]


def test_a_batch_of_worlds_is_as_each_alone(room, living):
    at = [pose(1.5, 2.0), pose(2.0, 4.0, 0.3), pose(6.0, 4.0, 2.0)]
    begins = [state(3.0, 2.0), state(3.0, 4.0, 1.0), state(5.0, 4.5, 4.0)]
    together = Pose(*(torch.cat(parts) for parts in zip(*(vars(one).values() for one in at), strict=True)))
    joined = Slots(*(torch.cat(parts) for parts in zip(*(vars(one).values() for one in begins), strict=True)))
    batch = walk(room, living, together, joined, seed=5)
    singles = [
        walk(room, living, one, slots, seed=5 + n) for n, (one, slots) in enumerate(zip(at, begins, strict=True))
    ]
    for _ in range(12):
        batch.look(W.expand(3, -1), STILL.expand(3, -1))
        for one in singles:
            one.look(W, STILL)
    for n, one in enumerate(singles):
        for name, part in vars(one.slots).items():
            assert torch.allclose(getattr(batch.slots, name)[n].float(), part[0].float(), atol=1e-5), name
        assert torch.allclose(batch.remembered[n], one.remembered[0], atol=0.02)


def test_a_snapshot_holds_the_slots_and_goes_on_bit_for_bit(room, living):
    condition = MemoryCondition(parts(room, living), torch.zeros(1, 1, 3, HEIGHT, WIDTH), seed=1)
    config = condition._walk
    config.pose, config.slots = pose(1.5, 2.0), state(3.0, 2.0)
    actions = [random_actions(replace(small_config(), width=WIDTH, height=HEIGHT), 1, seed) for seed in range(12)]
    for n in range(4):
        condition.for_block(n, 1, actions[n])
    moment = condition.snapshot()
    first = [condition.for_block(n, 1, actions[n]) for n in range(4, 12)]
    ended = condition.snapshot()
    condition.restore(moment)
    again = [condition.for_block(n, 1, actions[n]) for n in range(4, 12)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for name, part in vars(condition.snapshot().slots).items():
        assert torch.equal(part, getattr(ended.slots, name)), name


def test_a_door_opens_as_one_comes_near_and_shuts_behind(room, living):
    here = walk(room, living, pose(3.0, 2.5), state(2.0, 4.5))
    for _ in range(8):
        here.look(KEYS, STILL)
    assert here.slots.open[0, 2] == 0
    here.pose = pose(5.2, 2.5)
    for _ in range(20):
        here.look(KEYS, STILL)
    assert here.slots.open[0, 2] > 0.9
    here.pose = pose(2.0, 2.5)
    for _ in range(40):
        here.look(KEYS, STILL)
    assert here.slots.open[0, 2] < 0.1


@pytest.mark.parametrize(("before", "behind"), [((4.0, 2.0), "room"), ((7.3, 2.0), "a wall")])
def test_who_is_walked_into_steps_back_or_aside(room, living, before, behind):
    keeps = copy.deepcopy(living)
    keeps.dynamics.keeps.fill_(0.4)
    nearest = {}
    for slots in (living, keeps):
        here = walk(room, slots, pose(before[0] - 1.2, before[1]), state(*before, look=WALKER, walks=False))
        apart = []
        for _ in range(30):
            here.look(W, STILL)
            apart.append(math.hypot(here.slots.x[0, 0] - here.pose.x[0], here.slots.y[0, 0] - here.pose.y[0]))
        nearest[slots is keeps] = min(apart)
        assert beside(room, here.slots.x, here.slots.y)[0, 0] > 0.05, behind
    assert nearest[False] < 0.3 and nearest[True] > 0.34, behind


def test_a_ball_is_pushed_and_comes_to_rest_and_back_from_a_wall(room, living):
    here = walk(room, living, pose(1.5, 2.0), state(2.5, 2.0, look=BALL, walks=False))
    farthest = 0.0
    for _ in range(30):
        here.look(W, STILL)
        farthest = max(farthest, here.slots.x[0, 0].item())
    assert farthest > 3.0 and abs(here.slots.y[0, 0].item() - 2.0) < 0.05
    for _ in range(100):
        here.look(KEYS, STILL)
    rest = here.slots.x[0, 0].item()
    here.look(KEYS, STILL)
    assert here.slots.x[0, 0].item() == pytest.approx(rest, abs=1e-3)


def test_where_somebody_is_or_just_was_the_frame_before_says_nothing(room, living):
    """A walker in the frame before leaves no trace beside itself in either view."""
    at, begin = pose(1.5, 2.0), state(3.0, 2.0, math.pi / 2)
    frames = seen(room, living, at, begin)
    here = walk(room, living, at, begin, frames)
    here.look(KEYS, STILL)
    moved, remembered = here._views[:, 0], here._views[:, 1]
    assert (frames - remembered).abs().max() > 0.5, "it went on"
    assert (moved - remembered).abs().max() < 0.05


def test_a_world_without_slots_is_as_before(room):
    empty = SlotMemory(CONFIG, WORLD).requires_grad_(False)
    here = walk(room, empty, pose(1.5, 2.0))
    here.look(W, STILL)
    assert here.slots is None
    assert torch.equal(here.remembered, room.look(here.pose, here.camera, here.flicker).frames.clamp(-1, 1))


def test_both_leaves_of_a_door_answer_to_the_distance_of_its_doorway(living):
    """They part at 6, 3: the one that slides north lies from 2 to 3, the one that slides south from 3 to 4."""
    other = SlotMemory(CONFIG, WORLD)
    other.load_state_dict(living.state_dict())
    other.shut[3], other.ajar[3] = torch.tensor((6.0, 3.0, 6.0, 4.0)), torch.tensor((6.0, 4.0, 6.0, 5.0))
    assert other.doorways[2:].tolist() == [[6.0, 3.0], [6.0, 3.0]]


def test_who_is_out_of_sight_at_first_is_not_near(room, living):
    """A foreign picture shows nobody, so everybody was put somewhere; one looks west, in the west of the room."""
    frames = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 2 - 1
    at = pose(1.2, 2.5, math.pi)
    for seed in range(12):
        found = find(frames, at, room, living, camera_of(parts(room, living)), seed)
        walks = found.there[0] & (living.dynamics.role[found.look[0]] == WALKS)
        assert walks.any() and (torch.hypot(found.x[0] - 1.2, found.y[0] - 2.5)[walks] > 3.9).all()


def test_what_is_seen_without_somebody_differs_where_they_are_alone(room, living):
    """Though the first picture differs from memory everywhere: it is a little brighter."""
    at, here = pose(1.5, 2.0), state(4.0, 1.5)
    frames = (seen(room, living, at, here) * 0.97 + 0.03).clamp(-1, 1)
    walked = walk(room, living, at, here, frames=frames)
    walked.look(KEYS, STILL)
    everybody, nobody_ = walked.slots.there, torch.zeros_like(walked.slots.there)
    assert torch.equal(walked.seen_with(everybody), walked.remembered)
    off = (walked.remembered - walked.seen_with(nobody_)).abs().amax(1)[0] > 1e-3
    shown = F.interpolate(walked.shown, scale_factor=HEIGHT // walked.shown.shape[2])[0, 0] > 0
    assert 20 < off.sum() < off.numel() / 8 and not (off & ~shown).any()
