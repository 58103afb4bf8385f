"""Bars of time made from trades: of a whole tape at once, or trade by trade as they come, with equal results.

The rule, for both: a bar owns the trades whose time lies in it, whatever the order they come in; of trades with one
time the first to come counts as earlier. A bar closes when the newest time seen (of a trade, or told by `advance`) has
passed its close by `grace`; a trade that comes for a closed bar is late: counted and left out, because a closed bar
never changes. A bar whose beginning was not seen is never given out, nor one that is still forming. Volumes are summed
exactly and rounded once. Bars by trades, volume or value are `market.activity`'s.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abidance.market.bars import Bars, FloatArray, IntArray, grid_offset
from abidance.model.errors import DataError
from abidance.model.instrument import timeframe_ns
from abidance.model.market import Bar, Trade

LONG = 65_536
"""From so many trades on, bars are made by compiled code."""

MOST_FLAT = 10_000
"""No more flat bars in a row are made where nothing traded: a longer silence is a hole, not a quiet market."""

MOST = 1e18
"""No market prints a price or a size beyond this; sums of what is below it never overflow."""

_TIDY = "{:.15g}"
_EARLIEST, _LATEST = (int(np.datetime64(year, "ns").astype(np.int64)) for year in ("2009", "2100"))


class Tape(NamedTuple):
    """Trades as columns of equal length in the order in which they came: time (ns UTC), price, size (base units)."""

    ts: IntArray
    price: FloatArray
    size: FloatArray

    def is_clean(self) -> bool:
        """Say whether all trades can be (see `sound`) and come in the order of time."""
        if len({len(column) for column in self}) > 1:
            return False
        if len(self.ts) < LONG:
            return self.sound() is self and not bool((self.ts[1:] < self.ts[:-1]).any())
        from abidance.market.scan import is_clean

        plain = (
            np.ascontiguousarray(self.ts),
            np.ascontiguousarray(self.price),
            np.ascontiguousarray(self.size),
        )
        return bool(is_clean(plain, _EARLIEST, _LATEST))

    def sound(self) -> "Tape":
        """Return the trades that can be: positive prices and sizes up to MOST, at a time that crypto markets have seen.

        Raises DataError for columns of unequal length.
        """
        if not len(self.ts) == len(self.price) == len(self.size):
            raise DataError(
                f"The columns of a tape hold {len(self.ts)} times, {len(self.price)} prices and {len(self.size)} sizes.",
                "Give one of each for every trade.",
            )
        with np.errstate(invalid="ignore"):
            right: NDArray[np.bool_] = (
                (self.price > 0) & (self.size > 0) & (self.price <= MOST) & (self.size <= MOST)
            )
        right &= (self.ts >= _EARLIEST) & (self.ts < _LATEST)
        return self if right.all() else self.at(right)

    def at(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Tape":
        """Return the chosen trades."""
        return Tape(self.ts[rows], self.price[rows], self.size[rows])


def is_sound(trade: Trade) -> bool:
    """Say whether a trade can be, by the rule of `Tape.sound`."""
    return 0.0 < trade.price <= MOST and 0.0 < trade.size <= MOST and _EARLIEST <= trade.ts < _LATEST


class ExactSum:
    """A sum of floats without an error: whatever the order, it rounds to the same float as `math.fsum`."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[float] = []

    def add(self, value: float) -> None:
        """Add a finite value; what rounding takes from a part lives on in a smaller one (Shewchuk 1997)."""
        parts, kept = self._parts, 0
        for part in parts:
            if abs(value) < abs(part):
                value, part = part, value
            total = value + part
            lost = part - (total - value)
            if lost:
                parts[kept] = lost
                kept += 1
            value = total
        parts[kept:] = [value]

    @property
    def total(self) -> float:
        """Return the sum as the nearest float."""
        return math.fsum(self._parts)


def tidy(volume: float) -> float:
    """Return a sum of decimals as the decimal that the venue sums: a float carries 15 of its digits."""
    return float(_TIDY.format(volume))


class _Forming:
    """A bar of which more may come."""

    __slots__ = ("close", "first", "high", "last", "low", "open", "volume")

    def __init__(self, trade: Trade) -> None:
        self.first = self.last = trade.ts
        self.open = self.high = self.low = self.close = trade.price
        self.volume = ExactSum()
        self.volume.add(trade.size)

    def add(self, trade: Trade) -> None:
        price = trade.price
        if trade.ts >= self.last:
            self.last, self.close = trade.ts, price
        elif trade.ts < self.first:
            self.first, self.open = trade.ts, price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.volume.add(trade.size)


