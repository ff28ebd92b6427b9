"""Random poses in the simulated world, and what is seen from them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.nets.camera import Camera
from engine.nets.spatial_memory import Pose
from engine.training.place import edges
from engine.training.simulator import MARGIN, Simulator

UNSEEN = 2**40
"""Seeds from here on are never trained on."""
_FARTHEST = 40  # video frames that somebody walks on


def pose_of(simulator: Simulator) -> Pose:
    """Where the simulator's players are now."""
    return Pose(*(part.clone() for part in (simulator.x, simulator.y, simulator.yaw, simulator.pitch, simulator.hour)))


@torch.no_grad()
def random_views(
    simulator: Simulator, rng: torch.Generator, level: float = 0.0, walked: float = 0.0
) -> tuple[Pose, Tensor]:
    """Sends all players to random places; poses (players,) and pictures (players, 3, H, W) in -1..1.

    Args:
        level: share of them that look level; the others look up or down by as much as can be.
        walked: share of them that then walk on, as far as a few cells, half of which look elsewhere: so they come to
            stand along walls and in corners, where people who play often are, and random places rarely.
    """
    everybody = torch.ones(simulator.players, dtype=torch.bool)
    simulator.respawn(everybody)
    camera = simulator.camera
    _walk_on(simulator, rng, walked)
    limit = camera.pitched(torch.zeros(1), torch.tensor([[1e3, 0.0]]))
    up = (torch.rand(simulator.players, generator=rng) * 2 - 1) * limit
    simulator.pitch = torch.where(torch.rand(simulator.players, generator=rng) < level, 0.0, up)
    return pose_of(simulator), simulator.render()


def _walk_on(simulator: Simulator, rng: torch.Generator, share: float) -> None:
    """Has about that share of the players walk straight ahead for up to _FARTHEST frames, and turn somewhere else."""
    if share == 0:
        return
    players = simulator.players
    left = torch.randint(_FARTHEST, (players,), generator=rng) * (torch.rand(players, generator=rng) < share)
    ahead, still = torch.tensor((1.0, 0.0, 0.0, 0.0)), torch.zeros(players, 2)
    for frame in range(int(left.max())):
        simulator.step((left > frame)[:, None] * ahead, still)
    turned = torch.rand(players, generator=rng) * 2 * torch.pi
    turns = torch.rand(players, generator=rng) < 0.5  # the others look at what stopped them
    simulator.yaw = torch.where((left > 0) & turns, turned, simulator.yaw)


def closest_views(camera: Camera) -> Simulator:
    """A player before the middle of every wall and every side of what stands about, as close as one can be, at noon."""
    found = []
    for edge in edges():
        out_x, out_y = {"n": (0, -1), "s": (0, 1), "w": (-1, 0), "e": (1, 0)}[edge.facing]
        x, y = (edge.x0 + edge.x1) / 2 + out_x * (MARGIN + 1e-3), (edge.y0 + edge.y1) / 2 + out_y * (MARGIN + 1e-3)
        found.append((x, y, math.atan2(-out_y, -out_x)))
    simulator = Simulator(len(found), 0, camera)
    x, y, yaw = torch.tensor(found).T
    free = simulator.is_free(x, y)
    chosen = Simulator(int(free.sum()), 0, camera)
    chosen.x, chosen.y, chosen.yaw = x[free], y[free], yaw[free] % (2 * math.pi)
    chosen.hour = torch.full_like(chosen.x, 0.5)
    return chosen
