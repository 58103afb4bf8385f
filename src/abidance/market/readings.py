"""Readings of a mood (Fear & Greed, the tone of news): values that hold from when they could be known until the next.

A strategy reads them as bars of an instrument at the venue SENTIMENT, such as `FEARGREED/INDEX@SENTIMENT`, which it
names in its `references`. Such a bar is what was known over its time: nothing reaches a bar that closed before it.
"""

import numpy as np

from abidance.market.bars import Bars, FloatArray, IntArray, grid_offset
from abidance.model.errors import DataError
from abidance.model.instrument import timeframe_ns

VENUE = "SENTIMENT"
FEAR_GREED = f"FEARGREED/INDEX@{VENUE}"
NEWS = f"CRYPTO/NEWS@{VENUE}"
LEAST = 0.01
"""The lowest value there is: a price of zero is none, and a reading is read as one."""


def is_mood(instrument: str) -> bool:
    """Say whether an instrument's id is that of a mood."""
    return instrument.endswith(f"@{VENUE}")


class Readings:
    """Values of one mood from 0 (fear) to 100 (greed) as read-only columns, oldest first.

    `ts` is from when each could be known, ns UTC, increasing; `count` is on how many things (headlines) it rests.
    """

    __slots__ = ("count", "instrument", "ts", "value")

    def __init__(self, instrument: str, ts: IntArray, value: FloatArray, count: FloatArray) -> None:
        if not len(ts) == len(value) == len(count):
            raise DataError(f"The readings of {instrument} have columns of unequal length.")
        right = np.isfinite(value) & (value >= 0) & (value <= 100)
        if not right.all():
            raise DataError(
                f"A reading of {instrument} is {value[~right][0]:g}.", "A mood is a number from 0 to 100."
            )
        self.instrument = instrument
        self.ts, self.value, self.count = ts.view(), np.maximum(value, LEAST), count.view()
        for column in (self.ts, self.value, self.count):
            column.flags.writeable = False

    def __len__(self) -> int:
        """Return the number of readings."""
        return len(self.ts)

    def bars(self, timeframe: str, end: int, start: int | None = None) -> Bars:
        """Return what was known over each bar of the timeframe that has closed by `end` (ns UTC), oldest first.

        Bars that open before `start` are left out. A bar opens with the value known at its open and closes with that
        known at its close (a reading of that very moment included); its volume is the count of what came within it. The
        first bar is the first over all of which something was known.
        """
        step = timeframe_ns(timeframe)
        offset = grid_offset(step)
        if not len(self):
            return Bars(self.instrument, timeframe, self.ts, (self.value,) * 5)
        begin = int(self.ts[0]) if start is None else max(start, int(self.ts[0]))
        first = -(-(begin - offset) // step) * step + offset
        opens = np.arange(first, (end - offset) // step * step + offset, step, dtype=np.int64)
        if not len(opens):
            return Bars(self.instrument, timeframe, opens, (np.empty(0),) * 5)
        before = np.searchsorted(self.ts, opens, side="right")  # what comes at an open was known at it
        after = np.searchsorted(self.ts, opens + step, side="right")
        # Rows from the one that held at the open to the last of the bar; reduceat reads pairs of them.
        pairs = np.stack((before - 1, after), axis=1).ravel()
        padded = np.r_[self.value, self.value[-1]]
        high, low = (extreme.reduceat(padded, pairs)[::2] for extreme in (np.maximum, np.minimum))
        total = np.r_[0.0, np.cumsum(self.count)]
        columns = (self.value[before - 1], high, low, self.value[after - 1], total[after] - total[before])
        return Bars(self.instrument, timeframe, opens, columns)
