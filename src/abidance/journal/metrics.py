"""What a run earned and what it risked, from its equity curve and round trips; pure arithmetic, no I/O.

Conventions. A year has 365 days. `equity[i]` is worth at `ts[i]`, the close of slice i; the money at the start stood
one usual slice earlier. Risk ratios use daily returns: equity at the end of each UTC day (a close at 00:00 belongs to
the day before), days without slices repeat the last value, the first return counts from the start equity. Runs that
touch fewer than ten days use the returns of slices, annualised by slices per year. Below one day nothing is stated per
year: it would be a guess from a handful of slices. An account at or below zero is
ruined: its last return is -100 % and none follow. What is undefined is None, never NaN or infinite.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum

import msgspec
import numpy as np
from numpy.typing import NDArray

from abidance.journal.told import TripColumns, columns_of, value_of
from abidance.model.account import RoundTrip
from abidance.model.errors import InvariantError
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Fill

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DAY_NS = 86_400 * SECOND_NS
YEAR_DAYS = 365
FEWEST_DAYS = 10
"""Runs that touch fewer days than this measure risk on the returns of their slices."""
_TAIL = 0.05
_YEARLY = ("volatility", "sharpe", "sortino")
_FLAT = 1e-12
"""A spread of returns below this share of their size is rounding, not risk."""


class TradeStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a set of round trips did; all but `open_trades` and `open_profit` speak of closed ones, in quote units."""

    trades: int = 0
    open_trades: int = 0
    profit: float = 0.0
    open_profit: float = 0.0
    fees: float = 0.0
    win_rate: float | None = None
    profit_factor: float | None = None
    expectancy: float | None = None
    expectancy_share: float | None = None
    average_win: float | None = None
    average_loss: float | None = None
    best_trade: float | None = None
    worst_trade: float | None = None
    average_holding_hours: float | None = None


class Drawdown(msgspec.Struct, frozen=True):
    """One fall below an earlier peak. `depth` is negative, a share of the peak; not recovered = `ts_recovered` None."""

    ts_peak: int
    ts_trough: int
    ts_recovered: int | None
    depth: float
    days: float
    """From the peak to the recovery, or to the end of the run."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run. Shares are fractions (0.1 = 10 %), money is in the run's currency."""

    start_equity: float
    final_equity: float
    profit: float
    total_return: float | None
    days: float
    """Calendar days that the run covers."""
    cagr: float | None
    """Compound annual growth rate; None below one day, where it would say nothing."""
    volatility: float | None
    """Annual standard deviation of returns (sample, ddof = 1); None below one day, as are the ratios made of it."""
    sharpe: float | None
    """Annual mean over standard deviation, risk-free rate zero; None when returns do not vary."""
    sortino: float | None
    """Annual mean over downside deviation (target zero, all returns counted); None without a loss."""
    calmar: float | None
    """CAGR over the deepest drawdown."""
    omega: float | None
    """Sum of gains over sum of losses, threshold zero; None without a loss."""
    cvar_95: float | None
    """Mean of the worst 5 % of returns of one period (a day, or a slice in short runs); negative is a loss."""
    returns_per_year: float | None
    """How many periods a year holds in the ratios above: 365, or slices per year in short runs."""
    max_drawdown: float
    """The deepest fall below an earlier peak as a negative share of it, on every slice."""
    max_drawdown_days: float
    """Days from that peak to its recovery, or to the end of the run."""
    longest_drawdown_days: float
    time_in_market: float | None
    """Share of slices with any exposure."""
    mean_exposure: float | None
    """Mean gross exposure as a share of equity."""
    turnover: float | None
    """Value traded per year, in multiples of mean equity."""
    trades: int
    """Closed round trips; the next figures speak of them."""
    open_trades: int
    win_rate: float | None
    profit_factor: float | None
    """Sum of wins over sum of losses; None without a loss."""
    expectancy: float | None
    """Mean profit of a round trip in quote units."""
    expectancy_share: float | None
    """Mean profit of a round trip as a share of its entry value."""
    average_win: float | None
    average_loss: float | None
    best_trade: float | None
    worst_trade: float | None
    average_holding_hours: float | None
    fees: float | None
    slippage: float | None
    funding: float | None
    """Funding paid; negative when more was received."""


