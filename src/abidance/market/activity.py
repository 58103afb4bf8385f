"""Bars of trades, volume or value: they close when enough has happened, not when enough time has passed.

`100t` is a bar every 100 trades, `25v` one every 25 units of the base asset, `1000000q` one every million of the quote
asset (dollar bars). Trades count in the order in which they come, none is split: the one that reaches the measure
closes its bar, and the next bar begins at nothing. A bar that is still forming is never given out. Both builders give
equal bars when they begin with the same trade.
"""

import re
from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np

from abidance.market.bars import Bars, FloatArray, IntArray
from abidance.market.build import ExactSum, Tape, exact_sums, is_sound, tidy
from abidance.model.errors import UsageError
from abidance.model.market import Trade

_MEASURE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,12})?)([tvq])")
_NOISE = 1e-12
"""How far below its measure a running sum of floats counts as having reached it: 0.1 ten times is a whole."""
_WINDOW = 256


class Unit(StrEnum):
    """What is counted."""

    TRADES = "t"
    VOLUME = "v"
    VALUE = "q"


class Measure(msgspec.Struct, frozen=True):
    """How much of what makes a bar."""

    unit: Unit
    size: float


def parse_measure(text: str) -> Measure:
    """Return the measure that `100t`, `25v` or `1000000q` names. Raises UsageError for anything else."""
    found = _MEASURE.fullmatch(text)
    size = float(found[1]) if found else 0.0
    if not found or size <= 0 or (found[2] == Unit.TRADES and size != int(size)):
        raise UsageError(
            f"Unknown measure of a bar {text!r}.",
            "Write a number above 0 and t (trades, whole), v (base volume) or q (quote value), such as 1000000q.",
        )
    return Measure(Unit(found[2]), size)


class ActivityBar(msgspec.Struct, frozen=True, gc=False):
    """A closed bar: from the time of its first trade to that of its last, from which on it may be known (ns UTC)."""

    instrument: str
    measure: str
    ts: int
    ts_close: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int


class ActivityBars(NamedTuple):
    """Closed bars as columns of equal length; the fields of ActivityBar. Times never fall, and may repeat."""

    ts: IntArray
    ts_close: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    trades: IntArray

    def onto(self, bars: Bars, values: FloatArray) -> FloatArray:
        """Return `values` (one per activity bar) on a grid of time: the last one known at each close, else NaN."""
        last = np.searchsorted(self.ts_close, bars.ts_close, side="right")
        aligned: FloatArray = np.r_[np.nan, np.asarray(values, dtype=np.float64)][last]
        return aligned


class ActivityBarBuilder:
    """The activity bars of one instrument, from its trades as they come; `refused` counts trades that cannot be."""

    def __init__(self, instrument: str, measure: str) -> None:
        self.instrument, self.measure = instrument, measure
        self.refused = 0
        self._unit, self._full = _threshold(measure)
        self._newest = 0
        self._begin()

    def _begin(self) -> None:
        self._ts = self._trades = 0
        self._reached = self._open = self._high = self._low = 0.0
        self._volume = ExactSum()

    def take(self, trade: Trade) -> ActivityBar | None:
        """Take a trade in and return the bar that it closes, or None."""
        if not is_sound(trade):
            self.refused += 1
            return None
        price = trade.price
        self._newest = max(self._newest, trade.ts)
        if not self._trades:
            self._ts = self._newest
            self._open = self._high = self._low = price
        self._high, self._low = max(self._high, price), min(self._low, price)
        self._trades += 1
        self._volume.add(trade.size)
        self._reached += _weight(self._unit, price, trade.size)
        if self._reached < self._full:
            return None
        prices = (self._open, self._high, self._low, price)
        span = (self._ts, self._newest)
        bar = ActivityBar(
            self.instrument, self.measure, *span, *prices, tidy(self._volume.total), self._trades
        )
        self._begin()
        return bar

    def interrupt(self) -> None:
        """Forget what is forming, because trades may be missing; the next trade begins a bar."""
        self._begin()


def build_activity_bars(measure: str, tape: Tape) -> ActivityBars:
    """Return the bars that an ActivityBarBuilder gives out over the tape, all at once."""
    tape = tape.sound()
    unit, full = _threshold(measure)
    ends = _ends(unit, full, tape)
    starts = np.r_[0, ends[:-1]] if len(ends) else ends
    stop = int(ends[-1]) if len(ends) else 0
    newest = np.maximum.accumulate(tape.ts[:stop]) if stop else tape.ts[:0]
    price = tape.price[:stop]
    return ActivityBars(
        newest[starts],
        newest[ends - 1],
        price[starts],
        np.maximum.reduceat(price, starts) if stop else price,
        np.minimum.reduceat(price, starts) if stop else price,
        price[ends - 1],
        exact_sums(tape.size[:stop], starts, ends),
        ends - starts,
    )


def _threshold(measure: str) -> tuple[Unit, float]:
    parsed = parse_measure(measure)
    return parsed.unit, parsed.size * (1 - _NOISE)


def _weight(unit: Unit, price: float, size: float) -> float:
    if unit is Unit.TRADES:
        return 1.0
    return size if unit is Unit.VOLUME else price * size


def _ends(unit: Unit, full: float, tape: Tape) -> IntArray:
    """Return the row after the last one of each bar.

    The sums are running ones from each bar's first trade, as the builder's are, so that not a bit differs.
    """
    rows = len(tape.ts)
    if unit is Unit.TRADES:
        size = int(np.ceil(full))
        return np.arange(size, rows + 1, size, dtype=np.int64)
    weights = tape.size if unit is Unit.VOLUME else tape.price * tape.size
    ends: list[int] = []
    start, window = 0, _WINDOW
    while start < rows:
        running = np.cumsum(weights[start : start + window])
        at = int(np.searchsorted(running, full))
        if at < len(running):
            start += at + 1
            ends.append(start)
            window = 2 * at + _WINDOW
        elif start + window >= rows:
            break
        else:
            window *= 4
    return np.array(ends, dtype=np.int64)
