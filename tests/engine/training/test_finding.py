"""Claims about whom the shipped weights find in first pictures of the simulator, at places that are known."""

import pytest
import torch

from engine.nets.spotting import find
from engine.training.alive import Sighting, Simulated, seen_by
from engine.training.files import MODEL, WEIGHTS, read_model
from engine.training.inhabitants import WALKERS
from engine.training.poses import pose_of
from engine.training.simulator import Simulator
from engine.training.unroll import camera_of
from engine.world import load_world

STARTS = 40
PIXELS = 60
"""Of 256x144, that one must take up to be looked for."""


@pytest.mark.slow
def test_nearly_all_walkers_in_sight_are_found_where_they_stand():
    networks = load_world(read_model(MODEL), WEIGHTS, device="cpu", dtype=torch.float32).networks
    camera = camera_of(networks)
    simulator = Simulator(STARTS, 77, camera, folk=True)
    true, everybody = Simulated(simulator), torch.arange(STARTS)
    framed, hidden = seen_by(true)
    found = find(true.frames, pose_of(simulator), networks.spatial_memory, networks.slots, camera, 0)
    apart = torch.cdist(true.movers, torch.stack((found.x, found.y), -1))
    apart = torch.where(found.there[:, None], apart, 99.0).amin(2)
    wanted, right = 0, 0
    for walker in range(WALKERS):
        which = torch.full((STARTS,), walker)
        seen = (framed & ~hidden)[everybody, which] & (Sighting.of(true, which).pixels >= PIXELS)
        wanted += int(seen.sum())
        right += int((seen & (apart[:, walker] < 0.5)).sum())
    assert wanted >= 25
    assert right >= 0.9 * wanted, f"{right} of {wanted}"
