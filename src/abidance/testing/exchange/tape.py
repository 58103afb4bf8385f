"""What traded on one instrument, in order, and the bars that follow from it: the truth that clients are compared with.

Bars are made of the tape whenever they are asked for, so that trades and bars can never disagree.
"""

from array import array
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abidance.testing.exchange.core import Print

_WEEK_NS = 604_800_000_000_000
_MONDAY_NS = 345_600_000_000_000


class Candle(NamedTuple):
    """A bar in ticks and lots; `ts` is its open time, `turnover` the sum of ticks times lots."""

    ts: int
    open: int
    high: int
    low: int
    close: int
    lots: int
    turnover: int
    trades: int
    taker_buys: int
    first_id: int


def bar_open(ts: int, step: int) -> int:
    """Return when the bar that holds `ts` opened; weeks begin on Mondays."""
    offset = _MONDAY_NS if step % _WEEK_NS == 0 else 0
    return ts - (ts - offset) % step


class Tape:
    """All prints of an instrument, oldest first, 33 bytes each."""

    def __init__(self) -> None:
        self.ts = array("q")
        self.price = array("q")
        self.lots = array("q")
        self.buys = array("b")
        self.first_id = 1

    def __len__(self) -> int:
        """Return how many prints there are."""
        return len(self.ts)

    def add(self, found: Print) -> None:
        """Write a print down. Raises ValueError when it is older than the last or its number is not the next."""
        if not self.ts:
            self.first_id = found.id
        elif found.ts < self.ts[-1] or found.id != self.first_id + len(self.ts):
            raise ValueError(f"print {found.id} does not follow the tape")
        self.ts.append(found.ts)
        self.price.append(found.price)
        self.lots.append(found.lots)
        self.buys.append(found.buyer_is_taker)

    def at(self, index: int) -> Print:
        """Return the print at a place, counted from 0."""
        return Print(
            self.first_id + index, self.ts[index], self.price[index], self.lots[index], bool(self.buys[index])
        )

    def find(self, ts: int) -> int:
        """Return the place of the first print at `ts` or later."""
        return bisect_left(self.ts, ts)

    def prints(self, start: int = 0, stop: int | None = None) -> list[Print]:
        """Return the prints from one place up to, not including, another."""
        return [self.at(index) for index in range(*slice(start, stop).indices(len(self)))]

    def candles(self, step: int, start: int, end: int, *, filled: bool = False) -> list[Candle]:
        """Return the bars that open from `start` up to, not including, `end`; the last may still be forming.

        Without trades there is no bar, or with `filled` a flat one of no volume at the last price.
        """
        begin, stop = (bar_open(ts + step - 1, step) for ts in (start, end))
        found = self._grouped(step, self.find(begin), self.find(stop))
        if not filled or not len(self):
            return found
        return self._fill(found, step, max(begin, bar_open(self.ts[0], step)), stop)

    def _grouped(self, step: int, first: int, last: int) -> list[Candle]:
        if first >= last:
            return []
        ts, price, lots, buys = (
            np.array(column[first:last], dtype=np.int64)
            for column in (self.ts, self.price, self.lots, self.buys)
        )
        offset = _MONDAY_NS if step % _WEEK_NS == 0 else 0
        group = (ts - offset) // step
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        ends = np.r_[starts[1:], len(ts)] - 1

        def total(column: NDArray[np.int64]) -> list[int]:
            sums: list[int] = np.add.reduceat(column, starts).tolist()
            return sums

        # Ticks times lots can pass 2**63 on finely divided instruments: exact sums in Python.
        turnover = np.add.reduceat(price.astype(object) * lots, starts).tolist()
        rows = zip(
            (group[starts] * step + offset).tolist(),
            price[starts].tolist(),
            np.maximum.reduceat(price, starts).tolist(),
            np.minimum.reduceat(price, starts).tolist(),
            price[ends].tolist(),
            total(lots),
            turnover,
            (ends - starts + 1).tolist(),
            total(lots * buys),
            (starts + first + self.first_id).tolist(),
            strict=True,
        )
        return [Candle(*row) for row in rows]

    def _fill(self, found: list[Candle], step: int, start: int, end: int) -> list[Candle]:
        """Put a flat bar wherever there is none."""
        known = {candle.ts: candle for candle in found}
        filled = []
        before = self.find(start)
        close = self.price[before - 1] if before else 0
        for ts in range(start, end, step):
            candle = known.get(ts)
            if candle is None and close:
                candle = Candle(ts, close, close, close, close, 0, 0, 0, 0, -1)
            if candle is not None:
                close = candle.close
                filled.append(candle)
        return filled
