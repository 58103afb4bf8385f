"""From real bars to a market to draw from: growth, volatility, memory, tails, regimes, ranges, volumes.

Only moves between neighbouring bars count, never one across a gap, and only times that all instruments have.

- **GBM**: mean and deviation of the log returns, and their correlation.
- **GARCH(1,1)**: the mean variance is that of the bars (variance targeting); alpha and beta are those of the highest
  Gaussian quasi-likelihood on a grid, refined once around the best point; the degrees of freedom those of the highest
  Student likelihood of what remains, on a grid, all instruments pooled.
- **Regimes**: bars are labelled by the mean move of all instruments in the window around them: crash is the worst
  twentieth, bull what is not negative, bear the rest. Each state takes the growth and covariance of its bars, and the
  chances of passing from one to another are counted. The labels look ahead; that is allowed to a description of the
  past, and it makes the states more distinct than anybody could have known in time.
- **Bootstrap**: the bars themselves, in blocks whose mean length suits the memory of absolute returns, in which calm
  and storm show.

The growth of a price in one bar is the logarithm of its expected change: with a growth of nothing the market is a fair
game, in which no strategy earns anything on average but what it pays for costs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import lgamma, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from abidance.market.bars import Bars
from abidance.model.errors import DataError, InvariantError
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.research.markets import (
    Diffusion,
    FloatArray,
    Garch,
    Gbm,
    Maker,
    Market,
    Model,
    Regimes,
    Resampled,
    Shapes,
    Volume,
    aligned,
    stretch,
)
from abidance.research.montecarlo import block_length

YEAR_NS = 365 * 86_400 * SECOND_NS
FEWEST = {"gbm": 100, "garch": 500, "regimes": 1_000, "bootstrap": 200}
"""The models, with the moves that each needs at least."""
CRASH_SHARE = 0.05
WINDOW = 48
"""Bars around one that say in which regime it was."""
_LATEST = 10_000
"""GARCH is fitted to no more than the latest so many moves: more change little and take long."""
_FREEDOMS = (3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 60.0)


@dataclass(frozen=True)
class History:
    """What models are fitted to: the steps of neighbouring bars, oldest first."""

    shapes: Shapes
    growth: FloatArray

    @property
    def returns(self) -> FloatArray:
        """Return the log returns, a row a bar."""
        return self.shapes.returns()


def fit(
    kind: str, series: Sequence[Bars], ticks: Sequence[Decimal], yearly_growth: float | None = None
) -> Market:
    """Return a market of one of the `FEWEST` kinds, fitted to bars of one timeframe, one series an instrument.

    It begins when and where the bars began. `yearly_growth` replaces their drift: the expected change of every price
    in a year of 365 days, as a share. Raises DataError when there are too few bars in common.
    """
    if kind not in FEWEST or not series or len({bars.timeframe for bars in series}) != 1:
        raise InvariantError(f"Nothing can be fitted: {kind}, {len(series)} series.")
    common = aligned(series)
    steps = _steps(common)
    if len(steps) < FEWEST[kind]:
        raise DataError(
            f"{len(steps):,} neighbouring bars of {_names(series)} are too few to fit a {kind} market to.",
            f"At least {FEWEST[kind]:,} are needed: take a longer time range, or shorter bars with -i.",
        )
    timeframe = series[0].timeframe
    per_year = YEAR_NS / timeframe_ns(timeframe)
    past = np.log(np.mean(np.exp(steps.returns()), axis=0))
    wished = past if yearly_growth is None else np.full(len(series), log(1 + yearly_growth) / per_year)
    maker, facts = _MAKERS[kind](History(steps, wished))
    deviation = steps.returns().std(axis=0)
    return Market(
        tuple(bars.instrument for bars in series),
        timeframe,
        int(common[0].ts[0]),
        np.array([bars.open[0] for bars in common]),
        tuple(ticks),
        maker,
        {
            "bars": len(steps) + 1,
            "yearly_growth": np.expm1(np.minimum(wished * per_year, 100.0)).tolist(),
            "yearly_volatility": (deviation * sqrt(per_year)).tolist(),
            **facts,
        },
    )


def _names(series: Sequence[Bars]) -> str:
    ids = [bars.instrument for bars in series]
    return ids[0] if len(ids) == 1 else f"{len(ids)} instruments together"


def _steps(common: Sequence[Bars]) -> Shapes:
    """Return the steps from each bar to the next one, those across gaps left out."""
    step = timeframe_ns(common[0].timeframe)
    rows = np.flatnonzero(np.diff(common[0].ts) == step) + 1
    opens, highs, lows, closes = (
        np.log(np.column_stack([bars.columns()[number] for bars in common])) for number in range(4)
    )
    volume = np.column_stack([bars.volume for bars in common])[rows]
    return Shapes(
        opens[rows] - closes[rows - 1],
        highs[rows] - opens[rows],
        lows[rows] - opens[rows],
        closes[rows] - opens[rows],
        volume,
    )


def _gbm(history: History) -> tuple[Maker, dict[str, object]]:
    returns = history.returns
    model = Gbm(history.growth, returns.std(axis=0), _correlation(returns))
    return _diffusion(model, history), {}


def _garch(history: History) -> tuple[Maker, dict[str, object]]:
    returns = history.returns
    recent = returns[-_LATEST:] - returns[-_LATEST:].mean(axis=0)
    alpha, beta, left = garch_weights(recent)
    freedom = degrees_of_freedom(left)
    model = Garch(history.growth, returns.var(axis=0), alpha, beta, freedom, _correlation(left))
    facts = {"alpha": alpha.tolist(), "beta": beta.tolist(), "degrees_of_freedom": freedom}
    return _diffusion(model, history), facts


def _regimes(history: History) -> tuple[Maker, dict[str, object]]:
    returns = history.returns
    names = ("bull", "bear", "crash")
    labels = _labels(returns)
    groups = [returns[labels == number] for number in range(len(names))]
    for name, rows in zip(names, groups, strict=True):
        if len(rows) < WINDOW // 2:
            raise DataError(
                f"{len(rows)} of {len(returns):,} bars belong to a {name}: too few to fit a regimes market to.",
                "Take a longer time range, or another market such as --market bootstrap.",
            )
    share = np.array([len(rows) / len(returns) for rows in groups])
    growth = np.array([np.log(np.mean(np.exp(rows), axis=0)) for rows in groups])
    growth += history.growth - share @ growth
    covariance = np.array([np.cov(rows, rowvar=False).reshape(rows.shape[1], -1) for rows in groups])
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (labels[:-1], labels[1:]), 1.0)
    counts += np.eye(len(names))  # a state that is met in the last bar alone has a way on, too
    transition = counts / counts.sum(axis=1, keepdims=True)
    lasts = {name: float(1 / (1 - transition[at, at])) for at, name in enumerate(names)}
    facts: dict[str, object] = {
        "share": dict(zip(names, share.tolist(), strict=True)),
        "mean_bars_in_state": lasts,
    }
    return _diffusion(Regimes(names, growth, covariance, transition, share), history), facts


def _bootstrap(history: History) -> tuple[Maker, dict[str, object]]:
    returns = history.returns
    deviation = returns.std(axis=0)
    length = block_length((np.abs(returns) / np.where(deviation > 0, deviation, 1.0)).mean(axis=1))
    shift = history.growth - np.log(np.mean(np.exp(returns), axis=0))
    return Resampled(history.shapes, length, shift), {"mean_block": length}


_MAKERS: dict[str, Callable[[History], tuple[Maker, dict[str, object]]]] = {
    "gbm": _gbm,
    "garch": _garch,
    "regimes": _regimes,
    "bootstrap": _bootstrap,
}


# --- parts


def _correlation(values: FloatArray) -> FloatArray:
    """Return the correlation of columns; one that never moves goes with nothing."""
    deviation = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    found: FloatArray = scaled.T @ scaled / len(values)
    np.fill_diagonal(found, 1.0)
    return found


def _labels(returns: FloatArray) -> NDArray[np.int64]:
    """Return 0 for bull, 1 for bear, 2 for crash, for every row."""
    deviation = returns.std(axis=0)
    together = (returns / np.where(deviation > 0, deviation, 1.0)).mean(axis=1)
    around = np.convolve(together, np.ones(WINDOW), mode="same")
    labels = np.where(around >= 0, 0, 1)
    labels[around < min(float(np.quantile(around, CRASH_SHARE)), 0.0)] = 2
    return np.asarray(labels, dtype=np.int64)


def garch_weights(returns: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return alpha, beta and the standardised residuals of each column of returns, which have a mean of 0."""
    alphas, stays = np.meshgrid(np.geomspace(0.01, 0.4, 10), 1.0 - np.geomspace(0.002, 0.4, 10))
    alpha, persistence = (
        np.repeat(each.reshape(1, -1), returns.shape[1], axis=0) for each in (alphas, stays)
    )
    best = np.zeros((2, returns.shape[1]))
    for _ in range(2):
        fits = alpha < persistence
        score = np.where(fits, _gaussian(returns, alpha, np.maximum(persistence - alpha, 0.0)), -np.inf)
        rows = np.arange(returns.shape[1])
        at = score.argmax(axis=1)
        best = np.array([alpha[rows, at], persistence[rows, at]])
        finer = np.meshgrid(np.linspace(0.7, 1.4, 8), np.linspace(0.5, 1.7, 8))
        alpha = best[0][:, None] * finer[0].reshape(1, -1)
        persistence = 1.0 - np.clip((1.0 - best[1])[:, None] * finer[1].reshape(1, -1), 0.001, 0.9)
    weights = best[0][:, None], (best[1] - best[0])[:, None]
    left = np.empty_like(returns)
    _gaussian(returns, *weights, left)
    return weights[0][:, 0], weights[1][:, 0], left


