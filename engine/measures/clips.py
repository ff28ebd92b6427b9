"""What a world is worth, from a clip of it and what was pressed: one function for each measure.

Every measure takes a Clip and gives Samples by name, as judge.json names them; a sample is one moment of the clip (a
run of one action, a second, a way and back), and `summarise` makes one number of all. What nothing can be said about
has no samples and a reason. So that one fault is told by one measure:

- the part of a clip in which the picture is frozen or flat counts for `alive_s` alone;
- a picture that never moves, though it is asked to, is told by `dynamic_degree` alone, which is then 0;
- what happens within six frames of a change of keys counts for `delay_frames` alone, however late a world answers.

Pictures are at 192x112, and so are all pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from engine.measures.clip import Clip, Run, channel_of, sign_of
from engine.measures.motion import DIRECTIONS
from engine.measures.pictures import LUMA, contrast, mean_colour, psnrs, saturation, sharpness, ssim
from engine.measures.statistics import Measure, Samples, summarise

REACTION = 6
"""Video frames after a change of keys in which a world may still do what was asked before."""
LONGEST_DELAY = 12
OPPOSITES = {"turn_left": "turn_right", "look_up": "look_down", "forward": "back", "strafe_left": "strafe_right"}
OPPOSITES |= {other: one for one, other in OPPOSITES.items()}
DRIFT_SECONDS = 5

_AREA, _AREAS = 16, "n (h y) (w x) -> n (h w) (y x)"
_MOVED_LEVELS, _MOST_LIGHT = 4.0, 2.0
_MOST_GAIN = 1.25
_LEAST_RUN = 10
_LEAST_STEADY = 3  # frames of it that must be left
_LEAST_MOTION, _LEAST_SHARE = 0.1, 0.2  # pixels a frame; share of what is usual
_STILL_MOTION = 0.1
_LEAST_LIGHT = 4.0  # grey levels of mean brightness, below which a picture is black
_LEAST_TRUST = 2e-4
_IDLE_SETTLE, _IDLE_SECONDS = 10, 3.0
_SHOWN = (16, 239)  # levels that have room to change
_WAY_GAP, _WAY_GAP_SECONDS, _LEAST_WAY, _WAY_STEP = 12, 0.6, 8, 3
_LEAST_TURN, _LOOP = 330.0, (288.0, 432.0)  # degrees
_AWAY_DB = 32.0  # a view that is more like the first than this was not left
_PERIODS = range(2, 17)
_LEAST_PERIODS = 6
_SEAM_PART = 64  # frames that make one sample
_STEADY_LEFT = 0.5  # grey levels added to both, because a ratio of next to nothing says nothing
_SEAM_STRENGTH = float(np.log(1.5))
_MOST_LOG = float(np.log(4))  # a single cut is no seam, however hard it is

Found = dict[str, Samples]


def following(clip: Clip) -> Found:
    """Whether the picture moves the way that is asked for, how far, and how soon.

    For each of the eight directions, from runs of at least ten frames in which it alone is asked for: `accuracy`,
    share 0..1 of runs in which the picture moves that way on average (by 0.1 pixels a frame, and by a fifth of what
    is usual for the direction, whichever is more), its first six frames left out, and taken as many frames later as
    the picture usually answers late; `gain`, pixels a frame for a key or for the mouse at its limit, negative the wrong
    way: the shift of the picture when turning, looking or strafing, how far its left and right edges move outward
    when walking; `delay_frames`, video frames 0..12 from the first that was told to the first that shows it, 0
    where that same frame does: the lag at which a step fits the motion best, whichever way that goes, from runs
    with nothing of the kind in the six frames before them (median). For `still`: share of runs with nothing pressed
    in which the picture moves by less than 0.1 pixels a frame, in the middle of its places: things that move by
    themselves do not count, as long as they are less than half of it. Runs before a bare wall, where flow sees
    nothing, do not count. Source: flow by Lucas and Kanade 1981; accuracy of controls as in GameFactory (arXiv
    2501.08325), without a classifier; a world that walks into a wall is held to be wrong, because a picture alone
    does not tell.
    """
    found: Found = {}
    alone = [run for run in _alive(clip) if len(run.asked) == 1 and len(run) >= _LEAST_RUN]
    known = {run.begin: late for run in alone if (late := _delay(clip, run, run.asked[0])) is not None}
    usually = round(np.median(list(known.values()) or [0]))
    for name in DIRECTIONS:
        runs = [run for run in alone if run.asked == (name,)]
        seen = [(run, _steady_motion(clip, run, name, usually)) for run in runs]
        clear = [(run, moved) for run, moved in seen if moved is not None]
        why = _why_no_runs(clip, name, runs, clear)
        usual = float(np.median([abs(moved) for _, moved in clear])) if clear else 0.0
        least = max(_LEAST_MOTION, _LEAST_SHARE * usual)
        begins = tuple(run.begin for run, _ in clear)
        right = tuple(float(moved > least) for _, moved in clear)
        gains = tuple(moved / _amount(run) for run, moved in clear)
        delays = [(begin, known[begin]) for begin in begins if begin in known]
        late_why = why or "no run begins after six frames without it, or none shows a clear beginning"
        found |= {
            f"following.{name}.accuracy": Samples("share", right, begins, "share", 0.0, 1.0, "high", why),
            f"following.{name}.gain": Samples("pixels a frame", gains, begins, lower=None, why=why),
            f"following.{name}.delay_frames": Samples(
                "frames", tuple(late for _, late in delays), tuple(begin for begin, _ in delays), "median",
                upper=LONGEST_DELAY, good="low", why=late_why,
            ),
        }  # fmt: skip
    still = [
        (run.begin, float(rest < _STILL_MOTION))
        for run in _idle(clip)
        for rest in [float(np.nanmedian(clip.seen.middle[run.begin : run.end]))]
    ]
    begins, calm = tuple(begin for begin, _ in still), tuple(share for _, share in still)
    return found | {
        "following.still.accuracy": Samples("share", calm, begins, "share", 0, 1, "high", _why_no_idle(clip))
    }


def interaction(clip: Clip) -> Found:
    """Whether both of two directions asked for at once are answered: share 0..1 of runs of at least ten frames.

    Two that the picture answers in different ways count (walking and strafing, walking and turning, turning and
    looking up), each by `following`'s 0.1 pixels a frame, whichever way, because that is `following`'s question.
    Source: the composed actions of GameFactory (arXiv 2501.08325).
    """
    values, begins = [], []
    runs = [run for run in _alive(clip) if len(run) >= _LEAST_RUN and len(set(run.channels)) == len(run.asked) == 2]
    for run in runs:
        moved = [_steady_motion(clip, run, name) for name in run.asked]
        both = [m for m in moved if m is not None]
        if len(both) == 2:
            values.append(float(min(abs(m) for m in both) > _LEAST_MOTION))
            begins.append(run.begin)
    why = "no two directions are asked for at once for ten frames" if not runs else "nothing to see where they are"
    return {"interaction": Samples("share", tuple(values), tuple(begins), "share", 0, 1, "high", _dead(clip) or why)}


def stillness(clip: Clip) -> Found:
    """How much of the picture changes while nothing is pressed, and how fast the rest of it does.

    In each three seconds with nothing pressed, the first half second after a key left out, pictures half a second apart
    are compared with the first of them, in areas of 16x16 pixels. What light does to an area, brighter or darker by
    some share or some levels, is taken out: suns rise and lamps flicker in worlds that stand still. Then
    `stillness.rest` is how fast the area in the middle of all comes to differ at the end, grey levels a second, 0 for a
    world that stands still: it tells melting and creeping, and not what moves by itself in less than half of the
    picture. `stillness.moving` is the share of areas, 0..1, that ever differ by more than four grey levels: things that
    move by themselves, which are no fault. Pixels at either end of the range, which cannot show what happens to them,
    are left out. Source: our own.
    """
    rest, moving, begins = [], [], []
    for run in _idle(clip):
        frames = [*range(run.begin, run.end - 1, max(1, round(clip.fps / 2))), run.end - 1]
        apart = _apart(clip.frames[frames])
        if not np.isfinite(apart).any():
            continue
        rest.append(float(np.nanmedian(apart[-1])) / (len(run) - 1) * clip.fps)
        ever = np.nan_to_num(apart).max(0)
        moving.append(float((ever[np.isfinite(apart).any(0)] > _MOVED_LEVELS).mean()))
        begins.append(run.begin)
    why = _why_no_idle(clip)
    return {
        "stillness.rest": Samples("grey levels a second", tuple(rest), tuple(begins), good="low", why=why),
        "stillness.moving": Samples("share", tuple(moving), tuple(begins), upper=1.0, why=why),
    }


def _apart(frames: np.ndarray) -> np.ndarray:
    """(n, 112, 192, 3) -> (n - 1, areas): mean grey levels by which areas differ from the first's, light taken out.

    NaN for an area of which less than half can show what happens to it.
    """
    inside = np.asarray(((frames >= _SHOWN[0]) & (frames <= _SHOWN[1])).all(-1))
    shown = rearrange(inside, _AREAS, y=_AREA, x=_AREA)
    levels = rearrange(frames.astype(np.float32) @ np.array(LUMA, dtype=np.float32), _AREAS, y=_AREA, x=_AREA)
    both = shown[:1] & shown[1:]
    count = both.sum(-1)
    count = np.where(count * 2 >= _AREA * _AREA, count, np.nan)

    def centred(values: np.ndarray) -> np.ndarray:
        return np.where(both, values - ((values * both).sum(-1) / count)[..., None], 0.0)

    before, after = centred(levels[:1]), centred(levels[1:])
    power = (before * before).sum(-1)
    gain = ((before * after).sum(-1) / np.maximum(power, 1e-6)).clip(1 / _MOST_LIGHT, _MOST_LIGHT)
    return np.abs(after - gain[..., None] * before).sum(-1) / count


def mirror(clip: Clip) -> Found:
    """How alike the way back is to the way there, and the end to the beginning, after a way and the same way back.

    A way is a run of at least eight frames in one direction, the way back the next run, after at most 0.6 seconds (or
    twelve frames) with nothing pressed, in the opposite direction, as long and as fast. `mirror.psnr` (dB, 0..60) and
    `mirror.ssim` (-1..1) compare the frames of the way back with those of the way there from the same places, every
    third; both ways may be shown up to twelve frames late, and the lag at which they agree best counts; pictures are
    brought to one mean colour, and to one contrast by up to a quarter, because a change of the light is what `drift`
    and `seams` are for. What moves by itself counts as unlike. `return.psnr` and `return.ssim` compare the picture
    before leaving with the last one before something else is pressed. Walking counts only where the world walks back
    as fast as forward, so it is left out. A way on which the view hardly changes (more than 32 dB like the first at
    its turning point) counts for nothing.
    Source: Wang et al. 2004 for SSIM; the way and back as in WorldMem (arXiv 2504.12369) and the open world-model
    benchmarks' symmetric paths.
    """
    rows: dict[str, list[float]] = {"mirror.psnr": [], "mirror.ssim": [], "return.psnr": [], "return.ssim": []}
    begins: list[int] = []
    ways = list(_ways(clip))
    for there, back, last in ways:
        leave, turn = there.begin - 1, there.end - 1
        beginning, turned = _even(clip, [leave]), _even(clip, [min(turn + REACTION, back.begin - 1)])
        if float(psnrs(turned, beginning)[0]) > _AWAY_DB:
            continue
        steps = torch.arange(2, len(there) - 1, _WAY_STEP)
        shown = _even(clip, list(range(there.begin, last)))
        home, away = back.begin - there.begin + steps - 1, len(there) - steps - 1
        lags = range(0, min(LONGEST_DELAY, last - back.end) + 1)
        pairs = [(_in_light_of(shown[home + lag], shown[away + lag]), shown[away + lag]) for lag in lags]
        way = max(pairs, key=lambda pair: float(psnrs(*pair).mean()))
        end = _in_light_of(shown[-1:], beginning), beginning
        for name, pair in (("mirror", way), ("return", end)):
            rows[f"{name}.psnr"].append(float(psnrs(*pair).mean()))
            rows[f"{name}.ssim"].append(float(ssim(*pair).mean()))
        begins.append(there.begin)
    why = _dead(clip) or ("the view hardly changes on the way" if ways else "no way and the same way back in it")
    units = {"psnr": ("dB", 0.0, 60.0), "ssim": ("", -1.0, 1.0)}
    return {
        name: Samples(unit, tuple(values), tuple(begins), lower=low, upper=high, good="high", why=why)
        for name, values in rows.items()
        for unit, low, high in [units[name.rpartition(".")[2]]]
    }


def loop(clip: Clip) -> Found:
    """How alike a place is after a full turn: 360 degrees one way, back to where the turn began.

    A run of turning by the mouse of 330 degrees or more counts, as far as the degrees of the mouse are known. Of its
    frames from 288 to 432 degrees on (and up to twelve frames after it), the one that is most like the picture before
    the turn is taken: `loop.psnr` (dB, 0..60) and `loop.ssim` (-1..1) say how alike, in one light as in `mirror`;
    `loop.degrees` is what had been asked for by then, 360 for a world that turns by as much as it is told to. A turn on
    which the view hardly changes (never less than 32 dB like the first between 90 and 270 degrees) counts for nothing.
    Source: return turns and revisits as in WorldMem (arXiv 2504.12369).
    """
    rows: dict[str, list[float]] = {"loop.psnr": [], "loop.ssim": [], "loop.degrees": []}
    begins: list[int] = []
    turns = [
        (run, clip.degrees * abs(run.axes[2])) for run in _alive(clip) if run.asked in (("turn_left",), ("turn_right",))
    ]
    full = [(run, each) for run, each in turns if run.begin and each * len(run) >= _LEAST_TURN]
    for run, each in full:
        before = _even(clip, [run.begin - 1])
        away = _likeness(clip, before, run.begin + int(90 / each), min(run.end, run.begin + int(270 / each) + 1))
        last = min(run.end + LONGEST_DELAY, run.begin + round(_LOOP[1] / each), clip.alive_until)
        first = run.begin + round(_LOOP[0] / each)
        last = min([last, *(other.begin for other in clip.runs if other.begin >= run.end and other.asked)])
        if first >= last or float(away.min()) >= _AWAY_DB:
            continue
        alike = _likeness(clip, before, first, last)
        best = first + int(alike.argmax())
        rows["loop.psnr"].append(float(alike.max()))
        rows["loop.ssim"].append(float(ssim(_in_light_of(_even(clip, [best]), before), before)[0]))
        rows["loop.degrees"].append(min(best - run.begin + 1, len(run)) * each)
        begins.append(best)
    why = _dead(clip) or ("the view hardly changes on the turn" if full else "no full turn by the mouse in it")
    found = {
        f"loop.{name}": Samples(
            unit, tuple(rows[f"loop.{name}"]), tuple(begins), lower=low, upper=high, good="high", why=why
        )
        for name, unit, low, high in (("psnr", "dB", 0.0, 60.0), ("ssim", "", -1.0, 1.0))
    }
    return found | {"loop.degrees": Samples("degrees", tuple(rows["loop.degrees"]), tuple(begins), why=why)}


def _likeness(clip: Clip, before: Tensor, begin: int, end: int) -> Tensor:
    """(n,) PSNR of the frames begin..end to one picture, in its light."""
    return psnrs(_in_light_of(_even(clip, list(range(begin, end))), before), before)


def drift(clip: Clip) -> Found:
    """How the look of the picture changes, for every five seconds against the first second.

    `brightness` is a share of the first second's, neither good nor bad: a world may have a day and lamps. All else is
    measured at the first second's brightness, so that a change of how much light there is does not count:
    `sharpness`, `contrast` and `saturation` (see pictures.py) are shares of the first second's, 1 for no drift;
    `colour_distance` is the distance of the mean colours, levels 0..441. One sample a second. A clip that goes to
    another place changes its look for good reasons, and so does one in which the sun sets in red: to tell drift from
    that, judge clips that stay or return, as the suites do, and compare with a world in the same light. Source:
    per-segment quality of long rollouts as in Self-Forcing (arXiv 2506.08009) and Matrix-Game 2.0.
    """
    second = max(1, round(clip.fps))
    until = clip.alive_until
    found: Found = {}
    if until < (DRIFT_SECONDS + 1) * second or clip.never_moves:
        why = _dead(clip) or f"shorter than {DRIFT_SECONDS + 1} seconds"
        return _drift_rows(DRIFT_SECONDS, {}, (), why)
    looks = [_look(clip, begin, begin + second) for begin in range(0, until - second + 1, second)]
    base = looks[0]
    for end in range(DRIFT_SECONDS, len(looks) + 1, DRIFT_SECONDS):
        seconds = range(max(1, end - DRIFT_SECONDS), end)
        light = {s: max(_LEAST_LIGHT, looks[s].brightness) / max(_LEAST_LIGHT, base.brightness) for s in seconds}
        rows = {
            name: tuple(getattr(looks[s], name) / light[s] / max(1e-6, getattr(base, name)) for s in seconds)
            for name in ("sharpness", "contrast", "saturation")
        }
        rows["brightness"] = tuple(light.values())
        rows["colour_distance"] = tuple(
            float(np.linalg.norm(looks[s].colour / light[s] - base.colour)) for s in seconds
        )
        found |= _drift_rows(end, rows, tuple(s * second for s in seconds), "")
    return found


def alive(clip: Clip) -> Found:
    """Seconds until the picture is frozen or flat for good; the clip's length where it never is.

    Frozen: less than 0.05 grey levels of change a frame to the end, though turning is asked for in half a second of
    it, or anything for three (whoever walks against a wall stands still, too). Flat: brightness differs by less than
    15 % of the first second's for two seconds to the end. Undecidable for a picture that never moves. Source: our
    own, after the `alive` of the embedded model's evaluation.
    """
    why = _dead(clip) or ("" if clip.asks else "nothing is ever asked for")
    values = () if why else (clip.alive_until / clip.fps,)
    return {"alive_s": Samples("s", values, (max(0, min(clip.alive_until, len(clip) - 1)),) if values else (),
                               good="high", why=why)}  # fmt: skip


def seams(clip: Clip) -> Found:
    """Change at the borders of blocks over change within them; 1 for a world without seams.

    Change is what is left of a frame's difference to the one before once the motion is taken out, in grey levels.
    Where the model makes several frames at once, borders are where its blocks begin. Where it makes frames one by
    one, or that is not known, every period of 2 to 16 frames and every place in it is tried, and the one that stands
    out most is taken (`seams.period`, frames), so a world without seams has a ratio a little above 1. Frames within
    six of a change of keys are left out. One sample for each 64 frames. Source: our own; seams between blocks are
    what chunk-wise models are blamed for most (Matrix-Game 2.0, arXiv 2508.13009; Self-Forcing, arXiv 2506.08009).
    """
    if _dead(clip):
        return _seam_samples((), (), None, _dead(clip))
    left = _against_run(clip, clip.seen.left)
    period, place, _ = _borders(clip, left)
    if not period:
        return _seam_samples((), (), None, "too few frames away from changes of keys")
    at_border = np.arange(len(left)) % period == place
    values, begins = [], []
    for begin in range(0, len(left), _SEAM_PART):
        part, border = left[begin : begin + _SEAM_PART], at_border[begin : begin + _SEAM_PART]
        outer, inner = part[border & np.isfinite(part)], part[~border & np.isfinite(part)]
        if len(outer) >= 3 and len(inner) >= 3:
            values.append(float(outer.mean() / inner.mean()))
            begins.append(begin)
    return _seam_samples(tuple(values), tuple(begins), period, "too few frames away from changes of keys")


def flicker(clip: Clip) -> Found:
    """Grey levels by which places flash up or go dark for one frame, on average over the picture.

    For each of 24x14 areas: where its brightness differs from the frame before and from the frame after in the same
    direction, the smaller of the two differences; else nothing. So steps (seams), fading (drift) and motion across
    the picture do not count, or hardly. One sample a second, frames within six of a change of keys left out, and
    those beside a seam. Source: our own; temporal flickering of VBench (arXiv 2311.17982) is a mean difference of
    frames, and counts all motion.
    """
    cells = clip.seen.cells[: clip.alive_until]
    if len(cells) < 3 or _dead(clip):
        return {"flicker": Samples("grey levels", why=_dead(clip) or "fewer than three frames", good="low")}
    before, after = cells[1:-1] - cells[:-2], cells[1:-1] - cells[2:]
    alone = np.where(before * after > 0, np.minimum(np.abs(before), np.abs(after)), 0.0).mean((1, 2))
    alone = _calm(clip, np.concatenate([[np.nan], alone, [np.nan]]))
    period, place, strength = _borders(clip, _against_run(clip, clip.seen.left))
    if period > 2 and strength > _SEAM_STRENGTH:
        alone[place::period] = np.nan
        alone[(place - 1) % period :: period] = np.nan
    values, begins = _by_second(clip, alone)
    return {"flicker": Samples("grey levels", values, begins, good="low", why="keys change all the time")}


def dynamic_degree(clip: Clip) -> Found:
    """Pixels a second by which the fastest twentieth of the picture moves while something is asked for.

    0 for a picture that never moves. One sample a second. Source: dynamic degree of VBench (arXiv 2311.17982), with
    Lucas and Kanade's flow in the place of RAFT, as a number instead of a verdict.
    """
    unit = "pixels a second"
    asked = np.abs(clip.axes).max(1, initial=0.0) > 0
    if not asked.any():
        return {"dynamic_degree": Samples(unit, why="nothing is ever asked for")}
    if clip.never_moves:
        return {"dynamic_degree": Samples(unit, (0.0,), (0,))}
    speed = np.where(asked, clip.seen.speed, np.nan)
    speed[clip.alive_until :] = np.nan
    values, begins = _by_second(clip, _calm(clip, speed))
    return {
        "dynamic_degree": Samples(unit, tuple(v * clip.fps for v in values), begins, why="keys change all the time")
    }


def smoothness(clip: Clip) -> Found:
    """How evenly the picture moves while the same is asked for, 0..1; 1 for perfectly even motion.

    1 less the mean change of the motion from one frame to the next as a share of the motion, for each run of one
    direction in which the picture moves, its first six frames left out. Source: our own; motion smoothness of VBench
    (arXiv 2311.17982) needs a network that interpolates frames.
    """
    values, begins = [], []
    for run in _alive(clip):
        if len(run.asked) != 1 or len(run) < _LEAST_RUN:
            continue
        moved = clip.seen.motion[run.begin + REACTION : run.end, run.channels[0]]
        if _steady_motion(clip, run, run.asked[0]) is None or abs(moved.mean()) < _LEAST_MOTION:
            continue
        values.append(max(0.0, 1 - float(np.abs(np.diff(moved)).mean() / np.abs(moved).mean())))
        begins.append(run.begin)
    why = _dead(clip) or "no run of one direction in which the picture moves"
    return {"smoothness": Samples("share", tuple(values), tuple(begins), upper=1.0, good="high", why=why)}


def absolute_sharpness(clip: Clip) -> Found:
    """Slope of the steepest 4 % of pixels less that of the plainer half, grey levels a pixel at 192x112, 0..about 360.

    One sample a second; see `engine.measures.pictures.sharpness`. Comparable between models of any size, not between
    worlds: a forest has more edges than a wall. Source: our own.
    """
    second = max(1, round(clip.fps))
    begins = () if clip.never_moves else tuple(range(0, clip.alive_until, second))
    if not begins:
        why = _dead(clip) or "no frame of it is alive"
        return {"sharpness": Samples("grey levels a pixel", why=why, good="high")}
    values = tuple(float(v) for v in sharpness(clip.pictures(list(begins))).numpy())
    return {"sharpness": Samples("grey levels a pixel", values, begins, good="high")}


@dataclass(frozen=True)
class _Look:
    sharpness: float
    contrast: float
    saturation: float
    colour: np.ndarray

    @property
    def brightness(self) -> float:
        return float(self.colour @ np.array(LUMA))


def _look(clip: Clip, begin: int, end: int) -> _Look:
    """Of the frames begin..end, every fifth."""
    pictures = clip.pictures(slice(begin, end, 5))
    means = [float(of(pictures).mean()) for of in (sharpness, contrast, saturation)]
    return _Look(means[0], means[1], means[2], mean_colour(pictures).mean(0).numpy())


def _drift_rows(end: int, rows: dict[str, tuple[float, ...]], frames: tuple[int, ...], why: str) -> Found:
    share = Samples("of the first second", frames=frames, why=why)
    found = {
        f"drift.{end}.{name}": replace(share, values=rows.get(name, ()))
        for name in ("brightness", "sharpness", "contrast", "saturation")
    }
    distance = Samples("levels", rows.get("colour_distance", ()), frames, upper=441.7, why=why)
    return found | {f"drift.{end}.colour_distance": distance}


def _seam_samples(values: tuple[float, ...], begins: tuple[int, ...], period: int | None, why: str) -> Found:
    periods = (float(period),) if period and values else ()
    return {
        "seams.ratio": Samples("", values, begins, good="low", why=why),
        "seams.period": Samples("frames", periods, begins[:1] if periods else (), "median", why=why),
    }


def _against_run(clip: Clip, left: np.ndarray) -> np.ndarray:
    """What is left of each frame as a share of the median of its run, because moving on leaves more than standing."""
    left = _calm(clip, left) + _STEADY_LEFT
    for run in clip.runs:
        part = left[run.begin : run.end]
        known = part[np.isfinite(part)]
        part /= np.median(known) if len(known) >= REACTION else np.nan
    return left


def _borders(clip: Clip, left: np.ndarray) -> tuple[int, int, float]:
    """Frames between borders of blocks, the first border, and the logarithm of how much more is left there.

    (0, 0, 0.0) if there are too few frames to say. left: see `_against_run`.
    """
    if clip.block is not None and clip.block > 1:
        levels = _by_place(left, clip.block, 1)
        return (0, 0, 0.0) if levels is None else (clip.block, 0, _above_others(levels, 0))
    found = [(period, levels) for period in _PERIODS if (levels := _by_place(left, period, _LEAST_PERIODS)) is not None]
    scores = [(_above_others(levels, int(levels.argmax())), period, int(levels.argmax())) for period, levels in found]
    if not scores:
        return 0, 0, 0.0
    most = max(score for score, _, _ in scores)
    # A multiple of the true period stands out as much as that does.
    score, period, place = next(row for row in scores if row[0] >= 0.7 * most)
    return period, place, score


def seam_spectrum(clip: Clip) -> dict[int, float]:
    """Period in frames -> how many times more is left of change at the place that stands out than at the others.

    As `seams` finds it, for periods of 2 to 16 frames; those of which too few are seen are missing.
    """
    if clip.never_moves:
        return {}
    left = _against_run(clip, clip.seen.left)
    found = {period: _by_place(left, period, _LEAST_PERIODS) for period in _PERIODS}
    return {
        period: float(np.exp(_above_others(levels, int(levels.argmax()))))
        for period, levels in found.items()
        if levels is not None
    }


def _by_place(left: np.ndarray, period: int, least: int) -> np.ndarray | None:
    """(period,) mean logarithms of what is left at each place of a period; None if one is too seldom seen."""
    places = [left[place::period] for place in range(period)]
    kept = [values[np.isfinite(values)] for values in places]
    if min(len(values) for values in kept) < least:
        return None
    return np.array([np.log(values).clip(-_MOST_LOG, _MOST_LOG).mean() for values in kept])


def _above_others(levels: np.ndarray, place: int) -> float:
    return float(levels[place] - np.median(np.delete(levels, place)))


def _dead(clip: Clip) -> str:
    return "the picture never moves (see dynamic_degree)" if clip.never_moves else ""


def _alive(clip: Clip) -> list[Run]:
    """The runs, up to where the picture is frozen or flat."""
    if clip.never_moves:
        return []
    until = clip.alive_until
    return [replace(run, end=min(run.end, until)) for run in clip.runs if run.begin < until]


def _steady_motion(clip: Clip, run: Run, name: str, late: int = 0) -> float | None:
    """Pixels a frame that the picture moves the way of `name`, or None where there is nothing to see.

    late: video frames by which the picture answers late.
    """
    part = slice(run.begin + REACTION + late, min(run.end + late, clip.alive_until))
    if part.stop - part.start < _LEAST_STEADY or float(clip.seen.trust[part].mean()) < _LEAST_TRUST:
        return None
    return float(sign_of(name) * clip.seen.motion[part, channel_of(name)].mean())


def _amount(run: Run) -> float:
    """How much of its one direction is asked for: 1 is a key, or the mouse at its limit."""
    return max(abs(value) for value in run.axes)


def _delay(clip: Clip, run: Run, name: str) -> float | None:
    """Frames from the run's beginning to the first that shows it; None where that is not clear."""
    channel = channel_of(name)
    begin = run.begin - REACTION
    if begin < 0:
        return None
    before = [other for other in clip.runs if other.end > begin and other.begin < run.begin]
    if any(channel in other.channels for other in before):
        return None
    motion = clip.seen.motion[begin : run.end, channel]
    if not np.isfinite(motion).all():
        return None
    time, best = np.arange(begin, run.end) - run.begin, (np.inf, 0)
    spread = float(((motion - motion.mean()) ** 2).sum())
    for lag in range(0, min(LONGEST_DELAY, len(run) - 3) + 1):
        after = time >= lag
        error = sum(float(((part - part.mean()) ** 2).sum()) for part in (motion[after], motion[~after]))
        best = min(best, (error, lag))
    step = abs(motion[time >= best[1]].mean() - motion[time < best[1]].mean())
    return float(best[1]) if best[0] < 0.5 * spread and step > _LEAST_MOTION else None


