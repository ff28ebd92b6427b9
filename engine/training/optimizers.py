"""Two optimizers: for a network's matrices, and for tables of which every step looks up a small part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from engine.nets.surfaces import Table

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose every direction moves by the same amount, for hidden matrices.

    torch.optim.Muon works in bfloat16, which is several times slower on the CPUs this trains on; here all is float32,
    and matrices of one shape go through the iteration together.

    Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024).

    Args: parameters (matrices only), learning rate (how far an orthogonal update moves), momentum, decay.
    """

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


class Patient(torch.optim.Optimizer):
    """Moves texels that were looked up, each by about `lr`, and lets the others wait.

    The size of a gradient is averaged (RMSprop) over the steps in which there was one: most texels are out of sight in
    most steps.

    Args:
        tables: of texels. learned: rows of each that are learned, from and to.
    """

    def __init__(self, tables: list[Table], learned: list[list[tuple[int, int]]], lr: float, keep: float = 0.9) -> None:
        super().__init__([table.data for table in tables], {"lr": lr, "keep": keep})
        self._tables, self._learned = tables, learned

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        group = self.param_groups[0]
        for table, ranges in zip(self._tables, self._learned, strict=True):
            state, data = self.state[table.data], table.data
            if not state:
                state["size"], state["sum"] = torch.zeros_like(data), torch.zeros_like(data)
            size, total = state["size"], state["sum"]
            seen = torch.zeros(len(data), dtype=torch.bool)
            for index, rows in table.taken:
                if rows.grad is not None:
                    total.index_add_(0, index, rows.grad)
                    seen[index] = True
            table.taken.clear()
            touched = seen.nonzero()[:, 0]
            wanted = torch.zeros_like(seen)
            for begin, end in ranges:
                wanted[begin:end] = True
            row = (seen & wanted).nonzero()[:, 0]
            slope = total.index_select(0, row)
            square, before = slope.square(), size.index_select(0, row)
            fresh = torch.where(before == 0, 1.0, 1 - group["keep"]) * (square > 0)
            after = torch.lerp(before, square, fresh)
            moved = torch.addcdiv(data.index_select(0, row), slope, after.sqrt().add_(1e-12), value=-group["lr"])
            data.index_copy_(0, row, moved)
            size.index_copy_(0, row, after)
            total.index_fill_(0, touched, 0.0)
