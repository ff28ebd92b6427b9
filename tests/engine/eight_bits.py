"""What eight bits cost in pictures: PSNR of a rollout's frames against float32's, by layers; `python -m ...eight_bits`.

Small models on seeded weights, computed on the CPU in float32 everywhere else; the same numbers as on a card. --wide:
a few layers as wide as the published ones, over small pictures. --fixtures: errors on the parity fixtures instead,
relative root mean squares of the first velocity (or clean latent) and of all latents.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

import numpy as np
from torch import nn

from engine.config.model import (
    CausalConfig,
    MatrixGame2Config,
    TaehvCodecConfig,
    TransformerConfig,
    VisualContextConfig,
    WanCodecConfig,
)
from engine.config.waypoint import WaypointConfig, WaypointTransformerConfig
from engine.families import seeded_networks
from engine.nets.quantised import DTYPES, quantise
from engine.weights.placement import Bits
from engine.world import WorldModel
from tests.engine.tiny import big_config, picture, play, waypoint_config
from tests.parity import test_dit, test_waypoint
from tests.parity.common import fixture_files, load_fixture

KINDS: dict[str, tuple[Callable[..., CausalConfig], dict[str, tuple[str, ...]]]] = {
    "Waypoint": (waypoint_config, {
        "queries, keys, values": ("attn.q_proj", "attn.k_proj", "attn.v_proj"),
        "attention's output": ("attn.out_proj",),
        "MLP": ("dit_mlp.fc1", "dit_mlp.fc2"),
        "fusion of controls": ("ctrl_mlpfusion.fc1_x", "ctrl_mlpfusion.fc2"),
    }),
    "universal": (big_config, {
        "self attention": ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o"),
        "feed-forward": ("ffn.0", "ffn.2"),
        "cross attention": ("cross_attn.q", "cross_attn.o"),
    }),
}  # fmt: skip


def wide_universal() -> MatrixGame2Config:
    """Two of universal's layers, one of them with actions; 24 tokens a block instead of 2,640."""
    net, visual = TransformerConfig(), VisualContextConfig(tokens=5, channels=24)
    actions = dataclasses.replace(net.actions, layers=(0,))
    few = dataclasses.replace(net, layers=2, actions=actions, visual_context=visual)
    return big_config(transformer=few, codec=WanCodecConfig(width=4, residual_blocks=1))


def wide_waypoint() -> WaypointConfig:
    """Four of Waypoint's layers, one of them global; 8 tokens a latent frame instead of 512."""
    net = WaypointTransformerConfig(layers=4, grid=(2, 4))
    codec = TaehvCodecConfig(encoder_width=4, widths=(8, 8, 4, 4), memory_blocks=1)
    return waypoint_config(width=128, height=72, transformer=net, codec=codec)


WIDE = {"Waypoint": wide_waypoint, "universal": wide_universal}


def rollout(family: str, bits: str | None, layers: tuple[str, ...] | None, blocks: int, wide: bool) -> np.ndarray:
    """A rollout's frames. layers: ends of the names of those in eight bits; None: as the family has it."""
    make = WIDE[family] if wide else KINDS[family][0]
    networks = seeded_networks(make(), bits=bits if layers is None else None)
    if bits is not None and layers is not None:
        transformer = networks.modules()["transformer"]
        names = [name for name, _ in transformer.named_modules() if name.endswith(layers)]
        assert names, layers
        quantise(transformer, names, bits)
    config = networks.config
    return play(WorldModel(networks, "0" * 64).start(picture(config), 5), config, blocks)


def fixture_errors(family: str, bits: Bits, layers: tuple[str, ...]) -> tuple[float, float]:
    """Of the family's parity fixture with some layers in eight bits."""
    waypoint = family == "Waypoint"
    fixture = load_fixture(fixture_files("waypoint_dit" if waypoint else "dit_universal")[0])

    def change(net: nn.Module) -> None:
        quantise(net, [name for name, _ in net.named_modules() if name.endswith(layers)], bits)

    if waypoint:
        net = test_waypoint.network(fixture)
        change(net)
        made = test_waypoint.roll_out(fixture, net, fixture.json("sigmas"))
        first, first_true = made["velocities"][0], fixture.tensors["velocities"][0]
    else:
        made = test_dit.roll_out(fixture, change=change)
        first, first_true = made["first_step_x0"], fixture.tensors["first_step_x0"]
    pairs = ((first, first_true), (made["latents"], fixture.tensors["latents"]))
    both = [float((ours - true).square().mean().sqrt() / true.square().mean().sqrt()) for ours, true in pairs]
    return both[0], both[1]


def psnr(ours: np.ndarray, true: np.ndarray) -> float:
    """dB, of all frames together."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((ours.astype(float) - true) ** 2))))


def main() -> None:
    """Prints a row for each kind of layers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=50)
    parser.add_argument("--family", choices=KINDS, help="one of them alone")
    parser.add_argument("--wide", action="store_true", help="layers of the published width")
    parser.add_argument("--fixtures", action="store_true", help="errors on the parity fixtures instead")
    told = parser.parse_args()
    blocks, wide = told.blocks, told.wide
    print("| layers | " + " | ".join(DTYPES) + " |", "| --- |" + " --- |" * len(DTYPES), sep="\n")
    for family in KINDS if told.family is None else (told.family,):
        kinds = KINDS[family][1]
        if told.fixtures:
            for name, layers in kinds.items():
                pairs = [fixture_errors(family, bits, layers) for bits in DTYPES]
                print(f"| {family}: {name} | " + " | ".join(f"{a:.3f}, {b:.3f}" for a, b in pairs) + " |", flush=True)
            continue
        exact = rollout(family, None, None, blocks, wide)
        for name, layers in {"all that are": None, **kinds}.items():
            made = [psnr(rollout(family, bits, layers, blocks, wide), exact) for bits in DTYPES]
            print(f"| {family}: {name} | " + " | ".join(f"{value:.1f}" for value in made) + " |", flush=True)


if __name__ == "__main__":
    main()
