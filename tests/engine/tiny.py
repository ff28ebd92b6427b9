"""Models small enough to run in a test, on random weights: one built like the big one, one like the embedded one."""

import dataclasses

import numpy as np

from engine.actions import Actions
from engine.config.memory import CameraConfig, EmbeddedConfig, RecogniserConfig, SpatialMemoryConfig
from engine.config.model import (
    AttentionActionsConfig,
    CausalConfig,
    ImageTowerConfig,
    MatrixGame2Config,
    ModulationActionsConfig,
    PatchCodecConfig,
    TaehvCodecConfig,
    TransformerConfig,
    VisualContextConfig,
    WanCodecConfig,
)
from engine.config.waypoint import WaypointConfig, WaypointTransformerConfig
from engine.families import action_space, seeded_networks
from engine.nets.networks import Networks
from engine.rollout.rollout import Rollout
from engine.world import WorldModel


def big_config(**changes) -> MatrixGame2Config:
    """Like Matrix-Game 2.0: four video frames a latent frame, three latent frames a block, a context pass."""
    config = MatrixGame2Config(
        name="universal",
        width=64,
        height=32,
        transformer=TransformerConfig(
            in_channels=12,
            out_channels=4,
            width=48,
            layers=2,
            heads=2,
            ffn=64,
            time_dim=16,
            visual_context=VisualContextConfig(tokens=5, channels=24),
            actions=AttentionActionsConfig(
                layers=(0,), keyboard_embed=6, keyboard_width=32, mouse_width=32, heads=2, rope_dims=(4, 6, 6)
            ),
        ),
        codec=WanCodecConfig(width=4, residual_blocks=1, latent_channels=4, mean=(0.1,) * 4, std=(2.0,) * 4),
        image_tower=ImageTowerConfig(image_size=28, patch=14, width=24, layers=2, heads=2, mlp_ratio=2, out_dim=8),
    )
    return dataclasses.replace(config, **changes)


def small_config(**changes) -> EmbeddedConfig:
    """Like the embedded model: one video frame a latent frame, one latent frame a block, no context pass."""
    config = EmbeddedConfig(
        name="small",
        width=32,
        height=32,
        fps=20.0,
        time_ratio=1,
        block_latents=1,
        window=4,
        denoising_steps=(1000, 500),
        context_noise=None,
        camera=CameraConfig(),
        spatial_memory=SpatialMemoryConfig(
            rows=3,
            columns=4,
            texels=32,
            ceiling_texels=32,
            levels=10,
            edges=8,
            strips=400,
            floors=12,
            ceilings=12,
            sky=(8, 32),
        ),
        recogniser=RecogniserConfig(
            size=(16, 16),
            widths=(4, 8),
            hidden=16,
            guesses=(2, 2),
            shortlists=(2, 2),
            sizes=((8, 8),),
            blurs=(2,),
            looks=(2,),
            keep=(1,),
        ),
        transformer=TransformerConfig(
            in_channels=12,
            out_channels=6,
            width=48,
            layers=2,
            heads=2,
            ffn=32,
            time_dim=16,
            visual_context=None,
            actions=ModulationActionsConfig(),
        ),
        codec=PatchCodecConfig(patch=8, latent_channels=4),
    )
    return dataclasses.replace(config, **changes)


def waypoint_config(**changes) -> WaypointConfig:
    """Like Waypoint: a latent frame of four video frames a block, seeded by a picture; the codec works on another size.

    Both histories are full after a few blocks; one of the layers is global.
    """
    config = WaypointConfig(
        name="waypoint-like",
        width=64,
        height=36,
        transformer=WaypointTransformerConfig(channels=4, width=32, layers=4, heads=2, kv_heads=1, ffn=48, grid=(1, 2),
                                              local_window=3, global_window=4, global_dilation=2),
        codec=TaehvCodecConfig(latent_channels=4, encoder_width=4, widths=(8, 8, 4, 4), memory_blocks=1),
    )  # fmt: skip
    return dataclasses.replace(config, **changes)


def networks(config: CausalConfig, seed: int = 0) -> Networks:
    """Networks of random weights that nothing trains."""
    return seeded_networks(config, seed)


def world(config: CausalConfig, seed: int = 0) -> WorldModel:
    """A world of random weights."""
    return WorldModel(networks(config, seed), "0" * 64)


def picture(config: CausalConfig, seed: int = 0) -> np.ndarray:
    """A random first frame of the model's own size."""
    return np.random.default_rng(seed).integers(0, 256, (config.height, config.width, 3), dtype=np.uint8)


def random_actions(config: CausalConfig, frames: int, seed: int = 0) -> Actions:
    """Random keys and mouse motions, one per video frame."""
    space, draws = action_space(config.mode), np.random.default_rng(seed)
    return Actions.stack([_random_action(space, draws) for _ in range(frames)])


def _random_action(space, draws):
    keys = tuple(key for key in space.keys if draws.random() < 0.3)
    limit = space.mouse_limit
    return space.action(keys, tuple(draws.uniform(-limit, limit, 2)) if space.has_mouse else None)


def play(rollout: Rollout, config: CausalConfig, blocks: int, seed: int = 0, settle: bool = False) -> np.ndarray:
    """All frames of `blocks` further blocks; the actions of block i depend on i and `seed` only."""
    frames = [np.zeros((0, config.height, config.width, 3), np.uint8)]
    for _ in range(blocks):
        actions = random_actions(config, rollout.next_frames, seed * 100_003 + rollout.blocks_done)
        frames.append(rollout.step(actions).frames)
        if settle:
            rollout.settle()
    return np.concatenate(frames)