def _idle(clip: Clip) -> list[Run]:
    """Three seconds and three seconds in which nothing is pressed, or what there is of them: a second at least."""
    found, size = [], round(_IDLE_SECONDS * clip.fps)
    for run in _alive(clip):
        if run.asked:
            continue
        begins = range(run.begin + _IDLE_SETTLE, run.end, size)
        parts = [Run(begin, min(begin + size, run.end), run.axes) for begin in begins]
        found += [part for part in parts if len(part) >= clip.fps]
    return found


def _why_no_idle(clip: Clip) -> str:
    return _dead(clip) or "never is nothing pressed for a second and a half"


def _why_no_runs(clip: Clip, name: str, runs: list[Run], clear: list[tuple[Run, float]]) -> str:
    if clear:
        return ""
    words = name.replace("_", " ")
    return _dead(clip) or (
        f"{words} is never asked for alone for ten frames" if not runs else f"nothing to see where {words} is asked for"
    )


def _ways(clip: Clip) -> list[tuple[Run, Run, int]]:
    """Every way, the way back, and the frame at which something else is asked for."""
    runs, found = _alive(clip), []
    for i, there in enumerate(runs):
        if len(there.asked) != 1 or len(there) < _LEAST_WAY or not there.begin or there.asked[0] in ("forward", "back"):
            continue
        rest = runs[i + 1 :]
        if len(rest) > 1 and not rest[0].asked and len(rest[0]) <= max(_WAY_GAP, round(_WAY_GAP_SECONDS * clip.fps)):
            rest = rest[1:]
        if not rest or len(rest[0]) != len(there) or rest[0].asked != (OPPOSITES[there.asked[0]],):
            continue
        back = rest[0]
        if np.abs(np.add(there.axes, back.axes)).max() > 0.02:
            continue
        last = back.end
        if len(rest) > 1 and not rest[1].asked:
            last = min(rest[1].end, back.end + LONGEST_DELAY)
        found.append((there, back, last))
    return found


