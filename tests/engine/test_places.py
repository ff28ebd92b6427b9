"""Claims about the places of the shipped scenes: right for the shipped weights, and not believed where they are not."""

import json
import math

import numpy as np
import pytest
import torch

from engine.errors import CheckpointError
from engine.frames import to_signed
from engine.nets.camera import Camera
from engine.nets.networks import EmbeddedNetworks
from engine.nets.places import FILE, Place, as_pose, key, read_places, recall, write_places
from engine.rollout.memory_condition import MemoryCondition
from engine.training.files import LARGE, MODEL, ROOT, read_model
from engine.training.places import find_places, shipped_pictures
from engine.world import load_world
from tests.engine.tiny import networks, picture, small_config

REMEDY = "run python -m engine.training.places"


@pytest.fixture(scope="module", params=[MODEL, LARGE], ids=lambda path: path.stem)
def shipped(request) -> EmbeddedNetworks:
    return load_world(read_model(request.param), ROOT / "assets" / "tiny", device="cpu", dtype=torch.float32).networks


def test_every_shipped_scene_begins_where_it_was_found(shipped):
    config, pictures = shipped.config, shipped_pictures(shipped.config)
    camera = Camera(config.camera, config.width, config.height)
    assert len(pictures) == len(shipped.places) / 2 == 7, REMEDY
    for scene in pictures:
        assert recall(shipped.places, key(scene), to_signed(scene)[:, 0], shipped.spatial_memory, camera), REMEDY


def test_what_is_known_is_what_is_found(shipped):
    scene = shipped_pictures(shipped.config)[0]
    known, found = shipped.places[key(scene)], find_places(shipped, [scene])[key(scene)]
    assert known.pose == pytest.approx(found.pose, abs=1e-3), REMEDY
    assert known.unlike == pytest.approx(found.unlike, abs=1e-4), REMEDY


def test_a_place_is_taken_from_the_file_and_no_longer_once_the_memory_sees_otherwise(monkeypatch):
    made = networks(small_config())
    frame = to_signed(picture(made.config))
    monkeypatch.setattr(
        "engine.rollout.memory_condition.localise", lambda *_: as_pose((1.5, 1.5, 0, 0, 0), frame.device)
    )

    def begins_at(unlike: float) -> float:
        made.places["it"] = Place((2.0, 1.5, 0.3, 0.0, 0.5), unlike)
        return MemoryCondition(made, frame, 0, "it").snapshot().pose.x.item()

    assert begins_at(2.0) == 2.0
    assert begins_at(0.0) == 1.5
    assert MemoryCondition(made, frame, 0, "another").snapshot().pose.x.item() == 1.5


def test_places_come_back_to_the_bit_and_a_broken_file_is_told(tmp_path):
    places = {key(np.zeros((2, 2, 3), np.uint8)): Place((0.1, 1 / 3, 2e-7, -0.5, 1.0), 0.03)}
    assert read_places(tmp_path) == {}
    write_places(places, tmp_path)
    assert read_places(tmp_path) == places
    for broken in ("{", "[]", json.dumps({"a": {"pose": [1, 2], "unlike": 0}}), json.dumps({"a": {"pose": "x"}})):
        (tmp_path / FILE).write_text(broken)
        with pytest.raises(CheckpointError, match=FILE):
            read_places(tmp_path)


def test_a_door_opens_as_one_comes_and_shuts_behind_one(shipped):
    dynamics = shipped.slots.dynamics

    def walked(places) -> list[float]:
        """How open it is after each frame, from a leaf half a cell off the way."""
        opening, seen = torch.zeros(1), []
        for place in places:
            opening = dynamics.opened(torch.tensor([math.hypot(place, 0.5)]), opening)
            seen.append(float(opening))
        return seen

    there = torch.arange(3.0, 0.7, -0.06).tolist()
    back = torch.arange(0.7, 3.2, 0.06).tolist()
    way = walked(there + back)
    opens = next(place for place, opening in zip(there, way, strict=False) if opening > 0.02)
    assert 1.4 < opens < 1.8 and way[len(there)] > 0.98 and way[-1] < 0.02
    assert walked([1.2] * 30)[-1] > 0.95 and walked([2.2] * 30)[-1] < 0.02, "also for who stands there"