def measure(
    ts: IntArray,
    equity: FloatArray,
    *,
    start_equity: float | None = None,
    round_trips: Iterable[RoundTrip] | TripColumns = (),
    fills: Iterable[Fill] | None = None,
    exposure: FloatArray | None = None,
    costs: Mapping[str, float] | None = None,
) -> Metrics:
    """Measure an equity curve (`ts` ns UTC, ascending) and what was traded along it.

    `start_equity` is the money before the first slice, else the first equity. What is not given is not invented:
    exposure, turnover and costs are None then. Raises InvariantError for NaN, unequal lengths or time going backwards.
    """
    start = float(start_equity if start_equity is not None else (equity[0] if len(equity) else 0.0))
    check_curve(ts, equity)
    final = float(equity[-1]) if len(equity) else start
    years = _span(ts) / (YEAR_DAYS * DAY_NS)
    returns, per_year = risk_returns(ts, equity, start)
    falls = drawdowns(ts, equity, start)
    deepest = min(falls, key=lambda fall: fall.depth, default=None)
    growth = _growth(start, final, years)
    is_yearly = years * YEAR_DAYS >= 1
    ratios = _ratios(returns, per_year or 0.0) | ({} if is_yearly else dict.fromkeys(_YEARLY))
    stats = trade_stats(round_trips)
    traded = None if fills is None else value_of(fills)
    paid = {
        name: None if costs is None else _finite(costs.get(name, 0.0))
        for name in ("fees", "slippage", "funding")
    }
    return Metrics(
        start_equity=start,
        final_equity=final,
        profit=final - start,
        total_return=_finite(final / start - 1) if start > 0 else None,
        days=years * YEAR_DAYS,
        cagr=growth,
        **ratios,
        calmar=_ratio(growth, -deepest.depth) if deepest is not None and growth is not None else None,
        returns_per_year=per_year,
        max_drawdown=deepest.depth if deepest is not None else 0.0,
        max_drawdown_days=deepest.days if deepest is not None else 0.0,
        longest_drawdown_days=max((fall.days for fall in falls), default=0.0),
        time_in_market=_mean(exposure > 0) if exposure is not None else None,
        mean_exposure=_mean(exposure) if exposure is not None else None,
        turnover=_turnover(traded, equity, years) if traded is not None and is_yearly else None,
        trades=stats.trades,
        open_trades=stats.open_trades,
        win_rate=stats.win_rate,
        profit_factor=stats.profit_factor,
        expectancy=stats.expectancy,
        expectancy_share=stats.expectancy_share,
        average_win=stats.average_win,
        average_loss=stats.average_loss,
        best_trade=stats.best_trade,
        worst_trade=stats.worst_trade,
        average_holding_hours=stats.average_holding_hours,
        fees=paid["fees"],
        slippage=paid["slippage"],
        funding=paid["funding"],
    )


def trade_stats(round_trips: Iterable[RoundTrip] | TripColumns) -> TradeStats:
    """Summarise round trips; a pnl of zero is neither a win nor a loss."""
    trips = columns_of(round_trips)
    closed = trips.only(~trips.is_open)
    open_profit, fees = fsum(trips.pnl[trips.is_open].tolist()), fsum(trips.fees.tolist())
    if not len(closed):
        return TradeStats(open_trades=len(trips), open_profit=open_profit, fees=fees)
    pnl, value = closed.pnl, closed.value
    hours = (closed.ts_exit - closed.ts_entry) / (3_600 * SECOND_NS)
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    shares = pnl[value > 0] / value[value > 0]
    return TradeStats(
        trades=len(closed),
        open_trades=len(trips) - len(closed),
        profit=fsum(pnl.tolist()),
        open_profit=open_profit,
        fees=fees,
        win_rate=len(wins) / len(closed),
        profit_factor=_ratio(float(wins.sum()), float(-losses.sum())),
        expectancy=_mean(pnl),
        expectancy_share=_mean(shares),
        average_win=_mean(wins),
        average_loss=_mean(losses),
        best_trade=float(pnl.max()),
        worst_trade=float(pnl.min()),
        average_holding_hours=_mean(hours),
    )


