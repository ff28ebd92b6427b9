"""The loop that all parts of the training share: steps, learning rates, progress, and saves that a run goes on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

Say = Callable[[str], None]

_TELL_SECONDS = 30.0


@dataclass(frozen=True)
class Stage:
    """One part of the training.

    Attributes:
        name: what it is called in the log and in its file.
        steps: optimizer steps.
        optimizers: each group's "lr" is its full learning rate.
        modules: what is saved, by name: the trained networks, and their averages if there are any.
        begin: makes whatever the steps draw from; given a number that no other start of this run was given.
        loss: of one step; given the step, returns the loss and the numbers to tell of it.
        rate: share of the full learning rate at a share 0..1 of the steps.
        clip: the most that the gradient of an optimizer's parameters may be long; None: as long as it is.
        after: called with the step after every update.
    """

    name: str
    steps: int
    optimizers: Sequence[torch.optim.Optimizer]
    modules: Mapping[str, nn.Module]
    begin: Callable[[int], None]
    loss: Callable[[int], tuple[Tensor, dict[str, float]]]
    rate: Callable[[float], float]
    clip: float | None = None
    after: Callable[[int], None] = field(default=lambda step: None)

    def run(self, file: Path, say: Say, save_every: float) -> None:
        """Goes to the last step, from the last save in `file` if there is one, saving every so many seconds."""
        step = self._load(file) if file.exists() else 0
        if step == self.steps:
            return
        if step:
            say(f"{self.name}: going on from step {step}")
        full = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.begin(step)
        told = saved = time.monotonic()
        sums: dict[str, float] = {}
        since = step
        while step < self.steps:
            self._set_rates(full, self.rate(step / self.steps))
            loss, numbers = self.loss(step)
            loss.backward()
            self._update()
            step += 1
            self.after(step)
            for key, value in numbers.items():
                sums[key] = sums.get(key, 0.0) + value
            now = time.monotonic()
            if now - told > _TELL_SECONDS or step == self.steps:
                pace, count = (now - told) / (step - since), step - since
                words = "  ".join(f"{key} {value / count:.2f}" for key, value in sums.items())
                left = pace * (self.steps - step) / 60
                say(f"{self.name}: step {step} of {self.steps}  {words}  {pace:.3f} s a step, {left:.0f} min to go")
                told, since, sums = now, step, {}
            if now - saved > save_every or step == self.steps:
                self._set_rates(full, 1.0)
                self._save(file, step)
                saved = now

    def _set_rates(self, full: list[list[float]], rate: float) -> None:
        for optimizer, rates in zip(self.optimizers, full, strict=True):
            for group, lr in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = lr * rate

    def _update(self) -> None:
        for optimizer in self.optimizers:
            if self.clip is not None:
                nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.clip)
            optimizer.step()
            optimizer.zero_grad()

    def _save(self, file: Path, step: int) -> None:
        """In one move, so that a kill leaves the last file whole."""
        state = {
            "step": step,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        part = file.with_suffix(".part")
        torch.save(state, part)
        part.replace(file)

    def _load(self, file: Path) -> int:
        state = torch.load(file, weights_only=True)
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return state["step"]


def rise_and_fall(rise: float, fall: float) -> Callable[[float], float]:
    """A rate that rises from 0 over the first share `rise` of the steps and falls to 0 over the last share `fall`."""
    return lambda done: min(1.0, done / rise + 1e-3, (1 - done) / fall)
