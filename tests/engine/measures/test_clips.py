"""Claims about measures of clips, on pictures whose answer is known."""

import numpy as np
import pytest
import torch

from engine.actions import Actions, benchmark_actions
from engine.measures.clip import Clip, commands, to_stated_size
from engine.measures.clips import MEASURES, Found, judge, measure
from engine.measures.motion import camera_motion, flow
from engine.measures.statistics import Measure, Samples, summarise
from tests.engine.measures.panorama import GROWTH, PAN, SPACE, STEP, Panorama, directions, press, script


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stay(fps: int) -> Actions:
    """10 seconds of nothing, then a glance to the left and back."""
    return script((None, 10 * fps + 4), ("turn_left", 10), (None, 6), ("turn_right", 10))


def spin(fps: int) -> Actions:
    """15 seconds of looking about, three seconds each way."""
    return script(*[(("turn_left", "turn_right")[n % 2], 3 * fps) for n in range(5)])


_SUITE = {  # script, frames a second, and what is measured by it; the first is over before anything freezes
    "directions": (directions, 20, ("following", "mirror", "flicker", "smoothness", "dynamic_degree", "sharpness")),
    "stay": (lambda: stay(10), 10, ("stillness", "drift")),
    "spin": (lambda: spin(10), 10, ("alive_s", "seams", "flicker", "dynamic_degree", "sharpness")),
}


def suite(fault: str) -> dict[str, Measure]:
    found: list[Found] = []
    for actions, fps, names in _SUITE.values():
        clip = Panorama(3, grain=0.8).film(actions(), fault, fps)
        found.append(measure(clip, names))
    return judge(found)


@pytest.fixture(scope="module")
def healthy() -> dict[str, Measure]:
    return suite("")


def test_a_world_that_does_as_told_is_followed_at_once_by_the_right_amount(healthy):
    for name, gain in {"turn_left": PAN, "look_up": PAN, "strafe_right": STEP, "forward": GROWTH * 96}.items():
        assert healthy[f"following.{name}.accuracy"].value == 1
        assert healthy[f"following.{name}.gain"].value == pytest.approx(gain, rel=0.2)
        assert healthy[f"following.{name}.delay_frames"].value == 0
    assert healthy["alive_s"].value == 15
    assert healthy["stillness.rest"].value < 0.5
    assert healthy["seams.ratio"].value < 1.2


_TELLS = {
    "delayed": "following.*.delay_frames",
    "mirrored": "following.turn_*.accuracy following.turn_*.gain",
    "seam": "seams.ratio seams.period",
    "frozen": "alive_s",
    "tint": "drift.*.colour_distance",
    "copy": "dynamic_degree",
}


@pytest.mark.parametrize("fault", _TELLS)
def test_a_fault_is_told_by_the_measure_meant_for_it_and_by_no_other(healthy, fault):
    broken = suite(fault)
    told = {name for name, measure in broken.items() if healthy[name].differs(measure)}
    meant = [pattern.split(".") for pattern in _TELLS[fault].split()]

    def means(name: str) -> bool:
        parts = name.split(".")
        return any(
            len(parts) == len(pattern)
            and all(
                p in ("*", part) or (p == "turn_*" and part.startswith("turn_"))
                for p, part in zip(pattern, parts, strict=True)
            )
            for pattern in meant
        )

    assert {name for name in told if not means(name)} == set()
    if fault == "delayed":
        assert {broken[name].value for name in broken if name.endswith("delay_frames")} == {3}
    if fault == "mirrored":
        assert broken["following.turn_left.accuracy"].value == 0
        assert broken["following.turn_left.gain"].value == pytest.approx(-PAN, rel=0.1)
    if fault == "seam":
        assert broken["seams.period"].value == 4
        assert "seams.ratio" in told
    if fault == "frozen":
        assert broken["alive_s"].value == pytest.approx(10, abs=0.6)
    if fault == "tint":
        assert "drift.10.colour_distance" in told
    if fault == "copy":
        assert broken["dynamic_degree"].value == 0
        assert "never moves" in broken["following.forward.accuracy"].undecidable


