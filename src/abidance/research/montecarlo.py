"""What might as well have happened: resampled returns and trades, disturbed bars, shifted signals, ruin.

Every draw comes from the generator that is passed in: equal seeds give equal answers. Nothing is run here.

Sources: Politis and Romano, "The Stationary Bootstrap", JASA 89, 1994; Politis and White, "Automatic Block-Length
Selection for the Dependent Bootstrap", Econometric Reviews 23(1), 2004, with the correction of Patton, Politis and
White, the same 28(4), 2009; Masters, "Permutation and Randomization Tests for Trading System Development", 2020.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10, sqrt

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from abidance.backtest.result import BacktestResult
from abidance.market.bars import Bars
from abidance.model.errors import DataError, InvariantError
from abidance.model.order import Side
from abidance.research.luck import column_sharpes, sharpe

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BAND = (0.05, 0.5, 0.95)
POINTS = 120
"""The most moments that a fan is drawn at."""


@dataclass(frozen=True)
class Paths:
    """Equity paths, one value a path: `final` as a multiple of the start, `drawdown` and `lowest` as shares.

    `drawdown` is the deepest fall below an earlier peak, negative; `lowest` the lowest equity as a multiple of the
    start; `sharpe` is that of one period. `fan` holds the BAND of equity (one line a share) after each of `rows`
    periods.
    """

    final: FloatArray
    drawdown: FloatArray
    sharpe: FloatArray
    lowest: FloatArray
    rows: IntArray
    fan: FloatArray

    @staticmethod
    def of(returns: FloatArray) -> "Paths":
        """Return the outcome of each column of returns; a return of -100 % or less ends a path at nothing."""
        growth = np.maximum(1.0 + returns, 0.0)
        equity = np.concatenate((np.ones((1, returns.shape[1])), np.cumprod(growth, axis=0)))
        peak = np.maximum.accumulate(equity, axis=0)
        rows = np.unique(np.linspace(0, len(returns), min(len(returns), POINTS) + 1).astype(np.int64))
        return Paths(
            final=equity[-1],
            drawdown=(equity / peak).min(axis=0) - 1.0,
            sharpe=column_sharpes(returns),
            lowest=equity.min(axis=0),
            rows=rows,
            fan=np.quantile(equity[rows], BAND, axis=1),
        )

    def ruined(self, share: float) -> float:
        """Return the share of paths that at some time had lost `share` of the start or more."""
        if not 0 < share <= 1:
            raise InvariantError(f"A loss of {share} cannot ruin.")
        return float(np.mean(self.lowest <= 1.0 - share))


def band(values: FloatArray, shares: Sequence[float] = BAND) -> tuple[float, ...]:
    """Return the values below which the given shares of `values` lie."""
    return tuple(np.quantile(values, shares).tolist())


# --- what was earned, drawn again


def block_length(returns: FloatArray) -> float:
    """Return the mean block length that suits the stationary bootstrap of `returns`, 1 or more (Politis and White)."""
    size = len(returns)
    if size < 10 or sharpe(returns) is None:
        return 1.0
    run = max(5, int(log10(size)))
    longest = min(ceil(sqrt(size)) + run, size - 1)
    centred = returns - returns.mean()
    covariance = np.array([float(centred[lag:] @ centred[: size - lag]) / size for lag in range(longest + 1)])
    small = np.abs(covariance[1:] / covariance[0]) < 2.0 * sqrt(log10(size) / size)
    lags = min(2 * max(_settled(small, run), 1), longest)
    lag = np.arange(1, lags + 1)
    weight = np.clip(2.0 * (1.0 - lag / lags), 0.0, 1.0)  # flat top: 1 up to half of the lags, then down to 0
    bend = 2.0 * float(np.sum(weight * lag * covariance[1 : lags + 1]))
    long_run = float(covariance[0] + 2.0 * np.sum(weight * covariance[1 : lags + 1]))
    if not long_run:
        return 1.0
    found = float((bend**2 / long_run**2) ** (1 / 3)) * size ** (1 / 3)
    return float(min(max(found, 1.0), ceil(min(3.0 * sqrt(size), size / 3.0))))


def _settled(small: NDArray[np.bool_], run: int) -> int:
    """Return the lag after which `run` correlations in a row are small, else the last one that is not."""
    for lag in range(len(small) - run + 1):
        if small[lag : lag + run].all():
            return lag
    large = np.flatnonzero(~small)
    return int(large[-1]) + 1 if len(large) else 0


def bootstrap_rows(size: int, paths: int, mean_block: float, draw: Generator) -> IntArray:
    """Return rows of a stationary bootstrap, one column a path: blocks of random length from a ring of all rows."""
    if size < 1 or not mean_block >= 1:
        raise InvariantError(f"{size} returns in blocks of {mean_block} cannot be drawn.")
    rows = draw.integers(0, size, (size, paths))
    goes_on = draw.random((size, paths)) >= 1.0 / mean_block
    for row in range(1, size):
        rows[row] = np.where(goes_on[row], (rows[row - 1] + 1) % size, rows[row])
    return rows


def bootstrap(returns: FloatArray, paths: int, draw: Generator, *, mean_block: float | None = None) -> Paths:
    """Return what `paths` stationary bootstraps of the returns came to; the block length is automatic unless given."""
    if len(returns) < 2:
        raise DataError(f"{len(returns)} returns are too few to be drawn from.", "Take a longer time range.")
    rows = bootstrap_rows(len(returns), paths, mean_block or block_length(returns), draw)
    return Paths.of(returns[rows])


def shuffle_trades(gains: FloatArray, paths: int, draw: Generator) -> Paths:
    """Return what the same trades come to in random order; `gains` are shares of the equity at their entry."""
    if len(gains) < 2:
        raise DataError(f"{len(gains)} trades cannot be shuffled.", "Judge a run with more trades.")
    rows = draw.permuted(np.repeat(np.arange(len(gains))[:, None], paths, axis=1), axis=0)
    return Paths.of(gains[rows])


# --- what was traded, disturbed


def noisy(bars: Bars, strength: float, draw: Generator, *, tick: float = 0.0) -> Bars:
    """Return bars that another feed might have shown: each price moved a little, independently, and still a bar.

    The moves are normal in the logarithm of the price, their deviation is `strength` times that of the returns from
    close to close. An open moves as the close before it. High and low stay outside open and close; prices are rounded
    to `tick`, never to 0 or below. Volume stays. Prices that are not above 0 or not finite are left alone.
    """
    size = len(bars)
    if not size or not strength > 0:
        return bars
    sane = np.all([np.isfinite(price) & (price > 0) for price in bars.columns()[:4]], axis=0)
    steps = np.diff(np.log(np.where(sane, bars.close, 1.0)))[sane[1:] & sane[:-1]]
    deviation = strength * float(steps.std()) if len(steps) else 0.0
    nodes = draw.normal(0.0, deviation, size + 1)
    moves = (nodes[:-1], draw.normal(0.0, deviation, size), draw.normal(0.0, deviation, size), nodes[1:])
    moved = [price * np.exp(move) for price, move in zip(bars.columns()[:4], moves, strict=True)]
    if tick > 0:
        moved = [np.maximum(np.round(price / tick), 1.0) * tick for price in moved]
    prices = (moved[0], np.maximum.reduce(moved), np.minimum.reduce(moved), moved[3])
    columns = [np.where(sane, new, old) for new, old in zip(prices, bars.columns()[:4], strict=True)]
    return Bars(bars.instrument, bars.timeframe, bars.ts, (*columns, bars.volume), bars.universe)


# --- what was decided, moved in time


def shifts(size: int, count: int, draw: Generator) -> IntArray:
    """Return up to `count` different circular shifts of `size` rows, each by at least a twentieth of them."""
    nearest = max(1, size // 20)
    allowed = np.arange(nearest, size - nearest + 1)
    return np.sort(draw.choice(allowed, min(count, len(allowed)), replace=False)).astype(np.int64)


def p_value(observed: float, shifted: FloatArray) -> float:
    """Return the one-sided p-value of a permutation test; what was observed counts as one of the permutations."""
    return (1 + int(np.sum(shifted >= observed))) / (1 + len(shifted))


def shifted_returns(weights: FloatArray, changes: FloatArray, cost: FloatArray, shift: int) -> FloatArray:
    """Return the returns of holding `weights`, moved by `shift` rows, against the prices' own `changes`.

    Rows are moments, columns instruments. Weights are shares of equity held from the row on, `changes` the relative
    change of price until the next row; what the weights change by costs the share `cost` of it. The approximation
    leaves out stops, minima, sizing from past profits and limits.
    """
    held = np.roll(weights, shift, axis=0)
    traded = np.abs(np.diff(held, axis=0, prepend=0.0))
    found: FloatArray = (held * changes - traded * cost).sum(axis=1)
    return found


@dataclass(frozen=True)
class Holdings:
    """What a run held, for `shifted_returns`: rows are its moments, columns its instruments."""

    weights: FloatArray
    changes: FloatArray
    cost: FloatArray


def holdings(result: BacktestResult) -> Holdings:
    """Return what a run held after each moment, at what prices, and what its trading cost on average."""
    weights = np.zeros((len(result.ts), len(result.bars)))
    changes = np.zeros_like(weights)
    equity = np.where(result.equity > 0, result.equity, np.inf)
    for column, (id, bars) in enumerate(result.bars.items()):
        row = np.searchsorted(bars.ts_close, result.ts, side="right") - 1
        price = np.where(row >= 0, bars.close[np.maximum(row, 0)], np.nan)
        known = np.isfinite(price) & (price > 0)
        moments, held = _positions(result, id)
        units = held[np.searchsorted(moments, result.ts, side="right")]
        weights[:, column] = np.where(known, units * np.where(known, price, 0.0), 0.0) / equity
        both = known[1:] & known[:-1]
        np.divide(price[1:], price[:-1], out=changes[:-1, column], where=both)
        changes[:-1, column][both] -= 1.0
    traded = sum(float(fill.price * fill.quantity) for fill in result.fills)
    paid = result.costs.get("fees", 0.0) + result.costs.get("slippage", 0.0)
    return Holdings(weights, changes, np.full(len(result.bars), max(paid, 0.0) / traded if traded else 0.0))


def _positions(result: BacktestResult, instrument: str) -> tuple[IntArray, FloatArray]:
    """Return the moments of fills and the units held before the first and after each."""
    fills = [fill for fill in result.fills if fill.instrument == instrument]
    moments = np.array([fill.ts for fill in fills], dtype=np.int64)
    steps = [float(fill.quantity) * (1 if fill.side is Side.BUY else -1) for fill in fills]
    order = np.argsort(moments, kind="stable")
    return moments[order], np.concatenate(([0.0], np.cumsum(np.array(steps)[order] if steps else [])))
