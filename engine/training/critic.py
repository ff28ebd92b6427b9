"""A critic that tells rendered pictures from generated ones, place by place, and what it would have the model change.

The loss against the simulator's truth makes a model that is not sure where an edge stands smear it. The critic knows no
truth and minds no place: it only says which parts of a picture look unlike the world, which holds just as well after a
minute of play, when the model and the simulator no longer agree about where the player is.

Source: Goodfellow et al. 2014 (non-saturating loss), Isola et al. 2017 (judging patches), Mescheder et al. 2018
(penalty on the slope at real pictures).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PENALTY, _PENALTY_EVERY = 2.0, 8


class Critic(nn.Module):
    """Pictures (B, 3, H, W) in -1..1 -> a judgement (B, 1, H / 8, W / 8) of every place; positive means real."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, width, 3, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, 1, 1),
        )  # fmt: skip

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames)


class Criticism:
    """The critic, its optimizer, and its two uses.

    Args:
        lr: of AdamW.
    """

    def __init__(self, lr: float = 3e-4) -> None:
        self.critic = Critic()
        self.optimizer = torch.optim.AdamW(self.critic.parameters(), lr, betas=(0.5, 0.99), weight_decay=0.0)
        self._calls = 0

    def wish(self, frames: Tensor) -> Tensor:
        """What makes each of `frames` (B, 3, H, W) look generated; going against it makes them look real.

        Each picture's direction has an absolute sum of 1 when the critic is sure it is generated, and of nearly 0 when
        it is taken for real; so its weight beside other losses does not depend on how steep the critic is.
        """
        with torch.enable_grad():
            seen = frames.detach().requires_grad_()
            judged = self.critic(seen)
            (slope,) = torch.autograd.grad(F.softplus(-judged).mean((1, 2, 3)).sum(), seen)
        doubt = torch.sigmoid(-judged.detach()).mean((1, 2, 3))
        size = slope.abs().sum((1, 2, 3)).clamp(min=1e-12)
        return slope * (doubt / size)[:, None, None, None]

    def learn(self, real: Tensor, made: Tensor) -> Tensor:
        """The loss of telling `real` from `made`, both (B, 3, H, W); the caller sends it back and steps."""
        real = real.detach()
        penalised = self._calls % _PENALTY_EVERY == 0
        self._calls += 1
        if penalised:
            real.requires_grad_()
        judged_real, judged_made = self.critic(real), self.critic(made.detach())
        loss = F.softplus(-judged_real).mean() + F.softplus(judged_made).mean()
        if penalised:
            (slope,) = torch.autograd.grad(judged_real.mean((1, 2, 3)).sum(), real, create_graph=True)
            loss = loss + _PENALTY * _PENALTY_EVERY * slope.square().sum((1, 2, 3)).mean()
        return loss