def test_gain_is_that_of_the_frames_that_answer_however_late_they_are():
    still, turn, ahead = press(None, 12), press("turn_right", 12), press("forward", 12)
    whole = Panorama(1).film(Actions.join([still, still, turn, still, ahead, still]))
    late = Clip(whole.frames[:-9], whole.axes[9:], whole.fps, whole.first)
    at_once, found = (judge([measure(clip, ("following",))]) for clip in (whole, late))
    for name in ("turn_right", "forward"):
        assert found[f"following.{name}.delay_frames"].value == 9
        assert found[f"following.{name}.accuracy"].value == 1
        gains = [scores[f"following.{name}.gain"].value for scores in (at_once, found)]
        assert gains[1] == pytest.approx(gains[0], rel=0.02)


def test_what_answers_after_the_end_of_a_clip_says_nothing():
    """Nine frames late, the last run has three left, and one frozen in a turn is measured until it froze."""
    still, turn = press(None, 12), press("turn_right", 12)
    whole = Panorama(1).film(Actions.join([still, still, turn, still, turn, still, turn]))
    late = Clip(whole.frames[:-9], whole.axes[9:], whole.fps, whole.first)
    found = judge([measure(late, ("following",))])
    assert found["following.turn_right.accuracy"].value == 1
    assert found["following.turn_right.gain"].value == pytest.approx(PAN, rel=0.1)
    ended = Clip(late.frames[:-6], late.axes[:-6], whole.fps, whole.first)  # before the last run's answer
    assert judge([measure(ended, ("following",))])["following.turn_right.gain"].value == pytest.approx(PAN, rel=0.1)


def short(fault: str, *names: str, fps: float = 10, grain: float = 0.0) -> dict[str, Measure]:
    clip = Panorama(1, grain).film(stay(10), fault, fps)
    return judge([measure(clip, names)])


def test_flicker_is_what_flashes_up_for_a_frame():
    steady, restless = short("", "flicker"), short("flickers", "flicker")
    assert steady["flicker"].value < 0.3
    assert restless["flicker"].value == pytest.approx(6, abs=1)


def test_fading_is_a_drift_of_contrast_and_saturation():
    faded = short("fades", "drift")
    assert faded["drift.10.contrast"].value == pytest.approx(0.5**1.45, abs=0.05)
    assert faded["drift.10.saturation"].value == pytest.approx(0.5**1.45, abs=0.05)
    assert short("", "drift")["drift.10.contrast"].value == pytest.approx(1, abs=0.02)


def test_blur_is_a_drift_of_sharpness_but_not_of_contrast():
    blurred = short("blurs", "drift")
    assert blurred["drift.10.sharpness"].value < 0.9
    assert blurred["drift.10.contrast"].value == pytest.approx(1, abs=0.05)


def test_a_world_that_runs_by_itself_is_not_still():
    running = short("runs", "stillness", "following")
    assert running["following.still.accuracy"].value == 0
    assert running["stillness.rest"].value > 5


@pytest.mark.parametrize("nature", ["day", "lamps", "cat"])
def test_light_that_changes_and_things_that_move_by_themselves_are_no_faults(nature):
    """Each by its own measure, if at all, which says of none that it is bad."""
    plain, found = (short(kind, *MEASURES, grain=0.8) for kind in ("", nature))
    assert found["following.still.accuracy"].value == 1
    assert found["stillness.rest"].value < plain["stillness.rest"].value + 0.3
    assert found["alive_s"].value == plain["alive_s"].value
    assert found["seams.ratio"].value < 1.5
    assert found["following.turn_left.accuracy"].value == 1
    if nature != "cat":  # which walks through the way back, and counts as unlike there
        assert found["mirror.psnr"].value > 28
    moving = found["stillness.moving"].value
    assert moving > 0.08 if nature == "cat" else moving == 0
    for name in ("sharpness", "contrast", "saturation"):
        if nature == "cat":  # whose edges are the sharpest there are
            assert found[f"drift.10.{name}"].value > 0.94
        else:
            assert found[f"drift.10.{name}"].value == pytest.approx(1, abs=0.06)
    if nature == "day":
        assert found["drift.10.brightness"].value == pytest.approx(1.2, abs=0.03)