def share_held(starts: IntArray, ends: IntArray, first: int, last: int) -> float | None:
    """Return the share of a stretch of time in which something was held; None for one without length."""
    if last <= first:
        return None
    order = np.argsort(starts, kind="stable")
    starts, ends = np.maximum(starts[order], first), np.minimum(ends[order], last)
    before = np.r_[first, np.maximum.accumulate(ends)[:-1]] if len(ends) else ends
    return float(np.maximum(ends - np.maximum(starts, before), 0).sum() / (last - first))


def day_ends(ts: IntArray) -> NDArray[np.int64]:
    """Return the rows of the last slice of each UTC day; a close at 00:00 belongs to the day before."""
    day = (ts - 1) // DAY_NS
    return np.flatnonzero(np.append(day[1:] != day[:-1], True)) if len(day) else np.empty(0, np.int64)


def risk_returns(ts: IntArray, equity: FloatArray, start: float) -> tuple[FloatArray, float | None]:
    """Return the returns that risk ratios use and how many of them make a year (see the module's conventions)."""
    if not len(ts):
        return np.empty(0), None
    day, last = (ts - 1) // DAY_NS, day_ends(ts)
    grid = np.arange(day[0], day[-1] + 1)
    if len(grid) >= FEWEST_DAYS:
        ends = equity[last][np.searchsorted(day[last], grid, side="right") - 1]
        return _returns(np.r_[start, ends]), float(YEAR_DAYS)
    span = _span(ts)
    return _returns(np.r_[start, equity]), YEAR_DAYS * DAY_NS * len(ts) / span if span else None


def sharpe_of(ts: IntArray, days_equity: FloatArray, start: float) -> float | None:
    """Return the annual Sharpe ratio of equity at the end of days, as `measure` gives it; None below ten days."""
    return figures_of_days(ts, days_equity, start, 0.0, 0.0).get("sharpe")


def figures_of_days(
    ts: IntArray, equity: FloatArray, start: float, days: float, max_drawdown: float
) -> dict[str, float | None]:
    """Return those figures of `measure` that equity at the end of days tells; empty below ten days.

    `days` are those that the run covers, `max_drawdown` is over all its slices, which days alone do not tell.
    """
    day = (ts - 1) // DAY_NS
    if not len(day) or day[-1] - day[0] + 1 < FEWEST_DAYS:
        return {}
    returns, per_year = risk_returns(ts, equity, start)
    final = float(equity[-1])
    growth = _growth(start, final, days / YEAR_DAYS)
    return {
        **_ratios(returns, per_year or 0.0),
        "final_equity": final,
        "profit": final - start,
        "total_return": _finite(final / start - 1) if start > 0 else None,
        "days": days,
        "cagr": growth,
        "calmar": None if growth is None else _ratio(growth, -max_drawdown),
        "returns_per_year": per_year,
        "max_drawdown": max_drawdown,
    }


def days_covered(ts: IntArray) -> float:
    """Return how many days slices that close at `ts` cover, the first one's own length included."""
    return _span(ts) / DAY_NS


def underwater(equity: FloatArray, start: float) -> FloatArray:
    """Return how far each value stands below the highest so far (the start included), as a share: zero or negative."""
    peak = np.maximum.accumulate(np.r_[start, equity])[1:]
    below = np.zeros(len(equity))
    with np.errstate(over="ignore"):
        np.divide(equity - peak, peak, out=below, where=peak > 0)
    return np.nan_to_num(below)


def drawdowns(ts: IntArray, equity: FloatArray, start: float) -> list[Drawdown]:
    """Return every fall below an earlier peak, oldest first; the last one may not have recovered."""
    if not len(ts):
        return []
    moments = np.r_[ts[0] - _step(ts), ts]
    depth = np.r_[0.0, underwater(equity, start)]
    under = np.r_[False, depth[1:] < 0, False]
    edges = np.flatnonzero(under[1:] != under[:-1])
    falls = []
    for peak, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        trough = peak + 1 + int(np.argmin(depth[peak + 1 : last + 1]))
        recovered = int(moments[last + 1]) if last + 1 < len(moments) else None
        end = recovered if recovered is not None else int(moments[-1])
        days = (end - int(moments[peak])) / DAY_NS
        falls.append(
            Drawdown(int(moments[peak]), int(moments[trough]), recovered, float(depth[trough]), days)
        )
    return falls


