"""The strategies that ship: plain examples to read, copy and compare with, not recommendations.

Every name in `__all__` can be named in a run's configuration.
"""

from abidance.strategy.library.breakout import Donchian, Supertrend
from abidance.strategy.library.candles import CandleTrend
from abidance.strategy.library.crossing import EmaCross, Macd, TrendFilter
from abidance.strategy.library.grid import Grid
from abidance.strategy.library.momentum import TimeSeriesMomentum
from abidance.strategy.library.reversion import BollingerReversion, RsiThresholds
from abidance.strategy.library.yardstick import BuyAndHold

__all__ = [
    "BollingerReversion",
    "BuyAndHold",
    "CandleTrend",
    "Donchian",
    "EmaCross",
    "Grid",
    "Macd",
    "RsiThresholds",
    "Supertrend",
    "TimeSeriesMomentum",
    "TrendFilter",
]
