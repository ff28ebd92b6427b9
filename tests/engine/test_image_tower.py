"""Claims about the image tower that the parity fixture does not make."""

import torch

from engine.config.model import ImageTowerConfig
from engine.nets.image_tower import ImageTower
from tests.parity.common import fill_with_seed

SMALL = ImageTowerConfig(image_size=28, width=32, layers=3, heads=2, out_dim=8)


def tower() -> ImageTower:
    with torch.device("meta"):
        network = ImageTower(SMALL)
    fill_with_seed(network, seed=1)
    return network


def test_a_frame_of_any_size_gives_one_token_per_patch_and_one_more(generator):
    for size in ((28, 28), (40, 30), (17, 90)):
        assert tower()(torch.rand(2, 3, *size, generator=generator)).shape == (2, SMALL.tokens, 32)


def test_the_last_layer_is_not_run(generator):
    frame, network = torch.rand(1, 3, 28, 28, generator=generator), tower()
    before = network(frame)
    for weight in network.transformer[-1].parameters():
        weight.fill_(float("nan"))
    assert torch.equal(network(frame), before)


def test_black_and_white_become_clips_own_black_and_white():
    frame = torch.cat([torch.full((1, 3, 28, 28), -1.0), torch.full((1, 3, 28, 28), 1.0)])
    black, white = tower().prepare(frame)[:, :, 14, 14]
    assert torch.allclose(black, torch.tensor([-1.7923, -1.7521, -1.4802]), atol=1e-3)
    assert torch.allclose(white, torch.tensor([1.9303, 2.0749, 2.1459]), atol=1e-3)


def test_the_full_tower_is_a_vit_h_14():
    with torch.device("meta"):
        network = ImageTower(ImageTowerConfig())
    assert sum(w.numel() for w in network.parameters()) == 632_076_800
