"""Trend following by breakouts: a new extreme, or a trailing line that breaks."""

import numpy as np

from abidance.indicators.trend import donchian, supertrend
from abidance.indicators.volatility import atr_distance
from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter


class Donchian(BarStrategy):
    """Enter beyond the highest high of many bars, leave beyond the lowest low of fewer (the turtles' rule).

    Idea: a new extreme is where a trend must pass; a few large gains pay for many small losses.
    Market: long trends, on bars of an hour or more.
    Known failure: most breakouts fail, so that six or seven of ten trades lose and a flat year is a losing one.
    """

    entry = Parameter(240, 5, 1000)
    exit = Parameter(120, 2, 500)
    atr_period = Parameter(20, 2, 100)
    stop = Parameter(4.0, 0.5, 20.0)
    short = Parameter(False)

    @property
    def warmup(self) -> int:
        """Return the bars of the longest look back."""
        return max(self.entry, self.exit, self.atr_period)

    def signals(self, bars: Bars) -> Signals:
        """Compare each close with the channels of the bars before it."""
        top, bottom = donchian(bars.high, bars.low, self.entry)
        upper, lower = donchian(bars.high, bars.low, self.exit)
        shorts = (bars.close < bottom, bars.close > upper) if self.short else (None, None)
        return Signals(
            Signals.entries(bars.close > top, bars.close < lower, *shorts),
            stop=atr_distance(bars.high, bars.low, bars.close, self.atr_period, self.stop),
            tag="breakout",
        )


class Supertrend(BarStrategy):
    """Hold while the close is above a line that trails some average true ranges behind the price.

    Idea: a trend lasts until the price gives back more than its usual swing.
    Market: steady trends, on bars of an hour or more.
    Known failure: one spike breaks the line and the way back is bought dearer; in ranges it turns at each edge.
    """

    period = Parameter(24, 2, 200)
    multiple = Parameter(5.0, 0.5, 20.0)
    short = Parameter(False)

    @property
    def warmup(self) -> int:
        """Return the bar from which the trend of it and of the bar before are known."""
        return self.period + 1

    def signals(self, bars: Bars) -> Signals:
        """Enter where the trend turns up, leave or turn where it turns down."""
        _, trend = supertrend(bars.high, bars.low, bars.close, self.period, self.multiple)
        known = np.where(trend == 0, np.nan, trend)
        return Signals(Signals.crossing(known, np.zeros(len(bars)), short=self.short), tag="supertrend")