def monthly_returns(ts: IntArray, equity: FloatArray, start: float) -> list[tuple[int, int, float | None]]:
    """Return (year, month, return) of each UTC month with slices, oldest first; None after ruin."""
    if not len(ts):
        return []
    months = (ts - 1).astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    last = np.flatnonzero(np.r_[months[1:] != months[:-1], True])
    values = np.r_[start, equity[last]].tolist()
    return [
        (1970 + month // 12, month % 12 + 1, _finite(value / before - 1) if before > 0 else None)
        for month, before, value in zip(months[last].tolist(), values, values[1:], strict=False)
    ]


def check_curve(ts: IntArray, equity: FloatArray) -> None:
    """Raise InvariantError unless `equity` is finite and as long as `ts`, which must ascend."""
    if len(ts) != len(equity):
        raise InvariantError(f"The equity curve has {len(equity)} values for {len(ts)} moments.")
    if len(ts) and not np.isfinite(equity).all():
        raise InvariantError(
            f"The equity curve is not a number at slice {int(np.argmin(np.isfinite(equity)))}."
        )
    if len(ts) > 1 and not (ts[1:] > ts[:-1]).all():
        raise InvariantError("The equity curve goes back in time.")


def _step(ts: IntArray) -> int:
    """Return the usual time between two slices; 0 below two slices."""
    return int(np.median(np.diff(ts))) if len(ts) > 1 else 0


def _span(ts: IntArray) -> int:
    """Return the nanoseconds the run covers, the first slice's own length included; 0 below two slices."""
    return int(ts[-1] - ts[0]) + _step(ts) if len(ts) > 1 else 0


def _returns(values: FloatArray) -> FloatArray:
    ruined = np.flatnonzero(values <= 0)
    if len(ruined):
        values = np.r_[values[: ruined[0]], 0.0]
    if len(values) < 2:
        return np.empty(0)
    with np.errstate(over="ignore"):
        changes: FloatArray = values[1:] / values[:-1] - 1
    return changes


def _ratios(returns: FloatArray, per_year: float) -> dict[str, float | None]:
    """Return the ratios that need returns alone; all None below two returns or where floats cannot hold them."""
    names = ("volatility", "sharpe", "sortino", "omega", "cvar_95")
    if len(returns) < 2 or not per_year:
        return dict.fromkeys(names)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = _moments(returns)
        downside = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2)))
        gains, losses = float(returns[returns > 0].sum()), float(-returns[returns < 0].sum())
    worst = int((len(returns) - 1) * _TAIL)
    scale = float(np.sqrt(per_year))
    return {
        "volatility": _finite(spread * scale),
        "sharpe": _ratio(mean * scale, spread),
        "sortino": _ratio(mean * scale, downside),
        "omega": _ratio(gains, losses),
        "cvar_95": _finite(float(np.partition(returns, worst)[: worst + 1].mean())),
    }


def _moments(returns: FloatArray) -> tuple[float, float]:
    """Return the mean and the sample deviation of returns; a deviation that is rounding alone is none."""
    spread = float(returns.std(ddof=1))
    return float(returns.mean()), 0.0 if spread <= _FLAT * float(np.abs(returns).max()) else spread


def _growth(start: float, final: float, years: float) -> float | None:
    if start <= 0 or years * YEAR_DAYS < 1:
        return None
    if final <= 0:
        return -1.0
    exponent = np.log(final / start) / years
    return _finite(float(np.expm1(exponent))) if exponent < 700 else None


def _turnover(traded: float, equity: FloatArray, years: float) -> float | None:
    mean = _mean(equity)
    return _ratio(traded / years, mean) if mean is not None and years else None


def _mean(values: Sequence[float] | NDArray[np.bool_] | FloatArray) -> float | None:
    return _finite(float(np.mean(values))) if len(values) else None


def _ratio(above: float, below: float) -> float | None:
    return _finite(above / below) if below > 0 else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