def test_a_world_that_melts_while_nobody_moves_is_not_still():
    melting = short("melts", "stillness")
    assert melting["stillness.rest"].value > 1 and melting["stillness.moving"].value > 0.3


def test_jerks_are_not_smooth():
    def smoothness(fault: str) -> float:
        return judge([measure(Panorama(1).film(script((None, 8), ("turn_left", 30)), fault), ("smoothness",))])[
            "smoothness"
        ].value

    assert smoothness("") > 0.95
    assert smoothness("jerks") < 0.6


def test_a_way_back_to_another_place_is_no_return():
    there_and_back = script((None, 4), ("turn_left", 12), (None, 4), ("turn_right", 12), (None, 12))
    clip = Panorama(1).film(there_and_back)
    other = Clip(
        np.concatenate([clip.frames[:16], Panorama(2).film(there_and_back).frames[16:]]), clip.axes, 20.0, clip.first
    )
    back, away = (judge([measure(c, ("mirror",))]) for c in (clip, other))
    assert back["mirror.psnr"].value > 50 and back["return.ssim"].value > 0.99
    assert away["mirror.psnr"].value < 20 and away["return.ssim"].value < 0.7


def full_turn(forgets: bool = False, spins: float = 1.0) -> dict[str, Measure]:
    """405 degrees to the right in a room all round, 2.25 degrees a frame; one that forgets shows another room at last.
    spins: how many times as far as told it turns."""
    actions = script((None, 8), ("turn_right", 180), (None, 14))
    rooms = []
    for seed in (1, 2):
        noise = torch.randn(1, 3, 12, 48, generator=torch.Generator().manual_seed(seed))
        around = torch.nn.functional.interpolate(torch.cat([noise] * 3, 3), size=(112, 1440), mode="bicubic")
        rooms.append((128 + 50 * around[0, :, :, 480:960]).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())
    turned = np.cumsum([3 * spins if 8 <= t < 188 else 0 for t in range(len(actions))])
    shown = [rooms[int(forgets and t > 100)] for t in range(len(actions))]
    frames = [np.roll(room, -round(at), 1)[:, :192] for room, at in zip(shown, turned, strict=True)]
    return judge([measure(Clip.of(np.stack(frames), actions, "universal", 20.0), ("loop",))])


def test_a_full_turn_comes_back_to_where_it_began_or_does_not():
    whole, forgetful, wide = full_turn(), full_turn(forgets=True), full_turn(spins=1.1)
    assert whole["loop.psnr"].value > 50 and whole["loop.ssim"].value > 0.99
    assert whole["loop.degrees"].value == pytest.approx(360, abs=0.1)
    assert forgetful["loop.psnr"].value < 25
    assert wide["loop.degrees"].value == pytest.approx(360 / 1.1, abs=2) and wide["loop.psnr"].value > 30


def test_a_view_that_never_turns_has_not_come_back():
    walk = Panorama(1).film(script(("forward", 20), (None, 2)))
    actions = Actions.join([script(("forward", 20), (None, 2)), press("turn_right", 180)])
    frames = np.concatenate([walk.frames, walk.frames[-1:].repeat(180, 0)])
    noise = np.random.default_rng(0).integers(0, 3, frames.shape)  # or it would count as frozen
    found = judge(
        [measure(Clip.of((frames + noise).clip(0, 255).astype(np.uint8), actions, "universal", 20.0), ("loop",))]
    )
    assert "hardly changes" in found["loop.psnr"].undecidable


def test_both_of_two_keys_at_once_count():
    diagonal = Actions.stack([SPACE.action(("W", "D"))] * 12)
    ok = Panorama(1).film(Actions.join([press(None, 4), diagonal]))
    half = Clip(Panorama(1).film(Actions.join([press(None, 4), press("forward", 12)])).frames, ok.axes, 20.0, ok.first)
    assert judge([measure(ok, ("interaction",))])["interaction"].value == 1
    assert judge([measure(half, ("interaction",))])["interaction"].value == 0


