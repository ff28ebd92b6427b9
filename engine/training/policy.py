"""Random players: what they press looks like play, held keys and sweeps of the mouse, so the model learns from both."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.nets.camera import Camera
from engine.training.simulator import Simulator

# W S A D; what is listed twice is drawn twice as often.
_KEYS = (
    (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0),
    (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 0, 1, 0), (1, 0, 0, 1), (0, 1, 1, 0), (0, 1, 0, 1),
)  # fmt: skip
_KEY_FRAMES = (4, 28)
_MOUSE_FRAMES = (3, 23)
_YAW_SHARE, _PITCH_SHARE, _FULL_SHARE = 0.60, 0.22, 0.5


class Players:
    """Draws keys and mouse for a batch of players, each held for a random number of video frames.

    Args:
        players: how many.
        seed: of their choices.
        limit: largest mouse value of one video frame.
    """

    def __init__(self, players: int, seed: int, limit: float) -> None:
        self._rng = torch.Generator().manual_seed(seed)
        self._limit = limit
        self._table = torch.tensor(_KEYS, dtype=torch.float32)
        self._keyboard, self._mouse = torch.zeros(players, 4), torch.zeros(players, 2)
        self._keys_left, self._mouse_left = torch.zeros(players), torch.zeros(players)

    def act(self) -> tuple[Tensor, Tensor]:
        """One video frame's keyboard (players, 4) and mouse (players, 2)."""
        drawn = self._table[torch.randint(len(self._table), self._keys_left.shape, generator=self._rng)]
        self._keyboard, self._keys_left = self._hold(self._keyboard, drawn, self._keys_left, _KEY_FRAMES)
        self._mouse, self._mouse_left = self._hold(self._mouse, self._sweep(), self._mouse_left, _MOUSE_FRAMES)
        return self._keyboard, self._mouse

    def _hold(self, held: Tensor, drawn: Tensor, left: Tensor, frames: tuple[int, int]) -> tuple[Tensor, Tensor]:
        new = left < 1
        length = torch.randint(frames[0], frames[1] + 1, left.shape, generator=self._rng).float()
        return torch.where(new[:, None], drawn, held), torch.where(new, length, left - 1)

    def _sweep(self) -> Tensor:
        n = self._mouse_left.shape
        kind, amount = torch.rand(n, generator=self._rng), torch.rand(n, generator=self._rng)
        full = torch.rand(n, generator=self._rng) < _FULL_SHARE
        sign = torch.randint(2, (*n, 2), generator=self._rng) * 2.0 - 1
        amount = torch.where(full, 1.0, amount) * self._limit
        # the two shares overlap, so that some sweeps go across and up at once
        yaw = (kind < _YAW_SHARE) * amount
        pitch = ((kind > _YAW_SHARE - 0.1) & (kind < _YAW_SHARE - 0.1 + _PITCH_SHARE)) * amount
        return torch.stack([pitch, yaw], 1) * sign


class World:
    """A batch of players walking the simulator: what training and evaluation draw their clips from."""

    def __init__(self, players: int, seed: int, camera: Camera, limit: float, folk: bool = False) -> None:
        self.simulator = Simulator(players, seed, camera, folk)
        self.players = Players(players, seed + 1, limit)

    def restart(self) -> Tensor:
        """Everybody somewhere else, looking level; the pictures they start from (players, 3, H, W) in -1..1."""
        self.simulator.respawn(torch.ones(self.simulator.players, dtype=torch.bool))
        return self.simulator.render()

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        """One video frame: keyboard (players, 4), mouse (players, 2), and the true picture after it."""
        keyboard, mouse = self.players.act()
        self.simulator.step(keyboard, mouse)
        return keyboard, mouse, self.simulator.render()
