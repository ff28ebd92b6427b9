"""Claims about the measures of what moves: the simulator itself passes them, a bare place and spoilt movers do not."""

from dataclasses import replace

import pytest
import torch

from engine.config.memory import CameraConfig
from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose
from engine.training.alive import Alive, Sighting, Simulated, column_of, lasts, matching, seen_by
from engine.training.evaluate import Played
from engine.training.inhabitants import THINGS, WALKERS
from engine.training.simulator import Simulator
from tests.engine.tiny import networks, small_config

CAMERA = Camera(CameraConfig(forward_step=0.06, back_step=0.045), 64, 36)


class Frozen(Simulated):
    """Movers stay where they are in the first frame."""

    def step(self, keyboard, mouse):
        folk, self.simulator.folk = self.simulator.folk, None
        self.simulator.step(keyboard, mouse)
        self.simulator.folk = folk


class Faded(Simulated):
    """Movers go on, and nobody sees them."""

    @property
    def frames(self):
        return self.place


def measured(make, trials: int = 4) -> Alive:
    return Alive(make, CAMERA, 0.1, seed=2**40 + 3, trials=trials, seconds=(1, 2), patience=1)


def true(frames, simulator, seed):
    return Simulated(simulator)


def bare(frames, simulator, seed):
    simulator.folk = None
    return Simulated(simulator)


def frozen(frames, simulator, seed):
    return Frozen(simulator)


def faded(frames, simulator, seed):
    return Faded(simulator)


def another(frames, simulator, seed):
    return Simulated(simulator.copied(folk_seed=seed))


@pytest.fixture(scope="module")
def lasting():
    return {make.__name__: measured(make).lasting() for make in (true, bare, frozen, faded)}


def test_the_simulator_itself_is_perfect(lasting):
    found = lasting["true"]
    for seconds in ("1s", "2s"):
        row = found["after"][seconds]["model"]
        assert row["still_there"] == 1 and row["place_error"] == 0 and row["within_6_percent"] == 1
        assert row["in_sight_too"] == 1
        assert row["sharpness"] == pytest.approx(1)
    assert all(value == 60 for value in found["box_psnr"].values())


def test_the_place_alone_has_nobody_and_is_worse_where_they_are(lasting):
    row = lasting["bare"]["after"]["1s"]["model"]
    assert row["still_there"] == 0 and row["within_6_percent"] == 0 and row["in_sight_too"] == 0
    assert lasting["bare"]["found"] == 0 and lasting["true"]["found"] == 1
    assert lasting["bare"]["box_psnr"] == lasting["true"]["box_psnr_place_alone"]
    assert all(value < 25 for value in lasting["bare"]["box_psnr"].values())


def test_who_stands_still_is_there_and_in_the_wrong_place(lasting):
    row = lasting["frozen"]["after"]["2s"]["model"]
    assert row["still_there"] == 1
    assert row["place_error"] > 0.03


def test_who_is_not_drawn_is_not_there(lasting):
    seen = lasting["true"]["after"]["1s"]["model"]["still_there"]
    assert lasting["faded"]["after"]["1s"]["model"]["still_there"] < seen - 0.3, "but for those who are out of sight"
    assert lasting["faded"]["after"]["1s"]["model"]["within_6_percent"] == 0


def test_what_comes_out_from_behind_a_pillar_is_told():
    found = {
        make.__name__: replace(measured(make, trials=3), seconds=(1, 4)).behind_pillars()
        for make in (true, faded, frozen)
    }
    assert found["true"]["trials"] > 0
    assert found["true"]["model"]["went_behind"] > 0 and found["true"]["model"]["came_out"] > 0
    assert found["faded"]["model"]["came_out"] == 0
    assert found["frozen"]["model"]["went_behind"] == 0


def test_doors_that_answer_are_told_from_those_that_do_not():
    assert measured(true).doors()["answer"] == 1
    assert measured(bare).doors() | {"trials": 0} == {"trials": 0, "open": 0, "close": 0, "answer": 0}
    assert measured(frozen).doors()["answer"] == 0