def _gaussian(
    returns: FloatArray, alpha: FloatArray, beta: FloatArray, left: FloatArray | None = None
) -> FloatArray:
    """Return twice the log-likelihood of each pair of weights, a row an instrument; `left` takes the residuals."""
    mean = np.maximum(returns.var(axis=0), 1e-18)[:, None]
    variance = np.repeat(mean, alpha.shape[1], axis=1)
    base = mean * (1 - alpha - beta)
    score = np.zeros_like(variance)
    for row, square in enumerate(np.square(returns)[:, :, None]):
        if left is not None:
            left[row] = returns[row] / np.sqrt(variance[:, 0])
        score -= np.log(variance) + square / variance
        variance = base + alpha * square + beta * variance
    return score


def degrees_of_freedom(left: FloatArray) -> float:
    """Return the degrees of freedom that suit standardised residuals best."""
    squares = np.square(left / np.maximum(left.std(axis=0), 1e-18))

    def score(freedom: float) -> float:
        scale = lgamma((freedom + 1) / 2) - lgamma(freedom / 2) - log(pi * (freedom - 2)) / 2
        return scale - (freedom + 1) / 2 * float(np.mean(np.log1p(squares / (freedom - 2))))

    return max(_FREEDOMS, key=score)


def _diffusion(model: Model, history: History) -> Diffusion:
    shapes = history.shapes
    variance = np.maximum(shapes.returns().var(axis=0), 1e-18)
    gap = np.clip(shapes.gap.var(axis=0) / variance, 0.0, 1.0)
    ranges = shapes.high - shapes.low
    inside = np.mean(ranges**2, axis=0) / (
        4 * log(2)
    )  # Parkinson: the mean square of a Brownian range is 4 ln 2
    reach = np.sqrt(inside / variance / np.maximum(1 - gap, 1e-9))
    volumes = (_volume(shapes.volume[:, at], ranges[:, at]) for at in range(len(variance)))
    return Diffusion(model, np.minimum(reach, 10.0), gap, tuple(volumes))


def _volume(volume: FloatArray, ranges: FloatArray) -> Volume:
    traded = volume > 0
    if np.count_nonzero(traded) < 2:
        return Volume(level=-np.inf)
    usual = float(ranges.mean())
    x, y = stretch(ranges[traded], usual), np.log(volume[traded])
    slope = float(np.cov(x, y)[0, 1] / x.var(ddof=1)) if x.std() > 0 else 0.0
    left = y - slope * x
    level = float(left.mean())
    left = left - level
    spread = float(left.std())
    memory = float(np.mean(left[1:] * left[:-1]) / spread**2) if spread > 0 else 0.0
    memory = min(max(memory, 0.0), 0.98)
    return Volume(level, slope, memory, spread * sqrt(1 - memory**2), usual)
