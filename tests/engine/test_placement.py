"""Parts of a model on another device meet nothing that is not there."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.families import (
    best_kernels,
    build_networks,
    family_of,
    new_rollout,
    readable_kernels,
    seeded_networks,
)
from engine.rollout.condition import FirstFrameCondition
from engine.weights.placement import Place, Placement
from engine.weights.seeded import seed_weights
from engine.world import WorldModel
from tests.engine.tiny import big_config, picture, play, waypoint_config

ROOT = Path(__file__).parents[2]
backend = pytest.importorskip("torch.utils.backend_registration")


def test_a_part_without_a_place_of_its_own_is_where_the_transformer_is():
    gpu, host = Place("cuda", torch.bfloat16), Place("cpu", torch.float32)
    assert {Placement(gpu).of(name) for name in ("transformer", "codec", "light_decoder", "image_tower")} == {gpu}
    apart = Placement(gpu, vae=host)
    assert (apart.of("codec"), apart.of("light_decoder"), apart.of("image_tower")) == (host, host, gpu)


@pytest.mark.parametrize("config", [big_config(), waypoint_config()], ids=lambda config: config.name)
@pytest.mark.parametrize(
    ("device", "main", "decoding"),
    [("cuda", torch.bfloat16, torch.float16), ("cuda", torch.float32, torch.float32), 
     ("cuda", torch.float16, torch.float16), ("cpu", torch.bfloat16, torch.bfloat16)],
)  # fmt: skip
def test_what_makes_pictures_is_float16_where_the_rest_is_bfloat16_on_a_gpu(config, device, main, decoding):
    family, networks = family_of(config), build_networks(config, "meta")
    placement = Placement(Place(device, main))
    codec = placement.numbers("codec", family.decoding(networks)["codec"])
    assert {codec(name) for name in networks.codec.state_dict() if name.startswith(("decoder.", "conv2."))} == {
        decoding
    }
    encodes = main if config.family == "matrix_game2" else decoding  # TAEHV is published in float16, both halves
    assert {codec(name) for name in networks.codec.state_dict() if name.startswith("encoder.")} == {encodes}
    net = placement.numbers("transformer", family.decoding(networks).get("transformer", ()))
    assert {net(name) for name in networks.transformer.state_dict()} == {main}
    on_host = Placement(Place(device, main), vae=Place("cpu", torch.float32)).numbers("codec", ("decoder.",))
    assert on_host("decoder.conv1.weight") == torch.float32


@torch.inference_mode()
def test_halves_of_a_codec_in_two_precisions_play():
    config = big_config()
    networks = build_networks(config, "meta")
    for name, module in networks.modules().items():
        of_decoder = networks.codec.of_decoder
        seed_weights(module, dtype=lambda key, codec=name == "codec", half=of_decoder: (
            torch.float64 if codec and key.startswith(half) else torch.float32))  # fmt: skip
    for kernels in (readable_kernels(networks), best_kernels(networks)):
        frames = play(new_rollout(networks, picture(config), 5, kernels), config, 2)
        assert frames.std() > 0


@pytest.mark.skipif(
    not hasattr(backend, "_setup_privateuseone_for_python_backend"), reason="this torch has no made-up devices"
)
@pytest.mark.parametrize(
    ("words", "decoded_on"),
    [
        ("fast vae", "cpu"),
        pytest.param("fast", "npu", marks=pytest.mark.slow),
        pytest.param("vae image_tower", "cpu", marks=pytest.mark.slow),
        pytest.param("", "npu", marks=pytest.mark.slow),
        pytest.param("vae light", "cpu", marks=pytest.mark.slow),
        pytest.param("image_tower light", "npu", marks=pytest.mark.slow),
    ],
)
def test_a_rollout_over_two_devices_mixes_none_of_their_tensors(words, decoded_on):
    program = [sys.executable, "-m", "tests.engine.second_device", *words.split()]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(done.stdout.split()) == {decoded_on}


def test_parts_in_another_precision_make_nearly_the_same_frames():
    config, exact = big_config(), Place("cpu", torch.float64)
    apart = WorldModel(seeded_networks(config, vae=exact, image_tower=exact), "0" * 64)
    together = WorldModel(seeded_networks(config), "0" * 64)
    ours, theirs = (play(made.start(picture(config), 3), config, 2).astype(int) for made in (apart, together))
    assert abs(ours - theirs).max() <= 1


def test_the_condition_lets_go_of_the_encoder_once_it_has_settled_and_can_still_be_restored():
    config = big_config()
    made = seeded_networks(config)
    with torch.inference_mode():
        frame = torch.rand(1, 1, 3, config.height, config.width)
        condition = FirstFrameCondition(made.codec, frame, config.time_ratio)
        parts, snapshots = [], []
        for index in range(made.codec.memory_latents + 3):
            snapshots.append(condition.snapshot())
            parts.append(condition.for_block(index, 1, None))
        assert condition._stream.nbytes() == 0
        condition.restore(snapshots[2])
        assert torch.equal(condition.for_block(2, 1, None), parts[2])
