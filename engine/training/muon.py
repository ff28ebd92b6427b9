"""Muon for the transformer's hidden matrices: momentum whose every direction moves by the same amount.

torch.optim.Muon works in bfloat16, which is several times slower on the CPUs this trains on; here all is float32, and
matrices of one shape go through the iteration together.

Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Args: parameters (matrices only), learning rate (how far an orthogonal update moves), momentum, decay."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.02
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update of every matrix from its gradient."""
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for p in group["params"]:
                moment = self.state[p].setdefault("moment", torch.zeros_like(p))
                moment.mul_(group["momentum"]).add_(p.grad)
                alike[tuple(p.shape)].append((p, p.grad + group["momentum"] * moment))
            for (rows, columns), pairs in alike.items():
                updates = _orthogonal(torch.stack([update for _, update in pairs]))
                size = group["lr"] * max(1.0, rows / columns) ** 0.5
                for (p, _), update in zip(pairs, updates, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-size)


def _orthogonal(x: Tensor) -> Tensor:
    """The nearest matrices (N, m, n) with all singular values about 1, by a Newton-Schulz iteration."""
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