def test_borders_of_known_blocks_are_where_seams_are_looked_for():
    clip = Panorama(1, grain=0.5).film(spin(10), "seam", 10)
    right = Clip(clip.frames, clip.axes, clip.fps, clip.first, block=4)
    wrong = Clip(clip.frames, clip.axes, clip.fps, clip.first, block=7)
    assert judge([measure(right, ("seams",))])["seams.ratio"].value > 2
    assert judge([measure(wrong, ("seams",))])["seams.ratio"].value < 1.6


def test_a_grey_picture_is_undecidable_with_a_reason():
    axes = commands(directions(), "universal")
    noise = np.random.default_rng(0).integers(0, 2, (len(axes), 1, 1, 3))
    plain = Clip((np.full((len(axes), 112, 192, 3), 120) + noise).astype(np.uint8), axes, 20.0)
    found = judge([measure(plain)])
    assert found["following.turn_left.accuracy"].value is None
    assert all(m.value is not None or m.undecidable for m in found.values())


@pytest.mark.parametrize("name", MEASURES)
def test_no_clip_is_too_short_to_be_told_so(name):
    for frames in (1, 2, 5):
        clip = Panorama(1).film(press("turn_left", frames))
        for found in judge([measure(clip, (name,))]).values():
            assert found.value is not None or found.undecidable


def test_every_measure_states_its_unit_range_and_source():
    for function in MEASURES.values():
        assert "Source:" in function.__doc__
    for samples in measure(Panorama(1).film(benchmark_actions(SPACE, 1, 30))).values():
        assert samples.unit or samples.lower is not None


def test_larger_pictures_are_measured_alike():
    clip = Panorama(1).film(script((None, 8), ("turn_left", 12)))
    large = clip.frames.repeat(3, 1).repeat(3, 2)
    assert np.array_equal(to_stated_size(large), clip.frames)


def test_what_is_asked_for_is_read_from_each_modes_own_keys():
    run = Actions.stack([SPACE.action(("W", "A"), (0.05, -0.1))])
    assert commands(run, "universal")[0].tolist() == pytest.approx([1, -1, -1, 0.5])


@pytest.mark.parametrize(("x", "y", "grown"), [(4, 0, 1), (0, -3, 1), (0, 0, 1.03), (2, 2, 0.98)])
def test_a_cameras_shift_and_growth_are_found_apart(x, y, grown):
    world = Panorama(2)
    pair = np.stack([world.look(0, 0, 1), world.look(-x, -y, grown)])
    signed = torch.from_numpy(pair).permute(0, 3, 1, 2).float() / 127.5 - 1
    seen = camera_motion(flow(signed[:1], signed[1:]))
    assert float(seen.right) == pytest.approx(x, abs=0.25)
    assert float(seen.down) == pytest.approx(y, abs=0.25)
    assert float(seen.growth) == pytest.approx(96 * (grown - 1), abs=0.35)


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    draws = np.random.default_rng(5)
    held = 0
    for _ in range(60):
        found = summarise([Samples("", tuple(draws.normal(1, 1, 40)))])
        held += found.interval[0] <= 1 <= found.interval[1]
    assert 52 <= held <= 60


def test_all_right_of_eight_is_not_always_right():
    found = summarise([Samples("share", (1.0,) * 8, kind="share")])
    assert found.value == 1
    assert found.interval[0] == pytest.approx(0.676, abs=0.01)


def test_moments_of_one_clip_count_as_alike():
    draws = np.random.default_rng(5)
    clips = [Samples("", tuple(centre + draws.normal(0, 0.1, 20))) for centre in draws.normal(0, 1, 8)]
    together = summarise([Samples("", tuple(v for clip in clips for v in clip.values))])
    apart = summarise(clips)
    assert np.ptp(apart.interval) > 2 * np.ptp(together.interval)
