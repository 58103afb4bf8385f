"""Mean reversion: buying what fell too far, and the stop that such an idea needs."""

from abidance.indicators.arrays import previous
from abidance.indicators.momentum import rsi
from abidance.indicators.volatility import atr_distance, bollinger
from abidance.market.bars import Bars
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter


class RsiThresholds(BarStrategy):
    """Buy when the RSI comes back from oversold, sell when it has recovered; the mirror image with `short`.

    Idea: hurried selling overshoots, and the first bars of recovery show that it has ended.
    Market: ranges of liquid coins.
    Known failure: trends; in a long fall every recovery is sold into, so that losses come in a row. Keep the stop.
    """

    period = Parameter(14, 2, 100)
    oversold = Parameter(30.0, 5.0, 45.0)
    recovered = Parameter(55.0, 46.0, 95.0)
    atr_period = Parameter(14, 2, 100)
    stop = Parameter(3.0, 0.5, 20.0)
    short = Parameter(False)

    @property
    def warmup(self) -> int:
        """Return the bar from which the index of it and of the bar before are known."""
        return max(self.period, self.atr_period) + 1

    def signals(self, bars: Bars) -> Signals:
        """Enter where the index crosses back over the threshold, leave beyond the recovery level."""
        now = rsi(bars.close, self.period)
        before = previous(now)
        overbought, faded = 100 - self.oversold, 100 - self.recovered
        shorts = ((before >= overbought) & (now < overbought), now < faded) if self.short else (None, None)
        return Signals(
            Signals.entries((before <= self.oversold) & (now > self.oversold), now > self.recovered, *shorts),
            stop=atr_distance(bars.high, bars.low, bars.close, self.atr_period, self.stop),
            tag="rsi",
        )


class BollingerReversion(BarStrategy):
    """Buy a close that comes back inside the lower band, sell at the mean; the mirror image with `short`.

    Idea: a price far from its mean, measured in its own swing, tends to come back to it.
    Market: quiet ranges.
    Known failure: a breakout walks along the band for days; each return inside is a small trap. Keep the stop.
    """

    period = Parameter(40, 5, 300)
    width = Parameter(2.5, 0.5, 5.0)
    atr_period = Parameter(14, 2, 100)
    stop = Parameter(3.0, 0.5, 20.0)
    max_bars = Parameter(72, 1, 1000)
    short = Parameter(False)

    @property
    def warmup(self) -> int:
        """Return the bar from which the bands of it and of the bar before are known."""
        return max(self.period, self.atr_period) + 1

    def signals(self, bars: Bars) -> Signals:
        """Enter where the close returns inside a band, leave at the mean or after `max_bars`."""
        close = bars.close
        upper, middle, lower = bollinger(close, self.period, self.width)
        was_below = previous(close) < previous(lower)
        was_above = previous(close) > previous(upper)
        shorts = (was_above & (close <= upper), close <= middle) if self.short else (None, None)
        return Signals(
            Signals.entries(was_below & (close >= lower), close >= middle, *shorts),
            stop=atr_distance(bars.high, bars.low, close, self.atr_period, self.stop),
            max_bars=self.max_bars,
            tag="bollinger",
        )
