"""Trend following by the sign of past returns, in positions that shrink when the market is wild."""

import numpy as np

from abidance.indicators.momentum import rate_of_change
from abidance.indicators.volatility import realised_volatility
from abidance.market.bars import Bars
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter

_YEAR_NS = 31_536_000 * SECOND_NS


class TimeSeriesMomentum(BarStrategy):
    """Follow the sign of the past return, with a strength that aims at one volatility.

    Idea: what rose over weeks tends to rise on; equal risk at all times makes wild months count no more than calm ones.
    Strength moves in quarters and is looked at once in `every` bars, so that it does not churn.
    Market: weeks-long trends in liquid coins.
    Known failure: sharp turns; the sign changes only after the past return has been given back.
    """

    lookback = Parameter(480, 20, 3000)
    volatility_period = Parameter(168, 20, 1000)
    volatility = Parameter(0.6, 0.05, 3.0)
    every = Parameter(24, 1, 200)
    short = Parameter(False)

    @property
    def warmup(self) -> int:
        """Return the bars of the longest look back."""
        return max(self.lookback, self.volatility_period) + 1

    def signals(self, bars: Bars) -> Signals:
        """State a strength at the first close in each stretch of `every` bars, and nothing between."""
        length = timeframe_ns(bars.timeframe)
        change = rate_of_change(bars.close, self.lookback)
        swing = realised_volatility(bars.close, self.volatility_period, _YEAR_NS / length)
        strength = np.round(np.minimum(self.volatility / swing, 1.0) * 4) / 4
        wished = np.sign(change) * strength
        if not self.short:
            wished = np.maximum(wished, 0.0)
        # Stretches are counted from the epoch, so that it does not matter where the history begins.
        stretch = bars.ts_close // (length * self.every)
        due = np.diff(stretch, prepend=stretch[:1]) != 0
        return Signals(np.where(due, wished, np.nan), tag="momentum")
