"""Claims about who lives in the simulated world."""

import math

import pytest
import torch

from engine.config.memory import CameraConfig
from engine.measures.pictures import grey
from engine.nets.camera import Camera
from engine.training import figures
from engine.training.inhabitants import (
    BALLS,
    BEARERS,
    DOORS,
    DOORWAYS,
    KEPT,
    KINDS,
    THINGS,
    WALKERS,
    Inhabitants,
    in_view,
    lanes,
)
from engine.training.place import is_free
from engine.training.policy import World
from engine.training.simulator import Simulator

CAMERA = Camera(CameraConfig(forward_step=0.06), 96, 54)
W = torch.tensor((1.0, 0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def played():
    """Ten seconds of random play of 32 players: where walkers, balls and players were, frame by frame."""
    world = World(24, 5, CAMERA, 0.1, folk=True)
    rows = []
    for _ in range(200):
        world.simulator.step(*world.players.act())
        folk, here = world.simulator.folk, world.simulator
        rows.append((folk.x, folk.y, folk.heading, folk.ball_x, folk.ball_y, here.x, here.y))
    return [torch.stack([part.clone() for part in column]) for column in zip(*rows, strict=True)]


def alone(x: float, y: float, yaw: float = 0.0) -> Simulator:
    """One player at x, y at noon, and his folk where they happen to be."""
    simulator = Simulator(1, 3, CAMERA, folk=True)
    for part, value in (("x", x), ("y", y), ("yaw", yaw), ("hour", 0.5)):
        setattr(simulator, part, torch.tensor([value]))
    simulator.repeople()
    return simulator


def wait(simulator: Simulator, frames: int, keys=None) -> None:
    for _ in range(frames):
        simulator.step((torch.zeros(4) if keys is None else keys)[None], torch.zeros(1, 2))


def test_nobody_is_ever_in_a_wall(played):
    x, y, _, ball_x, ball_y, _, _ = played
    assert is_free(x, y, 0.15).all()
    assert is_free(ball_x, ball_y, figures.BALL_SIZE / 2 - 0.01).all()


def test_lanes_lead_on_and_back_and_through_several_halls():
    net = lanes()
    for start, row in enumerate(net.onward.tolist()):
        for direction, end in enumerate(row):
            if end >= 0:
                assert net.onward[end, (direction + 2) % 4] == start
                share = torch.linspace(0, 1, 40)[:, None]
                along = torch.lerp(net.places[start], net.places[end], share)
                assert is_free(along[:, 0], along[:, 1], 0.35).all()
    reached, todo = set(), [0]
    while todo:
        here = todo.pop()
        if here not in reached:
            reached.add(here)
            todo += [n for n in net.onward[here].tolist() if n >= 0]
    assert len(reached) == len(net.places)


def test_walkers_walk_turn_and_stop(played):
    x, y, heading, *_ = played
    steps = torch.hypot(x.diff(dim=0), y.diff(dim=0))
    bearers = steps[:, :, :BEARERS]
    moving = bearers > 1e-4
    assert 0.4 < moving.float().mean() < 0.95, "most walk, some stand"
    usual = bearers[moving].quantile(0.95)
    assert usual <= 0.036
    went = torch.atan2(y.diff(dim=0), x.diff(dim=0))
    off = (went - heading[1:] + math.pi) % (2 * math.pi) - math.pi
    assert off[steps > 0.015].abs().quantile(0.9) < 0.6, "they look where they go"
    turned = (heading.diff(dim=0).abs() > 0.05).any(0)
    assert turned.float().mean() > 0.5


def test_walkers_keep_away_from_players(played):
    x, y, _, _, _, px, py = played
    away = torch.hypot(x - px[..., None], y - py[..., None])
    assert (away < KEPT).float().mean() < 2e-3
    assert away.min() > 0.15


def test_a_walker_waits_before_somebody_who_stands_in_its_way():
    simulator = alone(6.0, 4.0)
    folk = simulator.folk
    place = lanes().places.tolist().index([9.25, 4.0])
    folk.x[0, 0], folk.y[0, 0], folk.heading[0, 0], folk.rest[0, 0] = 8.0, 3.8, math.pi, 0.0
    west = lanes().onward[place, 2]
    folk._target[0, 0], folk._direction[0, 0] = west, 2
    wait(simulator, 60)
    assert folk.x[0, 0] - 6.0 > KEPT
    assert folk.x[0, 0] - 6.0 < 2.0, "and it had come"


@pytest.mark.parametrize("door", range(DOORS))
def test_a_door_opens_before_a_player_and_closes_behind_him(door):
    x, y, _ = DOORWAYS[door]
    simulator = alone(x, y - 2.2, math.pi / 2)
    wait(simulator, 20)
    assert simulator.folk.opened[0, door] == 0
    closed = grey(simulator.render())[0, 27, 40:56]
    wait(simulator, 25, W)
    assert simulator.folk.opened[0, door] == 1
    only = torch.tensor([kind == "door" for kind in KINDS])
    empty = simulator.empty()
    assert simulator.peopled(empty, only) is empty or torch.equal(
        simulator.peopled(empty, only).frames, empty.frames
    ), "an open door hides nothing"
    wait(simulator, 45, W)
    assert simulator.y > y + 1, "nothing stops him"
    simulator.yaw += math.pi
    wait(simulator, 15, -W)
    simulator.y[:] = y + 2.5
    wait(simulator, 20)
    assert simulator.folk.opened[0, door] == 0
    assert closed.std() > 0


def test_a_closed_door_hides_what_is_behind_it():
    x, y, _ = DOORWAYS[0]
    simulator = alone(x, y - 2.5, math.pi / 2)
    picture = simulator.empty()
    seen = simulator.peopled(picture, torch.tensor([kind == "door" for kind in KINDS]))
    assert picture.nearness[0, 27, 48].item() < 1 / 2.6
    assert seen.nearness[0, 27, 44:52].tolist() == pytest.approx([1 / 2.5] * 8, rel=1e-3)


def test_a_ball_rolls_off_the_way_it_is_pushed_and_comes_to_rest():
    simulator = alone(12.0, 4.0)
    folk = simulator.folk
    folk.ball_x[0, 0], folk.ball_y[0, 0] = 13.5, 4.0
    wait(simulator, 20, W)
    assert folk.ball_x[0, 0] > 13.55 and folk.ball_y[0, 0].item() == pytest.approx(4.0, abs=0.05)
    wait(simulator, 150)
    assert folk.ball_east[0, 0] == 0
    rested = folk.ball_x[0, 0].clone()
    wait(simulator, 20)
    assert folk.ball_x[0, 0] == rested
    assert rested > 14.5


def test_a_ball_stops_at_a_wall():
    simulator = alone(2.0, 1.75, math.pi)
    folk = simulator.folk
    folk.ball_x[0, 0], folk.ball_y[0, 0], folk.ball_east[0, 0] = 1.5, 1.75, -0.1
    wait(simulator, 30)
    assert folk.ball_x[0, 0] > 1 + figures.BALL_SIZE / 2 - 1e-3


def test_another_seed_sends_walkers_elsewhere_in_the_same_place():
    here, there = (Simulator(8, 4, CAMERA, folk=True, folk_seed=seed) for seed in (1, 2))
    again = Simulator(8, 4, CAMERA, folk=True, folk_seed=1)
    for one in (here, there, again):
        for _ in range(20):
            one.step(torch.zeros(8, 4), torch.zeros(8, 2))
    assert torch.equal(here.render(), again.render())
    assert torch.equal(here.empty().frames, there.empty().frames)
    assert (here.folk.places() - there.folk.places()).abs().mean() > 1


def test_as_seen_keeps_who_is_in_view_and_puts_the_others_elsewhere():
    simulator = Simulator(24, 5, CAMERA, True)
    told = simulator.as_seen(9)
    assert torch.equal(told.render(), simulator.render())
    folk, other = simulator.folk, told.folk
    shown = simulator.shown()
    assert shown.any() and not shown.all()
    assert torch.equal(other.x[shown], folk.x[shown]) and torch.equal(other.heading[shown], folk.heading[shown])
    assert (other.x[~shown] != folk.x[~shown]).all() and (other.speed[:, 0] != folk.speed[:, 0]).all()
    assert torch.equal(simulator.as_seen(9).folk.x, other.x) and not torch.equal(simulator.as_seen(8).folk.x, other.x)


def test_who_lives_there_changes_nothing_about_the_empty_place():
    with_them, without = Simulator(4, 9, CAMERA, folk=True), Simulator(4, 9, CAMERA)
    for one in (with_them, without):
        one.step(W.expand(4, 4), torch.zeros(4, 2))
    assert torch.equal(with_them.empty().frames, without.empty().frames)
    assert torch.equal(without.render(), without.empty().frames.clamp(0, 1) * 2 - 1)
    assert without.folk is None


def test_most_starts_show_somebody():
    simulator = Simulator(128, 21, CAMERA, folk=True)
    places = simulator.folk.places()
    assert places.shape == (128, THINGS, 2)
    seen = in_view(places[..., 0], places[..., 1], simulator.eyes, CAMERA)
    assert seen[:, :WALKERS].any(1).float().mean() > 0.5
    assert seen[:, WALKERS : WALKERS + BALLS].any(1).float().mean() > 0.15


def test_somebody_starts_anew_and_the_others_go_on():
    simulator = Simulator(3, 0, CAMERA, folk=True)
    before = simulator.folk.places()
    simulator.respawn(torch.tensor((False, True, False)))
    after = simulator.folk.places()
    assert torch.equal(before[0], after[0]) and torch.equal(before[2], after[2])
    assert not torch.equal(before[1], after[1])


def test_figures_have_hard_edges_and_their_lanterns_glow():
    texels = figures.textures()
    assert set(texels[..., 6].unique().tolist()) <= {0.0, 1.0}
    assert (texels[texels[..., 6] == 0] == 0).all()
    bearers = texels[: figures.CAT].view(figures.LOOKS, figures.VIEWS, figures.PHASES, -1, 8)
    lamp, cover = bearers[..., 3:6].mean(-1), bearers[..., 6]
    bright = (lamp > 0.8).sum(-1) / cover.sum(-1)
    assert (bright[:, (0, 1, 2, 6, 7)] > 0.015).all(), "the lantern, wherever it is on this side"
    assert (bright < 0.2).all() and (lamp.sum(-1) / cover.sum(-1) < 0.4).all(), "and the rest is dark at night"


def test_looks_sides_and_phases_differ():
    bearers = figures.textures()[: figures.CAT].view(figures.LOOKS, figures.VIEWS, figures.PHASES, -1)
    for first, second in (
        ((0, 0, 0), (1, 0, 0)),
        ((0, 0, 1), (0, 3, 1)),
        ((0, 2, 0), (0, 2, 1)),
        ((0, 2, 1), (0, 2, 3)),
    ):
        assert (bearers[first] - bearers[second]).abs().mean() > 0.002
    assert figures.LOOKS >= 3 and isinstance(Inhabitants(1, 0).opened, torch.Tensor)
