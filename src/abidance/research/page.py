"""A verdict for people and for programs: one HTML page that needs nothing else, and a JSON document.

Pictures are drawn here as SVG: the page has no script. Text passes Jinja's autoescape.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np

from abidance.backtest.export import plain
from abidance.backtest.wording import format_number, format_percent
from abidance.research.validate import Verdict

WIDTH, HEIGHT = 520, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 24
BARS = 36
_FANS = {
    "resampled": (
        "The same days, drawn again",
        "Equity as a multiple of the start over days; the band holds 90% of redrawn paths, the line is the run",
    ),
    "shuffled": (
        "The same trades, in another order",
        "Equity as a multiple of the start over trades; the band holds 90% of the orders, the line is the run",
    ),
    "noise": (
        "The same decisions, on disturbed prices",
        "Equity as a multiple of the start over days; the band holds 90% of the runs, the line is the run itself",
    ),
}
_WORDS = {"pass": "Pass", "warn": "Warn", "fail": "Fail", "skip": "Not judged"}


def to_json(found: Verdict) -> bytes:
    """Return the verdict as a JSON document in UTF-8; what is undefined is null."""
    return msgspec.json.encode(plain(msgspec.to_builtins(found)))


def render(found: Verdict, command: str = "") -> str:
    """Return the verdict as HTML text; `command` is what a reader would type to repeat it."""
    from markupsafe import Markup

    details: Mapping[str, Any] = found.details
    page: str = _template().render(
        found=found,
        words=_WORDS,
        command=command,
        counts=[(mark, sum(check.mark == mark for check in found.checks)) for mark in _WORDS],
        pictures=_pictures(details),
        costs=[
            (factor, format_percent(value, signed=True)) for factor, value in details.get("costs", {}).items()
        ],
        splits=details.get("splits"),
        walks=[(name, [_step(step) for step in steps]) for name, steps in details.get("walks", {}).items()],
        style=Markup(_report_style() + _asset("verdict.css")),  # noqa: S704 - our own files
    )
    return page


def _pictures(details: Mapping[str, Any]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    fans = details.get("fans", {})
    found += [_fan(fans[key], title, told) for key, (title, told) in _FANS.items() if key in fans]
    if (timing := details.get("timing")) and timing["shifted"]:
        told = "Sharpe ratio of runs with the decisions moved in time; the line is the run itself"
        found.append(_histogram("Timing", told, timing["shifted"], timing["observed"]))
    if logits := details.get("logits"):
        told = "Rank of the chosen setting afterwards (log odds); left of the line it was in the worse half"
        found.append(_histogram("Choosing settings", told, logits, 0.0))
    if falls := details.get("falls"):
        told = "Deepest fall of redrawn paths, percent; the line is the depth that one in twenty exceeds"
        percent = [value * 100 for value in falls]
        found.append(_histogram("Depth of falls", told, percent, float(np.quantile(percent, 0.05))))
    return found


def _step(step: Mapping[str, Any]) -> dict[str, object]:
    named = [(name, key, value) for name, values in step["values"].items() for key, value in values.items()]
    several = len(step["values"]) > 1
    chosen = ", ".join(f"{name + '.' if several else ''}{key} {_short(value)}" for name, key, value in named)
    return {
        "train": [" to ".join(span) for span in step["train"]],
        "test": " to ".join(step["test"]),
        "chosen": chosen or "-",
        "inside": format_number(step["inside"]),
        "outside": format_number(step["outside"]),
    }


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _histogram(title: str, told: str, values: Sequence[float], line: float) -> dict[str, object]:
    """Return a picture of how values are spread, with a line among them."""
    finite = np.array([value for value in (*values, line) if np.isfinite(value)])
    low, high = float(finite.min()), float(finite.max())
    if high <= low:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(finite[:-1] if np.isfinite(line) else finite, BARS, (low, high))
    tallest = max(int(counts.max()), 1)
    x, floor = _scale(low, high, LEFT, WIDTH - RIGHT), HEIGHT - BOTTOM
    bars = [
        {
            "x": round(x(edges[at]) + 0.5, 1),
            "width": round(max(x(edges[at + 1]) - x(edges[at]) - 1, 0.5), 1),
            "height": (height := round(int(count) / tallest * (floor - TOP), 1)),
            "y": round(floor - height, 1),
        }
        for at, count in enumerate(counts)
        if count
    ]
    marks = [(round(x(value), 1), format_number(round(value, 6))) for value in (low, (low + high) / 2, high)]
    return {"title": title, "told": told, "bars": bars, "line": round(x(line), 1), "marks": marks}


def _fan(fan: Mapping[str, Any], title: str, told: str) -> dict[str, object]:
    """Return a picture of the band that equity stays in, and the equity of the run itself."""
    rows, bands, own = fan["rows"], fan["bands"], fan["own"]
    low, high = min(*bands[0], *own), max(*bands[2], *own)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    x, y = _scale(rows[0], rows[-1], LEFT, WIDTH - RIGHT), _scale(low, high, HEIGHT - BOTTOM, TOP)

    def points(values: Sequence[float]) -> list[str]:
        return [f"{x(row):.1f},{y(value):.1f}" for row, value in zip(rows, values, strict=True)]

    return {
        "title": title,
        "told": told,
        "area": " ".join(points(bands[0]) + points(bands[2])[::-1]),
        "middle": " ".join(points(bands[1])),
        "own": " ".join(points(own)),
        "marks": [(round(x(row), 1), f"{row:,.0f}") for row in (rows[0], rows[len(rows) // 2], rows[-1])],
        "levels": _apart([(round(y(value), 1), format_number(value)) for value in (low, high, 1.0)]),
    }


def _apart(levels: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the levels inside the picture that can be read beside those before them."""
    kept: list[tuple[float, str]] = []
    for level, text in levels:
        if TOP <= level <= HEIGHT - BOTTOM and all(abs(level - other) >= 14 for other, _ in kept):
            kept.append((level, text))
    return kept


def _scale(low: float, high: float, start: float, end: float) -> Any:
    """Return the function that brings low..high to start..end."""
    return lambda value: start + (float(value) - low) / (high - low) * (end - start)


@cache
def _asset(name: str) -> str:
    return (files("abidance.research") / "assets" / name).read_text("utf-8")


def _report_style() -> str:
    return (files("abidance.backtest") / "assets" / "report.css").read_text("utf-8")


@cache
def _template() -> Any:
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader({"verdict": _asset("verdict.html.j2")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("verdict")
