"""Markets that might have been: bars drawn from a model. Fitting a model is `calibration`'s business.

A model draws how each bar ends; what happens inside it (gap, high, low, volume) is drawn to fit that end, or, for
resampled bars, taken from the same bars. All instruments are drawn together, so that what moves together still does.
Every draw comes from the generator that is passed in: equal seeds give equal bars. Times are a whole grid without gaps.

Sources: Bollerslev, "Generalized Autoregressive Conditional Heteroskedasticity", Journal of Econometrics 31, 1986;
Hamilton, "A New Approach to the Economic Analysis of Nonstationary Time Series", Econometrica 57, 1989; Politis and
Romano, "The Stationary Bootstrap", JASA 89, 1994; Borodin and Salminen, "Handbook of Brownian Motion", 2002 (how far
a bridge goes).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from abidance.market.bars import Bars
from abidance.model.errors import InvariantError
from abidance.model.instrument import timeframe_ns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FARTHEST = 20.0
"""No price goes further from the first one than e to this power, so that all arithmetic stays finite."""
_BURN_IN = 250
"""Bars that a GARCH path runs before the first that is kept, so that calm and storm begin as often as they last."""


@dataclass(frozen=True)
class Shapes:
    """Bars as steps of the logarithm: one row a bar, one column an instrument.

    `gap` leads from the close before to the open; high, low and close are counted from the open. `volume` is as traded.
    """

    gap: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.gap)

    def returns(self) -> FloatArray:
        """Return the log returns from close to close."""
        return self.gap + self.close

    def at(self, rows: IntArray) -> "Shapes":
        """Return these rows, in their order."""
        columns = (self.gap, self.high, self.low, self.close, self.volume)
        return Shapes(*(column[rows] for column in columns))


class Model(Protocol):
    """What draws how bars end."""

    def moves(self, count: int, draw: Generator) -> tuple[FloatArray, FloatArray]:
        """Return log returns from close to close, and the deviation that each was drawn with; a row a bar."""
        ...


class Maker(Protocol):
    """What draws whole bars."""

    def shapes(self, count: int, draw: Generator) -> Shapes:
        """Return the steps of so many bars."""
        ...


# --- how bars end


@dataclass(frozen=True)
class Gbm:
    """Geometric Brownian motion, correlated: nothing is remembered, nothing is extreme.

    `growth` is the logarithm of the expected change of the price in one bar, `deviation` that of the log return.
    """

    growth: FloatArray
    deviation: FloatArray
    correlation: FloatArray

    def moves(self, count: int, draw: Generator) -> tuple[FloatArray, FloatArray]:
        """Return log returns and their deviations."""
        noise = draw.standard_normal((count, len(self.growth))) @ root(self.correlation).T
        deviations = np.repeat(self.deviation[None, :], count, axis=0)
        return self.growth - deviations**2 / 2 + deviations * noise, deviations


@dataclass(frozen=True)
class Garch:
    """GARCH(1,1) with correlated Student t innovations: calm and storm in turns, and extremes that come together.

    `variance` is the mean one; `alpha` is how much of a surprise enters the next variance, `beta` how much of the last
    variance stays. All instruments share `freedom`, the degrees of freedom, more than 2, and its draws.
    """

    growth: FloatArray
    variance: FloatArray
    alpha: FloatArray
    beta: FloatArray
    freedom: float
    correlation: FloatArray

    def __post_init__(self) -> None:
        if self.freedom <= 2 or np.any(self.alpha < 0) or np.any(self.beta < 0):
            raise InvariantError("A GARCH model needs more than 2 degrees of freedom and no negative weight.")
        if np.any(self.alpha + self.beta >= 1):
            raise InvariantError("A GARCH model with alpha + beta of 1 or more has no mean variance.")

    def moves(self, count: int, draw: Generator) -> tuple[FloatArray, FloatArray]:
        """Return log returns and their deviations; an extreme draw counts as a large deviation."""
        total = count + _BURN_IN
        noise = draw.standard_normal((total, len(self.growth))) @ root(self.correlation).T
        widths = np.sqrt((self.freedom - 2) / draw.chisquare(self.freedom, (total, 1)))
        shocks = noise * widths
        columns = [self._variances(number, shocks[:, number]) for number in range(len(self.growth))]
        deviations = np.sqrt(np.column_stack(columns))[_BURN_IN:]
        returns = self.growth - deviations**2 / 2 + deviations * shocks[_BURN_IN:]
        return returns, deviations * widths[_BURN_IN:]

    def _variances(self, number: int, shocks: FloatArray) -> list[float]:
        mean, alpha, beta = (float(each[number]) for each in (self.variance, self.alpha, self.beta))
        base, variance, found = mean * (1 - alpha - beta), mean, []
        for square in np.square(shocks).tolist():
            found.append(variance)
            variance = base + (alpha * square + beta) * variance
        return found


@dataclass(frozen=True)
class Regimes:
    """A chain of states, such as bull, bear and crash, each with its own growth, volatility and correlation.

    `growth` has a row a state, `covariance` a matrix a state; `transition[i, j]` is the chance that state j follows i,
    `share` how often each state is met, which is also how a path begins.
    """

    names: tuple[str, ...]
    growth: FloatArray
    covariance: FloatArray
    transition: FloatArray
    share: FloatArray

    def moves(self, count: int, draw: Generator) -> tuple[FloatArray, FloatArray]:
        """Return log returns and their deviations."""
        states = self.states(count, draw)
        variances = np.array([np.diag(each) for each in self.covariance])
        roots = np.array([root(each) for each in self.covariance])
        noise = draw.standard_normal((count, self.growth.shape[1]))
        moved = np.einsum("tij,tj->ti", roots[states], noise)
        return (self.growth - variances / 2)[states] + moved, np.sqrt(variances)[states]

    def states(self, count: int, draw: Generator) -> IntArray:
        """Return the number of the state in each bar."""
        edges = np.cumsum(self.transition, axis=1)[:, :-1].tolist()
        state = int(np.searchsorted(np.cumsum(self.share)[:-1], draw.random(), side="right"))
        found = []
        for chance in draw.random(count).tolist():
            found.append(state)
            state = sum(chance >= edge for edge in edges[state])
        return np.array(found, dtype=np.int64)


def root(covariance: FloatArray) -> FloatArray:
    """Return a matrix that turns independent draws into draws of that covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


