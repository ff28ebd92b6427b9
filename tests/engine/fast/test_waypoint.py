"""Waypoint's fast transformer computes what the readable one does, in shapes that settle, and is recorded once."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch._dynamo.utils import counters
from torch.overrides import TorchFunctionMode

from engine.config.waypoint import WaypointTransformerConfig
from engine.fast.graphs import GraphProgram
from engine.fast.waypoint import FastWaypoint, PassPrograms, far_layer, kept_pass, near_layer, passing_pass
from engine.nets.waypoint import WaypointTransformer
from engine.weights.seeded import seed_weights
from tests.engine.fast.test_graphs import Recorder

SIGMAS = (1.0, 0.0)
CONFIG = WaypointTransformerConfig(channels=4, width=64, layers=8, heads=4, kv_heads=2, ffn=64, grid=(2, 3),
                                   local_window=4, global_window=8, global_dilation=2, buttons=8)  # fmt: skip
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def network() -> WaypointTransformer:
    net = WaypointTransformer(CONFIG)
    seed_weights(net)
    net.tabulate(SIGMAS)
    return net


class World:
    """A rollout of the bare transformer: every frame a denoising step and a commit pass."""

    def __init__(self, net: WaypointTransformer | FastWaypoint, seed: int = 0) -> None:
        draws = torch.Generator().manual_seed(seed)
        self.net, self.caches = net, net.new_caches()
        self.prepared = net.prepare_rollout(SIGMAS)
        self.noise = torch.randn(300, 1, 1, 4, *CONFIG.latent_size, generator=draws)
        self.controls = torch.randn(300, 1, CONFIG.controls, generator=draws)

    @torch.inference_mode()
    def play(self, frames: int) -> Tensor:
        made = []
        for _ in range(frames):
            number = self.caches.position
            block = self.net.prepare_block(self.prepared, self.controls[number], self.caches)
            x = self.noise[number]
            x = x + (SIGMAS[1] - SIGMAS[0]) * self.net(x, block, 0, self.caches)
            self.net(x, block, 1, self.caches)
            made.append(x)
        return torch.stack(made)


def test_forty_frames_are_those_of_the_readable_network():
    expected = World(network()).play(40)
    torch.testing.assert_close(World(FastWaypoint(network())).play(40), expected, **CLOSE)


def test_worlds_in_turns_share_memory_and_snapshots_bring_them_back():
    fast = FastWaypoint(network())
    alone = [World(FastWaypoint(network()), seed).play(30) for seed in (0, 1)]
    worlds = [World(fast, seed) for seed in (0, 1)]
    parts: list[list[Tensor]] = [[], []]
    for frames in (1, 4, 9, 16):
        for number in (0, 1):
            parts[number].append(worlds[number].play(frames))
    assert all(torch.equal(torch.cat(part), whole) for part, whole in zip(parts, alone, strict=True))
    assert worlds[0].caches.memory is worlds[1].caches.memory
    with torch.inference_mode():
        state = worlds[0].caches.snapshot()
        later = worlds[0].play(5)
        worlds[1].play(3)
        worlds[0].caches.restore(state)
        assert torch.equal(worlds[0].play(5), later)
        again = worlds[0].caches.snapshot()
        shared = worlds[0].caches.snapshot(again)
    pairs = zip(again.local.slots, shared.local.slots, strict=True)
    assert all(a[0] is b[0] for old, new in pairs for a, b in zip(old, new, strict=True))


class NoMask(TorchFunctionMode):
    """Counts attentions, and those that are given a mask: these cannot be computed by the quickest kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.attentions = self.masked = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.attentions += 1
            self.masked += len(args) > 3 or (kwargs or {}).get("attn_mask") is not None
        return func(*args, **(kwargs or {}))


def test_no_attention_is_masked():
    with NoMask() as seen:
        World(FastWaypoint(network())).play(12)
    assert seen.attentions == 12 * 2 * CONFIG.layers and not seen.masked


def test_two_hundred_frames_compile_nothing_again():
    torch._dynamo.reset()
    counters.clear()
    counter, fast = CompileCounter(), FastWaypoint(network())
    expected = World(FastWaypoint(network())).play(40)
    near, far = (torch.compile(f, fullgraph=True, dynamic=False, backend=counter) for f in (near_layer, far_layer))

    def kept(*args):
        return kept_pass(*args, near=near, far=far)

    def passing(*args):
        return passing_pass(*args, near=near, far=far)

    world = World(fast.with_programs(PassPrograms(kept, passing, near)))
    begun = world.play(12)
    # Local layers with and without controls; global ones too, each of frames that stay and of frames that do not.
    assert counter.frame_count == counters["stats"]["unique_graphs"] == 2 + 2 * 2
    with torch._dynamo.config.patch(error_on_recompile=True):
        ours = torch.cat((begun, world.play(188)))
    assert counter.frame_count == 6 and not counters["graph_break"]
    torch.testing.assert_close(ours[:40], expected, **CLOSE)


def test_two_hundred_frames_record_two_graphs_and_are_the_same():
    expected = World(FastWaypoint(network())).play(200)
    kept, passing = Recorder(), Recorder()
    programs = PassPrograms(GraphProgram(kept_pass, kept), GraphProgram(passing_pass, passing))
    fast = FastWaypoint(network()).with_programs(programs)
    ours = World(fast).play(200)
    assert torch.equal(ours, expected)
    assert (kept.recorded, passing.recorded) == (1, 1)
    # Each pass of every frame from the first with full histories on is one replay.
    assert kept.replayed == passing.replayed == 2 * 97
    assert torch.equal(World(fast).play(20), expected[:20]), "and another world's are recorded no more"
    assert (kept.recorded, passing.recorded) == (1, 1)


def test_a_pass_is_one_of_two_programs_once_the_history_is_full():
    called: list[str] = []

    def noted(name, program):
        def call(*args):
            called.append(name)
            return program(*args)

        return call

    fast = FastWaypoint(network())
    programs = PassPrograms(noted("kept", kept_pass), noted("passing", passing_pass))
    World(fast.with_programs(programs)).play(20)
    # The first frame with full histories is the last of those that fill the ring of global layers: frame 6.
    one = ["kept"] * 2 + ["passing"] * 2
    assert called == one * 7
