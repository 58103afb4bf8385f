"""Buy a short dip inside a long rise, over bars.

Try it from the project's folder:

    abidance backtest -s examples/pullback.py -p BTC/USDT,ETH/USDT,SOL/USDT -i 4h

It is here to be read, not to be traded: on the bundled data it loses.
"""

from abidance.indicators.momentum import rsi
from abidance.indicators.trend import ema
from abidance.indicators.volatility import atr_distance
from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter


class Pullback(BarStrategy):
    """Buy when a rising market has just been sold off, and leave when the hurry is over.

    Idea: those who must sell in a rising market pay those who can wait.
    Market: long rises with pauses.
    Known failure: the first dip of a long fall looks the same; the stop is what it costs.
    """

    dip = Parameter(40.0, 10.0, 50.0)
    recovered = Parameter(60.0, 50.0, 90.0)
    days = Parameter(50, 10, 200)
    stop = Parameter(3.0, 0.5, 10.0)

    @property
    def warmup(self) -> int:
        """Return how many bars to wait for before the first signal."""
        return 100

    def signals(self, bars: Bars) -> Signals:
        """Return one opinion per bar; row t looks at rows 0 to t only."""
        strength = rsi(bars.close, 14)
        # A longer timeframe, built from these bars: each row sees the last day that had closed by then.
        daily = bars.higher("1d")
        average = bars.align(daily, ema(daily.close, self.days))
        target = Signals.entries(
            enter_long=(strength < self.dip) & (bars.close > average),
            exit_long=(strength > self.recovered) | (bars.close < average),
        )
        stop = atr_distance(bars.high, bars.low, bars.close, 14, self.stop)
        return Signals(target, stop=stop, tag="pullback")