# --- what happens inside bars


@dataclass(frozen=True)
class Volume:
    """Log volumes that rise with the bar's range and remember the bar before; a level of -inf is no volume at all."""

    level: float = 0.0
    slope: float = 0.0
    memory: float = 0.0
    noise: float = 0.0
    usual: float = 1.0
    """The range of a usual bar, as a log."""

    def of(self, ranges: FloatArray, draw: Generator) -> FloatArray:
        """Return a volume for each range."""
        rest, found = 0.0, []
        for step in draw.normal(0.0, self.noise, len(ranges)).tolist():
            rest = self.memory * rest + step
            found.append(rest)
        return np.asarray(np.exp(self.level + self.slope * stretch(ranges, self.usual) + np.array(found)))


def stretch(ranges: FloatArray, usual: float) -> FloatArray:
    """Return how much larger than usual each range is, as a log between -3 and 3."""
    return np.asarray(np.clip(np.log(np.maximum(ranges, 1e-12) / max(usual, 1e-12)), -3.0, 3.0))


@dataclass(frozen=True)
class Diffusion:
    """Bars around the ends that a model draws: a Brownian bridge from open to close says how far each went.

    `reach` is the deviation inside a bar as a multiple of that from close to close (real bars swing more than they
    keep), `gap` the share of a bar's variance that falls between the close before and the open. High and low have each
    the exact law of the bridge's, but are drawn apart from each other.
    """

    model: Model
    reach: FloatArray
    gap: FloatArray
    volumes: tuple[Volume, ...]

    def shapes(self, count: int, draw: Generator) -> Shapes:
        """Return the steps of so many bars."""
        returns, deviations = self.model.moves(count, draw)
        noise = draw.standard_normal(returns.shape)
        gaps = self.gap * returns + np.sqrt(self.gap * (1 - self.gap)) * deviations * noise
        body = returns - gaps
        swing = -2.0 * (1 - self.gap) * (self.reach * deviations) ** 2
        up, down = (np.sqrt(body**2 + swing * np.log1p(-draw.random(body.shape))) for _ in range(2))
        high, low = (body + up) / 2, (body - down) / 2
        high, low = np.maximum(high, np.maximum(body, 0.0)), np.minimum(low, np.minimum(body, 0.0))
        ranges = high - low
        volumes = [volume.of(ranges[:, at], draw) for at, volume in enumerate(self.volumes)]
        return Shapes(gaps, high, low, body, np.column_stack(volumes))


