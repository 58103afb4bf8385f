"""Columns of closed bars, aligned across timeframes and instruments without look-ahead.

`Bars` is what a `BarStrategy` reads. `BarHistory` is the growing series behind it in a running engine.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from abidance.model.errors import StrategyError
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.model.market import Bar

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FIELDS = ("open", "high", "low", "close", "volume")
_WEEK_NS = 604_800 * SECOND_NS
_MONDAY_NS = 4 * 86_400 * SECOND_NS


def grid_offset(step: int) -> int:
    """Return where the grid of a timeframe starts, in ns after the epoch: weeks open on Mondays."""
    return _MONDAY_NS if step % _WEEK_NS == 0 else 0


A = TypeVar("A", FloatArray, IntArray)


def _read_only(column: A) -> A:
    """Return a view that cannot be written to: what one strategy sees, another sees too."""
    view = column.view()
    view.flags.writeable = False
    return view


class Bars:
    """Closed bars of one instrument and timeframe as read-only columns of equal length, oldest first.

    `ts` is the open time in ns UTC (int64); open, high, low, close, volume are float64.
    """

    __slots__ = ("close", "high", "instrument", "low", "open", "timeframe", "ts", "universe", "volume")

    def __init__(
        self,
        instrument: str,
        timeframe: str,
        ts: IntArray,
        columns: Iterable[FloatArray],
        universe: Mapping[str, "Bars"] | None = None,
    ) -> None:
        self.instrument = instrument
        self.timeframe = timeframe
        self.ts = _read_only(ts)
        self.open, self.high, self.low, self.close, self.volume = map(_read_only, columns)
        self.universe: Mapping[str, Bars] = universe if universe is not None else {}

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.ts)

    @property
    def ts_close(self) -> IntArray:
        """Return the moments from which each bar may be known, ns UTC."""
        closes: IntArray = self.ts + timeframe_ns(self.timeframe)
        return closes

    def slice(self, start: int, stop: int) -> "Bars":
        """Return the bars from `start` up to, not including, `stop`, sharing memory."""
        part = slice(start, stop)
        return Bars(
            self.instrument, self.timeframe, self.ts[part], (c[part] for c in self.columns()), self.universe
        )

    def followed_by(self, later: "Bars") -> "Bars":
        """Return these bars and later ones of the same series in one piece."""
        joined = (np.concatenate(pair) for pair in zip(self.columns(), later.columns(), strict=True))
        return Bars(
            self.instrument, self.timeframe, np.concatenate((self.ts, later.ts)), joined, self.universe
        )

    def columns(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return open, high, low, close, volume."""
        return self.open, self.high, self.low, self.close, self.volume

    def higher(self, timeframe: str) -> "Bars":
        """Return the closed bars of a longer timeframe, built from these; a bar still forming is left out.

        So is a first bar whose beginning was not seen. Bring a column back to this grid with `align`. Raises
        StrategyError unless `timeframe` is a multiple of ours.
        """
        step, own = timeframe_ns(timeframe), timeframe_ns(self.timeframe)
        if step < own or step % own:
            raise StrategyError(
                f"Bars of {timeframe} cannot be built from bars of {self.timeframe}.",
                "Ask for a longer multiple.",
            )
        if step == own:
            return self
        if not len(self):
            return Bars(self.instrument, timeframe, self.ts, self.columns(), self.universe)
        offset = grid_offset(step)
        group = (self.ts - offset) // step
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        opens: IntArray = group[starts] * step + offset
        closed = opens + step <= self.ts[-1] + own
        closed[0] &= opens[0] == self.ts[0]
        ends = np.r_[starts[1:], len(self)] - 1
        columns = (
            self.open[starts],
            np.maximum.reduceat(self.high, starts),
            np.minimum.reduceat(self.low, starts),
            self.close[ends],
            np.add.reduceat(self.volume, starts),
        )
        return Bars(self.instrument, timeframe, opens[closed], (c[closed] for c in columns), self.universe)

    def align(self, source: "Bars", values: FloatArray) -> FloatArray:
        """Return `values` (one per bar of `source`) on our grid: the last one known at each of our closes, else NaN."""
        if len(values) != len(source):
            raise StrategyError(f"align() got {len(values)} values for {len(source)} bars.")
        last = np.searchsorted(source.ts_close, self.ts_close, side="right") - 1
        padded = np.r_[np.nan, np.asarray(values, dtype=np.float64)]
        aligned: FloatArray = padded[last + 1]
        return aligned

    def other(self, instrument: str) -> "Bars":
        """Return another instrument's bars of the run, known up to our last close; use `align` to bring a column here.

        Raises StrategyError when the run has no such bars: name the instrument in the strategy's `references`.
        """
        found = self.universe.get(instrument)
        if found is None:
            raise StrategyError(
                f"The strategy asked for {instrument}, which this run does not load.",
                "Trade it in the same run, or add it to the strategy's `references`.",
            )
        stop = int(np.searchsorted(found.ts_close, self.ts_close[-1], side="right")) if len(self) else 0
        return found.slice(0, stop)


class BarHistory:
    """A series of bars that grows at the end; `bars()` costs nothing, whatever the length."""

    __slots__ = ("_columns", "_size", "_ts", "instrument", "timeframe", "universe")

    def __init__(self, instrument: str, timeframe: str, universe: Mapping[str, Bars] | None = None) -> None:
        self.instrument = instrument
        self.timeframe = timeframe
        self.universe = universe
        self._size = 0
        self._ts: IntArray = np.empty(1024, dtype=np.int64)
        self._columns: NDArray[np.float64] = np.empty((5, 1024), dtype=np.float64)

    def __len__(self) -> int:
        """Return the number of bars so far."""
        return self._size

    def append(self, bar: Bar) -> None:
        """Add the next bar."""
        at = self._size
        if at == len(self._ts):
            self._ts = np.concatenate((self._ts, np.empty_like(self._ts)))
            self._columns = np.concatenate((self._columns, np.empty_like(self._columns)), axis=1)
        self._ts[at] = bar.ts
        self._columns[:, at] = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        self._size = at + 1

    def extend(self, bars: Bars) -> None:
        """Add a block of bars."""
        size = self._size + len(bars)
        while len(self._ts) < size:
            self._ts = np.concatenate((self._ts, np.empty_like(self._ts)))
            self._columns = np.concatenate((self._columns, np.empty_like(self._columns)), axis=1)
        self._ts[self._size : size] = bars.ts
        self._columns[:, self._size : size] = bars.columns()
        self._size = size

    def bars(self) -> Bars:
        """Return all bars so far, sharing memory, read-only."""
        size = self._size
        return Bars(self.instrument, self.timeframe, self._ts[:size], self._columns[:, :size], self.universe)
