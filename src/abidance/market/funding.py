"""Funding rates of perpetuals: what is due when, which days lack it, and when a run over bars books it."""

import numpy as np

from abidance.market.bars import Bars, FloatArray, IntArray
from abidance.model.instrument import SECOND_NS

_LONGEST_PERIOD = 8 * 3_600 * SECOND_NS
"""No venue leaves more time than this between two of its funding rates."""


class Funding:
    """Funding rates of one perpetual as read-only columns, oldest first.

    `ts` is when each falls due, ns UTC (int64), increasing; `rate` is float64, a share of the position's value that
    longs pay to shorts.
    """

    __slots__ = ("instrument", "rate", "ts")

    def __init__(self, instrument: str, ts: IntArray, rate: FloatArray) -> None:
        self.instrument = instrument
        self.ts, self.rate = ts.view(), rate.view()
        self.ts.flags.writeable = self.rate.flags.writeable = False

    def __len__(self) -> int:
        """Return the number of rates."""
        return len(self.ts)

    def booked_over(self, bars: Bars) -> "Funding":
        """Return these rates at the moments at which a run that is filled by `bars` can book them.

        A rate that falls due inside a bar waits for its close, because only then it is known what the bar's open has
        filled; several in one bar become one, their sum. A rate due where no bar is open keeps its time.
        """
        if not len(self) or not len(bars):
            return self
        closes = bars.ts_close
        row = np.minimum(np.searchsorted(closes, self.ts), len(bars) - 1)
        is_inside = (bars.ts[row] < self.ts) & (self.ts < closes[row])
        ts = np.where(is_inside, closes[row], self.ts)
        starts = np.flatnonzero(np.r_[True, ts[1:] != ts[:-1]])
        return Funding(self.instrument, ts[starts], np.add.reduceat(self.rate, starts))

    def holes(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the stretches between `start` and `end` in which rates must be missing: longer than any period."""
        edges = np.r_[start, self.ts[(self.ts > start) & (self.ts < end)], end]
        wide = np.flatnonzero(np.diff(edges) > _LONGEST_PERIOD)
        return [(int(edges[at]), int(edges[at + 1])) for at in wide]
