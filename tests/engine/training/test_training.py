"""Claims about training: it drives what plays, learns, and goes on where it stopped."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from engine.actions import Actions
from engine.config.memory import CameraConfig, SpatialMemoryConfig
from engine.errors import ConfigError
from engine.nets.camera import Camera
from engine.nets.networks import Networks
from engine.training.evaluate import Evaluator, Look, drifted
from engine.training.files import MODEL, export, read_model
from engine.training.fitted import Look as Fitted
from engine.training.fitted import Plan, outline_of
from engine.training.initial import build, fit_codec
from engine.training.optimizers import Muon
from engine.training.paint import PainterTraining, Painting, damaged, frame_loss
from engine.training.place import bake, is_free
from engine.training.policy import World
from engine.training.poses import UNSEEN, pose_of, random_views
from engine.training.recognise import RecogniserTraining, Recognising, recogniser_loss
from engine.training.remember import MemoryTraining, Remembering, most_covered
from engine.training.sheet import contact_sheet
from engine.training.simulator import Simulator
from engine.training.stage import rise_and_fall
from engine.training.survey import Sums, Survey, Views
from engine.training.unroll import Unroll, camera_of
from engine.world import WorldModel, load_world
from tests.engine.tiny import random_actions, small_config

LIMIT = 0.1


@pytest.fixture
def networks() -> Networks:
    made = build(small_world(), seed=1)
    fit_codec(made, seed=1, pictures=64)
    for module in (made.codec, made.spatial_memory, made.recogniser):
        module.requires_grad_(False)
    return made


def small_world():
    """A model of the whole world, but coarse."""
    made = small_config()
    return dataclasses.replace(
        made,
        width=48,
        height=32,
        denoising_steps=(1000,),
        spatial_memory=SpatialMemoryConfig(
            texels=32, ceiling_texels=32, levels=20, strips=16000, floors=500, ceilings=500, sky=(32, 128)
        ),
        recogniser=dataclasses.replace(
            made.recogniser, size=(16, 24), widths=(16, 32), hidden=96, per_cell=1, headings=8
        ),
        codec=dataclasses.replace(made.codec, latent_channels=8),
        transformer=dataclasses.replace(made.transformer, in_channels=24, out_channels=10),
    )


def silent(text: str) -> None:
    pass


def test_what_is_trained_is_what_plays(networks):
    model = networks.config
    for parameter in networks.transformer.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    world = WorldModel(networks, "0" * 64)
    picture = np.random.default_rng(0).integers(0, 256, (model.height, model.width, 3), dtype=np.uint8)
    rollout = world.start(picture, seed=5)
    start = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    unroll = Unroll(networks, start, torch.Generator().manual_seed(5), gradients=True)
    for index in range(2 * model.window + 1):
        actions: Actions = random_actions(model, 1, index)
        with torch.no_grad():
            trained = unroll.step(torch.from_numpy(actions.keyboard), torch.from_numpy(actions.mouse))
        unroll.cut()
        played = rollout.step(actions).frames[0]
        levels = ((unroll.frames[0].permute(1, 2, 0) + 1) * 127.5).numpy()
        assert trained.shape == start.shape
        assert np.abs(levels - played).max() < 1.0, f"frame {index}"


def held_out_error(networks) -> float:
    world = World(16, 77, camera_of(networks), LIMIT)
    first = world.restart()
    pose = pose_of(world.simulator)
    unroll = Unroll(networks, first, torch.Generator().manual_seed(0), gradients=False, pose=pose)
    with torch.no_grad():
        keyboard, mouse, true = world.step()
        return float(frame_loss(unroll.step(keyboard, mouse), true, edges=1.0))


def test_a_few_steps_lower_the_error_on_worlds_never_seen(networks, tmp_path):
    before = held_out_error(networks)
    plan = PainterTraining(steps=25, players=8, clip=1, longest=1, lr_matrix=0.005, lr_rest=3e-3)
    Painting(networks, plan, LIMIT).run(tmp_path, silent, 1e9)
    assert held_out_error(networks) < before - 0.1


def test_the_memory_learns_the_world_from_pictures(networks, tmp_path):
    """Nearer to where faces are than it began, how fast time passes, and what all of it looks like."""
    memory, camera = networks.spatial_memory, camera_of(networks)
    plan = MemoryTraining(
        tries=3_000_000,
        plan_steps=110,
        lr_plan=0.012,
        survey_views=320,
        look_steps=5,
        mend_views=32,
        mended_steps=2,
        small=(20, 30, 6),
        coarse=2,
        views=3,
    )
    remembering = Remembering(memory, camera, plan)
    remembering.run(tmp_path, silent, 1e9)
    assert remembering.quality(16) > 17
    edges, true = memory.edges[(memory.edges != 0).any(1)], bake().edges
    assert len(edges) == len(true)
    assert torch.cdist(edges, true).min(1).values.max() < 0.17, "0.2 before anything is learned"
    assert float(memory.pace) == pytest.approx(1 / 2400, rel=0.01)
    tried = Simulator(512, UNSEEN, camera)
    x, y = torch.rand(20_000, generator=tried.rng) * 32, torch.rand(20_000, generator=tried.rng) * 20
    assert (memory.standing(x, y) == tried.is_free(x, y)).float().mean() > 0.9995, "exact, to a thousandth of a cell"


def test_what_a_texel_looks_like_and_whether_it_is_air_follows_from_looks_by_different_light():
    rng = torch.Generator().manual_seed(0)
    looks = 12
    gains = 0.2 + torch.rand(looks, 2, 3, generator=rng)
    sky = torch.rand(looks, 3, generator=rng)
    layers = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.4, 0.3]])
    sums = Sums(3)
    for number, colours in enumerate(((layers * gains).sum(1), sky)):
        sums.add(torch.full((looks,), number), gains, colours, sky, torch.ones(looks, 3))
    before = torch.full((3, 2, 3), 0.4)
    found, opaque, air = sums.layers(before, 1e-3)
    assert torch.allclose(found[0], layers, atol=0.01)
    assert opaque[0] < 1e-3 < air[0] and air[1] < 1e-3 < opaque[1]
    assert torch.allclose(found[2], before[2]), "what was never seen stays as it was"


def test_a_second_survey_mends_a_wall_that_was_taken_for_air_or_for_another_colour():
    config = dataclasses.replace(small_world().spatial_memory, texels=16)
    down, across = (torch.arange(size * 16) / 16 + 1 / 32 for size in (config.rows, config.columns))
    stands = is_free(*torch.meshgrid(across, down, indexing="xy"), 0.5).float()
    look = Fitted(config, Plan(config, outline_of(stands, 16), 0.5))
    camera = Camera(CameraConfig(), 96, 56)
    simulator = Simulator(48, 5, camera)
    simulator.x, simulator.yaw = torch.linspace(2.0, 9.0, 48), torch.full((48,), -math.pi / 2)
    simulator.y = torch.full((48,), 1.55)  # before the wall in the north, which is one cell from the rim
    assert simulator.is_free(simulator.x, simulator.y).all()
    seen = Views(pose_of(simulator), ((simulator.render() + 1) * 127.5).round().to(torch.uint8))

    class Before(Survey):
        def _taken(self, views, batch, say):
            return iter([seen])

    edges = look.edges().detach()
    wall = int(((edges[:, 1] == edges[:, 3]) & (edges[:, 1] < 1.2)).nonzero()[0, 0])
    here = look.strips[int(look.first[0][wall]) + 32 : int(look.first[0][wall]) + 96, 8:14]
    Before(look, camera, 0).mend(48, silent)
    found = here.clone()
    assert found[..., 6].mean() > 0.95 and found[..., :3].std() > 0.03
    for spoil in (lambda: here.zero_(), lambda: here[..., :6].add_(0.5)):
        spoil()
        look.refresh()
        Before(look, camera, 0).mend(48, silent)
        assert here[..., 6].mean() > 0.95
        light = look.light[0].detach()
        colour, before = ((part[..., :3] * light[0] + part[..., 3:6] * light[1]) for part in (here, found))
        assert (colour - before).abs().mean() < 0.1


def test_cells_that_are_covered_most_get_the_room_there_is_for_ceilings():
    cover = torch.tensor([[0.9, 0.1, 0.3], [0.25, 0.0, 0.6]])
    assert most_covered(cover, 6).int().tolist() == [[1, 0, 1], [1, 0, 1]]
    assert most_covered(cover, 2).int().tolist() == [[1, 0, 0], [0, 0, 1]]
    assert most_covered(torch.ones(2, 3), 4).sum() == 4


def test_the_outline_of_where_one_can_stand_gives_what_stops_one():
    stands = torch.zeros(24, 40)
    stands[4:20, 4:36] = 1.0
    stands[10:14, 16:24] = 0.0  # something stands about
    stands[3, 4:36] = 0.5  # and a wall that is half a square further away
    outline = outline_of(stands, 4)
    edges = outline.edges(torch.full((8,), 0.25))
    found = {tuple(round(value, 3) for value in edge) for edge in edges.tolist()}
    assert (0.75, 0.625, 9.25, 0.625) in found, "the room's northern wall, outwards"
    assert (4.25, 2.75, 5.75, 2.75) in found, "the box's northern side, inwards"
    assert len(found) == 8


def test_the_recogniser_learns_where_pictures_were_taken(networks, tmp_path):
    recogniser = networks.recogniser.requires_grad_(True)
    simulator = Simulator(256, UNSEEN, camera_of(networks))
    pose, frames = random_views(simulator, torch.Generator().manual_seed(0))

    def wrong() -> float:
        with torch.no_grad():
            return float(recogniser_loss(recogniser, recogniser(frames), pose)[0])

    before = wrong()
    plan = RecogniserTraining(steps=40, pictures=96, lr=4e-3)
    Recognising(recogniser, camera_of(networks), plan).run(tmp_path, silent, 1e9)
    assert wrong() < before - 0.4


def test_a_stopped_run_goes_on_where_it_was_saved(networks, tmp_path):
    class Stopped(Exception):
        pass

    def stop(text: str) -> None:
        raise Stopped

    plan = PainterTraining(steps=4, players=2, clip=2)
    painting = Painting(networks, plan, LIMIT)
    saved = []

    def count(step: int) -> None:
        saved.append(step)
        if step == 3:
            raise Stopped

    painting._take_average = count
    with pytest.raises(Stopped):
        painting.run(tmp_path, silent, save_every=0.0)
    after_two = torch.load(tmp_path / "transformer.pt", weights_only=True)
    assert after_two["step"] == 2
    again = Painting(build(networks.config, seed=9), plan, LIMIT)
    told = []
    with pytest.raises(Stopped):
        again.run(tmp_path, lambda text: told.append(text) or stop(text), save_every=0.0)
    assert "going on from step 2" in told[0]
    for name, value in again.networks.transformer.state_dict().items():
        assert torch.equal(value, after_two["modules"]["transformer"][name]), name


def test_a_finished_run_is_not_run_again(networks, tmp_path):
    plan = PainterTraining(steps=2, players=2, clip=2)
    Painting(networks, plan, LIMIT).run(tmp_path, silent, 1e9)
    learned = {name: value.clone() for name, value in networks.transformer.state_dict().items()}
    again = Painting(build(networks.config, seed=9), plan, LIMIT)
    again._loss = None  # would fail if it were called
    again.run(tmp_path, silent, 1e9)
    for name, value in again.networks.transformer.state_dict().items():
        assert torch.equal(value, learned[name]), name


def test_the_codec_begins_as_the_best_linear_one(networks):
    frames = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    once = networks.codec.decode(networks.codec.encode(frames))
    twice = networks.codec.decode(networks.codec.encode(once))
    assert torch.allclose(once, twice, atol=1e-4)
    assert fit_codec(networks, seed=2, pictures=64) > 20


def test_every_direction_of_a_muon_update_is_of_one_size():
    parameter = torch.nn.Parameter(torch.zeros(16, 8))
    optimizer = Muon([parameter], lr=0.1, weight_decay=0.0)
    parameter.grad = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    sizes = torch.linalg.svdvals(parameter.detach()) / (0.1 * 2**0.5)
    assert (sizes > 0.6).all() and (sizes < 1.3).all()


def test_losing_one_s_place_does_not_drown_the_others():
    true = torch.zeros(2, 3, 8, 8)
    made = torch.stack([torch.full((3, 8, 8), 0.02), torch.full((3, 8, 8), 1.0)]).requires_grad_()
    frame_loss(made, true, edges=0.0).backward()
    near, far = made.grad.abs().mean((1, 2, 3))
    assert near > far


@pytest.mark.slow
def test_evaluate_reports_every_measure(networks):
    evaluator = Evaluator(networks, LIMIT, seed=1, trials=2, rollouts=6)
    report = evaluator.likeness() | evaluator.actions() | evaluator.stillness() | evaluator.turn_and_return()
    report |= evaluator.walls()
    assert set(report) == {
        "psnr", "psnr_worst_tenth", "memory_psnr", "copy_psnr", "wrong_action_psnr", "sharpness", "contrast",
        "codec_psnr", "place_psnr", "place_psnr_worst_tenth", "perfect_psnr", "perfect_psnr_worst_tenth",
        "as_seen_psnr", "as_seen_psnr_worst_tenth",
        "action_accuracy", "action_amount", "idle_change", "return_psnr", "crisp", "walls",
    }  # fmt: skip
    assert list(report["psnr"]) == ["4", "8", "16", "32", "64", "256"]
    assert set(report["crisp"]["play"]) == {"sharpness", "simulator", "relative"} < set(report["walls"])
    assert len(report["action_accuracy"]) == 8
    [(seconds, row)] = evaluator.drift((2,)).items()
    assert seconds == "2" and row["alive"].endswith("/6")


def test_a_rollout_is_alive_unless_it_stands_still_or_is_flat_where_the_world_is_not():
    rich, flat, bare = [20.0, 20.0, 20.0], [1.0, 20.0, 20.0], [1.0, 20.0, 1.5]
    sharp = torch.tensor([rich, flat, bare, rich])
    look = Look(sharp, torch.full((4, 3), 40.0), torch.zeros(4, 3), torch.tensor([True, True, True, False]))
    row = drifted([look], torch.zeros(1, 3))
    assert row["alive"] == "2/4", "the rich one and the one before a bare wall"
    assert row["sharpness"] == round(42 / 80, 3) and row["contrast"] == 1.0


def test_exported_weights_load_strictly(networks, tmp_path):
    export(networks, tmp_path)
    world = load_world(networks.config, tmp_path, device="cpu", dtype=torch.float32)
    for part, module in networks.modules().items():
        loaded = world.networks.modules()[part].state_dict()
        for name, value in module.state_dict().items():
            assert torch.allclose(loaded[name], value, atol=1e-3, rtol=1e-3), (part, name)


def test_a_model_file_that_is_not_there_is_said_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read") as error:
        read_model(tmp_path / "none.yaml")
    assert "\n" not in str(error.value)


def test_the_learning_rate_rises_and_falls_to_nothing():
    rate = rise_and_fall(0.01, 0.4)
    assert rate(0) < rate(0.005) < rate(0.02) == 1.0 == rate(0.5)
    assert rate(0.999) < 0.01


def test_rollouts_grow_longer_as_training_goes_on():
    plan = PainterTraining(steps=1000, longest=9)
    assert plan.clips(0) == 1 < plan.clips(300) < plan.clips(999) == 9


def test_the_shipped_model_is_described():
    assert read_model(MODEL).name == "tiny"


def test_damage_spoils_its_share_and_leaves_the_rest():
    frames = World(64, 3, camera_of(build(small_world(), seed=0)), LIMIT).restart()
    spoilt = damaged(frames, 0.5, torch.Generator().manual_seed(0))
    changed = (spoilt != frames).flatten(1).any(1)
    assert spoilt.shape == frames.shape and spoilt.abs().max() <= 1
    assert 16 < changed.sum() < 48


def test_a_contact_sheet_has_a_pair_of_pictures_a_second(networks):
    sheet = contact_sheet(networks, LIMIT, seed=0, seconds=3)
    assert sheet.dtype == torch.uint8
    assert sheet.shape == (2 * networks.config.height, 10 * networks.config.width, 3)
    made, true = sheet[: networks.config.height].float(), sheet[networks.config.height :].float()
    third = 3 * networks.config.width
    assert made[:, :third].mean() > 1 and true[:, :third].std() > 1, "three seconds are shown"
    assert made[:, third:].max() == 0 == true[:, third:].max(), "and no more"