class TimeBarBuilder:
    """The bars of one instrument and timeframe, from its trades as they come.

    Every trade is known from `since` on (ns UTC; by default from the first trade): no bar that opens before is given
    out. `grace` (ns) is how long a bar waits for trades that are late. With `fill`, a bar in which nothing traded is
    flat at the last price with no volume, as Binance has it; without, it is left out, as Kraken has it. `late` and
    `refused` count the trades that came after their bar had closed, and those that no market prints.
    """

    def __init__(
        self, instrument: str, timeframe: str, *, since: int | None = None, grace: int = 0, fill: bool = False
    ) -> None:
        self.instrument, self.timeframe = instrument, timeframe
        self.late = self.refused = 0
        self._step = timeframe_ns(timeframe)
        self._offset = grid_offset(self._step)
        self._since, self._grace, self._fill = since, grace, fill
        self._newest: int | None = None
        self._open: dict[int, _Forming] = {}
        self._bound: int | None = None  # slots below it are closed
        self._next = 0  # the slot after the last one that closed; what lies between it and the bound was flat
        self._price: float | None = None
        self._flats = 0

    def take(self, trade: Trade) -> list[Bar]:
        """Take a trade in and return the bars that it closes, oldest first; nearly always none."""
        if not is_sound(trade):
            self.refused += 1
            return []
        ts = trade.ts
        if self._since is None:
            self._since = ts
        slot = (ts - self._offset) // self._step
        if self._bound is not None and slot < self._bound:
            self.late += 1
            return []
        forming = self._open.get(slot)
        if forming is None:
            self._open[slot] = _Forming(trade)
        else:
            forming.add(trade)
        return self.advance(ts)

    def advance(self, now: int) -> list[Bar]:
        """Return the bars that close because it is `now` (ns UTC, the venue's time), oldest first."""
        if self._newest is not None and now <= self._newest:
            return []
        self._newest = now
        bound = (now - self._grace - self._offset) // self._step
        if self._bound is not None and bound <= self._bound:
            return []
        self._bound = bound
        return list(self._closed(bound)) if self._open or self._fill else []

    def interrupt(self, resumed: int) -> None:
        """Forget what is forming: trades may be missing before `resumed`, so no bar that opens before it is whole."""
        self._open.clear()
        self._price = None
        self._since = resumed

    def forming(self) -> Bar | None:
        """Return the newest bar that is still open, for people to look at; never a closed one."""
        if not self._open:
            return None
        slot = max(self._open)
        return self._bar(slot, self._open[slot])

    def _closed(self, bound: int) -> Iterator[Bar]:
        since = self._since
        for slot in sorted(slot for slot in self._open if slot < bound):
            yield from self._flat(slot)
            forming = self._open.pop(slot)
            self._price, self._next = forming.close, slot + 1
            if since is not None and slot * self._step + self._offset >= since:
                yield self._bar(slot, forming)
            self._flats = 0
        yield from self._flat(bound)

    def _flat(self, stop: int) -> Iterator[Bar]:
        """Yield the bars before slot `stop` in which nothing traded."""
        if self._price is None:
            return
        if self._fill:
            price = self._price
            for slot in range(self._next, min(stop, self._next + MOST_FLAT - self._flats)):
                self._flats += 1
                opens = slot * self._step + self._offset
                if self._since is not None and opens >= self._since:
                    yield Bar(self.instrument, self.timeframe, opens, price, price, price, price, 0.0)
        self._next = max(self._next, stop)

    def _bar(self, slot: int, forming: _Forming) -> Bar:
        opens = slot * self._step + self._offset
        volume = tidy(forming.volume.total)
        prices = (forming.open, forming.high, forming.low, forming.close)
        return Bar(self.instrument, self.timeframe, opens, *prices, volume)


