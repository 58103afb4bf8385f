"""Random markets, strategies and rules on which two executors are to agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.market.live.gaps import GapSpan
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.run.setup import Key
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter

START = 1_704_067_200_000_000_000
COINS = ("BTC", "ETH", "SOL")


@dataclass(frozen=True)
class Memory:
    """Bars by instrument and timeframe, as a run asks for them, funding by perpetual, and holes."""

    series: Mapping[Key, Bars]
    rates: Mapping[str, Funding] = field(default_factory=dict)
    spans: tuple[GapSpan, ...] = ()

    def gaps(self, instrument: str, start: int | None = None, end: int | None = None) -> tuple[GapSpan, ...]:
        return tuple(span for span in self.spans if span.instrument == instrument)

    def read(self, instrument: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        return self.series[instrument, timeframe]

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        return due(self.rates.get(instrument), start, end)


def due(rates: Funding | None, start: int | None, end: int | None) -> Funding | None:
    """Return what of the rates falls due in a stretch of time."""
    if rates is None or start is None or end is None:
        return None
    rows = (rates.ts >= start) & (rates.ts < end)
    return Funding(rates.instrument, rates.ts[rows], rates.rate[rows])


class Scripted(BarStrategy):
    """Says what a seed says: wishes, stops, targets, trails, all at random."""

    seed = Parameter(0)
    often = Parameter(0.2)
    protect = Parameter("")

    def signals(self, bars: Bars) -> Signals:
        name = sum(map(ord, bars.instrument))
        rng = np.random.default_rng((self.seed, name))
        size = len(bars)
        wishes = rng.choice([0.0, 0.0, 0.3, 0.55, 1.0, 1.0, -1.0], size)
        target = np.where(rng.random(size) < self.often, wishes, np.nan)
        close = np.where(bars.close > 0, bars.close, 1.0)

        def distance(low: float, high: float) -> Any:
            column = close * rng.uniform(low, high, size)
            return np.where(rng.random(size) < 0.15, np.nan, column)

        asked = {"s": None, "g": None, "t": None, "e": None} | dict.fromkeys(self.protect, True)
        return Signals(
            target,
            confidence=rng.choice([1.0, 1.0, 0.8, 0.35], size),
            stop=distance(0.002, 0.06) if asked["s"] else None,
            take_profit=distance(0.002, 0.06) if asked["g"] else None,
            trailing=distance(0.003, 0.05) if asked["t"] else None,
            break_even=distance(0.002, 0.03) if asked["e"] else None,
            max_bars=int(rng.integers(1, 9)) if "m" in self.protect else None,
            tag=[f"row {n}" for n in range(size)],
        )


class Steady(BarStrategy):
    """Wishes one thing for good."""

    target = Parameter(1.0)

    def signals(self, bars: Bars) -> Signals:
        return Signals(np.full(len(bars), self.target))


@dataclass(frozen=True)
class Shape:
    """How a series of bars looks: its length and seed, how wild, how thin, how full of holes, to how many digits."""

    seed: int
    length: int
    wild: float
    thin: float
    holes: float
    price: float
    digits: int = 6


shapes = st.builds(
    Shape,
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(3, 160),
    wild=st.sampled_from([0.002, 0.01, 0.03, 0.08]),
    thin=st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0]),
    holes=st.sampled_from([0.0, 0.0, 0.05, 0.3]),
    price=st.sampled_from([61_234.5, 101.25, 1.0, 0.0731]),
)

stepped = st.builds(replace, shapes, digits=st.sampled_from([6, 4, 2, 2]))
"""Shapes of which some keep to the price steps of their instruments, as a limit at a close needs it."""


def market(shape: Shape, ids: Sequence[str], timeframe: str, detail: str | None = None) -> Memory:
    """Make the series of a run; with `detail`, the longer bars are built from the shorter."""
    series: dict[Key, Bars] = {}
    for number, id in enumerate(ids):
        base = detail or timeframe
        ratio = timeframe_ns(timeframe) // timeframe_ns(base)
        fine = _series(shape, number, id, base, shape.length * ratio)
        series[id, base] = fine
        if detail:
            series[id, timeframe] = fine.higher(timeframe)
    return Memory(series)


@dataclass(frozen=True)
class Rates:
    """How funding comes: every so many seconds, so much past the hour, how far from zero, how full of holes."""

    every: int
    past: int
    mean: float
    wide: float
    holes: float


rates = st.builds(
    Rates,
    every=st.sampled_from([3_600, 14_400, 28_800]),
    past=st.sampled_from([0, 0, 1, 1_500]),
    mean=st.sampled_from([0.0, 0.0001, -0.0005]),
    wide=st.sampled_from([0.0001, 0.001, 0.02]),
    holes=st.sampled_from([0.0, 0.0, 0.4, 1.0]),
)


def funding(rates: Rates, seed: int, ids: Sequence[str], hours: int) -> dict[str, Funding]:
    """Make the funding of those of some instruments that are perpetuals."""
    found = {}
    for number, id in enumerate(ids):
        if ":" in id:
            rng = np.random.default_rng((seed, number, 7))
            ts = START + np.arange(0, hours * 3_600, rates.every) * SECOND_NS + rates.past * SECOND_NS
            rate = rng.normal(rates.mean, rates.wide, len(ts))
            kept = rng.random(len(ts)) >= rates.holes
            found[id] = Funding(id, ts[kept], rate[kept])
    return found


def _series(shape: Shape, number: int, id: str, timeframe: str, length: int) -> Bars:
    rng = np.random.default_rng((shape.seed, number))
    moves = rng.normal(0.0, shape.wild, length) * np.where(rng.random(length) < 0.03, 6.0, 1.0)
    level = shape.price * (1 + 0.3 * number) * np.exp(np.clip(np.cumsum(moves), -3.0, 3.0))
    opened = np.r_[level[0], level[:-1]] * np.where(
        rng.random(length) < 0.1, 1 + rng.normal(0, shape.wild, length), 1.0
    )
    spread = np.abs(rng.normal(0.0, shape.wild / 2, (2, length)))
    digits = shape.digits if shape.price > 10 else 6
    opened, close = np.round(opened, digits), np.round(level, digits)
    high = np.round(np.maximum(opened, close) * (1 + spread[0]), digits)
    low = np.round(np.minimum(opened, close) * (1 - np.minimum(spread[1], 0.9)), digits)
    high, low = np.maximum(high, np.maximum(opened, close)), np.minimum(low, np.minimum(opened, close))
    volume = np.exp(rng.normal(0, 1, length)) * (30_000 / shape.price if shape.thin else 1e7 / shape.price)
    volume[rng.random(length) < min(shape.thin, 0.4)] = 0.0
    kept = rng.random(length) >= shape.holes
    kept[0] = True
    ts = START + np.arange(length) * timeframe_ns(timeframe)
    return Bars(
        id, timeframe, ts[kept], [each[kept] for each in (opened, high, low, close, np.round(volume, 4))]
    )
