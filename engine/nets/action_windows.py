"""Which video frames' actions each latent frame sees, and the short memory of actions that this needs."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.actions import Actions
from engine.config.model import AttentionActionsConfig, ModulationActionsConfig
from engine.device import send


@dataclass(frozen=True)
class ActionWindows:
    """The actions of a block, gathered per latent frame, oldest video frame first.

    Attributes:
        keyboard: (B, T, video frames seen, keyboard dim).
        mouse: (B, T, video frames seen, mouse dim), or None for a model without mouse.
    """

    keyboard: Tensor
    mouse: Tensor | None

    def to(self, device: torch.device, dtype: torch.dtype) -> "ActionWindows":
        """The same on another device and of another dtype."""
        mouse = None if self.mouse is None else send(self.mouse.to(dtype), device)
        return ActionWindows(send(self.keyboard.to(dtype), device), mouse)


class ActionHistory:
    """Remembers as many video frames of actions as the next block can still see.

    Args:
        config: how the model takes actions. By attention, latent frame f sees the `windows` x r video frames that end
            just before r * f; by modulation the r that it decodes to, r(f - 1) + 1 .. r f (r is the time ratio).
        time_ratio: video frames of a latent frame.
    """

    def __init__(self, config: AttentionActionsConfig | ModulationActionsConfig, time_ratio: int) -> None:
        self._ratio = time_ratio
        by_attention = isinstance(config, AttentionActionsConfig)
        self._seen = time_ratio * (config.windows if isinstance(config, AttentionActionsConfig) else 1)
        # Distance from video frame r * f to the one after the last that latent frame f sees.
        self._end = 0 if by_attention else 1
        self._has_mouse = config.mouse_dim > 0
        self._past: tuple[np.ndarray, np.ndarray | None] | None = None

    def extend(self, actions: Actions) -> ActionWindows:
        """Takes a block's actions, one per video frame, and gathers what its latent frames see; tensors on the CPU."""
        mouse = actions.mouse if self._has_mouse else None
        first = self._past is None
        # Before the first video frame its own action is repeated.
        past = (actions.keyboard[:1], None if mouse is None else mouse[:1]) if self._past is None else self._past
        repeat = self._seen if first else 1
        keyboard = np.concatenate([np.repeat(past[0], repeat, axis=0), actions.keyboard])
        if mouse is not None and past[1] is not None:
            mouse = np.concatenate([np.repeat(past[1], repeat, axis=0), mouse])
        self._past = (keyboard[-self._seen :], None if mouse is None else mouse[-self._seen :])
        # The block's first latent frame shows one video frame in a rollout's first block, r of them later.
        newest = self._seen + (0 if first else self._ratio - 1)
        starts = range(newest + self._end - self._seen, len(keyboard) + self._end - self._seen, self._ratio)

        def gather(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.stack([values[i : i + self._seen] for i in starts])[None].astype(np.float32))

        return ActionWindows(gather(keyboard), None if mouse is None else gather(mouse))

    def snapshot(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        return self._past  # never written to in place

    def restore(self, state: tuple[np.ndarray, np.ndarray | None] | None) -> None:
        self._past = state
