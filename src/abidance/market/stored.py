"""Bars whose prices stay where they are stored, for series that are too long, or too many, to lie in memory."""

from collections.abc import Callable

import numpy as np

from abidance.market.bars import FIELDS, Bars, FloatArray
from abidance.model.errors import DataError

_PART = 1 << 17
"""Bars that are read at once."""


class StoredBars(Bars):
    """Bars of which only the times are in memory; prices and volumes are read whenever somebody looks at them.

    `read(start, end)` returns the bars that open in a stretch of time (ns UTC). A column is read with all others: take
    `columns()` for several, and `slice()` for a part, which is a plain series in memory. The prices that it is made of
    stay until `leave`, or until a part is taken.
    """

    __slots__ = ("_read", "_whole")

    def __init__(self, bars: Bars, read: Callable[[int, int], Bars]) -> None:
        self.instrument, self.timeframe, self.universe = bars.instrument, bars.timeframe, bars.universe
        self.ts = bars.ts
        self._read = read
        self._whole: Bars | None = bars

    def __getattr__(self, name: str) -> FloatArray:
        """Return a column."""
        if name not in FIELDS:
            raise AttributeError(name)
        column: FloatArray = getattr(self._all(), name)
        return column

    def columns(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return open, high, low, close, volume."""
        return self._all().columns()

    def slice(self, start: int, stop: int) -> Bars:
        """Return the bars from `start` up to, not including, `stop`, in memory."""
        if (whole := self._whole) is not None:
            self.leave()
            return whole.slice(start, stop)
        return self._part(*slice(start, stop).indices(len(self))[:2])

    def leave(self) -> None:
        """Let go of the prices, which were in memory until now."""
        self._whole = None

    def _all(self) -> Bars:
        """Return all bars, read a part at a time: whoever reads keeps what the largest part took."""
        if self._whole is not None:
            return self._whole
        columns = [np.empty(len(self)) for _ in FIELDS]
        for start in range(0, len(self), _PART):
            part = self._part(start, min(start + _PART, len(self)))
            for column, found in zip(columns, part.columns(), strict=True):
                column[start : start + _PART] = found
        return Bars(self.instrument, self.timeframe, self.ts, columns, self.universe)

    def _part(self, start: int, stop: int) -> Bars:
        """Read some of the bars. Raises DataError when they are not those that were there before."""
        ts = self.ts[start:stop]
        if not len(ts):
            return Bars(self.instrument, self.timeframe, ts, (np.empty(0) for _ in FIELDS), self.universe)
        found = self._read(int(ts[0]), int(ts[-1]) + 1)
        if not np.array_equal(found.ts, ts):
            raise DataError(
                f"The stored bars of {self.instrument} {self.timeframe} changed while they were read.",
                "Start again when nothing is written to the store.",
            )
        return Bars(self.instrument, self.timeframe, ts, found.columns(), self.universe)
