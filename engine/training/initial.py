"""How the embedded model's weights begin: the codec from statistics of pictures, the transformer from random draws."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import nn

from engine.config.memory import EmbeddedConfig
from engine.families.embedded import Embedded
from engine.measures.pictures import psnr
from engine.nets.networks import EmbeddedNetworks
from engine.training.policy import World
from engine.training.unroll import camera_of

_TRUST = 3.0  # the logarithm of how much more the memory's view counts than the frame before, at first
_WHITENING = 0.75
"""Power of a component's deviation that its latent is divided by: 1 would make all of them equally loud."""


def build(config: EmbeddedConfig, seed: int) -> EmbeddedNetworks:
    """Networks ready to be trained."""
    torch.manual_seed(seed)
    networks = Embedded().build(config, "cpu")
    net = networks.transformer
    nn.init.zeros_(net.head.head.weight)  # at first the memory's view is nearly all, and nothing is added to it
    nn.init.zeros_(net.head.head.bias)
    with torch.no_grad():
        net.head.head.bias.view(-1, config.transformer.out_channels)[:, -1] = _TRUST
    with torch.no_grad():
        # At noise level 1 the noise tells nothing; it comes in as the network finds a use for it.
        net.patch_embedding.weight[:, : config.codec.latent_channels] = 0
    return networks


@torch.no_grad()
def fit_codec(networks: EmbeddedNetworks, seed: int, pictures: int = 512) -> float:
    """Sets the codec's linear maps to the principal components of the world's patches; returns its PSNR in dB."""
    config, codec = networks.config, networks.codec
    patch, channels = config.codec.patch, config.codec.latent_channels
    world = World(64, seed, camera_of(networks), config.mouse_limit)
    seen = []
    for _ in range(pictures // 64):
        world.restart()
        for _ in range(12):
            keyboard, mouse = world.players.act()
            world.simulator.step(keyboard, mouse)
        seen.append(world.simulator.render())
    frames = torch.cat(seen)
    flat = rearrange(frames, "b c (h p) (w q) -> (b h w) (c p q)", p=patch, q=patch)
    mean = flat.mean(0)
    variance, vectors = torch.linalg.eigh(((flat - mean).T @ (flat - mean)).double() / len(flat))
    scale = variance.flip(0)[:channels].float().clamp(min=1e-6).sqrt() ** _WHITENING
    basis = vectors.flip(1)[:, :channels].float()
    shape = (channels, 3, patch, patch)
    codec.encoder.weight.copy_((basis / scale).T.reshape(shape))
    codec.decoder.weight.copy_((basis * scale).T.reshape(shape))
    # A transposed convolution has one bias a colour, so the origin is a flat patch, which the mean patch nearly is.
    # With one origin for both ways, a picture that was decoded is encoded to the very latents it came from.
    colour = mean.reshape(3, -1).mean(1)
    assert codec.decoder.bias is not None and codec.encoder.bias is not None
    codec.decoder.bias.copy_(colour)
    codec.encoder.bias.copy_(-(colour.repeat_interleave(patch * patch) @ (basis / scale)))
    return psnr(codec.decode(codec.encode(frames[:64])), frames[:64])
