"""The CLIP image tower: a first frame to the visual context that cross attention looks at, once per rollout.

The visual half of open-clip's XLM-RoBERTa ViT-H/14; text is no part of this. Source: Wan2.1 wan/modules/clip.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from engine.config.model import ImageTowerConfig

# What CLIP's training pictures were normalised by, per channel of RGB in [0, 1].
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


class ImageTower(nn.Module):
    """Vision transformer of which all layers but the last are run.

    `config`: sizes. Parameters bear the published names without their `visual.`; the last layer, `post_norm` and `head`
    are never used, but are there so that a checkpoint's file can be checked to be the right one.
    """

    def __init__(self, config: ImageTowerConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.cls_embedding = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embedding = nn.Parameter(torch.empty(1, config.tokens, width))
        self.patch_embedding = nn.Conv2d(3, width, config.patch, stride=config.patch, bias=False)
        self.pre_norm = nn.LayerNorm(width)
        self.transformer = nn.ModuleList([Layer(width, config.heads, config.mlp_ratio) for _ in range(config.layers)])
        self.post_norm = nn.LayerNorm(width)
        self.head = nn.Parameter(torch.empty(width, config.out_dim))

    @property
    def unused(self) -> tuple[str, ...]:
        """Beginnings of the names of all weights that are never used."""
        return f"transformer.{self.config.layers - 1}.", "post_norm.", "head"

    def forward(self, frame: Tensor) -> Tensor:
        """frame (B, 3, H, W) in [-1, 1], any size -> visual context (B, tokens, width): class token, then by rows."""
        weight = self.patch_embedding.weight
        x = self.patch_embedding(self.prepare(frame.to(weight.device)).to(weight.dtype))
        x = rearrange(x, "b c h w -> b (h w) c")
        x = torch.cat([self.cls_embedding.expand(len(x), -1, -1), x], dim=1) + self.pos_embedding
        x = self.pre_norm(x)
        for layer in self.transformer[:-1]:
            x = layer(x)
        return x

    def prepare(self, frame: Tensor) -> Tensor:
        """frame (B, 3, H, W) in [-1, 1] -> (B, 3, size, size) as CLIP saw pictures in its training, float32.

        Bicubic without antialiasing and without regard to the aspect, because the world model was trained so.
        """
        size = self.config.image_size
        small = F.interpolate(frame.float(), size=(size, size), mode="bicubic", align_corners=False, antialias=False)
        mean, std = (torch.tensor(v, device=frame.device)[:, None, None] for v in (_MEAN, _STD))
        return (small * 0.5 + 0.5 - mean) / std


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        # Number 1 is where the activation stands in the published checkpoints.
        self.mlp = nn.Sequential(nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    """Full attention among all tokens of a picture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.to_qkv(x), "b s (n h d) -> n b h s d", n=3, h=self.heads)
        return self.proj(rearrange(F.scaled_dot_product_attention(q, k, v), "b h s d -> b s (h d)"))


_REMEMBERED = 8  # contexts, of 0.7 MB each in bfloat16


class BorrowedTower:
    """Loads the tower, looks, and lets go of it; of pictures seen lately it remembers what it saw.

    What it remembers depends on the picture alone, so a world is the same either way. Not thread-safe.

    Args:
        load: makes the tower, with its weights, on the device where it is to run.
    """

    def __init__(self, load: Callable[[], ImageTower]) -> None:
        self._load = load
        self._seen: dict[str, Tensor] = {}

    def __call__(self, frame: Tensor) -> Tensor:
        """frame (1, 3, H, W) in [-1, 1] on any device -> visual context (1, tokens, width), where the tower ran."""
        key = hashlib.sha256(frame.float().to("cpu").numpy().tobytes()).hexdigest()
        if key not in self._seen:
            while len(self._seen) >= _REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = self._load()(frame)
        return self._seen[key]