def build_time_bars(
    instrument: str,
    timeframe: str,
    tape: Tape,
    *,
    since: int | None = None,
    until: int | None = None,
    grace: int = 0,
    fill: bool = False,
) -> Bars:
    """Return the bars that a TimeBarBuilder gives out over the tape and then at `until`, all at once.

    Trades are known to be whole from `since` (by default the first trade) to `until` (by default the last).
    """
    step = timeframe_ns(timeframe)
    offset = grid_offset(step)
    swept = _swept(tape, step, offset) if not grace else None
    tape = tape if swept else tape.sound()
    if not len(tape.ts):
        empty = np.empty(0)
        return Bars(instrument, timeframe, np.empty(0, dtype=np.int64), (empty,) * 5)
    since = int(tape.ts[0]) if since is None else since
    newest = int(tape.ts[-1] if swept else tape.ts.max())
    bound = (max(newest, newest if until is None else until) - grace - offset) // step
    slots, columns = swept or _on_time(tape, step, offset, grace)
    closed = slots < bound
    slots, columns = slots[closed], [column[closed] for column in columns]
    if fill and len(slots):
        slots, columns = _filled(slots, columns, int(bound))
    opens = slots * step + offset
    given = opens >= since
    return Bars(instrument, timeframe, opens[given], (column[given] for column in columns))


def _swept(tape: Tape, step: int, offset: int) -> tuple[IntArray, list[FloatArray]] | None:
    """Return what `_on_time` returns, by compiled code, of a long tape in which all is sound and in order; or None."""
    if len(tape.ts) < LONG or len({len(column) for column in (tape.ts, tape.price, tape.size)}) > 1:
        return None
    from abidance.market.scan import group

    most = min(len(tape.ts), max(0, int(tape.ts[-1] - tape.ts[0])) // step + 2)
    slots, columns = np.empty(most, dtype=np.int64), np.empty((5, most))
    plain = np.ascontiguousarray(tape.ts), np.ascontiguousarray(tape.price), np.ascontiguousarray(tape.size)
    count = group(plain, step, offset, (slots, columns)) if _within(tape.ts) else -1
    if count < 0:
        return None
    volumes = np.array(list(map(float, map(_TIDY.format, columns[4, :count].tolist()))))
    return slots[:count], [*(column[:count] for column in columns[:4]), volumes]


def _within(ts: IntArray) -> bool:
    return bool(ts[0] >= _EARLIEST and ts[-1] < _LATEST)


def _on_time(tape: Tape, step: int, offset: int, grace: int) -> tuple[IntArray, list[FloatArray]]:
    """Return each slot with a trade that was not late, and its open, high, low, close and volume."""
    newest = np.maximum.accumulate(tape.ts)
    slots = (tape.ts - offset) // step
    on_time = np.r_[True, slots[1:] >= (newest[:-1] - grace - offset) // step]
    return _grouped(slots[on_time], tape.at(on_time))


def _grouped(slots: IntArray, tape: Tape) -> tuple[IntArray, list[FloatArray]]:
    """Return each slot with a trade, and its open, high, low, close and volume."""
    if (tape.ts[1:] < tape.ts[:-1]).any():
        order = np.argsort(tape.ts, kind="stable")
        slots, tape = slots[order], tape.at(order)
    starts = np.flatnonzero(np.r_[True, slots[1:] != slots[:-1]])
    ends = np.r_[starts[1:], len(slots)]
    columns = [
        tape.price[starts],
        np.maximum.reduceat(tape.price, starts),
        np.minimum.reduceat(tape.price, starts),
        tape.price[ends - 1],
        exact_sums(tape.size, starts, ends),
    ]
    return slots[starts], columns


def exact_sums(values: FloatArray, starts: IntArray, ends: IntArray) -> FloatArray:
    """Return the tidy exact sum of each stretch of `values`."""
    plain = values.tolist()
    pairs = zip(starts.tolist(), ends.tolist(), strict=True)
    return np.array([tidy(math.fsum(plain[start:end])) for start, end in pairs], dtype=np.float64)


def _filled(slots: IntArray, columns: list[FloatArray], bound: int) -> tuple[IntArray, list[FloatArray]]:
    """Return the bars with flat ones between them and up to `bound`, at most MOST_FLAT after each."""
    lengths = np.minimum(np.diff(np.r_[slots, bound]), MOST_FLAT + 1)
    source = np.repeat(np.arange(len(slots)), lengths)
    place = np.arange(len(source)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    is_flat = place > 0
    closes = columns[3][source]
    filled = [np.where(is_flat, closes, column[source]) for column in columns[:4]]
    return slots[source] + place, [*filled, np.where(is_flat, 0.0, columns[4][source])]
