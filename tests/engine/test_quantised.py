"""Linear layers of 8 bits: near to what they stand for, row by row, and the same numbers on every path."""

import pytest
import torch
from torch import nn

from engine.families import seeded_networks
from engine.nets.quantised import DTYPES, QuantisedLinear, merged, quantise, quantised
from tests.engine.tiny import big_config, waypoint_config

BITS = tuple(DTYPES)


def layer(inputs: int = 64, outputs: int = 48, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    made = nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)
    made.weight[3] *= 100  # one row far larger than the others
    return made


def relative(ours: torch.Tensor, true: torch.Tensor) -> float:
    return float((ours - true).norm() / true.norm())


@pytest.mark.parametrize(("bits", "most"), [("fp8", 0.1), ("int8", 0.03)])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_a_layer_is_near_to_the_one_it_stands_for_in_every_row(bits, most, bias):
    source, x = layer(bias=bias), torch.randn(5, 7, 64)
    x[2] *= 1000  # and tokens of very different sizes
    ours, true = QuantisedLinear.of(source, bits)(x), source(x)
    for output in range(48):
        assert relative(ours[..., output], true[..., output]) < most
    for token in range(5):
        assert relative(ours[token], true[token]) < most


@pytest.mark.parametrize("bits", BITS)
def test_rows_use_the_whole_range_and_a_row_of_zeros_stays_zero(bits):
    rows = torch.tensor([[1.0, -0.5, 0.25], [0.0, 0.0, 0.0], [300.0, 1.0, 0.0]])
    values, scale = quantised(rows, bits)
    assert values.dtype == DTYPES[bits]
    assert values.float().abs().amax(-1).tolist() == [values.float().max(), 0.0, values.float().max()]
    torch.testing.assert_close(values.float() * scale, rows, rtol=0.07, atol=1.2)


@torch.inference_mode()
def test_sums_of_whole_numbers_are_exact():
    source = layer(2048, 8, bias=False)
    ours = QuantisedLinear.of(source, "int8")
    x = torch.randn(20, 2048)
    values, scale = quantised(x, "int8")
    exact = (values.double() @ ours.weight.double().t()).float() * scale * ours.scale
    assert torch.equal(ours(x), exact)


@pytest.mark.parametrize("bits", BITS)
@torch.inference_mode()
def test_layers_merged_are_those_layers_and_are_held_once(bits):
    sources = [QuantisedLinear.of(layer(outputs=n), bits) for n in (8, 24, 16)]
    x = torch.randn(3, 64)
    expected = torch.cat([source(x) for source in sources], -1)
    whole = merged(sources)
    assert torch.equal(whole(x), expected)
    assert {source.weight.untyped_storage().data_ptr() for source in sources} == {
        whole.weight.untyped_storage().data_ptr()
    }
    assert torch.equal(torch.cat([source(x) for source in sources], -1), expected)


@pytest.mark.parametrize("bits", BITS)
def test_a_network_takes_a_byte_a_weight_and_its_names_stay(bits):
    net = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Sequential(nn.Linear(64, 8, bias=False)))
    net.requires_grad_(False)
    quantise(net, ("0", "2.0"), bits)
    assert [tuple(weight.shape) for name, weight in net.state_dict().items() if name.endswith("weight")] == [
        (64, 64),
        (8, 64),
    ]
    assert sum(weight.nbytes for name, weight in net.state_dict().items() if name.endswith("weight")) == 72 * 64
    with torch.device("meta"):
        empty = nn.Sequential(nn.Linear(64, 64)).requires_grad_(False)
    quantise(empty, ("0",), bits)
    assert empty(torch.empty(2, 64, device="meta")).shape == (2, 64)
    with pytest.raises(TypeError, match="no linear layer"):
        quantise(net, ("1",), bits)


@pytest.mark.parametrize("bits", BITS)
@torch.inference_mode()
def test_fast_kernels_compute_what_the_readable_quantised_network_does(bits):
    from engine.fast.waypoint import FastWaypoint
    from tests.engine.fast.test_waypoint import World, network

    names = [f"transformer.blocks.{i}.{name}" for i in range(8) for name in
             ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.out_proj", "dit_mlp.fc1", "dit_mlp.fc2")]  # fmt: skip
    nets = [network(), network()]
    for net in nets:
        quantise(net, names, bits)
    few, readable = (World(nets[0]).play(count) for count in (4, 12))
    assert relative(World(FastWaypoint(nets[1])).play(4), few) < 1e-5
    # later a value on the border of two numbers may fall on either side: by less than having fewer bits changes
    fast, exact = World(FastWaypoint(nets[1])).play(12), World(network()).play(12)
    assert relative(fast, readable) < relative(readable, exact)
    assert 0 < relative(readable, exact) < 0.2


@pytest.mark.parametrize("bits", BITS)
def test_what_eight_bits_would_spoil_is_kept(bits):
    """In fp8 all of Waypoint's attention, in both the other family's cross attention: see engine/README.md."""

    def in_eight_bits(config, part: str) -> set[str]:
        net = seeded_networks(config, bits=bits).modules()["transformer"]
        made = (name for name, module in net.named_modules() if isinstance(module, QuantisedLinear))
        return {name.rsplit(".", 1)[1] for name in made if part in name}

    attention = in_eight_bits(waypoint_config(), "attn.")
    assert attention == ({"q_proj", "k_proj", "v_proj", "out_proj"} if bits == "int8" else set())
    assert in_eight_bits(waypoint_config(), "dit_mlp.") == {"fc1", "fc2"}
    assert in_eight_bits(big_config(), "cross_attn.") == set()
    assert in_eight_bits(big_config(), "self_attn.") == {"q", "k", "v", "o"}
