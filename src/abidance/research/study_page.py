"""One HTML page about one search: drawn as inline SVG, without script or any external request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from statistics import median
from typing import Any

import numpy as np

from abidance.backtest import wording
from abidance.research.findings import Findings
from abidance.research.landscape import improvements
from abidance.research.space import Dimension
from abidance.research.study import Row

WIDTH, HEIGHT = 720, 240
SMALL = (340, 180)
MARGIN = 8
TOP = 30
"""Rows of the table of trials."""
POINTS = 3_000
"""The most points of one chart: the latest."""
_FIGURES = {figure.field: figure for _, figures in wording.SECTIONS for figure in figures}
_SHOWN = ("total_return", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")


@dataclass(frozen=True)
class Chart:
    """Points and a line in the coordinates of a drawing, with the values at its edges as text."""

    title: str
    width: int
    height: int
    dots: Sequence[tuple[float, float, str, str]]
    """x, y, class, words for those who point at it."""
    line: str
    low: str
    high: str
    left: str
    right: str
    level: float | None = field(default=None, kw_only=True)
    """Where a line across stands."""


def render_study(findings: Findings, command: str = "") -> str:
    """Return the page as HTML text; `command` is what a reader would type to go on."""
    aim = findings.plan.aim
    page: str = _template().render(
        findings=findings,
        aim=aim,
        first=aim.objectives[0],
        progress=_progress(findings),
        slices=[_slice(findings, each) for each in findings.plan.space.dimensions.values()],
        ground=_ground(findings),
        pareto=None if aim.is_one else _pareto(findings),
        importance=sorted(findings.importance.items(), key=lambda item: -item[1]),
        top=findings.top[:TOP],
        reasons=_reasons(findings.rows),
        figures=[(name, _FIGURES[name].label) for name in _SHOWN],
        text=figure_text,
        command=command,
        styles=_styles(),
        words=wording,
    )
    return page


def figure_text(name: str, metrics: Mapping[str, float | None] | str) -> str:
    """Return a figure as people read it."""
    if isinstance(metrics, str):
        return wording.NONE
    value = metrics.get(name)
    if value is None:
        return wording.NONE
    if (figure := _FIGURES.get(name)) is None:
        return wording.format_number(value, 4)
    return _plain(figure.kind, value)


def _plain(kind: str, value: float) -> str:
    if kind.startswith("percent"):
        return wording.format_percent(value, 2 if kind == "percent2" else 1)
    if kind == "count":
        return wording.format_number(value, 0)
    if kind == "days":
        return wording.format_days(value)
    return wording.format_duration(value) if kind == "hours" else wording.format_number(value)


def _progress(findings: Findings) -> Chart:
    rows = [row for row in findings.rows if row.is_scored]
    better = list(improvements(findings.rows, findings.plan.aim)) if findings.plan.aim.is_one else []
    xs, ys = [float(row.number) for row in rows], [row.scores[0] for row in rows]
    steps: list[tuple[float, float]] = []
    for place, (number, score) in enumerate(better):
        end = better[place + 1][0] if place + 1 < len(better) else (xs[-1] if xs else number)
        steps += [(number, score), (float(end), score)]
    return _chart("Score of each trial", xs, ys, rows, (WIDTH, HEIGHT), steps)


def _slice(findings: Findings, dimension: Dimension) -> Chart:
    rows = [row for row in findings.rows if row.is_scored]
    if dimension.choices:
        places = {value: float(number) for number, value in enumerate(dimension.choices)}
        xs = [places.get(row.values[dimension.name], 0.0) for row in rows]
    else:
        xs = [float(row.values[dimension.name]) for row in rows]
    chart = _chart(dimension.name, xs, [row.scores[0] for row in rows], rows, SMALL, [])
    if not dimension.choices:
        return chart
    ends = [str(value) for value in (dimension.choices[0], dimension.choices[-1])]
    return Chart(chart.title, chart.width, chart.height, chart.dots, "", chart.low, chart.high, *ends)


def _pareto(findings: Findings) -> Chart:
    rows = [row for row in findings.rows if row.is_scored]
    names = [each.name for each in findings.plan.aim.objectives]
    line = sorted((row.scores[1], row.scores[0]) for row in findings.front)
    xs, ys = [row.scores[1] for row in rows], [row.scores[0] for row in rows]
    front = {row.number for row in findings.front}
    return _chart(f"{names[0]} against {names[1]}", xs, ys, rows, (WIDTH, HEIGHT), line, front)


def _chart(
    title: str,
    xs: Sequence[float],
    ys: Sequence[float],
    rows: Sequence[Row],
    size: tuple[int, int],
    line: Sequence[tuple[float, float]],
    marked: set[int] | None = None,
) -> Chart:
    """Draw points; the score's axis leaves out the worst hundredth, which would flatten the rest."""
    xs, ys, rows = xs[-POINTS:], ys[-POINTS:], rows[-POINTS:]
    width, height = size
    if not xs:
        return Chart(title, width, height, (), "", "", "", "", "")
    low, high = (float(edge) for edge in np.quantile(ys, (0.01, 0.99)))
    low, high = min(low, *(y for _, y in line), low), max(high, *(y for _, y in line), high)
    left, right = min(xs), max(xs)
    edges = (left, right, low, high)
    dots = []
    for x, y, row in zip(xs, ys, rows, strict=True):
        kind = "mark" if marked and row.number in marked else "point" if row.is_eligible else "miss"
        dots.append((*_at(x, y, edges, size), kind, _words(row)))
    path = _path(line, edges, size)
    return Chart(title, width, height, dots, path, *(f"{edge:.4g}" for edge in (low, high, left, right)))


