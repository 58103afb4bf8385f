"""One HTML page about one result: self-contained, without a single external request, safe against hostile names.

Text passes Jinja's autoescape; data rides in JSON blocks that hold no `<`; a content security policy allows the page's
own scripts by hash and nothing from elsewhere. Candles are parsed when their instrument is first looked at.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from abidance.backtest import wording
from abidance.backtest.breakdown import (
    by_exit_reason,
    by_instrument,
    by_strategy,
    costs_of,
    execution_of,
    metrics_of,
    refusals_of,
)
from abidance.backtest.export import plain, write_whole
from abidance.backtest.result import BacktestResult
from abidance.journal.metrics import DAY_NS, Metrics, drawdowns, monthly_returns, underwater
from abidance.market.bars import Bars
from abidance.model.account import RoundTrip
from abidance.model.instrument import SECOND_NS, timeframe_ns

EQUITY_POINTS = 4_000
CANDLES = 5_000
"""The most candles of one instrument; many instruments share ALL_CANDLES, but none gets fewer than FEWEST_CANDLES."""
ALL_CANDLES = 40_000
FEWEST_CANDLES = 500
TRIPS = 6_000
"""The most round trips drawn over all instruments; the page says when it leaves older ones out."""
_TILES = (
    ("Final equity", wording.Figure("", "final_equity", "money"), True),
    ("Return", wording.Figure("", "total_return", "change"), False),
    ("Max drawdown", wording.Figure("", "max_drawdown", "percent"), False),
    ("Sharpe", wording.Figure("", "sharpe", "ratio"), False),
)
_HYPHEN = re.compile(r"(?<![\w.-])-(?=\d)")
_STEPS = [
    SECOND_NS * s for s in (1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800, 43_200)
]
_STEPS += [DAY_NS * days for days in (1, 2, 3, 7, 14, 28, 91, 364)]


def write_report(
    result: BacktestResult, path: Path, *, metrics: tuple[Metrics, Metrics] | None = None, command: str = ""
) -> Path:
    """Write the report to `path` and return it.

    `metrics` are those of the run and its benchmark, measured here when not given; `command` is what a reader would
    type to repeat the run. Raises ExportError when the file cannot be written whole.
    """
    return write_whole(
        path, render_report(result, metrics=metrics, command=command).encode("utf-8", "replace")
    )


def render_report(
    result: BacktestResult, *, metrics: tuple[Metrics, Metrics] | None = None, command: str = ""
) -> str:
    """Return the report as HTML text."""
    from markupsafe import Markup

    run, benchmark = metrics if metrics is not None else metrics_of(result)
    scripts = [_asset(name) for name in ("uplot.js", "lightweight-charts.js", "report.js")]
    trips: dict[str, list[RoundTrip]] = {}
    for trip in result.round_trips:
        trips.setdefault(trip.instrument, []).append(trip)
    blocks = {"curve": _block(_curve(result))} | {
        f"candles-{index}": _block(_candles(bars, trips.get(bars.instrument, []), len(result.bars)))
        for index, bars in enumerate(result.bars.values())
    }
    page: str = _template().render(
        **_headline(result, run, benchmark),
        **_tables(result, run, benchmark),
        **_provenance(result, command),
        styles=[Markup(_asset(name)) for name in ("uplot.css", "report.css")],  # noqa: S704 - our own files
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
        hashes=[_hash(script) for script in scripts],
        blocks={name: Markup(block) for name, block in blocks.items()},  # noqa: S704 - holds no `<`
        notice=_asset("NOTICE"),
    )
    return page


def _headline(result: BacktestResult, run: Metrics, benchmark: Metrics) -> dict[str, object]:
    money = result.currency
    tiles = [
        (
            label,
            wording.figure_text(figure, run),
            wording.figure_text(figure, benchmark),
            money if unit else "",
        )
        for label, figure, unit in _TILES
    ]
    span = (int(result.ts[0]), int(result.ts[-1])) if len(result.ts) else (None, None)
    return {
        "strategies": _strategies(result),
        "instruments": list(result.bars),
        "timeframes": sorted({bars.timeframe for bars in result.bars.values()}),
        "period": [wording.short_time(ts) for ts in span],
        "length": wording.format_days(run.days),
        "verdict": wording.verdict(result, run, benchmark),
        "tiles": tiles,
        "currency": money,
        "benchmark_name": result.benchmark_name,
        "candle_steps": [
            wording.format_duration(_step(bars, _limit(len(result.bars))) / 3.6e12)
            for bars in result.bars.values()
        ],
        "most_traded": _most_traded(result),
    }


def _tables(result: BacktestResult, run: Metrics, benchmark: Metrics) -> dict[str, object]:
    falls = sorted(drawdowns(result.ts, result.equity, result.start_equity), key=lambda fall: fall.depth)
    profits = {name: float(curve[-1]) for name, curve in result.strategy_equity.items() if len(curve)}
    return {
        "figures": [
            (
                title,
                [
                    (
                        figure,
                        wording.figure_text(figure, run),
                        wording.figure_text(figure, benchmark, yardstick=True),
                        wording.comparison(figure, run, benchmark),
                    )
                    for figure in rows
                ],
            )
            for title, rows in wording.SECTIONS
        ],
        "years": _years(result),
        "by_strategy": by_strategy(result),
        "strategy_profit": profits,
        "by_instrument": by_instrument(result),
        "by_exit": by_exit_reason(result),
        "drawdowns": falls[:8],
        "refusals": refusals_of(result),
        "costs": costs_of(result, run),
        "execution": execution_of(result),
        "notices": list(result.notices)[-50:],
        "notice_count": len(result.notices),
        "words": wording,
    }


def _provenance(result: BacktestResult, command: str) -> dict[str, object]:
    return {
        "command": command,
        "settings": list(_flat(plain(result.config))),
        "facts": [
            ("Market data (SHA-256)", result.fingerprint),
            ("Outcomes (SHA-256)", result.digest),
            ("Bars", f"{sum(map(len, result.bars.values())):,}"),
            ("Orders, fills", f"{len(result.orders):,}, {len(result.fills):,}"),
            ("Abidance", result.version),
            ("Simulated in", f"{result.elapsed:.2f} s"),
        ],
    }


def _strategies(result: BacktestResult) -> list[str]:
    return list(result.strategy_equity) or list(dict.fromkeys(trip.strategy for trip in result.round_trips))


def _most_traded(result: BacktestResult) -> int:
    """Return the position of the instrument to show first."""
    counts = [stats.trades + stats.open_trades for stats in by_instrument(result).values()][
        : len(result.bars)
    ]
    return counts.index(max(counts)) if counts else 0


def _years(result: BacktestResult) -> list[dict[str, object]]:
    """Return the monthly returns by year, newest first, with the year's total and the depth of each cell's colour."""
    years: dict[int, list[float | None]] = {}
    for year, month, change in monthly_returns(result.ts, result.equity, result.start_equity):
        years.setdefault(year, [None] * 12)[month - 1] = change
    changes = [abs(change) for row in years.values() for change in row if change is not None]
    strongest = max(float(np.quantile(changes, 0.9)), 0.01) if changes else 1.0
    rows = []
    for year, row in sorted(years.items(), reverse=True):
        known = [change for change in row if change is not None]
        total = float(np.prod([1 + change for change in known]) - 1) if known else None
        cells = [(change, round(min(1.0, abs(change or 0.0) / strongest) * 32)) for change in row]
        rows.append({"year": year, "cells": cells, "total": total})
    return rows


def _curve(result: BacktestResult) -> dict[str, object]:
    """Return the equity curves at no more than EQUITY_POINTS moments, the extremes of every stretch among them."""
    below = underwater(result.equity, result.start_equity)
    rival = underwater(result.benchmark, result.start_equity)
    kept = _kept([result.equity, below, result.benchmark], EQUITY_POINTS)
    return {
        "t": (result.ts[kept] // SECOND_NS).tolist(),
        "equity": _short(result.equity[kept]),
        "benchmark": _short(result.benchmark[kept]),
        "drawdown": _short(below[kept] * 100),
        "benchmark_drawdown": _short(rival[kept] * 100),
        "currency": result.currency,
        "benchmark_name": result.benchmark_name,
    }


def _kept(columns: list[NDArray[np.float64]], limit: int) -> NDArray[np.int64]:
    """Return the indices to draw: all if they fit, else the ends and each column's lowest and highest per stretch."""
    size = len(columns[0])
    if size <= limit:
        return np.arange(size)
    edges = np.linspace(0, size, (limit - 2) // (2 * len(columns)) + 1).astype(np.int64)
    found = {0, size - 1}
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        for column in columns:
            part = column[start:stop]
            found |= {start + int(part.argmin()), start + int(part.argmax())}
    return np.array(sorted(found), dtype=np.int64)


def _limit(instruments: int) -> int:
    return max(FEWEST_CANDLES, min(CANDLES, ALL_CANDLES // max(1, instruments)))


def _step(bars: Bars, limit: int) -> int:
    """Return the shortest usual step (ns) in which the bars make no more than `limit` candles."""
    own = timeframe_ns(bars.timeframe)
    span = int(bars.ts[-1] - bars.ts[0]) if len(bars) else 0
    if len(bars) <= limit:
        return own
    fitting = [step for step in _STEPS if step >= own and step % own == 0 and span // step + 1 < limit]
    return fitting[0] if fitting else own * (span // own // (limit - 2) + 1)


def _candles(bars: Bars, trips: list[RoundTrip], instruments: int) -> dict[str, object]:
    """Return one instrument's candles and the round trips in it, times in seconds."""
    step = _step(bars, _limit(instruments))
    sane = np.isfinite(np.array(bars.columns()[:4])).all(axis=0) if len(bars) else np.zeros(0, dtype=bool)
    opens, highs, lows, closes = (column[sane] for column in bars.columns()[:4])
    group = bars.ts[sane] // step
    starts = (
        np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.zeros(0, dtype=np.int64)
    )
    ends = np.r_[starts[1:], len(group)] - 1 if len(group) else starts
    allowed = max(1, TRIPS // instruments)
    return {
        "instrument": bars.instrument,
        "step": step // SECOND_NS,
        "t": (group[starts] * step // SECOND_NS).tolist(),
        "o": _short(opens[starts]),
        "h": _short(np.maximum.reduceat(highs, starts) if len(starts) else highs),
        "l": _short(np.minimum.reduceat(lows, starts) if len(starts) else lows),
        "c": _short(closes[ends]),
        "trips": [_trip(trip) for trip in trips[-allowed:]],
        "total": len(trips),
    }


def _trip(trip: RoundTrip) -> list[object]:
    closed = trip.ts_exit is not None
    return [
        trip.ts_entry // SECOND_NS,
        float(trip.entry_price),
        (trip.ts_exit or 0) // SECOND_NS if closed else None,
        float(trip.exit_price) if closed and trip.exit_price is not None else None,
        str(trip.direction),
        float(f"{trip.pnl:.6g}"),
        trip.strategy,
        ", ".join(trip.tags),
        trip.exit_reason.replace("_", " "),
    ]


def _short(values: NDArray[np.float64]) -> list[float]:
    """Return values with seven significant digits: what a screen can show, in half the bytes."""
    return [float(f"{value:.7g}") for value in values.tolist()]


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted name, value) rows."""
    if isinstance(value, Mapping) and value:
        return [
            row for key, item in value.items() for row in _flat(item, f"{name}.{key}" if name else str(key))
        ]
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return [row for index, item in enumerate(value) for row in _flat(item, f"{name}[{index}]")]
    if isinstance(value, list):
        return [(name, ", ".join(map(str, value)) or "none")]
    return [(name, "none" if value is None or value == {} else str(value))] if name else []


def _block(data: object) -> str:
    """Return JSON that cannot end the script element it stands in, whatever the names in it."""
    text = msgspec.json.encode(plain_text(data)).decode("utf-8")
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def plain_text(data: object) -> object:
    """Return `data` unless it holds text that UTF-8 cannot; then with that text replaced."""
    try:
        msgspec.json.encode(data)
    except UnicodeEncodeError:
        return plain(data)
    return data


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return (files("abidance.backtest") / "assets" / name).read_text("utf-8").strip()


def _typographic(text: str) -> str:
    """Return figures with a true minus, and an en dash where nothing is known."""
    return "–" if text == wording.NONE else _HYPHEN.sub("−", text)


@cache
def _template() -> Any:
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader({"report": _asset("report.html.j2")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fig"] = _typographic
    return environment.get_template("report")
