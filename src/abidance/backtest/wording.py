"""Numbers and results as people read them: one wording for the terminal, the report and the log."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from abidance.backtest.breakdown import costs_of, refusals_of
from abidance.backtest.result import BacktestResult
from abidance.journal.metrics import YEAR_DAYS, Metrics
from abidance.model.instrument import SECOND_NS

NONE = "-"
"""What stands where a figure is undefined."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def format_number(value: float | None, digits: int = 2) -> str:
    """Return `value` with thousands separators; small values keep four significant digits."""
    if value is None:
        return NONE
    if 0 < abs(value) < 10**-digits:
        text = f"{value:.4g}"
        return text if "e" not in text else f"{value:.2e}"
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def format_money(value: float | None, currency: str = "") -> str:
    """Return an amount with its currency; amounts below one keep four significant digits."""
    if value is None:
        return NONE
    is_small = 1e-4 <= abs(value) < 1 and abs(value * 100) % 1 > 1e-9
    text = f"{value:.4g}" if is_small else format_number(value)
    return f"{text} {currency}".rstrip()


def format_percent(value: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """Return a fraction as percent: 0.123 is 12.3%."""
    if value is None:
        return NONE
    text = format_number(value * 100, digits) if abs(value * 100) >= 0.5 * 10**-digits else f"{0:.{digits}f}"
    return ("+" if signed and value > 0 else "") + text + "%"


def format_duration(hours: float | None) -> str:
    """Return a length of time in its two largest units: 3d 4h, 5h 12m, 42s."""
    if hours is None:
        return NONE
    seconds = round(hours * 3_600)
    parts: list[tuple[int, str]] = []
    for name, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append((count, name))
    shown = [f"{count}{name}" for count, name in parts[:2] if count]
    return " ".join(shown) or "0s"


def format_days(days: float | None) -> str:
    """Return a number of days as people count them: hours below two days, years above two years."""
    if days is None:
        return NONE
    if days < 2:
        return format_duration(days * 24)
    return f"{days / YEAR_DAYS:.1f} years" if days >= 2 * YEAR_DAYS else f"{days:,.0f} days"


def iso_time(ts: int) -> str:
    """Return ns UTC as ISO 8601 with Z: whole seconds where the moment is one, else as many digits as it needs."""
    seconds, rest = divmod(int(ts), SECOND_NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if not rest:
        return f"{text}Z"
    digits = f"{rest:09d}"
    return f"{text}.{digits[:3] if digits.endswith('000000') else digits[:6] if digits.endswith('000') else digits}Z"


def short_time(ts: int | None) -> str:
    """Return ns UTC as `2024-01-31 14:00`."""
    return NONE if ts is None else iso_time(ts)[:16].replace("T", " ")


class Figure(NamedTuple):
    """One row of the metrics table. `better` is +1 when higher is better, -1 when lower is, 0 when neither."""

    label: str
    field: str
    kind: str
    better: int = 0
    note: str = ""


SECTIONS: tuple[tuple[str, tuple[Figure, ...]], ...] = (
    (
        "Return",
        (
            Figure("Final equity", "final_equity", "money", 1),
            Figure("Profit", "profit", "money", 1),
            Figure("Total return", "total_return", "percent", 1),
            Figure("Annual growth (CAGR)", "cagr", "percent", 1, "compound, 365-day year"),
        ),
    ),
    (
        "Risk",
        (
            Figure("Max drawdown", "max_drawdown", "percent", 1, "deepest fall below an earlier peak"),
            Figure("Max drawdown length", "max_drawdown_days", "days", -1, "peak to recovery, or to the end"),
            Figure("Longest drawdown", "longest_drawdown_days", "days", -1),
            Figure("Volatility", "volatility", "percent", 0, "standard deviation a year"),
            Figure("Sharpe", "sharpe", "ratio", 1, "daily returns, risk-free rate zero"),
            Figure("Sortino", "sortino", "ratio", 1, "counts only losses as risk"),
            Figure("Calmar", "calmar", "ratio", 1, "annual growth over max drawdown"),
            Figure("Omega", "omega", "ratio", 1, "sum of gains over sum of losses"),
            Figure("CVaR 95%", "cvar_95", "percent", 1, "mean of the worst 5% of returns"),
            Figure("Time in market", "time_in_market", "percent"),
            Figure("Mean exposure", "mean_exposure", "percent", 0, "gross, share of equity"),
        ),
    ),
    (
        "Trades",
        (
            Figure("Round trips", "trades", "count"),
            Figure("Still open", "open_trades", "count"),
            Figure("Win rate", "win_rate", "percent"),
            Figure("Profit factor", "profit_factor", "ratio", 0, "sum of wins over sum of losses"),
            Figure("Expectancy", "expectancy", "money", 0, "mean profit of a round trip"),
            Figure("Expectancy (share)", "expectancy_share", "percent2", 0, "of the entry value"),
            Figure("Average win", "average_win", "money"),
            Figure("Average loss", "average_loss", "money"),
            Figure("Best trade", "best_trade", "money"),
            Figure("Worst trade", "worst_trade", "money"),
            Figure("Average holding", "average_holding_hours", "hours"),
        ),
    ),
    (
        "Costs",
        (
            Figure("Fees", "fees", "money"),
            Figure("Slippage", "slippage", "money"),
            Figure("Funding paid", "funding", "money"),
            Figure("Turnover a year", "turnover", "times", 0, "value traded over mean equity"),
        ),
    ),
)
"""The metrics table, in the order in which it is read."""

PER_YEAR = frozenset({"cagr", "volatility", "sharpe", "sortino", "calmar", "turnover"})
"""Figures that are stated for a year."""
_TOO_SHORT = "The run is shorter than a day, too short for figures per year."

_FORMATS: dict[str, Callable[[float | None], str]] = {
    "money": format_money,
    "percent": format_percent,
    "change": lambda value: format_percent(value, signed=True),
    "percent2": lambda value: format_percent(value, 2),
    "ratio": format_number,
    "days": format_days,
    "hours": format_duration,
    "count": lambda value: format_number(value, 0),
    "times": lambda value: NONE if value is None else f"{format_number(value, 1)}x",
}


def figure_text(figure: Figure, metrics: Metrics, *, yardstick: bool = False) -> str:
    """Return a figure as text; a yardstick has no trades, so what speaks of them is undefined rather than zero."""
    value = getattr(metrics, figure.field)
    if yardstick and figure.kind == "count":
        return NONE
    return _FORMATS[figure.kind](value)


def comparison(figure: Figure, metrics: Metrics, benchmark: Metrics) -> int:
    """Return +1 when the run beats the benchmark in this figure, -1 when it loses, 0 when neither can be said."""
    ours, theirs = getattr(metrics, figure.field), getattr(benchmark, figure.field)
    if not figure.better or ours is None or theirs is None or ours == theirs:
        return 0
    return figure.better if ours > theirs else -figure.better


def verdict(result: BacktestResult, metrics: Metrics, benchmark: Metrics) -> str:
    """Return one honest paragraph on what the run did, against the benchmark and after costs."""
    if not len(result.ts):
        return "No market data was replayed, so there is nothing to judge."
    told = _judged(result, metrics, benchmark) if result.fills else _why_idle(result)
    return f"{told} {_TOO_SHORT}" if is_short(result, metrics) else told


def is_short(result: BacktestResult, metrics: Metrics) -> bool:
    """Say whether a run covers less than a day, which says nothing about a year."""
    return len(result.ts) > 0 and metrics.days < 1


def _judged(result: BacktestResult, metrics: Metrics, benchmark: Metrics) -> str:
    earned = _earned(metrics)
    name = result.benchmark_name
    if metrics.total_return is None or benchmark.total_return is None:
        return f"{earned}."
    deed = "lost" if benchmark.total_return < 0 else "earned"
    sentence = f"{earned}; {name} would have {deed} {format_percent(abs(benchmark.total_return))}"
    falls = f"Its deepest fall was {format_percent(metrics.max_drawdown)}"
    falls += f", that of {name} {format_percent(benchmark.max_drawdown)}"
    return ". ".join([sentence, falls, *_cautions(result, metrics, benchmark)]) + "."


def _earned(metrics: Metrics) -> str:
    share = format_percent(abs(metrics.total_return)) if metrics.total_return is not None else ""
    deed = "Earned" if metrics.profit > 0 else "Lost" if metrics.profit < 0 else "Earned nothing:"
    if metrics.final_equity <= 0:
        return f"Ruined: the account was lost within {format_days(metrics.days)}"
    return f"{deed} {share} in {format_days(metrics.days)}"


def _cautions(result: BacktestResult, metrics: Metrics, benchmark: Metrics) -> list[str]:
    said = []
    ours, theirs = metrics.sharpe, benchmark.sharpe
    if ours is not None and theirs is not None:
        better = "better" if ours > theirs else "worse"
        said.append(f"For the risk taken that is {better} (Sharpe {ours:.2f} against {theirs:.2f})")
    costs = costs_of(result, metrics)
    if costs.share_of_gross is not None and costs.share_of_gross > 0.1:
        said.append(f"Costs took {format_percent(costs.share_of_gross, 0)} of the profit before costs")
    elif costs.total > 0 and costs.gross < 0:
        said.append("It would have lost money even without costs")
    if 0 < metrics.trades < 30:
        said.append(f"With only {_count(metrics.trades, 'round trip')}, luck may explain all of it")
    elif not metrics.trades:
        said.append("No round trip was closed, so the result rests on open positions")
    return said


def _why_idle(result: BacktestResult) -> str:
    refused = refusals_of(result)
    if refused:
        total, first = sum(row.count for row in refused), refused[0]
        return (
            f"Nothing was traded: the risk rules refused {_count(total, 'order')} and none was filled. "
            f"The most frequent reason was {first.code} ({first.count:,}x): {first.reason}"
        )
    if result.orders:
        return f"Nothing was traded: {_count(len(result.orders), 'order')} sent, but none was filled."
    return "Nothing was traded: the strategy gave no entry signal on this data."


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
