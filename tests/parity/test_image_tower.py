"""The image tower computes what the original computes."""

import pytest
import torch

from engine.config.model import ImageTowerConfig
from engine.nets.image_tower import ImageTower
from tests.parity.common import Fixture, cases, fill_with_seed, load_fixture, relative_error

TIGHT = 1e-4  # tighter than the fixtures ask: there is no long chain of steps here


@pytest.fixture(scope="module", params=cases("clip"))
def case(request) -> tuple[Fixture, ImageTower]:
    fixture = load_fixture(request.param)
    sizes = fixture.json("config")
    config = ImageTowerConfig(
        image_size=sizes["image_size"],
        patch=sizes["patch_size"],
        width=sizes["dim"],
        layers=sizes["num_layers"],
        heads=sizes["num_heads"],
        mlp_ratio=sizes["mlp_ratio"],
        out_dim=fixture.names()["visual.head"][1],
    )
    with torch.device("meta"):
        tower = ImageTower(config)
    fill_with_seed(tower, fixture.seed, prefix="visual.")
    return fixture, tower


def test_every_weight_has_its_published_name_and_shape(case):
    fixture, tower = case
    assert {f"visual.{name}": tuple(w.shape) for name, w in tower.state_dict().items()} == fixture.names()


def test_the_visual_context_is_the_originals(case):
    fixture, tower = case
    assert relative_error(tower(fixture.tensors["image"]), fixture.tensors["visual_context"]) <= TIGHT