@dataclass(frozen=True)
class Resampled:
    """Real bars in another order: blocks of random length from a ring of all of them, whole rows over instruments.

    The next row follows the last one with a chance of 1 - 1 / `mean_block`, else a new block begins anywhere. `shift`
    is added to every gap, which moves the drift and nothing else.
    """

    history: Shapes
    mean_block: float
    shift: FloatArray

    def __post_init__(self) -> None:
        if not len(self.history) or not self.mean_block >= 1:
            raise InvariantError(
                f"{len(self.history)} bars in blocks of {self.mean_block} cannot be resampled."
            )

    def shapes(self, count: int, draw: Generator) -> Shapes:
        """Return the steps of so many bars."""
        drawn = self.history.at(self.rows(count, draw))
        return Shapes(drawn.gap + self.shift, drawn.high, drawn.low, drawn.close, drawn.volume)

    def rows(self, count: int, draw: Generator) -> IntArray:
        """Return which rows of the history follow each other."""
        size = len(self.history)
        begins = draw.random(count) < 1.0 / self.mean_block
        begins[:1] = True
        block = np.cumsum(begins) - 1
        first = np.flatnonzero(begins)
        starts = draw.integers(0, size, len(first))
        return np.asarray((starts[block] + np.arange(count) - first[block]) % size, dtype=np.int64)


# --- bars


@dataclass(frozen=True)
class Market:
    """A market to draw from: what is traded, where it begins, and what makes its bars.

    `prices` are those before the first bar, which opens at `start` (ns UTC); prices are rounded to `ticks`. `facts`
    says in plain values what the market was fitted to.
    """

    instruments: tuple[str, ...]
    timeframe: str
    start: int
    prices: FloatArray
    ticks: tuple[Decimal, ...]
    maker: Maker
    facts: Mapping[str, object] = field(default_factory=dict)

    def draw(self, count: int, draw: Generator) -> dict[str, Bars]:
        """Return `count` bars of every instrument."""
        shapes = self.maker.shapes(count, draw)
        ends = np.clip(np.cumsum(shapes.returns(), axis=0), -FARTHEST, FARTHEST)
        before = np.concatenate((np.zeros((1, ends.shape[1])), ends[:-1]))[:count]
        opens = np.clip(before + shapes.gap, -FARTHEST, FARTHEST)
        inside = (np.clip(opens + each, -FARTHEST, FARTHEST) for each in (shapes.high, shapes.low))
        high, low = inside
        logs = (
            opens,
            np.maximum(high, np.maximum(opens, ends)),
            np.minimum(low, np.minimum(opens, ends)),
            ends,
        )
        ts = self.start + np.arange(count, dtype=np.int64) * timeframe_ns(self.timeframe)
        found = {}
        for at, id in enumerate(self.instruments):
            prices = [on_tick(self.prices[at] * np.exp(each[:, at]), self.ticks[at]) for each in logs]
            found[id] = Bars(id, self.timeframe, ts, (*prices, shapes.volume[:, at].copy()))
        return found


def on_tick(prices: FloatArray, tick: Decimal) -> FloatArray:
    """Return prices rounded to the tick, never below one tick, written as the nearest float to their decimals."""
    step = float(tick)
    exponent = tick.as_tuple().exponent
    if not step > 0 or not isinstance(exponent, int):
        raise InvariantError(f"A tick of {tick} cannot be.")
    return np.asarray(np.round(np.maximum(np.round(prices / step), 1.0) * step, -exponent))


def aligned(series: Sequence[Bars]) -> list[Bars]:
    """Return the bars that all series have at the same times."""
    common = series[0].ts
    for bars in series[1:]:
        common = np.intersect1d(common, bars.ts, assume_unique=True)
    found = []
    for bars in series:
        rows = np.searchsorted(bars.ts, common)
        columns = (column[rows] for column in bars.columns())
        found.append(Bars(bars.instrument, bars.timeframe, common, columns))
    return found
