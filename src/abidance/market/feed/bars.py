"""Stored bars replayed as slices: all bars that close at one moment together.

Bars become events a chunk at a time, by iterators that run in C: a loop that built each bar in Python would cost more
than the engine. Pacing is not done here.
"""

from collections.abc import Iterator, Sequence
from itertools import repeat

import numpy as np

from abidance.market.bars import Bars, IntArray
from abidance.market.store.timerange import show
from abidance.model.errors import DataError
from abidance.model.instrument import timeframe_ns
from abidance.model.market import Bar, BarSlice

_CHUNK = 4096


class BarReplay:
    """A feed of `series`, each one instrument and timeframe.

    Within a slice the shortest timeframe comes first, then the order of `instruments`, by default that of `series`.
    Raises DataError for a series that does not go forward in time or that is given twice.
    """

    def __init__(self, series: Sequence[Bars], instruments: Sequence[str] = ()) -> None:
        order = {
            id: rank for rank, id in enumerate(dict.fromkeys([*instruments, *(b.instrument for b in series)]))
        }
        self._series = sorted(series, key=lambda b: (timeframe_ns(b.timeframe), order[b.instrument]))
        names = [(b.instrument, b.timeframe) for b in series]
        for bars in self._series:
            _check(bars)
            if names.count((bars.instrument, bars.timeframe)) > 1:
                raise DataError(
                    f"{bars.instrument} {bars.timeframe} is in the replay twice.", "Give it once."
                )

    def events(self, after: int | None = None) -> Iterator[BarSlice]:
        """Yield the slices that close after `after` (ns UTC), oldest first."""
        series = [b if after is None else b.slice(_first_after(b, after), len(b)) for b in self._series]
        series = [b for b in series if len(b)]
        while series:
            horizon = min(_close(b, min(_CHUNK, len(b)) - 1) for b in series)
            stops = [_first_after(b, horizon) for b in series]
            yield from _slices([b.slice(0, stop) for b, stop in zip(series, stops, strict=True) if stop])
            series = [b.slice(stop, len(b)) for b, stop in zip(series, stops, strict=True) if stop < len(b)]


def _check(bars: Bars) -> None:
    late = np.flatnonzero(bars.ts[1:] <= bars.ts[:-1])
    if len(late):
        at = int(late[0]) + 1
        raise DataError(
            f"Bar {at + 1} of {bars.instrument} {bars.timeframe} opens at {show(int(bars.ts[at]))}, not after the one"
            f" before it at {show(int(bars.ts[at - 1]))}.",
            "Sort the bars and drop duplicates first.",
        )


def _close(bars: Bars, row: int) -> int:
    return int(bars.ts[row]) + timeframe_ns(bars.timeframe)


def _first_after(bars: Bars, moment: int) -> int:
    """Return the first row that closes after `moment`."""
    return int(np.searchsorted(bars.ts, moment - timeframe_ns(bars.timeframe), side="right"))


def _slices(series: list[Bars]) -> Iterator[BarSlice]:
    """Return the slices of one chunk of each series."""
    closes = [b.ts_close for b in series]
    if all(len(c) == len(closes[0]) and np.array_equal(c, closes[0]) for c in closes[1:]):
        return map(BarSlice, closes[0].tolist(), zip(*map(_events, series), strict=True))
    return _interleaved(series, closes)


def _events(bars: Bars) -> Iterator[Bar]:
    columns = (column.tolist() for column in bars.columns())
    return map(Bar, repeat(bars.instrument), repeat(bars.timeframe), bars.ts.tolist(), *columns)


def _interleaved(series: list[Bars], closes: list[IntArray]) -> Iterator[BarSlice]:
    """Yield the slices of series that do not close at the same moments; the sort is stable, so ranks are kept."""
    events = [event for bars in series for event in _events(bars)]
    when = np.concatenate(closes)
    order = np.argsort(when, kind="stable")
    when = when[order]
    starts = np.flatnonzero(np.r_[True, when[1:] != when[:-1]])
    ordered = list(map(events.__getitem__, order.tolist()))
    stops = [*starts[1:].tolist(), len(ordered)]
    for ts, start, stop in zip(when[starts].tolist(), starts.tolist(), stops, strict=True):
        yield BarSlice(ts, tuple(ordered[start:stop]))