def _even(clip: Clip, frames: list[int]) -> Tensor:
    """Pictures (n, 3, H, W) about -1..1, all of one and the same mean colour."""
    pictures = clip.pictures(frames)
    return pictures - pictures.mean((2, 3), keepdim=True)


def _in_light_of(pictures: Tensor, others: Tensor) -> Tensor:
    """`_even` pictures with the contrast of others, as far as a change of the light would give it to them."""
    gain = others.std((1, 2, 3), keepdim=True) / pictures.std((1, 2, 3), keepdim=True).clamp(min=1e-6)
    return pictures * gain.clamp(1 / _MOST_GAIN, _MOST_GAIN)


def _calm(clip: Clip, values: np.ndarray) -> np.ndarray:
    """Values of frames, with NaN within six frames of a change of keys, and where the picture is dead."""
    values = values.copy()
    for run in clip.runs:
        values[run.begin : run.begin + REACTION] = np.nan
    values[clip.alive_until :] = np.nan
    return values


def _by_second(clip: Clip, values: np.ndarray) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Means of every second of which a quarter is known, and the frames they begin at."""
    second = max(1, round(clip.fps))
    parts = [(begin, values[begin : begin + second]) for begin in range(0, len(values), second)]
    known = [(begin, part[np.isfinite(part)]) for begin, part in parts]
    kept = [(begin, part) for begin, part in known if len(part) * 4 >= second]
    return tuple(float(part.mean()) for _, part in kept), tuple(begin for begin, _ in kept)


MEASURES: dict[str, Callable[[Clip], Found]] = {
    "following": following,
    "interaction": interaction,
    "stillness": stillness,
    "mirror": mirror,
    "loop": loop,
    "drift": drift,
    "alive_s": alive,
    "seams": seams,
    "flicker": flicker,
    "dynamic_degree": dynamic_degree,
    "smoothness": smoothness,
    "sharpness": absolute_sharpness,
}
"""Every measure of clips by the name that a suite asks for it by."""


def measure(clip: Clip, names: Sequence[str] = tuple(MEASURES)) -> Found:
    """All samples of the measures asked for."""
    found: Found = {}
    for name in names:
        found |= MEASURES[name](clip)
    return found


def judge(clips: Sequence[Found]) -> dict[str, Measure]:
    """One number for each name, from the samples of several clips; in the order in which the names first come."""
    names = list(dict.fromkeys(name for found in clips for name in found))
    return {name: summarise([found[name] for found in clips if name in found]) for name in names}
