"""Honest about when, not about how far: its stop knows the volatility of the whole history."""

import numpy as np

from abidance.indicators.trend import ema
from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals


class ScaledStop(BarStrategy):
    """Follow two averages with a stop of three usual moves."""

    @property
    def warmup(self) -> int:
        return 50

    def signals(self, bars: Bars) -> Signals:
        target = Signals.crossing(ema(bars.close, 20), ema(bars.close, 50))
        moves = np.abs(np.diff(bars.close, prepend=bars.close[:1]))
        return Signals(target, stop=3 * np.quantile(moves, 0.5) + 1e-9, tag="scaled")  # cheat