def _ground(findings: Findings) -> list[Chart]:
    """Return for each parameter the best and its neighbours, all on one scale that reaches down to the middle trial."""
    best, ground = findings.best, findings.ground
    scored = [row.scores[0] for row in findings.rows if row.is_eligible]
    if best is None or ground is None or not scored:
        return []
    middle = median(scored)
    scores = [best.scores[0], middle, *(each.score for each in ground.neighbours if each.score is not None)]
    low, high = min(scores), max(scores)
    charts = []
    for name in dict.fromkeys(each.dimension for each in ground.neighbours):
        steps = [(best.values[name], best.scores[0], "mark", f"the best: {name} {best.values[name]}")]
        steps += [
            (each.value, each.score, "miss" if each.is_steep else "point", f"{name} {each.value}")
            for each in ground.neighbours
            if each.dimension == name and each.score is not None
        ]
        steps.sort(key=lambda step: float(step[0]))  # words have no neighbours
        edges = (0.0, float(len(steps) - 1), low, high)
        places = [(float(place), score) for place, (_, score, _, _) in enumerate(steps)]
        dots = [
            (*_at(x, score, edges, SMALL), kind, f"{words}: {score:.4g}")
            for (x, _), (_, score, kind, words) in zip(places, steps, strict=True)
        ]
        ends = [f"{edge:.4g}" for edge in (low, high)] + [f"{steps[end][0]}" for end in (0, -1)]
        _, level = _at(0.0, middle, edges, SMALL)
        charts.append(Chart(name, *SMALL, dots, _path(places, edges, SMALL), *ends, level=level))
    return charts


def _at(
    x: float, y: float, edges: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float]:
    """Return where a point stands in a drawing of a size whose edges (left, right, low, high) are given."""
    left, right, low, high = edges
    width, height = size
    across = (x - left) / (right - left) if right > left else 0.5
    up = min(1.0, max(0.0, (y - low) / (high - low))) if high > low else 0.5
    return (
        round(MARGIN + across * (width - 2 * MARGIN), 1),
        round(height - MARGIN - up * (height - 2 * MARGIN), 1),
    )


def _path(
    points: Sequence[tuple[float, float]], edges: tuple[float, float, float, float], size: tuple[int, int]
) -> str:
    return " ".join(f"{x},{y}" for x, y in (_at(*point, edges, size) for point in points))


def _words(row: Row) -> str:
    values = ", ".join(f"{name} {value}" for name, value in row.values.items())
    return f"trial {row.number}: {', '.join(f'{score:.4g}' for score in row.scores)} ({values})"


def _reasons(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """Return why trials have no score, most frequent first; numbers in the reasons are not told apart."""
    counts: dict[str, list[Any]] = {}
    for reason in _unscored(rows):
        key = "".join("#" if letter.isdigit() else letter for letter in reason)
        counts.setdefault(key, [reason, 0])[1] += 1
    return sorted(((reason, count) for reason, count in counts.values()), key=lambda item: -item[1])[:10]


def _unscored(rows: Sequence[Row]) -> Iterator[str]:
    return (row.reason for row in rows if row.state in {"refused", "failed"} and row.reason)


@cache
def _styles() -> Any:
    from markupsafe import Markup

    sheets = [
        (files("abidance.backtest") / "assets" / "report.css").read_text("utf-8"),
        (files("abidance.research") / "assets" / "study.css").read_text("utf-8"),
    ]
    return Markup("\n".join(sheets))  # noqa: S704  our own files


@cache
def _template() -> Any:
    from jinja2 import DictLoader, Environment, StrictUndefined

    source = (files("abidance.research") / "assets" / "study.html.j2").read_text("utf-8")
    environment = Environment(
        loader=DictLoader({"study": source}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("study")