def test_balls_that_roll_are_told_from_those_that_do_not():
    assert measured(true).balls()["answer"] == 1
    assert measured(frozen).balls()["answer"] == 0
    assert measured(bare).balls()["answer"] == 0


def test_two_seeds_go_elsewhere_in_the_same_place():
    found = measured(another, trials=3).seeds()
    assert found["apart"] > 0.05 and found["elsewhere"] > 0 and found["place_psnr"] > 40
    same = measured(true, trials=3).seeds()
    assert same["apart"] == 0 and same["place_psnr"] == 60


def test_a_jump_is_not_lasting():
    simulator = Simulator(2, 5, CAMERA, folk=True)
    run, which = Simulated(simulator), torch.zeros(2, dtype=torch.long)
    begun = run.movers.clone()
    assert lasts(run, which, begun, 10, Sighting.of(run, which)).all()
    simulator.folk.x[1, 0] = (simulator.folk.x[1, 0] + 10) % 30
    assert lasts(run, which, begun, 10, Sighting.of(run, which)).tolist() == [True, False]
    assert not lasts(run, torch.full((2,), -1), begun, 10, Sighting.of(run, which)).any()


def test_a_column_is_where_a_figure_is_drawn():
    simulator = Simulator(16, 8, CAMERA, folk=True)
    run = Simulated(simulator)
    framed, hidden = seen_by(run)
    which = (framed & ~hidden)[:, :WALKERS].float().argmax(1)
    seen = (framed & ~hidden)[torch.arange(16), which] & (Sighting.of(run, which).pixels > 12)
    columns = torch.arange(64) + 0.5
    mask = Sighting.of(run, which).mask.any(1).float()
    middle = (mask * columns).sum(1) / mask.sum(1)
    assert seen.sum() > 5
    assert ((column_of(run, which) - middle)[seen].abs() < 6).all()


def test_a_mover_is_matched_to_itself_and_nobody_to_nobody():
    simulator = Simulator(16, 9, CAMERA, folk=True)
    framed, hidden = seen_by(Simulated(simulator))
    which = (framed & ~hidden)[:, :WALKERS].float().argmax(1)
    assert torch.equal(matching(Simulated(simulator), simulator, which), which)
    nobody = bare(None, simulator.copied(), 0)
    assert (matching(nobody, simulator, which) == -1).all()
    assert nobody.there.shape == (16, THINGS) and not nobody.there.any()


def test_a_model_is_measured_by_what_its_slots_say_and_its_pictures_show():
    """One who walks, in a bare room."""
    made = networks(small_config(), seed=3)
    played = Played(made, torch.zeros(2, 3, 32, 32), seed=4)
    slots, walk = played._unroll.slots, played._unroll._walk
    here = torch.zeros_like(slots.there)
    here[:, 0] = True
    walk.slots = replace(slots, there=here, x=torch.where(here, 2.1, 0.0), y=torch.where(here, 1.5, 0.0))
    zero = torch.zeros(2)
    walk.pose = Pose(zero + 1.4, zero + 1.5, zero, zero, zero + 0.5)
    played.step(torch.zeros(2, 4), torch.zeros(2, 2))
    which = torch.zeros(2, dtype=torch.long)
    seen = Sighting.of(played, which)
    assert (seen.pixels > 20).all() and (seen.pixels < 32 * 32).all()
    assert torch.allclose(seen.without, played.place, atol=1e-6)
    assert (column_of(played, which) - 16).abs().max() < 4, "it stands ahead"
    assert played.movers.shape == (2, slots.count, 2)
    moved = played.movers
    played.step(torch.zeros(2, 4), torch.zeros(2, 2))
    assert (played.movers - moved)[:, 0].norm(dim=1).max() < 0.1


def test_a_model_in_which_nothing_moves_has_nobody():
    made = networks(small_config(), seed=3)
    made.slots.census.zero_()
    played = Played(made, torch.zeros(2, 3, 32, 32), seed=4)
    played.step(torch.zeros(2, 4), torch.zeros(2, 2))
    assert not played.there.any()
    assert torch.equal(played.shown, played.place)
    assert (Sighting.of(played, torch.zeros(2, dtype=torch.long)).pixels == 0).all()
