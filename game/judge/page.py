"""judge.html: one page with everything in it: a table side by side, plots, contact sheets, and moments to look at."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import numpy as np

from engine.measures.clips import MEASURES
from engine.measures.motion import DIRECTIONS
from engine.measures.statistics import ENOUGH_TO_DIFFER, Measure
from game.judge.verdict import Judged, Moment, Recording

_COLOURS = ("#3366cc", "#d9480f", "#2b8a3e", "#862e9c", "#0b7285", "#a61e4d")
_INK, _PALE = "#22262e", "#8a92a0"
_TEMPLATE = Path(__file__).with_name("page.html")
_SHEETS = 12  # recordings of one input whose contact sheets are shown

_ROWS: dict[str, tuple[str, ...]] = {
    "Standing, coming back, lasting": (
        "stillness.rest", "stillness.moving", "following.still.accuracy", "mirror.psnr", "mirror.ssim", "return.psnr",
        "return.ssim", "loop.psnr", "loop.ssim", "loop.degrees", "alive_s",
    ),
    "Picture and motion": (
        "sharpness", "seams.ratio", "seams.period", "flicker", "smoothness", "dynamic_degree", "interaction",
    ),
}  # fmt: skip
_NAMES = {
    "stillness.rest": "change with nothing pressed", "stillness.moving": "of the picture, moves by itself",
    "following.still.accuracy": "still with nothing pressed", "mirror.psnr": "way back, PSNR",
    "mirror.ssim": "way back, SSIM", "return.psnr": "return, PSNR", "return.ssim": "return, SSIM",
    "loop.psnr": "full turn, PSNR", "loop.ssim": "full turn, SSIM", "loop.degrees": "full turn, degrees asked",
    "alive_s": "alive", "sharpness": "sharpness", "seams.ratio": "seams", "seams.period": "seams' period",
    "flicker": "flicker", "smoothness": "smoothness", "dynamic_degree": "dynamic degree",
    "interaction": "two keys at once",
}  # fmt: skip
_ARROWS = {"low": "↓", "high": "↑", "": ""}


def page_of(judged: Sequence[Judged], folder: Path) -> str:
    """The page, for a file in `folder`: links to videos are relative to it."""
    title = " · ".join(one.name for one in judged)
    made = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    body = [
        f"<header><h1>{_text(title)}</h1><p>{_about(judged)} Measured at 192x112; every number with the interval that "
        f"holds it in 95 of 100 such clips, and n, the moments it is from; one from one or two moments has none. "
        f"{made}.</p></header>",
        _legend(judged),
        f"<section><h2>Scores</h2>{_tables(judged)}</section>",
        f"<section><h2>Plots</h2><div class='plots'>{''.join(_plots(judged))}</div></section>",
        *(_input(one, folder, many=len(judged) > 1) for one in judged),
        f"<section><h2>What the measures mean</h2>{_explained()}</section>",
    ]
    page = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return page.substitute(title=_text(title), body="\n".join(body))


def _about(judged: Sequence[Judged]) -> str:
    parts = []
    for one in judged:
        count = len(one.recordings)
        suite = f"suite {one.suite['suite']}, version {one.suite['version']}, " if one.suite else ""
        recordings = f"{count} recordings, " if count > 1 else ""
        seconds = sum(r.frames / r.fps for r in one.recordings)
        made = "".join(f"{_text(name)}, " for name in sorted({r.model for r in one.recordings} - {""}))
        scenes = sorted({r.scene for r in one.recordings} - {""})
        where = f"{', '.join(map(_text, scenes))}; " if scenes else ""
        parts.append(f"{_text(one.name)}: {made}{suite}{recordings}{where}{one.frames} frames, {seconds:.0f} s.")
    return " ".join(parts)


def _legend(judged: Sequence[Judged]) -> str:
    if len(judged) < 2:
        return ""
    items = (f"<span><i style='background:{_colour(n)}'></i>{_text(one.name)}</span>" for n, one in enumerate(judged))
    return f"<p class='legend'>{''.join(items)}</p>"


# -- tables --------------------------------------------------------------------------------------------------------
def _tables(judged: Sequence[Judged]) -> str:
    parts = [_following(judged)]
    for title, names in _ROWS.items():
        rows = [row for name in names if (row := _row(judged, name, _NAMES[name]))]
        if rows:
            parts.append(_table(title, judged, rows))
    drift = _drift_rows(judged)
    if drift:
        parts.append(_table("Drift against the first second", judged, drift))
    speed = [row for name, label in _TIMES.items() if (row := _speed_row(judged, name, label))]
    if speed:
        parts.append(_table("Speed, as the recordings' reports say", judged, speed))
    return "".join(parts)


def _table(title: str, judged: Sequence[Judged], rows: list[str]) -> str:
    heads = "".join(
        f"<th style='border-bottom-color:{_colour(n)}'>{_text(one.name)}</th>" for n, one in enumerate(judged)
    )
    return (
        f"<div class='scroll'><table{_several(judged)}><thead><tr><th>{title}</th><th class='unit'></th>{heads}</tr>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


_TIMES = {
    "generated_fps": ("generated", "frames a second"), "realtime_factor": ("of real time", "times"),
    "block_ms.p50": ("a block, median", "ms"), "block_ms.p95": ("a block, worst twentieth", "ms"),
    "latency_ms.p50": ("key to picture, median", "ms"), "latency_ms.p95": ("key to picture, worst twentieth", "ms"),
    "late_frames": ("late frames", "frames"),
}  # fmt: skip


def _speed_row(judged: Sequence[Judged], name: str, label: tuple[str, str]) -> str:
    """What the reports say of the speed; nothing if none does."""
    group, _, part = name.partition(".")
    found = [one.times.get(group) for one in judged]
    values = [value.get(part) if part and isinstance(value, dict) else value for value in found]
    if not any(isinstance(value, (int, float)) for value in values):
        return ""
    cells = "".join(
        f"<td><b>{_number(value)}</b></td>" if isinstance(value, (int, float)) else "<td class='none'>not told</td>"
        for value in values
    )
    return f"<tr><td>{label[0]}</td><td class='unit'>{label[1]}</td>{cells}</tr>"


_FOLLOWED = {"accuracy": "right way ↑", "gain": "pixels a frame", "delay_frames": "delay, frames ↓"}


def _following(judged: Sequence[Judged]) -> str:
    """A direction a row; three columns for each input."""
    measured = [d for d in DIRECTIONS if any(f"following.{d}.accuracy" in one.measures for one in judged)]
    if not measured:
        return ""
    inputs = "".join(
        f"<th colspan='3' style='border-bottom-color:{_colour(n)}'>{_text(one.name)}</th>"
        for n, one in enumerate(judged)
    )
    heads = "".join(f"<th class='unit'>{label}</th>" for _ in judged for label in _FOLLOWED.values())
    rows = []
    for direction in measured:
        cells = []
        for n, one in enumerate(judged):
            names = [f"following.{direction}.{name}" for name in _FOLLOWED]
            found = [one.measures.get(name) for name in names]
            reasons = {measure.undecidable if measure else "not measured" for measure in found}
            if all(measure is None or measure.value is None for measure in found) and len(reasons) == 1:
                cells.append(f"<td class='none' colspan='3'>{_text(reasons.pop())}</td>")
                continue
            cells += [
                _cell(measure, judged[0].measures.get(name) if n else None)
                for name, measure in zip(names, found, strict=True)
            ]
        rows.append(f"<tr><td>{direction.replace('_', ' ')}</td>{''.join(cells)}</tr>")
    return (
        f"<div class='scroll'><table{_several(judged)}><thead><tr><th>Following</th>{inputs}</tr>"
        f"<tr class='sub'><th></th>{heads}</tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _several(judged: Sequence[Judged]) -> str:
    return " class='several'" if len(judged) > 1 else ""


def _drift_rows(judged: Sequence[Judged]) -> list[str]:
    ends = sorted({int(name.split(".")[1]) for one in judged for name in one.measures if name.startswith("drift.")})
    shown = ends if len(ends) <= 4 else [ends[0], ends[len(ends) // 2], ends[-1]]
    return [
        _row(judged, f"drift.{end}.{name}", f"{name.replace('_', ' ')}, seconds {end - 5} to {end}")
        for end in shown
        for name in ("brightness", "sharpness", "contrast", "saturation", "colour_distance")
    ]


def _row(judged: Sequence[Judged], name: str, label: str) -> str:
    found = [one.measures.get(name) for one in judged]
    if all(measure is None for measure in found):
        return ""
    first = next(measure for measure in found if measure is not None)
    cells = "".join(_cell(measure, found[0] if n else None) for n, measure in enumerate(found))
    unit = f"{first.unit} {_ARROWS[first.good]}".strip()
    return f"<tr><td>{_text(label)}</td><td class='unit'>{_text(unit)}</td>{cells}</tr>"


def _cell(measure: Measure | None, other: Measure | None) -> str:
    if measure is None:
        return "<td class='none'>not measured</td>"
    if measure.value is None:
        return f"<td class='none' title='{_text(measure.undecidable)}'>undecidable: {_text(measure.undecidable)}</td>"
    low, high = measure.interval
    spread = f"{_number(low)} .. {_number(high)} " if measure.count >= ENOUGH_TO_DIFFER else ""
    mark = ""
    if other is not None and other.value is not None and measure.differs(other):
        better = {"high": measure.value > other.value, "low": measure.value < other.value}.get(measure.good)
        mark = " class='other'" if better is None else " class='better'" if better else " class='worse'"
    return f"<td{mark}><b>{_number(measure.value)}</b> <small>{spread}<span>n={measure.count}</span></small></td>"


def _number(value: float) -> str:
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:.{digits}f}"


# -- plots ---------------------------------------------------------------------------------------------------------
def _plots(judged: Sequence[Judged]) -> list[str]:
    import matplotlib

    matplotlib.use("Agg")
    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "judge", "font.family": "sans-serif", "font.size": 10,
        "axes.edgecolor": _PALE, "axes.labelcolor": _INK, "xtick.color": _PALE, "ytick.color": _PALE,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e6e8ec",
        "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.axisbelow": True,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figures = [_wheel(judged), _delays(judged), _drifts(judged), _spectra(judged)]
    return [f"<figure>{figure}</figure>" for figure in figures if figure]


def _figure(width: float, height: float, polar: bool = False):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    return figure, figure.add_subplot(projection="polar" if polar else None)


def _svg(figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return text.getvalue()[text.getvalue().index("<svg") :]


_WHEEL = ("forward", "strafe_right", "turn_right", "look_down", "back", "look_up", "turn_left", "strafe_left")


def _wheel(judged: Sequence[Judged]) -> str:
    known = [
        {d: m for d in _WHEEL if (m := one.measures.get(f"following.{d}.gain")) is not None and m.value is not None}
        for one in judged
    ]
    if not any(known):
        return ""
    figure, axes = _figure(4.8, 4.4, polar=True)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    width = 2 * np.pi / len(_WHEEL) * 0.8 / len(judged)
    for n, gains in enumerate(known):
        for spoke, direction in enumerate(_WHEEL):
            if direction not in gains:
                continue
            value = gains[direction].value or 0.0
            angle = 2 * np.pi * spoke / len(_WHEEL) + (n - (len(judged) - 1) / 2) * width
            wrong = value < 0
            axes.bar(angle, abs(value), width=width, color="none" if wrong else _colour(n), edgecolor=_colour(n),
                     alpha=0.85, hatch="////" if wrong else None, linewidth=1)  # fmt: skip
            low, high = (abs(v) for v in gains[direction].interval)
            axes.plot([angle, angle], [low, high], color=_INK, linewidth=1)
    axes.set_xticks(np.linspace(0, 2 * np.pi, len(_WHEEL), endpoint=False), [d.replace("_", "\n") for d in _WHEEL])
    axes.tick_params(axis="x", colors=_INK, pad=6)
    axes.set_title("Gain, pixels a frame (hatched: the wrong way)", pad=18)
    return _svg(figure)


def _delays(judged: Sequence[Judged]) -> str:
    rows = [[v for d in DIRECTIONS for v in one.samples(f"following.{d}.delay_frames")] for one in judged]
    if not any(rows):
        return ""
    figure, axes = _figure(4.8, 3.4)
    bins = np.arange(14) - 0.5
    axes.hist(rows, bins=bins, color=[_colour(n) for n in range(len(rows))], rwidth=0.85)
    axes.set_xlabel("video frames from the key to the first that shows it")
    axes.set_ylabel("runs")
    axes.set_xticks(range(13))
    axes.grid(axis="x", visible=False)
    axes.set_title("Delay")
    return _svg(figure)


def _drifts(judged: Sequence[Judged]) -> str:
    lines = {"sharpness": "-", "contrast": "--", "saturation": ":"}
    figure, axes = _figure(4.8, 3.4)
    drawn = False
    for n, one in enumerate(judged):
        ends = sorted({int(name.split(".")[1]) for name in one.measures if name.startswith("drift.")})
        for name, dash in lines.items():
            found = [(end, one.measures[f"drift.{end}.{name}"]) for end in ends]
            known = [(end - 2.5, m) for end, m in found if m.value is not None]
            if not known:
                continue
            drawn = True
            x = [0.5, *(at for at, _ in known)]
            axes.plot(x, [1.0, *(m.value for _, m in known)], dash, color=_colour(n), marker="o", markersize=3,
                      label=name if n == 0 else None)  # fmt: skip
            axes.fill_between(x, [1.0, *(m.interval[0] for _, m in known)], [1.0, *(m.interval[1] for _, m in known)],
                              color=_colour(n), alpha=0.12, linewidth=0)  # fmt: skip
    if not drawn:
        return ""
    axes.axhline(1, color=_PALE, linewidth=0.8)
    axes.set_ylim(bottom=0, top=max(1.15, axes.get_ylim()[1]))
    axes.set_xlabel("seconds")
    axes.set_ylabel("share of the first second's")
    axes.legend(frameon=False, ncols=3, loc="lower left")
    axes.set_title("Drift")
    return _svg(figure)


def _spectra(judged: Sequence[Judged]) -> str:
    spectra = []
    for one in judged:
        rows = [r.spectrum for r in one.recordings if r.spectrum]
        periods = sorted({period for row in rows for period in row})
        spectra.append({p: float(np.median([row[p] for row in rows if p in row])) for p in periods})
    if not any(spectra):
        return ""
    figure, axes = _figure(4.8, 3.4)
    for n, spectrum in enumerate(spectra):
        periods = list(spectrum)
        axes.plot(periods, [spectrum[p] for p in periods], color=_colour(n), marker="o", markersize=4, linewidth=1.4)
    axes.axhline(1, color=_PALE, linewidth=0.8)
    axes.set_ylim(bottom=0.9, top=max(1.6, axes.get_ylim()[1]))
    axes.set_xticks(range(2, 17, 2))
    axes.set_xlabel("period, video frames")
    axes.set_ylabel("change at one place over the others")
    axes.set_title("Seams between blocks")
    return _svg(figure)


# -- pictures ------------------------------------------------------------------------------------------------------
def _input(one: Judged, folder: Path, many: bool) -> str:
    shown = one.recordings[:_SHEETS]
    more = f"<p class='pale'>and {len(one.recordings) - _SHEETS} more</p>" if len(one.recordings) > _SHEETS else ""
    sheets = "".join(_sheet(recording, folder) for recording in shown)
    moments = "".join(_moment(moment, folder) for moment in one.moments)
    worst = f"<div class='moments'>{moments}</div>" if moments else "<p class='pale'>Nothing stands out as bad.</p>"
    head = f"{_text(one.name)}: " if many else ""
    return (
        f"<section><h2>{head}moments to look at</h2>{worst}</section>"
        f"<section><h2>{head}from beginning to end</h2>{sheets}{more}{_identity(one)}</section>"
    )


def _sheet(recording: Recording, folder: Path) -> str:
    strip = np.concatenate(list(recording.sheet), axis=1)
    notes = "".join(f"<p class='note'>{_text(note)}</p>" for note in recording.notes)
    link = _link(recording.video, folder)
    seconds = recording.frames / recording.fps
    return (
        f"<div class='sheet'><p><a href='{link}'>{_text(recording.name)}</a> <small>{seconds:.1f} s, "
        f"{recording.fps:g} frames a second</small></p>{notes}"
        f"<a href='{link}'><img alt='{_text(recording.name)}' src='{_jpeg(strip)}'></a></div>"
    )


def _moment(moment: Moment, folder: Path) -> str:
    link = f"{_link(moment.video, folder)}#t={max(0.0, moment.seconds - 0.5):.2f}"
    pictures = np.concatenate(list(moment.pictures), axis=1)
    name = moment.measure.replace("following.", "").replace("_", " ").replace(".", ": ")
    return (
        f"<a class='moment' href='{link}'><img alt='' src='{_jpeg(pictures)}'><b>{_text(name)}</b> "
        f"{_text(moment.says)}"
        f"<small>{_text(moment.recording)}, frame {moment.frame}, {moment.seconds:.1f} s</small></a>"
    )


def _identity(one: Judged) -> str:
    rows = []
    if one.suite:
        rows.append(f"suite {one.suite['suite']} {one.suite['version']}: {one.suite['sha256']}")
    weights = sorted({r.hashes["weights"] for r in one.recordings if "weights" in r.hashes})
    rows += [f"weights: {digest}" for digest in weights]
    if len(one.recordings) == 1:
        rows += [f"{name}: {digest}" for name, digest in one.recordings[0].hashes.items() if name != "weights"]
    return f"<p class='hashes'>{'<br>'.join(_text(row) for row in rows)}</p>"


def _jpeg(picture: np.ndarray) -> str:
    import cv2

    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _link(path: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix())


def _explained() -> str:
    parts = []
    for name, function in MEASURES.items():
        head, _, rest = (function.__doc__ or "").strip().partition("\n")
        text = " ".join(rest.split()).replace("`", "")
        parts.append(f"<details><summary><b>{_text(name)}</b> {_text(head)}</summary><p>{_text(text)}</p></details>")
    return "".join(parts)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _text(text: str) -> str:
    return html.escape(text, quote=True)
